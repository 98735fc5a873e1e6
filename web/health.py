"""Health for machines: /health as JSON, /metrics as Prometheus text."""

from __future__ import annotations

from collections.abc import Iterable

from flask import Blueprint, Response, jsonify

from solarflow import __version__
from solarflow.errors import SolarFlowError
from solarflow.instance import Instance
from solarflow.snapshot import Snapshot, Snapshots
from solarflow.web.streams import Streams


def blueprint(instance: Instance, streams: Streams, snapshots: Snapshots) -> Blueprint:
    """The two routes."""
    routes = Blueprint("health", __name__)

    @routes.get("/health")
    def health() -> tuple[Response, int]:
        watchdog = instance.live.watchdog
        if watchdog is not None and (blocked := watchdog.blocked) is not None:
            # Whoever asks the engine now would wait in vain.
            problems = [f"{blocked}. It stands here: {blocked.stack}"]
            return jsonify(status="degraded", problems=problems, version=__version__, blocked_by=blocked.node), 200
        try:
            snapshot = snapshots.get()
        except SolarFlowError as error:
            return jsonify(status="down", problems=[str(error)]), 503
        problems = snapshot.problems
        answer = jsonify(
            status="degraded" if problems else "ok",
            problems=problems,
            version=__version__,
            uptime_s=round(snapshot.uptime_s, 1),
            now=snapshot.now,
            safe_mode=snapshot.safe,
            flows={flow.id: {"nodes": len(flow.nodes), "errors": flow.errors} for flow in snapshot.flows},
            brokers=[{k: c[k] for k in ("address", "state", "reason")} for c in snapshot.connections],
            store=snapshot.store,
            homes=len(snapshot.homes),
            homes_waiting_for_approval=snapshot.pending,
            open_alerts=len(snapshot.alerts),
        )
        return answer, 200

    @routes.get("/metrics")
    def metrics() -> Response:
        lines = [*_lines(snapshots.get(), streams), *_blocked_lines(instance)]
        return Response("\n".join(lines) + "\n", mimetype="text/plain; version=0.0.4")

    return routes


def _blocked_lines(instance: Instance) -> Iterable[str]:
    watchdog = instance.live.watchdog
    for name, text, value in (
        ("engine_blocked", "Times that one node (or the disk) held the engine up.", watchdog.count if watchdog else 0),
        ("engine_blocked_seconds", "Real seconds of these.", watchdog.total_s if watchdog else 0.0),
    ):
        yield f"# HELP solarflow_{name}_total {text}"
        yield f"# TYPE solarflow_{name}_total counter"
        yield f"solarflow_{name}_total {value:g}"


def _lines(snapshot: Snapshot, streams: Streams) -> Iterable[str]:
    def metric(name: str, kind: str, text: str, samples: Iterable[tuple[dict[str, str], float]]) -> Iterable[str]:
        yield f"# HELP solarflow_{name} {text}"
        yield f"# TYPE solarflow_{name} {kind}"
        for labels, value in samples:
            shown = ",".join(f'{key}="{_escape(text)}"' for key, text in labels.items())
            yield f"solarflow_{name}{{{shown}}} {value:.15g}" if shown else f"solarflow_{name} {value:.15g}"

    nodes = [(flow.id, node) for flow in snapshot.flows for node in flow.nodes]
    labelled = [({"flow": flow, "node": node.id, "type": node.type}, node) for flow, node in nodes]
    yield from metric("up", "gauge", "1 while the engine answers.", [({}, 1)])
    yield from metric("uptime_seconds", "gauge", "Real seconds since the start.", [({}, snapshot.uptime_s)])
    yield from metric(
        "node_received_total", "counter", "Messages into a node.", [(label, node.received) for label, node in labelled]
    )
    yield from metric(
        "node_sent_total", "counter", "Messages out of a node.", [(label, node.sent) for label, node in labelled]
    )
    yield from metric(
        "node_errors_total", "counter", "Errors of a node.", [(label, node.errors) for label, node in labelled]
    )
    for name, text in (
        ("timers", "Timers that run."),
        ("keys", "Keys of kept state."),
        ("taps", "Wires that somebody looks at."),
        ("offloaded", "Blocking work under way."),
    ):
        yield from metric(name, "gauge", text, [({}, snapshot.totals[name])])
    for name, text in (
        ("keys_evicted", "Keys that gave way to newer ones."),
        ("inbox_dropped", "Readings dropped because the inbox was full."),
        ("queue_dropped", "Messages dropped because the queue was full."),
    ):
        yield from metric(f"{name}_total", "counter", text, [({}, snapshot.totals[name])])
    brokers = [({"broker": c["address"]}, c) for c in snapshot.connections]
    yield from metric(
        "mqtt_connected", "gauge", "1 while connected.", [(label, c["state"] == "connected") for label, c in brokers]
    )
    for name in ("received", "published", "dropped_in", "dropped_out", "reconnects"):
        yield from metric(f"mqtt_{name}_total", "counter", f"MQTT: {name}.", [(label, c[name]) for label, c in brokers])
    if snapshot.broker is not None:
        yield from metric(
            "broker_clients", "gauge", "Clients of the embedded broker.", [({}, snapshot.broker["clients"])]
        )
        for name in ("messages_in", "messages_out", "dropped"):
            yield from metric(
                f"broker_{name}_total", "counter", f"Embedded broker: {name}.", [({}, snapshot.broker[name])]
            )
    store = snapshot.store
    yield from metric("store_ok", "gauge", "1 while the store can write.", [({}, not store["error"])])
    yield from metric("store_buffered", "gauge", "Samples that wait to be written.", [({}, store["buffered"])])
    yield from metric(
        "store_lost_total", "counter", "Samples lost while nothing could be written.", [({}, store["lost"])]
    )
    yield from metric("store_refused_total", "counter", "Samples that were too old.", [({}, store["refused"])])
    yield from metric("homes", "gauge", "Registered homes.", [({}, len(snapshot.homes))])
    yield from metric("homes_pending", "gauge", "Homes that wait for approval.", [({}, snapshot.pending)])
    yield from metric("alerts_open", "gauge", "Open alerts.", [({}, len(snapshot.alerts))])
    yield from metric("streams_open", "gauge", "Pages that follow live.", [({}, streams.open)])


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
