"""Writes flow files: one canonical text for one meaning, saved so that no crash leaves half a file."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from solarflow.environment import is_reference
from solarflow.errors import FlowError, Problem, Where
from solarflow.flowfile import UNREADABLE, read_json, read_text, shape_of
from solarflow.registry import Registry
from solarflow.validate import field_names, is_secret

BACKUPS: Final = 5
"""So many earlier versions of a file are kept."""
BACKUP_FOLDER: Final = ".versions"
"""Where they are kept, beside the file; the folder tells git to leave it alone."""

_FIRST: Final = ("id", "type", "z", "g", "name")
_LAST: Final = ("x", "y", "w", "h", "wires")
_STRUCTURE: Final[Mapping[str, Sequence[str]]] = {
    "tab": ("label", "disabled", "info", "env"),
    "subflow": ("info", "category", "in", "out", "status", "env"),
    "group": ("style", "nodes", "env"),
}
_ORDER: Final = {"tab": 0, "subflow": 1, "group": 2}


@dataclass(frozen=True, slots=True)
class SaveReport:
    """What saving did."""

    path: Path
    became_canonical: bool
    """True where the file's text had another order or layout before (pasted from elsewhere, written by hand)."""
    changed: bool
    """False where the file held exactly this already; it was not touched then."""


def dump_flow(nodes: Sequence[Mapping[str, Any]], registry: Registry | None = None) -> str:
    """The canonical text of a flow file.

    Tabs in their order, then subflows, groups, config nodes and other nodes by id; in each node what all nodes have,
    its properties (known types in the order of their schema), its place, its wires. Nothing is added or left out.
    """

    def rank(node: Mapping[str, Any]) -> tuple[int, str]:
        type_, node_id = node.get("type"), node.get("id")
        order = _ORDER.get(type_, 4) if isinstance(type_, str) else 4
        if order == 4 and _is_config(node, registry):
            order = 3
        return order, "" if order == 0 else json.dumps(node_id)

    ordered = [_in_order(node, registry) for node in sorted(nodes, key=rank)]
    return json.dumps(ordered, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _is_config(node: Mapping[str, Any], registry: Registry | None) -> bool:
    type_ = node.get("type")
    known = registry.get(type_) if registry is not None and isinstance(type_, str) else None
    return known.is_config if known is not None else "x" not in node and "y" not in node


def _in_order(node: Mapping[str, Any], registry: Registry | None) -> dict[str, Any]:
    type_ = node.get("type")
    schema: Iterable[str] = ()
    if isinstance(type_, str):
        known = registry.get(type_) if registry is not None else None
        schema = field_names(known.Config) if known is not None else _STRUCTURE.get(type_, ())
    last = [key for key in _LAST if key in node]
    order = [key for key in (*_FIRST, *schema) if key in node and key not in last]
    return {key: node[key] for key in dict.fromkeys([*order, *sorted(set(node) - {*order, *last}), *last])}


def save_flow(path: Path, nodes: Sequence[Mapping[str, Any]], registry: Registry | None = None) -> SaveReport:
    """Save a flow file in its canonical text; see `save_text`.

    Raises FlowError where the file that is there cannot be read: it would be lost, and what is to replace it may be
    what was left of it. Raises OSError where the disk refuses.
    """
    text = dump_flow(nodes, registry)
    before, problems = read_text(path, path.name)
    canonical = True
    if before is not None:
        value, unreadable = read_json(before, path.name)
        problems.extend(unreadable if value is UNREADABLE else [])
        if value is not UNREADABLE:
            fits = isinstance(value, list) and all(isinstance(node, dict) for node in value)
            canonical = fits and dump_flow(value, registry) == before
    if any(problem.code != "file-missing" for problem in problems):
        raise FlowError(problems)
    return SaveReport(path, not canonical, save_text(path, text).changed)


def save_text(path: Path, text: str) -> SaveReport:
    """Put a flow file's text in place: written beside, synced, renamed, the folder synced; earlier versions are kept.

    Raises FlowError where the text is not a JSON array of objects, OSError where the disk refuses: the file stays as
    it was.
    """
    value, problems = read_json(text, path.name)
    if value is UNREADABLE:
        raise FlowError(problems)
    if not isinstance(value, list) or not all(isinstance(node, dict) for node in value):
        found = {"expected": "an array of nodes", "found": shape_of(value)}
        raise FlowError([*problems, Problem("not-a-flow", Where(path.name), found)])
    return SaveReport(path, False, write_atomically(path, text))


def take_secrets(
    nodes: Sequence[Mapping[str, Any]], registry: Registry
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Nodes without what their types call secret, and the secrets by node id, for `save_credentials`.

    `${NAME}` is no secret and stays.
    """
    kept: list[dict[str, Any]] = []
    secrets: dict[str, dict[str, Any]] = {}
    for node in nodes:
        type_, node_id = node.get("type"), node.get("id")
        known = registry.get(type_) if isinstance(type_, str) else None
        own: dict[str, Any] = {}
        if known is not None and isinstance(node_id, str):
            own = {key: value for key, value in node.items() if is_secret(known, key) and not is_reference(value)}
        kept.append({key: value for key, value in node.items() if key not in own})
        if own and isinstance(node_id, str):
            secrets[node_id] = own
    return kept, secrets


def save_credentials(path: Path, secrets: Mapping[str, Mapping[str, Any]]) -> None:
    """Write credentials.json, readable by its owner only; no earlier version is kept. Raises OSError."""
    text = json.dumps(secrets, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(path, text, mode=0o600, keep=False)


def write_atomically(path: Path, text: str, mode: int | None = None, keep: bool = True) -> bool:
    """Replace a file as a whole or not at all; False where it held this text already. Raises OSError.

    `mode` are the rights of the file (default: those it has, or 0o644); `keep`: whether the earlier version stays.
    """
    path = path.resolve()
    data = text.encode("utf-8")
    exists = path.exists()
    if exists and path.read_bytes() == data:
        if mode is not None:
            path.chmod(mode)
        return False
    if mode is None:
        mode = path.stat().st_mode & 0o777 if exists else 0o644
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        if exists and keep:
            _keep_version(path)
        Path(beside).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(beside).unlink()
        raise
    _sync_folder(path.parent)
    return True


def versions(path: Path) -> list[Path]:
    """The earlier versions of a file that are kept, the latest first."""
    folder = path.resolve().parent / BACKUP_FOLDER
    return [kept for number in range(1, BACKUPS + 1) if (kept := folder / f"{path.name}.{number}").exists()]


def _keep_version(path: Path) -> None:
    folder = path.parent / BACKUP_FOLDER
    folder.mkdir(exist_ok=True)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")
    for number in range(BACKUPS - 1, 0, -1):
        with suppress(FileNotFoundError):
            (folder / f"{path.name}.{number}").replace(folder / f"{path.name}.{number + 1}")
    shutil.copy2(path, folder / f"{path.name}.1")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
