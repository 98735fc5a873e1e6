"""Many numbers become one: latest, mean, median, least, greatest, sum, count or a list, over a window.

Windows go by the messages' own time (`ts`) or by their number, for each home apart.

Inputs
    payload (number): the value; another property where `property` says so.
    home (text): whose; another property where `key` says so.
    ts (number): when it was measured.
Outputs
    payload (number or list): the value of the window. `count` values were in it, from `start` to `end` (UTC seconds).
Details
    **tumbling** windows stand side by side, on whole multiples of their size: a window of 900 s ends at a quarter of
    an hour. **sliding** gives, for each message, what lies within the size before it. **session** windows end when
    nothing came for the size. With `by` "count" the size is a number of messages (not for sessions).
    A tumbling or session window is sent once a message `lateness_s` after its end has come, or the clock says that its
    time is over; what comes later still is dropped and counted in the status.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from solarflow.node import (
    Example,
    KeyedConfig,
    KeyedState,
    Message,
    MessageProperty,
    Node,
    PropertyPath,
    Setup,
    at,
    resets_state,
)
from solarflow.units import Seconds

MAX_VALUES = 100_000
"""Values kept for one key; of more, the oldest give way."""


def reduce_values(values: list[float], function: str) -> Any:
    """One of the functions over at least one value, in order of time."""
    if function == "list":
        return list(values)
    if function == "count":
        return len(values)
    if function == "latest":
        return values[-1]
    functions: dict[str, Callable[[list[float]], float]] = {
        "mean": fmean, "median": median, "min": min, "max": max, "sum": sum,
    }  # fmt: skip
    return functions[function](values)


class Window(Node):
    """Gathers and reduces."""

    type = "window"
    category = "energy"
    color = "#8fc9a0"
    icon = "timer"
    waits = True

    class Config(KeyedConfig):
        """Which window, which function."""

        kind: Annotated[Literal["tumbling", "sliding", "session"], resets_state()] = "tumbling"
        """Side by side, moving along, or as long as something comes."""
        by: Annotated[Literal["time", "count"], resets_state()] = "time"
        """Whether the size is in seconds or in messages."""
        size: float = Field(default=900, gt=0, le=31_622_400)
        """Seconds or messages; for a session the silence that ends it."""
        function: Literal["latest", "mean", "median", "min", "max", "sum", "count", "list"] = "mean"
        """What the values become."""
        property: MessageProperty = "payload"
        """The message property with the value."""
        lateness_s: Seconds = 0
        """How long after its end a window still takes its messages."""
        min_count: int = Field(default=1, ge=1)
        """Windows with fewer values are not sent."""

        @model_validator(mode="after")
        def _fits(self) -> Self:
            if self.by == "count" and self.kind == "session":
                raise ValueError("a session ends by time; choose by 'time'")
            if self.by == "count" and self.size != int(self.size):
                raise ValueError(f"a window of {self.size:g} messages; a whole number is needed")
            return self

    @dataclass(slots=True)
    class State:
        """The values (ts, value) of the open windows, and until when windows were sent."""

        values: list[tuple[float, float]] = field(default_factory=list)
        closed_until: float = 0.0
        late: int = 0

    config: Config
    state: KeyedState[State]

    EXAMPLE = Example(
        config={"size": 60, "function": "mean"},
        given=[
            at(0, home="casa_A", payload=100),
            at(30, home="casa_A", payload=200),
            at(60, home="casa_A", payload=600),
        ],
        then=[at(60, home="casa_A", payload=150, count=2), at(120, home="casa_A", payload=600, count=1)],
        until=121,
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._path = PropertyPath(self.config.property)

    def on_input(self, msg: Message) -> None:
        key, value, ts = self.key(msg), float(self.number(msg, self._path)), float(msg["ts"])
        state = self.state[key]
        if ts < state.closed_until:
            state.late += 1
            self.status(f"{state.late} too late", "yellow", key=key)
            return
        if self.config.by == "count":
            self._count(key, state, (ts, value))
            return
        insort(state.values, (ts, value))
        del state.values[:-MAX_VALUES]
        newest = state.values[-1][0]
        if self.config.kind == "sliding":
            state.values = [item for item in state.values if item[0] > newest - self.config.size]
            self._emit(key, state.values, newest - self.config.size, newest)
            return
        self._close(key, state, newest - self.config.lateness_s)
        self._wait(key, state)

    def _count(self, key: str, state: State, item: tuple[float, float]) -> None:
        size = int(self.config.size)
        state.values.append(item)
        if self.config.kind == "sliding":
            del state.values[:-size]
        if len(state.values) >= size or self.config.kind == "sliding":
            self._emit(key, state.values, state.values[0][0], state.values[-1][0])
        if self.config.kind == "tumbling" and len(state.values) >= size:
            state.values = []

    def _end_of_first(self, values: list[tuple[float, float]]) -> float:
        """When the oldest open window ends."""
        size = self.config.size
        first = values[0][0]
        if self.config.kind == "tumbling":
            return first - first % size + size
        last = first
        for ts, _ in values:
            if ts - last > size:
                break
            last = ts
        return last + size

    def _wait(self, key: str, state: State) -> None:
        if state.values:
            self.at(self._end_of_first(state.values) + self.config.lateness_s, self.fall_due, key)

    def fall_due(self, key: str) -> None:
        """The clock says that a window is over."""
        state = self.state[key]
        self._close(key, state, self.clock.now() - self.config.lateness_s)
        self._wait(key, state)

    def _close(self, key: str, state: State, watermark: float) -> None:
        while state.values and (end := self._end_of_first(state.values)) <= watermark:
            inside = [item for item in state.values if item[0] < end]
            state.values = state.values[len(inside) :]
            state.closed_until = end
            start = end - self.config.size if self.config.kind == "tumbling" else inside[0][0]
            self._emit(key, inside, start, end)

    def _emit(self, key: str, values: list[tuple[float, float]], start: float, end: float) -> None:
        if len(values) < self.config.min_count:
            return
        payload = reduce_values([value for _, value in values], self.config.function)
        self.send(
            {self._key_path.text: key, "ts": end, "payload": payload, "count": len(values), "start": start, "end": end}
        )
