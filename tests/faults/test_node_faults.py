"""Nodes and flows that misbehave: named, contained, and gone with the next deploy."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from embedded import publish_bytes

from solarflow.errors import FlowError

from .bad_nodes import Blocks, with_bad_nodes
from .hub import Hub, until
from .projects import QUICK, edit, make_project, register, write_flow
from .trial import Trial, fault

A, B = "casa_A", "casa_B"


def mqtt_in(to: str) -> dict[str, Any]:
    return {"id": "in", "type": "mqtt in", "topic": "comunita/{home}/produzione", "qos": "0", "datatype": "json",
            "broker": "broker", "wires": [[to]]}  # fmt: skip


def started(trial: Trial, *nodes: dict[str, Any]) -> Hub:
    project = make_project(trial.folder, QUICK.edits(), {"odd": nodes})
    register(trial.folder / "data", [A, B])
    return trial.enter(Hub(project, registry=with_bad_nodes()))


def mend(hub: Hub, *nodes: dict[str, Any]) -> None:
    """Deploy the bad flow without what is bad."""
    write_flow(hub.instance.options.project, "odd", nodes)
    hub.instance.deploy()


@fault("node-raises", times=10)
def test_a_node_that_fails_at_every_message_rests_and_disturbs_no_other(trial: Trial) -> None:
    hub = started(trial, mqtt_in("bad"), {"id": "bad", "type": "raises"})
    meter = hub.publisher()
    for _ in range(300):
        meter.publish(f"comunita/{A}/produzione", b'{"potenza_w": 1800}')
    engine = hub.instance.engine
    until(lambda: engine.cells["ingest-produzione-record"].received >= 300, 5, "all went through the other flows")
    assert engine.cells["bad"].errors == 10, "then it rested"
    assert engine.breakers["bad"].open_keys == [A]
    assert "rests" in engine.statuses["bad"][A].text
    begun = time.monotonic()
    mend(hub, mqtt_in("good"), {"id": "good", "type": "debug"})
    assert hub.proves_well(A, 1801) < 5
    assert engine.cells["good"].received >= 1
    trial.recovered(time.monotonic() - begun, 6)


@fault("node-blocks", times=5)
def test_a_node_that_blocks_on_a_message_is_named(trial: Trial) -> None:
    is_named(trial, "blocks")


@fault("timer-blocks", times=5)
def test_a_node_that_blocks_in_its_timer_is_named(trial: Trial) -> None:
    is_named(trial, "sleeps")


def is_named(trial: Trial, kind: str) -> None:
    """The watchdog tells which node it is, where it stands, and that it is over."""
    Blocks.let_go.clear()
    trial.stack.callback(Blocks.let_go.set)
    bad = {"id": "culprit", "type": kind, "name": "it was me"}
    hub = started(trial, mqtt_in("pass"), {"id": "pass", "type": "change", "rules": [], "wires": [["culprit"]]}, bad)
    assert hub.instance.live.watchdog is not None
    watchdog = hub.instance.live.watchdog
    if trial.brief:
        watchdog._tell_after_s, watchdog._ask_every_s = 0.8, 0.2
    begun = time.monotonic()
    hub.publisher().publish(f"comunita/{A}/produzione", b'{"potenza_w": 1802}')
    blocked = until(lambda: watchdog.blocked, 10, "it is noticed")
    assert time.monotonic() - begun < 6
    assert blocked.node == "culprit"
    assert f"flows/odd.json: {kind} culprit 'it was me'" in str(blocked)
    assert "bad_nodes.py" in blocked.stack
    asked = time.monotonic()
    health = hub.health()
    assert time.monotonic() - asked < 1, "whoever asks does not wait for the engine"
    assert health["status"] == "degraded"
    assert "culprit" in health["problems"][0]
    assert health["blocked_by"] == "culprit"
    Blocks.let_go.set()
    free = time.monotonic()
    until(lambda: watchdog.blocked is None, 5, "the engine goes on")
    until(lambda: hub.health()["status"] == "ok", 5, "all is well again")
    trial.recovered(time.monotonic() - free, 3)
    assert watchdog.count == 1
    assert watchdog.last is not None
    assert watchdog.last.node == "culprit"
    assert "solarflow_engine_blocked_total 1" in hub.client.get("/metrics").text
    hub.proves_well(A, 1803)


@fault("busy-engine", times=2)
def test_an_engine_that_is_only_busy_accuses_nobody(trial: Trial) -> None:
    hub = started(trial, mqtt_in("out"), {"id": "out", "type": "debug"})
    meter = hub.publisher()
    assert hub.instance.live.watchdog is not None
    if trial.brief:
        hub.instance.live.watchdog._tell_after_s, hub.instance.live.watchdog._ask_every_s = 0.8, 0.2
    ended = threading.Event()
    one = publish_bytes(f"comunita/{A}/produzione", b'{"potenza_w": 3}')

    def flood() -> None:
        while not ended.is_set():
            meter.send(one * 500)

    thread = threading.Thread(target=flood, daemon=True)
    thread.start()
    ended.wait(1.5 if trial.brief else 10)
    ended.set()
    thread.join(5)
    watchdog = hub.instance.live.watchdog
    assert watchdog is not None
    assert watchdog.count == 0, watchdog.last
    meter.socket.close()
    trial.recovered(hub.proves_well(B, 1804, 20), 20)


@fault("circle", times=5)
def test_a_flow_that_feeds_itself_ends_at_its_limit_and_starves_nobody(trial: Trial) -> None:
    goes_round(trial, doubling=False)


@fault("doubling-circle", times=5)
def test_a_flow_that_feeds_itself_twice_is_bounded_and_starves_nobody(trial: Trial) -> None:
    goes_round(trial, doubling=True)


def goes_round(trial: Trial, doubling: bool) -> None:
    """A circle of two nodes, beside the shipped flows."""
    first = {"id": "a", "type": "circles" if doubling else "change", "wires": [["b"]]}
    second = {"id": "b", "type": "change", "rules": [], "wires": [["a"]]}
    hub = started(trial, mqtt_in("a"), first | ({} if doubling else {"rules": []}), second)
    assert any(problem.code for problem in hub.instance.problems), "the deploy warns of it"
    hub.publisher().publish(f"comunita/{A}/produzione", b'{"potenza_w": 1805}')
    engine = hub.instance.engine
    until(lambda: engine.cells["a"].received > 900, 10, "it goes round")
    begun = time.monotonic()
    hub.on_engine(lambda: 1)
    assert time.monotonic() - begun < 2, "who calls the engine gets his turn"
    until(lambda: engine.cells["a"].errors + engine.cells["b"].errors > 0, 30, "it ends at the limit, as an error")
    begun = time.monotonic()
    mend(hub, mqtt_in("a"), {"id": "a", "type": "debug"})
    trial.recovered(time.monotonic() - begun + hub.proves_well(A, 1806, 10), 12)
    assert len(engine._queue) == 0


@fault("invalid-flow", times=10)
def test_an_invalid_flow_leaves_the_running_one_alive(trial: Trial) -> None:
    hub = started(trial, mqtt_in("out"), {"id": "out", "type": "debug"})
    project = hub.instance.options.project
    hub.proves_well(A, 1807)
    before = hub.instance.engine.plan
    file = project / "flows" / "odd.json"
    good, manifest = file.read_text(), project / "flows.json"
    listed = manifest.read_text()
    for path, text in (
        (file, ""), (file, "["), (file, '{"id": 1}'), (file, "[null]"), (file, good.replace("debug", "debuk")),
        (file, good.replace('"broker": "broker"', '"broker": "nobody"')), (manifest, "{"), (manifest, ""),
    ):  # fmt: skip
        path.write_text(text)
        with pytest.raises(FlowError) as refused:
            hub.instance.deploy()
        assert path.name in str(refused.value)
        assert hub.instance.engine.plan is before
        file.write_text(good)
        manifest.write_text(listed)
        trial.times += 1
    trial.recovered(hub.proves_well(A, 1808), 5)
    edit(project, "odd", "out", name="renamed")
    assert hub.instance.deploy().started == ["out"]
