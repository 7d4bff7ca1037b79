"""Policies, payees and usage as they are remembered and read."""

import pytest

from coverage.given_policies import day, insured_under, period
from people.given_people import NOW, SAMPLE_MALE, citizen_number, particulars
from safeweave import coverage, people
from safeweave.coverage import store
from safeweave.coverage.policy import Insured, Payee
from safeweave.coverage.usage import NO_USAGE, Usage, Used
from safeweave.errors import Crossed, NotFound
from safeweave.facts import Cover, Period
from safeweave.ids import DeterminationId
from safeweave.people import Guardianship, Held
from safeweave.people.identity import Unusable
from stores import looks_up

Y2026 = period("2026-01-01", "2026-12-31")


@pytest.fixture
def tx(database):
    with database.transaction() as tx:
        yield tx


def account(role="insured", number="6222020000000000018"):
    return Payee(role, "测试甲", number, "102332000018")


def test_a_policy_is_read_as_the_adjudicator_needs_it(tx):
    person = insured_under(tx, "P-1", Y2026, beneficiary="测试乙", roster_first_day=day("2026-02-01"))
    store.add_payees(tx, [(store.policy_id("P-1"), person, account())], NOW)
    (policy,) = coverage.policies_of(tx, [person])[person]
    assert (policy.number, policy.product, policy.bank, policy.person) == (
        "P-1",
        "hospital-expense-2020",
        "main",
        person,
    )
    assert policy.cover == Cover(
        day("1949-12-31"),
        "F",
        True,
        (Period(day("2026-01-01"), day("2026-12-31"), day("2026-01-01")),),
        False,
        "测试乙",
        day("2026-02-01"),
    )
    assert policy.payee("insured") == account()
    assert policy.payee("estate") is None


def test_a_person_has_several_policies_by_number_and_a_stranger_none(tx):
    person = insured_under(tx, "P-2", Y2026)
    insured_under(tx, "P-1", Y2026, person=person)
    found = coverage.policies_of(tx, [person, "person_nobody"])
    assert [policy.number for policy in found[person]] == ["P-1", "P-2"]
    assert found["person_nobody"] == []


def test_a_policy_insures_several_persons(tx):
    a = insured_under(tx, "P-1", Y2026)
    b = people.save_people(tx, [particulars("测试乙", SAMPLE_MALE)], NOW)[0].person
    insured_under(tx, "P-1", person=b, enrolled=False, relation="spouse")
    found = coverage.policies_of(tx, [a, b])
    assert [found[each][0].cover.enrolled for each in (a, b)] == [True, False]
    assert found[a][0].cover.periods == found[b][0].cover.periods


@pytest.mark.parametrize("size", [1, 60])
def test_two_statements_read_the_policies_of_any_number_of_persons(database, size):
    with database.transaction() as tx:
        described = [particulars(f"测试{i}", citizen_number(day("1990-01-01"), i)) for i in range(size)]
        persons = [each.person for each in people.save_people(tx, described, NOW)]
        for i, person in enumerate(persons):
            insured_under(tx, f"P-{i}", Y2026, person=person)
        before = database.statements
        found = coverage.policies_of(tx, persons, day("2026-03-06"))
        assert database.statements - before == 2
        keys = [(policy.policy, person, "insured") for person, (policy,) in found.items()]
        before = database.statements
        coverage.payees(tx, keys)
        coverage.usage_of(tx, [key[:2] for key in keys])
        assert database.statements - before == 2


def test_pairs_are_looked_up_through_an_index(database):
    with database.transaction() as tx:
        for table in ("policy_change", "payee_change", "usage_addition"):
            keys = [("a", "b"), ("c", "d")]
            assert looks_up(tx, table, f"select * from {table} where (policy, person) in ?", (keys,))


def test_what_is_on_file_is_replaced_by_adding_and_the_history_shows_both(tx):
    person = insured_under(tx, "P-1", Y2026)
    policy = store.policy_id("P-1")
    store.add_payees(tx, [(policy, person, account())], NOW)
    store.add_payees(tx, [(policy, person, account(number="6222020000000000026"))], NOW)
    store.add_insureds(tx, [(policy, Insured(person, False))], NOW)
    assert (
        coverage.payees(tx, [(policy, person, "insured")])[policy, person, "insured"].account == "6222020000000000026"
    )
    assert coverage.policies_of(tx, [person])[person][0].cover.enrolled is False
    kinds = [kind for _, kind, _, _ in store.policy_history(tx, policy)]
    assert sorted(kinds) == ["insured", "insured", "payee", "payee", "period"]


def test_a_guardian_counts_on_the_day_asked_for(tx):
    child, mother = (
        each.person
        for each in people.save_people(
            tx, [particulars("测试丙", citizen_number(day("2018-01-15"), 2)), particulars()], NOW
        )
    )
    insured_under(tx, "P-1", Y2026, person=child)

    def guarded(on=None):
        return coverage.policies_of(tx, [child], on)[child][0].cover.guardian

    assert guarded() is False
    link = Guardianship(child, mother, "户口簿", day("2018-01-15"), day("2026-03-31"))
    people.add_guardianships(tx, [link], NOW)
    assert [guarded(day(on)) for on in ("2026-03-31", "2026-04-01")] == [True, False]
    people.add_guardianships(tx, [Guardianship(child, mother, "户口簿", day("2018-01-15"))], NOW)
    assert guarded() is True


def test_renewal_lapse_and_reinstatement_are_additions(tx):
    person = insured_under(tx, "P-1", Y2026)
    coverage.renew(tx, "P-1", day("2027-01-01"), day("2027-12-31"), NOW)
    coverage.lapse(tx, "P-1", NOW, due_on=day("2027-01-01"), reason="保费未缴")
    coverage.reinstate(tx, "P-1", day("2027-06-01"), NOW)
    assert coverage.policies_of(tx, [person])[person][0].cover.periods == (
        Period(day("2026-01-01"), day("2026-12-31"), day("2026-01-01")),
        Period(day("2027-01-01"), day("2027-03-02"), day("2026-01-01")),
        Period(day("2027-06-01"), day("2027-12-31"), day("2027-06-01")),
    )


def test_a_lapse_before_the_days_of_grace_are_over_is_refused(tx):
    insured_under(tx, "P-1", Y2026)
    with pytest.raises(Unusable, match="keeps it until the day before 2026-03-03"):
        coverage.lapse(tx, "P-1", NOW, from_day=day("2026-03-02"), due_on=day("2026-01-01"))
    with pytest.raises(Unusable, match="no day of lapse"):
        coverage.lapse(tx, "P-1", NOW)
    with pytest.raises(NotFound, match="P-9"):
        coverage.lapse(tx, "P-9", NOW, from_day=day("2026-03-02"))


def test_a_policy_cancelled_in_the_cooling_off_never_covered_anything(tx):
    person = insured_under(tx, "P-1", Y2026)
    coverage.cancel(tx, "P-1", day("2026-01-10"), NOW, void=True, reason="犹豫期退保")
    assert coverage.policies_of(tx, [person])[person][0].cover.periods == ()


# ---------------------------------------------------------------- usage

USED = Usage(
    {"2026-01-01": Used({"year": 10000}, {"total": 50000}, {"hospital": 3}), "lifetime": Used(count={"ci/1": 1})}
)


def used(tx, key):
    return coverage.usage_of(tx, [key])[key]


def test_usage_is_the_sum_of_what_determinations_added(tx):
    key = (store.policy_id("P-1"), "person_a")
    assert used(tx, key) == NO_USAGE
    coverage.add_usage(tx, coverage.usage_rows(*key, DeterminationId("det_1"), USED))
    coverage.add_usage(
        tx, coverage.usage_rows(*key, DeterminationId("det_2"), Usage({"2026-01-01": Used({"year": 2500})}))
    )
    assert used(tx, key).scopes["2026-01-01"].deductible == {"year": 12500}
    assert used(tx, key).scopes["lifetime"].count == {"ci/1": 1}


def test_a_determination_is_never_counted_twice(tx):
    rows = coverage.usage_rows(store.policy_id("P-1"), "person_a", DeterminationId("det_1"), USED)
    coverage.add_usage(tx, rows)
    coverage.add_usage(tx, rows)
    with pytest.raises(Crossed):
        tx.flush()


def test_taking_a_determination_back_adds_the_exact_negatives_once(tx):
    key = (store.policy_id("P-1"), "person_a")
    coverage.add_usage(tx, coverage.usage_rows(*key, DeterminationId("det_1"), USED))
    assert coverage.reverse_usage(tx, [DeterminationId("det_1")], DeterminationId("det_2")) == 4
    assert coverage.reverse_usage(tx, [DeterminationId("det_1")], DeterminationId("det_3")) == 0
    assert used(tx, key) == NO_USAGE


def test_a_chain_of_replacements_leaves_the_last_ones_usage(tx):
    key = (store.policy_id("P-1"), "person_a")
    for name, amount, replaced in (("det_1", 100, None), ("det_2", 200, "det_1"), ("det_3", 300, "det_2")):
        addition = Usage({"2026-01-01": Used({"year": amount})})
        coverage.add_usage(tx, coverage.usage_rows(*key, DeterminationId(name), addition))
        if replaced:
            coverage.reverse_usage(tx, [DeterminationId(replaced)], DeterminationId(name))
        assert used(tx, key).scopes["2026-01-01"].deductible == {"year": amount}


# ---------------------------------------------------------------- merging


def test_a_merged_person_keeps_the_policies_payees_and_usage_of_both(tx):
    a = insured_under(tx, "P-1", Y2026)
    passport = (Held("passport", "E1", "CHN"),)
    b = people.save_people(tx, [particulars(documents=passport)], NOW)[0].person
    insured_under(tx, "P-2", period("2025-07-01", "2026-06-30"), person=b)
    policy = store.policy_id("P-2")
    store.add_payees(tx, [(policy, b, account())], NOW)
    coverage.add_usage(tx, coverage.usage_rows(policy, b, DeterminationId("det_1"), USED))
    assert coverage.merge_persons(tx, a, b, NOW) == a
    assert coverage.merge_persons(tx, a, b, NOW) == a
    for asked in (a, b):
        found = coverage.policies_of(tx, [asked])[asked]
        assert [(each.number, each.person) for each in found] == [("P-1", a), ("P-2", a)]
        assert found[1].payee("insured") == account()
        assert found[1].cover.periods[0].first_day == day("2025-07-01")
    assert used(tx, (policy, a)) == USED
    assert (policy, b, "insured") in coverage.payees(tx, [(policy, b, "insured")])
    assert [each.person for each in coverage.policies_by_number(tx, ["P-2"])["P-2"].insureds] == [a]
    coverage.reverse_usage(tx, [DeterminationId("det_1")], DeterminationId("det_2"))
    assert used(tx, (policy, a)) == NO_USAGE
