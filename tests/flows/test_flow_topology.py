"""Circles, long chains, and what is different between two plans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import networkx as nx
from flow_helpers import Files, lines, node, tab
from hypothesis import given
from hypothesis import strategies as st

from solarflow.errors import Problem
from solarflow.graph import difference
from solarflow.plan import Plan
from solarflow.topology import DEPTH, back_edges, edges_of, graph_of

Problems = Callable[..., list[Problem]]
Plans = Callable[..., Plan]


def unqueued(plan: Plan) -> nx.DiGraph[str]:
    """What is called directly."""
    graph = graph_of(plan.nodes)
    graph.remove_edges_from([(source, target) for source, _, target in plan.queued])
    return graph


# -- circles --------------------------------------------------------------------------------------------------------


def test_the_wire_that_leads_back_is_queued(plan_of: Plans) -> None:
    plan = plan_of(node("c", "fork", "end", "b"), node("b", "pass", "c"), node("a", "source", "b"), node("end", "sink"))
    assert plan.queued == {("c", 1, "b")}


def test_a_flow_without_circles_queues_nothing(plan_of: Plans) -> None:
    plan = plan_of(node("a", "source", ["b", "c"]), node("b", "pass", "d"), node("c", "pass", "d"), node("d", "sink"))
    assert plan.queued == frozenset()


def test_a_link_can_close_a_circle(files: Files) -> None:
    nodes = (node("in", "link in", "p"), node("p", "pass", "out"), node("out", "link out", links=["in"]))
    assert files.plan(*nodes).queued == {("out", 0, "in")}
    assert [p.code for p in files.problems(*nodes)] == ["loop"]


def test_a_circle_with_nothing_in_it_that_waits_is_warned_about(problems_of: Problems) -> None:
    pair = (node("b", "pass", "c", name="Bee"), node("c", "pass", "b"))
    assert lines(problems_of(node("a", "source", "b"), *pair)) == [
        "warning: b: : sends in a circle with nothing in it that waits: Bee -> c -> Bee"
    ]
    assert lines(problems_of(node("a", "pass", "a"))) == [
        "warning: a: : sends in a circle with nothing in it that waits: a -> a"
    ]


def test_a_circle_with_something_that_waits_is_none(files: Files) -> None:
    nodes = (node("b", "pass", "w"), node("w", "wait", "b"))
    assert files.problems(*nodes) == []
    assert len(files.plan(*nodes).queued) == 1


def test_only_the_circle_that_does_not_wait_is_warned_about(problems_of: Problems) -> None:
    nodes = (node("b", "fork", "w", "c"), node("w", "wait", "b"), node("c", "pass", "b"))
    assert lines(problems_of(*nodes)) == ["warning: b: : sends in a circle with nothing in it that waits: b -> c -> b"]


def test_a_long_chain_is_cut_once_in_a_hundred(plan_of: Plans) -> None:
    chain = [node(f"n{n:04}", "pass", f"n{n + 1:04}") for n in range(1000)]
    plan = plan_of(*chain, node("n1000", "sink"))
    assert len(plan.queued) == 1000 // DEPTH
    assert nx.dag_longest_path_length(unqueued(plan)) < DEPTH


@given(st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9))))
def test_without_its_back_edges_a_graph_has_no_circle(edges: set[tuple[int, int]]) -> None:
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_edges_from((str(a), str(b)) for a, b in sorted(edges))
    cut = back_edges(graph)
    assert cut == back_edges(graph)
    assert cut <= set(graph.edges)
    graph.remove_edges_from(cut)
    assert nx.is_directed_acyclic_graph(graph)


def test_links_and_wires_are_edges(plan_of: Plans) -> None:
    plan = plan_of(node("in", "link in"), node("call", "link call", ["b"], links=["in"]), node("b", "sink"))
    assert list(edges_of(plan.nodes["call"])) == [(0, "b"), (0, "in")]


# -- differences ----------------------------------------------------------------------------------------------------

A, B, C = node("a", "source", "b"), node("b", "pass", "c"), node("c", "sink")


def test_the_same_files_make_no_difference(plan_of: Plans) -> None:
    found = difference(plan_of(A, B, C), plan_of(C, B, A))
    assert not found


def test_a_moved_node_is_no_difference(plan_of: Plans) -> None:
    assert not difference(plan_of(A, B, C), plan_of(A | {"x": 900}, B | {"y": -5, "info": "moved"}, C))


def test_a_difference_names_what_came_went_changed_and_was_rewired(plan_of: Plans) -> None:
    old = plan_of(A, B, C, node("e", "pass"))
    new = plan_of(A | {"wires": [["d"]]}, B | {"limit_w": 5}, C, node("d", "pass", "c"))
    found = difference(old, new)
    assert found.added == ("d",)
    assert found.removed == ("e",)
    assert found.changed == ("b",)
    assert found.rewired == ("a",)
    assert found.flows_changed == ("tab",)
    assert found


def test_only_changed_flows_are_named(plan_of: Plans) -> None:
    def two(**more: Any) -> tuple[dict[str, Any], ...]:
        return tab("t1"), tab("t2"), node("a", "pass", z="t1"), node("b", "pass", z="t2", **more)

    assert difference(plan_of(*two()), plan_of(*two(limit_w=7))).flows_changed == ("t2",)
    assert difference(plan_of(*two()), plan_of(tab("t1"), node("a", "pass", z="t1"))).flows_removed == ("t2",)
    assert difference(plan_of(tab("t1"), node("a", "pass", z="t1")), plan_of(*two())).flows_changed == ("t2",)


def test_a_changed_subflow_changes_the_nodes_of_every_instance(plan_of: Plans) -> None:
    def project(limit_w: float) -> Plan:
        definition = {"id": "s", "type": "subflow", "in": [], "out": []}
        inner = node("n", "pass", z="s", limit_w=limit_w)
        return plan_of(definition, inner, node("i", "subflow:s"), node("j", "subflow:s"))

    assert difference(project(1), project(2)).changed == ("i/n", "j/n")


def test_a_renamed_instance_changes_its_flow(plan_of: Plans) -> None:
    definition = {"id": "s", "type": "subflow", "in": [], "out": []}
    one, two = (plan_of(definition, node("i", "subflow:s", name=name)) for name in ("One", "Two"))
    assert difference(one, two).flows_changed == ("tab",)


def test_a_node_that_moves_into_a_group_is_rewired(plan_of: Plans) -> None:
    frame = {"id": "g", "type": "group", "z": "tab", "nodes": []}
    found = difference(plan_of(node("w", "pass"), frame), plan_of(node("w", "pass", g="g"), frame))
    assert "w" in (*found.rewired, *found.changed)


def test_changed_settings_are_a_difference(files: Files) -> None:
    old = files.plan(A, B, C)
    new = Plan(old.nodes, old.flows, old.queued, old.instances, old.status_wires, {"max_hops": 5})
    assert difference(old, new).settings_changed
