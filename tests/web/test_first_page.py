"""What the first page shows, and how it speaks."""

import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape

import pytest
from flask.testing import FlaskClient
from page_peers import (
    NOW,
    STORE,
    TOTALS,
    FakeInstance,
    alert,
    community,
    connection,
    flow,
    home,
    node,
    relay,
    snapshot,
    status,
    waiting,
)

from solarflow.web.app import create_app
from solarflow.web.streams import Streams

Render = Callable[..., str]
DASH = "\N{EN DASH}"
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'"


def words(html: str) -> str:
    """What a reader sees: no tags, every run of white space one blank."""
    body = html.partition("<main")[2]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def section(html: str, name: str) -> str:
    """The words of the region with this id."""
    found = re.search(rf'<(\w+) id="{name}" data-region[^>]*>(.*?)\n</main>', html, re.DOTALL)
    assert found, name
    return words("<main" + re.split(r'<\w+ id="(?:alerts|waiting|homes|boards|flows)" data-region', found[2])[0])


# What is running


def test_a_flow_shows_its_rate_and_its_errors(render: Render) -> None:
    broken = node("n", errors=3, last_error="no number", last_error_at=NOW - 60)
    shown = section(render(snapshot(flows=[flow("Benchmark", broken, per_second=12.34)])), "flows")
    assert "Benchmark flows/benchmark.json 1 node 12.3 /s 3 errors" in shown


def test_a_node_shows_what_came_in_and_out_and_its_status(render: Render) -> None:
    one = node("n", "benchmark", name="compare", received=12345, sent=3, status=status("12 homes"))
    assert "compare benchmark 12,345 3 0 12 homes" in section(render(snapshot(flows=[flow("F", one)])), "flows")


def test_a_node_shows_its_last_error_and_when_it_was(render: Render) -> None:
    one = node("n", errors=1, last_error="'payload' is missing", last_error_at=NOW - 60)
    shown = section(render(snapshot(flows=[flow("F", one)])), "flows")
    assert "last error Jun 21, 10:04: 'payload' is missing" in shown


def test_a_node_that_rests_says_for_which_homes(render: Render) -> None:
    one = node("n", errors=10, resting=["casa_A", "casa_B", "casa_C", "casa_D", "casa_E"])
    shown = section(render(snapshot(flows=[flow("F", one)])), "flows")
    assert "10 errors, 1 resting" in shown
    assert "rests after repeated errors: casa_A, casa_B, casa_C and 2 more" in shown


def test_a_node_with_many_keys_counts_their_colours_and_names_the_red_ones(render: Render) -> None:
    keyed = {"casa_A": status("ok"), "casa_B": status("ok"), "casa_C": status("0.55, low", "red")}
    shown = section(render(snapshot(flows=[flow("F", node("n", keyed=keyed))])), "flows")
    assert "2 green 1 red casa_C 0.55, low" in shown


def test_nodes_that_all_flows_share_are_shown_too(render: Render) -> None:
    shown = section(render(community()), "flows")
    assert "Shared nodes flows.json 1 node" in shown
    assert "the broker mqtt-broker 0 0 0 connected" in shown


def test_the_messages_of_all_flows_are_summed_up(render: Render) -> None:
    shown = section(render(snapshot(flows=[flow("A", per_second=1.5), flow("B", per_second=1000)])), "tiles")
    assert "Messages into nodes 1,002 /s" in shown


def test_errors_are_counted_for_the_whole_installation(render: Render) -> None:
    assert "Errors 1,234" in section(render(snapshot(totals={**TOTALS, "errors": 1234.0})), "tiles")


# Homes


def test_a_home_shows_its_last_values_its_surplus_and_their_age(render: Render) -> None:
    one = home("casa_A", 3000, 1766, name="Rossi", peak_power_wp=6000)
    shown = section(render(snapshot(homes=[one])), "homes")
    assert "Rossi casa_A 3,000 W 50% 1,766 W 1,234 W 15 sec ago" in shown


def test_a_home_that_draws_from_the_grid_has_a_negative_surplus(render: Render) -> None:
    assert "\N{MINUS SIGN}1,234 W" in section(render(snapshot(homes=[home("casa_A", 0, 1234)])), "homes")


def test_what_a_home_does_not_measure_is_a_dash(render: Render) -> None:
    assert f"casa_A {DASH} {DASH} 400 W {DASH} 15 sec ago" in section(
        render(snapshot(homes=[home("casa_A", None, 400)])), "homes"
    )


def test_a_silent_home_is_marked_and_not_summed_up(render: Render) -> None:
    html = render(snapshot(homes=[home("casa_A", 1000, 400), home("casa_B", 9000, 9000, heard_at=NOW - 7200)]))
    assert f"casa_B 9,000 W {DASH} 9,000 W 0 W silent for 2 hr" in section(html, "homes")
    assert section(html, "tiles").startswith(
        "At a glance Production 1.0 kW Consumption 0.4 kW Surplus 0.6 kW Homes heard 1 of 2"
    )


def test_a_home_with_an_open_alert_is_marked_in_the_table(render: Render) -> None:
    html = render(snapshot(homes=[home("casa_A", 1), home("casa_B", 1)], alerts=[alert("casa_B", "low-yield")]))
    assert "has an open alert casa_B" in section(html, "homes")
    assert "has an open alert casa_A" not in section(html, "homes")


def test_of_a_thousand_homes_the_first_are_shown_and_the_rest_counted(render: Render) -> None:
    html = render(snapshot(homes=[home(f"casa_{n:04}", n) for n in range(1000)]))
    shown = section(html, "homes")
    assert "Homes 1,000" in shown
    assert "casa_0199" in shown
    assert "casa_0200" not in shown
    assert "and 800 more: solarflow homes list" in shown


# Relays


def test_a_relay_shows_what_it_does_and_why_under_its_home(render: Render) -> None:
    boiler = relay("boiler", casa_A=status("ON: surplus"), casa_B=status("OFF: stale", "grey"))
    car = relay("car", casa_A=status("OFF: minimum-off until 10:07", "yellow"))
    html = render(snapshot(homes=[home("casa_A", name="Rossi")], flows=[flow("Self-consumption", boiler, car)]))
    assert section(html, "boards") == (
        "Relays 3 Rossi boiler ON: surplus car OFF: minimum-off until 10:07 casa_B boiler OFF: stale"
    )
    assert "Relays on 1 of 3" in section(html, "tiles")


def test_before_the_first_request_the_relays_say_when_they_appear(render: Render) -> None:
    shown = section(render(snapshot(flows=[flow("Self-consumption", relay("boiler"))])), "boards")
    assert shown == "Relays 0 Nothing yet: each home appears here with its first request."


# Alerts


def test_an_alert_says_what_happened_since_when_and_what_to_do(render: Render) -> None:
    html = render(snapshot(alerts=[alert("casa_B", "low-yield", rapporto=0.553, regola="peer")]))
    assert section(html, "alerts") == (
        "Alerts 1 Low production casa_B since Jun 21, 09:05 Its panels give 55% of what the neighbours' give. "
        "Look for dirt, new shade, a tripped breaker, or a fault that the inverter shows."
    )


@pytest.mark.parametrize(
    ("code", "parameters", "said"),
    [
        ("low-yield", {"rapporto": 0.7, "regola": "learned"}, "give, less than is usual for it."),
        ("low-yield", {"rapporto": None}, "Low production casa_A since Jun 21, 09:05 Look for dirt"),
        ("clock-skew", {"topic": "comunita/casa_A/bilancio", "ahead_s": 7200}, "claim to come from 2 hr ahead"),
        ("relay-no-answer/1", {"load": "boiler", "told": "ON", "tries": 3}, "Relay 1 (boiler) does not answer"),
        ("relay-no-answer/2", {"told": "ON", "tries": 3}, "Relay 2 does not answer casa_A"),
        ("own-code", {"limit": 3, "seen": 5}, "own-code casa_A since Jun 21, 09:05 limit: 3, seen: 5"),
    ],
)  # fmt: skip
def test_every_kind_of_alert_is_put_into_words(
    render: Render, code: str, parameters: dict[str, object], said: str
) -> None:
    assert said in section(render(snapshot(alerts=[alert("casa_A", code, **parameters)])), "alerts")


def test_without_an_alert_there_is_no_list_of_them(render: Render) -> None:
    html = render(snapshot())
    assert section(html, "alerts") == ""
    assert "Open alerts 0" in section(html, "tiles")


# Broker and store


def test_a_lost_broker_is_told_with_its_reason_and_that_it_is_tried_again(render: Render) -> None:
    html = render(snapshot(connections=[connection("refused", "wrong password for 'hub'")]))
    assert "No connection to the broker mqtt://127.0.0.1:1883. wrong password for 'hub' It is tried" in words(html)
    assert "Broker refused 127.0.0.1:1883" in section(html, "tiles")


def test_the_own_broker_says_how_many_clients_it_has(render: Render) -> None:
    html = render(snapshot(broker={"clients": 13}))
    assert "Broker connected 127.0.0.1:1883, its own, 13 clients" in section(html, "tiles")


def test_a_store_that_cannot_write_says_why_and_what_became_of_the_readings(render: Render) -> None:
    html = render(snapshot(store={**STORE, "error": "disk full", "buffered": 1200}))
    assert "The store cannot write. disk full Readings wait in memory" in words(html)
    assert "Store cannot write 1,200 readings wait" in section(html, "tiles")
    html = render(snapshot(store={**STORE, "error": "disk full", "lost": 5}))
    assert "5 readings were lost." in words(html)


# Nothing there yet


def test_without_flows_it_says_how_to_get_some(render: Render) -> None:
    assert "No flow runs." in section(render(snapshot()), "flows")
    assert "solarflow new my-community solarflow run my-community" in section(render(snapshot()), "flows")


def test_without_homes_it_says_how_to_send_a_first_reading_to_the_broker_that_is_there(render: Render) -> None:
    html = render(snapshot(connections=[connection(address="mqtt://10.0.0.7:2883")]))
    command = """mosquitto_pub -h 10.0.0.7 -p 2883 -t comunita/casa_A/bilancio -m '{"produzione_w": 1500"""
    assert "No home yet." in section(html, "homes")
    assert command in section(html, "homes")


def test_without_readings_it_says_where_homes_publish(render: Render) -> None:
    shown = section(render(snapshot(homes=[home("casa_A")])), "homes")
    assert "No reading yet. Homes publish on comunita/<home>/bilancio" in shown
    assert f"casa_A {DASH} {DASH} {DASH} {DASH} no reading yet" in shown


def test_a_home_that_waits_comes_with_the_command_that_approves_it(render: Render) -> None:
    html = render(snapshot(waiting=[waiting("casa_X")], store={**STORE, "path": "/srv/my data"}))
    shown = section(html, "waiting")
    assert "casa_X since Jun 21, 09:55, on comunita/casa_X/bilancio" in shown
    assert "solarflow homes approve casa_X --data '/srv/my data'" in shown
    assert "No home yet: approve one of those above." in section(html, "homes")


def test_safe_mode_says_that_nothing_runs_and_names_the_files(render: Render) -> None:
    html = render(snapshot(safe=True, files=["flows/ingest.json", "flows/mine.json"], deployed_at=0.0))
    assert "Safe mode: nothing runs." in words(html)
    assert "Loaded, not running: flows/ingest.json, flows/mine.json" in section(html, "flows")


# The instance's clock


def test_the_time_is_that_of_the_instance_in_the_projects_zone(render: Render) -> None:
    assert ">Sat, Jun 21, 10:05:00</time>" in render(snapshot())
    assert ">Sat, Jun 21, 08:05:00</time>" in render(snapshot(timezone="UTC"))


def test_a_zone_that_does_not_exist_is_taken_as_utc(render: Render) -> None:
    assert ">Sat, Jun 21, 08:05:00</time>" in render(snapshot(timezone="Europe/Atlantis"))


def test_a_scaled_clock_shows_its_speed_and_the_real_one_does_not(render: Render) -> None:
    assert "60 times as fast" in render(snapshot(speed=60.0))
    assert "times as fast" not in render(snapshot())


# Languages


def test_italian_speaks_and_counts_in_italian(render: Render) -> None:
    html = render(community(), "it-IT,it;q=0.9,en;q=0.5")
    assert '<html lang="it">' in html
    assert ">sab 21 giu, 10:05:00</time>" in html
    assert "Rossi casa_A 3.001 W 50% 1.766 W 1.234 W 15 s fa" in section(html, "homes")
    assert "Benchmark flows/benchmark.json 2 nodi 12,3 /s 0 errori" in section(html, "flows")
    assert "Produzione bassa casa_B dal 21 giu, 09:05 I suoi pannelli danno il 55%" in section(html, "alerts")


def test_spanish_speaks_and_counts_in_spanish(render: Render) -> None:
    html = render(community(), "es")
    assert '<html lang="es">' in html
    assert "Rossi casa_A 3.001 W 50 % 1.766 W 1.234 W hace 15 s" in section(html, "homes")
    assert "12,3 /s 0 errores" in section(html, "flows")
    assert "Producción baja casa_B desde el 21 jun, 09:05" in section(html, "alerts")


@pytest.mark.parametrize("asked", ["de-DE,de;q=0.9", "", "*", "it;q=0"])
def test_who_asks_for_another_language_gets_english(render: Render, asked: str) -> None:
    assert '<html lang="en">' in render(snapshot(), asked)


def test_the_answer_says_its_language_and_what_it_depends_on(client: FlaskClient) -> None:
    answer = client.get("/", headers={"accept-language": "it"})
    assert answer.headers["content-language"] == "it"
    assert {"accept-language", "hx-request"} <= {name.lower() for name in answer.vary}
    assert answer.headers["cache-control"] == "no-store"


# Hostile names


def test_no_name_text_or_value_becomes_markup(render: Render) -> None:
    bad = node(
        HOSTILE, HOSTILE, name=HOSTILE, errors=1, last_error=HOSTILE, last_error_at=NOW, status=status(HOSTILE),
        keyed={HOSTILE: status(HOSTILE, "red")}, resting=[HOSTILE + "2"],
    )  # fmt: skip
    hostile = snapshot(
        flows=[replace(flow(HOSTILE, bad, relay(HOSTILE, **{HOSTILE: status(HOSTILE)})), id=HOSTILE)],
        shared=[bad],
        homes=[home(HOSTILE, 1, 1, name=HOSTILE)],
        alerts=[alert(HOSTILE, HOSTILE, **{HOSTILE: HOSTILE}), alert("a", f"relay-no-answer/{HOSTILE}", load=HOSTILE)],
        waiting=[replace(waiting("a"), id=HOSTILE, last_topic=HOSTILE)],
        connections=[connection("refused", HOSTILE, address=f"mqtt://{HOSTILE}")],
        store={**STORE, "error": HOSTILE, "path": HOSTILE},
        safe=True,
        files=[HOSTILE],
    )
    for language in ("en", "it", "es"):
        html = render(hostile, language)
        assert "<img" not in html
        assert "<script>" not in html
        assert html.count("onerror=") == html.count("onerror=alert(1)&gt;")
        assert len(re.findall(r"&lt;script&gt;", html)) > 15, "it is shown as text"


def test_a_name_with_percent_signs_and_braces_is_shown_as_it_is(render: Render) -> None:
    name = "100 %(num)s {{ 7*7 }} %"
    assert name in section(render(snapshot(flows=[flow(name, node("n", name=name))])), "flows")


def test_no_script_and_no_event_handler_stands_in_the_render(render: Render) -> None:
    html = render(community())
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", html))
    assert not re.search(r"<[^>]*\son\w+=", html)
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", html)


# Errors


def test_an_engine_that_does_not_answer_gives_a_page_that_says_so() -> None:
    instance = FakeInstance(snapshot())
    instance.silent = True
    answer = create_app(instance, Streams()).test_client().get("/")
    assert answer.status_code == 503
    assert "SolarFlow is too busy to answer the engine did not answer within 5 s" in words(answer.text)


def test_a_missing_page_says_so_and_leads_home(client: FlaskClient) -> None:
    answer = client.get("/nowhere/<b>", headers={"accept": "text/html"})
    assert answer.status_code == 404
    assert "There is nothing here nothing is at /nowhere/<b> To the first page" in words(answer.text)
    assert 'href="/"' in answer.text


def test_a_missing_page_speaks_the_visitors_language(client: FlaskClient) -> None:
    answer = client.get("/nowhere", headers={"accept": "text/html", "accept-language": "it"})
    assert "Qui non c'è niente" in words(answer.text)


def test_the_error_page_works_where_the_other_pages_are_off() -> None:
    client = create_app(FakeInstance(snapshot()), Streams(), pages=False).test_client()
    answer = client.get("/", headers={"accept": "text/html"})
    assert answer.status_code == 404
    assert "There is nothing here" in words(answer.text)


def test_a_program_gets_errors_as_json(client: FlaskClient) -> None:
    assert client.get("/nowhere").json == {"error": "nothing is at /nowhere"}
