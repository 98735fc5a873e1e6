"""The engine: deploys a plan, runs its nodes, stops them. One thread at a time may touch it.

It knows no thread, no event loop and no file: `solarflow.live` drives it on the machine's time, a test or a replay by
moving a virtual clock. Everything it needs of the world is handed in, so several engines live in one process.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from solarflow.clock import Clock, VirtualClock
from solarflow.compiler import Cell, Deliver, Wire, WireId, compile_wires
from solarflow.errors import NodeError, SolarFlowError
from solarflow.executor import Executor, InlineExecutor
from solarflow.host import Setup
from solarflow.hosting import NodeHosting
from solarflow.keeping import StateKeeping
from solarflow.message import Message
from solarflow.node import Node, NodeConfig
from solarflow.plan import NodeSpec, Plan
from solarflow.registry import Registry
from solarflow.routing import Listeners
from solarflow.services import Services
from solarflow.state import ContextStores
from solarflow.timers import Timers

log = logging.getLogger("solarflow.engine")

SETTLING_S = 1.0
"""How long, in real seconds, a deploy or the end waits for messages that go round."""
SETTLING_TURNS = 1000
DeployMode = Literal["nodes", "flows", "full"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one engine."""

    max_hops: int = 1000
    """How often a message may go round through the queue before it is an error."""
    max_queue: int = 100_000
    turn: int = 1000
    """Queued deliveries between two looks at the timers."""


@dataclass(slots=True)
class Deployment:
    """What a deploy did, by node id."""

    started: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


class Engine(NodeHosting, StateKeeping):
    """Runs the nodes of a plan."""

    def __init__(
        self,
        registry: Registry,
        clock: Clock,
        services: Services | None = None,
        *,
        executor: Executor | None = None,
        call_back: Callable[[Callable[[], None]], None] | None = None,
        limits: Limits | None = None,
        environ: Mapping[str, str] | None = None,
        name: str = "",
    ) -> None:
        """`call_back(function)` brings finished offloaded work to the engine's thread; without it, it runs inline."""
        self.registry = registry
        self.clock = clock
        self.services = services if services is not None else Services()
        self.limits = limits if limits is not None else Limits()
        self.environ: Mapping[str, str] = environ if environ is not None else {}
        self.name = name
        self.plan = Plan(nodes={}, flows={})
        self.nodes: dict[str, Node] = {}
        self.cells: dict[str, Cell] = {}
        self.wires: dict[WireId, Wire] = {}
        self.timers = Timers(clock)
        self.contexts = ContextStores()
        self.running = False
        self.queue_dropped = 0
        self._executor: Executor = executor if executor is not None else InlineExecutor()
        self._call_back = call_back if call_back is not None else lambda function: function()
        self._queue: deque[tuple[Deliver, Message, int]] = deque()
        self._hops = 0
        self._depth = 0
        self._sources_ended = False
        self._init_hosting()
        self._init_keeping()

    # -- deploy -------------------------------------------------------------------------------------------------

    def deploy(self, plan: Plan, mode: DeployMode = "nodes") -> Deployment:
        """Run `plan` from now on. Nodes that did not change go on as they are, with their state.

        `mode` widens what restarts: changed nodes only, all nodes of changed flows, or everything; state is kept in
        each case, except where a property that resets it has changed. Raises SolarFlowError before anything is
        touched where a node cannot be made.
        """
        self._settle()
        restart = self._to_restart(plan, mode)
        made = {id_: self._make(spec) for id_, spec in plan.nodes.items() if id_ in restart or id_ not in self.nodes}
        old_nodes, old_plan = self.nodes, self.plan
        # A node of another type under the same id is another node.
        gone = [i for i in old_nodes if i not in plan.nodes or (i in made and made[i].type != old_nodes[i].type)]
        stopped = list(dict.fromkeys([*gone, *(i for i in made if i in old_nodes)]))
        self._end([old_nodes[i] for i in stopped], {old_nodes[i] for i in gone})
        for id_ in gone:
            self._forget(old_nodes[id_])
        for id_ in stopped:
            self.statuses.pop(id_, None)
            self.breakers.pop(id_, None)
        for id_, node in made.items():
            self._hand_over(node, None if id_ in gone else old_nodes.get(id_), plan.nodes[id_])
        self.nodes = {id_: made[id_] if id_ in made else old_nodes[id_] for id_ in plan.nodes}
        self.plan = plan
        for place in {*old_plan.flows, *old_plan.instances} - {*plan.flows, *plan.instances}:
            self.contexts.forget(f"flow:{place}")
            self.statuses.pop(place, None)
        kept = [id_ for id_ in plan.nodes if id_ not in made]
        for id_ in kept:
            self._tell_place(self.nodes[id_], plan.nodes[id_])
        self._compile(made)
        self.running, self.stopping, self._sources_ended = True, False, False
        self.enter(self._start, [self.nodes[i] for i in self._start_order(made)])
        return Deployment(started=list(made), stopped=stopped, kept=kept)

    @staticmethod
    def _tell_place(node: Node, spec: NodeSpec) -> None:
        """A node that goes on may stand in another file and have other wires than before."""
        node.file = spec.file
        if (node.setup.wires, node.setup.file, node.setup.groups) != (spec.wires, spec.file, spec.groups):
            node.setup = replace(node.setup, wires=spec.wires, file=spec.file, groups=spec.groups)

    def _make(self, spec: NodeSpec) -> Node:
        node_type = self.registry[spec.type]
        setup = Setup(
            id=spec.id, type=spec.type, name=spec.name, flow=spec.flow, config=spec.config, host=self,
            wires=spec.wires, file=spec.file, groups=spec.groups,
        )  # fmt: skip
        try:
            node = node_type(setup)
        except SolarFlowError:
            raise
        except Exception as error:
            raise SolarFlowError(f"{spec.file}: {spec.type} {spec.id} '{spec.name}' cannot be made: {error}") from error
        return node

    def _to_restart(self, plan: Plan, mode: DeployMode) -> set[str]:
        if mode == "full":
            return set(plan.nodes)
        old = self.plan
        changed = {i for i, spec in plan.nodes.items() if i in old.nodes and spec.digest != old.nodes[i].digest}
        if mode == "flows":
            flows = {f for f, spec in plan.flows.items() if f not in old.flows or spec.digest != old.flows[f].digest}
            changed |= {i for f in flows for i in plan.flows[f].nodes}
        touched = changed | (set(plan.nodes) ^ set(old.nodes))
        # Whoever uses a config node that is made anew must be made anew too.
        while True:
            users = {
                i
                for i, spec in plan.nodes.items()
                if i not in touched and touched.intersection(used_nodes(spec.config))
            }
            if not users:
                return {i for i in touched if i in plan.nodes}
            touched |= users

    def _compile(self, made: Mapping[str, Node]) -> None:
        plan = self.plan
        self.listeners = Listeners.of(plan, self.nodes)
        old_cells, self.cells = self.cells, {}
        for id_, node in self.nodes.items():
            cell = old_cells.get(id_)
            if cell is None or id_ in made:
                cell = Cell(node, self.handle_error, self.done, old_cells.get(id_))
            cell.has_complete = bool(self.listeners.completions(plan.nodes[id_]))
            self.cells[id_] = cell
        self._found = {}
        outputs = {id_: _outputs(spec, self.nodes[id_]) for id_, spec in plan.nodes.items()}
        taps = {wire.id: wire.taps for wire in self.wires.values() if wire.taps}
        self.wires = compile_wires(
            self.cells, outputs, plan.queued, enqueue=self._enqueue, stamp=self._stamp,
            status_outputs={at: self._status_output(instance) for at, instance in plan.status_wires.items()},
        )  # fmt: skip
        for wire_id, looking in taps.items():
            for look in looking:
                if wire_id in self.wires:
                    self.tap(wire_id, look)

    @staticmethod
    def _start_order(made: Mapping[str, Node]) -> list[str]:
        """Config nodes, then nodes with an input, then sources: what is sent at the start finds everybody ready."""
        return sorted(made, key=lambda i: (not made[i].is_config, made[i].inputs == 0 or made[i].role == "link in"))

    def _start(self, nodes: Iterable[Node]) -> None:
        self._call_each(nodes, "on_start")

    def _call_each(self, nodes: Iterable[Node], method: str) -> None:
        for node in nodes:
            try:
                getattr(node, method)()
            except Exception as error:  # noqa: BLE001 - one node's start or stop disturbs no other
                self.handle_error(node, error, None)

    def _end(self, nodes: Sequence[Node], removed: Set[Node]) -> None:
        """Stop nodes of a deploy. Config nodes last: what a removed node sends to be safe needs its connection."""
        for is_config in (False, True):
            ending = [node for node in nodes if node.is_config is is_config]
            self.enter(self._call_each, ending, "on_stop")
            self.enter(self._call_each, [node for node in ending if node in removed], "on_removed")
            self._settle()

    def stop_sources(self) -> None:
        """The first half of `stop`: nothing new comes in, and what is queued is delivered."""
        if not self._sources_ended:
            self.stopping = self._sources_ended = True
            self._stop_each(lambda node: node.inputs == 0 and not node.is_config)

    def stop(self) -> None:
        """Stop: sources first, then everything under way is finished, then the rest. State stays to be saved."""
        self.stop_sources()
        self._stop_each(lambda node: node.inputs != 0 and not node.is_config)
        self._stop_each(lambda node: node.is_config)
        self.running = False

    def _stop_each(self, chosen: Callable[[Node], bool]) -> None:
        self.enter(self._call_each, [node for node in self.nodes.values() if chosen(node)], "on_stop")
        self._settle()

    # -- running ------------------------------------------------------------------------------------------------

    def enter(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run something that may send messages; what it queues is delivered before this returns (one turn of it)."""
        self._depth += 1
        try:
            return function(*args)
        finally:
            self._depth -= 1
            if self._depth == 0 and self._queue:
                self.turn()

    def _enqueue(self, deliver: Deliver, msg: Message, grace: int = 0) -> None:
        """Put a delivery into the queue; `grace` is how many hops beyond the limit it may have made.

        Raises NodeError where it has made too many, or too many are waiting.
        """
        hops = self._hops + 1
        if hops > self.limits.max_hops + grace:
            raise NodeError(
                f"the message has gone round {self.limits.max_hops} times and ends here; take a wire out of the circle"
            )
        if len(self._queue) >= self.limits.max_queue:
            self.queue_dropped += 1
            raise NodeError(f"{self.limits.max_queue} messages are waiting already; this one is dropped")
        self._queue.append((deliver, msg, hops))
        if self._depth == 0:
            self.on_wake()

    def turn(self) -> bool:
        """Deliver up to `limits.turn` queued messages. True where more are waiting."""
        self._depth += 1
        try:
            for _ in range(self.limits.turn):
                if not self._queue:
                    break
                deliver, msg, self._hops = self._queue.popleft()
                deliver(msg)
        finally:
            self._depth -= 1
            self._hops = 0
        if self._queue:
            self.on_wake()
        return bool(self._queue)

    def drain(self) -> None:
        """Deliver everything that is queued."""
        while self.turn():
            pass

    def _settle(self) -> None:
        """Deliver what is queued before a deploy or at the end; what still goes round after a while is dropped."""
        begin = self.clock.monotonic()
        for _ in range(SETTLING_TURNS):
            if not self.turn():
                return
            if self.clock.real_seconds(self.clock.monotonic() - begin) > SETTLING_S:
                break
        log.error("%d messages that were still going round are dropped", len(self._queue))
        self.queue_dropped += len(self._queue)
        self._queue.clear()

    def run_due(self) -> None:
        """Call what is due, in the order of its due times."""
        for _ in range(self.limits.turn):
            id_ = self.timers.pop_due()
            if id_ is None:
                return
            node = self.nodes.get(id_[0])
            if node is not None:
                self.enter(self._fire, node, id_[1], id_[2])
        self.on_wake()

    def _fire(self, node: Node, method: str, key: str) -> None:
        try:
            getattr(node, method)(key)
        except Exception as error:  # noqa: BLE001 - a timer's error stays in its node
            msg: Message = {}
            if key:
                node._key_path.set(msg, key)
            self.handle_error(node, error, msg)

    def advance_to(self, moment: float) -> None:
        """Move a virtual clock to `moment` (UTC), calling each timer at its own time on the way."""
        clock = self.clock
        if not isinstance(clock, VirtualClock):
            raise TypeError("only a VirtualClock can be moved")
        self.drain()
        while (wait := self.timers.wait()) is not None and clock.now() + wait <= moment:
            clock.move_to(max(clock.now(), clock.now() + wait))
            self.run_due()
            self.drain()
        clock.move_to(max(moment, clock.now()))

    def inject(self, node_id: str, msg: Message) -> None:
        """Give a message to a node's input. Raises SolarFlowError where there is no such node."""
        cell = self._cell(node_id)
        self._stamp(msg)
        self.enter(cell.direct.deliver, msg)

    def trigger(self, node_id: str) -> None:
        """Press a node's button. Raises SolarFlowError where there is no such node; its errors go to catch nodes."""
        node = self._cell(node_id).node
        self.enter(self._call_each, [node], "on_trigger")

    def _cell(self, node_id: str) -> Cell:
        try:
            return self.cells[node_id]
        except KeyError:
            raise SolarFlowError(f"no node with the id '{node_id}' is running") from None

    def _stamp(self, msg: Message) -> None:
        if "_msgid" not in msg:
            msg["_msgid"] = self.new_id()
        if "ts" not in msg:
            msg["ts"] = self.clock.now()

    def tap(self, wire: WireId, look: Callable[[Message], None]) -> Callable[[], None]:
        """Call `look` with every message on a wire until the result is called. Costs nothing where nobody looks."""
        found = self.wires.get(wire)
        if found is None:
            raise SolarFlowError(f"there is no wire from output {wire[1] + 1} of '{wire[0]}' to '{wire[2]}'")
        found.taps.append(look)
        self.cells[wire[2]].refresh()

        def end() -> None:
            now = self.wires.get(wire)
            if now is not None and look in now.taps:
                now.taps.remove(look)
                self.cells[wire[2]].refresh()

        return end


def used_nodes(config: NodeConfig) -> set[str]:
    """The ids of the config nodes that a configuration names."""
    return {
        str(getattr(config, name))
        for name, field_info in type(config).model_fields.items()
        if isinstance(field_info.json_schema_extra, dict) and "config_node" in field_info.json_schema_extra
    }


def _outputs(spec: NodeSpec, node: Node) -> tuple[tuple[str, ...], ...]:
    """For each output who gets its messages; what a link out sends goes straight to the link in nodes."""
    if node.role == "link out":
        return (spec.links,)
    outputs = node.outputs_of(spec.config)
    return spec.wires[:outputs] + ((),) * (outputs - len(spec.wires))
