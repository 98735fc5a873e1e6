"""The project: flows.json with the flow files it names, or one plain Node-RED file; and what is wrong with either."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, StrictBool, StrictInt, ValidationError

from solarflow.errors import Problem, Where, nearest
from solarflow.flowfile import UNREADABLE, FlowFile, Project, flow_of, parse_flow, read_json, read_text, shape_of
from solarflow.graph import check_project
from solarflow.node import NodeConfig
from solarflow.registry import Registry
from solarflow.validate import plain_reason

MANIFEST: Final = "flows.json"
CREDENTIALS: Final = "credentials.json"
_KEYS: Final = ("flows", "nodes", "settings", "name", "description")


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone {name!r}; expected one such as Europe/Rome") from None
    return name


class Settings(NodeConfig):
    """The settings of a project, in flows.json."""

    allow_code: StrictBool = False
    """Whether nodes with code of their own (`python`) may run."""
    timezone: Annotated[str, AfterValidator(_time_zone)] = "UTC"
    """The time zone of tariffs, schedules and pages, by its IANA name."""
    raw_days: Annotated[StrictInt, Field(ge=1, le=36_500)] = 60
    """How many days single readings are kept; hourly figures are kept for ever."""
    max_hops: Annotated[StrictInt, Field(ge=1, le=1_000_000)] = 1_000
    """How often a message may go round a circle before it is taken for one that never ends."""


def load_project(path: Path, registry: Registry, environ: Mapping[str, str] = os.environ) -> Project:
    """Read and check a project: a folder with flows.json, a flows.json, or one file with a Node-RED array.

    Raises nothing for anything that the files hold: all that is wrong stands in `problems`.
    """
    project = read_project(path)
    project.problems = check_project(project, registry, environ).problems
    return project


def read_project(path: Path) -> Project:
    """Read a project without looking at node types and wires."""
    path = Path(path)
    manifest = path / MANIFEST if path.is_dir() else path
    project = Project(manifest.parent, manifest)
    text, problems = read_text(manifest, manifest.name)
    value: Any = UNREADABLE
    if text is not None:
        value, problems = read_json(text, manifest.name)
    if isinstance(value, list):
        project.files = (flow_of(value, manifest.name, problems),)
        problems = []
    elif isinstance(value, dict):
        _read_manifest(project, value, problems)
    elif value is not UNREADABLE:
        found = {"expected": 'an object with "flows", or an array of nodes', "found": shape_of(value)}
        problems.append(Problem("not-a-flow", Where(manifest.name), found))
    project.credentials = _read_credentials(project, problems)
    project.reading = tuple(problems)
    project.problems = [*problems, *project.shared.problems, *(p for file in project.files for p in file.problems)]
    return project


def _read_manifest(project: Project, value: dict[str, Any], problems: list[Problem]) -> None:
    name = project.manifest.name

    def wrong(property: str, reason: str) -> None:
        problems.append(Problem("invalid-setting", Where(name, property=property), {"reason": reason}))

    for key in value:
        if key not in _KEYS:
            parameters = {"name": key, "nearest": nearest(key, _KEYS)}
            problems.append(Problem("unknown-setting", Where(name, property=key), parameters))
    flows = value.get("flows", [])
    if not isinstance(flows, list):
        wrong("flows", f"expected an array with the paths of flow files, found {shape_of(flows)}")
        flows = []
    files: list[FlowFile] = []
    seen: set[str] = set()
    for index, entry in enumerate(flows):
        if not isinstance(entry, str) or not entry:
            wrong(f"flows.{index}", f"expected the path of a flow file, found {shape_of(entry)}")
            continue
        file = PurePosixPath(entry)
        if file.is_absolute() or ".." in file.parts or "\\" in entry or "\0" in entry or str(file) == ".":
            wrong(f"flows.{index}", f"expected a path inside the project such as flows/benchmark.json, found {entry!r}")
        elif str(file) in seen:
            wrong(f"flows.{index}", f"the file {entry} stands in the list twice")
        else:
            seen.add(str(file))
            files.append(read_flow(project.root / str(file), str(file)))
    project.files = tuple(files)
    project.shared = flow_of(value.get("nodes", []), name, prefix="nodes")
    project.settings = _read_settings(value.get("settings", {}), name, problems)


def read_flow(path: Path, file: str) -> FlowFile:
    """Read one flow file; `file` is its name in problems."""
    text, problems = read_text(path, file)
    return FlowFile(file, problems=tuple(problems)) if text is None else parse_flow(text, file)


def _read_settings(value: Any, file: str, problems: list[Problem]) -> dict[str, Any]:
    """The settings that are given and right."""
    if not isinstance(value, dict):
        reason = f"expected an object, found {shape_of(value)}"
        parameters = {"reason": reason}
        problems.append(Problem("invalid-setting", Where(file, property="settings"), parameters))
        return {}
    wrong: set[str] = set()
    try:
        Settings.model_validate(value)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            key = str(detail["loc"][0])
            wrong.add(key)
            where = Where(file, property=f"settings.{key}")
            if detail["type"] == "extra_forbidden":
                parameters = {"name": key, "nearest": nearest(key, Settings.model_fields)}
                problems.append(Problem("unknown-setting", where, parameters))
            else:
                reason = plain_reason(detail, shape_of(value[key]))
                problems.append(Problem("invalid-setting", where, {"reason": reason}))
    return {key: given for key, given in value.items() if key not in wrong}


def _read_credentials(project: Project, problems: list[Problem]) -> dict[str, dict[str, Any]]:
    """credentials.json beside the manifest: an object of properties for each node id."""
    path = project.root / CREDENTIALS
    if not path.exists():
        return {}
    text, found = read_text(path, CREDENTIALS)
    value: Any = {}
    if text is not None:
        value, found = read_json(text, CREDENTIALS)
    problems.extend(found)
    if value is UNREADABLE:
        return {}
    if not isinstance(value, dict) or not all(isinstance(entry, dict) for entry in value.values()):
        # The values are not shown: they are secrets.
        expected = {"expected": "an object of properties for each node id", "found": "something else"}
        problems.append(Problem("not-a-flow", Where(CREDENTIALS), expected))
        return {}
    if path.stat().st_mode & 0o077:
        problems.append(Problem("open-credentials", Where(CREDENTIALS), {}, "warning"))
    return value
