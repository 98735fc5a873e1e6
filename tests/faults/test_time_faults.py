"""Clocks that are set, and days of 23 and 25 hours: holds do not move, moments on the clock are right."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from .trial import Trial, fault
from .worlds import VirtualWorld

ROME = ZoneInfo("Europe/Rome")
STEP_S = 3 * 3600.0


def step(world: VirtualWorld) -> float:
    """Set the clock by three hours, one way or the other."""
    seconds = world.rng.choice([STEP_S, -STEP_S])
    world.step_clock(seconds)
    return seconds


@fault("clock-step-in-a-hold", times=50)
def test_a_clock_that_is_set_by_three_hours_moves_no_hold(trial: Trial) -> None:
    world = VirtualWorld(trial)
    world.run(120)
    for house in world.houses:
        world.set_surplus(house, 3000.0)
    world.run(world.rng.uniform(1, world.times.hold_s - 70))
    assert not any(house.relay.on for house in world.houses)
    step(world)
    world.run(world.times.hold_s + 130)
    for house in world.houses:
        on = house.relay.switched_on_after(house.turned_at)
        assert on is not None
        held_s = on - house.turned_at
        assert world.times.hold_s <= held_s <= world.times.hold_s + 2 * house.interval_s + 3, held_s
        trial.recovered(held_s, world.times.hold_s + 2 * house.interval_s + 3)
    step(world)
    for house in world.houses:
        world.set_surplus(house, -2000.0)
    within = world.times.interval_s + world.times.release_s + world.times.settle_s
    world.run(within + world.times.slack_s)
    for house in world.houses:
        world.off_after(house, house.turned_at, within)


@fault("clock-step-while-on", times=50)
def test_a_clock_that_is_set_while_a_relay_is_on_switches_nothing_and_silence_still_does(trial: Trial) -> None:
    world = VirtualWorld(trial)
    world.all_on()
    before = [len(house.relay.changes) for house in world.houses]
    for _ in range(4):
        step(world)
        world.run(world.rng.uniform(100, 400))
    assert [len(house.relay.changes) for house in world.houses] == before, "it stays on, and does not blink"
    for house in world.houses:
        house.silent = True
    step(world)
    world.run(world.times.readings_age_s + world.times.slack_s)
    for house in world.houses:
        world.off_after(house, house.last_reading, world.times.readings_age_s)
        house.silent = False
    took = world.all_on()
    assert took < world.on_within_s


@fault("clock-step-and-overrides", times=50)
def test_after_a_step_an_override_until_a_moment_ends_then_and_one_for_a_time_after_it(trial: Trial) -> None:
    world = VirtualWorld(trial)
    moment, lasting = world.houses[0], world.houses[-1]
    world.run(200)
    now = world.bench.clock.now()
    world.inject("relays-boiler", home=moment.id, override="on", until=now + 4 * 3600)
    world.inject("relays-boiler", home=lasting.id, override="on", for_s=3600)
    began = world.t
    world.run(600)
    seconds = step(world)
    world.run(4 * 3600 + STEP_S + world.times.min_on_s)
    ends = {moment.id: 4 * 3600 - seconds, lasting.id: 3600.0}
    for house in (moment, lasting):
        off = house.relay.off_since(began + 100)
        assert off is not None
        assert abs(off - began - ends[house.id]) < world.times.slack_s, f"{off - began:.0f} s, not {ends[house.id]:.0f}"
        trial.recovered(max(0.0, off - began - ends[house.id]), world.times.slack_s)
    world.all_on()


@fault("clock-step-and-restart", times=50)
def test_a_clock_that_is_set_while_the_engine_is_down_keeps_relays_safe(trial: Trial) -> None:
    world = VirtualWorld(trial)
    world.all_on()
    world.kill()
    world.run(world.rng.uniform(0, 600))
    cause = world.t
    step(world)
    world.begin()
    for house in world.houses:
        house.silent = True
    world.run(world.times.ttl_s + world.times.slack_s)
    for house in world.houses:
        world.off_after(house, cause, world.times.ttl_s)
        house.silent = False
    trial.recovered(world.all_on(), world.on_within_s)


def night(trial: Trial, day: datetime, hours_s: float) -> None:
    """A surplus all day long; the boiler may run from 01:00 to 04:00 local time."""
    start = day.replace(tzinfo=ROME).timestamp() - 3600
    world = VirtualWorld(trial, start=start, allowed_hours=["01:00-04:00"])
    for house in world.houses:
        house.surplus_w = 3000.0
    world.run(24 * 3600)
    for house in world.houses:
        spans = house.relay.spans(True)
        assert len(spans) == 1
        (on, off), times = spans[0], world.times
        began, ended = (datetime.fromtimestamp(start + t, UTC).astimezone(ROME) for t in (on, off))
        assert (began.hour, began.minute) == (1, 0), began
        assert (ended.hour, ended.minute) == (4, 0), ended
        assert abs(off - on - hours_s) < times.hold_s + times.interval_s + times.slack_s
        trial.recovered(abs(off - on - hours_s), times.hold_s + times.interval_s + times.slack_s)


@fault("day-of-23-hours", times=10)
def test_on_the_day_of_23_hours_three_hours_of_the_night_are_two(trial: Trial) -> None:
    night(trial, datetime(2026, 3, 29), 2 * 3600)


@fault("day-of-25-hours", times=10)
def test_on_the_day_of_25_hours_three_hours_of_the_night_are_four(trial: Trial) -> None:
    night(trial, datetime(2026, 10, 25), 4 * 3600)


@fault("hold-over-the-change", times=10)
def test_a_hold_that_lies_over_the_change_of_the_clock_is_as_long_as_ever(trial: Trial) -> None:
    for day in (datetime(2026, 3, 29, 1, 57), datetime(2026, 10, 25, 2, 57)):
        folder = trial.folder / f"{day:%m}"
        folder.mkdir()
        one = Trial(trial.rng, folder, trial.homes)
        world = VirtualWorld(one, start=day.replace(tzinfo=ROME).timestamp())
        for house in world.houses:
            world.set_surplus(house, 3000.0)
        took = world.all_on()
        least = world.times.hold_s
        assert least <= took <= least + world.times.interval_s + world.times.slack_s, took
        trial.recovered(took, least + world.times.interval_s + world.times.slack_s)
