"""The range node: the statements of Node-RED's documentation."""

import pytest

from solarflow.errors import Where
from solarflow.validate import configure

BOUNDS = {"minin": "0", "maxin": "10", "minout": "0", "maxout": "100"}


def mapped(node, payload, **config):
    bench = node("range", {**BOUNDS, **config})
    bench.feed(payload)
    assert bench.errors == []
    return bench.payloads


@pytest.mark.parametrize(
    ("action", "payload", "result"),
    [
        ("scale", 5, 50), ("scale", -1, -10), ("scale", 12, 120), ("clamp", -1, 0), ("clamp", 12, 100),
        ("clamp", 5, 50),
        ("roll", 12, 20), ("roll", -1, 90), ("roll", 10, 0), ("drop", 5, 50), ("drop", 0, 0), ("drop", 10, 100),
    ],
)  # fmt: skip
def test_a_value_is_mapped(node, action, payload, result):
    assert mapped(node, payload, action=action) == [pytest.approx(result)]


@pytest.mark.parametrize("payload", [-0.1, 10.1])
def test_drop_sends_nothing_for_what_lies_outside(node, payload):
    assert mapped(node, payload, action="drop") == []


def test_the_ranges_may_be_upside_down(node):
    assert mapped(node, 2, minout="100", maxout="0") == [pytest.approx(80)]
    assert mapped(node, 2, minin="10", maxin="0", action="clamp") == [pytest.approx(80)]


@pytest.mark.parametrize(("payload", "result"), [(1.26, 13), (1.25, 13), (1.24, 12), (-1.25, -12)])
def test_the_result_may_be_rounded_halves_up(node, payload, result):
    (got,) = mapped(node, payload, round=True)
    assert got == result
    assert type(got) is int


def test_a_text_that_is_a_number_counts(node):
    assert mapped(node, "5") == [50]


def test_another_property_may_be_mapped(node):
    bench = node("range", BOUNDS, property="payload.level")
    bench.feed({"level": 1})
    assert bench.payloads == [{"level": 10}]


def test_a_message_without_the_property_goes_on_as_it_is(node):
    bench = node("range", BOUNDS, property="level")
    bench.feed("x")
    assert bench.payloads == ["x"]


@pytest.mark.parametrize("payload", ["ten", {}, [1, 2], "Infinity"])
def test_what_is_no_number_is_an_error_and_the_next_message_is_unharmed(node, payload):
    bench = node("range", BOUNDS)
    bench.feed(payload)
    assert "where a number is needed" in bench.errors[0]
    bench.feed(1)
    assert bench.payloads == [10]


def test_an_empty_input_range_is_refused(registry):
    config = {**BOUNDS, "maxin": "0"}
    _, problems = configure(Where(), registry["range"], config, config)
    assert problems[0].what == "the input range from 0 to 0 is empty"
