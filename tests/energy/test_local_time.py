"""Hours, days and deadlines by the local clock, right on the days of 23 and 25 hours."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from solarflow.energy.local_time import (
    local_clock,
    local_day,
    moment_of,
    parse_hours,
    parse_moment,
    parse_time,
    seconds_left,
    seconds_until,
    seconds_within,
)

ROME = ZoneInfo("Europe/Rome")
ORDINARY, SPRING, AUTUMN = (date(2026, month, day).toordinal() for month, day in ((6, 21), (3, 29), (10, 25)))
NIGHT = parse_hours(["22:00-06:00"])
DAY = parse_hours(["08:00-12:00", "14:00-18:00"])


def when(text):
    return datetime.fromisoformat(text).replace(tzinfo=ROME).timestamp()


def test_a_time_of_day_is_its_minutes():
    assert [parse_time(text) for text in ("0:00", "17:30", "24:00")] == [0, 1050, 1440]


@pytest.mark.parametrize("text", ["", "25:00", "24:01", "7", "07:60", "noon"])
def test_what_is_no_time_of_day_is_refused(text):
    with pytest.raises(ValueError, match="write it like 17:30"):
        parse_time(text)


@pytest.mark.parametrize("text", ["08:00", "08:00-08:00", "24:00-06:00", "a-b"])
def test_what_is_no_span_of_hours_is_refused(text):
    with pytest.raises(ValueError, match=r"write it like|the whole day is 00:00-24:00"):
        parse_hours([text])


@pytest.mark.parametrize(("day", "hours"), [(ORDINARY, 24), (SPRING, 23), (AUTUMN, 25)])
def test_a_day_has_the_hours_it_has(day, hours):
    assert moment_of(day, 1440, ROME) - moment_of(day, 0, ROME) == hours * 3600
    whole = parse_hours(["00:00-24:00"])
    assert seconds_within(moment_of(day, 0, ROME), moment_of(day + 1, 0, ROME), whole, ROME) == hours * 3600


def test_a_deadline_stands_where_the_local_clock_shows_it():
    assert moment_of(SPRING, 17 * 60, ROME) == when("2026-03-29T17:00")
    assert moment_of(AUTUMN, 17 * 60, ROME) == when("2026-10-25T17:00")


def test_the_day_begins_at_local_midnight():
    assert local_day(when("2026-06-20T23:59"), ROME) == ORDINARY - 1
    assert local_day(when("2026-06-21T00:00"), ROME) == ORDINARY


def test_hours_go_on_until_their_end_and_do_not_include_it():
    assert seconds_left(when("2026-06-21T11:00"), DAY, ROME) == 3600
    assert seconds_left(when("2026-06-21T12:00"), DAY, ROME) == 0
    assert seconds_left(when("2026-06-21T14:00"), DAY, ROME) == 4 * 3600


def test_hours_over_midnight_are_one_span():
    assert seconds_left(when("2026-06-21T23:00"), NIGHT, ROME) == 7 * 3600
    assert seconds_left(when("2026-06-21T05:00"), NIGHT, ROME) == 3600
    assert seconds_left(when("2026-06-21T12:00"), NIGHT, ROME) == 0
    assert seconds_left(when("2026-03-28T23:00"), NIGHT, ROME) == 6 * 3600  # the clock is put forward in between


def test_the_next_edge_is_a_begin_or_an_end():
    assert seconds_until(when("2026-06-21T07:00"), DAY, ROME) == 3600
    assert seconds_until(when("2026-06-21T08:00"), DAY, ROME) == 4 * 3600
    assert seconds_until(when("2026-06-21T20:00"), DAY, ROME) == 12 * 3600


def test_no_hours_are_always():
    now = when("2026-06-21T07:00")
    assert seconds_left(now, (), ROME) == seconds_until(now, (), ROME) == float("inf")
    assert seconds_within(now, now + 100, (), ROME) == 100


def test_the_time_within_hours_is_summed_over_the_spans():
    assert seconds_within(when("2026-06-21T11:00"), when("2026-06-21T15:00"), DAY, ROME) == 2 * 3600


def test_spans_that_overlap_count_once():
    hours = parse_hours(["08:00-12:00", "10:00-14:00"])
    assert seconds_within(when("2026-06-21T00:00"), when("2026-06-21T20:00"), hours, ROME) == 6 * 3600
    assert seconds_left(when("2026-06-21T11:00"), hours, ROME) == 3 * 3600


def test_a_moment_without_an_offset_is_local():
    assert parse_moment("2026-06-21T18:00", ROME) == parse_moment("2026-06-21T18:00:00+02:00", ROME)
    with pytest.raises(ValueError, match="write it like"):
        parse_moment("tonight", ROME)


def test_for_people_the_date_is_told_where_it_is_another():
    now = when("2026-06-21T09:00")
    assert local_clock(when("2026-06-21T18:00"), now, ROME) == "18:00"
    assert local_clock(when("2026-06-22T18:00"), now, ROME) == "2026-06-22 18:00"
