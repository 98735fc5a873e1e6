"""The shipped flows do what their descriptions say: each sentence has a scenario, and each scenario holds."""

import json
from pathlib import Path

import pytest

from solarflow.manifest import read_project
from solarflow.scenario import describe, json_schema, load_all, run
from solarflow.scenario.coverage import uncovered
from solarflow.scenario.text import canonical

ROOT = Path(__file__).parent.parent
PROJECT = read_project(ROOT)
CASES = load_all(PROJECT)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_shipped_flow_does_what_its_scenario_says(case, registry):
    outcome = run(case, PROJECT, registry)
    assert outcome.passed, describe(outcome)


def test_each_sentence_of_each_description_has_a_scenario():
    assert {flow.file for flow in PROJECT.files} == {name for case in CASES for name in case.file.model.flows}
    assert uncovered(PROJECT.files, [case.file.model for case in CASES]) == []


@pytest.mark.parametrize("path", sorted((ROOT / "flows" / "tests").glob("*.json")), ids=lambda path: path.stem)
def test_a_shipped_scenario_file_is_in_canonical_text(path):
    assert path.read_text() == canonical(json.loads(path.read_text()))


def test_the_schema_for_editors_is_that_of_the_models():
    written = (ROOT / "docs" / "scenario.schema.json").read_text()
    assert written == json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n", (
        "the models changed: write docs/scenario.schema.json anew from solarflow.scenario.json_schema()"
    )
