"""JSON from outside, read strictly: finite numbers, whole characters, bounded depth.

Python's own reader takes NaN, turns 1e999 into infinity and half a character into a text that cannot be written again.
"""

from __future__ import annotations

import json
from typing import Any

MAX_DEPTH = 100


class RefusedJsonError(ValueError):
    """It is JSON, or nearly, but says what no flow should see; the text says what."""


def _refuse(name: str) -> Any:
    raise RefusedJsonError(f"{name} is not a number that JSON knows")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise RefusedJsonError(f"the number {text[:20]} is too large")
    return number


_decode = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite).decode


def read_json(text: str, max_depth: int = MAX_DEPTH) -> Any:
    """The value of a JSON text; of a key that stands twice in an object the last counts.

    Raises RefusedJsonError for values that may not enter, other ValueErrors for what is no JSON.
    """
    try:
        value = _decode(text)
    except RecursionError:
        raise RefusedJsonError(f"objects and lists deeper than {max_depth}") from None
    if text.count("{") + text.count("[") > max_depth and _deeper_than(value, max_depth):
        raise RefusedJsonError(f"objects and lists deeper than {max_depth}")
    if "\\u" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise RefusedJsonError("a text with half a character (a lone surrogate)") from None
    return value


def _deeper_than(value: Any, depth: int) -> bool:
    inner: Any = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return inner is not None and (depth == 0 or any(_deeper_than(item, depth - 1) for item in inner))
