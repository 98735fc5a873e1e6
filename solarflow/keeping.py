"""What the engine keeps of its nodes: state handed from one deployment to the next, and from one run to the next."""

from __future__ import annotations

import logging
from collections.abc import Callable

from solarflow.clock import Clock
from solarflow.node import Node, NodeConfig
from solarflow.plan import NodeSpec
from solarflow.services import Services
from solarflow.state import DURABLE, ContextStores, load_states, take_states
from solarflow.store.changes import StateChanges
from solarflow.timers import Timers, pause

log = logging.getLogger("solarflow.engine")

SAVED_MONOTONIC = ("engine", "monotonic")
"""Where, among the durable context, the monotonic time of a checkpoint is kept."""


class StateKeeping:
    """The part of the engine that hands over, saves and restores."""

    clock: Clock
    services: Services
    nodes: dict[str, Node]
    timers: Timers
    contexts: ContextStores

    def _init_keeping(self) -> None:
        self._kept: dict[str, dict[str, bytes]] = {}
        self._kept_timers: dict[str, list[tuple[str, str, bytes]]] = {}
        self._unsaved = StateChanges()

    def restore(self, kept: StateChanges) -> None:
        """Take over what an earlier run saved; call before the first deploy."""
        for (node, key), text in kept.states.items():
            if text is not None:
                self._kept.setdefault(node, {})[key] = text
        self.contexts.restore(kept.context)
        scope, name = SAVED_MONOTONIC
        saved_monotonic = float(self.contexts.scope(scope, DURABLE).get(name, 0.0))
        for id_, text in kept.timers.items():
            if text is not None:
                paused = pause(text, saved_monotonic)
                self._kept_timers.setdefault(id_[0], []).append((id_[1], id_[2], paused))
                # A node that does not run this time finds its hold next time as it was.
                self._unsaved.timers[id_] = paused

    def checkpoint(self, save: Callable[[StateChanges], None]) -> None:
        """Hand everything that changed since the last time to `save`; where that raises, it is kept for the next."""
        for node in self.nodes.values():
            # At once: should one fail with more than its own state (memory, say), the others' changes are not lost.
            self._unsaved.states.update(take_states(node, _complain))
        scope, name = SAVED_MONOTONIC
        self.contexts.scope(scope, DURABLE).set(name, self.clock.monotonic())
        self._unsaved.merge(
            StateChanges(
                timers=self.timers.take_changes(), context=self.contexts.take_changes(), saved_at=self.clock.now()
            )
        )  # fmt: skip
        save(self._unsaved)
        self._unsaved = StateChanges()

    def _hand_over(self, node: Node, old: Node | None, spec: NodeSpec) -> None:
        """Give a node the state its forerunner had, or the one kept over a restart."""
        node.state.protected = self._is_approved
        node.state.on_evict = lambda key: self.timers.cancel_node(node.id, key)
        if old is None:
            load_states(node, self._kept.pop(spec.id, {}), _complain)
            for method, key, kept in self._kept_timers.pop(spec.id, []):
                if hasattr(node, method):
                    self.timers.restore((spec.id, method, key), kept)
            return
        if old.State is node.State and not _resets(old.config, node.config):
            for key, value in old.state.items():
                node.state[key] = value
            for timer in self.timers.of_node(node.id):
                if timer.period:
                    self.timers.cancel(timer.id)  # a beat begins in `on_start`, with the properties as they are now
        else:
            for key in old.state:
                node.state.gone.add(key)
            self.timers.cancel_node(node.id)

    def _forget(self, node: Node) -> None:
        """A node is gone: so is what was kept for it."""
        for key in node.state:
            node.state.pop(key)
        self._unsaved.merge(StateChanges(states=take_states(node, _complain)))
        self.timers.cancel_node(node.id)
        self.contexts.forget(f"node:{node.id}")

    def _is_approved(self, key: str) -> bool:
        homes = self.services.homes
        home = homes.get(key) if homes is not None else None
        return home is not None and home.approved


def _complain(text: str) -> None:
    log.error("%s", text)


def _resets(old: NodeConfig, new: NodeConfig) -> bool:
    return type(old) is not type(new) or any(
        getattr(old, name) != getattr(new, name)
        for name, field_info in type(new).model_fields.items()
        if isinstance(field_info.json_schema_extra, dict) and field_info.json_schema_extra.get("resets_state")
    )
