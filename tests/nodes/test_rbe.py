"""The filter node (Node-RED's type rbe): the statements of its documentation."""

import pytest

from solarflow.errors import Where
from solarflow.validate import configure


def passed(node, payloads, **config):
    bench = node("rbe", config)
    for payload in payloads:
        bench.feed(payload)
    assert bench.errors == []
    return bench.payloads


@pytest.mark.parametrize(
    ("payloads", "result"),
    [
        (["a", "a", "b", "b", "a"], ["a", "b", "a"]),
        ([0, 0.0, False, "0", 0], [0, False, "0", 0]),
        ([None, None, 1], [None, 1]),
        ([{"a": [1], "b": 2}, {"b": 2.0, "a": [1]}, {"a": [2], "b": 2}], [{"a": [1], "b": 2}, {"a": [2], "b": 2}]),
        ([[], {}, []], [[], {}, []]),
        ([b"a", b"a", b"b"], [b"a", b"b"]),
    ],
)
def test_only_what_has_changed_passes(node, payloads, result):
    assert passed(node, payloads, func="rbe") == result


def test_the_first_value_may_be_ignored(node):
    assert passed(node, [1, 1, 2, 1], func="rbei") == [2, 1]


def test_a_value_that_is_changed_after_it_was_sent_is_still_compared_as_it_was(node):
    bench = node("rbe")
    value = {"a": 1}
    bench.feed(value)
    value["a"] = 2
    bench.feed({"a": 1})
    assert len(bench.sent) == 1


@pytest.mark.parametrize(
    ("func", "inout", "result"),
    [
        ("deadband", "out", [0, 11, 0]),
        ("deadbandEq", "out", [0, 10, 20, 0]),
        ("deadband", "in", [0, 0]),
        ("deadbandEq", "in", [0, 10, 0]),
        ("narrowband", "out", [0, 10, 11, 15, 20]),
        ("narrowbandEq", "out", [0, 0]),
        ("narrowband", "in", [0, 10, 11, 15, 20]),
        ("narrowbandEq", "in", [0, 11, 15, 20]),
    ],
)
def test_a_band_compares_with_the_last_that_passed_or_the_last_that_came(node, func, inout, result):
    assert passed(node, [0, 10, 11, 15, 20, 0], func=func, gap="10", inout=inout) == result


def test_a_gap_may_be_a_share_of_the_value_before(node):
    assert passed(node, [100, 109, 111, 121, 123], func="deadband", gap="10%") == [100, 111, 123]


def test_the_first_value_of_a_narrowband_is_compared_with_the_start_value(node):
    assert passed(node, [100, 4, 8], func="narrowband", gap="5", start="1") == [4, 8]


def test_a_band_reads_the_number_that_a_text_begins_with(node):
    assert passed(node, ["10 W", "14 W", "16 W"], func="deadband", gap="5") == ["10 W", "16 W"]


def test_what_is_no_number_is_an_error_and_leaves_the_value_before_alone(node):
    bench = node("rbe", func="deadband", gap="5")
    for payload in (10, "off", 14, 16):
        bench.feed(payload)
    assert bench.errors == ["'payload' is 'off', where a number is needed"]
    assert bench.payloads == [10, 16]


def test_what_cannot_be_compared_is_an_error(node):
    bench = node("rbe")
    bench.feed(object())
    assert bench.errors == ["'payload' is a object, which cannot be compared with the one before"]


def test_topics_are_compared_apart(node):
    bench = node("rbe")
    for topic, payload in (("a", 1), ("b", 1), ("a", 1), (None, 1), ("b", 2)):
        bench.feed(payload, topic=topic)
    assert [seen.msg["topic"] for seen in bench.sent] == ["a", "b", None, "b"]


def test_topics_may_be_compared_together_or_by_another_property(node):
    together = node("rbe", septopics=False)
    by_home = node("rbe", topi="home")
    for bench in (together, by_home):
        bench.feed(1, topic="a", home="x")
        bench.feed(1, topic="b", home="x")
        bench.feed(1, topic="b", home="y")
    assert len(together.sent) == 1
    assert [seen.msg["home"] for seen in by_home.sent] == ["x", "y"]


def test_a_message_without_the_property_is_ignored(node):
    bench = node("rbe", property="payload.n")
    bench.feed({"m": 1})
    bench.feed({"n": 1})
    assert bench.payloads == [{"n": 1}]


def test_reset_forgets_the_value_of_its_topic_or_of_all(node):
    bench = node("rbe")
    bench.feed(1, topic="a")
    bench.feed(1, topic="b")
    bench.input({"topic": "a", "reset": True})
    bench.feed(1, topic="a")
    bench.feed(1, topic="b")
    assert len(bench.sent) == 3
    bench.input({"reset": True})
    bench.feed(1, topic="a")
    bench.feed(1, topic="b")
    assert len(bench.sent) == 5


def test_a_value_that_comes_with_reset_is_a_first_one(node):
    bench = node("rbe")
    bench.feed(1)
    bench.feed(1, reset=True)
    assert len(bench.sent) == 2


def test_values_survive_a_restart_and_a_change_of_the_gap(node):
    bench = node("rbe", func="deadband", gap="10")
    bench.feed(100)
    bench.restart(down_s=60)
    bench.feed(105)
    bench.configure(gap="4")
    bench.feed(104)
    bench.feed(105)
    assert bench.payloads == [100, 105]


def test_another_function_begins_anew(node):
    bench = node("rbe", func="rbe")
    bench.feed("on")
    bench.configure(func="deadband", gap="1")
    bench.feed(5)
    assert bench.payloads == ["on", 5]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"gap": "ten"}, "'ten' is neither a number nor a share such as 10%"),
        ({"start": "x"}, "'x' is not a number"),
        ({"property": "a b"}, "'a b' cannot be read"),
        ({"func": "deadbnd"}, "expected 'rbe', 'rbei', 'deadband'"),
    ],
)
def test_what_cannot_work_is_refused_before_it_runs(registry, config, said):
    _, problems = configure(Where(), registry["rbe"], config, config)
    assert said in problems[0].what
