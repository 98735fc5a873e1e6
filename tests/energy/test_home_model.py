"""A simulated home: what it makes and draws, how its relays fall off, and what its faults do."""

import numpy as np
import pytest

from solarflow.energy.faults import Fault, parse_fault
from solarflow.energy.home_model import SimulatedHome
from solarflow.energy.weather import DAY_S, Weather
from solarflow.errors import UsageError

MIDSUMMER = 1750456800.0  # 21 June 2025, 00:00 in Turin
MIDWINTER = 1766271600.0  # 21 December 2025, 00:00 in Turin
NOON = MIDSUMMER + 13.5 * 3600
DAY = np.arange(0, DAY_S, 300.0)


def home(**changes):
    sky = Weather(5, 45.07, 7.69, fair_from=MIDSUMMER - 30 * DAY_S, fair_until=MIDWINTER + 2 * DAY_S)
    place = {"latitude": 45.07, "longitude": 7.69, "tilt": 30, "azimuth": 180}
    return SimulatedHome(**{"id": "casa_01", "peak_power_wp": 4000, "seed": 11, "weather": sky, **place, **changes})


def kwh_per_kwp(plant, midnight):
    return plant.production(midnight + DAY).sum() * 300 / 3.6e6 / (plant.peak_power_wp / 1000)


def test_a_fair_midsummer_day_gives_5_to_7_kwh_per_kwp():
    assert 5 < kwh_per_kwp(home(), MIDSUMMER) < 7.5


def test_a_fair_midwinter_day_gives_a_third_of_that():
    assert 1.2 < kwh_per_kwp(home(), MIDWINTER) < 3.2


def test_the_same_day_gives_half_and_less_under_usual_winter_clouds():
    winter = np.mean([kwh_per_kwp(home(weather=Weather(5, 45.07, 7.69)), MIDWINTER - day * DAY_S) for day in range(14)])
    assert 0.3 < winter < 1.7


def test_nothing_is_produced_at_night():
    midnight_to_four = MIDSUMMER + np.arange(0, 4 * 3600, 300.0)
    assert home().production(midnight_to_four).max() == 0


def test_a_panel_to_the_east_is_ahead_in_the_morning_and_behind_in_the_afternoon():
    east, west = home(azimuth=90), home(azimuth=270)
    assert east.production(NOON - 4 * 3600) > 1.5 * west.production(NOON - 4 * 3600)
    assert west.production(NOON + 4 * 3600) > 1.5 * east.production(NOON + 4 * 3600)


def test_neighbours_see_nearly_the_same_clouds():
    clouds = Weather(5, 45.07, 7.69)
    day = MIDSUMMER + np.arange(0, 10 * DAY_S, 300.0)
    one, other = (home(seed=seed, weather=clouds).production(day) for seed in (1, 2))
    light = one > 100
    assert np.corrcoef(one[light], other[light])[0, 1] > 0.97
    assert not np.allclose(one, other)


def test_stepping_gives_what_the_day_at_once_gives():
    at_once, stepped = home(), home()
    times = MIDSUMMER + DAY
    assert [stepped.step(moment).production_w for moment in times] == pytest.approx(at_once.production(times))


def test_the_boiler_raises_consumption_while_its_relay_is_on():
    with_boiler, without = home(), home()
    with_boiler.switch(1, on=True, ttl_s=300, now=NOON)
    assert with_boiler.step(NOON + 60).consumption_w == pytest.approx(without.step(NOON + 60).consumption_w + 1500)
    with_boiler.switch(1, on=False, ttl_s=300, now=NOON + 120)
    assert with_boiler.step(NOON + 120).consumption_w == pytest.approx(without.step(NOON + 120).consumption_w)


def test_a_boiler_with_hot_water_draws_nothing_though_its_relay_is_on():
    plant, other = home(), home()
    for minute in range(0, 240, 4):
        plant.switch(1, on=True, ttl_s=300, now=NOON + 60 * minute)
    end = NOON + 239 * 60
    assert plant.step(end).consumption_w == pytest.approx(other.step(end).consumption_w)
    assert plant.relay_states[1]


def test_a_relay_falls_off_by_itself_when_its_time_runs_out():
    plant = home()
    plant.switch(2, on=True, ttl_s=300, now=NOON)
    assert plant.next_expiry() == NOON + 300
    plant.advance(NOON + 299)
    assert plant.relay_states[2]
    plant.advance(NOON + 300)
    assert not plant.relay_states[2]


def test_a_relay_that_fell_off_unwatched_did_so_at_its_time():
    plant = home()
    plant.switch(2, on=True, ttl_s=300, now=NOON)
    before_wh = plant.loads[2].needed_wh
    plant.advance(NOON + 3600)
    assert plant.take_changes() == [(NOON, 2, True), (NOON + 300, 2, False)]
    assert before_wh - plant.loads[2].needed_wh == pytest.approx(2300 * 300 / 3600)


def test_repeating_the_command_keeps_the_relay_on_and_is_no_change():
    plant = home()
    for moment in (0, 200, 400):
        plant.switch(1, on=True, ttl_s=300, now=NOON + moment)
    plant.advance(NOON + 699)
    assert plant.take_changes() == [(NOON, 1, True)]
    plant.advance(NOON + 700)
    assert plant.take_changes() == [(NOON + 700, 1, False)]


def test_a_clock_set_back_leaves_a_relay_only_the_time_it_had():
    plant = home()
    plant.switch(1, on=True, ttl_s=300, now=NOON)
    plant.advance(NOON + 100)
    plant.advance(NOON + 100 - 3600)
    assert plant.next_expiry() == NOON + 300 - 3600


def test_a_relay_that_is_not_there_is_an_error():
    with pytest.raises(KeyError):
        home().switch(9, on=True, ttl_s=300, now=NOON)


def test_a_dead_inverter_gives_nothing_from_its_start_to_its_end():
    plant = home(faults=(Fault("dead-inverter", start=NOON, end=NOON + 600),))
    assert plant.production(NOON - 1) > 2000
    assert plant.production(NOON) == 0
    assert plant.production(NOON + 600) > 2000


def test_a_degraded_plant_gives_its_share_of_normal():
    plant = home(faults=(Fault("degraded", start=NOON, factor=0.65),))
    assert plant.production(NOON) == pytest.approx(0.65 * home().production(NOON))
    assert plant.production(NOON - 300) == home().production(NOON - 300)


def test_dirt_grows_by_the_day_until_the_cleaner_has_run():
    plant = home(faults=(Fault("soiling", start=NOON - 20 * DAY_S, percent_per_day=1.0),))
    assert plant.production(NOON) == pytest.approx(0.8 * home().production(NOON))
    plant.clean(on=True, ttl_s=300, max_s=600, now=NOON)
    assert plant.step(NOON + 60).consumption_w == pytest.approx(home().step(NOON + 60).consumption_w + 60)
    plant.advance(NOON + 300)
    assert plant.production(NOON + 300) == pytest.approx(home().production(NOON + 300), rel=1e-4)
    assert plant.production(NOON - DAY_S) == pytest.approx(0.81 * home().production(NOON - DAY_S))


def test_dirt_of_a_fixed_share_goes_with_cleaning_too():
    plant = home(faults=(Fault("soiling", start=NOON - DAY_S, factor=0.9),))
    assert plant.production(NOON) == pytest.approx(0.9 * home().production(NOON))
    plant.clean(on=True, ttl_s=300, max_s=600, now=NOON)
    plant.advance(NOON + 300)
    assert plant.production(NOON + 300) == pytest.approx(home().production(NOON + 300))


def test_a_fault_is_read_from_text_with_its_number_and_its_delay():
    assert parse_fault("casa_03:degraded=0.5@1.5", start=1000) == (
        "casa_03",
        Fault("degraded", start=1000 + 5400, factor=0.5),
    )
    assert parse_fault("casa_01:silence", start=1000) == ("casa_01", Fault("silence", start=1000))
    assert parse_fault("casa_01:soiling", start=0)[1].percent_per_day == 1
    assert parse_fault("casa_01:wrong-clock=-3", start=0)[1].hours == -3


@pytest.mark.parametrize(
    "text",
    ["", "casa_01", "casa_01:", ":silence", "casa_01:fire", "casa_01:degraded=x", "casa_01:degraded=nan",
     "casa_01:silence@soon", "casa_01:silence@inf", "casa_01:silence=3", "casa_01:degraded=-1"],
)  # fmt: skip
def test_a_fault_that_cannot_be_read_says_what_was_expected(text):
    with pytest.raises(UsageError, match=r"expected HOME:KIND|takes none|needs 0 or more"):
        parse_fault(text, start=0)
