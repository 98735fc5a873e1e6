"""What is given happens, in a world that behaves as the real one does."""

import pytest

IN = {"mqtt": "in/a", "payload": 1}
COMMAND = {"mqtt": "comunita/casa_A/rele/1/set"}
ON = {**COMMAND, "payload": {"stato": "ON", "ttl_s": 60}}
OFF = {**COMMAND, "payload": {"stato": "OFF"}}


def relays(trial, *given, lasts="10m", device="casa_A/1"):
    """(time, how it goes) of a simulated relay."""
    came = trial.came({"given": list(given), "lasts": lasts, "devices": [device]}, "relay")
    return [(t, detail["goes"]) for t, _, detail in came]


# -- times and messages ---------------------------------------------------------------------------------------------


def test_a_step_happens_at_its_time_or_again_and_again_with_the_last_time_included(trial):
    given = [{**IN, "at": "5s"}, {**IN, "from": "1m", "every": "30s", "until": "2m"}]
    assert [t for t, _, _ in trial.came({"given": given})] == [5, 60, 90, 120]


def test_what_is_not_said_to_have_a_time_happens_at_the_start_in_the_order_of_the_file(trial):
    given = [{**IN, "payload": number} for number in (1, 2, 3)]
    assert [(t, detail["payload"]) for t, _, detail in trial.came({"given": given})] == [(0, 1), (0, 2), (0, 3)]


def test_a_start_without_offset_is_the_projects_local_time(trial):
    trial.flow(
        ("in", "mqtt in", [["out"]], {"topic": "in/{what}", "datatype": "json", "broker": "broker"}),
        ("out", "record", [], {"key": "what", "samples": [{"property": "payload.w", "quantity": "w"}]}),
        settings={"timezone": "Europe/Rome"},
    )
    given = [{"at": "1m", "mqtt": "in/a", "payload": {"w": 1}}]
    day = {"06:00": 0, "07:01": 61}
    for start, at_eight in (("2026-06-21T06:00", 1), ("2026-06-21T06:00Z", 61), ("2026-06-21T06:30+02:00", 31)):
        follows = [{"at": "1m", "mqtt": "in/b", "day": {"w": day}, "payload": {"v": 0}}]
        came = trial.came({"start": start, "given": given + follows}, "records")
        assert [(subject, detail["value"]) for _, subject, detail in came] == [("a/w", 1), ("b/w", at_eight)]


def test_an_age_puts_the_time_of_measuring_into_the_payload(trial):
    ts = 1_782_032_400  # 21 June 2026, 09:00 UTC
    given = [{"at": "1h", "mqtt": "in/a", "payload": {"w": 1}, "age": "10s"}]
    assert trial.came({"given": given})[0][2]["payload"] == {"w": 1, "ts": ts + 3590}


def test_a_text_comes_as_it_stands(trial):
    trial.flow(
        ("in", "mqtt in", [["out"]], {"topic": "in", "datatype": "utf8", "broker": "broker"}),
        ("out", "mqtt out", [], {"broker": "broker", "topic": "out"}),
    )
    came = trial.came({"given": [{"mqtt": "in", "text": "{not json"}]})
    assert came == [(0, "out", {"payload": "{not json", "retain": False})]


def test_what_a_flow_publishes_comes_to_flows_that_listen(trial):
    trial.flow(
        ("a", "mqtt in", [["b"]], {"topic": "first", "datatype": "json", "broker": "broker"}),
        ("b", "mqtt out", [], {"broker": "broker", "topic": "second"}),
        ("c", "mqtt in", [["d"]], {"topic": "second", "datatype": "json", "broker": "broker"}),
        ("d", "mqtt out", [], {"broker": "broker", "topic": "third"}),
    )
    assert [topic for _, topic, _ in trial.came({"given": [{"mqtt": "first", "payload": 1}]})] == ["second", "third"]


def test_a_node_is_given_a_message_or_has_its_button_pressed(trial):
    trial.flow(
        ("i", "inject", [["out"]], {"props": [{"p": "payload"}], "payload": "7", "payloadType": "num", "once": False}),
        ("out", "mqtt out", [], {"broker": "broker", "topic": "out"}),
    )
    given = [{"inject": "out", "message": {"payload": 5}}, {"at": "1s", "press": "i"}]
    assert [(t, detail["payload"]) for t, _, detail in trial.came({"given": given})] == [(0, 5), (1, 7)]


def test_environment_variables_are_those_of_the_scenario(trial, monkeypatch):
    monkeypatch.setenv("WHERE", "machine")
    trial.flow(
        ("in", "inject", [["out"]], {"once": True}), ("out", "mqtt out", [], {"broker": "broker", "topic": "${WHERE}"})
    )
    assert [topic for _, topic, _ in trial.came({"env": {"WHERE": "scenario"}, "lasts": "1s"})] == ["scenario"]


# -- broker, restart, deploy ----------------------------------------------------------------------------------------


def test_without_a_broker_nothing_comes_and_nothing_goes(trial):
    given = [
        {"at": "1m", "broker": "down"},
        {**IN, "from": "0s", "every": "30s", "until": "3m"},
        {"at": "90s", "inject": "out", "message": {"topic": "out/b", "payload": 1}},
        {"at": "2m", "broker": "up"},
    ]
    outcome = trial.play({"given": given})
    assert [event.t for event in outcome.events if event.kind == "publishes"] == [0, 30, 150, 180]
    assert [(event.t, event.kind) for event in outcome.events if event.kind == "fails"] == [(90, "fails")]


def test_a_connection_that_is_made_while_the_broker_is_down_waits_for_it(trial):
    given = [
        {"broker": "down"},
        {"at": "10s", "restart": "stopped"},
        {"at": "20s", "broker": "up"},
        {**IN, "at": "30s"},
    ]
    assert [t for t, _, _ in trial.came({"given": given})] == [30]


def test_while_the_engine_is_down_nobody_hears_and_nobody_answers(trial):
    given = [
        {"at": "10s", "restart": "stopped", "down": "20s"},
        {**IN, "from": "0s", "every": "15s", "until": "45s"},
        {"at": "15s", "http": "GET /x"},
    ]
    outcome = trial.play({"given": given})
    assert [event.t for event in outcome.events if event.kind == "publishes"] == [0, 30, 45]
    assert [event.detail["status"] for event in outcome.events if event.kind == "answers"] == [0]


@pytest.mark.parametrize(("how", "known"), [("stopped", {"a": 1, "b": 2}), ("killed", {"a": 1})])
def test_a_kill_loses_the_last_second_and_a_stop_nothing(trial, how, known):
    trial.flow(
        ("in", "mqtt in", [["kept"]], {"topic": "in/{what}", "datatype": "json", "broker": "broker"}),
        ("kept", "latest", [["out"]], {"key": "qos", "item": "what"}),
        ("out", "mqtt out", [], {"broker": "broker", "topic": "out"}),
    )
    given = [
        {"at": "0s", "mqtt": "in/a", "payload": 1},
        {"at": "9.5s", "mqtt": "in/b", "payload": 2},
        {"at": "10s", "restart": how},
        {"at": "20s", "inject": "kept", "message": {"qos": 0, "req": {}}},
    ]
    assert [detail["payload"] for _, _, detail in trial.came({"given": given})] == [known]


def test_a_deploy_with_other_properties_holds_over_a_restart(trial):
    given = [
        {**IN, "at": "1s"},
        {"at": "2s", "set": {"topic": {"template": "other/{{what}}"}}},
        {**IN, "at": "3s"},
        {"at": "4s", "restart": "stopped"},
        {**IN, "at": "5s"},
    ]
    assert [topic for _, topic, _ in trial.came({"given": given})] == ["out/a", "other/a", "other/a"]


def test_a_deploy_of_a_property_that_is_nowhere_or_wrong_ends_the_scenario_and_says_why(trial):
    outcome = trial.play({"given": [{"set": {"in": {"rules.0.t": 1}}}], "then": [{"publishes": "x"}]})
    assert not outcome.passed
    assert outcome.error == "set: the node 'in' has nothing at rules.0.t; see its file"
    outcome = trial.play({"given": [{"set": {"in": {"qos": 9}}}], "then": [{"publishes": "x"}]})
    assert "mqtt in in: qos" in outcome.error


# -- relays ---------------------------------------------------------------------------------------------------------


def test_a_relay_obeys_and_falls_off_when_its_time_is_over(trial):
    assert relays(trial, ON, {**ON, "at": "30s"}) == [(0, "ON"), (90, "OFF")]
    assert relays(trial, ON, {**OFF, "at": "30s"}, {**ON, "at": "40s"}) == [
        (0, "ON"), (30, "OFF"), (40, "ON"), (100, "OFF")
    ]  # fmt: skip


def test_a_relay_ignores_what_is_no_command(trial):
    rubbish = [{**COMMAND, "text": "ON"}, {**COMMAND, "payload": {"stato": "MAYBE"}}, {**COMMAND, "payload": [1]}]
    assert relays(trial, *rubbish) == []


@pytest.mark.parametrize(
    ("condition", "goes", "reports"),
    [
        ("well", [(0, "ON"), (60, "OFF")], [(0.2, "ON"), (60, "OFF")]),
        ("mute", [(0, "ON"), (60, "OFF")], []),
        ("stuck", [], [(0.2, "OFF")]),
        ("dead", [], []),
    ],
)
def test_a_relay_may_be_ill(trial, condition, goes, reports):
    trial.flow(
        ("in", "mqtt in", [["out"]], {"topic": "comunita/+/rele/+", "datatype": "json", "broker": "broker"}),
        ("out", "mqtt out", [], {"broker": "broker", "topic": "heard"}),
    )
    device = {"relay": "casa_A/1", "condition": condition}
    assert relays(trial, ON, device=device) == goes
    came = trial.came({"given": [ON], "lasts": "10m", "devices": [device]})
    assert [(t, detail["payload"]["stato"]) for t, _, detail in came] == reports


def test_a_relay_that_loses_its_power_is_off_and_stays_off_until_it_is_told_again(trial):
    given = [
        ON,
        {"at": "10s", "device": "casa_A/1", "becomes": "dead"},
        {**ON, "at": "20s"},
        {"at": "30s", "device": "casa_A/1", "becomes": "well"},
        {**ON, "at": "40s"},
    ]
    assert relays(trial, *given) == [(0, "ON"), (10, "OFF"), (40, "ON"), (100, "OFF")]


def test_a_meter_shows_what_the_homes_relays_have_switched_on(trial):
    trial.flow(
        ("in", "mqtt in", [["out"]], {"topic": "comunita/{home}/bilancio", "datatype": "json", "broker": "broker"}),
        ("out", "mqtt out", [], {"broker": "broker", "topic": "heard"}),
    )
    meter = {"meter": "casa_A", "production_w": 2000, "consumption_w": 300}
    devices = [{"relay": "casa_A/1", "load_w": 900}, {"relay": "casa_B/1", "load_w": 50}]
    came = trial.came({"given": [meter, {**ON, "at": "5s"}, {**meter, "at": "10s"}], "devices": devices})
    assert [detail["payload"]["consumo_w"] for _, _, detail in came] == [300, 1200]


# -- HTTP, alerts, homes, store -------------------------------------------------------------------------------------


def test_requests_are_answered_by_the_flow_or_as_the_server_would(trial):
    trial.flow(
        ("in", "http in", [["out"]], {"url": "/api/:home", "method": "post"}),
        ("mute", "http in", [[]], {"url": "/mute", "method": "get"}),
        ("out", "http response", [], {"statusCode": "201", "headers": {}}),
    )
    given = [
        {"http": "POST /api/casa_A?x=1", "body": {"w": 1}},
        {"http": "POST /api/casa_A", "text": "{"},
        {"http": "GET /api/casa_A"},
        {"http": "GET /mute"},
    ]
    came = trial.came({"given": given, "lasts": "1m"}, "answers")
    assert [(t, asked, detail["status"]) for t, asked, detail in came] == [
        (0, "POST /api/casa_A?x=1", 201),
        (0, "POST /api/casa_A", 400),
        (0, "GET /api/casa_A", 404),
        (30, "GET /mute", 504),
    ]
    assert came[0][2]["body"] == {"w": 1}


def test_a_home_waits_for_approval_and_is_told_of_once(trial):
    trial.flow(
        ("in", "mqtt in", [["out"]], {"topic": "c/{home}/w", "datatype": "json", "broker": "broker"}),
        ("out", "mqtt out", [], {"broker": "broker", "topic": "heard/{home}"}),
    )
    given = [
        {"from": "0s", "every": "1m", "until": "3m", "mqtt": "c/casa_Z/w", "payload": 1},
        {"at": "90s", "approve": {"id": "casa_Z", "peak_power_wp": 3000}},
    ]
    outcome = trial.play({"given": given})
    assert [(event.t, event.kind) for event in outcome.events] == [
        (0, "awaits_approval"), (120, "publishes"), (180, "publishes")
    ]  # fmt: skip


def test_the_store_holds_what_was_recorded(trial):
    trial.flow(
        ("history", "history", [["out"]], {"quantity": "w", "resolution": "raw", "span_s": 3 * 3600}),
        ("out", "mqtt out", [], {"broker": "broker", "topic": "told"}),
    )
    recorded = {"series": "casa_A/w", "from": "-5h", "every": "1h", "values": [1, 2, 3]}
    ask = [{"inject": "history", "message": {"home": "casa_A"}}]
    ((_, _, detail),) = trial.came({"given": ask, "store": [recorded]})
    assert [sample["value"] for sample in detail["payload"]] == [3, 1, 2]


def test_twice_the_same_scenario_gives_the_same_events(trial):
    scenario = {"given": [{**IN, "from": "0s", "every": "7s", "until": "5m"}, ON], "devices": ["casa_A/1"]}
    assert trial.play(scenario).events == trial.play(scenario).events
