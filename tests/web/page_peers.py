"""An instance that shows whatever a test puts into its snapshot, and the snapshots that the tests begin with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from solarflow.errors import OverloadedError
from solarflow.host import Fill, Status
from solarflow.http_routes import HttpRoutes
from solarflow.snapshot import FlowFigures, HomeFigures, NodeFigures, Snapshot
from solarflow.store.alerts import Alert
from solarflow.store.homes import PendingHome

NOW = 1_750_493_100.0
"""21 June 2025, 10:05:00 in Rome."""

TOKEN = "a-token-for-tests"


class FakeInstance:
    """What the pages use of an Instance. `snapshot` may be exchanged while pages look; `silent` makes it not answer."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.silent = False
        self.asked = 0
        self.token = TOKEN
        self.folder = None
        self.broker = None
        self.live = SimpleNamespace(watchdog=SimpleNamespace(blocked=None, count=0, total_s=0.0))
        self.problems: list[Any] = []
        self.deployed: list[str] = []
        self.options = SimpleNamespace(data=Path("data"))
        self.http = HttpRoutes(lambda function, timeout_s=5.0: function())

    def call(self, function: Callable[[], Any], timeout_s: float = 5.0) -> Any:
        self.asked += 1
        if self.silent:
            raise OverloadedError("the engine did not answer within 5 s")
        return self.snapshot

    def deploy(self, mode: str) -> Any:
        self.deployed.append(mode)
        return SimpleNamespace(started=["a"], stopped=[], kept=[])


def node(id: str, type: str = "change", **figures: Any) -> NodeFigures:
    """A node that has done nothing yet."""
    blank = NodeFigures(id, type, "", 0, 0, 0, "", 0.0, None, {}, "", [])
    return replace(blank, **figures)


def status(text: str, fill: Fill = "green", key: str = "") -> Status:
    return Status(text, fill, "dot", key, NOW)


def relay(name: str, **homes: Status) -> NodeFigures:
    return node(f"relay-{name}", "relay-out", name=name, board="Relays", keyed=homes)


def flow(label: str, *nodes: NodeFigures, per_second: float = 0.0) -> FlowFigures:
    return FlowFigures(f"id of {label}", label, f"flows/{label.lower()}.json", list(nodes), per_second)


def home(id: str, production_w: float | None = None, consumption_w: float | None = None, **more: Any) -> HomeFigures:
    """A home heard a quarter of a minute ago, or never."""
    named = {"production_w": production_w, "consumption_w": consumption_w}
    values = {name: value for name, value in named.items() if value is not None}
    return HomeFigures(
        id, more.get("name", ""), "comunita", more.get("peak_power_wp"), values,
        more.get("heard_at", NOW - 15 if values else None),
    )  # fmt: skip


def alert(home: str, code: str, since: float = NOW - 3600, **parameters: Any) -> Alert:
    return Alert(1, home, code, since, parameters, None, {})


def waiting(id: str) -> PendingHome:
    return PendingHome(id, NOW - 600, NOW - 5, f"comunita/{id}/bilancio", "{}", 7)


def connection(state: str = "connected", reason: str = "", address: str = "mqtt://127.0.0.1:1883") -> dict[str, Any]:
    return {
        "address": address, "state": state, "reason": reason, "received": 10, "published": 4, "dropped_in": 0,
        "dropped_out": 0, "reconnects": 1,
    }  # fmt: skip


STORE = {"error": "", "saved_at": NOW - 1, "buffered": 0, "lost": 0, "refused": 0, "path": "/srv/solar/data"}
TOTALS = dict.fromkeys(
    ("received", "errors", "timers", "keys", "keys_evicted", "inbox_dropped", "queue_dropped", "taps", "offloaded"), 0.0
)


def snapshot(**changed: Any) -> Snapshot:
    """A running installation with nothing in it, with `changed`."""
    blank = Snapshot(
        now=NOW, uptime_s=120.0, speed=1.0, safe=False, deployed_at=NOW - 300, flows=[], shared=[], homes=[], pending=0,
        alerts=[], connections=[connection()], broker=None, store=STORE, totals=TOTALS, timezone="Europe/Rome",
    )  # fmt: skip
    changed.setdefault("pending", len(changed.get("waiting", ())))
    return replace(blank, **changed)


def community() -> Snapshot:
    """Three homes, two flows, relays, and one alert."""
    return snapshot(
        homes=[
            home("casa_A", 3001, 1766.5, name="Rossi", peak_power_wp=6000),
            home("casa_B", 1520, 2754.5, peak_power_wp=4000),
            home("casa_C"),
        ],
        flows=[
            flow(
                "Benchmark",
                node("in", "mqtt in", name="production", sent=12345, status=status("connected")),
                node("compare", "benchmark", received=12345, sent=3, keyed={"casa_B": status("0.55, low", "red")}),
                per_second=12.34,
            ),
            flow(
                "Relays",
                relay("boiler", casa_A=status("ON: surplus"), casa_B=status("OFF: waiting", "grey")),
                relay("car", casa_A=status("OFF: minimum-off until 10:07", "yellow")),
                per_second=0.5,
            ),
        ],
        shared=[node("broker", "mqtt-broker", name="the broker", status=status("connected"))],
        alerts=[alert("casa_B", "low-yield", rapporto=0.55, regola="learned")],
    )
