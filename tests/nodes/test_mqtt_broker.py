"""What `mqtt-broker` and `tls-config` promise; real brokers are in test_mqtt_live.py."""

import pytest
from pydantic import ValidationError


def options(node, registry, certificates=None, **properties):
    """What the connection was asked for."""
    others = {"tls": (registry["tls-config"], certificates)} if certificates is not None else {}
    bench = node("mqtt-broker", properties, bench={"others": others})
    (connection,) = bench.mqtt.connections
    return connection.options


@pytest.mark.parametrize("name", ["", "default"])
def test_without_a_name_it_is_the_broker_of_the_start(node, registry, name):
    assert options(node, registry, broker=name)["host"] == ""


@pytest.mark.parametrize(
    ("properties", "host", "port", "tls"),
    [
        ({"broker": "mqtt.example.org"}, "mqtt.example.org", 1883, False),
        ({"broker": "mqtt.example.org", "port": "1884"}, "mqtt.example.org", 1884, False),
        ({"broker": "mqtt.example.org", "usetls": True}, "mqtt.example.org", 8883, True),
        ({"broker": "mqtts://mqtt.example.org"}, "mqtt.example.org", 8883, True),
        ({"broker": "mqtt://[::1]:1885"}, "::1", 1885, False),
    ],
)
def test_a_broker_is_a_name_with_a_port_or_an_address(node, registry, properties, host, port, tls):
    asked = options(node, registry, **properties)
    assert (asked["host"], asked["port"], asked["tls"]) == (host, port, tls)


def test_the_login_is_handed_over_and_shown_nowhere(node, registry):
    bench = node("mqtt-broker", broker="b", user="me", password="secret")
    (connection,) = bench.mqtt.connections
    assert (connection.options["username"], connection.options["password"]) == ("me", "secret")
    assert "secret" not in repr(bench.node.config)


def test_birth_close_and_will_are_handed_over(node, registry):
    asked = options(
        node, registry, broker="b", birthTopic="stato", birthPayload="online", birthRetain="true", birthQos="1",
        willTopic="stato", willPayload="offline", willRetain="true", willMsg={},
    )  # fmt: skip
    assert asked["birth"] == {"topic": "stato", "payload": b"online", "qos": 1, "retain": True}
    assert asked["will"] == {"topic": "stato", "payload": b"offline", "qos": 0, "retain": True}
    assert asked["close"] is None


@pytest.mark.parametrize(("version", "protocol"), [("3", 4), ("4", 4), (5, 5), ("", 4)])
def test_the_protocol_version_may_be_text_or_number(node, registry, version, protocol):
    assert options(node, registry, broker="b", protocolVersion=version)["protocol"] == protocol


def test_a_session_is_kept_only_with_a_client_id(node, registry):
    kept = options(node, registry, broker="b", cleansession=False, clientid="me", sessionExpiry="60")
    assert (kept["clean_session"], kept["client_id"], kept["session_expiry_s"]) == (False, "me", 60)
    assert options(node, registry, broker="b", cleansession=False)["clean_session"] is True


def test_the_certificates_come_from_the_tls_config(node, registry):
    tls = {"ca": "ca.pem", "cert": "c.pem", "key": "k.pem", "verifyservercert": False}
    asked = options(node, registry, tls, broker="b", usetls=True, tls="tls")
    assert (asked["ca_file"], asked["cert_file"], asked["key_file"]) == ("ca.pem", "c.pem", "k.pem")
    assert asked["verify"] is False


def test_certificates_are_checked_unless_somebody_says_otherwise(node, registry):
    assert options(node, registry, broker="b", usetls=True)["verify"] is True
    assert options(node, registry, broker="b", usetls=True, verifyservercert=False)["verify"] is False


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        ({"broker": "ws://host/mqtt"}, "WebSockets"),
        ({"broker": "http://host"}, "expected a host name"),
        ({"broker": "mqtt://me:secret@host"}, "do not belong into the address"),
        ({"broker": "mqtt://host:99999"}, "cannot be read"),
        ({"broker": "b", "port": 0}, "port"),
        ({"broker": "b", "willTopic": "a/#"}, "wildcard"),
        ({"broker": "b", "password": "secret"}, "no user"),
    ],
)
def test_properties_that_cannot_work_are_refused(registry, properties, text):
    with pytest.raises(ValidationError, match=text) as caught:
        registry["mqtt-broker"].Config.model_validate(properties)
    assert "secret" not in str(caught.value.errors()[0]["msg"])


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        ({"certname": "mine.pem"}, "give its path as 'cert'"),
        ({"cert": "c.pem"}, "belong together"),
        ({"servername": "other"}, "cannot be set here"),
    ],
)
def test_certificates_that_are_not_here_are_refused(registry, properties, text):
    with pytest.raises(ValidationError, match=text):
        registry["tls-config"].Config.model_validate(properties)


def test_it_says_how_it_stands(node):
    bench = node("mqtt-broker", broker="b")
    assert bench.status() == "connected"
    bench.mqtt.connections[0].set_connected(False, "wrong password")
    assert bench.status() == "disconnected: wrong password"


def test_it_says_goodbye_when_it_is_removed(node):
    bench = node("mqtt-broker", broker="b")
    bench.remove()
    assert bench.mqtt.connections == []


def test_the_last_words_of_an_ended_connection_do_not_count(node):
    bench = node("mqtt-broker", broker="b")
    (first,) = bench.mqtt.connections
    bench.node.disconnect()
    bench.node.connect()
    first.on_state("disconnected", "stopped")
    assert bench.status() == "connected"


def test_where_there_is_no_mqtt_it_says_so(node):
    bench = node("mqtt-broker", broker="b", autoConnect=False)
    bench.node.services.mqtt = None
    bench.configure(autoConnect=True)
    assert "there is no MQTT here" in bench.errors[0]
