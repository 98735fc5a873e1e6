"""Lays out what a flow file holds: containers, groups, and every subflow instance as a place of its own."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import networkx as nx

from solarflow.environment import Entry, Environment, read_entries
from solarflow.errors import Problem, Where
from solarflow.flowfile import End, FlowFile, FlowNode
from solarflow.registry import Registry

MAX_NODES: Final = 100_000
"""A project that unfolds to more nodes is refused: subflows inside subflows multiply."""
MAX_NESTING: Final = 50
"""Subflows inside subflows inside subflows, no deeper than this."""
CONTAINERS: Final = ("tab", "subflow")
_NOT_MEMBERS: Final = ("tab", "subflow", "group", "global-config")


class Findings:
    """Collects problems, each once: a subflow's node is looked at for every instance."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._seen: set[tuple[str, Where, str]] = set()

    def add(self, problem: Problem, lenient: bool = False) -> None:
        """Add a problem; `lenient` makes an error a warning (what is wrong with a disabled node stops nobody)."""
        key = (problem.code, problem.where, repr(problem.parameters))
        if key not in self._seen:
            self._seen.add(key)
            if lenient and problem.severity == "error":
                problem = Problem(problem.code, problem.where, problem.parameters, "warning")
            self.problems.append(problem)


class FileIndex:
    """A flow file's nodes by where they lie. Finding what is out of place happens here."""

    def __init__(self, file: FlowFile, registry: Registry, findings: Findings) -> None:
        self.file = file
        self.by_id: dict[str, FlowNode] = {}
        for node in file.models:
            self.by_id.setdefault(node.id, node)
        self.members: dict[str, dict[str, FlowNode]] = defaultdict(dict)
        self.loose: dict[str, FlowNode] = {}
        """Config nodes that lie in no flow: all flows of the file may use them."""
        self.outlets: dict[str, dict[End, list[int]]] = {}
        """For each subflow which of its outputs an end inside leads to."""
        self._entries: dict[str, list[Entry]] = {}
        for node in self.by_id.values():
            if node.type in _NOT_MEMBERS:
                continue
            container = self.by_id.get(node.z)
            if container is not None and container.type in CONTAINERS:
                self.members[node.z][node.id] = node
            elif not node.z and _is_config(node, registry):
                self.loose[node.id] = node
            else:
                findings.add(Problem("missing-flow", node.where("z"), {"target": node.z}))
        for node in self.by_id.values():
            self._check(node, findings)
        self.recursive = self._recursive(findings)

    @property
    def tabs(self) -> list[FlowNode]:
        """The flows in it."""
        return [node for node in self.by_id.values() if node.type == "tab"]

    @property
    def subflows(self) -> list[FlowNode]:
        """The subflow definitions in it."""
        return [node for node in self.by_id.values() if node.type == "subflow"]

    def _check(self, node: FlowNode, findings: Findings) -> None:
        group = self.by_id.get(node.g)
        if node.g and (group is None or group.type != "group" or group.z != node.z):
            findings.add(Problem("missing-group", node.where("g"), {"target": node.g}, "warning"))
        if node.subflow:
            definition = self.by_id.get(node.subflow)
            if definition is None or definition.type != "subflow":
                missing = Problem("missing-subflow", node.where("type"), {"target": node.subflow})
                findings.add(missing, lenient=self.off(node))
        if node.type in (*_NOT_MEMBERS,) or node.subflow:
            self._entries[node.id], problems = read_entries(node.raw.get("env"), node.where())
            for problem in problems:
                findings.add(problem)
        if node.type == "subflow":
            outlets: dict[End, list[int]] = defaultdict(list)
            for index, ends in enumerate(node.ports.outputs):
                for end in ends:
                    outlets[end].append(index)
            self.outlets[node.id] = dict(outlets)

    def _recursive(self, findings: Findings) -> set[str]:
        """The subflows that contain themselves, over however many others."""
        graph: nx.DiGraph[str] = nx.DiGraph()
        for definition in self.subflows:
            inner = (node.subflow for node in self.members[definition.id].values() if node.subflow)
            graph.add_edges_from((definition.id, other) for other in inner)
        found: set[str] = set()
        for component in nx.strongly_connected_components(graph):
            if len(component) > 1 or any(graph.has_edge(one, one) for one in component):
                found |= component
        for node_id in sorted(found):
            findings.add(Problem("recursive-subflow", self.by_id[node_id].where()))
        return found

    def entries(self, node: FlowNode, credentials: Mapping[str, Mapping[str, Any]]) -> list[Entry]:
        """The environment that a node brings, secrets filled in."""
        secrets = credentials.get(node.id, {})
        return [
            Entry(entry.name, secrets.get(entry.name, entry.value)) if entry.type == "cred" else entry
            for entry in self._entries.get(node.id, ())
        ]

    def groups_of(self, node: FlowNode) -> list[FlowNode]:
        """The groups that a node lies in, innermost first."""
        found: list[FlowNode] = []
        group = self.by_id.get(node.g)
        while group is not None and group.type == "group" and group.z == node.z and group not in found:
            found.append(group)
            group = self.by_id.get(group.g)
        return found

    def off(self, node: FlowNode) -> bool:
        """Whether a node, a group around it or its flow is disabled."""
        container = self.by_id.get(node.z)
        return (
            node.disabled
            or (container is not None and container.disabled)
            or any(group.disabled for group in self.groups_of(node))
        )


def _is_config(node: FlowNode, registry: Registry) -> bool:
    known = registry.get(node.type)
    return known.is_config if known is not None else not node.on_canvas and not node.subflow


@dataclass(slots=True, eq=False)
class Place:
    """Where nodes live: a tab, or one instance of a subflow."""

    id: str
    """The tab's id, or the instance's unfolded one."""
    index: FileIndex
    container: FlowNode
    environment: Environment
    outer: Place | None = None
    instance: FlowNode | None = None
    """The instance as it stands in `outer`."""
    live: bool = True
    """False where it is only checked: a subflow without an instance."""
    inner: dict[str, Place] = field(default_factory=dict)
    """The places of the subflow instances in it, by their id here."""
    _group_environments: dict[str, Environment] = field(default_factory=dict)

    @property
    def members(self) -> Mapping[str, FlowNode]:
        """The nodes here by their id in the file."""
        return self.index.members[self.container.id]

    @property
    def outlets(self) -> Mapping[End, list[int]]:
        """Which of the subflow's outputs an end in it leads to; a tab has none."""
        return self.index.outlets.get(self.container.id, {})

    @property
    def in_subflow(self) -> bool:
        """Whether this is an instance, not a tab."""
        return self.container.type == "subflow"

    @property
    def scopes(self) -> tuple[str, ...]:
        """This place and those around it."""
        found: list[str] = []
        place: Place | None = self
        while place is not None:
            found.append(place.id)
            place = place.outer
        return tuple(found)

    def unfolded(self, node_id: str) -> str:
        """The id that a node here has when everything is unfolded."""
        return f"{self.id}/{node_id}" if self.in_subflow else node_id

    def environment_of(self, node: FlowNode, credentials: Mapping[str, Mapping[str, Any]]) -> Environment:
        """What surrounds a node here: the groups that it lies in, then the place's own."""
        found = self.environment
        for group in reversed(self.index.groups_of(node)):
            if group.id not in self._group_environments:
                fixed = {"NR_GROUP_ID": self.unfolded(group.id), "NR_GROUP_NAME": group.name}
                self._group_environments[group.id] = found.child(self.index.entries(group, credentials), fixed)
            found = self._group_environments[group.id]
        return found


def unfold(
    index: FileIndex, project: Environment, credentials: Mapping[str, Mapping[str, Any]], findings: Findings
) -> list[Place]:
    """Every place of a file: its enabled tabs, and an instance for every enabled instance node, however deep.

    A subflow that nobody uses gets a place too, so that its nodes are checked; it is not `live`.
    """
    found: list[Place] = []
    queue: deque[Place] = deque()
    used: set[str] = set()
    size = 0
    for tab in index.tabs:
        fixed = {"NR_FLOW_ID": tab.id, "NR_FLOW_NAME": tab.name}
        environment = project.child(index.entries(tab, credentials), fixed)
        queue.append(Place(tab.id, index, tab, environment, live=not tab.disabled))
    waiting = deque(index.subflows)
    while queue or waiting:
        if not queue:
            definition = waiting.popleft()
            if definition.id not in used and definition.id not in index.recursive:
                environment = project.child(index.entries(definition, credentials), {})
                queue.append(Place(definition.id, index, definition, environment, live=False))
            continue
        place = queue.popleft()
        found.append(place)
        size += len(place.members) + 1
        if size > MAX_NODES:
            findings.add(Problem("too-many-nodes", Where(index.file.file), {"count": MAX_NODES}))
            return []
        for node in place.members.values():
            definition = index.by_id.get(node.subflow) if node.subflow else None  # type: ignore[assignment]  # may be None here
            if definition is None or definition.type != "subflow" or definition.id in index.recursive:
                continue
            if definition.disabled or index.off(node):
                continue
            used.add(definition.id)
            if len(place.scopes) > MAX_NESTING:
                findings.add(Problem("too-deep", node.where(), {"count": MAX_NESTING}))
                continue
            inner = _instance(place, node, definition, credentials)
            place.inner[node.id] = inner
            queue.append(inner)
    return found


def _instance(
    outer: Place, node: FlowNode, definition: FlowNode, credentials: Mapping[str, Mapping[str, Any]]
) -> Place:
    index, own = outer.index, outer.unfolded(node.id)
    fixed = {
        "NR_SUBFLOW_ID": own,
        "NR_SUBFLOW_NAME": node.name or definition.name,
        "NR_SUBFLOW_PATH": "/".join([outer.scopes[-1], own]),
    }
    entries = [*index.entries(definition, credentials), *index.entries(node, credentials)]
    environment = outer.environment_of(node, credentials).child(entries, fixed)
    return Place(own, index, definition, environment, outer, node, outer.live)
