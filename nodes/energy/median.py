"""One figure of all homes: median, mean, trimmed mean, a quantile, sum, least or greatest.

It remembers the last number of each home and computes over those that are fresh.

Inputs
    payload (number): a home's value.
    home (text): which home; another property where `key` says so.
Outputs
    payload (number): the figure. `count` tells over how many homes; with `without_own` each message goes on with the
        figure of the OTHER homes.
Details
    Values older than `max_age_s` are left out. Below `min_count` values nothing is sent. With `period_s` the figure is
    sent at that pace, not for each message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Literal

from pydantic import Field

from solarflow.node import Example, KeyedConfig, KeyedState, Message, Node, at
from solarflow.units import PositiveSeconds, Ratio, Seconds


def figure_of(values: Sequence[float], kind: str, quantile: float = 0.5, trim: float = 0.1) -> float:
    """The figure of at least one value; `trim` is the share cut off at each end, `quantile` interpolates linearly."""
    ordered = sorted(values)
    if kind == "median":
        return float(median(ordered))
    if kind == "mean":
        return fmean(ordered)
    if kind == "trimmed mean":
        cut = int(len(ordered) * trim)
        return fmean(ordered[cut : len(ordered) - cut])
    if kind == "quantile":
        place = quantile * (len(ordered) - 1)
        below = int(place)
        above = min(below + 1, len(ordered) - 1)
        return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
    if kind == "sum":
        return sum(ordered)
    return ordered[0] if kind == "min" else ordered[-1]


class Median(Node):
    """Computes over homes."""

    type = "median"
    category = "energy"
    label = "median of homes"
    color = "#8fc9a0"
    icon = "function"

    class Config(KeyedConfig):
        """Which figure, over what."""

        figure: Literal["median", "mean", "trimmed mean", "quantile", "sum", "min", "max"] = "median"
        """What is computed over the homes' last values."""
        quantile: Ratio = Field(default=0.5, le=1)
        """For "quantile": 0.1 is the value below which a tenth lies."""
        trim: Ratio = Field(default=0.1, lt=0.5)
        """For "trimmed mean": the share that is cut off at each end."""
        without_own: bool = False
        """Leave the message's own home out: compare it with the others."""
        max_age_s: PositiveSeconds = 900
        """Older values are left out."""
        min_count: int = Field(default=1, ge=1)
        """Below so many values nothing is sent."""
        period_s: Seconds = 0
        """Send at this pace; 0 sends for each message."""

    @dataclass(slots=True)
    class State:
        """A home's last value and when it was measured."""

        value: float = 0.0
        ts: float = 0.0

    config: Config
    state: KeyedState[State]

    EXAMPLE = Example(
        config={"min_count": 2},
        given=[
            at(0, home="casa_A", payload=0.5),
            at(1, home="casa_B", payload=0.7),
            at(2, home="casa_C", payload=0.1),
        ],
        then=[at(1, payload=0.6, count=2), at(2, payload=0.5, count=3)],
    )

    def on_start(self) -> None:
        if self.config.period_s > 0:
            self.every(self.config.period_s, self.report)

    def on_input(self, msg: Message) -> None:
        home, value = self.key(msg), self.number(msg)
        kept = self.state[home]
        if msg["ts"] >= kept.ts:
            kept.value, kept.ts = value, msg["ts"]
        if self.config.period_s > 0:
            return
        if self.config.without_own:
            values = self._fresh(without=home)
            if len(values) >= self.config.min_count:
                self.send({**msg, "payload": self._figure(values), "own": value, "count": len(values)})
        else:
            self.report()

    def report(self, _key: str = "") -> None:
        """Send the figure of all."""
        values = self._fresh()
        if len(values) >= self.config.min_count:
            self.send({"payload": self._figure(values), "count": len(values)})

    def _figure(self, values: list[float]) -> float:
        return figure_of(values, self.config.figure, self.config.quantile, self.config.trim)

    def _fresh(self, without: str | None = None) -> list[float]:
        oldest = self.clock.now() - self.config.max_age_s
        return [kept.value for home, kept in self.state.items() if kept.ts >= oldest and home != without]
