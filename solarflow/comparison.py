"""The comparisons of switch rules on loose values, by the names that Node-RED gives them."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

from solarflow.errors import NodeError
from solarflow.loose import json_of, less, loosely_equal, to_number, to_text
from solarflow.message import MISSING


def with_constant(comparison: str, constant: int | float | str) -> Callable[[Any, Any], bool]:
    """The usual comparison, with a number or text that is always the same; what it takes besides the value is ignored.

    Quick where the value is of the constant's type.
    """
    quick, compare = ORDER[comparison], COMPARE[comparison]

    def with_text(value: Any, _: Any) -> bool:
        return quick(value, constant) if value.__class__ is str else compare(value, constant)

    def with_number(value: Any, _: Any) -> bool:
        kind = value.__class__
        return quick(value, constant) if kind is float or kind is int else compare(value, constant)

    return with_text if isinstance(constant, str) else with_number


def in_place(comparison: str, parts: Any, first: float, last: float) -> bool:
    """Whether a message's place in its sequence is among the `first` ones ("head"), the last `first` ("tail"), or
    from `first` to `last` ("index").

    Raises NodeError where it is in no sequence.
    """
    if not isinstance(parts, dict) or not isinstance(parts.get("index"), (int, float)):
        raise NodeError(f"a '{comparison}' rule needs messages of a sequence, with parts.id and parts.index")
    index = parts["index"]
    if comparison == "head":
        return bool(index < first)
    if comparison == "index":
        return bool(first <= index <= last)
    return bool(to_number(parts.get("count", MISSING)) - first <= index)


def between(value: Any, a: Any, b: Any) -> bool:
    """Whether a value lies between two others, in whichever order they are, or equals one."""
    return (less(a, value, True) and less(value, b, True)) or (less(value, a, True) and less(b, value, True))


def _has_key(value: Any, key: Any) -> bool:
    if isinstance(key, (dict, list)) or key is MISSING:
        return False
    name = to_text(key)
    if isinstance(value, dict):
        return name in value
    if isinstance(value, (list, str, bytes)):
        return name == "length" or (name.isascii() and name.isdigit() and int(name) < len(value))
    return False


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _has_length(value: Any) -> bool:
    return isinstance(value, (str, list, dict, bytes))


ORDER: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "eq": operator.eq,
    "neq": operator.ne,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}
"""Of two numbers or of two texts, where Python's comparison is JavaScript's."""
COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "eq": loosely_equal,
    "neq": lambda a, b: not loosely_equal(a, b),
    "lt": less,
    "lte": lambda a, b: less(a, b, True),
    "gt": lambda a, b: less(b, a),
    "gte": lambda a, b: less(b, a, True),
    "cont": lambda a, b: to_text(b) in to_text(a),
    "hask": _has_key,
}
"""Of any two values."""
PLAIN: Final[dict[str, Callable[[Any], bool]]] = {
    "true": lambda value: value is True,
    "false": lambda value: value is False,
    "null": lambda value: value is None or value is MISSING,
    "nnull": lambda value: value is not None and value is not MISSING,
    "empty": lambda value: _has_length(value) and len(value) == 0,
    "nempty": lambda value: _has_length(value) and len(value) > 0,
}
"""Of one value."""
IS_TYPE: Final[dict[str, Callable[[Any], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "number": _is_number,
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "buffer": lambda value: isinstance(value, (bytes, bytearray)),
    "object": lambda value: isinstance(value, dict),
    "json": lambda value: json_of(to_text(value)) is not MISSING,
    "undefined": lambda value: value is MISSING,
    "null": lambda value: value is None,
}
"""Whether a value is of a type."""
