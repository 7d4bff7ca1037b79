"""A claim and a result come back from what is kept as they were, in today's form and in that of version 0.1.0."""

import json

import msgspec
import pytest

from given import CLEAN_STAY, House, a_bill, admitted, billed, discharged
from oracle import random_stories
from safeweave import coverage
from safeweave.adjudication import replay
from safeweave.adjudication.history import settled
from safeweave.adjudication.kept import (
    claim_from,
    kept_claim,
    kept_result,
    kept_settled,
    result_from,
    says,
    settled_from,
)
from safeweave.adjudication.store import (
    _COLUMNS,
    _FACTS,
    _PACKED,
    _VALUES,
    digest_of,
    reasons_to_refer,
    texts_of,
    values_of,
)
from safeweave.adjudication.stories import run_story
from safeweave.adjudication.story_form import Story, parse_bulk_line
from safeweave.coverage.product import parse_product
from safeweave.facts import Line, Split

named = msgspec.json.Encoder(order="deterministic").encode  # as version 0.1.0 wrote them


def story_of(seed: int) -> Story:
    products, story = random_stories.pair(seed)
    shelf = {name: parse_product(random_stories.toml(product), "p.toml") for name, product in products.items()}
    return parse_bulk_line(json.dumps(story, ensure_ascii=False).encode(), 1, shelf)


@pytest.mark.parametrize("start", range(0, 400, 100))
def test_every_claim_and_result_comes_back_as_it_was(start):
    for seed in range(start, start + 100):
        for result in run_story(story_of(seed)):
            assert result_from(kept_result(result), result.claim) == result
            assert result_from(named(result).decode(), result.claim) == result


def test_a_line_comes_back_with_all_that_is_known_of_it(house):
    house.hears(*CLEAN_STAY)
    (decided,) = house.decided()
    (bill,) = decided.claim.bills
    line = Line(
        7, "01", "乙", 1_000, "A1", "ivf", "vip", 3, bill.on, Split(1, 2, 3, 994), 500, 6, 'named "lines":[{ by a clerk'
    )
    lines = (line, Line(8, "02", "甲", 5))
    claim = msgspec.structs.replace(decided.claim, bills=(msgspec.structs.replace(bill, lines=lines),))
    assert claim_from(kept_claim(claim)) == claim
    assert claim_from(named(claim).decode()) == claim


def test_what_is_kept_can_be_looked_through_by_name(house):
    house.hears(*CLEAN_STAY)
    ((kept,),) = house.rows("select kept from determination")
    texts = texts_of(kept)
    bills = json.loads(texts["claim"])["bills"]
    assert [(bill["code"], bill["number"]) for bill in bills] == [("33060226", "0000000001")]
    assert json.loads(texts["result"])["uses"]["scopes"] == {"2026-01-01": {"limit": {"stay_year": 45_000}}}


def test_why_claims_were_referred_is_found(house):
    house.hears(admitted(), discharged(), billed(a_bill(total="30000.00", fund="4000.00")))
    assert house.asks(lambda tx: list(reasons_to_refer(tx))) == [("above_authority",)]


def test_what_a_determination_leaves_behind_comes_back_as_it_was(house):
    house.hears(*CLEAN_STAY)
    (decided,) = house.decided()
    left = settled(decided.claim, decided.result)
    assert settled_from(kept_settled(left)) == left == settled_from(named(left).decode())
    assert says(kept_settled(left).encode(), left)
    assert says(named(left), left)
    assert not says(kept_settled(msgspec.structs.replace(left, payable=1)).encode(), left)


def test_lines_are_kept_without_the_names_of_their_fields(house):
    house.hears(*CLEAN_STAY)
    (decided,) = house.decided()
    assert '"category"' not in kept_claim(decided.claim)
    assert '"reason"' not in kept_result(decided.result)


def test_rows_that_are_not_whole_are_no_result(house):
    house.hears(*CLEAN_STAY)
    document = json.loads(kept_result(house.decided()[0].result))
    for figures in (document["lines"][0][4][:-1], [*document["lines"][0][4][:4], 99, 1]):
        document["lines"][0][4] = figures
        with pytest.raises(ValueError, match="not whole"):
            result_from(json.dumps(document), "det_1")


def as_version_0_1_0_wrote_it(house: House) -> None:
    """Rewrite every row with all names, under the digests of these texts."""
    made = house.decided()
    with house.node.database.transaction() as tx:
        for decided in made:
            row = tx.row(f"select {', '.join(_COLUMNS)} from determination where id = ?", (decided.id,))
            values = dict(zip(_VALUES, values_of(row), strict=True))
            values["claim"], values["result"] = named(decided.claim).decode(), named(decided.result).decode()
            values["facts_digest"] = digest_of(*(values[name] for name in _FACTS))
            plain = [value for name, value in values.items() if name != "digest"]
            digest = digest_of(*("" if value is None else str(value) for value in plain))
            kept = "\x1e".join(values[name] for name in _PACKED).encode()
            left = named(settled(decided.claim, decided.result)).decode()
            tx.run(
                "update determination set kept = ?, settled = ?, digest = ? where id = ?",
                (kept, left, digest, decided.id),
            )


def test_a_row_of_version_0_1_0_is_read_and_replayed(house):
    house.hears(*CLEAN_STAY)
    (before,) = house.decided()
    as_version_0_1_0_wrote_it(house)
    ((kept,),) = house.rows("select kept from determination")
    assert b'"category"' in kept
    (after,) = house.decided()
    assert (after.claim, after.result) == (before.claim, before.result)
    case = house.case().id
    (again,) = house.asks(lambda tx: replay.replay(tx, [case], lambda keys: coverage.opening_usage(tx, keys)))
    assert again.faults == ()
