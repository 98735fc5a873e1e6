"""Where messages go: wires through junctions and subflows, links, and the scopes of catch, status and complete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from solarflow.errors import Problem
from solarflow.flowfile import FlowNode
from solarflow.registry import Registry
from solarflow.unfold import FileIndex, Findings, Place


@dataclass(frozen=True, slots=True)
class Reached:
    """What an output leads to in the end."""

    nodes: tuple[str, ...]
    """Unfolded ids of nodes, each once however many ways lead there."""
    statuses: tuple[str, ...]
    """Subflow instances whose status output it feeds."""


def reach(place: Place, node_id: str, port: int) -> Reached:
    """Follow an output through junctions and into and out of subflows. Circles of junctions lead nowhere."""
    nodes: dict[str, None] = {}
    statuses: dict[str, None] = {}
    # (place, node, port): port None arrives at the node, otherwise leaves it. A stack keeps the order of the wires.
    stack: list[tuple[Place, str, int | None]] = [(place, node_id, port)]
    seen: set[tuple[Place, str, int | None]] = set()
    while stack:
        step = stack.pop()
        if step in seen:
            continue
        seen.add(step)
        here, at, leaving = step
        following: list[tuple[Place, str, int | None]] = []
        if leaving is not None:
            node = here.members[at]
            if leaving < len(node.wires):
                following += [(here, target, None) for target in node.wires[leaving]]
            if here.outer is not None and here.instance is not None:
                following += [(here.outer, here.instance.id, out) for out in here.outlets.get((at, leaving), ())]
                if (at, leaving) in here.container.ports.status:
                    statuses[here.id] = None
        elif (target := here.members.get(at)) is None or here.index.off(target):
            continue
        elif target.type == "junction":
            following.append((here, at, 0))
        elif target.subflow:
            inner = here.inner.get(at)
            if inner is not None:
                ports, own = inner.container.ports, (inner.container.id, 0)
                following += [(inner, first, None) for first in (ports.inputs[0] if ports.inputs else ())]
                following += [(here, at, out) for out in inner.outlets.get(own, ())]
                if own in ports.status:
                    statuses[inner.id] = None
        else:
            nodes[here.unfolded(at)] = None
        stack.extend(reversed(following))
    return Reached(tuple(nodes), tuple(statuses))


def check_wires(index: FileIndex, registry: Registry, findings: Findings) -> None:
    """Look at every wire of a file as it stands: does it lead to a node of the same flow that takes messages?"""
    for container, members in index.members.items():
        for node in members.values():
            lenient = index.off(node)
            for port, targets in enumerate(node.wires):
                for position, target in enumerate(targets):
                    problem = None
                    if target in targets[:position]:
                        parameters = {"port": port, "target": target}
                        problem = Problem("duplicate-wire", node.where("wires"), parameters, "warning")
                    else:
                        problem = _end(node, str(port), "wires", target, members.get(target), index, registry)
                    if problem is not None:
                        findings.add(problem, lenient)
        definition = index.by_id[container]
        for number, firsts in enumerate(definition.ports.inputs):
            for first in firsts:
                path = f"in.{number}.wires"
                problem = _end(definition, path, path, first, members.get(first), index, registry)
                if problem is not None:
                    findings.add(problem)
        outer = [(f"out.{number}.wires", ends) for number, ends in enumerate(definition.ports.outputs)]
        for path, ends in [*outer, ("status.wires", definition.ports.status)]:
            for source, _ in ends:
                if source not in members and source != definition.id:
                    parameters = {"port": path, "target": source}
                    findings.add(Problem("dangling-wire", definition.where(path), parameters))


def _end(
    node: FlowNode, port: str, path: str, target: str, found: FlowNode | None, index: FileIndex, registry: Registry
) -> Problem | None:
    """What is wrong with a wire's far end."""
    if found is None:
        return Problem("dangling-wire", node.where(path), {"port": port, "target": target})
    if found.subflow:
        definition = index.by_id.get(found.subflow)
        takes = definition is None or bool(definition.ports.inputs)
    else:
        known = registry.get(found.type)
        takes = found.type == "junction" or known is None or (known.inputs > 0 and not known.is_config)
    return None if takes else Problem("no-input", node.where(path), {"target": found.name or target})


def check_outputs(node: FlowNode, outputs: int, findings: Findings, lenient: bool) -> None:
    """Complain about wires on outputs that the node does not have."""
    for port in range(outputs, len(node.wires)):
        if node.wires[port]:
            parameters = {"port": port, "outputs": outputs}
            findings.add(Problem("no-such-output", node.where("wires"), parameters), lenient)


def check_outlets(definition: FlowNode, node_id: str, outputs: int, findings: Findings) -> None:
    """Complain about a subflow's outputs that are wired to an output that a node in it does not have."""
    outer = [(f"out.{number}.wires", ends) for number, ends in enumerate(definition.ports.outputs)]
    for path, ends in [*outer, ("status.wires", definition.ports.status)]:
        for source, port in ends:
            if source == node_id and port >= outputs:
                parameters = {"port": f"{port} of {source}", "outputs": outputs}
                findings.add(Problem("no-such-output", definition.where(path), parameters))


def _ids(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def links_of(
    node: FlowNode, role: str, place: Place, places: dict[str, Place], registry: Registry, findings: Findings
) -> tuple[str, ...]:
    """The link in nodes that a link out or link call sends to; the nodes in the scope of catch, status and complete.

    `places` are the file's tabs by id: links cross from tab to tab, but not in or out of a subflow.
    """
    raw = node.raw
    if role in ("link out", "link call"):
        dynamic = role == "link call" and raw.get("linkType") == "dynamic"
        path, expected = "links", "link in node"
        wanted = [] if raw.get("mode") == "return" or dynamic else _ids(raw.get("links"))
        reachable = [place] if place.in_subflow else [place, *places.values()]
    elif role in ("catch", "status", "complete"):
        path, expected, wanted, reachable = "scope", "node", _ids(raw.get("scope")), [place]
    else:
        return ()
    found: dict[str, None] = {}
    for target in wanted:
        home = next((one for one in reachable if target in one.members), None)
        other = home.members[target] if home is not None else None
        type_ = registry.get(other.type) if other is not None else None
        if home is None or other is None or (path == "links" and (type_ is None or type_.role != "link in")):
            parameters = {"target": target, "expected": expected}
            findings.add(Problem("dangling-link", node.where(path), parameters, "warning"))
        elif home.live and not home.index.off(other):
            found[home.unfolded(target)] = None
    return tuple(found)
