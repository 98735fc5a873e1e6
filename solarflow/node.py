"""All that a node author imports: Node, NodeConfig, keyed state, examples.

A node type is one file: its docstring is the help page, `Config` the schema, `State` what is kept for each key,
`EXAMPLE` is run by the tests and printed in the help, `on_input` is what it does. See docs/adding-a-node.md.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from solarflow.errors import NodeError
from solarflow.host import Fill, Setup, Shape, Status
from solarflow.keyed import KeyedState
from solarflow.message import MISSING, Message, PropertyPath

__all__ = [
    "BrokerRef",
    "Example",
    "KeyedConfig",
    "KeyedState",
    "Message",
    "MessageProperty",
    "Node",
    "NodeConfig",
    "NodeError",
    "NodeRedConfig",
    "OptionalMessageProperty",
    "PropertyPath",
    "Secret",
    "Send",
    "Setup",
    "Status",
    "at",
    "config_node",
    "resets_state",
]

Send = Callable[..., None]
MAX_SKEW_S = 300.0
"""A time of measurement further ahead than this is a wrong clock, not a reading of now."""
T = TypeVar("T")


class NodeConfig(BaseModel):
    """The properties of a node type: frozen, unknown names refused, the text under a field is its help."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, populate_by_name=True, allow_inf_nan=False
    )


class NodeRedConfig(NodeConfig):
    """The properties of a type that Node-RED has too: names it does not know are kept in the file and warned about."""

    model_config = ConfigDict(extra="ignore")


class KeyedConfig(NodeConfig):
    """For nodes that keep something for each home (or each value of another property)."""

    key: str = "home"
    """The message property that tells whose message it is: state is kept apart for each of its values."""


Secret = SecretStr
"""A property that lives in credentials.json or ${ENV}, is never exported, compared or shown."""


def config_node(*types: str) -> Any:
    """The annotation of a property that holds the id of a config node: `broker: Annotated[str, config_node("…")]`."""
    return Field(json_schema_extra={"config_node": list(types)})


def resets_state() -> Any:
    """The annotation of a property whose change makes the kept state meaningless."""
    return Field(json_schema_extra={"resets_state": True})


def _message_property(text: str) -> str:
    if text:
        PropertyPath(text)
    return text


MessageProperty = Annotated[
    str, AfterValidator(_message_property), Field(min_length=1, json_schema_extra={"message_property": True})
]
"""The path of a message property, such as `payload.power_w`."""
OptionalMessageProperty = Annotated[
    str, AfterValidator(_message_property), Field(json_schema_extra={"message_property": True})
]
"""The same, or empty."""

BrokerRef = Annotated[str, config_node("mqtt-broker")]
"""The id of an `mqtt-broker` node."""


@dataclass(frozen=True, slots=True)
class Timed:
    """A message at a moment, in an example or a test: seconds from its start; `port` is the output it leaves by."""

    t: float
    msg: Message
    port: int = 0


def at(t: float, /, port: int = 0, **msg: Any) -> Timed:
    """A message at `t` seconds from the start: `at(300, home="casa_A", payload=True)`."""
    return Timed(t, msg, port)


@dataclass(frozen=True, slots=True)
class Example:
    """A node at work: its configuration, messages in, messages out. Run by the tests, printed in the help.

    `then` lists all messages that leave, in order. Of each only the properties written here are compared.
    `until` is how long to wait for timers, in seconds from the start (default: the last time mentioned).
    `others` are the config nodes that it names, by id: (type, properties).
    For a source `given` is what comes from outside: `at(0, topic=..., payload=...)` over MQTT, `at(0, method="GET",
    url=...)` over HTTP.
    """

    config: Mapping[str, Any]
    given: Sequence[Timed]
    then: Sequence[Timed]
    until: float | None = None
    homes: Sequence[Mapping[str, Any]] = ()
    text: str = ""
    others: Mapping[str, tuple[builtins.type[Node], Mapping[str, Any]]] = field(default_factory=dict)


class Node:
    """One node of a flow. Subclass it, name its `type`, and say what it does with a message.

    A node never asks the machine for the time, never starts a thread and never opens a file or the store by itself:
    `clock`, `after`, `every`, `offload` and `services` are there for that, and they work in replay too.
    """

    type: ClassVar[str] = ""
    """The name in the flow file."""
    category: ClassVar[str] = "function"
    """The heading in the palette; by convention the folder of the file."""
    label: ClassVar[str] = ""
    """What the palette shows; the type where it is empty."""
    color: ClassVar[str] = "#d9e8f5"
    icon: ClassVar[str] = ""
    inputs: ClassVar[int] = 1
    """0 for a source, 1 otherwise."""
    outputs: ClassVar[int] = 1
    """How many outputs; where the configuration decides, override `outputs_of`."""
    output_labels: ClassVar[Sequence[str]] = ()
    forwards: ClassVar[bool] = False
    """True where only messages that came in are ever sent on: they need no id and no time any more."""
    waits: ClassVar[bool] = False
    """True where messages leave later than they come: a circle with such a node in it does not spin."""
    is_config: ClassVar[bool] = False
    """True for config nodes: no place on the canvas, no wires, used by others."""
    role: ClassVar[
        Literal["", "catch", "status", "complete", "link in", "link out", "link call", "junction", "comment", "code"]
    ] = ""
    """What the engine itself must know of some types."""
    board: ClassVar[str] = ""
    """A heading of the first page under which the statuses of this type's keys are shown: "Relays"."""
    schema_version: ClassVar[int] = 1
    max_keys: ClassVar[int] = 10_000

    Config: ClassVar[builtins.type[NodeConfig]] = NodeConfig
    State: ClassVar[builtins.type[Any] | None] = None
    EXAMPLE: ClassVar[Example | None] = None
    EXAMPLES: ClassVar[Sequence[Example]] = ()

    config: Any
    state: KeyedState[Any]

    def __init__(self, setup: Setup) -> None:
        self.id = setup.id
        self.name = setup.name
        self.flow = setup.flow
        self.file = setup.file
        self.config = setup.config
        self.host = setup.host
        self.setup = setup
        self.clock = setup.host.clock
        self.services = setup.host.services
        self.state = KeyedState(self.State or dict, self.max_keys)
        self._outputs: tuple[Send, ...] = ()
        self._deferred = False
        self._key_path = PropertyPath(getattr(self.config, "key", "home") or "home")

    def __repr__(self) -> str:
        return f"<{self.type} {self.id}{f' {self.name!r}' if self.name else ''}>"

    @classmethod
    def outputs_of(cls, config: Any) -> int:  # noqa: ARG003 - for subclasses
        """How many outputs a node with this configuration has."""
        return cls.outputs

    @classmethod
    def migrate(cls, properties: dict[str, Any]) -> dict[str, Any]:
        """Lift an older file's properties to this version of the schema."""
        return properties

    # -- what a node does ---------------------------------------------------------------------------------------

    def on_start(self) -> None:
        """The flow begins (also after a restart: kept state is there already)."""

    def on_input(self, msg: Message) -> None:
        """A message came. Raising sends it to the catch nodes and disturbs nothing else."""

    def on_stop(self) -> None:
        """The node goes away: end subscriptions and routes; sends still arrive."""

    def on_removed(self) -> None:
        """The node is deleted from the flow (after `on_stop`): make safe what depended on it."""

    def on_rest(self, key: str) -> None:
        """The breaker has tripped: for a while no message of `key` comes in. Make safe what depends on them."""

    def on_trigger(self) -> None:
        """Somebody pressed its button (inject)."""
        raise NodeError(f"a {self.type} node has no button")

    def input_function(self, send: Send) -> Callable[[Message], None]:  # noqa: ARG002 - for subclasses
        """What is called for each message; by default `on_input`.

        A node on the hot path may return a closure made for its configuration, with `send` (its first output) bound.
        Called anew whenever the wires change.
        """
        return self.on_input

    # -- sending ------------------------------------------------------------------------------------------------

    def send(self, msg: Message, port: int = 0) -> None:
        """Send a message on an output. The engine replaces this method by a direct call to what is wired there."""
        self._outputs[port](msg)

    def send_each(self, outputs: Sequence[Message | Sequence[Message] | None]) -> None:
        """Send to several outputs at once, as Node-RED's `send([a, [b, c], null])`.

        A message that stands there twice goes out as itself and then as copies, all made before the first leaves.
        """
        self._send_each(outputs)

    _send_each: Callable[[Sequence[Message | Sequence[Message] | None]], None]

    # -- time ---------------------------------------------------------------------------------------------------

    def after(self, seconds: float, method: Callable[[str], None], key: str = "") -> None:
        """Call `method(key)` in `seconds`; one that runs already runs on. Time the engine is down does not count."""
        self.host.schedule(self, self.clock.monotonic() + seconds, False, method.__name__, key, False)

    def restart(self, seconds: float, method: Callable[[str], None], key: str = "") -> None:
        """As `after`, but one that runs begins anew."""
        self.host.schedule(self, self.clock.monotonic() + seconds, False, method.__name__, key, True)

    def at(self, moment: float, method: Callable[[str], None], key: str = "") -> None:
        """Call `method(key)` at a UTC time, at once where it is past; one that runs is moved. Down time counts."""
        self.host.schedule(self, moment, True, method.__name__, key, True)

    def every(self, seconds: float, method: Callable[[str], None], key: str = "") -> None:
        """Call `method(key)` every `seconds`. Begin it in `on_start`: it is not kept over a restart."""
        self.host.schedule(self, self.clock.monotonic() + seconds, False, method.__name__, key, True, seconds)

    def cancel(self, method: Callable[[str], None], key: str = "") -> bool:
        """End a timer. False: none was running."""
        return self.host.cancel(self, method.__name__, key)

    def remaining(self, method: Callable[[str], None], key: str = "") -> float | None:
        """Seconds until a timer's call, or None where none runs."""
        return self.host.scheduled(self, method.__name__, key)

    # -- telling ------------------------------------------------------------------------------------------------

    def status(self, text: str, fill: Fill = "", shape: Shape = "dot", key: str = "") -> None:
        """Show something under the node; for keyed nodes, of one key."""
        self.host.set_status(self, Status(text, fill, shape, key, self.clock.now()))

    def error(self, error: BaseException | str, msg: Message | None = None) -> None:
        """Report an error without raising it."""
        self.host.handle_error(self, NodeError(error) if isinstance(error, str) else error, msg)

    def warn(self, text: str) -> None:
        """A line in the log that somebody should read."""
        self.host.log(self, "warning", text)

    def info(self, text: str) -> None:
        """A line in the log."""
        self.host.log(self, "info", text)

    # -- longer work --------------------------------------------------------------------------------------------

    def offload(self, function: Callable[..., T], *args: Any, then: Callable[[T, Message], None], msg: Message) -> None:
        """Run blocking work elsewhere; `then(result, msg)` runs here. `complete` fires after `then`."""
        self._deferred = True
        self.host.offload(self, function, args, then, msg)

    def defer(self) -> None:
        """This message is not done when `on_input` returns: `done(msg)` will be called later."""
        self._deferred = True

    def done(self, msg: Message) -> None:
        """A deferred message is done: `complete` nodes hear of it."""
        self.host.done(self, msg)

    def entry(self, function: Callable[..., None]) -> Callable[..., None]:
        """Wrap a callback that a service will call, so that the engine knows when work begins and ends."""
        return self.host.entry(self, function)

    # -- reading ------------------------------------------------------------------------------------------------

    def key(self, msg: Message) -> str:
        """Whose message it is, by the node's `key` property.

        Raises NodeError where the message does not say.
        """
        value = self._key_path.get(msg)
        if value.__class__ is str and value:
            return str(value)
        if value is MISSING or value is None or value == "":
            raise NodeError(f"the message has no '{self._key_path.text}', which tells whose it is")
        return str(value)

    def number(self, msg: Message, path: PropertyPath | None = None) -> float:
        """The number at `path` (default: payload).

        Raises NodeError where it is missing or not a finite number. Text that is a number counts; true and false do
        not.
        """
        value = msg.get("payload", MISSING) if path is None else path.get(msg)
        if value.__class__ is float or value.__class__ is int:
            number = value
        else:
            where = "payload" if path is None else path.text
            if value is MISSING:
                raise NodeError(f"the message has no '{where}', where a number is needed")
            if isinstance(value, bool) or not isinstance(value, (int, float, str)):
                raise NodeError(f"'{where}' is {_shown(value)}, where a number is needed")
            try:
                number = float(value)
            except ValueError:
                raise NodeError(f"'{where}' is {_shown(value)}, where a number is needed") from None
        if not -1.7e308 < number < 1.7e308:
            raise NodeError(f"the number {number} is not finite")
        return number

    def is_live(self, msg: Message, max_age_s: float) -> bool:
        """Whether a message may be given to live control: measured at most `max_age_s` ago.

        It is not where it is older, is marked `late` (by `mqtt in`) or `arretrato` (a device drains its buffer), or
        claims to come from more than `MAX_SKEW_S` ahead. `arretrato` and `ts` count in the message and, where that is
        an object, in its payload. What a broker had kept (`retain`) comes again at each connect: only its own `ts` in
        the payload says how old it is, and without one it is not live.
        Raises NodeError where `ts` is no number.
        """
        if msg.get("late"):
            return False
        payload = msg.get("payload")
        if msg.get("retain") and not (payload.__class__ is dict and "ts" in payload):
            return False
        now = self.clock.now()
        for place in (msg, payload) if payload.__class__ is dict else (msg,):
            if place.get("arretrato"):
                return False
            ts = place.get("ts", now)
            if ts.__class__ is not float and ts.__class__ is not int:
                raise NodeError(f"'ts' is {_shown(ts)}, where seconds since 1970 (UTC) are needed")
            if not -MAX_SKEW_S <= now - ts <= max_age_s:
                return False
        return True


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"


def examples_of(node_type: type[Node]) -> Iterable[Example]:
    """All examples of a node type."""
    return ([node_type.EXAMPLE] if node_type.EXAMPLE else []) + list(node_type.EXAMPLES)
