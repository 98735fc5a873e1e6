"""Projects and data folders for faults: the shipped flows, with times of their own and homes that are registered."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solarflow.registry import Registry, load_registry
from solarflow.store import DataFolder
from solarflow.store.homes import Home

from . import ROOT

BOILER = {"name": "boiler", "power_w": 900, "relay": 1}
_registry: list[Registry] = []


def palette() -> Registry:
    """The node types; loaded once."""
    if not _registry:
        _registry.append(load_registry())
    return _registry[0]


@dataclass(frozen=True)
class Times:
    """What the formulas of docs/mqtt.md are made of [s]; the defaults are those of the shipped flows."""

    hold_s: float = 300
    release_s: float = 60
    readings_age_s: float = 120
    """load-priority's `max_age_s`."""
    requests_age_s: float = 180
    """relay-out's `max_age_s`."""
    settle_s: float = 10
    ttl_s: int = 300
    repeat_s: float = 60
    min_on_s: float = 120
    min_off_s: float = 120
    feedback_s: float = 10
    tries: int = 3
    interval_s: float = 60
    """Between two readings of a home."""
    slack_s: float = 4
    """What lies between the engine's decision and the device: way, steps of the simulation, a busy machine."""

    def edits(self, **load: Any) -> dict[tuple[str, str], dict[str, Any]]:
        """For `make_project`; `load`: properties of the boiler."""
        boiler = {**BOILER, "hold_s": self.hold_s, "release_s": self.release_s, "min_on_s": 0, "min_off_s": 0, **load}
        return {
            ("self-consumption", "relays-priority"): {
                "loads": [boiler], "settle_s": self.settle_s, "max_age_s": self.readings_age_s,
                "repeat_s": self.repeat_s,
            },
            ("self-consumption", "relays-boiler"): {
                "ttl_s": self.ttl_s, "repeat_s": self.repeat_s, "max_age_s": self.requests_age_s,
                "min_on_s": self.min_on_s, "min_off_s": self.min_off_s, "feedback_timeout_s": self.feedback_s,
                "tries": self.tries,
            },
        }  # fmt: skip


SHIPPED = Times()
QUICK = Times(
    hold_s=0.4, release_s=0.3, readings_age_s=1.0, requests_age_s=1.5, settle_s=0.1, ttl_s=2, repeat_s=0.5,
    min_on_s=0.6, min_off_s=0.8, feedback_s=0.4, tries=3, interval_s=0.25, slack_s=0.6,
)  # fmt: skip
"""The same proportions, for real time."""


def make_project(
    folder: Path,
    edits: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
    added: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    **settings: Any,
) -> Path:
    """A copy of the shipped project; `edits` by (flow, node), `added`: flows of its own by name."""
    project = folder / "project"
    (project / "flows").mkdir(parents=True)
    manifest = json.loads((ROOT / "flows.json").read_text())
    for file in manifest["flows"]:
        shutil.copy(ROOT / file, project / file)
    for (flow, node), properties in (edits or {}).items():
        edit(project, flow, node, **properties)
    for name, nodes in (added or {}).items():
        manifest["flows"].append(f"flows/{name}.json")
        write_flow(project, name, nodes)
    manifest["settings"].update(settings)
    (project / "flows.json").write_text(json.dumps(manifest))
    return project


def write_flow(project: Path, name: str, nodes: Sequence[Mapping[str, Any]]) -> None:
    """Write a flow file; its nodes need no places."""
    tab = {"id": name, "type": "tab", "label": name}
    placed = [{"z": name, "x": 100 * number, "y": 100, "wires": [], **node} for number, node in enumerate(nodes, 1)]
    (project / "flows" / f"{name}.json").write_text(json.dumps([tab, *placed]))


def edit(project: Path, flow: str, node: str, **properties: Any) -> None:
    """Change properties of a node."""
    path = project / "flows" / f"{flow}.json"
    nodes = json.loads(path.read_text())
    next(entry for entry in nodes if entry["id"] == node).update(properties)
    path.write_text(json.dumps(nodes))


def wires_of(project: Path, flow: str, node: str) -> list[list[str]]:
    """The wires of a node in the file."""
    nodes = json.loads((project / "flows" / f"{flow}.json").read_text())
    found = next(entry for entry in nodes if entry["id"] == node)["wires"]
    assert isinstance(found, list)
    return found


def register(data: Path, homes: Iterable[str]) -> None:
    """Approved homes with a boiler."""
    with DataFolder(data) as folder:
        for ident in homes:
            folder.homes.save(Home.model_validate({"id": ident, "peak_power_wp": 4000, "loads": [BOILER]}))


def stored(data: Path, home: str, quantity: str = "production_w") -> list[tuple[float, float]]:
    """The samples of a home that are on the disk."""
    with DataFolder.read_only(data) as reader:
        return list(reader.telemetry.samples(home, quantity, 0, 1e10, 10_000_000))
