"""Wrong input: what no device should send is refused, counted and harmless, and the next good message counts."""

from __future__ import annotations

import json
import resource
import time
from itertools import pairwise
from typing import Any

import pytest
from embedded import publish_bytes

from .hub import Hub, open_alerts, until
from .projects import QUICK, make_project, register, stored
from .trial import Trial, fault
from .worlds import VirtualWorld

A, B = "casa_A", "casa_B"
PRODUCTION = f"comunita/{A}/produzione"


def started(trial: Trial, **more: Any) -> Hub:
    """Two approved homes, short times, the embedded broker."""
    project = make_project(trial.folder, QUICK.edits(), **more)
    register(trial.folder / "data", [A, B])
    return trial.enter(Hub(project))


def nested(depth: int) -> bytes:
    return b'{"potenza_w":' + b"[" * depth + b"1" + b"]" * depth + b"}"


REFUSED = {
    "nothing": b"", "no-json": b"on", "half": b'{"potenza_w": 15', "binary": bytes(range(256)) * 8,
    "no-utf-8": b'{"potenza_w": "\xff\xfe"}', "a-megabyte": b'{"potenza_w": ' + b"1" * 1_000_000 + b"}",
    "deep": nested(60), "deeper-than-the-stack": nested(20_000), "nan": b'{"potenza_w": NaN}',
    "infinity": b'{"potenza_w": -Infinity}', "overflow": b'{"potenza_w": 1e999}',
    "half-a-character": b'{"potenza_w": "\\ud800"}',
}  # fmt: skip
WRONG = {
    "a-text": b'{"potenza_w": "much"}', "a-list": b"[1500]", "a-boolean": b'{"potenza_w": true}', "null": b"null",
    "no-power": b"{}", "power-in-a-list": b'{"potenza_w": [1500]}', "too-large": b'{"potenza_w": 1e15}',
    "too-negative": b'{"potenza_w": -5000}', "a-long-integer": b'{"potenza_w": ' + b"9" * 400 + b"}",
    "time-before-the-epoch": b'{"potenza_w": 7, "ts": -1e300}',
}  # fmt: skip


@fault("malformed-payloads")
def test_malformed_payloads_are_refused_counted_and_forgotten(trial: Trial) -> None:
    hub = started(trial)
    meter = hub.publisher()
    topics = [PRODUCTION, f"comunita/{A}/bilancio", f"comunita/{A}/rele/1"]
    for topic in topics:
        for payload in [*REFUSED.values(), *WRONG.values()]:
            meter.publish(topic, payload)
            trial.times += 1
    wrong = [payload for payload in REFUSED.values() if payload]
    until(lambda: hub.node("ingest-produzione").refused_count >= len(wrong), 5, "they are counted")
    refused = hub.node("ingest-produzione").refused
    assert set(refused) == {PRODUCTION}
    assert refused[PRODUCTION].reason
    statuses = hub.instance.engine.statuses
    until(lambda: "refused" in statuses["ingest-produzione"][""].text, 5, "the status tells it")
    trial.recovered(hub.proves_well(A, 1501), 5)
    assert [value for _, value in stored(hub.data, A)] == [1501], "and nothing of all that was stored"
    assert stored(hub.data, A, "surplus_w") == []
    assert hub.health()["status"] == "ok"


@fault("duplicate-keys")
def test_of_a_key_that_stands_twice_the_last_counts(trial: Trial) -> None:
    hub = started(trial)
    hub.publisher().publish(PRODUCTION, b'{"potenza_w": 1, "potenza_w": 700, "ts": null, "ts": null}')
    until(lambda: [v for _, v in stored(hub.data, A)] == [700], 5, "the last one is stored")
    trial.recovered(hub.proves_well(A, 1502), 5)


@fault("absurd-power")
def test_absurd_power_is_an_error_of_the_meter_and_switches_nothing(trial: Trial) -> None:
    hub = started(trial)
    meter = hub.publisher()
    absurd = [(1e9, 300), (3000, -1e9), (-5000, 0), (1e300, 1e300), (2e5, 1)]
    for production, consumption in absurd:  # ten in a row would have the node rest for this home
        body = {"produzione_w": production, "consumo_w": consumption}
        meter.publish(f"comunita/{A}/bilancio", json.dumps(body).encode())
        time.sleep(1.5 * QUICK.hold_s / len(absurd))
    trial.times = len(absurd)
    until(lambda: hub.instance.engine.cells["relays-balance"].errors == len(absurd), 5, "each is an error")
    assert stored(hub.data, A, "surplus_w") == []
    assert not hub.node("relays-boiler").state.peek(A)
    # A little below zero is the night, and a real surplus switches on.
    meter.publish(f"comunita/{B}/bilancio", b'{"produzione_w": -30, "consumo_w": 300}')
    begun = time.monotonic()

    def goes_on() -> bool:
        meter.publish(f"comunita/{A}/bilancio", b'{"produzione_w": 3000, "consumo_w": 300}')
        state = hub.on_engine(lambda: hub.node("relays-boiler").state.peek(A))
        return bool(state and state.on)

    until(goes_on, 10, "a real surplus switches on, once the breaker of that home lets it")
    trial.recovered(time.monotonic() - begun, 10)
    until(lambda: [v for _, v in stored(hub.data, B)] == [0], 5, "the night counts as zero")


@fault("unknown-home")
def test_a_home_that_nobody_approved_enters_nothing_until_it_is(trial: Trial) -> None:
    hub = started(trial)
    meter = hub.publisher()
    for home in ("casa_Z", "casa_Y", "x" * 65, "café", "..", "$SYS", "-"):
        meter.publish(f"comunita/{home}/produzione", b'{"potenza_w": 1500}')
        trial.times += 1
    until(lambda: hub.health()["homes_waiting_for_approval"] >= 2, 5, "they are listed")
    assert stored(hub.data, "casa_Z") == []
    hub.on_engine(lambda: hub.instance.folder and hub.instance.folder.homes.approve("casa_Z"))
    trial.recovered(hub.proves_well("casa_Z", 1503), 5)
    assert len(stored(hub.data, "casa_Z")) == 1


@fault("random-topics", times=2)
def test_a_hundred_thousand_random_topics_fill_no_memory(trial: Trial) -> None:
    number = 10_000 if trial.brief else 100_000
    everything = [
        {"id": "all", "type": "mqtt in", "topic": "#", "qos": "0", "datatype": "auto", "broker": "broker",
         "wires": [["changes"]]},
        {"id": "changes", "type": "rbe", "key": "topic", "wires": [[]]},
    ]  # fmt: skip
    hub = started(trial, added={"everything": everything})
    meter = hub.publisher()
    hub.proves_well(A, 1504)

    def flood(count: int) -> None:
        """Into the broker, and through it."""
        for _ in range(count // 1000):
            meter.send(b"".join(one() for _ in range(1000)))
        meter.publish("end", b"0", qos=1, packet_id=7)
        while meter.read()[0] >> 4 != 4:
            pass

    def one() -> bytes:
        word = f"{trial.rng.getrandbits(64):x}"
        form = trial.rng.choice(["comunita/{}/produzione", "comunita/{}/bilancio", "comunita/a b/{}", "{}", "/{}/"])
        return publish_bytes(form.format(word), b'{"potenza_w": 1}', retain=trial.rng.random() < 0.1)

    meter.socket.settimeout(60)
    flood(number // 2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    flood(number // 2)
    trial.times = number
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mb < 40, f"the second half took {grown_mb:.0f} MB"
    instance = hub.instance
    assert instance.folder is not None
    assert len(instance.folder.homes.pending()) <= 1000
    node = hub.node("changes")
    assert len(node.state) <= node.max_keys
    assert instance.broker is not None
    received, status = instance.engine.cells["changes"], instance.broker.status
    until(lambda: received.received + status().dropped >= number, 10, "each is delivered or counted")
    trial.lost = status().dropped
    trial.recovered(hub.proves_well(A, 1505), 10)


@fault("duplicate-late-unordered")
def test_duplicates_late_and_unordered_readings_are_stored_once_and_switch_nothing(trial: Trial) -> None:
    hub = started(trial)
    meter = hub.publisher()
    now = time.time()
    readings = [(round(now - 3600 * trial.rng.uniform(0, 20), 3), float(trial.rng.randrange(1000))) for _ in range(200)]
    sent = [*readings, *trial.rng.sample(readings, 80)]
    trial.rng.shuffle(sent)
    for ts, power in sent:
        body = {"produzione_w": power + 5000, "consumo_w": 5000, "ts": ts, "arretrato": ts < now - 600}
        meter.publish(f"comunita/{A}/bilancio", json.dumps(body).encode(), qos=1)
        meter.read()
    trial.times = len(sent)
    want = sorted((ts, power + 5000) for ts, power in readings)
    until(lambda: len(stored(hub.data, A)) >= len(want), 5, "all are stored")
    assert [(round(ts, 3), power) for ts, power in stored(hub.data, A)] == want
    assert hub.instance.folder is not None

    def hourly() -> list[Any]:
        assert hub.instance.folder is not None
        return list(hub.instance.folder.telemetry.hourly(A, "production_w", 0, 1e10))

    rows = hub.on_engine(hourly)
    assert sum(row.n for row in rows) == len(want), "an hour counts each reading once"
    assert sum(row.sum for row in rows) == pytest.approx(sum(power for _, power in want))
    time.sleep(QUICK.hold_s + 0.2)
    state = hub.on_engine(lambda: hub.node("relays-boiler").state.peek(A))
    assert state is None or not state.on, "old surplus switches nothing on"
    trial.recovered(hub.proves_well(A, 1506), 5)


@fault("device-clock")
def test_a_device_whose_clock_is_hours_off_is_told_and_heard_again_once_it_is_right(trial: Trial) -> None:
    hub = started(trial)
    meter = hub.publisher()
    off_s = trial.rng.uniform(1, 12) * 3600

    def send(ts: float | None, power: int) -> None:
        body = {"produzione_w": power, "consumo_w": 0, **({} if ts is None else {"ts": ts})}
        meter.publish(f"comunita/{A}/bilancio", json.dumps(body).encode())

    begun = time.monotonic()
    while time.monotonic() - begun < QUICK.hold_s + 0.6:
        send(time.time() + off_s, 3001)
        send(time.time() - off_s, 3002)
        send((time.time() + off_s) * 1000, 3003)  # milliseconds, and ahead
        trial.times += 3
        time.sleep(0.1)
    until(lambda: "clock-skew" in open_alerts(hub.data, A), 5, "it is told")
    state = hub.on_engine(lambda: hub.node("relays-boiler").state.peek(A))
    assert state is None or not state.on
    until(lambda: stored(hub.data, A), 3, "what is late is stored")
    assert {value for _, value in stored(hub.data, A)} == {3002}, "what is ahead is not"
    begun = time.monotonic()
    send(time.time(), 3004)
    until(lambda: not open_alerts(hub.data, A), 5, "all clear")
    trial.recovered(time.monotonic() - begun, 5)


@fault("retained-commands")
def test_retained_commands_are_ignored(trial: Trial) -> None:
    hub = started(trial)
    meter = hub.publisher()
    meter.publish(f"comunita/{A}/rele/1/set", b'{"stato": "ON", "ttl_s": 300}', qos=1, retain=True)
    meter.read()
    trial.enter(hub_again := Hub(hub.instance.options.project, f"mqtt://127.0.0.1:{hub.port}", data=trial.folder / "2"))
    until(hub_again.connected, 10, "a second hub hears what is retained")
    answer = hub_again.client.get(f"/api/comandi/{A}")
    assert (answer.status_code, answer.get_json()) == (200, {}), "it is no command that is valid now"
    meter.publish(f"comunita/{A}/rele/1/set", b"", qos=1, retain=True)
    meter.read()
    trial.recovered(hub.proves_well(A, 1507), 5)


@fault("retained-reading", times=20)
def test_a_retained_reading_keeps_no_relay_on_however_often_it_comes_again(trial: Trial) -> None:
    world = VirtualWorld(trial)
    world.all_on()
    for house in world.houses:
        house.silent = True
    gap_s = world.rng.uniform(5, 60)
    last = max(house.last_reading for house in world.houses)
    within = world.times.readings_age_s + 2 * world.times.feedback_s  # an OFF may meet a broker that is just away
    while world.t < last + within + world.times.slack_s:
        world.set_broker(False)
        world.run(1)
        world.set_broker(True)
        for house in world.houses:
            world.deliver(f"comunita/{house.id}/bilancio", {"produzione_w": 5000, "consumo_w": 0}, retain=True)
        world.run(gap_s)
    for house in world.houses:
        world.off_after(house, house.last_reading, within)
        assert not house.relay.on
        house.silent = False
    world.all_on()
    for house in world.houses:
        assert all(a < b for (a, _), (b, _) in pairwise(house.relay.changes))
