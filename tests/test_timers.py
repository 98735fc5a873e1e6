"""Timers: order, one for each id, two clocks, restarts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solarflow.timers import Timers, pause

ID = ("node", "method", "casa_A")


class JumpingClock:
    """A clock whose wall time somebody sets."""

    def __init__(self):
        self.elapsed = 0.0
        self.offset = 1_782_032_400.0

    def now(self):
        return self.elapsed + self.offset

    def monotonic(self):
        return self.elapsed

    def real_seconds(self, duration_s):
        return duration_s


@pytest.fixture
def clock():
    return JumpingClock()


@pytest.fixture
def timers(clock):
    return Timers(clock)


def due(timers):
    """The methods that are due, in their order."""
    found = []
    while (id_ := timers.pop_due()) is not None:
        found.append(id_[1])
    return found


def hold(timers, name, seconds, restart=False, period=0.0):
    timers.schedule(("n", name, ""), timers._clock.monotonic() + seconds, wall=False, restart=restart, period=period)


def moment(timers, name, seconds):
    timers.schedule(("n", name, ""), timers._clock.now() + seconds, wall=True, restart=True)


def test_timers_come_due_in_the_order_of_their_times(timers, clock):
    for name, seconds in (("c", 30), ("a", 10), ("b", 20)):
        hold(timers, name, seconds)
    clock.elapsed = 25
    assert due(timers) == ["a", "b"]
    assert timers.wait() == 5


def test_timers_of_one_time_come_due_in_the_order_in_which_they_were_started(timers, clock):
    for name in "cab":
        hold(timers, name, 10)
    clock.elapsed = 10
    assert due(timers) == ["c", "a", "b"]


def test_holds_and_moments_come_due_in_one_order(timers, clock):
    hold(timers, "hold", 10)
    moment(timers, "moment", 5)
    moment(timers, "late", 15)
    clock.elapsed = 20
    assert due(timers) == ["moment", "hold", "late"]


def test_a_timer_that_runs_runs_on_unless_it_is_restarted(timers, clock):
    hold(timers, "a", 10)
    clock.elapsed = 5
    hold(timers, "a", 10)
    assert timers.remaining(("n", "a", "")) == 5
    hold(timers, "a", 10, restart=True)
    assert timers.remaining(("n", "a", "")) == 10
    clock.elapsed = 12
    assert due(timers) == []
    clock.elapsed = 15
    assert due(timers) == ["a"]


def test_a_timer_may_be_moved_to_an_earlier_time(timers, clock):
    hold(timers, "a", 100)
    hold(timers, "a", 10, restart=True)
    clock.elapsed = 10
    assert due(timers) == ["a"]
    clock.elapsed = 200
    assert due(timers) == []


def test_a_cancelled_timer_is_over(timers, clock):
    hold(timers, "a", 10)
    assert timers.cancel(("n", "a", "")) is True
    assert timers.cancel(("n", "a", "")) is False
    clock.elapsed = 20
    assert due(timers) == []
    assert timers.wait() is None


def test_the_timers_of_a_node_or_of_one_of_its_keys_are_cancelled_together(timers):
    for node, key in (("n", "a"), ("n", "b"), ("m", "a")):
        timers.schedule((node, "x", key), 10, wall=False, restart=False)
    timers.cancel_node("n", "a")
    assert {timer.id for node in "nm" for timer in timers.of_node(node)} == {("n", "x", "b"), ("m", "x", "a")}
    timers.cancel_node("n")
    assert len(timers) == 1


def test_a_periodic_timer_beats_and_skips_what_it_missed_without_losing_its_phase(timers, clock):
    hold(timers, "beat", 10, period=10)
    clock.elapsed = 10
    assert due(timers) == ["beat"]
    clock.elapsed = 47
    assert due(timers) == ["beat"]
    assert timers.wait() == pytest.approx(3)


def test_a_periodic_timer_that_is_popped_a_moment_early_does_not_beat_twice(timers, clock):
    hold(timers, "beat", 10, period=10)
    clock.elapsed = 10 - 5e-7
    assert due(timers) == ["beat"]
    assert timers.wait() == pytest.approx(10)


@pytest.mark.parametrize("step", [-3600, 3600])
def test_a_step_of_the_wall_clock_moves_no_hold(timers, clock, step):
    hold(timers, "hold", 300)
    clock.elapsed = 100
    clock.offset += step
    assert timers.wait() == 200
    clock.elapsed = 300
    assert due(timers) == ["hold"]


def test_a_step_of_the_wall_clock_moves_moments_with_it(timers, clock):
    moment(timers, "moment", 300)
    clock.offset -= 3600
    clock.elapsed = 300
    assert due(timers) == []
    assert timers.wait() == 3600
    clock.offset += 7200
    assert due(timers) == ["moment"]


def test_a_timer_may_change_from_hold_to_moment(timers, clock):
    hold(timers, "a", 10)
    moment(timers, "a", 20)
    clock.elapsed = 15
    assert due(timers) == []
    clock.elapsed = 20
    assert due(timers) == ["a"]


@given(st.floats(0.001, 100_000))
def test_a_timer_is_due_once_its_wait_is_over_however_the_floats_fall(seconds):
    clock = JumpingClock()
    timers = Timers(clock)
    hold(timers, "a", seconds)
    # As a virtual clock does it, whose only time is UTC.
    clock.elapsed = (clock.now() + timers.wait()) - clock.offset
    assert due(timers) == ["a"]


def test_somebody_is_told_when_something_is_due_earlier_than_before(timers):
    told = []
    timers.on_earlier = lambda: told.append(timers.wait())
    hold(timers, "a", 100)
    hold(timers, "b", 200)
    hold(timers, "c", 50)
    hold(timers, "c", 70, restart=True)
    assert told == [100, 50]


def test_timers_that_are_started_and_ended_all_the_time_take_no_room(timers, clock):
    hold(timers, "long", 1e6)
    for number in range(20_000):
        hold(timers, "short", 300)
        timers.cancel(("n", "short", ""))
        clock.elapsed = number * 0.001
    assert len(timers) == 1
    assert len(timers._heaps[False]) < 3000
    clock.elapsed = 1e6
    assert due(timers) == ["long"]


# -- over a restart ---------------------------------------------------------------------------------------------


def restarted(timers, saved_monotonic, clock):
    other = Timers(clock)
    for id_, kept in timers.take_changes().items():
        if kept is not None:
            other.restore(id_, pause(kept, saved_monotonic))
    return other


def test_a_hold_goes_on_with_what_was_left_and_down_time_does_not_count(timers, clock):
    hold(timers, "hold", 300)
    clock.elapsed = 100
    later = JumpingClock()  # another process, another monotonic clock
    later.offset = clock.now() + 10_000
    assert restarted(timers, clock.monotonic(), later).wait() == 200


def test_a_moment_stays_where_it_is_and_down_time_counts(timers, clock):
    moment(timers, "soon", 300)
    moment(timers, "later", 20_000)
    later = JumpingClock()
    later.offset = clock.now() + 10_000
    again = restarted(timers, 0.0, later)
    assert due(again) == ["soon"]
    assert again.wait() == 10_000


def test_a_hold_that_was_overdue_when_it_was_saved_is_due_at_once(timers, clock):
    hold(timers, "hold", 10)
    clock.elapsed = 30
    again = restarted(timers, clock.monotonic(), JumpingClock())
    assert due(again) == ["hold"]


def test_only_what_changed_is_saved_and_what_ended_is_named(timers, clock):
    hold(timers, "a", 10)
    hold(timers, "b", 20)
    hold(timers, "beat", 5, period=5)
    changes = timers.take_changes()
    assert {id_[1]: kept is not None for id_, kept in changes.items()} == {"a": True, "b": True, "beat": False}
    assert timers.take_changes() == {}
    clock.elapsed = 12
    due(timers)
    changes = timers.take_changes()
    assert changes[("n", "a", "")] is None
    assert ("n", "b", "") not in changes
