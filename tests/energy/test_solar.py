"""The sun and its light, compared with pvlib over a year at two places."""

import numpy as np
import pandas as pd
import pvlib
import pytest

from solarflow.energy.solar import clear_sky, decompose, plane_of_array, solar_position

PLACES = {"Turin": (45.07, 7.69, 240.0), "Canberra": (-35.3, 149.1, 600.0)}
YEAR = pd.date_range("2025-01-01", "2026-01-01", freq="17min", tz="UTC")
TIMES = YEAR.as_unit("s").asi8.astype(float)


@pytest.fixture(params=PLACES, scope="module")
def place(request):
    latitude, longitude, altitude = PLACES[request.param]
    reference = pvlib.solarposition.get_solarposition(YEAR, latitude, longitude, altitude=altitude)
    return solar_position(TIMES, latitude, longitude), reference, altitude


def test_the_zenith_is_pvlibs_within_a_fiftieth_of_a_degree(place):
    sun, reference, _ = place
    assert np.abs(sun.zenith - reference.zenith).max() < 0.02


def test_the_zenith_as_seen_is_pvlibs_within_a_fiftieth_of_a_degree_by_day(place):
    sun, reference, _ = place
    day = reference.zenith.to_numpy() < 85
    assert np.abs(sun.apparent_zenith - reference.apparent_zenith)[day].max() < 0.02


def test_the_azimuth_is_pvlibs_where_the_sun_is_not_overhead(place):
    sun, reference, _ = place
    day = (reference.zenith.to_numpy() < 88) & (reference.zenith.to_numpy() > 15)
    apart = (sun.azimuth - reference.azimuth.to_numpy() + 180) % 360 - 180
    assert np.abs(apart[day]).max() < 0.05


def test_at_noon_the_sun_stands_in_the_south_in_turin_and_in_the_north_in_canberra():
    solstice_noon_turin, solstice_noon_canberra = 1750505430.0, 1750471530.0
    assert solar_position(solstice_noon_turin, 45.07, 7.69).azimuth == pytest.approx(180, abs=1)
    north = float(solar_position(solstice_noon_canberra, -35.3, 149.1).azimuth)
    assert min(north, 360 - north) < 1


def test_a_cloudless_sky_is_pvlibs_ineichen_within_3_watts(place):
    sun, reference, altitude = place
    airmass = pvlib.atmosphere.get_absolute_airmass(
        pvlib.atmosphere.get_relative_airmass(reference.apparent_zenith), pvlib.atmosphere.alt2pres(altitude)
    )
    extra = pvlib.irradiance.get_extra_radiation(YEAR)
    expected = pvlib.clearsky.ineichen(reference.apparent_zenith, airmass, 3.0, altitude, extra)
    sky = clear_sky(sun, altitude, 3.0)
    assert np.abs(sky.ghi - expected.ghi).max() < 3
    assert np.abs(sky.dni - expected.dni).max() < 10
    assert np.abs(sky.dhi - expected.dhi).max() < 3


def test_a_clouded_sky_is_split_as_pvlibs_erbs_does(place):
    sun, reference, altitude = place
    ghi = 0.55 * clear_sky(sun, altitude).ghi
    expected = pvlib.irradiance.erbs(ghi, reference.zenith, YEAR)
    day = reference.zenith.to_numpy() < 85
    split = decompose(ghi, sun)
    assert np.abs(split.dhi - expected["dhi"])[day].max() < 3
    assert np.abs(split.dni - expected["dni"])[day].max() < 10


def test_a_tilted_panel_gets_what_pvlibs_hay_davies_gives_it(place):
    sun, reference, altitude = place
    sky = clear_sky(sun, altitude)
    expected = pvlib.irradiance.get_total_irradiance(
        30, 135, reference.zenith, reference.azimuth, sky.dni, sky.ghi, sky.dhi, sun.dni_extra, albedo=0.2,
        model="haydavies",
    )  # fmt: skip
    day = reference.zenith.to_numpy() < 88
    panel = plane_of_array(30, 135, sun, sky)
    assert np.abs(panel.poa_global - expected["poa_global"])[day].max() < 3
    assert np.abs(panel.poa_direct - expected["poa_direct"])[day].max() < 3


def test_a_flat_panel_gets_the_global_horizontal_irradiance():
    sun = solar_position(1750500000.0, 45.07, 7.69)
    sky = clear_sky(sun)
    assert plane_of_array(0, 180, sun, sky).poa_global == pytest.approx(sky.ghi, rel=0.002)


def test_at_night_there_is_no_light_and_no_warning():
    sun = solar_position(np.array([1750460400.0, 1750546800.0]), 45.07, 7.69)
    with np.errstate(all="raise", under="ignore"):
        sky = clear_sky(sun, 240.0)
        panel = plane_of_array(30, 180, sun, sky)
        split = decompose(sky.ghi, sun)
    assert np.array(sky) == pytest.approx(np.zeros((3, 2)))
    assert panel.poa_global == pytest.approx([0, 0])
    assert split.dni == pytest.approx([0, 0])
