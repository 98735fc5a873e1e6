"""A relay as the wire contract has it, with the faults that a relay can have; and what must hold of its history."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any


@dataclass
class Relay:
    """Obeys commands, says what it did, and falls off when its TTL runs out. All times are seconds on one clock."""

    changes: list[tuple[float, bool]] = field(default_factory=list)
    """(when, on) of each change of the contact."""
    commands: list[tuple[float, bool]] = field(default_factory=list)
    """(when, on) of each command that reached it."""
    deaf: bool = False
    """It does not obey and says nothing: no power, no radio."""
    lose: int = 0
    """So many of the next commands never reach it."""
    stuck_report: bool | None = None
    """What it reports whatever it does."""
    _until: float | None = None

    @property
    def on(self) -> bool:
        return self._until is not None

    def hear(self, t: float, payload: dict[str, Any]) -> dict[str, Any] | None:
        """Take a command; what it then publishes."""
        self.let_pass(t)
        if self.deaf:
            return None
        if self.lose:
            self.lose -= 1
            return None
        on = payload["stato"] == "ON"
        self.commands.append((t, on))
        if on != self.on:
            self.changes.append((t, on))
        self._until = t + payload["ttl_s"] if on else None
        return self.report()

    def let_pass(self, t: float) -> dict[str, Any] | None:
        """Time has come to `t`; what it publishes where it fell off."""
        if self._until is None or t < self._until:
            return None
        self.changes.append((self._until, False))
        self._until = None
        return None if self.deaf else self.report()

    def report(self) -> dict[str, Any]:
        on = self.on if self.stuck_report is None else self.stuck_report
        return {"stato": "ON" if on else "OFF"}

    def off_since(self, t: float) -> float | None:
        """When it went off after `t` (or `t`, where it was off then); None while it is still on."""
        on = False
        for when, now_on in self.changes:
            if when > t:
                return t if not on else when
            on = now_on
        return None if on else t

    def switched_on_after(self, t: float) -> float | None:
        """When it first went on after `t`."""
        return next((when for when, on in self.changes if on and when > t), None)

    def spans(self, on: bool) -> list[tuple[float, float]]:
        """The spans in which it was on, or off, that began and ended in its history."""
        return [(begin, end) for (begin, was_on), (end, _) in pairwise(self.changes) if was_on is on]
