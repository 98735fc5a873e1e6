"""Changes to a project that only a replay sees: other values of properties, and only some of its flows."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from solarflow.errors import FlowError, Problem, UsageError, nearest
from solarflow.flowfile import FlowFile, Project, flow_of
from solarflow.graph import check_project
from solarflow.plan import Plan
from solarflow.registry import Registry


class Change(NamedTuple):
    """One `NODE.PROPERTY=VALUE`: the place, and the value."""

    place: str
    value: Any

    def __str__(self) -> str:
        return f"{self.place}={json.dumps(self.value, ensure_ascii=False)}"


def read_change(text: str) -> Change:
    """A change as it is written: the value is JSON, or the text itself where it is none. Raises UsageError."""
    place, equals, given = text.partition("=")
    if not equals or "." not in place.strip():
        raise UsageError(f"'{text}' is not a change; write NODE.PROPERTY=VALUE, such as relays-priority.margin_w=200")
    try:
        value = json.loads(given)
    except (ValueError, RecursionError):
        value = given
    return Change(place.strip(), value)


def with_changes(project: Project, changes: Sequence[Change]) -> Project:
    """The project with these values in place of its own. Raises UsageError where a node or a place is not there."""
    if not changes:
        return project
    changed = _copied(project)
    nodes = dict(_nodes(changed))
    for change in changes:
        _apply(change, nodes)
    return _read_again(changed)


def with_flows(project: Project, wanted: Sequence[str]) -> Project:
    """The project with only the flows of these ids, names or files running. Raises UsageError for an unknown one."""
    if not wanted:
        return project
    names: dict[str, str] = {}
    for file in project.files:
        for tab in file.tabs:
            short = file.file.rpartition("/")[2].removesuffix(".json")
            for name in (tab.id, tab.name, file.file, short):
                names.setdefault(name, tab.id)
    for name in wanted:
        if name not in names:
            flows = ", ".join(dict.fromkeys(names.values()))
            raise UsageError(f"there is no flow '{name}'{nearest(name, names)}; the flows are {flows}")
    kept = {names[name] for name in wanted}
    changed = _copied(project)
    for file in changed.files:
        for node in file.nodes:
            if node.get("type") == "tab":
                node["disabled"] = node.get("id") not in kept or node.get("disabled", False)
    return _read_again(changed)


def plan_of(
    project: Project, registry: Registry, environ: Mapping[str, str], changes: Sequence[Change] = ()
) -> Plan:  # fmt: skip
    """The plan of a project with changes. Raises FlowError with all that is wrong, an unknown property too."""
    changed = with_changes(project, changes)
    checked = check_project(changed, registry, environ)
    places = {change.place for change in changes}
    problems = [
        replace(problem, severity="error")
        if problem.code == "unknown-property" and _is_changed(problem, places)
        else problem
        for problem in checked.problems
    ]
    if checked.plan is None or any(problem.severity == "error" for problem in problems):
        raise FlowError(problems)
    return checked.plan


def _is_changed(problem: Problem, places: Iterable[str]) -> bool:
    return any(
        place in (f"{node}.{problem.where.property}" for node in (problem.where.node, problem.where.name))
        for place in places
    )


def _copied(project: Project) -> Project:
    files = tuple(replace(file, nodes=copy.deepcopy(file.nodes)) for file in project.files)
    return replace(project, files=files, shared=replace(project.shared, nodes=copy.deepcopy(project.shared.nodes)))


def _read_again(project: Project) -> Project:
    def again(file: FlowFile, prefix: str = "") -> FlowFile:
        if any(
            problem.code in ("not-json", "not-a-flow", "file-missing", "file-unreadable") for problem in file.problems
        ):
            return file
        return flow_of(file.nodes, file.file, prefix=prefix)

    files = tuple(again(file) for file in project.files)
    return replace(project, files=files, shared=again(project.shared, "nodes"))


def _nodes(project: Project) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node by its id, and by its name where no other has it."""
    nodes = [node for file in (project.shared, *project.files) for node in file.nodes]
    by_name: dict[str, list[dict[str, Any]]] = {}
    for node in nodes:
        name = node.get("name") or node.get("label")
        if isinstance(name, str) and name:
            by_name.setdefault(name, []).append(node)
    yield from ((name, found[0]) for name, found in by_name.items() if len(found) == 1)
    yield from ((node["id"], node) for node in nodes if isinstance(node.get("id"), str))


def _apply(change: Change, nodes: Mapping[str, dict[str, Any]]) -> None:
    """Put a value into a node. An id or a name may hold dots itself: the longest that fits is meant."""
    steps = change.place.split(".")
    for count in range(len(steps) - 1, 0, -1):
        node = nodes.get(".".join(steps[:count]))
        if node is not None:
            _put(node, steps[count:], change)
            return
    raise UsageError(
        f"{change}: there is no node '{steps[0]}'{nearest(steps[0], nodes)}; give a node's id, or its name where only "
        "one has it"
    )


def _put(node: dict[str, Any], steps: Sequence[str], change: Change) -> None:
    if steps[0] in ("id", "type", "z", "wires"):
        raise UsageError(f"{change}: '{steps[0]}' is no setting of the node; change its properties")
    place: Any = node
    for step in steps[:-1]:
        if isinstance(place, dict):
            place = place.setdefault(step, {})
        elif isinstance(place, list):
            place = place[_index(place, step, change)]
        else:
            raise UsageError(f"{change}: '{step}' leads into {json.dumps(place)[:40]}, which has no properties")
    last = steps[-1]
    if isinstance(place, dict):
        place[last] = change.value
    elif isinstance(place, list):
        place[_index(place, last, change)] = change.value
    else:
        raise UsageError(f"{change}: '{last}' leads into {json.dumps(place)[:40]}, which has no properties")


def _index(entries: list[Any], step: str, change: Change) -> int:
    """The place in a list: its number, counted from 0, or the `name` of the entry."""
    names = [str(entry.get("name")) if isinstance(entry, dict) else "" for entry in entries]
    if step in names:
        return names.index(step)
    if step.isdecimal() and int(step) < len(entries):
        return int(step)
    known = ", ".join(name for name in names if name) or f"0 to {len(entries) - 1}"
    raise UsageError(f"{change}: the list has no entry '{step}'; it has {known}")
