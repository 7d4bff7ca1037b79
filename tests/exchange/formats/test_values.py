"""Amounts and times read quickly are those read slowly: compared with plain arithmetic over many texts."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from safeweave.errors import Malformed
from safeweave.exchange.formats.values import birthday_in, day_in, fen_in, fen_in_text, hl7_instant_in, instant_in

FIGURES = st.text("0123456789", max_size=14)
NUMBERS = st.builds(
    lambda sign, whole, point, part, power: f"{sign}{whole}{point}{part}{power}",
    st.sampled_from(["", "", "-", "+"]),
    FIGURES,
    st.sampled_from(["", ".", "."]),
    st.one_of(st.text("0123456789", max_size=4), st.text("0", max_size=45), FIGURES),
    st.sampled_from(["", "", "", "e2", "E-2", "e-30", "e11", "E400"]),
)
ODD_NUMBERS = st.sampled_from(["NaN", "sNaN", "Infinity", "-Infinity", "0e999999", "1e-999999", "1e999999", "-0.00"])


def exact_fen(value: Decimal, *, rounded: bool = False) -> int | None:
    """The fen of an amount by exact fractions, None if it is refused."""
    if not value.is_finite():
        return None
    if not value:
        return 0
    if value.adjusted() > 11 or len(value.as_tuple().digits) > 40:
        return None
    if value.adjusted() < -40:
        return 0 if rounded else None
    fen = Fraction(value) * 100
    if fen.denominator == 1:
        return int(fen)
    if not rounded:
        return None
    nearest = (abs(fen) * 2 + 1) // 2  # half a fen away from zero
    return int(nearest if fen > 0 else -nearest)


def read_fen(value: Decimal, *, rounded: bool = False) -> int | None:
    try:
        return fen_in(value, "amount", rounded=rounded)
    except Malformed:
        return None


@given(NUMBERS | ODD_NUMBERS, st.booleans())
@example("1234.50", False)
@example("-0.01", False)
@example("999999999999.99", False)
@example("1000000000000.00", False)
@example("0.005", True)
@example("-0.005", True)
@example("1.00000000000000000000000000000000000000000001", False)
def test_an_amount_is_its_exact_fen_or_refused(text, rounded):
    try:
        value = Decimal(text)
    except ArithmeticError:
        return
    assert read_fen(value, rounded=rounded) == exact_fen(value, rounded=rounded)


@given(NUMBERS)
@example("000000000000001.50")
@example("1.")
@example(".5")
@example("+1.50")
def test_an_amount_written_as_text_is_the_amount_of_its_number(text):
    try:
        fen = fen_in_text(text, "amount", 3)
    except Malformed:
        return
    assert fen == exact_fen(Decimal(text))


@pytest.mark.parametrize("text", ["1.005", "1e2", "NaN", "1000000000000", "", "1 000"])
def test_a_refused_amount_is_told_with_its_place(text):
    with pytest.raises(Malformed) as refused:
        fen_in_text(text, "amount", 3)
    assert (refused.value.field, refused.value.line) == ("amount", 3)


@given(st.integers(-(10**14) + 1, 10**14 - 1))
def test_every_amount_of_whole_fen_is_read_as_itself(fen):
    text = f"{'-' if fen < 0 else ''}{abs(fen) // 100}.{abs(fen) % 100:02d}"
    assert fen_in(Decimal(text), "amount") == fen_in_text(text, "amount") == fen


FIRST = datetime(1800, 1, 2, tzinfo=UTC)
INSTANTS = st.integers(0, 1199 * 365 * 86400).map(lambda seconds: FIRST + timedelta(seconds=seconds))
OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59)


def offset_text(minutes: int, colon: str) -> str:
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}{colon}{abs(minutes) % 60:02d}"


@given(INSTANTS, OFFSETS)
def test_a_time_with_an_offset_is_its_instant_however_it_is_written(at, minutes):
    there = at.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    for _ in range(2):  # the second time it is remembered
        assert instant_in(f"{there:%Y-%m-%dT%H:%M:%S}{offset_text(minutes, ':')}", "f") == there
        assert hl7_instant_in(f"{there:%Y%m%d%H%M%S}{offset_text(minutes, '')}", "f") == there


def test_one_text_is_refused_at_each_place_it_stands():
    for field, line in (("PID-7", 3), ("PV1-44", 4), ("PID-7", 3)):
        for read in (instant_in, hl7_instant_in, day_in, birthday_in):
            with pytest.raises(Malformed) as refused:
                read("20260230", field, line)
            assert (refused.value.field, refused.value.line) == (field, line)


def test_a_time_drawn_out_by_blanks_is_read_but_not_remembered():
    text = "2026-03-06T15:20:41" + " " * 100_000 + "Z"
    assert instant_in(text, "f") == datetime(2026, 3, 6, 15, 20, 41, tzinfo=UTC)
    assert day_in(text, "f") == datetime(2026, 3, 6, tzinfo=UTC).date()
