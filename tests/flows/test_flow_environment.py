"""${NAME} in properties, and the env of instances, subflows, groups, tabs, the project and the process."""

from __future__ import annotations

from typing import Any

import pytest
from flow_helpers import Files, lines, node, tab


def var(name: str, value: Any, type_: str = "str") -> dict[str, Any]:
    return {"name": name, "value": value, "type": type_}


def label(files: Files, text: Any, *around: dict[str, Any], **more: Any) -> Any:
    return files.plan(*around, node("n", "pass", label=text, **more)).nodes["n"].config.label


def test_a_property_that_is_a_variable_and_nothing_else_is_replaced(files: Files) -> None:
    files.environ = {"HOST": "sun"}
    assert label(files, "${HOST}") == "sun"
    assert label(files, "$(HOST)") == "sun"
    assert label(files, "mqtt://${HOST}") == "mqtt://${HOST}"
    assert label(files, "$HOST ${A B} ${}") == "$HOST ${A B} ${}"
    assert label(files, {"deep": ["${HOST}", 1, {"x": "${HOST}"}]}) == {"deep": ["sun", 1, {"x": "sun"}]}


def test_a_variable_from_the_process_is_judged_as_the_property_it_stands_in(files: Files) -> None:
    files.environ = {"LIMIT": "900"}
    assert files.plan(node("n", "pass", limit_w="${LIMIT}")).nodes["n"].config.limit_w == 900
    files.environ = {"LIMIT": "secretly wrong"}
    assert lines(files.problems(node("n", "pass", limit_w="${LIMIT}"))) == [
        "error: n: limit_w: expected a number, found the text '${LIMIT}'"
    ]


def test_an_unset_variable_stays_as_it_stands_and_is_warned_about(files: Files) -> None:
    n = node("n", "pass", label={"a": ["${NONE}"]})
    assert lines(files.problems(n)) == ["warning: n: label.a.0: the environment variable 'NONE' is not set"]
    assert files.plan(n).nodes["n"].config.label == {"a": ["${NONE}"]}


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        (var("V", "text"), "text"),
        (var("V", "5", "num"), 5),
        (var("V", "5.5", "num"), 5.5),
        (var("V", 7, "num"), 7),
        (var("V", "true", "bool"), True),
        (var("V", "false", "bool"), False),
        (var("V", '{"a": [1]}', "json"), {"a": [1]}),
        (var("V", "OTHER", "env"), "other"),
        (var("V", "${OTHER}", "env"), "other"),
        (var("V", "${OTHER}-${OTHER}!", "env"), "other-other!"),
        (var("V", "${V}", "env"), "outer"),
        (var("V", "V", "env"), "outer"),
        (var("V", "NONE", "env"), ""),
        (var("V", "${NONE}!", "env"), "!"),
        (var("V", "${OTHER}", "conf-type"), "other"),
        (var("V", "a100", "conf-type"), "a100"),
        (var("V", "${OTHER}"), "${OTHER}"),
        ({"name": "V", "value": "plain"}, "plain"),
    ],
)
def test_an_entry_has_the_value_that_its_type_says(files: Files, entry: dict[str, Any], value: Any) -> None:
    files.environ = {"OTHER": "other", "V": "outer"}
    found = label(files, "${V}", tab(env=[entry]))
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("env", "place", "what"),
    [
        ({}, "env", "expected an array of variables, found an object"),
        ([5], "env.0", 'expected an object with the texts "name", "type" and "value", found the number 5'),
        ([var("V", "x", "num")], "env.0.value", "the variable V: expected a number, found the text 'x'"),
        ([var("V", "1e999", "num")], "env.0.value", "the variable V: expected a finite number, found the text '1e999'"),
        ([var("V", "{", "json")], "env.0.value", "the variable V: expected JSON, found the text '{'"),
        (
            [var("V", "$x", "jsonata")],
            "env.0.value",
            "the variable V: JSONata is kept but not run; write the value itself",
        ),
    ],
)
def test_a_wrong_entry_is_a_problem(files: Files, env: Any, place: str, what: str) -> None:
    assert lines(files.problems(tab(env=env))) == [f"error: tab: {place}: {what}"]


def test_the_nearest_level_counts(files: Files) -> None:
    files.environ = {"V": "process"}
    project = {"id": "p", "type": "global-config", "env": [var("V", "project")]}
    flow = tab(env=[var("V", "flow")])
    outer = {"id": "o", "type": "group", "z": "tab", "nodes": ["g"], "env": [var("V", "outer")]}
    group = {"id": "g", "type": "group", "z": "tab", "g": "o", "nodes": ["n"], "env": [var("V", "inner")]}
    plain = {"id": "g", "type": "group", "z": "tab", "g": "o", "nodes": ["n"]}
    assert label(files, "${V}") == "process"
    assert label(files, "${V}", project) == "project"
    assert label(files, "${V}", project, flow) == "flow"
    assert label(files, "${V}", project, flow, outer, plain, g="g") == "outer"
    assert label(files, "${V}", project, flow, outer, group, g="g") == "inner"
    assert label(files, "${$parent.V}", project, flow, outer, group, g="g") == "outer"
    assert label(files, "${$parent.$parent.V}", project, flow, outer, group, g="g") == "flow"
    assert label(files, "${$parent.$parent.$parent.$parent.V}", project, flow, outer, group, g="g") == "process"


def subflow(*env: dict[str, Any]) -> dict[str, Any]:
    ends = {"in": [], "out": []}
    return {"id": "s", "type": "subflow", "name": "Boiler", "env": list(env), **ends}


def test_an_instances_env_stands_above_its_subflows(files: Files) -> None:
    files.environ = {}
    definition = subflow(var("A", "1", "num"), var("B", "default"))
    instance = node("i", "subflow:s", env=[var("B", "own"), var("C", "${FLOW}", "env")])
    inner = node("n", "pass", z="s", label=["${A}", "${B}", "${C}"])
    plan = files.plan(tab(env=[var("FLOW", "f")]), definition, instance, inner)
    assert plan.nodes["i/n"].config.label == [1, "own", "f"]


def test_two_instances_have_each_their_own(files: Files) -> None:
    instances = [node(name, "subflow:s", env=[var("W", name)]) for name in ("i", "j")]
    plan = files.plan(subflow(), *instances, node("n", "pass", z="s", label="${W}"))
    assert [plan.nodes[one].config.label for one in ("i/n", "j/n")] == ["i", "j"]


def test_a_variable_that_only_one_instance_lacks_is_warned_about_once(files: Files) -> None:
    instances = [node("i", "subflow:s", env=[var("W", 1, "num")]), node("j", "subflow:s"), node("k", "subflow:s")]
    problems = files.problems(subflow(), *instances, node("n", "pass", z="s", label="${W}"))
    assert lines(problems) == ["warning: n: label: the environment variable 'W' is not set"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NR_NODE_ID", "i/n"),
        ("NR_NODE_NAME", "Inner"),
        ("NR_NODE_PATH", "tab/i/n"),
        ("NR_SUBFLOW_ID", "i"),
        ("NR_SUBFLOW_NAME", "Mine"),
        ("NR_SUBFLOW_PATH", "tab/i"),
        ("NR_FLOW_ID", "tab"),
        ("NR_FLOW_NAME", "A tab"),
        ("NR_GROUP_ID", "i/g"),
        ("NR_GROUP_NAME", "Grouped"),
        ("$parent.NR_GROUP_NAME", "Around"),
    ],
)
def test_a_node_knows_where_it_is(files: Files, name: str, value: str) -> None:
    groups = [
        {"id": "g", "type": "group", "z": "s", "name": "Grouped", "nodes": ["n"]},
        {"id": "h", "type": "group", "z": "tab", "name": "Around", "nodes": ["i"]},
    ]
    inner = node("n", "pass", z="s", g="g", name="Inner", label=f"${{{name}}}")
    plan = files.plan(subflow(), *groups, node("i", "subflow:s", g="h", name="Mine"), inner)
    assert plan.nodes["i/n"].config.label == value
    assert plan.nodes["i/n"].env[name] == value


def test_what_a_node_sees_is_in_its_plan_without_the_process(files: Files) -> None:
    files.environ = {"HOME": "/somewhere"}
    plan = files.plan(tab(env=[var("A", "1", "num"), var("B", "HOME", "env")]), node("n", "pass"))
    env = plan.nodes["n"].env
    assert (env["A"], env["B"]) == (1, "/somewhere")
    assert "HOME" not in env


def test_variables_that_name_each_other_end_as_nothing(files: Files) -> None:
    env = [var("A", "B", "env"), var("B", "A", "env"), *(var(f"X{n}", f"X{n + 1}", "env") for n in range(2000))]
    assert label(files, ["${A}", "${X0}"], tab(env=env)) == ["", ""]


def test_a_name_can_be_a_variable(files: Files) -> None:
    plan = files.plan(tab(env=[var("SITE", "casa_A")]), node("n", "pass", name="${SITE}"))
    assert plan.nodes["n"].name == "casa_A"


def test_a_secret_variable_comes_from_the_credentials(files: Files) -> None:
    files.write("credentials.json", {"tab": {"TOKEN": "hush"}}).chmod(0o600)
    assert label(files, "${TOKEN}", tab(env=[{"name": "TOKEN", "type": "cred"}])) == "hush"


def test_a_changed_variable_changes_the_digest_of_those_who_see_it(files: Files) -> None:
    def digests(value: str) -> list[str]:
        group = {"id": "g", "type": "group", "z": "tab", "nodes": ["n"], "env": [var("V", value)]}
        plan = files.plan(group, node("n", "pass", g="g"), node("m", "pass"))
        return [plan.nodes["n"].digest, plan.nodes["m"].digest]

    (n1, m1), (n2, m2) = digests("1"), digests("2")
    assert n1 != n2
    assert m1 == m2
