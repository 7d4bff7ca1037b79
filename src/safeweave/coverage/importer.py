"""Insurers' files into the store: all is checked first, good rows are added, bad ones are given back with reasons.

A file is one transaction. Reading it again adds nothing; a row that says something new is an addition with its day.
Nothing is lost: refused rows are written beside the file, in its own form, ready to be corrected and imported.
"""

import csv
import io
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from safeweave import people
from safeweave.coverage import files, store
from safeweave.coverage.policy import Change, Insured, Payee, check_change, periods_of
from safeweave.coverage.store import OPENING, Head, InsuredKey, UsageRow
from safeweave.coverage.told import Checker, InsuredTold, PolicyTold, Remark
from safeweave.database import Database, Transaction
from safeweave.facts import Fact
from safeweave.ids import DeterminationId, PersonId, PolicyId
from safeweave.people import Guardianship, Particulars
from safeweave.people.identity import Unusable
from safeweave.words import Language

ROWS_AT_ONCE = 1000
Progress = Callable[[int], None]  # rows checked so far


class Located(Fact, frozen=True):
    """A remark with the line it is about."""

    line: int
    remark: Remark


class Report(msgspec.Struct):
    """What became of one file. `faults` and `warnings` are in the order of the lines."""

    file: str
    rows: int = 0
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: int = 0
    imported: bool = True
    faults: list[Located] = []
    warnings: list[Located] = []
    refused_file: str = ""
    report_file: str = ""

    def lines(self, located: Sequence[Located], language: Language) -> Iterator[str]:
        """Each remark as `FILE:LINE: field: what is wrong and what to write instead`."""
        for each in located:
            yield f"{self.file}:{each.line}: {each.remark.said(language)}"


def import_file(
    database: Database,
    path: Path,
    now: datetime,
    *,
    products: Collection[str] | None = None,
    banks: Collection[str] | None = None,
    strict: bool = False,
    progress: Progress | None = None,
    language: Language = "zh",
) -> Report:
    """Import one file and say what became of every row; `strict` imports all of it or nothing.

    `products` are the ids a policy may name; None accepts any. A bank that is not among `banks` is remarked upon.
    Refused rows are written to `FILE.refused.csv` (.jsonl, .json) and the reasons to `FILE.report.txt`, both beside
    the file.
    """
    report = Report(str(path))
    try:
        source = files.read(path)
    except files.Refused as refused:
        report.faults.append(Located(1, refused.remark))
        report.refused, report.imported = 1, False
        return report
    good, bad = _checked(source, partial(Checker, products, banks), report, progress)
    if not (strict and bad):
        _import(database, good, bad, now, report, strict, source.field_of)
    else:
        report.imported = False
    report.refused = len(bad)
    report.faults.sort(key=lambda each: each.line)
    if bad:
        try:
            _write_refused(path, source, bad, report, language)
        except OSError:
            report.refused_file = report.report_file = ""  # the folder takes no files; the report in hand has it all
    return report


class _Good(Fact, frozen=True):
    row: files.Row
    told: PolicyTold


def _checked(
    source: files.Source, new_checker: Callable[[], Checker], report: Report, progress: Progress | None
) -> tuple[list[_Good], list[files.Row]]:
    good, bad = [], []
    for row in source.rows:
        report.rows += 1
        checker = new_checker()
        told = None
        if row.policy is not None:
            told = checker.policy(row.policy)
            row.policy = None
        row.faults += checker.faults
        if row.faults:
            bad.append(row)
            report.faults += (Located(row.line, _renamed(fault, source.field_of)) for fault in row.faults)
        elif told is not None:
            good.append(_Good(row, told))
            report.warnings += (Located(row.line, _renamed(warning, source.field_of)) for warning in checker.warnings)
        if progress is not None and report.rows % ROWS_AT_ONCE == 0:
            progress(report.rows)
    return good, bad


def _renamed(remark: Remark, field_of: Callable[[str], str]) -> Remark:
    return Remark(field_of(remark.field), remark.key, remark.values)


class _NothingImported(Exception):
    """Rolls the transaction back."""


def _import(
    database: Database,
    good: list[_Good],
    bad: list[files.Row],
    now: datetime,
    report: Report,
    strict: bool,
    field_of: Callable[[str], str],
) -> None:
    try:
        with database.transaction() as tx:
            for batch in _batches(good):
                done = _Batch(tx, batch, now)
                for row, faults in done.refused:
                    row.faults += faults
                    bad.append(row)
                    report.faults += (Located(row.line, _renamed(fault, field_of)) for fault in faults)
                report.added += done.added
                report.changed += done.changed
                report.unchanged += done.unchanged
            if strict and bad:
                raise _NothingImported
    except _NothingImported:
        report.imported = False
        report.added = report.changed = report.unchanged = 0


def _batches(good: list[_Good]) -> Iterator[list[_Good]]:
    batch: list[_Good] = []
    persons = 0
    for each in good:
        batch.append(each)
        persons += len(each.told.insureds)
        if persons >= ROWS_AT_ONCE:
            yield batch
            batch, persons = [], 0
    if batch:
        yield batch


# ---------------------------------------------------------------- one batch


class _Batch:
    """Some rows compared with what is on record, and what they add written."""

    def __init__(self, tx: Transaction, rows: list[_Good], now: datetime) -> None:
        self.refused: list[tuple[files.Row, list[Remark]]] = []
        self.added = self.changed = self.unchanged = 0
        registration = people.Registration(tx, _described(rows), now)
        plan = _Plan(tx, rows, registration)
        if plan.refused:
            # Persons of refused rows must not be added: the others are planned again without them.
            self.refused = plan.refused
            gone = {id(row) for row, _ in plan.refused}
            rows = [each for each in rows if id(each.row) not in gone]
            registration = people.Registration(tx, _described(rows), now)
            plan = _Plan(tx, rows, registration)
            self.refused += plan.refused
        registration.write(tx)
        plan.write(tx, now)
        self.added, self.changed, self.unchanged = plan.added, plan.changed, plan.unchanged


def _described(rows: Sequence[_Good]) -> list[Particulars]:
    return [person for each in rows for person, _ in _persons(each.told)]


def _persons(told: PolicyTold) -> Iterator[tuple[Particulars, str]]:
    """Everybody a policy names, with the path; the order in which `_Plan` meets them."""
    if told.holder is not None:
        yield told.holder, "holder"
    for i, insured in enumerate(told.insureds):
        yield insured.person, f"insureds[{i}].person"
        for j, guardian in enumerate(insured.guardians):
            yield guardian.person, f"insureds[{i}].guardians[{j}].person"


_FIELD_OF_CONFLICT = {
    "documents_of_two_persons": "documents[0].number",
    "name_differs": "name",
    "birth_differs": "birth",
    "sex_differs": "sex",
}


class _Plan:
    """What a batch of rows adds to the policies on record; nothing is written until `write`."""

    def __init__(self, tx: Transaction, rows: Sequence[_Good], registration: people.Registration) -> None:
        self.refused: list[tuple[files.Row, list[Remark]]] = []
        self.added = self.changed = self.unchanged = 0
        self.heads: list[Head] = []
        self.insureds: list[tuple[PolicyId, Insured]] = []
        self.changes: list[tuple[PolicyId, Change]] = []
        self.payees: list[tuple[PolicyId, PersonId, Payee]] = []
        self.usage: list[UsageRow] = []
        self.guardianships: list[Guardianship] = []
        self.aliases: list[tuple[str, PersonId]] = []
        self.registration = registration
        saved = iter(registration.saved)
        told = [[(person, path, next(saved)) for person, path in _persons(each.told)] for each in rows]
        keys = {
            (store.policy_id(each.told.number), one.person)
            for each, persons in zip(rows, told, strict=True)
            for _, _, one in persons
            if one.person is not None
        }
        self.on_record = store.record_of(tx, {each.told.number for each in rows}, keys)
        for each, persons in zip(rows, told, strict=True):
            self._row(each, persons)

    def _row(self, each: _Good, told: list[tuple[Particulars, str, people.Saved]]) -> None:
        faults = [self._conflict(path, saved) for _, path, saved in told if saved.conflict]
        head = self._head(each.told, told[0][2].person if each.told.holder is not None else None, faults)
        if faults:
            self.refused.append((each.row, faults))
            return
        by_path = {path: saved.person for _, path, saved in told}
        ids: list[PersonId] = [_known(by_path[f"insureds[{i}].person"]) for i in range(len(each.told.insureds))]
        policy = store.policy_id(each.told.number)
        try:
            changes = self._new_changes(policy, each.told, ids)
        except Unusable as fault:
            self.refused.append((each.row, [Remark(f"changes[0].{fault.field}", fault.key, fault.values)]))
            return
        for change in changes:
            self.on_record.add_change(policy, change)
        self.changes += ((policy, change) for change in changes)
        if head is not None:
            self.on_record.heads[each.told.number] = head
        before = len(self.insureds) + len(self.payees) + len(self.usage)
        for i, (insured, person) in enumerate(zip(each.told.insureds, ids, strict=True)):
            self._insured(policy, person, insured, each.told.number)
            for j, guardian in enumerate(insured.guardians):
                by = _known(by_path[f"insureds[{i}].guardians[{j}].person"])
                self.guardianships.append(
                    Guardianship(person, by, guardian.proof, guardian.first_day, guardian.last_day)
                )
        more = len(self.insureds) + len(self.payees) + len(self.usage) > before
        if head is not None:
            self.heads.append(head)
            self.added += 1
        elif changes or more or any(saved.changed or saved.added for _, _, saved in told):
            self.changed += 1
        else:
            self.unchanged += 1

    def _conflict(self, path: str, saved: people.Saved) -> Remark:
        values = {}
        if saved.conflict in ("birth_differs", "sex_differs"):
            known = self.registration.known[_known(saved.person)]
            values = {"known": known.birth if saved.conflict == "birth_differs" else known.sex}
        return Remark(f"{path}.{_FIELD_OF_CONFLICT[saved.conflict]}", f"people.conflict.{saved.conflict}", values)

    def _head(self, told: PolicyTold, holder: PersonId | None, faults: list[Remark]) -> Head | None:
        """The head to add; None if the policy is on record, with a fault for what disagrees with it."""
        known = self.on_record.heads.get(told.number)
        if known is None:
            return Head(told.number, told.product, holder, told.bank or "main")
        if told.product != known.product:
            faults.append(Remark("product", "coverage.fault.other_product", {"known": known.product}))
        if told.bank and told.bank != known.bank:
            faults.append(Remark("bank", "coverage.fault.other_bank", {"known": known.bank}))
        if holder is not None and known.holder is not None and holder != known.holder:
            faults.append(Remark("holder.documents[0].number", "coverage.fault.other_holder"))
        return None

    def _new_changes(self, policy: PolicyId, told: PolicyTold, ids: list[PersonId]) -> list[Change]:
        """The changes that are not on record yet. Raises Unusable if one cannot follow what is."""
        stated = [
            Change(c.kind, c.first_day, c.last_day, c.since, c.reason, ids[of] if of >= 0 else None)
            for c, of in told.changes
        ]
        on_record = self.on_record.changes_of(policy, ids)
        shared = min(len(stated), len(on_record))
        if stated[:shared] == on_record[:shared]:
            stated = stated[shared:]  # an export read again: what follows is new
        known = {person: self.on_record.changes_of(policy, [person]) for person in ids}
        new: list[Change] = []
        for change in stated:
            concerned = list(known.values()) if change.person is None else [known[change.person]]
            if all(_is_on_record(changes, change) for changes in concerned):
                continue
            for changes in concerned:
                check_change(changes, change)
            for changes in concerned:
                changes.append(change)
            new.append(change)
        return new

    def _insured(self, policy: PolicyId, person: PersonId, told: InsuredTold, number: str) -> None:
        key = (policy, person)
        known = self.on_record.insureds.get(key)
        if known is None:
            self.aliases.append((number, person))
            holder = self.on_record.heads[number].holder
            known = Insured(person, told.enrolled, "self" if holder in (None, person) else "other")
        # What the row leaves empty is not said, so it stays as it is on record.
        insured = Insured(
            person,
            told.enrolled,
            told.relation or known.relation,
            told.beneficiary or known.beneficiary,
            told.roster_first_day or known.roster_first_day,
            told.roster_last_day or known.roster_last_day,
        )
        if self.on_record.insureds.get(key) != insured:
            self.on_record.insureds[key] = insured
            self.insureds.append((policy, insured))
        payees = self.on_record.payees.setdefault(key, {})
        for payee in told.payees:
            if payees.get(payee.role) != payee:
                payees[payee.role] = payee
                self.payees.append((policy, person, payee))
        self._usage(key, told)

    def _usage(self, key: InsuredKey, told: InsuredTold) -> None:
        """What was used before the policy came here: the row's figure replaces the one on record by its difference."""
        opening = self.on_record.opening.setdefault(key, {})
        if not told.usage:
            return
        corrections = self.on_record.openings.get(key, 0)
        determination = OPENING if not corrections else DeterminationId(f"{OPENING}.{corrections + 1}")
        rows = []
        for used in told.usage:
            of = (used.scope, used.kind, used.id)
            difference = used.amount - opening.get(of, 0)
            if difference:
                opening[of] = used.amount
                rows.append(UsageRow(*key, determination, *of, difference))
        if rows:
            self.on_record.openings[key] = corrections + 1
            self.usage += rows

    def write(self, tx: Transaction, now: datetime) -> None:
        store.add_policies(tx, self.heads, now)
        store.add_insureds(tx, self.insureds, now)
        store.add_changes(tx, self.changes, now)
        store.add_payees(tx, self.payees, now)
        store.add_usage(tx, self.usage)
        people.add_guardianships(tx, self.guardianships, now)
        people.remember_policies(tx, self.aliases, now)


def _known(person: PersonId | None) -> PersonId:
    assert person is not None, "a person without a conflict has an id"
    return person


def _is_on_record(known: Sequence[Change], change: Change) -> bool:
    """Whether the change says nothing new: the same change, or the same year with the `since` it already has."""
    if change.kind != "period":
        return any(
            (c.kind, c.first_day, c.last_day, c.reason)
            == (change.kind, change.first_day, change.last_day, change.reason)
            for c in known
        )
    latest = next((c for c in reversed(known) if c.kind == "period" and c.first_day == change.first_day), None)
    if latest is None or latest.last_day != change.last_day:
        return False
    if change.since in (None, latest.since):
        return True
    return any(p.first_day == change.first_day and p.since == change.since for p in periods_of(known))


# ---------------------------------------------------------------- what is given back


def _write_refused(path: Path, source: files.Source, bad: list[files.Row], report: Report, language: Language) -> None:
    bad.sort(key=lambda row: row.line)
    suffix = {"csv": "csv", "jsonl": "jsonl", "fhir": "json"}[source.form]
    refused = path.with_name(f"{path.stem}.refused.{suffix}")
    content = {"csv": _refused_csv, "jsonl": _refused_jsonl, "fhir": _refused_bundle}[source.form](
        source, bad, language
    )
    refused.write_text(content, encoding="utf-8-sig" if source.form == "csv" else "utf-8", newline="")
    reasons = path.with_name(f"{path.stem}.report.txt")
    reasons.write_text("\n".join(report.lines(report.faults, language)) + "\n", encoding="utf-8")
    report.refused_file, report.report_file = str(refused), str(reasons)


def _reasons(row: files.Row, field_of: Callable[[str], str], language: Language) -> str:
    return "; ".join(_renamed(fault, field_of).said(language) for fault in row.faults)


def _refused_csv(source: files.Source, bad: list[files.Row], language: Language) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    out.write(f"{files.FAULT_COLUMN},{source.header}\r\n")
    for row in bad:
        cells = next(csv.reader([row.raw]))
        writer.writerow([_reasons(row, source.field_of, language), *cells])
    return out.getvalue()


def _refused_jsonl(source: files.Source, bad: list[files.Row], language: Language) -> str:
    lines = []
    for row in bad:
        try:
            told: Any = json.loads(row.raw)
        except ValueError:
            told = None
        if isinstance(told, dict):
            told[files.FAULT_COLUMN] = _reasons(row, source.field_of, language)
            lines.append(json.dumps(told, ensure_ascii=False))
        else:
            lines.append(row.raw)
    return "\n".join(lines) + "\n"


def _refused_bundle(source: files.Source, bad: list[files.Row], language: Language) -> str:
    """A Bundle of the refused Coverages with the resources they need; a file that is no Bundle comes back as it is."""
    try:
        resources = dict.fromkeys(json.dumps(each, ensure_ascii=False) for row in bad for each in _values(row.raw))
    except ValueError:
        return "\n".join(row.raw for row in bad)
    entries = ",\n".join(f'{{"resource": {resource}}}' for resource in resources)
    return f'{{"resourceType": "Bundle", "type": "collection", "entry": [\n{entries}\n]}}\n'


def _values(text: str) -> Iterator[Any]:
    """The JSON values that follow one another in a text."""
    decoder, position = json.JSONDecoder(), 0
    while position < len(text.rstrip()):
        while text[position].isspace():
            position += 1
        value, position = decoder.raw_decode(text, position)
        yield value
