import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from solarflow.registry import load_registry
from solarflow.testing import START, NodeBench, at

WINDOW = load_registry()["window"]


def test_a_tumbling_window_is_sent_when_its_time_is_over(node):
    window = node("window", size=900, function="mean")
    window.feed(100, home="a", at=0)
    window.feed(300, home="a", at=600)
    window.advance_to(899)
    assert window.sent == []
    window.advance_to(900)
    assert window.sent == [at(900, home="a", payload=200, count=2, start=START, end=START + 900)]


def test_each_home_has_windows_of_its_own(node):
    window = node("window", size=60)
    window.feed(1, home="a", at=0)
    window.feed(9, home="b", at=30)
    window.advance_to(61)
    assert sorted((seen.msg["home"], seen.msg["payload"]) for seen in window.sent) == [("a", 1), ("b", 9)]


@pytest.mark.parametrize(
    ("function", "expected"),
    [("latest", 2), ("mean", 3), ("median", 2), ("min", 1), ("max", 6), ("sum", 9), ("count", 3), ("list", [1, 6, 2])],
)
def test_the_function_reduces_the_values_in_order_of_time(node, function, expected):
    window = node("window", size=60, function=function)
    for t, value in ((0, 1), (10, 6), (20, 2)):
        window.feed(value, home="a", at=t)
    window.advance_to(60)
    assert window.payloads == [expected]


def test_a_late_message_within_the_lateness_still_counts(node):
    window = node("window", size=60, function="sum", lateness_s=30)
    window.feed(1, home="a", at=10)
    window.feed(2, home="a", at=70)
    window.feed(4, home="a", at=80, ts=START + 20)
    window.advance_to(200)
    assert window.sent == [at(90, payload=5), at(150, payload=2)]


def test_a_message_after_its_window_is_dropped_and_counted(node):
    window = node("window", size=60, function="sum")
    window.feed(1, home="a", at=10)
    window.advance_to(61)
    window.feed(4, home="a", ts=START + 20)
    window.advance_to(200)
    assert window.payloads == [1]
    assert window.status("a") == "1 too late"


def test_a_sliding_window_looks_back_from_each_message(node):
    window = node("window", kind="sliding", size=60, function="sum")
    for t in (0, 30, 60, 90):
        window.feed(1, home="a", at=t)
    assert window.payloads == [1, 2, 2, 2]


def test_windows_by_count(node):
    tumbling = node("window", by="count", size=2, function="sum")
    sliding = node("window", by="count", kind="sliding", size=2, function="sum")
    for window in (tumbling, sliding):
        for value in (1, 2, 3, 4):
            window.feed(value, home="a")
    assert tumbling.payloads == [3, 7]
    assert sliding.payloads == [1, 3, 5, 7]


def test_a_session_ends_with_the_silence(node):
    window = node("window", kind="session", size=60, function="count")
    for t in (0, 40, 80):
        window.feed(1, home="a", at=t)
    window.advance_to(139)
    assert window.sent == []
    window.feed(1, home="a", at=300)
    window.advance_to(400)
    assert window.sent == [at(140, payload=3), at(360, payload=1)]


def test_windows_with_too_few_values_are_not_sent(node):
    window = node("window", size=60, min_count=2)
    window.feed(1, home="a", at=0)
    window.advance_to(61)
    assert window.sent == []


def test_an_open_window_survives_a_restart(node):
    window = node("window", size=900, function="sum")
    window.feed(1, home="a", at=0)
    window.checkpoint()
    window.restart(down_s=60, killed=True)
    window.feed(2, home="a", at=100)
    window.advance_to(901)
    assert window.payloads == [3]


def test_a_window_that_ended_while_the_engine_was_down_is_sent_at_the_start(node):
    window = node("window", size=60, function="sum")
    window.feed(1, home="a", at=0)
    window.restart(down_s=1000)
    window.advance(1)
    assert window.payloads == [1]


def test_another_kind_of_window_begins_anew(node):
    window = node("window", size=60, function="sum")
    window.feed(1, home="a", at=0)
    window.configure(kind="sliding")
    window.feed(2, home="a", at=1)
    assert window.payloads == [2]


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"kind": "session", "by": "count"}, "a session ends by time"),
        ({"by": "count", "size": 2.5}, "a whole number is needed"),
        ({"property": "a[["}, "cannot be read"),
    ],
)
def test_a_window_that_cannot_work_is_refused(config, text):
    with pytest.raises(ValidationError, match=text):
        WINDOW.Config.model_validate(config)


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(-5, 5)), min_size=1, max_size=40))
def test_every_message_is_in_one_window_or_counted_as_late(samples):
    window = NodeBench(WINDOW, {"size": 100, "function": "count", "lateness_s": 50})
    for ts, value in samples:
        window.input({"home": "a", "payload": value, "ts": START + ts})
    window.advance(4000)
    late = window.node.state.peek("a").late
    assert sum(window.payloads) + late == len(samples)
    window.close()
