"""Who a hospital's description is: found, nobody, or a person looks."""

from datetime import date
from pathlib import Path

import pytest

from people.given_people import NOW, SAMPLE_FEMALE, SAMPLE_MALE, citizen_number, particulars, seen
from safeweave import people
from safeweave.events import Identifier, PersonSeen
from safeweave.people import Found, Held, person
from safeweave.people.identity import citizen_check_character
from safeweave.words import catalogue
from stores import looks_up


@pytest.fixture
def tx(database):
    with database.transaction() as tx:
        yield tx


def saved(tx, *described):
    return [each.person for each in people.save_people(tx, described, NOW)]


def found(tx, *described):
    return people.find_people(tx, described)


def one(tx, described):
    return people.find_people(tx, [described])[0]


def test_document_and_name_find_a_person(tx):
    (a,) = saved(tx, particulars())
    assert one(tx, seen()) == Found(a)


def test_a_document_typed_in_full_width_or_under_another_kind_finds_the_same_person(tx):
    number = citizen_number(date(1990, 5, 1), 2, "810000")
    (a,) = saved(tx, particulars(number=number, documents=(Held("hmt_residence_permit", number, "CN"),)))
    assert one(tx, seen(number=number, birth=date(1990, 5, 1))).person == a


def test_a_stranger_is_nobody(tx):
    saved(tx, particulars())
    assert one(tx, seen("测试乙", SAMPLE_MALE, date(1980, 1, 1), "M")) == Found()


@pytest.mark.parametrize(
    ("described", "reason"),
    [
        (seen("测试乙"), "name_differs"),
        (seen(birth=date(1949, 12, 30)), "birth_differs"),
        (seen(sex="M"), "sex_differs"),
        (seen("", birth=None), "nothing_to_confirm"),
    ],
)
def test_a_document_whose_holder_disagrees_is_for_a_person(tx, described, reason):
    (a,) = saved(tx, particulars())
    result = one(tx, described)
    assert (result.person, result.doubtful, result.candidates) == (None, True, (a,))
    assert reason in result.reasons


def test_two_documents_of_two_persons_are_for_a_person(tx):
    a, b = saved(tx, particulars(), particulars("测试乙", SAMPLE_MALE))
    result = one(tx, seen("测试甲", SAMPLE_FEMALE, date(1949, 12, 31), "F", Identifier("resident_id", SAMPLE_MALE)))
    assert result.reasons == ("documents_of_two_persons",)
    assert result.candidates == tuple(sorted((a, b)))


def test_name_and_birth_alone_never_suffice(tx):
    (a,) = saved(tx, particulars())
    result = one(tx, seen(number=""))
    assert result == Found(None, True, ("name_and_birth_only",), (a,))


def test_somebody_with_the_same_name_and_birth_but_another_number_is_nobody(tx):
    saved(tx, particulars(number=citizen_number(date(1980, 1, 1), 1)))
    assert one(tx, seen("测试甲", SAMPLE_MALE, date(1980, 1, 1), "M")) == Found()


def test_a_valid_number_that_differs_in_a_few_places_is_for_a_person(tx):
    (a,) = saved(tx, particulars(number=citizen_number(date(1980, 1, 1), 122)))
    typo = citizen_number(date(1980, 1, 1), 124)
    result = one(tx, seen("测试甲", typo, date(1980, 1, 1), "F"))
    assert result == Found(None, True, ("document_nearly_the_same",), (a,))


def test_a_malformed_number_with_name_and_birth_is_for_a_person(tx):
    (a,) = saved(tx, particulars())
    wrong = SAMPLE_FEMALE[:-1] + "1"
    assert one(tx, seen(number=wrong)) == Found(None, True, ("document_malformed", "name_and_birth_only"), (a,))
    assert one(tx, seen("别人", wrong, None, None)) == Found(None, reasons=("document_malformed",))


def test_policy_number_name_and_birth_find_a_person(tx):
    a, b = saved(tx, particulars(), particulars("测试乙", SAMPLE_MALE))
    people.remember_policies(tx, [("P-1", a), ("P-1", b)], NOW)
    quoted = Identifier("policy", "P-1")
    assert one(tx, seen("测试甲", "", date(1949, 12, 31), "F", quoted)) == Found(a)
    assert one(tx, seen("测试乙", "", date(1980, 1, 1), None, quoted)) == Found(b)


def test_a_policy_number_with_another_name_or_without_birth_is_for_a_person(tx):
    (a,) = saved(tx, particulars())
    people.remember_policies(tx, [("P-1", a)], NOW)
    quoted = Identifier("policy", "P-1")
    assert one(tx, seen("测试丙", "", date(1949, 12, 31), "F", quoted)).reasons == ("name_differs",)
    assert one(tx, seen("测试甲", "", None, "F", quoted)).doubtful


def test_a_policy_number_does_not_outweigh_another_document(tx):
    (a,) = saved(tx, particulars())
    people.remember_policies(tx, [("P-1", a)], NOW)
    other = citizen_number(date(1949, 12, 31), 468)
    result = one(tx, seen("测试甲", other, date(1949, 12, 31), "F", Identifier("policy", "P-1")))
    assert result == Found(None, True, ("document_differs",), (a,))


def test_a_medical_record_number_learnt_from_that_sender_finds_a_person(tx):
    (a,) = saved(tx, particulars())
    people.remember_medical_record(tx, [("H33020000001", "MR-7", a)], NOW)
    people.remember_medical_record(tx, [("H33020000001", "MR-7", a)], NOW)
    assert one(tx, seen("测试甲", "", None, None, Identifier("mr", "MR-7", "H33020000001"))) == Found(a)
    assert one(tx, seen("测试甲", "", None, None, Identifier("mr", "MR-7", "H33020000002"))) == Found()


def test_a_medical_record_number_that_was_reused_is_for_a_person(tx):
    a, b = saved(tx, particulars(), particulars("测试乙", SAMPLE_MALE))
    people.remember_medical_record(tx, [("H1", "MR-7", a)], NOW)
    record = Identifier("mr", "MR-7", "H1")
    assert one(tx, seen("测试乙", SAMPLE_MALE, date(1980, 1, 1), "M", record)).reasons == ("record_of_another_person",)
    people.remember_medical_record(tx, [("H1", "MR-7", b)], NOW)
    assert one(tx, PersonSeen((record,), "")).reasons == ("record_of_two_persons",)
    assert one(tx, seen("测试甲", "", None, None, record)) == Found(a)


def test_a_passport_is_found_with_its_country_and_doubted_under_another_persons_country(tx):
    passport = Held("passport", "E12345678", "JPN")
    (a,) = saved(tx, particulars("Yamada Taro", documents=(passport,), birth=date(1970, 3, 3), sex="M"))

    def with_passport(country, birth=date(1970, 3, 3)):
        return PersonSeen((Identifier("passport", "E12345678", country),), "YAMADA TARO", birth, "M")

    assert one(tx, with_passport("JPN")) == Found(a)
    assert one(tx, with_passport("")) == Found(a)
    assert one(tx, with_passport("", None)).reasons == ("passport_without_country",)
    assert one(tx, with_passport("FRA", date(1970, 3, 4))) == Found()


def test_a_renewed_passport_and_the_old_one_lead_to_one_person(tx):
    old, new = Held("passport", "E11111111", "JPN", date(2026, 1, 31)), Held("passport", "E22222222", "JPN")
    described = particulars("Yamada Taro", documents=(old,), birth=date(1970, 3, 3), sex="M")
    (a,) = saved(tx, described)
    saved(tx, particulars("Yamada Taro", documents=(old, new), birth=date(1970, 3, 3), sex="M"))
    for number in ("E11111111", "E22222222"):
        result = one(tx, PersonSeen((Identifier("passport", number, "JPN"),), "Yamada Taro"))
        assert result == Found(a)


def test_the_masked_number_of_a_bill_with_name_and_birth_is_the_whole_number(tx):
    (a,) = saved(tx, particulars())
    bill = PersonSeen((Identifier("resident_id", "110105********002X"),), "测试甲", date(1949, 12, 31))
    assert one(tx, bill) == Found(a)
    hidden_area = PersonSeen((Identifier("resident_id", "1101************2X"),), "测试甲", date(1949, 12, 31))
    assert one(tx, hidden_area).doubtful
    other = PersonSeen((Identifier("resident_id", "110105********0038"),), "测试甲", date(1949, 12, 31))
    assert one(tx, other) == Found()


def test_the_former_name_still_finds_a_person(tx):
    (a,) = saved(tx, particulars())
    saved(tx, particulars("测试新", former_names=(person.Name("测试甲"),)))
    assert one(tx, seen("测试甲")) == Found(a)
    assert one(tx, seen("测试新")) == Found(a)


def test_a_description_without_anything_is_nobody(tx):
    assert found(tx, PersonSeen(), PersonSeen((Identifier("other", "1"),))) == [Found(), Found()]


@pytest.mark.parametrize("size", [1, 100])
def test_the_number_of_statements_does_not_grow_with_the_batch(database, size):
    numbers = [citizen_number(date(1990, 1, 1 + i % 28), 2 * i) for i in range(size)]
    described = [particulars(f"测试{i}", number) for i, number in enumerate(numbers)]
    with database.transaction() as tx:
        people.save_people(tx, described, NOW)
        before = database.statements
        results = people.find_people(
            tx, [seen(each.name, each.documents[0].number, each.birth, each.sex) for each in described]
        )
        assert database.statements - before == 2
    assert all(result.person for result in results)


def test_look_ups_go_through_an_index(database):
    with database.transaction() as tx:
        keys = [("mr", "a", "1"), ("mr", "b", "2")]
        sql = "select person from person_alias where (kind, issuer, number) in ?"
        assert looks_up(tx, "person_alias", sql, (keys,))


def test_every_reason_in_the_words_is_one_that_is_given():
    text = Path(person.__file__).read_text(encoding="utf-8")
    reasons = [key.removeprefix("people.found.") for key in catalogue() if key.startswith("people.found.")]
    assert len(reasons) == 14
    assert [reason for reason in reasons if f'"{reason}"' not in text] == []


def test_check_characters_reproduce_the_published_samples():
    assert citizen_check_character(SAMPLE_FEMALE[:17]) == "X"
    assert citizen_check_character(SAMPLE_MALE[:17]) == "X"
