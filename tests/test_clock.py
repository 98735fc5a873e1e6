"""Time: virtual, scaled, and the machine's own."""

import time

import pytest

from solarflow.clock import ScaledClock, SystemClock, VirtualClock


def test_a_virtual_clock_stands_still_until_it_is_moved():
    clock = VirtualClock(1000.0)
    assert (clock.now(), clock.monotonic()) == (1000.0, 0.0)
    clock.move_to(1060.5)
    assert (clock.now(), clock.monotonic()) == (1060.5, 60.5)


def test_a_virtual_clock_never_goes_back():
    clock = VirtualClock(1000.0)
    clock.move_to(1000.0)
    with pytest.raises(ValueError, match=r"virtual time is 1000\.0 and cannot go back to 999"):
        clock.move_to(999.0)


def test_virtual_time_costs_no_real_time():
    assert VirtualClock().real_seconds(3600) == 0


def test_a_scaled_clock_runs_so_much_faster_than_real_time(monkeypatch):
    real = 50.0
    monkeypatch.setattr(time, "monotonic", lambda: real)
    clock = ScaledClock(60, start=1000.0)
    real += 2
    assert (clock.now(), clock.monotonic()) == (1120.0, 120.0)
    assert clock.real_seconds(60) == 1


def test_a_scaled_clock_starts_now_unless_told_otherwise(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 777.0)
    monkeypatch.setattr(time, "monotonic", lambda: 5.0)
    assert ScaledClock(10).now() == 777.0


@pytest.mark.parametrize("speed", [0, -1, 100_001, float("nan")])
def test_a_speed_that_makes_no_sense_is_refused(speed):
    with pytest.raises(ValueError, match="must be above 0 and at most 100000"):
        ScaledClock(speed)


def test_the_system_clock_is_the_machines_own():
    clock = SystemClock()
    assert abs(clock.now() - time.time()) < 5
    assert abs(clock.monotonic() - time.monotonic()) < 5
    assert clock.real_seconds(3) == 3


def test_scaled_time_goes_on_from_a_later_moment_and_never_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 5.0)
    clock = ScaledClock(60, start=1000.0)
    clock.go_on_from(4000.0)
    assert clock.now() == 4000.0
    clock.go_on_from(3000.0)
    assert clock.now() == 4000.0
    assert clock.monotonic() == 0.0, "what measures holds does not jump"
