"""What `mqtt in` promises."""

import json

import pytest
from pydantic import ValidationError

from solarflow.errors import FlowError
from solarflow.flowbench import FlowBench
from solarflow.testing import START, NodeBench, at, run_example

APPROVED = [{"id": "casa_A"}, {"id": "casa_B"}, {"id": "casa_X", "approved": False}]


@pytest.fixture
def listening(node, registry):
    """An `mqtt in` on a bench: `listening(topic="a/b", ...)`; the broker's properties go into `broker_config`."""

    def make(broker_config=None, **properties) -> NodeBench:
        others = {"broker": (registry["mqtt-broker"], broker_config or {})}
        return node("mqtt in", {"broker": "broker", **properties}, bench={"others": others, "homes": APPROVED})

    return make


def test_a_named_level_becomes_a_property_of_the_message(listening):
    bench = listening(topic="comunita/{home}/rele/{relay}")
    bench.mqtt.deliver("comunita/casa_A/rele/2", {"stato": "ON"}, qos=1)
    assert bench.sent == [
        at(0, topic="comunita/casa_A/rele/2", payload={"stato": "ON"}, qos=1, retain=False, home="casa_A", relay="2")
    ]
    assert bench.mqtt.connections[0].subscriptions[0].filter == "comunita/+/rele/+"


def test_plain_wildcards_work_as_in_node_red(listening):
    bench = listening(topic="comunita/+/stato/#")
    for topic in ("comunita/casa_A/stato", "comunita/x/stato/a/b", "comunita/x/altro"):
        bench.mqtt.deliver(topic, b"1")
    assert [seen.msg["topic"] for seen in bench.sent] == ["comunita/casa_A/stato", "comunita/x/stato/a/b"]
    assert "home" not in bench.last


@pytest.mark.parametrize(
    ("datatype", "raw", "payload"),
    [
        ("auto-detect", b'{"a": [1, 2.5]}', {"a": [1, 2.5]}),
        ("auto-detect", b"21.5", 21.5),
        ("auto-detect", b"online", "online"),
        ("auto-detect", b"\xff\x00", b"\xff\x00"),
        ("auto-detect", b"", ""),
        ("auto", b'{"a": 1}', '{"a": 1}'),
        ("auto", b"\xff", b"\xff"),
        ("json", b"[true, null]", [True, None]),
        ("utf8", "città".encode(), "città"),
        ("buffer", b"abc", b"abc"),
        ("base64", b"\xff\x00", "/wA="),
    ],
)
def test_the_payload_is_read_as_its_datatype_says(listening, datatype, raw, payload):
    bench = listening(topic="a", datatype=datatype)
    bench.mqtt.deliver("a", raw)
    assert bench.payloads == [payload]


@pytest.mark.parametrize(
    ("datatype", "raw", "reason"),
    [
        ("json", b"{", "not JSON"),
        ("json", b"\xff", "not UTF-8"),
        ("utf8", b"\xff", "not UTF-8"),
        ("json", b'{"w": NaN}', "NaN"),
        ("auto-detect", b'{"w": -Infinity}', "-Infinity"),
        ("auto-detect", b'{"w": 1e999}', "too large"),
        ("json", b'"\\ud800"', "surrogate"),
        ("auto-detect", b"[" * 21 + b"]" * 21, "deeper than 20"),
        ("auto-detect", b"[" * 30_000 + b"]" * 30_000, "deeper than 20"),
        ("auto-detect", b"x" * 65_537, "65537 bytes"),
    ],
)
def test_what_may_not_enter_is_refused_counted_and_shown(listening, datatype, raw, reason):
    bench = listening(topic="a/+", datatype=datatype)
    bench.mqtt.deliver("a/b", raw)
    bench.mqtt.deliver("a/b", b'{"w": 1}')
    bench.mqtt.deliver("a/b", raw)
    assert len(bench.sent) == 1
    assert bench.node.refused["a/b"].count == 2
    assert reason in bench.node.refused["a/b"].reason
    bench.advance(1)
    assert bench.status().startswith("connected, 2 refused (last: a/b: ")
    assert reason in bench.status()
    assert len(bench.logged) == 1, "one line for each topic"


def test_twenty_levels_of_brackets_are_not_too_deep_and_flat_lists_may_be_long(listening):
    bench = listening(topic="a")
    bench.mqtt.deliver("a", b"[" * 20 + b"]" * 20)
    bench.mqtt.deliver("a", [[n] for n in range(100)])
    assert len(bench.sent) == 2


def test_a_key_that_stands_twice_is_tolerated(listening):
    bench = listening(topic="a")
    bench.mqtt.deliver("a", b'{"w": 1, "w": 2}')
    assert bench.payloads == [{"w": 2}]


def test_only_the_last_hundred_refusing_topics_are_kept(listening):
    bench = listening(topic="a/+", datatype="json")
    for number in range(150):
        bench.mqtt.deliver(f"a/{number}", b"{")
    assert list(bench.node.refused) == [f"a/{n}" for n in range(50, 150)]
    assert bench.node.refused_count == 150


def test_the_status_changes_once_a_second_at_most_however_much_is_refused(listening):
    bench = listening(topic="a", datatype="json")
    shown = []
    bench.engine.on_event.append(lambda kind, what: shown.append(what["status"].text) if kind == "status" else None)
    for _ in range(1000):
        bench.mqtt.deliver("a", b"{")
    assert shown == []
    bench.advance(5)
    assert len(shown) == 1 and "1000 refused" in shown[0]


def test_a_home_that_nobody_approved_is_listed_and_does_not_enter(listening):
    bench = listening(topic="comunita/{home}/produzione")
    for home in ("casa_A", "casa_X", "stranger"):
        bench.mqtt.deliver(f"comunita/{home}/produzione", {"potenza_w": 1})
    assert [seen.msg["home"] for seen in bench.sent] == ["casa_A"]
    assert [(home, topic, json.loads(raw)) for home, topic, raw, _ in bench.homes.unknown] == [
        ("casa_X", "comunita/casa_X/produzione", {"potenza_w": 1}),
        ("stranger", "comunita/stranger/produzione", {"potenza_w": 1}),
    ]
    bench.homes.add(id="stranger")
    bench.mqtt.deliver("comunita/stranger/produzione", {"potenza_w": 2})
    assert bench.last["home"] == "stranger"


def test_with_approved_only_off_every_home_enters(listening):
    bench = listening(topic="comunita/{home}/produzione", approved_only=False)
    bench.mqtt.deliver("comunita/stranger/produzione", b"1")
    assert bench.last["home"] == "stranger"
    assert bench.homes.unknown == []


def test_where_there_is_no_list_of_homes_every_home_enters(listening):
    bench = listening(topic="comunita/{home}/produzione")
    bench.engine.services.homes = None
    bench.configure(max_depth=10)
    bench.mqtt.deliver("comunita/stranger/produzione", b"1")
    assert bench.last["home"] == "stranger"


def test_ts_in_the_payload_is_when_it_was_measured(listening):
    bench = listening(topic="a")
    bench.mqtt.deliver("a", {"ts": START - 10})
    bench.mqtt.deliver("a", {"ts": (START - 20) * 1000})
    bench.mqtt.deliver("a", {"w": 1})
    bench.mqtt.deliver("a", {"ts": "yesterday"})
    bench.mqtt.deliver("a", {"ts": None, "w": 1})
    assert [seen.msg["ts"] - START for seen in bench.sent] == [-10, -20, 0, 0, 0]
    assert bench.sent[1].msg["payload"] == {"ts": START - 20}, "seconds in the payload, too"
    assert bench.last["payload"] == {"w": 1}
    assert not any("late" in seen.msg for seen in bench.sent)


def test_what_was_measured_long_ago_is_late(listening):
    bench = listening(topic="a", late_after_s=60)
    for payload in ({"ts": START - 60}, {"ts": START - 61}, {"ts": START - 1, "arretrato": True}, {"arretrato": True}):
        bench.mqtt.deliver("a", payload)
    assert [seen.msg.get("late") for seen in bench.sent] == [None, True, True, True]


def test_a_clock_that_is_ahead_is_quarantined_with_an_alert_until_it_is_right_again(listening):
    bench = listening(topic="comunita/{home}/produzione")
    topic = "comunita/casa_A/produzione"
    bench.mqtt.deliver(topic, {"ts": START + 299})
    bench.mqtt.deliver(topic, {"ts": START + 301})
    bench.mqtt.deliver(topic, {"ts": START + 999})
    assert len(bench.sent) == 1
    (alert,) = bench.alerts.alerts
    assert (alert.home, alert.code, alert.closed_at) == ("casa_A", "clock-skew", None)
    assert alert.parameters == {"topic": topic, "ahead_s": 301}
    assert bench.node.refused[topic].count == 2
    bench.mqtt.deliver("comunita/casa_B/produzione", {"ts": START})
    bench.mqtt.deliver(topic, {"ts": START - 7200})
    assert alert.closed_at is None, "another home, or an old reading, proves nothing"
    bench.advance(10)
    bench.mqtt.deliver(topic, {"ts": START + 10})
    assert alert.closed_at == START + 10
    assert len(bench.sent) == 4


def test_an_open_clock_alert_is_closed_after_a_restart_too(listening):
    bench = listening(topic="comunita/{home}/produzione")
    bench.mqtt.deliver("comunita/casa_A/produzione", {"ts": START + 3600})
    bench.restart(down_s=10)
    bench.mqtt.deliver("comunita/casa_A/produzione", {"ts": START + 10})
    assert bench.alerts.alerts[0].closed_at == START + 10


def test_a_number_too_large_for_a_time_is_a_clock_that_is_ahead(listening):
    bench = listening(topic="a")
    bench.mqtt.deliver("a", b'{"ts": 1' + b"0" * 400 + b"}")
    bench.mqtt.deliver("a", b"{}")
    assert bench.payloads == [{}]
    assert bench.errors == []


@pytest.mark.parametrize(
    ("properties", "heard"),
    [
        ({"topic": "casa/rele/1/set"}, []),
        ({"topic": "casa/rele/1/set", "ignore_retained": False}, [True]),
        ({"topic": "casa/rele/1"}, [True]),
        ({"topic": "casa/rele/1", "ignore_retained": True}, []),
        ({"topic": "casa/rele/1", "rh": "2"}, []),
    ],
)
def test_retained_messages_are_ignored_on_command_topics_and_on_request(listening, properties, heard):
    bench = listening(**properties)
    bench.mqtt.deliver(properties["topic"], b"ON", retain=True)
    assert [seen.msg["retain"] for seen in bench.sent] == heard
    bench.mqtt.deliver(properties["topic"], b"ON")
    assert bench.last["retain"] is False


def test_the_status_says_how_the_connection_stands_and_why(listening):
    bench = listening(topic="a")
    connection = bench.mqtt.connections[0]
    assert bench.status() == "connected"
    connection.set_connected(False, "the broker went away")
    assert bench.status() == "disconnected: the broker went away"
    connection.set_connected(True)
    assert bench.status() == "connected"


def test_an_error_downstream_stops_no_message_of_the_batch(listening):
    bench = listening(topic="a", datatype="json")
    subscription = bench.mqtt.connections[0].subscriptions[0]

    class Message:
        topic, qos, retain, properties = "a", 0, False, None

        def __init__(self, payload):
            self.payload = payload

    subscription.callback([Message(b"1"), Message(b"{"), Message(b"2")])
    assert bench.payloads == [1, 2]


def test_it_unsubscribes_when_its_flow_is_deployed_without_it(listening):
    bench = listening(topic="a")
    (connection,) = bench.mqtt.connections
    bench.configure(topic="b")
    assert [subscription.filter for subscription in connection.subscriptions] == ["b"]
    bench.remove()
    assert connection.subscriptions == []
    assert bench.mqtt.connections == []


# -- dynamic subscriptions ------------------------------------------------------------------------------------------


def test_messages_subscribe_and_unsubscribe_a_dynamic_node(listening):
    bench = listening(inputs=1)
    bench.input({"action": "subscribe", "topic": ["a/+", {"topic": "b/{what}", "qos": 1, "datatype": "utf8"}]})
    bench.mqtt.deliver("a/1", b"1")
    bench.mqtt.deliver("b/temperature", b"1")
    assert bench.sent == [at(0, topic="a/1", payload=1), at(0, topic="b/temperature", payload="1", what="temperature")]
    bench.input({"action": "unsubscribe", "topic": "a/+"})
    bench.mqtt.deliver("a/1", b"2")
    assert len(bench.sent) == 2
    bench.input({"action": "getSubscriptions"})
    assert bench.last["topic"] == "subscriptions"
    assert bench.last["payload"] == [{"topic": "b/{what}", "qos": 1, "datatype": "utf8"}]
    bench.input({"action": "unsubscribe", "topic": True})
    bench.mqtt.deliver("b/temperature", b"2")
    assert len(bench.sent) == 3


def test_subscribing_twice_to_one_topic_delivers_once(listening):
    bench = listening(inputs=1)
    for qos in (0, 1):
        bench.input({"action": "subscribe", "topic": {"topic": "a", "qos": qos}})
    bench.mqtt.deliver("a", b"1")
    assert bench.payloads == [1]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"action": "dance"}, "the action 'dance' is not known"),
        ({"action": "subscribe"}, "'topic' must be a topic"),
        ({"action": "subscribe", "topic": ["a", "b/#/c"]}, "'#' must be the whole last level"),
        ({"action": "subscribe", "topic": {"topic": "a", "qos": 3}}, "is not 0, 1 or 2"),
        ({"action": "subscribe", "topic": {"topic": "a", "datatype": "xml"}}, "'xml'"),
    ],
)
def test_a_wrong_action_is_an_error_and_changes_nothing(listening, message, text):
    bench = listening(inputs="1")
    bench.input(message)
    assert text in bench.errors[0]
    assert bench.mqtt.connections[0].subscriptions == []


def test_a_node_with_a_topic_of_its_own_takes_no_messages(listening):
    bench = listening(topic="a")
    bench.input({"action": "subscribe", "topic": "b"})
    assert "set 'inputs' to 1" in bench.errors[0]


def test_connect_and_disconnect_are_actions(listening):
    bench = listening({"autoConnect": False, "broker": "one"}, inputs=1)
    bench.input({"action": "subscribe", "topic": "a"})
    assert bench.mqtt.connections == []
    assert bench.status() == "disconnected: waits for the action 'connect'"
    bench.input({"action": "connect", "broker": {"broker": "two", "username": "me", "password": "secret"}})
    (connection,) = bench.mqtt.connections
    assert (connection.options["host"], connection.options["username"]) == ("two", "me")
    bench.mqtt.deliver("a", b"1")
    assert bench.payloads == [1]
    bench.input({"action": "connect", "broker": {"broker": "three"}})
    assert "disconnect first" in bench.errors[0]
    bench.input({"action": "connect", "broker": {"broker": "three", "force": True}})
    assert [c.options["host"] for c in bench.mqtt.connections] == ["three"]
    bench.mqtt.deliver("a", b"2")
    assert bench.payloads == [1, 2]
    bench.input({"action": "disconnect"})
    assert bench.mqtt.connections == []
    assert bench.status() == "disconnected"


# -- properties -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        ({"topic": ""}, "no topic to subscribe to"),
        ({"topic": "a/#/b"}, "'#' must be the whole last level"),
        ({"topic": "a/x{home}/b"}, "is not a name in braces"),
        ({"topic": "a/b", "approved_only": True}, "needs a topic that names {home}"),
        ({"topic": "a", "qos": 3}, "qos"),
        ({"topic": "a", "broker": ""}, "broker"),
    ],
)
def test_properties_that_cannot_work_are_refused(listening, properties, text):
    with pytest.raises(ValidationError, match=text.replace("{", r"\{")):
        listening(**properties)


def test_an_export_of_node_red_is_read(listening):
    bench = listening(topic="a", qos="2", datatype="auto-detect", nl=False, rap=True, rh=0, inputs=0)
    assert bench.mqtt.connections[0].subscriptions[0].qos == 2


def test_the_example_of_its_help_holds(registry):
    (example,) = registry["mqtt in"].EXAMPLES
    sent, expected = run_example(registry["mqtt in"], example)
    assert sent == expected


@pytest.mark.parametrize("inputs", [1, "1", 0])
def test_only_a_dynamic_node_may_be_wired_to(inputs):
    flow = [
        {"id": "tab", "type": "tab", "label": "t"},
        {"id": "b", "type": "mqtt-broker", "broker": ""},
        {"id": "one", "type": "mqtt in", "z": "tab", "broker": "b", "topic": "a", "wires": [["two"]]},
        {"id": "two", "type": "mqtt in", "z": "tab", "broker": "b", "topic": "b", "inputs": inputs, "wires": [[]]},
    ]
    if inputs:
        FlowBench(flow)
    else:
        with pytest.raises(FlowError, match="takes no input"):
            FlowBench(flow)


def test_what_is_late_is_not_for_live_control_even_when_its_payload_was_replaced(listening):
    bench = listening(topic="a")
    for payload in ({"arretrato": True}, {"w": 1}):
        bench.mqtt.deliver("a", payload)
    late, live = ({**seen.msg, "payload": 1} for seen in bench.sent)
    assert not bench.node.is_live(late, 600)
    assert bench.node.is_live(live, 600)
