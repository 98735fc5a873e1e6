"""Chance that can be asked for any moment: the same seed and time always give the same number.

A generator that is drawn from in sequence makes a simulated day depend on who asked for what before. These functions
have no memory, so recorded history and a running simulation agree wherever they meet.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.typing import ArrayLike

from solarflow.energy.arrays import FloatArray, floats


def derive(seed: int, *names: object) -> int:
    """A seed of its own for each use: `derive(7, "clouds")`, `derive(7, "home", 3)`; 64 bits."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def uniform(seed: int, index: ArrayLike) -> FloatArray:
    """Numbers in [0, 1), one for each whole number in `index`, independent of each other.

    Source: the SplitMix64 finaliser, Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195.
    """
    whole = np.asarray(index, dtype=np.int64)
    state = np.atleast_1d(whole).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed % 2**64)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    state = state ^ (state >> np.uint64(31))
    return ((state >> np.uint64(11)).astype(np.float64) * 2.0**-53).reshape(whole.shape)


def chance(seed: int, *names: object) -> float:
    """One number in [0, 1) for this seed and these names."""
    return derive(seed, *names) / 2.0**64


def smooth(seed: int, time_s: ArrayLike, period_s: float) -> FloatArray:
    """A curve in [0, 1) that wanders over `time_s` [s] and has forgotten its past after about two `period_s`."""
    position = floats(time_s) / period_s
    cell = np.floor(position)
    share = position - cell
    share = share * share * (3.0 - 2.0 * share)
    index = cell.astype(np.int64)
    return (1.0 - share) * uniform(seed, index) + share * uniform(seed, index + 1)
