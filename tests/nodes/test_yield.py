"""The `yield` node: watts per watt of peak power."""

import pytest
from pydantic import ValidationError

from solarflow.testing import at

HOMES = {"homes": [{"id": "casa_A", "peak_power_wp": 3000}, {"id": "casa_B", "peak_power_wp": None}]}


@pytest.fixture
def yields(node):
    def make(**config):
        return node("yield", bench=HOMES, **config)

    return make


def test_the_yield_is_the_production_over_the_registered_peak_power(yields):
    bench = yields()
    bench.feed(1500, home="casa_A")
    assert bench.sent == [at(0, home="casa_A", payload=0.5, power_w=1500)]


def test_the_production_may_stand_in_another_property(yields):
    bench = yields(property="payload.potenza_w")
    bench.feed({"potenza_w": 600}, home="casa_A", topic="comunita/casa_A/produzione")
    assert bench.sent == [at(0, payload=0.2, power_w=600, topic="comunita/casa_A/produzione")]


def test_a_home_without_peak_power_is_an_error_that_says_how_to_register_it(yields):
    bench = yields()
    bench.feed(1500, home="casa_B")
    bench.feed(1500, home="casa_C")
    assert bench.sent == []
    assert bench.errors == [
        f"the peak power of '{home}' is not known, so its yield cannot be computed; "
        'register the home with "peak_power_wp": solarflow homes import FILE'
        for home in ("casa_B", "casa_C")
    ]


def test_a_home_without_peak_power_may_send_its_own_yield(yields):
    bench = yields(property="payload.potenza_w")
    bench.feed({"potenza_w": 1500, "rendimento": 0.4}, home="casa_B")
    bench.feed({"rendimento": 0.3}, home="casa_B")
    assert [(seen.msg["payload"], seen.msg.get("power_w")) for seen in bench.sent] == [(0.4, 1500), (0.3, None)]


def test_the_registered_peak_power_goes_before_the_devices_word(yields):
    bench = yields(property="payload.potenza_w")
    bench.feed({"potenza_w": 1500, "rendimento": 0.9}, home="casa_A")
    assert bench.payloads == [0.5]


def test_the_devices_word_may_be_all_that_counts(yields):
    bench = yields(property="payload.potenza_w", source="reported")
    bench.feed({"potenza_w": 1500, "rendimento": 0.9}, home="casa_A")
    bench.feed({"potenza_w": 1500}, home="casa_A")
    assert bench.payloads == [0.9]
    assert "has no 'payload.rendimento', the yield that its device should send" in bench.errors[0]


def test_the_devices_word_may_count_for_nothing(yields):
    bench = yields(property="payload.potenza_w", source="registered")
    bench.feed({"potenza_w": 1500, "rendimento": 0.4}, home="casa_B")
    assert "the peak power of 'casa_B' is not known" in bench.errors[0]


def test_what_the_inverter_draws_at_night_counts_as_nothing(yields):
    bench = yields()
    bench.feed(-12, home="casa_A")
    assert bench.payloads == [0.0]


def test_a_meter_that_counts_the_wrong_way_round_is_an_error(yields):
    bench = yields()
    bench.feed(-900, home="casa_A")
    assert bench.sent == []
    assert bench.errors == [
        "'casa_A' would give -0.3 W/Wp, with 3000 Wp registered, and production is never below zero: turn its current "
        "clamp round, or use a 'balance' node where the meter shows the grid's exchange"
    ]


def test_more_than_the_sun_gives_is_an_error(yields):
    bench = yields()
    bench.feed(6000, home="casa_A")
    assert bench.errors == [
        "'casa_A' would give 2 W/Wp, with 3000 Wp registered; at most 1.5 is possible: correct its peak power, or the "
        "unit of its production (watts)"
    ]
    bench.configure(max_yield=2.5)
    bench.feed(6000, home="casa_A")
    assert bench.payloads == [2.0]


def test_the_devices_own_yield_is_checked_too(yields):
    bench = yields(source="reported")
    bench.feed({"rendimento": 450}, home="casa_A")
    assert "450 W/Wp, as its device says; at most 1.5 is possible" in bench.errors[0]


def test_a_registration_counts_from_the_next_reading_on(yields):
    bench = yields()
    bench.homes.add(id="casa_B", peak_power_wp=2000)
    bench.feed(1000, home="casa_B")
    assert bench.payloads == [0.5]


def test_a_reading_that_is_no_number_is_an_error(yields):
    bench = yields()
    bench.feed("sunny", home="casa_A")
    bench.feed(1500)
    assert bench.errors == [
        "'payload' is 'sunny', where a number is needed",
        "the message has no 'home', which tells whose it is",
    ]


@pytest.mark.parametrize("value", ["", "pay load", "payload["])
def test_the_property_must_be_a_path(yields, value):
    with pytest.raises(ValidationError):
        yields(property=value)
