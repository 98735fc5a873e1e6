"""Processes that are killed, meet another one, or find no memory: at most a second is lost, and nothing is half."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from brokers import Mosquitto
from embedded import BareClient

from solarflow import state
from solarflow.cli.run import look_after
from solarflow.errors import ConnectionLostError
from solarflow.flowbench import FlowBench
from solarflow.live import LiveEngine
from solarflow.store import DataFolder

from .bad_nodes import TYPES
from .hub import Hub, HubProcess, until
from .projects import QUICK, make_project, register, stored
from .trial import Trial, fault

A = "casa_A"
LOST_S = 1.0
WAYS_S = 0.25
"""From a client's socket through the broker into the engine, on a busy machine."""


class NumberedReadings:
    """Publishes 100 a second and remembers when each was sent."""

    def __init__(self, port: int) -> None:
        self.sent: dict[int, float] = {}
        self._client = BareClient(port, "numbered")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while not self._ended.wait(0.01):
            number += 1
            self.sent[number] = time.monotonic()
            body = json.dumps({"potenza_w": number, "ts": STARTED + number * 0.002})
            self._client.publish(f"comunita/{A}/produzione", body.encode())

    def end(self) -> None:
        self._ended.set()
        self._thread.join(5)


STARTED = time.time() - 60


def integrity(data: Path) -> None:
    """No file is half: SQLite's own check, rollups that agree with their samples, a token that can be used."""
    with DataFolder(data) as folder:
        for part in (folder.telemetry, folder.homes):
            assert part.connection.database.execute("pragma integrity_check").fetchone() == ("ok",)
        query = "select series, hour, n, minimum, maximum from hourly order by 1, 2"
        kept = folder.telemetry.connection.database.execute(query).fetchall()
        right = folder.telemetry.connection.database.execute(
            "select series, ts_ms / 3600000, count(*), min(value), max(value) from samples group by 1, 2 order by 1, 2"
        ).fetchall()
        assert kept == right
    assert (data / "access-token").read_text().strip()


@fault("engine-killed", times=200)
def test_a_killed_engine_loses_at_most_the_last_second_of_telemetry(trial: Trial) -> None:
    project = make_project(trial.folder, QUICK.edits())
    register(trial.folder / "data", [A])
    broker = trial.enter(Mosquitto(trial.folder))
    hub = trial.enter(HubProcess(project, broker.url))
    rounds = 1 if trial.brief else 20
    trial.times = rounds
    readings = NumberedReadings(broker.port)
    trial.stack.callback(readings.end)
    until(lambda: hub.do("connected") is True, 10, "it hears its broker")
    connected = time.monotonic()
    gone: set[int] = set()
    """Lost at an earlier kill, or sent while nobody listened."""
    for number in range(rounds):
        until(lambda: stored(hub.data, A), 10, "readings are stored")
        time.sleep(trial.rng.uniform(0.2, 2.2))
        killed = hub.kill()
        kept = {int(value) for _, value in stored(hub.data, A)}
        due = {n for n, at in list(readings.sent.items()) if connected + WAYS_S < at < killed}
        lost = due - kept - gone
        oldest_s = max((killed - readings.sent[n] for n in lost), default=0.0)
        gone |= lost
        trial.lost += len(lost)
        trial.recovered(oldest_s, LOST_S + WAYS_S)
        integrity(hub.data)
        if number < rounds - 1:
            hub.start()
            until(lambda: hub.do("connected") is True, 10, "it hears its broker")
            gone |= {n for n, at in list(readings.sent.items()) if at > killed}
            connected = time.monotonic()
    hub.start()
    until(lambda: hub.do("connected") is True, 10, "it hears its broker")
    newest = max(readings.sent)
    until(lambda: max(v for _, v in stored(hub.data, A)) > newest, 5, "it goes on")


@fault("two-instances", times=10)
def test_a_second_instance_on_a_data_folder_is_refused_and_takes_over_when_the_first_is_dead(trial: Trial) -> None:
    project = make_project(trial.folder, QUICK.edits())
    register(trial.folder / "data", [A])
    first = trial.enter(HubProcess(project, "embedded"))
    second = HubProcess(project, "embedded")
    trial.stack.callback(lambda: second.__exit__())
    second.start(expect=False)
    assert second.answer.startswith("StoreError")
    assert f"process id {first.pid}" in second.answer
    assert first.do("connected") in (True, False), "the first goes on"
    first.kill()
    begun = time.monotonic()
    second.start()
    trial.recovered(time.monotonic() - begun, 10)
    second.end()
    integrity(second.data)


@fault("engine-thread-dies", times=5)
def test_a_process_whose_engine_has_died_ends_so_that_it_can_be_started_again(trial: Trial) -> None:
    enough = {"id": "enough", "type": "quits"}
    project = make_project(trial.folder, QUICK.edits(), {"odd": [enough]})
    register(trial.folder / "data", [A])
    hub = trial.enter(HubProcess(project, "embedded", types=TYPES))
    hub.do("inject", "enough", {})
    begun = time.monotonic()
    assert hub.wait(5) == 3
    integrity(hub.data)
    hub.start()
    assert hub.do("errors", "enough") == (0, "")
    trial.recovered(time.monotonic() - begun, 10)


def test_solarflow_run_says_that_its_engine_has_died_and_ends() -> None:
    class Died:
        live = LiveEngine(lambda live: None, save=lambda changes: None)  # type: ignore[arg-type, return-value]  # not run

    Died.live.died = "MemoryError: "
    with pytest.raises(ConnectionLostError, match=r"ended by itself: MemoryError.*start it again"):
        look_after(Died(), None)  # type: ignore[arg-type]  # all that it asks


def test_a_save_that_finds_no_memory_is_told_and_done_later(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project(trial.folder, QUICK.edits())
    register(trial.folder / "data", [A])
    hub = trial.enter(Hub(project))
    assert hub.instance.folder is not None
    with monkeypatch.context() as scarce:

        def no_memory(*_: object) -> None:
            raise MemoryError

        scarce.setattr(hub.instance.folder.telemetry, "commit", no_memory)
        meter = hub.publisher()
        meter.publish(f"comunita/{A}/produzione", b'{"potenza_w": 9}')
        until(lambda: hub.health()["status"] == "degraded", 5, "it is told")
        assert "MemoryError" in hub.health()["problems"][0]
    until(lambda: [value for _, value in stored(hub.data, A)] == [9], 5, "it is saved later")
    until(lambda: hub.health()["status"] == "ok", 5, "all is well")


def test_state_that_finds_no_memory_is_written_at_the_next_save(monkeypatch: pytest.MonkeyPatch) -> None:
    count = {"id": "count", "type": "window", "key": "topic", "by": "count", "size": 10, "function": "sum", "z": "odd"}
    bench = FlowBench([{"id": "odd", "type": "tab", "label": "odd"}, {**count, "x": 1, "y": 1, "wires": []}])
    for topic in ("a", "b", "c"):
        bench.inject("count", topic=topic, payload=1)
    dump, calls = state.dump_state, []

    def scarce(node: Any, value: Any) -> bytes:
        calls.append(value)
        if len(calls) == 2:
            raise MemoryError
        return dump(node, value)

    monkeypatch.setattr(state, "dump_state", scarce)
    bench.checkpoint()
    assert len(bench.saved.states) == 1
    bench.checkpoint()
    assert {key for _, key in bench.saved.states} == {"a", "b", "c"}


@fault("low-memory", times=10)
def test_without_memory_it_goes_on_or_dies_and_comes_again_with_its_state(trial: Trial) -> None:
    ten = {"id": "ten", "type": "window", "key": "topic", "by": "count", "size": 10, "function": "sum"}
    reads: dict[str, Any] = {"type": "mqtt in", "qos": "1", "datatype": "json", "broker": "broker"}
    project = make_project(
        trial.folder, QUICK.edits(),
        {"odd": [
            {**reads, "id": "in", "topic": "hoard", "wires": [["hoard"]]}, {"id": "hoard", "type": "hoards"},
            {**reads, "id": "numbers", "topic": "numbers", "wires": [["ten"]]}, {**ten, "wires": [["sums"]]},
            {"id": "sums", "type": "mqtt out", "topic": "sums", "broker": "broker"},
        ]},
    )  # fmt: skip
    register(trial.folder / "data", [A])
    broker = trial.enter(Mosquitto(trial.folder))
    hub = trial.enter(HubProcess(project, broker.url, types=TYPES))
    until(lambda: hub.do("connected") is True, 10, "it hears its broker")
    client = BareClient(broker.port, "numbers")

    def publish(topic: str, payload: bytes) -> None:
        client.publish(topic, payload, qos=1)
        client.read()

    for number in range(6):
        publish("numbers", b"%d" % number)
    time.sleep(1.0)  # all of it is saved by then
    all_at = trial.rng.choice([None, 0, 100])
    hub.do("lock_memory", trial.rng.choice([4, 12, 24]) << 20)
    for number in range(200):
        publish("hoard", b'"all"' if number == all_at else b"1")
        publish(f"comunita/{A}/produzione", b'{"potenza_w": 7}')
    begun = time.monotonic()
    exit_code = hub.wait(0.8)
    if exit_code is None:
        errors, last_error = hub.do("errors", "hoard")
        assert errors
        assert "MemoryError" in last_error
        hub.do("let_go", "hoard")
        exit_code = hub.wait(0.2)
    if exit_code is None:
        publish(f"comunita/{A}/produzione", b'{"potenza_w": 8}')
        until(lambda: 8 in {value for _, value in stored(hub.data, A)}, 5, "it goes on and stores what comes")
    else:
        assert exit_code != 0
        integrity(hub.data)
        hub.start()
        until(lambda: hub.do("connected") is True, 10, "it hears its broker")
        trial.lost += 1
    listener = BareClient(broker.port, "sums")
    listener.subscribe("sums")
    for number in range(6, 10):
        publish("numbers", b"%d" % number)
    listener.socket.settimeout(5)
    assert listener.read_publish()[1] == b"45", "with its state"
    trial.recovered(time.monotonic() - begun, 15)
