"""Where the sun stands, and how much of it reaches the ground and a tilted panel.

Every function takes scalars or numpy arrays that broadcast, and returns arrays of float.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from solarflow.energy.arrays import FloatArray, floats

SOLAR_CONSTANT = 1366.1
"""Irradiance outside the atmosphere at 1 astronomical unit [W/m2]; ASTM E490-00a, the value pvlib uses."""

J2000_EPOCH_S = 946_728_000.0
"""1 January 2000, 12:00 UTC, in seconds since the epoch."""


class SolarPosition(NamedTuple):
    """Where the sun stands, as arrays of one shape."""

    zenith: FloatArray
    """Angle from the vertical, without refraction [°]."""
    apparent_zenith: FloatArray
    """Angle from the vertical as seen through the atmosphere [°]."""
    azimuth: FloatArray
    """Clockwise from north, 180 is south [°]."""
    dni_extra: FloatArray
    """Irradiance outside the atmosphere, facing the sun [W/m2]."""


class Irradiance(NamedTuple):
    """Irradiance at the ground, as arrays of one shape."""

    ghi: FloatArray
    """Global, on the horizontal [W/m2]."""
    dni: FloatArray
    """Direct, on a surface facing the sun [W/m2]."""
    dhi: FloatArray
    """Diffuse, on the horizontal [W/m2]."""


class PlaneOfArray(NamedTuple):
    """Irradiance on a tilted surface, as arrays of one shape."""

    poa_direct: FloatArray
    """From the sun's disc [W/m2]."""
    poa_sky_diffuse: FloatArray
    """From the sky [W/m2]."""
    poa_ground_diffuse: FloatArray
    """Reflected by the ground [W/m2]."""
    aoi: FloatArray
    """Angle of incidence between the sun and the surface's normal [°]."""

    @property
    def poa_global(self) -> FloatArray:
        """The sum of the three [W/m2]."""
        return self.poa_direct + self.poa_sky_diffuse + self.poa_ground_diffuse


def solar_position(time_s: ArrayLike, latitude: float, longitude: float) -> SolarPosition:
    """The sun's position at `time_s` (UTC seconds) seen from `latitude`, `longitude` [°, north and east positive].

    The Astronomical Almanac's low-precision algorithm, good to 0.01° between 1950 and 2050.
    Source: Michalsky 1988, doi:10.1016/0038-092X(88)90045-X. Refraction at 1013 hPa and 12 °C: Reda and Andreas 2004,
    eq. 42, doi:10.1016/j.solener.2003.12.003.
    """
    days = (floats(time_s) - J2000_EPOCH_S) / 86_400.0
    anomaly = np.radians((357.528 + 0.985_600_3 * days) % 360.0)
    mean_longitude = 280.460 + 0.985_647_4 * days
    ecliptic_longitude = np.radians((mean_longitude + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly)) % 360.0)
    obliquity = np.radians(23.439 - 4e-7 * days)
    right_ascension = np.arctan2(np.cos(obliquity) * np.sin(ecliptic_longitude), np.cos(ecliptic_longitude))
    declination = np.arcsin(np.sin(obliquity) * np.sin(ecliptic_longitude))
    sidereal_hours = (18.697_374_558 + 24.065_709_824_419_08 * days) % 24.0
    hour_angle = np.radians(sidereal_hours * 15.0 + longitude) - right_ascension

    phi = np.radians(latitude)
    cos_zenith = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(hour_angle)
    zenith = np.degrees(np.arccos(np.clip(cos_zenith, -1.0, 1.0)))
    east = -np.sin(hour_angle) * np.cos(declination)
    north = np.sin(declination) * np.cos(phi) - np.cos(declination) * np.sin(phi) * np.cos(hour_angle)
    azimuth = np.degrees(np.arctan2(east, north)) % 360.0

    elevation = 90.0 - zenith
    seen = np.maximum(elevation, -0.833)  # further down the formula has a pole, and the sun is out of sight
    refraction = 1.02 / (60.0 * np.tan(np.radians(seen + 10.3 / (seen + 5.11)))) * (283.0 / 285.0)
    apparent_zenith = zenith - np.where(elevation >= -0.833, refraction, 0.0)

    distance_au = 1.000_14 - 0.016_71 * np.cos(anomaly) - 0.000_14 * np.cos(2 * anomaly)
    return SolarPosition(zenith, apparent_zenith, azimuth, SOLAR_CONSTANT / distance_au**2)


def absolute_airmass(apparent_zenith: ArrayLike, altitude_m: float = 0.0) -> FloatArray:
    """How many vertical atmospheres at sea level the sunlight crosses [1]; infinite below the horizon.

    Source: Kasten and Young 1989, doi:10.1364/AO.28.004735; pressure of the standard atmosphere at `altitude_m`.
    """
    angle = floats(apparent_zenith)
    above = np.minimum(angle, 90.0)
    relative = 1.0 / (np.cos(np.radians(above)) + 0.50572 * (96.07995 - above) ** -1.6364)
    pressure_share = ((44_331.514 - altitude_m) / 11_880.516) ** (1 / 0.190_263_2) / 1013.25
    return np.where(angle <= 90.0, relative * pressure_share, np.inf)


def clear_sky(position: SolarPosition, altitude_m: float = 0.0, linke_turbidity: ArrayLike = 3.0) -> Irradiance:
    """Irradiance under a cloudless sky: the Ineichen-Perez model.

    `linke_turbidity` [1] says how hazy the air is: 2 mountain, 3 country, 4-5 town in summer.
    Source: Ineichen and Perez 2002, doi:10.1016/S0038-092X(02)00045-2; Perez et al. 2002,
    doi:10.1016/S0038-092X(02)00122-6.
    """
    turbidity = floats(linke_turbidity)
    cos_zenith = np.maximum(np.cos(np.radians(position.apparent_zenith)), 0.0)
    airmass = absolute_airmass(position.apparent_zenith, altitude_m)
    fh1, fh2 = np.exp(-altitude_m / 8000.0), np.exp(-altitude_m / 1250.0)
    cg1, cg2 = 5.09e-5 * altitude_m + 0.868, 3.92e-5 * altitude_m + 0.0387

    ghi = cg1 * position.dni_extra * cos_zenith * np.exp(-cg2 * airmass * (fh1 + fh2 * (turbidity - 1.0)))
    direct = position.dni_extra * (0.664 + 0.163 / fh1) * np.exp(-0.09 * airmass * (turbidity - 1.0))
    most_direct_share = 1.0 - (0.1 - 0.2 * np.exp(-turbidity)) / (0.1 + 0.882 / fh1)
    dni = np.minimum(direct, ghi * most_direct_share / np.maximum(cos_zenith, 1e-9))
    return Irradiance(ghi, dni, ghi - dni * cos_zenith)


def decompose(ghi: ArrayLike, position: SolarPosition) -> Irradiance:
    """Split a measured or forecast `ghi` [W/m2] into its direct and diffuse parts: the Erbs model.

    Above 87° of zenith everything counts as diffuse.
    Source: Erbs, Klein and Duffie 1982, eq. 1, doi:10.1016/0038-092X(82)90302-4.
    """
    total = floats(ghi)
    cos_zenith = np.cos(np.radians(position.zenith))
    kt = np.clip(total / (position.dni_extra * np.maximum(cos_zenith, 0.065)), 0.0, 1.0)
    middle = 0.9511 - 0.1604 * kt + 4.388 * kt**2 - 16.638 * kt**3 + 12.336 * kt**4
    diffuse_share = np.where(kt <= 0.22, 1.0 - 0.09 * kt, np.where(kt <= 0.80, middle, 0.165))
    diffuse_share = np.where(position.zenith > 87.0, 1.0, diffuse_share)
    dhi = total * diffuse_share
    dni = (total - dhi) / np.maximum(cos_zenith, 0.05)
    return Irradiance(total, dni, dhi)


def plane_of_array(
    tilt: float, azimuth: float, position: SolarPosition, irradiance: Irradiance, albedo: float = 0.2
) -> PlaneOfArray:
    """Irradiance on a surface of `tilt` [°, 0 is flat] that faces `azimuth` [°, 180 is south]: the Hay-Davies model.

    `albedo` [1] is the share of light that the ground reflects: 0.2 grass, 0.6 and more snow.
    Source: Hay and Davies 1980; Loutzenhiser et al. 2007, eq. 7, doi:10.1016/j.solener.2006.03.009.
    """
    surface_tilt, zenith = np.radians(tilt), np.radians(position.zenith)
    facing = np.radians(position.azimuth - azimuth)
    projection = np.cos(surface_tilt) * np.cos(zenith) + np.sin(surface_tilt) * np.sin(zenith) * np.cos(facing)
    aoi = np.degrees(np.arccos(np.clip(projection, -1.0, 1.0)))
    lit = np.maximum(projection, 0.0)

    beam_ratio = lit / np.maximum(np.cos(zenith), 0.01745)  # at 89°: lower sun would divide by nearly nothing
    anisotropy = irradiance.dni / position.dni_extra
    isotropic = (1.0 - anisotropy) * (1.0 + np.cos(surface_tilt)) / 2.0
    return PlaneOfArray(
        irradiance.dni * lit,
        irradiance.dhi * (isotropic + anisotropy * beam_ratio),
        irradiance.ghi * albedo * (1.0 - np.cos(surface_tilt)) / 2.0,
        aoi,
    )
