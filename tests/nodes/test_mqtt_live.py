"""The MQTT and HTTP nodes in a running engine: real brokers, real sockets, real threads."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from brokers import Mosquitto
from embedded import BareClient, RunningBroker, until
from flask import Flask

from solarflow.clock import SystemClock
from solarflow.engine import Engine
from solarflow.flowfile import Project, flow_of
from solarflow.graph import check_project
from solarflow.http_routes import HttpRoutes
from solarflow.live import LiveEngine
from solarflow.live_mqtt import LiveMqtt
from solarflow.mqtt import BrokerOptions
from solarflow.offline import OfflineHomes
from solarflow.services import Services
from solarflow.web import flow_routes


class Running:
    """A flow at work on the machine's time; a context manager."""

    def __init__(self, flow, registry, port=0, homes=None):
        project = Project(Path(), Path("live.json"), files=(flow_of(flow, "live.json"),))
        self._plan = check_project(project, registry, {}).plan
        self._mqtt = LiveMqtt(lambda: BrokerOptions("127.0.0.1", port))
        services = Services(mqtt=self._mqtt, homes=homes)
        self.live = LiveEngine(
            lambda live: Engine(
                registry, SystemClock(), services, executor=live.executor, call_back=live.call_back
            ),
            save=lambda changes: None, opening=self._open, closing=self._mqtt.wait_closed,
        )  # fmt: skip
        self.http = services.http = HttpRoutes(self.live.call)

    async def _open(self):
        self.live.engine.deploy(self._plan)

    def status(self, node_id):
        """What a node shows."""
        found = self.live.engine.statuses.get(node_id, {}).get("")
        return found.text if found else ""

    def __enter__(self):
        self.live.start()
        return self

    def __exit__(self, *_exception):
        self.live.stop()


def relay(**broker):
    """Readings in, the same out on another topic."""
    return [
        {"id": "tab", "type": "tab", "label": "t"},
        {"id": "broker", "type": "mqtt-broker", "broker": "", **broker},
        {
            "id": "in", "type": "mqtt in", "z": "tab", "broker": "broker", "topic": "comunita/{home}/produzione",
            "wires": [["out"]],
        },
        {"id": "out", "type": "mqtt out", "z": "tab", "broker": "broker", "topic": "eco/{home}", "wires": []},
    ]  # fmt: skip


class OwnBroker(RunningBroker):
    """The embedded broker, with the face of the other one."""

    def __init__(self, port=0):
        super().__init__(port=port)

    def kill(self):
        self.stop()


@pytest.fixture(params=["mosquitto", "embedded"])
def broker(request, tmp_path):
    """A running broker, and `again(port)`, which starts another one in its place."""
    made = []

    def start(port: int = 0):
        if request.param == "mosquitto":
            if made:
                made[0].start()
                return made[0]
            made.append(Mosquitto(tmp_path))
        else:
            made.append(OwnBroker(port).start())
        return made[-1]

    yield start
    last = made[-1]
    if request.param == "mosquitto" or last._thread.is_alive():
        last.kill()


def heard_by(client: BareClient) -> tuple[str, object]:
    topic, payload, *_ = client.read_publish()
    return topic, json.loads(payload)


def say_until_heard(port: int, listener: BareClient, payload: object) -> tuple[str, object]:
    """Publish and read; only for a flow that is subscribed."""
    speaker = BareClient(port, "speaker")
    speaker.publish("comunita/casa_A/produzione", json.dumps(payload).encode())
    answer = heard_by(listener)
    speaker.disconnect()
    return answer


def subscribed(running: Running) -> Callable[[], bool]:
    """Whether the broker has answered for every subscription."""
    connections = running._mqtt.connections
    return lambda: bool(connections) and all(c.connection.subscribed for c in connections)


def test_a_message_goes_in_through_the_flow_and_out(broker, registry):
    port = broker().port
    listener = BareClient(port, "listener")
    listener.subscribe("eco/+")
    with Running(relay(), registry, port) as running:
        until(subscribed(running))
        assert running.status("in") == running.status("out") == "connected"
        assert say_until_heard(port, listener, {"potenza_w": 1500}) == ("eco/casa_A", {"potenza_w": 1500})
    listener.disconnect()


def test_when_the_broker_comes_back_it_is_subscribed_again(broker, registry):
    first = broker()
    port = first.port
    with Running(relay(), registry, port) as running:
        until(subscribed(running))
        first.kill()
        until(lambda: running.status("in").startswith(("disconnected", "refused", "connecting")))
        assert ":" in running.status("out") or running.status("out") == "connecting", "it says why"
        broker(port)
        until(lambda: running.status("in") == "connected" and subscribed(running)(), 15)
        listener = BareClient(port, "listener")
        listener.subscribe("eco/+")
        assert say_until_heard(port, listener, {"potenza_w": 2}) == ("eco/casa_A", {"potenza_w": 2})
        listener.disconnect()


def test_birth_and_close_messages_tell_when_it_comes_and_goes(broker, registry):
    port = broker().port
    listener = BareClient(port, "listener")
    listener.subscribe("stato")
    flow = relay(birthTopic="stato", birthPayload="online", closeTopic="stato", closePayload="offline")
    with Running(flow, registry, port):
        assert listener.read_publish()[1] == b"online"
    assert listener.read_publish()[1] == b"offline"
    listener.disconnect()


def test_only_approved_homes_enter_and_the_others_are_listed(broker, registry):
    port = broker().port
    homes = OfflineHomes([{"id": "casa_A"}])
    listener = BareClient(port, "listener")
    listener.subscribe("eco/+")
    with Running(relay(), registry, port, homes) as running:
        until(subscribed(running))
        speaker = BareClient(port, "speaker")
        speaker.publish("comunita/stranger/produzione", b"1")
        speaker.publish("comunita/casa_A/produzione", b"2")
        assert heard_by(listener) == ("eco/casa_A", 2)
        assert [home for home, *_ in homes.unknown] == ["stranger"]
        speaker.disconnect()
    listener.disconnect()


def test_a_broker_that_is_not_there_is_told_in_the_status(registry):
    with Running(relay(broker="127.0.0.1", port=1), registry) as running:
        until(lambda: running.status("in").startswith("refused: "))
        assert "127.0.0.1:1" in running.status("broker")


def test_a_request_is_answered_by_the_flow_through_the_web_server(registry):
    flow = [
        {"id": "tab", "type": "tab", "label": "t"},
        {
            "id": "in", "type": "http in", "z": "tab", "method": "post", "url": "/api/homes/:home/",
            "wires": [["out"]],
        },
        {"id": "out", "type": "http response", "z": "tab", "statusCode": "201", "wires": []},
    ]  # fmt: skip
    with Running(flow, registry) as running:
        app = Flask("test")
        flow_routes.install(app, SimpleNamespace(http=running.http, token=""))
        client = app.test_client()
        answer = client.post("/api/homes/casa_A", json={"potenza_w": 1500})
        assert (answer.status_code, answer.json) == (201, {"potenza_w": 1500})
        assert client.post("/api/homes/casa_A", data="{", content_type="application/json").status_code == 400
        assert client.get("/api/homes/casa_A").status_code == 405
        assert client.get("/elsewhere").status_code == 404


def test_a_request_out_holds_nothing_up_and_comes_back_to_the_flow(registry):
    flow = [
        {"id": "tab", "type": "tab", "label": "t"},
        {"id": "in", "type": "http in", "z": "tab", "method": "get", "url": "/ask", "wires": [["ask"]]},
        {"id": "ask", "type": "http request", "z": "tab", "url": "http://127.0.0.1:1/", "wires": [["out"]]},
        {"id": "out", "type": "http response", "z": "tab", "statusCode": "502", "wires": []},
    ]
    with Running(flow, registry) as running:
        status, _, body = running.http.handle("GET", "/ask", {}, {}, b"")
    assert status == 502
    assert b"connection refused" in body
