"""The engine's side of `Node.after`, `Node.status`, `Node.error`, `Node.offload`: what it does for its nodes."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, get_args

from solarflow.breaker import Breaker
from solarflow.clock import Clock
from solarflow.compiler import Cell, Deliver
from solarflow.errors import (
    ConnectionLostError,
    NodeError,
    OverloadedError,
    RefusedMessageError,
    SolarFlowError,
    StoreError,
)
from solarflow.host import Fill, Shape, Status
from solarflow.message import Message, clone
from solarflow.node import Node
from solarflow.plan import Plan
from solarflow.routing import Listeners
from solarflow.services import Services
from solarflow.state import ContextStores, Scope
from solarflow.timers import Timers

if TYPE_CHECKING:
    from solarflow.executor import Executor

log = logging.getLogger("solarflow.flows")

MAX_CATCHES = 10
"""How often one error may come back to the node it came from before it is dropped (Node-RED's number)."""
LOG_EVERY_S = 60.0
DEBUG_KEPT = 1000
NOT_THE_NODES_FAULT = (ConnectionLostError, OverloadedError, RefusedMessageError, StoreError)
"""They trip no breaker: it would keep a relay's commands back long after the broker, or the disk, is there again."""
FOUND_KEPT = 1000
"""How many results of `find` are remembered until the next deploy: the names may come from messages."""


class NodeHosting:
    """The part of the engine that nodes call; see `solarflow.host.Host`."""

    clock: Clock
    services: Services
    stopping: bool = False
    plan: Plan
    nodes: dict[str, Node]
    cells: dict[str, Cell]
    timers: Timers
    contexts: ContextStores
    environ: Mapping[str, str]
    enter: Callable[..., Any]
    _enqueue: Callable[..., None]
    _executor: Executor
    _call_back: Callable[[Callable[[], None]], None]

    def _init_hosting(self) -> None:
        self.listeners = Listeners()
        self.breakers: dict[str, Breaker] = {}
        self.statuses: dict[str, dict[str, Status]] = {}
        self.debug: deque[Mapping[str, Any]] = deque(maxlen=DEBUG_KEPT)
        self.debug_count = 0
        self.on_event: list[Callable[[str, Mapping[str, Any]], None]] = []
        """Called with ("status" | "error" | "debug" | "log", what) for whoever watches."""
        self.on_wake: Callable[[], None] = lambda: None
        """Called when there is work to do now that nobody is doing: the driver should call `turn` and `run_due`."""
        self._ids = 0
        self._logged: dict[str, tuple[float, int]] = {}
        self._found: dict[tuple[str, str, str], str] = {}
        self.offloaded = 0

    def new_id(self) -> str:
        """A message id; the same ones in the same order in every run."""
        self._ids += 1
        return f"{self._ids:016x}"

    # -- timers -------------------------------------------------------------------------------------------------

    def schedule(
        self, node: Node, due: float, wall: bool, method: str, key: str, restart: bool, period: float = 0.0
    ) -> None:
        """Start a timer of a node."""
        self.timers.schedule((node.id, method, key), due, wall=wall, restart=restart, period=period)

    def cancel(self, node: Node, method: str, key: str) -> bool:
        """End a timer of a node."""
        return self.timers.cancel((node.id, method, key))

    def scheduled(self, node: Node, method: str, key: str) -> float | None:
        """Seconds until a timer of a node is due."""
        return self.timers.remaining((node.id, method, key))

    # -- statuses -----------------------------------------------------------------------------------------------

    def set_status(self, node: Node, status: Status) -> None:
        """Show a status and tell the status nodes. An empty text takes it away."""
        self._show(node.id, status, node.max_keys)
        spec = self.plan.nodes.get(node.id)
        if spec is not None and self.listeners.status and node.role != "status":
            self._tell_watchers(self.listeners.watchers(spec), status, _source(node))

    def _show(self, shown_at: str, status: Status, max_keys: int) -> None:
        of_node = self.statuses.setdefault(shown_at, {})
        if status.text or status.fill:
            of_node[status.key] = status
            if len(of_node) > max_keys:
                del of_node[next(iter(of_node))]
        else:
            of_node.pop(status.key, None)
        self._tell("status", {"node": shown_at, "status": status})

    def _tell_watchers(self, watchers: Iterable[list[str]], status: Status, source: Mapping[str, Any]) -> None:
        for listening in watchers:
            for watcher in listening:
                msg: Message = {"status": {**_status_json(status), "source": dict(source)}}
                if status.key:
                    msg["home"] = status.key
                self._notify(watcher, msg)
            if listening:
                return

    def _status_output(self, instance: str) -> Deliver:
        """What a wire to a subflow's status output does: set the status of the instance."""
        spec = self.plan.instances[instance]
        source = {"id": instance, "type": spec.type, "name": spec.name}

        def deliver(msg: Message, _port: int = 0) -> None:
            status = _status_of(msg.get("payload"), self.clock.now())
            self._show(instance, status, 1)
            self._tell_watchers(self.listeners.watchers_of_instance(instance), status, source)

        return deliver

    # -- errors -------------------------------------------------------------------------------------------------

    def handle_error(self, node: Node, error: BaseException, msg: Message | None) -> None:
        """Count an error, trip the breaker where it is one too many, tell the catch nodes, or log it."""
        text = str(error) if isinstance(error, SolarFlowError) else f"{type(error).__name__}: {error}"
        cell = self.cells.get(node.id)
        if cell is not None:
            cell.errors += 1
            cell.last_error, cell.last_error_at = text, self.clock.now()
            if not isinstance(error, NOT_THE_NODES_FAULT):
                self._watch(cell, msg)
        self._tell("error", {"node": node.id, "text": text, "msg": msg})
        if not self._caught(node, text, msg):
            self._log_error(node, text, error)

    def _watch(self, cell: Cell, msg: Message | None) -> None:
        breaker = self.breakers.get(cell.node.id)
        if breaker is None:

            def healthy() -> None:
                self.breakers.pop(cell.node.id, None)
                cell.guard = None
                cell.refresh()

            breaker = self.breakers[cell.node.id] = Breaker(cell.node, self.clock, healthy)
            cell.guard = breaker.guard
            cell.refresh()
        key = breaker.key_of(msg)
        if breaker.failed(key):
            try:
                cell.node.on_rest(key)
            except Exception as error:  # it is resting already; nothing more can be done for it
                log.exception("%r cannot be put to rest: %s", cell.node, error)

    def _caught(self, node: Node, text: str, msg: Message | None) -> bool:
        spec = self.plan.nodes.get(node.id)
        if spec is None:
            return False
        earlier = msg.get("error") if msg is not None else None
        count = 1
        if (
            isinstance(earlier, dict)
            and isinstance(source := earlier.get("source"), dict)
            and source.get("id") == node.id
        ):
            count = int(source.get("count", 1)) + 1
            if count >= MAX_CATCHES:
                log.error("%r fails again and again on what its own catch node sends it; dropped: %s", node, text)
                return True
        for catchers in self.listeners.catchers(spec):
            for catcher in catchers:
                caught: Message = clone(msg) if msg is not None else {}
                if "error" in caught:
                    caught["_error"] = caught["error"]
                caught["error"] = {"message": text, "source": {**_source(node), "count": count}}
                self._notify(catcher, caught)
            if catchers:
                return True
        return False

    def _log_error(self, node: Node, text: str, error: BaseException) -> None:
        """Log an uncaught error, once a minute for each node, with how many came in between."""
        now = self.clock.monotonic()
        last, silent = self._logged.get(node.id, (-LOG_EVERY_S, 0))
        if now - last < LOG_EVERY_S:
            self._logged[node.id] = (last, silent + 1)
            return
        self._logged[node.id] = (now, 0)
        more = f" ({silent} more since the last line)" if silent else ""
        trace = None if isinstance(error, SolarFlowError) else error
        log.error("%s: %r: %s%s", node.file, node, text, more, exc_info=trace)

    def log(self, node: Node, level: str, text: str) -> None:
        """A node's line in the log."""
        log.log(logging.getLevelName(level.upper()), "%r: %s", node, text)
        self._tell("log", {"node": node.id, "level": level, "text": text})

    def _tell(self, kind: str, what: Mapping[str, Any]) -> None:
        for listener in self.on_event:
            listener(kind, what)

    # -- work elsewhere -----------------------------------------------------------------------------------------

    def offload(
        self, node: Node, function: Callable[..., Any], args: tuple[Any, ...], then: Callable[..., None], msg: Message
    ) -> None:
        """Run blocking work elsewhere and bring its result, or its error, back to this thread."""

        def back(future: Future[Any]) -> None:
            try:
                then(future.result(), msg)
            except Exception as error:  # noqa: BLE001 - goes the way of every error of this node
                self.handle_error(node, error, msg)
            else:
                self.done(node, msg)

        self.elsewhere(node, function, args, back)

    def elsewhere(
        self, node: Node, function: Callable[..., Any], args: tuple[Any, ...], then: Callable[[Future[Any]], None]
    ) -> None:
        """Run blocking work elsewhere; `then(future)` runs on this thread, unless the node has gone meanwhile."""
        self.offloaded += 1

        def finished(future: Future[Any]) -> None:
            self._call_back(lambda: self.enter(back, future))

        def back(future: Future[Any]) -> None:
            self.offloaded -= 1
            if self.nodes.get(node.id) is node:
                then(future)

        self._executor.submit(function, *args).add_done_callback(finished)

    def done(self, node: Node, msg: Message) -> None:
        """A node has finished with a message: heal its breaker, tell the complete nodes."""
        if (breaker := self.breakers.get(node.id)) is not None:
            breaker.succeeded(breaker.key_of(msg))
        spec = self.plan.nodes.get(node.id)
        if spec is None:
            return
        for listener in self.listeners.completions(spec):
            self._notify(listener, clone(msg))

    # -- the rest of the flow -----------------------------------------------------------------------------------

    def deliver_to(self, node: Node, target: str, msg: Message, grace: int = 0) -> bool:  # noqa: ARG002 - the host's signature
        """Give a message to another node's input, through the queue. False: there is none of that id.

        Raises NodeError where the message has been passed on too often, or too many are waiting.
        """
        cell = self.cells.get(target)
        if cell is None:
            return False
        if "_msgid" not in msg:
            msg["_msgid"] = self.new_id()
        if "ts" not in msg:
            msg["ts"] = self.clock.now()
        self._enqueue(cell.direct.deliver, msg, grace)
        return True

    def _notify(self, listener: str, msg: Message) -> None:
        """Give a catch, status or complete node its message. What cannot be delivered is logged: nobody waits for it.

        An error at the hop limit is still told, so often as an error may come back.
        """
        node = self.nodes[listener]
        try:
            self.deliver_to(node, listener, msg, MAX_CATCHES)
        except NodeError as error:
            self._log_error(node, f"does not hear of something: {error}", error)

    def links(self, node: Node) -> tuple[str, ...]:
        """The link in nodes that a link node names."""
        spec = self.plan.nodes.get(node.id)
        return spec.links if spec is not None else ()

    def find(self, node: Node, name_or_id: str, type_: str) -> str | None:
        """The id of a node of that type by its id or name, in the node's own flow or else in a tab of its file.

        Raises NodeError where several have that name.
        """
        wanted = (node.id, name_or_id, type_)
        if wanted not in self._found:
            found = self._find(node, name_or_id, type_)
            if found is None or len(self._found) >= FOUND_KEPT:
                return found
            self._found[wanted] = found
        return self._found[wanted]

    def _find(self, node: Node, name_or_id: str, type_: str) -> str | None:
        # What lies in a subflow instance can be reached from there only, as with wires.
        specs = [spec for spec in self.plan.nodes.values() if spec.type == type_ and spec.file == node.file]
        here = [spec for spec in specs if spec.flow == node.flow]
        for reach in (here, [spec for spec in specs if len(spec.scopes) == 1]):
            for spec in reach:
                if name_or_id in (spec.id, spec.id.rpartition("/")[2]):
                    return spec.id
            named = [spec.id for spec in reach if spec.name == name_or_id]
            if len(named) > 1:
                raise NodeError(f"{len(named)} '{type_}' nodes are called '{name_or_id}'; give each its own name")
            if named:
                return named[0]
        return None

    def entry(self, node: Node, function: Callable[..., None]) -> Callable[..., None]:
        """Wrap what a service calls: its errors are the node's, and what it queues is delivered."""
        enter = self.enter

        def run(*args: Any) -> None:
            try:
                function(*args)
            except Exception as error:  # noqa: BLE001 - goes the way of every error of this node
                self.handle_error(node, error, None)

        def entered(*args: Any) -> None:
            enter(run, *args)

        return entered

    def config_node(self, node: Node, node_id: str) -> Node:
        """The running config node of that id."""
        found = self.nodes.get(node_id)
        if found is None:
            raise NodeError(f"{node.type} {node.id} needs the config node '{node_id}', which is not running")
        return found

    def context(self, node: Node, scope: str, store: str) -> Scope:
        """A context store's scope as a node sees it: "node", "flow" or "global"."""
        name = {"node": f"node:{node.id}", "flow": f"flow:{node.flow}", "global": "global"}[scope]
        try:
            return self.contexts.scope(name, store or "memory")
        except KeyError as error:
            raise NodeError(str(error.args[0])) from None

    def env(self, node: Node, name: str) -> Any:
        """An environment value as a node sees it, or None."""
        spec = self.plan.nodes.get(node.id)
        value = None if spec is None else spec.env.get(name)
        return self.environ.get(name) if value is None else value

    def emit_debug(self, node: Node, entry: Mapping[str, Any]) -> None:
        """Keep a debug message (bounded) and tell whoever watches."""
        self.debug_count += 1
        self.debug.append(entry)
        self._tell("debug", {"node": node.id, **entry})


def _source(node: Node) -> dict[str, Any]:
    return {"id": node.id, "type": node.type, "name": node.name}


def _status_json(status: Status) -> dict[str, Any]:
    return {"text": status.text, "fill": status.fill, "shape": status.shape}


def _status_of(payload: Any, now: float) -> Status:
    """What a message to a status output shows: its payload's text, fill and shape, or the payload itself."""
    if not isinstance(payload, dict):
        return Status("" if payload is None else str(payload)[:200], ts=now)
    fill: Fill = next((fill for fill in get_args(Fill) if fill == payload.get("fill")), "")
    shape: Shape = next((shape for shape in get_args(Shape) if shape == payload.get("shape")), "dot")
    return Status(str(payload.get("text", ""))[:200], fill, shape, ts=now)
