"""Who hears of a node's errors, statuses and completions: the catch, status and complete nodes of a plan.

The rules are Node-RED's: nodes of the same flow first (of the nearest group, then of the flow; those that only want
uncaught errors last), and only where none of them took it, those of the flow around a subflow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from solarflow.node import Node
from solarflow.plan import NodeSpec, Plan


@dataclass(slots=True)
class Listeners:
    """The listening nodes of a plan, by the flow they lie in."""

    catch: dict[str, list[NodeSpec]] = field(default_factory=dict)
    status: dict[str, list[NodeSpec]] = field(default_factory=dict)
    complete: dict[str, list[NodeSpec]] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: Plan, nodes: Mapping[str, Node]) -> Listeners:
        """Collect them from a plan."""
        found = cls()
        for spec in plan.nodes.values():
            node = nodes[spec.id]
            if node.role in ("catch", "status", "complete"):
                getattr(found, node.role).setdefault(spec.flow, []).append(spec)
        return found

    def catchers(self, spec: NodeSpec) -> Iterator[list[str]]:
        """For each flow around a node, nearest first: the catch nodes that take its error there, in order."""
        for flow in spec.scopes:
            in_reach = sorted(
                (item for item in self._in_reach(self.catch, flow, spec)),
                key=lambda item: (item[1].config.uncaught, item[0]),  # type: ignore[attr-defined]  # a catch node's
            )
            chosen = [listener for _, listener in in_reach]
            first = [c.id for c in chosen if not c.config.uncaught]  # type: ignore[attr-defined]  # a catch node's
            yield first or [c.id for c in chosen]

    def watchers(self, spec: NodeSpec) -> Iterator[list[str]]:
        """For each flow around a node, nearest first: the status nodes that show its status."""
        for flow in spec.scopes:
            yield [listener.id for _, listener in self._in_reach(self.status, flow, spec)]

    def completions(self, spec: NodeSpec) -> list[str]:
        """The complete nodes that wait for a node."""
        return [listener.id for listener in self.complete.get(spec.flow, []) if spec.id in listener.links]

    @staticmethod
    def _in_reach(listeners: Mapping[str, list[NodeSpec]], flow: str, spec: NodeSpec) -> Iterator[tuple[int, NodeSpec]]:
        """(distance in groups, listener) of the listeners of `flow` whose scope holds the node."""
        inside = spec.flow == flow
        for listener in listeners.get(flow, []):
            scope = getattr(listener.config, "scope", None)
            if scope == "group":
                # A node inside a subflow lies in the groups of the instance, which are not its own.
                if inside and listener.groups and listener.groups[0] in spec.groups:
                    yield spec.groups.index(listener.groups[0]), listener
            elif isinstance(scope, (list, tuple)):
                if spec.id in listener.links or any(spec.id.startswith(f"{link}/") for link in listener.links):
                    yield 1000, listener
            else:
                yield 1000, listener
