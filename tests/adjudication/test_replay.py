"""What was decided is computed again from what was stored, and a single changed byte is noticed."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from given import CLEAN_STAY, House, a_bill, a_house, admitted, billed, discharged, lines_of, ref, reversed_bill
from safeweave import coverage
from safeweave.adjudication import engine, product_files, replay
from safeweave.adjudication.handlers import Adjudicator
from safeweave.adjudication.replay import Replayed
from safeweave.adjudication.store import texts_of
from safeweave.database import Transaction, packed
from safeweave.main import main

PACKED = ("claim", "cover", "overlays", "usage_before", "result", "product_digest", "engine")
COLUMNS = ("kept", "id", "case_id", "policy", "person", "product", "decision", "decided_by", "made_at", "digest")


@pytest.fixture(scope="module")
def kept(tmp_path_factory, one_bank) -> Iterator[House]:
    """Three stays of one policy: one reissued, one that a person approved, one refused."""
    house = a_house(tmp_path_factory.mktemp("kept"), one_bank)
    house.hears(*CLEAN_STAY, reversed_bill(), billed(a_bill("2", "1200.00", replaces=ref("1")), "2026-03-09"))
    for visit, total in (("ZY2", "16000.00"), ("ZY3", "17000.00")):
        bill = a_bill(visit[-1] * 3, total, lines=lines_of(total, "2026-03-08"))
        house.hears(
            admitted("2026-03-07T08:00", visit=visit), discharged("2026-03-09T10:00", visit=visit),
            billed(bill, "2026-03-09T10:30", visit=visit),
        )  # fmt: skip
        house.decides(visit=visit, refuse=visit == "ZY2")
    yield house
    house.node.close()


def replayed(tx: Transaction, house: House) -> list[Replayed]:
    cases = [case for (case,) in tx.rows("select id from claim_case order by id")]
    return replay.replay(tx, cases, lambda keys: coverage.opening_usage(tx, keys))


class Undone(Exception):
    pass


def faults_after(house: House, *changes: tuple[str, tuple[object, ...]]) -> list[str]:
    """What replay says when the store was changed so; the change is undone."""
    found: list[str] = []

    def change_and_look() -> None:
        with house.node.database.transaction() as tx:
            for sql, values in changes:
                assert tx.run(sql, values) == 1
            found.extend(fault for result in replayed(tx, house) for fault in result.faults)
            raise Undone

    with pytest.raises(Undone):
        change_and_look()
    return found


def test_everything_is_computed_again_to_the_fen(kept):
    results = kept.asks(lambda tx: replayed(tx, kept))
    assert len(results) == 6
    assert [result.faults for result in results] == [()] * 6
    assert all(result.agrees and result.same_engine for result in results)


def flipped(
    house: House, table: str, key: str, id: str, column: str, at: int, bit: int
) -> tuple[str, tuple[object, ...]]:
    ((raw,),) = house.rows(f"select cast({column} as blob) from {table} where {key} = ?", id)
    changed = bytearray(raw)
    changed[at % len(changed)] ^= 1 << bit
    value = "?" if column == "kept" else "cast(? as text)"
    return f"update {table} set {column} = {value} where {key} = ?", (bytes(changed), id)


@given(st.sampled_from(COLUMNS), st.integers(0, 5), st.integers(0, 10**6), st.integers(0, 7))
@example("policy", 0, 0, 7)  # no text any more: its chain cannot be found by it
@example("person", 0, 0, 7)
@example("case_id", 5, 0, 7)
@settings(max_examples=150, deadline=None)
def test_a_flipped_bit_in_any_stored_text_is_noticed(kept, column, row, at, bit):
    ((id,),) = kept.rows("select id from determination order by id limit 1 offset ?", row)
    assert faults_after(kept, flipped(kept, "determination", "id", id, column, at, bit))


@given(st.sampled_from(PACKED), st.integers(0, 5), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_a_text_that_was_changed_and_packed_again_is_noticed(kept, name, row, at):
    ((id, value),) = kept.rows("select id, kept from determination order by id limit 1 offset ?", row)
    texts = texts_of(value)
    at %= len(texts[name])
    texts[name] = f"{texts[name][:at]}~{texts[name][at + 1 :]}"
    faults = faults_after(kept, ("update determination set kept = ? where id = ?", (packed(joined(texts)), id)))
    assert any("digest differs" in fault for fault in faults)


def joined(texts: dict[str, str]) -> str:
    return "\x1e".join(texts.values())


@given(st.integers(0, 10**6), st.integers(0, 7))
@settings(max_examples=80, deadline=None)
def test_a_flipped_bit_in_the_kept_product_is_noticed(kept, at, bit):
    ((digest,),) = kept.rows("select digest from product_version")
    assert faults_after(kept, flipped(kept, "product_version", "digest", digest, "body", at, bit))


@pytest.mark.parametrize("column", ["payable", "sequence", "in_force", "waiting"])
def test_a_changed_number_is_noticed(kept, column):
    ((id,),) = kept.rows("select id from determination order by made_at limit 1")
    change = f"update determination set {column} = {column} + 100 where id = ?"
    if column == "in_force":
        change = "update determination set in_force = 1 - in_force where id = ?"
    assert faults_after(kept, (change, (id,)))


def test_what_a_determination_leaves_behind_cannot_be_changed_unnoticed(kept):
    ((id, settled),) = kept.rows("select id, settled from determination where in_force = 1 limit 1")
    more = settled.replace("[", "[1", 1)  # what is payable stands first: one digit more
    assert more != settled
    assert faults_after(kept, ("update determination set settled = ? where id = ?", (more, id)))


def test_a_determination_that_was_taken_away_is_missed_by_those_after_it(kept):
    ((id,),) = kept.rows("select id from determination order by sequence limit 1")
    assert faults_after(kept, ("delete from determination where id = ?", (id,)))


def test_a_product_file_that_is_not_kept_any_more_is_said(kept):
    faults = faults_after(kept, ("delete from product_version", ()))
    assert len(faults) == 6
    assert all("hospital-expense-2020" in fault for fault in faults)


# ---------------------------------------------------------------- versions


def test_replay_uses_the_terms_that_decided_after_a_new_version_was_loaded(house):
    house.hears(*CLEAN_STAY)
    texts = [(name, text.replace('yuan = "100.00"', 'yuan = "50.00"')) for name, text in product_files(None)]
    newer = Adjudicator(texts)
    house.node.adjudicator.products, house.node.adjudicator._texts = newer.products, newer._texts
    house.hears(
        admitted("2026-03-07T08:00", visit="ZY2"), discharged("2026-03-09T10:00", visit="ZY2"),
        billed(a_bill("9", lines=lines_of("1000.00", "2026-03-08")), "2026-03-09T10:30", visit="ZY2"),
    )  # fmt: skip
    assert [decided.payable for decided in house.decided("ZY2")] == [49_500]  # the newer terms: 50.00 less
    assert [result.faults for result in house.asks(lambda tx: replayed(tx, house))] == [(), ()]
    assert house.rows("select count(*) from product_version") == [(2,)]


def test_replay_says_when_another_engine_decided(house, monkeypatch):
    house.hears(*CLEAN_STAY)
    monkeypatch.setattr(replay, "ENGINE_VERSION", "another")
    (result,) = house.asks(lambda tx: replayed(tx, house))
    assert (result.same_engine, result.agrees) == (False, True)


def test_the_engine_version_is_shown_with_the_case(house, capsys):
    house.hears(*CLEAN_STAY)
    assert main(["--home", str(house.node.settings.home), "case", "show", house.case().id, "--json"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)["determinations"]
    assert shown["engine"] == engine.ENGINE_VERSION


def test_the_command_agrees_and_fails_when_a_byte_has_changed(house, capsys):
    house.hears(*CLEAN_STAY)
    home, case = str(house.node.settings.home), house.case().id
    assert main(["--home", home, "replay", case]) == 0
    assert main(["--home", home, "replay", "--all", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (answer["replayed"], answer["agree"]) == (1, 1)
    with house.node.database.transaction() as tx:
        ((value,),) = tx.rows("select kept from determination")
        tx.run("update determination set kept = ?", (packed(joined(texts_of(value)).replace("100000", "100001")),))
    assert main(["--home", home, "replay", case, "--json"]) == 1
    (determination,) = json.loads(capsys.readouterr().out)["determinations"]
    assert determination["agrees"] is False
    assert "digest" in determination["faults"][0]


@pytest.mark.parametrize("change", ["update usage_addition set amount = amount + 1", "delete from usage_addition"])
def test_usage_that_was_edited_or_deleted_is_noticed(kept, change):
    row = "where rowid = (select min(rowid) from usage_addition)"
    assert any("usage kept after it" in fault for fault in faults_after(kept, (f"{change} {row}", ())))


# ---------------------------------------------------------------- what a case says of itself


def faults_of(house: House, visit: str, sql: str) -> list[str]:
    """What replay of this one case says when the store was changed so; the change is undone."""
    case, found = house.case(visit).id, list[str]()

    def change_and_look() -> None:
        with house.node.database.transaction() as tx:
            assert tx.run(sql, (case,)) == 1
            again = replay.replay(tx, [case], lambda keys: coverage.opening_usage(tx, keys))
            found.extend(fault for result in again for fault in result.faults)
            raise Undone

    with pytest.raises(Undone):
        change_and_look()
    return found


def test_a_refusal_that_was_taken_away_is_missed_by_its_case(house):
    bill = a_bill("222", "16000.00", lines=lines_of("16000.00", "2026-03-08"))
    house.hears(
        admitted("2026-03-07T08:00", visit="ZY2"), discharged("2026-03-09T10:00", visit="ZY2"),
        billed(bill, "2026-03-09T10:30", visit="ZY2"),
    )  # fmt: skip
    house.decides(visit="ZY2", refuse=True)
    assert house.stage("ZY2") == "refused"
    faults = faults_of(house, "ZY2", "delete from determination where case_id = ? and decision = 'refuse'")
    assert any("it is refused, and no determination" in fault for fault in faults)


def test_an_only_determination_that_was_moved_to_another_case_is_noticed(house):
    house.hears(*CLEAN_STAY)
    faults = faults_of(
        house, house.case().visit, "update determination set case_id = 'case_elsewhere' where case_id = ?"
    )
    assert any("digest differs" in fault for fault in faults)


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)  # PostgreSQL keeps no text that is none
@pytest.mark.parametrize("column", ["policy", "person"])
def test_an_only_determination_whose_policy_or_person_cannot_be_read_is_noticed(house, column):
    house.hears(*CLEAN_STAY)
    faults = faults_of(
        house, house.case().visit, f"update determination set {column} = cast(x'ff' as text) where case_id = ?"
    )
    assert any("they are no text" in fault for fault in faults)
