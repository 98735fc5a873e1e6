"""`solarflow fmt`: one meaning, one text; and a file that cannot be read is left alone."""

from __future__ import annotations

import json

import pytest
from command_line import ROOT, make_project, run

FLOW = [
    {"wires": [], "y": 1, "x": 1, "z": "t", "type": "debug", "id": "b", "name": "é"},
    {"label": "T", "type": "tab", "id": "t"},
    {"wires": [["b"]], "type": "inject", "z": "t", "id": "a", "x": 2, "y": 2, "zeta": 1, "alpha": 2},
]


@pytest.fixture
def flow(tmp_path):
    path = tmp_path / "flow.json"
    path.write_text(json.dumps(FLOW))
    return path


def test_a_pasted_file_becomes_canonical_once_and_the_command_says_so(flow):
    first, second = run("fmt", flow), run("fmt", flow)

    assert (first.exit_code, first.output) == (0, f"{flow}: canonical now\n1 changed, 0 as they were\n")
    assert (second.exit_code, second.output) == (0, "0 changed, 1 as they were\n")
    assert [node["id"] for node in json.loads(flow.read_text())] == ["t", "a", "b"]
    assert flow.read_text().endswith("]\n")
    assert '"é"' in flow.read_text()


def test_the_meaning_stays(flow):
    run("fmt", flow)

    by_id = {node["id"]: node for node in json.loads(flow.read_text())}
    assert by_id == {node["id"]: node for node in FLOW}


def test_check_names_what_would_change_and_changes_nothing(flow):
    before = flow.read_bytes()

    result = run("fmt", "--check", flow)

    assert (result.exit_code, result.output) == (1, f"{flow}: would change\n1 would change, 0 as they were\n")
    assert flow.read_bytes() == before


def test_the_text_that_was_there_is_kept(flow):
    before = flow.read_bytes()

    run("fmt", flow)

    assert (flow.parent / ".versions" / "flow.json.1").read_bytes() == before


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[{"id": "a",', "is not JSON"),
        ('[{"id": "a", "id": "b", "type": "tab"}]', "the key 'id' stands twice"),
        ('{"homes": []}', "expected an array of nodes, or a manifest"),
        ("[1]", "expected an array of nodes"),
        ('{"flows": [], "nodes": 5}', 'expected "nodes" to be an array of objects, found the number 5'),
    ],
)
def test_a_file_that_cannot_be_read_is_told_and_not_touched(tmp_path, text, reason):
    path = tmp_path / "broken.json"
    path.write_text(text)

    result = run("fmt", path)

    assert result.exit_code == 1
    assert reason in result.stderr
    assert "1 not touched" in result.stdout
    assert path.read_text() == text


def test_one_broken_file_does_not_keep_the_others_from_their_form(flow, tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text("[")

    result = run("fmt", broken, flow)

    assert result.exit_code == 1
    assert result.stdout == f"{flow}: canonical now\n1 changed, 0 as they were, 1 not touched\n"


def test_a_project_is_its_manifest_and_the_flows_that_it_lists(tmp_path):
    project = make_project(tmp_path)
    manifest = project / "flows.json"
    value = json.loads(manifest.read_text())
    other = json.dumps({"settings": value["settings"], "flows": value["flows"], "nodes": value["nodes"]})
    manifest.write_text(other)
    (project / "flows" / "not-listed.json").write_text("[ ]")

    result = run("fmt", project)

    assert result.stdout.splitlines()[0] == f"{manifest}: canonical now"
    assert list(json.loads(manifest.read_text())) == ["flows", "nodes", "settings"]
    assert json.loads(manifest.read_text()) == value
    assert (project / "flows" / "not-listed.json").read_text() == "[ ]"


def test_the_shipped_flows_are_canonical():
    assert run("fmt", "--check", ROOT).output == f"0 would change, {len(_shipped())} as they were\n"


def _shipped() -> list[str]:
    return ["flows.json", *json.loads((ROOT / "flows.json").read_text())["flows"]]


def test_a_folder_that_is_no_project_is_one_clear_line(tmp_path):
    result = run("fmt", tmp_path)

    assert (result.exit_code, result.stderr) == (
        1,
        f"solarflow: {tmp_path} holds no flows.json; name flow files, or a project folder\n",
    )
