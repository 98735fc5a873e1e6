"""The canonical text of a project's files, flow files and manifest alike: what `solarflow fmt` writes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from solarflow.errors import Problem, UsageError, Where
from solarflow.flowfile import UNREADABLE, read_json, read_text, shape_of
from solarflow.flowtext import dump_flow, write_atomically
from solarflow.manifest import MANIFEST, Settings, read_project
from solarflow.registry import Registry

_MANIFEST_ORDER: Final = ("name", "description", "flows", "nodes", "settings")


@dataclass(frozen=True, slots=True)
class Canonical:
    """A file beside its canonical text."""

    path: Path
    file: str
    """What it is called in messages."""
    text: str = ""
    """The canonical text; empty where there are problems."""
    differs: bool = False
    """Whether the file holds anything but that text."""
    problems: tuple[Problem, ...] = ()
    """Why there is no canonical text."""

    def save(self) -> None:
        """Write the canonical text, keeping the earlier one in `.versions`. Raises OSError where the disk refuses."""
        if self.differs:
            write_atomically(self.path, self.text)


def dump_manifest(manifest: Mapping[str, Any], registry: Registry | None = None) -> str:
    """The canonical text of a manifest: its keys, settings and shared nodes in a stable order; the flows in theirs.

    Raises ValueError where its nodes are not an array of objects.
    """
    first = [key for key in _MANIFEST_ORDER if key in manifest]
    value = {key: manifest[key] for key in (*first, *sorted(set(manifest) - set(first)))}
    if "nodes" in value:
        if not _is_flow(value["nodes"]):
            raise ValueError(f'expected "nodes" to be an array of objects, found {shape_of(value["nodes"])}')
        value["nodes"] = json.loads(dump_flow(value["nodes"], registry))
    settings = value.get("settings")
    if isinstance(settings, dict):
        known = [key for key in Settings.model_fields if key in settings]
        value["settings"] = {key: settings[key] for key in (*known, *sorted(set(settings) - set(known)))}
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def files_of(paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """Every file that is meant, with its name: of a project folder the manifest and the flows that it lists.

    Raises UsageError for a folder without a manifest.
    """
    for path in paths:
        if not path.is_dir():
            yield path, str(path)
            continue
        manifest = path / MANIFEST
        if not manifest.exists():
            raise UsageError(f"{path.resolve()} holds no flows.json; name flow files, or a project folder")
        yield manifest, str(manifest)
        for flow in read_project(path).files:
            if flow.file != MANIFEST:
                yield path / flow.file, str(path / flow.file)


def canonical(path: Path, file: str, registry: Registry | None = None) -> Canonical:
    """Look at one file. Raises nothing: what is wrong stands in `problems`."""
    text, problems = read_text(path, file)
    if text is None:
        return Canonical(path, file, problems=tuple(problems))
    value, problems = read_json(text, file)
    if problems:  # a key that stands twice would be lost
        return Canonical(path, file, problems=tuple(problems))
    try:
        wanted = _dump(value, registry)
    except ValueError as error:
        parameters = {"expected": 'an array of nodes, or a manifest with "flows"', "found": str(error)}
        return Canonical(path, file, problems=(Problem("not-a-flow", Where(file), parameters),))
    return Canonical(path, file, wanted, path.read_bytes() != wanted.encode())


def _dump(value: Any, registry: Registry | None) -> str:
    if _is_flow(value):
        return dump_flow(value, registry)
    if isinstance(value, dict) and isinstance(value.get("flows"), list):
        return dump_manifest(value, registry)
    raise ValueError("nothing" if value is UNREADABLE else shape_of(value))


def _is_flow(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(node, dict) for node in value)
