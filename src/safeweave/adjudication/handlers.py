"""Decides the claims of cases that are ready, and lets a person decide what the machine may not."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import msgspec

from safeweave import cases, coverage
from safeweave.adjudication import store
from safeweave.adjudication.adjusting import adjusted, by_hand, check
from safeweave.adjudication.determination import Adjustment, Determination
from safeweave.adjudication.engine import ENGINE_VERSION
from safeweave.adjudication.history import History
from safeweave.adjudication.holds import held, holds_of
from safeweave.adjudication.restoring import restored
from safeweave.adjudication.steps import decide
from safeweave.adjudication.store import MACHINE, Decided, PolicyOf, Standing, released
from safeweave.adjudication.turns import in_turn, paid_by_bill, with_compensation
from safeweave.cases import Case
from safeweave.cases.claim import claim_of
from safeweave.clock import shanghai_day
from safeweave.coverage import InsuredPolicy
from safeweave.coverage.product import BY_BILL, Product, parse_product
from safeweave.database import Transaction
from safeweave.errors import Conflict, Malformed, NotAllowed
from safeweave.events import (
    CaseCleared,
    CaseConfirmed,
    CaseReady,
    CaseReferred,
    DeterminationMade,
    Event,
    NothingClaimed,
)
from safeweave.facts import Bill, Claim, Overlay
from safeweave.ids import CaseId, DeterminationId, PersonId, PolicyId, bill_key, derived, hour_of, person_key
from safeweave.money import ZERO, Fen
from safeweave.outbox import visit_subject
from safeweave.words import NotHere
from safeweave.worker import PUT_OFF, Later

BACK_TEST = "book"  # the bank of policies that only re-play a data set: decided as on the day of the bill


class Adjudicator:
    """The products on sale and once on sale, the overlays in force, and the handlers that decide by them."""

    def __init__(self, product_files: Iterable[tuple[str, str]], overlays: Sequence[Overlay] = ()) -> None:
        """`product_files` are (file name, text); raises Malformed if one of them is."""
        self.products: dict[str, Product] = {}
        self._texts: dict[str, str] = {}
        self._kept: set[str] = set()
        self.overlays = tuple(overlays)
        for file, text in product_files:
            product = parse_product(text, file)
            self.products[product.id] = product
            self._texts[product.digest] = text

    def product_text(self, product: str) -> str:
        """The file of a product as it stands here. KeyError if there is none."""
        return self._texts[self.products[product].digest]

    def determine(
        self, ready: Sequence[CaseReady] | Sequence[CaseCleared], tx: Transaction, now: datetime
    ) -> list[Event | Later]:
        """Decide each ready case for every policy that may cover it.

        Nothing is decided on usage or bills that another worker may be changing: a case whose persons and bills cannot
        all be held is put off, and so are those after it of the same persons, which count the usage it leaves.
        """
        found = cases.cases_by_id(tx, [event.case for event in ready])
        policies = cases.insured_policies(tx, {case.person for case in found.values()}, now)
        claims = {case.id: claim_now(tx, case, shanghai_day(now)) for case in found.values()}
        decided, put_off = hold_all(tx, found.values(), policies, claims)
        asked = {event.case: event for event in ready}
        doubts = {event.case: event.reasons for event in ready if isinstance(event, CaseCleared)}
        told: list[Event | Later] = [Later(asked[case], now + PUT_OFF) for case in put_off]
        keys = [(p.policy, p.person) for case in decided for p in policies.get(case.person, ())]
        bills = [bill.key for case in decided for bill in claims[case.id].bills]
        desk = Desk(self, tx, list(dict.fromkeys(keys)), bills)
        referred: list[Event] = []  # told behind what was decided for other policies: a person looks all the same
        for case in decided:
            claim = claims[case.id]
            days = [day for day in (claim.admitted_on, claim.visited_on, claim.accident_on) if day]
            held = policies.get(case.person, ())
            if case.stay.cancelled:
                told += desk.take_back(case.id, claim, held, now)
                continue
            covering = [p for p in held if not days or p.holds_on(days) or desk.paid(p, case.id)]
            unsold = [p for p in covering if p.product not in self.products]
            covering = [p for p in covering if p.product in self.products]
            if covering:
                told += desk.decide_case(case.id, claim, covering, (*case.stay.doubts, *doubts.get(case.id, ())), now)
            if unsold or not covering:
                referred.append(CaseReferred(case.id, ("product_unknown",) if unsold else ("policy_unknown",)))
        desk.save(now)
        return told + referred

    def decide_by_person(
        self, tx: Transaction, case: CaseId, by: str, note: str, refuse: bool, now: datetime,
        adjust: Mapping[PolicyId, Adjustment] | None = None,
    ) -> list[Event]:  # fmt: skip
        """A person's word on what the machine referred: pay what the rules yield, pay otherwise (`adjust`), or refuse.

        Releasing adjudicates again, with today's usage; an adjustment is laid over that. Raises NotFound if nothing of
        the case waits for a person, NotAllowed without a name and a reason, Conflict if there is nothing the rules
        could compute, NotAdjustable for a change that may not be made.
        """
        adjust = adjust or {}
        if not by.strip() or not note.strip():
            raise NotAllowed("a person's decision needs the person's name and the reason in words")
        waiting = store.waiting_for_a_person(tx, case)
        file = cases.cases_by_id(tx, [case])[case]
        if not waiting and file.stage != "referred":
            raise NotHere("cli.not_here.waiting", case=case)
        if file.stage not in ("verified", "referred"):
            raise Conflict(f"case {case} is {file.stage}: what was referred is not what the hospital tells by now")
        unknown = sorted(set(adjust) - {each.policy for each in waiting})
        if unknown:
            raise Conflict(
                f"nothing of case {case} waits under policy {', '.join(unknown)}, so nothing can be adjusted"
            )
        if not waiting:
            return self._decide_undetermined(tx, file, by, note, refuse, now)
        policies = {p.policy: p for p in cases.insured_policies(tx, [file.person], now)[file.person]}
        self._need_products(case, [policies[each.policy] for each in waiting])
        desk = Desk(self, tx, [(p.policy, p.person) for p in policies.values()])
        told: list[Event] = []
        for earlier in waiting:
            claim = claim_now(tx, file, earlier.claim.claimed_on)
            told.append(
                desk.decide_again(
                    earlier, policies[earlier.policy], claim, by, note, refuse, now, adjust.get(earlier.policy)
                )
            )
        desk.save(now)
        return told

    def keys_of(self, tx: Transaction, case: Case, now: datetime) -> set[str]:
        """What is to be held while a person decides a case beside other transactions: what the machine holds."""
        policies = cases.insured_policies(tx, [case.person], now)
        bills = claim_now(tx, case, shanghai_day(now)).bills
        return {visit_subject(case.sender, case.visit), *_person_keys(case, policies), *_bill_keys(bills)}

    def seen_by_person(self, decided: Decided) -> Determination:
        """A determination that waits, as a person finds it: with every line, also where the rules computed none."""
        product = self.products.get(decided.product)
        return by_hand(decided.result, product, decided.cover, decided.claim) if product else decided.result

    def _decide_undetermined(
        self, tx: Transaction, file: Case, by: str, note: str, refuse: bool, now: datetime
    ) -> list[Event]:
        """A person's word on a case referred without a determination: leave what stands, or decide by the rules now."""
        in_force = store.in_force_of(tx, file.id)
        if (in_force or file.stay.cancelled) and refuse:
            raise Conflict(f"what stands of case {file.id} is changed by a corrected or reversed bill, not by refusing")
        claim = claim_now(tx, file, shanghai_day(now))
        bills = {bill.key for bill in claim.bills}
        is_current = all({bill.key for bill in decided.claim.bills} == bills for decided in in_force)
        if file.stay.cancelled or (in_force and is_current):
            return [CaseConfirmed(file.id, by, note)]
        days = [day for day in (claim.admitted_on, claim.visited_on, claim.accident_on) if day]
        held = cases.insured_policies(tx, [file.person], now)[file.person]
        covering = [p for p in held if p.holds_on(days) or p.policy in {decided.policy for decided in in_force}]
        if not covering:
            raise Conflict(f"no policy covers case {file.id}; import it first")
        self._need_products(file.id, covering)
        desk = Desk(self, tx, [(p.policy, p.person) for p in covering])
        told = desk.decide_case(file.id, claim, covering, (), now, by, note, "refuse" if refuse else "")
        desk.save(now)
        return told

    def _need_products(self, case: CaseId, policies: Iterable[InsuredPolicy]) -> None:
        """Raises Conflict if a product of these is not here: a case is not decided while part of it cannot be."""
        if missing := sorted({policy.product for policy in policies} - self.products.keys()):
            raise Conflict(
                f"case {case} is decided by product {', '.join(missing)}, whose file is not here; put it back"
            )

    def reimburses(self, products: Iterable[str]) -> bool:
        """Whether one of these products pays by the bill, or is not known here."""
        return any(
            product not in self.products or any(benefit.kind in BY_BILL for benefit in self.products[product].benefits)
            for product in products
        )

    def waiting_in(self, tx: Transaction, cases: Collection[CaseId]) -> set[CaseId]:
        """Those of these cases of which a determination waits for a person."""
        return store.waiting_in(tx, cases)

    def paid_in(self, tx: Transaction, cases: Collection[CaseId]) -> set[CaseId]:
        """Those of these cases of which a determination stands paid."""
        return store.paid_in(tx, cases)

    def payable_by_visit(self, tx: Transaction, sender: str) -> list[tuple[str, int]]:
        """What stands paid for each (visit, fen) of a sender."""
        tx.flush()
        return tx.rows(
            "with c as materialized (select id, visit from claim_case where sender = ?)"
            " select c.visit, sum(d.payable) from c join determination d on d.case_id = c.id"
            " where d.in_force = 1 group by c.visit",
            (sender,),
        )

    def keep_products(self, tx: Transaction, used: Iterable[Product], now: datetime) -> None:
        """Keep the files of products that decided, once each."""
        new = {product.digest: product for product in used if product.digest not in self._kept}
        store.keep_products(tx, [(d, p.id, self._texts[d]) for d, p in new.items()], now)
        tx.committed.append(lambda: self._kept.update(new))


def hold_all(
    tx: Transaction,
    found: Iterable[Case],
    policies: Mapping[PersonId, Sequence[InsuredPolicy]],
    claims: Mapping[CaseId, Claim],
) -> tuple[list[Case], list[CaseId]]:
    """The cases whose persons and bills this transaction holds, and those it cannot decide now; both in their order."""
    persons = {case.id: _person_keys(case, policies) for case in found}
    bills = {case: _bill_keys(claim.bills) for case, claim in claims.items()}
    held = tx.hold(set().union(*persons.values(), *bills.values()))
    decided: list[Case] = []
    put_off: list[CaseId] = []
    waiting: set[str] = set()  # persons one of whose cases is put off
    for case in found:
        mine = persons[case.id]
        if held.issuperset(mine | bills[case.id]) and waiting.isdisjoint(mine):
            decided.append(case)
        else:
            put_off.append(case.id)
            waiting |= mine
    return decided, put_off


def _person_keys(case: Case, policies: Mapping[PersonId, Sequence[InsuredPolicy]]) -> set[str]:
    """The locks of everybody whose usage counts for a case: who was ill, and by what id the policies know them."""
    return {person_key(case.person), *(person_key(policy.person) for policy in policies.get(case.person, ()))}


def _bill_keys(bills: Iterable[Bill]) -> set[str]:
    return {bill_key(bill.key) for bill in bills}


def claim_now(tx: Transaction, case: Case, claimed_on: date) -> Claim:
    """The claim a case makes, with what is known of its hospital on the first day of the stay."""
    begun_at = case.stay.admitted_at or case.stay.visited_at
    on = shanghai_day(begun_at) if begun_at else claimed_on
    facts = {code: row.facts for code, row in cases.hospitals(tx, [case.stay.hospital], on).items()}
    return claim_of(case.stay, "", claimed_on, facts)


class Foreseen(NamedTuple):
    """What the rules yield for one policy, on the claim as it sees it, and why the machine holds it back."""

    key: PolicyOf
    seen: Claim
    result: Determination
    holds: tuple[str, ...]

    @property
    def decision(self) -> str:
        """What the machine would decide."""
        return "refer" if self.holds else self.result.decision


class Desk:
    """The standing of every policy a batch touches, kept current from one decision to the next."""

    def __init__(
        self, adjudicator: Adjudicator, tx: Transaction, keys: Sequence[PolicyOf], bills: Sequence[str] = ()
    ) -> None:
        self.adjudicator, self.tx = adjudicator, tx
        self.standings: dict[PolicyOf, Standing]
        self.paid_in: dict[str, CaseId]  # where bill keys stand paid, whoever is insured
        self.standings, self.paid_in = store.standings(tx, keys, bills)
        self.keys_of: dict[PersonId, list[PolicyOf]] = {}
        for key in self.standings:
            self.keys_of.setdefault(key[1], []).append(key)
        usages = coverage.usage_of(tx, keys)
        self.histories = {key: History(usages[key], standing.in_force) for key, standing in self.standings.items()}
        self.next_ids: dict[PolicyOf, str] = {}  # of the next determination under each policy
        self.made: list[tuple[Decided, bool]] = []  # with whether a person is to decide
        self.superseded: list[DeterminationId] = []
        self.answered: list[DeterminationId] = []
        self.decided_again: set[CaseId] = set()
        self.used: dict[str, Product] = {}

    def decide_case(
        self, case: CaseId, claim: Claim, covering: Sequence[InsuredPolicy], doubts: Sequence[str], now: datetime,
        by: str = MACHINE, note: str = "", decision: str = "",
    ) -> list[Event]:  # fmt: skip
        """Decide one case for all its policies, in the order kindest to the insured; `decision` is a person's."""
        by_key: Mapping[PolicyOf, InsuredPolicy] = {(p.policy, p.person): p for p in covering}
        foreseen = self.foresee(case, claim, covering, doubts)
        for key in by_key:
            self._answer_earlier(key, case)
        if not foreseen:
            return [NothingClaimed(case)]
        return [
            self._record(
                case, by_key[each.key], self._own(by_key[each.key], case, each.seen), each.result, now, by, note,
                decision, each.holds,
            )
            for each in foreseen
        ]  # fmt: skip

    def foresee(
        self, case: CaseId, claim: Claim, covering: Sequence[InsuredPolicy], doubts: Sequence[str]
    ) -> list["Foreseen"]:
        """What the rules yield now for every policy that is concerned, in the order kindest to the insured."""
        by_key: Mapping[PolicyOf, InsuredPolicy] = {(p.policy, p.person): p for p in covering}

        def one(key: PolicyOf, seen: Claim) -> Determination:
            return self._decided(by_key[key], self._own(by_key[key], case, seen))

        made = in_turn(list(by_key), claim, one)
        concerned = [(key, seen, result) for key, seen, result in made if result.benefits or result.refer]
        if not concerned:
            return []
        others = [
            standing.in_force[determination]
            for standing in (self.standings[key] for key in self.keys_of.get(covering[0].person, ()))
            for determination, other in standing.case_of.items()
            if other != case and determination in standing.in_force
        ]
        holds = holds_of(claim, case, doubts, self.paid_in, others)
        # While a person looks at what one policy has paid, nobody knows what it leaves for the others to pay.
        open_payments = {k for k, _, result in concerned if result.decision != "pay" and self.paid(by_key[k], case)}
        return [
            Foreseen(key, seen, result, (*holds, "recovery") if open_payments - {key} else holds)
            for key, seen, result in concerned
        ]

    def take_back(self, case: CaseId, claim: Claim, held: Sequence[InsuredPolicy], now: datetime) -> list[Event]:
        """Put before a person what was paid for a stay that never was; what waited for a person waits no more."""
        for policy in held:
            self._answer_earlier((policy.policy, policy.person), case)
        told: list[Event] = []
        for policy in held:
            if self.paid(policy, case):
                own = self._own(policy, case, claim)
                told.append(self._record(case, policy, own, self._decided(policy, own), now))
        return told

    def paid(self, policy: InsuredPolicy, case: CaseId) -> bool:
        """Whether a determination of this case is in force under this policy."""
        standing = self.standings.get((policy.policy, policy.person))
        return standing is not None and case in standing.case_of.values()

    def decide_again(
        self, earlier: Decided, policy: InsuredPolicy, claim: Claim, by: str, note: str, refuse: bool, now: datetime,
        adjustment: Adjustment | None = None,
    ) -> Event:  # fmt: skip
        """A person's decision in place of the machine's referral, on what other policies have left uncompensated."""
        key = (earlier.policy, earlier.person)
        standing = [d for d in store.in_force_of(self.tx, earlier.case) if d.id not in self.superseded]
        paid: dict[str, int] = {}
        for other in (*standing, *(decided for decided, _ in self.made if decided.decision == "pay")):
            if (other.policy, other.person) != key:
                for bill, amount in paid_by_bill(released(other)).items():
                    paid[bill] = paid.get(bill, 0) + amount
        claim = self._own(policy, earlier.case, with_compensation(claim, paid))
        determination = self._decided(policy, claim)
        if adjustment is not None and not refuse:
            determination = self._adjusted(policy, claim, determination, adjustment)
        never_was = claim.supersedes is not None and not claim.bills  # nothing to compute: all of it comes back
        if not refuse and not (determination.benefits or determination.decision == "pay" or never_was):
            raise Conflict(
                f"the rules cannot compute case {earlier.case} ({', '.join(determination.refer)});"
                " repair the facts first, or pay by hand, then decide"
            )
        self._answer_earlier(key, earlier.case)
        return self._record(earlier.case, policy, claim, determination, now, by, note, "refuse" if refuse else "pay")

    def restore(self, earlier: Decided, policy: InsuredPolicy, by: str, note: str, now: datetime) -> Event:
        """Put an earlier determination back as it was, in place of what stands or waits now."""
        key = (earlier.policy, earlier.person)
        self._answer_earlier(key, earlier.case)
        claim = self._own(policy, earlier.case, earlier.claim)
        result = restored(released(earlier), earlier.id, claim, self.histories[key])
        return self._record(earlier.case, policy, claim, result, now, by, note, terms=earlier)

    def forget(self) -> None:
        """What was decided here was only to see what would be: nothing of it is kept."""
        for decided, _ in self.made:
            self.tx.memo.pop(decided.id, None)
            self.tx.fresh.discard(decided.id)

    def save(self, now: datetime) -> None:
        """Write what was decided, and the usage it adds and gives back."""
        paid = [decided for decided, _ in self.made if decided.decision == "pay"]
        left = [self.standings[d.policy, d.person].in_force.get(d.id) for d, _ in self.made]
        store.add(self.tx, [(d, settled, waiting) for (d, waiting), settled in zip(self.made, left, strict=True)])
        store.note_paid_bills(
            self.tx, [(f"{bill.code}-{bill.number}", d.id, d.case) for d in paid for bill in d.result.bills]
        )
        store.retire(self.tx, self.superseded, self.answered)
        coverage.add_usage(
            self.tx, [row for d in paid for row in coverage.usage_rows(d.policy, d.person, d.id, d.result.uses)]
        )
        for decided in paid:
            if decided.supersedes:
                coverage.reverse_usage(self.tx, [decided.supersedes], decided.id)
        self.adjudicator.keep_products(self.tx, self.used.values(), now)

    def _own(self, policy: InsuredPolicy, case: CaseId, claim: Claim) -> Claim:
        """The claim under this policy's own number, replacing what was paid for the same case before."""
        key = (policy.policy, policy.person)
        standing = self.standings[key]
        before = next((d for d, c in standing.case_of.items() if c == case), None)
        claimed_on: date = claim.claimed_on
        if policy.bank == BACK_TEST:
            claimed_on = max((bill.on for bill in claim.bills), default=claimed_on)
        if key not in self.next_ids:
            self.next_ids[key] = derived("det", *key, standing.next_sequence, of=policy.person, hour=hour_of(case))
        return msgspec.structs.replace(claim, id=self.next_ids[key], supersedes=before, claimed_on=claimed_on)

    def _decided(self, policy: InsuredPolicy, claim: Claim) -> Determination:
        product = self.adjudicator.products[policy.product]
        key = (policy.policy, policy.person)
        return decide(product, policy.cover, self.histories[key], claim, self.adjudicator.overlays)

    def _adjusted(
        self, policy: InsuredPolicy, claim: Claim, result: Determination, adjustment: Adjustment
    ) -> Determination:
        """What the rules yield with a person's changes. Raises NotAdjustable."""
        product = self.adjudicator.products[policy.product]
        check(adjustment, by_hand(result, product, policy.cover, claim))
        history = self.histories[policy.policy, policy.person]
        return adjusted(result, adjustment, product, policy.cover, history, claim)

    def _answer_earlier(self, key: PolicyOf, case: CaseId) -> None:
        standing = self.standings[key]
        answered = [d for d, c in standing.waiting.items() if c == case]
        self.answered += answered
        if answered:
            self.decided_again.add(case)
        for determination in answered:
            del standing.waiting[determination]

    def _record(
        self, case: CaseId, policy: InsuredPolicy, claim: Claim, result: Determination, now: datetime,
        by: str = MACHINE, note: str = "", decision: str = "", holds: tuple[str, ...] = (),
        terms: Decided | None = None,
    ) -> Event:  # fmt: skip
        """Note what was decided, under the present terms, or under the `terms` of an earlier determination."""
        key = (policy.policy, policy.person)
        if terms is not None:
            of = (terms.product, terms.product_digest, ENGINE_VERSION)
            cover, overlays = terms.cover, terms.overlays
        else:
            product = self.adjudicator.products[policy.product]
            self.used[product.digest] = product
            of, cover, overlays = (product.id, product.digest, ENGINE_VERSION), policy.cover, self.adjudicator.overlays
        standing, history = self.standings[key], self.histories[key]
        usage_before = history.usage
        result = held(result, holds, usage_before)
        decision = decision or result.decision
        payable = ZERO if decision == "refuse" else result.payable
        replaced = DeterminationId(claim.supersedes) if claim.supersedes and decision == "pay" else None
        decided = Decided(
            DeterminationId(claim.id), case, policy.policy, policy.person, standing.next_sequence, *of,
            claim, cover, overlays, usage_before, result, decision, by, note, holds, payable, replaced, now,
        )  # fmt: skip
        self.tx.memo[decided.id] = decided
        self.tx.fresh.add(decided.id)
        waiting = decision in ("refer", "refuse-proposed")
        self.made.append((decided, waiting))
        adjustment: Fen | None = None
        if decision == "pay":
            if replaced:
                adjustment = Fen(payable - standing.in_force[replaced].payable)
                self.superseded.append(replaced)
            after = history.after(claim, released(decided))
            case_of = {d: standing.case_of.get(d, case) for d in after.in_force}
            standing = msgspec.structs.replace(standing, in_force=after.in_force, case_of=case_of)
            self.histories[key] = after
            self.paid_in |= {f"{bill.code}-{bill.number}": case for bill in result.bills}
        elif waiting:
            standing.waiting[decided.id] = case
        self.standings[key] = msgspec.structs.replace(standing, next_sequence=standing.next_sequence + 1)
        del self.next_ids[key]
        return DeterminationMade(
            case, decided.id, policy.policy, policy.person, decision, payable,  # type: ignore[arg-type]
            result.benefits[0].payee if result.benefits else "insured", replaced, adjustment, policy.bank,
            replaced is not None or case in self.decided_again,
        )  # fmt: skip


def product_files(folder: Path | None) -> list[tuple[str, str]]:
    """The (name, text) of every product file in a folder; None: the samples that come with safeweave."""
    source = folder if folder is not None else files("safeweave.coverage") / "products"
    found = sorted((entry for entry in source.iterdir() if entry.name.endswith(".toml")), key=lambda entry: entry.name)
    return [(entry.name, entry.read_text(encoding="utf-8")) for entry in found]


def read_overlays(path: Path) -> tuple[Overlay, ...]:
    """The relaxations of a JSONL file, one `facts.Overlay` a line. Malformed names the line that is not one."""
    overlays = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            try:
                overlays.append(msgspec.json.decode(line, type=Overlay))
            except msgspec.MsgspecError as error:
                raise Malformed(f"not an overlay: {error}", file=str(path), line=number) from None
    return tuple(overlays)
