"""Loose values: how Node-RED, being JavaScript, turns values into numbers and texts, and compares them.

The nodes that Node-RED has too (switch, change, range, filter, template ...) mean by `==` and `<` what they mean there:
"1" equals 1, null equals a missing property and nothing else, a list is the text of its items. `MISSING` is
JavaScript's `undefined`. Source: ECMA-262, sections 7.1 (type conversion) and 7.2 (comparison).
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any, Final

from solarflow.message import MISSING

_DECIMAL = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_RADIX = re.compile(r"0(?:[xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+)")
_INFINITE: Final = {"Infinity": math.inf, "+Infinity": math.inf, "-Infinity": -math.inf}


def to_number(value: Any) -> float | int:
    """JavaScript's `Number(value)`; NaN where it is none."""
    kind = value.__class__
    if kind is int or kind is float:
        return value  # type: ignore[no-any-return]  # the class was just looked at
    if value is None:
        return 0
    if isinstance(value, bool):
        return int(value)
    if value is MISSING or isinstance(value, dict):
        return math.nan
    if isinstance(value, (int, float)):
        return value
    text = to_text(value).strip()
    if not text:
        return 0
    if _DECIMAL.fullmatch(text):
        return float(text)
    if _RADIX.fullmatch(text):
        return int(text, 0)
    return _INFINITE.get(text, math.nan)


def leading_number(value: Any) -> float:
    """JavaScript's `parseFloat(value)`: the number a text begins with ("21.5 °C"); NaN where there is none."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    text = to_text(value).lstrip()
    found = _DECIMAL.match(text)
    if found:
        return float(found[0])
    return next((number for word, number in _INFINITE.items() if text.startswith(word)), math.nan)


def to_text(value: Any) -> str:
    """JavaScript's `String(value)`: 1.0 is "1", [1, 2] is "1,2", bytes are their UTF-8 text."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if value is MISSING:
        return "undefined"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, (list, tuple)):
        return ",".join("" if item is None or item is MISSING else to_text(item) for item in value)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode(errors="replace")
    return "[object Object]"


def _float_text(number: float) -> str:
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    if number == 0:
        return "0"
    if 1e-6 <= abs(number) < 1e21:
        text = format(Decimal(repr(number)), "f")
        return text.removesuffix(".0")
    digits, exponent = repr(number).split("e")
    return f"{digits.removesuffix('.0')}e{int(exponent):+d}"


def loosely_equal(a: Any, b: Any) -> bool:
    """JavaScript's `a == b`."""
    if a is None or a is MISSING or b is None or b is MISSING:
        return (a is None or a is MISSING) and (b is None or b is MISSING)
    if isinstance(a, str) and isinstance(b, str):
        return a == b
    if _is_object(a) and _is_object(b):
        return a is b
    if _is_object(a):
        a = to_text(a)
    elif _is_object(b):
        b = to_text(b)
    if isinstance(a, str) and isinstance(b, str):
        return a == b
    return to_number(a) == to_number(b)


def less(a: Any, b: Any, or_equal: bool = False) -> bool:
    """JavaScript's `a < b`, or with `or_equal` `a <= b`: two texts by their characters, everything else as numbers."""
    if _is_object(a):
        a = to_text(a)
    if _is_object(b):
        b = to_text(b)
    if not (isinstance(a, str) and isinstance(b, str)):
        a, b = to_number(a), to_number(b)
    return bool(a <= b if or_equal else a < b)


def _is_object(value: Any) -> bool:
    return not (value is None or value is MISSING or isinstance(value, (str, int, float, bool)))


def is_json(value: Any) -> bool:
    """Whether a value comes back from JSON as it went in: what can be kept over a restart."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_json(item) for key, item in value.items())
    if value.__class__ is list:
        return all(is_json(item) for item in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, (str, int, bool))


def json_of(text: str) -> Any:
    """The value of a JSON text; MISSING where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return MISSING
