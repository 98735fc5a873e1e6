"""Shows messages: in the debug panel, in the log, or as a status.

Inputs
    Any message.
Details
    Shows one property (`payload` unless another is named) or the whole message. What is shown is a picture of the
    value as it is now: text, numbers, lists and objects as they are; bytes as text where they are text, otherwise in
    hexadecimal; anything else as its name. More than about ten thousand characters are cut, and the picture says so.
    As a status it shows the same property ("auto"), another one, or how many messages came ("counter"); an object
    with `text`, `fill` and `shape` becomes just that status. Other texts are cut to 32 characters.
    A node that is not active does nothing at all and costs nothing.
    JSONata is not run here: put a change or expression node in front.
Source
    The behaviour follows Node-RED's debug node.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

from pydantic import Field, model_validator

from solarflow.errors import PropertyPathError
from solarflow.host import Fill, Shape
from solarflow.message import MISSING, Message, PropertyPath
from solarflow.node import Example, Node, NodeRedConfig, at

MAX_CHARACTERS = 10_000
MAX_DEPTH = 20
STATUS_CHARACTERS = 32


class Debug(Node):
    """Sends pictures of messages to whoever watches."""

    type = "debug"
    category = "common"
    color = "#87a980"
    icon = "debug"
    outputs = 0

    class Config(NodeRedConfig):
        """The properties of Node-RED's debug node."""

        active: bool = True
        """Whether it shows anything."""
        tosidebar: bool = True
        """Show messages in the debug panel."""
        console: bool = False
        """Write messages to the log."""
        tostatus: bool = False
        """Show messages as the node's status."""
        complete: bool | str = "payload"
        """The property to show, or true for the whole message."""
        target_type: Literal["msg", "full", "jsonata"] = Field(default="msg", alias="targetType")
        """Show a property (msg) or the whole message (full)."""
        status_val: str = Field(default="", alias="statusVal")
        """The property to show as the status."""
        status_type: Literal["auto", "msg", "counter", "jsonata"] = Field(default="auto", alias="statusType")
        """The status shows what is shown elsewhere (auto), a property (msg), or the number of messages (counter)."""

        @model_validator(mode="before")
        @classmethod
        def _empty_is_absent(cls, properties: Any) -> Any:
            """Older exports have empty texts in places that nobody touched."""
            if not isinstance(properties, dict):
                return properties
            return {key: value for key, value in properties.items() if value != "" and value is not None}

        @model_validator(mode="after")
        def _check(self) -> Debug.Config:
            if self.target_type == "jsonata" or self.status_type == "jsonata":
                raise ValueError("JSONata is not run here; show a property, and compute it in an 'expression' node")
            for path in (self.shown, self.status_val if self.status_type == "msg" else ""):
                if path:
                    try:
                        PropertyPath(path)
                    except PropertyPathError as error:
                        raise ValueError(str(error)) from None
            return self

        @property
        def shown(self) -> str:
            """The property to show, or "" for the whole message."""
            if self.complete is True or self.complete == "true" or self.target_type == "full":
                return ""
            return "payload" if self.complete is False or self.complete == "false" else self.complete

    config: Config

    EXAMPLE = Example(
        text="It shows and sends nothing on.", config={"complete": "payload"}, given=[at(0, payload=1500)], then=[]
    )

    def __init__(self, setup: Any) -> None:
        super().__init__(setup)
        config = self.config
        self._shown = PropertyPath(config.shown).get if config.shown else _whole
        self._status: Callable[[Message], Any] = self._shown
        if config.status_type == "msg":
            self._status = PropertyPath(config.status_val or "payload").get
        elif not config.shown:
            self._status = PropertyPath("payload").get
        self._count = 0

    def input_function(self, send: Callable[..., None]) -> Callable[[Message], None]:  # noqa: ARG002 - the signature
        """Nothing at all where it is not active."""
        config = self.config
        if config.active and (config.tosidebar or config.console or config.tostatus):
            return self.on_input
        return _ignore

    def on_input(self, msg: Message) -> None:
        """Show a message."""
        config = self.config
        if config.tostatus and not self._is_own_status(msg):
            self._show_status(msg)
        if not config.tosidebar and not config.console:
            return
        value = self._shown(msg)
        picture, cut = render(value)
        if config.tosidebar:
            entry: dict[str, Any] = {
                "id": self.id, "name": self.name, "flow": self.flow, "ts": self.clock.now(), "property": config.shown,
                "format": format_of(value), "value": picture, "cut": cut,
            }  # fmt: skip
            for name in ("topic", "_msgid", "home"):
                if name in msg and name not in entry:
                    entry[name] = render(msg[name])[0]
            self.host.emit_debug(self, entry)
        if config.console:
            text = picture if isinstance(picture, str) else json.dumps(picture, ensure_ascii=False)
            self.info(text + (" … (cut)" if cut else ""))

    def _is_own_status(self, msg: Message) -> bool:
        """Whether a status node tells of this very node: showing that would go on for ever."""
        status = msg.get("status")
        source = status.get("source") if isinstance(status, dict) else None
        return isinstance(source, dict) and source.get("id") == self.id

    def _show_status(self, msg: Message) -> None:
        fill: Fill = "grey"
        shape: Shape = "dot"
        if self.config.status_type == "counter":
            self._count += 1
            text = str(self._count)
        else:
            value = self._status(msg)
            if isinstance(value, Mapping) and {"text", "fill", "shape"} <= set(value):
                text = str(value["text"])
                fill = next((one for one in get_args(Fill) if one == value["fill"]), "")
                shape = next((one for one in get_args(Shape) if one == value["shape"]), "dot")
            else:
                picture = render(value, 200)[0]
                text = picture if isinstance(picture, str) else json.dumps(picture, ensure_ascii=False)
        self.status(text if len(text) <= STATUS_CHARACTERS else text[:STATUS_CHARACTERS] + "…", fill, shape)


def _whole(msg: Message) -> Any:
    return msg


def _ignore(_msg: Message) -> None:
    return


def format_of(value: Any) -> str:
    """What kind of value it is, in Node-RED's words: "string[5]", "number", "array[3]", "Object", "buffer[4]"."""
    if value is MISSING:
        return "undefined"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return f"string[{len(value)}]"
    if isinstance(value, (bytes, bytearray)):
        return f"buffer[{len(value)}]"
    if isinstance(value, (list, tuple)):
        return f"array[{len(value)}]"
    return "Object" if isinstance(value, dict) else type(value).__name__


def render(value: Any, limit: int = MAX_CHARACTERS) -> tuple[Any, bool]:
    """(a picture of a value that JSON can hold, of about `limit` characters at most; whether something was cut)."""
    picture = _Picture(limit)
    return picture.of(value, ()), picture.cut


class _Picture:
    """Draws one value, with as many characters as are left."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.cut = False

    def of(self, value: Any, around: tuple[int, ...]) -> Any:
        """`around` are the containers that the value lies in."""
        if value is None or isinstance(value, bool):
            self.left -= 4
            return value
        if isinstance(value, int):
            # A number of thousands of digits cannot even be written as a text.
            return self._text(hex(value)) if value.bit_length() > 1000 else self._number(value)
        if isinstance(value, float):
            return self._number(value) if abs(value) < float("inf") else self._text(str(value))
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, (bytes, bytearray)):
            return self._bytes(bytes(value[: max(0, self.left) + 4]), len(value))
        if value is MISSING:
            return self._text("(undefined)")
        if isinstance(value, (dict, list, tuple)):
            if id(value) in around:
                return self._text("(circular)")
            if len(around) >= MAX_DEPTH:
                self.cut = True
                return self._text("…")
            return self._container(value, (*around, id(value)))
        return self._text(f"({type(value).__name__})")

    def _number(self, value: float) -> float:
        self.left -= 8
        return value

    def _text(self, text: str) -> str:
        room, self.left = max(0, self.left), self.left - len(text)
        # Half characters, which JSON and UTF-8 cannot hold, are shown as escapes.
        shown = text[:room].encode("utf-8", "backslashreplace").decode()
        if len(text) > room:
            self.cut = True
            return f"{shown}… ({len(text) - room} more characters)"
        return shown

    def _bytes(self, start: bytes, length: int) -> str:
        try:
            text = start.decode() if len(start) == length else start.decode(errors="ignore")
        except UnicodeDecodeError:
            text = ""
        if text and all(c.isprintable() or c in "\r\n\t" for c in text):
            return self._text(text)
        shown = self._text(start.hex())
        return f"0x{shown}"

    def _container(self, value: Any, around: tuple[int, ...]) -> Any:
        is_dict = isinstance(value, dict)
        items = list(value.items()) if is_dict else list(enumerate(value))
        drawn: dict[str, Any] = {}
        for number, (key, item) in enumerate(items):
            if self.left <= 0:
                self.cut = True
                drawn["…"] = f"({len(items) - number} more)"
                break
            self.left -= 2
            name = self._text(str(key)) if is_dict else str(key)
            drawn[name] = self.of(item, around)
        return drawn if is_dict else list(drawn.values())
