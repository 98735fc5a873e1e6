"""Writing series and the engine's state: buffered in memory, once a second one transaction for all of it."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from solarflow.errors import StoreError
from solarflow.store.changes import StateChanges
from solarflow.store.database import Connection
from solarflow.store.series import HOUR_MS, LATEST_MS, Series, SeriesReader, unit_of

DAY_MS = 24 * HOUR_MS
BACKLOG_SAMPLES = 20_000
"""Samples a commit while it catches up after a failure: about 0.1 s, so that a full disk does not stop the engine."""
PRUNE_SAMPLES = 20_000
REFUSED_KEPT = 1000
VALUE_LIMIT = 1e15
"""Beyond it lies no quantity of this world, and no sum of an hour overflows."""

_INSERT = "insert or replace into samples values (?, ?, ?)"
_ADD = """
    insert into hourly values (?, ?, ?, ?, ?, ?)
    on conflict (series, hour) do update set n = n + excluded.n, sum = sum + excluded.sum,
        minimum = min(minimum, excluded.minimum), maximum = max(maximum, excluded.maximum)"""
_RECOMPUTE = """
    insert or replace into hourly
    select series, ts_ms / 3600000, count(*), sum(value), min(value), max(value) from samples
    where series = ? and ts_ms >= ? and ts_ms < ? group by 1, 2"""


class RefusedSample(NamedTuple):
    """A sample that the store did not take, and why."""

    home: str
    quantity: str
    ts: float
    value: float
    reason: str


@dataclass(slots=True)
class _Batch:
    """Samples made ready for the tables."""

    taken: int
    """How many leave the buffer."""
    newest: dict[int, int]
    """The newest ts_ms of every series, with this batch."""
    values: dict[int, float] = field(default_factory=dict)
    """The values at these, of the series that this batch moves on."""
    rows: list[tuple[int, int, float]] = field(default_factory=list)
    hours: dict[tuple[int, int], list[float]] = field(default_factory=dict)
    """What to add to the rollup of (series, hour): n, sum, minimum, maximum."""
    late: set[tuple[int, int]] = field(default_factory=set)
    """The (series, hour) to be computed anew: they got a sample that is not newer than all before it."""
    refused: list[RefusedSample] = field(default_factory=list)


class Telemetry(SeriesReader):
    """The writing side of telemetry.db; it also reads, on the thread that writes.

    `append` only buffers; `commit` writes. When a commit fails (disk full, a card that dies) nothing is lost: state and
    samples stay in memory, at most `buffer_limit` of them (the oldest go first), and the next commits catch up.
    """

    def __init__(self, connection: Connection, raw_days: float = 30.0, buffer_limit: int = 1_000_000) -> None:
        if raw_days <= 0:
            raise StoreError(f"raw samples cannot be kept for {raw_days:g} days: give a number of days above 0")
        super().__init__(connection)
        self.raw_days = raw_days
        """How long samples are kept, in days. Their rollups stay."""
        self.dropped = 0
        """Samples lost since the start because the buffer was full while nothing could be written."""
        self.refused_count = 0
        """Samples refused since the start."""
        self.refused: deque[RefusedSample] = deque(maxlen=REFUSED_KEPT)
        """The last 1000 of them."""
        self._buffer: deque[tuple[str, str, float, float]] = deque()
        self._buffer_limit = buffer_limit
        self._unsaved = StateChanges()
        self._catching_up = False
        self._new_series: list[tuple[int, str, str, str]] = []
        with connection.reading() as database:
            rows = database.execute(
                "select id, home, quantity, ifnull(ts_ms, -1), ifnull(value, 0) from series left join samples"
                " on series = id and ts_ms = (select max(ts_ms) from samples where series = id)"
            ).fetchall()
        self._ids = {(home, quantity): series for series, home, quantity, _, _ in rows}
        self._next_id = max(self._ids.values(), default=0) + 1
        self._newest: dict[int, int] = {series: ts_ms for series, _, _, ts_ms, _ in rows}
        self._values: dict[int, float] = {series: value for series, _, _, _, value in rows}
        self._raw_from_ms = int(self._meta("raw_from_ms"))

    @property
    def buffered(self) -> int:
        """Samples that wait for a commit."""
        return len(self._buffer)

    @property
    def raw_from(self) -> float:
        """Older samples are refused, for theirs are pruned: seconds since the epoch, UTC, a whole hour."""
        return self._raw_from_ms / 1000.0

    def append(self, home: str, quantity: str, ts: float, value: float) -> None:
        """Buffer a sample measured at `ts` (seconds since the epoch, UTC), kept to the millisecond.

        Of two samples of one series and millisecond the last wins. One that cannot be stored (not a number within 1e15,
        no name, a time outside of 1970 to 9999 or older than `raw_from`) is refused at the commit, see `refused`.
        """
        if len(self._buffer) >= self._buffer_limit:
            self._buffer.popleft()
            self.dropped += 1
        self._buffer.append((home, quantity, ts, value))

    def newest(self, home: str, quantity: str) -> tuple[float, float] | None:
        """What `latest` gives, from memory: for whoever asks for every home each second."""
        series = self._ids.get((home, quantity), 0)
        ts_ms = self._newest.get(series, -1)
        return (ts_ms / 1000.0, self._values[series]) if ts_ms >= self._raw_from_ms else None

    def series_id(self, name: str) -> int:
        """The number of the series called "home/quantity"; a new name gets a new one, written at the next commit.

        Raises StoreError when `name` is not of that form.
        """
        home, _, quantity = name.partition("/")
        try:
            return self._ids.get((home, quantity)) or self._intern(home, quantity)
        except (TypeError, ValueError) as error:
            raise StoreError(
                f"'{name}' is no name of a series: expected 'home/quantity', as in 'casa_A/production_w'"
            ) from error

    def commit(self, changes: StateChanges | None = None) -> None:
        """Write all samples that wait and the state's changes, in one transaction.

        Raises StoreError when that fails; everything is kept and written by a later commit, `changes` too, so do not
        hand them in again. After a failure each commit writes at most 20,000 samples until it has caught up.
        """
        if changes is not None:
            self._unsaved.merge(_checked(changes))
        if not self._buffer and not self._unsaved and not self._new_series:
            return
        batch = self._batch(min(len(self._buffer), BACKLOG_SAMPLES) if self._catching_up else len(self._buffer))
        try:
            with self.connection.writing() as database:
                _write_samples(database.conn, self._new_series, batch)
                _write_state(database.conn, self._unsaved)
        except StoreError:
            self._catching_up = True
            raise
        self._newest = batch.newest
        self._values.update(batch.values)
        self._new_series = []
        self._unsaved = StateChanges()
        self.refused_count += len(batch.refused)
        self.refused.extend(batch.refused)
        if batch.taken == len(self._buffer):
            self._buffer.clear()
            self._catching_up = False
        else:
            for _ in range(batch.taken):
                self._buffer.popleft()

    def prune(self, now: float) -> int:
        """Delete a slice of the samples that are older than `raw_days` at `now`, at most 20,000; their rollups stay.

        Returns how many were deleted: 0 when there is nothing more to do. Raises StoreError.
        """
        self._move_raw_from(now)
        room = PRUNE_SAMPLES
        with self.connection.writing() as database:
            for series in self._ids.values():
                span = (series, self._raw_from_ms)
                boundary = database.execute(
                    "select ts_ms from samples where series = ? and ts_ms < ? order by ts_ms limit 1 offset ?",
                    (*span, room),
                ).fetchone()
                room -= database.execute(
                    "delete from samples where series = ? and ts_ms < ?",
                    span if boundary is None else (series, *boundary),
                ).rowcount
                if room == 0:
                    break
        return PRUNE_SAMPLES - room

    def _move_raw_from(self, now: float) -> None:
        """Whole hours only, so that a rollup's hour has all of its samples or none.

        When the clock had been far ahead and is right again, the limit comes back with it: down to the last hour whose
        samples may be gone, else everything would be refused until the clock gets there again.
        """
        wanted = max(int((now * 1000.0 - self.raw_days * DAY_MS) // HOUR_MS) * HOUR_MS, 0)
        if wanted < self._raw_from_ms:
            with self.connection.reading() as database:
                (hour,) = database.execute(
                    "select max((select max(hour) from hourly where series = id and hour < ?)) from series",
                    (self._raw_from_ms // HOUR_MS,),
                ).fetchone()
            wanted = max(wanted, 0 if hour is None else (hour + 1) * HOUR_MS)
        if wanted != self._raw_from_ms:
            with self.connection.writing() as database:
                database.execute("insert or replace into meta values ('raw_from_ms', ?)", (float(wanted),))
            self._raw_from_ms = wanted

    def _intern(self, home: str, quantity: str) -> int:
        if not (isinstance(home, str) and isinstance(quantity, str) and home and quantity) or "/" in home:
            raise ValueError("no name")
        f"{home}{quantity}".encode()  # UnicodeEncodeError, a ValueError, for what SQLite could not store
        series = self._next_id
        self._next_id += 1
        self._new_series.append((series, *Series(home, quantity, unit_of(quantity))))
        self._ids[home, quantity] = series
        return series

    def _batch(self, count: int) -> _Batch:
        """The next `count` samples of the buffer, aggregated by hour."""
        batch = _Batch(count, self._newest.copy())
        ids, newest, values = self._ids, batch.newest, batch.values
        hours, late, add_row = batch.hours, batch.late, batch.rows.append
        oldest = self._raw_from_ms
        samples: Iterable[tuple[str, str, float, float]] = self._buffer
        for sample in samples if count == len(self._buffer) else islice(samples, count):
            home, quantity, ts, value = sample
            try:
                ts_ms = int(ts * 1000.0 + 0.5)
                value = float(value)
                if not -VALUE_LIMIT <= value <= VALUE_LIMIT:  # NaN and the infinities too
                    raise ValueError
                if not oldest <= ts_ms < LATEST_MS:
                    reason = "older than the samples that are kept" if 0 <= ts_ms < oldest else "its time is impossible"
                    batch.refused.append(RefusedSample(*sample, reason))
                    continue
                series = ids.get((home, quantity)) or self._intern(home, quantity)
            except (TypeError, ValueError, OverflowError):
                reason = "not a number within 1e15, or a series without a proper name"
                batch.refused.append(RefusedSample(*sample, reason))
                continue
            add_row((series, ts_ms, value))
            place = (series, ts_ms // HOUR_MS)
            if ts_ms <= newest.get(series, -1):
                late.add(place)
                if ts_ms == newest[series]:
                    values[series] = value
                continue
            newest[series] = ts_ms
            values[series] = value
            hour = hours.get(place)
            if hour is None:
                hours[place] = [1, value, value, value]
            else:
                hour[0] += 1
                hour[1] += value
                if value < hour[2]:
                    hour[2] = value
                if value > hour[3]:
                    hour[3] = value
        return batch


def _write_samples(
    database: sqlite3.Connection, new_series: Sequence[tuple[int, str, str, str]], batch: _Batch
) -> None:
    database.executemany("insert into series values (?, ?, ?, ?)", new_series)
    database.executemany(_INSERT, batch.rows)
    database.executemany(_ADD, ((*place, *hour) for place, hour in batch.hours.items()))
    database.executemany(_RECOMPUTE, ((series, hour * HOUR_MS, (hour + 1) * HOUR_MS) for series, hour in batch.late))


def _write_state(database: sqlite3.Connection, changes: StateChanges) -> None:
    _write_entries(database, "node_state", ("node", "key"), changes.states)
    _write_entries(database, "timers", ("node", "method", "key"), changes.timers)
    _write_entries(database, "context", ("scope", "name"), changes.context)
    if changes.saved_at:
        database.execute("insert or replace into meta values ('saved_at', ?)", (changes.saved_at,))


def _write_entries(
    database: sqlite3.Connection, table: str, columns: Sequence[str], entries: dict[Any, bytes | None]
) -> None:
    kept = [(*key, json) for key, json in entries.items() if json is not None]
    gone = [key for key, json in entries.items() if json is None]
    marks = ", ".join("?" * (len(columns) + 1))
    place = " and ".join(f"{column} = ?" for column in columns)
    database.executemany(f"insert or replace into {table} values ({marks})", kept)  # noqa: S608 - our own names
    database.executemany(f"delete from {table} where {place}", gone)  # noqa: S608 - our own names


def _checked(changes: StateChanges) -> StateChanges:
    """The changes in a form that SQLite takes: one entry that it does not take would block every later commit."""
    return StateChanges(
        states={_storable(key): _json(key, json) for key, json in changes.states.items()},
        timers={_storable(key): _json(key, json) for key, json in changes.timers.items()},
        context={_storable(key): _json(key, json) for key, json in changes.context.items()},
        saved_at=changes.saved_at,
    )


def _storable(key: Any) -> Any:
    """A key without lone surrogates, which JSON can carry in and UTF-8 cannot: they become `\\udXXX`."""
    return tuple(part if part.isascii() else part.encode("utf-8", "backslashreplace").decode() for part in key)


def _json(key: Sequence[str], json: bytes | None) -> bytes | None:
    if json is not None and not isinstance(json, bytes):
        raise StoreError(
            f"the state of {' / '.join(key)} must be handed over as JSON in bytes, not as {type(json).__name__}"
        )
    return json
