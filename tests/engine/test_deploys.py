"""Deploys, state and timers over deploys and restarts, start and stop."""

import json

import pytest
from little_nodes import Life, flow_of, node, tab

from solarflow.engine import Engine, Limits
from solarflow.errors import SolarFlowError, StoreError
from solarflow.flowbench import FlowBench
from solarflow.node import Node
from solarflow.testing import at


def counting(**more):
    return [node("c", "count", "out", **more), node("out", "pass")]


# -- state over a deploy ----------------------------------------------------------------------------------------


def test_a_changed_node_keeps_its_state(flow):
    bench = flow(*counting())
    bench.inject("c", home="casa_A")
    bench.deploy(flow_of(*counting(hold_s=5)))
    bench.inject("c", home="casa_A")
    bench.advance(5)
    assert bench.payloads("out") == [1, 2]


def test_a_change_of_a_property_that_resets_state_forgets_it_and_its_timers(flow):
    bench = flow(*counting(hold_s=5))
    bench.inject("c", home="casa_A")
    bench.deploy(flow_of(*counting(hold_s=5, unit="Wh")))
    bench.advance(5)
    assert bench.payloads("out") == []
    bench.inject("c", home="casa_A")
    bench.advance(5)
    assert bench.payloads("out") == [1]


def test_a_running_hold_goes_on_over_a_deploy_of_its_node(flow):
    bench = flow(*counting(hold_s=60))
    bench.inject("c", home="casa_A", at=10)
    bench.advance_to(30)
    bench.deploy(flow_of(*counting(hold_s=100)))
    bench.advance_to(200)
    assert bench.messages("out") == [at(70, payload=1)]


def test_a_beat_begins_anew_with_its_changed_node_or_ends(flow):
    def beating(every_s):
        return flow_of(node("b", "beat", "out", every_s=every_s), node("out", "pass"))

    bench = flow(*beating(10))
    bench.advance_to(15)
    bench.deploy(beating(30))
    bench.advance_to(50)
    bench.deploy(beating(0))
    bench.advance_to(200)
    assert [seen.t for seen in bench.messages("out")] == [10, 45]


def test_a_removed_node_takes_its_state_and_timers_with_it(flow):
    bench = flow(*counting(hold_s=60))
    bench.inject("c", home="casa_A")
    bench.checkpoint()
    bench.deploy(flow_of(node("out", "pass")))
    bench.checkpoint()
    assert bench.saved.states[("c", "casa_A")] is None
    assert bench.saved.timers[("c", "tell", "casa_A")] is None
    bench.deploy(flow_of(*counting()))
    bench.inject("c", home="casa_A")
    bench.advance(100)
    assert bench.payloads("out") == [1]


def test_a_node_of_another_type_under_the_same_id_takes_over_nothing(flow):
    bench = flow(*counting(hold_s=60))
    bench.inject("c", home="casa_A")
    bench.deploy(flow_of(node("c", "life", "out"), node("out", "pass")))
    bench.advance(100)
    bench.deploy(flow_of(*counting()))
    bench.inject("c", home="casa_A")
    assert bench.payloads("out") == ["c says goodbye", 1]


def test_moving_a_node_on_the_canvas_and_wiring_it_anew_restarts_nothing(flow):
    bench = flow(node("a", "life", "b"), node("b", "pass"), node("c", "pass"))
    result = bench.deploy(flow_of(node("a", "life", "c", x=500), node("b", "pass"), node("c", "pass")))
    assert (result.started, result.stopped) == ([], [])
    assert Life.happened == [("a", "start")]
    bench.inject("a", payload=1)
    assert (bench.payloads("b"), bench.payloads("c")) == ([], [1])


# -- modes ------------------------------------------------------------------------------------------------------


def two_flows(text=""):
    return [
        tab(), tab("other"), node("a", "life", text=text), node("b", "life"), node("c", "count", "d"),
        node("d", "pass"), node("far", "life", z="other"),
    ]  # fmt: skip


@pytest.mark.parametrize(("mode", "restarted"), [("nodes", {"a"}), ("flows", {"a", "b"}), ("full", {"a", "b", "far"})])
def test_a_deploy_restarts_changed_nodes_changed_flows_or_everything(flow, mode, restarted):
    bench = flow(*two_flows())
    bench.inject("c", home="casa_A")
    Life.happened.clear()
    bench.deploy(two_flows("new"), mode)
    assert {name for name, what in Life.happened if what == "stop"} == restarted
    assert {name for name, what in Life.happened if what == "start"} == restarted
    bench.inject("c", home="casa_A")
    assert bench.payloads("d") == [1, 2], "state is kept in each mode"


def test_a_deploy_of_the_same_files_restarts_nothing_unless_it_is_full(flow):
    bench = flow(*two_flows())
    assert bench.deploy(mode="nodes").started == []
    assert bench.deploy(mode="flows").started == []
    assert len(bench.deploy(mode="full").started) == 5


def test_what_uses_a_config_node_is_made_anew_with_it(flow):
    def nodes(text):
        config = {"id": "cfg", "type": "life-config", "text": text}
        return [tab(), config, node("a", "life", peer="cfg"), node("b", "life")]

    bench = flow(*nodes("old"))
    Life.happened.clear()
    bench.deploy(nodes("new"))
    assert Life.happened == [("a", "stop"), ("cfg", "stop"), ("cfg", "start"), ("a", "start")]


def test_config_nodes_start_before_their_users_and_sources_last(flow):
    flow(
        tab(), node("i", "inject", "late", props=[{"p": "payload", "v": "1"}], once=True, onceDelay=0),
        node("late", "life", peer="cfg"), {"id": "cfg", "type": "life-config"},
    )  # fmt: skip
    assert Life.happened == [("cfg", "start"), ("late", "start")]


def test_a_removed_node_is_stopped_then_told_that_it_is_removed_and_a_changed_one_only_stopped(flow):
    bench = flow(node("a", "life"), node("b", "life"))
    Life.happened.clear()
    bench.deploy(flow_of(node("b", "life", text="new")))
    assert Life.happened == [("a", "stop"), ("b", "stop"), ("a", "removed"), ("b", "start")]


def test_a_node_that_gives_way_to_one_of_another_type_is_removed(flow):
    bench = flow(node("a", "life"))
    Life.happened.clear()
    bench.deploy(flow_of(node("a", "pass")))
    assert Life.happened == [("a", "stop"), ("a", "removed")]


def test_what_a_stopped_node_sends_still_arrives(flow):
    bench = flow(node("a", "life", "b"), node("b", "pass", "b2"), node("b2", "pass"))
    bench.deploy(flow_of(node("b", "pass", "b2"), node("b2", "pass")))
    assert bench.payloads("b2") == ["a says goodbye"]


def test_a_node_that_cannot_be_made_leaves_the_old_flow_running(flow, monkeypatch):
    bench = flow(*counting())

    def refuse(self, setup):
        raise RuntimeError("out of paper")

    monkeypatch.setattr(Life, "__init__", refuse)
    with pytest.raises(SolarFlowError, match=r"bench\.json: life a 'A' cannot be made: out of paper"):
        bench.deploy(flow_of(*counting(hold_s=5), node("a", "life", name="A")))
    bench.inject("c", home="casa_A")
    assert bench.payloads("out") == [1]


def test_a_node_that_fails_to_start_disturbs_no_other(flow, monkeypatch):
    monkeypatch.setattr(Life, "on_start", lambda self: 1 / 0)
    bench = flow(node("a", "life"), *counting())
    assert bench.errors == [("a", "ZeroDivisionError: division by zero")]
    bench.inject("c", home="casa_A")
    assert bench.payloads("out") == [1]


# -- restart ----------------------------------------------------------------------------------------------------


def test_state_and_holds_go_on_after_a_restart_and_down_time_does_not_count(flow):
    bench = flow(*counting(hold_s=60))
    bench.inject("c", home="casa_A")
    bench.advance(20)
    bench.restart(down_s=1000)
    bench.advance(100)
    assert bench.messages("out") == [at(1060, payload=1, home="casa_A")]


def test_a_file_that_was_changed_while_the_engine_was_down_counts(tmp_path, palette):
    file = tmp_path / "flow.json"

    def write(**timing):
        file.write_text(json.dumps(flow_of(node("i", "inject", "out", **timing), node("out", "pass"))))

    write(once=True, onceDelay=10)
    bench = FlowBench(file, palette)
    bench.checkpoint()
    write(once=False)
    bench.restart(killed=True)
    bench.advance(100)
    assert bench.messages("out") == []


def test_state_that_no_longer_fits_is_left_out_and_said(flow, caplog):
    bench = flow(*counting())
    bench.inject("c", home="casa_A")
    bench.checkpoint()
    bench.saved.states[("c", "casa_A")] = b'{"n": "many"}'
    bench.restart(killed=True)
    assert "the kept state of count c for 'casa_A' no longer fits" in caplog.text
    bench.inject("c", home="casa_A")
    assert bench.payloads("out") == [1, 1]


def test_what_could_not_be_saved_is_saved_the_next_time(flow):
    bench = flow(*counting())
    bench.inject("c", home="casa_A")

    def refuse(changes):
        raise StoreError("the disk is full")

    with pytest.raises(StoreError):
        bench.engine.checkpoint(refuse)
    bench.restart(killed=True)
    assert bench.saved.states == {}
    bench = flow(*counting())
    bench.inject("c", home="casa_A")
    with pytest.raises(StoreError):
        bench.engine.checkpoint(refuse)
    bench.checkpoint()
    assert bench.saved.states[("c", "casa_A")] == b'{"n":1}'


def test_state_is_bounded_and_approved_homes_are_kept(flow):
    bench = flow(*counting(), homes=[{"id": "casa_0"}])
    bench.node("c").state._limit = 10
    for number in range(30):
        bench.inject("c", home=f"casa_{number}")
    assert len(bench.node("c").state) == 10
    assert bench.node("c").state.evicted == 20
    bench.inject("c", home="casa_0")
    assert bench.payloads("out")[-1] == 2


def test_ids_of_messages_are_the_same_in_every_run(flow):
    def run():
        bench = flow(*counting())
        bench.inject("c", home="casa_A")
        return [seen.msg for seen in bench.messages("out")]

    assert run() == run()


# -- stop -------------------------------------------------------------------------------------------------------


def test_a_stop_delivers_what_is_queued_and_stops_config_nodes_last(flow):
    bench = flow(
        tab(), node("a", "life", "b", peer="cfg"), node("b", "link call", "end", links=["li"]),
        node("li", "link in", "lo"), node("lo", "link out", mode="return"), node("end", "pass"),
        {"id": "cfg", "type": "life-config"}, node("i", "inject", "a", repeat=1),
    )  # fmt: skip
    Life.happened.clear()
    bench.engine.stop()
    assert bench.payloads("end") == ["a says goodbye"]
    assert Life.happened == [("a", "stop"), ("cfg", "stop")]
    assert not bench.engine.running
    bench.advance(10)
    assert bench.payloads("a") == [], "the sources are quiet"


def test_the_sources_are_stopped_once_only(flow):
    class Source(Node):
        type = "test-source"
        inputs = 0
        stops = 0

        def on_stop(self) -> None:
            type(self).stops += 1

    bench = flow(node("a", "pass"))
    bench.registry.add(Source)
    try:
        bench.deploy(flow_of(node("s", "test-source")))
        bench.engine.stop_sources()
        bench.engine.stop()
    finally:
        del bench.registry._types["test-source"]
    assert Source.stops == 1


def test_a_circle_that_goes_round_for_ever_holds_up_no_deploy_and_no_stop(flow, caplog):
    limits = Limits(max_hops=10**9, turn=5)
    bench = flow(node("a", "pass", "b"), node("b", "pass"), node("c", "count", "c2"), node("c2", "pass"), limits=limits)
    bench.deploy(flow_of(node("a", "pass", "a"), node("c", "count", "c2"), node("c2", "pass")))
    bench.engine.inject("a", {"payload": 1})
    bench.deploy(flow_of(node("a", "pass"), node("c", "count", "c2"), node("c2", "pass")))
    assert "1 messages that were still going round are dropped" in caplog.text
    assert bench.engine.queue_dropped == 1
    bench.inject("c", home="casa_A")
    assert bench.payloads("c2") == [1]


def test_only_a_virtual_clock_can_be_moved(palette):
    from solarflow.clock import SystemClock

    with pytest.raises(TypeError, match="only a VirtualClock can be moved"):
        Engine(palette, SystemClock()).advance_to(0)


def test_a_hold_of_a_flow_that_sat_out_a_run_goes_on_with_what_was_left_of_it(flow):
    bench = flow(*counting(hold_s=300))
    bench.inject("c", home="casa_A")
    bench.advance(100)
    bench.restart(down_s=60)
    without = flow_of(node("other", "pass"))
    # The next run does not have the flow, and its clock has gone much further when it ends.
    sat_out = FlowBench(without, bench.registry, start=bench.clock.now())
    sat_out.saved = bench.saved
    sat_out.restart(killed=True)
    sat_out.advance(5000)
    sat_out.restart()
    back = FlowBench(flow_of(*counting(hold_s=300)), bench.registry, start=sat_out.clock.now())
    back.saved = sat_out.saved
    back.restart(killed=True)
    back.advance(199)
    assert back.payloads("out") == []
    back.advance(2)
    assert back.payloads("out") == [1]


def test_a_node_that_cannot_be_made_ready_refuses_its_messages_and_the_others_run(flow):
    bench = flow(node("a", "unready"), node("b", "pass", "c"), node("c", "pass"))
    assert [error.node for error in bench.errors] == ["a"]
    bench.inject("a", payload=1)
    bench.inject("b", payload=1)
    assert "this node could not be made ready: no such model" in bench.errors[-1].text
    assert bench.payloads("c") == [1]
