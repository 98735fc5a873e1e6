"""Alerts with their episodes, and the events that tell what happened: both bounded, both in app.db."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from solarflow.store.database import Connection

KEPT = 10_000
"""Closed alerts, and events: the newest are kept."""


class Alert(NamedTuple):
    """One episode of something being wrong with a home. Times are seconds since the epoch, UTC."""

    id: int
    home: str
    code: str
    opened: float
    parameters: dict[str, Any]
    closed: float | None
    closing_parameters: dict[str, Any]


class Event(NamedTuple):
    """Something that happened, at `ts` (seconds since the epoch, UTC); `home` is empty where it concerns no one."""

    id: int
    ts: float
    kind: str
    home: str
    parameters: dict[str, Any]


class AlertReader:
    """Reads alerts. Every method raises StoreError when the file cannot be read."""

    _columns = "id, home, code, opened, parameters, closed, closing_parameters"

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def open_alerts(self) -> list[Alert]:
        """Every alert that is not closed, the oldest first."""
        return self._read("where closed is null order by opened, id", ())

    def recent(self, limit: int = 100) -> list[Alert]:
        """The alerts that were opened last, open and closed, the newest first."""
        return self._read("order by opened desc, id desc limit ?", (limit,))

    def _read(self, clause: str, parameters: tuple[int, ...]) -> list[Alert]:
        with self.connection.reading() as database:
            rows = database.execute(f"select {self._columns} from alerts {clause}", parameters).fetchall()  # noqa: S608 - ours
        return [
            Alert(ident, home, code, opened, json.loads(said), closed, json.loads(closing or "{}"))
            for ident, home, code, opened, said, closed, closing in rows
        ]


class Alerts(AlertReader):
    """Opens and closes alerts, on the engine's thread. What a method returned from survives a power cut."""

    def __init__(self, connection: Connection, events: Events, kept: int = KEPT) -> None:
        super().__init__(connection)
        self._events = events
        self._kept = kept
        self._open: dict[tuple[str, str], int] = {(alert.home, alert.code): alert.id for alert in self.open_alerts()}

    def open(self, home: str, code: str, parameters: Mapping[str, Any], now: float) -> int:
        """Open the alert `code` of a home and return its id; while it is open, opening it again changes nothing.

        Raises StoreError when it cannot be written.
        """
        ident = self._open.get((home, code))
        if ident is None:
            with self.connection.writing() as database:
                (ident,) = database.execute(
                    "insert into alerts (home, code, parameters, opened) values (?, ?, ?, ?) returning id",
                    (home, code, _text(parameters), now),
                ).fetchone()
            self._open[home, code] = ident
        return ident

    def close(self, home: str, code: str, now: float, parameters: Mapping[str, Any] | None = None) -> bool:
        """Close the alert `code` of a home. False: it was not open.

        Raises StoreError when it cannot be written.
        """
        ident = self._open.get((home, code))
        if ident is None:
            return False
        with self.connection.writing() as database:
            alerts = database.table("alerts")
            alerts.update(ident, {"closed": now, "closing_parameters": _text(parameters or {})})
            closed = "closed is not null"
            alerts.delete_where(
                f"{closed} and id not in (select id from alerts where {closed} order by closed desc, id desc limit ?)",  # noqa: S608 - ours
                (self._kept,),
            )
        del self._open[home, code]
        return True

    def event(self, kind: str, home: str, parameters: Mapping[str, Any], now: float) -> None:
        """Append to the events."""
        self._events.append(kind, home, parameters, now)


class EventReader:
    """Reads events. Raises StoreError when the file cannot be read."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def recent(self, limit: int = 100, kind: str | None = None, home: str | None = None) -> list[Event]:
        """The last events, of one kind and home where asked, the newest first. Only what is flushed is read."""
        wanted = {"kind": kind, "home": home, "limit": limit}
        with self.connection.reading() as database:
            rows = database.execute(
                "select id, ts, kind, home, parameters from events where (:kind is null or kind = :kind)"
                " and (:home is null or home = :home) order by id desc limit :limit",
                wanted,
            ).fetchall()
        return [Event(ident, ts, kind, home, json.loads(said)) for ident, ts, kind, home, said in rows]


class Events(EventReader):
    """Appends events, on the engine's thread. They wait in memory for `flush`: a thousand relays may switch at once."""

    def __init__(self, connection: Connection, kept: int = KEPT) -> None:
        super().__init__(connection)
        self._kept = kept
        self._waiting: deque[tuple[float, str, str, str]] = deque(maxlen=kept)

    def append(self, kind: str, home: str, parameters: Mapping[str, Any], ts: float) -> None:
        """Note that something happened at `ts` (seconds since the epoch, UTC)."""
        self._waiting.append((ts, kind, home, _text(parameters)))

    def flush(self) -> None:
        """Write what waits. Raises StoreError when that fails; then it goes on waiting."""
        if not self._waiting:
            return
        with self.connection.writing() as database:
            database.conn.executemany(
                "insert into events (ts, kind, home, parameters) values (?, ?, ?, ?)", self._waiting
            )
            database.table("events").delete_where("id <= (select max(id) from events) - ?", (self._kept,))
        self._waiting.clear()


def _text(parameters: Mapping[str, Any]) -> str:
    return json.dumps(dict(parameters), sort_keys=True)
