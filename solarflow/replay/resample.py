"""Makes a coarse recording as fine as a live meter, so that "too old" means in a replay what it means live.

Between two readings of one topic, at most `max_gap_s` apart, readings every `step_s` are put in. Nothing is put into a
longer gap: what was not measured stays unknown.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from solarflow.errors import UsageError
from solarflow.replay.recording import Reading

How = Literal["linear", "hold"]
"""Straight lines between the numbers of two readings, or the earlier one as it is."""

Waiting = tuple[float, int, Reading]
"""Time, order of arrival, and what is to be sent on."""


class Resampled:
    """Readings with others put in between. Holds at most what arrives within `max_gap_s`."""

    def __init__(self, readings: Iterable[Reading], step_s: float, max_gap_s: float, how: How = "linear") -> None:
        if step_s <= 0:
            raise UsageError(f"readings cannot be put in every {step_s:g} s; give a time above 0, such as 60s")
        if max_gap_s < step_s:
            raise UsageError(
                f"with a longest gap of {max_gap_s:g} s nothing can be put in every {step_s:g} s; raise --max-gap"
            )
        self._readings = readings
        self._step_s = step_s
        self._max_gap_s = max_gap_s
        self._how = how

    def __iter__(self) -> Iterator[Reading]:
        """All readings in order of time; what came out of order keeps its place."""
        waiting: list[Waiting] = []
        last: dict[str, Reading] = {}  # of each topic that may go on, in order of their times
        count = 0
        newest = float("-inf")
        for reading in self._readings:
            ts, topic, payload, _ = reading
            count += 1
            if ts >= newest:
                newest = ts
                before = last.pop(topic, None)
                if before is not None and ts - before[0] <= self._max_gap_s:
                    for between in self._between(before, reading):
                        heapq.heappush(waiting, (between[0], count, between))
                        count += 1
                if payload.__class__ is dict:
                    last[topic] = reading
            heapq.heappush(waiting, (newest, count, reading))
            # Before the oldest open reading nothing more can be put in.
            frontier = newest
            for open_topic, open_reading in list(last.items()):
                if open_reading[0] >= newest - self._max_gap_s:
                    frontier = open_reading[0]
                    break
                del last[open_topic]
            while waiting and waiting[0][0] <= frontier:
                yield heapq.heappop(waiting)[2]
        while waiting:
            yield heapq.heappop(waiting)[2]

    def _between(self, before: Reading, after: Reading) -> Iterator[Reading]:
        start, topic, was, retained = before
        end, _, becomes, _ = after
        if was.__class__ is not dict or becomes.__class__ is not dict:
            return
        lines = [
            (name, value, becomes[name])
            for name, value in was.items()
            if name != "ts" and _is_number(value) and _is_number(becomes.get(name))
        ]
        if not any(_is_number(value) for name, value in was.items() if name != "ts"):
            return
        number = 1
        while (ts := start + number * self._step_s) < end - 1e-6:
            payload: dict[str, Any] = was.copy()
            if self._how == "linear":
                share = (ts - start) / (end - start)
                for name, left, right in lines:
                    payload[name] = left + (right - left) * share
            if _is_number(was.get("ts")):
                payload["ts"] = was["ts"] + (ts - start) * (1000 if was["ts"] > 1e11 else 1)
            yield ts, topic, payload, retained
            number += 1


def _is_number(value: Any) -> bool:
    return value.__class__ is float or value.__class__ is int
