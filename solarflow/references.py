"""Which config node a property means, as seen from where the node lies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, get_args, get_origin

from pydantic.fields import FieldInfo

from solarflow.errors import Problem
from solarflow.flowfile import FlowNode
from solarflow.node import Node
from solarflow.unfold import FileIndex, Place
from solarflow.validate import field_names


def resolve_references(
    node: FlowNode,
    node_type: type[Node],
    properties: dict[str, Any],
    place: Place | None,
    index: FileIndex | None,
    shared: Mapping[str, FlowNode],
) -> tuple[tuple[str, ...], list[Problem]]:
    """Put the unfolded ids of config nodes into the `properties` that refer to them.

    Returns those ids, and what is wrong with references that lead nowhere.
    """
    needs: list[str] = []
    problems: list[Problem] = []
    for key, name in field_names(node_type.Config).items():
        info = node_type.Config.model_fields[name]
        expected = config_types(info)
        target = properties.get(key)
        if not expected or not isinstance(target, str):
            continue
        if not target:
            if info.is_required():
                problems.append(Problem("missing-property", node.where(key), {"type": node.type}))
            continue
        found = _find(target, place, index, shared)
        if found is None:
            parameters = {"type": " or ".join(expected), "target": target}
            problems.append(Problem("missing-config-node", node.where(key), parameters))
        elif found[1].type not in expected:
            parameters = {"target": target, "found": found[1].type, "expected": " or ".join(expected)}
            problems.append(Problem("wrong-config-node", node.where(key), parameters))
        else:
            properties[key] = found[0]
            needs.append(found[0])
    return tuple(needs), problems


def config_types(info: FieldInfo) -> list[str]:
    """The types of config node that a field refers to; none for most fields."""
    extra = info.json_schema_extra
    if isinstance(extra, dict) and isinstance(types := extra.get("config_node"), list):
        return [str(name) for name in types]
    for choice in get_args(info.annotation):  # BrokerRef | None
        if get_origin(choice) is Annotated:
            for mark in get_args(choice)[1:]:
                if isinstance(mark, FieldInfo) and (found := config_types(mark)):
                    return found
    return []


def _find(
    target: str, place: Place | None, index: FileIndex | None, shared: Mapping[str, FlowNode]
) -> tuple[str, FlowNode] | None:
    """A config node with its unfolded id: here, further out, in the file, in the manifest. A disabled one is none."""
    around = place
    while around is not None:
        if target in around.members:
            node = around.members[target]
            return None if around.index.off(node) else (around.unfolded(target), node)
        around = around.outer
    if index is not None:
        there = index.by_id.get(target)
        container = index.by_id.get(there.z) if there is not None else None
        if there is not None and (container is None or container.type == "tab"):
            return None if index.off(there) else (target, there)
    found = shared.get(target)
    return None if found is None or found.disabled else (target, found)
