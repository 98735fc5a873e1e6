"""Makes a backup of a project and its data folder, also while an instance runs."""

from __future__ import annotations

import io
import os
import sqlite3
import tarfile
import tempfile
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

from sqlite_utils import Database, Migrations

from solarflow import __version__
from solarflow.archive import (
    DATA,
    DATABASES,
    FORMAT,
    MANIFEST_NAME,
    PROJECT,
    Manifest,
    PackedFile,
    damage_of,
    digest_of,
    is_allowed,
    sync_folder,
)
from solarflow.errors import StoreError, UsageError
from solarflow.instance import BROKER_USERS_FILE, TOKEN_FILE
from solarflow.manifest import CREDENTIALS, MANIFEST, read_project
from solarflow.store.database import BUSY_SECONDS, Location, check, translated

FLOWS: Final = "flows"
"""The folder whose JSON files are all kept, listed in the manifest or not."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was made."""

    path: Path
    size: int
    """In bytes."""
    manifest: Manifest
    open_to_others: bool
    """Whether others can read it, because its file system keeps no rights."""


def make_backup(project: Path, data: Path, target: Path, *, secrets: bool = False) -> Backup:
    """Write a backup of a project (a folder, or one flow file) and its data folder to a new file, readable by its
    owner only.

    Each database is copied as it is at one moment; one that is written meanwhile is not held up. Raises UsageError
    where `target` is there already or there is nothing to keep, StoreError where something cannot be read or written;
    then there is no file.
    """  # fmt: skip
    if target.exists():
        raise UsageError(f"{target} is there already; name another file with --to")
    missing = [name for name in DATABASES if not (data / name).is_file()]
    if missing:
        raise UsageError(f"{data} holds no {missing[0]}; name the data folder of an installation with --data")
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as name:
            stage = Path(name)
            _copy_databases(data, stage / DATA)
            files, left_out = _chosen(project, data, secrets)
            for path, source in files.items():
                _copy(source, stage / path)
            manifest = _manifest(stage, secrets, left_out)
            packed = stage / "packed"
            _pack(stage, manifest, packed)
            if target.exists():
                raise UsageError(f"{target} has come while it was being made; name another file with --to")
            packed.rename(target)
            sync_folder(target.parent)
    except OSError as error:
        needed = sum((data / name).stat().st_size for name in DATABASES)
        raise StoreError(
            f"the backup cannot be written to {target}: {error.strerror or error}. It needs up to "
            f"{2 * needed / 1e6:.0f} MB there while it is made; nothing is left of it"
        ) from error
    status = target.stat()
    return Backup(target, status.st_size, manifest, bool(status.st_mode & 0o077))


def _copy_databases(data: Path, into: Path) -> None:
    into.mkdir(mode=0o700)
    for name, migrations in DATABASES.items():
        location = Location.on_disk(data / name)
        check(location, migrations)
        copy = into / name
        copy.touch(mode=0o600)
        # Only read: what writes and checkpoints a WAL must be one connection alone, the running instance's.
        with (
            translated(location.label),
            closing(sqlite3.connect(f"{location.uri}?mode=ro", uri=True, timeout=BUSY_SECONDS)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)  # in one step: as it is at one moment, whatever is written meanwhile
            target.execute("pragma journal_mode = delete")  # one file, that needs none beside it
        damage = damage_of(copy, str(copy), "quick_check")
        if damage:
            raise StoreError(
                f"{location.label} is damaged ({damage}) and was not backed up. Keep your earlier backups; restore "
                "one, or move the file away and start without it"
            )


def _chosen(project: Path, data: Path, secrets: bool) -> tuple[dict[str, Path], tuple[str, ...]]:
    """The files besides the databases: the path in the backup and where each is; and the secrets left out."""
    root = project if project.is_dir() else project.parent
    files: dict[str, Path] = {}
    listed = [root / flow.file for flow in read_project(project).files] if project.exists() else []
    manifest = [project / MANIFEST if project.is_dir() else project]
    if manifest[0].suffix != ".json":
        raise UsageError(f"{manifest[0]} is no flow file that a backup can hold: its name must end in .json")
    for source in (*manifest, *listed, *sorted((root / FLOWS).rglob("*.json") if project.is_dir() else ())):
        path = f"{PROJECT}/{source.relative_to(root).as_posix()}"
        if source.is_file() and is_allowed(path):
            files[path] = source
    if (data / BROKER_USERS_FILE).is_file():
        files[f"{DATA}/{BROKER_USERS_FILE}"] = data / BROKER_USERS_FILE
    secret = {f"{PROJECT}/{CREDENTIALS}": root / CREDENTIALS, f"{DATA}/{TOKEN_FILE}": data / TOKEN_FILE}
    present = {path: source for path, source in secret.items() if source.is_file()}
    files = {path: source for path, source in files.items() if path not in present}
    return (files | present, ()) if secrets else (files, tuple(source.name for source in present.values()))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())


def _manifest(stage: Path, secrets: bool, left_out: tuple[str, ...]) -> Manifest:
    files = []
    for path in sorted(path for path in stage.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            packed = PackedFile(
                path=path.relative_to(stage).as_posix(), size=path.stat().st_size, sha256=digest_of(file)
            )
        files.append(packed)
    schemas = {name: _schema(stage / DATA / name, migrations) for name, migrations in DATABASES.items()}
    return Manifest(
        format=FORMAT, solarflow=__version__, made=datetime.now(UTC).isoformat(timespec="seconds"),
        sqlite=sqlite3.sqlite_version, secrets=secrets,
        left_out=left_out, schemas=schemas, files=tuple(files),
    )  # fmt: skip


def _schema(path: Path, migrations: Migrations) -> tuple[str, ...]:
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        return tuple(migration.name for migration in migrations.applied(Database(connection)))


def _pack(stage: Path, manifest: Manifest, target: Path) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with tarfile.open(fileobj=file, mode="w:gz", compresslevel=6) as tar:
            text = manifest.model_dump_json(indent=2).encode() + b"\n"
            _add(tar, MANIFEST_NAME, len(text), io.BytesIO(text))
            for packed in manifest.files:
                with (stage / packed.path).open("rb") as source:
                    _add(tar, packed.path, packed.size, source)
        file.flush()
        os.fsync(file.fileno())


def _add(tar: tarfile.TarFile, name: str, size: int, source: IO[bytes]) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o600, int(datetime.now(UTC).timestamp())
    tar.addfile(member, source)
