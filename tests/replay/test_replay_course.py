"""Flows in recorded time: order, clock, what comes back over MQTT, what they see of the store and of the web."""

import json

import pytest
from replay_helpers import START, command, mqtt_in, mqtt_out, passing, project, readings, replayed, said

from solarflow.errors import UsageError
from solarflow.http_fetch import Request
from solarflow.replay.world import RecordedAnswers
from solarflow.store import DataFolder

ODD_PAYLOADS = [{"w": 1, "deep": {"x": [1, 2]}}, [1, 2], 7, None, True, {"name": "città"}, {"n": 10**40}, {}]


def test_flows_hear_the_recording_at_its_own_times(registry, tmp_path):
    run = replayed(
        registry,
        project(tmp_path, *passing("a/+")),
        readings((0, "a/b", {"w": 1}), (30, "a/c", {"w": 2.5, "s": "x"}), (40, "elsewhere", {"w": 3})),
    )
    assert said(run, "heard") == [(0, {"w": 1}), (30, {"w": 2.5, "s": "x"})]


@pytest.mark.parametrize("payload", ODD_PAYLOADS, ids=str)
def test_any_payload_enters_as_it_would_over_the_wire(registry, tmp_path, payload):
    run = replayed(registry, project(tmp_path, *passing("a")), readings((0, "a", payload)))
    assert said(run, "heard") == ([(0, payload)] if payload is not None else [(0, "")])


@pytest.mark.parametrize("payload", ["no JSON", {"w": float("inf")}, {"long": "x" * 70_000}])
def test_what_mqtt_in_refuses_live_it_refuses_in_a_replay(registry, tmp_path, payload):
    run = replayed(registry, project(tmp_path, *passing("a")), readings((0, "a", payload)))
    assert said(run, "heard") == []


def test_two_who_hear_the_same_reading_do_not_share_it(registry, tmp_path):
    spoil = {"id": "spoil", "type": "change", "wires": ["out"],
             "rules": [{"t": "set", "p": "payload.w", "pt": "msg", "to": "99", "tot": "num"},
                       {"t": "set", "p": "topic", "pt": "msg", "to": "spoilt", "tot": "str"}]}  # fmt: skip
    flow = project(tmp_path, mqtt_in("first", "a", "spoil"), spoil, *passing("a"))
    run = replayed(registry, flow, readings((0, "a", {"w": 1})))
    assert said(run, "spoilt") == [(0, {"w": 99})]
    assert said(run, "heard") == [(0, {"w": 1})]


def test_timers_fall_due_between_readings_and_nothing_waits(registry, tmp_path):
    delay = {"id": "wait", "type": "delay", "pauseType": "delay", "timeout": "45", "timeoutUnits": "seconds",
             "wires": ["out"]}  # fmt: skip
    flow = project(tmp_path, mqtt_in("in", "a", "wait"), delay, mqtt_out(topic="later"))
    run = replayed(registry, flow, readings((0, "a", 1), (3600, "a", 2), (3700, "b", 0)))
    assert said(run, "later") == [(45, 1), (3645, 2)]


def test_a_reading_that_is_older_than_the_one_before_keeps_its_place_and_carries_its_time(registry, tmp_path):
    run = replayed(
        registry,
        project(tmp_path, *passing("a")),
        readings((0, "a", {"w": 1}), (60, "a", {"w": 3}), (30, "a", {"w": 2})),
    )
    assert said(run, "heard") == [(0, {"w": 1}), (60, {"w": 3}), (60, {"w": 2, "ts": START + 30})]
    assert run.course.out_of_order == 1


def test_what_a_flow_publishes_comes_back_to_those_who_subscribe(registry, tmp_path):
    flow = project(tmp_path, mqtt_in("in", "a", "say"), command("say", "b", {"w": 5}, "out"), *passing("b"))
    run = replayed(registry, flow, readings((10, "a", 1)))
    assert said(run, "heard") == [(10, {"w": 5})]


def test_flows_that_feed_each_other_for_ever_are_named_and_ended(registry, tmp_path):
    flow = project(tmp_path, mqtt_in("in", "a", "out"), mqtt_out(topic="a"))
    with pytest.raises(UsageError, match=r"feed each other over MQTT without end.*the last on 'a'"):
        replayed(registry, flow, readings((0, "a", 1)))


def test_what_the_engine_of_then_said_is_left_out(registry, tmp_path):
    given = readings(
        (0, "comunita/casa_A/rele/1/set", {"stato": "ON"}), (0, "comunita/casa_A/alert", {"alert": "x"}), (1, "a", 1)
    )
    run = replayed(registry, project(tmp_path, *passing("comunita/#", "a")), given)
    assert said(run, "heard") == [(1, 1)]
    assert run.left_out == {"comunita/{home}/rele/{relay}/set": 1, "comunita/{home}/alert": 1}


def test_only_listed_homes_enter_and_the_others_are_counted(registry, tmp_path):
    flow = project(tmp_path, *passing("comunita/{home}/x"))
    given = readings((0, "comunita/casa_A/x", {"w": 1}), (1, "comunita/casa_Z/x", {"w": 2}))
    run = replayed(registry, flow, given, homes=[{"id": "casa_A", "approved": False}])
    assert said(run, "heard") == [(0, {"w": 1})]
    assert run.homes.unknown == {"casa_Z": 1}
    assert said(replayed(registry, flow, given), "heard") == [(0, {"w": 1}), (1, {"w": 2})]


def record_and_ask(resolution: str) -> list[dict]:
    sample = {"property": "payload.potenza_w", "quantity": "production_w"}
    whose = {"id": "whose", "type": "change", "wires": ["ask"],
             "rules": [{"t": "set", "p": "home", "pt": "msg", "to": "casa_A", "tot": "str"}]}  # fmt: skip
    return [
        mqtt_in("in", "comunita/{home}/produzione", "record"),
        {"id": "record", "type": "record", "samples": [sample]},
        mqtt_in("question", "ask", "whose"),
        whose,
        {"id": "ask", "type": "history", "quantity": "production_w", "resolution": resolution, "wires": ["out"]},
        mqtt_out(topic="answer"),
    ]


def test_flows_read_back_what_they_recorded_a_moment_ago(registry, tmp_path):
    given = readings((0, "comunita/casa_A/produzione", {"potenza_w": 1500}), (0, "ask", 1))
    run = replayed(registry, project(tmp_path, *record_and_ask("latest")), given)
    assert said(run, "answer") == [(0, {"ts": START, "value": 1500})]


def test_the_store_of_then_is_seen_as_of_virtual_now(registry, tmp_path):
    with DataFolder(tmp_path / "data") as folder:
        for second in (-7200, -3600, 600, 99_999):
            folder.telemetry.append("casa_A", "production_w", START + second, second)
    with DataFolder.read_only(tmp_path / "data") as past:
        flow = project(tmp_path, *record_and_ask("raw"))
        run = replayed(registry, flow, readings((0, "ask", 1), (1200, "ask", 1)), past=past.telemetry)
    assert [[value["value"] for value in payload] for _, payload in said(run, "answer")] == [
        [-7200, -3600],
        [-7200, -3600, 600],
    ]


def test_a_series_that_the_flows_write_is_theirs_from_the_start_of_the_replay_on(registry, tmp_path):
    with DataFolder(tmp_path / "data") as folder:
        for second in (1740, 1830, 1890):
            folder.telemetry.append("casa_A", "production_w", START + second, 1)
    with DataFolder.read_only(tmp_path / "data") as past:
        given = readings((1800, "comunita/casa_A/produzione", {"potenza_w": 7}), (1900, "ask", 1))
        run = replayed(registry, project(tmp_path, *record_and_ask("raw")), given, past=past.telemetry)
        hours = replayed(registry, project(tmp_path, *record_and_ask("hourly")), given, past=past.telemetry)
    assert said(run, "answer") == [(1900, [{"ts": START + 1740, "value": 1}, {"ts": START + 1800, "value": 7}])]
    assert [hour["n"] for hour in said(hours, "answer")[0][1]] == [2]  # of the hour in which it began, both parts


def ask_the_web() -> list[dict]:
    return [
        mqtt_in("in", "a", "request"),
        {"id": "request", "type": "http request", "method": "GET", "url": "http://weather.invalid/now", "ret": "obj",
         "wires": ["out"]},
        mqtt_out(topic="weather"),
    ]  # fmt: skip


def test_no_request_leaves_a_replay(registry, tmp_path):
    run = replayed(registry, project(tmp_path, *ask_the_web()), readings((0, "a", 1)))
    ((_, payload),) = said(run, "weather")
    assert payload == (
        "GET http://weather.invalid/now: no request leaves a replay, and no answer to this one was recorded by then"
    )
    assert run.requests_refused == 1
    asked = {"sink": "http", "method": "GET", "url": "http://weather.invalid/now", "answered": False, "t": 0}
    assert asked in run.lines


def test_recorded_answers_come_as_of_then(registry, tmp_path):
    answers = tmp_path / "answers.jsonl"
    url = "http://weather.invalid/now"
    answers.write_text(
        "".join(json.dumps({"ts": START + t, "url": url, "body": {"cloud": t}}) + "\n" for t in (50, 10, 90))
    )
    run = replayed(
        registry,
        project(tmp_path, *ask_the_web()),
        readings((20, "a", 1), (60, "a", 1)),
        answers=RecordedAnswers(answers),
    )
    assert said(run, "weather") == [(20, {"cloud": 10}), (60, {"cloud": 50})]
    assert RecordedAnswers(answers).find(Request("GET", url, {}, None, 1, 1, 0, False), START) is None
