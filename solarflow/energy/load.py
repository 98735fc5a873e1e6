"""What a household draws besides its switched loads: standby, fridge, habits of the day and appliances by chance."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import ArrayLike

from solarflow.energy.arrays import FloatArray, floats
from solarflow.energy.noise import chance, derive, smooth, uniform

SLOT_S = 1800.0
"""Appliances begin and end within slots of half an hour."""


@lru_cache(maxsize=100_000)
def _offset_s(timezone: str, quarter: int) -> float:
    offset = datetime.fromtimestamp(quarter * 900, UTC).astimezone(ZoneInfo(timezone)).utcoffset()
    return offset.total_seconds() if offset is not None else 0.0


def local_seconds(time_s: ArrayLike, timezone: str) -> FloatArray:
    """What the clock on the wall shows, as seconds since 1 January 1970, 00:00 of that clock.

    Raises `zoneinfo.ZoneInfoNotFoundError` for a `timezone` that is not in the tz database.
    """
    times = floats(time_s)
    quarters, place = np.unique(np.floor(times / 900.0).astype(np.int64), return_inverse=True)
    offsets = np.array([_offset_s(timezone, int(quarter)) for quarter in quarters])
    return times + floats(offsets[place]).reshape(times.shape)


def _bump(hour: FloatArray, middle: ArrayLike, width: float) -> FloatArray:
    """A bell of height 1 around an hour of the day, that closes over midnight."""
    distance = (hour - floats(middle) + 12.0) % 24.0 - 12.0
    return np.exp(-0.5 * (distance / width) ** 2)


def household_load(local_time_s: ArrayLike, seed: int, scale: float = 1.0) -> FloatArray:
    """Power drawn [W] at each moment of `local_time_s` (see `local_seconds`), by the household of this `seed`.

    A mean of about 320 W at `scale` 1 (2,800 kWh a year), with a morning and a higher evening peak; later mornings and
    busier middays at weekends. The numbers are this model's own. No memory: any moment can be asked for, in any order.
    """
    local = floats(local_time_s)
    day = np.floor(local / 86_400.0).astype(np.int64)
    hour = (local / 3600.0) % 24.0
    weekend = ((day + 3) % 7 >= 5).astype(np.float64)  # 1 January 1970 was a Thursday

    standby = 70.0 + 70.0 * chance(seed, "standby")
    fridge_period = 2400.0 + 900.0 * chance(seed, "fridge")
    fridge = np.where((local / fridge_period + chance(seed, "phase")) % 1.0 < 0.35, 90.0, 0.0)

    morning = _bump(hour, 7.0 + chance(seed, "rise") + 1.5 * weekend, 1.1)
    midday = _bump(hour, 12.8, 1.2) * (0.6 + 0.6 * weekend)
    evening = _bump(hour, 19.5 + chance(seed, "dine"), 1.9)
    activity = 0.08 + 0.6 * morning + 0.35 * midday + evening
    mood = 0.7 + 0.6 * uniform(derive(seed, "mood"), day)
    habits = 430.0 * activity * mood * (0.7 + 0.6 * smooth(derive(seed, "habits"), local, 1200.0))

    slot = np.floor(local / SLOT_S).astype(np.int64)
    runs = uniform(derive(seed, "runs"), slot) < 0.015 + 0.16 * activity
    length_s = 240.0 + 960.0 * uniform(derive(seed, "length"), slot)
    begin_s = (SLOT_S - length_s) * uniform(derive(seed, "begin"), slot)
    within = local - slot * SLOT_S
    appliance_w = 500.0 + 1300.0 * uniform(derive(seed, "appliance"), slot)
    appliances = np.where(runs & (within >= begin_s) & (within < begin_s + length_s), appliance_w, 0.0)
    return scale * (standby + fridge + habits + appliances)
