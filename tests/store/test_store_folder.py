"""The data folder: private, locked, migrated after a backup, and never touched when something is wrong with it."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlite_utils import Migrations

from solarflow.errors import StoreError
from solarflow.store import DataFolder, Holder
from solarflow.store.database import Location, Owner, open_reader, open_writer

ROOT = Path(__file__).resolve().parents[2]
NOON = 1_720_000_800.0
POWER = ("casa_A", "production_w")


def test_a_new_folder_is_only_for_its_user(tmp_path: Path) -> None:
    DataFolder(tmp_path / "new" / "data").close()
    assert (tmp_path / "new" / "data").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_made_is_told_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match=r"cannot make the data folder .*file/data: Not a directory\. Choose another"):
        DataFolder(tmp_path / "file" / "data")


def test_what_was_written_is_there_at_the_next_start(tmp_path: Path) -> None:
    with DataFolder(tmp_path) as folder:
        folder.telemetry.append(*POWER, NOON, 5.0)
        folder.events.append("started", "", {}, NOON)
    with DataFolder(tmp_path) as folder:
        assert folder.telemetry.latest(*POWER) == (NOON, 5.0)
        assert [event.kind for event in folder.events.recent()] == ["started"]


def test_telemetry_survives_a_crash_and_the_rest_a_power_cut(tmp_path: Path) -> None:
    with DataFolder(tmp_path) as folder:
        for part, synchronous in ((folder.telemetry, 1), (folder.homes, 2)):  # NORMAL, FULL
            database = part.connection.database
            assert database.execute("pragma journal_mode").fetchone() == ("wal",)
            assert database.execute("pragma synchronous").fetchone() == (synchronous,)


def test_a_second_program_is_refused_and_told_who_has_the_folder(tmp_path: Path) -> None:
    program = """
import sys
from solarflow.store import DataFolder
folder = DataFolder(sys.argv[1])
folder.announce(1880)
print("ready", flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "ready\n"
        with pytest.raises(StoreError) as refusal:
            DataFolder(tmp_path)
        holder = DataFolder.holder(tmp_path)
        with DataFolder.read_only(tmp_path) as reader:
            assert reader.telemetry.series() == []
    assert re.fullmatch(
        rf"the data folder {tmp_path} is in use by the solarflow with process id {first.pid}, started "
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00, on port 1880\. "
        r"Stop that one first, or give this one a folder of its own with --data",
        str(refusal.value),
    )
    assert holder is not None
    assert (holder.pid, holder.port) == (first.pid, 1880)
    DataFolder(tmp_path).close()


def test_a_folder_has_a_holder_only_while_it_is_open(tmp_path: Path) -> None:
    assert DataFolder.holder(tmp_path) is None
    with DataFolder(tmp_path):
        assert isinstance(DataFolder.holder(tmp_path), Holder)
    assert DataFolder.holder(tmp_path) is None


def test_what_a_killed_program_left_in_the_lock_file_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "solarflow.lock").write_text(json.dumps({"pid": 1, "start": "long ago" * 99, "port": 1880}))
    assert DataFolder.holder(tmp_path) is None
    with DataFolder(tmp_path):
        holder = DataFolder.holder(tmp_path)
        assert holder is not None
        assert holder.pid == os.getpid()


def test_a_folder_without_data_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no .*telemetry\.db\. `solarflow run --data .*` makes it"):
        DataFolder.read_only(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["telemetry.db", "app.db"])
@pytest.mark.parametrize("damage", ["rubbish", "cut off"])
def test_a_damaged_file_is_told_and_left_as_it_is(tmp_path: Path, name: str, damage: str) -> None:
    DataFolder(tmp_path).close()
    file = tmp_path / name
    file.write_bytes(b"rubbish" * 3000 if damage == "rubbish" else file.read_bytes()[:9000])
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.db")}
    for opening in (DataFolder, DataFolder.read_only):
        with pytest.raises(StoreError, match=rf"{name}: the file is damaged .* left as it is\. Stop solarflow"):
            opening(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.db")} == before
    assert DataFolder.holder(tmp_path) is None


def test_a_file_of_a_newer_version_is_refused_before_the_other_one_is_touched(tmp_path: Path) -> None:
    DataFolder(tmp_path).close()
    (tmp_path / "telemetry.db").unlink()
    app = sqlite3.connect(tmp_path / "app.db")
    app.execute("insert into _sqlite_migrations (migration_set, name, applied_at) values ('app', 'm999_rooms', '')")
    app.commit()
    app.close()
    with pytest.raises(StoreError, match=r"written by a newer solarflow: it has m999_rooms, this one ends with m\d+_"):
        DataFolder(tmp_path)
    assert not (tmp_path / "telemetry.db").exists()


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "telemetry.db")
    other.execute("create table photos (id)")
    other.close()
    with pytest.raises(StoreError, match=r"is a database of another program \(it has the tables photos\)"):
        DataFolder(tmp_path)


def version(*steps: str, fails: bool = False) -> Migrations:
    """Migrations that each make a table of their name; the last one fails halfway on request."""
    migrations = Migrations("example")
    for step in steps:

        def migrate(db, step=step) -> None:
            db.table(step).create({"id": int})
            if fails and step == steps[-1]:
                raise RuntimeError("no such luck")

        migrations(name=step)(migrate)
    return migrations


def opened(path: Path, migrations: Migrations):
    return open_writer(Location.on_disk(path / "example.db"), migrations, Owner(), "FULL", path / "backups")


def tables(file: Path) -> set[str]:
    database = sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)
    found = {name for (name,) in database.execute("select name from sqlite_master where type = 'table'")}
    database.close()
    return found - {"_sqlite_migrations"}


def test_a_file_is_copied_before_it_is_migrated(tmp_path: Path) -> None:
    opened(tmp_path, version("m001")).close()
    assert not (tmp_path / "backups").exists()  # there was nothing to lose
    opened(tmp_path, version("m001", "m002", "m003")).close()
    (backup,) = (tmp_path / "backups").iterdir()
    assert re.fullmatch(r"example-\d{8}T\d{12}Z-before-m002\.db", backup.name)
    assert tables(backup) == {"m001"}
    assert tables(tmp_path / "example.db") == {"m001", "m002", "m003"}
    opened(tmp_path, version("m001", "m002", "m003")).close()
    assert list((tmp_path / "backups").iterdir()) == [backup]


def test_a_migration_that_fails_is_taken_back_and_named(tmp_path: Path) -> None:
    opened(tmp_path, version("m001")).close()
    with pytest.raises(StoreError, match=r"migration m003 failed \(no such luck\); what it did was taken back"):
        opened(tmp_path, version("m001", "m002", "m003", fails=True))
    assert tables(tmp_path / "example.db") == {"m001", "m002"}
    opened(tmp_path, version("m001", "m002", "m003")).close()
    assert tables(tmp_path / "example.db") == {"m001", "m002", "m003"}


def test_without_a_backup_nothing_is_migrated(tmp_path: Path) -> None:
    opened(tmp_path, version("m001")).close()
    (tmp_path / "backups").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot copy .*example\.db to .* before migrating it .* not touched"):
        opened(tmp_path, version("m001", "m002"))
    assert tables(tmp_path / "example.db") == {"m001"}


def test_a_file_of_an_older_version_cannot_be_read_until_it_is_migrated(tmp_path: Path) -> None:
    opened(tmp_path, version("m001")).close()
    with pytest.raises(StoreError, match=r"older solarflow \(m002 is missing\)\. Start `solarflow run`"):
        open_reader(Location.on_disk(tmp_path / "example.db"), version("m001", "m002"))


def test_two_folders_in_memory_do_not_know_of_each_other() -> None:
    with DataFolder.in_memory() as one, DataFolder.in_memory() as other:
        one.telemetry.append(*POWER, NOON, 1.0)
        one.commit()
        assert other.telemetry.series() == []
        with other.reader() as reader:
            assert reader.telemetry.series() == []
