from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from safeweave_simulator.numbers import clearing_code, credit_code, luhn_number, resident_number


def test_published_and_sample_numbers_come_out():
    assert resident_number("110105", date(1949, 12, 31), 2) == "11010519491231002X"
    assert resident_number("340524", date(1980, 1, 1), 1) == "34052419800101001X"
    assert resident_number("990000", date(2018, 1, 15), 2) == "990000201801150026"
    assert credit_code("12", "330200", "MB100000") == "12330200MB10000025"
    assert credit_code("91", "330200", "MA200000") == "91330200MA2000000X"
    assert luhn_number("622202000000000001") == "6222020000000000018"


@given(st.integers(0, 999), st.integers(0, 9999), st.integers(0, 9999))
def test_a_clearing_code_has_twelve_digits(bank, area, branch):
    code = clearing_code(bank, area, branch)
    assert len(code) == 12
    assert code.isdigit()
