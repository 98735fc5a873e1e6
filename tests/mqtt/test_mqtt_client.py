"""The bulk client against a real broker, and its stock stand-in: the same tests for both."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from typing import Any

import paho.mqtt.client as paho
import pytest
from brokers import Certificates, Mosquitto
from mqtt_peers import Door, Log, ScriptedBroker, Taker, connection, options_for, publish_all, publisher, run, until
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

import solarflow.mqtt.client as client_module
from solarflow.mqtt import BrokerOptions, BulkClient, State, StockClient, supported

VERSIONS = pytest.mark.parametrize("protocol", [4, 5])


@pytest.fixture(params=["bulk", "stock"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run the test with the bulk client, and as if this paho did not have what that needs."""
    if request.param == "stock":
        monkeypatch.setattr(client_module, "supported", lambda: ["_sock_recv"])
    yield request.param


def numbered(count: int, qos: int, size: int = 40) -> list[tuple[str, bytes, int]]:
    return [(f"t/{i % 7}", (b"%d," % i).ljust(size, b"x"), qos) for i in range(count)]


def numbers(taker: Taker) -> list[int]:
    return [int(payload.split(b",")[0]) for payload in taker.payloads]


def test_this_paho_has_all_that_the_bulk_client_needs() -> None:
    assert supported() == []


def test_a_paho_that_lacks_a_private_name_is_told_by_that_name() -> None:
    class OtherPaho(paho.Client):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            del self._msgtime_mutex
            del self._in_packet["to_process"]

        def __del__(self) -> None:
            pass

    assert supported(OtherPaho) == ["_msgtime_mutex", "_in_packet['to_process']"]


def test_without_the_private_names_stock_paho_stands_in_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(client_module, "supported", lambda: ["_sock_recv"])
    assert isinstance(client_module.make_client(on_batch=print), StockClient)
    assert "lacks _sock_recv: using its own reader" in caplog.text


@VERSIONS
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_messages_arrive_once_and_in_order(broker: Mosquitto, either: str, protocol: int, qos: int) -> None:
    async def body() -> None:
        taker = Taker()
        async with connection(options_for(broker, protocol=protocol)) as ours, publisher(broker) as stranger:
            ours.subscribe("t/#", qos, taker)
            await until(lambda: ours.subscribed)
            await publish_all(stranger, numbered(600, qos))
            await until(lambda: len(taker.messages) >= 600)
        assert numbers(taker) == list(range(600))
        assert {message.qos for message in taker.messages} == {qos}

    run(body())


def test_a_burst_is_handed_over_in_batches(broker: Mosquitto) -> None:
    async def body() -> None:
        taker = Taker()
        async with connection(options_for(broker)) as ours:
            ours.subscribe("t/#", 0, taker)
            await until(lambda: ours.subscribed)
            for topic, payload, _qos in numbered(5000, 0):
                ours.publish(topic, payload)
            await until(lambda: len(taker.messages) >= 5000)
        assert numbers(taker) == list(range(5000))
        assert len(taker.batches) < 500

    run(body())


@VERSIONS
def test_all_three_qualities_come_side_by_side(broker: Mosquitto, either: str, protocol: int) -> None:
    async def body() -> None:
        taker = Taker()
        async with connection(options_for(broker, protocol=protocol)) as ours, publisher(broker) as stranger:
            ours.subscribe("t/#", 2, taker)
            await until(lambda: ours.subscribed)
            await publish_all(stranger, [(t, p, i % 3) for i, (t, p, _q) in enumerate(numbered(300, 0))])
            await until(lambda: len(taker.messages) >= 300)
        assert sorted(numbers(taker)) == list(range(300))
        assert {message.qos for message in taker.messages} == {0, 1, 2}

    run(body())


def test_messages_of_one_mebibyte_come_whole(broker: Mosquitto, either: str) -> None:
    async def body() -> None:
        taker = Taker()
        async with connection(options_for(broker)) as ours, publisher(broker) as stranger:
            ours.subscribe("t/#", 1, taker)
            await until(lambda: ours.subscribed)
            await publish_all(stranger, numbered(5, 1, 1 << 20))
            await until(lambda: len(taker.messages) >= 5)
        assert numbers(taker) == list(range(5))
        assert {(type(payload), len(payload)) for payload in taker.payloads} == {(bytes, 1 << 20)}

    run(body())


@pytest.mark.parametrize("piece_bytes", [1, 3, 700])
def test_messages_come_whole_however_small_the_pieces(broker: Mosquitto, either: str, piece_bytes: int) -> None:
    async def body() -> None:
        taker = Taker()
        async with Door(piece_bytes).opened(broker) as door:
            options = BrokerOptions("127.0.0.1", door.port)
            async with connection(options) as ours, publisher(broker) as stranger:
                ours.subscribe("t/#", 2, taker)
                await until(lambda: ours.subscribed)
                await publish_all(stranger, [(t, p, i % 3) for i, (t, p, _q) in enumerate(numbered(60, 0, 150))])
                await until(lambda: len(taker.messages) >= 60)
        assert sorted(numbers(taker)) == list(range(60))

    run(body())


def test_messages_of_all_sizes_pass_through_tls(
    mosquitto: Callable[..., Mosquitto], certificates: Certificates, either: str
) -> None:
    async def body() -> None:
        secure, taker, dice = mosquitto(tls=certificates), Taker(), random.Random(1)  # noqa: S311  # sizes, no secret
        sizes = [dice.choice((20, 130, 20_000, 300_000)) for _ in range(60)]
        options = options_for(secure, tls=True, ca_file=certificates.ca_file)
        async with connection(options) as ours, publisher(secure) as stranger:
            ours.subscribe("t/#", 1, taker)
            await until(lambda: ours.subscribed)
            await publish_all(stranger, [numbered(i + 1, 1, size)[i] for i, size in enumerate(sizes)])
            await until(lambda: len(taker.messages) >= 60)
            for index, size in enumerate(sizes):
                ours.publish("t/x", (b"%d," % (60 + index)).ljust(size, b"x"))
            await until(lambda: len(taker.messages) >= 120)
        assert numbers(taker) == list(range(120))

    run(body())


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_too_long_messages_are_discarded_and_counted_and_the_connection_stays(
    broker: Mosquitto, either: str, qos: int
) -> None:
    async def body() -> None:
        taker, log = Taker(), Log()
        options = options_for(broker, max_packet_bytes=100_000)
        async with connection(options, on_state=log) as ours, publisher(broker) as stranger:
            ours.subscribe("t/#", 2, taker)
            await until(lambda: ours.subscribed)
            await publish_all(stranger, numbered(5, qos, 200_000))
            await publish_all(stranger, numbered(20, qos))
            await until(lambda: len(taker.messages) >= 20)
            assert ours.counters.dropped_in == 5
        assert State.DISCONNECTED not in log.states[:-1]

    run(body())


def test_a_retained_message_that_is_too_long_does_not_break_every_new_connection(
    mosquitto: Callable[..., Mosquitto],
) -> None:
    async def body() -> None:
        broker, taker = mosquitto(), Taker()
        async with publisher(broker) as stranger:
            await publish_all(stranger, [("t/big", bytes(200_000), 2)], retain=True)
        async with connection(options_for(broker, max_packet_bytes=100_000)) as ours:
            ours.subscribe("t/#", 2, taker)
            await until(lambda: ours.counters.dropped_in == 1)
            ours.publish("t/small", b"here")
            await until(lambda: taker.payloads == [b"here"])
            assert ours.counters.reconnects == 0

    run(body())


@pytest.mark.parametrize("bad", [b"\x30\xff\xff\xff\xff\x01", b"\x30\x05\x00\x09abc", b"\x90\x01\x00", b"\xf0\x00"])
def test_a_malformed_packet_ends_the_connection_and_a_new_one_follows(either: str, bad: bytes) -> None:
    async def script(scripted: ScriptedBroker) -> None:
        await scripted.grant()
        scripted.publish("t/good", b"first")
        if len(scripted.connects) == 1:
            scripted.writer.write(bad)
        while True:
            await scripted.packet()

    async def body() -> None:
        taker = Taker()
        async with (
            ScriptedBroker(script).opened() as scripted,
            connection(BrokerOptions("127.0.0.1", scripted.port), wait=False) as ours,
        ):
            ours.subscribe("t/#", 0, taker)
            await until(lambda: len(scripted.connects) >= 2 and len(taker.messages) >= 2)
            assert ours.counters.reconnects == 1
        assert taker.payloads == [b"first", b"first"]

    run(body())


def test_half_a_message_of_a_lost_connection_is_forgotten(either: str) -> None:
    async def script(scripted: ScriptedBroker) -> None:
        await scripted.grant()
        if len(scripted.connects) == 1:
            scripted.writer.write(b"\x30\x20\x00\x01thalf")
            return
        scripted.publish("t", b"whole")
        while True:
            await scripted.packet()

    async def body() -> None:
        taker = Taker()
        async with (
            ScriptedBroker(script).opened() as scripted,
            connection(BrokerOptions("127.0.0.1", scripted.port), wait=False) as ours,
        ):
            ours.subscribe("t", 0, taker)
            await until(lambda: taker.messages)
        assert taker.payloads == [b"whole"]

    run(body())


def test_messages_that_tls_decrypted_together_are_all_read(either: str, certificates: Certificates) -> None:
    async def script(scripted: ScriptedBroker) -> None:
        await scripted.grant()
        scripted.writer.write(b"".join(b"\x30\x04\x00\x01t%d" % number for number in range(10)))  # one TLS record
        while True:
            await scripted.packet()

    async def body() -> None:
        taker = Taker()
        async with ScriptedBroker(script).opened(certificates) as scripted:
            options = BrokerOptions("127.0.0.1", scripted.port, tls=True, ca_file=certificates.ca_file)
            async with connection(options, wait=False) as ours:
                ours.subscribe("t", 0, taker)
                await until(lambda: len(taker.messages) == 10)
        assert taker.payloads == [b"%d" % number for number in range(10)]

    run(body())


def test_a_message_is_acknowledged_only_after_it_was_delivered(either: str) -> None:
    order: list[str] = []

    async def script(scripted: ScriptedBroker) -> None:
        await scripted.grant()
        scripted.publish("t", b"first", 1, 11)
        scripted.publish("t", b"second", 1, 12)
        while True:
            command, packet = await scripted.packet()
            if command == 0x40:
                order.append(f"acknowledged {int.from_bytes(packet, 'big')}")

    async def body() -> None:
        async with (
            ScriptedBroker(script).opened() as scripted,
            connection(BrokerOptions("127.0.0.1", scripted.port), wait=False) as ours,
        ):
            ours.subscribe("t", 1, lambda batch: order.extend(f"delivered {m.payload.decode()}" for m in batch))
            await until(lambda: len(order) == 4)
        for number, payload in ((11, "first"), (12, "second")):
            assert order.index(f"delivered {payload}") < order.index(f"acknowledged {number}")

    run(body())


def test_what_on_batch_could_not_take_is_not_acknowledged_and_the_stream_goes_on() -> None:
    async def script(scripted: ScriptedBroker) -> None:
        for number, payload in enumerate((b"good", b"bad", b"good again")):
            scripted.publish("t", payload, 1, number + 1)
            scripted.writer.write(b"\xd0\x00")  # a PINGRESP between them: three batches of one read
        answers.append(await scripted.packet())
        answers.append(await scripted.packet())

    answers: list[tuple[int, bytes]] = []

    def take(batch: list[Any]) -> None:
        if batch[0].payload == b"bad":
            raise RuntimeError("cannot take it")

    async def body() -> None:
        async with ScriptedBroker(script).opened() as scripted:
            client = BulkClient(on_batch=take, client_id="direct")
            await asyncio.to_thread(client.connect, "127.0.0.1", scripted.port)
            client.loop_start()
            await until(lambda: len(answers) == 2)
            await asyncio.to_thread(client.loop_stop)
        assert answers == [(0x40, b"\x00\x01"), (0x40, b"\x00\x03")]

    run(body())


def test_the_bulk_client_also_runs_on_pahos_own_thread(broker: Mosquitto) -> None:
    async def body() -> None:
        taker, ready = Taker(), []
        client = BulkClient(on_batch=taker, client_id="threaded")
        client.on_subscribe = lambda *_: ready.append(True)
        client.on_connect = lambda c, *_: c.subscribe("t/#", 1)
        await asyncio.to_thread(client.connect, "127.0.0.1", broker.port)
        client.loop_start()
        await until(lambda: ready)
        async with publisher(broker) as stranger:
            await publish_all(stranger, numbered(500, 1))
        await until(lambda: len(taker.messages) >= 500)
        client.disconnect()
        await asyncio.to_thread(client.loop_stop)
        assert numbers(taker) == list(range(500))

    run(body())


def test_posts_and_publishes_keep_their_order(broker: Mosquitto, either: str) -> None:
    async def body() -> None:
        taker = Taker()
        async with connection(options_for(broker)) as ours:
            ours.subscribe("t/#", 1, taker)
            await until(lambda: ours.subscribed)
            for number in range(18):
                ours.publish("t/a", b"%d," % number, qos=number % 3 == 1)
            await until(lambda: len(taker.messages) >= 18)
        assert numbers(taker) == list(range(18))

    run(body())


def test_answers_given_while_a_batch_is_handed_over_are_sent_with_it(broker: Mosquitto, either: str) -> None:
    async def body() -> None:
        echoes = Taker()
        async with connection(options_for(broker)) as relay, connection(options_for(broker)) as ours:
            relay.subscribe("in", 0, lambda batch: [relay.publish("out", message.payload) for message in batch])
            ours.subscribe("out", 0, echoes)
            await until(lambda: ours.subscribed and relay.subscribed)
            for number in range(2000):
                ours.publish("in", b"%d," % number)
            await until(lambda: len(echoes.messages) >= 2000)
        assert numbers(echoes) == list(range(2000))

    run(body())


@pytest.mark.parametrize("qos", [0, 1])
def test_properties_of_version_5_arrive(broker: Mosquitto, either: str, qos: int) -> None:
    async def body() -> None:
        taker = Taker()
        properties = Properties(PacketTypes.PUBLISH)
        properties.UserProperty = ("unit", "W")
        properties.ContentType = "x" * 150
        async with connection(options_for(broker, protocol=5)) as ours:
            ours.subscribe("t/#", 1, taker)
            await until(lambda: ours.subscribed)
            ours.publish("t/a", b"with", qos, properties=properties)
            ours.publish("t/a", b"without", qos)
            await until(lambda: len(taker.messages) >= 2)
        assert taker.payloads == [b"with", b"without"]
        assert taker.messages[0].properties.UserProperty == [("unit", "W")]
        assert taker.messages[0].properties.ContentType == "x" * 150

    run(body())


def test_a_client_refuses_to_post_without_a_connection() -> None:
    client = BulkClient(on_batch=lambda batch: None, client_id="alone")
    assert client.post("t", b"x") is False


def test_a_client_refuses_to_post_when_too_much_waits(broker: Mosquitto) -> None:
    client = BulkClient(on_batch=lambda batch: None, client_id="full", max_backlog_bytes=1000)
    client.on_socket_register_write = lambda *_: None  # nobody writes
    client.connect("127.0.0.1", broker.port)
    taken = [client.post("t", bytes(600)) for _ in range(4)]
    client.socket().close()
    assert taken == [True, True, False, False]


def test_an_idle_connection_pings_and_stays() -> None:
    pings = 0

    async def script(scripted: ScriptedBroker) -> None:
        nonlocal pings
        while True:
            command, _body = await scripted.packet()
            if command == 0xC0:
                pings += 1
                scripted.writer.write(b"\xd0\x00")

    async def body() -> None:
        async with ScriptedBroker(script).opened() as scripted:
            options = BrokerOptions("127.0.0.1", scripted.port, keepalive_s=1)
            async with connection(options) as ours:
                await until(lambda: pings >= 2)
                assert ours.state is State.CONNECTED
                assert ours.counters.reconnects == 0

    run(body())


def test_a_broker_that_falls_silent_is_left_and_tried_again() -> None:
    async def script(scripted: ScriptedBroker) -> None:
        while True:
            await scripted.packet()

    async def body() -> None:
        log = Log()
        async with ScriptedBroker(script).opened() as scripted:
            options = BrokerOptions("127.0.0.1", scripted.port, keepalive_s=1)
            async with connection(options, on_state=log):
                await until(lambda: len(scripted.connects) >= 2)
        assert any("fell silent" in reason for _state, reason in log.entries)

    run(body())
