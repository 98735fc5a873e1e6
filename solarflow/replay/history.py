"""The recorded history of a data folder as readings, in order of time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf
from pathlib import Path

from solarflow.errors import UsageError
from solarflow.replay.figures import QUANTITIES, messages
from solarflow.replay.recording import Reading
from solarflow.store import DataFolder, Reader

CHUNK_S = 6 * 3600.0
"""So much is held in memory at a time."""
HOUR_S = 3600.0
AFTER_ALL = 2e11
"""A time after every sample."""


class History:
    """What the homes of a data folder measured from `start` up to `end` (UTC seconds), as messages of their meters.

    Where single samples are no longer kept, the means of the hours stand in, at the end of each hour. Raises UsageError
    where there is nothing in that time, StoreError where the folder cannot be read.
    """

    bad = 0
    repeatable = True

    def __init__(self, folder: Path, start: float | None, end: float | None) -> None:
        self.name = str(folder)
        self._folder = folder
        with DataFolder.read_only(folder) as reader:
            first, last = _span(reader)
        self.start = first if start is None else max(start, first)
        self.end = last if end is None else min(end, last)
        if self.start >= self.end:
            raise UsageError(
                f"the data folder {folder} holds nothing in that time; choose another --from and --to, or --data"
            )
        self.share = 0.0

    def __iter__(self) -> Iterator[Reading]:
        """The readings in order of time, home by home within a moment."""
        with DataFolder.read_only(self._folder) as reader:
            oldest = _oldest(reader)
            begin = self.start
            while begin < self.end:
                end = min((begin // CHUNK_S + 1) * CHUNK_S, self.end)
                yield from _chunk(reader, begin, end, oldest)
                begin = end
                self.share = (end - self.start) / (self.end - self.start)


Oldest = Mapping[tuple[str, str], float]
"""By home and quantity the time of the oldest single sample; infinity where only hours are left."""


def _oldest(reader: Reader) -> Oldest:
    found = {}
    for home, quantity, _unit in reader.telemetry.series():
        if quantity in QUANTITIES:
            samples = reader.telemetry.samples(home, quantity, 0.0, AFTER_ALL, 1)
            found[home, quantity] = samples[0][0] if samples else inf
    return found


def _span(reader: Reader) -> tuple[float, float]:
    """From the first to just after the last sample, or hour, of what a replay can use."""
    first, last = inf, -inf
    for (home, quantity), oldest in _oldest(reader).items():
        hours, _ = reader.telemetry.hourly_means(home, quantity, 0.0, AFTER_ALL)
        newest = reader.telemetry.latest(home, quantity)
        ends = [newest[0]] if newest is not None else [float(hours[-1]) + HOUR_S] if len(hours) else []
        first = min(first, oldest, *(hours[:1] + HOUR_S).tolist()) if len(hours) else min(first, oldest)
        last = max(last, *(end + 0.001 for end in ends)) if ends else last
    return first, last


def _chunk(reader: Reader, begin: float, end: float, oldest: Oldest) -> Iterator[Reading]:
    found: dict[tuple[float, str], dict[str, float]] = {}
    for (home, quantity), first in oldest.items():
        if begin < first:
            starts, means = reader.telemetry.hourly_means(home, quantity, begin - HOUR_S, min(end, first) - HOUR_S)
            for ts, value in zip(starts.tolist(), means.tolist(), strict=True):
                found.setdefault((ts + HOUR_S, home), {})[quantity] = value
        for ts, value in reader.telemetry.samples(home, quantity, begin, end):
            found.setdefault((ts, home), {})[quantity] = value
    for ts, home in sorted(found):
        yield from messages(ts, home, found[ts, home])
