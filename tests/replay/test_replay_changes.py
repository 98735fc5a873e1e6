"""What-if: other values of properties, and only some of the flows."""

import pytest
from replay_helpers import mqtt_in, mqtt_out, project

from solarflow.errors import FlowError, UsageError
from solarflow.manifest import read_project
from solarflow.replay.changes import plan_of, read_change, with_flows

LOADS = [{"name": "boiler", "relay": 1, "power_w": 1500}, {"name": "ev", "relay": 2, "power_w": 2300}]


@pytest.fixture
def flows(tmp_path):
    return project(
        tmp_path,
        mqtt_in("in", "a", "priority", name="from the meter"),
        {"id": "priority", "type": "load-priority", "name": "who goes first", "loads": LOADS, "wires": ["out"]},
        mqtt_out("out"),
    )


def changed(registry, path, *texts):
    return plan_of(read_project(path), registry, {}, [read_change(text) for text in texts]).nodes


def test_a_property_is_changed_by_the_nodes_id(registry, flows):
    assert changed(registry, flows, "priority.margin_w=250")["priority"].config.margin_w == 250


def test_a_node_may_be_named_by_its_name(registry, flows):
    assert changed(registry, flows, "who goes first.margin_w=250")["priority"].config.margin_w == 250


def test_a_place_in_a_list_is_a_number_or_the_name_of_the_entry(registry, flows):
    loads = changed(registry, flows, "priority.loads.0.hold_s=10", "priority.loads.ev.hold_s=20")[
        "priority"
    ].config.loads
    assert [load.hold_s for load in loads] == [10, 20]


def test_a_value_is_json_or_the_text_itself(registry, flows):
    nodes = changed(registry, flows, "in.topic=b/c", 'priority.loads.ev.allowed_hours=["08:00-10:00"]', "in.qos=1")
    assert nodes["in"].config.topic == "b/c"
    assert nodes["in"].config.qos == 1
    assert nodes["priority"].config.loads[1].allowed_hours == ("08:00-10:00",)


def test_the_file_stays_as_it_was(registry, flows):
    before = (flows / "flows" / "flow.json").read_text()
    changed(registry, flows, "priority.margin_w=250")
    assert (flows / "flows" / "flow.json").read_text() == before
    assert changed(registry, flows)["priority"].config.margin_w == 100


def test_a_node_can_be_put_out_of_the_way(registry, flows):
    assert "out" not in changed(registry, flows, "out.d=true")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("margin_w=250", "write NODE.PROPERTY=VALUE"),
        ("priority.margin_w", "write NODE.PROPERTY=VALUE"),
        ("prioriy.margin_w=1", "there is no node 'prioriy'; did you mean 'priority'?"),
        ("priority.loads.boilr.hold_s=1", "the list has no entry 'boilr'; it has boiler, ev"),
        ("priority.loads.2.hold_s=1", "the list has no entry '2'"),
        ("priority.loads.0.power_w.x=1", "which has no properties"),
        ("priority.wires=[]", "'wires' is no setting"),
    ],
)
def test_a_change_that_leads_nowhere_is_told(registry, flows, text, what):
    with pytest.raises(UsageError) as caught:
        changed(registry, flows, text)
    assert what in str(caught.value)


@pytest.mark.parametrize(
    ("text", "code", "property_", "what"),
    [
        ("priority.margin_w=much", "invalid-value", "margin_w", "expected a number, found the text 'much'"),
        ("priority.loads.0.hold_s=-1", "invalid-value", "loads.0.hold_s", "expected a value of at least 0"),
        ("priority.margn_w=1", "unknown-property", "margn_w", "did you mean 'margin_w'?"),
        ("in.topik=b", "unknown-property", "topik", "did you mean 'topic'?"),
    ],
)
def test_a_value_that_the_node_cannot_have_is_a_problem_like_any_other(registry, flows, text, code, property_, what):
    with pytest.raises(FlowError) as caught:
        changed(registry, flows, text)
    problem = next(problem for problem in caught.value.problems if problem.severity == "error")
    assert (problem.code, problem.where.property, problem.where.file) == (code, property_, "flows/flow.json")
    assert what in problem.what


@pytest.mark.parametrize("name", ["tab", "Flow", "flow", "flows/flow.json"])
def test_only_the_flows_that_are_asked_for_run(registry, flows, name):
    assert "priority" in plan_of(with_flows(read_project(flows), [name]), registry, {}).nodes


def test_an_unknown_flow_is_told_with_the_nearest(registry, flows):
    with pytest.raises(UsageError, match="there is no flow 'flwo'; did you mean 'flow'"):
        with_flows(read_project(flows), ["flwo"])
