"""inject: Node-RED's documentation, sentence by sentence."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from solarflow.testing import START, at


def local(bench, zone="Europe/Rome"):
    """The local times at which messages left."""
    moments = [datetime.fromtimestamp(START + seen.t, UTC).astimezone(ZoneInfo(zone)) for seen in bench.sent]
    return [moment.strftime("%d.%m %H:%M %z") for moment in moments]


def in_rome(node, moment, **properties):
    """An inject node that begins at a local time in Rome."""
    bench = node("inject", props=[{"p": "payload"}], bench={"settings": {"timezone": "Europe/Rome"}})
    bench.clock.move_to(datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo("Europe/Rome")).timestamp())
    bench.configure(**properties)
    return bench


# -- what it sends ----------------------------------------------------------------------------------------------


def test_the_button_sends_the_time_in_milliseconds_unless_told_otherwise(node):
    inject = node("inject")
    inject.trigger()
    assert inject.sent == [at(0, payload=int(START * 1000), topic="")]


@pytest.mark.parametrize(
    ("value", "kind", "sent"),
    [
        ("on", "str", "on"),
        ("12.5", "num", 12.5),
        ("", "num", 0),
        ("true", "bool", True),
        ('{"a": [1]}', "json", {"a": [1]}),
        ("[1, 255]", "bin", b"\x01\xff"),
        ("iso", "date", "2026-06-21T09:00:00.000Z"),
        ("COMMUNITY", "env", "nord"),
        ("1 + 2", "expression", 3),
        (None, "str", ""),
    ],
)
def test_a_property_is_read_as_its_type_says(node, value, kind, sent):
    inject = node("inject", props=[{"p": "payload", "v": value, "vt": kind}], bench={"env": {"COMMUNITY": "nord"}})
    inject.trigger()
    assert inject.payloads == [sent]


def test_properties_are_set_in_order_and_may_lie_deep(node):
    inject = node(
        "inject",
        props=[
            {"p": "home", "v": "casa_A", "vt": "str"},
            {"p": "payload.power_w", "v": "1500", "vt": "num"},
            {"p": "double", "v": "payload.power_w * 2", "vt": "expression"},
        ],
    )
    inject.trigger()
    assert inject.sent == [at(0, home="casa_A", payload={"power_w": 1500}, double=3000)]


def test_payload_and_topic_without_a_value_take_the_nodes_own(node):
    inject = node(
        "inject", props=[{"p": "payload"}, {"p": "topic", "vt": "str"}], payload="7", payloadType="num", topic="a/b"
    )
    inject.trigger()
    assert inject.sent == [at(0, payload=7, topic="a/b")]


def test_an_export_from_before_properties_has_payload_and_topic(node):
    inject = node("inject", payload="hello", payloadType="string", topic="a/b", repeat="", crontab="", once=False)
    inject.trigger()
    assert inject.sent == [at(0, payload="hello", topic="a/b")]


def test_what_a_message_holds_is_its_own(node):
    inject = node("inject", props=[{"p": "payload", "v": "[1]", "vt": "json"}])
    inject.trigger()
    inject.last["payload"].append("spoilt")
    inject.trigger()
    assert inject.payloads[1] == [1]


def test_a_value_that_is_not_there_leaves_its_property_out(node):
    inject = node("inject", props=[{"p": "payload", "v": "nothing", "vt": "flow"}, {"p": "topic", "v": "a"}])
    inject.trigger()
    assert "payload" not in inject.last
    assert inject.last["topic"] == "a"


def test_a_message_given_to_it_gets_its_properties_and_goes_on(node):
    inject = node("inject", props=[{"p": "payload", "v": "1", "vt": "num"}])
    inject.input({"home": "casa_A", "payload": 5})
    assert inject.sent == [at(0, home="casa_A", payload=1)]


# -- when it sends ----------------------------------------------------------------------------------------------


def test_it_repeats_every_so_many_seconds(node):
    inject = node("inject", repeat="30")
    inject.advance(100)
    assert [seen.t for seen in inject.sent] == [30, 60, 90]


def test_once_sends_after_the_delay_and_the_interval_begins_then(node):
    inject = node("inject", once=True, onceDelay="5", repeat="30")
    inject.advance(70)
    assert [seen.t for seen in inject.sent] == [5, 35, 65]


def test_once_without_a_delay_sends_a_tenth_of_a_second_after_the_start(node):
    inject = node("inject", once=True, onceDelay=0.1)
    inject.advance(60)
    assert [seen.t for seen in inject.sent] == [pytest.approx(0.1)]


def test_it_sends_once_again_after_a_restart_and_keeps_no_old_interval(node):
    inject = node("inject", once=True, onceDelay=1, repeat=30)
    inject.advance(40)
    inject.restart(down_s=1000)
    inject.advance(35)
    assert [seen.t for seen in inject.sent] == [1, 31, 1041, 1071]


def test_a_changed_interval_begins_anew(node):
    inject = node("inject", repeat=30)
    inject.advance(20)
    inject.configure(repeat=100)
    inject.advance(150)
    assert [seen.t for seen in inject.sent] == [120]


def test_an_interval_that_is_taken_away_ends(node):
    inject = node("inject", repeat=30)
    inject.configure(repeat="")
    inject.advance(100)
    assert inject.sent == []


def test_a_crontab_sends_at_the_minutes_it_names_in_the_projects_time_zone(node):
    inject = in_rome(node, "2026-06-26 17:50", crontab="*/5 8-18 * * 1-5")  # a Friday
    inject.advance(3 * 86400)
    assert local(inject)[:4] == ["26.06 17:55 +0200", "26.06 18:00 +0200", "26.06 18:05 +0200", "26.06 18:10 +0200"]
    assert local(inject)[12:14] == ["26.06 18:55 +0200", "29.06 08:00 +0200"]


def test_where_the_clocks_go_forward_what_falls_into_the_missing_hour_is_sent_when_it_is_over(node):
    inject = in_rome(node, "2027-03-27 12:00", crontab="30 2 * * *")
    inject.advance(2 * 86400)
    assert local(inject) == ["28.03 03:00 +0200", "29.03 02:30 +0200"]


def test_where_the_clocks_go_back_a_fixed_time_is_sent_once(node):
    inject = in_rome(node, "2026-10-24 12:00", crontab="30 2 * * *")
    inject.advance(2 * 86400)
    assert local(inject) == ["25.10 02:30 +0200", "26.10 02:30 +0100"]


def test_where_the_clocks_go_back_an_interval_goes_on_through_both_hours(node):
    inject = in_rome(node, "2026-10-25 01:50", crontab="*/30 * * * *")
    inject.advance(3 * 3600)
    assert local(inject) == [
        "25.10 02:00 +0200", "25.10 02:30 +0200", "25.10 02:00 +0100", "25.10 02:30 +0100", "25.10 03:00 +0100",
        "25.10 03:30 +0100",
    ]  # fmt: skip


def test_times_of_day_that_passed_while_the_engine_was_down_are_not_made_up_for(node):
    inject = node("inject", crontab="0 * * * *")
    inject.advance(1800)
    inject.checkpoint()
    inject.restart(down_s=3 * 3600, killed=True)
    inject.advance(3600)
    assert [seen.t for seen in inject.sent] == [4 * 3600]


def test_a_removed_node_sends_no_more(node):
    inject = node("inject", repeat=10, crontab="* * * * *")
    inject.remove()
    inject.advance(1000)
    assert inject.sent == []


# -- what it refuses --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        ({"crontab": "0 0 31 2 *"}, "not a crontab"),
        ({"crontab": "61 * * * *"}, "'61 * * * *' is not a crontab: bad minute"),
        ({"crontab": "* * * * * *"}, "five fields"),
        ({"crontab": "@daily"}, "five fields"),
        ({"props": [{"p": "payload", "v": "x", "vt": "num"}]}, "payload: 'x' is not a number"),
        ({"props": [{"p": "payload", "v": "$now()", "vt": "jsonata"}]}, "JSONata is not run here"),
        ({"props": [{"p": "a b", "v": "x", "vt": "str"}]}, "a b: 'a b' cannot be read"),
        ({"repeat": 3_000_000}, "less than or equal to 2147483"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(node, properties, text):
    with pytest.raises(ValidationError, match=".*" + text.replace("*", r"\*").replace("(", r"\(")):
        node("inject", **properties)
