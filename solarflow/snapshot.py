"""What is running at this moment, as plain values: for the first page, /health and /metrics."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from solarflow.errors import SolarFlowError
from solarflow.host import Status
from solarflow.instance import Instance
from solarflow.store import DataFolder
from solarflow.store.homes import PendingHome

LAST_VALUES = ("production_w", "consumption_w")
WAITING_SHOWN = 50


@dataclass(frozen=True, slots=True)
class NodeFigures:
    """One node."""

    id: str
    type: str
    name: str
    received: int
    sent: int
    errors: int
    last_error: str
    last_error_at: float
    status: Status | None
    keyed: dict[str, Status]
    board: str
    resting: list[str]
    """The keys for which its breaker is open."""


@dataclass(frozen=True, slots=True)
class FlowFigures:
    """One flow; `per_second` is messages into its nodes a real second."""

    id: str
    label: str
    file: str
    nodes: list[NodeFigures]
    per_second: float

    @property
    def errors(self) -> int:
        """Errors of all its nodes."""
        return sum(node.errors for node in self.nodes)


class HomeFigures(NamedTuple):
    """One home with its newest values; times in UTC seconds of the instance's clock."""

    id: str
    name: str
    community: str
    peak_power_wp: float | None
    values: dict[str, float]
    heard_at: float | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at one moment."""

    now: float
    uptime_s: float
    speed: float
    safe: bool
    deployed_at: float
    flows: list[FlowFigures]
    shared: list[NodeFigures]
    homes: list[HomeFigures]
    pending: int
    alerts: list[Any]
    connections: list[dict[str, Any]]
    broker: dict[str, Any] | None
    store: dict[str, Any]
    totals: dict[str, float] = field(default_factory=dict)
    waiting: list[PendingHome] = field(default_factory=list)
    """The homes heard last of those that wait for approval, at most `WAITING_SHOWN`; `pending` counts all."""
    timezone: str = "UTC"
    """Of the project: pages show local time."""
    files: list[str] = field(default_factory=list)
    """The flow files of the project, running or not."""

    @property
    def problems(self) -> list[str]:
        """What is not well, in words; empty when all is."""
        found = [
            f"the broker {c['address']} is {c['state']}: {c['reason']}"
            for c in self.connections
            if c["state"] != "connected"
        ]
        if self.store["error"]:
            found.append(f"the store cannot write: {self.store['error']}")
        return found


class Snapshots:
    """Snapshots of an instance, made at most once in `keep_s` real seconds however many ask.

    One for all who look at an instance: each costs the engine's thread a moment, and rates count from one to the next.
    """

    def __init__(self, instance: Instance, keep_s: float = 0.9) -> None:
        self._instance = instance
        self._keep_s = keep_s
        self._lock = threading.Lock()
        self._last: Snapshot | None = None
        self._made_at = 0.0
        self._counted: dict[str, int] = {}
        self._counted_at = 0.0

    def get(self) -> Snapshot:
        """The newest. Raises SolarFlowError where the engine does not answer."""
        with self._lock:
            if self._last is None or time.monotonic() - self._made_at > self._keep_s:
                self._last = self._instance.call(self._make)
                self._made_at = time.monotonic()
            return self._last

    def _make(self) -> Snapshot:
        instance = self._instance
        engine, folder = instance.engine, instance.folder
        if folder is None:
            raise SolarFlowError("the data folder is not open")
        real_now = time.monotonic()
        elapsed = max(real_now - self._counted_at, 1e-3)
        flows = []
        counted = {}
        for spec in engine.plan.flows.values():
            nodes = [self._node(i) for i in spec.nodes if i in engine.cells]
            counted[spec.id] = sum(node.received for node in nodes)
            since = counted[spec.id] - self._counted.get(spec.id, counted[spec.id])
            flows.append(FlowFigures(spec.id, spec.label, spec.file, nodes, max(since, 0) / elapsed))
        self._counted, self._counted_at = counted, real_now
        in_flows = {node.id for flow in flows for node in flow.nodes}
        telemetry = folder.telemetry
        homes = _home_figures(folder)
        pending = folder.homes.pending()
        return Snapshot(
            now=instance.clock.now(),
            uptime_s=time.time() - instance.started_at,
            speed=getattr(instance.clock, "speed", 1.0),
            safe=instance.options.safe,
            deployed_at=instance.deployed_at,
            flows=flows,
            shared=[self._node(i) for i in engine.cells if i not in in_flows],
            homes=homes,
            pending=len(pending),
            alerts=list(folder.alerts.open_alerts()),
            connections=[
                {
                    "address": c.connection.options.address,
                    "state": str(c.connection.state),
                    "reason": c.connection.reason,
                    **c.connection.counters._asdict(),
                }
                for c in instance.mqtt.connections
            ],
            broker=self._broker(),
            store={
                "error": instance.live.save_error,
                "saved_at": instance.live.saved_at,
                "buffered": telemetry.buffered,
                "lost": telemetry.dropped,
                "refused": telemetry.refused_count,
                "path": str(folder.path),
            },
            totals={
                "received": float(sum(cell.received for cell in engine.cells.values())),
                "errors": float(sum(cell.errors for cell in engine.cells.values())),
                "timers": float(len(engine.timers)),
                "keys": float(sum(len(node.state) for node in engine.nodes.values())),
                "keys_evicted": float(sum(node.state.evicted for node in engine.nodes.values())),
                "inbox_dropped": float(instance.live.inbox.dropped),
                "queue_dropped": float(engine.queue_dropped),
                "taps": float(sum(len(wire.taps) for wire in engine.wires.values())),
                "offloaded": float(engine.offloaded),
            },
            waiting=pending[:WAITING_SHOWN],
            timezone=str(instance.services.settings.get("timezone") or "UTC"),
            files=[file.file for file in instance.project.files] if instance.project is not None else [],
        )

    def _node(self, node_id: str) -> NodeFigures:
        engine = self._instance.engine
        cell = engine.cells[node_id]
        statuses = engine.statuses.get(node_id, {})
        breaker = engine.breakers.get(node_id)
        return NodeFigures(
            id=node_id,
            type=cell.node.type,
            name=cell.node.name,
            received=cell.received,
            sent=cell.sent,
            errors=cell.errors,
            last_error=cell.last_error,
            last_error_at=cell.last_error_at,
            status=statuses.get(""),
            keyed={key: status for key, status in sorted(statuses.items()) if key},
            board=cell.node.board,
            resting=breaker.open_keys if breaker is not None else [],
        )

    def _broker(self) -> dict[str, Any] | None:
        broker = self._instance.broker
        if broker is None:
            return None
        status = broker.status()
        return {
            "port": broker.port, "clients": status.clients, "messages_in": status.messages_in,
            "messages_out": status.messages_out, "dropped": status.dropped, "refused": dict(status.refused),
        }  # fmt: skip


def _home_figures(folder: DataFolder) -> list[HomeFigures]:
    newest, figures = folder.telemetry.newest, []
    for home in folder.homes.all():
        values: dict[str, float] = {}
        heard_at = None
        for quantity in LAST_VALUES:
            found = newest(home.id, quantity)
            if found is not None:
                values[quantity] = found[1]
                heard_at = found[0] if heard_at is None or found[0] > heard_at else heard_at
        figures.append(HomeFigures(home.id, home.name, home.community, home.peak_power_wp, values, heard_at))
    return figures
