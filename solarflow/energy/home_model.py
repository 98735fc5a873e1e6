"""A simulated home: a PV plant, a household, loads behind relays with a dead man's switch, and faults on request."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from numpy.typing import ArrayLike

from solarflow.energy.appliances import PanelCleaner, SwitchedLoad, standard_loads
from solarflow.energy.arrays import FloatArray, floats
from solarflow.energy.faults import Fault, performance
from solarflow.energy.load import household_load, local_seconds
from solarflow.energy.noise import chance, derive, smooth
from solarflow.energy.pv import effective_irradiance, pv_power
from solarflow.energy.solar import clear_sky, decompose, plane_of_array, solar_position
from solarflow.energy.weather import Weather


class Reading(NamedTuple):
    """What a home's meters show."""

    production_w: float
    consumption_w: float


class RelayChange(NamedTuple):
    """A relay that changed its state, and when (UTC seconds)."""

    time_s: float
    relay: int
    on: bool


@dataclass(slots=True)
class Relay:
    """A relay that falls off by itself at `until`."""

    load: SwitchedLoad
    on: bool = False
    until: float = -inf


@dataclass
class SimulatedHome:
    """One home. What it produces and consumes follows from its seed, its weather and the commands it got; nothing else.

    The caller's clock drives it: `step(now)`, `switch(...)` and `clean(...)` let time pass up to `now` (UTC seconds).
    A `now` before the last one counts as a clock set back: running relays keep the time they had left.
    """

    id: str
    peak_power_wp: float
    tilt: float
    azimuth: float
    latitude: float
    longitude: float
    seed: int
    weather: Weather
    faults: tuple[Fault, ...] = ()
    load_scale: float = 1.0
    altitude_m: float = 240.0
    timezone: str = "Europe/Rome"
    loads: dict[int, SwitchedLoad] = field(default_factory=dict)
    """Relay number -> the load behind it; `standard_loads` of the seed where none are given."""

    def __post_init__(self) -> None:
        self.loads = self.loads or standard_loads(self.seed)
        self._relays = {number: Relay(load) for number, load in self.loads.items()}
        self._changes: list[RelayChange] = []
        self._now: float | None = None
        self._cleaner = PanelCleaner()
        self._cloud_delay_s = 240.0 * (chance(self.seed, "place") - 0.5)

    # -- what follows from the time alone --------------------------------------------------------------------------

    def production(self, time_s: ArrayLike) -> FloatArray:
        """Power of the plant [W] at each time, faults included."""
        times = floats(time_s)
        sun = solar_position(times, self.latitude, self.longitude)
        haze = 0.98 + 0.04 * smooth(derive(self.seed, "haze"), times, 1800.0)
        clouds = self.weather.clear_sky_index(times, self._cloud_delay_s) * haze
        light = decompose(clear_sky(sun, self.altitude_m).ghi * clouds, sun)
        panel = effective_irradiance(plane_of_array(self.tilt, self.azimuth, sun, light))
        share = performance(self.faults, times, self._cleaner.cleaned_s)
        return pv_power(
            panel,
            self.weather.temperature(times),
            self.peak_power_wp,
            inverter_w=0.95 * self.peak_power_wp,
            performance=share,
        )

    def household(self, time_s: ArrayLike) -> FloatArray:
        """What the home draws [W] at each time, without the loads behind its relays."""
        return household_load(local_seconds(time_s, self.timezone), derive(self.seed, "household"), self.load_scale)

    def silent(self, now: float) -> bool:
        """Whether nobody hears from it, nor it from anybody."""
        return any(fault.kind == "silence" and fault.at(now) for fault in self.faults)

    def clock_error_s(self, now: float) -> float:
        """How far its clock is ahead of UTC [s]."""
        return sum(fault.hours * 3600.0 for fault in self.faults if fault.kind == "wrong-clock" and fault.at(now))

    @property
    def has_wrong_clock(self) -> bool:
        """Whether its clock is ever wrong."""
        return any(fault.kind == "wrong-clock" for fault in self.faults)

    # -- what follows from the commands it got ---------------------------------------------------------------------

    def step(self, now: float) -> Reading:
        """Let time pass up to `now`, and read the meters there."""
        self.advance(now)
        switched_w = sum(relay.load.draw_w(relay.on) for relay in self._relays.values())
        pump_w = self._cleaner.power_w if self._cleaner.running(now) else 0.0
        return Reading(float(self.production(now)), float(self.household(now)) + switched_w + pump_w)

    def switch(self, relay: int, on: bool, ttl_s: float, now: float) -> None:
        """Put a relay on for `ttl_s` seconds from `now`, or off. Raises KeyError where there is no such relay."""
        self.advance(now)
        device = self._relays[relay]
        device.until = now + ttl_s if on else -inf
        self._set(relay, on, now)

    def clean(self, on: bool, ttl_s: float, max_s: float, now: float) -> None:
        """Run the panel cleaner for `ttl_s` seconds from `now`, but never longer than `max_s` without a rest."""
        self.advance(now)
        self._cleaner.command(on, ttl_s, max_s, now)

    def advance(self, now: float) -> None:
        """Let time pass up to `now`; relays whose time runs out on the way go off at that very moment."""
        if self._now is None:
            self._now = now
        if now < self._now:
            self._set_back(now)
        while (expiry := self.next_expiry()) <= now:
            self._run_until(expiry)
            for number, relay in self._relays.items():
                if relay.on and relay.until <= expiry:
                    self._set(number, False, expiry)
        self._run_until(now)

    def next_expiry(self) -> float:
        """When the next relay falls off by itself (UTC seconds); infinity where all are off."""
        return min((relay.until for relay in self._relays.values() if relay.on), default=inf)

    @property
    def relay_states(self) -> dict[int, bool]:
        """Relay number -> whether it is on."""
        return {number: relay.on for number, relay in self._relays.items()}

    def take_changes(self) -> list[RelayChange]:
        """The relays that changed since this was last asked, in order."""
        changes, self._changes = self._changes, []
        return changes

    def _set(self, number: int, on: bool, time_s: float) -> None:
        relay = self._relays[number]
        if relay.on != on:
            relay.on = on
            self._changes.append(RelayChange(time_s, number, on))

    def _run_until(self, time_s: float) -> None:
        began = self._now if self._now is not None else time_s
        self._now = time_s
        if time_s <= began:
            return
        local_s = float(local_seconds(time_s, self.timezone))
        for relay in self._relays.values():
            relay.load.advance(relay.on, time_s - began, local_s)
        self._cleaner.advance(began, time_s)

    def _set_back(self, now: float) -> None:
        shift = now - (self._now if self._now is not None else now)
        for relay in self._relays.values():
            relay.until += shift
        self._cleaner.shift(shift)
        self._now = now
