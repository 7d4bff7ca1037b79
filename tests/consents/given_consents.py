"""Builders of members, persons and consents; everybody here is invented."""

from datetime import UTC, date, datetime, timedelta

from people.given_people import particulars
from safeweave.consents import Ask, Consent, Kept, Party, consent_of
from safeweave.consents.texts import newest
from safeweave.ids import PersonId
from safeweave.people import Guardianship, Held, Particulars, Person
from safeweave.people.person import Name

HOSPITAL = Party("a1" * 32, "示例市第一医院", "0571-00000001")
OTHER_HOSPITAL = Party("a2" * 32, "示例市第二医院", "0571-00000002")
INSURER = Party("b1" * 32, "示例人寿", "400-000-0001")
OTHER_INSURER = Party("b2" * 32, "示例健康险", "400-000-0002")

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
END = BEGIN + timedelta(days=90)
DURING = BEGIN + timedelta(days=10)

PERSON = PersonId("person_0000000000000001")
GUARDIAN = PersonId("person_0000000000000002")
PROOF = "出生医学证明 A330000001"


def grown_up() -> Particulars:
    return particulars()


def person(
    birth: date | None = date(1980, 1, 1), died_on: date | None = None, *guardianships: Guardianship, id: str = PERSON
) -> Person:
    return Person(
        PersonId(id), (Name("测试甲"),), (Held("passport", "E00000001", "CHN"),), birth, "F", died_on,
        guardianships=guardianships,
    )  # fmt: skip


def guarded_child(birth: date, last_day: date | None = None) -> Person:
    return person(birth, None, Guardianship(PERSON, GUARDIAN, PROOF, birth, last_day))


def consent(person: str = PERSON, **told: object) -> Consent:
    """A standing consent to give, of everything but medical records, from BEGIN until END, given by the person."""
    act = told.pop("act", "give")
    text = newest(act)  # type: ignore[arg-type]
    values = {
        "person": PersonId(person),
        "act": act,
        "giver": HOSPITAL if act == "give" else None,
        "recipient": INSURER,
        "purpose": "claim",
        "kinds": ("identity", "admission", "diagnosis", "bill", "settlement"),
        "begins_at": BEGIN,
        "ends_at": END,
        "text": (text.version, text.digest),
        "given_by": PersonId(person),
        "given_at": BEGIN,
        "how": "paper",
        **told,
    }
    return consent_of(**values)  # type: ignore[arg-type]


def kept(given: Consent, revoked_at: datetime | None = None) -> Kept:
    return Kept(given, revoked_at)


def ask(person: str = PERSON, **told: object) -> Ask:
    """May the hospital give the insurer a diagnosis, DURING the consent above?"""
    values = {
        "person": PersonId(person),
        "act": "give",
        "giver": HOSPITAL.member if told.get("act", "give") == "give" else "",
        "recipient": INSURER.member,
        "purpose": "claim",
        "kinds": ("diagnosis",),
        "at": DURING,
        **told,
    }
    return Ask(**values)  # type: ignore[arg-type]
