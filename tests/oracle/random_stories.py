"""Seeded random products and stories that reach every rule of the story format.

`pair(seed)` gives one product and one story, always the same for a seed; products as their files would be read and
stories in the bulk form. Figures are small and days lie near the ends of spans, because that is where readings differ.
`python tests/oracle/random_stories.py --count 5000` prints how often each decision, referral and cut comes up;
with `--write FOLDER` it also writes `products/*.toml` and `claims.jsonl` there.
"""

import argparse
import copy
import json
import random
import sys
from collections import Counter
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from oracle import reference

SOURCES = ["other_insurer", "employer", "third_party", "charity"]
OFFSETS = ["social", *SOURCES, "earlier_benefit"]
RATES = ["1", "1.00", "0.9", "0.80", "0.6", "0.50", "0.3333", "0.7", "0.05", "0.15", "0", "0.0001"]
ILLNESSES = ["K80.100", "K80", "K81.0", "C34.900", "C73", "D05.1", "I21.9", "I21.900x001", "N84.001", "J18.9"]
OTHER_ILLNESSES = ["F32.900", "O80", "Z41.1", "S72.000", "S61", "N40", "K02.1"]
PREFIXES = ["K80", "K8", "C", "C73", "D0", "I21", "I21.9", "N8", "J", "F", "O", "Z41", "S", "K02", "N40"]
HOSPITALS = ["H1", "H2", "H3"]
TREATMENTS = ["dialysis", "oncology", "cosmetic", "ivf"]
CODES = ["X1", "X2", "X3"]
CATEGORIES = ["01", "03", "05", "06", "09", "10", "11", "14"]
GRADES = ["mild", "moderate", "severe"]
BY_BILL = ("inpatient", "outpatient", "accident")

REFER_CODES = [
    "dates_unclear",
    "diagnosis_missing",
    "unknown_code",
    "hospital_unknown",
    "reissue_unlinked",
    "bill_reversed",
    "duplicate_bill",
    "negative_amount",
    "totals_differ",
    "social_split_missing",
    "enrolment_conflict",
    "negative_line",
    "line_dates_missing",
    "bed_days_missing",
    "bed_days_differ",
    "social_exceeds_scope",
    "compensation_exceeds_cost",
    "other_insurer_unknown",
    "above_authority",
    "guardian_missing",
    "sex_conflict",
    "recovery",
    "preexisting_doubt",
    "waiting_period_doubt",
    "diagnosis_doubt",
    "definition_unconfirmed",
    "survival_period_open",
]
CUT_REASONS = [
    "netted",
    "outside_cover",
    "not_on_roster",
    "waiting_period",
    "excluded_diagnosis",
    "hospital_not_covered",
    "not_listed_condition",
    "survival_period",
    "count_limit",
    "outside_accident_window",
    "outside_pre_post_window",
    "before_cover",
    "after_cover",
    "ward_not_ordinary",
    "excluded_treatment",
    "not_in_drug_list",
    "not_in_item_list",
    "outside_catalogue",
    "over_price_cap",
    "first_self_pay",
    "over_bed_cap",
    "social_paid",
    "other_paid",
    "earlier_benefit",
    "deductible",
    "copayment",
    "category_limit",
    "claim_limit",
    "year_limit",
    "lifetime_limit",
    "day_already_paid",
    "leave_days",
    "skip_days",
    "stay_day_limit",
    "year_day_limit",
]
DECISIONS = ["pay", "refer", "refuse-proposed"]


def yuan(amount):
    return reference.yuan(amount)


class Maker:
    """Makes one product and one story out of one seed."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.numbers = 0
        self.large = self.chance(0.03)
        self.stays = self.chance(0.12)  # one stay after another under an allowance
        self.calm = self.chance(
            0.5
        )  # nothing is refused as a whole, so that the money and the later claims are reached
        self.policy = self.make_policy()
        self.product = self.make_product()
        self.story = self.make_story(seed)

    # ------------------------------------------------------------ dice

    def chance(self, p):
        return self.rng.random() < p

    def one(self, options):
        return self.rng.choice(options)

    def some(self, options, least=0, most=None):
        count = self.rng.randint(least, min(len(options), most if most is not None else len(options)))
        return self.rng.sample(options, count)

    def near(self, *days):
        """A day on, or just beside, one of the days."""
        return self.one(days) + timedelta(days=self.one([0, 0, 0, 1, -1, 2, -2]))

    def amount(self, most=300):
        kind = self.rng.random()
        if kind < 0.15:
            return self.one([0, 1, 2, 3, 5, 7, 10**9 + 7] if self.large else [0, 1, 2, 3, 5, 7])
        if kind < 0.5:
            return self.rng.randint(1, most)
        return 100 * self.rng.randint(1, max(1, most // 20))

    def maybe(self, table, key, chance, make):
        if self.chance(chance):
            table[key] = make()

    # ------------------------------------------------------------ the policy

    def make_policy(self):
        first = last = self.one([date(2023, 1, 1), date(2023, 3, 1), date(2024, 2, 29), date(2023, 6, 15)])
        periods = []
        since = None
        for number in range(self.one([1, 1, 2, 2, 3])):
            if number:
                first = last + timedelta(days=self.one([1, 1, 1, 1, 2, 15]))
                continuous = first == last + timedelta(days=1) and self.chance(0.8)
            else:
                continuous = self.chance(0.5)
                since = first - timedelta(days=self.one([365, 730, 20, 3]))
            length = self.one([365, 365, 365, 40, 10] if not self.calm else [365, 365, 60])
            last = first + timedelta(days=length - 1)
            period = {"first_day": first, "last_day": last}
            if continuous:
                period["since"] = since
            else:
                since = first
                self.maybe(period, "since", 0.1, lambda first=first: first)
            periods.append(period)
        self.periods = [dict(period) for period in periods]
        if self.chance(0.2):
            self.rng.shuffle(periods)
        policy = {
            "birth": date(1980, 5, 5),
            "sex": self.one("FM"),
            "enrolled": self.chance(0.75),
            "period": [{key: day.isoformat() for key, day in period.items()} for period in periods],
        }
        if self.chance(0.1):
            policy["birth"] = self.one([date(2006, 2, 28), date(2006, 3, 1), date(2004, 2, 29), date(2015, 1, 1)])
            self.maybe(policy, "guardian", 0.8, lambda: self.chance(0.8))
        if self.chance(0.05):
            day = self.one(self.periods)["first_day"]
            policy["birth"] = date(day.year - 18, day.month, min(day.day, 28))
            self.maybe(policy, "guardian", 0.8, lambda: True)
        policy["birth"] = policy["birth"].isoformat()
        self.maybe(policy, "beneficiary", 0.3, lambda: "spouse")
        self.maybe(policy, "roster_first_day", 0.07, lambda: self.near(self.periods[0]["first_day"]).isoformat())
        self.maybe(policy, "roster_last_day", 0.07, lambda: self.near(self.periods[-1]["last_day"]).isoformat())
        return policy

    # ------------------------------------------------------------ the product

    def make_product(self):
        one, chance = self.one, self.chance
        kinds = []
        if chance(0.7):
            kinds.append("inpatient")
        if chance(0.4):
            kinds.append("outpatient")
        if chance(0.4):
            kinds.append("accident")
        if chance(0.15):
            kinds.append(one(["inpatient", "outpatient", "accident"]))
        if chance(0.3) or self.stays:
            kinds.append("allowance")
        if chance(0.35):
            kinds.append("lump_sum")
            if chance(0.6):
                kinds.append("lump_sum")
        if not kinds:
            kinds = [one(["inpatient", "accident", "allowance", "lump_sum"])]
        self.rng.shuffle(kinds)
        orders = self.rng.sample(range(1, 30), len(kinds) + 2)
        benefits = []
        for number, kind in enumerate(kinds):
            benefit = {"id": f"{kind}_{number}", "kind": kind, "order": orders[number], "name": kind}
            if kind == "outpatient":
                self.maybe(benefit, "treatments", 0.4, lambda: self.some(TREATMENTS, 1, 3))
            if kind == "allowance":
                self.maybe(benefit, "accident_only", 0.2, lambda: chance(0.8))
            if kind == "lump_sum":
                benefit["trigger"] = one(["diagnosis", "diagnosis", "death"])
            benefits.append(benefit)
        paying = [benefit["id"] for benefit in benefits if benefit["kind"] in BY_BILL]
        for number in range(one([0, 1, 1, 2]) if paying else 0):
            after = one([*paying, *paying, *(b["id"] for b in benefits if b["kind"] == "overflow")])
            benefits.append(
                {
                    "id": f"overflow_{number}",
                    "kind": "overflow",
                    "order": orders[len(kinds) + number],
                    "name": "overflow",
                    "after": after,
                    "icd": self.some(PREFIXES[:9], 1, 4) if chance(0.3) else [""],
                }
            )
        if chance(0.2):
            self.rng.shuffle(benefits)
        self.ids = {
            kind: [b["id"] for b in benefits if b["kind"] in group]
            for kind, group in {
                "all": (*BY_BILL, "allowance", "lump_sum", "overflow"),
                "triggered": (*BY_BILL, "allowance", "lump_sum"),
                "bill": BY_BILL,
                "days": (*BY_BILL, "allowance"),
                "allowance": ("allowance",),
                "lump_sum": ("lump_sum",),
            }.items()
        }
        product = {"format": 1, "product": "p", "name": "p", "benefit": benefits}
        add = self.add_blocks
        add(
            product,
            "authority",
            0.4 if self.calm else 0.8,
            "all",
            lambda: {"yuan": yuan(one([100, 5000, 100000, 100000, 100000]))},
            whole=True,
        )
        add(product, "cover", 0.85, "triggered", self.cover)
        add(product, "waiting", 0.2 if self.calm else 0.6, "triggered", self.waiting)
        add(product, "hospital", 0.65, "days", self.hospital_rule)
        add(product, "drug_list", 0.4, "bill", lambda: self.charge_list(["09", "10", "11"]))
        add(product, "item_list", 0.35, "bill", lambda: self.charge_list(["03", "05", "06", "01", "09"]))
        add(product, "scope", 0.4, "bill", self.scope)
        add(product, "bed_cap", 0.4, "bill", lambda: {"yuan": yuan(one([0, 10, 33, 100, 200]))})
        add(product, "deductible", 0.7, "bill", self.deductible)
        add(product, "ratio", 0.8, "bill", self.ratio)
        add(product, "allowance", 1, "allowance", self.allowance)
        add(product, "lump_sum", 1, "lump_sum", self.lump_sum)
        for number in range(one([0, 0, 0, 0, 1] if self.calm else [0, 0, 1, 1, 2])):
            add(product, "exclusion", 1, "triggered", self.exclusion, number=number)
        for number in range(one([0, 1, 2, 3, 4])):
            add(product, "limit", 1, "all", self.limit, number=number)
        for number in range(one([0, 0, 0, 0, 1] if self.calm else [0, 0, 1, 2])):
            add(product, "sex_rule", 1, "all", self.sex_rule, number=number, whole=True)
        for blocks in product.values():
            if isinstance(blocks, list) and chance(0.3):
                self.rng.shuffle(blocks)
        return product

    def add_blocks(self, product, kind, probability, scope, make, number=0, whole=False):
        """Adds the dated blocks of one rule: for all benefits, for some, or one id for each of a few."""
        if not self.chance(probability) or not self.ids[scope]:
            return
        several = kind in ("exclusion", "limit", "sex_rule")
        style = "all" if whole else self.one(["all", "all", "some", "each"])
        if kind in ("allowance", "lump_sum"):
            style = self.one(["all", "each"])
        if style == "each" and not several:
            parts = [(f"{kind}_{one}", [one]) for one in self.ids[scope]]
        elif style == "all":
            parts = [(f"{kind}_{number}", self.one([None, self.ids[scope]]))]
        else:
            parts = [(f"{kind}_{number}", self.some(self.ids[scope], 1))]
        if several:  # the order of ids is not the order of the file
            parts = [(self.one("abcdefgh") + identity, benefits) for identity, benefits in parts]
        rows = product.setdefault(kind, [])
        for identity, benefits in parts:
            firsts = {date(2015, 1, 1)}
            if self.chance(0.08) and kind != "allowance":
                firsts = set()  # the rule does not exist at first
            for _ in range(self.one([0, 0, 0, 1, 2]) if firsts else 1):
                firsts.add(self.near(*[period["first_day"] for period in self.periods]))
            for version, first in enumerate(sorted(firsts)):
                block = {"id": identity, "from": first.isoformat(), "clause": f"{kind[:4]}{number}.{version}"}
                block |= make()
                if benefits is not None:
                    block["benefits"] = benefits
                if version and kind not in ("allowance", "lump_sum", "authority"):
                    self.maybe(block, "ended", 0.2, lambda: self.chance(0.9))
                    if benefits is not None and self.chance(0.15):
                        block["benefits"] = self.some(benefits, 1)
                rows.append(block)

    def cover(self):
        cover = {}
        self.maybe(cover, "tail_days", 0.6, lambda: self.one([0, 1, 3, 30]))
        self.maybe(cover, "pre_days", 0.6, lambda: self.one([0, 1, 7]))
        self.maybe(cover, "post_days", 0.6, lambda: self.one([0, 1, 7, 30]))
        self.maybe(cover, "stay_year", 0.6, lambda: self.one(["admission", "line_date", "line_date"]))
        self.maybe(cover, "accident_days", 0.5, lambda: self.one([1, 2, 5, 180]))
        self.maybe(cover, "cover_days", 0.1, lambda: self.one([1, 10, 60]))
        return cover

    def waiting(self):
        waiting = {"general_days": self.one([0, 3, 10, 30])}
        self.maybe(
            waiting,
            "special",
            0.5,
            lambda: [
                {"days": self.one([0, 20, 60]), "icd": self.some(PREFIXES, 1, 3)} for _ in range(self.one([1, 2]))
            ],
        )
        self.maybe(waiting, "doubt_days", 0.5, lambda: self.one([1, 5, 14]))
        return waiting

    def hospital_rule(self):
        rule = {}
        self.maybe(rule, "min_level", 0.5, lambda: self.one([0, 1, 2, 2, 3]))
        self.maybe(rule, "public_only", 0.3, lambda: self.chance(0.7))
        self.maybe(rule, "ordinary_ward_only", 0.5, lambda: self.chance(0.8))
        self.maybe(rule, "network", 0.5, lambda: self.some(HOSPITALS, 1, 3))
        self.maybe(rule, "network_only", 0.2, lambda: self.chance(0.7))
        self.maybe(rule, "emergency_exempt", 0.5, lambda: self.chance(0.8))
        return rule

    def charge_list(self, categories):
        block = {"categories": self.some(categories, 1), "classes": self.some(["甲", "乙", "丙"], 1, 3)}
        self.maybe(block, "codes", 0.6, lambda: self.some(CODES, 0, 2))
        self.maybe(block, "barred", 0.5, lambda: self.some(CODES, 0, 2))
        return block

    def scope(self):
        block = {}
        for part in ("own", "over", "first"):
            self.maybe(block, part, 0.7, lambda: self.chance(0.4))
        return block

    def deductible(self):
        block = {
            "yuan": yuan(self.one([0, 1, 50, 100, 333] if self.calm else [0, 1, 100, 333, 1000, 5000])),
            "basis": self.one(["year", "claim"]),
        }
        self.maybe(block, "offset_by", 0.6, lambda: self.some(OFFSETS, 0, 4))
        self.maybe(block, "step", 0.6, lambda: self.one(["before_ratio", "after_ratio"]))
        return block

    def ratio(self):
        block = {}
        self.maybe(block, "zero_settlement", 0.5, lambda: self.one(["not_used", "settled"]))
        rows = []
        for _ in range(self.one([0, 1, 2, 3])):
            row = {"rate": self.one(RATES[:8] if self.calm else RATES)}
            self.maybe(row, "situation", 0.6, lambda: self.some(["settled", "enrolled_not_used", "not_enrolled"], 1, 2))
            self.maybe(row, "class", 0.4, lambda: self.some(["甲", "乙", "丙"], 1, 2))
            self.maybe(row, "network", 0.3, lambda: self.chance(0.5))
            rows.append(row)
        block["rows"] = [*rows, {"rate": self.one(RATES[:9])}]
        return block

    def limit(self):
        block = {
            "yuan": yuan(self.one([333, 1000, 5000, 30000] if self.calm else [0, 10, 100, 333, 1000, 5000])),
            "basis": self.one(["claim", "year", "lifetime"]),
        }
        self.maybe(block, "categories", 0.3, lambda: self.some(CATEGORIES, 1, 4))
        return block

    def allowance(self):
        block = {"daily_yuan": yuan(self.one([1, 100, 150, 333]))}
        self.maybe(block, "skip_days", 0.5, lambda: self.one([0, 1, 2, 5]))
        self.maybe(block, "max_days_stay", 0.5, lambda: self.one([1, 3, 5, 10]))
        self.maybe(block, "max_days_year", 0.5, lambda: self.one([2, 5, 8, 20]))
        self.maybe(block, "icu_times", 0.5, lambda: self.one([1, 2, 3]))
        self.maybe(block, "merge_days", 0.6, lambda: self.one([0, 1, 5, 30]))
        return block

    def lump_sum(self):
        rows = []
        for _ in range(self.one([1, 2, 3])):
            row = {
                "grade": self.one(GRADES),
                "icd": self.some(PREFIXES[:9], 1, 4) if self.chance(0.6) else [""],
                "rate": self.one(RATES),
            }
            self.maybe(row, "severity", 0.3, lambda: self.one(GRADES))
            self.maybe(row, "times", 0.4, lambda: self.one([1, 2, 3]))
            rows.append(row)
        block = {"yuan": yuan(self.one([1, 333, 10001, 100000])), "rows": rows}
        self.maybe(block, "survival_days", 0.5, lambda: self.one([0, 3, 14]))
        return block

    def exclusion(self):
        block = {}
        self.maybe(block, "icd", 0.6, lambda: self.some(PREFIXES, 1, 3))
        self.maybe(block, "treatments", 0.6, lambda: self.some(TREATMENTS[2:], 1, 2))
        self.maybe(block, "unless_accident", 0.4, lambda: self.chance(0.8))
        return block

    def sex_rule(self):
        rule = {
            "female_icd": self.some(["N8", "O", "K80", "D0"], 0, 2),
            "male_icd": self.some(["N40", "I21", "J"], 0, 2),
        }
        return rule

    # ------------------------------------------------------------ the story

    def make_story(self, seed):
        story = {"format": 1, "id": f"r{seed}", "product": "p", "policy": self.policy}
        self.bills_seen = []
        self.claims = []
        for number in range(self.one([2, 2, 3, 4, 5] if self.calm else [1, 1, 2, 2, 3])):
            self.claims.append(self.make_claim(f"c{number + 1}"))
        if self.chance(0.04):
            came_of_age = date.fromisoformat(self.one(self.claims)["claimed_on"]) + timedelta(
                days=self.one([0, 0, 1, -1])
            )
            self.policy["birth"] = f"{came_of_age.year - 18}{came_of_age.isoformat()[4:]}".replace("02-29", "02-28")
        if self.chance(0.3):
            story["usage"] = self.make_usage()
        if self.chance(0.35):
            story["overlay"] = [self.make_overlay(f"{self.one('xyzab')}{i}") for i in range(self.one([1, 1, 2, 3]))]
        if self.chance(0.12):
            story["paid_bill"] = self.make_paid_bills()
        story["claim"] = self.claims
        return story

    def make_usage(self):
        rows = []
        scopes = [period["first_day"].isoformat() for period in self.periods if self.chance(0.8)]
        if self.chance(0.1):
            scopes.append("2019-01-01")
        for scope in [*scopes, *(["lifetime"] if self.chance(0.7) else [])]:
            row = {"scope": scope}

            def used(kind, row=row):
                blocks = sorted({block["id"] for block in self.product.get(kind, [])})
                return {identity: yuan(self.amount(500)) for identity in blocks if self.chance(0.7)}

            self.maybe(row, "deductible", 0.7, lambda: used("deductible"))
            self.maybe(row, "limit", 0.7, lambda: used("limit"))
            if self.chance(0.05):
                row.setdefault("limit", {})["of another product"] = self.one(["0.00", "1.00"])
            if scope != "lifetime":
                days = {benefit: self.one([0, 1, 4, 7]) for benefit in self.ids["allowance"]}
                self.maybe(row, "days", 0.7, lambda days=days: days)
            else:
                count = {f"{b}/{grade}": self.one([0, 1, 1, 2]) for b in self.ids["lump_sum"] for grade in GRADES[:2]}
                self.maybe(row, "count", 0.6, lambda count=count: count)
            rows.append(row)
        self.rng.shuffle(rows)
        return rows

    def make_overlay(self, identity):
        claim_day = date.fromisoformat(claim_day_text(self.one(self.claims)) or "2023-06-01")
        overlay = {
            "id": identity,
            "lifts": self.some(["drug_list", "item_list", "hospital", "waiting_days", "deductible"], 1),
            "first_day": (claim_day - timedelta(days=self.one([0, 0, 10, 300, -1]))).isoformat(),
            "last_day": (claim_day + timedelta(days=self.one([0, 0, 10, 300, -1]))).isoformat(),
        }
        self.maybe(overlay, "products", 0.2, lambda: self.one([["p"], ["q", "p"], ["q"]]))
        self.maybe(overlay, "benefits", 0.3, lambda: self.some(self.ids["all"], 1))
        self.maybe(overlay, "regions", 0.25, lambda: self.one([["33"], ["3302", "31"], ["31"]]))
        self.maybe(overlay, "icd", 0.25, lambda: self.some(PREFIXES, 1, 6))
        return overlay

    def make_paid_bills(self):
        bills = [bill for claim in self.claims for bill in claim.get("bill", [])]
        paid = {}
        for bill in self.some(bills, 0, 2):
            row = {"code": bill["code"], "number": bill["number"], "total": bill["total"]}
            if self.chance(0.3):
                row["total"] = yuan(reference.fen(bill["total"]) + 1)
            paid[bill["code"], bill["number"]] = row
        if self.chance(0.3):
            paid["00", "none"] = {"code": "00", "number": "none", "total": "1.00"}
        return list(paid.values())

    # ------------------------------------------------------------ one claim

    def make_claim(self, identity):
        chance = self.chance
        before = self.claims[-1 if chance(0.6) else 0] if self.claims else None
        if before and chance(0.25):
            claim = self.variant(before, identity)
        else:
            claim = self.fresh_claim(identity, before)
        if chance(0.08 if self.calm else 0.3):
            self.spoil(claim)
        return claim

    def event_day(self):
        period = self.one(self.periods)
        first, last = period["first_day"], period["last_day"]
        kind = self.rng.random() * (0.75 if self.calm else 1)
        since = period.get("since", first)
        if kind < (0.25 if self.calm else 0.45):
            return first + timedelta(days=self.rng.randint(0, (last - first).days))
        if kind < 0.65:
            return last - timedelta(days=self.one([0, 1, 2, 4]))
        if kind < 0.75:
            return first + timedelta(days=self.one([0, 1, 2]))
        if kind < 0.97:
            waits = [0]
            for block in self.product.get("waiting", []):
                waits += [block["general_days"], block["general_days"] + block.get("doubt_days", 0)]
                waits += [special["days"] for special in block.get("special", [])]
            covers = [b["cover_days"] for b in self.product.get("cover", []) if "cover_days" in b]
            day = self.one([since, first]) + timedelta(days=self.one(waits + covers) + self.one([-1, 0, 1]))
            return day if first <= day <= last else max(first, min(last, day))
        return self.near(first, last)

    def hospital(self):
        return {
            "id": self.one(HOSPITALS),
            "level": 3 if self.calm and self.chance(0.9) else self.one([0, 1, 2, 2, 3, 3, 3]),
            "public": self.chance(0.98 if self.calm else 0.8),
            **({"region": self.one(["330200", "310000"])} if self.chance(0.85) else {}),
        }

    def diagnosis(self):
        return self.one(ILLNESSES if self.calm or self.chance(0.85) else OTHER_ILLNESSES)

    def fresh_claim(self, identity, before):
        one, chance = self.one, self.chance
        aims = [benefit for benefit in self.product["benefit"] if benefit["kind"] != "overflow"]
        if self.stays:
            aims = [benefit for benefit in aims if benefit["kind"] == "allowance"]
        aim = one(aims)
        if aim["kind"] == "lump_sum":
            kind = aim["trigger"]
        elif aim["kind"] == "accident":
            kind = one(["inpatient", "outpatient"])
        else:
            kind = "outpatient" if aim["kind"] == "outpatient" else "inpatient"
        if chance(0.03):
            kind = one(["inpatient", "outpatient", "diagnosis", "death"])
        accidental = aim["kind"] == "accident" or aim.get("accident_only", False)
        day = self.event_day()
        claim = {"id": identity, "kind": kind}
        claim["diagnoses"] = [self.diagnosis() for _ in range(one([1, 1, 1, 2, 3]))]
        last = day
        if kind == "inpatient":
            if (
                before
                and before["kind"] == "inpatient"
                and "discharged_on" in before
                and chance(0.9 if self.stays else 0.5)
            ):
                day = self.day_after_stay(before, day)
                if chance(0.8):
                    claim["diagnoses"] = before["diagnoses"] or claim["diagnoses"]
            self.admitted = day
            self.discharged = last = day + timedelta(days=one([0, 1, 2, 3, 4, 6, 10, 33]))
            together = before and date.fromisoformat(before.get("discharged_on", "2000-01-01"))
            if together and day <= together and chance(0.5):
                self.discharged = last = together  # two stays that end on the same day
            claim["admitted_on"] = day.isoformat()
            claim["discharged_on"] = last.isoformat()
            self.maybe(claim, "leave_days", 0.2, lambda: one([0, 1, 2, 20]))
            self.maybe(claim, "icu_days", 0.25, lambda: one([0, 1, 2, 20]))
        else:
            key = {"outpatient": "visited_on", "diagnosis": "diagnosed_on", "death": "died_on"}[kind]
            claim[key] = day.isoformat()
        self.day = day
        claim["claimed_on"] = (last + timedelta(days=one([0, 0, 1, 20, 100]))).isoformat()
        if kind == "diagnosis":
            claim["claimed_on"] = (day + timedelta(days=one([0, 2, 3, 13, 14, 15, 60]))).isoformat()
            self.maybe(claim, "died_on", 0.25, lambda: (day + timedelta(days=one([0, 2, 3, 13, 14, 20]))).isoformat())
        elif kind != "death":
            self.maybe(claim, "died_on", 0.04, lambda: last.isoformat())
        if chance(0.95 if accidental else 0.2):
            claim["accident"] = True
            first = next((p["first_day"] for p in self.periods if p["first_day"] <= day <= p["last_day"]), day)
            claim["accident_on"] = (day - timedelta(days=one([0, 0, 0, 1, 2, 4, 5, 6, 40]))).isoformat()
            if self.calm:
                claim["accident_on"] = max(claim["accident_on"], first.isoformat())
        elif chance(0.05):
            claim["accident"] = False
        if chance(0.03 if self.calm else 0.3):
            found = day - timedelta(days=one([0, 1, 3, 10, 30, 200]))
            if chance(0.6):
                since = [period.get("since", period["first_day"]) for period in self.periods]
                found = min(day, one(since) + timedelta(days=one([-1, 0, 2, 3, 9, 10, 11, 29, 30])))
            claim["first_found_on"] = found.isoformat()
        self.maybe(claim, "emergency", 0.2, lambda: chance(0.8))
        self.maybe(claim, "treatment", 0.5, lambda: one(TREATMENTS[:3]))
        if "treatments" in aim and chance(0.9):
            claim["treatment"] = one(aim["treatments"])
        self.maybe(claim, "severity", 0.5, lambda: one(GRADES))
        if kind in ("diagnosis", "death"):
            self.maybe(claim, "confirmed", 0.9, lambda: chance(0.93))
        if kind in ("inpatient", "outpatient"):
            claim["hospital"] = self.hospital()
            if self.ids["bill"] or chance(0.2):
                bills = [self.make_bill(claim) for _ in range(one([0, 1, 1, 1, 2, 2, 3]) if chance(0.9) else 1)]
                if chance(0.95) or bills:
                    claim["bill"] = bills
        elif chance(0.1):
            claim["hospital"] = self.hospital()
        return claim

    def day_after_stay(self, before, day):
        """A day on which a next stay begins: around the discharge, or around the last day that still merges."""
        discharged = date.fromisoformat(before["discharged_on"])
        merging = [block["merge_days"] for block in self.product.get("allowance", []) if "merge_days" in block]
        if merging and self.chance(0.5):
            return discharged + timedelta(days=self.one(merging) + self.one([-1, 0, 0, 1]))
        if "admitted_on" in before and self.chance(0.3):
            return date.fromisoformat(before["admitted_on"]) + timedelta(days=self.one([0, 0, 0, 1, -1, -2, -3]))
        return discharged + timedelta(days=self.one([-2, -1, 0, 1, 1, 2, 5, 6, 30, 31]))

    def variant(self, old, identity):
        """A later claim that knows an earlier one: the same bills again, or the earlier one replaced."""
        claim = copy.deepcopy(old)
        claim["id"] = identity
        claim.pop("supersedes", None)
        claimed = date.fromisoformat(claim["claimed_on"]) + timedelta(days=self.one([0, 1, 30]))
        claim["claimed_on"] = claimed.isoformat()
        if self.chance(0.7):
            claim["supersedes"] = old["id"]
        for bill in claim.get("bill", []):
            if self.chance(0.5):
                bill["replaces"] = {"code": bill["code"], "number": bill["number"]}
                bill["number"] = self.number()
            if self.chance(0.6):
                self.reprice(bill)
        if "diagnoses" in claim and self.chance(0.2):
            claim["diagnoses"] = [self.diagnosis()]
        if claim["kind"] == "diagnosis" and self.chance(0.3):
            claim["severity"] = self.one(GRADES)
        return claim

    def reprice(self, bill):
        ordinary = [line for line in bill["line"] if "refund_of" not in line and "split" not in line]
        if self.chance(0.3) and ordinary and bill.get("social") == "none" and not bill.get("other_paid"):
            line = max(ordinary, key=lambda line: reference.fen(line["amount"]))
            refunded = any(other.get("refund_of") == line["no"] for other in bill["line"])
            if not refunded:
                bill["total"] = yuan(reference.fen(bill["total"]) - reference.fen(line["amount"]))
                line["amount"] = "0.00"
            return
        if not ordinary or bill.get("social") == "settled" or "social" not in bill:
            return
        more = self.one([1, 100, 500])
        line = self.one(ordinary)
        line["amount"] = yuan(reference.fen(line["amount"]) + more)
        bill["total"] = yuan(reference.fen(bill["total"]) + more)

    # ------------------------------------------------------------ one bill

    def number(self):
        self.numbers += 1
        return f"{self.rng.randint(0, 9)}{self.numbers:05d}"

    def make_bill(self, claim):
        one, chance = self.one, self.chance
        stay = claim["kind"] == "inpatient"
        kind = "inpatient" if stay and chance(0.75) else "outpatient"
        bill = {"code": one(["31", "33"]), "number": self.number(), "kind": kind}
        if kind == "inpatient":
            bill["on"] = self.discharged.isoformat()
        elif stay:
            windows = [0, 1, 7, 30, 8]
            early = self.admitted - timedelta(days=one(windows))
            late = self.discharged + timedelta(days=one([0, 1, 7, 30, 31]))
            bill["on"] = one([early, late, self.admitted]).isoformat()
        else:
            bill["on"] = (self.day + timedelta(days=one([0, 0, 0, 0, 1, 4, 5, -1]))).isoformat()
        with_splits = one(["none", "all", "none", "some"])
        lines = [self.make_line(claim, bill, number + 1, with_splits) for number in range(one([1, 1, 2, 3, 4, 6]))]
        if chance(0.01):
            lines = []
        if kind == "inpatient":
            self.bed_days(lines)
        lines += self.refunds(lines)
        if chance(0.3):
            self.rng.shuffle(lines)
        bill["line"] = lines
        total = sum(reference.fen(line["amount"]) for line in lines)
        bill["total"] = yuan(total)
        self.pay_socially(bill, total)
        self.maybe(bill, "hospital", 0.15, self.hospital)
        if chance(0.05):
            bill["state"] = "issued"
        if chance(0.03):
            bill["replaces"] = {"code": "99", "number": "unknown"}
        return bill

    def make_line(self, claim, bill, number, with_splits):
        one, chance = self.one, self.chance
        amount = self.amount()
        line = {
            "no": number if chance(0.95) else number + 20,
            "category": one(CATEGORIES),
            "class": one(["甲", "甲", "乙", "丙"]),
            "amount": yuan(amount),
        }
        if with_splits == "all" or (with_splits == "some" and chance(0.5)):
            left = amount
            split = {}
            for part in ("own", "over", "first"):
                split[part] = self.rng.randint(0, left) if chance(0.4) else 0
                left -= split[part]
            line["split"] = {part: yuan(value) for part, value in {**split, "within": left}.items()}
        self.maybe(line, "code", 0.3, lambda: one(CODES))
        self.maybe(line, "treatment", 0.15, lambda: one(TREATMENTS[1:]))
        self.maybe(line, "ward", 0.15, lambda: one(["ordinary", "icu", "vip", "international"]))
        if bill["kind"] == "inpatient":
            ends_in_year = any(p["first_day"] <= self.admitted <= p["last_day"] < self.discharged for p in self.periods)
            if chance(0.97 if ends_in_year else 0.3):
                line["on"] = self.day_in_stay()
        elif chance(0.2):
            line["on"] = self.near(date.fromisoformat(bill["on"])).isoformat()
        elif chance(0.04):
            line["on"] = self.near(*[period.get("since", period["first_day"]) for period in self.periods]).isoformat()
        return line

    def day_in_stay(self):
        length = (self.discharged - self.admitted).days
        day = self.admitted + timedelta(days=self.rng.randint(0, length))
        ends = [p["last_day"] for p in self.periods if self.admitted <= p["last_day"] < self.discharged]
        if ends and self.chance(0.6):
            wanted = self.one(ends) + timedelta(days=self.one([0, 1, 1, 3, 4, 30, 31]))
            day = min(max(wanted, self.admitted), self.discharged)
        return day.isoformat()

    def bed_days(self, lines):
        beds = [line for line in lines if line["category"] == "01"]
        stay_days = max(1, (self.discharged - self.admitted).days)
        for bed in beds[1:]:  # one bed line is the rule; more share the days
            if self.chance(0.6):
                bed["category"] = "03"
        beds = [line for line in lines if line["category"] == "01"]
        if len(beds) == 1 and self.chance(0.4):
            return
        left = stay_days + self.one([0, 0, 1])
        for bed in beds:
            bed["days"] = self.rng.randint(0, left)
            left -= bed["days"]

    def refunds(self, lines):
        refunds = []
        number = max((line["no"] for line in lines), default=0)
        for line in lines:
            if not self.chance(0.08):
                continue
            back = self.rng.randint(0, reference.fen(line["amount"]))
            if self.chance(0.2):
                back = reference.fen(line["amount"])
            number += 1
            refund = {
                "no": number,
                "category": line["category"],
                "class": line["class"],
                "amount": yuan(-back),
                "refund_of": line["no"],
            }
            if "split" in line:
                left = back
                split = {}
                for part in ("own", "over", "first", "within"):
                    split[part] = min(left, reference.fen(line["split"][part]))
                    left -= split[part]
                refund["split"] = {part: yuan(-value) for part, value in split.items()}
            if line.get("days"):
                self.maybe(refund, "days", 0.4, lambda line=line: -self.rng.randint(0, line["days"]))
            self.maybe(refund, "on", 0.2, lambda: self.near(self.day).isoformat())
            refunds.append(refund)
        return refunds

    def pay_socially(self, bill, total):
        """Social insurance and other payers, so that everything adds up."""
        one, chance = self.one, self.chance
        nets = {line["no"]: reference.fen(line["amount"]) for line in bill["line"] if "refund_of" not in line}
        within = {}
        for line in bill["line"]:
            if "refund_of" in line:
                continue
            if "split" in line:
                within[line["no"]] = reference.fen(line["split"]["within"])
            else:
                within[line["no"]] = 0 if line["class"] == "丙" else reference.fen(line["amount"])
        for line in bill["line"]:
            if "refund_of" in line:
                original = line["refund_of"]
                nets[original] += reference.fen(line["amount"])
                if "split" in line:
                    within[original] += reference.fen(line["split"]["within"])
                elif within[original]:
                    within[original] += reference.fen(line["amount"])
        paid = 0
        if self.policy["enrolled"] and chance(0.7):
            bill["social"] = "settled"
            if chance(0.85):
                paid = one(
                    [sum(within.values()), self.rng.randint(0, sum(within.values())), min(1, sum(within.values()))]
                )
            fund = paid if chance(0.6) else self.rng.randint(0, paid)
            account = self.rng.randint(0, total - paid) if chance(0.4) else 0
            bill |= {
                "fund": yuan(fund),
                "other": yuan(paid - fund),
                "account": yuan(account),
                "cash": yuan(total - paid - account),
            }
            if chance(0.3):
                own = self.rng.randint(0, total - paid)
                bill |= {"self_pay": yuan(own), "self_cost": yuan(total - paid - own)}
            elif chance(0.1):
                bill["self_pay"] = "0.01"
            if paid and chance(0.25):
                given = reference.share(paid, [nets[no] for no in nets])
                if chance(0.5):
                    left, given = paid, []
                    for no in nets:
                        given.append(min(left, nets[no]))
                        left -= given[-1]
                for no, part in zip(nets, given, strict=True):
                    line = next(line for line in bill["line"] if line["no"] == no and "refund_of" not in line)
                    line["social_paid"] = yuan(part)
                for line in bill["line"]:
                    if "refund_of" in line and chance(0.4):
                        original = next(other for other in bill["line"] if other["no"] == line["refund_of"])
                        back = self.rng.randint(0, 20)
                        line["social_paid"] = yuan(-back)
                        original["social_paid"] = yuan(reference.fen(original["social_paid"]) + back)
        else:
            bill["social"] = "none"
        if chance(0.3):
            left = total - paid
            bill["other_paid"] = []
            for _ in range(one([0, 1, 2, 3])):
                part = self.rng.randint(0, left) if chance(0.8) else left
                left -= part
                bill["other_paid"].append({"source": one(SOURCES), "yuan": yuan(part)})
            if any(entry["source"] == "other_insurer" for entry in bill["other_paid"]):
                self.maybe(bill, "accounted", 0.4, lambda: chance(0.8))

    # ------------------------------------------------------------ faults

    def spoil(self, claim):
        """One or two faults that a check of §5.2 or a person should see."""
        for _ in range(self.one([1, 1, 2])):
            faults = [self.spoil_claim]
            if claim.get("bill"):
                faults += [self.spoil_bill] * 2
                if any(bill["line"] for bill in claim["bill"]):
                    faults += [self.spoil_line] * 2
            self.one(faults)(claim)

    def spoil_claim(self, claim):
        day_key = {
            "inpatient": "admitted_on",
            "outpatient": "visited_on",
            "diagnosis": "diagnosed_on",
            "death": "died_on",
        }
        key = day_key[claim["kind"]]
        fault = self.one([*range(14), 13, 13])
        if fault == 0:
            claim.pop(key, None)
        elif fault == 1:
            claim.pop("discharged_on", None)
        elif fault == 2 and "discharged_on" in claim and key in claim:
            claim["discharged_on"], claim[key] = claim[key], claim["discharged_on"]
        elif fault == 3:
            claim["accident"] = True
            claim.pop("accident_on", None)
        elif fault == 4 and key in claim:
            before = date.fromisoformat(claim[key]) - timedelta(days=self.one([0, 1]))
            claim["claimed_on"] = before.isoformat()
        elif fault == 5 and key in claim:
            after = date.fromisoformat(claim[key]) + timedelta(days=self.one([0, 1]))
            claim[self.one(["accident_on", "first_found_on"])] = after.isoformat()
        elif fault == 6:
            claim["diagnoses"] = []
        elif fault == 7:
            claim["diagnoses"] = claim["diagnoses"] + [
                self.one(["k80", "K8", "K80.", "K80.1000", "C73x001", "C73.1x01"])
            ]
        elif fault == 8:
            claim.pop("hospital", None)
        elif fault == 9 and "hospital" in claim:
            claim["hospital"].pop(self.one(["id", "level", "public", "region"]), None)
        elif fault == 10:
            claim["supersedes"] = self.one(["c1", "c2", "nothing"])
        elif fault == 11:
            claim["kind"] = self.one(sorted(day_key))
        elif fault == 12:
            claim.pop("diagnoses", None)
            claim["diagnoses"] = [self.one(OTHER_ILLNESSES)]
        elif fault == 13 and claim.get("bill"):
            claim["bill"].append(self.equal_copy(claim, self.one(claim["bill"])))

    def equal_copy(self, claim, bill):
        """The same bill as another system would write it: defaults stated, lists in another order."""
        twin = copy.deepcopy(bill)
        if self.chance(0.5):
            twin.setdefault("state", "issued")
            twin.setdefault("accounted", False)
            twin.setdefault("other_paid", [])
            if "hospital" in claim:
                twin.setdefault("hospital", dict(claim["hospital"]))
            for line in twin["line"]:
                line.setdefault("ward", "ordinary")
        self.rng.shuffle(twin["line"])
        return twin

    def spoil_bill(self, claim):
        bill = self.one(claim["bill"])
        fault = self.one([*range(17), 1, 13, 13])
        if fault == 0:
            bill["state"] = "reversed"
        elif fault == 1:
            twin = self.equal_copy(claim, bill)
            if twin["line"] and self.chance(0.6):
                line = self.one(twin["line"])
                line[self.one(["code", "treatment"])] = "X9"
                line["ward"] = self.one(["ordinary", "icu"])
            elif self.chance(0.5):
                twin["hospital"] = self.hospital()
            else:
                twin["on"] = (date.fromisoformat(twin["on"]) + timedelta(days=1)).isoformat()
            claim["bill"].append(twin)
        elif fault == 2:
            bill["total"] = yuan(reference.fen(bill["total"]) + self.one([1, -1]))
        elif fault == 3:
            bill["total"] = "-0.01"
        elif fault == 4 and bill.get("social") == "settled":
            bill.pop(self.one(["fund", "other", "account", "cash"]), None)
        elif fault == 5 and all(key in bill for key in ("fund", "cash")):
            fund = reference.fen(bill["fund"])
            bill["fund"], bill["cash"] = "-0.01", yuan(reference.fen(bill["cash"]) + fund + 1)
        elif fault == 6:
            bill.pop("social", None)
        elif fault == 7 and bill.get("social") == "none":
            bill["social"] = "settled"
            bill |= {"fund": "0.00", "other": "0.00", "account": "0.00", "cash": bill["total"]}
        elif fault == 8:
            bill["kind"] = "inpatient" if bill["kind"] == "outpatient" else "outpatient"
        elif fault == 9:
            bill["other_paid"] = [{"source": self.one(SOURCES), "yuan": self.one(["-0.01", "5000.00", "0.01"])}]
        elif fault == 10:
            bill["accounted"] = True
        elif fault == 11:
            bill["hospital"] = self.hospital()
            bill["hospital"].pop(self.one(["id", "level", "public", "region"]), None)
        elif fault == 12 and self.claims:
            bills = [other for old in self.claims for other in old.get("bill", [])]
            if bills:
                other = self.one(bills)
                bill["replaces"] = {"code": other["code"], "number": other["number"]}
        elif fault == 13 and bill.get("social") == "settled" and "fund" in bill and "cash" in bill:
            whole = reference.fen(bill["fund"]) + reference.fen(bill["cash"])
            if whole >= 0:
                bill["fund"], bill["cash"] = yuan(whole), "0.00"
                bill.pop("self_pay", None)
        elif fault == 14:
            bill["self_pay"], bill["self_cost"] = "0.01", "0.00"
        elif fault == 15 and self.claims:
            bills = [other for old in self.claims for other in old.get("bill", [])]
            if bills:
                other = self.one(bills)
                bill["code"], bill["number"] = other["code"], other["number"]
        elif fault == 16 and self.claims:
            bills = [other for old in self.claims for other in old.get("bill", [])]
            if bills:
                claim["bill"].append(copy.deepcopy(self.one(bills)))

    def spoil_line(self, claim):
        bill = self.one([bill for bill in claim["bill"] if bill["line"]])
        line = self.one(bill["line"])
        fault = self.one([*range(13), 3, 6])
        if fault == 0:
            line["category"] = self.one(["00", "15", "1", "A1"])
        elif fault == 1:
            line["class"] = self.one(["丁", "A"])
        elif fault == 2:
            line["on"] = self.one(["2022-01-01", "2026-06-01"])
        elif fault == 3:
            line.pop("on", None)
        elif fault == 4:
            amount = reference.fen(line["amount"])
            line["amount"] = yuan(-amount)
            bill["total"] = yuan(reference.fen(bill["total"]) - 2 * amount)
        elif fault == 5:
            line["refund_of"] = self.one([other["no"] for other in bill["line"]])
        elif fault == 6 and "split" in line:
            line["split"]["own"] = yuan(reference.fen(line["split"]["own"]) + 1)
            if self.chance(0.5):
                line["split"]["within"] = yuan(reference.fen(line["split"]["within"]) - 1)
            if self.chance(0.5):
                moved = reference.fen(line["split"]["first"]) + 1
                line["split"]["first"] = "-0.01"
                line["split"]["over"] = yuan(reference.fen(line["split"]["over"]) + moved)
        elif fault == 7:
            line.pop("split", None)
        elif fault == 8:
            line["category"] = "01"
            line.pop("days", None)
        elif fault == 9:
            line["category"] = "01"
            line["days"] = self.one([-1, 0, 1, 2, 40])
        elif fault == 10:
            line["social_paid"] = yuan(self.amount())
        elif fault == 11:
            line.pop("social_paid", None)
        elif fault == 12:
            claim_refund = {
                "no": max(other["no"] for other in bill["line"]) + 1,
                "category": line["category"],
                "class": line["class"],
                "amount": yuan(-reference.fen(line["amount"]) - self.one([0, 1])),
                "refund_of": self.one([line["no"], line["no"], 99, *(other["no"] for other in bill["line"])]),
            }
            bill["line"].append(claim_refund)
            bill["total"] = yuan(reference.fen(bill["total"]) + reference.fen(claim_refund["amount"]))


def claim_day_text(claim):
    key = {"inpatient": "admitted_on", "outpatient": "visited_on", "diagnosis": "diagnosed_on", "death": "died_on"}
    return claim.get(key[claim["kind"]])


def pair(seed):
    """(products by id, story) of a seed."""
    maker = Maker(seed)
    return {"p": maker.product}, maker.story


# ---------------------------------------------------------------- writing products as files


def toml(product):
    """A product as the text of its file: every block an inline table in a list."""

    def inline(value):
        if isinstance(value, dict):
            return "{ " + ", ".join(f"{key} = {inline(item)}" for key, item in value.items()) + " }"
        if isinstance(value, list):
            return "[" + ", ".join(inline(item) for item in value) + "]"
        return json.dumps(value, ensure_ascii=False)

    lines = [f"{key} = {inline(value)}" for key, value in product.items() if not isinstance(value, list)]
    for kind, blocks in product.items():
        if isinstance(blocks, list):
            for block in blocks:
                lines += ["", f"[[{kind}]]", *(f"{key} = {inline(value)}" for key, value in block.items())]
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------- statistics


def count_rules(then, counts):
    """Counts what a list of determinations shows."""
    for one in then:
        counts["decision", one["decision"]] += 1
        if one["benefits"] or not one["refer"]:
            counts["reached", "computed"] += 1
        else:
            counts["reached", "stopped"] += 1
        for code in one["refer"]:
            counts["refer", code] += 1
        counts["with", "overlays"] += bool(one["overlays"])
        counts["with", "duplicates"] += bool(one["duplicates"])
        counts["with", "adjustment"] += "adjustment" in one
        counts["with", "money"] += one["payable"] != "0.00"
        for benefit in one["benefits"]:
            counts["benefit", benefit["benefit"].rstrip("0123456789_")] += 1
            counts["payee", benefit["payee"]] += 1
            for cut in benefit.get("cuts", []):
                counts["cut", cut["reason"]] += 1
        counts["with", "several years"] += len({b["period"] for b in one["benefits"]}) > 1
        for line in one["lines"]:
            for cut in line["cuts"]:
                counts["cut", cut["reason"]] += 1


def main():
    parser = argparse.ArgumentParser(description="Random stories and what they reach.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--write", type=Path)
    chosen = parser.parse_args()
    counts = Counter()
    for seed in range(chosen.seed, chosen.seed + chosen.count):
        products, story = pair(seed)
        count_rules(reference.adjudicate(story, products), counts)
        if chosen.write:
            product = {**products["p"], "product": f"p{seed}"}
            story["product"] = product["product"]
            for overlay in story.get("overlay", []):
                if "products" in overlay:
                    overlay["products"] = [product["product"] if name == "p" else name for name in overlay["products"]]
            (chosen.write / "products").mkdir(parents=True, exist_ok=True)
            (chosen.write / "products" / f"p{seed}.toml").write_text(toml(product), encoding="utf-8")
            with (chosen.write / "claims.jsonl").open("a", encoding="utf-8") as out:
                out.write(json.dumps(story, ensure_ascii=False) + "\n")
    for kind, value in sorted(counts):
        print(f"{kind:9} {value:28} {counts[kind, value]:7}")
    wanted = (
        [("decision", d) for d in DECISIONS] + [("refer", c) for c in REFER_CODES] + [("cut", r) for r in CUT_REASONS]
    )
    missing = [f"{kind} {value}" for kind, value in wanted if not counts[kind, value]]
    print("never:", ", ".join(missing) or "nothing is missing")
    share = Fraction(counts["reached", "computed"], sum(counts["decision", d] for d in DECISIONS))
    print(f"{float(share):.0%} of the claims pass the checks")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
