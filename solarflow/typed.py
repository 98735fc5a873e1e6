"""Node-RED's typed values: a text and what it means: a message property, a context value, a number, JSON, the time ...

A node's Config has both as properties (`to` and `tot`, `v` and `vt`) and checks them with `check_typed`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from solarflow.errors import ExpressionError, NodeError, PropertyPathError
from solarflow.expression import compile_expression
from solarflow.message import MISSING, Message, PropertyPath, clone

if TYPE_CHECKING:
    from solarflow.host import ContextScope
    from solarflow.node import Node

KINDS = ("msg", "flow", "global", "str", "num", "bool", "json", "bin", "date", "env", "expression")
"""What a value may be. Node-RED's `jsonata` is shown and refused; `expression` is ours (docs: expressions)."""

_STORE = re.compile(r"#:\(([^)]*)\)::(.*)", re.DOTALL)
_ENV = re.compile(r"\$\{([^}]+)\}")


def check_typed(value: Any, kind: str, kinds: tuple[str, ...] = KINDS) -> None:
    """Raise ValueError, in words for the reader of the form, where `value` is not a `kind` or the kind is unknown."""
    if kind == "jsonata":
        raise ValueError("JSONata is not run here; write it as an expression (type 'expression')")
    if kind not in kinds:
        raise ValueError(f"the type '{kind}' is not one of {', '.join(kinds)}")
    text = value if isinstance(value, str) else json.dumps(value)
    try:
        if kind == "msg":
            PropertyPath(text)
        elif kind in ("flow", "global"):
            PropertyPath(split_store(text)[1])
        elif kind == "num":
            parse_number(text)
        elif kind == "bool" and text.lower() not in ("true", "false"):
            raise ValueError(f"'{text}' is neither true nor false")
        elif kind == "json":
            json.loads(text)
        elif kind == "bin":
            _parse_bytes(text)
        elif kind == "expression":
            compile_expression(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"'{text[:60]}' is not JSON: {error.msg} at column {error.colno}") from None
    except (PropertyPathError, ExpressionError) as error:
        raise ValueError(str(error)) from None


def parse_number(text: str) -> float | int:
    """The number in a text, also 0x1f and 0b11 as JavaScript reads them. Raises ValueError."""
    stripped = text.strip()
    try:
        if re.fullmatch(r"0[xXbBoO][0-9a-fA-F]+", stripped):
            return int(stripped, 0)
        if re.fullmatch(r"[+-]?\d+", stripped):
            return int(stripped)
        number = float(stripped)
    except ValueError:
        raise ValueError(f"'{text[:60]}' is not a number") from None
    if not -1.7e308 < number < 1.7e308:
        raise ValueError(f"'{text[:60]}' is not a finite number")
    return number


def _parse_bytes(text: str) -> bytes:
    value = json.loads(text)
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, list) and all(isinstance(b, int) and 0 <= b <= 255 for b in value):
        return bytes(value)
    raise ValueError(f"'{text[:60]}' is not a list of bytes such as [0, 255]")


def split_store(text: str) -> tuple[str, str]:
    """A context name as (store, path): "#:(durable)::count" is ("durable", "count")."""
    found = _STORE.fullmatch(text)
    return (found[1], found[2]) if found else ("", text)


def context_getter(node: Node, scope: str, text: str) -> Callable[[Message], Any]:
    """What reads a context value: scope "flow", "global" or "node"; the text may be a path into the value."""
    store, name = split_store(text)
    path = PropertyPath(name)
    first = str(path.steps[0])

    def get(msg: Message) -> Any:
        return clone(path.fixed(msg).get({first: node.host.context(node, scope, store).get(first, MISSING)}))

    return get


def context_setter(node: Node, scope: str, text: str) -> Callable[[Message, Any], None]:
    """What writes a context value, or with MISSING takes it away."""
    store, name = split_store(text)
    path = PropertyPath(name)
    first = str(path.steps[0])

    def put(msg: Message, value: Any) -> None:
        context = node.host.context(node, scope, store)
        if len(path.steps) == 1:
            context.set(first, None if value is MISSING else clone(value))
            return
        held = context.get(first)
        holder = {first: {} if held is None else clone(held)}
        if value is MISSING:
            path.fixed(msg).delete(holder)
        else:
            path.fixed(msg).set(holder, clone(value))
        context.set(first, holder[first])

    return put


def set_context(node: Node, scope: str, text: str, value: Any) -> None:
    """Write a context value, or with MISSING take it away."""
    context_setter(node, scope, text)({}, value)


class ContextVariables(Mapping[str, Any]):
    """A context scope as an expression reads it: `flow.limit`."""

    def __init__(self, scope: ContextScope) -> None:
        self._scope = scope

    def __getitem__(self, name: str) -> Any:
        value = self._scope.get(name, MISSING)
        if value is MISSING:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._scope.keys())

    def __len__(self) -> int:
        return len(self._scope.keys())


def expression_evaluator(node: Node, text: str) -> Callable[[Message], Any]:
    """What computes an expression for a message; `flow.x` and `global_.x` in it are the memory context's values."""
    expression = compile_expression(text)
    if not expression.variables:
        return expression

    def evaluate(msg: Message) -> Any:
        variables = {
            "flow": ContextVariables(node.host.context(node, "flow", "")),
            "global_": ContextVariables(node.host.context(node, "global", "")),
        }
        return clone(expression(msg, variables))

    return evaluate


def environment(node: Node, text: str) -> str | Any:
    """The value of `NAME`, or of a text with `${NAME}` in it, as the node sees it; "" where it is not set."""
    if "${" not in text:
        value = node.host.env(node, text)
        return "" if value is None else value
    return _ENV.sub(lambda found: str(node.host.env(node, found[1]) or ""), text)


def evaluator(node: Node, value: Any, kind: str) -> Callable[[Message], Any]:
    """A function that gives the value for a message; MISSING where a message property or context value is not there.

    Constants are handed out as copies, so that no message can change another's.
    """
    text = value if isinstance(value, str) else json.dumps(value)
    if kind == "msg":
        return PropertyPath(text).get
    if kind in ("flow", "global"):
        return context_getter(node, kind, text)
    if kind == "date":
        return _date(node, text)
    if kind == "env":
        return lambda _msg: environment(node, text)
    if kind == "expression":
        return expression_evaluator(node, text)
    constant = constant_of(value, kind)
    if isinstance(constant, (dict, list)):
        return lambda _msg: clone(constant)
    return lambda _msg: constant


def constant_of(value: Any, kind: str) -> Any:
    """The value of a `str`, `num`, `bool`, `json` or `bin`.

    Raises NodeError for the kinds whose value depends on the message.
    """
    text = value if isinstance(value, str) else json.dumps(value)
    if kind == "str":
        return text
    if kind == "num":
        return parse_number(text)
    if kind == "bool":
        return text.lower() == "true"
    if kind == "json":
        return json.loads(text)
    if kind == "bin":
        return _parse_bytes(text)
    raise NodeError(f"a value of the type '{kind}' is not a constant")


def _date(node: Node, form: str) -> Callable[[Message], Any]:
    """Node-RED's timestamp: milliseconds, or with "iso" the ISO 8601 text in UTC."""
    clock = node.clock
    if form == "iso":
        from datetime import UTC, datetime

        return lambda _msg: (
            datetime.fromtimestamp(clock.now(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        )
    return lambda _msg: int(clock.now() * 1000)
