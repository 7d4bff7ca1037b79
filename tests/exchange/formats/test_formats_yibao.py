import json
from datetime import date

import pytest
from given_messages import EXAMPLES, at, only, refused, taken

from safeweave.events import (
    AdmissionCancelled,
    AdmissionReported,
    ChargesPosted,
    DischargeCancelled,
    Identifier,
    MessageNoted,
    OutpatientVisited,
    PatientDischarged,
    SettlementCancelled,
    SettlementReported,
    VisitUpdated,
)

LIST = json.loads(EXAMPLES["yibao"])
PERSON = {"psn_no": "3302001", "psn_name": "测试甲", "psn_cert_type": "01", "certno": "11010519491231002X", "gend": "2"}


def message(infno, content, output=None, **more):
    told = {
        "infno": infno,
        "msgid": "H33020000001202603031000000001",
        "inf_time": "2026-03-03 10:00:00",
        "fixmedins_code": "H33020000001",
        "input": content,
        **more,
    }
    return json.dumps({**told, "output": output} if output is not None else told)


def settled(**changes):
    told = json.loads(EXAMPLES["yibao"])
    told["input"]["setlinfo"] |= changes
    return told


def test_an_admission_is_told_with_the_number_of_the_reply():
    told = only(
        message(
            "2401",
            {
                "mdtrtinfo": {**PERSON, "ipt_no": "ZY1", "begntime": "2026-03-03 08:40:00", "med_type": "24"},
                "diseinfo": [{"diag_code": "N84.001", "maindiag_flag": "1"}, {"diag_code": "E11.900"}],
            },
            {"result": {"mdtrt_id": "M1"}},
        )
    )
    assert isinstance(told, AdmissionReported)
    assert (told.visit, told.admitted_at, told.emergency) == ("ZY1", at("2026-03-03T08:40:00"), True)
    assert [(d.code, d.main) for d in told.diagnoses] == [("N84.001", True), ("E11.900", False)]
    assert told.person.identifiers == (
        Identifier("resident_id", "11010519491231002X"),
        Identifier("other", "3302001", "psn_no"),
    )


def test_a_discharge_counts_days_in_intensive_care():
    told = only(
        message(
            "2402",
            {
                "dscginfo": {"mdtrt_id": "M1", "ipt_no": "ZY1", "endtime": "2026-03-06 15:05:00", "dscg_way": "2"},
                "icuinfo": [{"scs_cutd_sum_dura": "1/13/24"}, {"scs_cutd_sum_dura": "2/0/0"}],
            },
        )
    )
    assert isinstance(told, PatientDischarged)
    assert (told.discharged_at, told.disposition, told.icu_days) == (at("2026-03-06T15:05:00"), "2", 4)
    assert told.person is None


@pytest.mark.parametrize(
    ("infno", "kind"),
    [
        ("2404", AdmissionCancelled),
        ("2405", DischargeCancelled),
        ("2202", AdmissionCancelled),
        ("2403", VisitUpdated),
        ("2302", MessageNoted),
        ("1101", MessageNoted),
        ("9999X", MessageNoted),
    ],
)
def test_each_transaction_tells_its_event(infno, kind):
    reading = taken(message(infno, {"data": {"mdtrt_id": "M1", "psn_no": "1"}}))
    (told,) = reading.events
    assert type(told) is kind
    assert told.visit == "M1"
    assert told.occurred_at == at("2026-03-03T10:00:00")


def test_an_outpatient_visit_is_registered():
    told = only(
        message("2201", {"data": {**PERSON, "ipt_otp_no": "MZ1", "begntime": "2026-03-03 09:00:00", "med_type": "13"}})
    )
    assert isinstance(told, OutpatientVisited)
    assert (told.visit, told.emergency) == ("MZ1", True)


def test_fee_lines_before_settlement_are_charges():
    lines = [
        {
            "feedetl_sn": "1",
            "fee_ocur_time": "2026-03-03 09:00:00",
            "det_item_fee_sumamt": "12.50",
            "med_chrgitm_type": "09",
        },
        {
            "feedetl_sn": "2",
            "init_feedetl_sn": "1",
            "fee_ocur_time": "2026-03-03 09:30:00",
            "det_item_fee_sumamt": -12.50,
        },
    ]
    told = only(message("2301", {"feedetail": lines, "data": {"ipt_no": "ZY1"}}))
    assert isinstance(told, ChargesPosted)
    assert [(c.id, c.amount, c.reverses) for c in told.charges] == [("1", 1250, ""), ("2", -1250, "1")]


def test_a_refund_line_names_the_line_it_refunds():
    told = settled()
    refund = {**told["input"]["feedetail"][1], "feedetl_sn": "R1", "init_feedetl_sn": "CHG0002", "cnt": -1}
    refund |= {"det_item_fee_sumamt": -60, "overlmt_amt": -10, "inscp_scp_amt": -50}
    told["input"]["feedetail"].append(refund)
    event = only(json.dumps(told))
    assert isinstance(event, SettlementReported)
    last = event.lines[-1]
    assert (last.no, last.refund_of, last.amount, last.days, last.on) == (9, 2, -6000, -1, date(2026, 3, 3))
    assert last.split is not None
    assert last.split.over == -1000


def test_the_part_of_other_funds_is_what_is_not_the_pooled_fund():
    event = only(json.dumps(settled(hifp_pay="4000.00", fund_pay_sumamt="4853.50")))
    assert isinstance(event, SettlementReported)
    assert (event.fund, event.other) == (400000, 85350)


def test_a_relative_s_account_counts_if_only_so_the_parts_add_up():
    inside = only(json.dumps(settled(acct_mulaid_pay=200)))
    beside = only(json.dumps(settled(acct_mulaid_pay=200, acct_pay=300)))
    assert isinstance(inside, SettlementReported)
    assert isinstance(beside, SettlementReported)
    assert (inside.account, beside.account) == (50000, 50000)


def test_unknown_codes_are_kept_raw_and_noted():
    told = settled(dscg_way="7")
    told["input"]["feedetail"][0] |= {"chrgitm_lv": "09", "med_chrgitm_type": "99"}
    reading = taken(json.dumps(told))
    (event,) = reading.events
    assert isinstance(event, SettlementReported)
    assert (event.lines[0].catalogue_class, event.lines[0].category, event.disposition) == ("09", "99", "")
    assert set(reading.notes) == {
        'chrgitm_lv "09" is not known',
        'charge class "99" is not known',
        'dscg_way "7" is not known',
    }


def test_a_settlement_without_its_bill_is_led_by_its_visit():
    told = settled(bill_code="", bill_no="", ipt_no="")
    event = only(json.dumps(told))
    assert (event.visit, event.bill) == ("M202603030001", None)
    led = only(json.dumps(settled(ipt_no="")))
    assert led.visit == ""


def test_the_reply_of_a_settlement_wins_over_its_request():
    told = settled()
    output = {"setlinfo": {**told["input"]["setlinfo"], "setl_id": "S2"}}
    event = only(json.dumps({**told, "infno": "2304", "output": output}))
    assert isinstance(event, SettlementReported)
    assert event.settlement == "S2"
    assert len(event.lines) == 8


def test_a_failed_transaction_is_only_noted():
    reading = taken(json.dumps({**LIST, "infcode": -1}))
    assert isinstance(reading.events[0], MessageNoted)
    assert reading.notes == ("infcode -1: the transaction failed",)


@pytest.mark.parametrize("infno", ["2305", "2208"])
def test_a_settlement_is_cancelled_by_its_id(infno):
    told = only(message(infno, {"data": {"mdtrt_id": "M1", "setl_id": "S1", "ipt_no": "ZY1"}}))
    assert isinstance(told, SettlementCancelled)
    assert (told.settlement, told.visit) == ("S1", "ZY1")


def test_a_reversal_undoes_what_it_names():
    undone = only(message("2601", {"data": {"oinfno": "2304", "omsgid": "X", "setl_id": "S1"}}))
    assert isinstance(undone, SettlementCancelled)
    assert undone.settlement == "S1"
    assert isinstance(only(message("2601", {"data": {"oinfno": "2401", "ipt_no": "ZY1"}})), AdmissionCancelled)
    assert isinstance(only(message("2601", {"data": {"oinfno": "2305", "ipt_no": "ZY1"}})), MessageNoted)
    named = taken(message("2601", {"data": {"oinfno": "2207", "omsgid": "X"}}))
    assert named.events[0].settlement == "X"
    assert named.notes


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("setlinfo", "medfee_sumamt"), "x", "input.setlinfo.medfee_sumamt"),
        (("setlinfo", "hifp_pay"), None, "input.setlinfo.hifp_pay"),
        (("setlinfo", "setl_id"), "", "input.setlinfo.setl_id"),
        (("setlinfo", "setl_time"), "2026-02-30 00:00:00", "input.setlinfo.setl_time"),
        (("feedetail", 2, "det_item_fee_sumamt"), 1.001, "input.feedetail[2].det_item_fee_sumamt"),
        (("feedetail", 2, "fee_ocur_time"), "20260230", "input.feedetail[2].fee_ocur_time"),
        (("feedetail", 1), 5, "input.feedetail[1]"),
        (("diseinfo", 0, "diag_code"), [], "input.diseinfo[0].diag_code"),
    ],
)
def test_a_fault_is_told_with_its_path(path, value, field):
    told = settled()
    part = told["input"]
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    assert refused(json.dumps(told)).field == field


def test_a_message_without_its_names_is_refused():
    assert refused(json.dumps({**LIST, "msgid": ""})).field == "msgid"
    assert refused('{"infno":"2304","infno":"2305"}').field == "infno"
    assert refused('{"infno":"2304","msgid":"1","input":{"setlinfo":{"a":1,\n"a":2}}}').field == "a"
    assert refused('{"infno":"2304",\n"msgid":').line == 2
    assert refused('{"infno":"2304","msgid":"1","input":[]}').field == "input"


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999999999", "9" * 5000, "1e-999999999"])
def test_numbers_beyond_money_are_refused(text):
    raw = EXAMPLES["yibao"].replace('"medfee_sumamt":7600.00', f'"medfee_sumamt":{text}')
    assert refused(raw).field in ("number", "input.setlinfo.medfee_sumamt")


@pytest.mark.parametrize("escape", [r"\u0000", r"\ud83d", r"\udc00x"])
def test_text_that_no_register_can_hold_is_refused(escape):
    assert "no character" in refused(EXAMPLES["yibao"].replace("测试甲", escape)).what


def test_a_pair_of_surrogates_is_one_character():
    assert taken(EXAMPLES["yibao"].replace("测试甲", r"\ud842\udfb7")).events
