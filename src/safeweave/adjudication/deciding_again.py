"""Decides paid cases again under the present terms, as one person asked and another approved, and puts them back.

Nothing is recomputed in its place: a case gets new determinations that supersede those that stand, and what the flow
does about any determination follows. The machine pays more or refers; what would be less goes to a person by the rules
(`recovery`). Every case comes out as it was approved, to the fen, or is left with the reason.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

import msgspec

from safeweave import cases
from safeweave.adjudication import again, store
from safeweave.adjudication.again import CaseRow, Expected, Plan, Run
from safeweave.adjudication.determination import Determination
from safeweave.adjudication.handlers import Adjudicator, Desk, claim_now, hold_all
from safeweave.adjudication.store import MACHINE, Decided
from safeweave.cases import Case
from safeweave.coverage import InsuredPolicy
from safeweave.database import Transaction
from safeweave.errors import NotFound
from safeweave.events import (
    AgainApproved,
    AgainAsked,
    CaseDueAgain,
    CaseDueToUndo,
    DeterminationMade,
    Event,
    UndoApproved,
)
from safeweave.facts import Claim
from safeweave.ids import CaseId, PersonId
from safeweave.worker import PUT_OFF, Later

LOOKED_AT_ONCE = 40  # determinations: a transaction of a moment
DUE_AT_ONCE = 200
SETTLED = ("determined", "paid", "closed")  # stages in which nothing else is under way
_SAME = ("payable", "benefits", "lines", "uses", "bills", "stays")  # what a determination comes to


def _nobody(tx: Transaction, cases: Collection[CaseId]) -> Collection[CaseId]:
    return ()


@dataclass
class DecidingAgain:
    """The handlers, and what people do about a run. `locked` says which cases nobody may decide now."""

    adjudicator: Adjudicator
    locked: Callable[[Transaction, Collection[CaseId]], Collection[CaseId]] = field(default=_nobody)

    # ------------------------------------------------------------ people

    def ask(
        self, tx: Transaction, product: str, why: str, wanted: again.Wanted, by: str, name: str, now: datetime
    ) -> tuple[str, list[Event]]:
        """Ask that paid decisions of a product be made again under its present terms; the run, and what to tell.

        Raises NotFound for an unknown product, NotAllowed without a reason.
        """
        terms = self.adjudicator.products.get(product)
        if terms is None:
            raise NotFound(f"there is no product {product} here")
        run = again.ask(tx, product, terms.digest, why, wanted, by, name, now)
        self.adjudicator.keep_products(tx, [terms], now)
        return run, [AgainAsked(run)]

    def answer(
        self, tx: Transaction, run: Run, approve: bool, by: str, name: str, words: str, now: datetime
    ) -> list[Event]:
        """Approve what another person asked for, or reject it; what to tell. Raises NotNow, NotAllowed."""
        if approve and not self._has_terms(run):
            raise again.NotNow("terms")
        again.answer(tx, run, approve, by, name, words, now)
        return [AgainApproved(run.id)] if approve else []

    def answer_undo(self, tx: Transaction, run: Run, approve: bool, by: str, name: str, now: datetime) -> list[Event]:
        """Approve that a run is undone, or leave it; what to tell. Raises NotNow."""
        again.answer_undo(tx, run, approve, by, name, now)
        return [UndoApproved(run.id)] if approve else []

    def _has_terms(self, run: Run) -> bool:
        terms = self.adjudicator.products.get(run.product)
        return terms is not None and terms.digest == run.product_digest

    # ------------------------------------------------------------ what would change

    def look(self, asked: Sequence[AgainAsked], tx: Transaction, now: datetime) -> list[Event | Later]:
        """Find out what would change of the next cases; once there are no more, it is proposed."""
        later: list[Event | Later] = []
        for event in asked:
            run = again.run_with(tx, event.run)
            if run.state != "reading":
                continue
            part, read_to = again.next_cases(tx, run, LOOKED_AT_ONCE)
            again.add_cases(tx, run.id, self._plans(tx, part, now) if part else [])
            again.note_read(tx, run, read_to, len(part))
            if read_to:
                later.append(Later(AgainAsked(run.id), now))
        return later

    def _plans(self, tx: Transaction, part: Sequence[CaseId], now: datetime) -> list[tuple[Plan, again.CaseState, str]]:
        """What would change of these cases, each after those before it; those where nothing does are left out."""
        opened = _Opened(self, tx, part, now)
        desk = opened.desk()
        found: list[tuple[Plan, again.CaseState, str]] = []
        for case in opened.in_turn():
            plan = opened.plan(desk, case)
            if isinstance(plan, str):
                found.append((Plan(case, opened.files[case].person, (), ()), "left", plan))
            elif plan is not None:
                found.append((plan, "planned", ""))
                opened.decide(desk, case, "")
        desk.forget()
        return found

    # ------------------------------------------------------------ carrying out

    def begin(self, approved: Sequence[AgainApproved], tx: Transaction, now: datetime) -> list[Event | Later]:
        """The next cases of these runs are due."""
        return [
            later for event in approved
            for later in self._due(tx, event, "approved", ("planned",), lambda c, r: CaseDueAgain(c, r), now)
        ]  # fmt: skip

    def begin_undo(self, approved: Sequence[UndoApproved], tx: Transaction, now: datetime) -> list[Event | Later]:
        """The next cases that these runs decided are due to be put back."""
        return [
            later for event in approved
            for later in self._due(
                tx, event, "undoing", ("decided", "referred"), lambda c, r: CaseDueToUndo(c, r), now
            )
        ]  # fmt: skip

    def _due(
        self, tx: Transaction, event: AgainApproved | UndoApproved, state: again.State,
        states: Sequence[again.CaseState], due: Callable[[CaseId, str], Event], now: datetime,
    ) -> list[Event | Later]:  # fmt: skip
        run = again.run_with(tx, event.run)
        rows = again.cases_in(tx, run.id, states, event.after, DUE_AT_ONCE) if run.state == state else []
        told: list[Event | Later] = [Later(due(row.plan.case, run.id), now) for row in rows]
        if len(rows) == DUE_AT_ONCE:
            told.append(Later(msgspec.structs.replace(event, after=rows[-1].no), now))
        return told

    def decide(self, due: Sequence[CaseDueAgain], tx: Transaction, now: datetime) -> list[Event | Later]:
        """Decide these cases again if that comes out as it was approved; else they are left as they are."""
        told: list[Event | Later] = []
        for id in dict.fromkeys(event.run for event in due):
            run = again.run_with(tx, id)
            found = again.cases_of(tx, id, [event.case for event in due if event.run == id])
            rows = {case: row for case, row in found.items() if row.state == "planned" and run.state == "approved"}
            if rows:
                told += self._decide(tx, run, rows, now)
        return told

    def _decide(self, tx: Transaction, run: Run, rows: Mapping[CaseId, CaseRow], now: datetime) -> list[Event | Later]:
        opened = _Opened(self, tx, list(rows), now)
        held, put_off = opened.held()
        told: list[Event | Later] = [Later(CaseDueAgain(case, run.id), now + PUT_OFF) for case in put_off]
        desk, moved = opened.desk(), list[CaseRow]()
        for row in sorted((rows[case] for case in held), key=lambda row: row.no):
            case = row.plan.case
            plan = opened.plan(desk, case) if self._has_terms(run) else "terms"
            why = plan if isinstance(plan, str) else _differs(row.plan, plan)
            if why:
                moved.append(msgspec.structs.replace(row, state="left", why=why))
                continue
            made = opened.decide(desk, case, run.why)
            moved.append(_came_of(row, made))
            told += made
        desk.save(now)
        again.move(tx, run.id, moved)
        return told

    # ------------------------------------------------------------ undoing

    def undo(self, due: Sequence[CaseDueToUndo], tx: Transaction, now: datetime) -> list[Event | Later]:
        """Put back what stood before, for each person all that the run decided, unless something came since."""
        told: list[Event | Later] = []
        done: set[CaseId] = set()
        for event in due:
            run = again.run_with(tx, event.run)
            rows = [row for row in again.of_person(tx, run.id, event.case) if row.state in ("decided", "referred")]
            if run.state != "undoing" or event.case in done or not rows:
                continue
            done |= {row.plan.case for row in rows}
            told += self._undo(tx, run, event, rows, now)
        return told

    def _undo(
        self, tx: Transaction, run: Run, event: CaseDueToUndo, rows: Sequence[CaseRow], now: datetime
    ) -> list[Event | Later]:
        opened = _Opened(self, tx, [row.plan.case for row in rows], now)
        if opened.held()[1]:
            return [Later(event, now + PUT_OFF)]
        why = opened.touched(rows)
        if why:
            again.move(tx, run.id, [msgspec.structs.replace(row, state="stays", why=why) for row in rows])
            return []
        desk = opened.desk()
        by = f"{run.undo_name} / {run.undo_answered_name}"
        made = [each for row in reversed(rows) for each in opened.put_back(desk, row, by, run.undo_why)]
        desk.save(now)
        again.move(tx, run.id, [msgspec.structs.replace(row, state="undone") for row in rows])
        return list(made)


def _differs(approved: Plan, now: Plan | None) -> str:
    """Why a case is left that does not come out as it was approved; "" if it does."""
    if now is None or now.before != approved.before:
        return "touched"
    return "" if now.expected == approved.expected else "differs"


def _came_of(row: CaseRow, told: Sequence[Event]) -> CaseRow:
    made = [event for event in told if isinstance(event, DeterminationMade)]
    state: again.CaseState = "decided" if all(event.decision == "pay" for event in made) else "referred"
    return msgspec.structs.replace(row, state=state, made=tuple(event.determination for event in made))


class _Opened:
    """Some cases with all that is known of them, read at once."""

    def __init__(self, rules: DecidingAgain, tx: Transaction, part: Sequence[CaseId], now: datetime) -> None:
        self.rules, self.tx, self.now = rules, tx, now
        self.files: dict[CaseId, Case] = cases.cases_by_id(tx, part)
        self.policies: dict[PersonId, list[InsuredPolicy]] = cases.insured_policies(
            tx, {file.person for file in self.files.values()}, now
        )
        self.decided: dict[CaseId, list[Decided]] = {case: [] for case in self.files}
        for decided in store.of_cases(tx, list(self.files)):
            self.decided[decided.case].append(decided)
        self.claims: dict[CaseId, Claim] = {
            case: claim_now(tx, file, self._claimed_on(case)) for case, file in self.files.items()
        }
        self.locked = set(rules.locked(tx, list(self.files)))

    def _claimed_on(self, case: CaseId) -> date:
        """The day on which it was claimed first: deciding again is no new claim."""
        return self.decided[case][0].claim.claimed_on

    def in_turn(self) -> list[CaseId]:
        """The cases in the order in which they were decided first, whole persons together."""
        return sorted(self.files, key=lambda case: (self.files[case].person, self.decided[case][0].made_at, case))

    def held(self) -> tuple[list[CaseId], list[CaseId]]:
        """The cases that this transaction holds with all that decides about them, and those it cannot have now."""
        held, put_off = hold_all(self.tx, self.files.values(), self.policies, self.claims)
        return [file.id for file in held], put_off

    def desk(self) -> Desk:
        """Where they are decided."""
        keys = [(p.policy, p.person) for file in self.files.values() for p in self.policies.get(file.person, ())]
        bills = [bill.key for claim in self.claims.values() for bill in claim.bills]
        return Desk(self.rules.adjudicator, self.tx, list(dict.fromkeys(keys)), bills)

    def plan(self, desk: Desk, case: CaseId) -> Plan | str | None:
        """What would change, each case after those decided at this desk; a code if it is left; None if nothing."""
        file, claim, standing = self.files[case], self.claims[case], self._standing(desk, case)
        why = self._barred(case, standing)
        if why:
            return why
        covering = self._covering(desk, case)
        if any(policy.product not in self.rules.adjudicator.products for policy in covering):
            return "product_unknown"
        foreseen = desk.foresee(case, claim, covering, file.stay.doubts)
        if {each.key for each in foreseen} != {(d.policy, d.person) for d in standing}:
            return "other_policy"
        before = {(decided.policy, decided.person): decided for decided in standing}
        if all(_is_same(before[each.key].result, each.result) for each in foreseen):
            return None
        after = sum(e.result.payable if e.decision == "pay" else before[e.key].payable for e in foreseen)
        return Plan(
            case, file.person, tuple(sorted(decided.id for decided in standing)),
            tuple(Expected(e.key[0], e.decision, e.result.payable) for e in sorted(foreseen, key=lambda e: e.key)),
            sum(decided.payable for decided in standing), after,
            sum(each.result.payable for each in foreseen if each.decision != "pay"),
        )  # fmt: skip

    def decide(self, desk: Desk, case: CaseId, note: str) -> list[Event]:
        """Decide it again at this desk."""
        file = self.files[case]
        return desk.decide_case(
            case, self.claims[case], self._covering(desk, case), file.stay.doubts, self.now, MACHINE, note
        )

    def put_back(self, desk: Desk, row: CaseRow, by: str, why: str) -> list[Event]:
        """Put back at this desk what stood before, the last first."""
        file = self.files[row.plan.case]
        policies = {(policy.policy, policy.person): policy for policy in self.policies[file.person]}
        by_id = {decided.id: decided for decided in self.decided[file.id]}
        before = {(by_id[id].policy, by_id[id].person): by_id[id] for id in row.plan.before}
        keys = [(by_id[id].policy, by_id[id].person) for id in reversed(row.made)]
        return [desk.restore(before[key], policies[key], by, why, self.now) for key in keys]

    def touched(self, rows: Sequence[CaseRow]) -> str:
        """Why what a run decided for a person stays: something else came since. "" if nothing did."""
        made = {id for row in rows for id in row.made}
        files = [self.files[row.plan.case] for row in rows]
        if self.locked:
            return "locked"
        if any(file.stage not in (*SETTLED, "referred") for file in files):
            return "moved"
        for row, file in zip(rows, files, strict=True):
            if (file.stage == "referred") != (row.state == "referred"):
                return "moved"
        held = {(policy.policy, policy.person) for file in files for policy in self.policies.get(file.person, ())}
        of = {(d.policy, d.person) for own in self.decided.values() for d in own if d.id in made}
        if not of <= held:
            return "not_covered"
        later = store.made_since(self.tx, made)
        return "" if later <= made else "later"

    def _standing(self, desk: Desk, case: CaseId) -> list[Decided]:
        """The determinations of a case in force, one a policy; those just made at this desk included."""
        here = {decided.id: decided for decided in self.decided[case]}
        return [
            here[id] for standing in desk.standings.values()  # type: ignore[index]
            for id, of in standing.case_of.items() if of == case and id in standing.in_force
        ]  # fmt: skip

    def _barred(self, case: CaseId, standing: Sequence[Decided]) -> str:
        file = self.files[case]
        last = {(decided.policy, decided.person): decided for decided in self.decided[case]}.values()
        if case in self.locked:
            return "locked"
        if file.stage == "referred" or any(decided.decision in ("refer", "refuse-proposed") for decided in last):
            return "waiting"
        if file.stage not in SETTLED or file.stay.cancelled or not standing:
            return "moved"
        if any(decided.decision == "refuse" for decided in last):
            return "refused"
        return "adjusted" if any(decided.result.adjusted is not None for decided in standing) else ""

    def _covering(self, desk: Desk, case: CaseId) -> list[InsuredPolicy]:
        claim = self.claims[case]
        days = [day for day in (claim.admitted_on, claim.visited_on, claim.accident_on) if day]
        held = self.policies.get(self.files[case].person, ())
        return [policy for policy in held if not days or policy.holds_on(days) or desk.paid(policy, case)]


def _is_same(before: Determination, after: Determination) -> bool:
    return all(getattr(before, name) == getattr(after, name) for name in _SAME)
