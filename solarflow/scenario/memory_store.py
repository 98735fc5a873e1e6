"""The store of a scenario: recorded series in memory, made from a few words, and what is written noted."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from zoneinfo import ZoneInfo

from solarflow.scenario.course import value_at
from solarflow.scenario.model import Recorded
from solarflow.store.series import Hour

HOUR_S = 3600.0


class MemoryStore:
    """Series by home and quantity. Of two samples of one moment the later written counts."""

    def __init__(self, on_append: Callable[[str, str, float, float], None]) -> None:
        self._series: dict[tuple[str, str], tuple[list[float], list[float]]] = {}
        self._on_append = on_append

    def fill(self, recorded: Iterable[Recorded], start: float, zone: ZoneInfo) -> None:
        """Put in what was recorded before `start` (UTC seconds)."""
        for one in recorded:
            home, _, quantity = one.series.partition("/")
            count = int((one.until - one.from_) / one.every - 1e-9) + 1
            for number in range(count):
                ts = start + one.from_ + number * one.every
                self._put(home, quantity, ts, _value(one, number, ts, zone))

    def append(self, home: str, quantity: str, ts: float, value: float) -> None:
        """Keep one sample."""
        self._put(home, quantity, ts, value)
        self._on_append(home, quantity, ts, value)

    def _put(self, home: str, quantity: str, ts: float, value: float) -> None:
        times, values = self._series.setdefault((home, quantity), ([], []))
        place = bisect_left(times, ts)
        if place < len(times) and times[place] == ts:
            values[place] = value
        else:
            times.insert(place, ts)
            values.insert(place, value)

    def samples(
        self, home: str, quantity: str, start: float, end: float, limit: int = 1_000_000, *, as_of: float | None = None
    ) -> list[tuple[float, float]]:
        """Raw (ts, value), start included, end not, oldest first, of those measured by `as_of`."""
        times, values = self._series.get((home, quantity), ([], []))
        last = bisect_left(times, end)
        if as_of is not None:
            last = min(last, bisect_right(times, as_of))
        first = bisect_left(times, start)
        return list(zip(times[first:last], values[first:last], strict=True))[:limit]

    def hourly(self, home: str, quantity: str, start: float, end: float, *, as_of: float | None = None) -> list[Hour]:
        """The hours that begin from `start` to before `end`, as the store rolls them up."""
        begin, stop = start - start % HOUR_S, end if end % HOUR_S == 0 else end - end % HOUR_S + HOUR_S
        hours: dict[float, list[float]] = {}
        for ts, value in self.samples(home, quantity, begin, stop, as_of=as_of):
            hours.setdefault(ts - ts % HOUR_S, []).append(value)
        return [
            Hour(ts, len(values), sum(values), min(values), max(values))
            for ts, values in hours.items()
            if start <= ts < end
        ]

    def latest(self, home: str, quantity: str, *, as_of: float | None = None) -> tuple[float, float] | None:
        """The newest (ts, value)."""
        times, values = self._series.get((home, quantity), ([], []))
        place = len(times) if as_of is None else bisect_right(times, as_of)
        return (times[place - 1], values[place - 1]) if place else None


def _value(one: Recorded, number: int, ts: float, zone: ZoneInfo) -> float:
    if one.value is not None:
        return one.value
    if one.values is not None:
        return one.values[number % len(one.values)]
    return value_at(one.day or {}, ts, zone)
