"""Pure questions about who sends to whom, on networkx: which wires close a circle, what runs round, what changed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import networkx as nx

from solarflow.plan import NodeSpec, Plan

DEPTH: Final = 100
"""Direct calls nest no deeper than this; a longer chain goes through the queue once in so many wires."""


def edges_of(spec: NodeSpec) -> Iterator[tuple[int, str]]:
    """Everything a node sends to, as (port, target). Links count as wires of output 0."""
    for port, targets in enumerate(spec.wires):
        for target in targets:
            yield port, target
    if spec.type in ("link out", "link call"):
        for target in spec.links:
            yield 0, target


def graph_of(nodes: Mapping[str, NodeSpec]) -> nx.DiGraph[str]:
    """Who sends to whom."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from((spec.id, target) for spec in nodes.values() for _, target in edges_of(spec))
    return graph


def queued_wires(nodes: Mapping[str, NodeSpec]) -> frozenset[tuple[str, int, str]]:
    """The wires whose messages go through the queue, so that direct calls end: see `Plan.queued`."""
    graph = graph_of(nodes)
    cut = back_edges(graph)
    graph.remove_edges_from(cut)
    depth: dict[str, int] = dict.fromkeys(graph, 0)
    for node in nx.topological_sort(graph):
        for source in graph.predecessors(node):
            if depth[source] + 1 >= DEPTH:
                cut.add((source, node))
            else:
                depth[node] = max(depth[node], depth[source] + 1)
    return frozenset(
        (spec.id, port, target)
        for spec in nodes.values()
        for port, target in edges_of(spec)
        if (spec.id, target) in cut
    )


def back_edges(graph: nx.DiGraph[str]) -> set[tuple[str, str]]:
    """Edges without which there is no circle: those that a depth-first walk finds leading to a node it is still in.

    The walk begins at the nodes to which nothing sends, so that a circle is cut where it leads back to its entrance.
    """
    found: set[tuple[str, str]] = set()
    walk: nx.DiGraph[str] = nx.DiGraph()
    sources = [node for node in graph if graph.in_degree(node) == 0]
    walk.add_nodes_from([*sources, *graph])
    walk.add_edges_from(graph.edges)
    inside: set[str] = set()
    for source, target, kind in nx.dfs_labeled_edges(walk):
        if kind == "forward":
            inside.add(target)
        elif kind == "reverse":
            inside.discard(target)
        elif target in inside:
            found.add((source, target))
    return found


def loops(nodes: Mapping[str, NodeSpec], waiting: Collection[str]) -> list[list[str]]:
    """Circles in which no node waits, one of each knot of them, each from its smallest id."""
    graph = graph_of(nodes)
    graph.remove_nodes_from(list(waiting))
    found: list[list[str]] = []
    for knot in nx.strongly_connected_components(graph):
        first = min(knot)
        if len(knot) == 1 and not graph.has_edge(first, first):
            continue
        found.append([source for source, _ in nx.find_cycle(graph.subgraph(knot), first)])
    for circle in found:
        start = circle.index(min(circle))
        circle[:] = circle[start:] + circle[:start]
    return sorted(found)


def order_of_need(needs: Mapping[str, Collection[str]]) -> tuple[list[str], list[str]]:
    """Ids so that each comes after those it needs, otherwise as they stand; and a circle where there is one."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(needs)
    graph.add_edges_from((need, one) for one, all_ in needs.items() for need in all_ if need in needs)
    place = {one: number for number, one in enumerate(needs)}
    try:
        return list(nx.lexicographical_topological_sort(graph, key=place.__getitem__)), []
    except nx.NetworkXUnfeasible:
        return list(needs), [source for source, _ in nx.find_cycle(graph)]


@dataclass(frozen=True, slots=True)
class PlanDifference:
    """What a deployment changes. Ids of nodes, in the order of the plans."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    """Other properties, another type, or other variables: to be made anew."""
    rewired: tuple[str, ...] = ()
    """The same node with other wires, links, groups, name or queueing: it goes on, its surroundings are new."""
    flows_changed: tuple[str, ...] = ()
    """Flows that are new, or in which anything but places on the canvas is different."""
    flows_removed: tuple[str, ...] = ()
    settings_changed: bool = False

    def __bool__(self) -> bool:
        return bool(
            self.added
            or self.removed
            or self.changed
            or self.rewired
            or self.flows_changed
            or self.flows_removed
            or self.settings_changed
        )


def difference(old: Plan, new: Plan) -> PlanDifference:
    """What leads from one plan to another. False where they run the same."""
    both = [node_id for node_id in new.nodes if node_id in old.nodes]
    changed = [node_id for node_id in both if old.nodes[node_id].digest != new.nodes[node_id].digest]
    remade = set(changed)
    return PlanDifference(
        added=tuple(node_id for node_id in new.nodes if node_id not in old.nodes),
        removed=tuple(node_id for node_id in old.nodes if node_id not in new.nodes),
        changed=tuple(changed),
        rewired=tuple(n for n in both if n not in remade and _surroundings(old, n) != _surroundings(new, n)),
        flows_changed=tuple(
            flow_id
            for flow_id, flow in new.flows.items()
            if flow_id not in old.flows or old.flows[flow_id].digest != flow.digest
        ),
        flows_removed=tuple(flow_id for flow_id in old.flows if flow_id not in new.flows),
        settings_changed=dict(old.settings) != dict(new.settings),
    )


def _surroundings(plan: Plan, node_id: str) -> object:
    spec = plan.nodes[node_id]
    queued = frozenset((port, target) for port, target in edges_of(spec) if (node_id, port, target) in plan.queued)
    statuses = tuple(plan.status_wires.get((node_id, port)) for port in range(len(spec.wires)))
    return spec.name, spec.flow, spec.scopes, spec.file, spec.groups, spec.wires, spec.links, queued, statuses
