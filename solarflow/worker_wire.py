"""What both sides of a `python` node share: the code's three parts, and messages as JSON texts with their length.

Only the standard library is imported, and as little of it as will do: each worker process waits for it.
"""

from __future__ import annotations

import ast
import inspect
import json
from types import CodeType
from typing import Any, Final, cast

MAX_FRAME = 16_000_000
"""Longest message between the two sides, in bytes as JSON."""
MAX_DEPTH = 100
"""Deepest nesting of a message."""
EXIT_LATE = 124
"""The exit status of a process that has found itself beyond its time; `timeout` of coreutils says it so too."""
FILES: Final = {"func": "<code>", "initialize": "<initialize>", "finalize": "<finalize>"}
"""The parts of the code, and what each is called in a traceback."""
_SHOWN = 40


class UnfitError(ValueError):
    """A value that JSON does not have. `path` is where it stands, `what` what is wrong with it."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        self.path: list[str | int] = []

    def __str__(self) -> str:
        steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step[:_SHOWN]}" for step in self.path)
        return f"{steps.removeprefix('.') or 'the value'} {self.what}"


def compile_code(text: str, part: str) -> CodeType:
    """The compiled code of a part: of `func` a function of `msg`, of the others a module.

    Raises ValueError with line and column where it is not Python.
    """
    file = FILES[part]
    try:
        tree = ast.parse(text, file)
        if part == "func":
            # The text is the body of the function as it stands: nothing is indented, so lines and columns are its own.
            wrapped = ast.parse("def code(msg): pass")
            cast("ast.FunctionDef", wrapped.body[0]).body = tree.body or [ast.Pass()]
            tree = ast.fix_missing_locations(wrapped)
        module = compile(tree, file, "exec")
    except SyntaxError as error:
        raise ValueError(f"line {error.lineno}, column {error.offset}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"the code cannot be read: {error}") from None
    if part != "func":
        return module
    code = next(constant for constant in module.co_consts if isinstance(constant, CodeType))
    if code.co_flags & (inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
        raise ValueError("the code has 'yield' or 'await' outside a function of its own; use node.send(...) or return")
    return code


def check(value: Any, depth: int = 0) -> None:
    """Raise UnfitError where `value` would not come out of JSON as it went in.

    Tuples become lists, and subclasses of the plain types (numpy's float64, OrderedDict) the plain type.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return
    if depth >= MAX_DEPTH:
        raise UnfitError(f"is nested more than {MAX_DEPTH} deep, or contains itself")
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise UnfitError(f"has {key!r:.{_SHOWN}} as a name; names are text: use str(...)")
            try:
                check(inner, depth + 1)
            except UnfitError as unfit:
                unfit.path.insert(0, key)
                raise
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            try:
                check(inner, depth + 1)
            except UnfitError as unfit:
                unfit.path.insert(0, index)
                raise
    else:
        raise UnfitError(
            f"is of type {type(value).__name__}; what goes between the flow and the code is made of numbers, texts, "
            "True, False, None, lists and dicts"
        )


def encode(value: Any, *, nan: bool = False) -> bytes:
    """`value` as JSON. Raises UnfitError where it is none, or too long; NaN and infinity pass where `nan` is set."""
    check(value)
    try:
        text = json.dumps(value, allow_nan=nan, separators=(",", ":")).encode()
    except ValueError as error:  # NaN, or a whole number of thousands of digits
        raise UnfitError(f"cannot be written: {error}") from None
    if len(text) > MAX_FRAME:
        raise UnfitError(f"has {len(text) / 1e6:.0f} MB as JSON; at most {MAX_FRAME / 1e6:.0f} MB are allowed")
    return text


def encode_call(call: list[Any]) -> bytes:
    """As `encode`, of which the first argument is the code's own: it is what the error speaks of."""
    try:
        return encode(call)
    except UnfitError as unfit:
        del unfit.path[:1]
        raise


def framed(text: bytes) -> bytes:
    """A text as it goes over the socket."""
    return len(text).to_bytes(4, "big") + text
