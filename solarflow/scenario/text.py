"""The canonical text of a scenario file: one line for what fits on one, so that a step is a line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

WIDTH = 120


def canonical(value: Any) -> str:
    """JSON in which each object or list stands on one line where that is at most 120 characters, with a final newline.

    The order of keys is the file's own.
    """
    return _text(value, "", 0) + "\n"


def compact(value: Any) -> str:
    """JSON on one line."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=repr)


def plain(value: Any) -> Any:
    """The same value with whole numbers written as such: 1500.0 is 1500."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def _text(value: Any, indent: str, before: int) -> str:
    line = compact(value)
    if not isinstance(value, (dict, list)) or not value or len(indent) + before + len(line) + 1 <= WIDTH:
        return line
    inner = indent + "  "
    if isinstance(value, list):
        items = [_text(item, inner, 0) for item in value]
        return "[\n" + ",\n".join(inner + item for item in items) + f"\n{indent}]"
    keys = {key: compact(key) + ": " for key in value}
    items = [keys[key] + _text(item, inner, len(keys[key])) for key, item in value.items()]
    return "{\n" + ",\n".join(inner + item for item in items) + f"\n{indent}}}"
