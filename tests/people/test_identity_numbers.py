"""Identity numbers of every kind: what is accepted, what it says, and how a wrong one is told."""

from datetime import date

import pytest

from people.given_people import SAMPLE_FEMALE, SAMPLE_MALE, citizen_number
from safeweave.errors import Malformed
from safeweave.people.identity import (
    KINDS,
    Unusable,
    check,
    kind_of,
    masked,
    matches_masked,
)
from safeweave.words import knows


def test_a_resident_number_says_birth_and_sex():
    document = check("resident_id", SAMPLE_FEMALE)
    assert (document.birth, document.sex, document.warnings) == (date(1949, 12, 31), "F", ())
    assert check("resident_id", SAMPLE_MALE).sex == "M"


@pytest.mark.parametrize(
    "written",
    [
        "11010519491231002x",
        "１１０１０５１９４９１２３１００２Ｘ",
        "110105 19491231 002X",
        "110105-19491231-002X",
        "11010519491231002×",
    ],
)
def test_full_width_lower_case_and_spaces_are_one_number(written):
    assert check("身份证", written).number == SAMPLE_FEMALE


def test_a_wrong_check_character_is_told_with_the_right_one_and_without_the_number():
    with pytest.raises(Unusable) as told:
        check("resident_id", "110105194912310021")
    assert "wants X" in str(told.value)
    assert "应为 X" in told.value.said("zh")
    assert "19491231" not in str(told.value)


@pytest.mark.parametrize(
    ("number", "why"),
    [
        ("1101051949123100", "has 16 characters"),
        ("99000020190229001" + "5", "check"),
        ("1.10105194912310E+17", "spreadsheet"),
        ("", "is empty"),
    ],
)
def test_what_cannot_be_a_resident_number_is_refused_with_the_reason(number, why):
    with pytest.raises(Malformed, match=why.replace("+", r"\+")):
        check("resident_id", number)


def test_a_birth_date_that_no_calendar_has_is_refused():
    first17 = "99000020190229001"
    from safeweave.people.identity import citizen_check_character

    with pytest.raises(Malformed, match="no day of the calendar"):
        check("resident_id", first17 + citizen_check_character(first17))


def test_somebody_born_on_29_february_is_accepted():
    assert check("resident_id", citizen_number(date(2020, 2, 29), 1)).birth == date(2020, 2, 29)


@pytest.mark.parametrize("area", ["810000", "820000", "830000"])
def test_a_number_of_hong_kong_macau_or_taiwan_is_a_residence_permit(area):
    number = citizen_number(date(1990, 5, 1), 2, area)
    for kind in ("resident_id", "hmt_residence_permit", "居住证"):
        document = check(kind, number)
        assert (document.kind, document.birth, document.sex) == ("hmt_residence_permit", date(1990, 5, 1), "F")
        assert document.warnings == ()


def test_a_residence_permit_filed_as_resident_card_is_looked_up_the_same_way():
    number = citizen_number(date(1990, 5, 1), 2, "810000")
    assert check("resident_id", number).lookup == check("hmt_residence_permit", number).lookup


def test_the_permanent_residence_card_of_2023_is_checked_like_a_citizen_number():
    number = citizen_number(date(1985, 7, 9), 12, "931840")
    document = check("foreign_permanent_resident", number)
    assert (document.kind, document.birth, document.warnings) == ("foreign_permanent_resident", date(1985, 7, 9), ())
    with pytest.raises(Malformed):
        check("foreign_permanent_resident", number[:-1] + ("0" if number[-1] != "0" else "1"))


@pytest.mark.parametrize("kind", ["foreign_permanent_resident", "resident_id"])
def test_the_permanent_residence_card_of_2017_has_no_check(kind):
    document = check(kind, "usa310100000123")
    assert (document.kind, document.number, document.birth) == ("foreign_permanent_resident", "USA310100000123", None)


def test_a_15_digit_number_becomes_the_18_digit_one():
    document = check("resident_id", "110105491231002")
    assert document.number == SAMPLE_FEMALE
    assert document.warnings == ("converted",)


def test_a_15_digit_number_of_somebody_over_a_hundred_is_doubted():
    assert check("resident_id", "110105200101996").warnings == ("converted", "over_a_hundred")


def test_an_area_that_no_province_has_only_warns():
    assert check("resident_id", citizen_number(date(2000, 1, 1), 1, "000000")).warnings == ("unknown_area",)
    assert check("resident_id", citizen_number(date(2000, 1, 1), 1, "990000")).warnings == ()


@pytest.mark.parametrize(
    ("kind", "written", "kept"),
    [
        ("passport", "e 12345678", "E12345678"),
        ("护照", "Ｇ１２３４５６７８", "G12345678"),
        ("hk_macau_travel_permit", "h1234567801", "H12345678"),
        ("港澳居民来往内地通行证", "M12345678", "M12345678"),
        ("taiwan_travel_permit", "01234567", "01234567"),
        ("台胞证", "0123456701(B)", "0123456701B"),
        ("birth_certificate", "q330000001", "Q330000001"),
        ("军官证", "军字第 1234567 号", "军字第1234567号"),
    ],
)
def test_documents_without_a_check_are_kept_normalised(kind, written, kept):
    assert check(kind, written).number == kept


def test_a_renewed_hong_kong_permit_is_the_same_number():
    assert (
        check("hk_macau_travel_permit", "H1234567801").lookup == check("hk_macau_travel_permit", "H1234567802").lookup
    )


def test_a_passport_without_its_country_warns_and_keeps_the_country_given():
    assert check("passport", "E12345678").warnings == ("no_country",)
    assert check("passport", "E12345678", "jpn").country == "JPN"


def test_a_form_that_is_not_usual_only_warns():
    assert check("birth_certificate", "330000001").warnings == ("unusual_form",)


@pytest.mark.parametrize("code", ["12320900E875065319", "12330200MB10000025", "91330200MA2000000X"])
def test_unified_social_credit_codes_pass_with_the_organisation_code_inside(code):
    assert check("credit_code", code.lower()).warnings == ()


def test_a_credit_code_whose_authority_is_a_letter_is_accepted():
    from safeweave.people.identity import credit_code_check_character

    first17 = "N2330200MB1000002"
    assert check("credit_code", first17 + credit_code_check_character(first17)).number.startswith("N2")


def test_a_credit_code_with_a_forbidden_letter_or_a_wrong_check_is_refused():
    with pytest.raises(Malformed, match="without I, O, S, V, Z"):
        check("credit_code", "12330200MB1000002S")
    with pytest.raises(Malformed, match="GB 32100 wants 5"):
        check("credit_code", "12330200MB10000026")


def test_an_organisation_code_is_checked():
    assert check("organisation_code", "E8750653-1").number == "E87506531"
    with pytest.raises(Malformed, match="GB 11714"):
        check("organisation_code", "E87506532")


def test_a_bank_card_that_fails_luhn_only_warns():
    assert check("银行卡", "6222 0200 0000 0000 018").warnings == ()
    assert check("bank_account", "6222020000000000019").warnings == ("luhn",)
    assert check("bank_account", "33100100-00001").warnings == ("not_a_card",)
    with pytest.raises(Malformed, match="6 to 34"):
        check("bank_account", "12345")


def test_bank_and_institution_codes_have_twelve_characters():
    assert check("CNAPS", "102332000018").number == "102332000018"
    with pytest.raises(Malformed, match="12 digits"):
        check("联行号", "10233200001")
    assert check("institution_code", "h33020000001").number == "H33020000001"
    with pytest.raises(Malformed, match="12 characters"):
        check("institution_code", "H3302")


def test_every_kind_is_known_by_all_its_names():
    for kind, about in KINDS.items():
        assert {kind_of(name) for name in (kind, about.zh, *about.also)} == {kind}
    with pytest.raises(Malformed, match="library card"):
        kind_of("library card")


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (SAMPLE_FEMALE, "110105********002X"),
        ("6222020000000000018", "622202*********0018"),
        ("E12345678", "E1*****78"),
        ("13800000000", "138******00"),
        ("1234", "1**4"),
        ("12", "**"),
    ],
)
def test_numbers_are_shown_masked(number, shown):
    assert masked(number) == shown


def test_a_masked_number_matches_by_what_is_visible():
    assert matches_masked(SAMPLE_FEMALE, "110105********002X")
    assert matches_masked(SAMPLE_FEMALE, "110105****002x")
    assert matches_masked(SAMPLE_FEMALE, "１１０１０５＊＊＊＊＊＊＊＊００２Ｘ")
    assert not matches_masked(SAMPLE_FEMALE, "110105********0021")
    assert not matches_masked(SAMPLE_FEMALE, "******************")
    assert not matches_masked(SAMPLE_FEMALE, SAMPLE_FEMALE)


def test_every_warning_has_its_words():
    for warning in (
        "no_country",
        "not_a_residence_area",
        "unknown_area",
        "converted",
        "over_a_hundred",
        "unusual_form",
    ):
        assert knows(f"people.warning.{warning}")
    for warning in ("inner_organisation_code", "not_a_card", "luhn"):
        assert knows(f"people.warning.{warning}")
