"""Route messages by the value of a property, or by their place in a sequence.

Each rule has an output. A message leaves by the outputs of all rules that match, or with "stop at the first match"
by the first one's only.

Inputs
    Any message.
    parts (object, optional): the message's place in a sequence, as `split` sets it: `id`, `index` and, in one at least,
        `count`.
Outputs
    The same message, one output for each rule.
Details
    The property is one of the message, a flow or global value, an environment variable or an expression. What it is
    compared with may be any of these too, or the value it had in the message before.
    Values are compared as Node-RED does: the text "10" equals the number 10, two texts are ordered by their
    characters, a text and a number as numbers. *is true*, *is false* and *is of type* do not convert.
    *is empty* holds for texts, lists, objects and bytes without content, not for null or a missing property.
    *head*, *tail* and *index* look at the place in a sequence; *tail* keeps the messages until the sequence is
    complete. *otherwise* matches where no rule before it did.
    With "recreate message sequences" the messages of a sequence are kept until it is complete; what leaves by each
    output is then a sequence of its own. At most 10,000 messages are kept; beyond that the oldest sequence is dropped
    with an error. Sequences that are not complete do not survive a restart.
    Regular expressions are JavaScript's. One that takes more than 50 ms of computing over a text is an error.
Source
    The behaviour follows Node-RED's switch node.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from solarflow.comparison import COMPARE, IS_TYPE, ORDER, PLAIN, between, in_place, with_constant
from solarflow.errors import NodeError, SolarFlowError
from solarflow.loose import is_json, to_number, to_text
from solarflow.message import MISSING, Message, clone
from solarflow.node import Example, KeyedState, Node, NodeRedConfig, Setup, at, resets_state
from solarflow.patterns import pattern
from solarflow.typed import check_typed, constant_of, evaluator

MAX_KEPT = 10_000
"""How many messages wait for the rest of their sequences."""

Get = Callable[[Message], Any]
T = TypeVar("T")
Test = Callable[[Any, Message], bool]
"""Whether a rule matches, by the property's value and the message."""

_OF_PLACE = ("head", "tail", "index")
_WITH_VALUE = (
    "eq",
    "neq",
    "lt",
    "lte",
    "gt",
    "gte",
    "hask",
    "btwn",
    "cont",
    "regex",
    "istype",
    "jsonata_exp",
    *_OF_PLACE,
)
_KINDS = ("str", "num", "bool", "msg", "flow", "global", "env", "json", "date", "expression", "prev")


class Rule(BaseModel):
    """One rule of a switch node."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    t: Literal[
        "eq", "neq", "lt", "lte", "gt", "gte", "hask", "btwn", "cont", "regex", "true", "false", "istype", "empty",
        "nempty", "null", "nnull", "head", "index", "tail", "jsonata_exp", "else",
    ]  # fmt: skip
    """The comparison."""
    v: Any = ""
    """The value to compare with."""
    vt: str = "str"
    """What `v` means: str, num, bool, msg, flow, global, env, expression or prev (the property's previous value)."""
    v2: Any = ""
    """The second value, of btwn and index."""
    v2t: str = "str"
    """What `v2` means."""
    case: bool = False
    """Of regex: ignore the case of letters."""

    @model_validator(mode="before")
    @classmethod
    def _lift(cls, rule: Any) -> Any:
        """Rules of older exports have no types: what can be a number is one."""
        if not isinstance(rule, dict):
            return rule
        rule = {key: value for key, value in rule.items() if value is not None}
        for value, kind in (("v", "vt"), ("v2", "v2t")):
            if value in rule and not rule.get(kind):
                number = to_number(rule[value])
                rule[kind] = "num" if number == number and rule[value] != "" else "str"
        return rule

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.t == "istype":
            if self.v not in IS_TYPE:
                raise ValueError(f"the type '{self.v}' is not one of {', '.join(IS_TYPE)}")
        elif self.t == "jsonata_exp":
            check_typed(self.v, "jsonata" if self.vt == "jsonata" else "expression")
        elif self.t in _WITH_VALUE:
            _check_value(self.v, self.vt)
        if self.t in ("btwn", "index"):
            _check_value(self.v2, self.v2t)
        if self.t == "regex" and self.vt == "str":
            try:
                pattern(to_text(self.v))
            except NodeError as error:
                raise ValueError(str(error)) from None
        return self


def _check_value(value: Any, kind: str) -> None:
    if kind != "prev":
        check_typed(value, kind, _KINDS)


class Switch(Node):
    """Routes messages by rules."""

    type = "switch"
    category = "function"
    color = "#E2D96E"
    icon = "switch"
    forwards = True

    class Config(NodeRedConfig):
        """The properties of Node-RED's switch node."""

        property: str = "payload"
        """What the rules look at."""
        property_type: str = Field(default="msg", alias="propertyType")
        """What `property` means: msg, flow, global, env or expression."""
        rules: tuple[Rule, ...] = ()
        """The rules, one for each output: `t` (the comparison), `v` and `vt` (the value and what it means), for btwn
        and index `v2` and `v2t`, for regex `case` (true ignores it)."""
        checkall: Literal["true", "false"] = "true"
        """"true": every rule is looked at; "false": the first that matches is the last."""
        repair: Annotated[bool, resets_state()] = False
        """Recreate message sequences: keep a sequence until it is complete, and send one of its own by each output."""
        outputs: int = Field(default=1, ge=0)
        """How many outputs the export has; the rules tell it too."""

        @field_validator("checkall", mode="before")
        @classmethod
        def _text(cls, value: Any) -> Any:
            return str(value).lower() if isinstance(value, bool) else value or "true"

        @model_validator(mode="after")
        def _check(self) -> Self:
            check_typed(self.property, self.property_type, ("msg", "flow", "global", "env", "expression"))
            return self

    @dataclass(slots=True)
    class State:
        """The property's value in the message before, where a rule asks for it."""

        previous: Any = None

    config: Config
    state: KeyedState[State]

    EXAMPLES = (
        Example(
            text="Above a threshold, below it, and what is no number.",
            config={
                "property": "payload",
                "rules": [
                    {"t": "istype", "v": "number", "vt": "number"},
                    {"t": "gte", "v": "1000", "vt": "num"},
                    {"t": "else"},
                ],
            },
            given=[at(0, payload=1500), at(1, payload=400), at(2, payload="off")],
            then=[
                at(0, payload=1500), at(0, port=1, payload=1500), at(1, payload=400), at(2, port=2, payload="off"),
            ],
        ),
        Example(
            text="The first rule that matches is the only one.",
            config={
                "rules": [
                    {"t": "lt", "v": "0", "vt": "num"},
                    {"t": "btwn", "v": "0", "vt": "num", "v2": "9", "v2t": "num"},
                ],
                "checkall": "false",
            },
            given=[at(0, payload=-1), at(1, payload=9)],
            then=[at(0, payload=-1), at(1, port=1, payload=9)],
        ),
    )  # fmt: skip

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        config = self.config
        self._value = evaluator(self, config.property, config.property_type)
        self._tests: Sequence[Test | None] = [_test_of(self, rule) for rule in config.rules]
        self._first_only = config.checkall == "false"
        self._whole = config.repair or any(rule.t == "tail" for rule in config.rules)
        self._remembers = any("prev" in (rule.vt, rule.v2t) for rule in config.rules)
        self._sequences: dict[str, _Sequence] = {}
        self._kept = 0

    @classmethod
    def outputs_of(cls, config: Any) -> int:
        """One for each rule."""
        return len(config.rules)

    def previous(self, _msg: Message) -> Any:
        """The property's value in the message before."""
        state = self.state.peek("")
        return None if state is None else state.previous

    def input_function(self, send: Callable[..., None]) -> Callable[[Message], None]:
        """A closure for these rules; `send` is this node's."""
        if self._whole:
            return self.on_input
        return self._router(send)

    def _router(self, send: Callable[..., None]) -> Callable[[Message], None]:
        value_of, tests = self._value, self._tests
        if not self._remembers and len(tests) == 1 and tests[0] is not None:
            only = tests[0]

            def route_one(msg: Message) -> None:
                if only(value_of(msg), msg):
                    send(msg)

            return route_one
        if not self._remembers and self._first_only:
            firsts = [(port, test or _always) for port, test in enumerate(tests)]

            def route_first(msg: Message) -> None:
                value = value_of(msg)
                for port, test in firsts:
                    if test(value, msg):
                        send(msg, port)
                        return

            return route_first

        def route(msg: Message) -> None:
            ports = self._ports(msg)
            if len(ports) == 1:
                send(msg, ports[0])
            elif ports:
                outputs: list[Message | None] = [None] * len(tests)
                for port in ports:
                    outputs[port] = msg
                self.send_each(outputs)

        return route

    def _ports(self, msg: Message) -> list[int]:
        """The outputs of the rules that match."""
        value = self._value(msg)
        ports: list[int] = []
        for port, test in enumerate(self._tests):
            if test(value, msg) if test is not None else not ports:
                ports.append(port)
                if self._first_only:
                    break
        if self._remembers:
            self._remember(value)
        return ports

    def _remember(self, value: Any) -> None:
        kept = None if value is MISSING else clone(value)
        if not is_json(kept):
            raise NodeError(
                f"the value of '{self.config.property}' cannot be remembered for the next message: it holds something "
                "other than texts, numbers, true, false, null, lists and objects"
            )
        self.state[""].previous = kept

    def _guarded(self, function: Callable[[Message], T], msg: Message) -> T | None:
        """One message that fails takes none of its sequence with it."""
        try:
            return function(msg)
        except SolarFlowError as error:
            self.error(error, msg)
            return None

    # -- whole sequences ----------------------------------------------------------------------------------------

    def on_input(self, msg: Message) -> None:
        parts = msg.get("parts")
        if not (isinstance(parts, dict) and "id" in parts and isinstance(parts.get("index"), (int, float))):
            self._router(self.send)(msg)
            return
        id_ = to_text(parts["id"])
        sequence = self._sequences.setdefault(id_, _Sequence([]))
        sequence.messages.append(msg)
        self._kept += 1
        if "count" in parts:
            sequence.count = parts["count"]
        if sequence.count == len(sequence.messages):
            self._forget(id_)
            self._send_whole(sequence)
        elif self._kept > MAX_KEPT:
            oldest = next(iter(self._sequences))
            count = self._forget(oldest)
            raise NodeError(
                f"more than {MAX_KEPT} messages wait for the rest of their sequences; the oldest sequence "
                f"('{oldest[:40]}', {count} messages) is dropped. Check that one message of each has parts.count"
            )

    def _forget(self, id_: str) -> int:
        count = len(self._sequences.pop(id_).messages)
        self._kept -= count
        return count

    def _send_whole(self, sequence: _Sequence) -> None:
        for msg in sequence.messages:
            msg["parts"]["count"] = sequence.count
        if not self.config.repair:
            route = self._router(self.send)
            for msg in sequence.messages:
                self._guarded(route, msg)
            return
        routed = [(msg, self._guarded(self._ports, msg) or []) for msg in sequence.messages]
        outputs = range(len(self._tests))
        counts = [sum(port in ports for _, ports in routed) for port in outputs]
        ids = [self.host.new_id() for _ in outputs]
        sent = [0 for _ in outputs]
        for msg, ports in routed:
            outgoing: list[Message | None] = [None for _ in outputs]
            for port in ports:
                new = clone(msg)
                new["parts"].update(id=ids[port], index=sent[port], count=counts[port])
                sent[port] += 1
                outgoing[port] = new
            self.send_each(outgoing)


@dataclass(slots=True)
class _Sequence:
    """The messages of a sequence that have come, and how many there will be."""

    messages: list[Message]
    count: Any = None


def _always(_value: Any, _msg: Message) -> bool:
    return True


# -- the comparisons ------------------------------------------------------------------------------------------------


def _test_of(node: Switch, rule: Rule) -> Test | None:
    """What tells whether a rule matches; None for "otherwise"."""
    if rule.t == "else":
        return None
    if rule.t in PLAIN:
        plain = PLAIN[rule.t]
        return lambda value, _msg: plain(value)
    if rule.t == "istype":
        is_type = IS_TYPE[rule.v]
        return lambda value, _msg: is_type(value)
    if rule.t == "jsonata_exp":
        holds = evaluator(node, rule.v, "expression")
        return lambda _value, msg: holds(msg) is True
    if rule.t in ORDER and rule.vt in ("num", "str"):
        return with_constant(rule.t, constant_of(rule.v, rule.vt))
    first = _getter(node, rule.v, rule.vt)
    if rule.t in _OF_PLACE:
        last = _getter(node, rule.v2, rule.v2t) if rule.t == "index" else first
        return lambda _value, msg: in_place(rule.t, msg.get("parts"), to_number(first(msg)), to_number(last(msg)))
    if rule.t == "btwn":
        second = _getter(node, rule.v2, rule.v2t)
        return lambda value, msg: between(value, first(msg), second(msg))
    if rule.t == "regex":
        ignore_case = rule.case
        if rule.vt == "str":
            search = pattern(to_text(rule.v), ignore_case).search
            return lambda value, _msg: search(to_text(value)) is not None
        return lambda value, msg: pattern(to_text(first(msg)), ignore_case).search(to_text(value)) is not None
    compare = COMPARE[rule.t]
    return lambda value, msg: compare(value, first(msg))


def _getter(node: Switch, value: Any, kind: str) -> Get:
    return node.previous if kind == "prev" else evaluator(node, value, kind)
