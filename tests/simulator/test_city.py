"""The city is the same for the same seed, and its sums are exact."""

import hashlib
import json
from collections import Counter
from datetime import date, timedelta

import pytest

from safeweave.clock import SHANGHAI
from safeweave.people import identity
from safeweave_simulator.city import City
from safeweave_simulator.hospital import make_hospitals

TODAY = date(2026, 11, 25)


def stream_digest(seed: int) -> str:
    digest = hashlib.sha256()
    for message in City(seed, 4, 200, today=TODAY).stream(60):
        digest.update(f"{message.at} {message.hospital} {message.door} {message.id} {message.what}\n".encode())
        digest.update(message.body)
    return digest.hexdigest()


def test_the_same_seed_sends_the_same_bytes():
    assert stream_digest(7) == stream_digest(7)


def test_another_seed_sends_others():
    assert stream_digest(7) != stream_digest(8)


def test_the_files_to_import_are_the_same_for_the_same_seed(tmp_path):
    for folder in ("a", "b"):
        City(3, 5, 100, today=TODAY).write(tmp_path / folder)
    for name in ("policies.jsonl", "hospitals.jsonl", "senders.jsonl", "tokens.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_messages_come_in_order_of_time_and_none_is_of_today_or_later():
    times = [message.at for message in City(1, 5, 400, today=TODAY).stream(150)]
    assert max(times).astimezone(SHANGHAI).date() < TODAY
    assert min(times).astimezone(SHANGHAI).date() >= TODAY - timedelta(days=35)


def test_one_control_id_never_stands_for_two_contents():
    seen: dict[tuple[str, str], bytes] = {}
    for message in City(2, 5, 600, today=TODAY).stream(300):
        assert seen.setdefault((message.hospital, message.id), message.body) == message.body


def test_the_hospitals_numbers_pass_their_checks():
    for hospital in make_hospitals(5, 30):
        assert identity.check("credit_code", hospital.uscc).number == hospital.uscc
        assert identity.check("institution_code", hospital.code).number == hospital.code
    assert len({hospital.code for hospital in make_hospitals(5, 30)}) == 30


def test_the_first_hospital_is_the_one_of_the_opening_story():
    first = make_hospitals(99, 3)[0]
    assert (first.code, first.uscc, first.name) == ("H33020000001", "12330200MB10000025", "示例市第一医院")


def test_peoples_documents_and_accounts_pass_their_checks_and_agree_with_birth_and_sex():
    for person in City(4, 3, 1500, today=TODAY).insured():
        for document in person.documents:
            found = identity.check(document.kind, document.number, document.country)
            assert found.kind == document.kind
            if found.birth:
                assert (found.birth, found.sex) == (person.birth, person.sex)
        account = identity.check("bank_account", person.payee.number)
        assert not account.warnings
        assert identity.check("bank_code", person.payee.bank_code).number == person.payee.bank_code


def test_there_are_children_foreigners_and_rare_names_among_the_people():
    city = City(4, 3, 1500, today=TODAY)
    people = list(city.insured())
    kinds = Counter(person.documents[0].kind for person in people)
    assert set(kinds) == {"resident_id", "passport", "hmt_residence_permit", "foreign_permanent_resident"}
    minors = [person for person in people if person.age_on(TODAY) < 18]
    assert any(person.guardian is None for person in minors)
    assert any(person.guardian is not None for person in minors)
    assert any(set("䶮𠮷𬸣㛃龑") & set(person.name) for person in people)


def test_most_policies_cover_every_simulated_day_and_products_begin_after_their_first_terms():
    city = City(6, 3, 1000, today=TODAY)
    policies = [policy for person in city.insured() for policy in person.policies]
    covering = [p for p in policies if p.covers(city.first_day) and p.covers(TODAY)]
    assert 0.85 < len(covering) / len(policies) < 0.97
    assert {policy.product for policy in policies} == {
        "hospital-expense-2020",
        "million-medical-2025",
        "daily-allowance-2022",
        "accident-medical-2021",
    }
    for policy in policies:
        assert all(int(policy.product[-4:]) <= period.since.year for period in policy.periods)
        for earlier, later in zip(policy.periods, policy.periods[1:], strict=False):
            assert later.first_day == earlier.last_day + timedelta(days=1)


def test_turns_come_about_as_often_as_their_shares_say():
    city = City(11, 5, 1500, today=TODAY)
    for _ in city.stream(1300):
        pass
    turns = Counter(truth.turn for truth in city.truth.values())
    assert 0.68 < turns["clean"] / len(city.truth) < 0.80
    assert 0.05 < turns["outpatient"] / len(city.truth) < 0.11
    for turn in city.shares:
        assert turns[turn] > 0, turn
    expected = Counter(truth.expected for truth in city.truth.values())
    assert set(expected) == {"determined", "referred", "not_insured", "no_cover", "cancelled", "open", "reversed"}
    assert expected["determined"] / len(city.truth) > 0.8


def test_every_turn_can_be_had_alone():
    for turn in City(1, today=TODAY).shares:
        city = City(1, 5, 60, today=TODAY, shares={turn: 1.0})
        assert sum(1 for _ in city.stream(30)) > 0
        assert turn in {truth.turn for truth in city.truth.values()}


def test_a_clean_stay_is_admitted_charged_discharged_settled_and_billed():
    city = City(1, 1, 60, today=TODAY, shares={}, delivery={"duplicate": 0.0, "reordered": 0.0, "late": 0.0})
    told: dict[int, list[str]] = {}
    for message in city.stream(30):
        told.setdefault(message.stay, []).append(message.what)
    for stay, what in told.items():
        truth = city.truth[stay]
        assert what[0] == "admitted"
        assert what.count("discharged") == what.count("billed") == 1
        assert what.count("settled") == int(truth.settled)
        assert truth.final_bill
        assert truth.discharged_on >= truth.admitted_on


def test_a_settlement_that_comes_after_its_bill_is_awaited_until_it_is_told():
    city = City(1, 5, 60, today=TODAY, shares={}, delivery={"duplicate": 0.0, "reordered": 0.3, "late": 0.0})
    awaited = {message.stay for message in city.stream(40) if city.truth[message.stay].awaits_settlement}
    assert awaited
    assert not any(truth.awaits_settlement for truth in city.truth.values())


def test_a_reissued_bill_replaces_the_first_one_in_the_truth():
    city = City(1, 5, 60, today=TODAY, shares={"reissued_dearer": 0.5, "reissued_cheaper": 0.5})
    for _ in city.stream(40):
        pass
    finished = [truth for truth in city.truth.values() if truth.final_bill]
    assert finished
    for truth in finished:
        assert sorted(truth.bills.values()) == ["issued", "reversed"]
        assert truth.bills[truth.final_bill] == "issued"


def test_the_answer_key_is_written_as_json(tmp_path):
    city = City(1, 2, 60, today=TODAY)
    for _ in city.stream(20):
        pass
    city.write_answers(tmp_path / "answers.json")
    answers = json.loads((tmp_path / "answers.json").read_text(encoding="utf-8"))
    assert len(answers) == len(city.truth)
    assert {"stay", "visit", "turn", "policies", "final_bill", "final_total", "expected"} <= set(answers[0])


def test_more_stays_than_people_are_refused():
    with pytest.raises(ValueError, match="need as many insured people"):
        City(1, 2, 10, today=TODAY).stream(11)
