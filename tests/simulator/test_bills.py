"""Bills and settlements, as they stand on the wire, obey the laws of the national interface and of the e-bill."""

import json
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeweave.clock import SHANGHAI
from safeweave_simulator.bills import ITEMS, line_of, refund_of, settle
from safeweave_simulator.city import City
from safeweave_simulator.hospital import make_hospitals
from safeweave_simulator.patients import make_person

TODAY = date(2026, 11, 25)
AT = datetime(2026, 11, 3, 9, 30, tzinfo=SHANGHAI)

HOSPITALS = make_hospitals(1, 6)
ENROLLED = [
    person
    for person in (
        make_person(1, no, insured=False, first=date(2026, 10, 20), last=date(2026, 11, 24)) for no in range(200)
    )
    if person.social
]

items = st.sampled_from(sorted(ITEMS))
counts = st.integers(1, 400_000)


@given(items, counts)
def test_a_lines_four_parts_sum_to_its_amount_and_none_is_negative(code, count):
    line = line_of(1, ITEMS[code], AT, count)
    assert line.own + line.over + line.first + line.within == line.amount
    assert min(line.own, line.over, line.first, line.within) >= 0


@given(items, counts, st.data())
def test_a_line_net_of_its_credit_is_the_line_of_what_is_left(code, count, data):
    line = line_of(1, ITEMS[code], AT, count)
    back = data.draw(st.integers(1, count))
    credit = refund_of(line, 2, AT, back)
    rest = line_of(1, ITEMS[code], AT, count - back)
    for part in ("amount", "own", "over", "first", "within"):
        assert getattr(line, part) + getattr(credit, part) == getattr(rest, part) >= 0
    assert credit.own + credit.over + credit.first + credit.within == credit.amount


@given(
    st.lists(st.tuples(items, counts), min_size=1, max_size=30),
    st.sampled_from(ENROLLED),
    st.sampled_from(HOSPITALS),
    st.sampled_from(["inpatient", "outpatient"]),
    st.booleans(),
)
def test_a_settlement_is_exact_whatever_the_lines(drawn, person, hospital, kind, aided):
    lines = [line_of(no, ITEMS[code], AT, count) for no, (code, count) in enumerate(drawn, 1)]
    settled = settle(lines, person, hospital, kind, aided=aided)
    assert settled.total == sum(line.amount for line in lines)
    assert settled.total == settled.own + settled.over + settled.first + settled.within
    assert settled.total == settled.fund_total + settled.account + settled.cash
    assert settled.total == settled.hifp + settled.other + settled.self_pay + settled.self_cost
    assert settled.self_pay >= settled.first + settled.threshold - settled.maf
    assert 0 <= settled.fund_total <= settled.within
    assert min(settled.hifp, settled.other, settled.account, settled.cash, settled.self_pay) >= 0


# ---------------------------------------------------------------- on the wire


@pytest.fixture(scope="module")
def streamed() -> list[Any]:
    city = City(5, 5, 900, today=TODAY, delivery={"duplicate": 0.0, "reordered": 0.0, "late": 0.0})
    messages = [message for message in city.stream(700) if "garbled" not in message.what]
    return [(message, city.truth[message.stay].turn) for message in messages]


def settlements(streamed: list[Any]) -> Iterator[dict[str, Any]]:
    for message, _ in streamed:
        if message.what == "settled":
            yield json.loads(message.body, parse_float=Decimal)["input"]


def amounts(row: dict[str, Any], *names: str) -> Decimal:
    return sum((row[name] for name in names), Decimal(0))


FOUR = ("fulamt_ownpay_amt", "overlmt_amt", "preselfpay_amt", "inscp_scp_amt")
FUNDS = ("hifp_pay", "cvlserv_pay", "hifes_pay", "hifmi_pay", "hifob_pay", "maf_pay", "oth_pay")


def test_settlements_on_the_wire_obey_l1_and_s1_to_s5(streamed):
    count = 0
    for settlement in settlements(streamed):
        head, lines = settlement["setlinfo"], settlement["feedetail"]
        for line in lines:
            assert line["det_item_fee_sumamt"] == amounts(line, *FOUR)
        assert head["medfee_sumamt"] == sum(line["det_item_fee_sumamt"] for line in lines)
        totals = ("fulamt_ownpay_amt", "overlmt_selfpay", "preselfpay_amt", "inscp_scp_amt")
        assert head["medfee_sumamt"] == amounts(head, *totals)
        for total, part in zip(totals, FOUR, strict=True):
            assert head[total] == sum(line[part] for line in lines)
        assert head["fund_pay_sumamt"] == amounts(head, *FUNDS)
        assert head["fund_pay_sumamt"] == sum((row["fund_payamt"] for row in settlement["setldetail"]), Decimal(0))
        assert head["medfee_sumamt"] == amounts(head, "fund_pay_sumamt", "psn_part_amt")
        assert head["psn_part_amt"] == amounts(head, "acct_pay", "psn_cash_pay")
        count += 1
    assert count > 300


def test_e_bills_on_the_wire_obey_i1_i2_i3_and_i4(streamed):
    count = 0
    for message, turn in streamed:
        if message.door != "ebill" or message.what != "billed":
            continue
        bill = ElementTree.fromstring(message.body)
        texts = {element.tag: Decimal(element.text or "0") for element in bill.iter() if element.tag.endswith("Amount")}
        total = texts["TotalAmount"]
        items = sum(Decimal(item.findtext("ItemAmount") or "") for item in bill.iter("Item"))
        if turn == "total_off":
            assert abs(total - items) == Decimal("0.01")
            continue
        assert total == items
        assert total == sum(
            texts[name] for name in ("FundPayAmount", "OtherPayAmount", "AccountPayAmount", "OwnPayAmount")
        )
        self_borne = texts["SelfpaymentAmount"] + Decimal(bill.findtext(".//SelfpaymentCost") or "")
        assert total == texts["FundPayAmount"] + texts["OtherPayAmount"] + self_borne
        if bill.find(".//PrepayAmount") is not None:
            assert texts["PrepayAmount"] + texts["RechargeAmount"] - texts["RefundAmount"] == texts["OwnPayAmount"]
        listed = [Decimal(item.findtext("AuxItemAmount") or "") for item in bill.iter("AuxItem")]
        assert not listed or sum(listed) == total
        count += 1
    assert count > 300


def test_an_e_bill_agrees_with_the_settlement_that_names_it(streamed):
    settled = {
        f"{head['bill_code']}-{head['bill_no']}": head for head in (each["setlinfo"] for each in settlements(streamed))
    }
    count = 0
    for message, turn in streamed:
        if message.door == "ebill" and message.what == "billed" and message.id in settled and turn != "total_off":
            bill, head = ElementTree.fromstring(message.body), settled[message.id]
            figure = lambda name, bill=bill: Decimal(bill.findtext(f".//{name}") or "")  # noqa: E731
            assert figure("TotalAmount") == head["medfee_sumamt"]
            assert figure("FundPayAmount") == head["hifp_pay"]
            assert figure("OtherPayAmount") == head["fund_pay_sumamt"] - head["hifp_pay"]
            assert figure("AccountPayAmount") == head["acct_pay"]
            assert figure("OwnPayAmount") == head["psn_cash_pay"]
            assert figure("SelfpaymentCost") == head["fulamt_ownpay_amt"] + head["overlmt_selfpay"]
            count += 1
    assert count > 200
