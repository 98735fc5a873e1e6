"""The course of a value over a local day, straight between a few points: a sunny day in a line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import pairwise
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

_TIME = re.compile(r"([01]\d|2[0-4]):([0-5]\d)")


def _check(points: dict[str, float]) -> dict[str, float]:
    for moment in points:
        if not _TIME.fullmatch(moment):
            raise ValueError(f'expected times of the day such as "06:30", found {moment!r:.20}')
    return points


DayCourse = Annotated[dict[str, float], Field(min_length=2), AfterValidator(_check)]
"""Values by local time of the day: {"06:00": 0, "13:00": 2400, "20:00": 0}; before and after as at the ends."""


def value_at(course: Mapping[str, float], ts: float, zone: ZoneInfo) -> float:
    """The value at `ts` (UTC seconds), to a tenth."""
    local = datetime.fromtimestamp(ts, UTC).astimezone(zone)
    minute = 60.0 * local.hour + local.minute + local.second / 60.0
    points = sorted((60.0 * int(moment[:2]) + int(moment[3:]), value) for moment, value in course.items())
    if minute <= points[0][0]:
        return points[0][1]
    for (begin, low), (end, high) in pairwise(points):
        if minute <= end:
            return round(low + (high - low) * (minute - begin) / (end - begin), 1)
    return points[-1][1]
