"""What a household draws over its days."""

from zoneinfo import ZoneInfoNotFoundError

import numpy as np
import pytest

from solarflow.energy.load import household_load, local_seconds

NEW_YEAR_2025 = 1735689600.0
YEAR = np.arange(NEW_YEAR_2025, NEW_YEAR_2025 + 364 * 86400, 600.0)


@pytest.mark.parametrize("seed", range(5))
def test_a_household_uses_what_households_use_in_a_year(seed):
    kwh = household_load(YEAR, seed).mean() * 8.76
    assert 2200 < kwh < 3800


def test_evenings_are_highest_then_mornings_and_nights_lowest():
    by_hour = np.mean([household_load(YEAR, seed).reshape(364, 24, 6).mean((0, 2)) for seed in range(8)], axis=0)
    assert by_hour[20] > by_hour[7] > by_hour[10] > by_hour[3]
    assert 200 < by_hour[10] < 350


def test_the_same_seed_draws_the_same_whenever_and_in_whatever_pieces_one_asks():
    whole = household_load(YEAR[:2000], 4)
    pieces = [float(household_load(moment, 4)) for moment in YEAR[:2000:97]]
    assert pieces == list(whole[::97])


def test_two_households_differ():
    assert np.corrcoef(household_load(YEAR, 1), household_load(YEAR, 2))[0, 1] < 0.8


def test_scale_multiplies_everything():
    assert household_load(YEAR[:500], 4, 2.0) == pytest.approx(2 * household_load(YEAR[:500], 4))


def test_local_time_follows_the_wall_clock_through_both_changes_of_the_year():
    before_spring, after_spring = 1743296399.0, 1743296400.0  # 30 March 2025, 01:00 UTC
    before_autumn, after_autumn = 1761440399.0, 1761440400.0  # 26 October 2025, 01:00 UTC
    moments = np.array([before_spring, after_spring, before_autumn, after_autumn])
    assert list(local_seconds(moments, "Europe/Rome") - moments) == [3600, 7200, 7200, 3600]


def test_a_zone_that_does_not_exist_is_refused():
    with pytest.raises(ZoneInfoNotFoundError):
        local_seconds(0.0, "Europe/Atlantis")
