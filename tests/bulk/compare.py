"""Random claims decided in columns and by the plain engine: they must agree on every fen, cut, reason and clause.

`python -m tests.bulk.compare --claims 100000` makes random products, for each of them many random stories, and says
what differs, how much of it the columns decided, and why not the rest.
"""

import argparse
import random
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import json

import msgspec
import numpy as np

from oracle import random_stories
from safeweave.adjudication.steps import decide
from safeweave.adjudication.story_form import parse_bulk_line
from safeweave.adjudication.turns import in_turn, paid_by_bill, with_compensation
from safeweave.bulk.engine import decide_all
from safeweave.bulk.facts import Facts, Given, tables_of
from safeweave.bulk.shapes import HOW
from safeweave.coverage.product import parse_product
from safeweave.coverage.usage import NO_USAGE, tidied

AT = datetime(2026, 1, 1, tzinfo=UTC)
STORIES = 25  # of one product


class Portfolio(random_stories.Maker):
    """Many stories about one random product."""

    def stories(self, seed, count):
        for number in range(count):
            self.rng = random.Random(f"{seed}/{number}")
            self.calm = self.chance(0.6)
            self.policy = self.make_policy()
            yield self.make_story(f"{seed}-{number}")


def portfolio(seed, count=STORIES):
    """A product, and its stories as the plain engine reads them."""
    maker = Portfolio(seed)
    product = parse_product(random_stories.toml(maker.product), "p.toml")
    stories = []
    for story in maker.stories(seed, count):
        story.pop("paid_bill", None)  # a store has none
        for claim in story["claim"]:  # ids of determinations are nobody else's
            claim |= {key: f"{story['id']}/{claim[key]}" for key in ("id", "supersedes") if key in claim}
        line = json.dumps(story, ensure_ascii=False).encode()
        stories.append(parse_bulk_line(line, 1, {"p": product}))
    return product, stories


def verdict_of(claim, persons):
    """What a person says of a claim in place of the rules, where persons say anything: of half of the claims."""
    return random.Random(claim.id).choice(("", "", "pay", "refuse")) if persons else ""


def said(made, verdict):
    """The determination as it takes effect with a person's word."""
    return msgspec.structs.replace(made, decision={"pay": "pay", "refuse": "refer"}[verdict]) if verdict else made


def plainly(story, persons=False):
    """The claims of a story with their determinations, and the usage in the end."""
    history, found = story.history, []
    for claim in story.claims:
        made = decide(story.product, story.cover, history, claim, story.overlays)
        found.append((claim, made))
        history = history.after(claim, said(made, verdict_of(claim, persons)))
    return found, history.usage


def plainly_in_turn(products, story, persons=False):
    """The claims of a story decided under two policies at once, as (policy, claim, determination), and both usages.

    A person decides for one policy after the other, on what the first one leaves.
    """
    histories, found = [story.history, story.history], []
    for claim in story.claims:
        verdict, paid, made = verdict_of(claim, persons), {}, []
        if verdict:
            for at in (0, 1):
                seen = with_compensation(claim, paid)
                made.append((at, seen, decide(products[at], story.cover, histories[at], seen, story.overlays)))
                paid = paid_by_bill(said(made[-1][2], verdict))
        else:
            made = in_turn(
                [0, 1],
                claim,
                lambda at, seen: decide(products[at], story.cover, histories[at], seen, story.overlays),
            )
        for at, seen, determination in sorted(made, key=lambda one: one[0]):
            found.append((at, claim, determination))
            histories[at] = histories[at].after(seen, said(determination, verdict))
    return found, [history.usage for history in histories]


def givens(number, story, persons=False):
    """The claims of a story as facts, one chain."""
    return [
        Given(
            claim.id, f"{number}/{claim.id}", f"policy{number}", f"person{number}", place, AT, story.product.id,
            story.product.digest, "", verdict_of(claim, persons), (), claim, story.cover, story.overlays,
            story.history.usage,
        )
        for place, claim in enumerate(story.claims, start=1)
    ]  # fmt: skip


def bare(made):
    """A determination without what follows from the rest: usage after it, bills it makes paid."""
    return msgspec.structs.replace(made, usage=NO_USAGE, bills=(), uses=tidied(made.uses))


def compare(seed, counts, count=STORIES, few=1, persons=False):
    """The differences found in one portfolio, as texts, and how many claims were compared; `persons` decide some."""
    return compare_stories(f"seed {seed}", counts, *portfolio(seed, count), few, persons)


def compare_stories(name, counts, product, stories, few=1, persons=False):
    """The same for any stories of a product."""
    plain = [plainly(story, persons) for story in stories]
    facts = Facts(tables_of(given for number, story in enumerate(stories) for given in givens(number, story, persons)))
    decided = decide_all(facts, [product], np.zeros(facts.count, np.int32), replaces_by_case=False, few=few)
    made, usages = [one for found, _ in plain for one in found], [usage for _, usage in plain]
    return differences(name, counts, decided, made, usages)


def compare_pairs(seed, counts, count=STORIES, few=1, persons=False):
    """The same for persons insured under two random products at once."""
    product, stories = portfolio(seed, count)
    products = [product, portfolio(seed + 500_000, 0)[0]]
    plain = [plainly_in_turn(products, story, persons) for story in stories]
    rows, at, made, usages = [], [], [], []
    for number, (story, (found, both)) in enumerate(zip(stories, plain, strict=True)):
        given = {one.claim.id: one for one in givens(number, story, persons)}
        for policy, claim, determination in found:
            rows.append(given[claim.id]._replace(policy=f"policy{policy}"))
            at.append(policy)
            made.append((claim, determination))
        usages += both
    facts = Facts(tables_of(rows))
    decided = decide_all(facts, products, np.array(at, np.int32), replaces_by_case=False, few=few)
    return differences(f"pairs, seed {seed}", counts, decided, made, usages)


def differences(name, counts, decided, made, usages):
    """What the columns say otherwise than the plain engine; `usages` in the order of the chains."""
    counts.update(HOW[how] for how in decided.how.tolist())
    found = []
    for place, (claim, determination) in enumerate(made):
        ours, theirs = bare(decided.results.determination(place, claim.id, keys(claim))), bare(determination)
        if ours != theirs:
            how = HOW[decided.how[place]]
            found.append(f"{name}, row {place}, claim {claim.id} ({how}): {difference(theirs, ours)}")
    for chain, usage in enumerate(usages):
        if tidied(decided.chains.usage(chain)) != tidied(usage):
            found.append(f"{name}, chain {chain}: usage {decided.chains.usage(chain)} instead of {usage}")
    return found, len(made)


def keys(claim):
    """The bill keys of a claim, in canonical order."""
    return [bill.key for bill in sorted(claim.bills, key=lambda bill: (bill.on, bill.code, bill.number))]


def difference(plain, ours):
    """The first field in which two determinations differ."""
    for name in type(plain).__struct_fields__:
        one, other = getattr(plain, name), getattr(ours, name)
        if one != other:
            if isinstance(one, tuple) and len(one) == len(other):
                one, other = next((a, b) for a, b in zip(one, other, strict=True) if a != b)
            return f"{name}\n    plain   {one}\n    columns {other}"
    return "nothing"


def main():
    parser = argparse.ArgumentParser(description="Random claims in columns and by the plain engine.")
    parser.add_argument("--claims", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    counts, compared, differing, seed = Counter(), 0, 0, asked.seed
    while compared < asked.claims:
        persons = seed % 3 == 0
        pairs = [compare_pairs(seed, counts, persons=persons)] if seed % 4 == 0 else []
        for texts, found in [compare(seed, counts, persons=persons), *pairs]:
            compared += found
            differing += len(texts)
            for text in texts[:3]:
                print(text)
        seed += 1
    print(f"{compared} claims of {seed - asked.seed} products compared, {differing} differ; decided by {dict(counts)}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
