"""Reading series: spans, arrays, hours, local days, and what was known at a moment."""

from __future__ import annotations

import math
import threading
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from solarflow.errors import StoreError
from solarflow.store import DataFolder, Home, Hour

NOON = 1_720_000_800.0  # a whole hour
EVER = (0.0, math.inf)
POWER = ("casa_A", "production_w")
ROME = ZoneInfo("Europe/Rome")


@pytest.fixture
def filled(folder: DataFolder) -> DataFolder:
    """Three hours with a sample every ten minutes, valued 0, 1, 2 ..."""
    for number in range(18):
        folder.telemetry.append(*POWER, NOON + number * 600, float(number))
    folder.commit()
    return folder


def test_a_span_has_its_start_and_not_its_end(filled: DataFolder) -> None:
    assert filled.telemetry.samples(*POWER, NOON + 600, NOON + 1800) == [(NOON + 600, 1.0), (NOON + 1200, 2.0)]


def test_a_limit_gives_the_first_of_a_span(filled: DataFolder) -> None:
    assert filled.telemetry.samples(*POWER, NOON + 600, math.inf, limit=1) == [(NOON + 600, 1.0)]


def test_arrays_hold_the_same_as_the_list(filled: DataFolder) -> None:
    times, values = filled.telemetry.arrays(*POWER, *EVER)
    assert list(zip(times, values, strict=True)) == filled.telemetry.samples(*POWER, *EVER)


def test_a_time_comes_back_to_the_millisecond(folder: DataFolder) -> None:
    folder.telemetry.append(*POWER, 1_720_000_000.1234, 1.0)
    folder.commit()
    assert folder.telemetry.latest(*POWER) == (1_720_000_000.123, 1.0)


def test_an_hour_has_its_samples_sum_least_most_and_mean(filled: DataFolder) -> None:
    hours = filled.telemetry.hourly(*POWER, *EVER)
    assert hours[0] == Hour(NOON, 6, 15.0, 0.0, 5.0)
    assert hours[-1].mean == 14.5
    assert [hour.ts for hour in hours[1:]] == [NOON + 3600, NOON + 7200]
    assert list(hours.mean) == [2.5, 8.5, 14.5]


def test_hours_are_those_that_begin_in_the_span(filled: DataFolder) -> None:
    assert [hour.ts for hour in filled.telemetry.hourly(*POWER, NOON + 1, NOON + 7200)] == [NOON + 3600]
    assert len(filled.telemetry.hourly(*POWER, NOON, NOON + 7200.001)) == 3


def test_hourly_means_are_those_of_the_hours(filled: DataFolder) -> None:
    hours = filled.telemetry.hourly(*POWER, *EVER, as_of=NOON + 5000)
    starts, means = filled.telemetry.hourly_means(*POWER, *EVER, as_of=NOON + 5000)
    assert np.array_equal(starts, hours.ts)
    assert np.array_equal(means, hours.mean)


def test_a_series_that_is_not_there_is_empty(folder: DataFolder) -> None:
    telemetry = folder.telemetry
    assert telemetry.latest(*POWER) is None
    assert telemetry.samples(*POWER, *EVER) == []
    assert len(telemetry.hourly(*POWER, *EVER)) == 0
    assert telemetry.daily(*POWER, *EVER, ROME) == []
    assert [len(column) for column in telemetry.arrays(*POWER, *EVER)] == [0, 0]


def test_as_of_a_moment_nothing_later_is_known(filled: DataFolder) -> None:
    as_of = NOON + 3600 + 650
    assert filled.telemetry.latest(*POWER, as_of=as_of) == (NOON + 4200, 7.0)
    assert len(filled.telemetry.samples(*POWER, *EVER, as_of=as_of)) == 8
    assert len(filled.telemetry.arrays(*POWER, *EVER, as_of=as_of)[0]) == 8
    assert list(filled.telemetry.hourly(*POWER, *EVER, as_of=as_of)) == [
        Hour(NOON, 6, 15.0, 0.0, 5.0),
        Hour(NOON + 3600, 2, 13.0, 6.0, 7.0),
    ]
    (day,) = filled.telemetry.daily(*POWER, *EVER, ROME, as_of=as_of)
    assert (day.n, day.max) == (8, 7.0)


@pytest.mark.parametrize("offset", [-1.0, 0.0, 599.999, 3599.999, 3600.0, 7200.0, 10_800.0, 20_000.0])
def test_hours_as_of_a_moment_are_those_of_the_samples_up_to_it(filled: DataFolder, offset: float) -> None:
    samples = filled.telemetry.samples(*POWER, *EVER, as_of=NOON + offset)
    hours = filled.telemetry.hourly(*POWER, *EVER, as_of=NOON + offset)
    assert sum(hour.n for hour in hours) == len(samples)
    assert sum(hour.sum for hour in hours) == sum(value for _, value in samples)


def test_an_hour_not_over_as_of_then_is_left_out_when_its_samples_are_pruned(filled: DataFolder) -> None:
    filled.maintain(NOON + 60 * 86_400)
    assert [hour.ts for hour in filled.telemetry.hourly(*POWER, *EVER, as_of=NOON + 5000)] == [NOON]


@pytest.mark.parametrize(("day", "hours"), [((2024, 3, 31), 23), ((2024, 10, 27), 25), ((2024, 7, 3), 24)])
def test_a_local_day_has_as_many_hours_as_the_clocks_say(folder: DataFolder, day, hours: int) -> None:
    middle = datetime(*day, 12, tzinfo=UTC).timestamp()
    for number in range(-72, 72):
        folder.telemetry.append(*POWER, middle + number * 3600, 1.0)
    folder.commit()
    days = {found.day: found for found in folder.telemetry.daily(*POWER, *EVER, ROME)}
    assert (days[date(*day)].hours, days[date(*day)].sum) == (hours, float(hours))
    assert sum(found.n for found in days.values()) == 144


def test_days_without_samples_are_not_there(folder: DataFolder) -> None:
    for ts, value in ((NOON, 4.0), (NOON + 600, 8.0), (NOON + 3 * 86_400, 1.0)):
        folder.telemetry.append(*POWER, ts, value)
    folder.commit()
    days = folder.telemetry.daily(*POWER, *EVER, ROME)
    assert [(day.day.day, day.n, day.min, day.max, day.mean, day.hours) for day in days] == [
        (3, 2, 4.0, 8.0, 6.0, 1),
        (6, 1, 1.0, 1.0, 1.0, 1),
    ]


def test_a_reader_in_another_thread_sees_what_is_committed(folder: DataFolder) -> None:
    seen: list[object] = []

    def read() -> None:
        with folder.reader() as reader:
            seen.append(reader.telemetry.latest(*POWER))

    for value in (1.0, 2.0):
        folder.telemetry.append(*POWER, NOON, value)
        folder.commit()
        folder.telemetry.append(*POWER, NOON, 99.0)  # buffered only
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
    assert seen == [(NOON, 1.0), (NOON, 2.0)]


def test_an_open_reader_follows_the_writer(folder: DataFolder) -> None:
    with folder.reader() as reader:
        assert reader.telemetry.latest(*POWER) is None
        folder.telemetry.append(*POWER, NOON, 5.0)
        folder.commit()
        assert reader.telemetry.latest(*POWER) == (NOON, 5.0)


def test_a_reader_used_by_another_thread_says_to_open_one_there(folder: DataFolder) -> None:
    errors: list[str] = []

    def read() -> None:
        try:
            reader.telemetry.series()
        except StoreError as error:
            errors.append(str(error))

    with folder.reader() as reader:
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
    assert "belongs to the thread that opened it" in errors[0]


def test_a_reader_cannot_write(folder: DataFolder) -> None:
    with folder.reader() as reader:
        with pytest.raises(StoreError, match="open for reading only"):
            reader.homes.save(Home(id="casa_A"))
        with pytest.raises(StoreError, match="readonly database"), reader.telemetry.connection.reading() as database:
            database.execute("delete from series")
