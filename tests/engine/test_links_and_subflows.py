"""Links, subflows, groups and the environment, and the context stores."""

import json

import pytest
from little_nodes import flow_of, node, tab

from solarflow.engine import Limits
from solarflow.errors import FlowError
from solarflow.flowbench import FlowBench
from solarflow.testing import at


def subflow(node_id="sub", **more):
    return {"id": node_id, "type": "subflow", "name": "A subflow", **more}


def ends(*wired):
    return {"wires": [{"id": end, "port": 0} for end in wired]}


def out(node_id, port=0):
    return {"wires": [{"id": node_id, "port": port}]}


# -- link in, link out ------------------------------------------------------------------------------------------


def test_a_link_out_sends_to_all_its_link_in_nodes_in_other_tabs_too(flow):
    bench = flow(
        tab(), tab("other"), node("lo", "link out", links=["l1", "l2"]),
        node("l1", "link in", "a"), node("a", "spoil"), node("l2", "link in", "b", z="other"),
        node("b", "pass", z="other"),
    )  # fmt: skip
    bench.inject("lo", payload={"deep": {}})
    assert bench.messages("b") == [at(0, payload={"deep": {}})]
    assert bench.engine.cells["lo"].sent == 1


def test_a_link_out_without_a_link_in_ends_the_message(flow):
    bench = flow(node("lo", "link out", links=[]))
    bench.inject("lo", payload=1)
    assert bench.errors == []


def test_a_link_that_leads_nowhere_is_a_warning(flow):
    bench = flow(node("lo", "link out", links=["gone"]))
    assert [problem.code for problem in bench.problems] == ["dangling-link"]
    bench.inject("lo", payload=1)


def test_a_circle_of_links_ends_at_the_hop_limit(flow):
    bench = flow(node("li", "link in", "lo"), node("lo", "link out", links=["li"]), limits=Limits(max_hops=10))
    bench.inject("li", payload=1)
    assert len(bench.messages("li")) == 11
    assert "gone round 10 times" in bench.errors[0].text


def test_a_link_can_be_looked_at_like_a_wire(flow):
    bench = flow(node("lo", "link out", links=["li"]), node("li", "link in"))
    seen = []
    bench.engine.tap(("lo", 0, "li"), seen.append)
    bench.inject("lo", payload=1)
    assert len(seen) == 1


def test_links_are_laid_anew_at_a_deploy_though_the_nodes_go_on(flow):
    nodes = [node("a", "link in"), node("b", "link in")]
    bench = flow(node("lo", "link out", links=["a"]), *nodes)
    bench.deploy(flow_of(node("lo", "link out", links=["b"]), *nodes))
    bench.inject("lo", payload=1)
    assert (bench.payloads("a"), bench.payloads("b")) == ([], [1])


# -- link call --------------------------------------------------------------------------------------------------


def called(*body, **more):
    """A part of a flow that can be called as "part", and a call of it that leads to "after"."""
    return [
        node("call", "link call", "after", links=["part"], **more), node("after", "pass"),
        node("part", "link in", "body", name="The part"), *(body or [node("body", "tell", "back")]),
        node("back", "link out", mode="return"),
    ]  # fmt: skip


def test_a_call_goes_on_with_what_is_returned(flow):
    bench = flow(*called())
    bench.inject("call", payload=1, topic="a/b")
    assert bench.messages("body") == [at(0, payload=1)]
    (seen,) = bench.messages("after")
    assert seen == at(0, payload=1, topic="a/b")
    assert not {"_linkSource", "_linkReturn"} & set(seen.msg)


def test_two_places_can_call_one_part_and_each_gets_its_own_back(flow):
    bench = flow(*called(), node("call2", "link call", "after2", links=["part"], timeout="30"), node("after2", "pass"))
    bench.inject("call", payload=1)
    bench.inject("call2", payload=2)
    assert (bench.payloads("after"), bench.payloads("after2")) == ([1], [2])


def test_calls_may_be_nested(flow):
    bench = flow(
        *called(node("body", "link call", "back", links=["inner"])),
        node("inner", "link in", "t"), node("t", "tell", "innerback"), node("innerback", "link out", mode="return"),
    )  # fmt: skip
    bench.inject("call", payload=1)
    assert bench.payloads("t") == [1]
    assert bench.payloads("after") == [1]
    assert bench.errors == []


def test_a_long_row_of_calls_does_not_nest(flow):
    row = [node(f"c{i}", "link call", f"c{i + 1}", links=["part"]) for i in range(300)]
    bench = flow(*called(), *row, node("c300", "pass"))
    bench.inject("c0", payload=1)
    assert bench.payloads("c300") == [1]
    assert bench.errors == []


def test_a_part_that_calls_itself_ends_at_the_hop_limit(flow):
    bench = flow(*called(node("body", "link call", "back", links=["part"])), limits=Limits(max_hops=20))
    bench.inject("call", payload=1)
    assert "gone round 20 times" in bench.errors[0].text


@pytest.mark.parametrize("target", ["part", "The part"])
def test_a_dynamic_call_finds_its_part_by_id_or_name(flow, target):
    bench = flow(*called(linkType="dynamic"))
    bench.inject("call", payload=1, target=target)
    assert bench.payloads("after") == [1]


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("nowhere", "there is no link in node 'nowhere' that can be called from here"),
        (None, "'target' is None, where the id or the name of a link in node is needed"),
        ("twice", "2 'link in' nodes are called 'twice'; give each its own name"),
        ("s1", "there is no link in node 's1' that can be called from here"),
    ],
)
def test_a_dynamic_call_of_what_cannot_be_called_says_why(flow, target, text):
    bench = flow(
        *called(linkType="dynamic"), node("x", "link in", name="twice"), node("y", "link in", name="twice"),
        subflow(), node("s1", "link in", z="sub"), node("i", "subflow:sub"),
    )  # fmt: skip
    bench.inject("call", payload=1, target=target)
    assert bench.errors == [("call", text)]


def test_a_dynamic_call_prefers_a_part_of_its_own_tab(flow):
    bench = flow(tab(), tab("other"), *called(linkType="dynamic"), node("p", "link in", z="other", name="The part"))
    bench.inject("call", payload=1, target="The part")
    assert (bench.payloads("after"), bench.payloads("p")) == ([1], [])


def test_a_dynamic_call_finds_what_has_the_name_now(flow):
    def named(first, second):
        return flow_of(
            node("call", "link call", linkType="dynamic"), node("x", "link in", name=first),
            node("y", "link in", name=second),
        )  # fmt: skip

    bench = flow(*named("wanted", "other"))
    bench.inject("call", target="wanted", payload=1)
    bench.deploy(named("other", "wanted"))
    bench.inject("call", target="wanted", payload=2)
    assert (bench.payloads("x"), bench.payloads("y")) == ([1], [2])


def test_a_dynamic_call_does_not_leave_its_file(tmp_path, palette):
    (tmp_path / "one.json").write_text(json.dumps(flow_of(node("call", "link call", linkType="dynamic"))))
    (tmp_path / "two.json").write_text(json.dumps([tab("other"), node("far", "link in", z="other")]))
    (tmp_path / "flows.json").write_text(json.dumps({"flows": ["one.json", "two.json"]}))
    bench = FlowBench(tmp_path, palette)
    bench.inject("call", target="far")
    assert bench.errors == [("call", "there is no link in node 'far' that can be called from here")]


def test_a_call_in_a_subflow_instance_stays_in_it(flow):
    bench = flow(
        tab(), subflow(**{"in": [ends("call")], "out": [out("call")]}),
        node("call", "link call", z="sub", links=["part"]), node("part", "link in", "back", z="sub"),
        node("back", "link out", mode="return", z="sub"),
        node("i", "subflow:sub", "a"), node("j", "subflow:sub", "b"), node("a", "pass"), node("b", "pass"),
    )  # fmt: skip
    bench.inject("i/call", payload=1)
    assert (bench.payloads("a"), bench.payloads("b"), bench.payloads("j/part")) == ([1], [], [])


def test_a_call_that_does_not_return_in_time_is_an_error_with_the_message_that_called(flow):
    bench = flow(*called(node("body", "count", "back", hold_s=60), timeout="10"), node("catch", "catch"))
    bench.inject("call", payload=1, home="casa_A")
    bench.inject("call", payload=2, home="casa_A", at=4)
    bench.advance_to(9)
    assert bench.messages("catch") == []
    bench.advance_to(20)
    assert bench.messages("catch") == [at(10, payload=1, home="casa_A"), at(14, payload=2, home="casa_A")]
    assert bench.errors[0] == ("call", "the call has not returned within 10 s")


def test_what_returns_in_time_is_no_error_later(flow):
    bench = flow(*called(timeout=10))
    bench.inject("call", payload=1)
    bench.advance(100)
    assert bench.errors == []


def test_a_call_without_a_limit_waits_for_ever(flow):
    bench = flow(*called(node("body", "pass"), timeout=0))
    bench.inject("call", payload=1)
    bench.advance(100_000)
    assert bench.errors == []


def test_every_message_that_a_part_returns_goes_on(flow):
    bench = flow(*called(node("body", "pass", ["back", "back2"]), node("back2", "link out", mode="return")))
    bench.inject("call", payload=1)
    assert bench.payloads("after") == [1, 1]


def test_a_call_is_complete_when_it_has_returned(flow):
    bench = flow(
        *called(node("body", "spread", "back"), node("done", "complete", scope=["call"])),
        node("lost", "link call", links=["end"]), node("end", "link in"), node("never", "complete", scope=["lost"]),
    )  # fmt: skip
    bench.inject("call", payload=1)
    bench.inject("lost", payload=1)
    assert bench.messages("done") == [at(0, payload=1)]
    assert "_linkReturn" not in bench.messages("done")[0].msg
    assert bench.messages("never") == []


def test_a_message_that_was_not_called_cannot_return(flow):
    bench = flow(*called())
    bench.inject("back", payload=1)
    assert "did not come from a link call node" in bench.errors[0].text


@pytest.mark.parametrize("caller", ["after", "gone"])
def test_a_message_cannot_return_to_what_is_no_link_call(flow, caller):
    bench = flow(*called())
    bench.inject("back", payload=1, _linkSource=[{"id": "1", "node": caller}])
    assert [error.node for error in bench.errors] == ["back"]
    assert bench.payloads("after") == []


def test_a_call_of_nothing_says_so(flow):
    bench = flow(node("call", "link call", links=[]))
    bench.inject("call", payload=1)
    assert bench.errors == [("call", "no link in node is chosen to be called")]


def test_calls_that_never_return_are_bounded(flow, monkeypatch):
    monkeypatch.setattr("solarflow.nodes.common.link_call.MAX_WAITING", 3)
    bench = flow(*called(node("body", "pass")))
    for number in range(5):
        bench.inject("call", payload=number)
    assert [error.text for error in bench.errors] == ["3 calls wait for their return already; this one is not made"] * 2


# -- subflows ---------------------------------------------------------------------------------------------------


def counting_subflow(**more):
    return [
        subflow(**{"in": [ends("c")], "out": [out("c"), out("shown")], **more}),
        node("c", "count", z="sub"), node("shown", "show", z="sub"),
    ]  # fmt: skip


def test_each_instance_keeps_its_own_state(flow):
    bench = flow(
        tab(), *counting_subflow(), node("i", "subflow:sub", "a"), node("j", "subflow:sub", "b"),
        node("s", "pass", ["i", "j"]), node("a", "pass"), node("b", "pass"), node("t", "pass", "i"),
    )  # fmt: skip
    bench.inject("s", home="casa_A")
    bench.inject("t", home="casa_A")
    assert (bench.payloads("a"), bench.payloads("b")) == ([1, 2], [1])


def test_a_subflow_has_several_outputs(flow):
    bench = flow(tab(), *counting_subflow(), node("i", "subflow:sub", "a", "b"), node("a", "pass"), node("b", "pass"))
    bench.inject("i/c", home="casa_A")
    bench.inject("i/shown", payload="NR_SUBFLOW_ID")
    assert (bench.payloads("a"), bench.payloads("b")) == ([1], ["i"])


def test_instances_have_their_own_environment_over_that_of_the_subflow(flow):
    limit = {"name": "LIMIT", "type": "num", "value": "1000"}
    bench = flow(
        tab(), *counting_subflow(env=[limit, {"name": "UNIT", "type": "str", "value": "W"}]),
        node("i", "subflow:sub", [], "a", env=[{**limit, "value": "500"}]),
        node("j", "subflow:sub", [], "b"), node("a", "pass"), node("b", "pass"),
    )  # fmt: skip
    for instance in "ij":
        bench.inject(f"{instance}/shown", payload="LIMIT")
        bench.inject(f"{instance}/shown", payload="UNIT")
    assert (bench.payloads("a"), bench.payloads("b")) == ([500, "W"], [1000, "W"])


def test_subflows_may_be_nested_and_lead_straight_through(flow):
    bench = flow(
        tab(), subflow("inner", **{"in": [ends("t")], "out": [out("t")]}), node("t", "tell", z="inner"),
        subflow("outer", **{"in": [ends("n")], "out": [out("n"), out("outer")]}), node("n", "subflow:inner", z="outer"),
        node("a", "pass", "o"), node("o", "subflow:outer", "b", "c"), node("b", "pass"), node("c", "pass"),
    )  # fmt: skip
    bench.inject("a", payload=1)
    assert bench.payloads("o/n/t") == [1]
    assert (bench.payloads("b"), bench.payloads("c")) == ([1], [1])


def test_a_disabled_instance_is_not_there(flow):
    bench = flow(
        tab(), *counting_subflow(), node("a", "pass", "i"), node("i", "subflow:sub", "b", d=True), node("b", "pass")
    )
    bench.inject("a", home="casa_A")
    assert bench.payloads("b") == []
    assert "i/c" not in bench.engine.nodes


def test_a_subflow_in_itself_is_refused(flow):
    with pytest.raises(FlowError, match="contains itself"):
        flow(tab(), subflow(), node("i", "subflow:sub", z="sub"), node("j", "subflow:sub"))


# -- groups and environment -------------------------------------------------------------------------------------


def test_a_node_sees_the_environment_of_its_group_then_the_flows_then_the_process(flow):
    def group(node_id, value, **more):
        env = [{"name": "WHO", "type": "str", "value": value}]
        return {"id": node_id, "type": "group", "z": "tab", "env": env, "nodes": [], **more}

    bench = flow(
        tab(env=[{"name": "WHO", "type": "str", "value": "flow"}, {"name": "ALL", "type": "bool", "value": "true"}]),
        group("g", "group"), group("h", "inner", g="g"),
        node("a", "show", "out", g="h"), node("b", "show", "out", g="g"), node("c", "show", "out"),
        node("out", "pass"), environ={"HOST": "box"},
    )  # fmt: skip
    for name in "abc":
        bench.inject(name, payload="WHO")
    bench.inject("a", payload="ALL")
    bench.inject("a", payload="HOST")
    bench.inject("a", payload="NOBODY")
    assert bench.payloads("out") == ["inner", "group", "flow", True, "box", None]


# -- context stores ---------------------------------------------------------------------------------------------


def recalling(scope, store=""):
    return [
        tab(), tab("other"),
        node("a", "recall", "out", scope=scope, store=store), node("b", "recall", "out", scope=scope, store=store),
        node("c", "recall", "far", z="other", scope=scope, store=store),
        node("out", "pass"), node("far", "pass", z="other"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("scope", "counts"), [("node", [1, 2, 1, 1]), ("flow", [1, 2, 3, 1]), ("global", [1, 2, 3, 4])]
)
def test_a_context_belongs_to_the_node_the_flow_or_all(flow, scope, counts):
    bench = flow(*recalling(scope))
    for name in "aabc":
        bench.inject(name)
    assert bench.payloads("out") + bench.payloads("far") == counts


@pytest.mark.parametrize(("store", "count"), [("", 1), ("memory", 1), ("durable", 3)])
def test_what_is_in_memory_goes_with_the_engine_and_what_is_durable_stays(flow, store, count):
    bench = flow(node("a", "recall", "out", scope="flow", store=store), node("out", "pass"))
    bench.inject("a")
    bench.inject("a")
    bench.restart()
    bench.inject("a")
    assert bench.payloads("out") == [1, 2, count]


def test_a_store_that_does_not_exist_is_an_error_that_names_those_that_do(flow):
    bench = flow(node("a", "recall", scope="flow", store="disk"))
    bench.inject("a")
    assert bench.errors == [("a", "there is no context store 'disk'; there are 'memory' and 'durable'")]


@pytest.mark.parametrize("scope", ["node", "flow"])
def test_the_context_of_what_is_removed_is_forgotten(flow, scope):
    nodes = recalling(scope, "durable")
    gone = {"node": ["c"], "flow": ["other", "c", "far"]}[scope]
    bench = flow(*nodes)
    bench.inject("c")
    bench.deploy([one for one in nodes if one["id"] not in gone])
    bench.restart()
    bench.deploy(nodes)
    bench.inject("c")
    assert bench.payloads("far") == [1, 1]


def test_each_instance_of_a_subflow_has_its_own_flow_context(flow):
    bench = flow(
        tab(), subflow(**{"in": [ends("r")], "out": [out("r")]}), node("r", "recall", z="sub"),
        node("i", "subflow:sub", "out"), node("j", "subflow:sub", "out"), node("out", "pass"),
    )  # fmt: skip
    bench.inject("i/r")
    bench.inject("i/r")
    bench.inject("j/r")
    assert bench.payloads("out") == [1, 2, 1]
