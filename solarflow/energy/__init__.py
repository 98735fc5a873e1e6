"""The domain as a pure library on numpy and scipy: sun, weather, PV plants, households and their loads.

Arrays and numbers in and out; no message, no clock, no store. Times are UTC, seconds since the epoch (float); angles
are degrees; azimuths run clockwise from north (90 east, 180 south); names are pvlib's (`ghi`, `dni`, `dhi`, `zenith`).
"""
