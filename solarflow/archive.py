"""The form of a backup: a tar.gz with a manifest of its files first, and how one is unpacked without trusting it."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import sqlite3
import tarfile
import zlib
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import IO, Final

from pydantic import BaseModel, ConfigDict, ValidationError
from sqlite_utils import Migrations

from solarflow.errors import StoreError
from solarflow.instance import BROKER_USERS_FILE, TOKEN_FILE, read_broker_users
from solarflow.store.database import Location, check, translated
from solarflow.store.folder import APP_FILE, TELEMETRY_FILE
from solarflow.store.schema import APP, TELEMETRY

FORMAT: Final = 1
MANIFEST_NAME: Final = "manifest.json"
DATA: Final = "data"
PROJECT: Final = "project"
DATABASES: Final[dict[str, Migrations]] = {TELEMETRY_FILE: TELEMETRY, APP_FILE: APP}
"""The databases of a data folder with the migrations that made them."""
DATA_FILES: Final = (*DATABASES, BROKER_USERS_FILE, TOKEN_FILE)
"""What a backup may hold of a data folder."""
CHUNK: Final = 1 << 20
_MAX_MANIFEST_BYTES: Final = 10_000_000
_SPARE_BYTES: Final = 50_000_000
"""So much is left free on a disk that something is unpacked to."""


class PackedFile(BaseModel):
    """A file of a backup."""

    model_config = ConfigDict(frozen=True)

    path: str
    """`data/...` or `project/...`."""
    size: int
    """In bytes."""
    sha256: str


class Manifest(BaseModel):
    """What a backup says of itself."""

    model_config = ConfigDict(frozen=True)

    format: int
    solarflow: str
    """The version that made it."""
    made: str
    """When: ISO 8601, UTC."""
    sqlite: str
    secrets: bool
    """Whether credentials and the access token are in it."""
    left_out: tuple[str, ...] = ()
    """The secrets that were there and are not in it."""
    schemas: dict[str, tuple[str, ...]]
    """For each database the migrations that it has had."""
    files: tuple[PackedFile, ...]


def digest_of(file: IO[bytes]) -> str:
    """SHA-256 of the rest of a file, in hexadecimal."""
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Have the names in a folder written to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unpack(archive: Path, into: Path) -> Manifest:
    """Unpack a backup into an empty folder, checking all of it on the way: form, names, sizes, checksums, room.

    Nothing is written outside of `into`, and nothing but what a backup may hold. Raises StoreError where anything is
    not as its manifest says; what was unpacked until then is still in `into`.
    """
    try:
        with gzip.open(archive) as stream:
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                manifest = _unpack(archive, tar, into)
            while stream.read(CHUNK):
                pass  # to its end, where its checksum is
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise StoreError(
            f"{archive} is not a complete backup ({error}): nothing was changed. Copy it again from where it was made, "
            "or take an earlier one"
        ) from error
    except OSError as error:
        raise StoreError(f"{archive} cannot be unpacked: {error.strerror or error}; nothing was changed") from error
    return manifest


def _wrong(archive: Path, what: str) -> StoreError:
    return StoreError(f"{archive} was not unpacked, and nothing was changed: {what}. Take another backup")


def _unpack(archive: Path, tar: tarfile.TarFile, into: Path) -> Manifest:
    manifest: Manifest | None = None
    waiting: dict[str, PackedFile] = {}
    for member in tar:
        if manifest is None:
            manifest = _read_manifest(archive, tar, member)
            waiting = {packed.path: packed for packed in manifest.files}
            _check_room(archive, manifest, into)
            continue
        packed = waiting.pop(member.name, None)
        if packed is None:
            raise _wrong(archive, f"its manifest does not name {member.name!r}")
        if not member.isreg() or member.size != packed.size:
            raise _wrong(archive, f"{member.name} is not the file of {packed.size} bytes that its manifest names")
        source = tar.extractfile(member)
        assert source is not None  # noqa: S101 - it is a file
        _write(archive, source, into / packed.path, packed)
    if manifest is None:
        raise _wrong(archive, "it holds nothing")
    if waiting:
        raise _wrong(archive, f"it lacks {', '.join(sorted(waiting))}")
    return manifest


def _read_manifest(archive: Path, tar: tarfile.TarFile, member: tarfile.TarInfo) -> Manifest:
    if member.name != MANIFEST_NAME or not member.isreg() or member.size > _MAX_MANIFEST_BYTES:
        raise _wrong(archive, f"it does not begin with {MANIFEST_NAME}: it is no backup of solarflow")
    file = tar.extractfile(member)
    assert file is not None  # noqa: S101 - it is a file
    text = file.read()
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        raise _wrong(archive, f"its {MANIFEST_NAME} cannot be read ({error.error_count()} mistakes)") from error
    if manifest.format > FORMAT:
        raise StoreError(
            f"{archive} was made by a newer solarflow ({manifest.solarflow}) in a form that this one does not know; "
            "install that version to restore it. Nothing was changed"
        )
    paths = [packed.path for packed in manifest.files]
    unsafe = [path for path in paths if not is_allowed(path)]
    if unsafe or len(set(paths)) < len(paths):
        raise _wrong(archive, f"its manifest names {unsafe[0]!r}" if unsafe else "its manifest names a file twice")
    return manifest


def is_allowed(path: str) -> bool:
    """Whether a backup may hold a file of this path: databases and the like in data/, JSON files in project/."""
    parts = path.split("/")
    plain = all(part and part.isprintable() and "\\" not in part and part[0] != "." for part in parts)
    if not plain or len(parts) < 2:
        return False
    if parts[0] == DATA:
        return len(parts) == 2 and parts[1] in DATA_FILES
    return parts[0] == PROJECT and PurePosixPath(path).suffix == ".json"


def _check_room(archive: Path, manifest: Manifest, into: Path) -> None:
    needed = sum(max(packed.size, 0) for packed in manifest.files)
    free = shutil.disk_usage(into).free
    if needed + _SPARE_BYTES > free:
        raise StoreError(
            f"there is no room to unpack {archive} in {into.parent}: {needed / 1e6:.0f} MB are needed, and "
            f"{free / 1e6:.0f} MB are free. Free some, or restore to another disk. Nothing was changed"
        )


def _write(archive: Path, source: IO[bytes], target: Path, packed: PackedFile) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = hashlib.sha256()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != packed.sha256:
        raise _wrong(archive, f"{packed.path} is not what was packed: its checksum is another")


def check_data(archive: Path, data: Path) -> None:
    """Check the databases of an unpacked backup: of this solarflow's schema or an older one, and whole.

    Raises StoreError.
    """
    for name, migrations in DATABASES.items():
        path = data / name
        if not path.exists():
            raise _wrong(archive, f"it lacks {name}")
        label = f"{name} in {archive}"
        damage = damage_of(path, label, "integrity_check")
        if damage:
            raise _wrong(archive, f"its {name} is damaged ({damage})")
        check(Location(path, path.resolve().as_uri(), label), migrations)
    read_broker_users(data)


def damage_of(path: Path, label: str, pragma: str) -> str:
    """What SQLite finds wrong with a database that nobody writes; empty where nothing is. Raises StoreError."""
    with (
        translated(label),
        closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection,
    ):
        connection.execute("pragma trusted_schema = off")
        found = [" ".join(str(row[0]).split()) for row in connection.execute(f"pragma {pragma}(1)")]
    return "" if found == ["ok"] else "; ".join(found)
