"""The sky that neighbours share."""

import numpy as np
import pytest

from solarflow.energy.weather import DAY_S, Weather

NEW_YEAR_2025 = 1735689600.0
YEAR = NEW_YEAR_2025 + np.arange(0, 365 * DAY_S, 600.0)


def noon(day):
    return NEW_YEAR_2025 + day * DAY_S + 11.5 * 3600


def test_the_same_seed_makes_the_same_sky_in_any_order_of_asking():
    one, other = Weather(3, 45.07, 7.69), Weather(3, 45.07, 7.69)
    at_once = one.clear_sky_index(YEAR)
    assert [float(other.clear_sky_index(moment)) for moment in YEAR[5000:4990:-1]] == list(at_once[5000:4990:-1])


def test_another_seed_makes_another_sky():
    assert (
        abs(Weather(3, 45.07, 7.69).clear_sky_index(YEAR) - Weather(4, 45.07, 7.69).clear_sky_index(YEAR)).max() > 0.5
    )


def test_the_index_stays_between_deep_cloud_and_blue_sky():
    index = Weather(3, 45.07, 7.69).clear_sky_index(YEAR)
    assert 0.15 <= index.min() < 0.35
    assert 0.95 < index.max() <= 1


def test_summers_are_sunnier_than_winters():
    weather = Weather(3, 45.07, 7.69)
    winter, summer = ([weather.cloudiness(noon(day + i)) for i in range(60)] for day in (0, 160))
    assert np.mean(summer) < np.mean(winter) - 0.1


def test_days_that_must_be_fair_are():
    first = NEW_YEAR_2025 + 100 * DAY_S
    fair = Weather(3, 45.07, 7.69, fair_from=first, fair_until=first + 30 * DAY_S)
    usual = Weather(3, 45.07, 7.69)
    month = [noon(100 + day) for day in range(30)]
    assert fair.clear_sky_index(month).min() > 0.75
    assert usual.clear_sky_index(month).min() < 0.5


def test_clouds_pass_over_a_home_further_on_later():
    weather = Weather(3, 45.07, 7.69)
    afternoon = noon(100) + np.arange(0, 3 * 3600, 60.0)
    there, here = weather.clear_sky_index(afternoon + 120, delay_s=120), weather.clear_sky_index(afternoon)
    assert there == pytest.approx(here, abs=1e-4)  # the season has moved on by two minutes
    assert abs(weather.clear_sky_index(afternoon + 120) - here).max() > 0.01


def test_turin_is_cold_in_january_and_warm_in_july_and_afternoons_warmer_than_dawn():
    weather = Weather(3, 45.07, 7.69)
    january, july = weather.temperature(YEAR[:4464]).mean(), weather.temperature(YEAR[181 * 144 : 212 * 144]).mean()
    assert 0 < january < 7
    assert 21 < july < 28
    assert weather.temperature(noon(200) + 3 * 3600) > weather.temperature(noon(200) - 9 * 3600) + 5


def test_south_of_the_equator_july_is_the_cold_month():
    weather = Weather(3, -35.3, 149.1)
    assert weather.temperature(YEAR[:4464]).mean() > weather.temperature(YEAR[181 * 144 : 212 * 144]).mean() + 5
