"""What a photovoltaic plant gives: from the light on its panels to watts at the meter."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from solarflow.energy.arrays import FloatArray, floats
from solarflow.energy.solar import PlaneOfArray


def effective_irradiance(plane: PlaneOfArray, reflection: float = 0.05) -> FloatArray:
    """What of the light on the panel passes its glass [W/m2]: grazing sunlight is mostly reflected.

    `reflection` [1] is the b of iam = 1 - b (1 / cos(aoi) - 1).
    Source: ASHRAE standard 93-77; Souka and Safwat 1966, Solar Energy 10, 170-174.
    """
    cos_aoi = np.cos(np.radians(plane.aoi))
    modifier = np.clip(1.0 - reflection * (1.0 / np.maximum(cos_aoi, 1e-6) - 1.0), 0.0, 1.0)
    return plane.poa_direct * modifier + plane.poa_sky_diffuse + plane.poa_ground_diffuse


def cell_temperature(
    irradiance: ArrayLike,
    temperature_c: ArrayLike,
    wind_m_s: ArrayLike = 1.0,
    constant_loss: float = 25.0,
    wind_loss: float = 6.84,
) -> FloatArray:
    """Temperature of the cells [°C] at `irradiance` [W/m2], air at `temperature_c` [°C] and wind [m/s].

    `constant_loss` [W/m2/K] and `wind_loss` [W/m2/K per m/s] are those of panels on an open rack.
    Source: Faiman 2008, doi:10.1002/pip.813.
    """
    light = floats(irradiance)
    return floats(temperature_c) + light / (constant_loss + wind_loss * floats(wind_m_s))


def pv_power(
    irradiance: ArrayLike,
    temperature_c: ArrayLike,
    peak_power_wp: float,
    *,
    inverter_w: float | None = None,
    performance: ArrayLike = 1.0,
    temperature_coefficient: float = -0.004,
    losses: float = 0.14,
    inverter_efficiency: float = 0.96,
    wind_m_s: ArrayLike = 1.0,
) -> FloatArray:
    """AC power [W] of a plant of `peak_power_wp` [Wp] at effective `irradiance` [W/m2] and air `temperature_c` [°C].

    `performance` [1] is the share of normal that the array gives: 0.9 soiled, 0 dead. `temperature_coefficient` is per
    kelvin above 25 °C; `losses` are wiring, mismatch, usual dirt; above `inverter_w` [W] the inverter clips.
    Source: PVWatts version 5, Dobos 2014, doi:10.2172/1158421.
    """
    light = np.maximum(floats(irradiance), 0.0)
    warmth = 1.0 + temperature_coefficient * (cell_temperature(light, temperature_c, wind_m_s) - 25.0)
    dc_w = peak_power_wp * light / 1000.0 * warmth * (1.0 - losses) * floats(performance)
    ac_w = np.maximum(dc_w * inverter_efficiency, 0.0)
    return ac_w if inverter_w is None else np.minimum(ac_w, inverter_w)


def soiling_ratio(days_since_cleaning: ArrayLike, percent_per_day: float, worst: float = 0.3) -> FloatArray:
    """The share of normal [1] that dirty panels give: falls linearly from 1, and never below `worst`.

    Source: the linear rate between cleanings of Deceglie, Micheli and Muller 2018, doi:10.1109/JPHOTOV.2017.2784682.
    """
    days = np.maximum(floats(days_since_cleaning), 0.0)
    return np.maximum(1.0 - percent_per_day / 100.0 * days, worst)
