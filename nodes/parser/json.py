"""Turn JSON text into the value that it stands for, or a value into JSON text.

Inputs
    payload: a text, bytes or any value; another `property` may be named.
Outputs
    payload: the value of the text, or the text of the value.

Details
    A text becomes a value and a value becomes a text. With `action` "obj" only texts are turned and values pass as they
    are, with "str" the other way round.

    A text that is no JSON is an error, which a `catch` node can see, and so are NaN and infinity in either direction,
    and JSON deeper than 100.

    Node-RED can check a value against a JSON schema in `msg.schema`. That is not available here: such a message is an
    error.

Example
    A text becomes a value, a value a text.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from solarflow.errors import NodeError
from solarflow.message import MISSING
from solarflow.node import Example, Message, MessageProperty, Node, NodeRedConfig, PropertyPath, Setup, at
from solarflow.strict_json import RefusedJsonError, read_json


class Json(Node):
    """Reads and writes JSON."""

    type = "json"
    category = "parser"
    icon = "parser-json"
    color = "#DEBD5C"
    forwards = True

    class Config(NodeRedConfig):
        """What to turn into what."""

        property: MessageProperty = "payload"
        """The message property to turn."""
        action: Literal["", "obj", "str"] = ""
        """Empty: whichever it is not; obj: always to a value; str: always to a text."""
        pretty: bool = False
        """Write the text over several lines, with four spaces of indent."""

    config: Config

    EXAMPLE = Example(
        config={},
        given=[at(0, payload='{"potenza_w": 1500}'), at(1, payload={"stato": "ON"})],
        then=[at(0, payload={"potenza_w": 1500}), at(1, payload='{"stato":"ON"}')],
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._path = PropertyPath(self.config.property)
        layout: dict[str, Any] = {"indent": 4} if self.config.pretty else {"separators": (",", ":")}
        self._encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, **layout).encode

    def on_input(self, msg: Message) -> None:
        """Turn the property of a message."""
        if msg.get("schema"):
            raise NodeError("checking against msg.schema is not available; take 'schema' out of the message")
        value = self._path.get(msg)
        if value is not MISSING:
            readable = isinstance(value, (str, bytes))
            if readable and self.config.action != "str":
                self._path.set(msg, self._read(value))
            elif not readable and self.config.action != "obj":
                self._path.set(msg, self._write(value))
        self.send(msg)

    def _read(self, value: str | bytes) -> Any:
        where = self.config.property
        try:
            return read_json(value if isinstance(value, str) else value.decode())
        except UnicodeDecodeError:
            raise NodeError(f"'{where}' holds bytes that are not UTF-8 text, so no JSON") from None
        except RefusedJsonError as error:
            raise NodeError(f"'{where}' cannot be taken: {error}") from None
        except ValueError as error:
            raise NodeError(f"'{where}' is not JSON: {error}") from None

    def _write(self, value: Any) -> str:
        try:
            return self._encode(value)
        except (ValueError, TypeError, RecursionError) as error:
            raise NodeError(f"'{self.config.property}' cannot be written as JSON: {error}") from None
