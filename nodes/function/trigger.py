"""Send a message when one comes, and a second one a while later, unless that is extended or reset.

Inputs
    Any message: it triggers the node.
    reset (optional): end what runs; nothing is sent.
    delay (number, optional): where allowed, how long to wait, in milliseconds.
Outputs
    The message with the first payload at once; with the second payload when the time is over, by the second output
    where there is one.
Details
    While the time runs, further messages send nothing. With "extend", each begins the time anew: with *nothing* as
    first payload the node is then a watchdog, which speaks when nothing has come for so long.

    A time of 0 waits for reset. A time below zero sends the first message again and again at that pace until reset.

    A payload is a text, number, true or false, JSON, bytes, the time, an environment, flow or global value, the payload
    that came (`pay`; as second payload, the one that triggered), the newest message (`payl`, second only) or nothing
    (`nul`). A text may be a mustache template of the message. Flow and global values and the time of the second
    payload are read when it is sent. A message with a payload of the node's own has the time of its sending as `ts`.

    Messages are told apart by their topic, or another property, where so configured.
    What runs survives a restart; the time without the program does not count. Messages that cannot be written as JSON
    survive without what cannot.
Source
    The behaviour follows Node-RED's trigger node.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from solarflow.errors import NodeError
from solarflow.loose import is_json, leading_number, to_text
from solarflow.message import MISSING, Message, PropertyPath, clone
from solarflow.mustache import Template, nowhere
from solarflow.node import Example, KeyedState, Node, NodeRedConfig, Setup, at, resets_state
from solarflow.typed import check_typed, evaluator

ALL = "_none"
_UNIT_S: Final = {"ms": 0.001, "s": 1, "min": 60, "hr": 3600}
_KINDS: Final = ("flow", "global", "str", "num", "bool", "json", "bin", "date", "env", "expression", "msg")
_LATE: Final = ("flow", "global", "date")


class Trigger(Node):
    """Sends, and sends again."""

    type = "trigger"
    category = "function"
    color = "#E6E0F8"
    icon = "trigger"
    waits = True

    class Config(NodeRedConfig):
        """The properties of Node-RED's trigger node."""

        op1: Any = "1"
        """The first payload."""
        op1type: str = "str"
        """What `op1` means: str, num, bool, json, bin, date, env, flow, global, pay (the payload that came) or nul
        (send nothing)."""
        op2: Any = "0"
        """The second payload."""
        op2type: str = "str"
        """What `op2` means: as `op1type`; pay is the payload that triggered, payl the newest message."""
        duration: Annotated[float, resets_state()] = 250
        """How long to wait for the second message; 0 waits for reset; below zero the first message is sent again and
        again at that pace."""
        units: Literal["ms", "s", "min", "hr"] = "ms"
        """The unit of `duration`."""
        extend: bool = False
        """A further message begins the time anew."""
        override_delay: bool = Field(default=False, alias="overrideDelay")
        """msg.delay may say how long to wait, in milliseconds."""
        reset: str = Field(default="", coerce_numbers_to_str=True)
        """A payload that ends what runs, like msg.reset."""
        bytopic: Annotated[Literal["all", "topic"], resets_state()] = "all"
        """all: all messages are one; topic: told apart by a property."""
        topic: Annotated[str, resets_state()] = "topic"
        """The property that tells messages apart."""
        outputs: int = Field(default=1, ge=1, le=2)
        """2: the second message leaves by the second output."""

        @field_validator("*", mode="before")
        @classmethod
        def _default(cls, value: Any, info: Any) -> Any:
            return cls.model_fields[info.field_name].default if value is None or value == "" else value

        @model_validator(mode="before")
        @classmethod
        def _lift(cls, config: Any) -> Any:
            """In older exports a `val` may be true, false, null or a text."""
            if not isinstance(config, dict):
                return config
            config = dict(config)
            for name in ("op1", "op2"):
                if config.get(f"{name}type") == "val":
                    kinds = {"true": "bool", "false": "bool", "null": "json"}
                    config[f"{name}type"] = kinds.get(str(config.get(name)), "str")
                if config.get(f"{name}type") == "null":
                    config.update({name: "null", f"{name}type": "json"})
            return config

        @model_validator(mode="after")
        def _check(self) -> Self:
            first = (self.op1, self.op1type, ("pay", "nul"))
            second = (self.op2, self.op2type, ("pay", "payl", "nul"))
            for value, kind, own in (first, second):
                if kind not in own:
                    check_typed(value, kind, _KINDS)
                if kind == "str":
                    _template(value)
            check_typed(self.topic, "msg")
            return self

    @dataclass(slots=True)
    class State:
        """What runs for one topic."""

        msg: dict[str, Any] | None = None
        """The message that goes out when the time is over, but for its payload."""
        second: Any = None
        """The second payload, where it is decided already."""
        missing: bool = False
        """The second payload is not there, or cannot be written as JSON."""
        interval_s: float = 0.0
        """How often a message is repeated."""
        live: Annotated[Any, Field(exclude=True)] = None
        """The same message as it came, as long as the program runs."""
        live_second: Annotated[Any, Field(exclude=True)] = None
        """Likewise."""

        def decide(self, second: Any) -> None:
            """Keep the second payload, so that it survives if it can."""
            self.missing = not is_json(second)
            self.second, self.live_second = (None, second) if self.missing else (second, None)

        def decided(self) -> Any:
            """The second payload; MISSING where there is none, or it did not survive."""
            if not self.missing:
                return self.second
            return MISSING if self.live_second is None else self.live_second

    config: Config
    state: KeyedState[State]

    EXAMPLES = (
        Example(
            text="A door bell: on, and off after two seconds.",
            config={"op1": "ON", "op1type": "str", "op2": "OFF", "op2type": "str", "duration": "2", "units": "s"},
            given=[at(0, payload=1), at(1, payload=1), at(5, payload=1)],
            then=[at(0, payload="ON"), at(2, payload="OFF"), at(5, payload="ON"), at(7, payload="OFF")],
        ),
        Example(
            text="A watchdog for each home: it speaks when nothing has come for a minute.",
            config={
                "op1type": "nul", "op2": "silent", "op2type": "str", "duration": "1", "units": "min", "extend": True,
                "bytopic": "topic", "topic": "home",
            },
            given=[at(0, home="casa_A"), at(0, home="casa_B"), at(50, home="casa_A")],
            then=[at(60, home="casa_B", payload="silent"), at(110, home="casa_A", payload="silent")],
        ),
    )  # fmt: skip

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        config = self.config
        self._repeats = config.duration < 0
        self._duration_s = abs(config.duration) * _UNIT_S[config.units]
        self._topic = PropertyPath(config.topic).get
        self._first = self._payload(config.op1, config.op1type)
        self._second = self._payload(config.op2, config.op2type)
        self._port = config.outputs - 1

    @classmethod
    def outputs_of(cls, config: Any) -> int:
        """As many as it says."""
        return int(config.outputs)

    def _payload(self, value: Any, kind: str) -> Callable[[Message], Any]:
        if kind in ("pay", "payl", "nul"):
            return lambda msg: clone(msg.get("payload", MISSING))
        template = _template(value) if kind == "str" else None
        if template is not None:
            return lambda msg: template.render(msg, nowhere)
        return evaluator(self, value, kind)

    def on_input(self, msg: Message) -> None:
        key = self._key(msg)
        if self._is_reset(msg):
            self.state.pop(key)
            self.cancel(self.fire, key)
            self._report()
        elif key not in self.state or self._repeats:
            self._begin(msg, key)
        elif self.config.extend and self._wait_s(msg) > 0:
            self._keep(key, msg)
            self.restart(self._wait_s(msg), self.fire, key)
        elif self.config.op2type == "payl":
            self._keep(key, msg)

    def _key(self, msg: Message) -> str:
        topic = self._topic(msg) if self.config.bytopic == "topic" else None
        return ALL if topic is MISSING or topic is None or topic == "" else to_text(topic)

    def _is_reset(self, msg: Message) -> bool:
        if "reset" in msg:
            return True
        payload = msg.get("payload")
        return self.config.reset != "" and payload is not None and to_text(payload) == self.config.reset

    def _wait_s(self, msg: Message) -> float:
        if self.config.override_delay and "delay" in msg:
            asked_ms = leading_number(msg["delay"])
            if math.isfinite(asked_ms):
                return max(0.0, asked_ms / 1000)
        return self._duration_s

    def _begin(self, msg: Message, key: str) -> None:
        """The first message, and what will come of the second."""
        config, wait_s = self.config, self._wait_s(msg)
        if self._repeats and config.op1type == "nul":
            return
        decided = config.op2type not in ("nul", "payl", *_LATE)
        second = self._second(msg) if decided else MISSING
        first = self._first(msg)
        before = clone(msg)
        if config.op1type not in ("pay", "nul"):
            _set_payload(msg, first)
        self._keep(key, msg if self._repeats else before)
        self.state[key].decide(second)
        self.state[key].interval_s = wait_s
        if wait_s > 0:
            self.restart(wait_s, self.fire, key)
        self._report()
        if config.op1type != "nul":
            self.send(msg)

    def fire(self, key: str) -> None:
        """The time of a topic is over."""
        state = self.state.peek(key)
        if state is None:
            return
        msg: Message = clone(state.msg if state.live is None else state.live) or {}
        if self._repeats:
            self.restart(state.interval_s, self.fire, key)
            if self.config.op1type in _LATE:
                _set_payload(msg, self._first(msg))
            if self.config.op1type != "pay":
                msg.pop("ts", None)
            self.send(msg)
            return
        self.state.pop(key)
        self._report()
        kind = self.config.op2type
        if kind == "nul":
            return
        if kind != "payl":
            _set_payload(msg, self._second(msg) if kind in _LATE else state.decided())
        if kind not in ("pay", "payl"):
            msg.pop("ts", None)
        self.send(msg, self._port)

    def _keep(self, key: str, msg: Message) -> None:
        kept: Message = clone(msg)
        state = self.state[key]
        if is_json(kept):
            state.msg, state.live = kept, None
        else:
            state.msg, state.live = {name: value for name, value in kept.items() if is_json(value)}, kept

    def _report(self) -> None:
        running = len(self.state)
        if running == 0:
            self.status("")
        else:
            self.status(str(running) if self.config.bytopic == "topic" else "waiting", "blue", "dot")


def _set_payload(msg: Message, value: Any) -> None:
    if value is MISSING:
        msg.pop("payload", None)
    else:
        msg["payload"] = value


def _template(text: Any) -> Template | None:
    """The template that a text is; None where it is none. Raises ValueError where it is a bad one."""
    if not isinstance(text, str) or "{{" not in text:
        return None
    try:
        return Template(text)
    except NodeError as error:
        raise ValueError(str(error)) from None
