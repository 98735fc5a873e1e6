"""Loads that draw while they are powered, until they have had enough."""

import pytest

from solarflow.energy.appliances import Boiler, ElectricVehicle, PanelCleaner, Softener

MIDNIGHT = 0.0
HOUR = 3600.0


def test_a_boiler_heats_at_full_power_until_its_thermostat_stops_it():
    boiler = Boiler(temperature_c=40, litres_per_day=0)
    assert boiler.draw_w(True) == 1500
    boiler.advance(True, HOUR, MIDNIGHT + HOUR)
    assert boiler.temperature_c == pytest.approx(40 + 1500 / (80 * 4186 / 3600), abs=0.5)
    boiler.advance(True, HOUR, MIDNIGHT + 2 * HOUR)
    assert boiler.draw_w(True) == 0
    assert boiler.temperature_c == pytest.approx(65, abs=0.5)


def test_a_hot_boiler_waits_until_it_has_cooled_below_its_lower_limit():
    boiler = Boiler(temperature_c=66, litres_per_day=0)
    boiler.advance(True, 60, MIDNIGHT)
    boiler.advance(False, 2 * HOUR, MIDNIGHT + 2 * HOUR)
    assert boiler.temperature_c < 65
    assert boiler.draw_w(True) == 0
    boiler.advance(False, 24 * HOUR, MIDNIGHT + 26 * HOUR)
    assert boiler.temperature_c < 58
    assert boiler.draw_w(True) == 1500


def test_showers_in_the_morning_cost_more_heat_than_the_night():
    night, morning = Boiler(temperature_c=60), Boiler(temperature_c=60)
    night.advance(False, 3 * HOUR, MIDNIGHT + 4 * HOUR)
    morning.advance(False, 3 * HOUR, MIDNIGHT + 9 * HOUR)
    assert morning.temperature_c < night.temperature_c - 8


def test_a_car_draws_until_it_is_charged():
    car = ElectricVehicle(needed_wh=2300)
    car.advance(True, HOUR / 2, MIDNIGHT + HOUR / 2)
    assert (car.draw_w(True), car.needed_wh) == (2300, 1150)
    car.advance(True, HOUR / 2, MIDNIGHT + HOUR)
    assert car.draw_w(True) == 0


def test_a_car_needs_charge_again_after_the_days_trip():
    car = ElectricVehicle(needed_wh=0, daily_wh=7000)
    car.advance(False, HOUR, MIDNIGHT + 17.5 * HOUR)
    assert car.draw_w(True) == 0
    car.advance(False, HOUR, MIDNIGHT + 18.5 * HOUR)
    assert (car.draw_w(True), car.needed_wh) == (2300, 7000)


def test_a_softener_runs_half_an_hour_and_stops_by_itself():
    softener = Softener()
    assert softener.draw_w(True) == 40
    softener.advance(True, 1799, MIDNIGHT)
    assert softener.draw_w(True) == 40
    softener.advance(True, 1, MIDNIGHT)
    assert softener.draw_w(True) == 0


def test_a_softener_that_lost_power_finishes_its_run_later():
    softener = Softener()
    softener.advance(True, 600, MIDNIGHT)
    softener.advance(False, HOUR, MIDNIGHT)
    softener.advance(True, 1199, MIDNIGHT)
    assert softener.draw_w(True) == 40
    softener.advance(True, 1, MIDNIGHT)
    assert softener.draw_w(True) == 0


def test_a_finished_softener_starts_again_only_after_it_was_switched_off():
    softener = Softener()
    softener.advance(True, 2 * HOUR, MIDNIGHT)
    assert softener.draw_w(True) == 0
    softener.advance(False, 60, MIDNIGHT)
    assert softener.draw_w(True) == 40


def test_a_cleaner_stops_when_nobody_repeats_the_command():
    cleaner = PanelCleaner()
    cleaner.command(True, ttl_s=60, max_s=600, now=1000)
    assert cleaner.running(1059)
    assert not cleaner.running(1060)


def test_a_cleaner_stops_after_its_longest_run_however_often_the_command_is_repeated():
    cleaner = PanelCleaner()
    for moment in range(1000, 2000, 50):
        cleaner.command(True, ttl_s=60, max_s=600, now=moment)
    assert cleaner.running(1599)
    assert not cleaner.running(1951)


def test_panels_are_clean_after_two_minutes_of_brushing():
    cleaner = PanelCleaner()
    cleaner.command(True, ttl_s=300, max_s=600, now=1000)
    cleaner.advance(1000, 1100)
    assert cleaner.cleaned_s < 0
    cleaner.advance(1100, 1200)
    assert cleaner.cleaned_s == 1120
