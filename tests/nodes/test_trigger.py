"""The trigger node: the statements of Node-RED's documentation."""

import pytest

from solarflow.errors import Where
from solarflow.testing import at
from solarflow.validate import configure

ONE_THEN_NOUGHT = {"op1": "1", "op1type": "num", "op2": "0", "op2type": "num", "duration": "10", "units": "s"}
WATCHDOG = {"op1type": "nul", "op2": "silent", "op2type": "str", "duration": "60", "units": "s", "extend": True}


def test_by_default_it_sends_1_and_a_quarter_of_a_second_later_0(node):
    bench = node("trigger")
    bench.feed("x")
    bench.advance(1)
    assert bench.sent == [at(0, payload="1"), at(0.25, payload="0")]


@pytest.mark.parametrize(("units", "seconds"), [("ms", 0.002), ("s", 2), ("min", 120), ("hr", 7200)])
def test_the_time_has_a_unit(node, units, seconds):
    bench = node("trigger", ONE_THEN_NOUGHT, duration="2", units=units)
    bench.feed("x")
    bench.advance(2 * seconds)
    assert bench.sent == [at(0, payload=1), at(seconds, payload=0)]


@pytest.mark.parametrize(
    ("kind", "value", "payload"),
    [
        ("num", "10", 10), ("str", "10", "10"), ("bool", "true", True), ("json", '{"x": [1]}', {"x": [1]}),
        ("bin", "[1, 2]", b"\x01\x02"), ("env", "HOUSE", "A"), ("val", "true", True), ("val", "null", None),
        ("val", "x", "x"), ("pay", "", "in"), ("str", "{{payload}} of {{topic}}", "in of t"),
    ],
)  # fmt: skip
def test_either_payload_may_be_of_any_type(node, kind, value, payload):
    bench = node("trigger", op1=value, op1type=kind, op2=value, op2type=kind, bench={"env": {"HOUSE": "A"}})
    bench.feed("in", topic="t")
    bench.advance(1)
    assert bench.payloads == [payload, payload]


def test_all_other_properties_go_on_with_both(node):
    bench = node("trigger", ONE_THEN_NOUGHT)
    bench.feed("x", topic="t", home="casa_A", _msgid="m")
    bench.advance(20)
    assert [(seen.msg["topic"], seen.msg["home"], seen.msg["_msgid"]) for seen in bench.sent] == [
        ("t", "casa_A", "m")
    ] * 2
    assert bench.sent[0].msg is not bench.sent[1].msg


def test_the_second_message_has_the_time_of_its_sending(node):
    bench = node("trigger", ONE_THEN_NOUGHT)
    bench.feed("x")
    bench.advance(20)
    first, second = (seen.msg["ts"] for seen in bench.sent)
    assert second - first == 10


def test_while_the_time_runs_other_messages_send_nothing(node):
    bench = node("trigger", ONE_THEN_NOUGHT)
    bench.feed("x", every=3, until=9)
    bench.feed("y", at=11)
    bench.advance(20)
    assert bench.sent == [at(0, payload=1), at(10, payload=0), at(11, payload=1), at(21, payload=0)]


def test_nothing_may_be_sent_first_or_second(node):
    only_second = node("trigger", ONE_THEN_NOUGHT, op1type="nul")
    only_first = node("trigger", ONE_THEN_NOUGHT, op2type="nul")
    for bench in (only_second, only_first):
        bench.feed("x", at=0)
        bench.feed("x", at=1)
        bench.advance(20)
    assert only_second.sent == [at(10, payload=0)]
    assert only_first.sent == [at(0, payload=1)]


def test_the_second_message_may_leave_by_an_output_of_its_own(node):
    bench = node("trigger", ONE_THEN_NOUGHT, outputs=2)
    bench.feed("x")
    bench.advance(20)
    assert [(seen.port, seen.msg["payload"]) for seen in bench.sent] == [(0, 1), (1, 0)]


def test_the_second_payload_may_be_the_one_that_triggered_or_the_newest(node):
    original = node("trigger", ONE_THEN_NOUGHT, op2type="pay")
    newest = node("trigger", ONE_THEN_NOUGHT, op2type="payl")
    for bench in (original, newest):
        bench.feed("a", at=0, n=1)
        bench.feed("b", at=1, n=2)
        bench.advance(20)
    assert original.sent[1:] == [at(10, payload="a", n=1)]
    assert newest.sent[1:] == [at(10, payload="b", n=2)]


def test_flow_values_and_the_time_are_read_when_they_are_sent(node, registry):
    rule = {"t": "set", "p": "x", "pt": "flow", "to": "payload", "tot": "msg"}
    others = {"setter": (registry["change"], {"rules": [rule]})}
    bench = node("trigger", ONE_THEN_NOUGHT, op1="x", op1type="flow", op2="x", op2type="flow", bench={"others": others})
    bench.engine.inject("setter", {"payload": 1})
    bench.feed("go")
    bench.engine.inject("setter", {"payload": 2})
    bench.advance(20)
    assert bench.payloads == [1, 2]
    bench.configure(op1="", op1type="date", op2="", op2type="date")
    bench.feed("go")
    bench.advance(20)
    assert bench.payloads[3] - bench.payloads[2] == 10_000


# -- extend -----------------------------------------------------------------------------------------------------------


def test_extended_every_message_begins_the_time_anew(node):
    bench = node("trigger", ONE_THEN_NOUGHT, extend="true")
    bench.feed("x", every=6, until=12)
    bench.advance(20)
    assert bench.sent == [at(0, payload=1), at(22, payload=0)]


def test_a_watchdog_speaks_when_nothing_has_come_for_so_long(node):
    bench = node("trigger", WATCHDOG)
    bench.feed("x", every=50, until=200)
    bench.advance_to(400)
    assert bench.sent == [at(260, payload="silent")]
    bench.feed("x")
    bench.advance(60)
    assert bench.sent[1:] == [at(460, payload="silent")]


def test_extended_the_second_message_is_made_of_the_newest(node):
    bench = node("trigger", WATCHDOG)
    bench.feed("x", at=0, n=1)
    bench.feed("x", at=10, n=2)
    bench.advance(100)
    assert bench.sent == [at(70, payload="silent", n=2)]
    newest = node("trigger", WATCHDOG, op2type="payl")
    newest.feed("a", at=0)
    newest.feed("b", at=10)
    newest.advance(100)
    assert newest.sent == [at(70, payload="b")]


# -- reset, wait for reset, repeat ------------------------------------------------------------------------------------


@pytest.mark.parametrize("msg", [{"reset": True}, {"reset": False}, {"payload": "stop"}])
def test_reset_ends_what_runs_and_sends_nothing(node, msg):
    bench = node("trigger", ONE_THEN_NOUGHT, reset="stop")
    bench.feed("x", at=0)
    bench.input(msg, t=5)
    bench.advance(20)
    assert bench.payloads == [1]
    bench.feed("x")
    assert bench.payloads == [1, 1]


@pytest.mark.parametrize(("reset", "payload"), [("0", 0), ("true", True), ("1.5", 1.5), ("null", None)])
def test_the_payload_that_resets_is_compared_as_text_but_null_never_resets(node, reset, payload):
    bench = node("trigger", ONE_THEN_NOUGHT, reset=reset)
    bench.feed("x", at=0)
    bench.feed(payload, at=5)
    bench.advance(20)
    assert len(bench.sent) == (1 if payload is not None else 2)


def test_a_time_of_0_waits_for_reset(node):
    bench = node("trigger", ONE_THEN_NOUGHT, duration="0")
    bench.feed("x", every=1000, until=5000)
    assert bench.payloads == [1]
    bench.restart()
    bench.feed("x")
    assert bench.payloads == [1]
    bench.input({"reset": True})
    bench.feed("x")
    assert bench.payloads == [1, 1]


def test_a_time_below_zero_sends_again_and_again_until_reset(node):
    bench = node("trigger", ONE_THEN_NOUGHT, duration="-10")
    bench.feed("x", at=0, topic="t")
    bench.advance_to(25)
    bench.input({"reset": True})
    bench.advance_to(60)
    assert bench.sent == [at(0, payload=1, topic="t"), at(10, payload=1, topic="t"), at(20, payload=1, topic="t")]
    assert len({id(seen.msg) for seen in bench.sent}) == 3


def test_a_further_message_takes_the_place_of_the_one_that_is_repeated(node):
    bench = node("trigger", duration="-10", units="s", op1type="pay")
    bench.feed("a", at=0)
    bench.feed("b", at=15)
    bench.advance_to(30)
    assert bench.sent == [at(0, payload="a"), at(10, payload="a"), at(15, payload="b"), at(25, payload="b")]


def test_the_message_may_say_how_long_only_where_that_is_allowed(node):
    allowed = node("trigger", ONE_THEN_NOUGHT, overrideDelay=True)
    refused = node("trigger", ONE_THEN_NOUGHT)
    for bench in (allowed, refused):
        bench.feed("x", delay=2000)
        bench.advance(20)
    assert [seen.t for seen in allowed.sent] == [0, 2]
    assert [seen.t for seen in refused.sent] == [0, 10]
    allowed.feed("x", delay="soon", at=30)
    allowed.advance(20)
    assert [seen.t for seen in allowed.sent[2:]] == [30, 40]


# -- topics -----------------------------------------------------------------------------------------------------------


def test_all_messages_are_one_unless_told_apart(node):
    bench = node("trigger", ONE_THEN_NOUGHT)
    for topic in "abc":
        bench.feed("x", topic=topic)
    bench.advance(20)
    assert [(seen.msg["payload"], seen.msg["topic"]) for seen in bench.sent] == [(1, "a"), (0, "a")]


@pytest.mark.parametrize("name", ["topic", "home"])
def test_messages_may_be_told_apart_by_a_property(node, name):
    bench = node("trigger", ONE_THEN_NOUGHT, bytopic="topic", topic=name, extend=True)
    for t, value in enumerate("aba"):
        bench.feed("x", at=t, **{name: value})
    bench.input({name: "b", "reset": True}, t=3)
    bench.advance(20)
    assert [(seen.msg["payload"], seen.msg[name], seen.t) for seen in bench.sent] == [
        (1, "a", 0), (1, "b", 1), (0, "a", 12),
    ]  # fmt: skip


def test_the_status_shows_how_many_run(node):
    bench = node("trigger", ONE_THEN_NOUGHT, bytopic="topic")
    bench.feed("x", topic="a")
    bench.feed("x", topic="b")
    assert bench.status() == "2"
    bench.advance(20)
    assert bench.status() == ""


# -- what lasts -------------------------------------------------------------------------------------------------------


def test_what_runs_survives_a_restart_and_the_time_without_the_program_does_not_count(node):
    bench = node("trigger", ONE_THEN_NOUGHT)
    bench.feed("x", at=0, home="casa_A")
    bench.advance_to(4)
    bench.restart(down_s=1000)
    bench.feed("y")
    bench.advance(20)
    assert bench.sent[1:] == [at(1010, payload=0, home="casa_A")]


def test_a_repeated_message_is_repeated_after_a_restart(node):
    bench = node("trigger", ONE_THEN_NOUGHT, duration="-10")
    bench.feed("x", at=0)
    bench.advance_to(14)
    bench.restart(down_s=100)
    bench.advance(20)
    assert [seen.t for seen in bench.sent] == [0, 10, 120, 130]


def test_what_is_no_json_does_not_survive_but_the_message_does(node):
    bench = node("trigger", ONE_THEN_NOUGHT, op2type="pay")
    bench.feed(b"\xff", home="casa_A")
    bench.restart()
    bench.advance(20)
    assert bench.sent[1:] == [at(10, home="casa_A")]
    assert "payload" not in bench.last
    bench.feed(b"\xff")
    bench.advance(20)
    assert bench.last["payload"] == b"\xff"


def test_a_deploy_with_another_payload_goes_on_with_what_runs(node):
    bench = node("trigger", ONE_THEN_NOUGHT)
    bench.feed("x", at=0)
    bench.configure(op1="2")
    bench.feed("y", at=5)
    bench.advance(20)
    assert bench.sent == [at(0, payload=1), at(10, payload=0)]


def test_an_error_leaves_nothing_running(node):
    bench = node("trigger", ONE_THEN_NOUGHT, op1="payload * 2", op1type="expression")
    bench.feed("x")
    assert len(bench.errors) == 1
    bench.feed(4)
    bench.advance(20)
    assert bench.payloads == [8, 0]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"op1": "x", "op1type": "num"}, "'x' is not a number"),
        ({"op1": "x", "op1type": "payl"}, "the type 'payl' is not one of"),
        ({"op2": "{{#a}}", "op2type": "str"}, "the template cannot be read"),
        ({"duration": "soon"}, "expected a number, found"),
        ({"topic": "a b"}, "'a b' cannot be read"),
    ],
)
def test_what_cannot_work_is_refused_before_it_runs(registry, config, said):
    _, problems = configure(Where(), registry["trigger"], config, config)
    assert said in problems[0].what
