"""Durations as people write them in scenarios: "5m30s", "2d", "0.2s"."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

_UNITS = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_TEXT = re.compile(r"(?P<minus>-?)(?:(?P<d>\d+)d)?(?:(?P<h>\d+)h)?(?:(?P<m>\d+)m)?(?:(?P<s>\d+(?:\.\d+)?)s)?")
LONGEST_S = 3660 * 86_400.0
"""Ten years: what is longer is a slip."""


def parse_duration(value: Any) -> float:
    """Seconds of "1h30m", "90s", "-5m", or of a number of seconds. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f'expected a time such as "5m30s" or a number of seconds, found {value!r:.40}')
    if isinstance(value, str):
        found = _TEXT.fullmatch(value)
        if found is None or value in ("", "-"):
            raise ValueError(f'expected a time such as "5m30s", "2h" or "0.2s", found {value!r:.40}')
        seconds = sum(float(found[unit]) * size for unit, size in _UNITS.items() if found[unit])
        seconds = -seconds if found["minus"] else seconds
    else:
        seconds = float(value)
    if not math.isfinite(seconds) or abs(seconds) > LONGEST_S:
        raise ValueError(f"expected a time of at most ten years, found {value!r:.40}")
    return seconds


def format_duration(seconds: float) -> str:
    """The text of a duration, to the millisecond: 330 is "5m30s", 0 is "0s"."""
    left_ms = round(abs(seconds) * 1000)
    minus = "-" if seconds < 0 and left_ms else ""
    parts: list[str] = []
    for unit, size in _UNITS.items():
        if unit == "s":
            if left_ms or not parts:
                parts.append(f"{left_ms / 1000:.3f}".rstrip("0").rstrip(".") + "s")
        elif count := left_ms // round(size * 1000):
            parts.append(f"{count}{unit}")
            left_ms -= count * round(size * 1000)
    return minus + "".join(parts)


_SCHEMA = {"anyOf": [{"type": "string", "pattern": r"^-?(\d+d)?(\d+h)?(\d+m)?(\d+(\.\d+)?s)?$"}, {"type": "number"}]}

Offset = Annotated[
    float, BeforeValidator(parse_duration), PlainSerializer(format_duration), WithJsonSchema(_SCHEMA), Field()
]
"""A time from the scenario's start; negative: before it."""
Duration = Annotated[Offset, Field(ge=0)]
"""A length of time, or a time from the start on."""
PositiveDuration = Annotated[Offset, Field(gt=0)]
"""A length of time that is not nothing."""
