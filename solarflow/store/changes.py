"""What changed in the engine's state since it was last saved, as the store takes it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class StateChanges:
    """Changed entries of the engine's state, each as JSON text in UTF-8; None says that the entry is gone."""

    states: dict[tuple[str, str], bytes | None] = field(default_factory=dict)
    """Keyed state of nodes: (node, key)."""
    timers: dict[tuple[str, str, str], bytes | None] = field(default_factory=dict)
    """Timers under way: (node, method, key)."""
    context: dict[tuple[str, str], bytes | None] = field(default_factory=dict)
    """Context stores: (scope, name)."""
    saved_at: float = 0.0
    """When the changes were handed over, in seconds since the epoch, UTC. 0 in what was loaded: never saved."""

    def __bool__(self) -> bool:
        return bool(self.states or self.timers or self.context or self.saved_at)

    def merge(self, later: StateChanges) -> None:
        """Take over what `later` says; it wins where both name an entry."""
        self.states.update(later.states)
        self.timers.update(later.timers)
        self.context.update(later.context)
        self.saved_at = max(self.saved_at, later.saved_at)
