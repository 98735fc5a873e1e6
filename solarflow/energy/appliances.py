"""Loads behind relays: what they draw while the relay is on, and when they have had enough.

Each has `power_w` while it draws, `draw_w(powered)` for this moment, and `advance(powered, duration_s, local_s)`, which
lets time pass. `local_s` is local clock time (see `load.local_seconds`) at the end of the stretch.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, inf
from typing import Protocol

from solarflow.energy.noise import chance

WATER_WH_PER_LITRE_K = 4186.0 / 3600.0
"""Heat capacity of water [Wh per litre and kelvin]."""

MAINS_C = 15.0
ROOM_C = 20.0
HOT_WATER_SHARE = (1, 0, 0, 0, 0, 2, 8, 12, 8, 4, 3, 3, 5, 5, 3, 2, 2, 4, 8, 10, 9, 6, 3, 2)
"""How a day's hot water is spread over its hours [%]."""


class SwitchedLoad(Protocol):
    """What a home model needs to know of a load behind a relay."""

    name: str
    power_w: float

    def draw_w(self, powered: bool) -> float:
        """What it draws at this moment [W]."""

    def advance(self, powered: bool, duration_s: float, local_s: float) -> None:
        """Let `duration_s` seconds pass, all of them with the relay on or all with it off."""


@dataclass
class Boiler:
    """An electric water heater: a well-mixed tank with a thermostat, which stops by itself when the water is hot.

    Heat balance of the tank [W]: heating - losses to the room - hot water drawn and replaced by cold.
    """

    name: str = "boiler"
    power_w: float = 1500.0
    temperature_c: float = 40.0
    litres: float = 80.0
    litres_per_day: float = 110.0
    loss_w_per_k: float = 1.3
    stops_c: float = 65.0
    starts_c: float = 58.0
    heating: bool = True

    def draw_w(self, powered: bool) -> float:
        """Its full power while it heats, else nothing."""
        return self.power_w if powered and self.heating else 0.0

    def advance(self, powered: bool, duration_s: float, local_s: float) -> None:
        """Heat, cool and serve hot water, in steps of at most a minute."""
        capacity_wh_per_k = self.litres * WATER_WH_PER_LITRE_K
        left_s = duration_s
        while left_s > 0:
            step_s = min(left_s, 60.0)
            left_s -= step_s
            hour = int((local_s - left_s) / 3600.0) % 24
            litres_per_hour = self.litres_per_day * HOT_WATER_SHARE[hour] / 100.0
            served_w = litres_per_hour * WATER_WH_PER_LITRE_K * (self.temperature_c - MAINS_C)
            lost_w = self.loss_w_per_k * (self.temperature_c - ROOM_C)
            gain_wh = (self.draw_w(powered) - served_w - lost_w) * step_s / 3600.0
            self.temperature_c += gain_wh / capacity_wh_per_k
            if self.temperature_c >= self.stops_c:
                self.heating = False
            elif self.temperature_c <= self.starts_c:
                self.heating = True


@dataclass
class ElectricVehicle:
    """A car at its charger: draws until it is charged, and needs `daily_wh` more every evening at 18."""

    name: str = "ev"
    power_w: float = 2300.0
    needed_wh: float = 8000.0
    daily_wh: float = 7000.0
    battery_wh: float = 45_000.0

    def draw_w(self, powered: bool) -> float:
        """Its full power until it is charged, then nothing."""
        return self.power_w if powered and self.needed_wh > 0 else 0.0

    def advance(self, powered: bool, duration_s: float, local_s: float) -> None:
        """Charge, then add what the trips that ended meanwhile have used."""
        self.needed_wh = max(0.0, self.needed_wh - self.draw_w(powered) * duration_s / 3600.0)
        evening_s = 18 * 3600.0
        trips = floor((local_s - evening_s) / 86_400.0) - floor((local_s - duration_s - evening_s) / 86_400.0)
        self.needed_wh = min(self.battery_wh, self.needed_wh + trips * self.daily_wh)


@dataclass
class Softener:
    """A water softener's regeneration: once started it runs for half an hour and stops by itself.

    A break in its power only interrupts it; switching it on again after it has finished starts the next run.
    """

    name: str = "softener"
    power_w: float = 40.0
    run_s: float = 1800.0
    left_s: float = 0.0
    was_powered: bool = False

    def draw_w(self, powered: bool) -> float:
        """Its power during a run; a run begins at the moment the relay goes on."""
        begins = not self.was_powered
        return self.power_w if powered and (begins or self.left_s > 0) else 0.0

    def advance(self, powered: bool, duration_s: float, local_s: float) -> None:  # noqa: ARG002 - one face for all loads
        """Run on, or wait."""
        if powered and not self.was_powered and self.left_s <= 0:
            self.left_s = self.run_s
        if powered:
            self.left_s = max(0.0, self.left_s - duration_s)
        self.was_powered = powered


@dataclass
class PanelCleaner:
    """The pump and brush over the panels: runs while it is commanded, but no longer than a command's `max_s`.

    Commands that follow each other within their `ttl_s` are one job; `max_s` counts from the first of them.
    """

    power_w: float = 60.0
    cleaning_s: float = 120.0
    """How long a job must run until the panels are clean."""
    commanded_until: float = -inf
    stops_at: float = -inf
    run_s: float = 0.0
    cleaned_s: float = -inf
    """When the panels were last clean (UTC seconds)."""

    def running(self, now: float) -> bool:
        """Whether the pump runs."""
        return now < min(self.commanded_until, self.stops_at)

    def command(self, on: bool, ttl_s: float, max_s: float, now: float) -> None:
        """Begin a job, keep it going, or end it."""
        if on and now >= self.commanded_until:
            self.stops_at = now + max_s
            self.run_s = 0.0
        self.commanded_until = now + ttl_s if on else -inf

    def advance(self, began: float, ended: float) -> None:
        """Let the time from `began` to `ended` pass."""
        duration_s = min(ended, self.commanded_until, self.stops_at) - began
        if duration_s <= 0:
            return
        if self.run_s < self.cleaning_s <= self.run_s + duration_s:
            self.cleaned_s = began + self.cleaning_s - self.run_s
        self.run_s += duration_s

    def shift(self, duration_s: float) -> None:
        """Follow a clock that was set by `duration_s`."""
        self.commanded_until += duration_s
        self.stops_at += duration_s


def standard_loads(seed: int) -> dict[int, SwitchedLoad]:
    """What hangs on a simulated home's relays 1, 2 and 3: a boiler, an electric vehicle and a softener."""
    boiler = Boiler(
        temperature_c=30.0 + 25.0 * chance(seed, "tank"), litres_per_day=80.0 + 80.0 * chance(seed, "showers")
    )
    vehicle = ElectricVehicle(
        needed_wh=4000.0 + 9000.0 * chance(seed, "charge"), daily_wh=4000.0 + 6000.0 * chance(seed, "trips")
    )
    return {1: boiler, 2: vehicle, 3: Softener()}
