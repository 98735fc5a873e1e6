"""Split a message into a sequence of messages.

Inputs
    payload: a text or bytes (split at `splt`, or into pieces of equal length), a list (into its items, or into shorter
    lists), or an object (a message for each of its properties). Another `property` may be named.
Outputs
    payload: one piece.
    parts (object): where it belongs, so that a `join` node can put the sequence together again: `id` of the sequence,
    `index`, `count`, `type` (string, array, object, buffer), `ch` (what stood between), `key` (of an object's
    property), `len` (of pieces of equal length). A sequence inside a sequence keeps the outer one as `parts.parts`.

Details
    A stream (`stream`): the last piece may be incomplete. It waits, and is put in front of the next message (of the
    same `home`, where messages have one). The number of pieces is not known then, so a `join` needs a count of its own.
    What waits survives a restart. At most a million characters wait.

    An empty list or object gives no message.

Example
    A list of two readings.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from solarflow.errors import NodeError
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

_ESCAPES = {"\\n": "\n", "\\r": "\r", "\\t": "\t", "\\e": "\x1b", "\\f": "\f", "\\0": "\0"}
MAX_WAITING = 1_000_000


def unescaped(text: str) -> str:
    """A text with \\n, \\r, \\t, \\e, \\f and \\0 as Node-RED's forms write them turned into the characters."""
    for written, meant in _ESCAPES.items():
        text = text.replace(written, meant)
    return text


def bytes_of(text: str) -> bytes:
    """The bytes in a text such as [13, 10]. Raises ValueError."""
    try:
        return bytes(json.loads(text))
    except (ValueError, TypeError):
        raise ValueError(f"'{text[:60]}' is not a list of bytes such as [13, 10]") from None


class Split(Node):
    """Takes messages apart."""

    type = "split"
    category = "sequence"
    icon = "split"
    color = "#E2D96E"

    class Config(NodeRedConfig):
        """Where to split."""

        splt: str = "\\n"
        """What stands between the pieces of a text or bytes: a text (\\n is a line end), a list of bytes, a length."""
        splt_type: Literal["str", "bin", "len"] = Field(default="str", alias="spltType")
        """What `splt` is: str (text), bin (bytes such as [13, 10]), or len (pieces of this length)."""
        array_splt: int = Field(default=1, alias="arraySplt", ge=1)
        """How many items of a list go into each message; 1: the item itself."""
        array_splt_type: Literal["len"] = Field(default="len", alias="arraySpltType")
        """Lists are split by length."""
        stream: bool = False
        """Let an incomplete last piece wait for the next message."""
        addname: OptionalMessageProperty = ""
        """The message property into which the name of an object's property is copied; empty: none."""
        property: OptionalMessageProperty = "payload"
        """The message property to split."""

        @model_validator(mode="before")
        @classmethod
        def _unset_is_default(cls, values: Any) -> Any:
            return {k: v for k, v in values.items() if v not in ("", None)} if isinstance(values, dict) else values

        @model_validator(mode="after")
        def _can_be_split_at(self) -> Self:
            if self.splt_type == "bin" and not bytes_of(self.splt):
                raise ValueError("there are no bytes to split at; give some, such as [13, 10]")
            if self.splt_type == "len" and not (self.splt.isascii() and self.splt.isdigit() and int(self.splt) > 0):
                raise ValueError(f"'{self.splt}' is not a length; give a whole number from 1")
            return self

    @dataclass(slots=True)
    class State:
        """What waits of a stream, by home."""

        text: str = ""
        data: str = ""
        """Bytes that wait, as base64."""
        index: int = 0

    config: Config
    state: KeyedState[State]

    EXAMPLES = (
        Example(
            text="A list of two readings.",
            config={},
            given=[at(0, payload=[1500, 300], topic="potenza_w")],
            then=[at(0, payload=1500, topic="potenza_w"), at(0, payload=300, topic="potenza_w")],
        ),
        Example(
            text="An object, its names into `topic`.",
            config={"addname": "topic"},
            given=[at(0, payload={"produzione_w": 1500, "consumo_w": 400})],
            then=[at(0, payload=1500, topic="produzione_w"), at(0, payload=400, topic="consumo_w")],
        ),
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        config = self.config
        self._path = PropertyPath(config.property)
        self._name_path = PropertyPath(config.addname) if config.addname else None
        self._length = int(config.splt) if config.splt_type == "len" else 0
        if config.splt_type == "bin":
            self._mark_bytes = bytes_of(config.splt)
            self._mark = self._mark_bytes.decode(errors="replace")
            self._ch: Any = list(self._mark_bytes)
        else:
            self._mark = self._ch = unescaped(config.splt)
            self._mark_bytes = self._mark.encode(errors="replace")

    def on_input(self, msg: Message) -> None:
        """Take a message apart."""
        value = self._path.get(msg)
        if isinstance(value, str):
            self._split_text(msg, value)
        elif isinstance(value, list):
            self._split_list(msg, value)
        elif isinstance(value, dict):
            self._split_object(msg, value)
        elif isinstance(value, (bytes, bytearray)):
            self._split_bytes(msg, bytes(value))
        elif value is not MISSING:
            raise NodeError(f"'{self._path.text}' is {value!r:.60}, where a text, a list or an object is needed")

    def _split_text(self, msg: Message, text: str) -> None:
        key = self._stream_key(msg)
        if self.config.stream:
            text = self.state[key].text + text
        pieces: Sequence[str]
        if self._length:
            pieces, rest = _cut(text, self._length, self.config.stream)
            place = {"type": "string", "ch": "", "len": self._length}
        else:
            pieces = text.split(self._mark)
            rest = pieces.pop() if self.config.stream else ""
            place = {"type": "string", "ch": self._ch}
        if self.config.stream:
            self._wait(key, "text", rest)
        self._send_pieces(msg, pieces, place, key)

    def _split_bytes(self, msg: Message, data: bytes) -> None:
        key = self._stream_key(msg)
        if self.config.stream:
            data = base64.b64decode(self.state[key].data) + data
        pieces: Sequence[bytes]
        if self._length:
            pieces, rest = _cut(data, self._length, self.config.stream)
            place = {"type": "buffer", "len": self._length}
        else:
            pieces = data.split(self._mark_bytes)
            rest = pieces.pop() if self.config.stream else b""
            place = {"type": "buffer", "ch": self._ch}
        if self.config.stream:
            self._wait(key, "data", base64.b64encode(rest).decode())
        self._send_pieces(msg, pieces, place, key)

    def _split_list(self, msg: Message, items: list[Any]) -> None:
        size = self.config.array_splt
        pieces = items if size == 1 else [items[start : start + size] for start in range(0, len(items), size)]
        self._send_pieces(msg, pieces, {"type": "array", "len": size}, None)

    def _split_object(self, msg: Message, value: dict[str, Any]) -> None:
        place = self._place(msg, {"type": "object", "count": len(value)})
        base = self._base(msg)
        for index, (name, item) in enumerate(value.items()):
            piece = self._piece(base, item, {**place, "key": name, "index": index})
            if self._name_path is not None:
                self._name_path.set(piece, name)
            self.send(piece)

    def _send_pieces(self, msg: Message, pieces: Sequence[Any], place: dict[str, Any], key: str | None) -> None:
        """Send all; with a `key` as part of that stream, whose places go on."""
        first = 0
        if key is not None and self.config.stream:
            state = self.state[key]
            first, state.index = state.index, state.index + len(pieces)
        else:
            place["count"] = len(pieces)
        place = self._place(msg, place)
        base = self._base(msg)
        for index, item in enumerate(pieces):
            self.send(self._piece(base, item, {**place, "index": first + index}))

    def _place(self, msg: Message, place: dict[str, Any]) -> dict[str, Any]:
        outer = {"parts": msg["parts"]} if "parts" in msg else {}
        return {**outer, "id": self.host.new_id(), **place}

    def _base(self, msg: Message) -> Message:
        """What all pieces have in common: copied once without what is split, which may be long."""
        base: Message = clone({name: value for name, value in msg.items() if name not in ("_msgid", "parts")})
        self._path.delete(base)
        return base

    def _piece(self, base: Message, item: Any, parts: dict[str, Any]) -> Message:
        piece: Message = clone(base)
        self._path.set(piece, clone(item))
        piece["parts"] = clone(parts)
        return piece

    def _stream_key(self, msg: Message) -> str:
        home = msg.get("home")
        return home if isinstance(home, str) else ""

    def _wait(self, key: str, name: Literal["text", "data"], rest: str) -> None:
        if len(rest) > MAX_WAITING:
            self.state.pop(key)
            raise NodeError(
                f"over {MAX_WAITING} characters came without what they are to be split at; they are dropped"
            )
        setattr(self.state[key], name, rest)


def _cut(whole: Any, length: int, stream: bool) -> tuple[list[Any], Any]:
    """Pieces of this length, and what is left for the next message of a stream."""
    pieces = [whole[start : start + length] for start in range(0, len(whole), length)] or [whole]
    rest = pieces.pop() if stream and len(pieces[-1]) < length else whole[:0]
    return pieces, rest
