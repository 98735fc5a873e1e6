"""From light to watts."""

import numpy as np
import pvlib
import pytest

from solarflow.energy.pv import cell_temperature, effective_irradiance, pv_power, soiling_ratio
from solarflow.energy.solar import PlaneOfArray


def test_at_standard_test_conditions_a_plant_without_losses_gives_its_peak_power():
    cool = 25.0 - 1000 / (25 + 6.84)  # the air at which the cells have 25 °C
    assert pv_power(1000, cool, 4000, losses=0, inverter_efficiency=1) == pytest.approx(4000)


def test_hot_cells_give_0_4_percent_less_per_kelvin():
    cool = 25.0 - 1000 / (25 + 6.84)
    assert pv_power(1000, cool + 10, 4000) / pv_power(1000, cool, 4000) == pytest.approx(0.96)


def test_cells_are_as_warm_as_pvlibs_faiman_says():
    light, air, wind = np.array([0.0, 400.0, 1000.0]), np.array([-5.0, 20.0, 35.0]), np.array([0.0, 1.0, 4.0])
    assert cell_temperature(light, air, wind) == pytest.approx(pvlib.temperature.faiman(light, air, wind))


def test_the_inverter_clips():
    assert pv_power([200, 1000], 20, 6000, inverter_w=3000) == pytest.approx([985.6, 3000], abs=0.1)


def test_a_dead_plant_gives_nothing():
    assert pv_power(1000, 20, 6000, performance=0) == 0


def test_glass_reflects_grazing_light_as_pvlibs_ashrae_says():
    angles = np.array([0.0, 30.0, 60.0, 80.0, 95.0])
    plane = PlaneOfArray(np.full(5, 500.0), np.full(5, 80.0), np.full(5, 5.0), angles)
    assert effective_irradiance(plane) == pytest.approx(500 * pvlib.iam.ashrae(angles) + 85)


def test_dirt_costs_its_percentage_a_day_down_to_a_floor():
    assert soiling_ratio([-1, 0, 10, 1000], 0.5) == pytest.approx([1, 1, 0.95, 0.3])
