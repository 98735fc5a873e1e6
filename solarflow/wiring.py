"""Where messages go: wires through junctions and subflows, links, and the scopes of catch, status and complete."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from solarflow.errors import Problem
from solarflow.flowfile import FlowNode
from solarflow.registry import Registry
from solarflow.unfold import FileIndex, Findings, Place

MAX_WAYS: Final = 10_000
"""An output that leads on in more ways than this, counted in steps, is refused."""

_Step = tuple[Place, str, int | None]
"""A place, a node in it, and the output by which it is left; None where it is arrived at."""


@dataclass(frozen=True, slots=True)
class Reached:
    """What an output leads to in the end."""

    nodes: tuple[str, ...]
    """Unfolded ids of nodes; one to which several ways lead stands there as often, as in Node-RED."""
    statuses: tuple[str, ...]
    """Subflow instances whose status output it feeds."""


def reach(place: Place, node_id: str, port: int) -> Reached | None:
    """Follow an output through junctions and into and out of subflows. Circles of junctions lead nowhere.

    None where there are more than MAX_WAYS: junctions that split and join again and again double them each time.
    """
    nodes: list[str] = []
    statuses: dict[str, None] = {}
    # A stack keeps the order of the wires. A step taken back marks the end of what lies beyond it.
    stack: list[tuple[_Step, bool]] = [((place, node_id, port), False)]
    on_the_way: set[_Step] = set()
    ways = 0
    while stack:
        step, back = stack.pop()
        if back:
            on_the_way.discard(step)
            continue
        if step in on_the_way:
            continue
        ways += 1
        if ways > MAX_WAYS:
            return None
        on_the_way.add(step)
        stack.append((step, True))
        here, at, leaving = step
        following: list[_Step] = []
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
            nodes.append(here.unfolded(at))
        stack.extend((one, False) for one in reversed(following))
    return Reached(tuple(nodes), tuple(statuses))


def check_wires(index: FileIndex, registry: Registry, findings: Findings) -> None:
    """Look at every wire of a file as it stands: does it lead to a node of the same flow that takes messages?"""
    for container, members in index.members.items():
        for node in members.values():
            lenient = index.off(node)
            for port, targets in enumerate(node.wires):
                for position, target in enumerate(targets):
                    there = members.get(target)
                    wire = {"port": port, "target": target}
                    if target in targets[:position]:
                        findings.add(Problem("duplicate-wire", node.where("wires"), wire, "warning"))
                    elif there is None:
                        findings.add(Problem("dangling-wire", node.where("wires"), wire), lenient)
                    elif not _takes_input(there, index, registry):
                        found = {"target": there.name or target}
                        findings.add(Problem("no-input", node.where("wires"), found), lenient)
        definition = index.by_id[container]
        for number, firsts in enumerate(definition.ports.inputs):
            for first in firsts:
                end = f"in.{number}"
                if first not in members:
                    findings.add(_dangling_end(definition, end, first))
                elif not _takes_input(members[first], index, registry):
                    found = {"target": members[first].name or first}
                    findings.add(Problem("no-input", definition.where(end), found))
        for end, source, _ in _outlets(definition):
            if source not in members and source != definition.id:
                findings.add(_dangling_end(definition, end, source))


def _outlets(definition: FlowNode) -> Iterator[tuple[str, str, int]]:
    """What a subflow's outputs are wired to, as (end of the subflow, node, port)."""
    for number, ends in enumerate(definition.ports.outputs):
        for source, port in ends:
            yield f"out.{number}", source, port
    for source, port in definition.ports.status:
        yield "status", source, port


def _dangling_end(definition: FlowNode, end: str, target: str) -> Problem:
    return Problem("dangling-end", definition.where(end), {"end": end, "target": target})


def _takes_input(node: FlowNode, index: FileIndex, registry: Registry) -> bool:
    if node.subflow:
        definition = index.by_id.get(node.subflow)
        return definition is None or bool(definition.ports.inputs)
    known = registry.get(node.type)
    if node.type == "junction" or known is None:
        return True
    # A type whose nodes may take an input (`mqtt in`) leaves it to the property `inputs`, as Node-RED does.
    own = node.raw.get("inputs") if "inputs" in known.Config.model_fields else None
    return (known.inputs > 0 or own in (1, "1")) and not known.is_config


def check_outputs(node: FlowNode, outputs: int, findings: Findings, lenient: bool) -> None:
    """Complain about wires on outputs that the node does not have."""
    for port in range(outputs, len(node.wires)):
        if node.wires[port]:
            parameters = {"port": port, "outputs": outputs}
            findings.add(Problem("no-such-output", node.where("wires"), parameters), lenient)


def check_outlets(definition: FlowNode, node_id: str, outputs: int, findings: Findings) -> None:
    """Complain about a subflow's outputs that are wired to an output that a node in it does not have."""
    for end, source, port in _outlets(definition):
        if source == node_id and port >= outputs:
            parameters = {"end": end, "port": port, "target": source, "outputs": outputs}
            findings.add(Problem("no-such-end", definition.where(end), parameters))


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
