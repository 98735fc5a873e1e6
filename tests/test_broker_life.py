"""Starting and stopping the embedded broker, its figures, and the clients people really use with it."""

from __future__ import annotations

import asyncio
import logging
import shutil
import socket
import ssl
import subprocess
import time
from threading import Event

import paho.mqtt.client as paho
import pytest
from embedded import BareClient, RunningBroker, publish_bytes, until

from solarflow import broker_clients
from solarflow.broker import BrokerSettings, EmbeddedBroker
from solarflow.broker_rights import Rights
from solarflow.errors import UsageError

needs_mosquitto = pytest.mark.skipif(not shutil.which("mosquitto_sub"), reason="mosquitto-clients is not installed")
needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
USERS = {"casa_A": "token-a", "engine": "token-e"}


@pytest.fixture
def broker():
    with RunningBroker() as running:
        yield running


@pytest.fixture
def homes():
    with RunningBroker(USERS) as running:
        yield running


# --- settings


def test_without_settings_it_listens_on_this_machine_only_and_lets_nobody_in_without_a_credential():
    """Stock listens on every address and lets anybody in."""
    settings = BrokerSettings()
    assert (settings.host, settings.port, settings.anonymous) == ("127.0.0.1", 1883, False)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "", "solar.example"])  # noqa: S104  # refused
def test_anonymous_clients_are_refused_where_others_could_reach_the_port(host):
    with pytest.raises(UsageError, match="credential"):
        EmbeddedBroker(BrokerSettings(host=host, anonymous=True), Rights())


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_anonymous_clients_are_allowed_on_a_loopback_address(host):
    EmbeddedBroker(BrokerSettings(host=host, anonymous=True), Rights())


def test_a_certificate_without_its_key_is_refused(tmp_path):
    with pytest.raises(UsageError, match="both"):
        EmbeddedBroker(BrokerSettings(tls_certificate=tmp_path / "cert.pem"), Rights())


def test_tls_files_that_cannot_be_read_are_named(tmp_path):
    files = {"tls_certificate": tmp_path / "cert.pem", "tls_key": tmp_path / "key.pem"}
    with pytest.raises(UsageError, match=r"cert\.pem"):
        asyncio.run(EmbeddedBroker(BrokerSettings(port=0, **files), Rights()).start())


def test_a_port_in_use_is_said_with_what_to_do():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"127\.0\.0\.1 port {port}: .*in use.*choose another port"):
            asyncio.run(EmbeddedBroker(BrokerSettings(port=port), Rights()).start())


def test_it_says_which_free_port_it_took(broker):
    assert broker.port > 0
    assert BareClient(broker.port).return_code == 0


def test_it_listens_on_ipv6_too():
    try:
        with RunningBroker(host="::1") as broker:
            socket.create_connection(("::1", broker.port), timeout=5).close()
    except UsageError:
        pytest.skip("this machine has no IPv6 loopback address")


def test_starting_twice_is_refused(broker):
    with pytest.raises(UsageError, match="running already"):
        broker.run(broker.broker.start())


# --- stopping


def test_it_stops_within_two_seconds_with_clients_of_every_kind_and_leaves_no_task():
    broker = RunningBroker().start()
    asleep = BareClient(broker.port, "asleep")
    asleep.subscribe("a")
    publisher = BareClient(broker.port, "p", will=("a", b"offline"))
    for _ in range(40):
        publisher.publish("a", bytes(500_000))
    _mute = BareClient(broker.port, connect=False)
    unfinished = BareClient(broker.port, connect=False)
    unfinished.send(b"\x10\x20")
    until(lambda: broker.broker.status().messages_in == 40)

    async def tasks() -> set[asyncio.Task]:
        return asyncio.all_tasks() - {asyncio.current_task()}

    began = time.monotonic()
    broker.run(broker.broker.stop())
    assert time.monotonic() - began < 2
    assert broker.run(tasks()) == set()
    with pytest.raises(ConnectionRefusedError):
        BareClient(broker.port)
    broker.stop()


def test_stopping_publishes_no_will_and_stopping_twice_does_no_harm(broker):
    watcher = BareClient(broker.port, "watcher")
    watcher.subscribe("stato")
    _device = BareClient(broker.port, "device", will=("stato", b"offline"))  # held: a client that is let go vanishes
    broker.run(broker.broker.stop())
    broker.run(broker.broker.stop())
    with pytest.raises((EOFError, ConnectionError)):
        watcher.read()


def test_it_can_be_started_again(broker):
    broker.run(broker.broker.stop())
    broker.run(broker.broker.start())
    assert BareClient(broker.port).return_code == 0
    broker.rights.remove_user("nobody")


def test_starting_and_stopping_say_one_line_at_info_and_amqtt_none(caplog):
    caplog.set_level(logging.INFO)
    with RunningBroker() as broker:
        pass
    assert [record.getMessage() for record in caplog.records if record.name != "asyncio"] == [
        f"MQTT broker on 127.0.0.1:{broker.port} (no TLS, anonymous clients too)"
    ]


# --- figures


def test_it_names_its_connected_clients_with_their_users(homes):
    _engine = BareClient(homes.port, "engine-1", "engine", "token-e")
    _home = BareClient(homes.port, "meter", "casa_A", "token-a")
    assert homes.broker.sessions() == [("meter", "casa_A"), ("engine-1", "engine")]


def test_it_counts_messages_in_and_out(broker):
    one, two = BareClient(broker.port, "1"), BareClient(broker.port, "2")
    one.subscribe("a")
    two.subscribe("#")
    one.publish("a", b"1")
    one.publish("b", b"1")
    for client, count in ((one, 1), (two, 2)):
        for _ in range(count):
            client.read_publish()
    status = broker.broker.status()
    assert (status.clients, status.messages_in, status.messages_out) == (2, 2, 3)


def test_before_its_start_all_figures_are_zero():
    broker = EmbeddedBroker(BrokerSettings(), Rights())
    assert broker.status().clients == 0
    assert broker.sessions() == []


# --- it shares its loop


def test_heavy_traffic_leaves_the_loop_s_other_work_its_turn(broker):
    """Another coroutine that wants to run every millisecond does so while 20,000 messages pass."""
    subscriber, publisher = BareClient(broker.port, "s"), BareClient(broker.port, "p")
    subscriber.subscribe("a")
    done = Event()

    async def longest_wait() -> float:
        longest = 0.0
        while not done.is_set():
            began = time.monotonic()
            await asyncio.sleep(0.001)
            longest = max(longest, time.monotonic() - began)
        return longest

    waiting = asyncio.run_coroutine_threadsafe(longest_wait(), broker.loop)
    batch = publish_bytes("a", b'{"potenza_w": 1500}') * 1_000
    for _ in range(20):
        publisher.send(batch)
        for _ in range(1_000):
            subscriber.read_publish()
    done.set()
    assert waiting.result(5) < 0.25


# --- clients people use


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_paho_publishes_and_subscribes(homes, qos):
    got, ready = [], Event()
    engine = paho.Client(paho.CallbackAPIVersion.VERSION2, "engine")
    engine.username_pw_set("engine", "token-e")
    engine.on_connect = lambda client, *_: client.subscribe("comunita/+/produzione", qos)
    engine.on_subscribe = lambda *_: ready.set()
    engine.on_message = lambda client, data, message: got.append((message.topic, message.payload, message.qos))
    home = paho.Client(paho.CallbackAPIVersion.VERSION2, "meter")
    home.username_pw_set("casa_A", "token-a")
    for client in (engine, home):
        client.connect("127.0.0.1", homes.port)
        client.loop_start()
    assert ready.wait(5)
    for n in range(50):
        home.publish("comunita/casa_A/produzione", str(n), qos)
    until(lambda: len(got) == 50)
    assert got == [("comunita/casa_A/produzione", b"%d" % n, qos) for n in range(50)]
    for client in (engine, home):
        client.disconnect()
        client.loop_stop()


def test_paho_is_told_that_its_credential_is_wrong(homes):
    refused = []
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, "x")
    client.username_pw_set("casa_A", "wrong")
    client.on_connect = lambda client, data, flags, reason, properties: refused.append(str(reason))
    client.connect("127.0.0.1", homes.port)
    client.loop_start()
    until(lambda: refused)
    client.disconnect()
    client.loop_stop()
    assert refused[0] == "Not authorized"


@needs_mosquitto
def test_mosquitto_pub_and_sub_pass_a_message(homes):
    address = ["-h", "127.0.0.1", "-p", str(homes.port)]
    listening = subprocess.Popen(
        ["mosquitto_sub", *address, "-u", "engine", "-P", "token-e", "-t", "comunita/#", "-v", "-C", "2", "-W", "10"],
        stdout=subprocess.PIPE,
        text=True,
    )
    until(lambda: homes.broker.sessions())
    publish = ["mosquitto_pub", *address, "-u", "casa_A", "-P", "token-a", "-q", "1", "-r"]
    subprocess.run([*publish, "-t", "comunita/casa_A/bilancio", "-m", "first"], check=True, timeout=10)
    subprocess.run([*publish, "-t", "comunita/casa_B/bilancio", "-m", "forged"], check=True, timeout=10)
    subprocess.run([*publish, "-t", "comunita/casa_A/bilancio", "-m", "second"], check=True, timeout=10)
    out, _ = listening.communicate(timeout=15)
    assert out.splitlines() == ["comunita/casa_A/bilancio first", "comunita/casa_A/bilancio second"]


@needs_mosquitto
def test_mosquitto_sub_without_a_credential_is_refused(homes):
    answer = subprocess.run(
        ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(homes.port), "-t", "#", "-W", "5"],
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
    )
    assert "not authorised" in answer.stderr.lower()


@needs_openssl
def test_over_tls_a_message_passes_and_a_client_that_stops_halfway_holds_up_nothing(tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-keyout", str(key), "-out", str(certificate)),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
        timeout=20,
    )
    got, ready = [], Event()
    with RunningBroker(tls_certificate=certificate, tls_key=key) as broker:
        halfway = socket.create_connection(("127.0.0.1", broker.port), timeout=5)
        client = paho.Client(paho.CallbackAPIVersion.VERSION2, "tls")
        client.tls_set_context(ssl.create_default_context(cafile=str(certificate)))
        client.on_connect = lambda client, *_: client.subscribe("a", 1)
        client.on_subscribe = lambda *_: ready.set()
        client.on_message = lambda client, data, message: got.append(message.payload)
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        assert ready.wait(5)
        payload = bytes(200_000)
        client.publish("a", payload, 1)
        until(lambda: got == [payload])
        client.disconnect()
        client.loop_stop()
        began = time.monotonic()
    assert time.monotonic() - began < 2
    halfway.close()


def test_ten_thousand_unacknowledged_messages_reach_a_subscriber_through_the_window(broker):
    subscriber, publisher = BareClient(broker.port, "s"), BareClient(broker.port, "p")
    subscriber.subscribe("a", 1)
    publisher.send(b"".join(publish_bytes("a", b"%d" % n, 1, n + 1) for n in range(10_000)))
    for n in range(10_000):
        _, payload, _, _, packet_id = subscriber.read_publish()
        assert payload == b"%d" % n
        subscriber.send(b"\x40\x02" + packet_id.to_bytes(2, "big"))
    assert broker_clients.QUEUE_MESSAGES >= 10_000
