"""The array type that every model here takes and returns."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


def floats(values: ArrayLike) -> FloatArray:
    """Any number, sequence or array as an array of float; an array of float is returned as it is."""
    return np.asarray(values, dtype=np.float64)
