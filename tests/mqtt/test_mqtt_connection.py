"""The connection: options, states and their reasons, coming back, subscriptions, outbox, farewell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from brokers import Certificates, Mosquitto, free_port, make_certificates
from mqtt_peers import (
    QUICK,
    Log,
    ScriptedBroker,
    Taker,
    connection,
    options_for,
    publish_all,
    publisher,
    run,
    until,
)

from solarflow.errors import UsageError
from solarflow.mqtt import Backoff, BrokerOptions, Connection, Limits, Outgoing, State, TopicError

VERSIONS = pytest.mark.parametrize("protocol", [4, 5])

# ------------------------------------------------------------------------------------------------------------ options


def test_an_address_says_it_all() -> None:
    options = BrokerOptions.from_url("mqtt://us%40r:p%2Fw@broker.local:1884")
    assert (options.host, options.port, options.username, options.password) == ("broker.local", 1884, "us@r", "p/w")
    assert not options.tls


@pytest.mark.parametrize(("url", "port", "tls"), [("mqtt://h", 1883, False), ("mqtts://h/", 8883, True)])
def test_each_scheme_has_its_port(url: str, port: int, tls: bool) -> None:
    options = BrokerOptions.from_url(url)
    assert (options.port, options.tls) == (port, tls)


def test_an_address_may_be_ipv6() -> None:
    options = BrokerOptions.from_url("mqtt://[::1]:1883")
    assert (options.host, options.address) == ("::1", "mqtt://[::1]:1883")


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://h", "begins with 'http'; write mqtt://host"),
        ("localhost", "does not say mqtt:// or mqtts://"),
        ("mqtt://", "names no host"),
        ("mqtt://h:99999", "host or port are not valid"),
        ("mqtt://h:0", "has port 0"),
        ("mqtt://u:se/cret@h", "host or port are not valid"),
        ("mqtt://h/topic", "goes on after the port"),
        ("mqtt://[::1", "host or port are not valid"),
    ],
)
def test_a_wrong_address_is_explained(url: str, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        BrokerOptions.from_url(url)
    assert text in str(caught.value)
    assert "se/" not in str(caught.value) and "'se'" not in str(caught.value)


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(BrokerOptions("h", username="u", password="secret"))


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"host": ""}, "has no host"),
        ({"port": 70000}, "the port 70000 does not exist"),
        ({"protocol": 3}, "4 (MQTT 3.1.1) or 5 (MQTT 5)"),
        ({"clean_session": False}, "needs a client_id that stays the same"),
        ({"password": "x"}, "a password but no username"),
        ({"ca_file": "ca.pem"}, "tls is off"),
        ({"tls": True, "key_file": "k.pem"}, "without its cert_file"),
        ({"will": Outgoing("a/#", b"")}, "holds a wildcard"),
        ({"birth": Outgoing("a", b"", qos=3)}, "the birth message has QoS 3"),
    ],
)
def test_options_that_cannot_work_are_explained(wrong: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        BrokerOptions(**{"host": "h", **wrong})
    assert text in str(caught.value)


def test_a_certificate_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ca_file '.*nowhere\.pem' cannot be used"):
        BrokerOptions("h", tls=True, ca_file=str(tmp_path / "nowhere.pem")).tls_context()


def test_pauses_grow_to_their_limit_and_begin_anew() -> None:
    longest = Backoff(Limits(), lambda: 1.0)
    assert [longest.next_s() for _ in range(8)] == [
        1,
        2,
        4,
        4,
        4,
        4,
        4,
        4,
    ]  # a broker that comes back is found within five seconds
    longest.reset()
    assert longest.next_s() == 1
    shortest = Backoff(Limits(), lambda: 0.0)
    assert [shortest.next_s() for _ in range(8)] == [0.5] * 8


# ------------------------------------------------------------------------------------------------ states and reasons


def test_a_connection_tells_its_states(broker: Mosquitto) -> None:
    async def body() -> None:
        log = Log()
        async with connection(options_for(broker), on_state=log):
            pass
        await until(lambda: len(log.entries) == 3)
        assert log.states == [State.CONNECTING, State.CONNECTED, State.DISCONNECTED]
        assert log.reason(State.DISCONNECTED) == "stopped"

    run(body())


async def refused(options: BrokerOptions, limits: Limits = QUICK) -> str:
    """The reason of the first refusal."""
    log = Log()
    async with connection(options, wait=False, on_state=log, limits=limits) as ours:
        await until(lambda: State.REFUSED in log.states, what="a refusal")
        assert ours.last_error == log.reason(State.REFUSED)
    return log.reason(State.REFUSED)


@VERSIONS
def test_a_wrong_password_is_told(mosquitto: Callable[..., Mosquitto], protocol: int) -> None:
    async def body() -> None:
        guarded = mosquitto(users={"solar": "right"})
        options = options_for(guarded, protocol=protocol, username="solar", password="wrong")
        reason = await refused(options)
        assert "does not let user 'solar' in" in reason
        assert "correct user and password" in reason
        assert "wrong" not in reason

    run(body())


@VERSIONS
def test_a_right_password_is_let_in(mosquitto: Callable[..., Mosquitto], protocol: int) -> None:
    async def body() -> None:
        guarded = mosquitto(users={"solar": "right"})
        options = options_for(guarded, protocol=protocol, username="solar", password="right")
        async with connection(options) as ours:
            assert ours.state is State.CONNECTED

    run(body())


def test_a_broker_that_does_not_run_is_told() -> None:
    async def body() -> None:
        reason = await refused(BrokerOptions("127.0.0.1", free_port()))
        assert "nothing answers on port" in reason and "check that the broker runs" in reason

    run(body())


def test_a_host_that_does_not_exist_is_told() -> None:
    async def body() -> None:
        reason = await refused(BrokerOptions("no-such-host.invalid"), Limits(connect_timeout_s=5))
        assert "there is no host 'no-such-host.invalid'" in reason

    run(body())


def test_a_certificate_of_a_known_authority_is_accepted(
    mosquitto: Callable[..., Mosquitto], certificates: Certificates
) -> None:
    async def body() -> None:
        secure = mosquitto(tls=certificates)
        async with connection(options_for(secure, tls=True, ca_file=certificates.ca_file)) as ours:
            assert ours.state is State.CONNECTED

    run(body())


def test_a_certificate_of_another_authority_is_refused(
    mosquitto: Callable[..., Mosquitto], certificates: Certificates, tmp_path: Path
) -> None:
    async def body() -> None:
        secure, other = mosquitto(tls=certificates), make_certificates(tmp_path, name="other")
        reason = await refused(options_for(secure, tls=True, ca_file=other.ca_file))
        assert "the broker's certificate is not trusted" in reason
        assert "set ca_file to the certificate of the authority that signed it" in reason

    run(body())


def test_a_certificate_for_another_name_is_refused(mosquitto: Callable[..., Mosquitto], tmp_path: Path) -> None:
    async def body() -> None:
        elsewhere = make_certificates(tmp_path, hosts=["broker.example"])
        secure = mosquitto(tls=elsewhere)
        reason = await refused(options_for(secure, tls=True, ca_file=elsewhere.ca_file))
        assert "certificate is not for the name '127.0.0.1'" in reason

    run(body())


def test_without_verification_any_certificate_will_do(
    mosquitto: Callable[..., Mosquitto], certificates: Certificates
) -> None:
    async def body() -> None:
        secure = mosquitto(tls=certificates)
        async with connection(options_for(secure, tls=True, verify=False)) as ours:
            assert ours.state is State.CONNECTED

    run(body())


def test_tls_towards_a_plain_port_is_told(broker: Mosquitto) -> None:
    async def body() -> None:
        reason = await refused(options_for(broker, tls=True, verify=False))
        assert "TLS failed" in reason and "is the broker's TLS port" in reason

    run(body())


def test_plain_talk_towards_a_tls_port_is_told(mosquitto: Callable[..., Mosquitto], certificates: Certificates) -> None:
    async def body() -> None:
        secure = mosquitto(tls=certificates)
        reason = await refused(options_for(secure))
        assert "closed without an answer" in reason and "needs mqtts://" in reason

    run(body())


def test_a_missing_client_certificate_is_told(mosquitto: Callable[..., Mosquitto], certificates: Certificates) -> None:
    async def body() -> None:
        strict = mosquitto(tls=certificates, extra=["require_certificate true"])
        reason = await refused(options_for(strict, tls=True, ca_file=certificates.ca_file))
        assert "a client certificate may be required (cert_file, key_file)" in reason
        options = options_for(
            strict,
            tls=True,
            ca_file=certificates.ca_file,
            cert_file=certificates.cert_file,
            key_file=certificates.key_file,
        )
        async with connection(options) as ours:
            assert ours.state is State.CONNECTED

    run(body())


def test_a_port_that_never_answers_is_given_up() -> None:
    async def body() -> None:
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        options = BrokerOptions("127.0.0.1", server.sockets[0].getsockname()[1])
        reason = await refused(options, Limits(connect_timeout_s=0.2, tick_s=0.05))
        server.close()
        assert "no answer within 0.2 s" in reason

    run(body())


def test_a_refused_connection_comes_up_once_the_broker_is_there(mosquitto: Callable[..., Mosquitto]) -> None:
    async def body() -> None:
        broker, log = mosquitto(), Log()
        broker.kill()
        async with connection(options_for(broker), wait=False, on_state=log) as ours:
            await until(lambda: State.REFUSED in log.states)
            await asyncio.to_thread(broker.start)
            await until(lambda: ours.state is State.CONNECTED)
            assert ours.counters.reconnects == 0

    run(body())


def test_a_name_that_another_client_took_over_is_told() -> None:
    async def script(scripted: ScriptedBroker) -> None:
        scripted.writer.write(b"\xe0\x02\x8e\x00")  # DISCONNECT, session taken over

    async def body() -> None:
        log = Log()
        async with ScriptedBroker(script, connack=b"\x20\x03\x00\x00\x00").opened() as scripted:
            options = BrokerOptions("127.0.0.1", scripted.port, protocol=5, client_id="twin")
            async with connection(options, wait=False, on_state=log):
                await until(lambda: State.DISCONNECTED in log.states)
        assert any("another client logged in as 'twin'; give each its own" in reason for _state, reason in log.entries)

    run(body())


@pytest.mark.parametrize(
    ("connack", "protocol", "text"),
    [
        (b"\x20\x03\x00\x84\x00", 5, "does not speak protocol 5; set protocol to 4"),
        (b"\x20\x02\x00\x01", 5, "does not speak protocol 5; set protocol to 4"),
        (b"\x20\x02\x00\x02", 4, "refuses the client id 'c'"),
        (b"\x20\x02\x00\x03", 4, "refused the connection (Server unavailable)"),
        (b"\x20\x02\x00\x05", 4, "does not let a client without user and password in (Not authorized)"),
    ],
)
def test_a_no_of_the_broker_is_told(connack: bytes, protocol: int, text: str) -> None:
    async def script(scripted: ScriptedBroker) -> None:
        await scripted.packet()

    async def body() -> None:
        async with ScriptedBroker(script, connack=connack).opened() as scripted:
            options = BrokerOptions("127.0.0.1", scripted.port, protocol=protocol, client_id="c")
            assert text in await refused(options)

    run(body())


# ------------------------------------------------------------------------------------------------------- coming back


@VERSIONS
def test_a_broker_killed_five_times_is_resubscribed_within_five_seconds_each(
    mosquitto: Callable[..., Mosquitto], protocol: int
) -> None:
    async def body() -> None:
        broker, taker, log = mosquitto(), Taker(), Log()
        live = Limits(stable_after_s=0.01)  # all else as in a live system, with the longest and the shortest pauses
        dice = 1.0 if protocol == 4 else 0.0
        options = options_for(broker, protocol=protocol)
        async with connection(options, limits=live, on_state=log, random=lambda: dice) as ours:
            ours.subscribe("t/+", 1, taker)
            await until(lambda: ours.subscribed)
            for death in range(1, 6):
                await asyncio.to_thread(broker.restart)
                await until(lambda n=death: ours.counters.reconnects == n and ours.subscribed, 5, "the resubscription")
                async with publisher(broker) as stranger:
                    await publish_all(stranger, [("t/a", b"%d" % death, 1)])
                await until(lambda n=death: len(taker.messages) >= n)
        assert taker.payloads == [b"1", b"2", b"3", b"4", b"5"]
        assert log.states.count(State.CONNECTED) == 6
        assert any("the connection was lost" in reason for _state, reason in log.entries)

    run(body(), 60)


def test_a_kept_session_gets_what_came_meanwhile(mosquitto: Callable[..., Mosquitto]) -> None:
    async def body() -> None:
        broker, taker = mosquitto(), Taker()
        for protocol in (4, 5):
            options = options_for(broker, protocol=protocol, client_id=f"kept-{protocol}", clean_session=False)
            async with connection(options) as ours:
                ours.subscribe("t/a", 1, taker)
                await until(lambda: ours.subscribed)
            async with publisher(broker) as stranger:
                await publish_all(stranger, [("t/a", b"meanwhile %d" % protocol, 1)])
            again = Connection(options, limits=QUICK)
            again.subscribe("t/a", 1, taker)
            again.start()
            await until(lambda: len(taker.messages) >= 1)
            await again.stop()
            assert taker.payloads == [b"meanwhile %d" % protocol]
            taker.batches.clear()

    run(body())


def test_will_birth_and_close_are_sent() -> None:
    async def script(scripted: ScriptedBroker) -> None:
        while True:
            packets.append(await scripted.packet())

    packets: list[tuple[int, bytes]] = []

    async def body() -> None:
        async with ScriptedBroker(script).opened() as scripted:
            options = BrokerOptions(
                "127.0.0.1",
                scripted.port,
                client_id="c",
                will=Outgoing("stato", b"offline", 1, True),
                birth=Outgoing("stato", b"online", 0, True),
                close=Outgoing("stato", b"bye", 0, True),
            )
            async with connection(options):
                await until(lambda: packets)
            await until(lambda: len(packets) == 4)
        connect = scripted.connects[0]
        assert connect[7] == 0b00101110  # will retained, at QoS 1, clean session
        assert connect.endswith(b"\x00\x05stato\x00\x07offline")
        assert packets[0] == (0x31, b"\x00\x05statoonline")
        assert packets[1] == (0x31, b"\x00\x05statobye")
        assert packets[3] == (0xE0, b"")

    run(body())


# ----------------------------------------------------------------------------------------------------- subscriptions


@VERSIONS
@pytest.mark.parametrize("filters", [["a/#", "a/+/c"], ["a/+/c", "a/b/+"], ["a/+/c", "a/b/+", "+/b/c", "#"]])
def test_overlapping_subscriptions_get_each_message_once(
    mosquitto: Callable[..., Mosquitto], protocol: int, filters: list[str]
) -> None:
    async def body() -> None:
        broker = mosquitto()
        takers = [Taker() for _ in filters]
        async with publisher(broker) as stranger:
            await publish_all(stranger, [("a/b/c", b"kept", 1)], retain=True)
            async with connection(options_for(broker, protocol=protocol)) as ours:
                for index, taker in enumerate(takers):
                    ours.subscribe(filters[index], index % 3, taker)
                await until(lambda: ours.subscribed and all(taker.messages for taker in takers))
                await publish_all(stranger, [("a/b/c", b"%d" % n, 1) for n in range(20)])
                await publish_all(stranger, [("a/b/c", b"end", 1)])
                await until(lambda: all(taker.payloads[-1] == b"end" for taker in takers))
        for taker in takers:
            assert taker.payloads == [b"kept", *(b"%d" % n for n in range(20)), b"end"]

    run(body())


def test_two_subscriptions_to_one_filter_both_get_all(broker: Mosquitto) -> None:
    async def body() -> None:
        first, second = Taker(), Taker()
        async with connection(options_for(broker)) as ours:
            ours.subscribe("t/a", 0, first)
            ours.subscribe("t/a", 0, second)
            await until(lambda: ours.subscribed)
            ours.publish("t/a", b"x")
            await until(lambda: first.messages and second.messages)
        assert first.payloads == second.payloads == [b"x"]

    run(body())


@pytest.mark.parametrize("later", ["t/#", "t/a", "t/+"])
@VERSIONS
def test_a_later_subscription_gets_what_is_retained_and_the_earlier_not_again(
    mosquitto: Callable[..., Mosquitto], protocol: int, later: str
) -> None:
    async def body() -> None:
        broker, first, second = mosquitto(), Taker(), Taker()
        async with publisher(broker) as stranger:
            await publish_all(stranger, [("t/a", b"kept", 1)], retain=True)
            async with connection(options_for(broker, protocol=protocol)) as ours:
                ours.subscribe("t/a", 0, first)
                await until(lambda: first.messages)
                ours.subscribe(later, 0, second)
                await until(lambda: ours.subscribed and second.messages)
                await publish_all(stranger, [("t/a", b"live", 1)])
                await until(lambda: first.payloads[-1] == second.payloads[-1] == b"live")
        for taker in (first, second):
            assert [(m.payload, m.retain) for m in taker.messages] == [(b"kept", True), (b"live", False)]

    run(body())


@VERSIONS
def test_a_narrow_subscription_lives_on_when_the_wide_one_is_cancelled(
    mosquitto: Callable[..., Mosquitto], protocol: int
) -> None:
    async def body() -> None:
        broker, wide, narrow = mosquitto(), Taker(), Taker()
        async with publisher(broker) as stranger:
            await publish_all(stranger, [("t/a", b"kept", 1)], retain=True)
            async with connection(options_for(broker, protocol=protocol)) as ours:
                all_of_it = ours.subscribe("t/#", 0, wide)
                ours.subscribe("t/a", 0, narrow)
                await until(lambda: wide.messages and narrow.messages)
                all_of_it.cancel()
                await until(lambda: ours.subscribed)
                await publish_all(stranger, [("t/b", b"not for it", 1), ("t/a", b"live", 1)])
                await until(lambda: narrow.payloads[-1] == b"live")
        assert narrow.payloads == [b"kept", b"live"]
        assert wide.payloads == [b"kept"]

    run(body())


def test_a_filter_is_unsubscribed_once_nobody_wants_it_any_more() -> None:
    async def script(scripted: ScriptedBroker) -> None:
        await scripted.grant()
        while True:
            packets.append(await scripted.packet())

    packets: list[tuple[int, bytes]] = []

    async def body() -> None:
        async with (
            ScriptedBroker(script).opened() as scripted,
            connection(BrokerOptions("127.0.0.1", scripted.port)) as ours,
        ):
            first, second = ours.subscribe("t/a", 0, Taker()), ours.subscribe("t/a", 0, Taker())
            await until(lambda: ours.subscribed)
            first.cancel()
            first.cancel()
            await asyncio.sleep(0)
            ours.publish("t/b", b"x")
            await until(lambda: packets)
            assert packets.pop()[0] == 0x30
            second.cancel()
            await until(lambda: packets)
            command, unsubscribe = packets.pop()
            assert (command, unsubscribe[2:]) == (0xA2, b"\x00\x03t/a")

    run(body())


def test_a_cancelled_subscription_gets_nothing_of_the_same_batch(broker: Mosquitto) -> None:
    async def body() -> None:
        second, done = Taker(), Taker()
        async with connection(options_for(broker)) as ours:
            ours.subscribe("t/a", 0, lambda batch: to_cancel.cancel())
            to_cancel = ours.subscribe("t/a", 0, second)
            ours.subscribe("t/end", 0, done)
            await until(lambda: ours.subscribed)
            ours.publish("t/a", b"x")
            ours.publish("t/end", b"x")
            await until(lambda: done.messages)
            assert not to_cancel.active
        assert second.messages == []

    run(body())


def test_one_takers_fault_costs_the_others_nothing(broker: Mosquitto, caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        good = Taker()

        def bad(batch: list[object]) -> None:
            raise KeyError("potenza_w")

        async with connection(options_for(broker)) as ours:
            ours.subscribe("t/#", 1, bad)
            ours.subscribe("t/#", 1, good)
            await until(lambda: ours.subscribed)
            for _ in range(3):
                ours.publish("t/a", b"x", 1)
            await until(lambda: len(good.messages) == 3)
            assert "the taker of 't/#' failed: KeyError: 'potenza_w'" in ours.last_error
        assert caplog.text.count("Traceback") == 1

    run(body())


def test_a_subscription_that_the_broker_refuses_says_so_and_hides_no_other() -> None:
    async def script(scripted: ScriptedBroker) -> None:
        while True:
            command, body = await scripted.packet()
            if command == 0x82:
                asked.append(body[4:-1])
                answer = b"\x80" if body[4:-1] == b"#" else b"\x00"
                scripted.writer.write(b"\x90\x03" + body[:2] + answer)

    asked: list[bytes] = []

    async def body() -> None:
        async with (
            ScriptedBroker(script).opened() as scripted,
            connection(BrokerOptions("127.0.0.1", scripted.port)) as ours,
        ):
            everything = ours.subscribe("#", 0, Taker())
            allowed = ours.subscribe("comunita/casa_A/#", 0, Taker())
            await until(lambda: len(asked) == 2 and ours.subscribed)
            assert "refuses the subscription to '#'" in everything.error
            assert "give its user the right" in ours.last_error
            assert allowed.error == ""
        assert asked == [b"#", b"comunita/casa_A/#"]

    run(body())


def test_what_is_no_filter_is_refused_at_once(broker: Mosquitto) -> None:
    async def body() -> None:
        ours = Connection(options_for(broker))
        with pytest.raises(TopicError):
            ours.subscribe("a/#/b", 0, Taker())
        with pytest.raises(ValueError, match="a QoS is 0, 1 or 2"):
            ours.subscribe("a", 3, Taker())

    run(body())


def test_callbacks_come_on_the_loops_thread(broker: Mosquitto) -> None:
    async def body() -> None:
        seen: list[object] = []

        def note(*_anything: object) -> None:
            seen.append(asyncio.get_running_loop())

        async with connection(options_for(broker), on_state=note) as ours:
            ours.subscribe("t/#", 2, note)
            await until(lambda: ours.subscribed)
            for qos in (0, 1, 2):
                ours.publish("t/a", b"x", qos)
            await until(lambda: len(seen) >= 4)
        assert set(seen) == {asyncio.get_running_loop()}

    run(body())


# ---------------------------------------------------------------------------------------------- publishing and outbox


def test_what_is_published_without_a_connection_is_refused_and_counted() -> None:
    async def body() -> None:
        ours = Connection(BrokerOptions("127.0.0.1", free_port()))
        assert ours.publish("rele/1/set", b"ON") is False
        assert ours.publish("rele/1/set", b"ON", 1) is False
        assert ours.counters.dropped_out == 2

    run(body())


@pytest.mark.parametrize("qos", [0, 1])
def test_the_outbox_is_sent_in_order_once_there_is_a_connection(mosquitto: Callable[..., Mosquitto], qos: int) -> None:
    async def body() -> None:
        broker, taker = mosquitto(), Taker()
        async with connection(options_for(broker)) as ours:
            ours.subscribe("t/#", 1, taker)
            await until(lambda: ours.subscribed)
            await asyncio.to_thread(broker.kill)
            await until(lambda: ours.state is not State.CONNECTED)
            assert all(ours.publish("t/a", b"%d" % n, qos, queue=True) for n in range(50))
            await asyncio.to_thread(broker.start)
            await until(lambda: len(taker.messages) >= 50)
            assert ours.counters.dropped_out == 0
        assert taker.payloads == [b"%d" % n for n in range(50)]

    run(body())


def test_a_full_outbox_drops_the_oldest_and_counts(mosquitto: Callable[..., Mosquitto]) -> None:
    async def body() -> None:
        broker, taker = mosquitto(), Taker()
        ours = Connection(options_for(broker), limits=Limits(outbox_messages=3))
        ours.subscribe("t/#", 1, taker)
        assert all(ours.publish("t/a", b"%d" % n, queue=True) for n in range(5))
        assert ours.counters.dropped_out == 2
        ours.start()
        await until(lambda: len(taker.messages) >= 3)
        await ours.stop()
        assert taker.payloads == [b"2", b"3", b"4"]

    run(body())


def test_one_cannot_publish_to_a_wildcard_connected_or_not(broker: Mosquitto) -> None:
    async def body() -> None:
        async with connection(options_for(broker)) as ours:
            for qos in (0, 1):
                with pytest.raises(TopicError):
                    ours.publish("a/+", b"x", qos)
        with pytest.raises(TopicError):
            ours.publish("a/#", b"x", queue=True)

    run(body())


def test_counters_count(broker: Mosquitto) -> None:
    async def body() -> None:
        taker = Taker()
        async with connection(options_for(broker)) as ours:
            ours.subscribe("t/#", 0, taker)
            await until(lambda: ours.subscribed)
            for qos in (0, 1, 2):
                ours.publish("t/a", b"x", qos)
            await until(lambda: len(taker.messages) == 3)
            counters = ours.counters
        assert (counters.received, counters.published) == (3, 3)
        assert (counters.dropped_in, counters.dropped_out, counters.reconnects) == (0, 0, 0)

    run(body())


# ----------------------------------------------------------------------------------------------------------- stopping


def test_stopping_loses_nothing_that_was_published(broker: Mosquitto) -> None:
    async def body() -> None:
        taker = Taker()
        options = options_for(broker, close=Outgoing("t/end", b"end", 1))
        async with connection(options_for(broker)) as other:
            other.subscribe("t/#", 1, taker)
            await until(lambda: other.subscribed)
            async with connection(options) as ours:
                ours.subscribe("t/#", 0, Taker())  # it hears itself: its socket is never empty when it closes
                await until(lambda: ours.subscribed)
                for number in range(3000):
                    ours.publish("t/a", b"%d" % number, 0)
            await until(lambda: len(taker.messages) >= 3001)
        assert taker.payloads == [*(b"%d" % n for n in range(3000)), b"end"]

    run(body())


def test_stopping_keeps_its_limit_though_nobody_answers() -> None:
    async def script(scripted: ScriptedBroker) -> None:
        while True:
            await scripted.packet()

    async def body() -> None:
        loop = asyncio.get_running_loop()
        async with (
            ScriptedBroker(script, lets_out=False).opened() as scripted,
            connection(BrokerOptions("127.0.0.1", scripted.port), limits=Limits(stop_s=0.3)) as ours,
        ):
            began = loop.time()
            await ours.stop()
            assert 0.3 <= loop.time() - began < 1
            assert "before the broker had answered" in ours.last_error

    run(body())


def test_stopping_while_connecting_does_not_wait_for_the_attempt() -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)  # never shakes hands
        options = BrokerOptions("127.0.0.1", server.sockets[0].getsockname()[1], tls=True)
        ours = Connection(options, limits=Limits(connect_timeout_s=20))
        ours.start()
        await until(lambda: ours.state is State.CONNECTING)
        began = loop.time()
        await ours.stop()
        assert loop.time() - began < 0.5
        server.close()

    run(body())


def test_what_the_outbox_still_held_at_the_stop_is_counted() -> None:
    async def body() -> None:
        ours = Connection(BrokerOptions("127.0.0.1", free_port()), limits=Limits(stop_s=0.1))
        ours.start()
        ours.publish("t", b"x", queue=True)
        await ours.stop()
        assert ours.counters.dropped_out == 1
        assert ours.publish("t", b"x", queue=True) is False

    run(body())


def test_a_stopped_connection_can_be_started_again(broker: Mosquitto) -> None:
    async def body() -> None:
        taker = Taker()
        async with connection(options_for(broker)) as ours:
            ours.subscribe("t/#", 0, taker)
            await until(lambda: ours.subscribed)
            await ours.stop()
            assert ours.state is State.DISCONNECTED
            ours.start()
            await until(lambda: ours.subscribed)
            ours.publish("t/a", b"again")
            await until(lambda: taker.payloads == [b"again"])

    run(body())
