"""Local time for loads and tariffs: hours of the day, days, deadlines. Right on the days of 23 and 25 hours.

Moments are UTC seconds since 1970; a day is the local date's ordinal (`datetime.date.toordinal`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_TIME = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)")

Hours = tuple[tuple[int, int], ...]
"""Spans of a day in minutes from local midnight: ((480, 1080),) is 08:00-18:00; an end at or before its begin lies on
the next day. Empty: always."""


def parse_time(text: str) -> int:
    """Minutes from midnight, 0 to 1440, of a time such as "17:30". Raises ValueError."""
    found = _TIME.fullmatch(text.strip())
    minutes = int(found[1]) * 60 + int(found[2]) if found else 1441
    if minutes > 1440:
        raise ValueError(f"'{text}' is not a time of day; write it like 17:30")
    return minutes


def parse_hours(texts: Sequence[str]) -> Hours:
    """`Hours` of spans such as ["08:00-12:00", "22:00-06:00"]. Raises ValueError."""
    spans = []
    for text in texts:
        begin, dash, end = text.partition("-")
        if not dash:
            raise ValueError(f"'{text}' is not a span of hours; write it like 08:00-18:00")
        span = (parse_time(begin), parse_time(end))
        if span[0] == span[1] or span[0] == 1440:
            raise ValueError(f"the hours '{text}' begin where they end or at 24:00; the whole day is 00:00-24:00")
        spans.append(span)
    return tuple(sorted(spans))


def local_day(moment: float, zone: ZoneInfo) -> int:
    """The ordinal of the local date at a moment."""
    return datetime.fromtimestamp(moment, zone).toordinal()


@lru_cache(maxsize=4096)
def moment_of(day: int, minutes: int, zone: ZoneInfo) -> float:
    """When the local clock of a day shows that many minutes from midnight; 1440 is the next midnight.

    A time that the clock skips in spring is taken as if it had not been put forward; one that it shows twice in
    autumn is the first (PEP 495, fold=0).
    """
    days, minutes = divmod(minutes, 1440)
    midnight = datetime.combine(date.fromordinal(day) + timedelta(days=days), datetime.min.time())
    return midnight.replace(hour=minutes // 60, minute=minutes % 60, tzinfo=zone).timestamp()


@lru_cache(maxsize=4096)
def spans_around(day: int, hours: Hours, zone: ZoneInfo) -> tuple[tuple[float, float], ...]:
    """The (begin, end) moments of the spans that begin on the day before, the day, or the day after.

    In the order of their begin; spans that touch or overlap are one.
    """
    merged: list[tuple[float, float]] = []
    for of_day in (day - 1, day, day + 1):
        for begin, end in hours or ((0, 1440),):
            start = moment_of(of_day, begin, zone)
            stop = moment_of(of_day if end > begin else of_day + 1, end, zone)
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], stop))
            elif stop > start:
                merged.append((start, stop))
    return tuple(merged)


def seconds_left(moment: float, hours: Hours, zone: ZoneInfo) -> float:
    """For how long from a moment the hours go on [s]; 0 outside them, infinity where they are always."""
    if not hours:
        return float("inf")
    for begin, end in spans_around(local_day(moment, zone), hours, zone):
        if begin <= moment < end:
            return end - moment
    return 0.0


def seconds_until(moment: float, hours: Hours, zone: ZoneInfo) -> float:
    """How long from a moment until the hours begin or end next [s]; infinity where they are always."""
    if not hours:
        return float("inf")
    edges = (edge for span in spans_around(local_day(moment, zone), hours, zone) for edge in span)
    return min((edge - moment for edge in edges if edge > moment), default=float("inf"))


def seconds_within(start: float, end: float, hours: Hours, zone: ZoneInfo) -> float:
    """How much of the time between two moments, at most a day apart, lies within the hours [s]."""
    if not hours:
        return max(0.0, end - start)
    spans = spans_around(local_day(start, zone), hours, zone)
    return sum(max(0.0, min(end, stop) - max(start, begin)) for begin, stop in spans)


def parse_moment(text: str, zone: ZoneInfo) -> float:
    """The moment of an ISO 8601 date and time, in local time where it names no offset. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"'{text[:60]}' is not a date and time; write it like 2026-06-21T18:00:00+02:00") from None
    return moment.replace(tzinfo=moment.tzinfo or zone).timestamp()


def local_clock(moment: float, now: float, zone: ZoneInfo) -> str:
    """The local time of a moment for people: 18:00, with its date where that is not today's."""
    local = datetime.fromtimestamp(moment, zone)
    return f"{local:%H:%M}" if local_day(now, zone) == local.toordinal() else f"{local:%Y-%m-%d %H:%M}"
