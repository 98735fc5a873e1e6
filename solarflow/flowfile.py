"""Reads flow files: Node-RED's JSON array becomes typed nodes, and everything that is wrong becomes a Problem."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from solarflow.errors import Problem, Where

MAX_BYTES: Final = 20_000_000
"""Flow files longer than this are refused."""
MAX_DEPTH: Final = 100
"""Lists and objects nested deeper than this are refused."""
UNREADABLE: Final = type("Unreadable", (), {"__repr__": lambda _: "UNREADABLE"})()
"""What `read_json` gives where there is no JSON: None is a JSON value."""

End = tuple[str, int]
"""One output of a node: its id and the port."""


@dataclass(frozen=True, slots=True)
class SubflowPorts:
    """The ends of a subflow definition."""

    inputs: tuple[tuple[str, ...], ...] = ()
    """For each input the nodes inside that get its messages."""
    outputs: tuple[tuple[End, ...], ...] = ()
    """For each output what leads to it inside; the subflow's own id stands for its input."""
    status: tuple[End, ...] = ()
    """What leads to the status output."""


@dataclass(frozen=True, slots=True, eq=False)
class FlowNode:
    """One object of a flow file, with what every node has; `raw` is the object as it stands."""

    id: str
    type: str
    file: str
    raw: Mapping[str, Any]
    z: str = ""
    g: str = ""
    name: str = ""
    disabled: bool = False
    wires: tuple[tuple[str, ...], ...] = ()
    ports: SubflowPorts = field(default_factory=SubflowPorts)

    @property
    def subflow(self) -> str:
        """The id of the subflow that this is an instance of, or ""."""
        return self.type[8:] if self.type.startswith("subflow:") else ""

    @property
    def on_canvas(self) -> bool:
        """Whether it has a place; config nodes have none."""
        return "x" in self.raw or "y" in self.raw

    def where(self, property: str = "") -> Where:
        """The place of a problem with it."""
        return Where(self.file, self.id, self.name, self.type, property)


@dataclass(frozen=True, slots=True)
class FlowFile:
    """A flow file as read. `nodes` keeps every property of every object; `models` has those that can be used."""

    file: str
    nodes: list[dict[str, Any]] = field(default_factory=list)
    models: tuple[FlowNode, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def tabs(self) -> list[FlowNode]:
        """The flows in it, in their order."""
        return [node for node in self.models if node.type == "tab"]


@dataclass(slots=True)
class Project:
    """A manifest and the flow files it names, or one Node-RED file. Made by `solarflow.manifest.load_project`."""

    root: Path
    """The folder that file names are relative to."""
    manifest: Path
    """flows.json, or the one Node-RED file."""
    files: tuple[FlowFile, ...] = ()
    shared: FlowFile = field(default_factory=lambda: FlowFile("flows.json"))
    """The config nodes of the manifest."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The settings that the manifest gives; what it does not give is not in it."""
    credentials: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Secret properties by node id, from credentials.json."""
    reading: tuple[Problem, ...] = ()
    """What is wrong with the manifest itself."""
    problems: list[Problem] = field(default_factory=list)
    """All that is wrong with the project: manifest, files, properties, wires."""

    @property
    def ok(self) -> bool:
        """Whether it can be deployed."""
        return not any(problem.severity == "error" for problem in self.problems)


def read_text(path: Path, file: str) -> tuple[str | None, list[Problem]]:
    """A file's text without its byte order mark, or None and why there is none."""
    where = Where(file)
    try:
        if not path.is_file():
            if path.exists():
                return None, [Problem("file-unreadable", where, {"reason": "it is not a file"})]
            return None, [Problem("file-missing", where)]
        if path.stat().st_size > MAX_BYTES:
            reason = f"it is larger than {MAX_BYTES // 1_000_000} MB"
            return None, [Problem("file-unreadable", where, {"reason": reason})]
        return path.read_bytes().decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        reason = f"byte {error.start} is not UTF-8"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    return None, [Problem("file-unreadable", where, {"reason": reason})]


def read_json(text: str, file: str) -> tuple[Any, list[Problem]]:
    """The JSON value of a text, or UNREADABLE, and what is wrong.

    Stricter than Python's: no NaN, no number beyond a float, no half characters, no key twice, not too deep.
    """
    problems: list[Problem] = []

    def unreadable(reason: str, position: int) -> tuple[Any, list[Problem]]:
        line = text.count("\n", 0, position) + 1
        column = position - (text.rfind("\n", 0, position) + 1) + 1
        return UNREADABLE, [Problem("not-json", Where(file), {"reason": reason, "line": line, "column": column})]

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(found)
        if len(result) < len(found):
            seen: set[str] = set()
            double = next(key for key, _ in found if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # add() is there for its effect
            node, name, type_ = (_text(result.get(key)) for key in ("id", "name", "type"))
            problems.append(Problem("duplicate-key", Where(file, node, name, type_, double), {"key": double}))
        return result

    text = text.removeprefix("\ufeff")
    try:
        value = json.loads(text, object_pairs_hook=pairs, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        return unreadable(error.msg[:1].lower() + error.msg[1:], error.pos)
    except RecursionError:
        return unreadable(f"lists and objects are nested deeper than {MAX_DEPTH}", 0)
    except ValueError:
        position = _find(text, lambda token: token[0] in "NI-" or len(token) > 4000)
        return unreadable("NaN, Infinity and numbers of thousands of digits are not allowed", position)
    trouble = _trouble(value)
    if trouble:
        reason, token = trouble
        return unreadable(reason, _find(text, token))
    return value, problems


def _refuse(name: str) -> Any:
    raise ValueError(name)


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?(?:NaN|Infinity)|-?\d[\d.eE+-]*|[\[{]|[\]}]', re.DOTALL)


def _find(text: str, wanted: Callable[[str], bool]) -> int:
    """Where the first JSON token is that is wanted; 0 where there is none."""
    return next((found.start() for found in _TOKEN.finditer(text) if wanted(found.group())), 0)


def _trouble(value: Any) -> tuple[str, Callable[[str], bool]] | None:
    """What a JSON value holds that no flow can, and how to know its token again."""
    level = [value]
    depth = 0
    while level:
        depth += 1
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item)
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
            elif isinstance(item, float) and item in (float("inf"), float("-inf")):
                return "the number is too large", lambda token: token[0] in "-0123456789" and _infinite(token)
            elif isinstance(item, str) and not item.isascii() and any("\ud800" <= c <= "\udfff" for c in item):
                return "the text holds half a character", lambda token: "\\ud" in token.lower()
        if depth > MAX_DEPTH:
            return f"lists and objects are nested deeper than {MAX_DEPTH}", lambda _: False
        level = inner
    return None


def _infinite(token: str) -> bool:
    return abs(float(token)) == float("inf")


def shape_of(value: Any) -> str:
    """What kind of JSON value it is, for a sentence: "an object", "the text 'abc'"."""
    if value is UNREADABLE:
        return "nothing"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    if isinstance(value, (int, float)):
        return f"the number {str(value)[:40]}"
    return "an array" if isinstance(value, list) else "an object"


def parse_flow(text: str, file: str) -> FlowFile:
    """A flow file's text as nodes; whatever is wrong stands in `problems`. Raises nothing."""
    value, problems = read_json(text, file)
    if value is UNREADABLE:
        return FlowFile(file, problems=tuple(problems))
    return flow_of(value, file, problems)


def flow_of(value: Any, file: str, problems: list[Problem] | None = None, prefix: str = "") -> FlowFile:
    """A JSON value as a flow file; `prefix` is where the array stands, for the text of problems."""
    problems = problems if problems is not None else []
    if not isinstance(value, list):
        found = {"expected": "an array of nodes", "found": shape_of(value)}
        return FlowFile(file, problems=(*problems, Problem("not-a-flow", Where(file, property=prefix), found)))
    nodes: list[dict[str, Any]] = []
    models: list[FlowNode] = []
    for index, item in enumerate(value):
        if not isinstance(item, dict):
            found = {"expected": "an object for each node", "found": shape_of(item)}
            problems.append(Problem("not-a-flow", Where(file, property=f"{prefix}[{index}]"), found))
            continue
        nodes.append(item)
        model = _node(item, file, f"{prefix}[{index}]", problems)
        if model is not None:
            models.append(model)
    return FlowFile(file, nodes, tuple(models), tuple(problems))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _node(raw: dict[str, Any], file: str, place: str, problems: list[Problem]) -> FlowNode | None:
    """An object as a node, or None where it has no usable id or type."""
    type_, node_id = raw.get("type"), raw.get("id")
    named = Where(file, _text(node_id), _text(raw.get("name")), _text(type_))

    def wrong(property: str, reason: str) -> None:
        where = Where(file, named.node, named.name, named.type, property if named.node else f"{place}.{property}")
        problems.append(Problem("invalid-shape", where, {"reason": reason}))

    for key, value in (("id", node_id), ("type", type_)):
        if value is None:
            where = Where(file, named.node, named.name, named.type, key if named.node else f"{place}.{key}")
            problems.append(Problem("missing-property", where, {"type": named.type}))
        elif not isinstance(value, str) or not value:
            wrong(key, f"expected a text, found {shape_of(value)}")
    if not named.node or not named.type:
        return None
    if "/" in named.node:
        wrong("id", "an id may not hold '/', which stands between a subflow instance and a node in it")
        return None
    texts: dict[str, str] = {}
    for key in ("z", "g", "name", "label"):
        value = raw.get(key)
        if value is not None and not isinstance(value, str):
            if key != "label" or named.type == "tab":
                wrong(key, f"expected a text, found {shape_of(value)}")
            value = ""
        texts[key] = value or ""
    off = raw.get("disabled") if named.type in ("tab", "subflow", "group") else raw.get("d")
    if off is not None and not isinstance(off, bool):
        wrong("disabled" if "disabled" in raw else "d", f"expected true or false, found {shape_of(off)}")
    return FlowNode(
        id=named.node,
        type=named.type,
        file=file,
        raw=raw,
        z=texts["z"],
        g=texts["g"],
        name=texts["label"] if named.type == "tab" else texts["name"],
        disabled=off is True,
        wires=_wires(raw.get("wires"), wrong),
        ports=_ports(raw, wrong) if named.type == "subflow" else SubflowPorts(),
    )


Wrong = Callable[[str, str], None]


def _wires(value: Any, wrong: Wrong) -> tuple[tuple[str, ...], ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        wrong("wires", f"expected an array with one array of node ids for each output, found {shape_of(value)}")
        return ()
    ports: list[tuple[str, ...]] = []
    for port, targets in enumerate(value):
        ports.append(())
        if targets is None:
            continue
        if not isinstance(targets, list):
            wrong(f"wires.{port}", f"expected an array of node ids, found {shape_of(targets)}")
            continue
        for index, target in enumerate(targets):
            if not isinstance(target, str):
                wrong(f"wires.{port}.{index}", f"expected the id of a node, found {shape_of(target)}")
        ports[port] = tuple(target for target in targets if isinstance(target, str))
    return tuple(ports)


def _ports(raw: Mapping[str, Any], wrong: Wrong) -> SubflowPorts:
    """The ends of a subflow: `in`, `out` and `status`, each with `wires` of objects."""

    def ends(value: Any, path: str) -> tuple[End, ...]:
        wires = value.get("wires", []) if isinstance(value, dict) else value
        if not isinstance(value, dict) or not isinstance(wires, list):
            wrong(path, f'expected an object with "wires", found {shape_of(value)}')
            return ()
        found: list[End] = []
        for index, wire in enumerate(wires):
            place = f"{path}.wires.{index}"
            node = wire.get("id") if isinstance(wire, dict) else None
            port = wire.get("port", 0) if isinstance(wire, dict) else 0
            if not isinstance(node, str):
                wrong(place, f'expected an object with the "id" of a node, found {shape_of(wire)}')
            elif not isinstance(port, int) or isinstance(port, bool) or port < 0:
                wrong(f"{place}.port", f"expected the number of an output, found {shape_of(port)}")
            else:
                found.append((node, port))
        return tuple(found)

    def each(key: str) -> list[tuple[End, ...]]:
        value = raw.get(key, [])
        if not isinstance(value, list):
            wrong(key, f"expected an array, found {shape_of(value)}")
            return []
        return [ends(item, f"{key}.{index}") for index, item in enumerate(value)]

    status = raw.get("status")
    return SubflowPorts(
        tuple(tuple(node for node, _ in wires) for wires in each("in")),
        tuple(each("out")),
        ends(status, "status") if status is not None else (),
    )
