"""flows.json: which files run, the config nodes they share, the settings; credentials.json beside it."""

from __future__ import annotations

from typing import Any

import pytest
from flow_helpers import Files, node, tab

from solarflow.errors import FlowError
from solarflow.graph import make_plan
from solarflow.manifest import load_project

SHARED = {"id": "b", "type": "mqtt-broker", "broker": "mosquitto"}


def community(files: Files, **manifest: Any) -> None:
    files.write("flows.json", {"flows": ["flows/a.json"], "nodes": [SHARED]} | manifest)
    files.write("flows/a.json", [tab("t1", "A"), node("n", "listen", z="t1", broker="b")])


def test_a_folder_its_manifest_and_a_plain_array_are_projects(files: Files) -> None:
    community(files)
    plain = files.write("export.json", [tab("t1"), tab("t2"), node("n", "pass", z="t1")])
    for path, expected in ((files.root, ["t1"]), (files.root / "flows.json", ["t1"]), (plain, ["t1", "t2"])):
        project = load_project(path, files.registry, {})
        assert project.problems == []
        assert list(make_plan(project, files.registry, {}).flows) == expected
    assert load_project(files.root, files.registry, {}).root == files.root


def test_a_flow_uses_the_config_nodes_of_the_manifest(files: Files) -> None:
    community(files)
    plan = make_plan(load_project(files.root, files.registry, {}), files.registry, {})
    assert list(plan.nodes) == ["b", "n"]
    assert plan.nodes["b"].file == "flows.json"
    assert (plan.nodes["b"].flow, plan.nodes["b"].scopes) == ("", ())
    assert plan.nodes["n"].config.broker == "b"
    assert (plan.nodes["n"].file, plan.nodes["n"].flow) == ("flows/a.json", "t1")
    assert plan.flows["t1"].nodes == ("n",)


def test_a_plan_is_refused_with_every_problem_in_the_text(files: Files) -> None:
    community(files, flows=["flows/a.json", "flows/none.json"], settings={"max_hops": 0})
    project = load_project(files.root, files.registry, {})
    assert not project.ok
    with pytest.raises(FlowError) as caught:
        make_plan(project, files.registry, {})
    assert str(caught.value) == (
        "error: flows.json: settings.max_hops: expected a value of at least 1, found the number 0\n"
        "    correct it in the manifest\n"
        "error: flows/none.json: there is no file here\n"
        "    create it, or correct the path in flows.json"
    )


def test_settings_reach_the_plan(files: Files) -> None:
    settings = {"allow_code": True, "timezone": "Europe/Rome", "raw_days": 30, "max_hops": 50}
    community(files, settings=settings)
    assert make_plan(load_project(files.root, files.registry, {}), files.registry, {}).settings == settings


@pytest.mark.parametrize(
    ("manifest", "place", "what"),
    [
        ({"setings": {}}, "setings", "'setings' is not a setting; did you mean 'settings'?"),
        (
            {"settings": {"alow_code": True}},
            "settings.alow_code",
            "'alow_code' is not a setting; did you mean 'allow_code'?",
        ),
        ({"settings": {"allow_code": 1}}, "settings.allow_code", "expected true or false, found the number 1"),
        (
            {"settings": {"timezone": "Mars"}},
            "settings.timezone",
            "there is no time zone 'Mars'; expected one such as Europe/Rome",
        ),
        ({"settings": []}, "settings", "expected an object, found an array"),
        ({"flows": {}}, "flows", "expected an array with the paths of flow files, found an object"),
        ({"flows": ["flows/a.json", 3]}, "flows.1", "expected the path of a flow file, found the number 3"),
        (
            {"flows": ["../a.json"]},
            "flows.0",
            "expected a path inside the project such as flows/benchmark.json, found '../a.json'",
        ),
        ({"flows": ["flows/a.json", "./flows/a.json"]}, "flows.1", "the file ./flows/a.json stands in the list twice"),
        ({"nodes": 5}, "nodes", "expected an array of nodes, found the number 5"),
        (
            {"nodes": [SHARED, {"id": "p", "type": "pass"}]},
            "type",
            'only config nodes may stand in the "nodes" of the manifest',
        ),
    ],
)
def test_what_is_wrong_with_a_manifest(files: Files, manifest: dict[str, Any], place: str, what: str) -> None:
    community(files, **manifest)
    problems = load_project(files.root, files.registry, {}).problems
    assert (place, what) in [(p.where.property, p.what) for p in problems]


def test_a_folder_without_a_manifest_says_so(files: Files) -> None:
    (problem,) = load_project(files.root, files.registry, {}).problems
    assert str(problem) == "error: flows.json: there is no file here\n    create it, or correct the path in flows.json"


def test_a_project_has_one_tab_in_each_file(files: Files) -> None:
    community(files, flows=["flows/a.json", "flows/b.json", "flows/c.json"])
    files.write("flows/b.json", [tab("t2", "North"), tab("t3", "South")])
    files.write("flows/c.json", [])
    problems = load_project(files.root, files.registry, {}).problems
    assert [(p.where.file, p.what) for p in problems] == [
        ("flows/b.json", "holds 2 tabs: North, South"),
        ("flows/c.json", "holds no tab"),
    ]


@pytest.mark.parametrize("manifest", [[], {}, {"flows": []}, [{"id": "s", "type": "subflow", "name": "S"}]])
def test_a_project_without_a_flow_is_refused_for_it_would_stop_everything(files: Files, manifest: Any) -> None:
    (problem,) = load_project(files.write("flows.json", manifest), files.registry, {}).problems
    assert str(problem) == (
        "error: flows.json: holds no flow: to run it would stop everything\n"
        '    list the flow files under "flows", or put the flow back; what is not to run, disable'
    )


def test_flows_that_are_all_disabled_run_nothing(files: Files) -> None:
    project = load_project(files.write("flows.json", [tab("t1", disabled=True)]), files.registry, {})
    assert project.problems == []
    assert not make_plan(project, files.registry, {}).nodes


def test_an_id_used_in_two_files_is_refused(files: Files) -> None:
    community(files, flows=["flows/a.json", "flows/b.json"])
    files.write("flows/b.json", [tab("t2"), node("n", "pass", z="t2", name="twin")])
    (problem,) = load_project(files.root, files.registry, {}).problems
    assert str(problem.where) == "flows/b.json: pass n 'twin': id"
    assert problem.what == "the id 'n' is also used in flows/a.json: listen n"


def test_credentials_fill_in_the_secrets(files: Files) -> None:
    community(files)
    files.write("credentials.json", {"b": {"password": "sun"}}).chmod(0o600)
    project = load_project(files.root, files.registry, {})
    assert project.problems == []
    config = make_plan(project, files.registry, {}).nodes["b"].config
    assert config.password.get_secret_value() == "sun"
    assert "sun" not in repr(config)


def test_credentials_that_others_can_read_are_warned_about(files: Files) -> None:
    community(files)
    files.write("credentials.json", {"b": {"password": "sun"}}).chmod(0o644)
    (problem,) = load_project(files.root, files.registry, {}).problems
    assert (problem.code, problem.severity) == ("open-credentials", "warning")


def test_credentials_of_the_wrong_form_are_refused_without_being_shown(files: Files) -> None:
    community(files)
    files.write("credentials.json", {"b": "sun"}).chmod(0o600)
    (problem,) = load_project(files.root, files.registry, {}).problems
    assert problem.code == "not-a-flow"
    assert "sun" not in str(problem)


def test_a_secret_written_into_a_flow_file_is_warned_about_and_not_shown(files: Files) -> None:
    community(files, nodes=[SHARED | {"password": "sun"}])
    (problem,) = load_project(files.root, files.registry, {}).problems
    assert (problem.code, problem.severity, problem.where.property) == ("secret-in-file", "warning", "password")
    assert "sun" not in str(problem)
    community(files, nodes=[SHARED | {"password": "${BROKER_PASSWORD}"}])
    assert load_project(files.root, files.registry, {"BROKER_PASSWORD": "sun"}).problems == []


def test_a_wrong_secret_is_not_shown(files: Files) -> None:
    community(files, nodes=[SHARED | {"password": 12345}])
    problems = load_project(files.root, files.registry, {}).problems
    assert "expected a text, found a secret" in [p.what for p in problems]
    assert not any("12345" in str(p) for p in problems)
