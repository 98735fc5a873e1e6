"""Projects with something in them, and backups made wrong on purpose."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import sqlite3
import tarfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from command_line import make_project, run

from solarflow.store import DataFolder, Home

BEGIN = time.time() - 86_400


def make_installation(folder: Path, mark: str) -> Path:
    """A project whose flows, homes, samples, broker's users and secrets all carry a mark."""
    project = make_project(folder)
    shutil.rmtree(project / "flows" / "tests", ignore_errors=True)  # the fewer files, the faster the tests
    manifest = json.loads((project / "flows.json").read_text())
    (project / "flows.json").write_text(json.dumps({"name": mark, **manifest}, indent=2) + "\n")
    (project / "credentials.json").write_text(json.dumps({"nobody": {"password": f"secret-{mark}"}}))
    (project / "credentials.json").chmod(0o600)
    data = project / "data"
    with DataFolder(data) as store:
        store.homes.save(Home(id=f"casa_{mark}", peak_power_wp=3000))
        for number in range(500):
            store.telemetry.append(f"casa_{mark}", "production_w", BEGIN + number, float(number))
    for name, text in (
        ("broker-users.json", json.dumps({f"casa_{mark}": "0" * 64})),
        ("access-token", f"token-{mark}\n"),
    ):
        (data / name).write_text(text)
        (data / name).chmod(0o600)
    return project


def marks(project: Path) -> dict[str, object]:
    """What of an installation carries which mark; databases are read through the store."""
    data = project / "data"
    with DataFolder.read_only(data) as reader:
        homes = [home.id for home in reader.homes.all()]
        samples = [series.home for series in reader.telemetry.series()]
    return {
        "flows": json.loads((project / "flows.json").read_text()).get("name"),
        "homes": homes,
        "samples": samples,
        "users": list(json.loads((data / "broker-users.json").read_text())),
    }


def all_of(mark: str) -> dict[str, object]:
    """`marks` of an installation that is of one mark altogether."""
    return {"flows": mark, "homes": [f"casa_{mark}"], "samples": [f"casa_{mark}"], "users": [f"casa_{mark}"]}


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder with its checksum, but locks, what SQLite keeps beside, and the work folder's lock."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix not in (".lock", ".db-shm", ".db-wal")
    }


def make_backup_of(project: Path, target: Path, *options: object) -> Path:
    result = run("backup", project, "--to", target, *options)
    assert result.exit_code == 0, result.output
    return target


Members = dict[str, bytes | tarfile.TarInfo]


def read_members(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        found = {member.name: tar.extractfile(member) for member in tar}
        return {name: file.read() for name, file in found.items() if file is not None}


def repack(archive: Path, change: Callable[[Members, dict], None], *, honest: bool = True) -> Path:
    """Take a backup apart, change its files (by name) or its manifest, and put it together again.

    `honest`: sizes and checksums in the manifest are made right for what is there now.
    """
    members: Members = dict(read_members(archive))
    manifest = json.loads(bytes(members.pop("manifest.json")))  # type: ignore[arg-type]  # it is bytes
    change(members, manifest)
    if honest:
        manifest["files"] = [
            {"path": name, "size": len(body), "sha256": hashlib.sha256(body).hexdigest()}
            if isinstance(body, bytes)
            else {"path": name, "size": body.size, "sha256": hashlib.sha256(b"").hexdigest()}
            for name, body in members.items()
        ]
    with tarfile.open(archive, "w:gz") as tar:
        for name, body in {"manifest.json": json.dumps(manifest).encode(), **members}.items():
            if isinstance(body, bytes):
                member = tarfile.TarInfo(name)
                member.size = len(body)
                tar.addfile(member, io.BytesIO(body))
            else:
                tar.addfile(body)
    return archive


def with_sql(database: bytes, folder: Path, *statements: str) -> bytes:
    """A database after some statements."""
    path = folder / "changed.db"
    path.write_bytes(database)
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.execute("pragma journal_mode = delete")
    return path.read_bytes()
