"""Annotated number types: the unit stands in the type, and so in the form, the help and the JSON schema.

`power_w: Watts = 1000` in a node's Config gives a number field that shows "W" and refuses NaN and infinity.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field


def _unit(unit: str, **bounds: Any) -> Any:
    return Field(allow_inf_nan=False, json_schema_extra={"unit": unit}, **bounds)


Watts = Annotated[float, _unit("W")]
"""Power; may be negative where a direction has a sign."""
PositiveWatts = Annotated[float, _unit("W", ge=0)]
"""Power that has no direction."""
WattHours = Annotated[float, _unit("Wh", ge=0)]
"""Energy."""
Wp = Annotated[float, _unit("Wp", gt=0, le=10_000_000)]
"""Peak power of a PV plant under standard test conditions."""
Amperes = Annotated[float, _unit("A")]
"""Current."""
Volts = Annotated[float, _unit("V", ge=0)]
"""Voltage."""
Celsius = Annotated[float, _unit("°C", ge=-273.15)]
"""Temperature."""
Seconds = Annotated[float, _unit("s", ge=0)]
"""A duration; 0 means at once."""
PositiveSeconds = Annotated[float, _unit("s", gt=0)]
"""A duration that cannot be 0."""
Days = Annotated[float, _unit("d", ge=0)]
"""A duration in days."""
Degrees = Annotated[float, _unit("°")]
"""An angle."""
Ratio = Annotated[float, _unit("1", ge=0)]
"""A share or quotient: 0.85 is 85 %."""
