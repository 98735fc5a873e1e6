"""`${NAME}` in properties, and the env of subflows, groups, flows and the project, with Node-RED's rules."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from solarflow.errors import Problem, Where
from solarflow.flowfile import UNREADABLE, read_json, shape_of
from solarflow.message import MISSING

_WHOLE = re.compile(r"\$(?:\{(?P<name>\S+)\}|\((?P<old>\S+)\))")  # $(NAME) is how Node-RED first wrote it
_INNER = re.compile(r"\$\{([^}]+)\}")
_PARENT = "$parent."
_PARENTS = 5


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of an `env` list: a name, and a value that is read as its type says."""

    name: str
    value: Any
    type: str = "str"


def read_entries(raw: Any, where: Where) -> tuple[list[Entry], list[Problem]]:
    """The `env` list of a tab, group, subflow or instance, and what is wrong with it."""
    problems: list[Problem] = []

    def wrong(path: str, reason: str) -> None:
        place = Where(where.file, where.node, where.name, where.type, f"env{path}")
        problems.append(Problem("invalid-shape", place, {"reason": reason}))

    if raw is None:
        return [], []
    if not isinstance(raw, list):
        wrong("", f"expected an array of variables, found {shape_of(raw)}")
        return [], problems
    entries: list[Entry] = []
    for index, item in enumerate(raw):
        name = item.get("name") if isinstance(item, dict) else None
        type_ = item.get("type", "str") if isinstance(item, dict) else None
        if not isinstance(name, str) or not isinstance(type_, str):
            wrong(f".{index}", f'expected an object with the texts "name", "type" and "value", found {shape_of(item)}')
        elif name:
            reason = _unfit(item.get("value"), type_)
            if reason:
                wrong(f".{index}.value", f"the variable {name}: {reason}")
            else:
                entries.append(Entry(name, item.get("value"), type_))
    return entries, problems


def _unfit(value: Any, type_: str) -> str:
    """Why a value cannot be read as its type, or ""."""
    if type_ == "num" and not isinstance(value, bool):
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            return f"expected a number, found {shape_of(value)}"
        return "" if abs(number) < float("inf") else f"expected a finite number, found {shape_of(value)}"
    if type_ == "json" and isinstance(value, str) and read_json(value, "")[0] is UNREADABLE:
        return f"expected JSON, found {shape_of(value)}"
    if type_ == "jsonata":
        return "JSONata is kept but not run; write the value itself"
    return ""


def _typed(entry: Entry) -> Any:
    value = entry.value
    if entry.type == "num":
        number = float(value)
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    if entry.type == "bool":
        return value is True or value == "true"
    if entry.type == "json" and isinstance(value, str):
        return json.loads(value)
    return "" if value is None else value


@dataclass(slots=True, eq=False)
class Environment:
    """One level: a subflow instance, a group, a flow, the project; above all stands the process.

    `fixed` holds what the level itself knows (NR_FLOW_ID and the like).
    """

    entries: Mapping[str, Entry]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    parent: Environment | None = None
    process: Mapping[str, str] = field(default_factory=dict)
    """The process's variables, at the topmost level only."""
    _values: dict[str, Any] = field(default_factory=dict)
    _busy: set[str] = field(default_factory=set)
    _mapping: dict[str, Any] | None = None

    def child(self, entries: list[Entry], fixed: Mapping[str, Any]) -> Environment:
        """A level inside this one; of two entries with one name the later counts."""
        return Environment({entry.name: entry for entry in entries}, fixed, self)

    def get(self, name: str) -> Any:
        """A variable's value, or MISSING. `$parent.NAME` begins one level further out."""
        if name.startswith(_PARENT):
            outer = name[len(_PARENT) :]
            if self.parent is None:
                return self.process.get(outer.replace(_PARENT, ""), MISSING)
            return self.parent.get(outer)
        level: Environment | None = self
        while level is not None:
            if name in level.fixed:
                return level.fixed[name]
            if name in level.entries and name not in level._busy:
                return level._value(name)
            if level.parent is None:
                return level.process.get(name, MISSING)
            level = level.parent
        return MISSING

    def _value(self, name: str) -> Any:
        if name not in self._values:
            # An entry that names itself means the one further out: `get` passes over those that are being read.
            self._busy.add(name)
            try:
                self._values[name] = self._read(self.entries[name])
            except RecursionError:
                self._values[name] = ""
            finally:
                self._busy.discard(name)
        return self._values[name]

    def _read(self, entry: Entry) -> Any:
        if not isinstance(entry.value, str) or entry.type not in ("env", "conf-type"):
            return _typed(entry)
        whole = _INNER.fullmatch(entry.value)
        if entry.type == "conf-type" and not whole:
            return entry.value
        if whole or "${" not in entry.value:
            found = self.get(whole[1] if whole else entry.value)
            return "" if found is MISSING else found
        return _INNER.sub(lambda match: _as_text(self.get(match[1])), entry.value)

    def visible(self) -> dict[str, Any]:
        """Every variable that this level and those around it set, without the process's."""
        found: dict[str, Any] = {}
        level: Environment | None = self
        while level is not None:
            for name, value in level.fixed.items():
                found.setdefault(name, value)
            for name in level.entries:
                if name not in found:
                    found[name] = level._value(name)
            level = level.parent
        return found

    def as_mapping(self) -> dict[str, Any]:
        """All variables by name, and as `$parent.NAME` what the next few levels outwards see."""
        if self._mapping is None:
            self._mapping = self.visible()
            level, prefix = self.parent, _PARENT
            while level is not None and len(prefix) <= len(_PARENT) * _PARENTS:
                self._mapping.update((prefix + name, value) for name, value in level.visible().items())
                level, prefix = level.parent, prefix + _PARENT
        return self._mapping


def _as_text(value: Any) -> str:
    if value is MISSING or value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def is_reference(value: Any) -> bool:
    """Whether a property is `${NAME}` and nothing else."""
    return isinstance(value, str) and _WHOLE.fullmatch(value) is not None


def substitute(value: Any, get: Callable[[str], Any], unset: Callable[[str, str], None], path: str = "") -> Any:
    """A copy of a property in which every text that is `${NAME}` and nothing else is replaced.

    `get` gives a variable's value or MISSING; where one is not set the text stays, as in Node-RED, and
    `unset(path, name)` is told.
    """
    if isinstance(value, str):
        found = _WHOLE.fullmatch(value) if value.startswith("$") else None
        if found is None:
            return value
        name = found["name"] or found["old"]
        result = get(name)
        if result is MISSING:
            unset(path, name)
            return value
        return result
    if isinstance(value, list):
        return [substitute(item, get, unset, f"{path}.{index}") for index, item in enumerate(value)]
    if isinstance(value, dict):
        return {key: substitute(item, get, unset, f"{path}.{key}") for key, item in value.items()}
    return value
