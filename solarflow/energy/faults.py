"""What can go wrong with a simulated home, from when until when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf, isfinite
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from solarflow.energy.arrays import FloatArray, floats
from solarflow.energy.pv import soiling_ratio
from solarflow.errors import UsageError

FaultKind = Literal["soiling", "dead-inverter", "degraded", "silence", "wrong-clock"]


@dataclass(frozen=True)
class Fault:
    """One fault of one home, in force from `start` up to `end` (UTC seconds).

    - `soiling`: the panels lose `percent_per_day` since `start`, or give `factor` of normal, until they are cleaned;
    - `dead-inverter`: no production;
    - `degraded`: the plant gives `factor` of normal;
    - `silence`: the home neither publishes nor hears commands;
    - `wrong-clock`: its time stamps are `hours` ahead (negative: behind).
    """

    kind: FaultKind
    start: float = 0.0
    end: float = inf
    factor: float = 1.0
    percent_per_day: float = 0.0
    hours: float = 0.0

    def at(self, time_s: float) -> bool:
        """Whether it is in force at this moment."""
        return self.start <= time_s < self.end


def performance(faults: Iterable[Fault], time_s: ArrayLike, cleaned_s: float = -inf) -> FloatArray:
    """The share of normal [1] that a plant with these faults gives at each time; last cleaned at `cleaned_s`."""
    times = floats(time_s)
    share = np.ones(times.shape)
    for fault in faults:
        if fault.kind == "dead-inverter":
            factor = np.zeros(times.shape)
        elif fault.kind == "degraded":
            factor = np.full(times.shape, fault.factor)
        elif fault.kind == "soiling":
            cleaned = (times >= cleaned_s) & (cleaned_s > fault.start)
            since = np.where(cleaned, cleaned_s, fault.start)
            dirt = soiling_ratio((times - since) / 86_400.0, fault.percent_per_day)
            factor = dirt * np.where(cleaned, 1.0, fault.factor)
        else:
            continue
        share = np.where((times >= fault.start) & (times < fault.end), share * factor, share)
    return share


def parse_fault(text: str, start: float) -> tuple[str, Fault]:
    """Read `casa_03:degraded=0.65@1.5`: home, kind, its number, and how many hours after `start` it begins.

    The number is: soiling, percent per day (default 1); degraded, share of normal (0.65); wrong-clock, hours ahead (2).
    `dead-inverter` and `silence` take none. Raises UsageError.
    """
    home, _, rest = text.partition(":")
    described, _, after = rest.partition("@")
    kind, _, number = described.partition("=")
    expected = (
        f"the fault '{text}' cannot be read: expected HOME:KIND[=NUMBER][@HOURS], as in casa_03:degraded=0.65@1, "
        "where KIND is soiling, dead-inverter, degraded, silence or wrong-clock"
    )
    try:
        value = float(number) if number else None
        begins = start + float(after or 0.0) * 3600.0
    except ValueError:
        raise UsageError(expected) from None
    if not home or not isfinite(begins) or (value is not None and not isfinite(value)):
        raise UsageError(expected)
    kinds: dict[str, tuple[FaultKind, str, float]] = {
        "soiling": ("soiling", "percent_per_day", 1.0),
        "degraded": ("degraded", "factor", 0.65),
        "wrong-clock": ("wrong-clock", "hours", 2.0),
        "dead-inverter": ("dead-inverter", "", 0.0),
        "silence": ("silence", "", 0.0),
    }
    if kind not in kinds:
        raise UsageError(expected)
    known, parameter, usual = kinds[kind]
    if not parameter:
        if value is not None:
            raise UsageError(f"the fault '{text}' gives {kind} a number, and it takes none: write {home}:{kind}")
        return home, Fault(known, start=begins)
    chosen = usual if value is None else value
    if parameter != "hours" and chosen < 0:
        raise UsageError(f"the fault '{text}' has a negative number; {kind} needs 0 or more")
    return home, Fault(known, start=begins, **{parameter: chosen})
