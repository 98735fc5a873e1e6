"""Time as the engine sees it: one protocol, three clocks.

`now` is UTC and stamps messages; `monotonic` measures holds and periods and never jumps. Both run in clock seconds: on
a scaled clock a minute of theirs may pass in one real second, on a virtual clock only when somebody moves it.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What gives the time to everything that runs flows."""

    def now(self) -> float:
        """UTC, seconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; only differences mean anything."""

    def real_seconds(self, duration_s: float) -> float:
        """How many real seconds `duration_s` clock seconds take."""


class SystemClock:
    """The machine's own time."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    def real_seconds(self, duration_s: float) -> float:
        """The same: real time is this clock's time."""
        return duration_s


class ScaledClock:
    """Time that starts at `start` (UTC; default: now) and runs `speed` times as fast as real time."""

    def __init__(self, speed: float, start: float | None = None) -> None:
        if not 0 < speed <= 100_000:
            raise ValueError(f"the speed is {speed}; it must be above 0 and at most 100000")
        self.speed = speed
        self._real_start = time.monotonic()
        self._start = time.time() if start is None else start

    def now(self) -> float:
        """UTC on this clock."""
        return self._start + self.monotonic()

    def monotonic(self) -> float:
        """Clock seconds since this clock was made."""
        return (time.monotonic() - self._real_start) * self.speed

    def go_on_from(self, moment: float) -> None:
        """Where it is still before `moment` (UTC seconds), go on from there: no hour is lived through twice."""
        self._start += max(0.0, moment - self.now())

    def real_seconds(self, duration_s: float) -> float:
        """`duration_s` divided by the speed."""
        return duration_s / self.speed


class VirtualClock:
    """Time that stands still until it is moved: for tests and replay. It never moves backwards."""

    def __init__(self, start: float = 0.0) -> None:
        self._start = start
        self._now = start

    def now(self) -> float:
        """UTC on this clock."""
        return self._now

    def monotonic(self) -> float:
        """Clock seconds since its start."""
        return self._now - self._start

    def real_seconds(self, duration_s: float) -> float:  # noqa: ARG002 - the protocol's signature
        """Nothing: virtual time costs no real time."""
        return 0.0

    def move_to(self, moment: float) -> None:
        """Set the time to `moment` (UTC seconds), which must not lie before now."""
        if moment < self._now:
            raise ValueError(f"virtual time is {self._now} and cannot go back to {moment}")
        self._now = moment
