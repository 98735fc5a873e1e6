"""The breaker: a node that failed ten times in a row for one home rests for that home, and for no other.

Watches only nodes that are failing; one that works costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from solarflow.clock import Clock
from solarflow.message import Message
from solarflow.node import Node

TRIPS_AFTER = 10
FIRST_REST_S = 30.0
LONGEST_REST_S = 3600.0


@dataclass(slots=True)
class _Failing:
    in_a_row: int = 0
    rest_s: float = FIRST_REST_S
    open_until: float = 0.0
    refused: int = 0


class Breaker:
    """The failing keys of one node; as many as it may keep state for, of which the oldest give way."""

    def __init__(self, node: Node, clock: Clock, on_healthy: Callable[[], None]) -> None:
        self._node = node
        self._clock = clock
        self._on_healthy = on_healthy
        self._failing: dict[str, _Failing] = {}
        self.refused = 0

    def __len__(self) -> int:
        return len(self._failing)

    def key_of(self, msg: Message | None) -> str:
        """Whose message it is: its key, or, where it has none, its topic; "" where it says neither."""
        if msg is None:
            return ""
        for value in (self._node._key_path.get(msg), msg.get("topic")):
            if isinstance(value, str) and value:
                return value
        return ""

    @property
    def open_keys(self) -> list[str]:
        """The keys for which the node rests now."""
        now = self._clock.monotonic()
        return [key for key, failing in self._failing.items() if failing.open_until > now]

    def failed(self, key: str) -> bool:
        """Count a failure. True where it trips the breaker."""
        failing = self._failing.get(key)
        if failing is None:
            if len(self._failing) >= self._node.max_keys:
                del self._failing[next(iter(self._failing))]
            failing = self._failing[key] = _Failing()
        now = self._clock.monotonic()
        if failing.open_until and now - failing.open_until > LONGEST_REST_S:
            failing.in_a_row, failing.rest_s, failing.open_until = 0, FIRST_REST_S, 0.0  # that was long ago
        failing.in_a_row += 1
        if failing.in_a_row < TRIPS_AFTER:
            return False
        failing.open_until = now + failing.rest_s
        failing.rest_s = min(failing.rest_s * 2, LONGEST_REST_S)
        failing.in_a_row = TRIPS_AFTER - 1  # after the rest one failure is enough
        self._node.status(f"rests after {TRIPS_AFTER} errors", "red", "ring", key)
        return True

    def guard(self, receive: Callable[[Message], Any]) -> Callable[[Message], None]:
        """`receive`, refused while the message's key rests; a success heals the key."""

        def guarded(msg: Message) -> None:
            key = self.key_of(msg)
            failing = self._failing.get(key)
            if failing is None:
                receive(msg)
                return
            if failing.open_until > self._clock.monotonic():
                failing.refused += 1
                self.refused += 1
                return
            self._node._deferred = False
            receive(msg)
            if not self._node._deferred:
                self.succeeded(key)

        return guarded

    def succeeded(self, key: str) -> None:
        """A success heals the key; of a message that is worked on elsewhere only its end is one."""
        failing = self._failing.pop(key, None)
        if failing is None:
            return
        if failing.open_until > 0:
            self._node.status("", key=key)
        if not self._failing:
            self._on_healthy()
