"""What `mqtt out` promises."""

import pytest
from pydantic import ValidationError

from solarflow.testing import NodeBench


@pytest.fixture
def publishing(node, registry):
    """An `mqtt out` on a bench: `publishing(topic="a/b", ...)`."""

    def make(broker_config=None, **properties) -> NodeBench:
        others = {"broker": (registry["mqtt-broker"], broker_config or {})}
        return node("mqtt out", {"broker": "broker", **properties}, bench={"others": others})

    return make


def published(bench):
    return [(m.topic, m.payload, m.qos, m.retain) for m in bench.mqtt.published]


@pytest.mark.parametrize(
    ("payload", "raw"),
    [
        ({"stato": "ON", "ttl_s": 300}, b'{"stato":"ON","ttl_s":300}'),
        ([1, "città"], '[1,"città"]'.encode()),
        ("text", b"text"),
        ("", b""),
        (None, b""),
        (b"\xff\x00", b"\xff\x00"),
        (bytearray(b"ab"), b"ab"),
        (1500, b"1500"),
        (1500.0, b"1500"),
        (21.5, b"21.5"),
        (True, b"true"),
        (False, b"false"),
    ],
)
def test_a_payload_is_sent_as_node_red_sends_it(publishing, payload, raw):
    bench = publishing(topic="a")
    bench.feed(payload)
    assert published(bench) == [("a", raw, 0, False)]


def test_a_message_without_payload_is_not_published(publishing):
    bench = publishing(topic="a")
    bench.input({"topic": "a"})
    assert published(bench) == []
    assert bench.errors == []


def test_what_json_cannot_say_is_an_error(publishing):
    bench = publishing(topic="a")
    bench.feed({"w": float("nan")})
    bench.feed(float("inf"))
    bench.feed({"w": object()})
    assert published(bench) == []
    assert "JSON has no such value" in bench.errors[0]
    assert "JSON has no such value" in bench.errors[1]
    assert "cannot be sent as JSON" in bench.errors[2]


def test_the_nodes_own_topic_qos_and_retain_come_first(publishing):
    bench = publishing(topic="mine", qos="1", retain="true")
    bench.feed("x", topic="yours", qos=2, retain=False)
    assert published(bench) == [("mine", b"x", 1, True)]


def test_what_the_node_leaves_open_the_message_says(publishing):
    bench = publishing()
    bench.feed("x", topic="yours", qos=2, retain=True)
    bench.feed("x", topic="yours", qos="1", retain="true")
    bench.feed("x", topic="yours", qos=7)
    assert published(bench) == [("yours", b"x", 2, True), ("yours", b"x", 1, True), ("yours", b"x", 0, False)]


def test_a_template_is_filled_from_the_message(publishing):
    bench = publishing(topic="comunita/{home}/rele/{relay}/set")
    bench.feed("ON", home="casa_A", relay=2)
    assert published(bench) == [("comunita/casa_A/rele/2/set", b"ON", 0, False)]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({}, "needs a value for 'home'"),
        ({"home": "casa_A/rele/1/set"}, "cannot be a level of the topic"),
        ({"home": "+"}, "cannot be a level of the topic"),
        ({"home": ""}, "cannot be a level of the topic"),
        ({"home": 1.5}, "cannot be a level of the topic"),
    ],
)
def test_no_message_can_turn_a_template_to_another_topic(publishing, message, text):
    bench = publishing(topic="comunita/{home}/alert")
    bench.input({"payload": "x", **message})
    assert published(bench) == []
    assert text in bench.errors[0]


def test_without_any_topic_it_says_so(publishing):
    bench = publishing()
    bench.feed("x")
    assert "no topic to publish to" in bench.errors[0]


def test_a_message_while_there_is_no_connection_is_refused_counted_and_an_error(publishing):
    bench = publishing(topic="a")
    bench.mqtt.connections[0].set_connected(False, "the broker went away")
    bench.feed("x")
    assert bench.errors == ["'a' was not published: disconnected: the broker went away"]
    assert bench.status() == "disconnected: the broker went away, 1 not sent"
    bench.mqtt.connections[0].set_connected(True)
    assert published(bench) == [], "no command arrives late"
    bench.feed("y")
    assert published(bench) == [("a", b"y", 0, False)]
    assert bench.status() == "connected, 1 not sent"


def test_with_queue_messages_wait_for_the_connection(publishing):
    bench = publishing(topic="a", queue=True)
    bench.mqtt.connections[0].set_connected(False)
    bench.feed("x")
    assert bench.errors == []
    bench.mqtt.connections[0].set_connected(True)
    assert published(bench) == [("a", b"x", 0, False)]


def test_connect_and_disconnect_are_actions(publishing):
    bench = publishing({"autoConnect": False}, topic="a")
    bench.feed("x")
    assert "waits for the action 'connect'" in bench.errors[0]
    bench.input({"action": "connect"})
    bench.feed("y")
    assert published(bench) == [("a", b"y", 0, False)]
    bench.input({"action": "dance", "payload": "x"})
    assert "'dance'" in bench.errors[1]


def test_a_last_word_of_a_removed_flow_still_goes_out(publishing):
    bench = publishing(topic="a")
    broker = bench.mqtt.connections[0]
    bench.node.on_removed = lambda: bench.node.on_input({"payload": "OFF"})
    bench.remove()
    assert published(bench) == [("a", b"OFF", 0, False)]
    assert not broker.connected


@pytest.mark.parametrize("topic", ["a/+", "a/#", "a/x{home}", "a\0", "comunita/{home}/#"])
def test_a_topic_that_one_cannot_publish_to_is_refused(publishing, topic):
    with pytest.raises(ValidationError):
        publishing(topic=topic)


def test_an_export_of_node_red_is_read(publishing):
    bench = publishing(topic="a", qos="", retain="", respTopic="", contentType="", userProps="", correl="", expiry="")
    bench.feed("x")
    assert published(bench) == [("a", b"x", 0, False)]
