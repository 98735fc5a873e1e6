"""`solarflow doctor`: each thing that can be wrong is made wrong, and named with what to do about it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from archives import contents, make_installation
from brokers import Mosquitto, free_port, make_certificates
from command_line import run

from solarflow.doctor import machine, network, software
from solarflow.store import DataFolder


@pytest.fixture
def project(tmp_path):
    return make_installation(tmp_path, "one")


@pytest.fixture(autouse=True)
def own_ports(monkeypatch):
    """Two ports of this test's own in the place of the usual ones, which something else on this machine may use."""
    pages, broker = free_port(), free_port()
    monkeypatch.setattr(network, "PORTS", {pages: ("pages", "--port"), broker: ("embedded broker", "--broker-port")})
    return pages, broker


class Examined:
    def __init__(self, project: Path, *options: object) -> None:
        result = run("doctor", project, "--json", *options)
        self.exit_code = result.exit_code
        self.all = json.loads(result.stdout)
        self.checks = [SimpleNamespace(**check) for check in self.all["checks"]]

    def one(self, check: str, verdict: str | None = None) -> SimpleNamespace:
        found = [c for c in self.checks if c.check == check and verdict in (None, c.verdict)]
        assert len(found) == 1, self.checks
        return found[0]


def test_a_healthy_installation_has_no_problem(project):
    result = run("doctor", project)

    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1].startswith("0 problems")
    for line in ("ok       Python ", "ok       project ", "ok       databases ", "ok       disk "):
        assert line in result.output


def test_every_finding_that_is_not_ok_says_what_to_do(tmp_path):
    examined = Examined(tmp_path / "nothing", "--broker", f"mqtt://127.0.0.1:{free_port()}")

    assert examined.exit_code == 1
    assert examined.all["problems"] == 2
    assert all(bool(check.mend) == (check.verdict != "ok") for check in examined.checks)


def test_it_changes_nothing(project):
    before = contents(project)

    run("doctor", project)

    assert contents(project) == before


# -- software --


def test_an_error_in_the_project_is_counted_and_the_first_one_named(project):
    path = project / "flows" / "ingest.json"
    path.write_text("[")

    found = Examined(project).one("project")

    assert found.verdict == "problem"
    assert "1 errors" in found.text
    assert "flows/ingest.json: is not JSON" in found.text
    assert found.mend == f"solarflow check {project} lists all, with what to do"


def test_a_project_without_a_time_zone_is_a_warning(project):
    manifest = json.loads((project / "flows.json").read_text())
    del manifest["settings"]["timezone"]
    (project / "flows.json").write_text(json.dumps(manifest))

    assert Examined(project).one("time zone").verdict == "warning"


def test_a_paho_that_has_changed_inside_is_a_warning(project, monkeypatch):
    monkeypatch.setattr(software, "supported", lambda: ["_packet_read"])

    found = Examined(project).one("MQTT client")

    assert (found.verdict, "lacks _packet_read" in found.text) == ("warning", True)


@pytest.mark.parametrize(
    ("version", "verdict", "told"),
    [((3, 36, 0), "problem", "is too old"), ((3, 51, 2), "ok", "two writers"), ((3, 51, 3), "ok", "")],
)
def test_what_a_version_of_sqlite_means(project, monkeypatch, version, verdict, told):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)

    found = Examined(project).one("SQLite")

    assert found.verdict == verdict
    assert told in found.text
    assert told != "" or "two writers" not in found.text


@pytest.mark.parametrize("name", ["credentials.json", "data/broker-users.json", "data/access-token"])
def test_a_secret_that_others_can_read_is_a_problem(project, name):
    (project / name).chmod(0o644)

    found = Examined(project).one("secrets")

    assert found.text == f"others can read {project / name} (mode 644)"
    assert found.mend == f"chmod 600 {project / name}"


def test_users_of_the_broker_that_cannot_be_read_are_a_problem(project):
    (project / "data" / "broker-users.json").write_text("{")

    assert "cannot be read" in Examined(project).one("secrets", "problem").text


def test_a_damaged_database_is_a_problem(project):
    (project / "data" / "app.db").write_bytes(b"no database" * 1000)

    assert "the file is damaged" in Examined(project).one("databases").text


def test_an_interrupted_restore_is_a_problem(project):
    (project / ".solarflow").mkdir()
    (project / ".solarflow" / "restore.json").write_text("{}")

    assert Examined(project).one("restore").mend == f"solarflow check {project} finishes it"


# -- machine --


def test_a_data_folder_that_others_can_look_into_is_a_warning(project):
    (project / "data").chmod(0o755)

    found = Examined(project).one("data folder")

    assert (found.verdict, found.mend) == ("warning", f"chmod 700 {project / 'data'}")


def test_a_data_folder_of_another_user_is_a_problem(project, monkeypatch):
    owner = (project / "data").stat().st_uid
    monkeypatch.setattr(machine.os, "geteuid", lambda: owner + 1000)

    found = Examined(project).one("data folder")

    assert found.verdict == "problem"
    assert f"belongs to user {owner}" in found.text


@pytest.mark.parametrize(("free", "verdict"), [(5e7, "problem"), (5e8, "warning"), (5e9, "ok")])
def test_a_disk_that_is_nearly_full_is_told(project, monkeypatch, free, verdict):
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=int(free)))

    found = Examined(project).one("disk")

    assert found.verdict == verdict
    assert ("raw_days" in found.mend) == (verdict != "ok")


def test_a_folder_that_cannot_be_written_is_a_problem(project, monkeypatch):
    def refused(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(machine.tempfile, "TemporaryFile", refused)

    assert "Read-only file system" in Examined(project).one("writing").text


def test_a_disk_that_is_slow_to_write_is_a_warning(project, monkeypatch):
    ticks = iter([0.0, 0.9])
    monkeypatch.setattr(machine.time, "perf_counter", lambda: next(ticks))

    assert Examined(project).one("writing").verdict == "warning"


@pytest.mark.skipif(not Path("/proc/self/fdinfo").exists(), reason="who has a file open is read from Linux's /proc")
def test_another_program_that_has_a_database_open_for_writing_is_a_problem(project):
    script = (
        "import sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1])\n"
        "c.execute('select * from homes').fetchall()\n"
        "print('open', flush=True)\n"
        "input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, project / "data" / "app.db"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        try:
            assert other.stdout is not None
            other.stdout.readline()
            found = Examined(project).one("writers")
        finally:
            other.kill()

    assert found.verdict == "problem"
    assert str(other.pid) in found.text
    assert Examined(project).one("writers").verdict == "ok"


def test_the_program_that_has_the_folder_is_named_and_its_own_writing_is_no_problem(project):
    with DataFolder(project / "data"):
        found = Examined(project).one("writers")

    assert (found.verdict, f"process id {os.getpid()}" in found.text) == ("ok", True)


def test_a_clock_that_is_behind_what_was_written_is_a_problem(project):
    later = time.time() + 3 * 86_400
    os.utime(project / "data" / "app.db", (later, later))

    found = Examined(project).one("clock")

    assert found.verdict == "problem"
    assert "was written 3.0 days after that" in found.text


def test_a_clock_without_a_battery_is_a_problem(project, monkeypatch):
    monkeypatch.setattr(machine.time, "time", lambda: 1000.0)

    assert "1970-01-01" in Examined(project).one("clock", "problem").text


@pytest.mark.parametrize(
    ("says", "verdict", "told"),
    [("echo yes", "ok", "kept by a time server"), ("echo no", "warning", "NTP is not in step"),
     ("exit 1", "ok", "not known"), ("echo odd", "ok", "not known")],
)  # fmt: skip
def test_whether_a_time_server_keeps_the_clock_is_what_timedatectl_says(
    project, tmp_path, monkeypatch, says, verdict, told
):
    program = tmp_path / "bin" / "timedatectl"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{says}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    found = Examined(project).one("clock")

    assert (found.verdict, told in found.text) == (verdict, True)


# -- network --


def test_a_port_that_another_program_has_is_a_warning_with_the_option_for_another(project, own_ports):
    with socket.create_server(("127.0.0.1", own_ports[1])):
        found = Examined(project).one(f"port {own_ports[1]}")

    assert found.verdict == "warning"
    assert "--broker-port" in found.mend
    assert Examined(project).one(f"port {own_ports[1]}").verdict == "ok"


def test_a_running_instance_is_asked_how_it_is_and_its_ports_are_its_own(project, own_ports):
    (project / "data" / "broker-users.json").unlink()
    pages, broker = map(str, own_ports)
    command = [sys.executable, "-m", "solarflow.cli", "run", project, "--port", pages, "--broker-port", broker]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as instance:
        try:
            assert instance.stdout is not None
            assert any("pages at" in line for line in instance.stdout)
            examined = Examined(project)
        finally:
            instance.kill()

    assert examined.exit_code == 0, examined.checks
    assert "3 flows, 1 homes" in examined.one("instance").text
    assert [examined.one(f"port {port}").text for port in own_ports] == ["used by the running instance"] * 2
    assert f"process id {instance.pid}" in examined.one("writers").text


def test_an_instance_that_does_not_answer_is_a_problem(project):
    with DataFolder(project / "data") as folder:
        assert Examined(project).one("instance").verdict == "warning"
        folder.announce(free_port())

        found = Examined(project).one("instance")

    assert (found.verdict, "does not answer" in found.text) == ("problem", True)


@pytest.mark.broker
def test_a_broker_that_lets_us_in_is_said_to(project, tmp_path):
    with Mosquitto(tmp_path, users={"hub": "right"}) as broker:
        found = Examined(project, "--broker", f"mqtt://hub:right@127.0.0.1:{broker.port}").one("broker")

    assert (found.verdict, found.text) == ("ok", f"mqtt://127.0.0.1:{broker.port} lets us in, as 'hub'")


@pytest.mark.broker
def test_a_wrong_password_is_a_problem_and_never_shown(project, tmp_path):
    with Mosquitto(tmp_path, users={"hub": "right"}) as broker:
        examined = Examined(project, "--broker", f"mqtt://hub:wrong-one@127.0.0.1:{broker.port}")

    assert examined.exit_code == 1
    assert "does not let user 'hub' in" in examined.one("broker").text
    assert "wrong-one" not in json.dumps(examined.all)


@pytest.mark.broker
def test_a_certificate_that_nobody_here_trusts_is_a_problem(project, tmp_path):
    with Mosquitto(tmp_path, tls=make_certificates(tmp_path / "tls")) as broker:
        found = Examined(project, "--broker", broker.url).one("broker")

    assert found.verdict == "problem"
    assert "certificate is not trusted" in found.text


@pytest.mark.broker
def test_a_certificate_that_ends_soon_is_a_warning(project, tmp_path, monkeypatch):
    certificates = make_certificates(tmp_path / "tls")
    monkeypatch.setenv("SSL_CERT_FILE", certificates.ca_file)
    with Mosquitto(tmp_path, tls=certificates) as broker:
        examined = Examined(project, "--broker", broker.url)

    assert examined.one("broker", "ok").text.endswith("lets us in, without user and password, with TLS")
    assert "ends in 1 days" in examined.one("broker", "warning").text


def test_a_broker_elsewhere_without_tls_is_a_warning(project, monkeypatch):
    async def connected(_options: object) -> tuple[object, str]:
        return network.State.CONNECTED, ""

    monkeypatch.setattr(network, "_try", connected)

    assert (
        "nothing is encrypted" in Examined(project, "--broker", "mqtt://broker.example").one("broker", "warning").text
    )


def test_an_address_that_is_none_is_a_problem(project):
    assert "does not say mqtt://" in Examined(project, "--broker", "broker.example").one("broker").text
