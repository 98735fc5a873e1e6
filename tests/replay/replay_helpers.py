"""Small projects and recordings for the tests of replay."""

import io
import json
from pathlib import Path

from solarflow.manifest import read_project
from solarflow.replay.changes import plan_of
from solarflow.replay.run import Options, Replay
from solarflow.store import Home

START = 1_750_500_000.0
"""21 June 2025, 10:00 UTC."""
HOME = {"id": "casa_A", "loads": [{"name": "boiler", "power_w": 1500, "relay": 1}]}


def project(folder: Path, *nodes: dict, name: str = "flow.json", settings: dict | None = None) -> Path:
    """A project of one flow; `wires` may be given as one list of ids."""
    flow = [{"id": "tab", "type": "tab", "label": "Flow"}]
    for node in nodes:
        wires = node.get("wires", [])
        wires = [wires] if wires and isinstance(wires[0], str) else wires
        flow.append({"z": "tab", "x": 1, "y": 1, **node, "wires": wires})
    (folder / "flows").mkdir(exist_ok=True)
    (folder / "flows" / name).write_text(json.dumps(flow))
    broker = {"id": "broker", "type": "mqtt-broker", "broker": ""}
    manifest = {"flows": [f"flows/{name}"], "nodes": [broker], "settings": settings or {}}
    (folder / "flows.json").write_text(json.dumps(manifest))
    return folder


def mqtt_in(id_: str, topic: str, *wires: str, **more) -> dict:
    return {"id": id_, "type": "mqtt in", "topic": topic, "datatype": "json", "broker": "broker", "qos": "0",
            "wires": list(wires), **more}  # fmt: skip


def mqtt_out(id_: str = "out", topic: str = "", **more) -> dict:
    return {"id": id_, "type": "mqtt out", "topic": topic, "broker": "broker", "qos": "0", "retain": "false", **more}


def command(id_: str, topic: str, payload: dict, *wires: str) -> dict:
    """A node that makes of any message this one."""
    rules = [
        {"t": "set", "p": "topic", "pt": "msg", "to": topic, "tot": "str"},
        {"t": "set", "p": "payload", "pt": "msg", "to": json.dumps(payload), "tot": "json"},
    ]
    return {"id": id_, "type": "change", "rules": rules, "wires": list(wires)}


def readings(*given: tuple) -> list:
    """(seconds from the start, topic, payload) as readings."""
    return [(START + t, topic, payload, False) for t, topic, payload in given]


def balance(home: str, produced: float, consumed: float, **more) -> tuple[str, dict]:
    return f"comunita/{home}/bilancio", {"produzione_w": produced, "consumo_w": consumed, **more}


def replayed(registry, path: Path, given: list, *, homes=None, past=None, answers=None, **options) -> Replay:
    """A replay that is over; what it captured is in `lines`, their times in seconds from the start."""
    out = io.StringIO()
    listed = None if homes is None else [Home.model_validate(home) for home in homes]
    run = Replay(
        registry, plan_of(read_project(path), registry, {}), listed, Options(**options), capture=out, past=past,
        answers=answers, environ={},
    )  # fmt: skip
    run.run(given)
    run.text = out.getvalue()
    run.lines = [json.loads(line) for line in run.text.splitlines()]
    for line in run.lines:
        line["t"] = line.pop("ts") - START
    return run


def said(run: Replay, topic: str) -> list[tuple[float, object]]:
    """(seconds from the start, payload) of what was published on a topic."""
    return [(line["t"], line["payload"]) for line in run.lines if line.get("topic") == topic]


def passing(*topics: str) -> list[dict]:
    """A flow that publishes what it hears of a topic, time included, on `heard`."""
    nodes = [mqtt_in(f"in{number}", topic, "show") for number, topic in enumerate(topics)]
    rules = [
        {"t": "set", "p": "payload", "pt": "msg", "to": "payload", "tot": "msg"},
        {"t": "set", "p": "topic", "pt": "msg", "to": "heard", "tot": "str"},
    ]
    return [*nodes, {"id": "show", "type": "change", "rules": rules, "wires": ["out"]}, mqtt_out()]


def write_lines(path: Path, given: list) -> Path:
    path.write_text("".join(json.dumps({"ts": ts, "topic": t, "payload": p}) + "\n" for ts, t, p, _ in given))
    return path


def switcher(*topics: str, ttl_s: int = 300) -> list[dict]:
    """A flow that puts relay 1 on and off by messages on `on` and `off`, and shows what it hears."""
    return [
        mqtt_in("in-on", "on", "say-on"),
        command("say-on", "comunita/casa_A/rele/1/set", {"stato": "ON", "ttl_s": ttl_s}, "out"),
        mqtt_in("in-off", "off", "say-off"),
        command("say-off", "comunita/casa_A/rele/1/set", {"stato": "OFF"}, "out"),
        *passing(*topics),
    ]
