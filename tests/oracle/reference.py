"""A second, deliberately literal reading of the story format, used only to check the engine.

Written from the format's text alone, section by section, without looking at the engine: where the two differ, one of
them has misread a sentence. Speed and handling of malformed files are not its concern. The input is a story in the bulk
form (days as strings) and the products as read from their files; the output is the list of determinations as plain
dictionaries, money as strings. The paragraph signs name the sections of the story format.
"""

import copy
import re
from collections import Counter
from datetime import date, timedelta
from fractions import Fraction
from math import floor

SOURCES = ["other_insurer", "employer", "third_party", "charity"]  # §3, in this order
BY_BILL = ("inpatient", "outpatient", "accident")  # §2
ORDINARY_REASONS = {"netted", "social_paid", "other_paid", "earlier_benefit", "deductible", "copayment"}  # §5.9
ICD_FORM = re.compile(r"[A-Z][0-9][0-9](\.[0-9]{1,3}(x[0-9]{3})?)?")
CATEGORY_FORM = re.compile(r"0[1-9]|1[0-4]")


# ---------------------------------------------------------------- §1 values


def fen(text):
    """Whole fen of a money string."""
    sign = -1 if text.startswith("-") else 1
    whole, cents = text.lstrip("-").split(".")
    return sign * (int(whole) * 100 + int(cents))


def yuan(amount):
    """The money string of whole fen."""
    sign = "-" if amount < 0 else ""
    return f"{sign}{abs(amount) // 100}.{abs(amount) % 100:02d}"


def day(value):
    """A day from its text; None stays None; a date stays a date."""
    if value is None or isinstance(value, date):
        return value
    return date.fromisoformat(value)


def share(total, weights):
    """§1: floor of T·w/sum, the missing fen one each to the largest fractional parts, ties to the earlier."""
    weight = sum(weights)
    if total == 0 or weight == 0:
        return [0] * len(weights)
    assert 0 <= total <= weight, (total, weights)
    return floors_with_rest(total, [Fraction(total * w, weight) for w in weights])


def floors_with_rest(total, exact):
    """Floors of the exact parts; the fen missing to the total go one each to the largest fractional parts."""
    parts = [floor(x) for x in exact]
    by_fraction = sorted(range(len(exact)), key=lambda i: (parts[i] - exact[i], i))
    for i in by_fraction[: total - sum(parts)]:
        parts[i] += 1
    return parts


def half_up(x):
    """§1: .5 fen rounds up."""
    return floor(Fraction(x) + Fraction(1, 2))


def age(birth, on):
    """§1: full years by month and day."""
    return on.year - birth.year - ((on.month, on.day) < (birth.month, birth.day))


def has_prefix(code, prefixes):
    """§1: a prefix matches by plain string start."""
    return any(code.startswith(prefix) for prefix in prefixes)


# ---------------------------------------------------------------- §2 product


class Product:
    def __init__(self, product):
        self.id = product["product"]
        self.benefits = sorted(product["benefit"], key=lambda b: b["order"])
        self.lists = product

    def blocks(self, kind, on, benefit=None):
        """§2 In force on day D: for each kind and id the block with the latest `from` <= D, unless it is ended."""
        latest = {}
        for block in self.lists.get(kind, []):
            if day(block["from"]) <= on:
                held = latest.get(block["id"])
                if held is None or day(held["from"]) < day(block["from"]):
                    latest[block["id"]] = block
        in_force = [latest[i] for i in sorted(latest) if not latest[i].get("ended", False)]
        if benefit is None:
            return in_force
        return [b for b in in_force if b.get("benefits") is None or benefit in b["benefits"]]

    def block(self, kind, on, benefit):
        """The one block of a kind for a benefit, or None."""
        found = self.blocks(kind, on, benefit)
        assert len(found) <= 1, (kind, benefit, [b["id"] for b in found])
        return found[0] if found else None


def clause_of(block):
    return block["clause"] if block else ""


# ---------------------------------------------------------------- the policy


class Period:
    def __init__(self, period):
        self.first = day(period["first_day"])
        self.last = day(period["last_day"])
        self.since = day(period.get("since")) or self.first  # §3
        self.key = self.first.isoformat()

    def holds(self, on):
        return self.first <= on <= self.last


class Usage:
    """§3 usage: {scope: {deductible, limit, days, count}}, all whole numbers inside."""

    def __init__(self):
        self.values = Counter()  # (scope, table, key) -> number

    @classmethod
    def from_rows(cls, rows):
        usage = cls()
        for row in rows:
            for table in ("deductible", "limit"):
                for key, value in row.get(table, {}).items():
                    usage.values[row["scope"], table, key] += fen(value)
            for table in ("days", "count"):
                for key, value in row.get(table, {}).items():
                    usage.values[row["scope"], table, key] += value
        return usage

    def get(self, scope, table, key):
        return self.values[scope, table, key]

    def plus(self, other, sign=1):
        result = Usage()
        result.values = Counter(self.values)
        for key, value in other.values.items():
            result.values[key] += sign * value
        return result

    def rows(self):
        """§4 usage: rows as in the input, sorted by scope, without zeros and empty tables."""
        by_scope = {}
        for (scope, table, key), value in sorted(self.values.items()):
            if value != 0:
                shown = yuan(value) if table in ("deductible", "limit") else value
                by_scope.setdefault(scope, {"scope": scope}).setdefault(table, {})[key] = shown
        return [by_scope[scope] for scope in sorted(by_scope)]


class InForce:
    """What a paid claim left behind (§5.8, §6)."""

    def __init__(self, claim_id, payable, uses, bills, stays, decided):
        self.id = claim_id
        self.payable = payable
        self.uses = uses
        self.bills = bills  # bill key -> total
        self.stays = stays  # allowance benefit -> Stay
        self.decided = decided


class Stay:
    """A stay for which an allowance was not cut as a whole."""

    def __init__(self, days, illness, admitted, discharged, skipped, paid):
        self.days = days
        self.illness = illness
        self.admitted = admitted
        self.discharged = discharged
        self.skipped = skipped  # with those of the stays it continues
        self.paid = paid


# ---------------------------------------------------------------- bills


def bill_key(bill):
    return f"{bill['code']}-{bill['number']}"


def content(bill, claim):
    """§5.2 duplicate_bill: the content of a bill with defaults filled in and lists in any order."""
    filled = copy.deepcopy(bill)
    filled.setdefault("state", "issued")
    filled.setdefault("accounted", False)
    filled.setdefault("other_paid", [])
    filled.setdefault("hospital", claim.get("hospital"))  # §3: "hospital, else the claim's"
    for line in filled["line"]:
        line.setdefault("ward", "ordinary")
    return freeze(filled)


def freeze(value):
    if isinstance(value, dict):
        return frozenset((key, freeze(item)) for key, item in value.items() if item is not None)
    if isinstance(value, list):
        return frozenset(Counter(freeze(item) for item in value).items())
    if isinstance(value, date):
        return value.isoformat()
    return value


class Line:
    """A line of a bill that was read; everything is netted, in fen."""

    def __init__(self, bill, line):
        self.bill = bill
        self.no = line["no"]
        self.raw = line
        self.refund = "refund_of" in line
        self.gross = fen(line["amount"])
        self.amount = self.gross
        self.split = {k: fen(v) for k, v in line["split"].items()} if "split" in line else None
        self.days = line.get("days")
        self.social_given = fen(line["social_paid"]) if "social_paid" in line else None
        self.on = day(line.get("on"))
        self.category = line["category"]
        self.klass = line["class"]
        self.code = line.get("code")
        self.ward = line.get("ward", "ordinary")
        self.treatment = line.get("treatment")
        self.original = None
        self.netted = 0
        self.social = 0
        self.other = dict.fromkeys(SOURCES, 0)


class Bill:
    def __init__(self, bill, claim):
        self.raw = bill
        self.key = bill_key(bill)
        self.kind = bill["kind"]
        self.on = day(bill["on"])
        self.total = fen(bill["total"])
        self.settled = bill.get("social") == "settled"
        self.own_hospital = bill.get("hospital")
        self.hospital = bill.get("hospital") or claim.get("hospital")
        self.lines = [Line(self, line) for line in sorted(bill["line"], key=lambda line: line["no"])]
        self.fund_and_other = 0  # F

    def money(self, key):
        return fen(self.raw[key]) if key in self.raw else None

    def ordinary_lines(self):
        return [line for line in self.lines if not line.refund]


# ---------------------------------------------------------------- one claim


class Claim:
    def __init__(self, story, product, claim, usage, in_force, superseded):
        self.story = story
        self.product = product
        self.raw = claim
        self.policy = story["policy"]
        self.periods = [Period(p) for p in self.policy["period"]]
        self.usage = usage
        self.in_force = in_force  # the superseded one is no longer among them
        self.superseded = superseded
        self.kind = claim["kind"]
        self.claimed = day(claim["claimed_on"])
        self.admitted = day(claim.get("admitted_on"))
        self.discharged = day(claim.get("discharged_on"))
        self.died = day(claim.get("died_on"))
        self.accident = claim.get("accident", False)
        self.accident_on = day(claim.get("accident_on"))
        self.found = day(claim.get("first_found_on"))
        self.diagnoses = claim.get("diagnoses", [])
        self.enrolled = self.policy["enrolled"]
        # §5.1 The claim day, by claim kind.
        self.day = {
            "inpatient": self.admitted,
            "outpatient": day(claim.get("visited_on")),
            "diagnosis": day(claim.get("diagnosed_on")),
            "death": self.died,
        }[self.kind]
        self.triggered = [b for b in product.benefits if self.is_triggered(b)]
        self.reads_bills = any(b["kind"] in BY_BILL for b in self.triggered)
        self.reads_hospital = bool(self.triggered) and self.kind in ("inpatient", "outpatient")
        self.bills = []
        self.duplicates = []

    # ------------------------------------------------------------ §5.1

    def is_triggered(self, benefit):
        kind = benefit["kind"]
        if kind == "inpatient":
            return self.kind == "inpatient"
        if kind == "outpatient":
            wanted = benefit.get("treatments")
            return self.kind == "outpatient" and (wanted is None or self.raw.get("treatment") in wanted)
        if kind == "accident":
            return self.accident and self.kind in ("inpatient", "outpatient")
        if kind == "allowance":
            return self.kind == "inpatient" and (self.accident or not benefit.get("accident_only", False))
        if kind == "lump_sum":
            return self.kind == benefit["trigger"]
        return False  # an overflow benefit follows its `after` benefit, §5.7

    def event_day(self, benefit):
        return self.accident_on if benefit["kind"] == "accident" else self.day

    def period_of(self, on):
        for period in self.periods:
            if period.holds(on):
                return period
        return None

    @property
    def main(self):
        return self.diagnoses[0]

    def is_minor(self):
        return age(day(self.policy["birth"]), self.claimed) < 18

    # ------------------------------------------------------------ §5.2 first round

    def paid_before(self):
        """Bill key -> totals it was paid with."""
        paid = {}
        for bill in self.story.get("paid_bill", []):
            paid.setdefault(bill_key(bill), set()).add(fen(bill["total"]))
        for claim in self.in_force:
            for key, total in claim.bills.items():
                paid.setdefault(key, set()).add(total)
        return paid

    def checks_of_the_claim(self):
        codes = set()
        claim = self.raw
        # dates_unclear
        if self.day is None:
            codes.add("dates_unclear")
        if self.kind == "inpatient":
            left_before = self.discharged is not None and self.admitted is not None and self.discharged < self.admitted
            if self.discharged is None or left_before:
                codes.add("dates_unclear")
        if self.accident and self.accident_on is None:
            codes.add("dates_unclear")
        if self.day is not None:
            if self.day > self.claimed:
                codes.add("dates_unclear")
            if self.accident_on is not None and self.accident_on > self.day:
                codes.add("dates_unclear")
            if self.found is not None and self.found > self.day:
                codes.add("dates_unclear")
        # diagnosis_missing, unknown_code
        if not self.diagnoses:
            codes.add("diagnosis_missing")
        if any(not ICD_FORM.fullmatch(code) for code in self.diagnoses):
            codes.add("unknown_code")
        # hospital_unknown
        if self.reads_hospital and not is_known(claim.get("hospital")):
            codes.add("hospital_unknown")
        # reissue_unlinked
        if "supersedes" in claim and self.superseded is None:
            codes.add("reissue_unlinked")
        return codes

    def first_round(self):
        codes = self.checks_of_the_claim()
        if not self.reads_bills:
            return codes
        paid_before = self.paid_before()
        first_copies = {}
        kept = []
        for raw in sorted(self.raw.get("bill", []), key=lambda b: (day(b["on"]), b["code"], b["number"])):
            key = bill_key(raw)
            this = content(raw, self.raw)
            copies = first_copies.setdefault(key, [])
            if this in copies:
                self.duplicates.append(key)  # an equal second copy
                continue
            if copies:
                codes.add("duplicate_bill")  # different content
            copies.append(this)
            if key in paid_before:
                if fen(raw["total"]) in paid_before[key]:
                    self.duplicates.append(key)
                    continue
                codes.add("duplicate_bill")
            kept.append(raw)
        self.duplicates = list(dict.fromkeys(self.duplicates))
        self.bills = [Bill(raw, self.raw) for raw in kept]
        for bill in self.bills:
            codes |= self.checks_of_a_bill(bill, paid_before)
        codes |= self.checks_of_bed_days()
        return codes

    def checks_of_a_bill(self, bill, paid_before):
        codes = set()
        raw = bill.raw
        stay_known = self.admitted is not None and self.discharged is not None
        if bill.kind == "inpatient" and self.kind != "inpatient":
            codes.add("dates_unclear")
        for line in bill.lines:
            if not CATEGORY_FORM.fullmatch(line.category) or line.klass not in ("甲", "乙", "丙"):
                codes.add("unknown_code")
            if line.refund or bill.kind != "inpatient":
                continue
            if line.on is not None:
                if (self.admitted is not None and line.on < self.admitted) or (
                    self.discharged is not None and line.on > self.discharged
                ):
                    codes.add("dates_unclear")
            elif stay_known:
                period = self.period_of(self.admitted)
                if period is not None and self.discharged > period.last:
                    codes.add("line_dates_missing")
        if bill.own_hospital is not None and not is_known(bill.own_hospital):
            codes.add("hospital_unknown")
        if "replaces" in raw and bill_key(raw["replaces"]) in paid_before:
            codes.add("reissue_unlinked")
        if raw.get("state", "issued") == "reversed":
            codes.add("bill_reversed")
        if bill.total < 0:
            codes.add("negative_amount")
        # totals
        if bill.total != sum(line.gross for line in bill.lines):
            codes.add("totals_differ")
        for line in bill.lines:
            if line.split is not None and sum(line.split.values()) != line.gross:
                codes.add("totals_differ")
        # social
        if "social" not in raw:
            codes.add("social_split_missing")
        if bill.settled:
            four = [bill.money(key) for key in ("fund", "other", "account", "cash")]
            if None in four:
                codes.add("social_split_missing")
            else:
                if min(four) < 0:
                    codes.add("negative_amount")
                if bill.total != sum(four):
                    codes.add("totals_differ")
            other_way = [bill.money(key) for key in ("fund", "other", "self_pay", "self_cost")]
            if None not in other_way and bill.total != sum(other_way):
                codes.add("totals_differ")
            if not self.enrolled:
                codes.add("enrolment_conflict")
        codes |= net(bill)
        return codes

    def checks_of_bed_days(self):
        """bed_days_missing, bed_days_differ; a single line without `days` gets the stay days."""
        codes = set()
        beds = [
            line
            for bill in self.bills
            if bill.kind == "inpatient"
            for line in bill.ordinary_lines()
            if line.category == "01"
        ]
        if len(beds) > 1 and any(line.days is None for line in beds):
            codes.add("bed_days_missing")
        if self.admitted is not None and self.discharged is not None:
            stay_days = max(1, (self.discharged - self.admitted).days)
            if sum(line.days for line in beds if line.days is not None) > stay_days + 1:
                codes.add("bed_days_differ")
            if len(beds) == 1 and beds[0].days is None:
                beds[0].days = stay_days
        return codes

    # ------------------------------------------------------------ §5.2 second round

    def second_round(self):
        codes = set()
        for bill in self.bills:
            codes |= self.share_social(bill)
            codes |= self.share_other(bill, shared=not codes)
        return codes

    def share_social(self, bill):
        lines = bill.ordinary_lines()
        paid = bill.money("fund") + bill.money("other") if bill.settled else 0
        bill.fund_and_other = paid
        if paid == 0:
            return set()
        if all(line.social_given is None for line in lines):
            weights = []
            for line in lines:
                if line.split is not None:
                    weights.append(line.split["within"])
                else:
                    weights.append(0 if line.klass == "丙" else line.amount)
            if paid > sum(weights):
                return {"social_exceeds_scope"}
            for line, part in zip(lines, share(paid, weights), strict=True):
                line.social = part
            return set()
        if any(line.social_given is None for line in lines):
            return {"social_split_missing"}
        if sum(line.social_given for line in lines) != paid or any(
            not 0 <= line.social_given <= line.amount for line in lines
        ):
            return {"totals_differ"}
        for line in lines:
            line.social = line.social_given
        return set()

    def share_other(self, bill, shared):
        codes = set()
        lines = bill.ordinary_lines()
        entries = [(entry["source"], fen(entry["yuan"])) for entry in bill.raw.get("other_paid", [])]
        if any(amount < 0 for _, amount in entries):
            codes.add("negative_amount")
        if sum(amount for _, amount in entries) > bill.total - bill.fund_and_other:
            codes.add("compensation_exceeds_cost")
        if bill.raw.get("accounted", False) and all(source != "other_insurer" for source, _ in entries):
            codes.add("other_insurer_unknown")
        if codes or not shared:
            return codes
        for source in SOURCES:
            total = sum(amount for name, amount in entries if name == source)
            weights = [line.amount - line.social - sum(line.other.values()) for line in lines]
            for line, part in zip(lines, share(total, weights), strict=True):
                line.other[source] = part
        return codes


def is_known(hospital):
    return hospital is not None and all(hospital.get(key) is not None for key in ("id", "level", "public"))


def net(bill):
    """§5.2 negative_line and netting."""
    codes = set()
    by_no = {line.no: line for line in bill.lines}
    for line in bill.lines:
        if not line.refund:
            if line.gross < 0:
                codes.add("negative_line")
            continue
        if line.gross > 0:
            codes.add("negative_line")
        original = by_no.get(line.raw["refund_of"])
        if original is None or original.refund or original.gross < 0:
            codes.add("negative_line")
            continue
        line.original = original
        original.amount += line.gross
        original.netted -= line.gross
        if (line.split is None) != (original.split is None):
            codes.add("negative_line")
        elif original.split is not None:
            original.split = {key: original.split[key] + line.split[key] for key in original.split}
        if original.social_given is not None and line.social_given is not None:
            original.social_given += line.social_given
        if original.days is not None and line.days is not None:
            original.days += line.days
    for line in bill.ordinary_lines():
        parts = list(line.split.values()) if line.split is not None else []
        if line.amount < 0 or any(part < 0 for part in parts) or (line.days is not None and line.days < 0):
            codes.add("negative_line")
    return codes


# ---------------------------------------------------------------- §5.3 to §6


class Row:
    """What one benefit and policy year makes of one line."""

    def __init__(self, benefit, period, line, amount):
        self.benefit = benefit
        self.period = period  # text
        self.line = line
        self.amount = amount
        self.paid = 0
        self.cuts = []  # (reason, fen, clause)

    def cut(self, reason, amount, clause):
        if amount != 0:
            self.cuts.append((reason, amount, clause))

    def shown(self):
        assert self.amount == self.paid + sum(amount for _, amount, _ in self.cuts), vars(self)
        return {
            "benefit": self.benefit["id"],
            "period": self.period,
            "bill": self.line.bill.key,
            "no": self.line.no,
            "amount": yuan(self.amount),
            "paid": yuan(self.paid),
            "cuts": shown_cuts(self.cuts),
        }


def shown_cuts(cuts):
    return [{"reason": reason, "yuan": yuan(amount), "clause": clause} for reason, amount, clause in cuts]


class Computation:
    """The computation of one checked claim, with some overlays in force."""

    def __init__(self, claim, overlays):
        self.claim = claim
        self.product = claim.product
        self.overlays = overlays
        self.uses = Usage()  # what this claim uses, by scope; the scope "claim" never leaves it
        self.rows = []
        self.entries = []  # (order, period, dict, payable)
        self.paid_on_line = Counter()  # by earlier benefits of this claim
        self.refer = set()
        self.stays = {}
        self.reasons = {}
        self.run()

    def lifted(self, rule, benefit):
        """§5.10: for the benefits in scope it removes the rule."""
        return any(
            rule in overlay["lifts"] and (overlay.get("benefits") is None or benefit["id"] in overlay["benefits"])
            for overlay in self.overlays
        )

    def run(self):
        claim = self.claim
        for benefit in claim.triggered:
            event = claim.event_day(benefit)
            period = claim.period_of(event)
            reason = self.whole_reason(benefit, event, period)
            if benefit["kind"] in BY_BILL:
                self.by_bill(benefit, period, reason)
            elif benefit["kind"] == "allowance":
                self.allowance(benefit, period, reason)
            else:
                self.lump_sum(benefit, period, reason)
            self.doubts(benefit, event, period, reason)
        self.payable = sum(payable for _, _, _, payable in self.entries)

    # ------------------------------------------------------------ §5.3

    def whole_reason(self, benefit, event, period):
        """(reason, clause) that cuts the whole benefit, or None."""
        claim = self.claim
        if period is None:
            return "outside_cover", ""
        start = period.first
        cover = self.product.block("cover", start, benefit["id"])
        if cover and cover.get("cover_days") is not None and (event - start).days + 1 > cover["cover_days"]:
            return "outside_cover", cover["clause"]
        roster_first = day(claim.policy.get("roster_first_day"))
        roster_last = day(claim.policy.get("roster_last_day"))
        if (roster_first is not None and event < roster_first) or (roster_last is not None and event > roster_last):
            return "not_on_roster", ""
        waiting = self.waiting(benefit, period)
        if waiting and not claim.accident:
            found = claim.found or event
            if 1 <= (found - period.since).days + 1 <= self.waiting_days(waiting):
                return "waiting_period", waiting["clause"]
        for exclusion in self.product.blocks("exclusion", start, benefit["id"]):
            if has_prefix(claim.main, exclusion.get("icd", [])) and not self.spared(exclusion):
                return "excluded_diagnosis", exclusion["clause"]
        if benefit["kind"] == "allowance":
            covered, _, hospital = self.hospital(benefit, period, claim.raw["hospital"])
            if not covered:
                return "hospital_not_covered", hospital["clause"]
        if benefit["kind"] == "lump_sum":
            block = self.product.block("lump_sum", start, benefit["id"])
            row = self.lump_sum_row(block)
            if row is None:
                return "not_listed_condition", clause_of(block)
            survival = block.get("survival_days", 0)
            if claim.kind == "diagnosis" and claim.died is not None and (claim.died - claim.day).days < survival:
                return "survival_period", block["clause"]
            count = claim.usage.get("lifetime", "count", f"{benefit['id']}/{row['grade']}")
            if count >= row.get("times", 1):
                return "count_limit", block["clause"]
        return None

    def spared(self, exclusion):
        return exclusion.get("unless_accident", False) and self.claim.accident

    def waiting(self, benefit, period):
        if self.lifted("waiting_days", benefit):
            return None
        return self.product.block("waiting", period.first, benefit["id"])

    def waiting_days(self, waiting):
        for special in waiting.get("special", []):
            if has_prefix(self.claim.main, special["icd"]):
                return special["days"]
        return waiting["general_days"]

    # ------------------------------------------------------------ §5.9, the doubts of one benefit

    def doubts(self, benefit, event, period, reason):
        claim = self.claim
        if reason and reason[0] in ("outside_cover", "not_on_roster"):
            return
        first_seen = claim.accident_on if claim.accident else claim.found or event
        if first_seen < period.since:
            self.refer.add("preexisting_doubt")
        waiting = self.waiting(benefit, period)
        if waiting and not claim.accident and claim.found is None:
            days = self.waiting_days(waiting)
            if days + 1 <= (event - period.since).days + 1 <= days + waiting.get("doubt_days", 0):
                self.refer.add("waiting_period_doubt")
        for exclusion in self.product.blocks("exclusion", period.first, benefit["id"]):
            prefixes = exclusion.get("icd", [])
            if (
                any(has_prefix(code, prefixes) for code in claim.diagnoses[1:])
                and not has_prefix(claim.main, prefixes)
                and not self.spared(exclusion)
            ):
                self.refer.add("diagnosis_doubt")
        if benefit["kind"] == "lump_sum" and reason is None:
            if not claim.raw.get("confirmed", False):
                self.refer.add("definition_unconfirmed")
            block = self.product.block("lump_sum", period.first, benefit["id"])
            survival = block.get("survival_days", 0)
            if claim.kind == "diagnosis" and claim.died is None and (claim.claimed - claim.day).days < survival:
                self.refer.add("survival_period_open")

    # ------------------------------------------------------------ §5.4

    def line_day(self, line):
        if line.on is not None:
            return line.on
        return self.claim.admitted if line.bill.kind == "inpatient" else line.bill.on

    def year_of_day(self, on, period, cover, inpatient):
        """The policy year of a day for benefits of kind inpatient and outpatient: (period, None) or (None, reason)."""
        own_year = cover is not None and cover.get("stay_year", "admission") == "line_date"
        if period.holds(on):
            return period, None
        listed = self.claim.period_of(on)
        if on < period.first:
            if on < period.since:
                return None, "before_cover"
            return (listed if own_year and listed else period), None
        if listed is not None and listed.since <= period.first:
            return (listed if own_year else period), None
        tail = cover.get("tail_days", 0) if cover else 0
        if inpatient and (on - period.last).days <= tail:
            return period, None
        return None, "after_cover"

    def year_of_line(self, benefit, period, line):
        claim = self.claim
        cover = self.product.block("cover", period.first, benefit["id"])
        on = self.line_day(line)
        if benefit["kind"] == "accident":
            days = cover.get("accident_days") if cover else None
            if on < claim.accident_on or (days is not None and on > claim.accident_on + timedelta(days=days - 1)):
                return None, "outside_accident_window", clause_of(cover)
            return period, None, ""
        if claim.kind == "inpatient" and line.bill.kind == "outpatient":
            before = cover.get("pre_days", 0) if cover else 0
            after = cover.get("post_days", 0) if cover else 0
            if not claim.admitted - timedelta(days=before) <= on <= claim.discharged + timedelta(days=after):
                return None, "outside_pre_post_window", clause_of(cover)
        year, reason = self.year_of_day(on, period, cover, claim.kind == "inpatient")
        return year, reason, clause_of(cover)

    # ------------------------------------------------------------ §5.5

    def hospital(self, benefit, period, hospital):
        """(covered, in the network, block)."""
        block = self.product.block("hospital", period.first, benefit["id"])
        if block is None or self.lifted("hospital", benefit):
            return True, True, block
        if self.claim.raw.get("emergency", False) and block.get("emergency_exempt", False):
            return True, True, block
        network = block.get("network")
        inside = network is None or hospital["id"] in network
        covered = (
            hospital["level"] >= block.get("min_level", 0)
            and (hospital["public"] or not block.get("public_only", False))
            and (inside or not block.get("network_only", False))
        )
        return covered, inside, block

    def list_bars(self, kind, benefit, period, line):
        block = self.product.block(kind, period.first, benefit["id"])
        if block is None or self.lifted(kind, benefit) or line.category not in block["categories"]:
            return None
        barred = line.code is not None and line.code in block.get("barred", [])
        allowed = line.klass in block["classes"] or (line.code is not None and line.code in block.get("codes", []))
        return block if barred or not allowed else None

    def whole_line_reason(self, benefit, period, line):
        covered, _, hospital = self.hospital(benefit, period, line.bill.hospital)
        if not covered:
            return "hospital_not_covered", hospital["clause"]
        if hospital and hospital.get("ordinary_ward_only", False) and line.ward not in ("ordinary", "icu"):
            return "ward_not_ordinary", hospital["clause"]
        for exclusion in self.product.blocks("exclusion", period.first, benefit["id"]):
            if line.treatment in exclusion.get("treatments", []) and not self.spared(exclusion):
                return "excluded_treatment", exclusion["clause"]
        for kind in ("drug_list", "item_list"):
            block = self.list_bars(kind, benefit, period, line)
            if block:
                return f"not_in_{kind}", block["clause"]
        return None

    def eligible(self, benefit, period, row):
        """Cuts what is not eligible and gives back e."""
        line = row.line
        left = line.amount
        reason = self.whole_line_reason(benefit, period, line)
        if reason:
            row.cut(reason[0], left, reason[1])
            return 0
        scope = self.product.block("scope", period.first, benefit["id"])
        parts = line.split
        if parts is None:
            parts = {"own": line.amount if line.klass == "丙" else 0, "over": 0, "first": 0}
        for part, name in (("own", "outside_catalogue"), ("over", "over_price_cap"), ("first", "first_self_pay")):
            if scope and not scope.get(part, True):
                row.cut(name, parts[part], scope["clause"])
                left -= parts[part]
        cap = self.product.block("bed_cap", period.first, benefit["id"])
        if cap and line.category == "01" and line.bill.kind == "inpatient":
            over = max(0, left - fen(cap["yuan"]) * line.days)
            row.cut("over_bed_cap", over, cap["clause"])
            left -= over
        return left

    # ------------------------------------------------------------ by-bill benefits

    def by_bill(self, benefit, event_period, reason):
        """§5.3 to §5.7 for one benefit of kind inpatient, outpatient or accident."""
        groups = {}  # period text -> (period, rows of ordinary lines that count)
        rows = []
        row_of = {}
        for bill in self.claim.bills:
            for line in bill.ordinary_lines():
                if reason:
                    year, cut, clause = None, *reason
                else:
                    year, cut, clause = self.year_of_line(benefit, event_period, line)
                shown_under = year or event_period
                row = Row(benefit, shown_under.key if shown_under else "", line, line.gross)
                row.cut("netted", line.netted, "")
                rows.append(row)
                row_of[line] = row
                if cut:
                    row.cut(cut, line.amount, clause)
                else:
                    groups.setdefault(year.key, (year, []))[1].append(row)
            for line in bill.lines:
                if line.refund:
                    row = Row(benefit, row_of[line.original].period, line, line.gross)
                    row.cut("netted", line.gross, "")
                    rows.append(row)
        in_order = [groups[key] for key in sorted(groups)]
        for year, group in in_order:
            self.group(benefit, year, group)
        self.keep(rows)
        # §4 benefits: one entry for each period that has rows of it (no rows: the event's period).
        periods = sorted({row.period for row in rows}) or [event_period.key if event_period else ""]
        for key in periods:
            self.entry(benefit, key, sum(row.paid for row in rows if row.period == key))
        self.overflow(benefit, in_order)

    def entry(self, benefit, period, payable, **more):
        shown = {"benefit": benefit["id"], "period": period, "payable": yuan(payable), "payee": self.payee(), **more}
        self.entries.append((benefit["order"], period, shown, payable))

    # ------------------------------------------------------------ §5.6

    def group(self, benefit, year, rows):
        ratio = self.product.block("ratio", year.first, benefit["id"])
        clause = clause_of(ratio)
        offsets = Counter()
        left = []  # n
        for row in rows:
            n = self.eligible(benefit, year, row)
            social = min(row.line.social, n)
            row.cut("social_paid", social, clause)
            offsets["social"] += social
            n -= social
            other = 0
            for source in SOURCES:
                part = min(row.line.other[source], n)
                offsets[source] += part
                other += part
                n -= part
            row.cut("other_paid", other, clause)
            earlier = min(self.paid_on_line[row.line], n)
            row.cut("earlier_benefit", earlier, clause)
            offsets["earlier_benefit"] += earlier
            n -= earlier
            left.append(n)
        deductible = self.product.block("deductible", year.first, benefit["id"])
        if self.lifted("deductible", benefit):
            deductible = None
        if deductible and deductible.get("step", "before_ratio") == "after_ratio":
            paid = self.apply_ratio(benefit, year, rows, left, ratio)
            paid = self.apply_deductible(year, rows, paid, deductible, offsets)
        else:
            left = self.apply_deductible(year, rows, left, deductible, offsets)
            paid = self.apply_ratio(benefit, year, rows, left, ratio)
        for row, amount in zip(rows, paid, strict=True):
            row.paid = amount
        self.limits(benefit, year, rows)

    def apply_deductible(self, year, rows, amounts, block, offsets):
        if block is None:
            return amounts
        if block["basis"] == "year":
            scope = year.key
            used = self.claim.usage.get(scope, "deductible", block["id"])
        else:
            scope, used = "claim", 0
        used += self.uses.get(scope, "deductible", block["id"])
        left = max(0, fen(block["yuan"]) - used)
        offset = min(left, sum(offsets[source] for source in block.get("offset_by", [])))
        taken = min(left - offset, sum(amounts))
        self.uses.values[scope, "deductible", block["id"]] += offset + taken
        result = []
        for row, amount, part in zip(rows, amounts, share(taken, amounts), strict=True):
            row.cut("deductible", part, block["clause"])
            result.append(amount - part)
        return result

    def apply_ratio(self, benefit, year, rows, amounts, block):
        exact = [n * self.rate(benefit, year, row, block) for n, row in zip(amounts, rows, strict=True)]
        paid = floors_with_rest(half_up(sum(exact)), exact)
        for row, n, p in zip(rows, amounts, paid, strict=True):
            row.cut("copayment", n - p, clause_of(block))
        return paid

    def rate(self, benefit, year, row, block):
        if block is None:
            return Fraction(1)
        bill = row.line.bill
        if bill.settled and (bill.fund_and_other > 0 or block.get("zero_settlement", "not_used") == "settled"):
            situation = "settled"
        elif self.claim.enrolled:
            situation = "enrolled_not_used"
        else:
            situation = "not_enrolled"
        _, inside, _ = self.hospital(benefit, year, bill.hospital)
        for line in block["rows"]:
            if (
                ("situation" not in line or situation in line["situation"])
                and ("class" not in line or row.line.klass in line["class"])
                and ("network" not in line or inside == line["network"])
            ):
                return Fraction(line["rate"])
        raise AssertionError("the last row holds for all")

    # ------------------------------------------------------------ §5.7

    def limits(self, benefit, year, rows):
        """Cuts by limits; `rows` have .paid and .cut; a row without a line has no category."""

        def in_categories(row, block):
            return row.line is None or block.get("categories") is None or row.line.category in block["categories"]

        blocks = self.product.blocks("limit", year.first, benefit["id"])
        if rows and rows[0].line is None:
            blocks = [block for block in blocks if block.get("categories") is None]  # §5.7, last sentence
        rank = ["claim", "year", "lifetime"]
        blocks.sort(key=lambda b: (b.get("categories") is None, rank.index(b["basis"]), b["id"]))
        scopes = {"claim": "claim", "year": year.key, "lifetime": "lifetime"}
        for block in blocks:
            scope = scopes[block["basis"]]
            used = self.uses.get(scope, "limit", block["id"])
            if scope != "claim":
                used += self.claim.usage.get(scope, "limit", block["id"])
            remaining = max(0, fen(block["yuan"]) - used)
            held = [row for row in rows if in_categories(row, block)]
            excess = max(0, sum(row.paid for row in held) - remaining)
            reason = "category_limit" if block.get("categories") is not None else f"{block['basis']}_limit"
            for row, part in zip(held, share(excess, [row.paid for row in held]), strict=True):
                row.cut(reason, part, block["clause"])
                row.paid -= part
        for block in blocks:
            paid = sum(row.paid for row in rows if in_categories(row, block))
            self.uses.values[scopes[block["basis"]], "limit", block["id"]] += paid

    def overflow(self, after, groups):
        """The overflow benefits come right after their `after` benefit, for each of its groups."""
        for benefit in self.product.benefits:
            if benefit["kind"] != "overflow" or benefit["after"] != after["id"]:
                continue
            if not has_prefix(self.claim.main, benefit["icd"]):
                continue
            own_groups = []
            for year, rows in groups:
                own = []
                for source in rows:
                    amount = sum(a for reason, a, _ in source.cuts if reason in ("claim_limit", "year_limit"))
                    if amount > 0:
                        row = Row(benefit, year.key, source.line, amount)
                        row.paid = amount
                        own.append(row)
                if own:
                    self.limits(benefit, year, own)
                    self.entry(benefit, year.key, sum(row.paid for row in own))
                    own_groups.append((year, own))
            self.keep(row for _, own in own_groups for row in own)
            self.overflow(benefit, own_groups)

    def keep(self, rows):
        """Rows of a benefit that is done: what they pay is paid by an earlier benefit for later ones."""
        for row in rows:
            self.paid_on_line[row.line] += row.paid
            self.rows.append(row)

    # ------------------------------------------------------------ §6 allowance

    def stay_days_of(self, first, end):
        """Days are admitted_on .. discharged_on - 1, or the one day of a same-day stay."""
        return [first + timedelta(days=i) for i in range(max(1, (end - first).days))]

    def allowance(self, benefit, period, reason):
        claim = self.claim
        days = self.stay_days_of(claim.admitted, claim.discharged)
        block = self.product.block("allowance", period.first, benefit["id"]) if period else None
        daily = fen(block["daily_yuan"]) if block else 0
        if reason:
            cuts = [(reason[0], daily * len(days), reason[1])]
            self.entry(benefit, period.key if period else "", 0, days=0, cuts=shown_cuts(cuts))
            self.reasons[benefit["id"]] = [reason[0]]
            return
        assert block is not None, "an allowance benefit without its block is not defined"
        row = Row(benefit, period.key, None, 0)
        cover = self.product.block("cover", period.first, benefit["id"])

        def covered(on):
            year, _ = self.year_of_day(on, period, cover, inpatient=True)
            return year is not None

        left = [on for on in days if covered(on)]
        row.cut("after_cover", daily * (len(days) - len(left)), clause_of(cover))
        taken = {
            on for other in claim.in_force if benefit["id"] in other.stays for on in other.stays[benefit["id"]].days
        }
        free = [on for on in left if on not in taken]
        row.cut("day_already_paid", daily * (len(left) - len(free)), block["clause"])
        count = len(free)
        skipped_so_far, paid_so_far = self.merged(benefit, block)

        def take(reason, wanted):
            nonlocal count
            cut = min(count, max(0, wanted))
            row.cut(reason, daily * cut, block["clause"])
            count -= cut
            return cut

        take("leave_days", claim.raw.get("leave_days", 0))
        skipped = take("skip_days", block.get("skip_days", 0) - skipped_so_far)
        if block.get("max_days_stay") is not None:
            take("stay_day_limit", count - max(0, block["max_days_stay"] - paid_so_far))
        if block.get("max_days_year") is not None:
            used = claim.usage.get(period.key, "days", benefit["id"]) + self.uses.get(period.key, "days", benefit["id"])
            take("year_day_limit", count - max(0, block["max_days_year"] - used))
        icu = min(claim.raw.get("icu_days", 0), count)
        row.paid = daily * (count + (block.get("icu_times", 1) - 1) * icu)
        self.limits(benefit, period, [row])
        self.uses.values[period.key, "days", benefit["id"]] += count
        self.stays[benefit["id"]] = Stay(
            set(days),
            claim.main[:3],
            claim.admitted,
            claim.discharged,
            skipped_so_far + skipped,
            paid_so_far + count,
        )
        self.reasons[benefit["id"]] = [reason for reason, _, _ in row.cuts]
        self.entry(benefit, period.key, row.paid, days=count, cuts=shown_cuts(row.cuts))

    def merged(self, benefit, block):
        """§6 Merge: (skipped days, paid days) so far of the stay this one continues."""
        claim = self.claim
        if block.get("merge_days") is None:
            return 0, 0
        candidates = []
        for other in claim.in_force:
            stay = other.stays.get(benefit["id"])
            if (
                stay is not None
                and stay.illness == claim.main[:3]
                and stay.admitted <= claim.admitted
                and (claim.admitted - stay.discharged).days <= block["merge_days"]
            ):
                candidates.append((-stay.discharged.toordinal(), other.decided, stay))
        if not candidates:
            return 0, 0
        _, _, stay = min(candidates, key=lambda c: c[:2])
        return stay.skipped, stay.paid

    # ------------------------------------------------------------ §6 lump sum

    def lump_sum_row(self, block):
        if block is None:
            return None
        for row in block["rows"]:
            if has_prefix(self.claim.main, row["icd"]) and (
                row.get("severity") is None or row["severity"] == self.claim.raw.get("severity")
            ):
                return row
        return None

    def lump_sum(self, benefit, period, reason):
        block = self.product.block("lump_sum", period.first, benefit["id"]) if period else None
        found = self.lump_sum_row(block)
        amount = half_up(fen(block["yuan"]) * Fraction(found["rate"])) if found else 0
        grade = found["grade"] if found else ""
        key = period.key if period else ""
        if reason:
            self.reasons[benefit["id"]] = [reason[0]]
            self.entry(benefit, key, 0, grade=grade, cuts=shown_cuts([(reason[0], amount, reason[1])]))
            return
        row = Row(benefit, key, None, amount)
        row.paid = amount
        self.limits(benefit, period, [row])
        self.uses.values["lifetime", "count", f"{benefit['id']}/{grade}"] += 1
        self.reasons[benefit["id"]] = [reason for reason, _, _ in row.cuts]
        self.entry(benefit, key, row.paid, grade=grade, cuts=shown_cuts(row.cuts))

    # ------------------------------------------------------------ §5.11

    def payee(self):
        claim = self.claim
        if claim.kind == "death":
            return "beneficiary" if claim.policy.get("beneficiary") else "estate"
        if claim.died is not None:
            return "estate"
        return "guardian" if claim.is_minor() else "insured"

    # ------------------------------------------------------------ §4

    def shown_benefits(self):
        return [shown for _, _, shown, _ in sorted(self.entries, key=lambda entry: entry[:2])]

    def shown_lines(self):
        ordered = sorted(
            self.rows,
            key=lambda row: (
                row.benefit["order"],
                row.period,
                row.line.bill.on,
                row.line.bill.raw["code"],
                row.line.bill.raw["number"],
                row.line.no,
            ),
        )
        return [row.shown() for row in ordered]

    def all_reasons(self):
        reasons = {reason for row in self.rows for reason, _, _ in row.cuts}
        for named in self.reasons.values():
            reasons |= set(named)
        return reasons


# ---------------------------------------------------------------- §5.8 to §5.10


def overlays_in_force(claim):
    """§5.10: claim day within the days, product, region of the claim's hospital and main diagnosis in scope."""
    result = []
    region = (claim.raw.get("hospital") or {}).get("region")
    for overlay in claim.story.get("overlay", []):
        if not day(overlay["first_day"]) <= claim.day <= day(overlay["last_day"]):
            continue
        if overlay.get("products") is not None and claim.product.id not in overlay["products"]:
            continue
        if overlay.get("regions") is not None and (region is None or not has_prefix(region, overlay["regions"])):
            continue
        if overlay.get("icd") is not None and not has_prefix(claim.main, overlay["icd"]):
            continue
        result.append(overlay)
    return result


def referrals(claim, computed, adjustment):
    """§5.9: what a person looks at first."""
    codes = set(computed.refer)
    for block in claim.product.blocks("authority", claim.claimed):
        payable = sum(
            paid
            for _, _, shown, paid in computed.entries
            if block.get("benefits") is None or shown["benefit"] in block["benefits"]
        )
        if payable > fen(block["yuan"]):
            codes.add("above_authority")
    if claim.is_minor() and not claim.policy.get("guardian", False):
        codes.add("guardian_missing")
    for block in claim.product.blocks("sex_rule", claim.day):
        if block.get("benefits") is not None and not any(b["id"] in block["benefits"] for b in claim.triggered):
            continue
        against = block.get("female_icd", []) if claim.policy["sex"] == "M" else block.get("male_icd", [])
        if has_prefix(claim.main, against):
            codes.add("sex_conflict")
    if adjustment is not None and adjustment < 0:
        codes.add("recovery")
    return codes


def adjudicate(story, products):
    """The determinations of a story (§4): `products` maps a product id to its file's content."""
    product = Product(products[story["product"]])
    usage = Usage.from_rows(story.get("usage", []))
    in_force = []
    result = []
    for number, raw in enumerate(story["claim"]):
        # §5.8: the superseded claim is first taken out.
        superseded = next((old for old in in_force if old.id == raw.get("supersedes")), None)
        remaining = [old for old in in_force if old is not superseded]
        basis = usage.plus(superseded.uses, -1) if superseded else usage
        claim = Claim(story, product, raw, basis, remaining, superseded)
        stops = claim.first_round() or claim.second_round()
        if stops:
            result.append(
                {
                    "claim": raw["id"],
                    "decision": "refer",
                    "payable": "0.00",
                    "refer": sorted(stops),
                    "duplicates": [],
                    "overlays": [],
                    "benefits": [],
                    "lines": [],
                    "usage": usage.rows(),
                }
            )
            continue
        overlays = overlays_in_force(claim)
        computed = Computation(claim, overlays)
        if overlays:
            plain = Computation(claim, [])
            if computed.payable < plain.payable:
                computed, overlays = plain, []
        adjustment = computed.payable - superseded.payable if superseded else None
        codes = referrals(claim, computed, adjustment)
        if codes:
            decision = "refer"
        elif computed.payable == 0 and (
            not claim.triggered or claim.duplicates or computed.all_reasons() - ORDINARY_REASONS
        ):
            decision = "refuse-proposed"
        else:
            decision = "pay"
        if decision == "pay":
            uses = Usage()
            uses.values = Counter({key: n for key, n in computed.uses.values.items() if key[0] != "claim"})
            usage = basis.plus(uses)
            bills = {bill.key: bill.total for bill in claim.bills}
            in_force = [*remaining, InForce(raw["id"], computed.payable, uses, bills, computed.stays, number)]
        then = {
            "claim": raw["id"],
            "decision": decision,
            "payable": yuan(computed.payable),
            "refer": sorted(codes),
            "duplicates": claim.duplicates,
            "overlays": sorted(overlay["id"] for overlay in overlays),
            "benefits": computed.shown_benefits(),
            "lines": computed.shown_lines(),
            "usage": usage.rows(),
        }
        if adjustment is not None:
            then["adjustment"] = yuan(adjustment)
        result.append(then)
    return result
