"""What always holds of numbers and names."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeweave.errors import Malformed
from safeweave.people.identity import (
    check,
    citizen_check_character,
    credit_code_check_character,
    masked,
    matches_masked,
    name_key,
    same_name,
)

births = st.dates(date(1900, 1, 1), date(2030, 12, 31))
areas = st.sampled_from(["990000", "810000", "820000", "830000", "930840"])
first17s = st.builds(lambda area, birth, n: f"{area}{birth:%Y%m%d}{n:03d}", areas, births, st.integers(0, 999))
citizen_numbers = first17s.map(lambda first17: first17 + citizen_check_character(first17))
credit_codes = st.text("0123456789ABCDEFGHJKLMNPQRTUWXY", min_size=17, max_size=17).map(
    lambda first17: first17 + credit_code_check_character(first17)
)
names = st.text(st.characters(categories=("L",)), min_size=1, max_size=8)


@given(citizen_numbers)
def test_a_number_tells_the_birth_and_sex_it_was_made_of(number):
    document = check("resident_id", number)
    assert f"{document.birth:%Y%m%d}" == number[6:14]
    assert document.sex == ("M" if int(number[16]) % 2 else "F")


@given(citizen_numbers, st.integers(0, 17), st.sampled_from("0123456789X"))
def test_one_wrong_character_is_always_noticed(number, place, other):
    if other == number[place]:
        return
    with pytest.raises(Malformed):
        check("resident_id", number[:place] + other + number[place + 1 :])


@given(citizen_numbers, st.integers(0, 16))
def test_two_neighbours_swapped_are_always_noticed(number, place):
    swapped = number[:place] + number[place + 1] + number[place] + number[place + 2 :]
    if swapped == number:
        return
    with pytest.raises(Malformed):
        check("resident_id", swapped)


@given(credit_codes, st.integers(0, 17), st.sampled_from("0123456789ABCDEFGHJKLMNPQRTUWXY"))
def test_one_wrong_character_of_a_credit_code_is_always_noticed(code, place, other):
    assert check("credit_code", code).number == code
    if other == code[place]:
        return
    with pytest.raises(Malformed):
        check("credit_code", code[:place] + other + code[place + 1 :])


@given(citizen_numbers)
def test_checking_what_was_checked_changes_nothing(number):
    document = check("resident_id", number)
    again = check(document.kind, document.number, document.country)
    assert (again.number, again.lookup) == (document.number, document.lookup)


@given(st.text(st.characters(categories=("L", "N")), min_size=0, max_size=30))
def test_a_masked_number_hides_at_least_half_of_it(number):
    shown = masked(number)
    assert len(shown) - shown.count("*") <= max(len(shown) * 10 // 15, 0)


@given(citizen_numbers)
def test_a_number_matches_its_own_mask(number):
    assert matches_masked(number, masked(number))


@given(names, names)
def test_same_name_is_reflexive_and_symmetric(a, b):
    assert same_name(a, a) == (name_key(a) != "")
    assert same_name(a, b) == same_name(b, a)


@given(names)
def test_a_comparison_key_is_its_own_key(name):
    assert name_key(name_key(name)) == name_key(name)


@given(st.text(max_size=40), st.sampled_from(["resident_id", "passport", "credit_code", "bank_account", "军官证"]))
def test_any_text_is_a_document_or_malformed(text, kind):
    try:
        document = check(kind, text)
    except Malformed:
        return
    assert document.number
