"""Finds and reads scenario files; all that is wrong with one becomes a Problem with its place and the mend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from solarflow.errors import FlowError, Problem, Where, nearest
from solarflow.flowfile import UNREADABLE, FlowFile, Project, read_json, read_text, shape_of
from solarflow.manifest import read_flow
from solarflow.scenario.coverage import described, normal
from solarflow.scenario.expectations import KINDS
from solarflow.scenario.model import Device, Recorded, Scenario, ScenarioFile
from solarflow.scenario.parts import Kinded
from solarflow.scenario.steps import STEPS
from solarflow.store.homes import Home
from solarflow.validate import plain_reason

FOLDER = "tests"
_KINDS: Mapping[str, Sequence[type[Kinded]]] = {"given": STEPS, "then": KINDS, "never": KINDS}
_INSIDE: Mapping[str, type[BaseModel]] = {"devices": Device, "store": Recorded, "homes": Home}


@dataclass(slots=True)
class LoadedFile:
    """A scenario file as read: `raw` is its JSON, `model` what it means (None where it has errors)."""

    path: Path
    file: str
    """Its name in problems and reports, from the project's folder on."""
    raw: dict[str, Any] = field(default_factory=dict)
    model: ScenarioFile | None = None
    flows: tuple[FlowFile, ...] = ()
    """The flow files under test."""
    problems: list[Problem] = field(default_factory=list)


class Case(NamedTuple):
    """One scenario of a file without problems."""

    file: LoadedFile
    scenario: Scenario

    def __str__(self) -> str:
        return f"{self.file.path.stem}: {self.scenario.name}"


def load_all(project: Project) -> list[Case]:
    """The scenarios of all of a project's scenario files. Raises FlowError with every problem where there is one."""
    files = [load_file(path, project) for path in find_files(project)]
    problems = [problem for loaded in files for problem in loaded.problems]
    if problems:
        raise FlowError(problems)
    return [case for loaded in files for case in cases_of(loaded)]


def cases_of(loaded: LoadedFile) -> list[Case]:
    """The scenarios of a file; none where it has problems."""
    return [] if loaded.model is None else [Case(loaded, scenario) for scenario in loaded.model.scenarios]


def find_files(project: Project) -> list[Path]:
    """The scenario files of a project: flows/tests in its folder; `tests` beside a project of one file."""
    single = project.files[0].file == project.manifest.name if project.files else False
    folder = project.root / FOLDER if single else project.root / "flows" / FOLDER
    return sorted(folder.rglob("*.json")) if folder.is_dir() else []


def load_file(path: Path, project: Project) -> LoadedFile:
    """Read a scenario file and check it against the flows that it tests; `problems` has all that is wrong."""
    name = path.relative_to(project.root).as_posix() if path.is_relative_to(project.root) else path.name
    loaded = LoadedFile(path, name)
    text, loaded.problems = read_text(path, name)
    if text is None:
        return loaded
    value, problems = read_json(text, name)
    loaded.problems += problems
    if value is UNREADABLE:
        return loaded
    if not isinstance(value, dict):
        reason = f'expected an object with "flow" and "scenarios", found {shape_of(value)}'
        loaded.problems.append(_problem(Where(name), reason))
        return loaded
    loaded.raw = value
    try:
        model = ScenarioFile.model_validate(value)
    except ValidationError as error:
        details = error.errors(include_url=False)
        loaded.problems += [_problem(_place(name, value, detail["loc"]), _reason(detail)) for detail in details]
        return loaded
    loaded.flows, missing = _flows_of(model, project, name)
    loaded.problems += missing
    if not missing:
        loaded.problems += _check_against_flows(model, loaded.flows, project, name)
    if not loaded.problems:
        loaded.model = model
    return loaded


def json_schema() -> dict[str, Any]:
    """The JSON schema of a scenario file, for editors."""
    schema = ScenarioFile.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "A SolarFlow scenario file"}


def _problem(where: Where, reason: str) -> Problem:
    return Problem("invalid-scenario", where, {"reason": reason})


def _place(file: str, value: Any, loc: Sequence[int | str]) -> Where:
    """Where an error is: the scenario by its number and name, in it the list, the number of the item and the key."""
    rest = list(loc)
    number, name = "", ""
    if len(rest) > 1 and rest[0] == "scenarios" and isinstance(rest[1], int):
        number = str(rest[1] + 1)
        given = value["scenarios"][rest[1]]
        name = given.get("name", "") if isinstance(given, dict) else ""
        del rest[:2]
    parts: list[str] = []
    tags = {kind.kind for kind in _KINDS.get(str(rest[0]), ())} if rest else set()
    for index, step in enumerate(rest):
        if index == 2 and step in tags:
            continue
        if isinstance(step, int) and parts:
            parts[-1] += f" {step + 1}"
        else:
            parts.append(str(step))
    property_ = ": ".join(parts[:1]) + (f": {'.'.join(parts[1:])}" if parts[1:] else "")
    return Where(file, number, str(name), "scenario" if number else "", property_)


def _reason(detail: ErrorDetails) -> str:
    loc, given = detail["loc"], detail["input"]
    group = next((str(step) for step in loc if step in _KINDS), "")
    if detail["type"] == "union_tag_not_found":
        names = [kind.kind for kind in _KINDS[group]]
        if not isinstance(given, dict):
            return f"expected an object with one of the keys {', '.join(names)}; found {shape_of(given)}"
        likely = next((hint for key in given if (hint := nearest(str(key), names))), "")
        return f"expected one of the keys {', '.join(names)}; found {', '.join(map(str, given)) or 'none'}{likely}"
    if detail["type"] == "extra_forbidden":
        return f"there is no such key here{nearest(str(loc[-1]), _keys_at(loc, group))}"
    if detail["type"] == "missing":
        return "the key is missing"
    return plain_reason(detail, shape_of(given) if isinstance(given, (dict, list)) else repr(given)[:60])


def _keys_at(loc: Sequence[int | str], group: str) -> list[str]:
    """The keys that are known where an unknown one was found."""
    inside = next((_INSIDE[str(step)] for step in loc if step in _INSIDE), None)
    model: type[BaseModel] = inside or (Scenario if "scenarios" in loc else ScenarioFile)
    if group:
        model = next((kind for kind in _KINDS[group] if kind.kind in loc), model)
    return [info.alias or name for name, info in model.model_fields.items()]


def _flows_of(model: ScenarioFile, project: Project, file: str) -> tuple[tuple[FlowFile, ...], list[Problem]]:
    if not model.flows:
        return project.files, []
    known = {flow.file: flow for flow in project.files}
    found, problems = [], []
    for name in model.flows:
        path = project.root / name
        if name in known:
            found.append(known[name])
        elif path.resolve().is_relative_to(project.root.resolve()) and path.is_file():
            found.append(read_flow(path, name))  # a flow that does not run yet can be tested all the same
        else:
            reason = f"there is no flow file '{name}'{nearest(name, known)}"
            problems.append(_problem(Where(file, property="flow"), reason))
    return tuple(found), problems


def _check_against_flows(
    model: ScenarioFile, flows: Sequence[FlowFile], project: Project, file: str
) -> Iterator[Problem]:
    """Nodes that are named and not there, sentences that no description has."""
    nodes = {node.id for flow in (*flows, project.shared) for node in flow.models}
    sentences = {normal(sentence) for flow in flows for sentence in described(flow)}
    for number, scenario in enumerate(model.scenarios, start=1):
        for group, items in (("given", scenario.given), ("then", scenario.then), ("never", scenario.never)):
            for index, item in enumerate(items, start=1):
                for node in _nodes_named(item):
                    if node.partition("/")[0] not in nodes:
                        place = Where(file, str(number), scenario.name, "scenario", f"{group} {index}")
                        yield _problem(place, f"there is no node '{node}' in these flows{nearest(node, nodes)}")
        for index, sentence in enumerate(scenario.covers, start=1):
            if normal(sentence) not in sentences:
                place = Where(file, str(number), scenario.name, "scenario", f"covers {index}")
                reason = f"no description of these flows has the sentence '{sentence}'{nearest(sentence, sentences)}"
                yield _problem(place, reason)


def _nodes_named(item: Kinded) -> list[str]:
    value = getattr(item, item.kind)
    if item.kind == "set":
        return list(value)
    return [value] if item.kind in ("inject", "press", "shows", "fails") else []
