"""Who gets what: copies, outputs, isolation, disabled nodes, circles and long chains."""

import pytest
from little_nodes import Spread, flow_of, node, tab

from solarflow.engine import Limits
from solarflow.testing import at


def spread(monkeypatch, make):
    """Let "spread" nodes send what `make(msg)` gives."""
    monkeypatch.setattr(Spread, "make", staticmethod(make))


# -- copies -----------------------------------------------------------------------------------------------------


def test_the_first_recipient_gets_the_message_itself_and_every_further_one_its_own_copy(flow):
    bench = flow(node("a", "pass", ["b", "c", "d"]), *(node(name, "pass") for name in "bcd"))
    bench.inject("a", payload={"deep": {}})
    (sent,) = bench.node("a").got
    got = [bench.node(name).got[0] for name in "bcd"]
    assert got[0] is sent
    assert got[1:] == [sent, sent]
    assert len({id(msg["payload"]["deep"]) for msg in got}) == 3


def test_all_copies_are_made_before_the_first_delivery(flow):
    bench = flow(node("a", "pass", ["b", "c"]), node("b", "spoil"), node("c", "pass"))
    bench.inject("a", payload={"deep": {}})
    assert bench.messages("c") == [at(0, payload={"deep": {}})]
    assert "spoilt" not in bench.messages("c")[0].msg


def test_copies_keep_the_id_of_the_message(flow):
    bench = flow(node("a", "pass", ["b", "c"]), node("b", "pass"), node("c", "pass"))
    bench.inject("a", payload=1)
    assert bench.messages("b")[0].msg["_msgid"] == bench.messages("c")[0].msg["_msgid"]


def test_a_message_that_enters_gets_an_id_and_the_time(flow):
    bench = flow(node("a", "count", "b"), node("b", "pass"))
    bench.inject("a", home="casa_A", at=5)
    (seen,) = bench.messages("b")
    assert seen.msg["ts"] == bench.clock.now()
    assert len(seen.msg["_msgid"]) == 16


def test_a_message_keeps_the_time_at_which_it_was_measured(flow):
    bench = flow(node("a", "pass"))
    bench.inject("a", payload=1, ts=12.5)
    assert bench.messages("a")[0].msg["ts"] == 12.5


# -- several outputs --------------------------------------------------------------------------------------------


def two_outputs(flow, *more):
    return flow(node("a", "spread", "b", "c"), node("b", "pass"), node("c", "pass"), *more)


def test_each_output_gets_its_own_message(flow, monkeypatch):
    spread(monkeypatch, lambda _msg: [{"payload": "first"}, {"payload": "second"}])
    bench = two_outputs(flow)
    bench.inject("a")
    assert (bench.payloads("b"), bench.payloads("c")) == (["first"], ["second"])


def test_an_array_on_an_output_is_sent_one_by_one(flow, monkeypatch):
    spread(monkeypatch, lambda _msg: [[{"payload": 1}, {"payload": 2}], [{"payload": 3}]])
    bench = two_outputs(flow)
    bench.inject("a")
    assert (bench.payloads("b"), bench.payloads("c")) == ([1, 2], [3])


def test_null_on_an_output_sends_nothing_there(flow, monkeypatch):
    spread(monkeypatch, lambda msg: [None, [None, msg]])
    bench = two_outputs(flow)
    bench.inject("a", payload=1)
    assert (bench.payloads("b"), bench.payloads("c")) == ([], [1])


def test_one_message_on_two_outputs_is_copied_before_the_first_delivery(flow, monkeypatch):
    spread(monkeypatch, lambda msg: [msg, msg])
    bench = flow(node("a", "spread", "b", "c"), node("b", "spoil"), node("c", "pass"))
    bench.inject("a", payload={"deep": {}})
    assert bench.payloads("c") == [{"deep": {}}]


def test_messages_that_share_an_object_part_when_they_are_sent_together(flow, monkeypatch):
    shared = {"deep": {}}
    spread(monkeypatch, lambda _msg: [{"payload": shared}, {"payload": shared}])
    bench = flow(node("a", "spread", "b", "c"), node("b", "spoil"), node("c", "pass"))
    bench.inject("a")
    assert bench.payloads("c") == [{"deep": {}}]


def test_what_is_sent_together_has_one_id(flow, monkeypatch):
    spread(monkeypatch, lambda _msg: [{"payload": 1}, [{"payload": 2}, {"payload": 3}]])
    bench = two_outputs(flow)
    bench.inject("a")
    ids = [seen.msg["_msgid"] for name in "bc" for seen in bench.messages(name)]
    assert len(ids) == 3
    assert len(set(ids)) == 1


def test_a_message_for_an_output_that_is_not_there_is_an_error_and_nothing_leaves(flow, monkeypatch):
    spread(monkeypatch, lambda msg: [msg, None, msg])
    bench = two_outputs(flow)
    bench.inject("a", payload=1)
    assert bench.errors == [("a", "sends on output 3 and has 2")]
    assert bench.payloads("b") == []


def test_something_that_is_no_message_is_an_error(flow, monkeypatch):
    spread(monkeypatch, lambda _msg: ["text", None])
    bench = two_outputs(flow)
    bench.inject("a")
    assert bench.errors == [("a", "sends str on output 1, where a message is needed")]


# -- isolation --------------------------------------------------------------------------------------------------


def test_an_error_downstream_does_not_reach_the_sender_nor_the_other_recipients(flow):
    bench = flow(node("a", "pass", ["bad", "good"]), node("bad", "crash"), node("good", "pass"))
    bench.inject("a", payload=1)
    assert [error.node for error in bench.errors] == ["bad"]
    assert bench.payloads("good") == [1]


def test_an_error_that_nobody_foresaw_says_what_kind_it_is(flow):
    bench = flow(node("bad", "crash"))
    bench.inject("bad", payload={})
    assert bench.errors == [("bad", "KeyError: 'nothing'")]


# -- disabled ---------------------------------------------------------------------------------------------------


def test_a_disabled_node_is_not_there(flow):
    bench = flow(node("a", "pass", "b"), node("b", "pass", "c", d=True), node("c", "pass"))
    bench.inject("a", payload=1)
    assert "b" not in bench.engine.nodes
    assert bench.payloads("c") == []


def test_nothing_of_a_disabled_flow_runs(flow):
    bench = flow(tab(), tab("off", disabled=True), node("a", "pass"), node("i", "inject", z="off", once=True))
    bench.advance(10)
    assert list(bench.engine.nodes) == ["a"]


def test_a_node_that_is_enabled_again_runs(flow):
    nodes = [node("a", "pass", "b"), node("b", "pass", d=True)]
    bench = flow(*nodes)
    nodes[1]["d"] = False
    bench.deploy(flow_of(*nodes))
    bench.inject("a", payload=1)
    assert bench.payloads("b") == [1]


# -- junctions and comments -------------------------------------------------------------------------------------


def test_a_junction_leads_on_to_where_it_leads(flow):
    bench = flow(
        node("a", "pass", "j"), node("j", "junction", ["k", "b"]), node("k", "junction", "c"),
        node("b", "pass"), node("c", "pass"), node("note", "comment", info="a note"),
    )  # fmt: skip
    bench.inject("a", payload=1)
    assert (bench.payloads("b"), bench.payloads("c")) == ([1], [1])


# -- circles, chains, queue -------------------------------------------------------------------------------------


def test_a_circle_ends_at_the_hop_limit_with_an_error(flow):
    bench = flow(node("a", "pass", "b"), node("b", "pass", "a"), limits=Limits(max_hops=20))
    assert [problem.code for problem in bench.problems] == ["loop"]
    bench.inject("a", payload=1)
    assert len(bench.payloads("a")) == 21
    assert len(bench.errors) == 1
    assert "has gone round 20 times" in bench.errors[0].text


def test_where_a_circle_ends_the_other_wires_still_get_the_message(flow):
    bench = flow(node("a", "pass", ["a", "out"]), node("out", "pass"), limits=Limits(max_hops=3))
    bench.inject("a", payload=1)
    assert len(bench.payloads("out")) == 4


def test_the_end_of_a_circle_can_be_caught_and_cannot_keep_it_going(flow):
    bench = flow(
        node("a", "pass", "b"), node("b", "pass", "a"), node("catch", "catch", "a"), limits=Limits(max_hops=20)
    )
    bench.inject("a", payload=1)
    assert 1 <= len(bench.messages("catch")) <= 10
    assert len(bench.payloads("a")) < 250
    assert not bench.engine.turn()


def test_a_circle_with_something_that_waits_goes_on_and_lets_time_pass(flow):
    bench = flow(node("a", "count", "b", hold_s=60), node("b", "pass", "a"), limits=Limits(max_hops=5))
    assert bench.problems == []
    bench.inject("a", home="casa_A")
    bench.advance(600)
    assert len(bench.messages("b")) == 10
    assert bench.errors == []


def test_a_very_long_chain_goes_through(flow):
    names = [f"n{i}" for i in range(3000)]
    nodes = [node(name, "pass", following) for name, following in zip(names, [*names[1:], "end"], strict=True)]
    bench = flow(*nodes, node("end", "pass"), watch=["end"])
    bench.inject("n0", payload=1)
    assert bench.payloads("end") == [1]
    assert bench.errors == []


def test_a_full_queue_is_an_error_and_is_counted(flow):
    bench = flow(node("a", "pass", ["a", "a2"]), node("a2", "pass", "a"), limits=Limits(max_queue=50, max_hops=30))
    bench.inject("a", payload=1)
    assert bench.engine.queue_dropped > 0
    assert any("50 messages are waiting already" in error.text for error in bench.errors)


def test_a_spinning_circle_does_not_keep_timers_waiting(flow):
    bench = flow(node("a", "pass", "a"), node("t", "count", hold_s=1), limits=Limits(max_hops=1_000_000, turn=10))
    engine = bench.engine
    engine.inject("t", {"home": "casa_A"})
    engine.inject("a", {"payload": 1})
    turns = 0
    while engine.turn() and turns < 5:
        turns += 1
    assert turns == 5, "the circle still spins"
    assert len(bench._arrived["a"]) < 100, "a turn is bounded"


# -- counters and taps ------------------------------------------------------------------------------------------


def test_counters_tell_what_came_and_went_and_what_failed_last(flow):
    bench = flow(node("a", "pass", ["b", "c"]), node("b", "fail", bad="x"), node("c", "pass"))
    bench.inject("a", payload=1)
    bench.inject("a", payload="x", at=30)
    cells = bench.engine.cells
    assert (cells["a"].received, cells["a"].sent, cells["a"].errors) == (2, 2, 0)
    assert (cells["b"].received, cells["b"].sent, cells["b"].errors) == (2, 1, 1)
    assert (cells["b"].last_error, cells["b"].last_error_at) == ("cannot take this", bench.clock.now())


def test_counters_go_on_over_a_deploy(flow):
    nodes = [node("a", "pass", "b"), node("b", "fail", bad="x")]
    bench = flow(*nodes)
    bench.inject("a", payload="x")
    bench.deploy(flow_of(nodes[0], node("b", "fail", bad="y")))
    bench.inject("a", payload="y")
    cells = bench.engine.cells
    assert (cells["a"].received, cells["a"].sent, cells["b"].errors) == (2, 2, 2)


def test_a_tap_sees_the_messages_of_its_wire_until_it_is_taken_away(flow):
    bench = flow(node("a", "pass", ["b", "c"]), node("b", "pass"), node("c", "pass"))
    seen = []
    end = bench.engine.tap(("a", 0, "b"), seen.append)
    bench.inject("a", payload=1)
    bench.inject("b", payload="not over this wire")
    end()
    end()
    bench.inject("a", payload=2)
    assert [msg["payload"] for msg in seen] == [1]


def test_a_tap_goes_on_over_a_deploy_as_long_as_its_wire_is_there(flow):
    nodes = [node("a", "pass", "b"), node("b", "fail", bad="x")]
    bench = flow(*nodes)
    seen = []
    end = bench.engine.tap(("a", 0, "b"), seen.append)
    bench.deploy(flow_of(nodes[0], node("b", "fail", bad="y")))
    bench.inject("a", payload=1)
    assert len(seen) == 1
    bench.deploy(flow_of(node("a", "pass"), nodes[1]))
    bench.inject("a", payload=2)
    assert len(seen) == 1
    end()


def test_a_tap_that_fails_does_not_stop_the_message(flow):
    bench = flow(node("a", "pass", "b"), node("b", "pass"))

    def look(_msg):
        raise RuntimeError("the browser has gone")

    bench.engine.tap(("a", 0, "b"), look)
    bench.inject("a", payload=1)
    assert bench.payloads("b") == [1]
    assert bench.errors == []


def test_a_tap_on_a_wire_that_is_not_there_says_so(flow):
    bench = flow(node("a", "pass"))
    with pytest.raises(Exception, match="no wire from output 1 of 'a' to 'b'"):
        bench.engine.tap(("a", 0, "b"), print)


def test_giving_a_message_to_a_node_that_is_not_there_says_so(flow):
    bench = flow(node("a", "pass"))
    with pytest.raises(Exception, match="no node with the id 'b' is running"):
        bench.inject("b")


def test_two_engines_in_one_process_do_not_know_of_each_other(flow):
    nodes = [node("a", "count", "b"), node("b", "recall", "c", scope="global"), node("c", "tell")]
    one, other = flow(*nodes), flow(*nodes)
    one.inject("a", home="casa_A")
    one.inject("a", home="casa_A")
    one.advance(100)
    other.inject("a", home="casa_A")
    assert other.messages("b") == [at(0, payload=1)]
    assert other.payloads("c") == [1]
    assert (one.payloads("c"), one.now, other.now) == ([1, 2], 100, 0)
    assert one.engine.cells["a"].received == 2
    assert other.engine.cells["a"].received == 1
    one.engine.stop()
    other.inject("a", home="casa_A")
    assert other.payloads("c") == [1, 2]
