"""From watts to watt-hours: the energy of each quarter of an hour or hour, without inventing any.

Between two samples the power is taken to change evenly (trapezoid). Where two samples are further apart than
`max_gap_s`, nobody knows: that time is a gap, it is reported and never filled.

Inputs
    payload (number): power in watts.
    home (text): whose; another property where `key` says so.
    ts (number): when it was measured. Samples may come late or out of order by `lateness_s`.
Outputs
    payload (object): for each interval that is over: `energy_wh`, `start` and `end` (UTC seconds), `covered_s`,
        `gap_s`, `samples`. `ts` is its end.
    payload (object): on the second output a sample that came too late for its interval: `power_w`, `ts`.
Details
    An interval is over when a sample `lateness_s` after its end has come, or when the clock says so and nothing came
    any more. Intervals of which nothing is known are not sent.
Source
    Energy is the integral of power over time; the trapezoid is exact for power that changes linearly between samples.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from solarflow.node import Example, KeyedConfig, KeyedState, Message, Node, NodeError, at
from solarflow.units import PositiveSeconds, Seconds

MAX_SAMPLES = 20_000
"""Samples kept for a key's open intervals."""


def integrate(samples: list[tuple[float, float]], start: float, end: float, max_gap_s: float) -> tuple[float, float]:
    """(energy [Wh], covered time [s]) between `start` and `end` of samples (ts [s], power [W]) in order of time.

    Pairs of samples further apart than `max_gap_s` contribute nothing. A pair that reaches over an edge contributes
    its part inside, the power at the edge interpolated linearly.
    """
    energy_ws = covered_s = 0.0
    for (t0, p0), (t1, p1) in pairwise(samples):
        if t1 <= start or t0 >= end or t1 == t0 or t1 - t0 > max_gap_s:
            continue
        a, b = max(t0, start), min(t1, end)
        slope = (p1 - p0) / (t1 - t0)
        mean = ((p0 + slope * (a - t0)) + (p0 + slope * (b - t0))) / 2
        energy_ws += mean * (b - a)
        covered_s += b - a
    return energy_ws / 3600, covered_s


class Energy(Node):
    """Integrates power."""

    type = "energy"
    category = "energy"
    color = "#8fc9a0"
    icon = "function"
    outputs = 2
    output_labels = ("energy", "too late")
    waits = True

    class Config(KeyedConfig):
        """Over what, and how patiently."""

        interval_s: Literal[900, 3600] = 900
        """A quarter of an hour or an hour, in seconds."""
        max_gap_s: PositiveSeconds = 900
        """Samples further apart than this leave a gap."""
        lateness_s: Seconds = 60
        """How long after the end of an interval its samples may still come."""

    @dataclass(slots=True)
    class State:
        """The samples of the open intervals, with the last one before them."""

        samples: list[tuple[float, float]] = field(default_factory=list)
        closed_until: float = 0.0
        late: int = 0

    config: Config
    state: KeyedState[State]

    EXAMPLE = Example(
        config={"interval_s": 900, "max_gap_s": 900, "lateness_s": 0},
        given=[
            at(0, home="casa_A", payload=1000),
            at(450, home="casa_A", payload=1000),
            at(900, home="casa_A", payload=2000),
        ],
        then=[
            at(
                900,
                home="casa_A",
                payload={
                    "energy_wh": 312.5, "start": 1782032400.0, "end": 1782033300.0, "covered_s": 900.0,
                    "gap_s": 0.0, "samples": 3,
                },
            )
        ],
    )  # fmt: skip

    def on_input(self, msg: Message) -> None:
        home, power, ts = self.key(msg), self.number(msg), float(msg["ts"])
        state = self.state[home]
        if ts < state.closed_until:
            state.late += 1
            self.status(f"{state.late} too late", "yellow", key=home)
            self.send({"home": home, "ts": ts, "payload": {"power_w": power, "ts": ts}}, 1)
            return
        if not state.samples:
            state.closed_until = ts - ts % self.config.interval_s
        if len(state.samples) >= MAX_SAMPLES:
            raise NodeError(f"{MAX_SAMPLES} samples wait for the end of an interval; are the times right?")
        known = [i for i, (t, _) in enumerate(state.samples) if t == ts]
        if known:
            state.samples[known[0]] = (ts, power)  # the same moment again: the later message wins
        else:
            insort(state.samples, (ts, power))
        self._close(home, state, state.samples[-1][0] - self.config.lateness_s)
        self._wait(home, state)

    def _wait(self, home: str, state: State) -> None:
        self.at(self._over_at(state), self.fall_due, home)

    def _over_at(self, state: State) -> float:
        """When the clock alone says that the oldest interval is over."""
        end = state.closed_until + self.config.interval_s
        due = end + self.config.lateness_s
        last = state.samples[-1][0]
        # A sample less than a gap after the last one would still reach back over the edge. One second more lets a
        # sample of that very moment come first.
        return 1 + (due if last >= end else max(due, last + self.config.max_gap_s))

    def fall_due(self, home: str) -> None:
        """The clock says that an interval is over: its samples have had their time."""
        state = self.state[home]
        now = self.clock.now()
        if not state.samples:
            return
        if self._over_at(state) <= now:
            self._close(home, state, now - self.config.lateness_s)
        if state.samples and (self._over_at(state) > now):
            self._wait(home, state)

    def _close(self, home: str, state: State, watermark: float) -> None:
        interval = self.config.interval_s
        while state.samples and state.closed_until + interval <= watermark:
            start, end = state.closed_until, state.closed_until + interval
            inside = sum(start <= ts <= end for ts, _ in state.samples)
            energy, covered = integrate(state.samples, start, end, self.config.max_gap_s)
            state.closed_until = end
            # The last sample before the edge is the beginning of the next interval's first trapezoid.
            before = [i for i, (ts, _) in enumerate(state.samples) if ts <= end]
            if before:
                del state.samples[: before[-1]]
            if covered > 0:
                self.send(
                    {
                        "home": home,
                        "ts": end,
                        "payload": {
                            "energy_wh": energy, "start": start, "end": end, "covered_s": covered,
                            "gap_s": interval - covered, "samples": inside,
                        },
                    }
                )  # fmt: skip
            if len(state.samples) == 1 and watermark - state.samples[0][0] > self.config.max_gap_s:
                # Nothing came for longer than a gap: begin anew with the next sample.
                state.samples.clear()
                state.closed_until = max(end, watermark - watermark % interval)
            elif len(state.samples) > 1 and state.samples[1][0] - state.samples[0][0] > self.config.max_gap_s:
                # A gap of many intervals is skipped at once.
                del state.samples[0]
                first = state.samples[0][0]
                state.closed_until = max(end, first - first % interval)
