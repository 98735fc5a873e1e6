"""Kept state between runs: the nodes' keyed state, the context stores, and how both become JSON and come back."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from solarflow.keyed import KeyedState
from solarflow.node import Node

log = logging.getLogger("solarflow.engine")

_adapters: dict[type[Any], TypeAdapter[Any]] = {}


def _adapter(state_type: type[Any] | None) -> TypeAdapter[Any]:
    found = _adapters.get(state_type or dict)
    if found is None:
        found = _adapters[state_type or dict] = TypeAdapter(state_type or dict)
    return found


def dump_state(node: Node, value: Any) -> bytes:
    """One key's state as JSON."""
    return _adapter(node.State).dump_json(value)


def load_states(node: Node, kept: Mapping[str, bytes], complain: Callable[[str], None]) -> None:
    """Give a node its kept state. What no longer fits its `State` is left out, and `complain` is told."""
    loaded: dict[str, Any] = {}
    for key, text in kept.items():
        try:
            loaded[key] = _adapter(node.State).validate_json(text)
        except ValidationError as error:
            complain(f"the kept state of {node.type} {node.id} for '{key}' no longer fits and is left out: {error}")
    node.state.restore(loaded)


def take_states(node: Node, complain: Callable[[str], None]) -> dict[tuple[str, str], bytes | None]:
    """A node's changed keys since the last time as JSON, None for those that are gone.

    What cannot be written is left as it was written last, and `complain` is told.
    """
    state: KeyedState[Any] = node.state
    if not state.dirty and not state.gone:
        return {}
    changed, gone = state.take_changes()
    changes: dict[tuple[str, str], bytes | None] = {(node.id, key): None for key in gone}
    for key, value in changed.items():
        try:
            changes[node.id, key] = dump_state(node, value)
        except MemoryError:
            state.dirty.update(key for key in changed if (node.id, key) not in changes)  # there may be more later
            break
        except Exception as error:  # noqa: BLE001 - whatever a node's own values raise; no other node's state waits
            complain(f"the state of {node.type} {node.id} for '{key}' cannot be written: {error}")
    return changes


def check_state_type(node_type: type[Node]) -> None:
    """Raise TypeError where a node type's `State` cannot be kept."""
    if node_type.State is None:
        return
    if not is_dataclass(node_type.State):
        raise TypeError(f"the State of '{node_type.type}' must be a dataclass(slots=True)")
    _adapter(node_type.State).json_schema()


class Scope:
    """One scope of one context store: named values of a node, a flow or of all."""

    def __init__(self, values: dict[str, Any], changed: Callable[[str], None]) -> None:
        self._values = values
        self._changed = changed

    def get(self, name: str, default: Any = None) -> Any:
        """The value, or `default`."""
        return self._values.get(name, default)

    def set(self, name: str, value: Any) -> None:
        """Keep a value; None takes it away, as in Node-RED."""
        if value is None:
            self._values.pop(name, None)
        else:
            self._values[name] = value
        self._changed(name)

    def keys(self) -> list[str]:
        """All names."""
        return list(self._values)

    def mark(self, name: str) -> None:
        """The value was changed in place."""
        self._changed(name)


MEMORY, DURABLE = "memory", "durable"


class ContextStores:
    """The two context stores of an engine: `memory` (gone with it) and `durable` (written at each checkpoint)."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], dict[str, Any]] = {}
        self._changed: set[tuple[str, str]] = set()

    def scope(self, scope: str, store: str = MEMORY) -> Scope:
        """The scope "global", "flow:<id>" or "node:<id>" of a store.

        Raises KeyError where there is no such store.
        """
        if store not in (MEMORY, DURABLE):
            raise KeyError(f"there is no context store '{store}'; there are '{MEMORY}' and '{DURABLE}'")
        values = self._values.setdefault((store, scope), {})
        if store == MEMORY:
            return Scope(values, lambda _name: None)
        return Scope(values, lambda name: self._changed.add((scope, name)))

    def take_changes(self) -> dict[tuple[str, str], bytes | None]:
        """Durable values that changed since the last time, as JSON; None for those that are gone."""
        changes: dict[tuple[str, str], bytes | None] = {}
        for scope, name in self._changed:
            values = self._values.get((DURABLE, scope), {})
            try:
                changes[scope, name] = json.dumps(values[name], default=str).encode() if name in values else None
            except (ValueError, TypeError, RecursionError) as error:
                log.error("the durable context value '%s' of %s cannot be written: %s", name, scope, error)
        self._changed = set()
        return changes

    def restore(self, kept: Mapping[tuple[str, str], bytes | None]) -> None:
        """Take over kept values."""
        for (scope, name), text in kept.items():
            if text is not None:
                self._values.setdefault((DURABLE, scope), {})[name] = json.loads(text)

    def forget(self, scope: str) -> None:
        """A node or flow is gone: so are its values."""
        self._values.pop((MEMORY, scope), None)
        for name in self._values.pop((DURABLE, scope), {}):
            self._changed.add((scope, name))
