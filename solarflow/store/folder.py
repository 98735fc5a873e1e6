"""The data folder: one program writes into it, any number of readers read."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from solarflow.errors import StoreError
from solarflow.store.alerts import AlertReader, Alerts, EventReader, Events
from solarflow.store.changes import StateChanges
from solarflow.store.database import Connection, Location, Owner, check, open_reader, open_writer
from solarflow.store.homes import Homes
from solarflow.store.lock import FolderLock, Holder, holder_of
from solarflow.store.schema import APP, TELEMETRY
from solarflow.store.series import SeriesReader
from solarflow.store.telemetry import Telemetry

LOCK = "solarflow.lock"
TELEMETRY_FILE = "telemetry.db"
APP_FILE = "app.db"
BACKUPS = "backups"


class _Closing:
    """What is closed at the end of a `with`."""

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Reader(_Closing):
    """Reads a data folder, whoever writes to it. Each thread opens its own; `homes` is as of the opening."""

    def __init__(self, telemetry: Location, app: Location) -> None:
        """Raises StoreError when a file is missing, damaged, or not of this version."""
        self._connections: list[Connection] = []
        try:
            self._connections.append(open_reader(telemetry, TELEMETRY))
            self._connections.append(open_reader(app, APP))
            series, rest = self._connections
            self.telemetry = SeriesReader(series)
            self.homes = Homes(rest)
            self.alerts = AlertReader(rest)
            self.events = EventReader(rest)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close its connections."""
        for connection in self._connections:
            connection.close()


class DataFolder(_Closing):
    """The data folder opened for writing, by one program and one thread at a time.

    The thread that opens it writes, until another one calls `claim`. About once a second it calls `commit`, about once
    a minute `maintain`. `telemetry`, `homes`, `alerts` and `events` are the parts.
    """

    def __init__(self, path: Path | str, *, raw_days: float = 30.0, buffer_limit: int = 1_000_000) -> None:
        """Make the folder if need be (only for this user, 0700), lock it and open its files, migrating older ones.

        Raises StoreError when another program has it, or a file is damaged, of another program or of a newer version.
        """
        self.path: Path | None = Path(path)
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot make the data folder {path}: {error.strerror}. Choose another one with --data"
            ) from error
        self._lock: FolderLock | None = FolderLock(self.path / LOCK)
        try:
            self._open(
                Location.on_disk(self.path / TELEMETRY_FILE),
                Location.on_disk(self.path / APP_FILE),
                self.path / BACKUPS,
                raw_days,
                buffer_limit,
            )
        except BaseException:
            self._lock.release()
            raise

    @classmethod
    def in_memory(cls, *, raw_days: float = 30.0, buffer_limit: int = 1_000_000) -> Self:
        """The same without any file, for tests and replays: gone when it is closed. Holds about 50 million samples."""
        folder = cls.__new__(cls)
        folder.path = None
        folder._lock = None
        telemetry, app = Location.in_memory(TELEMETRY_FILE), Location.in_memory(APP_FILE)
        folder._open(telemetry, app, None, raw_days, buffer_limit)
        return folder

    @staticmethod
    def read_only(path: Path | str) -> Reader:
        """Read a data folder without taking it, beside a running program or without one. Raises StoreError."""
        return Reader(Location.on_disk(Path(path) / TELEMETRY_FILE), Location.on_disk(Path(path) / APP_FILE))

    @staticmethod
    def holder(path: Path | str) -> Holder | None:
        """Which program has a data folder now; None when nobody has."""
        return holder_of(Path(path) / LOCK)

    def _open(
        self, telemetry: Location, app: Location, backups: Path | None, raw_days: float, buffer_limit: int
    ) -> None:
        self._locations = (telemetry, app)
        self._owner = Owner()
        self._connections: list[Connection] = []
        check(telemetry, TELEMETRY)
        check(app, APP)  # both, before either is migrated
        try:
            self._connections.append(open_writer(telemetry, TELEMETRY, self._owner, "NORMAL", backups))
            self._connections.append(open_writer(app, APP, self._owner, "FULL", backups))
            series, rest = self._connections
            self.telemetry = Telemetry(series, raw_days, buffer_limit)
            self.homes = Homes(rest)
            self.events = Events(rest)
            self.alerts = Alerts(rest, self.events)
        except BaseException:
            self._close_connections()
            raise

    def reader(self) -> Reader:
        """What another thread reads through. Raises StoreError."""
        return Reader(*self._locations)

    def claim(self) -> None:
        """Make the calling thread the one that writes. The one before must not use the folder any more."""
        self._owner.claim()

    def announce(self, port: int) -> None:
        """Tell other programs, in the lock file, on which port this one answers."""
        if self._lock is not None:
            self._lock.announce(port)

    def commit(self, changes: StateChanges | None = None) -> None:
        """Write samples and state in one transaction, then events. Raises StoreError; what failed is tried again."""
        try:
            self.telemetry.commit(changes)
        finally:
            self.events.flush()

    def maintain(self, now: float) -> int:
        """Write the homes that wait for approval, and delete a slice of samples that are too old at `now` (UTC).

        Returns how many samples were deleted; above 0 there may be more. Raises StoreError.
        """
        self.homes.persist_pending()
        return self.telemetry.prune(now)

    def close(self) -> None:
        """Write what waits, close the files and give the folder free.

        Raises StoreError when something could not be written; closed it is all the same.
        """
        self._owner.check()
        try:
            if self._connections:
                self.commit()
                while self.telemetry.buffered:
                    self.commit()
                self.homes.persist_pending()
        finally:
            self._close_connections()
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def _close_connections(self) -> None:
        connections, self._connections = self._connections, []
        for connection in connections:
            connection.close()
