"""Join a sequence of messages into one message.

Inputs
    payload: a piece; another `property`, or the complete message, may be joined.
    parts (object): where the piece belongs, as `split` writes it. Automatic mode needs it.
    complete (optional): add this piece and send what there is, now. Without payload nothing is added.
    reset (optional): forget what there is.
    restartTimeout (optional): begin to wait anew.
Outputs
    payload: the text, the bytes, the list or the object. All other properties are those of the last message.

Details
    *auto*: puts together what `split` took apart. Pieces may come in any order.

    *custom*: a text or bytes with `joiner` between the pieces, a list, an object with a property for each value of
    `key`, or one object into which all are merged. It is sent after `count` messages (objects: properties), after
    `timeout` seconds, or with `complete`. Without a count, `parts.count` of the messages counts. An object with
    `accumulate` is sent again with each further message, until `complete`.

    *reduce*: an expression makes one value of all pieces of a sequence with `parts`. In it `A` is the value so far, `I`
    the index and `N` the number of pieces: `A + payload`. JSONata, which Node-RED has there, is not run: set
    `reduce_type` to "expression" and write the expression as elsewhere here.

    `group_by` joins apart what belongs to different homes (or to other values of a property).

    What waits survives a restart, except values that cannot be written as JSON, such as a request. At most 1000
    sequences wait, of which the longest unheard gives way, and `max_messages` messages in each.

Example
    The readings of one home into one object.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from solarflow.errors import ExpressionError, NodeError
from solarflow.expression import compile_expression
from solarflow.loose import is_json, to_text
from solarflow.message import MISSING, clone
from solarflow.node import (
    Example,
    KeyedState,
    Message,
    Node,
    NodeRedConfig,
    OptionalMessageProperty,
    PropertyPath,
    Setup,
    at,
)
from solarflow.nodes.sequence.split import bytes_of, unescaped
from solarflow.typed import check_typed, evaluator
from solarflow.units import Seconds

Kind = Literal["string", "buffer", "array", "object", "merged"]


class Join(Node):
    """Puts messages together."""

    type = "join"
    category = "sequence"
    icon = "join"
    color = "#E2D96E"
    waits = True
    max_keys = 1000

    class Config(NodeRedConfig):
        """What to join, and when."""

        mode: Literal["auto", "custom", "reduce"] = "auto"
        """auto: what `split` took apart; custom: as the other properties say; reduce: by an expression."""
        build: Kind = "array"
        """custom: what to make: string, buffer, array, object (by `key`), or merged (one object of all)."""
        property: OptionalMessageProperty = "payload"
        """The message property to join."""
        property_type: Literal["msg", "full"] = Field(default="msg", alias="propertyType")
        """msg: that property; full: the complete message."""
        key: OptionalMessageProperty = "topic"
        """object: the message property with the name under which a piece is put."""
        joiner: str = ""
        """string and buffer: what stands between the pieces: a text (\\n is a line end) or bytes."""
        joiner_type: Literal["str", "bin"] = Field(default="str", alias="joinerType")
        """What `joiner` is: str (text) or bin (bytes such as [13, 10])."""
        use_parts: bool = Field(default=False, alias="useparts")
        """custom: join apart by `parts.id`, where messages have one."""
        accumulate: bool = False
        """object and merged: send again with each further message, until `complete`."""
        timeout: Seconds = 0
        """custom: send after so many seconds from the first piece; 0: wait for ever."""
        count: int = Field(default=0, ge=0)
        """custom: send after so many messages; 0 or empty: see `parts.count`."""
        reduce_exp: str = Field(default="", alias="reduceExp")
        """reduce: what makes a new value of the value so far (`A`) and a message, such as `A + payload`."""
        reduce_type: Literal["jsonata", "expression"] = "jsonata"
        """reduce: the language of `reduceExp` and `reduceFixup`; only "expression" is run here."""
        reduce_init: str = Field(default="0", alias="reduceInit")
        """reduce: the value to begin with."""
        reduce_init_type: str = Field(default="num", alias="reduceInitType")
        """reduce: what `reduceInit` is: num, str, bool, json, date, env, flow, global or expression."""
        reduce_fixup: str = Field(default="", alias="reduceFixup")
        """reduce: an expression for the end, such as `A / N`; empty: none."""
        reduce_right: bool = Field(default=False, alias="reduceRight")
        """reduce: from the last message to the first."""
        group_by: OptionalMessageProperty = ""
        """custom: a message property, such as home, for each of whose values there is a sequence of its own."""
        max_messages: int = Field(default=10_000, ge=1)
        """A sequence with more messages is an error, and is forgotten."""

        @model_validator(mode="before")
        @classmethod
        def _unset_is_default(cls, values: Any) -> Any:
            return {k: v for k, v in values.items() if v not in ("", None)} if isinstance(values, dict) else values

        @model_validator(mode="after")
        def _can_be_joined(self) -> Self:
            if self.joiner_type == "bin" and self.joiner:
                bytes_of(self.joiner)
            if self.mode == "reduce":
                if self.reduce_type != "expression":
                    raise ValueError(
                        "JSONata is not run here; write reduceExp as an expression such as A + payload and set "
                        'reduce_type to "expression"'
                    )
                check_typed(self.reduce_init, self.reduce_init_type)
                try:
                    compile_expression(self.reduce_exp)
                    compile_expression(self.reduce_fixup or "A")
                except ExpressionError as error:
                    raise ValueError(str(error)) from None
            return self

    @dataclass(slots=True)
    class State:
        """One sequence that waits for the rest of it."""

        kind: str = ""
        target: int = 0
        """How many pieces there will be; 0: not known."""
        joiner: str | list[int] = ""
        flatten: bool = False
        pieces: dict[str, Any] = field(default_factory=dict)
        """By index, name or number of arrival, in the order in which they came; bytes as base64."""
        binary: set[str] = field(default_factory=set)
        """Which of the pieces are bytes."""
        live: Annotated[dict[str, Any], Field(exclude=True)] = field(default_factory=dict)
        """Pieces that cannot be written: they are here only as long as the program runs."""
        msg: dict[str, Any] = field(default_factory=dict)
        """The other properties, of all messages so far, as far as they can be written."""
        live_msg: Annotated[dict[str, Any], Field(exclude=True)] = field(default_factory=dict)
        arrivals: int = 0

        def put(self, name: str, value: Any) -> None:
            """Keep a piece, so that it survives if it can."""
            self.live.pop(name, None)
            self.binary.discard(name)
            if isinstance(value, (bytes, bytearray)):
                self.binary.add(name)
                value = base64.b64encode(value).decode()
            elif not is_json(value):
                self.live[name] = value
                value = None
            self.pieces[name] = value

        def piece(self, name: str) -> Any:
            """A piece as it came."""
            value = self.live[name] if name in self.live else self.pieces[name]
            return base64.b64decode(value) if name in self.binary else value

        def put_message(self, msg: Message) -> None:
            """Keep the properties of a message."""
            for name, value in msg.items():
                here, there = (self.msg, self.live_msg) if is_json(value) else (self.live_msg, self.msg)
                there.pop(name, None)
                here[name] = value

    config: Config
    state: KeyedState[State]

    EXAMPLES = (
        Example(
            text="The readings of one home into one object.",
            config={"mode": "custom", "build": "object", "key": "topic", "count": 2},
            given=[at(0, topic="produzione_w", payload=1500), at(1, topic="consumo_w", payload=400)],
            then=[at(1, payload={"produzione_w": 1500, "consumo_w": 400})],
        ),
        Example(
            text="The sum of a sequence.",
            config={"mode": "reduce", "reduce_type": "expression", "reduceExp": "A + payload", "reduceInit": "0"},
            given=[at(0, payload=n, parts={"id": "x", "index": n, "count": 3}) for n in range(3)],
            then=[at(0, payload=3)],
        ),
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        config = self.config
        self._path = PropertyPath("payload" if config.property_type == "full" else config.property)
        self._name_path = PropertyPath(config.key)
        self._group_path = PropertyPath(config.group_by) if config.group_by else None
        is_text = config.joiner_type == "str"
        self._joiner = unescaped(config.joiner) if is_text else list(bytes_of(config.joiner or "[]"))
        reduces = config.mode == "reduce"
        self._reduce = compile_expression(config.reduce_exp) if reduces else None
        self._fixup = compile_expression(config.reduce_fixup) if reduces and config.reduce_fixup else None

    def on_input(self, msg: Message) -> None:
        """Add a message to its sequence; send that when it is complete."""
        mode, parts = self.config.mode, msg.get("parts")
        parts = parts if isinstance(parts, dict) else {}
        if mode == "custom":
            self._custom(msg, parts)
        elif "id" not in parts:
            if mode == "reduce":
                self.send(msg)
            elif "reset" not in msg:
                raise NodeError("the message has no 'parts', by which it could be joined; use the mode custom")
        elif mode == "reduce":
            self._collect(msg, parts)
        else:
            self._automatic(msg, parts)

    # -- the modes ----------------------------------------------------------------------------------------------

    def _automatic(self, msg: Message, parts: dict[str, Any]) -> None:
        kind = parts.get("type", "array")
        if kind not in ("string", "buffer", "array", "object"):
            raise NodeError(f"'parts.type' is {kind!r:.60}, where string, array, object or buffer is needed")
        group = str(parts["id"])
        if self._is_reset(msg, group):
            return
        name = parts.get("key") if kind == "object" else parts.get("index")
        if kind == "object" and not isinstance(name, str):
            if "complete" not in msg:
                raise NodeError("the message has no 'parts.key', the name of the piece in the object")
            name = MISSING
        state = self.state[group]
        if not state.kind:
            ch = parts.get("ch", "")
            state.joiner = ch if isinstance(ch, (str, list)) else ""
            state.flatten = kind == "array" and isinstance(parts.get("len"), int) and parts["len"] > 1
        self._add(group, state, kind, msg, name)
        self._finish_if_complete(group, state, msg, parts)

    def _custom(self, msg: Message, parts: dict[str, Any]) -> None:
        config = self.config
        group = "_"
        if config.use_parts and "id" in parts:
            group = str(parts["id"])
        if self._group_path is not None:
            value = self._group_path.get(msg)
            if value is MISSING or value is None:
                raise NodeError(f"the message has no '{config.group_by}', which tells to which sequence it belongs")
            group += f"/{value}"
        if self._is_reset(msg, group):
            return
        name: Any = None
        if config.build == "object":
            name = self._name_path.get(msg)
            if name is MISSING or name is None or name == "":
                if "complete" not in msg:
                    raise NodeError(
                        f"the message has no '{config.key}', the name under which it is put into the object"
                    )
                name = MISSING
            else:
                name = to_text(name)
        elif config.use_parts:
            name = parts.get("index")
        state = self.state[group]
        if not state.kind:
            state.joiner, state.target = self._joiner, config.count
            if config.timeout:
                self.after(config.timeout, self.time_out, group)
        elif "restartTimeout" in msg and config.timeout:
            self.restart(config.timeout, self.time_out, group)
        self._add(group, state, config.build, msg, name)
        self._finish_if_complete(group, state, msg, parts)

    def _collect(self, msg: Message, parts: dict[str, Any]) -> None:
        """Keep the messages of a sequence until all are here, then reduce them."""
        group, index = str(parts["id"]), parts.get("index")
        state = self.state[group]
        state.kind = "array"
        self._bound(group, state)
        name = str(index) if isinstance(index, int) else f"+{state.arrivals}"
        state.arrivals += 1
        state.put(name, msg)
        if isinstance(parts.get("count"), int):
            state.target = parts["count"]
        if not state.target or len(state.pieces) < state.target:
            return
        messages = [state.piece(name) for name in sorted(state.pieces, key=_in_order)]
        self.state.pop(group)
        self._send_reduced([piece for piece in messages if isinstance(piece, dict)])

    def _send_reduced(self, messages: list[Message]) -> None:
        if self.config.reduce_right:
            messages.reverse()
        count = len(messages)
        value = evaluator(self, self.config.reduce_init, self.config.reduce_init_type)({})
        for piece in messages:
            index = piece.get("parts", {}).get("index", 0)
            value = self._reduce({**piece, "A": value, "I": index, "N": count}) if self._reduce else value
        if self._fixup is not None:
            value = self._fixup({"A": value, "N": count})
        last = messages[-1]
        kept: Message = {name: last[name] for name in ("home", "topic", "ts") if name in last}
        self.send({**kept, "payload": clone(value)})

    # -- a sequence ---------------------------------------------------------------------------------------------

    def _is_reset(self, msg: Message, group: str) -> bool:
        if "reset" in msg:
            self.state.pop(group)
            self.cancel(self.time_out, group)
        return "reset" in msg

    def _add(self, group: str, state: State, kind: str, msg: Message, name: Any) -> None:
        """Add one piece, under its name or index, or as the next one."""
        state.kind = kind
        self._bound(group, state)
        value = clone(msg) if self.config.property_type == "full" else clone(self._path.get(msg))
        if value is not MISSING and name is not MISSING:
            if kind == "merged":
                self._merge(state, msg, value)
            else:
                if kind == "buffer" and not isinstance(value, (bytes, bytearray, str, list)):
                    raise NodeError(f"{value!r:.60} cannot be joined to bytes; bytes, a text or a list is needed")
                state.put(str(name) if isinstance(name, (str, int)) else f"+{state.arrivals}", value)
                state.arrivals += 1
        state.put_message(msg)

    def _bound(self, group: str, state: State) -> None:
        if len(state.pieces) >= self.config.max_messages:
            self.state.pop(group)
            self.cancel(self.time_out, group)
            raise NodeError(f"more than {self.config.max_messages} messages wait in one sequence; it is forgotten")

    @staticmethod
    def _merge(state: State, msg: Message, value: Any) -> None:
        if isinstance(value, dict):
            for name, item in value.items():
                if name != "_msgid":
                    state.put(name, item)
        elif "complete" not in msg:
            raise NodeError(f"{value!r:.60} is no object, so it cannot be merged with others")

    def _finish_if_complete(self, group: str, state: State, msg: Message, parts: dict[str, Any]) -> None:
        count = parts.get("count")
        target = state.target or (count if isinstance(count, int) else 0)
        if "complete" in msg or (target and len(state.pieces) >= target):
            self._finish(group, state, "complete" in msg)

    def time_out(self, group: str) -> None:
        """It has waited long enough."""
        state = self.state.peek(group)
        if state is not None and state.kind:
            self._finish(group, state, False)

    def _finish(self, group: str, state: State, complete: bool) -> None:
        """Send what there is."""
        goes_on = self.config.accumulate and not complete and state.kind in ("object", "merged")
        msg: Message = clone({**state.msg, **state.live_msg})
        msg = {name: item for name, item in msg.items() if name not in ("_msgid", "complete", "restartTimeout")}
        outer = msg.pop("parts", None)
        if isinstance(outer, dict) and "parts" in outer:
            msg["parts"] = outer["parts"]
        value = clone(_built(state))
        self.cancel(self.time_out, group)
        if not goes_on:
            self.state.pop(group)
        self._path.set(msg, value)
        self.send(msg)


def _in_order(name: str) -> tuple[bool, int]:
    """Pieces with an index by that, then those without as they came."""
    return name.startswith("+"), int(name)


def _built(state: Join.State) -> Any:
    """What the pieces of a sequence make."""
    if state.kind in ("object", "merged"):
        return {name: state.piece(name) for name in state.pieces}
    values = [state.piece(name) for name in sorted(state.pieces, key=_in_order)]
    if state.kind == "string":
        joiner = state.joiner if isinstance(state.joiner, str) else bytes(state.joiner).decode(errors="replace")
        return joiner.join("" if value is None else to_text(value) for value in values)
    if state.kind == "buffer":
        between = state.joiner.encode(errors="replace") if isinstance(state.joiner, str) else bytes(state.joiner)
        return between.join(value.encode() if isinstance(value, str) else bytes(value) for value in values)
    if state.flatten:
        return [item for value in values for item in (value if isinstance(value, list) else [value])]
    return values
