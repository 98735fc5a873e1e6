"""What is set for a load that runs on surplus: its power, its times, its limits, its guarantee."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from solarflow.energy.local_time import Hours, parse_hours, parse_time
from solarflow.units import PositiveSeconds, PositiveWatts, Seconds

DAY_S = 86_400.0


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class Guarantee(_Settings):
    """A minimum run time for each day."""

    minutes: Annotated[float, Field(gt=0, le=1440, json_schema_extra={"unit": "min"})]
    """How long it must have run, since local midnight."""
    deadline: str = "17:00"
    """By when, local time."""


class Completion(_Settings):
    """A run that must not be interrupted."""

    every_days: Annotated[int, Field(ge=1, le=366, json_schema_extra={"unit": "d"})] = 1
    """At most one run begins in so many days."""
    duration_s: PositiveSeconds
    """How long a run takes."""


class Load(_Settings):
    """One load behind a relay."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    """What it is called, such as boiler."""
    relay: Annotated[int, Field(ge=0, le=255)]
    """The number of its relay."""
    power_w: Annotated[float, Field(gt=0, allow_inf_nan=False, json_schema_extra={"unit": "W"})]
    """What it draws."""
    on_above_w: PositiveWatts | None = None
    """The surplus that is enough for it; empty: its power and the margin."""
    hold_s: Seconds = 300
    """How long the surplus must be there before it goes on."""
    release_s: Seconds = 60
    """How long too much must be imported before it goes off."""
    allowed_import_w: PositiveWatts = 0
    """The import with which it stays on."""
    allowed_hours: tuple[str, ...] = ()
    """When it may be on, in local time, such as 08:00-18:00; several are possible; none: always."""
    max_per_day_s: PositiveSeconds | None = None
    """The longest it may be on in one local day; empty: no limit."""
    min_on_s: Seconds = 0
    """How long it stays on at least, whatever is imported; the relay's own minimum is in relay-out."""
    min_off_s: Seconds = 0
    """How long it stays off at least."""
    guarantee: Guarantee | None = None
    """A run time that it gets each day, from the grid if need be; empty: none."""
    run_to_completion: Completion | None = None
    """For a load that must finish what it has begun, such as a softener; empty: it may stop at any time."""
    reserve: bool = False
    """Leave room for the loads above it in the list that are waiting."""

    @cached_property
    def hours(self) -> Hours:
        """The allowed hours."""
        return parse_hours(self.allowed_hours)

    def enough_w(self, margin_w: float) -> float:
        """The surplus above which it may go on [W], with which it does not import more than it is allowed."""
        if self.on_above_w is None:
            return self.power_w + margin_w
        return max(self.on_above_w, self.power_w - self.allowed_import_w)

    @model_validator(mode="after")
    def _can_work(self) -> Self:
        hours = self.hours
        most_s = self.max_per_day_s or DAY_S
        if self.on_above_w is not None and self.on_above_w < self.power_w - self.allowed_import_w:
            raise ValueError(
                f"'{self.name}' would go on above {self.on_above_w:g} W, draw {self.power_w:g} W and so import more "
                f"than the {self.allowed_import_w:g} W it is allowed: raise on_above_w or allowed_import_w"
            )
        if self.guarantee is not None:
            before = parse_time(self.guarantee.deadline)
            evening = [(begin, end if end > begin else 1440) for begin, end in hours or ((0, 1440),)]
            morning = [(0, end) for begin, end in hours if end < begin]
            room = sum(max(0, min(end, before) - begin) for begin, end in evening + morning)
            if self.guarantee.minutes > min(room, most_s / 60):
                raise ValueError(
                    f"'{self.name}' is guaranteed {self.guarantee.minutes:g} minutes by {self.guarantee.deadline}, for "
                    "which its allowed hours or max_per_day_s leave no room"
                )
            if self.run_to_completion is not None:
                raise ValueError(f"'{self.name}' has both guarantee and run_to_completion: choose one")
        if self.run_to_completion is not None:
            longest = max(((end - begin) % 1440 or 1440 for begin, end in hours), default=1440)
            if self.run_to_completion.duration_s > min(60.0 * longest, most_s):
                raise ValueError(f"a run of '{self.name}' fits neither its allowed hours nor max_per_day_s: shorten it")
        return self
