"""A person, a policy and a case in a real store, as far as telling people needs them."""

from datetime import UTC, date, datetime
from pathlib import Path

from letter_stories import STORIES

from safeweave import people
from safeweave.adjudication import Adjudicator, product_files
from safeweave.adjudication.story_form import parse_story
from safeweave.cases.case import Case
from safeweave.cases.stay import BillSeen, Stay
from safeweave.cases.store import HospitalRow, save_cases, save_hospitals
from safeweave.coverage import policy_id
from safeweave.coverage.policy import Change, Insured, Payee
from safeweave.coverage.product import load_products
from safeweave.coverage.store import Head, add_changes, add_insureds, add_payees, add_policies
from safeweave.database import Database, Transaction
from safeweave.events import Diagnosis
from safeweave.facts import Bill, Overlay
from safeweave.ids import CaseId, PersonId
from safeweave.people import Held, Particulars
from safeweave.people.identity import citizen_check_character
from stores import place

NOW = datetime(2021, 12, 6, 7, 21, 5, tzinfo=UTC)
POLICY = policy_id("P-2021-000123")
HOSPITAL_CODE = "H33020000001"


def a_store(folder: Path) -> Database:
    return Database(place(folder / "safeweave.db"))


def citizen_number(birth: date, sequence: int) -> str:
    """A number of the unassigned area 990000; an even sequence is female."""
    first17 = f"990000{birth:%Y%m%d}{sequence:03d}"
    return first17 + citizen_check_character(first17)


def a_person(
    tx: Transaction, name: str = "王小𠮷", birth: date = date(1985, 6, 1), sequence: int = 2, **more: object
) -> PersonId:
    told: dict[str, object] = {"phone": "13800000001", "email": "wang@example.org", "wechat": "openid-1", **more}
    held = (Held("resident_id", citizen_number(birth, sequence), "CN"),)
    (saved,) = people.save_people(tx, [Particulars(name, held, birth, "F", **told)], NOW)  # type: ignore[arg-type]
    assert saved.person is not None, saved.conflict
    return saved.person


def a_policy(tx: Transaction, person: PersonId, account: str = "6222020000006789") -> None:
    """The hospital-expense policy of the polyp story; payments go to `account`, if one is given."""
    add_policies(tx, [Head("P-2021-000123", "hospital-expense-2020")], NOW)
    add_changes(tx, [(POLICY, Change("period", date(2021, 3, 1), date(2022, 2, 28)))], NOW)
    add_insureds(tx, [(POLICY, Insured(person, enrolled=True))], NOW)
    if account:
        add_payees(tx, [(POLICY, person, Payee("insured", "王小𠮷", account, ""))], NOW)


def polyp_bill() -> Bill:
    products = load_products(STORIES.parent / "products")
    story = parse_story((STORIES / "discharge-after-polyp.toml").read_text(encoding="utf-8"), "polyp", products)
    return story.claims[0].bills[0]


def a_case(tx: Transaction, person: PersonId, case: str = "case_polyp", bill: Bill | None = None) -> CaseId:
    """The stay of the polyp story, its bill verified."""
    save_hospitals(tx, [HospitalRow(HOSPITAL_CODE, "宁波市第一医院", "Ningbo First Hospital", 3, True, "330200")])
    stay = Stay(
        kind="inpatient",
        hospital=HOSPITAL_CODE,
        admitted_at=datetime(2021, 12, 3, 1, 0, tzinfo=UTC),
        discharged_at=datetime(2021, 12, 6, 2, 0, tzinfo=UTC),
        diagnoses=(Diagnosis("N84.001", role="F", main=True),),
        bills=(BillSeen(bill or polyp_bill(), itemised=True),),
    )
    file = Case(
        id=CaseId(case), person=person, sender=HOSPITAL_CODE, visit=f"ZY-{case}", stage="verified", stay=stay,
        opened_at=NOW, hospital=HOSPITAL_CODE,
    )  # fmt: skip
    save_cases(tx, [file])
    return CaseId(case)


def an_adjudicator(*overlays: Overlay) -> Adjudicator:
    return Adjudicator(product_files(STORIES.parent / "products"), overlays)
