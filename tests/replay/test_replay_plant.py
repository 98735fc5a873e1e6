"""Relays that obey, fall off, answer, and change what the home draws."""

import pytest
from replay_helpers import HOME, balance, command, mqtt_in, mqtt_out, project, readings, replayed, said, switcher


def relay_of(run):
    (relay,) = run.plant.relays
    return relay


def test_a_relay_answers_every_command_with_its_state(registry, tmp_path):
    flow = project(tmp_path, *switcher("comunita/{home}/rele/1"))
    run = replayed(registry, flow, readings((0, "on", 1), (60, "on", 1), (120, "off", 1)), homes=[HOME])
    assert said(run, "heard") == [(0, {"stato": "ON"}), (60, {"stato": "ON"}), (120, {"stato": "OFF"})]
    assert (relay_of(run).on_s, relay_of(run).switched, relay_of(run).expired) == (120, 2, 0)


def test_it_falls_off_by_itself_when_the_time_of_its_command_runs_out(registry, tmp_path):
    flow = project(tmp_path, *switcher("comunita/{home}/rele/1"))
    run = replayed(registry, flow, readings((0, "on", 1), (60, "on", 1), (1000, "x", 1)), homes=[HOME])
    assert said(run, "heard")[-1] == (360, {"stato": "OFF"})
    assert (relay_of(run).on_s, relay_of(run).expired) == (360, 1)
    assert relay_of(run).energy_wh == pytest.approx(1500 * 360 / 3600)


def test_consumption_is_what_was_recorded_and_what_the_simulated_load_draws(registry, tmp_path):
    flow = project(tmp_path, *switcher("comunita/{home}/bilancio"))
    given = readings(
        (0, *balance("casa_A", 2000, 400)), (10, "on", 1), (60, *balance("casa_A", 2000, 400)),
        (400, *balance("casa_A", 2000, 400)), (400, "comunita/casa_A/bilancio", {"produzione_w": 2000, "rete_w": -9}),
    )  # fmt: skip
    run = replayed(registry, flow, given, homes=[HOME])
    assert [payload.get("consumo_w") for _, payload in said(run, "heard")] == [400, 1900, 400, None]


def test_a_home_that_meters_its_grid_exchange_imports_what_the_load_draws(registry, tmp_path):
    flow = project(tmp_path, *switcher("comunita/{home}/bilancio"))
    given = readings((0, "on", 1), (1, "comunita/casa_A/bilancio", {"produzione_w": 2000, "rete_w": -900}))
    run = replayed(registry, flow, given, homes=[HOME])
    assert said(run, "heard") == [(1, {"produzione_w": 2000, "rete_w": 600})]


def test_what_the_load_drew_by_the_recorded_state_of_its_relay_is_taken_away(registry, tmp_path):
    flow = project(tmp_path, *switcher("comunita/{home}/bilancio", "comunita/{home}/rele/1"))
    given = readings((0, "comunita/casa_A/rele/1", {"stato": "ON"}), (1, *balance("casa_A", 2000, 1950)))
    run = replayed(registry, flow, given, homes=[HOME])
    assert said(run, "heard") == [(1, {"produzione_w": 2000, "consumo_w": 450})]


def test_what_it_drew_by_its_own_meter_is_taken_away_and_the_meter_shows_the_simulated_load(registry, tmp_path):
    flow = project(tmp_path, *switcher("comunita/{home}/bilancio", "comunita/{home}/elettrodomestici/boiler"))
    meter = "comunita/casa_A/elettrodomestici/boiler"
    given = readings(
        (0, meter, {"potenza_w": 1200, "ampere": 5.2}), (1, *balance("casa_A", 2000, 1600)), (2, "on", 1),
        (3, meter, {"potenza_w": 0, "ampere": 0}), (4, *balance("casa_A", 2000, 400)),
    )  # fmt: skip
    run = replayed(registry, flow, given, homes=[HOME])
    assert said(run, "heard") == [
        (0, {"potenza_w": 0.0, "ampere": 0.0}),
        (1, {"produzione_w": 2000, "consumo_w": 400}),
        (3, {"potenza_w": 1500.0, "ampere": 6.522}),
        (4, {"produzione_w": 2000, "consumo_w": 1900}),
    ]


def test_with_recorded_relays_the_recording_stands_and_commands_change_nothing(registry, tmp_path):
    flow = project(tmp_path, *switcher("comunita/{home}/bilancio", "comunita/{home}/rele/1"))
    given = readings((0, "comunita/casa_A/rele/1", {"stato": "ON"}), (1, "off", 1), (2, *balance("casa_A", 2000, 1950)))
    run = replayed(registry, flow, given, homes=[HOME], relays="recorded")
    assert said(run, "heard") == [(0, {"stato": "ON"}), (2, {"produzione_w": 2000, "consumo_w": 1950})]


def test_a_home_that_is_offline_hears_no_command_and_says_nothing(registry, tmp_path):
    flow = project(tmp_path, *switcher("comunita/{home}/rele/1"))
    given = readings((0, "on", 1), (10, "comunita/casa_A/stato", "offline"), (20, "off", 1), (900, "x", 1))
    run = replayed(registry, flow, given, homes=[HOME])
    assert said(run, "heard") == [(0, {"stato": "ON"})]
    assert relay_of(run).on_s == 300


@pytest.mark.parametrize("payload", [{"stato": "on"}, {"stato": "ON", "ttl_s": -1}, {"stato": "ON", "ttl_s": "5"}, [1]])
def test_commands_that_no_device_would_obey_are_counted(registry, tmp_path, payload):
    flow = project(
        tmp_path, mqtt_in("in", "on", "say"), command("say", "comunita/casa_A/rele/1/set", payload, "out"), mqtt_out()
    )
    run = replayed(registry, flow, readings((0, "on", 1)), homes=[HOME])
    assert run.plant.refused == 1
    assert not any(relay.switched for relay in run.plant.relays)


def test_a_relay_that_nobody_declared_obeys_and_draws_nothing(registry, tmp_path):
    flow = project(tmp_path, *switcher("comunita/{home}/bilancio"))
    run = replayed(registry, flow, readings((0, "on", 1), (1, *balance("casa_A", 9, 4))), homes=[{"id": "casa_A"}])
    assert said(run, "heard") == [(1, {"produzione_w": 9, "consumo_w": 4})]
    assert relay_of(run).switched == 1


def test_a_home_without_declared_loads_has_those_that_the_flows_would_switch(registry, tmp_path):
    loads = [{"name": "boiler", "relay": 1, "power_w": 900}]
    flow = project(
        tmp_path,
        *switcher("comunita/{home}/bilancio"),
        {"id": "priority", "type": "load-priority", "loads": loads, "wires": []},
    )
    run = replayed(registry, flow, readings((0, "on", 1), (1, *balance("casa_A", 9, 4))))
    assert said(run, "heard") == [(1, {"produzione_w": 9, "consumo_w": 904})]


def test_with_thermostats_a_boiler_stops_by_itself(registry, tmp_path):
    flow = project(tmp_path, *switcher("comunita/{home}/bilancio", ttl_s=86_400))
    given = readings((0, "on", 1), *((t, *balance("casa_A", 9, 4)) for t in range(60, 40_000, 600)))
    drawn = [
        payload["consumo_w"]
        for _, payload in said(replayed(registry, flow, given, homes=[HOME], thermostats=True), "heard")
    ]
    assert drawn[0] == 1504
    assert 4 in drawn
    assert {payload["consumo_w"] for _, payload in said(replayed(registry, flow, given, homes=[HOME]), "heard")} == {
        1504
    }


def test_a_relay_out_node_finds_its_relay_answering(registry, tmp_path):
    whose = {"id": "whose", "type": "change", "wires": ["relay"], "rules": [
        {"t": "set", "p": "home", "pt": "msg", "to": "casa_A", "tot": "str"},
        {"t": "set", "p": "payload", "pt": "msg", "to": "true", "tot": "bool"},
        {"t": "delete", "p": "topic", "pt": "msg"}]}  # fmt: skip
    relay = {"id": "relay", "type": "relay-out", "relay": "1", "ttl_s": 300, "wires": [["out"], ["told"]]}
    flow = project(
        tmp_path, mqtt_in("in", "ask", "whose"), whose, relay, mqtt_out(),
        mqtt_in("reports", "comunita/{home}/rele/{relay}", "relay"), mqtt_out("told", "told"),
    )  # fmt: skip
    run = replayed(registry, flow, readings((0, "ask", 1), (600, "x", 1)), homes=[HOME])
    states = [(t, payload["stato"], payload["comando"], payload["motivo"]) for t, payload in said(run, "told")]
    assert states[0] == (0, None, "ON", "requested")
    assert states[1] == (0, "ON", "ON", "requested")
    assert (180, "OFF", "OFF", "stale") in states
    assert run.alerts.alerts == []
