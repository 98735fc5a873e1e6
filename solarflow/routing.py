"""Who hears of a node's errors, statuses and completions: the catch, status and complete nodes of a plan.

The rules are Node-RED's: nodes of the same flow first (of the nearest group, then of the flow; those that only want
uncaught errors last), and only where none of them took it, those of the flow around a subflow, to which the instance
is the node that speaks. What happens inside a subflow that has a status output shows outside only through that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from solarflow.node import Node
from solarflow.plan import InstanceSpec, NodeSpec, Plan

Level = tuple[str, str, tuple[str, ...]]
"""A flow, which of its nodes speaks there, and the groups that this one lies in."""


@dataclass(slots=True)
class Listeners:
    """The listening nodes of a plan, by the flow they lie in."""

    catch: dict[str, list[NodeSpec]] = field(default_factory=dict)
    status: dict[str, list[NodeSpec]] = field(default_factory=dict)
    complete: dict[str, list[NodeSpec]] = field(default_factory=dict)
    instances: Mapping[str, InstanceSpec] = field(default_factory=dict)
    own_status: frozenset[str] = frozenset()
    """The instances with a status output."""

    @classmethod
    def of(cls, plan: Plan, nodes: Mapping[str, Node]) -> Listeners:
        """Collect them from a plan."""
        found = cls(instances=plan.instances, own_status=frozenset(plan.status_wires.values()))
        for spec in plan.nodes.values():
            role = nodes[spec.id].role
            if role in ("catch", "status", "complete"):
                getattr(found, role).setdefault(spec.flow, []).append(spec)
        return found

    def catchers(self, spec: NodeSpec) -> Iterator[list[str]]:
        """For each flow around a node, nearest first: the catch nodes that take its error there, in order."""
        for level in self._levels(spec.scopes, spec.id, spec.groups):
            chosen = self._in_reach(self.catch, level)
            first = [c.id for c in chosen if not c.config.uncaught]  # type: ignore[attr-defined]  # a catch node's
            yield first or [c.id for c in chosen]

    def watchers(self, spec: NodeSpec) -> Iterator[list[str]]:
        """For each flow around a node, nearest first: the status nodes that show its status."""
        return self._watchers(self._levels(spec.scopes, spec.id, spec.groups))

    def watchers_of_instance(self, instance: str) -> Iterator[list[str]]:
        """As `watchers`, for what a subflow instance itself shows."""
        spec = self.instances[instance]
        return self._watchers(self._levels(spec.scopes, instance, spec.groups))

    def _watchers(self, levels: Iterator[Level]) -> Iterator[list[str]]:
        for level in levels:
            yield [listener.id for listener in self._in_reach(self.status, level)]
            if level[0] in self.own_status:
                return

    def completions(self, spec: NodeSpec) -> list[str]:
        """The complete nodes that wait for a node."""
        return [listener.id for listener in self.complete.get(spec.flow, []) if spec.id in listener.links]

    def _levels(self, scopes: tuple[str, ...], speaker: str, groups: tuple[str, ...]) -> Iterator[Level]:
        for flow in scopes:
            yield flow, speaker, groups
            instance = self.instances.get(flow)
            speaker, groups = flow, instance.groups if instance is not None else ()

    @staticmethod
    def _in_reach(listeners: Mapping[str, list[NodeSpec]], level: Level) -> list[NodeSpec]:
        """The listeners of a flow whose scope holds the speaker, those of the nearest group first."""
        flow, speaker, groups = level
        found: list[tuple[int, NodeSpec]] = []
        for listener in listeners.get(flow, []):
            scope = getattr(listener.config, "scope", None)
            own_group = listener.groups[0] if listener.groups else ""
            if isinstance(scope, (list, tuple)):
                if speaker not in listener.links:
                    continue
            elif scope == "group" and own_group and own_group not in groups:
                continue
            found.append((groups.index(own_group) if own_group in groups else len(groups), listener))
        return [listener for _, listener in sorted(found, key=lambda item: item[0])]
