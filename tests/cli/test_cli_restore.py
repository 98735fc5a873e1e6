"""`solarflow restore`: a backup that is not right changes nothing, and one that is replaces all or nothing."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from archives import all_of, contents, make_backup_of, make_installation, marks, repack, with_sql
from command_line import run

from solarflow.store import DataFolder


@pytest.fixture
def archive(tmp_path):
    """A backup of an installation whose mark is "new"."""
    return make_backup_of(make_installation(tmp_path / "origin", "new"), tmp_path / "backup.tar.gz")


@pytest.fixture
def project(tmp_path):
    """An installation whose mark is "old"."""
    return make_installation(tmp_path / "here", "old")


def refused(archive: Path, project: Path, *options: object) -> str:
    """What restore says; fails the test where it changed or left anything."""
    before = contents(project.parent)

    result = run("restore", archive, "--to", project, *options)

    assert result.exit_code == 1, result.output
    assert contents(project.parent) == before
    assert not [entry for entry in project.iterdir() if "restor" in entry.name and entry.name != ".solarflow"]
    assert len(result.stderr.splitlines()) == 1
    return result.stderr


def test_everything_is_replaced_and_what_was_there_is_kept_aside(archive, project):
    result = run("restore", archive, "--to", project)

    assert result.exit_code == 0, result.output
    assert marks(project) == all_of("new")
    (data,) = project.glob("data.before-restore-*")
    (flows,) = project.glob("flows.before-restore-*")
    assert json.loads((data / "broker-users.json").read_text()) == {"casa_old": "0" * 64}
    with DataFolder.read_only(data) as reader:
        assert [home.id for home in reader.homes.all()] == ["casa_old"]
    assert json.loads((flows / "flows.json").read_text())["name"] == "old"
    assert f"what was there is in {flows}" in result.output
    assert (project / "data").stat().st_mode & 0o777 == 0o700


def test_secrets_that_are_not_in_the_backup_stay(archive, project):
    result = run("restore", archive, "--to", project)

    assert json.loads((project / "credentials.json").read_text()) == {"nobody": {"password": "secret-old"}}
    assert (project / "data" / "access-token").read_text() == "token-old\n"
    assert "credentials.json was left out of the backup; the one here stays" in result.output


def test_secrets_that_are_in_the_backup_are_readable_by_their_owner_only(tmp_path, project):
    origin = make_installation(tmp_path / "origin", "new")
    run("restore", make_backup_of(origin, tmp_path / "b.tar.gz", "--with-secrets"), "--to", project)

    for path in (project / "credentials.json", project / "data" / "access-token"):
        assert "new" in path.read_text()
        assert path.stat().st_mode & 0o777 == 0o600


def test_flow_files_that_the_backup_does_not_name_stay(archive, project):
    (project / "flows" / "mine.json").write_text("[]")

    run("restore", archive, "--to", project)

    assert (project / "flows" / "mine.json").read_text() == "[]"


def test_a_project_that_is_not_there_is_made(archive, tmp_path):
    assert run("restore", archive, "--to", tmp_path / "a" / "b").exit_code == 0

    assert marks(tmp_path / "a" / "b") == all_of("new")
    assert run("check", tmp_path / "a" / "b").exit_code == 0


def test_the_data_folder_may_lie_elsewhere(archive, project, tmp_path):
    data = tmp_path / "elsewhere" / "data"

    assert run("restore", archive, "--to", project, "--data", data).exit_code == 0

    with DataFolder.read_only(data) as reader:
        assert [home.id for home in reader.homes.all()] == ["casa_new"]
    with DataFolder.read_only(project / "data") as reader:
        assert [home.id for home in reader.homes.all()] == ["casa_old"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_root_restores_for_the_user_that_the_service_runs_as(archive, project):
    os.chown(project / "data", 4321, 4321)

    run("restore", archive, "--to", project)

    assert {path.stat().st_uid for path in (project / "data", *(project / "data").glob("*.db"))} == {4321}


def test_restoring_twice_keeps_both_earlier_states(archive, project):
    run("restore", archive, "--to", project)
    run("restore", archive, "--to", project)

    assert len(list(project.glob("data.before-restore-*"))) == 2


def test_it_refuses_while_an_instance_runs(archive, project):
    with DataFolder(project / "data"):
        text = refused(archive, project)

    assert f"is in use by the solarflow with process id {os.getpid()}" in text


def test_check_says_what_is_in_a_backup_and_changes_nothing(archive, tmp_path):
    before = contents(tmp_path)

    result = run("restore", archive, "--check")

    assert result.exit_code == 0
    assert re.search(r"is complete and right: app\.db, broker-users\.json, telemetry\.db and \d+ files", result.output)
    assert contents(tmp_path) == before


# -- backups that are not right --


def test_a_backup_that_is_cut_off_anywhere_is_refused(archive, project):
    body = archive.read_bytes()
    for length in [*range(0, len(body), len(body) // 25), len(body) - 8, len(body) - 1]:
        archive.write_bytes(body[:length])

        assert "is not a complete backup" in refused(archive, project) or length == 0


def test_a_backup_with_a_bit_turned_over_is_refused(archive, project):
    body = archive.read_bytes()
    chance = random.Random(1)  # noqa: S311 - places in a file
    for _ in range(40):
        place = chance.randrange(10, len(body))  # behind gzip's header, where a changed date would change nothing
        archive.write_bytes(body[:place] + bytes([body[place] ^ 1 << chance.randrange(8)]) + body[place + 1 :])

        result = run("restore", archive, "--check")

        assert result.exit_code == 1, place
        assert "nothing was changed" in result.stderr.lower()


def test_a_file_that_was_changed_in_it_is_refused_by_its_checksum(archive, project):
    def change(members, _manifest):
        members["project/flows.json"] = members["project/flows.json"].replace(b"new", b"bad")

    assert "project/flows.json is not what was packed: its checksum is another" in refused(
        repack(archive, change, honest=False), project
    )


def test_a_newer_schema_is_refused(archive, project, tmp_path):
    def change(members, _manifest):
        members["data/telemetry.db"] = with_sql(
            members["data/telemetry.db"], tmp_path,
            "insert into _sqlite_migrations (migration_set, name, applied_at) values ('telemetry', 'm999_later', '')",
        )  # fmt: skip

    assert "was written by a newer solarflow: it has m999_later" in refused(repack(archive, change), project)


def test_a_newer_form_of_backups_is_refused(archive, project):
    def change(_members, manifest):
        manifest.update(format=2, solarflow="9.0")

    assert "was made by a newer solarflow (9.0)" in refused(repack(archive, change), project)


def test_a_database_that_is_damaged_although_its_checksum_is_right_is_refused(archive, project):
    def change(members, _manifest):
        body = bytearray(members["data/app.db"])
        for page in range(4096, len(body), 4096):
            body[page + 8 : page + 60] = b"\xff" * 52
        members["data/app.db"] = bytes(body)

    assert "damaged" in refused(repack(archive, change), project)


def test_a_database_of_another_program_is_refused(archive, project, tmp_path):
    def change(members, _manifest):
        members["data/app.db"] = with_sql(b"", tmp_path, "create table notes (text)")

    assert "is a database of another program" in refused(repack(archive, change), project)


def link(kind: bytes, name: str, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    "name",
    [
        "../evil.json", "/srv/evil.json", "project/../../evil.json", "project/flows/../../../evil.json",
        "project/.git/evil.json", "project/flows/.x.json", "project/evil.sh", "project//evil.json",
        "project\\evil.json",
        "data/evil.db", "data/../evil.json", "data/sub/app.db", "evil.json", "project/e\nvil.json", "",
    ],
)  # fmt: skip
def test_a_name_that_a_backup_does_not_have_is_refused_before_anything_is_written(archive, project, name):
    def change(members, _manifest):
        members[name] = b"[]"

    assert f"its manifest names {name!r}" in refused(repack(archive, change), project)
    assert not list(project.parent.parent.rglob("evil*"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_links_devices_and_folders_are_refused(archive, project, kind):
    def change(members, _manifest):
        members["project/flows/x.json"] = link(kind, "project/flows/x.json", "/etc/passwd")

    assert "project/flows/x.json is not the file of 0 bytes" in refused(repack(archive, change), project)


def test_a_file_that_the_manifest_does_not_name_is_refused(archive, project):
    def change(members, _manifest):
        members["project/flows/extra.json"] = b"[]"

    assert "its manifest does not name 'project/flows/extra.json'" in refused(
        repack(archive, change, honest=False), project
    )


def test_a_file_that_is_missing_is_named(archive, project):
    def change(members, _manifest):
        members.pop("data/app.db", None)

    assert "it lacks data/app.db" in refused(repack(archive, change, honest=False), project)
    assert "it lacks app.db" in refused(repack(archive, change), project)


def test_a_manifest_that_asks_for_more_than_the_disk_has_is_refused_before_anything_is_unpacked(archive, project):
    def change(_members, manifest):
        manifest["files"][0]["size"] = 10**17

    assert "there is no room to unpack" in refused(repack(archive, change, honest=False), project)


@pytest.mark.parametrize("body", [b"", b"not a backup", b"\x1f\x8b\x08\x00" + b"\x00" * 100])
def test_what_is_no_backup_at_all_is_refused(tmp_path, project, body):
    (tmp_path / "x.tar.gz").write_bytes(body)

    refused(tmp_path / "x.tar.gz", project)


def test_a_tar_of_something_else_is_refused(tmp_path, project):
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as tar:
        tar.add(project / "flows.json", "flows.json")

    assert "it is no backup of solarflow" in refused(tmp_path / "x.tar.gz", project)


def test_a_refused_backup_makes_no_project(tmp_path):
    (tmp_path / "x.tar.gz").write_bytes(b"not a backup")

    assert run("restore", tmp_path / "x.tar.gz", "--to", tmp_path / "new" / "project").exit_code == 1

    assert not (tmp_path / "new" / "project").exists()


def test_a_file_that_is_not_there_is_one_clear_line(tmp_path):
    result = run("restore", tmp_path / "none.tar.gz", "--to", tmp_path)

    assert (result.exit_code, result.stderr) == (1, f"solarflow: there is no file {tmp_path / 'none.tar.gz'}\n")


# -- in the middle of it --


def test_killed_at_any_step_it_leaves_the_old_state_or_the_next_command_finishes_the_new_one(
    archive, project, tmp_path
):
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, here / "killed_restore.py", project, archive, tmp_path / "killed"],
        capture_output=True, text=True, timeout=300, check=False, env={**os.environ, "PYTHONPATH": str(here)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    steps = [json.loads(line) for line in done.stdout.splitlines()]

    def phase(step):
        if step["committed"]:
            assert (step["finished"], step["after"]) == (True, all_of("new")), step
            return 1
        assert not step["finished"]
        assert step["before"] == step["after"]
        assert step["after"] in (all_of("old"), all_of("new")), step
        return 0 if step["after"] == all_of("old") else 2

    phases = [phase(step) for step in steps]
    assert phases == sorted(phases), "old, then to be finished, then new"
    assert phases.count(0) >= 10
    assert phases.count(1) >= 20


@pytest.mark.parametrize("at", range(6))
def test_where_the_disk_refuses_in_the_middle_everything_is_as_it_was(archive, project, monkeypatch, at):
    rename, count = Path.rename, iter(range(1000))

    def broken(self: Path, target: Path) -> Path:
        if next(count) == at:
            raise OSError(5, "Input/output error", str(self))
        return rename(self, target)

    before = contents(project)
    monkeypatch.setattr(Path, "rename", broken)
    result = run("restore", archive, "--to", project)

    assert result.exit_code == 1
    assert "Input/output error" in result.stderr
    assert "Everything is as it was" in result.stderr
    assert contents(project) == before


def test_two_restores_do_not_run_at_once(archive, project):
    from solarflow.restore import _alone

    with _alone(project):
        assert "is under way" in refused(archive, project)


def test_run_and_check_finish_a_restore_that_was_interrupted(archive, project, monkeypatch):
    import solarflow.restore as module

    with monkeypatch.context() as patch:
        patch.setattr(module, "_move", lambda _move: (_ for _ in ()).throw(KeyboardInterrupt))
        run("restore", archive, "--to", project)
    assert marks(project) == all_of("old")

    result = run("check", project)

    assert "had been interrupted; it is finished now" in result.stderr
    assert marks(project) == all_of("new")
