"""Coarse recordings made as fine as live ones."""

import pytest

from solarflow.errors import UsageError
from solarflow.replay.resample import Resampled


def resampled(given, step_s=60.0, max_gap_s=3600.0, how="linear"):
    found = Resampled([(float(t), topic, payload, False) for t, topic, payload in given], step_s, max_gap_s, how)
    return [(t, topic, payload) for t, topic, payload, _ in found]


def test_numbers_run_in_straight_lines_between_two_readings():
    assert resampled([(0, "a", {"w": 0, "name": "x"}), (180, "a", {"w": 300, "name": "y"})]) == [
        (0, "a", {"w": 0, "name": "x"}),
        (60, "a", {"w": 100, "name": "x"}),
        (120, "a", {"w": 200, "name": "x"}),
        (180, "a", {"w": 300, "name": "y"}),
    ]


def test_or_the_earlier_reading_is_held():
    held = resampled([(0, "a", {"w": 0}), (180, "a", {"w": 300})], how="hold")
    assert [payload["w"] for _, _, payload in held] == [0, 0, 0, 300]


def test_nothing_is_put_into_a_gap_that_is_too_long():
    assert len(resampled([(0, "a", {"w": 0}), (3600, "a", {"w": 1}), (7201, "a", {"w": 2})])) == 3 + 59


def test_the_time_of_measurement_goes_along():
    between = resampled([(100, "a", {"w": 0, "ts": 40}), (220, "a", {"w": 2, "ts": 160})])[1]
    assert between == (160, "a", {"w": 1, "ts": 100})


def test_what_is_no_object_with_numbers_is_passed_on_as_it_is():
    given = [(0, "a", "ON"), (0, "b", {"stato": "ON"}), (600, "a", "OFF"), (600, "b", {"stato": "OFF"})]
    assert resampled(given) == given


def test_all_topics_come_in_the_order_of_time():
    given = [(t, topic, {"w": t}) for t in range(0, 1800, 600) for topic in ("a", "b", "c")]
    times = [t for t, _, _ in resampled(given)]
    assert times == sorted(times)
    assert len(times) == 3 * 21


def test_a_silent_topic_holds_up_the_others_no_longer_than_the_longest_gap():
    source = iter([(float(t), "a" if t else "b", {"w": t}, False) for t in range(0, 100_000, 600)])
    found = iter(Resampled(source, 60.0, 3600.0))
    next(found)
    next(found)
    assert next(source)[0] <= 6000


def test_readings_that_come_late_keep_their_place():
    given = [(0, "a", {"w": 0}), (600, "a", {"w": 10}), (300, "a", {"w": 99}), (660, "a", {"w": 11})]
    found = resampled(given)
    assert found.index((300, "a", {"w": 99})) == found.index((600, "a", {"w": 10})) + 1
    assert found[-1] == (660, "a", {"w": 11})


def test_steps_that_cannot_be_are_refused():
    with pytest.raises(UsageError, match="above 0"):
        resampled([], step_s=0)
    with pytest.raises(UsageError, match="raise --max-gap"):
        resampled([], step_s=60, max_gap_s=30)
