"""Builders of policies on record and of files to import."""

from datetime import date, datetime
from pathlib import Path

from people.given_people import NOW, SAMPLE_FEMALE, particulars
from safeweave import people
from safeweave.coverage import store
from safeweave.coverage.policy import Change, Insured
from safeweave.database import Transaction
from safeweave.ids import PersonId

COLUMNS = "policy_number,product,name,document_number,enrolled,first_day,last_day"
ROW = f"P-1,hospital-expense-2020,测试甲,{SAMPLE_FEMALE},yes,2026-01-01,2026-12-31"


def period(first: str, last: str, since: str | None = None) -> Change:
    return Change("period", day(first), day(last), None if since is None else day(since))


def day(text: str) -> date:
    return date.fromisoformat(text)


def insured_under(
    tx: Transaction, number: str, *changes: Change, now: datetime = NOW, person: PersonId | None = None, **more: object
) -> PersonId:
    """A person insured under a new policy with these changes of cover."""
    if person is None:
        person = people.save_people(tx, [particulars()], now)[0].person
    assert person is not None
    policy = store.policy_id(number)
    store.add_policies(tx, [store.Head(number, "hospital-expense-2020")], now)
    store.add_insureds(tx, [(policy, Insured(person, **{"enrolled": True, **more}))], now)
    store.add_changes(tx, [(policy, change) for change in changes], now)
    return person


def csv_file(
    folder: Path, *rows: str, columns: str = COLUMNS, name: str = "policies.csv", encoding: str = "utf-8"
) -> Path:
    path = folder / name
    path.write_bytes("\r\n".join([columns, *rows, ""]).encode(encoding))
    return path
