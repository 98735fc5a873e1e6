"""/health and /metrics: what machines read."""

import re
from dataclasses import replace

import pytest
from flask.testing import FlaskClient
from page_peers import NOW, STORE, TOTALS, FakeInstance, connection, flow, node, snapshot, waiting

import solarflow

SAMPLE = re.compile(r'^(?P<name>[a-z_]+)(?:\{(?P<labels>(?:[a-z]+="(?:[^"\\]|\\["\\n])*",?)*)\})? (?P<value>\S+)$')
LABEL = re.compile(r'([a-z]+)="((?:[^"\\]|\\.)*)"')


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """The samples of a Prometheus text; fails where a line is neither a comment nor a sample."""
    found = {}
    typed: set[str] = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _hash, _type, name, kind = line.split(" ")
            assert kind in ("counter", "gauge")
            assert kind != "counter" or name.endswith("_total")
            typed.add(name)
        elif not line.startswith("# HELP "):
            match = SAMPLE.match(line)
            assert match, line
            assert match["name"] in typed, f"{match['name']} has no TYPE before it"
            labels = tuple((k, re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], v))
                           for k, v in LABEL.findall(match["labels"] or ""))  # fmt: skip
            assert (match["name"], labels) not in found, f"twice: {line}"
            found[match["name"], labels] = float(match["value"])
    return found


@pytest.fixture
def metrics(client: FlaskClient, instance: FakeInstance) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    instance.snapshot = snapshot(
        flows=[flow("A", node("n1", "benchmark", received=1234567, sent=3, errors=2))],
        connections=[connection(), connection("refused", address="mqtts://b:8883")],
        broker={"clients": 4, "messages_in": 10, "messages_out": 20, "dropped": 1, "refused": {}},
        store={**STORE, "error": "disk full", "lost": 7},
        waiting=[waiting("casa_X")],
        totals={**TOTALS, "keys": 12.0},
    )
    answer = client.get("/metrics")
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.text.endswith("\n")
    return samples(answer.text)


def test_every_node_has_its_counters(metrics: dict[object, float]) -> None:
    labels = (("flow", "id of A"), ("node", "n1"), ("type", "benchmark"))
    assert metrics["solarflow_node_received_total", labels] == 1234567
    assert metrics["solarflow_node_sent_total", labels] == 3
    assert metrics["solarflow_node_errors_total", labels] == 2


def test_broker_store_homes_and_streams_are_there(metrics: dict[object, float]) -> None:
    assert metrics["solarflow_up", ()] == 1
    assert metrics["solarflow_mqtt_connected", (("broker", "mqtt://127.0.0.1:1883"),)] == 1
    assert metrics["solarflow_mqtt_connected", (("broker", "mqtts://b:8883"),)] == 0
    assert metrics["solarflow_broker_clients", ()] == 4
    assert metrics["solarflow_store_ok", ()] == 0
    assert metrics["solarflow_store_lost_total", ()] == 7
    assert metrics["solarflow_homes_pending", ()] == 1
    assert metrics["solarflow_keys", ()] == 12
    assert metrics["solarflow_streams_open", ()] == 0


def test_names_with_quotes_and_line_breaks_stay_one_label(client: FlaskClient, instance: FakeInstance) -> None:
    name = 'a"b\\c\nd'
    instance.snapshot = snapshot(flows=[replace(flow("A", node(name, received=1)), id=name)])
    found = samples(client.get("/metrics").text)
    assert found["solarflow_node_received_total", (("flow", name), ("node", name), ("type", "change"))] == 1


def test_open_pages_are_counted(client: FlaskClient) -> None:
    page = client.get("/_live")
    assert samples(client.get("/metrics").text)["solarflow_streams_open", ()] == 1
    page.close()


def test_a_healthy_installation_is_ok(client: FlaskClient, instance: FakeInstance) -> None:
    instance.snapshot = snapshot(flows=[flow("A", node("n", errors=2))], waiting=[waiting("casa_X")])
    answer = client.get("/health")
    assert answer.status_code == 200
    said = answer.json
    assert said is not None
    assert (said["status"], said["problems"]) == ("ok", [])
    assert said["version"] == solarflow.__version__
    assert said["flows"] == {"id of A": {"nodes": 1, "errors": 2}}
    assert said["brokers"] == [{"address": "mqtt://127.0.0.1:1883", "state": "connected", "reason": ""}]
    assert (said["homes"], said["homes_waiting_for_approval"], said["open_alerts"]) == (0, 1, 0)
    assert said["now"] == NOW


def test_a_lost_broker_or_a_full_disk_is_degraded_and_named(client: FlaskClient, instance: FakeInstance) -> None:
    instance.snapshot = snapshot(
        connections=[connection("disconnected", "no route to host")], store={**STORE, "error": "disk full"}
    )
    answer = client.get("/health")
    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["status"] == "degraded"
    assert answer.json["problems"] == [
        "the broker mqtt://127.0.0.1:1883 is disconnected: no route to host",
        "the store cannot write: disk full",
    ]


def test_an_engine_that_does_not_answer_is_down(client: FlaskClient, instance: FakeInstance) -> None:
    instance.silent = True
    answer = client.get("/health")
    assert answer.status_code == 503
    assert answer.json == {"status": "down", "problems": ["the engine did not answer within 5 s"]}
