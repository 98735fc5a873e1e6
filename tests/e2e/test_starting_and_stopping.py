"""How an instance begins and ends, when all is well and when something is in its way."""

from __future__ import annotations

import re
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import urlopen

import pytest
from brokers import Mosquitto
from running import (
    Device,
    Listener,
    Meters,
    Process,
    Solarflow,
    add_flow,
    command,
    edit,
    end_limit_s,
    home,
    mqtt_in,
    mqtt_out,
    publish,
    register,
    solarflow,
    until,
)

from solarflow.clock import Clock, ScaledClock, SystemClock
from solarflow.instance import Instance, Options


def test_a_second_instance_is_told_who_has_the_data_folder(project: Path) -> None:
    with Solarflow(project) as engine:
        port = engine.url.rsplit(":", 1)[1]
        second = solarflow("run", project, "--port", 0, "--broker-port", 0)
        assert second.returncode == 1
        assert second.stderr.count("\n") == 1, second.stderr
        assert f"process id {engine.pid}" in second.stderr
        assert f"on port {port}" in second.stderr
        assert "--data" in second.stderr
        assert engine.health()["status"] == "ok"


@pytest.mark.parametrize("option", ["--port", "--broker-port"])
def test_a_port_that_is_taken_is_one_clear_line(project: Path, option: str) -> None:
    other = {"--port": "--broker-port", "--broker-port": "--port"}[option]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = solarflow("run", project, option, port, other, 0)
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1, refused.stderr
    assert refused.stderr.startswith("solarflow: ")
    assert str(port) in refused.stderr
    assert option in refused.stderr
    again = solarflow("homes", "list", "--data", project / "data")
    assert "Traceback" not in again.stderr, "nothing is left behind locked"


def test_without_its_broker_it_runs_says_so_and_connects_when_the_broker_appears(project: Path, tmp_path: Path) -> None:
    add_flow(project, "echo", [mqtt_in("ping", "ping", "pong"), mqtt_out("pong", "pong")])
    with Mosquitto(tmp_path) as mosquitto:
        mosquitto.stop()
        with Solarflow(project, mosquitto.url) as engine:
            said = until(lambda: engine.health()["problems"], 5, "it says that the broker is away")
            assert engine.health()["status"] == "degraded"
            assert str(mosquitto.port) in " ".join(said)
            assert engine.ask("GET", "/api/dashboard/").status == 200, "the rest works"
            engine.line(f"127.0.0.1:{mosquitto.port}")
            mosquitto.start()
            engine.connected(20)
            with Listener(mosquitto.port, "pong") as heard:
                publish(mosquitto.port, "ping", 1)
                heard.wait("pong")
            assert engine.health()["problems"] == []


def test_scaled_time_goes_on_where_the_data_end_and_real_time_says_that_they_are_ahead(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def run_at(clock: Clock) -> float:
        instance = Instance(Options(project, project / "data", broker_port=0, clock=clock, environ={}))
        instance.start()
        instance.stop()
        return clock.now()

    caplog.set_level("INFO", "solarflow")
    ended = run_at(ScaledClock(10.0, time.time() + 7200))
    assert "data" not in caplog.text
    assert run_at(ScaledClock(10.0)) > ended
    assert re.search(r"the clock goes on at .* UTC, where the data end", caplog.text)
    assert abs(run_at(SystemClock()) - time.time()) < 1
    assert re.search(r"the data were saved at .* UTC, which is ahead of the clock", caplog.text)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_within_two_seconds_with_a_page_open_and_a_relay_on(
    broker: str, project: Path, how: signal.Signals
) -> None:
    register(project, home("casa_A"))
    with (
        Solarflow(project, broker) as engine,
        Listener(engine.connected().broker_port) as heard,
        Device(engine.broker_port) as device,
    ):
        assert engine.ask("POST", "/api/rele/casa_A/1", {"stato": "on", "per_s": 3600}).status == 202
        heard.wait("comunita/casa_A/rele/1", stato="ON")
        page = urlopen(f"{engine.url}/_live", timeout=10)  # noqa: S310 - our own server
        assert page.headers["content-type"].startswith("text/event-stream")
        assert page.readline(), "the stream is under way"
        read_on = ThreadPoolExecutor(1).submit(page.read)

        code, took_s = engine.end(how)
        assert code == 0
        assert took_s < end_limit_s()
        read_on.result(2)  # the stream has come to its end
        assert "Traceback" not in engine.output
        if broker != "embedded":
            heard.wait("comunita/casa_A/rele/1", since=heard.on("comunita/casa_A/rele/1")[0].at, stato="OFF")
            assert not device.is_on("casa_A"), "what it had switched on it switches off"


def test_the_demonstration_shows_relays_and_the_alert_and_ends_on_ctrl_c() -> None:
    with Process(command("demo", "--speed", 600, "--port", 0)) as demo:
        demo.line(r"pages at http://127\.0\.0\.1:\d+", 30)
        demo.line(r"12 homes publish; it is 1\d:\d\d on 21 June there, 600 times as fast")
        demo.line(r"casa_\d\d  \w+ ON: surplus", 10)
        demo.line(r"casa_07  ALERT low-yield", 15)
        code, took_s = demo.end(signal.SIGINT)
        assert code == 0
        assert took_s < end_limit_s()
        assert len([line for line in demo.lines if "ALERT" in line]) == 1
        assert "Traceback" not in demo.output


def test_a_flow_that_fails_on_every_message_disturbs_no_other(broker: str, project: Path) -> None:
    edit(project, "benchmark", "benchmark-compare", period_s=0.2)
    bad = {"id": "divide", "type": "expression", "expression": "payload.potenza_w / 0", "wires": [["never"]]}
    inputs = mqtt_in("in", "comunita/{home}/produzione", "divide")
    add_flow(project, "bad", [inputs, bad, mqtt_out("never", "never")])
    homes = ("casa_A", "casa_B", "casa_C", "casa_D")
    register(project, *(home(ident) for ident in homes))
    with (
        Solarflow(project, broker) as engine,
        Listener(engine.connected().broker_port, "never") as heard,
        Meters(engine.broker_port, interval_s=0.05) as meters,
    ):
        for ident in homes:
            meters[f"comunita/{ident}/produzione"] = {"potenza_w": 2400}
        until(lambda: engine.health()["flows"]["bad"]["errors"] >= 40, 10, "each home's messages have failed ten times")
        first = until(lambda: engine.ask("GET", "/api/dashboard/").body["ts"], 10, "the homes are compared")
        until(lambda: engine.ask("GET", "/api/dashboard/").body["ts"] > first + 1, 10, "again and again")
        assert engine.ask("GET", "/api/dashboard/").body["numero_case"] == 4
        flows = engine.health()["flows"]
        assert {name: flow["errors"] for name, flow in flows.items() if name != "bad"} == {
            "ingest": 0,
            "benchmark": 0,
            "self-consumption": 0,
        }
        assert heard.heard == []
        engine.end()
        lines = [line for line in engine.lines if "bad" in line]
        assert 1 <= len(lines) <= 20, "it is told, and not a thousand times"
