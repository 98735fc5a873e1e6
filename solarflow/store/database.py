"""Opening SQLite files: one connection that writes, readers that cannot, migrations after a backup, errors in words."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from uuid import uuid4

from sqlite_utils import Database, Migrations

from solarflow.errors import StoreError

BUSY_SECONDS = 5.0
MINIMUM_SQLITE = (3, 37, 0)
"""The first with strict tables."""


class Owner:
    """The one thread that writes: at first the one that opened the folder, then whoever claims it."""

    def __init__(self) -> None:
        self._thread = threading.current_thread()

    def claim(self) -> None:
        """From now on the calling thread writes."""
        self._thread = threading.current_thread()

    def check(self) -> None:
        """Raise StoreError unless the calling thread is the owner; inherits from an owner that has ended."""
        current = threading.current_thread()
        if current is self._thread:
            return
        if self._thread.is_alive():
            raise StoreError(
                f"only the thread '{self._thread.name}' uses the writing connection of the store, and this is "
                f"'{current.name}'. Read through `DataFolder.reader()`; hand what is to be written to the engine"
            )
        self._thread = current


@dataclass(frozen=True, slots=True)
class Location:
    """Where a database lies: a file, or the memory of this process under a name of its own."""

    path: Path | None
    uri: str
    label: str
    """What messages call it."""

    @classmethod
    def on_disk(cls, path: Path) -> Location:
        """The file at `path`, which may not exist yet."""
        return cls(path, path.resolve().as_uri(), str(path))

    @classmethod
    def in_memory(cls, name: str) -> Location:
        """A new database in memory, shared by the connections of this process and gone with the last of them.

        SQLite limits one to 1 GB, about 50 million samples.
        """
        return cls(None, f"file:/{name}-{uuid4().hex}?vfs=memdb", f"{name} (in memory)")


@dataclass(frozen=True, slots=True)
class Connection:
    """A database connection that speaks in StoreErrors. Without an owner it only reads."""

    database: Database
    location: Location
    owner: Owner | None = None

    @contextmanager
    def reading(self) -> Iterator[Database]:
        """For queries. Raises StoreError."""
        if self.owner is not None:
            self.owner.check()
        with translated(self.location.label):
            yield self.database

    @contextmanager
    def writing(self) -> Iterator[Database]:
        """One transaction: all of it or nothing. Raises StoreError."""
        if self.owner is None:
            raise StoreError(f"{self.location.label} is open for reading only. Write through the `DataFolder`")
        self.owner.check()
        with translated(self.location.label), self.database.atomic():
            yield self.database

    def close(self) -> None:
        """Close it; the last writer's WAL goes into the file."""
        with translated(self.location.label):
            self.database.close()


@contextmanager
def translated(label: str) -> Iterator[None]:
    """Turn SQLite's errors into StoreErrors that say what to do about the database called `label`."""
    try:
        yield
    except (sqlite3.Error, UnicodeError) as error:
        raise StoreError(f"{label}: {_explain(error)}") from error


def _explain(error: sqlite3.Error | UnicodeError) -> str:
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_FULL":
        return f"{error}. Free some space on its disk; writing goes on by itself"
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return (
            f"the file is damaged ({error}) and was left as it is. Stop solarflow, move the file away, "
            "and put a copy from a backup in its place, or start without it"
        )
    if name.startswith("SQLITE_IOERR"):
        return f"the disk does not read or write ({error}, {name}). Check the disk and its cable or card"
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"another program holds it ({error}). Close the program that has the file open for writing"
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return f"{error}. Check that it exists and that this user may read and write it and its folder"
    if isinstance(error, sqlite3.ProgrammingError) and "thread" in str(error):
        return "a reader belongs to the thread that opened it. Open one per thread with `DataFolder.reader()`"
    return str(error)


def open_reader(location: Location, migrations: Migrations) -> Connection:
    """A connection that cannot write.

    Raises StoreError when there is no such file, or when its tables are not those of this program.
    """
    if location.path is not None and not location.path.is_file():
        raise StoreError(f"there is no {location.label}. `solarflow run --data {location.path.parent}` makes it")
    connection = _connect(location, "ro")
    try:
        with translated(location.label):
            waiting = _waiting(connection.database, migrations, location)
        if waiting:
            raise StoreError(
                f"{location.label} was written by an older solarflow ({waiting[0]} is missing). "
                "Start `solarflow run` on this folder once: it makes a backup and brings the file up to date"
            )
    except BaseException:
        connection.close()
        raise
    return connection


def check(location: Location, migrations: Migrations) -> None:
    """Raise StoreError if the file is there and is not one that this program can use or migrate. Changes nothing."""
    if location.path is None or not location.path.exists() or location.path.stat().st_size == 0:
        return
    with closing(_connect(location, "ro")) as connection, translated(location.label):
        _waiting(connection.database, migrations, location)


def open_writer(
    location: Location,
    migrations: Migrations,
    owner: Owner,
    synchronous: Literal["NORMAL", "FULL"],
    backups: Path | None = None,
) -> Connection:
    """The writing connection, its tables brought up to date after a backup into the folder `backups`.

    Raises StoreError when the file is damaged, of another program, newer than this program, or cannot be migrated.
    """
    if sqlite3.sqlite_version_info < MINIMUM_SQLITE:
        needed = ".".join(map(str, MINIMUM_SQLITE))
        raise StoreError(f"SQLite {sqlite3.sqlite_version} is too old: {needed} or newer is needed. Use a newer Python")
    connection = _connect(location, "rwc", owner)
    try:
        with translated(location.label):
            waiting = _waiting(connection.database, migrations, location)
            if waiting and backups is not None and connection.database.table_names():
                _backup(connection, backups, waiting[0])
            connection.database.execute("pragma journal_mode = wal")
            connection.database.execute(f"pragma synchronous = {synchronous}")
            # A WAL that a long reader once made long does not stay so on a small disk.
            connection.database.execute("pragma journal_size_limit = 16777216")
            _migrate(connection, migrations)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(location: Location, mode: Literal["ro", "rwc"], owner: Owner | None = None) -> Connection:
    joint = "&" if "?" in location.uri else "?"
    with translated(location.label):
        link = sqlite3.connect(
            f"{location.uri}{joint}mode={mode}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            # The writer moves between threads by Owner's rule; a reader stays where it was opened.
            check_same_thread=mode == "ro",
        )
        try:
            if mode == "ro":
                link.execute("pragma query_only = on")
            database = Database(link, execute_plugins=False)
        except BaseException:
            link.close()
            raise
    return Connection(database, location, owner)


def _waiting(database: Database, migrations: Migrations, location: Location) -> list[str]:
    """The migrations that are still to be done, in order. Raises StoreError for a file that is not ours or newer."""
    tables = database.table_names()
    waiting = [migration.name for migration in migrations.pending(database)]
    applied = [migration.name for migration in migrations.applied(database)]
    known = {migration.name for migration in migrations.pending(Database(memory=True))}
    if tables and not applied:
        raise StoreError(
            f"{location.label} is a database of another program (it has the tables {', '.join(sorted(tables)[:5])}). "
            "Choose another data folder with --data, or move that file away"
        )
    newer = [name for name in applied if name not in known]
    if newer:
        raise StoreError(
            f"{location.label} was written by a newer solarflow: it has {newer[-1]}, this one ends with {max(known)}. "
            "Install that version again, or put back the copy in backups/ that was made before it"
        )
    return waiting


def _migrate(connection: Connection, migrations: Migrations) -> None:
    database = connection.database
    try:
        migrations.apply(database)
    except Exception as error:
        waiting = migrations.pending(database)[0].name
        raise StoreError(
            f"{connection.location.label}: the migration {waiting} failed ({error}); what it did was taken back. "
            "Go on with the solarflow version that you had, and report this"
        ) from error


def _backup(connection: Connection, folder: Path, migration: str) -> None:
    """Copy the database into `folder`, complete or not at all."""
    assert connection.location.path is not None  # noqa: S101 - only files are backed up; told to the type checker
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    target = folder / f"{connection.location.path.stem}-{stamp}-before-{migration}.db"
    partial = target.with_suffix(".part")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        with closing(sqlite3.connect(partial)) as copy:
            connection.database.conn.backup(copy)
            copy.execute("pragma journal_mode = delete")  # one file, that opens without any beside it
        partial.rename(target)
    except (OSError, sqlite3.Error) as error:
        if partial.exists():
            partial.unlink()
        raise StoreError(
            f"cannot copy {connection.location.label} to {target} before migrating it ({error}); "
            "it was not touched. Make room there and start again"
        ) from error
