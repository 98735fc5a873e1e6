"""Writes what came into `then`, for somebody to review: what fitted stays as it was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from solarflow.scenario.compare import Row
from solarflow.scenario.durations import format_duration
from solarflow.scenario.events import TOLERANCE_S, Event, restrict
from solarflow.scenario.model import Scenario
from solarflow.scenario.run import Outcome
from solarflow.scenario.text import plain

SERIES = 3
"""From so many alike, at equal distances, on, one line says it."""


def updated(raw: Mapping[str, Any], scenario: Scenario, outcome: Outcome) -> dict[str, Any]:
    """The scenario's JSON with a `then` that fits what came; `never` stays as it is."""
    written = list(raw.get("then", []))
    rows = [row for row in outcome.rows if not row.forbidden]
    blocks: list[tuple[float, list[Any]]] = []
    for index, entry in enumerate(written):
        own = [row for row in rows if row.index == index]
        begins = scenario.then[index].begins_at
        if all(row.fits for row in own):
            blocks.append((begins, [entry]))
        else:
            blocks.append((begins, list(_lines([_as_expected(row) for row in own if row.got is not None]))))
    for t, entries in _by_time([row.got for row in rows if row.expected is None and row.got is not None]):
        place = next((i + 1 for i in range(len(blocks) - 1, -1, -1) if blocks[i][0] <= t + TOLERANCE_S), 0)
        blocks.insert(place, (t, entries))
    then = [entry for _, entries in blocks for entry in entries]
    result = dict(raw)
    if "then" not in result and "never" in result:
        never = result.pop("never")
        return {**result, "then": then, "never": never}
    return {**result, "then": then}


def _as_expected(row: Row) -> Event:
    """What came, of which only what had been expected before is written."""
    assert row.got is not None and row.expected is not None  # noqa: S101 - the caller's choice
    detail = restrict(row.got.detail, row.expected.detail) if row.expected.detail else {}
    return Event(row.got.t, row.got.kind, row.got.subject, detail)


def _by_time(events: Sequence[Event]) -> list[tuple[float, list[Any]]]:
    """Lines with their first times, for events that nobody expected."""
    plain = [_without_defaults(event) for event in events]
    return [(event.t, [line]) for event, line in _runs(plain)]


def _without_defaults(event: Event) -> Event:
    detail = {key: value for key, value in event.detail.items() if not (key == "retain" and value is False)}
    if event.kind == "records" and abs(detail.get("measured", 0.0) - event.t) <= TOLERANCE_S:
        del detail["measured"]
    return Event(event.t, event.kind, event.subject, detail)


def _lines(events: Sequence[Event]) -> Iterator[Any]:
    for _, line in _runs(events):
        yield line


def _runs(events: Sequence[Event]) -> Iterator[tuple[Event, dict[str, Any]]]:
    """(first event, its line) in order of time; what is alike and comes at equal distances is one line."""
    alike: dict[str, list[Event]] = {}
    for event in sorted(events, key=lambda event: event.t):
        alike.setdefault(repr(event.raw()), []).append(event)
    found: list[tuple[Event, dict[str, Any]]] = []
    for group in alike.values():
        while group:
            count = _regular(group)
            first, last = group[0], group[count - 1]
            times: dict[str, Any] = {"at": format_duration(first.t)}
            if count > 1:
                every = format_duration((last.t - first.t) / (count - 1))
                times = {"from": format_duration(first.t), "every": every, "until": format_duration(last.t)}
            found.append((first, {**times, **_written(first)}))
            group = group[count:]
    yield from sorted(found, key=lambda one: one[0].t)


def _regular(group: Sequence[Event]) -> int:
    """How many of them, from the first on, come at equal distances; 1 where they are fewer than a series."""
    if len(group) < SERIES:
        return 1
    distance = group[1].t - group[0].t
    count = 2
    while count < len(group) and abs(group[count].t - group[count - 1].t - distance) <= TOLERANCE_S:
        count += 1
    return count if count >= SERIES and distance > TOLERANCE_S else 1


def _written(event: Event) -> dict[str, Any]:
    raw = event.raw()
    if "measured" in raw:
        raw["measured"] = format_duration(raw["measured"])
    return dict(plain(raw))
