"""A project of one flow in a temporary folder, and its scenarios."""

import json
from pathlib import Path

import pytest

from solarflow.manifest import read_project
from solarflow.scenario import load_all, load_file, run

BROKER = {"id": "broker", "type": "mqtt-broker", "broker": ""}


class Trial:
    """`play(scenario)` gives the outcome of one scenario, `problems(file)` what is wrong with a file."""

    def __init__(self, folder: Path, registry) -> None:
        self.folder = folder
        self.registry = registry
        (folder / "flows" / "tests").mkdir(parents=True)
        self.file = folder / "flows" / "tests" / "one.json"

    def flow(self, *nodes, info="", settings=None):
        """Write the flow. A node is (id, type, wires, properties)."""
        tab = {"id": "tab", "type": "tab", "label": "One", "info": info}
        listed = [
            {"id": id_, "type": type_, "z": "tab", "x": 1, "y": 1, "wires": wires, **properties}
            for id_, type_, wires, properties in nodes
        ]
        (self.folder / "flows" / "one.json").write_text(json.dumps([tab, *listed]))
        manifest = {"flows": ["flows/one.json"], "nodes": [BROKER], "settings": settings or {}}
        (self.folder / "flows.json").write_text(json.dumps(manifest))

    def write(self, *scenarios, **head):
        """Write the scenario file."""
        self.file.write_text(json.dumps({"homes": ["casa_A"], **head, "scenarios": list(scenarios)}))

    def play(self, scenario, **head):
        """What comes of one scenario."""
        self.write({"name": "one", **scenario}, **head)
        project = read_project(self.folder)
        return run(load_all(project)[0], project, self.registry)

    def problems(self, content):
        """What is wrong with a file of this content, as texts."""
        self.file.write_text(content if isinstance(content, str) else json.dumps(content))
        return [str(problem).splitlines()[0] for problem in load_file(self.file, read_project(self.folder)).problems]

    def came(self, scenario, kind="publishes", **head):
        """What came of a scenario, of one kind: (time, subject, detail)."""
        return [
            (event.t, event.subject[0], dict(event.detail))
            for event in self.play(scenario, **head).events
            if event.kind == kind
        ]


@pytest.fixture
def trial(tmp_path, registry):
    """A project whose flow passes what comes on in/<anything> on to out/<anything>."""
    made = Trial(tmp_path, registry)
    made.flow(
        ("in", "mqtt in", [["topic"]], {"topic": "in/{what}", "datatype": "json", "broker": "broker"}),
        ("topic", "template", [["out"]], {"field": "topic", "template": "out/{{what}}", "output": "str"}),
        ("out", "mqtt out", [], {"broker": "broker", "topic": ""}),
        info="What comes in goes out.",
    )
    return made
