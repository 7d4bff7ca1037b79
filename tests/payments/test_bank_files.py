"""A bank that speaks in files, and settlement by book entry."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from time import sleep

import pytest

from payments.given_payments import NOON, House, Time, determination, house
from payments.schema import faults
from safeweave.database import Database
from safeweave.errors import Unavailable
from safeweave.ids import DeterminationId
from safeweave.money import Fen, fen_of
from safeweave.payments import iso20022
from safeweave.payments.bank import Instruction, Outcome, StatementEntry
from safeweave.payments.banks.book import BookBank
from safeweave.payments.banks.files import FileBank, _write_whole
from safeweave.payments.payout import payout_id
from safeweave.payments.reconcile import reconcile
from stores import place

US = iso20022.Debtor("示例保险股份有限公司", "3310010000000000001", "102332000001")
DAY = date(2026, 3, 6)
KEY = payout_id(DeterminationId("det_a"))


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def bank(tmp_path: Path, store: str, time: Time) -> FileBank:
    return FileBank("files", Database(place(tmp_path / "files.sqlite")), tmp_path / "out", tmp_path / "in", US, time)


def payment(key: str, amount: str = "10.00") -> Instruction:
    return Instruction(key, fen_of(amount), "测试甲", "6222020000000000018", "102332000018", "医疗保险金")


def orders(bank: FileBank) -> list[iso20022.Order]:
    return [iso20022.read_order(file.read_bytes()) for file in sorted(bank.outbox.iterdir())]


def answer(bank: FileBank, name: str, content: bytes) -> None:
    (bank.inbox / name).write_bytes(content)


def insurer(tmp_path: Path, bank: FileBank, time: Time) -> House:
    return house(tmp_path / "node.sqlite", {"main": bank}, time=time)


def test_a_batch_leaves_as_one_file_that_keeps_the_schema(bank: FileBank) -> None:
    assert bank.send([payment("pay_1"), payment("pay_2", "5.00")], NOON) == [Outcome("pending"), Outcome("pending")]
    (file,) = bank.outbox.iterdir()
    assert faults(file.read_bytes()) == []
    assert [i.key for i in iso20022.read_order(file.read_bytes()).instructions] == ["pay_1", "pay_2"]


def test_a_payment_leaves_in_one_file_only_however_batches_are_cut(bank: FileBank) -> None:
    bank.send([payment("pay_1"), payment("pay_2")], NOON)
    bank.send([payment("pay_2"), payment("pay_3")], NOON)
    bank.send([payment("pay_1")], NOON)
    assert sorted(i.key for order in orders(bank) for i in order.instructions) == ["pay_1", "pay_2", "pay_3"]
    assert bank.send([payment("pay_1", "11.00")], NOON) == [Outcome("conflict")]
    assert len(orders(bank)) == 2


def test_a_file_that_could_not_be_written_is_written_later_and_once(bank: FileBank) -> None:
    bank.outbox.rmdir()
    with pytest.raises(Unavailable, match="outbox"):
        bank.send([payment("pay_1")], NOON)
    bank.outbox.mkdir()
    assert bank.ask([payment("pay_1"), payment("pay_9")], NOON) == [Outcome("pending"), Outcome("unknown")]
    bank.send([payment("pay_1")], NOON)
    assert [i.key for order in orders(bank) for i in order.instructions] == ["pay_1"]
    assert [file.name.endswith(".xml") for file in bank.outbox.iterdir()] == [True]


def test_of_two_callers_at_the_same_moment_one_writes_a_file(bank: FileBank, monkeypatch: pytest.MonkeyPatch) -> None:
    bank.outbox.rmdir()
    with pytest.raises(Unavailable, match="outbox"):
        bank.send([payment("pay_1")], NOON)
    bank.outbox.mkdir()
    written: list[str] = []

    def slowly(folder: Path, name: str, content: bytes) -> None:
        written.append(name)
        sleep(0.2)
        _write_whole(folder, name, content)

    monkeypatch.setattr("safeweave.payments.banks.files._write_whole", slowly)
    with ThreadPoolExecutor(2) as callers:
        outcomes = list(callers.map(lambda _: bank.ask([payment("pay_1")], NOON), range(2)))
    assert outcomes == [[Outcome("pending")]] * 2
    assert written == [file.name for file in bank.outbox.iterdir()]
    assert [i.key for order in orders(bank) for i in order.instructions] == ["pay_1"]


def test_a_file_in_the_outbox_is_not_written_again_because_the_next_one_cannot_be(
    bank: FileBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank.outbox.rmdir()
    for key in ("pay_1", "pay_2"):
        with pytest.raises(Unavailable, match="outbox"):
            bank.send([payment(key)], NOON)
    bank.outbox.mkdir()

    def once(folder: Path, name: str, content: bytes) -> None:
        if any(folder.iterdir()):
            raise OSError(28, "No space left on device")
        _write_whole(folder, name, content)

    with monkeypatch.context() as full:
        full.setattr("safeweave.payments.banks.files._write_whole", once)
        with pytest.raises(Unavailable, match="No space"):
            bank.ask([payment("pay_1")], NOON)
    (first,) = bank.outbox.iterdir()
    first.unlink()  # the bank has taken it
    bank.ask([payment("pay_1")], NOON)
    assert first.name not in [file.name for file in bank.outbox.iterdir()]
    assert len(orders(bank)) == 1


def test_answers_and_statements_are_read_once_and_a_late_word_changes_nothing(bank: FileBank) -> None:
    bank.send([payment("pay_1"), payment("pay_2"), payment("pay_3")], NOON)
    (order,) = orders(bank)
    statuses = [("pay_1", Outcome("booked", NOON)), ("pay_2", Outcome("refused", reason="AC04"))]
    report = iso20022.write_statuses("st_1", order.message, NOON, statuses)
    for name in ("a.xml", "b.xml"):
        answer(bank, name, report)
        bank.collect(NOON)
    assert [o.kind for o in bank.ask(order.instructions, NOON)] == ["booked", "refused", "pending"]

    lines = [
        StatementEntry("E1", "payment", "pay_1", Fen(-1000), DAY),
        StatementEntry("E2", "payment", "pay_3", Fen(-1000), DAY),
        StatementEntry("E3", "return", "pay_1", Fen(1000), DAY, "AC04"),
    ]
    answer(bank, "c.xml", iso20022.write_statement("s1", US, NOON, DAY, DAY, fen_of("100.00"), lines))
    assert bank.statement(DAY, DAY) == lines
    assert [(n.kind, n.key) for n in bank.notices(0)] == [
        ("booked", "pay_1"),
        ("refused", "pay_2"),
        ("booked", "pay_3"),
        ("returned", "pay_1"),
    ]
    assert [n.kind for n in bank.notices(3)] == ["returned"]
    assert sorted(file.name for file in (bank.inbox / "done").iterdir()) == ["a.xml", "b.xml", "c.xml"]


def test_a_file_that_cannot_be_read_is_set_aside_with_the_place_of_its_fault(bank: FileBank) -> None:
    bank.send([payment("pay_1")], NOON)
    (order,) = orders(bank)
    good = iso20022.write_statuses("st_1", order.message, NOON, [("pay_1", Outcome("booked", NOON))])
    others = iso20022.write_statement("s", iso20022.Debtor("x", "999999", ""), NOON, DAY, DAY, Fen(0), [])
    answer(bank, "broken.xml", good[:-40])
    answer(bank, "others.xml", others)
    answer(bank, "order.xml", next(bank.outbox.iterdir()).read_bytes())
    answer(bank, "unheard.xml", good.replace(b"ACSC", b"ABCD"))
    assert bank.collect(NOON) == 0
    assert bank.ask([payment("pay_1")], NOON) == [Outcome("pending")]
    said = {file.name: file.read_text("utf-8") for file in (bank.inbox / "refused").glob("*.txt")}
    assert said["broken.xml.txt"].startswith("broken.xml:2: not readable as XML")
    assert "another account" in said["others.xml.txt"]
    assert "only pain.002.001.10 and camt.053.001.08 are read" in said["order.xml.txt"]
    assert said["unheard.xml.txt"] == "unheard.xml:2: TxInfAndSts/TxSts: status ABCD is not known\n"
    assert list(bank.inbox.glob("*.xml")) == []


@pytest.mark.parametrize("what", ["unreadable", "not to be moved", "taken by another meanwhile"])
def test_a_file_that_cannot_be_taken_keeps_no_other_waiting(
    bank: FileBank, what: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bank.send([payment("pay_1")], NOON)
    (order,) = orders(bank)
    good = iso20022.write_statuses("st_1", order.message, NOON, [("pay_1", Outcome("booked", NOON))])
    if what == "unreadable":
        (bank.inbox / "a.xml").mkdir()  # it cannot be read, not even by root
    elif what == "not to be moved":
        answer(bank, "a.xml", good)
        (bank.inbox / "done" / "a.xml").mkdir()
    else:
        answer(bank, "a.xml", good)
        message_in = iso20022.message_in

        def gone(content: bytes, name: str) -> str:
            (bank.inbox / "a.xml").unlink(missing_ok=True)
            return message_in(content, name)

        monkeypatch.setattr(iso20022, "message_in", gone)
    answer(bank, "b.xml", good)
    assert bank.ask(order.instructions, NOON) == [Outcome("booked", NOON)]
    assert [file.name for file in (bank.inbox / "done").iterdir() if file.is_file()] == ["b.xml"]
    assert ("a.xml" in caplog.text) == (what != "taken by another meanwhile")


def test_a_whole_file_refused_refuses_each_of_its_payments(bank: FileBank) -> None:
    bank.send([payment("pay_1"), payment("pay_2")], NOON)
    (order,) = orders(bank)
    whole = iso20022.write_statuses("st_1", order.message, NOON, []).replace(
        b"</OrgnlMsgNmId>", b"</OrgnlMsgNmId><GrpSts>RJCT</GrpSts>"
    )
    answer(bank, "a.xml", whole)
    assert [o.kind for o in bank.ask(order.instructions, NOON)] == ["refused", "refused"]


def test_a_payout_by_file_is_paid_when_the_statement_says_so(bank: FileBank, tmp_path: Path, time: Time) -> None:
    node = insurer(tmp_path, bank, time)
    node.told(determination("a", "2381.85"))
    assert node.states() == {"det_a/1": "unconfirmed"}
    node.wait(3600, steps=3)
    assert len(orders(bank)) == 1
    lines = [StatementEntry("E1", "payment", KEY, fen_of("-2381.85"), DAY)]
    answer(bank, "s.xml", iso20022.write_statement("s1", US, NOON, DAY, DAY, fen_of("9000.00"), lines))
    node.wait(60)
    assert node.states() == {"det_a/1": "paid"}
    with node.database.reading() as tx:
        assert reconcile(tx, bank.statement(DAY, DAY)).difference_fen == 0


def test_settlement_by_book_entry_books_at_once_and_once(tmp_path: Path, time: Time) -> None:
    database = Database(place(tmp_path / "node.sqlite"))
    book = BookBank(database)
    node = house(tmp_path / "node.sqlite", {"main": book}, time=time)
    node.told(determination("a", "2381.85"), determination("b", "10.00"))
    assert node.states() == {"det_a/1": "paid", "det_b/1": "paid"}
    assert book.ask([payment("pay_9")], NOON) == [Outcome("unknown")]
    assert book.send([payment(KEY)], NOON) == [Outcome("conflict")]
    entries = book.statement(DAY, DAY)
    assert sum(entry.amount for entry in entries) == fen_of("-2391.85")
    with database.reading() as tx:
        assert reconcile(tx, entries).items == ()
