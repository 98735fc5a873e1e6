"""Kept state by key: bounded, and it knows what has changed since the last checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from solarflow.errors import NodeError
from solarflow.message import MISSING

S = TypeVar("S")


class KeyedState(Generic[S]):
    """The kept state of a node: one `State` for each key, made when first asked for, bounded, durable.

    `state[key]` marks the key as changed, so that the next checkpoint writes it; `peek` does not.
    """

    __slots__ = ("_factory", "_items", "_limit", "dirty", "evicted", "gone", "on_evict", "protected")

    def __init__(self, factory: Callable[[], S], limit: int = 10_000) -> None:
        self._factory = factory
        self._items: dict[str, S] = {}
        self._limit = limit
        self.dirty: set[str] = set()
        self.gone: set[str] = set()
        self.evicted = 0
        self.protected: Callable[[str], bool] = lambda _key: False
        self.on_evict: Callable[[str], None] = lambda _key: None

    def __getitem__(self, key: str) -> S:
        self.dirty.add(key)
        try:
            return self._items[key]
        except KeyError:
            return self._make(key)

    def _make(self, key: str) -> S:
        if not isinstance(key, str):
            raise NodeError(f"the key must be text, this message has {key!r}")
        if len(self._items) >= self._limit:
            self._evict()
        self._items[key] = item = self._factory()
        self.gone.discard(key)
        return item

    def _evict(self) -> None:
        # Oldest first: a checkpoint moves what was heard since the last one to the end.
        for key in self._items:
            if key not in self.dirty and not self.protected(key):
                break
        else:
            key = next((k for k in self._items if not self.protected(k)), "")
            if key not in self._items:
                return  # all belong to approved homes: the bound gives way
        del self[key]
        self.evicted += 1
        self.on_evict(key)

    def __setitem__(self, key: str, value: S) -> None:
        if key not in self._items and len(self._items) >= self._limit:
            self._evict()
        self._items[key] = value
        self.dirty.add(key)
        self.gone.discard(key)

    def __delitem__(self, key: str) -> None:
        del self._items[key]
        self.dirty.discard(key)
        self.gone.add(key)

    def pop(self, key: str) -> S | None:
        """Forget a key; its state, or None where there was none."""
        if key not in self._items:
            return None
        value = self._items[key]
        del self[key]
        return value

    def peek(self, key: str) -> S | None:
        """The state of a key, only to look at; None where there is none."""
        return self._items.get(key)

    def __contains__(self, key: object) -> bool:
        return key in self._items

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._items))

    def items(self) -> list[tuple[str, S]]:
        """All (key, state), only to look at."""
        return list(self._items.items())

    def clear(self) -> None:
        """Forget every key."""
        for key in list(self._items):
            del self[key]

    def take_changes(self) -> tuple[dict[str, S], set[str]]:
        """(changed, gone) since the last call; what changed becomes the youngest."""
        changed = {}
        for key in self.dirty:
            value = self._items.pop(key, MISSING)
            if value is not MISSING:
                self._items[key] = changed[key] = value
        gone, self.gone = self.gone, set()
        self.dirty = set()
        return changed, gone

    def restore(self, items: Mapping[str, S]) -> None:
        """Take over kept state as unchanged."""
        self._items.update(items)
