"""What ends with an insurer's consent while a claim is under way, as `consents.consent` has it in its table.

Every visit is kept with the consents under which its papers were taken. Once one of them has ended and no other takes
its place, nothing more of the visit is decided: what was paid stays paid, what is undecided is locked, and the person
is told, and chooses.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, time
from typing import Literal, NamedTuple

from safeweave import cases, consents, people
from safeweave.cases import CaseHead
from safeweave.cases.lifecycle import BEFORE_DECISION
from safeweave.clock import SHANGHAI
from safeweave.consents import Ask, Choice, ConsentId, DataKind, Kept
from safeweave.consents.consent import ENDINGS, Ending, retake_day, state_at
from safeweave.consortium.locking import read_kinds, write_kinds
from safeweave.database import Transaction, at_text
from safeweave.errors import Conflict, NotAllowed
from safeweave.events import ClaimChosen, ConsentEnded, ConsentRenewed, Event
from safeweave.ids import CaseId, PersonId
from safeweave.people import Person
from safeweave.words import Language, say

AT_ONCE = 500  # visits that are asked about in one go

VisitKey = tuple[str, str]  # sender, visit


class LockedClaim(NotAllowed):
    """A claim that may not be decided, since its consent has ended."""

    def __init__(self, case: CaseId, ending: Ending) -> None:
        self.case, self.ending = case, ending
        super().__init__(self.said("en"))

    def said(self, language: Language) -> str:
        """That it is locked, and what opens it."""
        return say(
            "consortium.locked.claim", language, case=self.case, why=say(f"consents.why_not.{self.ending}", language)
        )


class Used(NamedTuple):
    """One consent of ours under which papers of a visit were taken, and what has become of it."""

    sender: str
    visit: str
    consent: ConsentId
    person: PersonId
    named: str
    kinds: tuple[DataKind, ...]
    state: Literal["holds", "ended", "renewed"]
    ending: Ending | None

    @property
    def key(self) -> VisitKey:
        """The visit."""
        return self.sender, self.visit


_USED = "select sender, visit, consent, person, named, kinds, state, ending from consented_visit"


def _read(tx: Transaction, where: str, values: Sequence[object]) -> list[Used]:
    return [
        Used(sender, visit, consent, person, named, read_kinds(kinds), state, ending)
        for sender, visit, consent, person, named, kinds, state, ending in tx.rows(
            f"{_USED} where {where} order by sender, visit, consent", values
        )
    ]


def note_used(tx: Transaction, used: Iterable[Used], now: datetime) -> None:
    """Note that these papers are taken under these consents, which hold now."""
    for each in used:
        kept = consents.consents_by_id(tx, [each.consent])[each.consent]
        person = people.people_by_id(tx, [each.person])[each.person]
        before = _read(tx, "sender = ? and visit = ? and consent = ?", (each.sender, each.visit, each.consent))
        kinds = {*each.kinds, *(kind for row in before for kind in row.kinds)}
        tx.run(
            "insert into consented_visit (sender, visit, consent, person, named, kinds, until, state, asked_at)"
            " values (?, ?, ?, ?, ?, ?, ?, 'holds', ?) on conflict (sender, visit, consent) do update set"
            " kinds = excluded.kinds, until = excluded.until, state = 'holds', ending = null",
            (
                each.sender, each.visit, each.consent, each.person, each.named, write_kinds(kinds),
                at_text(_until(kept, person)), at_text(now),
            ),
        )  # fmt: skip


def _until(kept: Kept, person: Person) -> datetime:
    """When a consent ends by itself."""
    again = retake_day(person.birth, kept.consent.given_at) if person.birth is not None else None
    ends = kept.consent.ends_at
    return ends if again is None else min(ends, datetime.combine(again, time(), SHANGHAI).astimezone(UTC))


# ---------------------------------------------------------------- asking again


def due(tx: Transaction, now: datetime) -> list[Used]:
    """What is to be asked about because its consent is over or was taken back."""
    at = at_text(now)
    return _read(
        tx,
        "state = 'holds' and until <= ?"
        " or state = 'holds' and consent in (select consent from consent_revocation where revoked_at <= ?)",
        (at, at),
    )[:AT_ONCE]


def of_persons(tx: Transaction, persons: Collection[PersonId]) -> list[Used]:
    """Everything taken of these persons that holds or has ended."""
    known = people.people_by_id(tx, persons).values()
    ids = sorted({id for person in known for id in (person.id, *person.former_ids)})
    return _read(tx, "person in ? and state <> 'renewed'", (ids,)) if ids else []


def of_visits(tx: Transaction, keys: Collection[VisitKey]) -> list[Used]:
    """Everything taken of these visits that holds or has ended."""
    return _read(tx, "(sender, visit) in ? and state <> 'renewed'", (sorted(keys),)) if keys else []


def review(tx: Transaction, member: str, used: Sequence[Used], now: datetime) -> list[Event]:
    """Ask for each of these whether a consent to `member` still allows it; what has changed of claims under way."""
    if not used:
        return []
    asks = [Ask(row.person, "process", "", member, "claim", row.kinds, now, row.named) for row in used]
    answers = consents.allowed(tx, asks)
    kept = consents.consents_by_id(tx, [row.consent for row in used])
    persons = people.people_by_id(tx, {row.person for row in used})
    ended: list[Used] = []
    renewed: list[Used] = []
    for row, answer in zip(used, answers, strict=True):
        if answer.consent == row.consent and row.state == "holds":
            _holds_on(tx, row, kept[row.consent], persons[row.person], now)
            continue
        if answer.consent is not None:
            if not _change(tx, row, "renewed", None, now):
                continue
            replacing = row._replace(consent=answer.consent, state="holds", ending=None)
            note_used(tx, [replacing], now)
            renewed += [replacing] if row.state == "ended" else []
        elif row.state == "holds":
            state = state_at(kept[row.consent], persons[row.person], now, for_visit=True)
            if state in ENDINGS and _change(tx, row, "ended", state, now):
                ended.append(row._replace(state="ended", ending=state))
    still = {row.key for row in of_visits(tx, {row.key for row in renewed}) if row.state == "ended"}
    open_ = _open_claims(tx, [*ended, *renewed])
    told: list[Event] = [
        ConsentEnded(open_[row.key].id, row.consent, row.ending) for row in ended if row.key in open_ and row.ending
    ]
    return told + [
        ConsentRenewed(open_[row.key].id, row.consent)
        for row in renewed if row.key in open_ and row.key not in still
    ]  # fmt: skip


def _holds_on(tx: Transaction, row: Used, kept: Kept, person: Person, now: datetime) -> None:
    """A consent taken of a child that has died since holds beyond the birthday, which need not be asked about again."""
    if _until(kept, person) <= now:
        tx.run(
            "update consented_visit set until = ? where sender = ? and visit = ? and consent = ?",
            (at_text(kept.consent.ends_at), row.sender, row.visit, row.consent),
        )


def _change(tx: Transaction, row: Used, state: str, ending: str | None, now: datetime) -> bool:
    """Whether this was news: another transaction may have found the same."""
    return bool(
        tx.run(
            "update consented_visit set state = ?, ending = ?, asked_at = ?"
            " where sender = ? and visit = ? and consent = ? and state = ?",
            (state, ending, at_text(now), row.sender, row.visit, row.consent, row.state),
        )
    )


def _open_claims(tx: Transaction, rows: Sequence[Used]) -> dict[VisitKey, CaseHead]:
    """The cases of these visits that are not decided."""
    keys = sorted({row.key for row in rows})
    found = cases.visits(tx, keys) if keys else {}
    return {key: row.case for key, row in found.items() if row.case is not None and row.case.stage in BEFORE_DECISION}


# ---------------------------------------------------------------- locked


def locked(tx: Transaction, ids: Collection[CaseId]) -> dict[CaseId, Used]:
    """Those of these cases that may not be decided, with the consent that has ended."""
    heads = cases.heads(tx, ids)
    keys = {(head.sender, head.visit): id for id, head in heads.items()}
    return {keys[row.key]: row for row in of_visits(tx, set(keys)) if row.state == "ended"}


def check_decidable(tx: Transaction, case: CaseId) -> None:
    """Raises LockedClaim if the consent that a claim lives on has ended: nobody decides it, nor does a person."""
    row = locked(tx, [case]).get(case)
    if row is not None and row.ending is not None:
        raise LockedClaim(case, row.ending)


def choose(tx: Transaction, consent: ConsentId, choice: Choice, by: PersonId, now: datetime) -> list[Event]:
    """Note what the person chose for the claims that lived on this consent; what follows for those still open.

    Raises NotFound for an unknown consent, Conflict if it has not ended or no claim of it is open.
    """
    consents.choose(tx, [(consent, choice, by)], now)
    member = consents.consents_by_id(tx, [consent])[consent].consent.recipient.member
    told = review(tx, member, _read(tx, "consent = ? and state = 'holds'", (consent,)), now)
    open_ = _open_claims(tx, _read(tx, "consent = ? and state = 'ended'", (consent,)))
    if not open_:
        raise Conflict(say("consortium.locked.no_choice", "en", consent=consent))
    return told + [ClaimChosen(case.id, choice, by) for case in open_.values()]
