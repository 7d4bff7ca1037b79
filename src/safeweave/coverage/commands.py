"""What `safeweave policies ...` does: import, list, show, export, renew, lapse, reinstate. Numbers are shown masked."""

import json
from collections.abc import Callable, Collection, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, TextIO

import msgspec

from safeweave import people
from safeweave.clock import shanghai_day
from safeweave.coverage import store
from safeweave.coverage.importer import Report, import_file
from safeweave.coverage.policy import Change, Payee, Policy
from safeweave.coverage.told import (
    ChangeText,
    DocumentText,
    GuardianText,
    InsuredText,
    NameText,
    PayeeText,
    PersonText,
    PolicyText,
    UsageText,
)
from safeweave.coverage.usage import Usage
from safeweave.database import Database, Transaction
from safeweave.errors import NotFound
from safeweave.ids import PersonId
from safeweave.money import yuan_shown, yuan_text
from safeweave.people import Person
from safeweave.people.identity import Unusable, masked
from safeweave.words import Language, say

SHOWN_AT_MOST = 50  # faults of one file on the screen; the report beside the file has all
POLICIES_AT_ONCE = 500


def policies_import(
    database: Database,
    paths: Sequence[Path],
    strict: bool,
    language: Language,
    out: TextIO,
    *,
    now: datetime,
    products: Collection[str] | None = None,
    banks: Collection[str] | None = None,
    as_json: bool = False,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Import files one after the other and print what became of each; 0 if nothing was refused, else 1.

    On a terminal the rows checked so far are shown meanwhile, unless `progress` is told them.
    """
    if progress is None and out.isatty() and not as_json:

        def progress(done: int) -> None:
            print(say("coverage.import.progress", language, done=done), end="\r", file=out, flush=True)

    reports = []
    for path in paths:
        report = import_file(
            database,
            path,
            now,
            products=products,
            banks=banks,
            strict=strict,
            progress=progress,
            language=language,
        )
        reports.append(report)
        if not as_json:
            _print_report(report, language, out)
    if as_json:
        print(json.dumps([_report_as_json(report, language) for report in reports], ensure_ascii=False), file=out)
    return 1 if any(report.refused for report in reports) else 0


def _print_report(report: Report, language: Language, out: TextIO) -> None:
    for located in (report.faults, report.warnings):
        for line in report.lines(located[:SHOWN_AT_MOST], language):
            print(line, file=out)
        if len(located) > SHOWN_AT_MOST:
            more = len(located) - SHOWN_AT_MOST
            print(say("coverage.import.more", language, count=more, report=report.report_file or "--json"), file=out)
    counts = {name: getattr(report, name) for name in ("file", "rows", "added", "changed", "unchanged", "refused")}
    print(say("coverage.import.done", language, **counts), file=out)
    if report.warnings:
        print(say("coverage.import.warnings", language, count=len(report.warnings)), file=out)
    if report.refused_file:
        print(
            say("coverage.import.refused_rows", language, file=report.refused_file, report=report.report_file), file=out
        )
    if not report.imported:
        print(say("coverage.import.nothing_imported", language, file=report.file), file=out)


def _report_as_json(report: Report, language: Language) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(report)
    for name in ("faults", "warnings"):
        told[name] = [
            {"line": each.line, "field": each.remark.field, "what": each.remark.said(language)}
            for each in getattr(report, name)
        ]
    return told


def policies_list(database: Database, language: Language, out: TextIO, *, now: datetime, as_json: bool = False) -> int:
    """Print one line for each policy, by number: product, how it stands today, how many it insures. 0."""
    today, after, listed = shanghai_day(now), "", []
    with database.reading() as tx:
        while numbers := store.policy_numbers(tx, after, POLICIES_AT_ONCE):
            found = store.policies_by_number(tx, numbers)
            for number in numbers:
                policy = found[number]
                row = {
                    "number": number,
                    "product": policy.product,
                    "status": policy.status_on(today),
                    "insureds": len(policy.insureds),
                }
                if as_json:
                    listed.append(row)
                    continue
                status = say(f"coverage.status.{row['status']}", language)
                print(say("coverage.show.listed", language, **{**row, "status": status}), file=out)
            after = numbers[-1]
    if as_json:
        print(json.dumps(listed, ensure_ascii=False), file=out)
    elif not after:
        print(say("coverage.show.none", language), file=out)
    return 0


def policies_show(
    database: Database,
    number: str,
    language: Language,
    out: TextIO,
    *,
    now: datetime,
    as_json: bool = False,
    unmasked: bool = False,
) -> int:
    """Print a policy with its insured persons, days, payees, usage and everything on record; 1 if there is none."""
    shown: Callable[[str], str] = str if unmasked else masked
    with database.reading() as tx:
        policy = store.policies_by_number(tx, [number]).get(number)
        if policy is None:
            print(say("coverage.show.not_found", language, number=number), file=out)
            return 1
        told = _Told(tx, [policy])
        history = store.policy_history(tx, policy.id)
    if as_json:
        text = msgspec.to_builtins(told.text(policy, shown))
        text["status"] = policy.status_on(shanghai_day(now))
        text["history"] = [{"at": at, "kind": kind, "text": what} for at, kind, _, what in history]
        print(json.dumps(text, ensure_ascii=False), file=out)
        return 0
    for line in _lines(policy, told, history, language, shown, shanghai_day(now)):
        print(line, file=out)
    return 0


def _lines(
    policy: Policy,
    told: "_Told",
    history: Sequence[tuple[str, str, PersonId | None, str]],
    language: Language,
    shown: Callable[[str], str],
    today: date,
) -> list[str]:
    def says(key: str, **values: object) -> str:
        return say(f"coverage.{key}", language, **values)

    def document(person: Person) -> str:
        return shown(person.document.number) if person.documents else says("show.unknown")

    lines = [
        says(
            "show.policy",
            number=policy.number,
            product=policy.product,
            status=says(f"status.{policy.status_on(today)}"),
            bank=policy.bank,
        )
    ]
    if policy.holder is not None and policy.holder in told.persons:
        holder = told.persons[policy.holder]
        lines.append(says("show.holder", name=holder.name, document=document(holder)))
    periods = policy.periods()
    for insured in policy.insureds:
        person = told.persons[insured.person]
        sex = says({"F": "show.female", "M": "show.male"}.get(person.sex or "", "show.unknown"))
        lines.append(says("show.insured", name=person.name, document=document(person), birth=person.birth, sex=sex))
        for period in periods[insured.person]:
            lines.append(says("show.period", first=period.first_day, last=period.last_day, since=period.since))
        if insured.roster_first_day or insured.roster_last_day:
            first, last = insured.roster_first_day or "…", insured.roster_last_day or "…"
            lines.append(says("show.roster", first=first, last=last))
        for link in person.guardianships:
            name = told.persons[link.guardian].name
            lines.append(says("show.guardian", name=name, proof=link.proof, first=link.first_day))
        for payee in told.payees.get((policy.id, insured.person), ()):
            role = says(f"role.{payee.role}")
            lines.append(says("show.payee", role=role, name=payee.name, account=shown(payee.account)))
        for used in _usage_texts(told.usage[policy.id, insured.person]):
            amount = used.amount
            if used.kind in ("deductible", "limit"):
                amount = yuan_shown(int(amount.replace(".", "")))
            kind = says(f"usage.{used.kind}")
            lines.append(says("show.used", scope=used.scope, kind=kind, id=used.id, amount=amount))
    lines.append(says("show.history"))
    lines += (f"  {at[:10]} {says(f'kind.{kind}')} {what}" for at, kind, _, what in history)
    return lines


def policies_export(database: Database, out: TextIO) -> int:
    """Write every policy as one line of JSON, whole and unmasked, in the form the import reads; how many."""
    after, count = "", 0
    with database.reading() as tx:
        while numbers := store.policy_numbers(tx, after, POLICIES_AT_ONCE):
            policies = store.policies_by_number(tx, numbers)
            told = _Told(tx, list(policies.values()))
            for number in numbers:
                out.write(msgspec.json.encode(told.text(policies[number])).decode() + "\n")
            after, count = numbers[-1], count + len(numbers)
    return count


def policies_renew(
    database: Database, number: str, first_day: date, last_day: date, language: Language, out: TextIO, *, now: datetime
) -> int:
    """Add a policy year for everybody insured; 0, or 1 with the reason printed."""
    return _changed(
        database, language, out, number, "renewed", lambda tx: store.renew(tx, number, first_day, last_day, now)
    )


def policies_lapse(
    database: Database,
    number: str,
    language: Language,
    out: TextIO,
    *,
    now: datetime,
    from_day: date | None = None,
    due_on: date | None = None,
    demanded_on: date | None = None,
    reason: str = "",
) -> int:
    """End the cover on a day, or on the day that follows from an unpaid premium; 0, or 1 with the reason printed."""
    days = {"from_day": from_day, "due_on": due_on, "demanded_on": demanded_on}
    return _changed(
        database, language, out, number, "lapsed", lambda tx: store.lapse(tx, number, now, reason=reason, **days)
    )


def policies_reinstate(
    database: Database,
    number: str,
    first_day: date,
    language: Language,
    out: TextIO,
    *,
    now: datetime,
    last_day: date | None = None,
    reason: str = "",
) -> int:
    """Open lapsed cover again from a day; 0, or 1 with the reason printed."""
    return _changed(
        database,
        language,
        out,
        number,
        "reinstated",
        lambda tx: store.reinstate(tx, number, first_day, now, last_day=last_day, reason=reason),
    )


def _changed(
    database: Database,
    language: Language,
    out: TextIO,
    number: str,
    what: str,
    change: Callable[[Transaction], Change],
) -> int:
    try:
        with database.transaction() as tx:
            made = change(tx)
    except NotFound:
        print(say("coverage.show.not_found", language, number=number), file=out)
        return 1
    except Unusable as fault:
        print(fault.said(language), file=out)
        return 1
    print(say(f"coverage.show.{what}", language, number=number, first=made.first_day, last=made.last_day), file=out)
    return 0


# ---------------------------------------------------------------- policies as text


class _Told:
    """Policies with all that belongs to them, told in the form of the import."""

    def __init__(self, tx: Transaction, policies: Sequence[Policy]) -> None:
        ids = {insured.person for policy in policies for insured in policy.insureds}
        ids |= {policy.holder for policy in policies if policy.holder is not None}
        self.persons = people.people_by_id(tx, ids)
        guardians = {link.guardian for person in self.persons.values() for link in person.guardianships}
        self.persons |= people.people_by_id(tx, guardians - set(self.persons))
        self.payees = store.all_payees(tx, [policy.id for policy in policies])
        keys = [(policy.id, insured.person) for policy in policies for insured in policy.insureds]
        self.usage: dict[store.InsuredKey, Usage] = {}
        for start in range(0, len(keys), 10_000):
            self.usage |= store.usage_of(tx, keys[start : start + 10_000])

    def text(self, policy: Policy, shown: Callable[[str], str] = str) -> PolicyText:
        """The policy as the import reads it; `shown` turns numbers into what may be shown."""
        places = {insured.person: place for place, insured in enumerate(policy.insureds, 1)}
        return PolicyText(
            policy.number,
            policy.product,
            policy.bank,
            None if policy.holder is None else self._person(policy.holder, shown),
            [
                InsuredText(
                    self._person(insured.person, shown),
                    insured.relation,
                    "yes" if insured.enrolled else "no",
                    insured.beneficiary or "",
                    _text(insured.roster_first_day),
                    _text(insured.roster_last_day),
                    [
                        GuardianText(
                            self._person(link.guardian, shown), link.proof, _text(link.first_day), _text(link.last_day)
                        )
                        for link in self.persons[insured.person].guardianships
                    ],
                    [_payee_text(payee, shown) for payee in self.payees.get((policy.id, insured.person), ())],
                    _usage_texts(self.usage[policy.id, insured.person]),
                )
                for insured in policy.insureds
            ],
            [
                ChangeText(
                    change.kind,
                    _text(change.first_day),
                    _text(change.last_day),
                    _text(change.since),
                    change.reason,
                    0 if change.person is None else places[change.person],
                )
                for change in policy.changes
                if change.person is None or change.person in places
            ],
        )

    def _person(self, id: PersonId, shown: Callable[[str], str]) -> PersonText:
        person = self.persons[id]
        return PersonText(
            person.name,
            [
                DocumentText(held.kind, shown(held.number), held.country, _text(held.last_day))
                for held in person.documents
            ],
            _text(person.birth),
            person.sex or "",
            _text(person.died_on),
            person.language,
            shown(person.phone),
            person.email,
            person.wechat,
            [NameText(name.name, _text(name.last_day)) for name in person.names if name.last_day is not None],
        )


def _payee_text(payee: Payee, shown: Callable[[str], str]) -> PayeeText:
    return PayeeText(payee.role, payee.name, shown(payee.account), payee.bank_code)


def _usage_texts(usage: Usage) -> list[UsageText]:
    return [
        UsageText(scope, kind, id, yuan_text(amount) if kind in ("deductible", "limit") else str(amount))
        for scope, used in usage.rows()
        for kind in ("deductible", "limit", "days", "count")
        for id, amount in sorted(getattr(used, kind).items())
    ]


def _text(day: date | None) -> str:
    return "" if day is None else day.isoformat()
