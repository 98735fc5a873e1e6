"""The delay node: the statements of Node-RED's documentation."""

import pytest

from solarflow.errors import Where
from solarflow.testing import at
from solarflow.validate import configure

ONE_IN_TWO_S = {"pauseType": "rate", "rate": "1", "nbRateUnits": "2", "rateUnits": "second"}
BY_TOPIC = {"pauseType": "queue", "rate": "1", "nbRateUnits": "10", "rateUnits": "second"}
ALL_TOPICS = {**BY_TOPIC, "pauseType": "timed"}


def feed(bench, *payloads, every=0.1, **msg):
    for payload in payloads:
        bench.feed(payload, **msg)
        bench.advance(every)


# -- delay ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("units", "seconds"),
    [("milliseconds", 0.003), ("seconds", 3), ("minutes", 180), ("hours", 10_800), ("days", 259_200)],
)
def test_each_message_waits_for_the_same_time(node, units, seconds):
    bench = node("delay", pauseType="delay", timeout="3", timeoutUnits=units)
    bench.feed("a", at=0)
    bench.feed("b", at=seconds / 2)
    bench.advance(2 * seconds)
    assert bench.sent == [at(seconds, payload="a"), at(1.5 * seconds, payload="b")]


def test_the_message_may_say_how_long_it_waits(node):
    bench = node("delay", pauseType="delayv", timeout="5", timeoutUnits="seconds")
    for delay in (2000, "1000", -1, None, "soon"):
        bench.feed(delay, delay=delay)
    bench.feed("none")
    bench.advance(10)
    assert bench.sent == [
        at(0, payload=-1), at(1, payload="1000"), at(2, payload=2000), at(5, payload=None), at(5, payload="soon"),
        at(5, payload="none"),
    ]  # fmt: skip


def test_a_random_time_lies_between_the_two_and_is_the_same_in_every_run(node):
    def times():
        bench = node("delay", pauseType="random", randomFirst="2", randomLast="4", randomUnits="seconds")
        feed(bench, *range(20), every=0)
        bench.advance(10)
        return [seen.t for seen in bench.sent]

    assert len(times()) == 20
    assert all(2 <= t <= 4 for t in times())
    assert len(set(times())) > 15
    assert times() == times()


def test_reset_drops_all_that_waits_and_itself(node):
    bench = node("delay", timeout="5")
    feed(bench, "a", "b")
    bench.feed("c", reset=True)
    bench.feed("d")
    bench.advance(10)
    assert bench.payloads == ["d"]


def test_flush_sends_all_that_waits_at_once(node):
    bench = node("delay", timeout="5")
    feed(bench, "a", "b", every=1)
    bench.input({"flush": True})
    bench.advance(10)
    assert bench.sent == [at(2, payload="a"), at(2, payload="b")]


def test_flush_with_a_number_sends_so_many_of_the_oldest(node):
    bench = node("delay", timeout="5")
    feed(bench, "a", "b", "c", every=1)
    bench.input({"flush": 2})
    assert bench.payloads == ["a", "b"]
    bench.advance(10)
    assert bench.sent[2:] == [at(7, payload="c")]


def test_a_message_that_comes_with_flush_goes_with_the_others(node):
    bench = node("delay", timeout="5")
    feed(bench, "a")
    bench.feed("b", flush=True)
    assert bench.payloads == ["a", "b"]


# -- rate -------------------------------------------------------------------------------------------------------------


def test_the_first_passes_at_once_and_the_others_queue(node):
    bench = node("delay", ONE_IN_TWO_S)
    feed(bench, "a", "b", "c")
    bench.advance(10)
    feed(bench, "d")
    assert bench.sent == [at(0, payload="a"), at(2, payload="b"), at(4, payload="c"), at(10.3, payload="d")]


@pytest.mark.parametrize(
    ("rate", "count", "units", "seconds"),
    [("2", "1", "second", 0.5), ("3", "1", "minute", 20), ("1", "2", "hour", 7200), ("1", "", "day", 86_400)],
)
def test_the_rate_is_messages_in_a_time(node, rate, count, units, seconds):
    bench = node("delay", pauseType="rate", rate=rate, nbRateUnits=count, rateUnits=units)
    feed(bench, "a", "b", every=0)
    bench.advance(3 * seconds)
    assert bench.sent == [at(0, payload="a"), at(seconds, payload="b")]


def test_what_comes_too_early_may_be_dropped(node):
    bench = node("delay", ONE_IN_TWO_S, drop=True)
    feed(bench, *range(5), every=0.9)
    assert bench.payloads == [0, 3]


def test_what_comes_too_early_may_leave_by_the_second_output(node):
    bench = node("delay", ONE_IN_TWO_S, drop=True, outputs=2)
    feed(bench, *range(4), every=0.9)
    assert [(seen.port, seen.msg["payload"]) for seen in bench.sent] == [(0, 0), (1, 1), (1, 2), (0, 3)]


def test_a_message_may_go_to_the_front_of_the_queue(node):
    bench = node("delay", ONE_IN_TWO_S)
    feed(bench, "a", "b")
    feed(bench, "c", toFront=True)
    feed(bench, "d", toFront=True)
    bench.restart()
    bench.advance(10)
    assert bench.payloads == ["a", "d", "c", "b"]


def test_flush_sends_the_queue_or_so_many_of_it_and_the_time_begins_anew(node):
    bench = node("delay", ONE_IN_TWO_S)
    feed(bench, "a", "b", "c", "d", every=0.4)
    bench.input({"flush": 1}, t=1.9)
    assert bench.payloads == ["a", "b"]
    bench.advance_to(10)
    assert bench.sent[2:] == [at(3.9, payload="c"), at(5.9, payload="d")]


def test_reset_drops_the_queue_and_the_next_passes_at_once(node):
    bench = node("delay", ONE_IN_TWO_S)
    feed(bench, "a", "b", "c")
    bench.input({"reset": True})
    feed(bench, "d")
    bench.advance(10)
    assert bench.payloads == ["a", "d"]


def test_reset_lets_the_next_pass_where_early_ones_are_dropped(node):
    bench = node("delay", ONE_IN_TWO_S, drop=True)
    feed(bench, "a", "b")
    bench.input({"reset": True})
    feed(bench, "c")
    assert bench.payloads == ["a", "c"]


def test_the_rate_may_be_changed_by_a_message_until_reset(node):
    bench = node("delay", ONE_IN_TWO_S, allowrate=True)
    feed(bench, "a", "b", "c", every=0)
    bench.feed("d", rate=500)
    bench.advance(2)
    assert [seen.t for seen in bench.sent] == [0, 0.5, 1, 1.5]
    bench.input({"reset": True})
    feed(bench, "e", "f", every=0)
    bench.advance(5)
    assert [seen.t for seen in bench.sent[4:]] == [2, 4]


def test_the_rate_is_not_changed_where_that_is_not_allowed(node):
    bench = node("delay", ONE_IN_TWO_S)
    bench.feed("a", rate=500)
    bench.feed("b", rate=500)
    bench.advance(5)
    assert [seen.t for seen in bench.sent] == [0, 2]


def test_a_changed_rate_counts_at_once_where_early_ones_are_dropped(node):
    bench = node("delay", ONE_IN_TWO_S, drop=True, allowrate=True)
    bench.feed("a", at=0)
    bench.feed("b", at=1, rate=500)
    bench.feed("c", at=1.4)
    bench.feed("d", at=1.6)
    assert bench.payloads == ["a", "b", "d"]


def test_a_rate_that_is_none_is_an_error(node):
    bench = node("delay", ONE_IN_TWO_S, allowrate=True)
    bench.feed("a", rate="fast")
    assert bench.errors == ["msg.rate is 'fast', where a number of milliseconds is needed"]


# -- by topic ---------------------------------------------------------------------------------------------------------


def by_topic(bench):
    for topic, payload in (("a", 1), ("b", 2), ("a", 3), ("c", 4), ("b", 5)):
        bench.feed(payload, topic=topic)
        bench.advance(1)


def test_queue_lets_the_newest_of_one_topic_after_the_other_pass(node):
    bench = node("delay", BY_TOPIC)
    by_topic(bench)
    bench.advance_to(60)
    assert bench.sent == [at(10, payload=3), at(20, payload=5), at(30, payload=4)]


def test_timed_lets_the_newest_of_all_topics_pass_at_once(node):
    bench = node("delay", ALL_TOPICS)
    by_topic(bench)
    bench.feed(6, topic="a", at=42)
    bench.advance_to(60)
    assert bench.sent == [at(10, payload=3), at(10, payload=5), at(10, payload=4), at(50, payload=6)]


def test_replaced_messages_may_leave_by_the_second_output(node):
    bench = node("delay", BY_TOPIC, outputs=2)
    by_topic(bench)
    assert bench.sent == [at(2, port=1, payload=1), at(4, port=1, payload=2)]


def test_messages_without_a_topic_are_one_topic(node):
    bench = node("delay", BY_TOPIC)
    feed(bench, 1, 2)
    bench.advance_to(30)
    assert bench.payloads == [2]


def test_flush_and_reset_work_by_topic_too(node):
    bench = node("delay", BY_TOPIC)
    by_topic(bench)
    bench.input({"flush": 2})
    assert bench.payloads == [3, 5]
    bench.input({"reset": True})
    bench.advance_to(60)
    assert bench.payloads == [3, 5]


# -- burst ------------------------------------------------------------------------------------------------------------


def test_a_burst_passes_and_the_rest_of_the_time_nothing_does(node):
    config = {"pauseType": "burst", "rate": "2", "nbRateUnits": "10", "rateUnits": "second", "outputs": 2}
    bench = node("delay", config)
    for t in (0, 4, 5, 11, 12, 15):
        bench.feed(t, at=t)
    assert [(seen.port, seen.msg["payload"]) for seen in bench.sent] == [
        (0, 0),
        (0, 4),
        (1, 5),
        (0, 11),
        (1, 12),
        (0, 15),
    ]
    bench.input({"reset": True})
    bench.feed(16)
    assert bench.sent[-1].port == 0


# -- what lasts -------------------------------------------------------------------------------------------------------


def test_waiting_messages_survive_a_restart_and_the_time_without_the_program_does_not_count(node):
    bench = node("delay", timeout="5")
    bench.feed("a", at=0)
    bench.feed({"n": [1, None]}, at=2)
    bench.restart(down_s=100)
    bench.advance(10)
    assert bench.sent == [at(105, payload="a"), at(107, payload={"n": [1, None]})]


@pytest.mark.parametrize("config", [ONE_IN_TWO_S, BY_TOPIC])
def test_a_queue_survives_a_restart(node, config):
    bench = node("delay", config)
    for topic in "abc":
        bench.feed(topic, topic=topic)
    bench.restart()
    bench.advance(60)
    assert bench.payloads == ["a", "b", "c"]


def test_what_is_no_json_waits_too_but_a_restart_loses_it_with_a_warning(node):
    bench = node("delay", timeout="5")
    bench.feed(b"\xff", at=0)
    bench.advance(5)
    bench.feed(b"\xff")
    bench.feed("text")
    bench.restart()
    bench.advance(10)
    assert bench.payloads == [b"\xff", "text"]
    assert bench.logged == ["1 waiting messages are lost: they could not be written as JSON and kept over the restart"]


def test_a_deploy_with_another_time_keeps_what_waits(node):
    bench = node("delay", timeout="5")
    bench.feed(b"a", at=0)
    bench.configure(timeout="2")
    bench.feed("b", at=1)
    bench.advance(10)
    assert bench.sent == [at(3, payload="b"), at(5, payload=b"a")]


def test_a_deploy_with_another_way_of_waiting_begins_anew(node):
    bench = node("delay", timeout="5")
    bench.feed("a")
    bench.configure(pauseType="rate")
    bench.advance(10)
    assert bench.sent == []


def test_waiting_messages_are_bounded_the_oldest_is_dropped_with_an_error(node):
    bench = node("delay", timeout="5")
    for n in range(10_001):
        bench.feed(n)
    assert bench.errors == ["10000 messages wait already; the oldest is dropped. More come than may go"]
    bench.advance(10)
    assert (bench.payloads[0], len(bench.payloads)) == (1, 10_000)


def test_the_status_shows_how_many_wait(node):
    bench = node("delay", timeout="5")
    feed(bench, "a", "b")
    bench.advance(1)
    assert bench.status() == "2"
    bench.advance(10)
    assert bench.status() == "0"


def test_the_message_itself_goes_on(node):
    bench = node("delay", timeout="5")
    message = {"payload": {"n": 1}, "_msgid": "m"}
    bench.input(message)
    bench.advance(5)
    assert bench.last is message


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"timeout": "soon"}, "expected a number, found"),
        ({"timeout": "-1"}, "expected a value of at least 0"),
        ({"rate": "0"}, "expected a value of more than 0"),
        ({"randomFirst": "5", "randomLast": "1"}, "randomFirst is above randomLast"),
        ({"pauseType": "sleep"}, "expected 'delay', 'delayv'"),
    ],
)
def test_what_cannot_work_is_refused_before_it_runs(registry, config, said):
    _, problems = configure(Where(), registry["delay"], config, config)
    assert said in problems[0].what
