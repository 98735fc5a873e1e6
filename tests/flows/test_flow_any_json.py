"""No content of any file makes loading raise anything: hostile, broken and merely odd flows give problems."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from flow_helpers import Files, node, palette, tab
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from solarflow.errors import CATALOGUE, FlowError
from solarflow.flowfile import Project
from solarflow.flowtext import dump_flow
from solarflow.graph import check_project, difference, make_plan
from solarflow.manifest import load_project, read_project

REGISTRY = palette()
ENVIRON = {"V": "5"}

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(("${V}", "${NONE}", "${A}", "tab", "s", "i", "a", "b", "g", "subflow:s", "pass", "group", "json"))
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(("id", "type", "z", "wires", "env", "name", "value", "port")), inner, max_size=5
        )
    ),
    max_leaves=12,
)

VALID: list[dict[str, Any]] = [
    tab(env=[{"name": "A", "value": "${V}", "type": "env"}], disabled=False, info="What it does"),
    {"id": "g", "type": "group", "z": "tab", "g": "h", "nodes": ["a"], "env": [{"name": "B", "value": "1"}]},
    {"id": "h", "type": "group", "z": "tab", "nodes": ["g"]},
    {
        "id": "s",
        "type": "subflow",
        "in": [{"wires": [{"id": "m"}]}],
        "out": [{"wires": [{"id": "m", "port": 0}]}, {"wires": [{"id": "s", "port": 0}]}],
        "status": {"wires": [{"id": "m", "port": 0}]},
        "env": [{"name": "C", "value": "[1]", "type": "json"}],
    },
    node("m", "pass", "u", z="s", label="${C}"),
    node("u", "subflow:t", [], z="s"),
    {"id": "t", "type": "subflow", "in": [{"wires": []}], "out": [{"wires": []}]},
    node("i", "subflow:s", "j", "b", env=[{"name": "C", "value": "x"}]),
    node("j", "junction", ["b", "out"]),
    node("a", "fork", ["i", "j"], "wait", g="g"),
    node("wait", "wait", "a"),
    node("b", "pass", [], rules=[{"t": "eq", "v": 1}], limit_w="${V}"),
    {"id": "broker", "type": "mqtt-broker", "z": "", "tls": "tls", "port": "${V}"},
    {"id": "tls", "type": "tls-config", "z": "tab"},
    node("l", "listen", "b", broker="broker"),
    *(node("in", "link in", "b", links=["out"]), node("out", "link out", links=["in"], mode="link")),
    node("call", "link call", [], links=["in"]),
    node("catch", "catch", "b", scope=["a", "i"]),
    node("http", "http in", "b", url="/x", method="post"),
]  # fmt: skip


def look_at(project: Project) -> None:
    """Everything that is done with a project, and that what is said of it can be said."""
    checked = check_project(project, REGISTRY, ENVIRON)
    for problem in checked.problems:
        assert problem.code in CATALOGUE
        assert str(problem)
        json.dumps(problem.as_json())
        str(problem).encode()
    errors = [problem for problem in checked.problems if problem.severity == "error"]
    assert (checked.plan is None) == bool(errors)
    if checked.plan is None:
        with pytest.raises(FlowError):
            make_plan(project, REGISTRY, ENVIRON)
    else:
        targets = [t for spec in checked.plan.nodes.values() for port in spec.wires for t in port]
        assert set(targets) <= set(checked.plan.nodes)
        assert not difference(checked.plan, make_plan(project, REGISTRY, ENVIRON))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any")


def test_the_valid_flow_of_these_tests_is_valid(files: Files) -> None:
    project = read_project(files.write("flow.json", VALID))
    assert check_project(project, REGISTRY, ENVIRON).problems == []
    look_at(project)


@given(value=JSON)
def test_any_json_value_is_a_file_with_problems_or_without(folder: Path, value: Any) -> None:
    (folder / "any.json").write_text(json.dumps(value), encoding="utf-8")
    look_at(load_project(folder / "any.json", REGISTRY, ENVIRON))


@given(flows=JSON, nodes=JSON, given_settings=JSON, more=st.dictionaries(st.text(max_size=4), JSON, max_size=2))
def test_any_manifest_is_read(folder: Path, flows: Any, nodes: Any, given_settings: Any, more: Any) -> None:
    manifest = {**more, "flows": flows, "nodes": nodes, "settings": given_settings}
    (folder / "flows.json").write_text(json.dumps(manifest), encoding="utf-8")
    look_at(load_project(folder, REGISTRY, ENVIRON))


@given(content=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_a_file_with_problems_or_without(folder: Path, content: bytes) -> None:
    (folder / "bytes.json").write_bytes(content)
    look_at(load_project(folder / "bytes.json", REGISTRY, ENVIRON))


@given(cut=st.integers(0, len(json.dumps(VALID)) - 1))
def test_a_truncated_file_is_a_problem(folder: Path, cut: int) -> None:
    (folder / "cut.json").write_text(json.dumps(VALID)[:cut], encoding="utf-8")
    project = load_project(folder / "cut.json", REGISTRY, ENVIRON)
    assert [problem.code for problem in project.problems] == ["not-json"]
    look_at(project)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place inside a JSON value."""
    found = [path] if path else []
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        found += places(inner, (*path, key))
    return found


PLACES = places(VALID)


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(changes=st.lists(st.tuples(st.sampled_from(PLACES), JSON), min_size=1, max_size=4))
def test_anything_anywhere_in_a_valid_flow_is_a_problem_or_fine(
    folder: Path, changes: list[tuple[tuple[Any, ...], Any]]
) -> None:
    flow: Any = copy.deepcopy(VALID)
    for path, value in changes:
        at = flow
        for step in path[:-1]:
            at = at[step] if isinstance(at, list) and isinstance(step, int) and step < len(at) else (
                at.get(step) if isinstance(at, dict) else None
            )  # fmt: skip
        if isinstance(at, dict) or (isinstance(at, list) and isinstance(path[-1], int) and path[-1] < len(at)):
            at[path[-1]] = value
    (folder / "changed.json").write_text(json.dumps(flow), encoding="utf-8")
    project = read_project(folder / "changed.json")
    look_at(project)
    if project.files:
        text = dump_flow(project.files[0].nodes, REGISTRY)
        assert dump_flow(json.loads(text), REGISTRY) == text


@pytest.mark.parametrize(
    "value",
    [
        [tab(), *(node(f"n{n}", "pass", f"n{(n + 1) % 3000}") for n in range(3000))],
        [tab(), *({"id": f"g{n}", "type": "group", "z": "tab", "g": f"g{n + 1}", "nodes": []} for n in range(400)),
         *(node(f"n{n}", "pass", g=f"g{n}", label="${X}") for n in range(400))],
        [tab(), *({"id": f"c{n}", "type": "mqtt-broker", "tls": f"c{n + 1}"} for n in range(2000))],
        [*({"id": f"s{n}", "type": "subflow", "in": [], "out": []} for n in range(1500)),
         *(node(f"i{n}", f"subflow:s{n + 1}", z=f"s{n}") for n in range(1499)), tab(), node("i", "subflow:s0"),
         *(node(f"n{n}", "pass", z=f"s{n}", label="${X}") for n in range(1500))],
    ],
    ids=["circle", "groups", "config nodes", "subflows"],
)  # fmt: skip
def test_what_is_long_or_deep_is_looked_at_without_falling_over(files: Files, value: Any) -> None:
    look_at(read_project(files.write("deep.json", value)))
