"""`solarflow test`: what it says, what it writes, and its exit codes."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from command_line import ROOT, make_project, run

from solarflow.cli import main
from solarflow.scenario.expectations import KINDS
from solarflow.scenario.model import Device, Recorded, Scenario, ScenarioFile
from solarflow.scenario.steps import STEPS
from solarflow.scenario.text import canonical

PAGE = (ROOT / "docs" / "flow-tests.md").read_text()


@pytest.fixture
def notice(tmp_path: Path) -> Path:
    """The project of docs/flow-tests.md."""
    flow, scenarios = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    broker = {"id": "broker", "type": "mqtt-broker", "broker": ""}
    (tmp_path / "flows" / "tests").mkdir(parents=True)
    (tmp_path / "flows.json").write_text(json.dumps({"flows": ["flows/notice.json"], "nodes": [broker]}))
    (tmp_path / "flows" / "notice.json").write_text(flow)
    (tmp_path / "flows" / "tests" / "notice.json").write_text(scenarios)
    return tmp_path


def shorten_the_hold(project: Path) -> None:
    path = project / "flows" / "notice.json"
    path.write_text(path.read_text().replace('"hold_s": 60', '"hold_s": 30'))


def timeless(text: str) -> str:
    return re.sub(r"in \d+\.\d s", "in 0.0 s", text)


# -- the page -------------------------------------------------------------------------------------------------------


def test_the_page_shows_what_the_command_says(notice):
    passing, failing = re.findall(r"```console\n\$ solarflow test \.\n(.*?)```", PAGE, re.DOTALL)
    result = run("test", notice)
    assert (timeless(result.stdout), result.exit_code) == (passing, 0)
    shorten_the_hold(notice)
    result = run("test", notice)
    assert (timeless(result.stdout), result.exit_code) == (failing, 1)


def test_the_pages_own_test_passes(notice, monkeypatch, registry):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    monkeypatch.chdir(notice)
    names: dict = {}
    exec(compile(code, "docs/flow-tests.md", "exec"), names)  # noqa: S102 - the page's own test
    cases = names["load_all"](names["PROJECT"])
    assert len(cases) == 2
    for case in cases:
        names["test_the_flows_do_what_their_scenarios_say"](case)


def test_the_page_names_every_key():
    models = [ScenarioFile, Scenario, Device, Recorded, *STEPS, *KINDS]
    keys = {info.alias or name for model in models for name, info in model.model_fields.items()}
    assert sorted(key for key in keys if f"`{key}`" not in PAGE) == []


# -- the command ----------------------------------------------------------------------------------------------------


def test_a_new_projects_scenarios_pass(tmp_path):
    project = make_project(tmp_path)
    result = run("test", project)
    assert result.exit_code == 0, result.output
    assert "none failed" in result.stdout
    assert "No scenario covers" not in result.stdout


def test_scenarios_are_listed_and_chosen_by_file_or_by_words(notice):
    listed = "flows/tests/notice.json\n  a home that gives 6 kW is told after a minute, and again when it is over\n"
    assert run("test", notice, "--list").stdout == listed + "  fifty seconds are not enough\n"
    assert run("test", notice, "6 kW", "--list").stdout == listed
    assert "2 scenarios passed" in run("test", notice, "notice").stdout
    assert "1 scenario passed" in run("test", notice, "FIFTY").stdout


def test_a_name_that_means_none_is_one_line_with_the_likeliest(notice):
    result = run("test", notice, "notise")
    assert result.exit_code == 1
    assert "no scenario is called 'notise'; did you mean 'notice'?" in result.stderr


def test_a_project_without_scenarios_says_where_the_first_one_goes(notice):
    (notice / "flows" / "tests" / "notice.json").unlink()
    result = run("test", notice)
    assert result.exit_code == 1
    assert "flows/tests/NAME.json" in result.stderr


def test_problems_are_all_told_nothing_is_played_and_the_exit_code_is_2(notice):
    path = notice / "flows" / "tests" / "notice.json"
    path.write_text(path.read_text().replace('"every"', '"evry"').replace('"payload": true', '"paylod": true'))
    result = run("test", notice)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1] == "4 problems; no scenario was run"
    assert "scenario 1 'a home that gives 6 kW" in result.stderr
    assert "docs/flow-tests.md" in result.stderr


def test_a_flow_that_cannot_be_deployed_fails_its_scenarios_with_its_problems(notice):
    path = notice / "flows" / "notice.json"
    path.write_text(path.read_text().replace('"hold_s": 60', '"hold_s": -1'))
    result = run("test", notice)
    assert result.exit_code == 1
    assert "threshold-hold high 'more than 5 kW': hold_s" in result.stdout


def test_update_writes_what_came_and_leaves_the_rest_as_it_is(notice):
    shorten_the_hold(notice)
    path = notice / "flows" / "tests" / "notice.json"
    before = json.loads(path.read_text())
    result = run("test", notice, "--update")
    assert result.exit_code == 1
    assert "'fifty seconds are not enough' does what stands under \"never\"; no update mends that" in result.stdout
    after = json.loads(path.read_text())
    assert after["scenarios"][0]["then"] == [
        {"at": "30s", "publishes": "comunita/casa_A/avviso", "payload": True},
        before["scenarios"][0]["then"][1],
    ]
    assert [{**one, "then": None} for one in after["scenarios"]] == [
        {**one, "then": None} for one in before["scenarios"]
    ]
    assert path.read_text() == canonical(after)
    assert run("test", notice, "6 kW").exit_code == 0


def test_update_touches_no_file_whose_scenarios_pass(notice):
    path = notice / "flows" / "tests" / "notice.json"
    before = path.read_text()
    assert run("test", notice, "--update").exit_code == 0
    assert path.read_text() == before


def test_junit_is_written_besides(notice, tmp_path):
    shorten_the_hold(notice)
    assert run("test", notice, "--junit", tmp_path / "out.xml").exit_code == 1
    suite = ElementTree.parse(tmp_path / "out.xml").getroot()[0]  # noqa: S314 - ours
    assert suite.attrib["failures"] == "2"
    assert "30s too early" in suite[0][0].text


def test_a_sentence_without_a_scenario_is_named_and_fails_where_one_asks_for_it(notice):
    path = notice / "flows" / "notice.json"
    path.write_text(path.read_text().replace("is told so.", "is told so. At night it sleeps."))
    result = run("test", notice)
    assert "  flows/notice.json: At night it sleeps." in result.stdout
    assert result.exit_code == 0
    assert run("test", notice, "--fail-uncovered").exit_code == 1


def test_a_changed_sentence_makes_its_scenario_a_problem(notice):
    path = notice / "flows" / "notice.json"
    path.write_text(path.read_text().replace("more than 5 kW for a minute", "more than 5 kW for an hour"))
    result = run("test", notice)
    assert result.exit_code == 2
    assert "covers 1: no description of these flows has the sentence" in result.stderr


def test_colours_are_for_terminals_only(notice):
    shorten_the_hold(notice)
    assert "\x1b[" not in run("test", notice).stdout
    assert "\x1b[31m" in CliRunner().invoke(main, ["test", str(notice)], color=True).output


def test_what_the_flows_log_is_not_between_the_lines_unless_one_asks(notice):
    path = notice / "flows" / "tests" / "notice.json"
    scenarios = json.loads(path.read_text())
    scenarios["scenarios"][1]["given"][0]["payload"] = "no object"
    path.write_text(json.dumps(scenarios))
    quiet, loud = run("test", notice, "fifty"), run("-v", "test", notice, "fifty")
    assert "fails high" in quiet.stdout
    assert "<threshold-hold high" not in quiet.output
    assert "<threshold-hold high" in loud.output
