"""A disk that is full or fails: the hub says so, relays stay safe, nothing is lost, and it recovers by itself."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from brokers import Mosquitto
from embedded import BareClient

from solarflow.store import DataFolder
from solarflow.told_alerts import ToldAlerts

from .hub import Hub, HubProcess, open_alerts, until
from .projects import QUICK, make_project, register, stored
from .trial import Trial, fault

A, B = "casa_A", "casa_B"
STARTED = round(time.time()) - 60
WELL_S = 4.0
"""From room on the disk, or its working again, to everything being written."""


@contextmanager
def small_disk(folder: Path, megabytes: int = 6) -> Iterator[Path]:
    """A tmpfs of its own; skips where this user may not mount one."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("needs the right to mount a tmpfs (root)")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Take all the room that is left."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (65536, 4096, 512):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return filler


def publish_readings(client: BareClient, number: int, first: int = 1) -> None:
    """Numbered readings of casa_A; each has a time of its own, the same one if it comes twice."""
    for value in range(first, first + number):
        body = {"potenza_w": value, "ts": STARTED + value * 0.01}
        client.publish(f"comunita/{A}/produzione", json.dumps(body).encode(), qos=1)
        client.read()


def relays_work(hub: Hub) -> None:
    """A surplus switches on, silence switches off."""
    client = hub.publisher("relays-work")
    relay = hub.node("relays-boiler")

    def is_on() -> bool:
        state = hub.on_engine(lambda: relay.state.peek(B))
        return bool(state and state.on)

    def surplus() -> bool:
        client.publish(f"comunita/{B}/bilancio", b'{"produzione_w": 3000, "consumo_w": 300}')
        time.sleep(0.1)
        return is_on()

    until(surplus, 6, "a relay goes on")
    until(lambda: not is_on(), QUICK.readings_age_s + 2, "and off when its meter is silent")
    client.disconnect()


@fault("disk-full", times=10)
def test_a_full_disk_is_told_relays_go_on_and_nothing_is_lost(trial: Trial) -> None:
    disk = trial.enter(small_disk(trial.folder / "disk"))
    register(disk, [A, B])
    hub = trial.enter(Hub(make_project(trial.folder, QUICK.edits()), data=disk))
    client = hub.publisher()
    publish_readings(client, 50)
    until(lambda: len(stored(disk, A)) == 50, 5, "all is well")
    filler = fill(disk)
    publish_readings(client, 300, first=51)

    def is_told() -> bool:
        publish_readings(client, 20, first=351)
        return any("disk is full" in problem or "space" in problem for problem in hub.health()["problems"])

    until(is_told, 10, "/health tells it")
    assert hub.health()["status"] == "degraded"
    # An alert that cannot be written must not cost the other homes their readings.
    skewed = json.dumps({"produzione_w": 1, "consumo_w": 1, "ts": time.time() + 7200}).encode()
    client.publish(f"comunita/{A}/bilancio", skewed)
    relays_work(hub)
    assert hub.health()["status"] == "degraded"
    filler.unlink()
    begun = time.monotonic()
    until(lambda: {value for _, value in stored(disk, A)} >= set(range(1, 371)), 10, "all is written")
    until(lambda: hub.health()["status"] == "ok", 5, "all is well again")
    trial.recovered(time.monotonic() - begun, WELL_S)
    until(lambda: "clock-skew" in open_alerts(disk, A), 5, "the alert stands in the list")
    client.publish(f"comunita/{A}/bilancio", skewed.replace(b'"ts"', b'"then"'))
    relays_work(hub)


@fault("start-on-a-full-disk")
def test_a_start_on_a_full_disk_is_one_clear_error_and_the_next_one_works(trial: Trial) -> None:
    disk = trial.enter(small_disk(trial.folder / "disk"))
    project = make_project(trial.folder, QUICK.edits())
    register(disk, [A])
    filler = fill(disk)
    begun = time.monotonic()
    try:
        with Hub(project, data=disk) as hub:
            until(lambda: hub.health()["status"] == "degraded", 5, "it runs, and says so")
    except Exception as error:  # noqa: BLE001 - which one it is, is what is looked at
        assert type(error).__name__ == "StoreError", repr(error)
        assert "space" in str(error), str(error)
    filler.unlink()
    with Hub(project, data=disk) as hub:
        hub.proves_well(A, 1701)
    trial.recovered(time.monotonic() - begun, 20)


@fault("disk-errors", times=10)
def test_a_disk_that_does_not_write_is_told_and_when_it_does_nothing_is_lost(trial: Trial) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace")
    project = make_project(trial.folder, QUICK.edits())
    register(trial.folder / "data", [A, B])
    broker = trial.enter(Mosquitto(trial.folder))
    hub = trial.enter(HubProcess(project, broker.url))
    until(lambda: hub.do("connected") is True, 10, "the engine hears its broker")
    client = BareClient(broker.port, "meter")
    publish_readings(client, 50)
    until(lambda: len(stored(hub.data, A)) == 50, 5, "all is well")
    call, error = trial.rng.choice([("pwrite64", "EIO"), ("pwrite64", "ENOSPC"), ("fdatasync,fsync,pwrite64", "EIO")])
    injecting = subprocess.Popen(
        [strace, "-f", "-qq", "-o", "/dev/null", "-p", str(hub.pid), "-e", f"trace={call}",
         "-e", f"inject={call}:error={error}"],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    trial.stack.callback(injecting.wait)
    trial.stack.callback(injecting.kill)
    first = 51

    def is_told() -> bool:
        nonlocal first
        publish_readings(client, 20, first)
        first += 20
        return bool(hub.do("problems"))

    until(is_told, 15, f"{error} of {call} is told")
    said = " ".join(hub.do("problems"))
    assert "disk" in said, said
    hub.do("inject", "relays-boiler", {"home": B, "override": "on", "for_s": 1.0})
    publish_readings(client, 100, first)
    injecting.send_signal(signal.SIGINT)
    injecting.wait(5)
    begun = time.monotonic()
    want = set(range(1, first + 100))
    until(lambda: {value for _, value in stored(hub.data, A)} >= want, 10, "all is written")
    until(lambda: not hub.do("problems"), 5, "all is well again")
    trial.recovered(time.monotonic() - begun, WELL_S)
    hub.end()
    with DataFolder(hub.data) as folder:
        for part in (folder.telemetry, folder.homes):
            assert part.connection.database.execute("pragma integrity_check").fetchone() == ("ok",)


def test_alerts_that_cannot_be_written_wait_in_their_order(tmp_path: Path) -> None:
    with DataFolder(tmp_path) as folder:
        alerts = ToldAlerts(folder.alerts)
        folder.alerts.connection.database.execute("pragma query_only = on")
        assert alerts.open(A, "low-yield", {"ratio": 0.5}, 1.0) == 0
        assert alerts.open(A, "low-yield", {"ratio": 0.5}, 2.0) == 0
        assert alerts.close(A, "low-yield", 3.0)
        assert not alerts.close(A, "low-yield", 4.0)
        assert alerts.open(B, "clock-skew", {}, 5.0) == 0
        assert alerts.waiting == 3
        folder.alerts.connection.database.execute("pragma query_only = off")
        alerts.retry()
        assert alerts.waiting == 0
        assert [(a.home, a.code, a.opened, a.closed) for a in folder.alerts.recent()] == [
            (B, "clock-skew", 5.0, None), (A, "low-yield", 1.0, 3.0),
        ]  # fmt: skip
        assert alerts.open(A, "low-yield", {}, 6.0) > 0
