"""A bench for whole flows: a flow file, or a list of nodes, in a real engine, in virtual time and an offline world."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from solarflow.clock import Clock, VirtualClock
from solarflow.engine import Deployment, DeployMode, Engine, Limits
from solarflow.errors import FlowError, Problem
from solarflow.flowfile import Project, flow_of
from solarflow.graph import check_project
from solarflow.manifest import read_project
from solarflow.message import Message, clone
from solarflow.node import Node
from solarflow.offline import OfflineAlerts, OfflineHomes, OfflineHttp, OfflineMessage, OfflineMqtt
from solarflow.plan import Plan
from solarflow.registry import Registry, load_registry
from solarflow.services import Services, StoreService
from solarflow.store.changes import StateChanges
from solarflow.testing import START, Seen

KEPT_MESSAGES = 10_000
"""Of what reached one node, so many are kept: a bench may run a year."""

FlowSource = Sequence[Mapping[str, Any]] | Path | str


class FlowBenchError(NamedTuple):
    """An error of a node: its id (as unfolded) and the text."""

    node: str
    text: str


class _WatchedEngine(Engine):
    """An engine that tells when its wires are new: what a node sends while it starts is to be seen too."""

    def __init__(
        self, registry: Registry, clock: Clock, services: Services, limits: Limits | None, environ: Mapping[str, str]
    ) -> None:
        super().__init__(registry, clock, services, limits=limits, environ=environ)
        self.on_compiled: Callable[[], None] = lambda: None

    def _compile(self, made: Mapping[str, Node]) -> None:
        super()._compile(made)
        self.on_compiled()


class FlowBench:
    """Flows at work, through everything that a flow goes through when it is deployed, without a network or waiting.

    `flow` is the path of a project folder, of its flows.json or of one Node-RED file, or the nodes themselves as
    Node-RED writes them, the tab included. Times `t` are seconds since `start` (UTC seconds; by default 21 June 2026,
    09:00 UTC). Nodes in a subflow instance are named "<instance>/<node>". `settings` go over those of the manifest.
    `store` stands in for recorded series. Raises FlowError where the flow has errors.

    >>> bench = FlowBench("shop-floor", homes=[{"id": "casa_A", "peak_power_wp": 3000}])    # doctest: +SKIP
    >>> bench.mqtt.deliver("comunita/casa_A/produzione", {"potenza_w": 1500})               # doctest: +SKIP
    >>> bench.advance(300)                                                                  # doctest: +SKIP
    >>> bench.messages("yield")                                                             # doctest: +SKIP
    [at(0, topic='comunita/casa_A/produzione', home='casa_A', payload={'potenza_w': 1500})]
    >>> bench.published[-1].topic, bench.published[-1].json                                 # doctest: +SKIP
    ('comunita/casa_A/alert', {'alert': 'performance_bassa'})

    A flow of a few nodes, as a test of the engine would have it:

    >>> bench = FlowBench([                                                                 # doctest: +SKIP
    ...     {"id": "tab", "type": "tab", "label": "A flow"},
    ...     {"id": "in", "type": "link in", "z": "tab", "wires": [["out"]]},
    ...     {"id": "out", "type": "debug", "z": "tab", "wires": []},
    ... ])
    >>> bench.inject("in", {"payload": 1})                                                  # doctest: +SKIP
    >>> assert bench.payloads("out") == [1]                                                 # doctest: +SKIP
    """

    def __init__(
        self, flow: FlowSource, registry: Registry | None = None, *, homes: Iterable[Mapping[str, Any]] = (),
        store: StoreService | None = None, settings: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None, credentials: Mapping[str, Mapping[str, Any]] | None = None,
        start: float = START, limits: Limits | None = None, watch: Iterable[str] | None = None,
    ) -> None:  # fmt: skip
        """`watch` names the nodes whose messages are kept (default: all of them)."""
        self.registry = registry if registry is not None else load_registry()
        self.start = start
        self.clock = VirtualClock(start)
        self.mqtt = OfflineMqtt()
        self.http = OfflineHttp()
        self.alerts = OfflineAlerts()
        self.homes = OfflineHomes(homes)
        self.store = store
        self.settings = dict(settings or {})
        self.environ = dict(environ or {})
        self.credentials = dict(credentials or {})
        self.errors: list[FlowBenchError] = []
        self.logged: list[str] = []
        self.debugged: list[Mapping[str, Any]] = []
        self.problems: list[Problem] = []
        """The warnings of the last deploy."""
        self.saved = StateChanges()
        self._limits = limits
        self._watched = None if watch is None else set(watch)
        self._looks: dict[str, Callable[[Message], None]] = {}
        self._arrived: dict[str, deque[Seen]] = {}
        self._flow: FlowSource = flow
        self._begin()

    # -- deploy and restart -------------------------------------------------------------------------------------

    def _begin(self) -> None:
        plan = self._plan()
        self.services = Services(
            mqtt=self.mqtt, http=self.http, store=self.store, homes=self.homes, alerts=self.alerts,
            settings=plan.settings,
        )  # fmt: skip
        self.engine = _WatchedEngine(self.registry, self.clock, self.services, self._limits, self.environ)
        self.engine.on_compiled = self._look
        self.engine.on_event.append(self._hear)
        self.engine.restore(self.saved)
        self._deploy(plan, "nodes")

    def _plan(self) -> Plan:
        project = self._project()
        project.settings = {**project.settings, **self.settings}
        if self.credentials:
            project.credentials = {**project.credentials, **self.credentials}
        checked = check_project(project, self.registry, self.environ)
        if checked.plan is None:
            raise FlowError(checked.problems)
        self.problems = checked.problems
        return checked.plan

    def _project(self) -> Project:
        if isinstance(self._flow, (str, Path)):
            return read_project(Path(self._flow))
        # One file that is its own manifest may hold several tabs, as a Node-RED export does.
        name = Path("bench.json")
        return Project(Path(), name, files=(flow_of(copy.deepcopy(list(self._flow)), name.name),))

    def _deploy(self, plan: Plan, mode: DeployMode) -> Deployment:
        self.services.settings = plan.settings
        result = self.engine.deploy(plan, mode)
        self.engine.drain()
        return result

    def _look(self) -> None:
        for node_id, cell in self.engine.cells.items():
            if self._watched is not None and node_id not in self._watched:
                continue
            look = self._looks.get(node_id)
            if look is None:
                arrived: deque[Seen] = deque(maxlen=KEPT_MESSAGES)
                look = self._looks[node_id] = self._look_for(arrived)
                self._arrived[node_id] = arrived
            for wire in cell.wires:
                if look not in wire.taps:
                    wire.taps.append(look)
            cell.refresh()

    def _look_for(self, arrived: deque[Seen]) -> Callable[[Message], None]:
        return lambda msg: arrived.append(Seen(self.now, clone(msg)))

    def _hear(self, kind: str, what: Mapping[str, Any]) -> None:
        if kind == "error":
            self.errors.append(FlowBenchError(what["node"], what["text"]))
        elif kind == "log":
            self.logged.append(what["text"])
        elif kind == "debug":
            self.debugged.append(what)

    def deploy(self, flow: FlowSource | None = None, mode: DeployMode = "nodes") -> Deployment:
        """Deploy other nodes, or the same path read again; what was started, stopped and kept.

        Raises FlowError where they have errors: then everything goes on as it was.
        """
        before = self._flow
        self._flow = before if flow is None else flow
        try:
            plan = self._plan()
        except FlowError:
            self._flow = before
            raise
        return self._deploy(plan, mode)

    def checkpoint(self) -> None:
        """Save what the engine would save within a second."""
        self.engine.checkpoint(self.saved.merge)

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
        self.http.routes.clear()
        self._begin()

    # -- acting -------------------------------------------------------------------------------------------------

    def inject(self, node_id: str, msg: Message | None = None, *, at: float | None = None, **properties: Any) -> None:
        """Give a node a message, or one with these `properties`, now or at `at` seconds from the start."""
        if at is not None:
            self.advance_to(at)
        self.engine.inject(node_id, {**clone(msg or {}), **properties})
        self.engine.drain()

    def trigger(self, node_id: str) -> None:
        """Press a node's button."""
        self.engine.trigger(node_id)
        self.engine.drain()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.engine.advance_to(self.clock.now() + seconds)

    def advance_to(self, t: float) -> None:
        """Let time pass until `t` seconds from the start."""
        self.engine.advance_to(self.start + t)

    # -- looking ------------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return self.clock.now() - self.start

    def node(self, node_id: str) -> Any:
        """A running node. Raises KeyError where none has that id."""
        return self.engine.nodes[node_id]

    def messages(self, node_id: str) -> list[Seen]:
        """What has reached a node since the bench began, oldest first. Raises KeyError where none has had that id."""
        self.engine.drain()
        return list(self._arrived[node_id])

    def payloads(self, node_id: str) -> list[Any]:
        """The payloads of what has reached a node."""
        return [seen.msg.get("payload") for seen in self.messages(node_id)]

    @property
    def published(self) -> list[OfflineMessage]:
        """What went out over MQTT, oldest first."""
        return self.mqtt.published

    def status(self, node_id: str, key: str = "") -> str:
        """The status text that a node shows (for a key), or ""."""
        found = self.engine.statuses.get(node_id, {}).get(key)
        return found.text if found else ""

    @property
    def statuses(self) -> dict[str, dict[str, str]]:
        """The status texts of all nodes that show one: by node, then by key."""
        shown = {node: {key: one.text for key, one in keys.items()} for node, keys in self.engine.statuses.items()}
        return {node: texts for node, texts in shown.items() if texts}
