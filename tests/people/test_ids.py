"""What an id says: when it came to be, and whose it is."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as some

from safeweave.ids import derived, fresh, hour, hour_of, person_key

MOMENTS = some.integers(31_536_000, 3_750_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
NOW = datetime(2026, 3, 9, 8, 30, tzinfo=UTC)


@given(MOMENTS, MOMENTS)
def test_ids_of_a_later_hour_sort_behind_those_of_an_earlier_one(one, other):
    earlier, later = sorted((one, other))
    assert hour(earlier) <= hour(later)
    if later - earlier >= timedelta(hours=1):
        assert fresh("case", hour(earlier)) < fresh("case", hour(later))


@given(MOMENTS)
def test_an_id_says_its_hour_and_whose_it_is(at):
    person = fresh("person", hour(at))
    assert hour_of(person) == hour(at)
    consent = derived("consent", "a", of=person)
    case = derived("case", "h1", "v1", of=person, hour=hour(NOW))
    letter = derived("letter", "x", of=case)
    assert {person_key(id) for id in (consent, case, letter)} == {person_key(person)}
    assert [hour_of(id) for id in (consent, case, letter)] == [hour(at), hour(NOW), hour(NOW)]


def test_ids_made_before_there_were_hours_keep_their_person():
    old = "person_8m3kq2x7tc0v5n1a"
    assert (hour_of(old), person_key(old)) == ("", "8m3kq2")
    assert person_key(derived("letter", "x", of=old)) == "8m3kq2"
