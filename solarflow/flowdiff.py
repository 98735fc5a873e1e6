"""Compares two flow files or two projects by what they mean: nodes, properties, wires; not by their places or text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Final

from pydantic_core import PydanticUndefined, to_jsonable_python

from solarflow.errors import FlowError, Problem, UsageError, Where
from solarflow.flowfile import UNREADABLE, FlowFile, FlowNode, flow_of, read_json, read_text, shape_of
from solarflow.manifest import MANIFEST, read_project
from solarflow.registry import Registry
from solarflow.validate import BOOKKEEPING, STRUCTURE_TYPES, field_names, lift
from solarflow.veil import Veiled, veil, veil_property

ABSENT: Final = type("Absent", (), {"__repr__": lambda _: "ABSENT"})()
"""Stands where one side has no such property: null is a value."""
_PLACE: Final = ("x", "y", "w", "h")
_NOT_COMPARED: Final = frozenset((*_PLACE, "id", "wires"))


@dataclass(frozen=True, slots=True)
class NodeRef:
    """A node as a reader knows it."""

    id: str
    type: str
    name: str
    file: str
    flow: str
    """The name of the tab or subflow that it lies in; empty for those that lie in none."""
    many_outputs: bool = False

    def as_json(self) -> dict[str, str]:
        """For machines."""
        return {"id": self.id, "type": self.type, "name": self.name, "file": self.file, "flow": self.flow}


@dataclass(frozen=True, slots=True)
class Change:
    """One property that is another one; ABSENT where a side has none."""

    path: str
    before: Any
    after: Any

    def as_json(self) -> dict[str, Any]:
        """For machines; a side that has no such property is left out."""
        sides = {"before": self.before, "after": self.after}
        return {"path": self.path, **{key: plain(value) for key, value in sides.items() if value is not ABSENT}}


@dataclass(frozen=True, slots=True)
class Changed:
    """A node with what became of its properties."""

    node: NodeRef
    changes: tuple[Change, ...]

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {**self.node.as_json(), "changes": [change.as_json() for change in self.changes]}


@dataclass(frozen=True, slots=True)
class Wire:
    """A wire from an output (counted from 0)."""

    source: NodeRef
    output: int
    target: NodeRef

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {"file": self.source.file, "from": self.source.id, "output": self.output, "to": self.target.id}


@dataclass(slots=True)
class Difference:
    """What changed between two sides."""

    added: list[Changed] = field(default_factory=list)
    """With their properties, as changes from nothing; those that are at their default are left out."""
    removed: list[NodeRef] = field(default_factory=list)
    changed: list[Changed] = field(default_factory=list)
    wires_added: list[Wire] = field(default_factory=list)
    wires_removed: list[Wire] = field(default_factory=list)
    reordered: list[NodeRef] = field(default_factory=list)
    """Nodes whose wires are the same in another order: the order of delivery."""
    project: list[Change] = field(default_factory=list)
    """The manifest's own: flows, settings, name; and the order of tabs in a file."""
    moved: list[NodeRef] = field(default_factory=list)
    """Nodes whose place on the canvas is all that changed."""

    @property
    def meaningful(self) -> bool:
        """Whether anything but places changed."""
        parts = (self.added, self.removed, self.changed, self.wires_added, self.wires_removed)
        return any((*parts, self.reordered, self.project))

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "changed": self.meaningful,
            "nodes": {
                "added": [node.as_json() for node in self.added],
                "removed": [node.as_json() for node in self.removed],
                "changed": [node.as_json() for node in self.changed],
                "moved": [node.as_json() for node in self.moved],
            },
            "wires": {
                "added": [wire.as_json() for wire in self.wires_added],
                "removed": [wire.as_json() for wire in self.wires_removed],
                "reordered": [node.as_json() for node in self.reordered],
            },
            "project": [change.as_json() for change in self.project],
        }


def plain(value: Any) -> Any:
    """A value for JSON: what is veiled as it is shown."""
    if isinstance(value, Veiled):
        return value.shown
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


# -- reading ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Side:
    """One of the two things that are compared."""

    nodes: dict[str, FlowNode] = field(default_factory=dict)
    """By id; a further one of the same id has its number behind it."""
    tabs: dict[str, list[str]] = field(default_factory=dict)
    """For each file the ids of its tabs, in order."""
    project: dict[str, Any] = field(default_factory=dict)
    """The manifest without its nodes."""

    def add(self, file: FlowFile) -> None:
        """Take the nodes of a file."""
        for node in file.models:
            key, number = node.id, 1
            while key in self.nodes:
                number += 1
                key = f"{node.id}#{number}"
            self.nodes[key] = node
        if file.tabs:
            self.tabs[file.file] = [tab.id for tab in file.tabs]

    def call(self, file: str) -> None:
        """Give what was read from one file another file's name, so that the two can be compared."""
        self.nodes = {key: replace(node, file=file) for key, node in self.nodes.items()}
        for tabs in self.tabs.values():
            self.tabs = {file: tabs}

    def ref(self, key: str) -> NodeRef:
        """How a node is shown; a wire may lead to one that is not there."""
        node = self.nodes.get(key)
        if node is None:
            return NodeRef(key, "", "", "", "")
        container = self.nodes.get(node.z)
        flow = (container.name or container.id) if container is not None else ""
        return NodeRef(node.id, node.type, node.name, node.file, flow, len(node.wires) > 1)


def read_side(path: Path, name: str | None = None) -> Side:
    """Read a project folder, a flow file, or a manifest by itself; `name` is what the file is called.

    Raises FlowError where it cannot be read as such, UsageError for a folder without a manifest.
    """
    if path.is_dir():
        return _read_folder(path)
    file = name or str(path)
    text, problems = read_text(path, file)
    return read_side_text(text, file) if text is not None else _refuse(problems)


def read_side_text(text: str, file: str) -> Side:
    """The same for the text of a flow file or manifest. Raises FlowError."""
    value, problems = read_json(text, file)
    if value is UNREADABLE or problems:
        _refuse(problems)
    side = Side()
    if isinstance(value, dict) and "flows" in value:
        _take_manifest(side, value, file)
    else:
        _take(side, flow_of(value, file))
    return side


def _read_folder(path: Path) -> Side:
    manifest = path / MANIFEST
    if not manifest.exists():
        raise UsageError(f"{path.resolve()} holds no flows.json; name flow files, or project folders")
    side = read_side(manifest, MANIFEST)
    for flow in read_project(path).files:
        if flow.file != MANIFEST:
            _take(side, flow)
    return side


def _take_manifest(side: Side, value: dict[str, Any], file: str) -> None:
    if not isinstance(value.get("nodes", []), list):
        found = {"expected": "an array of nodes", "found": shape_of(value["nodes"])}
        _refuse([Problem("not-a-flow", Where(file, property="nodes"), found)])
    _take(side, flow_of(value.get("nodes", []), file, prefix="nodes"))
    side.project = {key: veil(item, key) for key, item in value.items() if key != "nodes"}


def _take(side: Side, file: FlowFile) -> None:
    if any(problem.severity == "error" for problem in file.problems):
        _refuse(file.problems)  # a node without an id would be passed over in silence
    side.add(file)


def _refuse(problems: Sequence[Problem]) -> Any:
    raise FlowError(problems)


# -- comparing --------------------------------------------------------------------------------------------------------


def compare(before: Side, after: Side, registry: Registry) -> Difference:
    """What changed from one side to the other."""
    found = Difference()
    found.removed = [before.ref(key) for key in before.nodes if key not in after.nodes]
    for key, node in after.nodes.items():
        earlier = before.nodes.get(key)
        new = _meaning(node, registry)
        if earlier is None:
            defaults = _defaults(node, registry)
            shown = {name: value for name, value in new.items() if name not in ("type", "name", "z")}
            given = [(name, value) for name, value in shown.items() if not _same(value, defaults.get(name, ABSENT))]
            found.added.append(Changed(after.ref(key), tuple(Change(name, ABSENT, value) for name, value in given)))
            continue
        old = _meaning(earlier, registry)
        old |= {name: value for name, value in _defaults(earlier, registry).items() if name in new and name not in old}
        new |= {name: value for name, value in _defaults(node, registry).items() if name in old and name not in new}
        changes = list(_mapping_changes(old, new, ""))
        if earlier.file != node.file:
            changes.append(Change("file", earlier.file, node.file))
        if changes:
            found.changed.append(Changed(after.ref(key), tuple(changes)))
    _compare_wires(before, after, found)
    _compare_project(before, after, found)
    meant = {changed.node.id for changed in found.changed}
    for key, node in after.nodes.items():
        if key in before.nodes and node.id not in meant and _place(before.nodes[key]) != _place(node):
            found.moved.append(after.ref(key))
    return found


def _place(node: FlowNode) -> Any:
    ends = [[_ends(port)[1] for port in _as_list(node.raw.get(key))] for key in ("in", "out", "status")]
    return [node.raw.get(key) for key in _PLACE], ends


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _ends(port: Any) -> tuple[Any, Any]:
    """A subflow's end without its place, and its place."""
    if not isinstance(port, dict):
        return port, None
    return {key: item for key, item in port.items() if key not in ("x", "y")}, (port.get("x"), port.get("y"))


def _meaning(node: FlowNode, registry: Registry) -> dict[str, Any]:
    """A node's properties in the form of this version of its type, without places; secrets are veiled."""
    node_type = registry.get(node.type)
    raw = {key: value for key, value in node.raw.items() if key not in _NOT_COMPARED}
    if node_type is not None:
        lifted, problems = lift(node, node_type)
        if not problems:
            raw = {**{key: value for key, value in raw.items() if key in BOOKKEEPING}, **lifted}
    if node.type == "subflow":
        raw |= {key: _ends(raw[key])[0] for key in ("status",) if key in raw}
        raw |= {key: [_ends(port)[0] for port in raw[key]] for key in ("in", "out") if isinstance(raw.get(key), list)}
    if node.type == "group":
        raw.pop("nodes", None)  # each of them says so itself
    return {key: veil_property(node_type, key, value) for key, value in raw.items()}


def _defaults(node: FlowNode, registry: Registry) -> dict[str, Any]:
    """What a node's properties are where the file does not give them."""
    known: dict[str, Any] = {"name": "", "info": "", "g": "", "z": "", "d": False}
    if node.type in STRUCTURE_TYPES:
        return known | {"disabled": False, "label": "", "env": []}
    node_type = registry.get(node.type)
    if node_type is None:
        return known
    for name, field_name in field_names(node_type.Config).items():
        default = node_type.Config.model_fields[field_name].get_default(call_default_factory=True, validated_data={})
        if default is not PydanticUndefined:
            known[name] = _jsonable(default)
    return known


def _jsonable(value: Any) -> Any:
    secret = getattr(value, "get_secret_value", None)
    return secret() if secret is not None else to_jsonable_python(value, by_alias=True, fallback=repr)


def _same(a: Any, b: Any) -> bool:
    """Equal as JSON: true is not 1, but 1 is 1.0."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def _changes(before: Any, after: Any, path: str) -> Iterator[Change]:
    if _same(before, after):
        return
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _mapping_changes(before, after, f"{path}.")
    elif isinstance(before, list) and isinstance(after, list):
        yield from _list_changes(before, after, path)
    else:
        yield Change(path, before, after)


def _mapping_changes(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str) -> Iterator[Change]:
    for key in dict.fromkeys((*before, *after)):
        yield from _changes(before.get(key, ABSENT), after.get(key, ABSENT), f"{prefix}{key}")


def _list_changes(before: list[Any], after: list[Any], path: str) -> Iterator[Change]:
    """Entries that came and went; of two that stand for each other only what differs in them."""
    old, new = [_frozen(item) for item in before], [_frozen(item) for item in after]
    for kind, a, a_end, b, b_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        pairs = min(a_end - a, b_end - b)
        for offset in range(pairs):
            yield from _changes(before[a + offset], after[b + offset], f"{path}[{b + offset}]")
        for index in range(a + pairs, a_end):
            yield Change(f"{path}[{index}]", before[index], ABSENT)
        for index in range(b + pairs, b_end):
            yield Change(f"{path}[{index}]", ABSENT, after[index])


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return frozenset((key, _frozen(item)) for key, item in value.items())
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    return (isinstance(value, bool), value)


def _compare_wires(before: Side, after: Side, found: Difference) -> None:
    for key in dict.fromkeys((*before.nodes, *after.nodes)):
        old, new = (_wires(side.nodes.get(key)) for side in (before, after))
        gone, come = [end for end in old if end not in new], [end for end in new if end not in old]
        found.wires_removed += [Wire(before.ref(key), output, before.ref(target)) for output, target in gone]
        found.wires_added += [Wire(after.ref(key), output, after.ref(target)) for output, target in come]
        if not gone and not come and old != new:
            found.reordered.append(after.ref(key))


def _wires(node: FlowNode | None) -> list[tuple[int, str]]:
    return [(output, target) for output, ends in enumerate(node.wires) for target in ends] if node is not None else []


def _compare_project(before: Side, after: Side, found: Difference) -> None:
    old, new = dict(before.project), dict(after.project)
    listed, wanted = old.get("flows"), new.get("flows")
    if isinstance(listed, list) and isinstance(wanted, list) and set(map(str, listed)) == set(map(str, wanted)):
        old["flows"], new["flows"] = ", ".join(map(str, listed)), ", ".join(map(str, wanted))  # the order, in one line
    found.project += _mapping_changes(old, new, "")
    for file, tabs in after.tabs.items():
        earlier = [tab for tab in before.tabs.get(file, []) if tab in tabs]
        stayed = [tab for tab in tabs if tab in earlier]
        if earlier != stayed:
            found.project.append(Change(f"{file}: order of tabs", ", ".join(earlier), ", ".join(stayed)))
