"""Paths in expressions: how `payload.list[0]` finds its value, and what is said where there is none."""

from __future__ import annotations

import ast
import json
import keyword
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from solarflow.errors import nearest
from solarflow.expression_source import Source
from solarflow.expression_values import MAX_FLOAT, MAX_INTEGER, MISSING, Fault, found, plain, step

Message = dict[str, Any]
Variables = Mapping[str, Any]
Evaluate = Callable[[Message, Variables], Any]

VARIABLE_ROOTS = ("flow", "global_")
"""First names of the paths that read variables instead of the message."""

_WITHOUT_BOUNDS = frozenset({bool, str, type(None), list, dict, bytes})
_SHOWN = 60  # characters of a name in an error text: names come from messages, and may be long


class Path:
    """A path: which property of the message (or, with a root, of the variables) it reads."""

    def __init__(self, source: Source, node: ast.expr, root: str, keys: list[str | int | Evaluate]) -> None:
        self.source, self.node, self.root, self.keys = source, node, root, keys
        self.enter = _step_of_variables if root else step

    def label(self) -> str:
        """The path as it is written, up to its first computed index."""
        label = self.root
        for key in self.keys:
            if callable(key):
                break
            label = _extend(label, key)
        return label

    def finding(self) -> Evaluate:
        """A closure that gives the value, or MISSING."""
        root, keys, enter = self.root, self.keys, self.enter
        fixed = [key for key in keys if not callable(key)]
        if root or len(fixed) < len(keys):

            def find(msg: Message, variables: Variables) -> Any:
                value = variables.get(root, MISSING) if root else msg
                for key in keys:
                    value = enter(value, key(msg, variables) if callable(key) else key)
                return value

            return find

        only = fixed[0]
        if len(fixed) == 1 and isinstance(only, str):
            return lambda msg, _variables: msg.get(only, MISSING)

        def find_fixed(msg: Message, _variables: Variables) -> Any:
            value: Any = msg
            for key in fixed:
                value = value.get(key, MISSING) if type(value) is dict else step(value, key)
            return value

        return find_fixed

    def reading(self) -> Evaluate:
        """A closure that gives the value as a plain one, or raises ExpressionError saying what is missing."""
        find = self.finding()

        def read(msg: Message, variables: Variables) -> Any:
            value = find(msg, variables)
            kind = type(value)
            if kind is float:
                if -MAX_FLOAT <= value <= MAX_FLOAT:
                    return value
            elif kind is int:
                if -MAX_INTEGER <= value <= MAX_INTEGER:
                    return value
            elif kind in _WITHOUT_BOUNDS:
                return value
            if value is MISSING:
                raise self.source.failed(self.node, self._explain(msg, variables))
            try:
                return plain(value)
            except Fault as fault:
                raise self.source.failed(self.node, f"it {fault}") from None

        return read

    def _explain(self, msg: Message, variables: Variables) -> str:
        value, label = (variables.get(self.root, MISSING), self.root) if self.root else (msg, "")
        for part in self.keys:
            key = part(msg, variables) if callable(part) else part
            inner = self.enter(value, key)
            if inner is MISSING:
                lacks = _lacks(label or "the message", value, key)
                return f"{lacks} Where it may be missing, write get({self.source.excerpt(self.node)}, default)"
            value, label = inner, _extend(label, key)
        return "it is missing"


def _extend(label: str, key: str | int) -> str:
    if isinstance(key, str) and key.isidentifier() and not keyword.iskeyword(key):
        return f"{label}.{key}" if label else key
    return f"{label or 'msg'}[{json.dumps(key, ensure_ascii=False)}]"


def _step_of_variables(value: Any, key: str | int) -> Any:
    """As `step`; but a context store may hand in its variables as any Mapping."""
    if isinstance(value, Mapping) and not isinstance(value, dict):
        return value.get(key, MISSING)
    return step(value, key)


def _lacks(label: str, value: Any, key: str | int) -> str:
    """Why `key` is not in `value`, and what is."""
    label, shown = label[-_SHOWN:], repr(key if isinstance(key, int) else key[:_SHOWN])
    if value is MISSING:
        return f"there are no {label} variables here."
    if isinstance(value, Mapping):
        names = [str(name)[:_SHOWN] for name in islice(value, 50)]
        likely = nearest(str(key)[:_SHOWN], names)
        rest = ", ..." if len(value) > 8 else ""
        return f"{label} has no {shown}" + (likely or f"; it has {', '.join(names[:8]) or 'nothing'}{rest}.")
    if isinstance(value, list) and isinstance(key, int):
        return f"{label} is {found(value)}, so there is no item {key}."
    return f"{label} is {found(value)}, which has no {shown}."
