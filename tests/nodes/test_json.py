"""What `json` promises."""

import pytest
from pydantic import ValidationError

from solarflow.testing import run_example


@pytest.mark.parametrize(
    ("payload", "turned"),
    [
        ('{"a": [1, 2.5, null, true]}', {"a": [1, 2.5, None, True]}),
        ("5", 5),
        (b'"x"', "x"),
        ({"a": [1, "città"]}, '{"a":[1,"città"]}'),
        ([1], "[1]"),
        (5, "5"),
        (True, "true"),
        (None, "null"),
    ],
)
def test_a_text_becomes_a_value_and_a_value_a_text(node, payload, turned):
    bench = node("json")
    bench.feed(payload)
    assert bench.payloads == [turned]


@pytest.mark.parametrize(
    ("action", "payload", "turned"),
    [("obj", "[1]", [1]), ("obj", [1], [1]), ("str", [1], "[1]"), ("str", "[1]", "[1]")],
)
def test_with_an_action_what_is_that_already_passes(node, action, payload, turned):
    bench = node("json", action=action)
    bench.feed(payload)
    assert bench.payloads == [turned]


def test_another_property_may_be_named(node):
    bench = node("json", property="payload.inner")
    bench.feed({"inner": "[1]"})
    assert bench.payloads == [{"inner": [1]}]


def test_a_message_without_the_property_passes(node):
    bench = node("json")
    bench.input({"topic": "a"})
    assert bench.last["topic"] == "a"


def test_pretty_text_has_four_spaces(node):
    bench = node("json", pretty=True)
    bench.feed({"a": 1})
    assert bench.payloads == ['{\n    "a": 1\n}']


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ('{"a":', "'payload' is not JSON: "),
        ('{"a": NaN}', "NaN"),
        ("1e999", "too large"),
        ("[" * 101 + "]" * 101, "deeper than 100"),
        (b"\xff", "not UTF-8"),
        ({"a": float("nan")}, "cannot be written as JSON"),
        ({"a": object()}, "cannot be written as JSON"),
    ],
)
def test_what_cannot_be_turned_is_an_error(node, payload, text):
    bench = node("json")
    bench.feed(payload)
    assert bench.sent == []
    assert text in bench.errors[0]


def test_a_schema_is_refused_rather_than_ignored(node):
    bench = node("json")
    bench.feed("{}", schema={"type": "object"})
    assert bench.sent == []
    assert "msg.schema is not available" in bench.errors[0]


def test_a_property_that_is_none_is_refused(node):
    with pytest.raises(ValidationError, match="cannot be read from"):
        node("json", property="a b")


def test_the_example_of_its_help_holds(registry):
    sent, expected = run_example(registry["json"], registry["json"].EXAMPLE)
    assert sent == expected
