"""A node's properties against its type: what is refused, what is warned about, and in which words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flow_helpers import Files, lines, node, tab
from pydantic import field_validator

from solarflow.errors import Problem
from solarflow.flowfile import Project
from solarflow.graph import check_project, make_plan
from solarflow.manifest import load_project
from solarflow.message import PropertyPath
from solarflow.node import BrokerRef, Node, NodeConfig
from solarflow.plan import Plan

Problems = Callable[..., list[Problem]]
Plans = Callable[..., Plan]


@pytest.mark.parametrize(
    ("properties", "line"),
    [
        ({"limit_w": -1}, "limit_w: expected a value of more than 0, found the number -1"),
        ({"limit_w": "much"}, "limit_w: expected a number, found the text 'much'"),
        ({"limit_w": None}, "limit_w: expected a number, found null"),
        ({"mode": "fats"}, "mode: expected 'fast' or 'slow', found the text 'fats'"),
        ({"flag": "perhaps"}, "flag: expected true or false, found the text 'perhaps'"),
        ({"rules": {}}, "rules: expected an array, found an object"),
        ({"rules": [{"t": "eq", "v": 1}, 7]}, "rules.1: expected an object, found the number 7"),
        ({"rules": [{"t": "eq", "v": "x"}]}, "rules.0.v: expected a number, found the text 'x'"),
        ({"rules": [{"t": "eq"}]}, "rules.0.v: the property is required and missing"),
        ({"rules": [{"t": "eq", "v": 1, "w": 2}]}, "rules.0.w: the property is not known to 'pass'"),
        (
            {"loads": [{"power_w": 900, "hold": 60}]},
            "loads.0.hold: the property is not known to 'pass'; did you mean 'hold_s'?",
        ),
        (
            {"loads": [{"power_w": 900, "guarantee": {"dedline": "17:00"}}]},
            "loads.0.guarantee.dedline: the property is not known to 'pass'; did you mean 'deadline'?",
        ),
        ({"loads": []}, "loads: expected at least 1 entries, found 0"),
        ({"limt_w": 5}, "limt_w: the property is not known to 'pass'; did you mean 'limit_w'?"),
        ({"text": "HELP"}, "text: please do not shout"),
    ],
)
def test_a_wrong_property_is_refused_in_plain_words(
    problems_of: Problems, properties: dict[str, Any], line: str
) -> None:
    assert lines(problems_of(node("n", "pass", **properties))) == [f"error: n: {line}"]


def test_a_list_is_not_called_too_short_because_of_a_wrong_entry(problems_of: Problems) -> None:
    found = problems_of(node("n", "pass", pair=[{"power_w": "much"}, {"power_w": 900}]))
    assert lines(found) == ["error: n: pair.0.power_w: expected a number, found the text 'much'"]


def test_a_list_that_is_too_short_is_called_so_beside_its_wrong_entry(problems_of: Problems) -> None:
    found = problems_of(node("n", "pass", pair=[{"power_w": "much"}]))
    assert lines(found) == [
        "error: n: pair.0.power_w: expected a number, found the text 'much'",
        "error: n: pair: expected at least 2 entries, found 1",
    ]


def test_of_alternatives_the_one_that_fits_the_value_is_spoken_of(problems_of: Problems) -> None:
    found = problems_of(node("n", "pass", one=[{"power_w": 900, "hold": 60}]))
    assert lines(found) == ["error: n: one.0.hold: the property is not known to 'pass'; did you mean 'hold_s'?"]


def test_a_missing_property_is_named_and_the_help_too(problems_of: Problems) -> None:
    (problem,) = problems_of(node("n", "needs", name="Hold"))
    assert str(problem) == (
        "error: flow.json: needs n 'Hold': hold_s: the property is required and missing\n"
        "    add it; `solarflow nodes needs` explains it"
    )


def test_each_wrong_property_is_a_problem_of_its_own(problems_of: Problems) -> None:
    found = problems_of(node("n", "pass", limit_w=0, mode="x", rules=[{"t": "lt", "v": []}]))
    assert [p.where.property for p in found] == ["limit_w", "mode", "rules.0.t", "rules.0.v"]


def test_node_reds_own_bookkeeping_is_no_property_of_a_type(problems_of: Problems) -> None:
    keys = {"info": "", "icon": "x.svg", "l": False, "inputLabels": [""], "outputLabels": [], "_alias": "q", "w": 1}
    assert problems_of(node("n", "pass", **keys)) == []


def test_a_type_of_node_reds_is_warned_about_what_it_does_not_know(files: Files) -> None:
    n = node("n", "legacy", **{"from": "x", "tpic": "y"})
    assert lines(files.problems(n)) == [
        "warning: n: tpic: the property is not known to 'legacy'; did you mean 'topic'?"
    ]
    assert files.plan(n).nodes["n"].config.from_ == "x"


def test_an_unknown_type_is_refused_by_name_and_kept_in_the_file(files: Files) -> None:
    n = node("n", "pas", odd=1)
    assert lines(files.problems(n)) == ["error: n: : there is no node type 'pas'; did you mean 'pass'?"]
    assert files.project(n).files[0].nodes[1] == n


def test_a_function_node_is_kept_but_not_run(problems_of: Problems) -> None:
    (problem,) = problems_of(node("n", "function", func="return msg;"))
    assert problem.what == "'function' nodes hold JavaScript, which is kept but not run"
    assert problem.mend == "replace it by a 'python' or 'expression' node, or disable it"


def test_code_runs_only_where_the_project_allows_it(files: Files) -> None:
    files.write("flows.json", {"flows": ["a.json"]})
    files.write("a.json", [tab(), node("n", "python", code="1")])
    assert [p.code for p in load_project(files.root, files.registry, {}).problems] == ["code-not-allowed"]
    files.write("flows.json", {"flows": ["a.json"], "settings": {"allow_code": True}})
    assert load_project(files.root, files.registry, {}).problems == []


@pytest.mark.parametrize("way", ["node", "group", "outer group", "tab"])
def test_what_is_wrong_with_a_disabled_node_only_warns(files: Files, way: str) -> None:
    group = {"id": "g", "type": "group", "z": "tab", "g": "o", "nodes": ["n"], "disabled": way == "group"}
    outer = {"id": "o", "type": "group", "z": "tab", "nodes": ["g"], "disabled": way == "outer group"}
    nodes = (
        *(tab(disabled=way == "tab"), group, outer),
        node("n", "function", "nowhere", g="g", d=way == "node"),
        node("m", "pass", g="g", limit_w=-1, d=way == "node"),
    )
    assert {p.severity for p in files.problems(*nodes)} == {"warning"}
    assert {p.code for p in files.problems(*nodes)} == {"foreign-code", "dangling-wire", "invalid-value"}
    plan = files.plan(*nodes)
    assert not plan.nodes
    assert list(plan.flows) == ([] if way == "tab" else ["tab"])


def test_an_older_files_properties_are_lifted(plan_of: Plans) -> None:
    assert plan_of(node("n", "renamed", power=5)).nodes["n"].config.power_w == 5


def test_properties_that_cannot_be_lifted_are_a_problem(files: Files) -> None:
    class Slip(Node):
        type = "slip"

        @classmethod
        def migrate(cls, properties: dict[str, Any]) -> dict[str, Any]:
            return {"power_w": properties["power"]}

    files.registry.add(Slip)
    (problem,) = files.problems(node("n", "slip", watts=3))
    assert problem.what == "the properties of an older version cannot be read: 'power'"


def test_a_validator_that_fails_on_odd_values_is_a_problem_and_no_traceback(files: Files) -> None:
    class Odd(Node):
        type = "odd"

        class Config(NodeConfig):
            path: str = ""
            count: Any = 0

            @field_validator("path")
            @classmethod
            def _path(cls, path: str) -> str:
                return PropertyPath(path).text

            @field_validator("count")
            @classmethod
            def _count(cls, count: Any) -> Any:
                return count + 1

    files.registry.add(Odd)
    assert lines(files.problems(node("n", "odd", path="1x"))) == [
        "error: n: path: '1x' is not a message property; write it like payload.power or payload[0]"
    ]
    assert lines(files.problems(node("n", "odd", count=[]))) == [
        "error: n: : the properties cannot be checked: TypeError('can only concatenate list (not \"int\") to list')"
    ]


# -- config nodes ---------------------------------------------------------------------------------------------------

BROKER = {"id": "b", "type": "mqtt-broker", "broker": "host"}


@pytest.mark.parametrize(
    ("properties", "line"),
    [
        ({"broker": "c"}, "broker: refers to the mqtt-broker 'c', which is not here"),
        ({"broker": "p"}, "broker: refers to 'p', a 'pass' where a 'mqtt-broker' is needed"),
        ({"broker": ""}, "broker: the property is required and missing"),
        ({}, "broker: the property is required and missing"),
        ({"broker": 5}, "broker: expected a text, found the number 5"),
        ({"broker": "b", "spare": "c"}, "spare: refers to the mqtt-broker 'c', which is not here"),
    ],
)
def test_a_reference_needs_a_config_node_of_the_right_type(
    problems_of: Problems, properties: dict[str, Any], line: str
) -> None:
    found = problems_of(BROKER, node("p", "pass"), node("n", "listen", **properties))
    assert lines(found) == [f"error: n: {line}"]


def test_an_optional_reference_may_be_empty(problems_of: Problems) -> None:
    assert problems_of(BROKER, node("n", "listen", broker="b", spare="")) == []


def test_a_disabled_config_node_is_not_there(problems_of: Problems) -> None:
    assert [p.code for p in problems_of(BROKER | {"d": True}, node("n", "listen", broker="b"))] == [
        "missing-config-node"
    ]


def test_a_reference_may_be_optional_by_its_type(files: Files) -> None:
    class Maybe(Node):
        type = "maybe"

        class Config(NodeConfig):
            broker: BrokerRef | None = None

    files.registry.add(Maybe)
    assert files.problems(node("n", "maybe")) == []
    assert [p.code for p in files.problems(node("n", "maybe", broker="gone"))] == ["missing-config-node"]


def test_config_nodes_come_first_and_after_those_they_need(plan_of: Plans) -> None:
    tls = {"id": "z", "type": "tls-config"}
    plan = plan_of(node("n", "listen", broker="b"), BROKER | {"tls": "z"}, tls)
    assert list(plan.nodes) == ["z", "b", "n"]


def test_config_nodes_that_need_each_other_are_refused(problems_of: Problems) -> None:
    other = {"id": "c", "type": "mqtt-broker", "tls": "b"}
    (problem,) = problems_of(BROKER | {"tls": "c"}, other)
    assert problem.code == "config-circle"
    assert sorted(problem.parameters["nodes"].split(", ")) == ["b", "c"]


def test_two_http_in_on_one_route_are_refused(problems_of: Problems) -> None:
    first = node("a", "http in", url="/api/x", name="First")
    assert lines(problems_of(first, node("b", "http in", url="api/x/"))) == [
        "error: b: url: GET /api/x is also answered by 'First (flow.json)'"
    ]
    assert problems_of(first, node("b", "http in", url="/api/x", method="post")) == []
    assert problems_of(first, node("b", "http in", url="/api/x", d=True)) == []


def test_a_digest_changes_with_what_a_node_is_and_not_with_where_it_stands(plan_of: Plans) -> None:
    def digest(**more: Any) -> str:
        return plan_of(node("n", "pass", **more)).nodes["n"].digest

    assert digest() == digest(x=500, y=3, w=7, info="said", l=True)
    assert len({digest(), digest(limit_w=5), digest(name="N")}) == 3


def test_a_digest_changes_with_a_secret(files: Files) -> None:
    files.environ = {"P": "one"}
    n = BROKER | {"password": "${P}"}
    one = files.plan(n).nodes["b"].digest
    files.environ = {"P": "two"}
    assert files.plan(n).nodes["b"].digest != one


def test_checking_does_not_change_the_project(files: Files) -> None:
    project: Project = files.project(node("n", "renamed", power="${P}"))
    before = repr(project.files[0].nodes)
    check_project(project, files.registry, {"P": "5"})
    assert repr(project.files[0].nodes) == before
    assert make_plan(project, files.registry, {"P": "5"}).nodes["n"].config.power_w == 5
