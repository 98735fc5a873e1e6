"""Wires, junctions, links, groups and subflows: who gets a message in the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flow_helpers import Files, lines, node, tab

from solarflow.errors import Problem
from solarflow.plan import Plan

Problems = Callable[..., list[Problem]]
Plans = Callable[..., Plan]


def wired(plan: Plan) -> dict[str, tuple[tuple[str, ...], ...]]:
    return {node_id: spec.wires for node_id, spec in plan.nodes.items() if spec.wires}


# -- wires ----------------------------------------------------------------------------------------------------------


def test_wires_are_kept_in_their_order(plan_of: Plans) -> None:
    plan = plan_of(node("a", "fork", ["c", "b"], "b"), node("b", "sink"), node("c", "sink"))
    assert plan.nodes["a"].wires == (("c", "b"), ("b",))


@pytest.mark.parametrize(
    ("others", "line"),
    [
        ([], "error: a: wires: a wire of output 0 leads to 'b', which is not in this flow"),
        (
            [tab(), tab("t2"), node("b", "pass", z="t2")],
            "error: a: wires: a wire of output 0 leads to 'b', which is not in this flow",
        ),
        ([node("b", "source")], "error: a: wires: 'b' takes no input"),
        ([node("b", "source", name="Sun")], "error: a: wires: 'Sun' takes no input"),
        ([{"id": "b", "type": "mqtt-broker", "z": "tab"}], "error: a: wires: 'b' takes no input"),
    ],
)
def test_a_wire_must_lead_to_a_node_of_this_flow_that_takes_messages(
    problems_of: Problems, others: list[dict[str, Any]], line: str
) -> None:
    assert lines(problems_of(node("a", "pass", "b"), *others)) == [line]


def test_a_wire_drawn_twice_is_warned_about_and_delivers_twice(files: Files) -> None:
    nodes = (node("a", "pass", ["b", "b"]), node("b", "sink"))
    assert lines(files.problems(*nodes)) == ["warning: a: wires: output 0 is wired to 'b' twice"]
    assert files.plan(*nodes).nodes["a"].wires == (("b", "b"),)


def test_an_output_that_is_not_there_has_no_wires(problems_of: Problems) -> None:
    sink = node("b", "sink")
    assert lines(problems_of(node("a", "fork", "b", "b", "b"), sink)) == [
        "error: a: wires: output 2 (counted from 0) is wired, but the node has only 2"
    ]
    assert problems_of(node("a", "fork", "b", "b", [], []), sink) == []
    assert problems_of(node("a", "fork", "b", "b", "b", outputs=3), sink) == []


def test_a_wire_to_a_disabled_node_leads_nowhere(files: Files) -> None:
    nodes = (node("a", "pass", "b"), node("b", "pass", "c", d=True), node("c", "sink"))
    assert files.problems(*nodes) == []
    assert files.plan(*nodes).nodes["a"].wires == ((),)


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"z": "gone"}, "error: a: z: lies in the flow 'gone', which is not here"),
        ({"z": ""}, "error: a: z: lies in the flow '', which is not here"),
        ({"g": "gone"}, "warning: a: g: lies in the group 'gone', which is not here"),
    ],
)
def test_a_node_must_lie_where_something_is(problems_of: Problems, more: dict[str, Any], line: str) -> None:
    assert lines(problems_of(node("a", "pass", **more))) == [line]


# -- junctions ------------------------------------------------------------------------------------------------------


def test_junctions_are_wires(files: Files) -> None:
    nodes = (
        *(node("a", "pass", ["j", "d"]), node("j", "junction", ["k", "c"]), node("k", "junction", ["b", "c"])),
        *(node("b", "sink"), node("c", "sink"), node("d", "sink")),
    )
    assert files.problems(*nodes) == []
    assert wired(files.plan(*nodes)) == {"a": (("b", "c", "c", "d"),)}


def test_circles_of_junctions_lead_nowhere(plan_of: Plans) -> None:
    circle = (node("j", "junction", "k"), node("k", "junction", ["j", "b"]))
    assert wired(plan_of(node("a", "pass", "j"), *circle, node("b", "sink"))) == {"a": (("b",),)}


def test_junctions_that_split_and_join_a_message_again_and_again_are_refused(problems_of: Problems) -> None:
    layers = [node(f"{side}{n}", "junction", [f"l{n + 1}", f"r{n + 1}"]) for n in range(500) for side in "lr"]
    ends = (node("l500", "junction", "b"), node("r500", "junction", "b"), node("b", "sink"))
    assert [p.code for p in problems_of(node("a", "pass", "l0"), *layers, *ends)] == ["too-many-ways"]


def test_a_thousand_junctions_in_a_row_are_one_wire(plan_of: Plans) -> None:
    row = [node(f"j{n}", "junction", f"j{n + 1}") for n in range(1000)]
    assert wired(plan_of(node("a", "pass", "j0"), *row, node("j1000", "junction", "b"), node("b", "sink"))) == {
        "a": (("b",),)
    }


# -- groups ---------------------------------------------------------------------------------------------------------


def group(node_id: str, *nodes: str, z: str = "tab", **more: Any) -> dict[str, Any]:
    return {"id": node_id, "type": "group", "z": z, "nodes": list(nodes), **more}


def test_a_node_knows_its_groups_innermost_first(plan_of: Plans) -> None:
    plan = plan_of(group("o", "g"), group("g", "a", g="o"), node("a", "pass", g="g"), node("b", "pass"))
    assert (plan.nodes["a"].groups, plan.nodes["b"].groups) == (("g", "o"), ())


def test_groups_that_lie_in_each_other_end(plan_of: Plans) -> None:
    plan = plan_of(group("o", g="g"), group("g", g="o"), node("a", "pass", g="g"))
    assert plan.nodes["a"].groups == ("g", "o")


# -- links ----------------------------------------------------------------------------------------------------------


def test_links_cross_from_tab_to_tab_in_a_file(files: Files) -> None:
    nodes = (
        *(tab(), tab("t2"), node("in", "link in", "b", z="t2", links=["out"]), node("b", "sink", z="t2")),
        *(node("out", "link out", links=["in"], mode="link"), node("call", "link call", [], links=["in"])),
    )
    assert files.problems(*nodes) == []
    plan = files.plan(*nodes)
    assert (plan.nodes["out"].links, plan.nodes["call"].links, plan.nodes["in"].links) == (("in",), ("in",), ())


def test_a_link_that_leads_nowhere_is_warned_about(files: Files) -> None:
    nodes = (node("out", "link out", links=["none", "a", "in"]), node("a", "pass"), node("in", "link in", []))
    assert lines(files.problems(*nodes)) == [
        "warning: out: links: links to 'none', which is not a link in node of this file",
        "warning: out: links: links to 'a', which is not a link in node of this file",
    ]
    assert files.plan(*nodes).nodes["out"].links == ("in",)


def test_a_link_out_that_returns_and_a_call_by_name_have_no_links(plan_of: Plans) -> None:
    plan = plan_of(
        node("in", "link in", "out"),
        node("out", "link out", links=["in"], mode="return"),
        node("call", "link call", [], links=["in"], linkType="dynamic"),
    )
    assert (plan.nodes["out"].links, plan.nodes["call"].links) == ((), ())


def test_a_link_to_a_disabled_node_leads_nowhere(files: Files) -> None:
    nodes = (tab(), tab("t2", disabled=True), node("in", "link in", z="t2"), node("out", "link out", links=["in"]))
    assert files.problems(*nodes) == []
    assert files.plan(*nodes).nodes["out"].links == ()


def test_a_catch_lists_the_nodes_of_its_scope(files: Files) -> None:
    nodes = (node("a", "pass"), node("b", "pass", d=True), node("c", "catch", [], scope=["a", "b", "x"]))
    assert lines(files.problems(*nodes)) == ["warning: c: scope: links to 'x', which is not a node of this file"]
    assert files.plan(*nodes).nodes["c"].links == ("a",)


@pytest.mark.parametrize("scope", [None, "group"])
def test_a_scope_without_a_list_lists_nothing(plan_of: Plans, scope: Any) -> None:
    assert plan_of(node("a", "pass"), node("c", "catch", [], scope=scope)).nodes["c"].links == ()


# -- subflows -------------------------------------------------------------------------------------------------------


def subflow(
    node_id: str = "s", first: str | list[str] = (), *outs: list[tuple[str, int]], status: Any = None, **more: Any
) -> dict[str, Any]:
    ends = [{"wires": [{"id": source, "port": port} for source, port in out]} for out in outs]
    ins = [{"x": 0, "y": 0, "wires": [{"id": one} for one in ([first] if isinstance(first, str) else first)]}]
    found = {"id": node_id, "type": "subflow", "name": node_id, "in": ins if first else [], "out": ends, **more}
    return found | ({"status": {"wires": [{"id": s, "port": p} for s, p in status]}} if status else {})


def test_an_instance_is_the_nodes_in_it_under_ids_of_its_own(files: Files) -> None:
    nodes = (
        *(subflow("s", "in", [("end", 0)]), node("in", "pass", "end", z="s"), node("end", "pass", z="s")),
        *(node("a", "source", "i"), node("i", "subflow:s", "j", name="One"), node("j", "subflow:s", "b")),
        node("b", "sink"),
    )
    assert files.problems(*nodes) == []
    plan = files.plan(*nodes)
    assert wired(plan) == {
        "a": (("i/in",),),
        "i/in": (("i/end",),),
        "i/end": (("j/in",),),
        "j/in": (("j/end",),),
        "j/end": (("b",),),
    }
    assert {id_: instance.name for id_, instance in plan.instances.items()} == {"i": "One", "j": ""}
    assert (plan.nodes["i/in"].flow, plan.nodes["i/in"].scopes) == ("i", ("i", "tab"))
    assert plan.flows["tab"].nodes == ("a", "b", "i/in", "i/end", "j/in", "j/end")


def test_an_instance_in_an_instance_goes_all_the_way(plan_of: Plans) -> None:
    plan = plan_of(
        *(subflow("s", "m", [("m", 0)]), node("m", "subflow:t", z="s")),
        *(subflow("t", ["x", "y"], [("x", 0), ("y", 1)]), node("x", "pass", z="t"), node("y", "fork", z="t")),
        *(node("a", "source", "i"), node("i", "subflow:s", "b"), node("b", "sink")),
    )
    assert wired(plan) == {"a": (("i/m/x", "i/m/y"),), "i/m/x": (("b",),), "i/m/y": ((), ("b",))}
    assert plan.nodes["i/m/x"].scopes == ("i/m", "i", "tab")
    assert {id_: instance.scopes for id_, instance in plan.instances.items()} == {"i": ("tab",), "i/m": ("i", "tab")}


def test_each_output_of_a_subflow_is_an_output_of_its_instance(plan_of: Plans) -> None:
    plan = plan_of(
        subflow("s", "f", [("f", 1)], [("f", 0), ("f", 1)]),
        node("f", "fork", z="s"),
        *(node("i", "subflow:s", "one", "two"), node("one", "sink"), node("two", "sink")),
    )
    assert plan.nodes["i/f"].wires == (("two",), ("one", "two"))


def test_an_output_wired_from_the_input_passes_through(plan_of: Plans) -> None:
    plan = plan_of(
        *(subflow("s", "m", [("s", 0)]), node("m", "sink", z="s")),
        *(node("a", "source", "i"), node("i", "subflow:s", "j"), node("j", "subflow:s", "b"), node("b", "sink")),
    )
    assert wired(plan) == {"a": (("i/m", "j/m", "b"),)}


def test_junctions_at_the_ends_of_a_subflow_are_wires_too(plan_of: Plans) -> None:
    plan = plan_of(
        subflow("s", "j", [("k", 0)], status=[("k", 0)]),
        *(node("j", "junction", "m", z="s"), node("m", "pass", "k", z="s"), node("k", "junction", z="s")),
        *(node("a", "source", "i"), node("i", "subflow:s", "b"), node("b", "sink")),
    )
    assert wired(plan) == {"a": (("i/m",),), "i/m": (("b",),)}
    assert plan.status_wires == {("i/m", 0): "i"}


def test_a_status_output_names_the_instance_whose_status_it_sets(plan_of: Plans) -> None:
    plan = plan_of(
        *(subflow("s", "f", status=[("f", 1)]), node("f", "fork", z="s")),
        *(node("i", "subflow:s"), node("j", "subflow:s")),
    )
    assert plan.status_wires == {("i/f", 1): "i", ("j/f", 1): "j"}
    assert plan.nodes["i/f"].wires == ((), ())


def test_config_nodes_in_a_subflow_belong_to_the_instance(plan_of: Plans) -> None:
    plan = plan_of(
        subflow("s"),
        {"id": "b", "type": "mqtt-broker", "z": "s", "broker": "${NR_SUBFLOW_NAME}"},
        node("n", "listen", z="s", broker="b"),
        *(node("i", "subflow:s", name="I"), node("j", "subflow:s", name="J")),
    )
    assert {plan.nodes[one].config.broker for one in ("i/b", "j/b")} == {"I", "J"}
    assert (plan.nodes["i/n"].config.broker, plan.nodes["j/n"].config.broker) == ("i/b", "j/b")
    assert plan.nodes["i/b"].flow == "i"


def test_links_and_scopes_in_a_subflow_stay_in_the_instance(files: Files) -> None:
    nodes = (
        *(subflow("s"), group("g", "out", z="s"), node("in", "link in", z="s")),
        *(node("out", "link out", z="s", g="g", links=["in", "far"]), node("c", "catch", z="s", scope=["out"])),
        *(node("i", "subflow:s"), node("far", "link in"), node("oc", "catch", scope=["i"])),
    )
    assert lines(files.problems(*nodes)) == [
        "warning: out: links: links to 'far', which is not a link in node of this file"
    ]
    plan = files.plan(*nodes)
    assert (plan.nodes["i/out"].links, plan.nodes["i/c"].links) == (("i/in",), ("i/out",))
    assert plan.nodes["i/out"].groups == ("i/g",)
    assert plan.nodes["oc"].links == ("i",)


@pytest.mark.parametrize("way", ["node", "tab", "subflow"])
def test_a_disabled_instance_is_not_there(files: Files, way: str) -> None:
    nodes = (
        tab(disabled=way == "tab"),
        *(subflow("s", "m", [("m", 0)], disabled=way == "subflow"), node("m", "pass", z="s")),
        *(node("a", "source", "i"), node("i", "subflow:s", "b", d=way == "node"), node("b", "sink")),
    )
    assert files.problems(*nodes) == []
    assert wired(files.plan(*nodes)) == ({} if way == "tab" else {"a": ((),)})


def test_a_subflow_that_nobody_uses_is_checked_and_not_run(files: Files) -> None:
    assert lines(files.problems(subflow("s"), node("m", "pas", z="s"))) == [
        "error: m: : there is no node type 'pas'; did you mean 'pass'?"
    ]
    assert not files.plan(subflow("s"), node("m", "pass", z="s")).nodes


@pytest.mark.parametrize(
    ("nodes", "line"),
    [
        ([node("i", "subflow:x")], "error: i: type: there is no subflow 'x' in this file"),
        ([subflow("s"), node("i", "subflow:s", z="s")], "error: s: : the subflow contains itself"),
        ([subflow("s", "gone")], "error: s: in.0: the subflow's 'in.0' is wired to 'gone', which is not in it"),
        ([subflow("s", "m"), node("m", "source", z="s")], "error: s: in.0: 'm' takes no input"),
        (
            [subflow("s", [], [("gone", 0)])],
            "error: s: out.0: the subflow's 'out.0' is wired to 'gone', which is not in it",
        ),
        (
            [subflow("s", [], [("m", 1)]), node("m", "pass", z="s")],
            "error: s: out.0: the subflow's 'out.0' is wired to output 1 (counted from 0) of 'm', which has only 1",
        ),
        ([subflow("s"), node("i", "subflow:s"), node("a", "pass", "i")], "error: a: wires: 'i' takes no input"),
        (
            [subflow("s"), node("i", "subflow:s", "a"), node("a", "pass")],
            "error: i: wires: output 0 (counted from 0) is wired, but the node has only 0",
        ),
    ],
)
def test_what_may_be_wrong_with_a_subflow(problems_of: Problems, nodes: list[dict[str, Any]], line: str) -> None:
    assert lines(problems_of(*nodes)) == [line]


def test_subflows_that_contain_each_other_are_refused(problems_of: Problems) -> None:
    nodes = (subflow("s"), subflow("t"), node("a", "subflow:t", z="s"), node("b", "subflow:s", z="t"))
    assert lines(problems_of(*nodes, node("i", "subflow:s"))) == [
        "error: s: : the subflow contains itself",
        "error: t: : the subflow contains itself",
    ]


def test_subflows_that_multiply_are_refused_before_they_fill_the_memory(problems_of: Problems) -> None:
    nodes = [subflow(f"s{depth}") for depth in range(20)]
    nodes += [node(f"i{depth}.{n}", f"subflow:s{depth + 1}", z=f"s{depth}") for depth in range(19) for n in range(10)]
    assert [p.code for p in problems_of(*nodes, node("i", "subflow:s0"))] == ["too-many-nodes"]


def test_forty_subflows_in_one_another_are_no_trouble(plan_of: Plans) -> None:
    nodes = [subflow(f"s{depth}", "in" + str(depth), [(f"in{depth}", 0)]) for depth in range(40)]
    nodes += [node(f"in{depth}", f"subflow:s{depth + 1}", z=f"s{depth}") for depth in range(39)]
    nodes += [node("in39", "pass", z="s39"), node("a", "source", "i"), node("i", "subflow:s0", "b"), node("b", "sink")]
    plan = plan_of(*nodes)
    deep = "/".join(["i", *(f"in{depth}" for depth in range(40))])
    assert wired(plan) == {"a": ((deep,),), deep: (("b",),)}


def test_subflows_nested_without_end_in_sight_are_refused(problems_of: Problems) -> None:
    nodes = [subflow(f"s{depth}") for depth in range(60)]
    nodes += [node(f"i{depth}", f"subflow:s{depth + 1}", z=f"s{depth}") for depth in range(59)]
    (problem,) = problems_of(*nodes, node("i", "subflow:s0"))
    assert problem.what == "subflows lie in one another more than 50 deep"
