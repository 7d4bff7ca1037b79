"""The register of persons: what is added, what is a conflict, merging, guardians, ages."""

from datetime import date

import pytest

from people.given_people import NOW, SAMPLE_FEMALE, SAMPLE_MALE, citizen_number, particulars, seen
from safeweave import people
from safeweave.errors import Conflict, NotFound
from safeweave.people import Found, Guardianship, Held, age_on
from safeweave.people.person import Name


@pytest.fixture
def tx(database):
    with database.transaction() as tx:
        yield tx


def save(tx, *described):
    return people.save_people(tx, described, NOW)


def person(tx, id):
    return people.people_by_id(tx, [id])[id]


def test_the_same_description_changes_nothing(tx):
    first, again = save(tx, particulars())[0], save(tx, particulars())[0]
    assert (first.added, again.person, again.added, again.changed) == (True, first.person, False, False)
    assert people.person_history(tx, first.person) == []


def test_one_person_told_twice_in_a_batch_is_one_person(tx):
    a, b = save(tx, particulars(), particulars(phone="13800000000"))
    assert a.person == b.person
    assert person(tx, a.person).phone == "13800000000"


def test_contacts_follow_the_latest_description_and_the_history_shows_it(tx):
    (a,) = save(tx, particulars(phone="13800000000", email="a@example.cn", wechat="jia", language="zh"))
    save(tx, particulars(phone="13800000001", language="en"))
    known = person(tx, a.person)
    assert (known.phone, known.email, known.wechat, known.language) == ("13800000001", "a@example.cn", "jia", "en")
    assert [(field, was, became) for _, field, was, became in people.person_history(tx, a.person)] == [
        ("language", "zh", "en"),
        ("phone", "13800000000", "13800000001"),
    ]


def test_another_name_under_the_same_document_is_a_conflict_unless_the_old_name_is_given(tx):
    (a,) = save(tx, particulars())
    (refused,) = save(tx, particulars("别名"))
    assert (refused.conflict, refused.person) == ("name_differs", a.person)
    (renamed,) = save(tx, particulars("别名", former_names=(Name("测试甲", date(2026, 1, 31)),)))
    assert (renamed.conflict, renamed.changed) == ("", True)
    assert person(tx, a.person).name == "别名"
    assert person(tx, a.person).names == (Name("测试甲", date(2026, 1, 31)), Name("别名"))


def test_a_traditional_spelling_is_no_conflict_and_both_are_kept(tx):
    (a,) = save(tx, particulars("陈大文"))
    (b,) = save(tx, particulars("陳大文"))
    assert b.conflict == ""
    assert {name.name for name in person(tx, a.person).names} == {"陈大文", "陳大文"}


@pytest.mark.parametrize(
    ("told", "conflict"), [({"birth": date(1949, 12, 30)}, "birth_differs"), ({"sex": "M"}, "sex_differs")]
)
def test_birth_and_sex_that_disagree_are_conflicts(tx, told, conflict):
    save(tx, particulars())
    assert save(tx, particulars(**told))[0].conflict == conflict


def test_a_correction_by_a_person_is_kept_and_found_by(tx):
    passport = Held("passport", "E1", "JPN")
    (a,) = save(tx, particulars("Yamada", documents=(passport,), birth=date(1970, 3, 3), sex="M"))
    people.correct_person(tx, a.person, NOW, birth=date(1970, 3, 4))
    assert person(tx, a.person).birth == date(1970, 3, 4)
    assert people.find_people(tx, [seen("Yamada", "", date(1970, 3, 4), "M")])[0].candidates == (a.person,)
    assert [row[1:] for row in people.person_history(tx, a.person)] == [("birth", "1970-03-03", "1970-03-04")]


def test_a_second_document_is_added_to_the_person(tx):
    permit = citizen_number(date(1990, 5, 1), 2, "810000")
    travel = Held("hk_macau_travel_permit", "H12345678", "CN")
    (a,) = save(tx, particulars(number=permit))
    (b,) = save(tx, particulars(number=permit, documents=(Held("resident_id", permit, "CN"), travel)))
    assert a.person == b.person
    assert person(tx, a.person).documents[1] == travel


def test_documents_of_two_persons_are_a_conflict(tx):
    save(tx, particulars(), particulars("测试乙", SAMPLE_MALE))
    both = (Held("resident_id", SAMPLE_FEMALE, "CN"), Held("resident_id", SAMPLE_MALE, "CN"))
    assert save(tx, particulars(documents=both))[0].conflict == "documents_of_two_persons"


def test_merged_persons_are_one_under_either_id(tx):
    passport = Held("passport", "E1", "CHN")
    a, b = (each.person for each in save(tx, particulars(), particulars("测试甲", documents=(passport,), phone="138")))
    people.remember_medical_record(tx, [("H1", "MR-1", b), ("H1", "MR-2", a), ("H1", "MR-2", b)], NOW)
    people.add_guardianships(tx, [Guardianship(b, a, "户口簿", date(2000, 1, 1))], NOW)
    assert people.merge_persons(tx, a, b, NOW) == a
    assert people.merge_persons(tx, a, b, NOW) == a
    both = people.people_by_id(tx, [a, b])
    assert both[a] == both[b]
    assert both[a].former_ids == (b,)
    assert both[a].phone == "138"
    assert {held.kind for held in both[a].documents} == {"resident_id", "passport"}
    assert people.find_people(tx, [seen("测试甲", "E1", None, "F", kind="passport")])[0].doubtful
    from safeweave.events import Identifier

    assert people.find_people(tx, [seen("测试甲", "", None, None, Identifier("mr", "MR-1", "H1"))]) == [Found(a)]
    assert people.find_people(tx, [seen("测试甲", "", None, None, Identifier("mr", "MR-2", "H1"))]) == [Found(a)]


def test_persons_merged_one_after_another_all_lead_to_the_last(tx):
    described = [particulars("测试甲", documents=(Held("passport", f"E{i}", "CHN"),)) for i in range(3)]
    a, b, c = (each.person for each in save(tx, *described))
    people.merge_persons(tx, b, a, NOW)
    people.merge_persons(tx, c, b, NOW)
    assert {known.id for known in people.people_by_id(tx, [a, b, c]).values()} == {c}


def test_persons_who_disagree_are_not_merged(tx):
    a, b = (each.person for each in save(tx, particulars(), particulars("测试乙", SAMPLE_MALE)))
    with pytest.raises(Conflict, match="birth, sex, citizen number differ"):
        people.merge_persons(tx, a, b, NOW)
    with pytest.raises(NotFound):
        people.merge_persons(tx, a, "person_nobody", NOW)


def test_a_day_of_death_is_recorded_once(tx):
    (a,) = save(tx, particulars())
    people.report_death(tx, a.person, date(2026, 3, 1), NOW)
    people.report_death(tx, a.person, date(2026, 3, 1), NOW)
    assert person(tx, a.person).died_on == date(2026, 3, 1)
    with pytest.raises(Conflict):
        people.report_death(tx, a.person, date(2026, 3, 2), NOW)


def test_a_guardian_acts_in_the_days_on_file(tx):
    child, mother = (
        each.person for each in save(tx, particulars("测试丙", citizen_number(date(2018, 1, 15), 2)), particulars())
    )
    link = Guardianship(child, mother, "户口簿", date(2018, 1, 15), date(2026, 3, 31))
    assert people.add_guardianships(tx, [link], NOW) == 1
    assert people.add_guardianships(tx, [link], NOW) == 0
    known = person(tx, child)
    assert known.guardian_on(date(2026, 3, 31)) == mother
    assert known.guardian_on(date(2026, 4, 1)) is None
    assert known.guardian_on(date(2018, 1, 14)) is None
    assert people.guarded({child: known}, date(2026, 3, 31))[child][3] is True
    assert people.guarded({child: known}, date(2026, 4, 1))[child][3] is False
    assert people.guarded({child: known})[child][3] is False  # without a day, an end is not overlooked


@pytest.mark.parametrize(
    ("birth", "day", "age"),
    [
        (date(2018, 3, 6), date(2026, 3, 5), 7),
        (date(2018, 3, 6), date(2026, 3, 6), 8),
        (date(2012, 3, 6), date(2026, 3, 5), 13),
        (date(2012, 3, 6), date(2026, 3, 6), 14),
        (date(2008, 3, 6), date(2026, 3, 5), 17),
        (date(2008, 3, 6), date(2026, 3, 6), 18),
        (date(2008, 2, 29), date(2026, 2, 28), 17),
        (date(2008, 2, 29), date(2026, 3, 1), 18),
        (date(2008, 2, 29), date(2028, 2, 28), 19),
        (date(2008, 2, 29), date(2028, 2, 29), 20),
    ],
)
def test_ages_turn_on_the_birthday_and_on_1_march_in_common_years(birth, day, age):
    assert age_on(birth, day) == age
