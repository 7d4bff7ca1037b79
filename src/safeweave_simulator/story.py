"""The opening story: three nights for an endometrial polyp, told by the hospital, paid without her asking.

The bill of 7,600.00 yuan and its 医保 split are exact; on hospital-expense-2020 it pays 2,381.85 yuan.
"""

from datetime import date, timedelta

from msgspec.structs import replace

from safeweave.money import Fen
from safeweave_simulator.bills import Bill, FeeLine, Item, Prepayment, line_of, settle
from safeweave_simulator.hospital import Hospital, make_hospitals
from safeweave_simulator.messages import Message, ebill_message, hl7_message, yibao_id, yibao_message
from safeweave_simulator.patients import Account, Document, Period, Person, Policy
from safeweave_simulator.stays import Happening, HappeningKind, Stay, at_shanghai

PAYABLE = Fen(238_185)

_ITEMS = (
    # (day of the stay, hour, units, days, item)
    (1, 9, 1, 0, Item("310604003", "宫腔镜手术", "06", "次", 32_000_000, "甲")),
    (0, 9, 3, 3, Item("110900001", "普通病房床位费", "01", "日", 600_000, "甲", cap=5_000)),
    (0, 10, 1, 0, Item("220302001", "彩色多普勒超声", "03", "次", 4_000_000, "乙", share=1_000)),
    (0, 11, 1, 0, Item("250101015", "血常规等化验", "04", "次", 5_200_000, "甲")),
    (2, 9, 1, 0, Item("310604004", "术后治疗", "05", "次", 11_000_000, "甲")),
    (0, 12, 4, 0, Item("120100003", "二级护理", "07", "日", 250_000, "甲")),
    (1, 10, 2, 0, Item("C0101010010000100001", "一次性器械", "08", "套", 4_500_000, "丙", share=10_000)),
    (2, 10, 1, 0, Item("XA01ABD075A002010100483", "西药", "09", "盒", 12_000_000, "乙", share=1_000)),
)


def opening_hospital() -> Hospital:
    """示例市第一医院, the first hospital of every city."""
    return make_hospitals(0, 1)[0]


def opening_person(today: date) -> Person:
    """测试甲 with her policy, in force for 200 days at her admission and so past every waiting period."""
    begin = today - timedelta(days=204)
    end = begin + timedelta(days=364)
    return Person(
        no=0,
        name="测试甲",
        sex="F",
        birth=date(1949, 12, 31),
        documents=(Document("resident_id", "11010519491231002X"),),
        social="310",
        social_number="33020000000000000001",
        civil_servant=False,
        account_balance=50_000,
        phone="10000000001",
        payee=Account("测试甲", "6222020000000000018", "102332000018", "示例工商银行"),
        guardian=None,
        policies=(Policy("HE-2020-000187", "hospital-expense-2020", (Period(begin, end, begin),)),),
    )


def opening_story(today: date) -> list[Message]:
    """Her stay as messages, in order: A01, charges of each day, A03, 4101A, e-bill. She left the day before `today`."""
    hospital, person = opening_hospital(), opening_person(today)
    left_on = today - timedelta(days=1)
    came_on = left_on - timedelta(days=3)
    admitted_at, discharged_at = at_shanghai(came_on, 8, 40), at_shanghai(left_on, 15, 5)
    stay = Stay(
        no=0,
        hospital=hospital,
        person=person,
        visit=f"ZY{came_on:%Y%m%d}",
        record="B0001234",
        medical_visit=f"M{came_on:%Y%m%d}0001",
        inpatient=True,
        diagnoses=(("N84.001", "子宫内膜息肉"),),
        ward=hospital.ward("ordinary", "妇科"),
        bed=2,
        admitted_at=admitted_at,
    )
    lines: list[FeeLine] = []
    for no, (day, hour, units, days, item) in enumerate(_ITEMS, 1):
        at = at_shanghai(came_on + timedelta(days=day), hour, 30)
        lines.append(line_of(no, item, at, units * 10_000, days=days))
    settlement = settle(lines, person, hospital, "inpatient", aided=False)
    bill = Bill(
        code=f"330602{left_on:%y}",
        number="0012345678",
        check="a1b2c3",
        kind="inpatient",
        issued_at=at_shanghai(left_on, 15, 20, 41),
        lines=tuple(lines),
        settlement=settlement,
        prepayment=Prepayment(Fen(300_000), Fen(0), Fen(300_000 - settlement.cash)),
        cash=settlement.cash,
    )
    gone = replace(stay, discharged_at=discharged_at, disposition="1")
    messages: list[Message] = []

    def hl7(kind: HappeningKind, happening: Happening) -> None:
        number = len(messages) + 1
        sent_at = happening.at + timedelta(minutes=2)
        control_id = f"M{came_on:%y%m%d}{number:03d}"
        body = hl7_message(happening, control_id, number, sent_at)
        messages.append(Message(sent_at, hospital.code, "mllp", control_id, kind, 0, body))

    hl7("admitted", Happening("admitted", admitted_at, stay))
    for day in range(3):
        on = came_on + timedelta(days=day)
        charged = tuple(line for line in lines if line.at.date() == on)
        hl7("charged", Happening("charged", at_shanghai(on, 18, 0), stay, lines=charged))
    hl7("discharged", Happening("discharged", discharged_at, gone))
    settled_at = at_shanghai(left_on, 15, 20)
    settled = Happening("settled", settled_at, gone, bill=bill, settlement_no=f"S{left_on:%Y%m%d}0001")
    msgid = yibao_id(gone, 1, settled_at)
    messages.append(
        Message(settled_at, hospital.code, "yibao", msgid, "settled", 0, yibao_message(settled, msgid, settled_at))
    )
    billed = Happening("billed", bill.issued_at, gone, bill=bill)
    messages.append(Message(bill.issued_at, hospital.code, "ebill", bill.key, "billed", 0, ebill_message(billed)))
    return messages
