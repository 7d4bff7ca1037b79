"""Bank files: what is written keeps the schema, what is read is understood whole or refused with its place."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payments.schema import faults
from safeweave.errors import Malformed
from safeweave.money import Fen, fen_of
from safeweave.payments.bank import Instruction, Outcome, StatementEntry, account_fault, account_shown
from safeweave.payments.iso20022 import (
    Debtor,
    message_in,
    read_order,
    read_statement,
    read_statuses,
    write_order,
    write_statement,
    write_statuses,
)

US = Debtor("示例保险股份有限公司", "3310010000000000001", "102332000001")
AT = datetime(2026, 3, 6, 7, 26, 40, 123000, tzinfo=UTC)
DAY = date(2026, 3, 6)


def payment(key: str = "pay_0123456789abcdef", yuan: str = "2381.85", **changes: object) -> Instruction:
    given_ = {"name": "测试甲", "account": "6222020000000000018", "bank_code": "102332000018", "purpose": "医疗保险金"}
    return Instruction(key=key, amount=fen_of(yuan), **{**given_, **changes})  # type: ignore[arg-type]


def test_an_order_keeps_the_schema_and_reads_back_as_it_was_sent() -> None:
    sent = [payment("pay_1"), payment("pay_2", "0.01", bank_code=""), payment("pay_3", "999999999999.99")]
    content = write_order("msg_1", sent, US, AT, DAY)
    assert faults(content) == []
    read = read_order(content)
    assert (read.message, read.debtor, list(read.instructions)) == ("msg_1", US, sent)
    assert b"<EndToEndId>pay_1</EndToEndId>" in content
    assert b"<CreDtTm>2026-03-06T15:26:40.123+08:00</CreDtTm>" in content
    assert b'<InstdAmt Ccy="CNY">2381.85</InstdAmt>' in content
    assert b"<ClrSysId><Cd>CNAPS</Cd></ClrSysId><MmbId>102332000018</MmbId>" in content
    assert message_in(content) == "pain.001.001.09"


@pytest.mark.parametrize("name", ["𠮷野家", "㐱䶮", "欧阳·阿卜杜拉", "O'Neil & <Söhne>", "王" * 140])
def test_rare_characters_and_long_names_arrive_as_they_are(name: str) -> None:
    content = write_order("msg_1", [payment(name=name)], US, AT, DAY)
    assert faults(content) == []
    assert read_order(content).instructions[0].name == name


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "王" * 141}, "name_malformed"),
        ({"name": "张\x07三"}, "name_malformed"),
        ({"name": "张\n三"}, "name_malformed"),
        ({"name": " "}, "name_malformed"),
        ({"account": ""}, "account_missing"),
        ({"account": "6222 0200"}, "account_malformed"),
        ({"account": "6" * 35}, "account_malformed"),
        ({"bank_code": "10233200001"}, "bank_code_malformed"),
        ({"purpose": ""}, "purpose"),
        ({"key": "k" * 36}, "36 characters"),
        ({"yuan": "0.00"}, "above zero"),
    ],
)
def test_what_a_bank_cannot_carry_unchanged_is_not_written(changes: dict[str, str], words: str) -> None:
    with pytest.raises(Malformed, match=words) as refused:
        write_order("msg_1", [payment(**changes)], US, AT, DAY)  # type: ignore[arg-type]
    assert refused.value.field.startswith("payment[1]")


def test_accounts_are_judged_by_form_alone_and_shown_by_their_ends() -> None:
    assert account_fault("测试甲", "6222020000000000017", "102332000018") == ""  # fails Luhn, which is no fault
    assert account_fault("测试公司", "1202-0212-0990-0001", "") == ""
    assert account_shown("6222020000000000018") == "622202*********0018"
    assert account_shown("12345678") == "********"


def test_a_file_whose_sum_or_count_does_not_fit_is_refused_with_its_place() -> None:
    content = write_order("msg_1", [payment()], US, AT, DAY)
    with pytest.raises(Malformed, match=r"order\.xml:2: GrpHdr/CtrlSum: says 2381\.86, the payments sum to 2381\.85"):
        read_order(content.replace(b"<CtrlSum>2381.85", b"<CtrlSum>2381.86", 1), "order.xml")
    with pytest.raises(Malformed, match="says 2, the file holds 1"):
        read_order(content.replace(b"<NbOfTxs>1", b"<NbOfTxs>2", 1))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not xml",
        b"<Document/>",
        b'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.03"><CstmrCdtTrfInitn/></Document>',
        b'<!DOCTYPE d [<!ENTITY e SYSTEM "file:///etc/hostname">]>'
        b'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.09">&e;</Document>',
    ],
)
def test_what_is_no_order_is_refused(content: bytes) -> None:
    with pytest.raises(Malformed):
        read_order(content)


@pytest.mark.parametrize(("text", "fen"), [("1", 100), ("1.5", 150), ("1.50", 150), ("0.01000", 1)])
def test_amounts_are_read_as_the_standard_writes_them(text: str, fen: int) -> None:
    content = write_order("msg_1", [payment(yuan="1.00")], US, AT, DAY).replace(b">1.00<", f">{text}<".encode())
    assert read_order(content).instructions[0].amount == fen


@pytest.mark.parametrize("text", ["1.005", "-1.00", "1e2", "", "NaN", "1,00", "1000000000000000.00"])
def test_an_amount_that_is_not_in_whole_fen_is_refused(text: str) -> None:
    content = write_order("msg_1", [payment(yuan="1.00")], US, AT, DAY).replace(b">1.00<", f">{text}<".encode())
    with pytest.raises(Malformed):
        read_order(content)


def test_another_currency_is_refused() -> None:
    content = write_order("msg_1", [payment()], US, AT, DAY).replace(b'Ccy="CNY"', b'Ccy="USD"')
    with pytest.raises(Malformed, match="currency USD"):
        read_order(content)


def test_statuses_keep_the_schema_and_say_what_became_of_each() -> None:
    outcomes = [
        ("pay_1", Outcome("booked", AT)),
        ("pay_2", Outcome("pending")),
        ("pay_3", Outcome("refused", reason="AC04")),
        ("pay_4", Outcome("conflict", reason="AM05")),
    ]
    content = write_statuses("st_1", "msg_1", AT, outcomes)
    assert faults(content) == []
    read = read_statuses(content)
    assert read.original == "msg_1"
    assert read.outcomes == tuple(outcomes)


def test_a_whole_file_refused_is_read_as_an_answer_to_all() -> None:
    content = write_statuses("st_1", "msg_1", AT, []).replace(
        b"</OrgnlMsgNmId>", b"</OrgnlMsgNmId><GrpSts>RJCT</GrpSts>"
    )
    assert read_statuses(content).answer_to_all == Outcome("refused", reason="NARR")


def test_a_status_that_is_not_known_is_not_guessed() -> None:
    content = write_statuses("st_1", "msg_1", AT, [("pay_1", Outcome("pending"))]).replace(b"ACSP", b"XXXX")
    with pytest.raises(Malformed, match="status XXXX is not known"):
        read_statuses(content)


def test_a_statement_keeps_the_schema_and_reads_back_line_by_line() -> None:
    entries = [
        StatementEntry("E1", "payment", "pay_1", fen_of("-2381.85"), DAY),
        StatementEntry("E2", "return", "pay_1", fen_of("2381.85"), DAY, "AC04"),
        StatementEntry("E3", "receipt", "", fen_of("50.00"), DAY),
        StatementEntry("E4", "other", "", fen_of("-1.00"), DAY),
    ]
    content = write_statement("stmt_1", US, AT, DAY, DAY, fen_of("10000.00"), entries)
    assert faults(content) == []
    (read,) = read_statement(content)
    assert (read.account, read.opening, read.closing) == (US.account, 1000000, 1004900)
    assert list(read.entries) == entries


def test_an_overdrawn_account_is_read_as_negative() -> None:
    content = write_statement("s", US, AT, DAY, DAY, fen_of("-5.00"), [])
    assert faults(content) == []
    assert read_statement(content)[0].opening == -500


def test_a_statement_that_does_not_add_up_is_refused() -> None:
    entries = [StatementEntry("E1", "payment", "pay_1", fen_of("-10.00"), DAY)]
    content = write_statement("s", US, AT, DAY, DAY, fen_of("100.00"), entries)
    with pytest.raises(Malformed, match=r"sum to 90\.00, the closing balance is 91\.00"):
        read_statement(content.replace(b">90.00<", b">91.00<"))


def test_a_line_booked_for_several_payments_is_read_as_several() -> None:
    entries = [StatementEntry("E1", "payment", "pay_1", fen_of("-10.00"), DAY)]
    details = b"".join(
        b'<TxDtls><Refs><EndToEndId>%s</EndToEndId></Refs><Amt Ccy="CNY">%s</Amt><CdtDbtInd>DBIT</CdtDbtInd></TxDtls>'
        % pair
        for pair in ((b"pay_1", b"4.00"), (b"pay_2", b"6.00"))
    )
    one = b"<TxDtls><Refs><EndToEndId>pay_1</EndToEndId></Refs></TxDtls>"
    content = write_statement("s", US, AT, DAY, DAY, fen_of("100.00"), entries).replace(one, details)
    assert faults(content) == []
    (read,) = read_statement(content)
    assert [(e.id, e.key, e.amount) for e in read.entries] == [("E1/1", "pay_1", -400), ("E1/2", "pay_2", -600)]
    with pytest.raises(Malformed, match="do not sum to its amount"):
        read_statement(content.replace(b">6.00<", b">6.01<"))


NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), min_size=1, max_size=140
)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(1, 10**14 - 1), NAMES.filter(lambda n: n == n.strip() and n)), min_size=1, max_size=5
    )
)
def test_any_sendable_order_keeps_the_schema_and_its_content(payments: list[tuple[int, str]]) -> None:
    sent = [
        Instruction(f"pay_{no}", Fen(amount), name, "6222020000000000018", "", "医疗保险金")
        for no, (amount, name) in enumerate(payments)
    ]
    content = write_order("msg_1", sent, US, AT, DAY)
    assert faults(content) == []
    assert list(read_order(content).instructions) == sent


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_are_read_as_a_bank_file_or_crash_the_reader(content: bytes) -> None:
    for read in (read_order, read_statuses, read_statement, message_in):
        with pytest.raises(Malformed):
            read(content)
