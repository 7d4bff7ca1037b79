"""Runs random stories through the engine and the reference, and makes small what they disagree about.

`python tests/oracle/compare.py --seed 0 --count 10000` prints each kind of difference once, made small.
"""

import argparse
import copy
import json
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from oracle import random_stories, reference
from safeweave.adjudication.stories import run_story
from safeweave.adjudication.story_form import parse_bulk_line, told
from safeweave.coverage.product import parse_product
from safeweave.errors import Malformed


def engine(story, products):
    """The engine's determinations for a story in the bulk form, through its own readers."""
    shelf = {}
    for name, product in products.items():
        parsed = parse_product(random_stories.toml(product), "p.toml")
        shelf[name] = parsed
    line = json.dumps(story, ensure_ascii=False).encode()
    return [told(determination) for determination in run_story(parse_bulk_line(line, 1, shelf))]


def plain(value):
    """A result as JSON would give it back."""
    return json.loads(json.dumps(value, ensure_ascii=False, default=str))


def disagreement(story, products):
    """What the two sides say of the first claim they disagree about, or None: (kind of difference, theirs, ours)."""
    ours = reference.adjudicate(story, products)
    try:
        theirs = plain(engine(story, products))
    except Malformed as fault:
        return "malformed: " + str(fault).partition(": ")[2], None, ours
    if len(ours) != len(theirs):
        return "number", theirs, ours
    for one, other in zip(ours, theirs, strict=True):
        for field in sorted({*one, *other}):
            if one.get(field) != other.get(field):
                return kind_of(field, one.get(field), other.get(field)), other, one
    return None


def kind_of(field, ours, theirs):
    """A short name of a difference, to tell kinds apart."""
    if field == "refer":
        return f"refer: only reference {sorted(set(ours) - set(theirs))}, only engine {sorted(set(theirs) - set(ours))}"
    if field in ("benefits", "lines"):
        for one, other in zip(ours, theirs, strict=False):
            for key in sorted({*one, *other}):
                if one.get(key) != other.get(key):
                    if key == "cuts":
                        names = [sorted({c["reason"] for c in row[key]}) for row in (one, other)]
                        return f"{field}.cuts reference {names[0]} engine {names[1]}"
                    return f"{field}.{key}"
        return f"{field}: {len(ours)} rows in the reference, {len(theirs)} in the engine"
    if field == "decision":
        return f"decision: reference {ours}, engine {theirs}"
    return field


def shrink(story, products, kind):
    """The smallest story and product found that still show this kind of difference, by leaving things out."""

    def still(story, products):
        try:
            found = disagreement(story, products)
        except (AssertionError, KeyError, TypeError, ValueError, AttributeError, IndexError):
            return False
        return found is not None and found[0].split(" reference ")[0] == kind.split(" reference ")[0]

    whole = {"story": copy.deepcopy(story), "products": copy.deepcopy(products)}
    changed = True
    while changed:
        changed = False
        for path in sorted((path for path in paths(whole) if len(path) > 1), key=len):
            smaller = without(whole, path)
            if smaller is not None and still(smaller["story"], smaller["products"]):
                whole, changed = smaller, True
    return whole["story"], whole["products"]


def paths(value, prefix=()):
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in steps:
        yield (*prefix, step)
        yield from paths(item, (*prefix, step))


def without(whole, path):
    """A copy without what is at the path; None if there is nothing any more."""
    smaller = copy.deepcopy(whole)
    parent = smaller
    try:
        for step in path[:-1]:
            parent = parent[step]
        del parent[path[-1]]
    except (KeyError, IndexError, TypeError):
        return None
    return smaller


def main():
    parser = argparse.ArgumentParser(description="The engine against the reference.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--kinds", type=int, default=8, help="stop after so many kinds of difference")
    chosen = parser.parse_args()
    kinds = Counter()
    for seed in range(chosen.seed, chosen.seed + chosen.count):
        products, story = random_stories.pair(seed)
        found = disagreement(story, products)
        if found is None:
            continue
        kind = found[0]
        kinds[kind] += 1
        if kinds[kind] > 1 or len(kinds) > chosen.kinds:
            continue
        small_story, small_products = shrink(story, products, kind)
        _, theirs, ours = disagreement(small_story, small_products)
        print(f"=== seed {seed}: {kind}")
        for name, value in (
            ("product", small_products["p"]),
            ("story", small_story),
            ("engine", theirs),
            ("reference", ours),
        ):
            print(f"{name}: {json.dumps(value, ensure_ascii=False)}")
        sys.stdout.flush()
    print(f"{sum(kinds.values())} of {chosen.count} stories differ")
    for kind, number in kinds.most_common():
        print(f"{number:6} {kind}")
    return 1 if kinds else 0


if __name__ == "__main__":
    sys.exit(main())
