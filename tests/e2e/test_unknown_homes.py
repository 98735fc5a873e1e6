"""A home that nobody approved is heard, listed, and enters no feature until somebody approves it."""

from __future__ import annotations

from pathlib import Path

from running import Listener, Meters, Solarflow, until, with_both_brokers

from solarflow.store import DataFolder


def test_an_unknown_home_enters_nothing_until_it_is_approved(tmp_path: Path, project: Path) -> None:
    with_both_brokers(tmp_path, project, _heard_then_approved)


def _heard_then_approved(broker: str, project: Path) -> None:
    with (
        Solarflow(project, broker, "--speed", 150) as engine,
        Listener(engine.connected().broker_port) as heard,
        Meters(engine.broker_port, interval_s=0.1) as meters,
    ):
        meters["comunita/casa_X/bilancio"] = {"produzione_w": 5000, "consumo_w": 300}
        until(lambda: engine.health()["homes_waiting_for_approval"] == 1, 10, "it is noticed")
        until(lambda: _pending(engine.data) == ["casa_X"], 10, "it is kept as waiting")
        assert "casa_X               waits for approval" in engine.homes("list").stdout
        assert not heard.on("comunita/casa_X/rele/1/set")
        assert _samples(engine.data) == []

        approved = engine.homes("approve", "casa_X")
        assert approved.returncode == 0
        assert "casa_X is approved" in approved.stdout
        assert heard.wait("comunita/casa_X/rele/1/set", 20, stato="ON").payload["ttl_s"] == 300
        until(lambda: _samples(engine.data), 5, "its readings are stored")
        assert _pending(engine.data) == []


def _pending(data: Path) -> list[str]:
    with DataFolder.read_only(data) as reader:
        return [waiting.id for waiting in reader.homes.pending()]


def _samples(data: Path) -> list[str]:
    with DataFolder.read_only(data) as reader:
        return [series.name for series in reader.telemetry.series()]
