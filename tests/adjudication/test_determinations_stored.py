"""A determination as it is kept: what it read, what it used up, what it replaced, and by what."""

import json

import pytest

from given import CLEAN_STAY, a_bill, a_house, admitted, billed, day, discharged, lines_of, ref, reversed_bill, yuan
from safeweave.adjudication import product_files, read_overlays
from safeweave.adjudication.engine import ENGINE_VERSION
from safeweave.errors import Malformed
from safeweave.facts import Overlay

SECOND_STAY = (
    admitted("2026-03-07T08:00", visit="ZY2"),
    discharged("2026-03-09T10:00", visit="ZY2"),
    billed(a_bill("9", "600.00", "300.00", lines=lines_of("600.00", "2026-03-08")), "2026-03-09T10:30", visit="ZY2"),
)


def additions(house):
    """The rows of usage: (amount, whether it reverses another)."""
    return house.rows("select kind, amount, reverses <> '' from usage_addition order by kind, id, scope")


def test_a_determination_keeps_what_it_read_and_who_decided_with_which_engine(house):
    house.hears(*CLEAN_STAY)
    (decided,) = house.decided()
    assert (decided.decision, decided.decided_by, decided.engine) == ("pay", "machine", ENGINE_VERSION)
    assert (decided.product, decided.payable, decided.sequence) == ("hospital-expense-2020", yuan("450.00"), 1)
    assert [bill.key for bill in decided.claim.bills] == ["33060226-0000000001"]
    assert decided.claim.hospital.level == 3
    assert decided.cover.periods[0].first_day == day("2026-01-01")
    assert len(decided.digest) == len(decided.facts_digest) == 64


def test_a_later_stay_of_the_year_reads_what_the_first_has_used(house):
    house.hears(*CLEAN_STAY, *SECOND_STAY)
    (second,) = house.decided("ZY2")
    assert second.sequence == 2
    assert second.usage_before.of("limit", "2026-01-01", "stay_year") == yuan("450.00")
    assert second.payable == yuan("180.00")  # (600 - 300 - 100) x 90 %
    assert house.usage()["limit", "stay_year"] == yuan("630.00")


def test_usage_is_added_in_the_name_of_the_determination_and_taken_back_exactly(house):
    house.hears(*CLEAN_STAY)
    first = additions(house)
    house.hears(reversed_bill(), billed(a_bill("2", "1200.00", replaces=ref("1")), "2026-03-09"))
    rows = additions(house)
    taken_back = [(kind, -amount) for kind, amount, reverses in rows if reverses]
    assert taken_back == [(kind, amount) for kind, amount, _ in first]
    assert house.usage()["limit", "stay_year"] == yuan("630.00")


def test_a_determination_replaced_is_no_more_in_force_but_is_kept(house):
    house.hears(*CLEAN_STAY)
    house.hears(reversed_bill(), billed(a_bill("2", "1200.00", replaces=ref("1")), "2026-03-09"))
    first, second = house.decided()
    assert (second.supersedes, second.payable) == (first.id, yuan("630.00"))
    assert second.result.adjustment == yuan("180.00")
    assert [decided.id for decided in house.in_force()] == [second.id]


def test_what_is_referred_uses_nothing(house):
    house.hears(admitted(), discharged(), billed(a_bill(total="30000.00", fund="4000.00")))
    (referred,) = house.decided()
    assert (referred.decision, house.usage(), house.payouts()) == ("refer", {}, [])


def test_a_product_that_is_not_here_is_referred_and_pays_nothing(house):
    house.hears(admitted())
    del house.node.adjudicator.products["hospital-expense-2020"]
    house.hears(discharged(), billed())
    assert (house.stage(), house.decided(), house.payouts()) == ("referred", [], [])


# ---------------------------------------------------------------- overlays


RELAXED = Overlay("typhoon-2026", ("deductible",), day("2026-03-01"), day("2026-03-31"), regions=("330200",))


def overlays_file(folder, *lines):
    path = folder / "overlays.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_relaxation_read_from_a_file_is_applied_and_named(tmp_path, store, one_bank):
    line = json.dumps(
        {
            "id": "typhoon-2026",
            "lifts": ["deductible"],
            "first_day": "2026-03-01",
            "last_day": "2026-03-31",
            "regions": ["330200"],
        }
    )
    house = a_house(tmp_path, one_bank, overlays=overlays_file(tmp_path, line, ""))
    house.hears(*CLEAN_STAY)
    (decided,) = house.decided()
    assert decided.overlays == (RELAXED,)
    assert (decided.result.overlays, decided.payable) == (("typhoon-2026",), yuan("540.00"))
    house.node.close()


def test_a_file_of_relaxations_that_is_wrong_names_the_line(tmp_path):
    path = overlays_file(tmp_path, "", '{"id": "x", "lifts": ["everything"]}')
    with pytest.raises(Malformed) as caught:
        read_overlays(path)
    assert caught.value.line == 2


# ---------------------------------------------------------------- products are kept


def test_a_product_that_decided_is_kept_even_if_the_first_attempt_was_rolled_back(house, monkeypatch):
    """What a process remembers must not outlive a transaction that never was."""
    from safeweave.telling import handlers as telling

    failures = [RuntimeError("the letters' template is broken")]

    def fails_once(*_: object) -> None:
        if failures:
            raise failures.pop()

    monkeypatch.setattr(telling.letters, "write_letters", fails_once)
    house.hears(*CLEAN_STAY)
    assert house.stage() == "closed"
    assert house.rows("select product from product_version") == [("hospital-expense-2020",)]


def test_the_sample_products_come_with_the_package():
    assert "hospital-expense-2020.toml" in [name for name, _ in product_files(None)]


def test_nothing_is_told_twice_for_one_visit(house):
    house.hears(*CLEAN_STAY, *CLEAN_STAY)
    assert len(house.decided()) == 1
    assert house.payouts() == [("paid", yuan("450.00"))]
