"""relay-out: requests become commands with a TTL; what is not asked for any more goes off."""

import pytest
from pydantic import ValidationError

from solarflow.errors import StoreError
from solarflow.store.homes import Load
from solarflow.testing import START, at

HOME = "casa_A"
SET = "comunita/casa_A/rele/1/set"
ON = {"stato": "ON", "ttl_s": 300}
OFF = {"stato": "OFF"}


@pytest.fixture
def make(node):
    def make(**config):
        return node("relay-out", {"min_on_s": 0, "min_off_s": 0, "feedback_topic": "", **config})

    return make


def commands(relay, start=0.0):
    """(time, "ON" or "OFF") of what went to the relay."""
    return [(seen.t, seen.msg["payload"]["stato"]) for seen in relay.sent if seen.port == 0 and seen.t >= start]


def states(relay):
    return [seen.msg["payload"] for seen in relay.sent if seen.port == 1]


def ask(relay, on=True, /, **msg):
    relay.feed(on, **{"home": HOME, "reason": "surplus" if on else "import", **msg})


def report(relay, stato, t=None, **msg):
    relay.input({"topic": "comunita/casa_A/rele/1", "payload": {"stato": stato}, **msg}, t=t)


# -- commands -------------------------------------------------------------------------------------------------------


def test_a_request_becomes_a_command_with_a_ttl_ready_for_mqtt_out(make):
    relay = make()
    ask(relay)
    command = relay.sent[0]
    assert command == at(0, home=HOME, relay="1", topic=SET, payload=ON, qos=0, retain=False)


def test_off_is_commanded_once_and_not_repeated(make):
    relay = make()
    ask(relay)
    ask(relay, False, at=30)
    for t in (100, 200, 300):
        ask(relay, False, at=t)
    assert commands(relay) == [(0, "ON"), (30, "OFF")]
    assert relay.sent[2].msg["payload"] == OFF


def test_on_is_repeated_while_it_is_to_stay_on(make):
    relay = make(max_age_s=1000)
    ask(relay)
    relay.advance(200)
    assert commands(relay) == [(0, "ON"), (60, "ON"), (120, "ON"), (180, "ON")]


def test_repeating_a_request_sends_no_command_of_its_own(make):
    relay = make()
    ask(relay, every=10, until=50)
    assert commands(relay) == [(0, "ON")]


def test_a_repetition_rarer_than_half_the_ttl_is_refused(make):
    with pytest.raises(ValidationError, match="falls off as soon as one command is lost"):
        make(ttl_s=100, repeat_s=50)


@pytest.mark.parametrize("topic", ["boiler/set", "comunita/{home}/{room}", "comunita/{home}/#", "x{home}"])
def test_a_topic_that_does_not_name_the_home_is_refused(make, topic):
    with pytest.raises(ValidationError, match="home"):
        make(topic=topic)


def test_the_topic_is_configurable_and_the_relay_may_have_a_name(make):
    relay = make(topic="case/{home}/{relay}/comando", relay="boiler")
    ask(relay)
    assert relay.sent[0].msg["topic"] == "case/casa_A/boiler/comando"


def test_each_home_has_its_own_relay(make):
    relay = make(min_off_s=600)
    ask(relay)
    ask(relay, False)
    ask(relay, home="casa_B")
    assert [seen.msg["topic"] for seen in relay.sent if seen.port == 0][-1] == "comunita/casa_B/rele/1/set"


def test_requests_for_another_relay_or_load_are_not_heard(make):
    relay = make(relay=2, load="boiler")
    ask(relay, relay=1)
    ask(relay, relay=2, load="ev")
    assert relay.sent == []
    ask(relay, relay=2, load="boiler")
    assert commands(relay) == [(0, "ON")]


@pytest.mark.parametrize("payload", ["ON", 1, None, {"on": True}])
def test_a_request_that_is_neither_true_nor_false_is_an_error(make, payload):
    relay = make()
    relay.feed(payload, home=HOME)
    assert "expected true or false" in relay.errors[0]
    assert relay.sent == []


def test_a_home_that_can_be_no_topic_level_is_an_error_and_leaves_nothing_behind(make):
    relay = make()
    ask(relay, home="a/b")
    assert "cannot be a level of the topic" in relay.errors[0]
    assert len(relay.node.state) == 0


# -- silence and other reasons to let go ----------------------------------------------------------------------------


def test_without_another_request_it_goes_off_at_the_maximum_age(make):
    relay = make(max_age_s=180)
    ask(relay)
    relay.advance(1000)
    assert commands(relay) == [(0, "ON"), (60, "ON"), (120, "ON"), (180, "OFF")]
    assert states(relay)[-1]["motivo"] == "stale"
    assert relay.status(HOME) == "OFF: stale"


@pytest.mark.parametrize("late", [{"ts": START - 500}, {"arretrato": True}, {"retain": True}, {"ts": START + 1000}])
def test_a_request_that_is_late_or_was_retained_switches_nothing(make, late):
    relay = make()
    ask(relay, **late)
    assert commands(relay) == []
    assert "1 late messages ignored" in relay.status(HOME)


@pytest.mark.parametrize("reason", ["silent", "removed"])
def test_an_off_for_safety_beats_the_minimum_on_time(make, reason):
    relay = make(min_on_s=600)
    ask(relay)
    ask(relay, False, reason=reason, at=10)
    assert commands(relay) == [(0, "ON"), (10, "OFF")]


def test_staleness_beats_the_minimum_on_time(make):
    relay = make(min_on_s=6000, max_age_s=180)
    ask(relay)
    relay.advance(180)
    assert commands(relay)[-1] == (180, "OFF")


def test_a_home_that_is_offline_lets_go_at_once_and_gets_no_on(make):
    relay = make(min_on_s=600)
    ask(relay)
    relay.feed("offline", topic="comunita/casa_A/stato", at=10)
    assert commands(relay) == [(0, "ON"), (10, "OFF")]
    ask(relay, at=20)
    assert commands(relay)[-1] == (10, "OFF")
    relay.feed("online", topic="comunita/casa_A/stato", at=30)
    assert commands(relay)[-1] == (30, "ON")


def test_rubbish_instead_of_requests_ends_in_off(make):
    relay = make(max_age_s=180)
    ask(relay)
    relay.feed("rubbish", home=HOME, every=5, start=5, until=400)
    assert commands(relay)[-1] == (50, "OFF")  # the tenth in a row: nothing may stay on that cannot be heard
    assert "breaker" in relay.status(HOME)


def test_a_relay_that_is_on_by_hand_goes_off_when_its_home_cannot_be_heard_any_more(make):
    relay = make(min_on_s=600)
    relay.input({"home": HOME, "override": "on", "for_s": 36_000})
    for _ in range(10):
        relay.feed("rubbish", home=HOME, at=relay.now + 1)
    relay.advance(4000)
    assert [state for _, state in commands(relay)] == ["ON", "OFF"]
    ask(relay)
    assert commands(relay)[-1][1] == "ON"


def test_a_device_s_wrong_reports_shut_out_no_command(make):
    relay = make(feedback_topic="comunita/{home}/rele/{relay}")
    ask(relay)
    for _ in range(20):
        relay.input({"topic": f"comunita/{HOME}/rele/1", "home": HOME, "payload": {"stato": "on"}})
    assert len(relay.errors) == 20
    ask(relay, False)
    assert commands(relay)[-1][1] == "OFF"


# -- minimum times --------------------------------------------------------------------------------------------------


def test_it_stays_on_for_the_minimum(make):
    relay = make(min_on_s=100)
    ask(relay)
    ask(relay, False, at=10)
    assert relay.status(HOME) == "ON: minimum-on until 09:01"
    assert states(relay)[-1] == {
        "stato": "ON", "comando": "ON", "richiesto": "OFF", "motivo": "minimum-on", "fino_a": START + 100,
        "allarme": False,
    }  # fmt: skip
    relay.advance_to(200)
    assert commands(relay) == [(0, "ON"), (60, "ON"), (100, "OFF")]


def test_it_stays_off_for_the_minimum_whatever_is_asked(make):
    relay = make(min_off_s=100, max_age_s=1000)
    ask(relay)
    ask(relay, False, reason="silent", at=10)
    ask(relay, at=20)
    relay.feed(override="on", for_s=500, home=HOME, at=30)
    relay.advance_to(109)
    assert commands(relay)[-1] == (10, "OFF")
    relay.advance_to(110)
    assert commands(relay)[-1] == (110, "ON")


def test_the_first_on_waits_for_nothing(make):
    relay = make(min_off_s=1000)
    ask(relay)
    assert commands(relay) == [(0, "ON")]


def test_minimum_times_count_the_time_that_the_engine_was_down(make):
    relay = make(min_off_s=600)
    ask(relay)
    ask(relay, False, at=10)
    relay.restart(down_s=500)
    ask(relay)
    assert commands(relay)[-1] == (10, "OFF")
    relay.advance(100)
    assert commands(relay)[-1] == (610, "ON")


# -- feedback -------------------------------------------------------------------------------------------------------


@pytest.fixture
def relay(node):
    return node("relay-out", min_on_s=0, min_off_s=0, max_age_s=100_000)


def test_a_command_that_is_answered_is_not_sent_again(relay):
    ask(relay)
    report(relay, "ON", 1)
    relay.advance_to(50)
    assert commands(relay) == [(0, "ON")]
    assert states(relay)[-1]["stato"] == "ON"


def test_three_commands_without_an_answer_are_an_alarm(relay):
    ask(relay)
    relay.advance_to(29)
    assert commands(relay) == [(0, "ON"), (10, "ON"), (20, "ON")]
    assert relay.alerts.alerts == []
    relay.advance_to(30)
    alert = relay.alerts.alerts[0]
    assert (alert.home, alert.code, alert.parameters["told"]) == (HOME, "relay-no-answer/1", "ON")
    assert relay.status(HOME) == "does not answer; told ON: surplus"
    assert states(relay)[-1]["allarme"] is True


def test_the_alarm_is_one_and_its_all_clear_is_one(relay):
    ask(relay)
    relay.advance_to(500)
    assert len(relay.alerts.alerts) == 1
    report(relay, "ON", 510)
    assert relay.alerts.alerts[0].closed_at == START + 510
    assert states(relay)[-1]["allarme"] is False
    assert relay.status(HOME) == "ON: surplus"


def test_a_relay_that_is_stuck_on_is_told_off_again_and_again(relay):
    ask(relay)
    report(relay, "ON", 1)
    ask(relay, False, at=100)
    report(relay, "ON", 101)
    relay.advance_to(300)
    assert commands(relay, 100) == [(t, "OFF") for t in (100, 110, 120, 130, 190, 250)]
    assert relay.alerts.alerts[0].parameters["told"] == "OFF"
    report(relay, "OFF", 301)
    relay.advance_to(1000)
    assert commands(relay)[-1] == (250, "OFF")
    assert relay.alerts.alerts[0].closed_at == START + 301


def test_one_that_goes_on_by_itself_is_told_off(relay):
    ask(relay, False)
    report(relay, "OFF", 1)
    report(relay, "ON", 100)
    relay.advance_to(110)
    assert commands(relay) == [(110, "OFF")]


def test_one_that_fell_off_keeps_its_minimum_off_time(node):
    relay = node("relay-out", min_off_s=300, max_age_s=100_000)
    ask(relay)
    report(relay, "ON", 1)
    report(relay, "OFF", 50)
    assert commands(relay, 50) == []
    assert relay.status(HOME) == "OFF: minimum-off until 09:05"
    relay.advance_to(350)
    assert commands(relay, 50) == [(350, "ON")]


def test_one_that_falls_off_again_and_again_is_not_chased(relay):
    ask(relay)
    for t in range(1, 100):
        report(relay, "ON", t)
        report(relay, "OFF", t + 0.5)
    assert len(commands(relay)) <= 11


def test_an_old_answer_that_comes_after_a_new_command_is_no_falling_off(relay):
    ask(relay)
    report(relay, "ON", 1)
    ask(relay, False, at=100)
    ask(relay, at=100.5)
    report(relay, "OFF", 100.6)
    report(relay, "ON", 100.9)
    assert commands(relay, 100) == [(100, "OFF"), (100.5, "ON")]
    assert relay.logged == []


def test_what_was_retained_tells_only_where_nothing_is_known(relay):
    ask(relay)
    report(relay, "ON", 1)
    report(relay, "OFF", 20, retain=True)
    assert states(relay)[-1]["stato"] == "ON"
    assert commands(relay) == [(0, "ON")]


def test_reports_of_other_relays_and_unknown_homes_mean_nothing(relay):
    ask(relay)
    relay.input({"topic": "comunita/casa_A/rele/2", "payload": {"stato": "ON"}}, t=1)
    relay.input({"topic": "comunita/casa_Z/rele/1", "payload": {"stato": "ON"}}, t=1)
    assert relay.node.state.peek(HOME).real is None
    assert "casa_Z" not in relay.node.state


def test_a_report_that_says_neither_on_nor_off_is_an_error(relay):
    report(relay, "maybe")
    assert 'expected {"stato": "ON"}' in relay.errors[0]


def test_an_alert_that_cannot_be_written_stops_no_command(relay):
    def refuse(*args):
        raise StoreError("the disk is full")

    relay.alerts.open = refuse
    ask(relay)
    relay.advance_to(30)
    assert "the disk is full" in relay.errors[0]
    ask(relay, False, at=31)
    assert commands(relay)[-1] == (31, "OFF")


# -- by hand --------------------------------------------------------------------------------------------------------


def test_an_override_switches_until_its_end_and_says_who_and_until_when(make):
    relay = make()
    relay.feed(override="on", for_s=3600, by="Anna", home=HOME)
    assert relay.status(HOME) == "ON: override by Anna until 10:00"
    assert states(relay)[-1]["fino_a"] == START + 3600
    relay.advance_to(3599)
    assert commands(relay)[-1] == (3540, "ON")
    relay.advance_to(3600)
    assert commands(relay)[-1] == (3600, "OFF")


def test_an_override_off_holds_against_requests_and_auto_ends_it(make):
    relay = make()
    ask(relay)
    relay.feed(override="off", for_s=3600, home=HOME, at=10)
    ask(relay, at=20)
    assert commands(relay) == [(0, "ON"), (10, "OFF")]
    relay.feed(override="auto", home=HOME, at=30)
    assert commands(relay)[-1] == (30, "ON")


@pytest.mark.parametrize("until", [START + 7200, "2026-06-21T11:00:00+00:00", "2026-06-21T13:00:00+02:00"])
def test_the_end_may_be_a_moment(make, until):
    relay = make()
    relay.input({"home": HOME, "override": "on", "until": until})
    assert states(relay)[-1]["fino_a"] == START + 7200


def test_a_time_without_an_offset_is_local(node):
    relay = node("relay-out", bench={"settings": {"timezone": "Europe/Rome"}})
    relay.input({"home": HOME, "override": "on", "until": "2026-06-21T13:00:00"})
    assert states(relay)[-1]["fino_a"] == START + 7200
    assert relay.status(HOME) == "ON: override until 13:00"


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ({"override": "on"}, "needs an end"),
        ({"override": "maybe", "for_s": 1}, 'expected "on", "off" or "auto"'),
        ({"override": "on", "for_s": 100_000}, "at most max_override_s"),
        ({"override": "on", "until": START - 1}, "more than 0"),
        ({"override": "on", "until": "tonight"}, "write it like"),
        ({"override": "on", "for_s": "long"}, "where a number is needed"),
    ],
)
def test_an_override_without_a_sound_end_is_an_error(make, override, text):
    relay = make()
    relay.input({"home": HOME, **override})
    assert text in relay.errors[0]
    assert commands(relay) == []


def test_a_retained_override_is_not_taken_again(make):
    relay = make()
    relay.feed(override="on", for_s=3600, home=HOME, retain=True)
    assert commands(relay) == []


def test_an_override_goes_on_after_a_restart_until_its_end(make):
    relay = make()
    relay.feed(override="on", for_s=3600, home=HOME)
    relay.restart(down_s=1000)
    assert commands(relay)[-1] == (1000, "ON")
    relay.advance_to(3600)
    assert commands(relay)[-1] == (3600, "OFF")


def test_an_override_that_ended_while_the_engine_was_down_is_over(make):
    relay = make()
    relay.feed(override="on", for_s=600, home=HOME)
    relay.restart(down_s=1000)
    relay.advance(1)
    assert commands(relay, 1) == []
    assert relay.status(HOME) == "OFF: waiting"


# -- stop, restart, deploy ------------------------------------------------------------------------------------------


def test_the_stop_of_the_engine_sends_off_whatever_the_minimum(make):
    relay = make(min_on_s=600)
    ask(relay)
    relay.advance(10)
    relay.engine.stop()
    assert commands(relay) == [(0, "ON"), (10, "OFF")]
    assert states(relay)[-1]["motivo"] == "stop"


def test_after_a_restart_no_on_is_sent_before_a_request_comes(make):
    relay = make(max_age_s=180)
    ask(relay)
    relay.restart(down_s=10)
    relay.advance_to(1000)
    assert commands(relay, 1) == []
    ask(relay)
    assert commands(relay, 1) == [(1000, "ON")]


def test_after_a_kill_it_goes_on_with_the_next_request(make):
    relay = make(max_age_s=180, min_on_s=600)
    ask(relay)
    relay.checkpoint()
    relay.restart(down_s=30, killed=True)
    relay.advance(60)
    assert commands(relay) == [(0, "ON")]
    assert relay.status(HOME) == "ON: waiting"
    ask(relay)
    relay.advance(60)
    assert {word for _, word in commands(relay)} == {"ON"}


def test_after_a_kill_without_requests_it_goes_off_at_the_maximum_age(make):
    relay = make(max_age_s=180)
    ask(relay)
    relay.checkpoint()
    relay.restart(down_s=30, killed=True)
    relay.advance(180)
    assert commands(relay) == [(0, "ON"), (210, "OFF")]


def test_a_relay_whose_ttl_ran_out_in_a_kill_has_been_off_since_then(make):
    relay = make(min_off_s=600)
    ask(relay)
    relay.checkpoint()
    relay.restart(down_s=400, killed=True)
    ask(relay)
    assert commands(relay) == [(0, "ON")]
    assert relay.status(HOME) == "OFF: minimum-off until 09:15"  # off since 09:05


def test_a_deploy_switches_nothing(make):
    relay = make(min_on_s=60)
    ask(relay)
    relay.configure(min_on_s=0, repeat_s=50)
    relay.advance(170)
    assert commands(relay) == [(0, "ON"), (50, "ON"), (100, "ON"), (150, "ON")]
    relay.advance(10)
    assert commands(relay)[-1] == (180, "OFF")


def test_a_deploy_does_not_shorten_a_minimum_off_time(make):
    relay = make(min_off_s=100)
    ask(relay)
    ask(relay, False, at=10)
    relay.configure(repeat_s=50)
    ask(relay, at=50)
    assert commands(relay)[-1] == (10, "OFF")


def test_a_deleted_node_puts_its_relays_off_and_closes_its_alerts(node):
    relay = node("relay-out", max_age_s=100_000, min_on_s=1000)
    ask(relay)
    relay.advance_to(100)
    assert len(relay.alerts.alerts) == 1
    relay.remove()
    assert commands(relay)[-1] == (100, "OFF")
    assert relay.alerts.alerts[0].closed_at == START + 100


def test_a_deploy_to_another_relay_puts_the_first_off(make):
    relay = make(min_on_s=600)
    ask(relay)
    relay.configure(relay=2)
    assert relay.sent[-2] == at(0, topic=SET, payload=OFF)
    assert relay.status(HOME) == "OFF: waiting"
    ask(relay)
    assert relay.sent[-2] == at(0, topic="comunita/casa_A/rele/2/set", payload=ON)


# -- homes with loads of their own ----------------------------------------------------------------------------------


def registered(*loads):
    """A home with these loads, each (name, relay)."""
    return {"id": HOME, "loads": tuple(Load(name=name, power_w=900, relay=relay) for name, relay in loads)}


@pytest.fixture
def of_homes(node):
    def make(*homes, **config):
        config = {"min_on_s": 0, "min_off_s": 0, "load": "boiler", **config}
        return node("relay-out", config, bench={"homes": homes})

    return make


def test_a_registered_home_has_its_own_relay_for_the_load(of_homes):
    relay = of_homes(registered(("ev", 1), ("boiler", 7)))
    ask(relay, load="boiler", relay=7)
    assert relay.sent[0] == at(0, relay="7", topic="comunita/casa_A/rele/7/set", payload=ON)
    relay.input({"topic": "comunita/casa_A/rele/7", "payload": {"stato": "ON"}}, t=1)
    report(relay, "OFF", 2)  # the relay of another load
    assert states(relay)[-1]["stato"] == "ON"
    relay.advance_to(60)
    relay.input({"home": HOME, "relay": "1", "override": "off", "for_s": 60})
    assert commands(relay) == [(0, "ON"), (60, "ON")]
    relay.input({"home": HOME, "relay": "7", "override": "off", "for_s": 60})
    assert commands(relay)[-1] == (60, "OFF")


def test_a_home_that_is_registered_without_the_load_is_never_commanded(of_homes):
    relay = of_homes(registered(("ev", 1)))
    ask(relay, load="boiler", relay=1)
    relay.input({"home": HOME, "relay": "1", "override": "on", "for_s": 60})
    assert commands(relay) == []


def test_a_home_that_is_registered_without_loads_and_one_that_is_not_have_the_usual_relay(of_homes):
    relay = of_homes({"id": HOME})
    ask(relay, load="boiler", relay=1)
    ask(relay, home="casa_B", load="boiler", relay=1)
    assert [seen.msg["topic"] for seen in relay.sent if seen.port == 0] == [SET, "comunita/casa_B/rele/1/set"]


def test_a_relay_that_is_registered_anew_puts_the_one_before_off_and_closes_its_alert(of_homes):
    relay = of_homes(registered(("boiler", 7)), max_age_s=600)
    ask(relay, load="boiler", relay=7)
    relay.advance_to(50)
    assert [alert.code for alert in relay.alerts.alerts] == ["relay-no-answer/7"]
    relay.homes.add(**registered(("boiler", 8)))
    ask(relay, load="boiler", relay=8)
    after = [(seen.msg["topic"], seen.msg["payload"]) for seen in relay.sent if seen.port == 0 and seen.t == 50]
    assert after == [("comunita/casa_A/rele/7/set", OFF), ("comunita/casa_A/rele/8/set", ON)]
    assert relay.alerts.alerts[0].closed_at == START + 50


def test_what_it_does_and_why_is_told_once_for_each_change(make):
    relay = make()
    ask(relay, every=30, until=90)
    ask(relay, False, at=100)
    assert [(s["comando"], s["motivo"]) for s in states(relay)] == [("ON", "surplus"), ("OFF", "import")]
