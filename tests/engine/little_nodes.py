"""Node types that do one thing each, and a way to write a flow in a few lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from solarflow.node import (
    KeyedState,
    Message,
    Node,
    NodeConfig,
    NodeError,
    NodeRedConfig,
    Send,
    config_node,
    resets_state,
)


class Pass(Node):
    """Sends on what comes, and keeps the very objects it got."""

    type = "pass"
    forwards = True

    def __init__(self, setup: Any) -> None:
        super().__init__(setup)
        self.got: list[Message] = []

    def on_input(self, msg: Message) -> None:
        self.got.append(msg)
        self.send(msg)


class Spoil(Node):
    """Writes into what it gets, also deep inside."""

    type = "spoil"
    outputs = 0

    def on_input(self, msg: Message) -> None:
        msg["spoilt"] = True
        msg["payload"]["deep"]["spoilt"] = True


class Fail(Node):
    """Raises for a payload that is its `bad` one (default: every payload), and sends on the others."""

    type = "fail"
    category = "function"

    class Config(NodeRedConfig):
        bad: Any = None

    config: Config

    def on_input(self, msg: Message) -> None:
        if self.config.bad is None or msg.get("payload") == self.config.bad:
            raise NodeError("cannot take this")
        self.send(msg)


class Unready(Node):
    """Cannot be made ready."""

    type = "unready"
    category = "function"

    def input_function(self, send: Send) -> Callable[[Message], None]:
        raise ValueError("no such model")


class Crash(Node):
    """Has a mistake in its code."""

    type = "crash"

    def on_input(self, msg: Message) -> None:
        self.send(msg["payload"]["nothing"]["there"])


class Spread(Node):
    """Sends what its `outputs` says, by Node-RED's rules for several outputs: made by `make` from the message."""

    type = "spread"
    make: Callable[[Message], Sequence[Any]] = staticmethod(lambda msg: [msg, msg])

    class Config(NodeConfig):
        ports: int = 2

    config: Config

    @classmethod
    def outputs_of(cls, config: Any) -> int:
        return int(config.ports)

    def on_input(self, msg: Message) -> None:
        self.send_each(type(self).make(msg))


class Tell(Node):
    """Shows the payload as its status, and sends on."""

    type = "tell"

    def on_input(self, msg: Message) -> None:
        self.status(str(msg["payload"]), "green", "ring", msg.get("home", ""))
        self.send(msg)


class Later(Node):
    """Computes elsewhere, then sends the result."""

    type = "later"

    def on_input(self, msg: Message) -> None:
        self.offload(self.compute, msg["payload"], then=self.tell, msg=msg)

    @staticmethod
    def compute(number: float) -> float:
        return 100 / number

    def tell(self, result: float, msg: Message) -> None:
        self.send({**msg, "payload": result})


class Count(Node):
    """Counts by home; holds each message for `hold_s`."""

    type = "count"
    waits = True

    class Config(NodeConfig):
        hold_s: float = 0
        unit: Annotated[str, resets_state()] = "kWh"
        key: str = "home"

    @dataclass(slots=True)
    class State:
        n: int = 0

    config: Config
    state: KeyedState[State]

    def on_input(self, msg: Message) -> None:
        key = self.key(msg)
        self.state[key].n += 1
        if self.config.hold_s:
            self.after(self.config.hold_s, self.tell, key)
        else:
            self.tell(key)

    def tell(self, key: str) -> None:
        self.send({self.config.key: key, "payload": self.state[key].n})


class Recall(Node):
    """Counts in the context `scope` of `store` what came, and sends the count."""

    type = "recall"

    class Config(NodeConfig):
        scope: str = "flow"
        store: str = ""

    config: Config

    def on_input(self, msg: Message) -> None:
        context = self.host.context(self, self.config.scope, self.config.store)
        context.set("n", context.get("n", 0) + 1)
        self.send({"payload": context.get("n")})


class Show(Node):
    """Sends the value of the environment variable that the payload names."""

    type = "show"

    def on_input(self, msg: Message) -> None:
        self.send({"payload": self.host.env(self, msg["payload"])})


class Life(Node):
    """Writes down what happens to it."""

    type = "life"
    happened: list[tuple[str, str]] = []

    class Config(NodeConfig):
        text: str = ""
        peer: Annotated[str, config_node("life-config")] = ""

    config: Config

    def on_start(self) -> None:
        self.happened.append((self.id, "start"))

    def on_stop(self) -> None:
        self.happened.append((self.id, "stop"))
        self.send({"payload": f"{self.id} says goodbye"})

    def on_removed(self) -> None:
        self.happened.append((self.id, "removed"))

    def on_input(self, msg: Message) -> None:
        self.send(msg)


class Beat(Node):
    """Sends every `every_s` seconds, or not at all where that is 0."""

    type = "beat"
    inputs = 0

    class Config(NodeConfig):
        every_s: float = 0

    config: Config

    def on_start(self) -> None:
        if self.config.every_s:
            self.every(self.config.every_s, self.beat)

    def beat(self, _key: str) -> None:
        self.send({"payload": "beat"})


class LifeConfig(Node):
    """A config node."""

    type = "life-config"
    is_config = True
    inputs = 0
    outputs = 0

    class Config(NodeConfig):
        text: str = ""

    def on_start(self) -> None:
        Life.happened.append((self.id, "start"))

    def on_stop(self) -> None:
        Life.happened.append((self.id, "stop"))


TYPES = (Pass, Spoil, Fail, Unready, Crash, Spread, Tell, Later, Count, Recall, Show, Life, Beat, LifeConfig)


def tab(node_id: str = "tab", **more: Any) -> dict[str, Any]:
    return {"id": node_id, "type": "tab", "label": node_id, **more}


def node(node_id: str, type_: str, *targets: str | Sequence[str], z: str = "tab", **more: Any) -> dict[str, Any]:
    """A node; each target is one output's (a list: several nodes of one output)."""
    wires = [[target] if isinstance(target, str) else list(target) for target in targets]
    return {"id": node_id, "type": type_, "z": z, "x": 0, "y": 0, "wires": wires, **more}


def flow_of(*nodes: dict[str, Any]) -> list[dict[str, Any]]:
    """The nodes, in the tab "tab" where they bring none."""
    return [*([] if any(one["type"] == "tab" for one in nodes) else [tab()]), *nodes]
