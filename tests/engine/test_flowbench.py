"""The bench for whole flows: what others' tests rest on."""

import json

import pytest
from little_nodes import flow_of, node, tab

from solarflow.errors import FlowError
from solarflow.flowbench import FlowBench
from solarflow.testing import START, at


def test_it_shows_what_reached_a_node_and_when(flow):
    bench = flow(node("a", "count", "b", hold_s=60), node("b", "pass"))
    bench.inject("a", home="casa_A")
    bench.advance(100)
    assert bench.messages("a") == [at(0, home="casa_A")]
    assert bench.messages("b") == [at(60, home="casa_A", payload=1)]
    assert bench.now == 100
    assert bench.clock.now() == START + 100


def test_what_a_node_later_does_to_a_message_changes_nothing_of_what_was_seen(flow):
    bench = flow(node("a", "pass", "b"), node("b", "spoil"))
    bench.inject("a", {"payload": {"deep": {}}})
    assert bench.payloads("b") == [{"deep": {}}]


def test_only_watched_nodes_are_kept(flow):
    bench = flow(node("a", "pass", "b"), node("b", "pass"), watch=["b"])
    bench.inject("a", payload=1)
    assert bench.payloads("b") == [1]
    with pytest.raises(KeyError):
        bench.messages("a")


def test_a_flow_with_errors_is_refused_with_all_of_them(flow):
    with pytest.raises(FlowError) as caught:
        flow(node("a", "nothing-like-this", "b"))
    assert {problem.code for problem in caught.value.problems} == {"unknown-type", "dangling-wire"}


def test_a_deploy_with_errors_leaves_the_flow_as_it_was(flow):
    bench = flow(node("a", "pass"))
    with pytest.raises(FlowError):
        bench.deploy(flow_of(node("a", "nothing-like-this")))
    bench.restart()
    bench.inject("a", payload=1)
    assert bench.payloads("a") == [1]


def test_a_project_folder_is_loaded_with_its_settings_and_read_again_at_a_deploy(tmp_path, palette):
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows.json").write_text(json.dumps({"flows": ["flows/one.json"], "settings": {"raw_days": 7}}))
    flow_file = tmp_path / "flows" / "one.json"
    flow_file.write_text(json.dumps([tab(), node("a", "pass", "b"), node("b", "pass")]))
    bench = FlowBench(tmp_path, palette, settings={"timezone": "Europe/Rome"})
    assert bench.services.settings == {"raw_days": 7, "timezone": "Europe/Rome"}
    bench.inject("a", payload=1)
    assert bench.payloads("b") == [1]
    flow_file.write_text(json.dumps([tab(), node("a", "pass"), node("b", "pass")]))
    bench.deploy()
    bench.inject("a", payload=2)
    assert bench.payloads("b") == [1]


def test_it_survives_a_restart_and_goes_on_collecting(flow):
    bench = flow(node("a", "count", "b"), node("b", "pass"))
    bench.inject("a", home="casa_A")
    bench.restart(down_s=60)
    bench.inject("a", home="casa_A")
    assert bench.messages("b") == [at(0, payload=1), at(60, payload=2)]


def test_a_kill_loses_what_came_after_the_last_checkpoint(flow):
    bench = flow(node("a", "count", "b"), node("b", "pass"))
    bench.inject("a", home="casa_A")
    bench.checkpoint()
    bench.inject("a", home="casa_A")
    bench.restart(killed=True)
    bench.inject("a", home="casa_A")
    assert bench.payloads("b") == [1, 2, 2]
