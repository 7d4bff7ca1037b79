"""Builders of persons and descriptions; numbers are published samples or of the unassigned area 990000."""

from datetime import UTC, date, datetime

from safeweave.events import Identifier, PersonSeen
from safeweave.facts import Sex
from safeweave.people import Held, Particulars
from safeweave.people.identity import citizen_check_character

NOW = datetime(2026, 3, 6, 7, 21, 5, tzinfo=UTC)
SAMPLE_FEMALE = "11010519491231002X"  # published samples
SAMPLE_MALE = "34052419800101001X"


def citizen_number(birth: date, sequence: int, area: str = "990000") -> str:
    """A number of the unassigned area; an odd sequence is male."""
    first17 = f"{area}{birth:%Y%m%d}{sequence:03d}"
    return first17 + citizen_check_character(first17)


def particulars(name: str = "测试甲", number: str = SAMPLE_FEMALE, **more: object) -> Particulars:
    birth = date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    sex: Sex = "M" if int(number[16]) % 2 else "F"
    told = {"birth": birth, "sex": sex, "documents": (Held("resident_id", number, "CN"),), **more}
    return Particulars(name, **told)  # type: ignore[arg-type]


def seen(
    name: str = "测试甲",
    number: str = SAMPLE_FEMALE,
    birth: date | None = date(1949, 12, 31),
    sex: Sex | None = "F",
    *more: Identifier,
    kind: str = "resident_id",
) -> PersonSeen:
    own = (Identifier(kind, number),) if number else ()
    return PersonSeen((*own, *more), name, birth, sex)
