"""The embedded broker carries every message it accepted, at the right QoS, and is bounded in all it keeps.

Where a docstring says "stock", the same scenario was run against amqtt 0.12.1 as it comes, with the same rights in its
plugins, and fails there.
"""

from __future__ import annotations

import pytest
from embedded import BareClient, RunningBroker, packet, publish_bytes, text, until

from solarflow import broker_clients

USERS = {"casa_A": "token-a", "casa_B": "token-b", "engine": "token-e"}


@pytest.fixture
def broker():
    with RunningBroker() as running:
        yield running


@pytest.fixture
def homes():
    with RunningBroker(USERS) as running:
        yield running


def received(client: BareClient, count: int) -> list[bytes]:
    """The payloads of the next `count` messages, acknowledged as their QoS asks."""
    payloads = []
    while len(payloads) < count:
        first, body = client.read()
        if first >> 4 == 6:  # PUBREL
            client.send(packet(0x70, body))
            continue
        qos = first >> 1 & 3
        start = 2 + int.from_bytes(body[:2], "big")
        if qos:
            client.send(packet(0x40 if qos == 1 else 0x50, body[start : start + 2]))
        payloads.append(body[start + (2 if qos else 0) :])
    return payloads


def await_acks(client: BareClient, kind: int, count: int) -> None:
    """Read so many acknowledgements at once, so that the client can act as soon as the last has come."""
    assert client.read_exactly(4 * count)[::4] == bytes((kind,)) * count


# --- nothing accepted is lost


@pytest.mark.parametrize("keepalive_s", [60, 0])
@pytest.mark.parametrize(
    ("qos", "ending"),  # a TCP reset at QoS 0 destroys what the kernel has not handed over: nothing was accepted
    [(0, "disconnect"), (0, "close"), (1, "disconnect"), (1, "close"), (1, "reset")],
)
def test_every_message_arrives_though_its_publisher_leaves_at_once(homes, qos, ending, keepalive_s):
    """Stock loses half of them, and nearly all from a publisher without keepalive; at QoS 1 those it acknowledged too.

    Five subscribers, because with a single one stock loses acknowledged messages in some runs only.
    """
    count = 1_000
    engines = [BareClient(homes.port, f"engine-{n}", "engine", "token-e") for n in range(5)]
    for engine in engines:
        engine.subscribe("comunita/#", qos)
    home = BareClient(homes.port, "meter", "casa_A", "token-a", keepalive_s=keepalive_s)
    home.send(b"".join(publish_bytes("comunita/casa_A/x", b"%d" % n, qos, n + 1) for n in range(count)))
    if qos:
        await_acks(home, 0x40, count)
    if ending == "disconnect":
        home.disconnect()
    elif ending == "close":
        home.socket.close()
    else:
        home.reset()
    for engine in engines:
        assert received(engine, count) == [b"%d" % n for n in range(count)]


def test_every_message_arrives_though_its_publisher_reconnects_at_once_with_the_same_id(homes):
    """Stock throws away what the first connection still had to deliver when the second one starts a clean session."""
    engine = BareClient(homes.port, "engine", "engine", "token-e")
    engine.subscribe("comunita/#", 1)
    first = BareClient(homes.port, "meter", "casa_A", "token-a")
    first.send(b"".join(publish_bytes("comunita/casa_A/x", b"%d" % n, 1, n + 1) for n in range(1_000)))
    await_acks(first, 0x40, 1_000)
    _second = BareClient(homes.port, "meter", "casa_A", "token-a")
    assert received(engine, 1_000) == [b"%d" % n for n in range(1_000)]


def test_a_subscriber_that_comes_and_goes_costs_the_others_no_message(homes):
    """Stock stops handing a message on when a subscription changes while it does so."""
    home = BareClient(homes.port, "meter", "casa_A", "token-a")
    display = BareClient(homes.port, "display", "casa_A", "token-a")
    display.subscribe("comunita/casa_A/#")
    engine = BareClient(homes.port, "engine", "engine", "token-e")
    engine.subscribe("comunita/#", 0)
    other = BareClient(homes.port, "other", "engine", "token-e")
    for n in range(300):
        home.publish("comunita/casa_A/x", b"%d" % n)
        other.send(packet(0x82, b"\0\1" + text(f"some/{n}/topic") + b"\0"))
    assert received(engine, 300) == [b"%d" % n for n in range(300)]


# --- QoS


@pytest.mark.parametrize(("published", "granted", "arrives"), [(0, 2, 0), (1, 0, 0), (1, 2, 1), (2, 1, 1), (2, 2, 2)])
def test_a_message_arrives_at_the_lower_of_the_published_and_the_granted_qos(broker, published, granted, arrives):
    """Stock sends at the granted QoS, whatever was published [MQTT-3.8.4-8]."""
    subscriber, publisher = BareClient(broker.port, "s"), BareClient(broker.port, "p")
    assert subscriber.subscribe("a/b", granted) == granted
    publisher.publish("a/b", b"1", published)
    if published == 2:
        assert publisher.read()[0] == 0x50
        publisher.send(packet(0x62, b"\0\1"))
    assert subscriber.read_publish()[:3] == ("a/b", b"1", arrives)


def test_a_repeated_qos_2_message_is_delivered_once_and_acknowledged_each_time(broker):
    subscriber, publisher = BareClient(broker.port, "s"), BareClient(broker.port, "p")
    subscriber.subscribe("a")
    publisher.publish("a", b"once", 2, packet_id=7)
    publisher.send(packet(0x3C, text("a") + b"\0\7once"))
    publisher.send(packet(0x62, b"\0\7"))
    assert [publisher.read()[0] for _ in range(3)] == [0x50, 0x50, 0x70]
    publisher.publish("a", b"new", 2, packet_id=7)
    assert received(subscriber, 2) == [b"once", b"new"]


def test_qos_2_goes_out_as_publish_release_and_complete(broker):
    subscriber, publisher = BareClient(broker.port, "s"), BareClient(broker.port, "p")
    subscriber.subscribe("a", 2)
    publisher.publish("a", b"1", 2)
    packet_id = subscriber.read_publish()[4].to_bytes(2, "big")
    subscriber.send(packet(0x50, packet_id))
    assert subscriber.read() == (0x62, packet_id)
    subscriber.send(packet(0x70, packet_id))
    assert subscriber.is_silent()


def test_two_filters_of_one_client_that_match_give_it_the_message_once_at_the_higher_qos(broker):
    client = BareClient(broker.port)
    client.subscribe("a/#", 0)
    client.subscribe("a/+", 1)
    client.publish("a/b", b"1", 1, packet_id=9)
    assert client.read_publish()[2] == 1
    assert client.read()[0] == 0x40
    assert client.is_silent()


def test_subscribing_again_replaces_the_qos(broker):
    """Stock keeps the first QoS [MQTT-3.8.4-3]."""
    client = BareClient(broker.port)
    client.subscribe("a", 0)
    client.subscribe("a", 1)
    client.publish("a", b"1", 1)
    assert client.read_publish()[2] == 1


def test_after_unsubscribe_nothing_more_arrives(broker):
    client = BareClient(broker.port)
    client.subscribe("a")
    client.send(packet(0xA2, b"\0\5" + text("a")))
    assert client.read() == (0xB0, b"\0\5")
    client.publish("a", b"1")
    assert client.is_silent()


@pytest.mark.parametrize("topic_filter", ["", "a/#/b", "a#", "a/+b", "#/a"])
def test_a_filter_that_is_none_is_not_granted(broker, topic_filter):
    assert BareClient(broker.port).subscribe(topic_filter) == 0x80


# --- retained messages


def test_a_retained_message_reaches_a_subscriber_at_subscribe_marked_as_retained(broker):
    BareClient(broker.port, "p").publish("a/b", b"kept", retain=True)
    until(lambda: broker.broker.status().retained)
    client = BareClient(broker.port)
    client.subscribe("a/#")
    assert client.read_publish() == ("a/b", b"kept", 0, True, 0)


def test_a_live_message_is_not_marked_as_retained(broker):
    subscriber, publisher = BareClient(broker.port, "s"), BareClient(broker.port, "p")
    subscriber.subscribe("a")
    publisher.publish("a", b"1", retain=True)
    assert subscriber.read_publish()[3] is False


def test_an_empty_retained_message_removes_the_one_before(broker):
    client = BareClient(broker.port)
    client.publish("a", b"kept", retain=True)
    client.publish("a", b"", retain=True)
    client.subscribe("a")
    assert client.is_silent()


def test_what_is_retained_is_bounded_in_number(broker, monkeypatch, caplog):
    monkeypatch.setattr("solarflow.broker_hub.RETAINED_MESSAGES", 3)
    client = BareClient(broker.port)
    for n in range(5):
        client.publish(f"a/{n}", b"1", retain=True)
    assert client.is_silent()
    status = broker.broker.status()
    assert (status.retained, status.refused["retained-full"]) == (3, 2)


def test_the_broker_begins_empty_again_after_a_restart(broker):
    client = BareClient(broker.port)
    client.publish("a", b"kept", retain=True)
    assert client.is_silent()
    broker.run(broker.broker.stop())
    broker.run(broker.broker.start())
    assert broker.broker.status().retained == 0


# --- wills, keepalive, take-over


def test_a_will_is_published_when_its_client_vanishes(broker):
    subscriber = BareClient(broker.port, "s")
    subscriber.subscribe("stato")
    BareClient(broker.port, "device", will=("stato", b"offline")).reset()
    assert subscriber.read_publish()[:2] == ("stato", b"offline")


def test_a_will_is_dropped_when_its_client_says_goodbye(broker):
    subscriber = BareClient(broker.port, "s")
    subscriber.subscribe("stato")
    BareClient(broker.port, "device", will=("stato", b"offline")).disconnect()
    until(lambda: broker.broker.status().clients == 1)
    assert subscriber.is_silent()


def test_a_client_silent_for_one_and_a_half_times_its_keepalive_is_ended_and_its_will_published(broker):
    """Stock notices the silence and does nothing."""
    subscriber = BareClient(broker.port, "s")
    subscriber.subscribe("stato")
    device = BareClient(broker.port, "device", keepalive_s=1, will=("stato", b"offline"))
    assert subscriber.read_publish()[1] == b"offline"
    assert device.is_closed()
    assert broker.broker.status().refused == {"keepalive": 1}


def test_a_second_connection_with_the_same_id_ends_the_first(broker):
    first = BareClient(broker.port, "same", will=("stato", b"first is gone"))
    watcher = BareClient(broker.port, "watcher")
    watcher.subscribe("stato")
    second = BareClient(broker.port, "same")
    assert watcher.read_publish()[1] == b"first is gone"
    assert first.is_closed()
    assert second.is_silent()
    assert [client.client_id for client in broker.broker.sessions()] == ["same", "watcher"]


# --- persistent sessions


def away(broker: RunningBroker, client_id: str, topic_filter: str = "a", qos: int = 1) -> None:
    """A client subscribes with a persistent session and leaves."""
    client = BareClient(broker.port, client_id, clean=False)
    client.subscribe(topic_filter, qos)
    client.disconnect()
    until(lambda: broker.broker.status().sessions_away)


def published(broker: RunningBroker, payloads: list[bytes], qos: int = 1) -> None:
    publisher = BareClient(broker.port, "p")
    for n, payload in enumerate(payloads):
        publisher.publish("a", payload, qos, n + 1)
    await_acks(publisher, 0x40 if qos == 1 else 0x50, len(payloads))
    if qos == 2:
        for n in range(len(payloads)):
            publisher.send(packet(0x62, (n + 1).to_bytes(2, "big")))
        await_acks(publisher, 0x70, len(payloads))
    publisher.disconnect()


@pytest.mark.parametrize("qos", [1, 2])
def test_a_persistent_session_gets_what_came_while_it_was_away_in_order(broker, qos):
    away(broker, "s", qos=qos)
    published(broker, [b"%d" % n for n in range(250)], qos)
    back = BareClient(broker.port, "s", clean=False)
    assert back.session_present
    assert received(back, 250) == [b"%d" % n for n in range(250)]


def test_a_message_without_acknowledgement_is_sent_again_as_a_duplicate(broker):
    """Stock forgets what was under way when the connection ends."""
    subscriber = BareClient(broker.port, "s", clean=False)
    subscriber.subscribe("a", 1)
    published(broker, [b"1", b"2"])
    assert [subscriber.read()[0] for _ in range(2)] == [0x32, 0x32]
    subscriber.reset()
    until(lambda: broker.broker.status().sessions_away)
    back = BareClient(broker.port, "s", clean=False)
    first, body = back.read()
    assert (first, body[-1:]) == (0x3A, b"1")
    assert back.read()[1][-1:] == b"2"


def test_a_qos_2_message_that_was_received_is_not_sent_again_but_released(broker):
    subscriber = BareClient(broker.port, "s", clean=False)
    subscriber.subscribe("a", 2)
    published(broker, [b"1"], qos=2)
    packet_id = subscriber.read_publish()[4].to_bytes(2, "big")
    subscriber.send(packet(0x50, packet_id))
    assert subscriber.read()[0] == 0x62
    subscriber.reset()
    until(lambda: broker.broker.status().sessions_away)
    back = BareClient(broker.port, "s", clean=False)
    assert back.read() == (0x62, packet_id)


def test_what_waits_for_an_absent_client_is_bounded_and_the_oldest_goes(broker, monkeypatch):
    """Stock keeps everything until memory ends."""
    monkeypatch.setattr(broker_clients, "QUEUE_MESSAGES", 10)
    away(broker, "s")
    published(broker, [b"%d" % n for n in range(15)])
    assert received(BareClient(broker.port, "s", clean=False), 10) == [b"%d" % n for n in range(5, 15)]
    assert broker.broker.status().dropped == 5


def test_what_waits_for_an_absent_client_is_bounded_in_bytes(broker, monkeypatch):
    monkeypatch.setattr(broker_clients, "QUEUE_BYTES", 250)
    away(broker, "s")
    published(broker, [b"%d" % n * 100 for n in range(5)])
    assert received(BareClient(broker.port, "s", clean=False), 2) == [b"3" * 100, b"4" * 100]


def test_a_persistent_session_is_dropped_after_its_limit():
    """Stock keeps it for ever by default."""
    with RunningBroker(session_expiry_s=0.2) as broker:
        away(broker, "s")
        until(lambda: not broker.broker.status().sessions_away)
        assert not BareClient(broker.port, "s", clean=False).session_present


def test_a_clean_start_forgets_the_session(broker):
    away(broker, "s")
    assert not BareClient(broker.port, "s", clean=True).session_present
    published(broker, [b"1"])
    assert not BareClient(broker.port, "s", clean=False).session_present


def test_one_user_leaves_only_so_many_sessions_behind(broker, monkeypatch):
    monkeypatch.setattr("solarflow.broker_hub.AWAY_PER_USER", 3)
    for n in range(5):
        away(broker, f"s{n}")
        until(lambda: not broker.broker.status().clients)
    assert broker.broker.status().sessions_away == 3
    assert not BareClient(broker.port, "s0", clean=False).session_present
    assert BareClient(broker.port, "s4", clean=False).session_present


# --- limits and misuse


def test_a_packet_within_the_limit_passes_and_a_larger_one_ends_the_connection(broker):
    """Stock has no limit."""
    subscriber, publisher = BareClient(broker.port, "s"), BareClient(broker.port, "p")
    subscriber.subscribe("a")
    fits = (1 << 20) - 7  # first byte, three of length, three of topic
    publisher.publish("a", bytes(fits))
    assert len(subscriber.read_publish()[1]) == fits
    publisher.publish("a", bytes(fits + 1))
    assert publisher.is_closed()
    assert broker.broker.status().refused == {"too-large": 1}
    assert subscriber.is_silent()


def test_a_too_large_packet_is_refused_before_its_content_has_come(broker):
    """Stock waits for 256 MB."""
    client = BareClient(broker.port)
    client.send(b"\x30\xff\xff\xff\x7f")
    assert client.is_closed()


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("a length of five bytes", b"\x30\xff\xff\xff\xff\x01"),
        ("QoS 3", packet(0x36, text("a") + b"\0\1x")),
        ("a topic with a wildcard", publish_bytes("a/+", b"1")),
        ("an empty topic", publish_bytes("", b"1")),
        ("a topic longer than its packet", packet(0x30, b"\xff\xffa")),
        ("a topic that is not UTF-8", packet(0x30, b"\0\2\xc3\x28x")),
        ("a topic with a null character", publish_bytes("a\0b", b"1")),
        ("packet id 0", publish_bytes("a", b"1", 1, 0)),
        ("a SUBSCRIBE without filters", packet(0x82, b"\0\1")),
        ("a SUBSCRIBE with QoS 3", packet(0x82, b"\0\1" + text("a") + b"\3")),
        ("an UNSUBSCRIBE without filters", packet(0xA2, b"\0\1")),
        ("a second CONNECT", packet(0x10, text("MQTT") + b"\4\2\0\x3c" + text("again"))),
        ("a CONNACK", packet(0x20, b"\0\0")),
        ("a reserved type", packet(0xF0, b"")),
    ],
)
def test_a_client_that_breaks_the_protocol_is_ended_and_the_others_are_not(broker, what, data):
    other, client = BareClient(broker.port, "other"), BareClient(broker.port, "rogue")
    other.subscribe("#")
    client.send(data)
    assert client.is_closed()
    assert other.is_silent()
    assert broker.broker.status().refused == {"malformed": 1}


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        publish_bytes("a", b"1"),
        packet(0x10, b""),
        packet(0x10, text("MQTT") + b"\5\2\0\x3c\0" + text("five")),
        packet(0x10, text("MQIsdp") + b"\3\2\0\x3c" + text("three")),
        packet(0x10, text("MQTT") + b"\4\3\0\x3c" + text("reserved bit")),
    ],
    ids=["HTTP", "publish first", "empty", "MQTT 5", "MQTT 3.1", "reserved bit"],
)
def test_a_first_packet_that_is_no_mqtt_3_1_1_connect_is_refused(broker, data):
    client = BareClient(broker.port, connect=False)
    client.send(data)
    assert client.is_closed()
    until(lambda: broker.broker.status().refused == {"protocol": 1})


def test_a_connection_that_does_not_say_connect_is_ended_after_a_while(broker, monkeypatch):
    """Stock waits for ever."""
    monkeypatch.setattr(broker_clients, "CONNECT_TIMEOUT_S", 0.1)
    client = BareClient(broker.port, connect=False)
    client.send(b"\x10")
    assert client.is_closed()
    assert broker.broker.status().refused == {"timeout": 1}


def test_packets_in_one_byte_pieces_are_understood(broker):
    client = BareClient(broker.port)
    client.subscribe("a")
    for piece in publish_bytes("a", b"in pieces"):
        client.send(bytes((piece,)))
    assert client.read_publish()[1] == b"in pieces"


def test_one_client_too_many_is_refused_and_may_come_when_another_has_gone():
    with RunningBroker(max_clients=2) as broker:
        first, _second = BareClient(broker.port, "1"), BareClient(broker.port, "2")
        assert BareClient(broker.port, "3").return_code == 3
        first.disconnect()
        until(lambda: broker.broker.status().clients == 1)
        assert BareClient(broker.port, "3").return_code == 0


def test_a_subscriber_that_does_not_read_costs_bounded_memory_and_no_other_subscriber_a_message(broker, monkeypatch):
    monkeypatch.setattr(broker_clients, "BACKLOG_BYTES", 100_000)
    asleep, awake = BareClient(broker.port, "asleep"), BareClient(broker.port, "awake")
    asleep.subscribe("a")
    awake.subscribe("a")
    publisher = BareClient(broker.port, "p")
    for n in range(400):
        publisher.publish("a", b"%03d" % n + bytes(50_000))
        assert awake.read_publish()[1][:3] == b"%03d" % n
    assert broker.broker.status().dropped > 100


def test_a_client_may_have_only_so_many_subscriptions(broker, monkeypatch):
    monkeypatch.setattr("solarflow.broker_hub.FILTERS_PER_CLIENT", 2)
    client = BareClient(broker.port)
    assert [client.subscribe(topic_filter) for topic_filter in ("a", "b", "c", "a")] == [0, 0, 0x80, 0]
