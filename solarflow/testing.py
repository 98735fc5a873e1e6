"""A bench for node types: one node in a real engine, in virtual time. `docs/adding-a-node.md` shows it at work."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from solarflow.clock import VirtualClock
from solarflow.engine import Engine
from solarflow.node import Example, Node, NodeConfig, Timed, at, examples_of
from solarflow.offline import OfflineAlerts, OfflineHomes, OfflineHttp, OfflineMqtt
from solarflow.plan import FlowSpec, NodeSpec, Plan
from solarflow.registry import Registry
from solarflow.services import Services, StoreService
from solarflow.store import DataFolder
from solarflow.store.changes import StateChanges

START = 1_782_032_400.0
"""21 June 2026, 09:00 UTC: what "0 seconds" is on the bench."""
FLOW = "bench"

__all__ = ["START", "NodeBench", "Seen", "at", "run_example"]


class Seen(Timed):
    """A message that left a node. Equal to an `at(...)` that names some of its properties, its time and its port.

    Numbers are compared to nine digits; `msg` has everything.
    """

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Timed):
            return NotImplemented
        return (
            math.isclose(self.t, other.t, abs_tol=1e-6)
            and self.port == other.port
            and all(name in self.msg and _alike(self.msg[name], value) for name, value in other.msg.items())
        )

    __hash__ = None  # type: ignore[assignment]  # equality is not transitive here

    def __repr__(self) -> str:
        shown = {k: v for k, v in self.msg.items() if k not in ("_msgid", "ts")}
        port = f", port={self.port}" if self.port else ""
        return f"at({self.t:g}{port}, {', '.join(f'{k}={v!r}' for k, v in shown.items())})"


def _alike(got: Any, expected: Any) -> bool:
    if isinstance(expected, bool) or isinstance(got, bool):
        return got is expected
    if isinstance(expected, (int, float)) and isinstance(got, (int, float)):
        return math.isclose(got, expected, rel_tol=1e-9, abs_tol=1e-9)
    if isinstance(expected, dict) and isinstance(got, dict):
        return got.keys() == expected.keys() and all(_alike(got[k], v) for k, v in expected.items())
    if isinstance(expected, (list, tuple)) and isinstance(got, (list, tuple)):
        return len(got) == len(expected) and all(_alike(g, e) for g, e in zip(got, expected, strict=True))
    return bool(got == expected)


def _sink_type(sent: list[Seen]) -> type[Node]:
    """A node type that collects what reaches it in `sent`; the number in its id is the port."""

    class Sink(Node):
        type = "bench-sink"
        outputs = 0

        def on_input(self, msg: dict[str, Any]) -> None:
            sent.append(Seen(self.clock.now() - START, msg, int(self.id.removeprefix("sink"))))

    return Sink


class NodeBench:
    """One node of `node_type` with the properties `config`, running in an engine on a virtual clock.

    `feed` sends to it, `sent` lists what left it, `advance` lets time pass; `errors`, `statuses`, `mqtt`, `http`,
    `alerts`, `homes` and `store` show what else it did. `restart` ends the engine and begins another with what was
    saved, `configure` deploys other properties. `others` are further nodes, by id: (type, properties), such as the
    config nodes that it names.
    """

    def __init__(
        self, node_type: type[Node], config: Mapping[str, Any] | None = None, *,
        homes: Iterable[Mapping[str, Any]] = (), store: StoreService | None = None,
        others: Mapping[str, tuple[type[Node], Mapping[str, Any]]] | None = None,
        env: Mapping[str, Any] | None = None, settings: Mapping[str, Any] | None = None, name: str = "under test",
    ) -> None:  # fmt: skip
        self.node_type = node_type
        self.others = dict(others or {})
        self.env = dict(env or {})
        self.settings = dict(settings or {})
        self.name = name
        self.clock = VirtualClock(START)
        self.mqtt = OfflineMqtt()
        self.http = OfflineHttp()
        self.alerts = OfflineAlerts()
        self.homes = OfflineHomes(homes)
        self._folder = DataFolder.in_memory() if store is None else None
        self.store: Any = self._folder.telemetry if self._folder is not None else store
        self.sent: list[Seen] = []
        self.errors: list[str] = []
        self.logged: list[str] = []
        self.debugged: list[Mapping[str, Any]] = []
        self.saved = StateChanges(states={}, timers={}, context={})
        self._config = dict(config or {})
        self._begin()

    def _begin(self) -> None:
        registry = Registry()
        for node_type in {self.node_type, *(kind for kind, _ in self.others.values())}:
            registry.add(node_type)
        registry.add(_sink_type(self.sent))
        services = Services(
            mqtt=self.mqtt, http=self.http, store=self.store, homes=self.homes, alerts=self.alerts,
            settings=self.settings,
        )  # fmt: skip
        self.engine = Engine(registry, self.clock, services)
        self.engine.on_event.append(self._hear)
        self.engine.restore(self.saved)
        self._deploy()

    def _hear(self, kind: str, what: Mapping[str, Any]) -> None:
        if kind == "error":
            self.errors.append(what["text"])
        elif kind == "log":
            self.logged.append(what["text"])
        elif kind == "debug":
            self.debugged.append(what)

    def _deploy(self) -> None:
        config = self.node_type.Config.model_validate(self._config)
        outputs = self.node_type.outputs_of(config)
        sinks = [f"sink{port}" for port in range(outputs)]
        nodes = {
            id_: self._spec(id_, kind.type, kind.Config.model_validate(properties))
            for id_, (kind, properties) in self.others.items()
        }
        nodes["node"] = self._spec("node", self.node_type.type, config, tuple((sink,) for sink in sinks))
        for sink in sinks:
            nodes[sink] = self._spec(sink, "bench-sink", NodeConfig())
        plan = Plan(nodes=nodes, flows={FLOW: FlowSpec(FLOW, "bench", "bench.json", nodes=tuple(nodes))})
        self.engine.deploy(plan)

    def _spec(self, id_: str, type_: str, config: NodeConfig, wires: tuple[tuple[str, ...], ...] = ()) -> NodeSpec:
        return NodeSpec(
            id=id_, type=type_, name=self.name if id_ == "node" else id_, file="bench.json", flow=FLOW,
            scopes=(FLOW,), groups=(), config=config, env=self.env, wires=wires, digest=repr(config),
        )  # fmt: skip

    # -- looking ------------------------------------------------------------------------------------------------

    @property
    def node(self) -> Any:
        """The node itself."""
        return self.engine.nodes["node"]

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return self.clock.now() - START

    @property
    def last(self) -> dict[str, Any]:
        """The newest message that left. Raises IndexError where none did."""
        return self.sent[-1].msg

    @property
    def payloads(self) -> list[Any]:
        """The payloads of all that left, in order."""
        return [seen.msg.get("payload") for seen in self.sent]

    def status(self, key: str = "") -> str:
        """The status text it shows (for a key), or ""."""
        found = self.engine.statuses.get("node", {}).get(key)
        return found.text if found else ""

    # -- acting -------------------------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.engine.advance_to(self.clock.now() + seconds)

    def advance_to(self, t: float) -> None:
        """Let time pass until `t` seconds from the start."""
        self.engine.advance_to(START + t)

    def input(self, msg: dict[str, Any], *, t: float | None = None) -> None:
        """Give the node a message, at `t` seconds from the start (default: now)."""
        if t is not None:
            self.advance_to(t)
        self.engine.inject("node", msg)

    def feed(
        self, payload: Any = None, *, at: float | None = None, every: float | None = None, start: float | None = None,
        until: float | None = None, **msg: Any,
    ) -> None:  # fmt: skip
        """Give the node {"payload": payload, **msg}: once (`at`, default now), or `every` seconds `until` a time.

        With `every` the first is sent at `start` (default: now); the last at or before `until`.
        """
        if every is None:
            self.input({"payload": payload, **msg}, t=at)
            return
        t = self.now if start is None else start
        while t <= (self.now if until is None else until) + 1e-9:
            self.input({"payload": payload, **msg}, t=t)
            t += every

    def arrive(self, what: Mapping[str, Any], *, t: float | None = None) -> Any:
        """Let something come from outside, at `t` seconds from the start (default: now).

        {"method", "url", "query", "body"} is an HTTP request, and its `OfflineRequest` is returned;
        {"topic", "payload", "qos", "retain"} an MQTT message.
        """
        if t is not None:
            self.advance_to(t)
        if "url" in what:
            return self.http.request(**{"method": "GET", **what})
        return self.mqtt.deliver(**what)

    def trigger(self) -> None:
        """Press its button."""
        self.engine.trigger("node")

    def configure(self, **changes: Any) -> None:
        """Deploy it with some properties changed."""
        self._config = {**self._config, **changes}
        self._deploy()

    def remove(self) -> None:
        """Deploy a flow without it."""
        self.engine.deploy(Plan(nodes={}, flows={}))

    def checkpoint(self) -> None:
        """Save what the engine would save within a second."""
        self.engine.checkpoint(self.saved.merge)

    def close(self) -> None:
        """End the engine and free the store."""
        if self.engine.running:
            self.engine.stop()
        if self._folder is not None:
            self._folder.close()

    def restart(self, down_s: float = 0.0, *, killed: bool = False) -> None:
        """End the engine, let `down_s` pass, begin another with what was saved.

        `killed`: it had no chance to stop, and what it changed since the last `checkpoint` is lost.
        """
        if not killed:
            self.engine.stop()
            self.checkpoint()
        self.clock.move_to(self.clock.now() + down_s)
        for connection in list(self.mqtt.connections):
            connection.close()
        self._begin()


def run_example(node_type: type[Node], example: Example) -> tuple[Sequence[Seen], Sequence[Timed]]:
    """Run an example; (what left, what was expected). Equal as lists where it holds.

    The node gets copies: an example is run by several tests and printed in the help, and some nodes change what they
    are given.
    """
    bench = NodeBench(node_type, deepcopy(dict(example.config)), homes=example.homes, others=example.others)
    for given in example.given:
        msg = deepcopy(given.msg)
        if node_type.inputs:
            bench.input(msg, t=given.t)
        else:
            bench.arrive(msg, t=given.t)
    last = max([0.0, *(timed.t for timed in [*example.given, *example.then])])
    bench.advance_to(max(last, example.until or 0.0))
    if bench.errors and not example.then:
        raise AssertionError(f"the example of '{node_type.type}' raised: {bench.errors}")
    return bench.sent, example.then


def all_examples(registry: Registry) -> list[tuple[type[Node], Example]]:
    """Every example of every type."""
    return [(node_type, example) for node_type in registry for example in examples_of(node_type)]
