"""The sandbox bank as seen through its HTTP face, and payouts sent to it whatever goes wrong."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import httpx
import pytest

from payments.given_payments import (
    NOON,
    Account,
    Accounts,
    House,
    RunningBank,
    Time,
    determination,
    house,
    running_bank,
)
from payments.schema import faults
from safeweave import payments
from safeweave.errors import Unavailable
from safeweave.events import PayoutOrdered
from safeweave.ids import DeterminationId, PayoutId
from safeweave.money import fen_of
from safeweave.payments import BankDesk, iso20022, store
from safeweave.payments.bank import Instruction, Outcome
from safeweave.payments.banks.sandbox import SandboxBank
from safeweave.payments.payout import payout_id
from safeweave.payments.reconcile import reconcile
from waiting import PATIENCE, until

DAY = date(2026, 3, 6)
KEY = payout_id(DeterminationId("det_a"))


@pytest.fixture(scope="module")
def server() -> Iterator[RunningBank]:
    with running_bank(Time()) as bank:
        yield bank


@pytest.fixture
def bank(server: RunningBank, store: str, tmp_path: Path) -> RunningBank:
    server.time.at = NOON
    server.open(tmp_path / "bank.sqlite")
    return server


@pytest.fixture
def client(bank: RunningBank) -> Iterator[SandboxBank]:
    sandbox = SandboxBank(bank.url, seconds=PATIENCE)
    yield sandbox
    sandbox.close()


def insurer(bank: RunningBank, client: SandboxBank, tmp_path: Path, accounts: Accounts | None = None) -> House:
    return house(tmp_path / "node.sqlite", {"main": client}, accounts, bank.time)


def difference(node: House, client: SandboxBank) -> int:
    with node.database.reading() as tx:
        return reconcile(tx, client.statement(date(2026, 3, 1), date(2026, 3, 31))).difference_fen


def payment(key: str = "pay_1", amount: str = "10.00", **changes: str) -> Instruction:
    rest = {"name": "测试甲", "account": "6222020000000000018", "bank_code": "102332000018", "purpose": "医疗保险金"}
    return Instruction(key, fen_of(amount), **{**rest, **changes})


# ---------------------------------------------------------------- the bank alone


def test_a_payment_sent_twice_is_booked_once_and_answered_the_same(client: SandboxBank, bank: RunningBank) -> None:
    first = client.send([payment()], NOON)
    bank.time.pass_(60)
    assert client.send([payment()], bank.time()) == first == [Outcome("booked", NOON)]
    assert bank.books.balance(NOON)["paid_fen"] == 1000


def test_a_key_never_carries_other_content(client: SandboxBank, bank: RunningBank) -> None:
    client.send([payment()], NOON)
    assert client.send([payment(amount="10.01")], NOON) == [Outcome("conflict", reason="AM05")]
    assert [o.kind for o in client.send([payment(name="测试乙"), payment("pay_2")], NOON)] == ["conflict", "booked"]
    assert client.ask([payment(amount="10.01")], NOON) == [Outcome("conflict")]
    alone = httpx.post(f"{bank.url}/payments", json={"payments": [{**_json(payment()), "amount_fen": 1}]})
    assert alone.status_code == 409


def test_the_bank_compares_names_and_knows_closed_accounts(client: SandboxBank, bank: RunningBank) -> None:
    for account in (
        {"account": "6222020000000000018", "name": "𠮷 甲"},
        {"account": "6222020000000000026", "name": "测试乙", "closed": True},
    ):
        assert httpx.post(f"{bank.url}/accounts", json=account).status_code == 201
    outcomes = client.send(
        [
            payment("right", name="𠮷甲"),
            payment("wrong", name="吉甲"),
            payment("closed", name="测试乙", account="6222020000000000026"),
            payment("elsewhere", name="测试丙", account="6222020000000000034"),
        ],
        NOON,
    )
    assert [(o.kind, o.reason) for o in outcomes] == [
        ("booked", ""),
        ("refused", "BE01"),
        ("refused", "AC04"),
        ("booked", ""),
    ]


def test_an_account_is_never_overdrawn(client: SandboxBank, bank: RunningBank) -> None:
    assert client.send([payment(amount="1000000.01")], NOON) == [Outcome("refused", reason="AM04")]
    assert bank.books.balance(NOON)["balance_fen"] == fen_of("1000000.00")


def test_what_cannot_be_read_books_nothing(bank: RunningBank) -> None:
    for body in (
        "{}",
        "[]",
        "not json",
        '{"payments": [{"key": "a"}]}',
        '{"payments": [{"key": "a", "amount_fen": 1.5, "name": "n", "account": "1"}]}',
        '{"payments": [{"key": "a", "amount_fen": -1, "name": "n", "account": "1"}]}',
    ):
        assert httpx.post(f"{bank.url}/payments", content=body).status_code == 400
    twice = {"payments": [_json(payment()), _json(payment())]}
    assert httpx.post(f"{bank.url}/payments", json=twice).status_code == 400
    assert httpx.post(f"{bank.url}/faults", json={"kind": "unheard_of"}).status_code == 400
    assert bank.books.balance(NOON)["paid_fen"] == 0


def test_the_same_payments_travel_as_files_that_keep_the_schema(bank: RunningBank, client: SandboxBank) -> None:
    us = iso20022.Debtor("示例保险股份有限公司", "3310010000000000001", "102332000001")
    bank.fails("refused", "pay_2", reason="BE01")
    order = iso20022.write_order("msg_1", [payment("pay_1"), payment("pay_2")], us, NOON, DAY)
    answer = httpx.post(f"{bank.url}/payments", content=order, headers={"content-type": "application/xml"})
    assert faults(answer.content) == []
    statuses = iso20022.read_statuses(answer.content)
    assert [(key, o.kind, o.reason) for key, o in statuses.outcomes] == [
        ("pay_1", "booked", ""),
        ("pay_2", "refused", "BE01"),
    ]
    headers = {"accept": "application/xml"}
    statement = httpx.get(f"{bank.url}/statement", params={"day": "2026-03-06"}, headers=headers).content
    assert faults(statement) == []
    assert list(iso20022.read_statement(statement)[0].entries) == client.statement(DAY, DAY)


def test_each_question_has_its_door(bank: RunningBank, client: SandboxBank) -> None:
    client.send([payment()], NOON)
    assert httpx.get(f"{bank.url}/payments/pay_1").json()["status"] == "booked"
    assert httpx.get(f"{bank.url}/payments/nobody").status_code == 404
    assert httpx.get(f"{bank.url}/health").json() == {"status": "ok"}
    assert httpx.get(f"{bank.url}/balance").json()["balance_fen"] == fen_of("999990.00")
    assert httpx.get(f"{bank.url}/statement").status_code == 400
    json = httpx.get(f"{bank.url}/statement", params={"day": "2026-03-06"}).json()
    assert (json["opening_fen"], json["closing_fen"]) == (fen_of("1000000.00"), fen_of("999990.00"))


def test_a_fault_with_a_share_hits_the_same_keys_for_the_same_seed(bank: RunningBank, client: SandboxBank) -> None:
    def refused(seed: int, prefix: str) -> list[int]:
        httpx.delete(f"{bank.url}/faults")
        httpx.post(f"{bank.url}/faults", json={"kind": "refused", "share": 0.3, "seed": seed})
        outcomes = client.send([payment(f"{prefix}{no}") for no in range(100)], NOON)
        return [no for no, outcome in enumerate(outcomes) if outcome.kind == "refused"]

    first = refused(7, "a")
    assert 15 <= len(first) <= 45
    bank.open(Path(bank.books._connection.execute("pragma database_list").fetchone()[2]).with_name("second.sqlite"))
    assert refused(7, "a") == first
    assert refused(8, "b") != first


# ---------------------------------------------------------------- payouts through it


def test_a_payout_is_paid_to_the_account_that_coverage_names(
    bank: RunningBank, client: SandboxBank, tmp_path: Path
) -> None:
    node = insurer(bank, client, tmp_path)
    node.told(determination("a", "2381.85"))
    assert node.states() == {"det_a/1": "paid"}
    assert node.balances() == {"claims_incurred": 238185, "bank": -238185}
    (held,) = bank.books.results([KEY], NOON)
    assert (held["amount_fen"], held["name"], held["account"]) == (238185, "测试甲", "6222020000000000018")
    assert difference(node, client) == 0


def test_a_silent_bank_that_booked_is_asked_and_not_paid_again(
    bank: RunningBank, client: SandboxBank, tmp_path: Path
) -> None:
    bank.fails("silent", KEY)
    node = insurer(bank, client, tmp_path)
    node.told(determination("a"))
    assert node.states() == {"det_a/1": "paid"}
    assert bank.books.balance(NOON)["paid_fen"] == 238185
    with node.database.reading() as tx:
        assert store.payouts(tx, [KEY])[KEY].asked == 1


def test_a_bank_that_never_saw_a_payment_gets_it_again_under_the_same_key(
    bank: RunningBank, client: SandboxBank, tmp_path: Path
) -> None:
    bank.fails("silent_before", KEY, times=3)
    node = insurer(bank, client, tmp_path)
    node.told(determination("a"))
    assert node.states() == {"det_a/1": "unconfirmed"}
    assert node.balances() == {"claims_incurred": 238185, "bank_in_transit": -238185}
    node.wait(3600, steps=3)
    assert node.states() == {"det_a/1": "paid"}
    assert node.balances() == {"claims_incurred": 238185, "bank": -238185}
    assert difference(node, client) == 0


def test_a_slow_bank_counts_as_silent_and_is_asked(bank: RunningBank, tmp_path: Path) -> None:
    bank.fails("slow", KEY, ms=3000)
    hasty = SandboxBank(bank.url, seconds=1.0)
    node = insurer(bank, hasty, tmp_path)
    node.told(determination("a"))

    def is_paid() -> bool:
        node.wait(3600)
        return node.states() == {"det_a/1": "paid"}

    until(is_paid)  # on a busy machine the first questions may find no answer in time either
    with node.database.reading() as tx:
        assert store.payouts(tx, [KEY])[KEY].asked >= 1
    assert bank.books.balance(NOON)["paid_fen"] == 238185
    hasty.close()


def test_a_payment_taken_now_and_booked_later_is_confirmed_when_it_is_booked(
    bank: RunningBank, client: SandboxBank, tmp_path: Path
) -> None:
    bank.fails("booked_later", KEY, ms=60_000)
    node = insurer(bank, client, tmp_path)
    node.told(determination("a"))
    assert node.states() == {"det_a/1": "unconfirmed"}
    node.wait(30)
    assert node.states() == {"det_a/1": "unconfirmed"}
    node.wait(60)
    assert node.states() == {"det_a/1": "paid"}


def test_a_refused_payment_waits_for_a_person_who_corrects_the_account(
    bank: RunningBank, client: SandboxBank, tmp_path: Path
) -> None:
    bank.books.open_account("6222020000000000018", "测试乙", closed=False)
    accounts = Accounts()
    node = insurer(bank, client, tmp_path, accounts)
    node.told(determination("a"))
    assert node.states() == {"det_a/1": "refused"}
    with node.database.reading() as tx:
        (open_,) = payments.unsettled(tx, 10)
    assert (open_.state, open_.reason) == ("refused", "BE01")

    accounts.everyone = Account(account="6222020000000000026")
    with node.database.transaction() as tx:
        (again,) = payments.pay_again(tx, PayoutId(KEY), NOON)
    node.told(again)
    assert node.states() == {"det_a/1": "refused", "det_a/2": "paid"}
    assert bank.books.balance(NOON)["paid_fen"] == 238185
    assert node.balances() == {"claims_incurred": 238185, "bank": -238185}


def test_a_payment_that_comes_back_is_open_again_once_however_often_the_bank_says_so(
    bank: RunningBank, client: SandboxBank, tmp_path: Path
) -> None:
    bank.fails("returned_later", KEY, ms=86_400_000, reason="AC04")
    bank.fails("duplicate_notice", KEY, times=9)
    node = insurer(bank, client, tmp_path)
    node.told(determination("a"))
    assert node.states() == {"det_a/1": "paid"}
    node.wait(86_400, steps=2)
    assert node.states() == {"det_a/1": "returned"}
    assert node.balances() == {"claims_incurred": 238185, "claims_payable": -238185}
    assert bank.books.balance(node.time())["balance_fen"] == fen_of("1000000.00")
    assert difference(node, client) == 0


def test_a_payout_without_an_account_waits_in_sight_until_there_is_one(
    bank: RunningBank, client: SandboxBank, tmp_path: Path
) -> None:
    accounts = Accounts(everyone=None)
    node = insurer(bank, client, tmp_path, accounts)
    node.told(determination("a"))
    assert node.states() == {"det_a/1": "waiting"}
    with node.database.reading() as tx:
        assert payments.unsettled(tx, 10)[0].reason == "account_missing"
        assert node.desk.release_waiting(tx, NOON) == []

    accounts.everyone = Account()
    with node.database.transaction() as tx:
        released = node.desk.release_waiting(tx, NOON)
    assert released == [PayoutOrdered(KEY, determination("a").case, fen_of("2381.85"))]
    node.told(*released)
    assert node.states() == {"det_a/1": "paid"}


def test_of_payouts_whose_accounts_come_together_each_look_releases_some_until_all_are_sent(
    bank: RunningBank, client: SandboxBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("safeweave.payments.desk.MOST_RELEASED", 2)
    accounts = Accounts(everyone=None)
    node = insurer(bank, client, tmp_path, accounts)
    node.told(*map(determination, "abcde"))
    accounts.everyone = Account()
    looks = []
    while "waiting" in node.states().values():
        with node.database.transaction() as tx:
            released = node.desk.release_waiting(tx, NOON)
        looks.append(len(released))
        node.told(*released)
    assert (looks, set(node.states().values())) == ([2, 2, 1], {"paid"})


def test_an_estate_is_never_paid_into_the_account_of_the_dead(
    bank: RunningBank, client: SandboxBank, tmp_path: Path
) -> None:
    class OnlyTheInsured(Accounts):
        def __call__(self, tx: object, keys: object) -> dict[tuple[str, str, str], Account]:  # type: ignore[override]
            return {key: Account(role="insured") for key in keys}  # type: ignore[attr-defined]

    node = insurer(bank, client, tmp_path, OnlyTheInsured())
    node.told(determination("a", payee="estate"))
    assert node.states() == {"det_a/1": "waiting"}
    node.desk.payees = Accounts(Account(role="estate", name="遗产管理人", account="6222020000000000034"))
    node.told(PayoutOrdered(KEY, determination("a").case, fen_of("2381.85")))
    assert node.states() == {"det_a/1": "paid"}
    assert bank.books.results([KEY], NOON)[0]["account"] == "6222020000000000034"


def test_an_account_that_changes_while_the_bank_is_silent_does_not_change_what_was_sent(
    bank: RunningBank, client: SandboxBank, tmp_path: Path
) -> None:
    bank.fails("silent_before", KEY, times=2)
    accounts = Accounts()
    node = insurer(bank, client, tmp_path, accounts)
    node.told(determination("a"))
    accounts.everyone = replace(Account(), account="6222020000000000042")
    node.told(PayoutOrdered(KEY, determination("a").case, fen_of("2381.85")))
    node.wait(3600)
    assert node.states() == {"det_a/1": "paid"}
    assert bank.books.results([KEY], NOON)[0]["account"] == "6222020000000000018"


def test_a_bank_out_of_reach_is_called_again_and_another_one_is_not_kept_waiting(
    bank: RunningBank, client: SandboxBank, tmp_path: Path
) -> None:
    nobody = SandboxBank("http://127.0.0.1:9", seconds=1)
    with pytest.raises(Unavailable):
        nobody.send([payment()], NOON)
    node = house(tmp_path / "node.sqlite", {"main": client, "far": nobody}, time=bank.time)
    node.told(determination("a"), determination("b", bank="far"), determination("c", bank="unheard_of"))
    assert node.states() == {"det_a/1": "paid", "det_b/1": "ordered", "det_c/1": "waiting"}
    node.desk.banks = {**node.desk.banks, "far": client}
    node.wait(3600)
    assert node.states()["det_b/1"] == "paid"
    nobody.close()


def test_a_key_the_bank_holds_with_other_content_settles_nothing(
    bank: RunningBank, client: SandboxBank, tmp_path: Path
) -> None:
    client.send([payment(KEY, "1.00")], NOON)
    node = insurer(bank, client, tmp_path)
    node.told(determination("a"), determination("b"))
    node.wait(3600, steps=3)
    assert node.states() == {"det_a/1": "unconfirmed", "det_b/1": "paid"}
    assert bank.books.balance(NOON)["paid_fen"] == 100 + 238185


# ---------------------------------------------------------------- the process


def test_a_killed_bank_comes_back_as_it_was_last_told(tmp_path: Path) -> None:
    def start() -> tuple[subprocess.Popen[str], SandboxBank]:
        command = [
            sys.executable,
            "-m",
            "safeweave_simulator.bank",
            "--data",
            str(tmp_path / "bank.sqlite"),
            "--seed",
            "7",
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        return process, SandboxBank(process.stdout.readline().strip(), seconds=PATIENCE)

    process, client = start()
    try:
        first = client.send([payment("pay_1"), payment("pay_2", "5.00")], NOON)
        assert [outcome.kind for outcome in first] == ["booked", "booked"]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        with pytest.raises(Unavailable):
            client.send([payment("pay_1")], NOON)
        client.close()
        process, client = start()
        assert client.send([payment("pay_1"), payment("pay_2", "5.00")], NOON) == first
        assert [e.amount for e in client.statement(date(2020, 1, 1), date(2100, 1, 1))] == [-1000, -500]
    finally:
        client.close()
        process.kill()
        process.wait()


def test_the_desk_speaks_to_nobody_about_nothing() -> None:
    desk = BankDesk({}, Accounts())
    assert desk.send([None], NOON) == []
    assert desk.ask([], NOON) == []


def _json(instruction: Instruction) -> dict[str, object]:
    return {
        "key": instruction.key, "amount_fen": instruction.amount, "name": instruction.name,
        "account": instruction.account, "bank_code": instruction.bank_code, "purpose": instruction.purpose,
    }  # fmt: skip
