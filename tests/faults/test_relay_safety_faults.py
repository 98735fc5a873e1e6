"""A relay never stays on because something broke: each cause in virtual time and in real time, with its worst case.

The bounds are the formulas of docs/mqtt.md.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .projects import QUICK, SHIPPED, Times
from .trial import Trial, fault
from .worlds import House, World, world_of


def in_both(name: str, *, pytest_too: bool = False) -> Callable[[Callable[[Trial, str], None]], Callable[..., None]]:
    """Register `name-virtual` and `name-real`; pytest gets the first, and with `pytest_too` also the other."""

    def register(function: Callable[[Trial, str], None]) -> Callable[..., None]:
        for kind in ("virtual", "real"):

            def once(trial: Trial, kind: str = kind) -> None:
                function(trial, kind)

            once.__name__, once.__qualname__ = function.__name__, f"{function.__qualname__}-{kind}"
            fault(f"{name}-{kind}", times=100)(once)
        return pytest.mark.parametrize("kind", ["virtual", "real"] if pytest_too else ["virtual"])(function)

    return register


def begin(trial: Trial, kind: str) -> tuple[World, Times]:
    world = world_of(kind)(trial)
    return world, world.times


def some_time(world: World, longest: float) -> None:
    world.run(world.rng.uniform(0, longest))


@in_both("stale-sensor")
def test_a_meter_that_falls_silent_switches_off_within_its_maximum_age(trial: Trial, kind: str) -> None:
    world, times = begin(trial, kind)
    world.all_on()
    some_time(world, times.ttl_s)
    for house in world.houses:
        house.silent = True
    world.run(times.readings_age_s + times.slack_s)
    for house in world.houses:
        world.off_after(house, house.last_reading, times.readings_age_s)
        house.silent = False
    world.all_on()


@in_both("no-requests")
def test_a_relay_that_nobody_asks_any_more_goes_off_within_its_maximum_age(trial: Trial, kind: str) -> None:
    world, times = begin(trial, kind)
    world.all_on()
    some_time(world, times.ttl_s)
    asked = world.t
    wires = world.rewire("relays-priority", [[]])
    world.run(times.requests_age_s + times.slack_s)
    for house in world.houses:
        world.off_after(house, asked, times.requests_age_s)
    world.rewire("relays-priority", wires)
    world.all_on()


@in_both("import")
def test_a_load_that_draws_from_the_grid_goes_off_after_its_release(trial: Trial, kind: str) -> None:
    world, times = begin(trial, kind)
    world.all_on()
    world.run(times.settle_s + times.min_on_s + times.interval_s)  # else these are what it waits for
    some_time(world, times.ttl_s)
    for house in world.houses:
        world.set_surplus(house, -2000.0)
    within = times.release_s + times.interval_s
    world.run(within + times.slack_s)
    for house in world.houses:
        world.off_after(house, house.turned_at, within)
    world.all_on()


@in_both("dead-engine", pytest_too=True)
def test_a_dead_engine_lets_go_within_the_ttl(trial: Trial, kind: str) -> None:
    world, times = begin(trial, kind)
    world.all_on()
    some_time(world, times.ttl_s)
    cause = world.t
    world.kill()
    world.run(times.ttl_s + times.slack_s)
    for house in world.houses:
        world.off_after(house, cause, times.ttl_s)
    restarted = world.t
    world.begin()
    world.all_on()
    for house in world.houses:
        on = house.relay.switched_on_after(restarted)
        assert on is not None
        assert house.last_reading > restarted, "nothing is on before a reading has come"


@in_both("dead-broker", pytest_too=True)
def test_a_dead_broker_lets_go_within_the_ttl(trial: Trial, kind: str) -> None:
    world, times = begin(trial, kind)
    world.all_on()
    some_time(world, times.ttl_s)
    cause = world.t
    world.set_broker(False)
    world.run(times.ttl_s + times.slack_s)
    for house in world.houses:
        world.off_after(house, cause, times.ttl_s)
    world.set_broker(True)
    begin_on = world.t
    world.wait(lambda: all(h.relay.on for h in world.houses), world.on_within_s + 10, "all are on again")
    assert world.t > begin_on


@in_both("dead-relay")
def test_a_dead_relay_is_told_and_obeys_when_it_lives_again(trial: Trial, kind: str) -> None:
    world, times = begin(trial, kind)
    world.all_on()
    dead = [house for house in world.houses if world.rng.random() < 0.7] or world.houses[:1]
    cause = world.t
    for house in dead:
        house.relay.deaf = True
    world.run(times.ttl_s + times.slack_s)
    for house in dead:
        world.off_after(house, cause, times.ttl_s)
        world.set_surplus(house, -2000.0)  # now it is to be off, and does not say so
    alarm_s = times.release_s + times.interval_s + times.tries * times.feedback_s + times.repeat_s
    world.wait(
        lambda: all("relay-no-answer/1" in world.alerts(h) for h in dead), alarm_s + 3 * times.slack_s, "the alarm"
    )
    for house in dead:
        house.relay.deaf = False
    world.wait(lambda: not any(world.alerts(h) for h in dead), 3 * times.repeat_s + 3 * times.slack_s, "all clear")
    world.all_on()


@in_both("lost-command")
def test_a_lost_off_is_sent_again_until_it_is_confirmed(trial: Trial, kind: str) -> None:
    world, times = begin(trial, kind)
    world.all_on()
    some_time(world, times.ttl_s)
    lost = {}
    for house in world.houses:
        world.set_surplus(house, -2000.0)
        lost[house.id] = world.rng.choice([1, 1, 2])
        house.relay.lose = lost[house.id]
        trial.lost += lost[house.id]
    # A repeated ON may be what is lost, and then an OFF less.
    within = times.interval_s + times.release_s + times.settle_s + times.min_on_s + 2 * times.feedback_s
    world.run(within + times.slack_s)
    for house in world.houses:
        world.off_after(house, house.turned_at, within)
        house.relay.lose = 0
    world.all_on()


@in_both("stuck-feedback")
def test_a_report_that_is_stuck_is_told_and_keeps_no_relay_on(trial: Trial, kind: str) -> None:
    world, times = begin(trial, kind)
    world.all_on()
    for house in world.houses:
        house.relay.stuck_report = world.rng.random() < 0.5
    some_time(world, times.ttl_s)
    for house in world.houses:
        world.set_surplus(house, -2000.0)
    told_s = times.interval_s + times.release_s + times.settle_s
    # One that says OFF while it is on is taken to have fallen off: it goes off when its last ON runs out.
    within = {True: told_s + times.min_on_s + times.interval_s, False: told_s + times.ttl_s}
    world.run(max(within.values()) + times.slack_s)
    for house in world.houses:
        world.off_after(house, house.turned_at, within[house.relay.stuck_report is True])
    always_on = [house for house in world.houses if house.relay.stuck_report]
    limit_s = times.tries * times.feedback_s + 2 * times.repeat_s + 3 * times.slack_s
    world.wait(lambda: all(world.alerts(h) for h in always_on), limit_s, "the alarm")
    for house in world.houses:
        house.relay.stuck_report = None
    world.wait(lambda: not any(world.alerts(h) for h in world.houses), limit_s, "all clear")
    world.all_on()


@in_both("flapping-surplus")
def test_an_hour_of_flapping_surplus_violates_no_minimum_time(trial: Trial, kind: str) -> None:
    world, times = begin(trial, kind)
    hour_s = 12 * times.ttl_s if kind == "virtual" else 3 * times.ttl_s if trial.brief else 10 * times.ttl_s
    begun = world.t
    while world.t - begun < hour_s:
        for house in world.houses:
            world.set_surplus(house, world.rng.choice([3000.0, 3000.0, 950.0, 100.0, -2000.0]))
        world.run(world.rng.uniform(0.2, 1.5) * (times.hold_s + times.release_s))
    for house in world.houses:
        keeps_minimum_times(world, house)
    assert sum(len(house.relay.changes) for house in world.houses) >= 2, "some relay went on and off"
    world.all_on()


def keeps_minimum_times(world: World, house: House, ways_s: float | None = None) -> None:
    """Commands may take different times on their ways; nothing else shortens a span."""
    times = world.times
    ways_s = ways_s if ways_s is not None else (1.0 if times is SHIPPED else 0.2)
    for on, minimum_s in ((True, times.min_on_s), (False, times.min_off_s)):
        for first, last in house.relay.spans(on):
            assert last - first >= minimum_s - ways_s, (
                f"{house.id} was {'on' if on else 'off'} for {last - first:.2f} s"
            )


def in_any_state(world: World) -> None:
    """Bring each home into some state of its own: waiting, holding, on, releasing, resting, overridden, offline."""
    times = world.times
    for house in world.houses:
        world.set_surplus(house, world.rng.choice([3000.0, 3000.0, -2000.0, 500.0]))
    world.run(world.rng.uniform(0, 2 * (times.hold_s + times.min_off_s)))
    for house in world.houses:
        what = world.rng.choice(["turn", "turn", "override", "offline", "nothing"])
        if what == "turn":
            world.set_surplus(house, -house.surplus_w)
        elif what == "override":
            hand = world.rng.choice(["on", "off"])
            world.inject("relays-boiler", home=house.id, override=hand, for_s=world.rng.uniform(0.2, 1) * times.ttl_s)
        elif what == "offline":
            world.inject("relays-boiler", topic=f"comunita/{house.id}/stato", payload="offline")
    world.run(world.rng.uniform(0, times.release_s + times.min_on_s))


@in_both("restart-in-every-state")
def test_a_restart_in_any_state_switches_nothing_on_and_keeps_the_minimum_off_time(trial: Trial, kind: str) -> None:
    world, times = begin(trial, kind)
    in_any_state(world)
    orderly = world.rng.random() < 0.5
    cause = world.t
    if orderly:
        world.end()
    else:
        world.kill()
    world.run(world.rng.uniform(0, 1.2) * times.ttl_s)
    silent_from = world.t
    for house in world.houses:
        house.silent = True
    world.begin()
    world.run(times.ttl_s + times.slack_s)
    for house in world.houses:
        later = [t for t, on in house.relay.changes if on and t > silent_from]
        overridden = world.t - cause < 3 * times.ttl_s and later  # an override needs no reading, and has its end
        assert not later or overridden
        world.off_after(house, silent_from, times.ttl_s + times.min_on_s) if not later else None
        for first, last in house.relay.spans(False):
            assert last - first >= times.min_off_s - (1.0 if kind == "virtual" else 0.2), house.id
    for house in world.houses:
        house.silent = False
        world.inject("relays-boiler", topic=f"comunita/{house.id}/stato", payload="online")
        world.inject("relays-boiler", home=house.id, override="auto")
    world.all_on()


@in_both("deploy-in-every-state")
def test_a_deploy_in_any_state_switches_nothing_and_forgets_nothing(trial: Trial, kind: str) -> None:
    world, times = begin(trial, kind)
    in_any_state(world)
    for house in world.houses:
        if not house.relay.on:
            world.set_surplus(house, -2000.0)  # nothing is about to switch on: what does, the deploy did
    world.run(1.5 if kind == "virtual" else 0.3)
    before = {house.id: len([1 for _, on in house.relay.changes if on]) for house in world.houses}
    was_on = {house.id: house.relay.on for house in world.houses}
    cause = world.t
    for mode in ("nodes", "flows", "full"):
        world.deploy(mode)
    world.run(1.5 if kind == "virtual" else 0.3)
    for house in world.houses:
        ons = len([1 for _, on in house.relay.changes if on])
        assert ons == before[house.id] or not was_on[house.id], f"{house.id} was switched by a deploy"
        world.inject("relays-boiler", home=house.id, override="auto")
        world.inject("relays-boiler", topic=f"comunita/{house.id}/stato", payload="online")
        world.set_surplus(house, -2000.0)
    after = world.t
    within = 2 * times.interval_s + times.release_s + times.settle_s + times.min_on_s
    world.run(within + times.slack_s)
    assert after > cause
    for house in world.houses:
        world.off_after(house, after, within)
        for first, last in house.relay.spans(False):
            assert last - first >= times.min_off_s - (1.0 if kind == "virtual" else 0.2), house.id
    world.all_on()


@in_both("override-runs-out")
def test_an_override_that_runs_out_gives_the_relay_back(trial: Trial, kind: str) -> None:
    world, times = begin(trial, kind)
    world.run(times.interval_s + 1.1 * times.hold_s * world.rng.random())
    lasts = {}
    cause = world.t
    for house in world.houses:
        lasts[house.id] = world.rng.uniform(0.3, 1.5) * times.ttl_s
        world.inject("relays-boiler", home=house.id, override="on", for_s=lasts[house.id], by="Anna")
    world.wait(lambda: all(h.relay.on for h in world.houses), 3 * times.slack_s, "on by hand")
    world.run(max(lasts.values()) + times.min_on_s + times.slack_s)
    for house in world.houses:
        end = cause + max(lasts[house.id], times.min_on_s)
        off = house.relay.off_since(end - times.slack_s)
        assert off is not None, f"{house.id} is still on after its override"
        trial.recovered(max(0.0, off - end), times.slack_s)
    world.all_on()


def test_the_quick_times_have_the_proportions_of_the_shipped_ones() -> None:
    for times in (SHIPPED, QUICK):
        assert times.repeat_s < times.ttl_s / 2
        assert 2 * times.interval_s <= times.readings_age_s or times is SHIPPED
        assert times.readings_age_s < times.requests_age_s < times.ttl_s
