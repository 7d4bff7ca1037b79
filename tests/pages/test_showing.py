"""Amounts, days and notes as pages write them in each language."""

from datetime import date

from safeweave.web.showing import amount_shown, day_shown, moved_shown, told_shown


def test_an_amount_has_separators_its_currency_and_a_minus_sign():
    assert (amount_shown(1_234_567_890, "zh"), amount_shown(1_234_567_890, "en")) == (
        "12,345,678.90 元", "12,345,678.90 yuan",
    )  # fmt: skip
    assert (amount_shown(-500, "zh"), amount_shown(-500, "en")) == ("−5.00 元", "−5.00 yuan")


def test_by_how_much_money_moves_always_has_its_sign():
    assert [moved_shown(fen, "en") for fen in (500, 0, -500)] == ["+5.00 yuan", "0.00 yuan", "−5.00 yuan"]


def test_a_day_is_written_as_its_language_does():
    assert (day_shown(date(2026, 3, 6), "zh"), day_shown(date(2026, 3, 6), "en")) == ("2026年3月6日", "6 Mar 2026")


def test_who_said_something_stands_before_the_colon_of_the_language():
    assert (told_shown("李核赔: 出院小结", "zh"), told_shown("李核赔: 出院小结", "en")) == (
        "李核赔：出院小结", "李核赔: 出院小结",
    )  # fmt: skip
    assert told_shown("出院小结", "zh") == "出院小结"
