"""`solarflow backup`: everything that an installation is, in one file, while it runs."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from archives import all_of, contents, make_backup_of, make_installation, marks, read_members
from command_line import run

from solarflow.archive import DATABASES
from solarflow.store import DataFolder


@pytest.fixture
def project(tmp_path):
    return make_installation(tmp_path, "one")


def test_a_backup_holds_databases_flows_users_and_a_manifest_with_versions_and_checksums(project, tmp_path):
    members = read_members(make_backup_of(project, tmp_path / "b.tar.gz"))

    assert next(iter(members)) == "manifest.json"
    manifest = json.loads(members.pop("manifest.json"))
    assert set(members) == {
        "data/telemetry.db", "data/app.db", "data/broker-users.json", "project/flows.json",
        *(f"project/{path.relative_to(project)}" for path in (project / "flows").rglob("*.json")),
    }  # fmt: skip
    assert {packed["path"]: packed["sha256"] for packed in manifest["files"]} == {
        path: hashlib.sha256(body).hexdigest() for path, body in members.items()
    }
    assert manifest["schemas"]["app.db"] == ["m001_homes_alerts_events"]
    assert manifest["solarflow"]
    assert manifest["sqlite"] == sqlite3.sqlite_version


def test_every_database_that_the_store_keeps_is_in_it(tmp_path):
    with DataFolder(tmp_path / "data"):
        made = {path.name for path in (tmp_path / "data").glob("*.db")}

    assert made == set(DATABASES)


def test_only_its_owner_can_read_it(project, tmp_path):
    assert make_backup_of(project, tmp_path / "b.tar.gz").stat().st_mode & 0o777 == 0o600


def test_secrets_are_left_out_unless_asked_for_and_the_command_says_so(project, tmp_path):
    without = run("backup", project, "--to", tmp_path / "a.tar.gz")
    with_them = run("backup", project, "--to", tmp_path / "b.tar.gz", "--with-secrets")

    assert "without credentials.json and access-token: secret; --with-secrets takes that in too" in without.output
    assert b"secret-one" not in b"".join(read_members(tmp_path / "a.tar.gz").values())
    assert "it holds secrets: keep it like a password" in with_them.output
    assert read_members(tmp_path / "b.tar.gz")["data/access-token"] == b"token-one\n"
    assert b"secret-one" in read_members(tmp_path / "b.tar.gz")["project/credentials.json"]


def test_scenarios_go_along_and_kept_versions_and_other_files_do_not(project, tmp_path):
    for name in ("tests/mine.json", ".versions/benchmark.json", "notes.txt"):
        path = project / "flows" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("[]")

    members = read_members(make_backup_of(project, tmp_path / "b.tar.gz"))

    assert "project/flows/tests/mine.json" in members
    assert not [name for name in members if "versions" in name or "notes" in name]


def test_the_installation_is_as_it_was_afterwards(project, tmp_path):
    before = contents(project)

    make_backup_of(project, tmp_path / "b.tar.gz")

    assert contents(project) == before


def test_what_a_killed_instance_left_in_the_write_ahead_log_is_in_the_backup(project, tmp_path):
    path = project / "data" / "app.db"
    script = (
        "import os, signal, sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1])\n"
        "c.execute(\"update homes set community = 'late'\"); c.commit()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert path.with_name("app.db-wal").stat().st_size > 0

    (tmp_path / "app.db").write_bytes(read_members(make_backup_of(project, tmp_path / "b.tar.gz"))["data/app.db"])

    with closing(sqlite3.connect(tmp_path / "app.db")) as copy:
        assert copy.execute("select community from homes").fetchall() == [("late",)]


def test_a_file_is_named_after_project_and_time_and_never_written_over(project, tmp_path):
    (tmp_path / "usb").mkdir()
    first = run("backup", project, "--to", tmp_path / "usb")
    (made,) = (tmp_path / "usb").iterdir()
    assert re.fullmatch(r"solarflow-community-\d{8}T\d{6}Z\.tar\.gz", made.name), first.output
    before = made.read_bytes()

    again = run("backup", project, "--to", made)

    assert (again.exit_code, again.stderr) == (
        1, f"solarflow: {made} is there already; name another file with --to\n",
    )  # fmt: skip
    assert made.read_bytes() == before


def test_a_damaged_database_is_told_and_leaves_no_file(project, tmp_path):
    path = project / "data" / "telemetry.db"
    body = bytearray(path.read_bytes())
    for page in range(8192, len(body), 4096):
        body[page : page + 200] = b"\xff" * 200
    path.write_bytes(body)

    result = run("backup", project, "--to", tmp_path / "b.tar.gz")

    assert result.exit_code == 1
    assert f"{path} is damaged" in result.stderr or f"{path}: the file is damaged" in result.stderr
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["community"]


def test_where_there_is_no_room_it_says_so_and_leaves_nothing(project, tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)

    result = run("backup", project, "--to", tmp_path / "b.tar.gz")

    assert result.exit_code == 1
    assert "cannot be written" in result.stderr
    assert "No space left on device" in result.stderr
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["community"]


def test_without_a_data_folder_there_is_nothing_to_keep(project, tmp_path):
    result = run("backup", project, "--data", tmp_path / "elsewhere")

    assert result.stderr == (
        f"solarflow: {tmp_path / 'elsewhere'} holds no telemetry.db; name the data folder of an installation with "
        "--data\n"
    )


class Running:
    """`solarflow run` with twelve simulated homes that publish much faster than life."""

    HOMES = 12

    def __init__(self, project: Path, stack: ExitStack) -> None:
        homes = [{"id": f"casa_{number:02}", "peak_power_wp": 3000} for number in range(1, self.HOMES + 1)]
        (project / "homes.json").write_text(json.dumps(homes))
        assert run("homes", "import", project / "homes.json", "--data", project / "data").exit_code == 0
        (project / "data" / "broker-users.json").unlink()
        self.instance = self._start(stack, "run", str(project), "--port", "0", "--broker-port", "0")
        line = self.line(self.instance, r"broker (mqtt://\S+)")
        self.line(self.instance, "pages at")
        self.homes = self._start(stack, "simulate", line[1], "--speed", "1200")
        self.line(self.homes, "is connected")

    def _start(self, stack: ExitStack, *arguments: str) -> subprocess.Popen[str]:
        process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "solarflow.cli", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        )  # fmt: skip
        stack.callback(process.kill)
        return process

    @staticmethod
    def line(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(line)
            if found := re.search(pattern, line):
                return found
        pytest.fail(f"it ended without {pattern!r}:\n{''.join(seen)}")


def rows(archive: Path, folder: Path) -> tuple[int, int]:
    """How many samples a backup has, and of how many its rollups tell; both are written in one transaction."""
    path = folder / "telemetry.db"
    path.write_bytes(read_members(archive)["data/telemetry.db"])
    with closing(sqlite3.connect(path)) as connection:
        (samples,) = connection.execute("select count(*) from samples").fetchone()
        (counted,) = connection.execute("select sum(n) from hourly").fetchone()
    return samples, counted


def test_backups_of_a_running_instance_are_each_whole_and_it_goes_on_writing(project, tmp_path):
    with ExitStack() as stack:
        running = Running(project, stack)
        found = []
        while len(found) < 3 or (found[-1] == found[0] and len(found) < 100):
            archive = make_backup_of(project, tmp_path / f"{len(found)}.tar.gz")
            found.append(rows(archive, tmp_path))
        running.homes.send_signal(signal.SIGINT)
        running.instance.send_signal(signal.SIGINT)
        assert running.instance.wait(20) == 0

    assert all(samples == counted for samples, counted in found), found
    assert found == sorted(found)
    assert found[-1] > found[0], "it wrote meanwhile"

    restored = tmp_path / "elsewhere"
    assert run("restore", archive, "--to", restored).exit_code == 0
    with DataFolder(restored / "data") as store:
        assert len(store.homes.all()) == Running.HOMES + 1
    assert contents(restored / "flows") == contents(project / "flows")


def test_there_and_back(project, tmp_path):
    archive = make_backup_of(project, tmp_path / "b.tar.gz", "--with-secrets")

    result = run("restore", archive, "--to", tmp_path / "new")

    assert result.exit_code == 0, result.output
    assert marks(tmp_path / "new") == all_of("one")
    old, new = contents(project), contents(tmp_path / "new")
    assert {name for name in old if not name.startswith(".")} == set(new)
    assert [name for name in new if new[name] != old[name] and not name.endswith(".db")] == []
