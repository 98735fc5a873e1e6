"""The wire contract of docs/mqtt.md as a replay needs it: topics, fields, and what a payload says of power."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from solarflow.mqtt.topics import TopicTemplate
from solarflow.strict_json import read_json

_compact = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_canonical = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False, sort_keys=True).encode


PRODUCTION: Final = TopicTemplate("comunita/{home}/produzione")
BALANCE: Final = TopicTemplate("comunita/{home}/bilancio")
COMMAND: Final = TopicTemplate("comunita/{home}/rele/{relay}/set")
REPORT: Final = TopicTemplate("comunita/{home}/rele/{relay}")
APPLIANCE: Final = TopicTemplate("comunita/{home}/elettrodomestici/{device}")
PRESENCE: Final = TopicTemplate("comunita/{home}/stato")
ENGINE_SAYS: Final = (COMMAND, TopicTemplate("comunita/{home}/pulizia/set"), TopicTemplate("comunita/{home}/alert"))
"""What an engine says. Of a recording it is left out: the flows that are replayed speak for themselves."""


def encode(payload: Any) -> bytes:
    """A recorded payload as it went over the wire: a text as it is, everything else as JSON."""
    if payload.__class__ is str:
        return str(payload).encode(errors="surrogateescape")
    return _compact(payload).encode(errors="surrogatepass")


def value_of(payload: bytes) -> Any:
    """What a payload says, as a JSON value: its JSON, else its text, else {"base64": ...}."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(payload).decode()}
    try:
        return read_json(text)
    except ValueError:
        return text


def canonical(value: Any) -> str:
    """A JSON value as one line that is always the same for the same value; what JSON cannot say goes as text."""
    try:
        return _canonical(value)
    except (ValueError, TypeError):
        return _canonical(json.loads(json.dumps(value, default=str), parse_constant=str))


def power_of(payload: Any, field: str) -> float | None:
    """A finite number of a payload's object, or None."""
    value = payload.get(field) if payload.__class__ is dict else None
    if value.__class__ is not float and value.__class__ is not int:
        return None
    return float(value) if -1e12 < value < 1e12 else None
