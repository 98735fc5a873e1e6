"""A sky over a community: made-up clouds and temperatures that neighbours share, the same for the same seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from solarflow.energy.arrays import FloatArray, floats
from solarflow.energy.noise import derive, smooth, uniform

DAY_S = 86_400.0


@dataclass(frozen=True)
class Weather:
    """Clouds and air temperature over one place.

    Each solar day has a cloudiness of its own; within it, cloud fields of three sizes drift past. Days from `fair_from`
    up to `fair_until` (UTC seconds) stay mostly sunny, so that a demonstration has sun to show.
    """

    seed: int
    latitude: float
    longitude: float
    fair_from: float = 0.0
    fair_until: float = 0.0

    def _solar_time(self, time_s: ArrayLike) -> FloatArray:
        return floats(time_s) + self.longitude * 240.0

    def _winter(self, time_s: ArrayLike) -> FloatArray:
        """1 at mid-winter, -1 at midsummer, of either hemisphere."""
        year_share = (floats(time_s) / DAY_S + 10.0) / 365.2425  # epoch + 355 d is 22 December
        return np.cos(2 * np.pi * year_share) * (1.0 if self.latitude >= 0 else -1.0)

    def cloudiness(self, time_s: ArrayLike) -> FloatArray:
        """How cloudy the solar day of each time is: 0 blue, 1 overcast."""
        times = floats(time_s)
        day = np.floor(self._solar_time(times) / DAY_S).astype(np.int64)
        drawn = uniform(derive(self.seed, "day"), day)
        usual = np.clip(drawn ** (1.6 - 0.8 * self._winter(times)), 0.0, 1.0)
        fair = (times >= self.fair_from) & (times < self.fair_until)
        return np.where(fair, 0.18 * drawn, usual)

    def clear_sky_index(self, time_s: ArrayLike, delay_s: float = 0.0) -> FloatArray:
        """The share of the cloudless sky's `ghi` that arrives [1], 0.15 to 1.

        `delay_s` is how much later than at the centre the same clouds pass over a home.
        """
        passing = floats(time_s) - delay_s
        field = (
            0.5 * smooth(derive(self.seed, "front"), passing, 3 * 3600.0)
            + 0.3 * smooth(derive(self.seed, "field"), passing, 2400.0)
            + 0.2 * smooth(derive(self.seed, "cloud"), passing, 480.0)
        )
        cloudiness = self.cloudiness(time_s)
        covered = 1.0 / (1.0 + np.exp(-14.0 * (field - 1.0 + cloudiness)))
        return (1.0 - 0.12 * cloudiness) * (1.0 - 0.75 * covered)

    def temperature(self, time_s: ArrayLike) -> FloatArray:
        """Air temperature [°C]: the season, the hour (coldest at 3, warmest at 15 solar time), warm and cold spells."""
        times = floats(time_s)
        hour = (self._solar_time(times) / 3600.0) % 24.0
        season = (27.0 - 0.3 * abs(self.latitude)) - 0.24 * abs(self.latitude) * self._winter(times - 25 * DAY_S)
        spell = 8.0 * (smooth(derive(self.seed, "spell"), times, 2 * DAY_S) - 0.5)
        return season + spell - 5.0 * np.cos(2 * np.pi * (hour - 3.0) / 24.0)
