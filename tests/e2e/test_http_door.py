"""Homes that speak HTTP: what they post goes over the broker like everybody's, and what they ask is answered."""

from __future__ import annotations

import time
from pathlib import Path

from running import BOILER, Listener, Meters, Solarflow, edit, home, publish, register, until

from solarflow.store import DataFolder


def test_posted_readings_are_published_and_stored_and_wrong_ones_refused_with_reasons(
    broker: str, project: Path
) -> None:
    register(project, home("casa_A"))
    with Solarflow(project, broker) as engine, Listener(engine.connected().broker_port) as heard:
        assert engine.ask("POST", "/api/produzione/", {"casa": "casa_A", "potenza_w": 1500}).status == 202
        assert heard.wait("comunita/casa_A/produzione").payload == {"potenza_w": 1500}
        reading = {"produzione_w": 1500, "consumo_w": 400}
        assert engine.ask("POST", "/api/bilancio/", {"casa": "casa_A", **reading}).status == 202
        assert heard.wait("comunita/casa_A/bilancio").payload == reading
        stored = {"production_w": 1500, "consumption_w": 400, "surplus_w": 1100}
        until(lambda: stored.items() <= _stored(engine.data, "casa_A").items(), 10, f"{stored} is stored")

        wrong = engine.ask("POST", "/api/produzione/", {"casa": "casa/A", "potenza_w": "much"})
        assert wrong.status == 400
        assert len(wrong.body["motivi"]) == 2
        assert "potenza_w" in wrong.body["errore"] + str(wrong.body["motivi"])
        assert wrong.body["motivi"][0].startswith("casa must look like")
        for path, body in (
            ("/api/produzione/", {"potenza_w": 1500}),
            ("/api/produzione/", {"casa": "casa_A", "potenza_w": 1e9}),
            ("/api/bilancio/", {"casa": "casa_A", "consumo_w": 400}),
            ("/api/bilancio/", ["casa_A"]),
            ("/api/bilancio/", b"{broken"),
            ("/api/produzione/", None),
        ):
            answer = engine.ask("POST", path, body)
            assert answer.status == 400, (path, body, answer)
            assert answer.body, "it says why"
        publish(engine.broker_port, "comunita/casa_A/end", {})
        heard.wait("comunita/casa_A/end")
        topics = [message.topic for message in heard.heard]
        assert topics == ["comunita/casa_A/produzione", "comunita/casa_A/bilancio", "comunita/casa_A/end"]


def test_devices_that_only_pull_get_their_commands_and_people_the_comparison(broker: str, project: Path) -> None:
    edit(project, "benchmark", "benchmark-compare", period_s=0.2)
    register(project, *(home(ident, loads=BOILER) for ident in ("casa_A", "casa_B", "casa_C", "casa_D")))
    with (
        Solarflow(project, broker) as engine,
        Listener(engine.connected().broker_port) as heard,
        Meters(engine.broker_port, interval_s=0.2) as meters,
    ):
        assert engine.ask("GET", "/api/comandi/casa_A").body == {}
        assert engine.ask("GET", "/api/dashboard/").body["numero_case"] == 0
        done = engine.ask("POST", "/api/rele/casa_A/1", {"stato": "on", "per_s": 60})
        assert done.status == 202
        heard.wait("comunita/casa_A/rele/1/set", stato="ON")
        command = until(lambda: engine.ask("GET", "/api/comandi/casa_A").body, 5, "the command can be fetched")
        assert command["1"]["stato"] == "ON"
        assert 0 < command["1"]["ttl_s"] <= 300
        assert engine.ask("GET", "/api/comandi/casa_B").body.get("1", {}).get("stato") != "ON"
        assert engine.ask("POST", "/api/rele/casa_A/1", {"stato": "perhaps"}).status == 400

        for ident, power in (("casa_A", 2400), ("casa_B", 2400), ("casa_C", 2400), ("casa_D", 1200)):
            meters[f"comunita/{ident}/produzione"] = {"potenza_w": power}
        seen = until(lambda: _four(engine), 10, "four homes are compared")
        assert seen["riferimento"] == 0.6
        assert (seen["case"]["casa_A"]["ratio"], seen["case"]["casa_D"]["ratio"]) == (1.0, 0.5)
        assert abs(seen["ts"] - time.time()) < 5


def _four(engine: Solarflow) -> dict[str, dict[str, dict[str, float]]] | None:
    answer = engine.ask("GET", "/api/dashboard/").body
    return answer if answer["numero_case"] == 4 else None


def _stored(data: Path, ident: str) -> dict[str, float]:
    with DataFolder.read_only(data) as reader:
        found = {name: reader.telemetry.latest(ident, name) for name in ("production_w", "consumption_w", "surplus_w")}
    return {name: sample[1] for name, sample in found.items() if sample is not None}
