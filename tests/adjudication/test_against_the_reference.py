"""The engine and the independent reading of the format agree on random stories, in every field of every determination.

`SAFEWEAVE_STORIES=100000 pytest tests/adjudication/test_against_the_reference.py` looks at that many.
"""

import copy
import json
import os
import random
from collections import Counter

import pytest

from oracle import random_stories, reference
from oracle.compare import disagreement, engine, shrink

STORIES = int(os.environ.get("SAFEWEAVE_STORIES", "800"))
PARTS = 8


@pytest.mark.parametrize("part", range(PARTS))
def test_every_determination_is_the_one_the_format_asks_for(part):
    for seed in range(part, STORIES, PARTS):
        products, story = random_stories.pair(seed)
        found = disagreement(story, products)
        if found is not None:
            small_story, small_products = shrink(story, products, found[0])
            kind, theirs, ours = disagreement(small_story, small_products)
            pytest.fail(
                f"seed {seed}: {kind}\n"
                + "\n".join(
                    f"{name}: {json.dumps(value, ensure_ascii=False)}"
                    for name, value in (
                        ("product", small_products["p"]),
                        ("story", small_story),
                        ("engine", theirs),
                        ("reference", ours),
                    )
                )
            )


def test_the_random_stories_reach_every_decision_referral_and_cut():
    counts = Counter()
    for seed in range(1200):
        products, story = random_stories.pair(seed)
        random_stories.count_rules(reference.adjudicate(story, products), counts)
    wanted = {
        *(("decision", decision) for decision in random_stories.DECISIONS),
        *(("refer", code) for code in random_stories.REFER_CODES),
        *(("cut", reason) for reason in random_stories.CUT_REASONS),
    }
    assert wanted - counts.keys() == set()


def test_the_order_of_bills_lines_and_usage_in_the_file_never_matters():
    for seed in range(200):
        products, story = random_stories.pair(seed)
        shuffled = copy.deepcopy(story)
        dice = random.Random(seed)
        dice.shuffle(shuffled["policy"]["period"])
        dice.shuffle(shuffled.get("usage", []))
        dice.shuffle(shuffled.get("overlay", []))
        for claim in shuffled["claim"]:
            dice.shuffle(claim.get("bill", []))
            for bill in claim.get("bill", []):
                dice.shuffle(bill["line"])
                dice.shuffle(bill.get("other_paid", []))
        assert engine(shuffled, products) == engine(story, products), seed
