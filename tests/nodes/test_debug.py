"""debug: what it shows, and that it shows no more than that."""

import json

import pytest
from pydantic import ValidationError


def shown(bench):
    return [entry["value"] for entry in bench.debugged]


def test_it_shows_the_payload_with_where_it_came_from(node):
    debug = node("debug")
    debug.feed({"power_w": 1500}, topic="a/b", home="casa_A", at=5)
    (entry,) = debug.debugged
    assert entry["value"] == {"power_w": 1500}
    assert (entry["name"], entry["property"], entry["format"]) == ("under test", "payload", "Object")
    assert (entry["topic"], entry["home"], entry["ts"]) == ("a/b", "casa_A", debug.clock.now())


@pytest.mark.parametrize("properties", [{"complete": "true"}, {"complete": True}, {"targetType": "full"}])
def test_it_shows_the_whole_message_on_request(node, properties):
    debug = node("debug", **properties)
    debug.feed(1, topic="a/b")
    assert shown(debug)[0]["payload"] == 1
    assert shown(debug)[0]["topic"] == "a/b"


def test_it_shows_another_property(node):
    debug = node("debug", complete="payload.power[1]", targetType="msg")
    debug.feed({"power": [1, 2]})
    debug.feed({"power": [1]})
    assert shown(debug) == [2, "(undefined)"]
    assert [entry["format"] for entry in debug.debugged] == ["number", "undefined"]


@pytest.mark.parametrize("properties", [{"complete": "false"}, {"complete": False}, {"complete": ""}])
def test_older_exports_mean_the_payload(node, properties):
    debug = node("debug", **properties)
    debug.feed(1)
    assert shown(debug) == [1]


def test_an_inactive_node_does_nothing(node):
    debug = node("debug", active=False, tostatus=True, console=True)
    debug.feed(1)
    assert (debug.debugged, debug.logged, debug.status()) == ([], [], "")


def test_it_writes_to_the_log_instead_or_as_well(node):
    debug = node("debug", console="true", tosidebar=False)
    debug.feed({"a": 1})
    debug.feed("text")
    assert debug.logged == ['{"a": 1}', "text"]
    assert debug.debugged == []


# -- status -----------------------------------------------------------------------------------------------------


def test_it_shows_what_it_shows_as_status_too_cut_to_32_characters(node):
    debug = node("debug", tostatus=True)
    debug.feed("short")
    assert debug.status() == "short"
    debug.feed("x" * 40)
    assert debug.status() == "x" * 32 + "…"


def test_with_the_whole_message_the_status_is_the_payload(node):
    debug = node("debug", tostatus=True, complete="true")
    debug.feed(7)
    assert debug.status() == "7"


def test_the_status_may_be_another_property(node):
    debug = node("debug", tostatus=True, statusVal="topic", statusType="msg")
    debug.feed(1, topic="a/b")
    assert debug.status() == "a/b"


def test_the_status_may_count_the_messages(node):
    debug = node("debug", tostatus=True, statusType="counter", tosidebar=False)
    debug.feed("a")
    debug.feed("b")
    assert debug.status() == "2"


def test_an_object_with_text_fill_and_shape_becomes_the_status(node):
    debug = node("debug", tostatus=True)
    debug.feed({"text": "down", "fill": "red", "shape": "ring"})
    status = debug.engine.statuses["node"][""]
    assert (status.text, status.fill, status.shape) == ("down", "red", "ring")


def test_a_message_about_its_own_status_is_not_shown_as_status(node):
    debug = node("debug", tostatus=True)
    debug.feed("mine", status={"source": {"id": "node"}})
    assert debug.status() == ""
    debug.feed("another's", status={"source": {"id": "other"}})
    assert debug.status() == "another's"


# -- the picture ------------------------------------------------------------------------------------------------


class Foreign:
    pass


def circular():
    value = {}
    value["self"] = value
    return value


@pytest.mark.parametrize(
    ("value", "picture", "kind"),
    [
        (b"hello", "hello", "buffer[5]"),
        (b"\x00\xff", "0x00ff", "buffer[2]"),
        (None, None, "null"),
        (True, True, "boolean"),
        (float("nan"), "nan", "number"),
        ((1, "a"), [1, "a"], "array[2]"),
        ({1: b"x"}, {"1": "x"}, "Object"),
        (Foreign(), "(Foreign)", "Foreign"),
        (circular(), {"self": "(circular)"}, "Object"),
        ("half \ud800", "half \\ud800", "string[6]"),
    ],
)
def test_anything_can_be_shown(node, value, picture, kind):
    debug = node("debug")
    debug.feed(value)
    (entry,) = debug.debugged
    assert (entry["value"], entry["format"]) == (picture, kind)
    json.dumps(entry).encode()


@pytest.mark.parametrize(
    "value",
    ["x" * 1_000_000, b"\xff" * 1_000_000, list(range(1_000_000)), {"a": {str(i): "x" * 100 for i in range(10_000)}},
     ["", [], {}] * 100_000, 10**50_000],
    ids=["text", "bytes", "list", "object", "empties", "number"],
)  # fmt: skip
def test_a_large_payload_is_cut_and_says_so(node, value):
    debug = node("debug")
    debug.feed(value)
    (entry,) = debug.debugged
    assert entry["cut"]
    assert len(json.dumps(entry)) < 30_000


def test_nesting_beyond_sense_is_cut(node):
    value = []
    for _ in range(10_000):
        value = [value]
    debug = node("debug")
    debug.node.on_input({"payload": value})
    assert debug.debugged[0]["cut"]


def test_what_was_shown_does_not_change_with_the_message(node):
    debug = node("debug")
    msg = {"payload": {"a": [1]}}
    debug.input(msg)
    msg["payload"]["a"].append(2)
    assert shown(debug) == [{"a": [1]}]


@pytest.mark.parametrize("properties", [{"targetType": "jsonata"}, {"statusType": "jsonata"}])
def test_jsonata_is_refused_with_what_to_do_instead(node, properties):
    with pytest.raises(ValidationError, match="'expression' node"):
        node("debug", **properties)
