"""Reading series: samples, hours and local days, as they stand now or as they stood at a moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from itertools import chain
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from solarflow.store.changes import StateChanges
from solarflow.store.database import Connection

HOUR_MS = 3_600_000
LATEST_MS = 253_402_300_800_000
"""The end of the year 9999, the last that Python's dates know."""

UNITS = {"w": "W", "wh": "Wh", "wp": "Wp", "a": "A", "v": "V", "c": "°C", "s": "s", "deg": "°", "ratio": "1"}
"""The unit of a quantity by the last word of its name, as everywhere in this project: `production_w` is in W."""


class Series(NamedTuple):
    """One quantity of one home."""

    home: str
    quantity: str
    unit: str

    @property
    def name(self) -> str:
        """Both in one word: "casa_A/production_w"."""
        return f"{self.home}/{self.quantity}"


class Day(NamedTuple):
    """One local day of a series. Values are in the unit of the series."""

    day: date
    n: int
    """Samples."""
    sum: float
    min: float
    max: float
    hours: int
    """Hours with at least one sample; a whole day has 24, or 23 and 25 where the clocks change."""

    @property
    def mean(self) -> float:
        """The mean of the day's samples."""
        return self.sum / self.n


class Hour(NamedTuple):
    """One hour of a series. Values are in the unit of the series."""

    ts: float
    """When it begins, in seconds since the epoch, UTC."""
    n: int
    """Samples."""
    sum: float
    min: float
    max: float

    @property
    def mean(self) -> float:
        """The mean of the hour's samples."""
        return self.sum / self.n


@dataclass(frozen=True, slots=True, eq=False)
class Hours(Sequence[Hour]):
    """Hours of a series that have samples, in order of time: a sequence of `Hour`, held as one array per field."""

    ts: NDArray[np.float64]
    n: NDArray[np.int64]
    sum: NDArray[np.float64]
    min: NDArray[np.float64]
    max: NDArray[np.float64]

    @property
    def mean(self) -> NDArray[np.float64]:
        """The mean of each hour's samples."""
        return self.sum / self.n

    def __len__(self) -> int:
        return len(self.ts)

    @overload
    def __getitem__(self, place: int) -> Hour: ...
    @overload
    def __getitem__(self, place: slice) -> Hours: ...
    def __getitem__(self, place: int | slice) -> Hour | Hours:
        if isinstance(place, slice):
            return Hours(self.ts[place], self.n[place], self.sum[place], self.min[place], self.max[place])
        return Hour(
            self.ts.item(place), self.n.item(place), self.sum.item(place), self.min.item(place), self.max.item(place)
        )

    def __iter__(self) -> Iterator[Hour]:
        return map(Hour, *(column.tolist() for column in (self.ts, self.n, self.sum, self.min, self.max)))


class SeriesReader:
    """Reads telemetry.db. Times are seconds since the epoch, UTC; spans include their start and exclude their end.

    `as_of` hides every sample after that moment, for a replay that may not see its future. Only what is committed is
    read. Every method raises StoreError when the file cannot be read.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._ids: dict[tuple[str, str], int] = {}

    def series(self) -> list[Series]:
        """Every series that there is, by home and quantity."""
        with self.connection.reading() as database:
            rows = database.execute("select home, quantity, unit from series order by home, quantity").fetchall()
        return [Series._make(row) for row in rows]

    def latest(self, home: str, quantity: str, *, as_of: float | None = None) -> tuple[float, float] | None:
        """The newest sample of a series: (time, value), or None when there is none."""
        with self.connection.reading() as database:
            row = database.execute(
                "select ts_ms, value from samples where series = ? and ts_ms <= ? order by ts_ms desc limit 1",
                (self._id(home, quantity), _last_ms(as_of)),
            ).fetchone()
        return None if row is None else (row[0] / 1000.0, row[1])

    def samples(
        self,
        home: str,
        quantity: str,
        start: float,
        end: float,
        limit: int | None = None,
        *,
        as_of: float | None = None,
    ) -> list[tuple[float, float]]:
        """The samples of a span in order of time: (time, value), at most the first `limit` of them."""
        rows = self._samples(home, quantity, start, end, limit, as_of)
        return [(ts_ms / 1000.0, value) for ts_ms, value in rows]

    def arrays(
        self, home: str, quantity: str, start: float, end: float, *, as_of: float | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The samples of a span as two arrays: times and values."""
        table = _table(self._samples(home, quantity, start, end, None, as_of), 2)
        return table[:, 0] / 1000.0, table[:, 1].copy()

    def hourly(self, home: str, quantity: str, start: float, end: float, *, as_of: float | None = None) -> Hours:
        """The hours (of UTC) that begin in the span and have samples.

        The hour of `as_of` counts its samples so far; where those are no longer kept it is left out.
        """
        table = self._hours("hour, n, sum, minimum, maximum", 5, home, quantity, start, end, as_of)
        return Hours(
            table[:, 0] * 3600.0,
            table[:, 1].astype(np.int64),
            table[:, 2].copy(),
            table[:, 3].copy(),
            table[:, 4].copy(),
        )

    def hourly_means(
        self, home: str, quantity: str, start: float, end: float, *, as_of: float | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Like `hourly`, only when each hour begins and its mean: enough for a chart, in half the time."""
        table = self._hours("hour, sum / n", 2, home, quantity, start, end, as_of)
        return table[:, 0] * 3600.0, table[:, 1].copy()

    def daily(
        self, home: str, quantity: str, start: float, end: float, tz: tzinfo, *, as_of: float | None = None
    ) -> list[Day]:
        """The days of a time zone that have samples, made of the hours that begin in the span.

        An hour of UTC that reaches over midnight, where a zone is not whole hours from UTC, counts to the day in which
        it begins.
        """
        hours = self.hourly(home, quantity, start, end, as_of=as_of)
        if not len(hours):
            return []
        first = datetime.fromtimestamp(hours.ts[0], tz).date()
        last = datetime.fromtimestamp(hours.ts[-1], tz).date()
        dates = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        midnights = [datetime(day.year, day.month, day.day, tzinfo=tz).timestamp() for day in dates]
        begins = np.searchsorted(hours.ts, midnights)
        ends = np.append(begins[1:], len(hours))
        return [
            Day(
                day,
                int(hours.n[begin:end_].sum()),
                float(hours.sum[begin:end_].sum()),
                float(hours.min[begin:end_].min()),
                float(hours.max[begin:end_].max()),
                int(end_ - begin),
            )
            for day, begin, end_ in zip(dates, begins, ends, strict=True)
            if end_ > begin
        ]

    def load_state(self) -> StateChanges:
        """Everything of the engine's state that was saved, and when."""
        with self.connection.reading() as database, database.atomic():
            states = database.execute("select node, key, json from node_state").fetchall()
            timers = database.execute("select node, method, key, json from timers").fetchall()
            context = database.execute("select scope, name, json from context").fetchall()
        return StateChanges(
            states={(node, key): json for node, key, json in states},
            timers={(node, method, key): json for node, method, key, json in timers},
            context={(scope, name): json for scope, name, json in context},
            saved_at=self._meta("saved_at"),
        )

    def _meta(self, name: str) -> float:
        with self.connection.reading() as database:
            row = database.execute("select value from meta where name = ?", (name,)).fetchone()
        return 0.0 if row is None else float(row[0])

    def _id(self, home: str, quantity: str) -> int:
        """The number of a series in the tables; 0, which none has, for one that is not there."""
        found = self._ids.get((home, quantity))
        if found is None:
            row = self.connection.database.execute(
                "select id from series where home = ? and quantity = ?", (home, quantity)
            ).fetchone()
            if row is None:
                return 0
            found = self._ids[home, quantity] = row[0]
        return found

    def _samples(
        self, home: str, quantity: str, start: float, end: float, limit: int | None, as_of: float | None
    ) -> list[tuple[int, float]]:
        with self.connection.reading() as database:
            return database.execute(
                "select ts_ms, value from samples where series = ? and ts_ms >= ? and ts_ms < ? and ts_ms <= ?"
                " order by ts_ms limit ?",
                (
                    self._id(home, quantity),
                    milliseconds(start),
                    milliseconds(end),
                    _last_ms(as_of),
                    -1 if limit is None else limit,
                ),
            ).fetchall()

    def _hours(
        self, columns: str, width: int, home: str, quantity: str, start: float, end: float, as_of: float | None
    ) -> NDArray[np.float64]:
        first = -(-milliseconds(start) // HOUR_MS)
        past = -(-milliseconds(end) // HOUR_MS)
        open_hour = (_last_ms(as_of) + 1) // HOUR_MS  # not over yet as of then
        with self.connection.reading() as database, database.atomic():
            series = self._id(home, quantity)
            rows: list[tuple[float, ...]] = database.execute(
                f"select {columns} from hourly where series = ? and hour >= ? and hour < ? order by hour",  # noqa: S608 - ours
                (series, first, min(past, open_hour)),
            ).fetchall()
            if first <= open_hour < past:
                rows += database.execute(
                    f"select {columns} from (select ? as hour, count(*) as n, sum(value) as sum,"  # noqa: S608 - ours
                    " min(value) as minimum, max(value) as maximum from samples"
                    " where series = ? and ts_ms >= ? and ts_ms <= ?) where n > 0",
                    (open_hour, series, open_hour * HOUR_MS, _last_ms(as_of)),
                ).fetchall()
        return _table(rows, width)


def unit_of(quantity: str) -> str:
    """The unit that a quantity's name ends with, or nothing: "W" for "production_w"."""
    return UNITS.get(quantity.rpartition("_")[2], "")


def milliseconds(seconds: float) -> int:
    """A time as the tables have it: the nearest millisecond, limited to the years 1970 to 9999."""
    return int(min(max(seconds, 0.0), LATEST_MS / 1000.0) * 1000.0 + 0.5)


def _last_ms(as_of: float | None) -> int:
    """The last millisecond that is not after `as_of`; None hides nothing."""
    return LATEST_MS if as_of is None else milliseconds(as_of)


def _table(rows: Iterable[tuple[float, ...]], width: int) -> NDArray[np.float64]:
    """Rows as one array; quicker than numpy's own reading of tuples."""
    return np.fromiter(chain.from_iterable(rows), np.float64).reshape(-1, width)
