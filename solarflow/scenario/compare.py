"""Compares what was expected with what came: pairs them, so that each difference stands in one row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from solarflow.scenario.events import TOLERANCE_S, Event
from solarflow.scenario.expectations import Expectation
from solarflow.scenario.model import Scenario


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the comparison: what was expected, what came, or both."""

    expected: Expectation | None
    window: tuple[float, float] = (0.0, 0.0)
    """From when to when it was to come."""
    index: int = -1
    """Which of `then` it is; of `never` where it is forbidden."""
    got: Event | None = None
    forbidden: bool = False

    @property
    def t(self) -> float:
        """Where it belongs in time."""
        times = [self.window[0]] if self.expected is not None and not self.forbidden else []
        return min([*times, *([self.got.t] if self.got is not None else [])])

    @property
    def in_time(self) -> bool:
        """Whether it came when it was to come."""
        begin, end = self.window
        return self.got is not None and begin - TOLERANCE_S <= self.got.t <= end + TOLERANCE_S

    @property
    def unlike(self) -> tuple[str, Any, Any] | None:
        """The first difference in what came: (path, expected, got)."""
        if self.expected is None or self.got is None or self.forbidden:
            return None
        return self.expected.unlike(self.got)

    @property
    def fits(self) -> bool:
        """Whether what came is what was expected."""
        return (
            self.expected is not None
            and self.got is not None
            and not self.forbidden
            and self.in_time
            and self.unlike is None
        )


def compare(scenario: Scenario, events: Sequence[Event]) -> list[Row]:
    """Everything that was expected, that came of whom is named, and that may never come; in order of time."""
    rows: list[Row] = []
    forbidden: set[int] = set()
    for index, ban in enumerate(scenario.never):
        for event in events:
            if id(event) not in forbidden and ban.forbids(event):
                forbidden.add(id(event))
                rows.append(Row(ban, index=index, got=event, forbidden=True))
    left = [event for event in events if id(event) not in forbidden]
    named = {(one.kind, one.subject) for one in scenario.then}
    everything = is_strict(scenario)
    groups: dict[tuple[str, tuple[str, ...]], list[Event]] = {who: [] for who in named}
    for event in left:
        who = (event.kind, event.subject)
        if who in named or everything or event.kind == "fails":
            groups.setdefault(who, []).append(event)
    for who, came in groups.items():
        wanted = [
            Row(one, window, index)
            for index, one in enumerate(scenario.then)
            if (one.kind, one.subject) == who
            for window in one.windows
        ]
        rows += _pair(wanted, came)
    order = {id(event): place for place, event in enumerate(events)}
    return sorted(rows, key=lambda row: (row.t, order.get(id(row.got), -1)))


def is_strict(scenario: Scenario) -> bool:
    """Whether everything that comes is to be expected: also where nothing at all is said, which proves nothing."""
    return scenario.strict or not (scenario.then or scenario.never)


def _pair(wanted: list[Row], came: list[Event]) -> list[Row]:
    """Pair what fits; then what came in time, though other; then what is alike, though late or early, the nearest."""
    wanted, came = sorted(wanted, key=lambda row: row.window), sorted(came, key=lambda event: event.t)
    rows: list[Row] = []

    def pair(test: Callable[[Row], bool], distance: Callable[[Row], float] | None = None) -> None:
        for row in list(wanted):
            tried = (replace(row, got=event) for event in came)
            good = (one for one in tried if test(one))
            best = next(good, None) if distance is None else min(good, key=distance, default=None)
            if best is not None:
                rows.append(best)
                wanted.remove(row)
                came.remove(best.got)  # type: ignore[arg-type]  # a row that passed a test has one

    pair(lambda row: row.fits)
    for row in [row for row in rows if row.expected is not None and row.expected.any_number]:
        more = [one for event in came if (one := replace(row, got=event)).fits]
        rows += more
        came = [event for event in came if all(one.got is not event for one in more)]
    pair(lambda row: row.in_time)
    pair(lambda row: row.unlike is None, lambda row: abs(row.window[0] - row.got.t) if row.got else 0.0)
    return [*rows, *wanted, *(Row(None, got=event) for event in came)]
