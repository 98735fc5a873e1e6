"""What the engine is to a node: the face behind `Node.after`, `Node.status`, `Node.offload` and the like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from solarflow.clock import Clock
from solarflow.message import Message
from solarflow.services import Services

if TYPE_CHECKING:
    from solarflow.node import Node

Fill = Literal["", "red", "green", "yellow", "blue", "grey"]
Shape = Literal["", "dot", "ring"]


@dataclass(frozen=True, slots=True)
class Status:
    """What a node shows under itself; with a key, one of many (one for each home)."""

    text: str = ""
    fill: Fill = ""
    shape: Shape = "dot"
    key: str = ""
    ts: float = 0.0


class ContextScope(Protocol):
    """A context store of one scope, as in Node-RED: named values, in memory or durable."""

    def get(self, name: str, default: Any = None) -> Any: ...
    def set(self, name: str, value: Any) -> None: ...
    def keys(self) -> list[str]: ...


class Host(Protocol):
    """What the engine does for a node. Nodes use the methods of `Node`, which call these."""

    clock: Clock
    services: Services
    stopping: bool
    """True while the engine itself stops: in `on_stop`, what tells the end of everything from a deploy."""

    def schedule(
        self, node: Node, due: float, wall: bool, method: str, key: str, restart: bool, period: float = 0.0
    ) -> None: ...
    def cancel(self, node: Node, method: str, key: str) -> bool: ...
    def scheduled(self, node: Node, method: str, key: str) -> float | None: ...
    def set_status(self, node: Node, status: Status) -> None: ...
    def handle_error(self, node: Node, error: BaseException, msg: Message | None) -> None: ...
    def log(self, node: Node, level: str, text: str) -> None: ...
    def offload(
        self, node: Node, function: Callable[..., Any], args: tuple[Any, ...], then: Callable[..., None], msg: Message
    ) -> None: ...
    def elsewhere(
        self, node: Node, function: Callable[..., Any], args: tuple[Any, ...], then: Callable[[Future[Any]], None]
    ) -> None: ...
    def done(self, node: Node, msg: Message) -> None: ...
    def deliver_to(self, node: Node, target: str, msg: Message) -> bool: ...
    def links(self, node: Node) -> tuple[str, ...]: ...
    def find(self, node: Node, name_or_id: str, type_: str) -> str | None: ...
    def entry(self, node: Node, function: Callable[..., None]) -> Callable[..., None]: ...
    def config_node(self, node: Node, node_id: str) -> Node: ...
    def context(self, node: Node, scope: str, store: str) -> ContextScope: ...
    def env(self, node: Node, name: str) -> Any: ...
    def emit_debug(self, node: Node, entry: Mapping[str, Any]) -> None: ...
    def new_id(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Setup:
    """How the engine makes a node: who it is, its properties, and its host."""

    id: str
    type: str
    name: str
    flow: str
    config: Any
    host: Host
    wires: tuple[tuple[str, ...], ...] = ()
    file: str = ""
    groups: tuple[str, ...] = ()
