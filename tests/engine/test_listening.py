"""catch, status and complete: who hears of what."""

import pytest
from little_nodes import flow_of, node, tab

from solarflow.breaker import FIRST_REST_S
from solarflow.testing import at


def subflow(node_id="sub", **more):
    return {"id": node_id, "type": "subflow", "name": "A subflow", **more}


def wires(*ends):
    return {"wires": [{"id": end, "port": 0} for end in ends]}


# -- catch ------------------------------------------------------------------------------------------------------


def test_a_catch_node_gets_the_message_with_the_error_in_it(flow):
    bench = flow(node("bad", "fail", name="The bad one"), node("catch", "catch"))
    bench.inject("bad", payload=1, topic="a/b", home="casa_A")
    (seen,) = bench.messages("catch")
    assert seen == at(0, payload=1, topic="a/b", home="casa_A")
    assert seen.msg["error"] == {
        "message": "cannot take this",
        "source": {"id": "bad", "type": "fail", "name": "The bad one", "count": 1},
    }


def test_the_catch_nodes_message_is_a_copy(flow):
    bench = flow(node("a", "pass", "bad"), node("bad", "fail"), node("catch", "catch", "s"), node("s", "spoil"))
    bench.inject("a", payload={"deep": {}})
    assert "spoilt" not in bench.node("a").got[0]["payload"]["deep"]


def test_an_error_that_the_message_had_already_is_kept_beside(flow):
    bench = flow(node("bad", "fail"), node("catch", "catch"))
    bench.inject("bad", payload=1, error="an older one")
    assert bench.messages("catch")[0].msg["_error"] == "an older one"


def test_all_catch_nodes_of_the_flow_hear_of_it_and_none_of_another_flow(flow):
    bench = flow(
        tab(), tab("other"), node("bad", "fail"),
        node("c1", "catch"), node("c2", "catch"), node("far", "catch", z="other"),
    )  # fmt: skip
    bench.inject("bad")
    assert [len(bench.messages(name)) for name in ("c1", "c2", "far")] == [1, 1, 0]


def test_a_catch_node_with_listed_nodes_hears_of_those_only(flow):
    bench = flow(node("bad", "fail"), node("worse", "fail"), node("catch", "catch", scope=["worse"]))
    bench.inject("bad")
    bench.inject("worse")
    assert [seen.msg["error"]["source"]["id"] for seen in bench.messages("catch")] == ["worse"]


def test_a_catch_node_for_the_uncaught_hears_only_of_what_no_other_takes(flow):
    bench = flow(
        node("bad", "fail"), node("worse", "fail"),
        node("rest", "catch", uncaught=True), node("catch", "catch", scope=["worse"]),
    )  # fmt: skip
    bench.inject("bad")
    bench.inject("worse")
    assert [seen.msg["error"]["source"]["id"] for seen in bench.messages("rest")] == ["bad"]


def group(node_id, **more):
    return {"id": node_id, "type": "group", "z": "tab", "x": 0, "y": 0, "w": 1, "h": 1, "nodes": [], **more}


def test_a_catch_node_of_a_group_hears_of_the_nodes_in_it_and_the_nearest_first(flow):
    order = []
    bench = flow(
        group("outer"), group("inner", g="outer"), group("elsewhere"),
        node("deep", "fail", g="inner"), node("free", "fail"),
        node("whole", "catch", scope=None), node("far", "catch", scope="group", g="elsewhere"),
        node("around", "catch", scope="group", g="outer"), node("near", "catch", scope="group", g="inner"),
    )  # fmt: skip
    for name in ("whole", "far", "around", "near"):
        bench.engine.cells[name].direct.taps.append(lambda _msg, name=name: order.append(name))
        bench.engine.cells[name].refresh()
    bench.inject("deep")
    assert order == ["near", "around", "whole"]
    bench.inject("free")
    assert order[3:] == ["whole"]


def test_an_error_that_nobody_catches_is_logged_once_a_minute_with_how_many_came(flow, caplog):
    bench = flow(node("bad", "fail"))
    for _ in range(3):
        bench.inject("bad")
    assert len([line for line in caplog.messages if "cannot take this" in line]) == 1
    bench.advance(61)
    bench.inject("bad")
    assert "(2 more since the last line)" in caplog.messages[-1]


def test_an_error_that_is_caught_is_not_logged(flow, caplog):
    bench = flow(node("bad", "fail"), node("catch", "catch"))
    bench.inject("bad")
    assert caplog.messages == []


def test_an_error_in_a_catch_nodes_own_branch_does_not_go_round_for_ever(flow, caplog):
    bench = flow(node("bad", "fail"), node("catch", "catch", "bad"))
    bench.inject("bad", payload=1)
    assert [seen.msg["error"]["source"]["count"] for seen in bench.messages("catch")] == list(range(1, 10))
    assert "fails again and again" in caplog.text
    assert not bench.engine.turn()


def test_two_failing_nodes_behind_one_catch_node_do_not_go_round_for_ever(flow):
    bench = flow(node("bad", "fail"), node("worse", "fail"), node("catch", "catch", ["bad", "worse"]))
    bench.inject("bad", payload=1)
    assert not bench.engine.turn()
    assert len(bench.messages("catch")) < 100


def test_an_error_that_a_node_reports_of_itself_without_a_message_is_caught_too(flow):
    bench = flow(node("a", "life"), node("catch", "catch"))
    bench.node("a").error("the line is down")
    assert bench.messages("catch")[0].msg["error"]["message"] == "the line is down"


def test_an_error_climbs_out_of_a_subflow_where_nobody_in_it_takes_it(flow):
    bench = flow(
        tab(), subflow("in", **{"in": [wires("bad")]}), node("bad", "fail", z="in"),
        subflow("out", **{"in": [wires("i")]}), node("i", "subflow:in", z="out"),
        node("o", "subflow:out"), node("catch", "catch"), node("listed", "catch", scope=["o"]),
    )  # fmt: skip
    bench.inject("o/i/bad")
    assert bench.messages("catch")[0].msg["error"]["source"]["id"] == "o/i/bad"
    assert len(bench.messages("listed")) == 1


def test_an_error_that_is_caught_in_a_subflow_stays_there(flow):
    bench = flow(
        tab(), subflow(**{"in": [wires("bad")]}), node("bad", "fail", z="sub"), node("own", "catch", z="sub"),
        node("i", "subflow:sub"), node("catch", "catch"),
    )  # fmt: skip
    bench.inject("i/bad")
    assert (len(bench.messages("i/own")), len(bench.messages("catch"))) == (1, 0)


def test_an_error_that_climbs_out_of_a_subflow_is_in_the_groups_of_its_instance(flow):
    bench = flow(
        tab(), group("g"), group("h"), subflow(**{"in": [wires("bad")]}), node("bad", "fail", z="sub"),
        node("i", "subflow:sub", g="g"),
        node("here", "catch", scope="group", g="g"), node("there", "catch", scope="group", g="h"),
    )  # fmt: skip
    bench.inject("i/bad")
    assert (len(bench.messages("here")), len(bench.messages("there"))) == (1, 0)


# -- status -----------------------------------------------------------------------------------------------------


def test_a_status_node_tells_what_a_node_shows_and_whose_it_is(flow):
    bench = flow(node("a", "tell", name="Teller"), node("status", "status"))
    bench.inject("a", payload="open", home="casa_A")
    assert bench.messages("status")[0].msg["status"] == {
        "text": "open", "fill": "green", "shape": "ring", "source": {"id": "a", "type": "tell", "name": "Teller"},
    }  # fmt: skip
    assert bench.messages("status")[0].msg["home"] == "casa_A"
    assert bench.status("a", "casa_A") == "open"


def test_a_status_node_with_a_scope_hears_of_its_nodes_only(flow):
    bench = flow(
        group("g"), node("a", "tell"), node("b", "tell", g="g"),
        node("listed", "status", scope=["a"]), node("grouped", "status", scope="group", g="g"),
    )  # fmt: skip
    bench.inject("a", payload=1)
    bench.inject("b", payload=2)
    told = {name: [seen.msg["status"]["text"] for seen in bench.messages(name)] for name in ("listed", "grouped")}
    assert told == {"listed": ["1"], "grouped": ["2"]}


def test_a_status_that_is_taken_away_is_told_too(flow):
    bench = flow(node("a", "life"), node("status", "status"))
    bench.node("a").status("up")
    bench.node("a").status("")
    assert [seen.msg["status"]["text"] for seen in bench.messages("status")] == ["up", ""]
    assert bench.statuses == {}


def test_a_status_in_the_branch_of_its_own_status_node_ends_at_the_hop_limit(flow):
    bench = flow(node("status", "status", "a"), node("a", "tell"))
    bench.inject("a", payload=1)
    assert not bench.engine.turn()
    assert bench.engine.nodes


def test_a_status_climbs_out_of_a_subflow_that_has_no_status_output(flow):
    bench = flow(
        tab(), subflow(**{"in": [wires("t")]}), node("t", "tell", z="sub"), node("i", "subflow:sub"),
        node("status", "status", scope=["i"]),
    )  # fmt: skip
    bench.inject("i/t", payload="inside")
    assert [seen.msg["status"]["text"] for seen in bench.messages("status")] == ["inside"]


def test_a_subflow_with_a_status_output_shows_what_is_sent_there_and_nothing_else(flow):
    bench = flow(
        tab(), subflow(**{"in": [wires("t")], "status": wires("p")}),
        node("t", "tell", "p", z="sub"), node("p", "pass", z="sub"),
        node("i", "subflow:sub", name="Instance"), node("status", "status"),
    )  # fmt: skip
    bench.inject("i/t", payload={"text": "half", "fill": "yellow", "shape": "ring"})
    bench.inject("i/t", payload="full")
    assert bench.status("i") == "full"
    assert [seen.msg["status"] for seen in bench.messages("status")] == [
        {"text": "half", "fill": "yellow", "shape": "ring",
         "source": {"id": "i", "type": "subflow:sub", "name": "Instance"}},
        {"text": "full", "fill": "", "shape": "dot",
         "source": {"id": "i", "type": "subflow:sub", "name": "Instance"}},
    ]  # fmt: skip


# -- complete ---------------------------------------------------------------------------------------------------


def test_a_complete_node_hears_when_its_node_is_done_whatever_happens_downstream(flow):
    bench = flow(node("a", "pass", "bad"), node("bad", "fail"), node("done", "complete", scope=["a"]))
    bench.inject("a", payload=1, topic="a/b")
    assert bench.messages("done") == [at(0, payload=1, topic="a/b")]


def test_it_gets_the_message_as_the_node_got_it(flow):
    bench = flow(node("a", "pass", "s"), node("s", "spoil"), node("done", "complete", scope=["a"]))
    bench.inject("a", payload={"deep": {}})
    assert bench.payloads("done") == [{"deep": {}}]


def test_a_node_that_failed_is_not_done(flow):
    bench = flow(node("bad", "fail"), node("done", "complete", scope=["bad"]))
    bench.inject("bad")
    assert bench.messages("done") == []


def test_a_node_that_computes_elsewhere_is_done_after_it_has_sent_the_result(flow):
    bench = flow(node("a", "later", "b"), node("b", "tell"), node("done", "complete", scope=["a"]))
    bench.inject("a", payload=5)
    assert bench.payloads("b") == [20]
    assert bench.messages("done") == [at(0, payload=5)]


def test_an_error_elsewhere_goes_to_the_catch_node_and_the_node_is_not_done(flow):
    bench = flow(node("a", "later"), node("done", "complete", scope=["a"]), node("catch", "catch"))
    bench.inject("a", payload=0)
    assert bench.messages("catch")[0].msg["error"]["message"] == "ZeroDivisionError: division by zero"
    assert bench.messages("done") == []


def test_an_inject_node_is_done_when_it_has_sent(flow):
    bench = flow(
        node("i", "inject", props=[{"p": "payload", "v": "7", "vt": "num"}]), node("done", "complete", scope=["i"])
    )
    bench.trigger("i")
    assert bench.payloads("done") == [7]


# -- breaker ----------------------------------------------------------------------------------------------------


def fail_ten_times(bench, **msg):
    for _ in range(10):
        bench.inject("bad", payload="x", **msg)


def test_ten_errors_in_a_row_make_a_node_rest_for_that_home_and_no_other(flow):
    bench = flow(node("bad", "fail", "b", bad="x"), node("b", "pass"))
    fail_ten_times(bench, home="casa_A")
    bench.inject("bad", payload=1, home="casa_A")
    bench.inject("bad", payload=2, home="casa_B")
    assert bench.payloads("b") == [2]
    assert bench.status("bad", "casa_A") == "rests after 10 errors"
    assert bench.engine.breakers["bad"].open_keys == ["casa_A"]
    assert bench.engine.breakers["bad"].refused == 1


def test_messages_without_a_home_count_for_the_node_itself(flow):
    bench = flow(node("bad", "fail", "b", bad="x"), node("b", "pass"))
    fail_ten_times(bench)
    bench.inject("bad", payload=1)
    bench.inject("bad", payload=2, home="casa_A")
    assert bench.payloads("b") == [2]


def test_where_there_is_no_home_one_topic_s_rubbish_stops_no_other_topic(flow):
    bench = flow(node("bad", "fail", "b", bad="x"), node("b", "pass"))
    fail_ten_times(bench, topic="dev1")
    bench.inject("bad", payload=1, topic="dev1")
    bench.inject("bad", payload=2, topic="dev2")
    assert bench.payloads("b") == [2]


def test_a_node_hears_that_it_is_put_to_rest_and_for_whom(flow):
    bench = flow(node("bad", "fail", "b", bad="x"), node("b", "pass"))
    rested = []
    bench.node("bad").on_rest = rested.append
    fail_ten_times(bench, home="casa_A")
    assert rested == ["casa_A"]


def test_a_failure_long_after_the_last_rest_begins_the_count_anew(flow):
    bench = flow(node("bad", "fail", "b", bad="x"), node("b", "pass"))
    fail_ten_times(bench)
    bench.advance(FIRST_REST_S + 3601)
    bench.inject("bad", payload="x")
    bench.inject("bad", payload=1)
    assert bench.payloads("b") == [1]


def test_a_success_in_between_begins_the_count_anew(flow):
    bench = flow(node("bad", "fail", "b", bad="x"), node("b", "pass"))
    for _ in range(9):
        bench.inject("bad", payload="x")
    bench.inject("bad", payload=1)
    for _ in range(9):
        bench.inject("bad", payload="x")
    bench.inject("bad", payload=2)
    assert bench.payloads("b") == [1, 2]
    assert bench.engine.breakers == {}


def test_after_the_rest_the_node_is_tried_and_a_success_heals_it(flow):
    bench = flow(node("bad", "fail", "b", bad="x"), node("b", "pass"))
    fail_ten_times(bench, home="casa_A")
    bench.advance(FIRST_REST_S - 1)
    bench.inject("bad", payload=1, home="casa_A")
    bench.advance(1)
    bench.inject("bad", payload=2, home="casa_A")
    assert bench.payloads("b") == [2]
    assert bench.statuses == {}
    assert bench.engine.breakers == {}


def test_errors_of_work_done_elsewhere_count_and_only_its_success_heals(flow):
    bench = flow(node("bad", "later", "b"), node("b", "pass"))
    for _ in range(9):
        bench.inject("bad", payload=0)
    bench.inject("bad", payload=4)
    for _ in range(10):
        bench.inject("bad", payload=0)
    bench.inject("bad", payload=5)
    assert bench.payloads("b") == [25]
    bench.advance(FIRST_REST_S)
    bench.inject("bad", payload=5)
    assert bench.payloads("b") == [25, 20]
    assert bench.engine.breakers == {}


def test_a_node_that_fails_again_after_its_rest_rests_twice_as_long(flow):
    bench = flow(node("bad", "fail", "b", bad="x"), node("b", "pass"))
    fail_ten_times(bench)
    bench.advance(FIRST_REST_S)
    bench.inject("bad", payload="x")
    bench.advance(2 * FIRST_REST_S - 1)
    bench.inject("bad", payload=1)
    bench.advance(1)
    bench.inject("bad", payload=2)
    assert bench.payloads("b") == [2]


def test_a_deploy_of_the_node_ends_its_rest(flow):
    bench = flow(node("bad", "fail", "b", bad="x"), node("b", "pass"))
    fail_ten_times(bench)
    bench.deploy(flow_of(node("bad", "fail", "b", bad="y"), node("b", "pass")))
    bench.inject("bad", payload="x")
    assert bench.payloads("b") == ["x"]
    assert bench.statuses == {}


def test_the_homes_that_a_breaker_remembers_are_bounded(flow):
    bench = flow(node("bad", "fail"))
    bench.node("bad").max_keys = 50
    for number in range(200):
        bench.inject("bad", home=f"casa_{number}")
    assert len(bench.engine.breakers["bad"]) == 50


@pytest.mark.parametrize("key", ["home", "meter"])
def test_an_error_of_a_timer_counts_for_the_key_that_it_was_for(flow, key, monkeypatch):
    from little_nodes import Count

    def explode(self, _key):
        raise RuntimeError("in the timer")

    bench = flow(node("c", "count", hold_s=1, key=key), node("catch", "catch"))
    monkeypatch.setattr(Count, "tell", explode)
    bench.inject("c", **{key: "casa_A"})
    bench.advance(1)
    assert bench.messages("catch") == [at(1, **{key: "casa_A"})]
