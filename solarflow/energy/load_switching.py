"""Which of a home's loads may run on its surplus: the rules, without messages and without a clock of their own.

Powers in watts; `net_w` is export less import. Durations in seconds, moments in UTC seconds since 1970. The loads are
in the order of their importance. Each function that switches does so in the state and gives the names it switched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from solarflow.energy.load_settings import Load
from solarflow.energy.local_time import local_day, moment_of, parse_time, seconds_left, seconds_until, seconds_within

TOLERANCE_S = 0.001
"""Times are sums of floats."""
LONG_AGO_S = 1e9


@dataclass(slots=True)
class LoadState:
    """What is kept of one load."""

    on: bool = False
    reason: str = "waiting"
    relay: int = 0
    real: bool | None = None
    """Whether its relay is on; None where nobody reports it."""
    leaning: bool = False
    """Whether what would switch it held when it was last looked at."""
    leaning_s: float = 0.0
    standing_s: float = LONG_AGO_S
    """How long it has been on, or off."""
    ran_s: float = 0.0
    """On this local day."""
    left_s: float = 0.0
    """Of a run to completion."""
    began_day: int = 0
    """The local day on which the last such run began."""

    @property
    def running(self) -> bool:
        """Whether its time counts."""
        return self.on if self.real is None else self.real


@dataclass(slots=True)
class HomeLoads:
    """What is kept of a home."""

    loads: dict[str, LoadState] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    """The loads that are on, in the order in which they went on."""
    day: int = 0
    """The local day to which `ran_s` belongs."""

    def of(self, load: Load) -> LoadState:
        """The state of a load; a new one is off."""
        found = self.loads.get(load.name)
        if found is None:
            found = self.loads[load.name] = LoadState()
        found.relay = load.relay
        return found

    def switch(self, name: str, on: bool, reason: str) -> str:
        """Put a load on or off; its name."""
        load = self.loads[name]
        if load.on != on:
            load.on, load.standing_s = on, 0.0
            self.order = [other for other in self.order if other != name] + [name] * on
        load.reason, load.leaning, load.leaning_s = reason, False, 0.0
        return name

    def all_off(self, reason: str) -> list[str]:
        """Put everything off, and let every hold begin anew; all names."""
        return [self.switch(name, False, reason) for name in self.loads]

    def end_silence(self) -> None:
        """Readings come again: what is off only waits."""
        for load in self.loads.values():
            if load.reason == "silent":
                load.reason = "waiting"


def pass_time(home: HomeLoads, duration_s: float, now: float, zone: ZoneInfo) -> None:
    """Count the time that has passed up to `now`; at local midnight the day's run times begin anew."""
    day = local_day(now, zone)
    today_s = duration_s
    # A day back is a clock that was set back: run times go on. Further back, the day before was the wrong one.
    if day > home.day or day < home.day - 1:
        home.day, today_s = day, min(duration_s, max(0.0, now - moment_of(day, 0, zone)))
        for load in home.loads.values():
            load.ran_s = 0.0
    for load in home.loads.values():
        load.standing_s = min(load.standing_s + duration_s, LONG_AGO_S)
        if load.leaning:
            load.leaning_s += duration_s
        if load.running:
            load.ran_s += today_s
            if load.on:
                load.left_s = max(0.0, load.left_s - duration_s)


def keep_limits(home: HomeLoads, loads: Sequence[Load], now: float, zone: ZoneInfo, may_start: bool) -> list[str]:
    """Switch what follows from the clock: ends of hours, maxima and runs; guarantees; runs that were interrupted.

    Without `may_start` only off.
    """
    switched = []
    for load in loads:
        state = home.of(load)
        if state.on:
            if load.run_to_completion is not None:
                if state.left_s <= TOLERANCE_S:
                    switched.append(home.switch(load.name, False, "completed"))
            elif seconds_left(now, load.hours, zone) <= 0:
                switched.append(home.switch(load.name, False, "hours"))
            elif load.max_per_day_s is not None and state.ran_s >= load.max_per_day_s - TOLERANCE_S:
                switched.append(home.switch(load.name, False, "max-per-day"))
        elif not may_start:
            continue
        elif state.left_s > TOLERANCE_S:
            switched.append(home.switch(load.name, True, "completion"))
        elif _must_run(load, state, home.day, now, zone):
            switched.append(home.switch(load.name, True, "guarantee"))
    return switched


def _slack_s(load: Load, state: LoadState, day: int, now: float, zone: ZoneInfo) -> float:
    """How long a guaranteed load can still wait [s]; infinity where nothing is missing or the deadline is past."""
    if load.guarantee is None:
        return float("inf")
    missing_s = 60.0 * load.guarantee.minutes - state.ran_s
    deadline = moment_of(day, parse_time(load.guarantee.deadline), zone)
    if missing_s <= TOLERANCE_S or now >= deadline:
        return float("inf")
    return seconds_within(now, deadline, load.hours, zone) - missing_s - load.min_off_s


def _must_run(load: Load, state: LoadState, day: int, now: float, zone: ZoneInfo) -> bool:
    return _slack_s(load, state, day, now, zone) <= TOLERANCE_S and seconds_left(now, load.hours, zone) > 0


def _may_start(load: Load, state: LoadState, day: int, now: float, zone: ZoneInfo) -> bool:
    """Whether only surplus is missing."""
    left_s = seconds_left(now, load.hours, zone)
    if state.on or left_s <= 0 or state.standing_s < load.min_off_s - TOLERANCE_S:
        return False
    room_s = float("inf") if load.max_per_day_s is None else load.max_per_day_s - state.ran_s
    run = load.run_to_completion
    if run is None:
        return room_s > TOLERANCE_S
    return day - state.began_day >= run.every_days and min(left_s, room_s) >= run.duration_s - TOLERANCE_S


def follow_surplus(
    home: HomeLoads, loads: Sequence[Load], net_w: float, metered_w: Mapping[str, float], margin_w: float, now: float,
    zone: ZoneInfo,
) -> list[str]:  # fmt: skip
    """Switch at most one load after the surplus: off, the last that went on first; or on, the first of the list first.

    `metered_w` is what is measured of single loads: only such power is counted as what a load would give free.
    """

    def may_stop(load: Load, state: LoadState) -> bool:
        return not (
            not state.on
            or load.run_to_completion is not None
            or state.standing_s < load.min_on_s - TOLERANCE_S
            or _must_run(load, state, home.day, now, zone)
        )

    places = {load.name: place for place, load in enumerate(loads)}
    stoppable = [
        load for name in reversed(home.order) if name in places and may_stop(load := loads[places[name]], home.of(load))
    ]
    # What was asked for and is not yet on will draw its power as soon as it is.
    free_w = net_w - sum(load.power_w for load in loads if home.of(load).on and home.of(load).real is False)
    waiting_w = 0.0
    ready: list[tuple[Load, float, list[Load]]] = []
    for place, load in enumerate(loads):
        state = home.of(load)
        if state.on:
            _lean(state, load is next(iter(stoppable), None) and -net_w > load.allowed_import_w)
            continue
        need_w = load.enough_w(margin_w) + (waiting_w if load.reserve else 0.0)
        givers = [other for other in stoppable if other.reserve and places[other.name] > place]
        givers = [other for other in givers if metered_w.get(other.name, 0.0) > 0]
        _lean(state, free_w + sum(metered_w[other.name] for other in givers) >= need_w)
        if _may_start(load, state, home.day, now, zone):
            waiting_w += load.power_w
            if state.leaning and state.leaning_s >= load.hold_s - TOLERANCE_S:
                ready.append((load, need_w, givers))
    for load in stoppable[:1]:
        state = home.of(load)
        if state.leaning and state.leaning_s >= load.release_s - TOLERANCE_S:
            return [home.switch(load.name, False, "import")]
    for load, need_w, givers in ready:
        if free_w < need_w:
            return [home.switch(givers[0].name, False, "yields")]
        state = home.of(load)
        if load.run_to_completion is not None:
            state.left_s, state.began_day = load.run_to_completion.duration_s, home.day
        return [home.switch(load.name, True, "surplus")]
    return []


def _lean(state: LoadState, leaning: bool) -> None:
    if leaning != state.leaning:
        state.leaning, state.leaning_s = leaning, 0.0


def next_event_s(home: HomeLoads, loads: Sequence[Load], now: float, zone: ZoneInfo) -> float:
    """After how long the passing of time alone may switch something [s]; never 0."""

    def waits() -> Iterator[float]:
        yield moment_of(home.day + 1, 0, zone) - now
        for load in loads:
            state = home.of(load)
            yield max(TOLERANCE_S, seconds_until(now, load.hours, zone))
            if state.leaning:
                yield (load.release_s if state.on else load.hold_s) - state.leaning_s
            yield (load.min_on_s if state.on else load.min_off_s) - state.standing_s
            if not state.on:
                yield _slack_s(load, state, home.day, now, zone)
            elif state.running:
                yield state.left_s
                yield (load.max_per_day_s or float("inf")) - state.ran_s
            if state.on:
                yield 60.0 * load.guarantee.minutes - state.ran_s if load.guarantee else float("inf")

    return min((wait for wait in waits() if wait >= TOLERANCE_S), default=60.0)
