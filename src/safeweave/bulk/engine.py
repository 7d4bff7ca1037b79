"""Decides many claims again: in columns where their shape allows it, one by one with the plain engine where not.

Claims of one chain (a person under a policy) are decided in their order, because each starts from what those before it
used: the first claims of all chains together, then the second ones, and so on. Begin with `decide_all`.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from safeweave.adjudication.determination import Determination, StayDays
from safeweave.adjudication.history import Settled, settled
from safeweave.adjudication.holds import held
from safeweave.adjudication.overlays import NOTHING, Lifts
from safeweave.adjudication.steps import decide
from safeweave.adjudication.turns import in_turn, paid_by_bill, with_compensation
from safeweave.bulk.amounts import Bools, Ints
from safeweave.bulk.batch import Batch, Lookups, Shape
from safeweave.bulk.chains import Chains
from safeweave.bulk.charges import Bills, Charges
from safeweave.bulk.facts import Codes, Days, Facts
from safeweave.bulk.occurrences import REFER_BIT, Occurrences
from safeweave.bulk.results import DECISION, PAY, REFER, REFUSE, REFUSE_PROPOSED, Results, Rows, bits_of
from safeweave.bulk.said import cases_of_chains, refused_in_the_end
from safeweave.bulk.settlement import Settlement
from safeweave.bulk.shapes import HOW, KNOWING, Shapes, how_to_decide, rounds, sharing_bills
from safeweave.bulk.tally import Tally, Use
from safeweave.coverage.product import Product
from safeweave.coverage.usage import LIFETIME as FOR_LIFE
from safeweave.coverage.usage import NO_USAGE, TABLES, Usage, tidied, usage_of
from safeweave.facts import Bill, Claim, PaidBill
from safeweave.money import Fen

CELLS = 32_768  # lines in a batch: enough to make Python's part small, few enough to stay near the processor
MOST_CLAIMS = 8_192  # in a batch, however few lines they have
FEW = 6  # the plain engine is quicker for a batch of fewer claims than this


class Decided(NamedTuple):
    """All determinations, how they were made, and what the chains have used in the end."""

    results: Results
    how: npt.NDArray[np.int8]  # places in HOW: in columns, or why not
    chains: Chains


class Stored(NamedTuple):
    """What was determined, and which of it is not asked about: of each person what came before the rest, or after it.

    What came before counts. What came later does not, but what it replaced is replaced.
    """

    results: Results
    kept: Bools


def decide_all(
    facts: Facts,
    products: Sequence[Product],
    product: Codes,
    *,
    stored: Stored | None = None,
    replaces_by_case: bool = True,
    few: int = FEW,
) -> Decided:
    """Every claim of `facts` decided by the one of `products` that `product` names for it, but for those kept.

    With what is `stored` of them, amounts that a person said stand, and so does what a person refused.
    A later claim of a case replaces what is in force for that case, as it does when claims file themselves; without
    `replaces_by_case` a claim replaces the one it names. Batches of fewer than `few` claims go to the plain engine.
    """
    return _Deciding(Occurrences(facts, products, product), stored, replaces_by_case, few).run()


class Trial(NamedTuple):
    """What claims would pay, for deciding in which order policies are taken."""

    payable: Ints
    of_bill: Ints  # what would be paid of each bill; nothing of claims that would not be released


class _Deciding:
    def __init__(self, occurrences: Occurrences, stored: Stored | None, replaces_by_case: bool, few: int) -> None:
        self.occurrences, self.facts = occurrences, occurrences.facts
        self.stored, self.replaces_by_case, self.few = stored, replaces_by_case, few
        facts = self.facts
        self.how = how_to_decide(occurrences, replaces_by_case)
        self.refused = self.later = np.zeros(facts.count, np.bool_)
        if stored is not None:
            self.how[stored.kept] = HOW.index("kept")
            self.refused = refused_in_the_end(facts, stored.results.claims["final"])
            self.later = stored.kept & _after_the_first(facts, ~stored.kept)
        self.round_of = rounds(occurrences, self.how)
        self.shapes = Shapes(occurrences)
        watched = np.zeros(int(facts.person.max(initial=-1)) + 1, np.bool_)
        watched[facts.person[np.isin(self.how, [HOW.index(how) for how in KNOWING])]] = True
        of_chain = np.zeros(int(facts.chain.max(initial=-1)) + 1, np.bool_)
        of_chain[facts.chain[watched[facts.person]]] = True
        self.chains = Chains(facts, of_chain)
        self.bills, self.lookups = Bills(facts), Lookups()
        self.rows = Rows(facts.count)
        self.verdict = facts.verdict.mapped({"pay": 1, "adjusted": 1, "restored": 1, "refuse": 2}, 0)
        self.holds = np.array([*(bits_of(text.split(",")) for text in facts.holds.texts), 0], np.int64)[facts.holds.at]
        self.is_held = np.array([*(bool(text) for text in facts.holds.texts), False], np.bool_)[facts.holds.at]
        self.order = [{b.id: place for place, b in enumerate(product.benefits)} for product in occurrences.products]
        # whose claims are, or may be, looked at one by one
        alone = watched[facts.person] & ~self.later | (self.how != 0) & (self.how != HOW.index("kept"))
        self.plain = facts.claims_at(np.flatnonzero(alone))
        self.place_of = {(int(facts.chain[at]), claim.id): at for at, (claim, _, _) in self.plain.items()}

    def run(self) -> Decided:
        if self.stored is not None and self.stored.kept.any():
            self._keep(self.stored)
        in_columns = self.how == HOW.index("columns")
        shared = sharing_bills(self.occurrences) & in_columns
        one_by_one = ~in_columns & (self.how != HOW.index("kept"))
        order = np.argsort(self.round_of, kind="stable")
        begins = np.flatnonzero(np.diff(self.round_of[order], prepend=-1))
        for now in np.split(order, begins[1:]):
            for turn in _turns(self.facts, now[one_by_one[now]]):
                self._decide_plainly(turn)
            for batch in self._batches(now[(in_columns & ~shared)[now]]):
                self._decide_batch(*batch)
            self._decide_pairs(now[shared[now]])
        if self.later.any():
            self._replace_by_later()
        return Decided(self.rows.finish(), self.how, self.chains)

    def _keep(self, stored: Stored) -> None:
        """Counts what the earlier determinations that are kept use, and enters those that a claim may know of."""
        results, kept, earlier = stored.results, stored.kept, stored.kept & ~self.later
        for name in ("decision", "payable", "final", "released", "replaced"):
            self.rows.claims[name][kept] = results.claims[name][kept]
        paid = earlier & (results.claims["final"] == PAY)
        replaced = self._superseded_by(paid)
        self.rows.claims["replaced"][earlier] = replaced[earlier]
        counted = paid & ~replaced
        uses, texts, chain = results.tables["uses"], results.texts.texts, self.facts.chain
        rows = np.flatnonzero(counted[uses["claim"]])
        kinds = uses["table"][rows].astype(np.int64) * len(texts) + uses["id_text"][rows]
        for kind in np.unique(kinds).tolist():
            some = rows[kinds == kind]
            key = TABLES[kind // len(texts)], texts[kind % len(texts)]
            self.chains.count_uses(key, chain[uses["claim"][some]], uses["scope"][some], uses["amount"][some])
        for place in np.flatnonzero(counted & self.chains.watched[chain]).tolist():
            claim, _, case = self.plain[place]
            made = msgspec.structs.replace(_stored(results, place, claim), decision="pay")
            left, person = settled(claim, made), int(self.facts.person[place])
            self.chains.remember(int(chain[place]), person, case, claim.id, left, paid_by_bill(made))

    def _superseded_by(self, some: Bools) -> Bools:
        """Claims that were replaced by one of some others."""
        claims = self.facts.tables["claims"]
        superseded = claims["supersedes"].filter(pa.array(some)).drop_null()
        found: Bools = pc.is_in(claims["determination"], superseded).to_numpy()
        return found

    def _replace_by_later(self) -> None:
        """Notes as replaced what was paid for a case, or would be, and another determination was paid for later."""
        final, replaced = self.rows.claims["final"], self.rows.claims["replaced"]
        later = self.later & (final == PAY)
        if not self.replaces_by_case:
            replaced[self._superseded_by(later) & (final == PAY)] = True
            return
        several = np.zeros(self.chains.count, np.bool_)
        several[self.facts.chain[later]] = True
        some = np.flatnonzero(several[self.facts.chain] & (final == PAY))
        case = cases_of_chains(self.facts, some)
        cases, number = np.unique(case, return_inverse=True)
        last = np.full(len(cases), -1)
        np.maximum.at(last, number[later[some]], some[later[some]])
        replaced[some[some < last[number]]] = True

    # ------------------------------------------------------------ in columns

    def _batches(self, who: Ints, few: int | None = None) -> Iterator[tuple[Shape, Ints]]:
        """The claims by shape; those of shapes that only few have are decided one by one at once."""
        few = self.few if few is None else few
        who = who[np.argsort(self.shapes.of[who], kind="stable")]
        begins = np.flatnonzero(np.diff(self.shapes.of[who], prepend=-1))
        for alike in np.split(who, begins[1:]) if len(who) else ():
            if len(alike) < few:
                self.how[alike] = HOW.index("few")
                self.plain |= self.facts.claims_at(alike)
                for claim in alike.tolist():
                    self._decide_plainly([claim])
                continue
            shape = self.shapes.shapes[self.shapes.of[alike[0]]]
            size = min(MOST_CLAIMS, max(1, CELLS // max(1, shape.lines)))
            for first in range(0, len(alike), size):
                yield shape, alike[first : first + size]

    def _decide_pairs(self, who: Ints) -> None:
        """Claims of which two policies share the bills: in the order that pays most, the first policy's if equal (§7).

        What the first one pays is another insurer's compensation for the second one.
        """
        if len(who) < 2 * self.few:
            self.how[who] = HOW.index("few")
            self.plain |= self.facts.claims_at(who)
            for turn in _turns(self.facts, who):
                self._decide_plainly(turn)
            return
        ones, others = who.reshape(-1, 2).T
        ours, bills_of = self.bills.ours, self.facts.bills_of
        alone = self._try(who)
        ours[bills_of(ones)] = alone.of_bill[bills_of(others)]
        ours[bills_of(others)] = alone.of_bill[bills_of(ones)]
        after = self._try(who)
        in_order = alone.payable[ones] + after.payable[others] >= alone.payable[others] + after.payable[ones]
        for first, second in ((ones[in_order], others[in_order]), (others[~in_order], ones[~in_order])):
            ours[bills_of(first)] = 0
            ours[bills_of(second)] = alone.of_bill[bills_of(first)]
        for batch in self._batches(who, few=0):
            self._decide_batch(*batch)

    def _try(self, who: Ints) -> Trial:
        """What the claims would pay as things stand; nothing is noted or counted."""
        trial = Trial(np.zeros(self.facts.count, np.int64), np.zeros(len(self.bills.ours), np.int64))
        for shape, some in self._batches(who, few=0):
            charges, _ = self._read(shape, some)
            if len(charges.who):
                ruled = self._ruled(shape, charges)
                trial.payable[charges.who] = ruled.payable
                for settlement, kept in ruled.settlements:
                    for sheet in settlement.sheets():
                        released = (kept & (ruled.decision == PAY))[sheet.claims]
                        sheet.charges.add_to_bills(trial.of_bill, np.where(released, sheet.paid, 0))
        return trial

    def _decide_batch(self, shape: Shape, who: Ints) -> None:
        charges, stopped = self._read(shape, who)
        for some, codes in stopped:
            nothing = np.zeros(len(some), np.int64)
            pays = self._note(some, np.full(len(some), REFER, np.int8), nothing, codes)
            for claim in some[pays & self.chains.watched[self.chains.of_claim[some]]].tolist():  # a person released it
                self._remember(claim, NO_USAGE, (), (), {})
        if not len(charges.who):
            return
        ruled = self._ruled(shape, charges)
        pays = self._note(charges.who, ruled.decision, ruled.payable, ruled.refer)
        if shape.overlays:
            overlays = self.rows.texts.number(",".join(sorted({overlay.id for overlay in shape.overlays})))
            self.rows.claims["overlays_text"][charges.who[ruled.settlements[0][1]]] = overlays
        for settlement, kept in ruled.settlements:
            self._add(settlement, kept, kept & pays)

    def _read(self, shape: Shape, who: Ints) -> tuple[Charges, list[tuple[Ints, Ints]]]:
        """The charges of the claims whose facts hold together, and the others with the codes that stop them."""
        stopped: list[tuple[Ints, Ints]] = []

        def without_stopped(charges: Charges) -> Charges:
            found = charges.codes != 0
            if not found.any():
                return charges
            stopped.append((charges.who[found], charges.codes[found]))
            return charges.at(np.flatnonzero(~found))

        charges = Charges(self.bills, who, shape.lines, shape.bills)
        if shape.opening.reads_bills:
            charges.read(self.occurrences, shape.refunds)
        charges.codes |= self.occurrences.codes[who]
        charges = without_stopped(charges)
        if shape.opening.reads_bills and len(charges.who):
            charges.share_compensation()
            charges = without_stopped(charges)
        return charges, stopped

    def _ruled(self, shape: Shape, charges: Charges) -> "Ruled":
        """What the rules say of the claims of a batch, relaxed where that pays no less (§5.9, §5.10)."""
        batch = Batch(self.occurrences, self.lookups, shape, charges.who)
        chain, scopes = self.chains.of_claim[batch.who], self.chains.scope_of[batch.who]

        def settled(lifts: Lifts) -> Settlement:
            return Settlement(batch, charges, Tally(self.chains.standing, chain, scopes), lifts)

        everyone = np.ones(batch.count, np.bool_)
        settlements = [(settled(_lifts_of(shape)), everyone)]
        if shape.overlays:
            relaxed, plain = settlements[0][0], settled({})
            worse = relaxed.payable < plain.payable
            settlements = [(relaxed, ~worse), (plain, worse)]
        payable, doubts = np.zeros(batch.count, np.int64), np.zeros(batch.count, np.int64)
        refusing = ~everyone
        for settlement, kept in settlements:
            payable[kept], doubts[kept] = settlement.payable[kept], settlement.doubts[kept]
            refusing[kept] = settlement.has_refusing_cut()[kept]
        if not shape.opening.triggered:
            refusing = everyone
        doubts |= self._claim_doubts(batch, payable)
        decision = np.where(doubts != 0, REFER, np.where((payable == 0) & refusing, REFUSE_PROPOSED, PAY))
        decision[self.refused[batch.who] & (decision == PAY)] = REFER
        return Ruled(settlements, decision.astype(np.int8), payable, doubts)

    def _claim_doubts(self, batch: Batch, payable: Ints) -> Ints:
        """The doubts that concern the claims as a whole (§5.9); there is no `recovery` where no claim is replaced."""
        facts, product = self.facts, batch.shape.product
        triggered = {benefit.id for benefit in batch.shape.opening.triggered}
        doubts = np.zeros(batch.count, np.int64)

        def concerns(benefits: frozenset[str] | None) -> bool:
            return benefits is None or not triggered.isdisjoint(benefits)

        for day, found in _by_stretch(product, "authority", batch.claimed_on):
            for authority in product.authorities_on(day):
                if concerns(authority.benefits):
                    above = found & (payable > authority.amount)
                    doubts |= above * np.int64(REFER_BIT["above_authority"])
        unguarded = self.occurrences.is_minor[batch.who] & ~facts.guardian[batch.who]
        doubts |= unguarded * np.int64(REFER_BIT["guardian_missing"])
        is_male = facts.sex.mapped({"M": 1}, 0)[batch.who] == 1
        for day, found in _by_stretch(product, "sex_rule", batch.day):
            for rule in product.sex_rules_on(day):
                if concerns(rule.benefits):
                    conflict = np.where(is_male, batch.has_illness(rule.female_icd), batch.has_illness(rule.male_icd))
                    doubts |= (found & conflict) * np.int64(REFER_BIT["sex_conflict"])
        return doubts

    def _note(self, who: Ints, decision: npt.NDArray[np.int8], payable: Ints, refer: Ints) -> Bools:
        """Notes what was decided of claims, held back where it was; which of them pay in the end."""
        decision = np.where(self.is_held[who], REFER, decision).astype(np.int8)
        claims = self.rows.claims
        claims["decision"][who], claims["payable"][who] = decision, payable
        claims["refer"][who] = refer | self.holds[who]
        verdict = self.verdict[who]
        final = np.where(verdict == 1, PAY, np.where(verdict == 2, REFUSE, decision)).astype(np.int8)
        claims["final"][who] = final
        claims["released"][who] = np.where(final == REFUSE, 0, payable)
        found: Bools = final == PAY
        return found

    def _add(self, settlement: Settlement, kept: Bools, pays: Bools) -> None:
        """Adds the rows of the claims that are kept, and counts what those that pay use."""
        batch = settlement.batch
        order = self.order[self.occurrences.product[batch.who[0]]]
        for sheet in settlement.benefits:
            self.rows.add_sheet(sheet, order[sheet.benefit.id], batch, self.occurrences.payee, kept)
        for benefit, claims, skipped, paid in settlement.stays:
            some = kept[claims]
            self.rows.add_stays(benefit, batch.who[claims[some]], skipped[some], paid[some])
        uses = list(settlement.tally.uses(kept))
        self.rows.add_uses(uses, batch)
        for use in uses:
            counted = pays[use.claims]
            np.add.at(self.chains.standing.column(use.basis, use.key), use.scopes[counted], use.amounts[counted])
        for place in np.flatnonzero(pays & self.chains.watched[self.chains.of_claim[batch.who]]).tolist():
            self._remember_of(settlement, uses, place)

    def _remember_of(self, settlement: Settlement, uses: Sequence[Use], place: int) -> None:
        """Enters a claim of a batch into the history of its chain."""
        batch = settlement.batch
        used = usage_of(
            (use.key[0], self._scope_text(batch, place, int(use.places[at])), use.key[1], int(use.amounts[at]))
            for use in uses
            for at in np.flatnonzero(use.claims == place).tolist()
        )
        stays = tuple(
            StayDays(benefit.id, int(skipped[at]), int(paid[at]))
            for benefit, claims, skipped, paid in settlement.stays
            for at in np.flatnonzero(claims == place).tolist()
        )
        claim, _, _ = self.plain[int(batch.who[place])]
        bills = claim.bills if batch.shape.opening.reads_bills else ()
        paid_for: dict[str, int] = {}
        for sheet in settlement.sheets():
            for at in np.flatnonzero(sheet.claims == place).tolist():
                own = sheet.charges.at(np.array([at]))
                for bill, amounts in zip(bills, own.sums_by_bill(sheet.paid[:, [at]]), strict=False):
                    paid_for[bill.key] = paid_for.get(bill.key, 0) + int(amounts[0])
        self._remember(int(batch.who[place]), used, stays, bills, paid_for)

    def _remember(
        self, place: int, uses: Usage, stays: tuple[StayDays, ...], bills: Sequence[Bill], paid: dict[str, int]
    ) -> None:
        """Enters a claim into the history of its chain, which a later claim will read."""
        claim, _, case = self.plain[place]
        illness = claim.diagnoses[0][:3] if claim.diagnoses else ""
        made_paid = tuple(PaidBill(bill.code, bill.number, bill.total) for bill in bills)
        payable = Fen(int(self.rows.claims["payable"][place]))
        left = Settled(payable, uses, made_paid, claim.admitted_on, claim.discharged_on, illness, stays)
        chain, person = int(self.facts.chain[place]), int(self.facts.person[place])
        self.chains.remember(chain, person, case, claim.id, left, paid)

    def _scope_text(self, batch: Batch, place: int, year: int) -> str:
        if year < 0:
            return FOR_LIFE
        return date.fromordinal(int(self.facts.periods.first_day[batch.covers[place], year])).isoformat()

    # ------------------------------------------------------------ one by one

    def _decide_plainly(self, turn: Sequence[int]) -> None:
        """Decides claims of one turn by the plain engine, those that share bills in the order that pays most."""
        by_rules = [place for place in turn if self.verdict[place] == 0]
        sharing = [
            place for place in by_rules if self.occurrences.openings[self.occurrences.opening[place]].reads_bills
        ]
        for place in by_rules:
            if place not in sharing:
                self._enter(place, self._ruled_plainly(place, self.plain[place][0]))
        if sharing:
            first, _, _ = self.plain[sharing[0]]
            for place, seen, made in in_turn(sharing, first, lambda place, seen: self._ruled_plainly(place, seen)):
                self._enter(place, made, seen)
        for place in turn:
            if self.verdict[place]:  # a person decides on what the other policies have left
                claim, _, case = self.plain[place]
                if self.stored is not None and self.how[place] == HOW.index("stands"):
                    self._enter(place, self._as_said(self.stored.results, place))
                    continue
                chain, person = int(self.facts.chain[place]), int(self.facts.person[place])
                seen = with_compensation(claim, self.chains.paid_by_others(chain, person, case))
                self._enter(place, self._ruled_plainly(place, seen), seen)

    def _own(self, place: int, seen: Claim) -> Claim:
        """The claim of a row with the bills as its policy sees them, and the claim it replaces now."""
        claim, _, case = self.plain[place]
        replaces = claim.supersedes
        if self.replaces_by_case:
            replaces = self.chains.in_force_for(int(self.facts.chain[place]), case)
        return msgspec.structs.replace(claim, bills=seen.bills, supersedes=replaces)

    def _ruled_plainly(self, place: int, seen: Claim) -> Determination:
        """What the rules say of a claim with the bills of another."""
        product = self.occurrences.products[self.occurrences.product[place]]
        history = self.chains.history(int(self.facts.chain[place]))
        overlays = self.facts.overlays[self.facts.overlay.at[place]]
        made = decide(product, self.plain[place][1], history, self._own(place, seen), overlays)
        if self.refused[place] and made.decision == "pay":
            return msgspec.structs.replace(made, decision="refer", usage=tidied(history.usage))
        return made

    def _as_said(self, results: Results, place: int) -> Determination:
        """What was determined of a claim whose amounts a person said, laid over what is in force now."""
        claim = self._own(place, self.plain[place][0])
        made = _stored(results, place, claim)
        replaced = self.chains.history(int(self.facts.chain[place])).in_force.get(claim.supersedes or "")
        adjustment = None if replaced is None else Fen(made.payable - replaced.payable)
        return msgspec.structs.replace(made, adjustment=adjustment)

    def _enter(self, place: int, ruled: Determination, seen: Claim | None = None) -> None:
        """Notes and counts what was decided of a claim."""
        facts, chain, person = self.facts, int(self.facts.chain[place]), int(self.facts.person[place])
        claim = self._own(place, seen or self.plain[place][0])
        history = self.chains.history(chain)
        holds = tuple(code for code in facts.holds.texts[facts.holds.at[place]].split(",") if code)
        made = held(ruled, holds, history.usage)
        bills = [bill.key for bill in claim.bills]
        order = self.order[self.occurrences.product[place]]
        if self.how[place] == HOW.index("stands"):  # benefits as they were, which a changed product may not have
            order = {id: at for at, id in enumerate(dict.fromkeys(benefit.benefit for benefit in made.benefits))}
        self.rows.add(place, made, order, bills)
        verdict = self.verdict[place]
        final = REFUSE if verdict == 2 else PAY if verdict == 1 else DECISION[made.decision]
        self.rows.claims["final"][place] = final
        self.rows.claims["released"][place] = 0 if final == REFUSE else made.payable
        if final == PAY:
            released = msgspec.structs.replace(made, decision="pay")
            after = history.after(claim, released)
            replaced = self.chains.settle(chain, person, self.plain[place][2], claim, released, after)
            for gone in replaced:
                self.rows.claims["replaced"][self.place_of[chain, gone]] = True


class Ruled(NamedTuple):
    """What the rules say of the claims of a batch; each settlement counts for the claims that its mask keeps.

    With relaxations in force, the first settlement is the relaxed one.
    """

    settlements: list[tuple[Settlement, Bools]]
    decision: npt.NDArray[np.int8]
    payable: Ints
    refer: Ints


def _after_the_first(facts: Facts, some: Bools) -> Bools:
    """Claims that come after the first one of some claims of their person."""
    first = np.full(int(facts.person.max(initial=-1)) + 1, facts.count)
    places = np.flatnonzero(some)[::-1]
    first[facts.person[places]] = places  # the first one is written last
    return np.arange(facts.count) > first[facts.person]


def _stored(results: Results, place: int, claim: Claim) -> Determination:
    """What was determined of a claim, with the bills it makes paid."""
    made = results.determination(place, claim.id, [bill.key for bill in claim.bills])
    if not made.lines:
        return made
    dropped = set(made.duplicates)
    paid = tuple(PaidBill(b.code, b.number, b.total) for b in claim.bills if b.key not in dropped)
    return msgspec.structs.replace(made, bills=paid)


def _turns(facts: Facts, who: Ints) -> Iterator[list[int]]:
    """The claims by turn, each in the order of the person's policies."""
    begins = np.flatnonzero(np.diff(facts.turn[who], prepend=-1))
    for turn in np.split(who, begins[1:]) if len(who) else ():
        yield turn.tolist()


def _by_stretch(product: Product, kind: str, days: Days) -> Iterator[tuple[date, Bools]]:
    """The claims by stretches of days on which no block of a kind changes, each with one of its days."""
    changes = sorted({block.from_day.toordinal() for block in product.blocks_of(kind)})
    if not changes:
        return
    stretch = np.searchsorted(np.array(changes), days, side="right")
    for number in np.unique(stretch).tolist():
        found = stretch == number
        yield date.fromordinal(int(days[found.argmax()])), found


def _lifts_of(shape: Shape) -> Lifts:
    lifts: Lifts = {}
    for overlay in shape.overlays:
        for benefit in shape.product.benefits:
            if overlay.benefits is None or benefit.id in overlay.benefits:
                lifts[benefit.id] = lifts.get(benefit.id, NOTHING) | set(overlay.lifts)
    return lifts
