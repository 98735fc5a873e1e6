"""What an expression computes with: plain values, checked arithmetic and comparison, and the named functions.

Nothing here can blow up: every whole number stays within 64 bits, every other number finite, every text and every
list that is walked bounded. What cannot be done raises `Fault`, whose text `solarflow.expression` completes with the
place in the expression.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MAX_INTEGER = 2**63 - 1
"""Whole numbers beyond this are refused: it is what SQLite and every 64-bit counter hold."""
MAX_FLOAT = 1.7976931348623157e308
"""The largest finite float (IEEE 754 binary64); a comparison with it refuses infinity and NaN in one go."""
MAX_TEXT = 10_000
"""Longest text, in characters, that an expression makes."""
MAX_ITEMS = 100_000
"""Longest list that a function or `in` walks: a day of one reading per second fits."""
MAX_WALKED = 200_000
"""Most list items that all functions and `in` of one expression walk together."""
MAX_SEARCHED = 2_000_000
"""Longest text, in characters, that all `in` of one expression search together."""
MAX_COMPARED = 1_000
"""Most parts of a list or object that `==` compares."""
MAX_COMPARED_DEPTH = 20
"""Deepest nesting that `==` compares."""
MAX_DIGITS = 15
"""Most decimal places (or, negative, places before the point) that `round` takes."""

MISSING = object()
"""What a path finds where there is nothing; `None` is a value."""

_NUMERIC_TEXT = re.compile(r"[+-]?(\d+)(\.\d*)?([eE][+-]?\d+)?|[+-]?\.\d+([eE][+-]?\d+)?", re.ASCII)
_MAX_NUMERIC_TEXT = 40
_SHOWN = 30


class Fault(Exception):  # noqa: N818  it is half an error: the place in the expression is still missing
    """Why an operation could not be done with these values, in words for the reader."""


def found(value: Any) -> str:
    """Name a value for an error text: its kind, and as much of it as fits ("the text 'ON'", "a list of 3")."""
    if value is None or value is True or value is False:
        return repr(value)
    if isinstance(value, int):
        return f"the number {value}" if abs(value) <= MAX_INTEGER else "a whole number beyond 64 bits"
    if isinstance(value, float):
        return f"the number {value!r}"
    if isinstance(value, str):
        return f"the text {value!r}" if len(value) <= _SHOWN else f"a text of {len(value)} characters"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    return f"a value of type {type(value).__name__}"


def plain(value: Any) -> Any:
    """The value as an expression may hold it: None, bool, int, float, str, bytes, list or dict.

    A subclass (numpy's float64, an IntEnum) is reduced to its plain number or text.
    Raises Fault for anything else, for infinity and NaN, and for whole numbers beyond 64 bits.
    """
    if value is None or isinstance(value, (bool, list, dict, bytes)):
        return value
    if isinstance(value, int):
        if -MAX_INTEGER <= value <= MAX_INTEGER:
            return int(value)
        raise Fault("is a whole number beyond 64 bits; send it as text, or in a larger unit")
    if isinstance(value, float):
        if -MAX_FLOAT <= value <= MAX_FLOAT:
            return float(value)
        raise Fault(f"is {float(value)!r}, which is not a finite number; mend it where it comes from")
    if isinstance(value, str):
        return str.__str__(value)
    raise Fault(
        f"is of type {type(value).__name__}; an expression works with numbers, texts, True, False, None, lists and"
        " objects: convert it in the node before"
    )


def step(value: Any, key: str | int) -> Any:
    """One step of a path: the entry `key` of an object, or the item `key` of a list; MISSING where there is none.

    Only dictionaries and lists are entered, by their own item access: no attribute of any value is ever read.
    """
    if isinstance(value, dict):
        return dict.get(value, key, MISSING)
    if isinstance(value, list) and isinstance(key, int):
        return list.__getitem__(value, key) if -len(value) <= key < len(value) else MISSING
    return MISSING


def is_number(value: Any) -> bool:
    """True for int and float; a boolean is not a number here."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def bounded(result: Any) -> Any:
    """A number that an operation made. Raises Fault if it is infinite, NaN, or beyond 64 bits."""
    if isinstance(result, float):
        if -MAX_FLOAT <= result <= MAX_FLOAT:
            return result
        raise Fault("the result is not a finite number")
    if -MAX_INTEGER <= result <= MAX_INTEGER:
        return result
    raise Fault("the result is a whole number beyond 64 bits; make one side a float, such as 1000.0")


def bounded_text(text: str) -> str:
    """A text that an operation made or is to work on. Raises Fault beyond MAX_TEXT characters."""
    if len(text) > MAX_TEXT:
        raise Fault(f"the text has {len(text)} characters; at most {MAX_TEXT} are allowed")
    return text


ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}

ORDER: Mapping[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def calculate(symbol: str, left: Any, right: Any) -> Any:
    """`left symbol right` on two numbers; `+` also joins two texts.

    Raises Fault on other kinds, division by zero, and a result that is not finite, beyond 64 bits or too long.
    """
    if is_number(left) and is_number(right):
        try:
            return bounded(ARITHMETIC[symbol](left, right))
        except ZeroDivisionError:
            raise Fault("division by zero; guard it, for example: a / b if b != 0 else 0") from None
        except OverflowError:
            raise Fault("the result is not a finite number") from None
    if symbol == "+" and isinstance(left, str) and isinstance(right, str):
        if len(left) + len(right) > MAX_TEXT:
            raise Fault(f"the text would have {len(left) + len(right)} characters; at most {MAX_TEXT} are allowed")
        return left + right
    needs = "two numbers or two texts" if symbol == "+" else "two numbers"
    raise Fault(f"'{symbol}' needs {needs}, found {found(left)} and {found(right)}{_hint(left, right)}")


def order(symbol: str, left: Any, right: Any) -> bool:
    """`left symbol right` for < <= > >= on two numbers or two texts. Raises Fault on other kinds."""
    if (is_number(left) and is_number(right)) or (isinstance(left, str) and isinstance(right, str)):
        return bool(ORDER[symbol](left, right))
    raise Fault(
        f"'{symbol}' needs two numbers or two texts, found {found(left)} and {found(right)}{_hint(left, right)}"
    )


def equal(left: Any, right: Any) -> bool:
    """Whether two values are the same, as in Python (1 == 1.0 == True). Raises Fault if they are too big to compare."""
    if isinstance(left, (list, dict)) and isinstance(right, (list, dict)):
        _comparable(left)
        _comparable(right)
    elif isinstance(left, bytes) or isinstance(right, bytes):
        raise Fault(
            f"'==' cannot compare {found(left)} and {found(right)}; turn the bytes into text or JSON in the node before"
        )
    return bool(left == right)


def contains(needle: Any, hay: Any) -> bool:
    """`needle in hay`: an item of a list, a part of a text, or a key of an object. Raises Fault on other kinds."""
    if isinstance(hay, str):
        if isinstance(needle, str):
            return needle in hay
        raise Fault(f"'in' looks for a text in a text, found {found(needle)}; use str(x)")
    if isinstance(needle, (list, dict, bytes)):
        raise Fault(f"'in' looks for a number, a text, True, False or None, found {found(needle)}")
    if isinstance(hay, list):
        return any(item == needle for item in _items(hay) if item is None or isinstance(item, (int, float, str)))
    if isinstance(hay, dict):
        return dict.__contains__(hay, needle)
    raise Fault(f"'in' needs a list, a text or an object on its right, found {found(hay)}")


def bounded_walk(value: Any, walks: int) -> None:
    """Raise Fault where a list or text is too long to be walked in an expression that walks `walks` of them."""
    if isinstance(value, list):
        alone, together, what = MAX_ITEMS, MAX_WALKED, "list has {} items"
    elif isinstance(value, str):
        alone, together, what = MAX_SEARCHED, MAX_SEARCHED, "text has {} characters"
    else:
        return
    most = min(alone, together // walks)
    if len(value) > most:
        many = f" in an expression that goes through {walks} lists or texts" if most < alone else ""
        raise Fault(f"the {what.format(len(value))}; at most {most} are allowed{many}")


def _hint(left: Any, right: Any) -> str:
    if isinstance(left, bool) or isinstance(right, bool):
        return "; int(x) makes 1 or 0 of True or False"
    if isinstance(left, str) or isinstance(right, str):
        return "; number(x) makes a number of a text, str(x) a text of a number"
    if left is None or right is None:
        return "; number(x, 0) gives 0 where there is none"
    return ""


def _comparable(value: Any) -> None:
    """Refuse what `==` could take long over: too many parts, too deep, or parts that are not plain."""
    level, parts, depth = [value], 1, 0
    while level:
        depth += 1
        below: list[Any] = []
        for container in level:
            children = list(container.values()) if isinstance(container, dict) else container
            parts += len(children)
            if parts > MAX_COMPARED or depth > MAX_COMPARED_DEPTH:
                raise Fault(
                    f"'==' compares lists and objects of at most {MAX_COMPARED} parts, {MAX_COMPARED_DEPTH} deep;"
                    " compare single properties"
                )
            for child in children:
                if isinstance(child, (list, dict)):
                    below.append(child)
                elif child is not None and not isinstance(child, (int, float, str, bytes)):
                    raise Fault(f"'==' cannot compare {found(child)} inside a list or object")
        level = below


def _items(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise Fault(f"needs a list, found {found(value)}")
    if len(value) > MAX_ITEMS:
        raise Fault(f"the list has {len(value)} items; at most {MAX_ITEMS} are allowed")
    return value


def _number(value: Any) -> Any:
    if (type(value) is float or type(value) is int) and -MAX_INTEGER <= value <= MAX_INTEGER:
        return value
    if is_number(value):
        try:
            return plain(value)
        except Fault as fault:
            raise Fault(f"a number given to it {fault}") from None
    raise Fault(f"needs a number, found {found(value)}{_hint(value, value)}")


def _numbers(*values: Any) -> list[Any]:
    """The numbers of one list, or of the arguments themselves."""
    given = _items(values[0]) if len(values) == 1 else values
    return [_number(value) for value in given]


def _some_numbers(*values: Any) -> list[Any]:
    numbers = _numbers(*values)
    if not numbers:
        raise Fault("the list is empty; guard it, for example: mean(x) if len(x) > 0 else 0")
    return numbers


def _sum(values: Any) -> Any:
    return _total(_numbers(values))


def _total(numbers: list[Any]) -> Any:
    if all(isinstance(number, int) for number in numbers):
        return bounded(sum(numbers))
    try:
        return bounded(math.fsum(numbers))
    except OverflowError:
        raise Fault("the result is not a finite number") from None


def _mean(values: Any) -> float:
    numbers = _some_numbers(values)
    return float(bounded(_total(numbers) / len(numbers)))


def _round(value: Any, digits: Any = None) -> Any:
    if digits is None:
        return bounded(round(_number(value)))
    if not isinstance(digits, int) or isinstance(digits, bool) or not -MAX_DIGITS <= digits <= MAX_DIGITS:
        raise Fault(f"the digits must be a whole number from -{MAX_DIGITS} to {MAX_DIGITS}, found {found(digits)}")
    try:
        return bounded(round(_number(value), digits))
    except OverflowError:
        raise Fault("the result is not a finite number") from None


def _sqrt(value: Any) -> float:
    if _number(value) < 0:
        raise Fault(f"there is no square root of {found(value)}; guard it, for example: sqrt(max(x, 0))")
    return math.sqrt(value)


def _clamp(value: Any, low: Any, high: Any) -> Any:
    value, low, high = _numbers(value, low, high)
    if low > high:
        raise Fault(f"the lower bound {low} is above the upper bound {high}")
    return min(max(value, low), high)


def _len(value: Any) -> int:
    if isinstance(value, (str, bytes, list, dict)):
        return len(value)
    raise Fault(f"needs a text, a list or an object, found {found(value)}")


def to_number(value: Any) -> Any:
    """A number as it is, True and False as 1 and 0, a text such as " -1.5e3" read. Raises Fault for anything else."""
    if isinstance(value, bool):
        return int(value)
    if is_number(value):
        return _number(value)
    if isinstance(value, str) and len(value) <= _MAX_NUMERIC_TEXT:
        text = value.strip()
        if match := _NUMERIC_TEXT.fullmatch(text):
            whole = match[1] is not None and match[2] is None and match[3] is None
            return bounded(int(text) if whole else float(text))
    raise Fault(f"cannot make a number of {found(value)}; number(x, 0) gives 0 instead")


def _int(value: Any) -> int:
    return int(bounded(math.trunc(to_number(value))))


def _str(value: Any) -> str:
    if isinstance(value, str):
        return bounded_text(value)
    if value is None or isinstance(value, (bool, int, float)):
        return str(value)
    raise Fault(f"makes a text of a number, True, False or None, found {found(value)}; use a template node")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return bounded_text(value)
    raise Fault(f"needs a text, found {found(value)}; use str(x)")


@dataclass(frozen=True, slots=True)
class Function:
    """A named function: how it is written, how many arguments it takes, and what computes it.

    `compute` takes plain values and raises Fault. It is None for the functions that take a path and not its value;
    those are built in `solarflow.expression`.
    """

    usage: str
    least: int
    most: int
    help: str
    compute: Callable[..., Any] | None = None


_MANY = 20

FUNCTIONS: Mapping[str, Function] = {
    "abs": Function("abs(x)", 1, 1, "x without its sign", lambda x: abs(_number(x))),
    "ceil": Function("ceil(x)", 1, 1, "the whole number above", lambda x: bounded(math.ceil(_number(x)))),
    "clamp": Function("clamp(x, lo, hi)", 3, 3, "x, but at least lo and at most hi", _clamp),
    "exists": Function("exists(path)", 1, 1, "whether the property is there"),
    "floor": Function("floor(x)", 1, 1, "the whole number below", lambda x: bounded(math.floor(_number(x)))),
    "get": Function("get(path, default)", 2, 2, "the property, or the default where it is missing"),
    "int": Function("int(x)", 1, 1, "x without its decimals; reads a text, makes 1 or 0 of True or False", _int),
    "len": Function("len(x)", 1, 1, "how many characters, items or properties", _len),
    "lower": Function("lower(x)", 1, 1, "the text in small letters", lambda x: bounded_text(_text(x).lower())),
    "max": Function("max(a, b, ...)", 1, _MANY, "the largest; of a list: max(list)", lambda *x: max(_some_numbers(*x))),
    "mean": Function("mean(list)", 1, 1, "the arithmetic mean", _mean),
    "min": Function(
        "min(a, b, ...)", 1, _MANY, "the smallest; of a list: min(list)", lambda *x: min(_some_numbers(*x))
    ),
    "number": Function("number(x, default)", 1, 2, "x read as a number; the default if it is none or missing"),
    "round": Function("round(x, digits)", 1, 2, "x to so many decimals; halves go to the even neighbour", _round),
    "sqrt": Function("sqrt(x)", 1, 1, "the square root", _sqrt),
    "str": Function("str(x)", 1, 1, "x as text", _str),
    "sum": Function("sum(list)", 1, 1, "the sum", _sum),
    "upper": Function("upper(x)", 1, 1, "the text in capitals", lambda x: bounded_text(_text(x).upper())),
}
"""Every function an expression may call."""
