"""What a scenario file holds, as models: the schema, and the first half of all that can be wrong with one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from solarflow.scenario.course import DayCourse
from solarflow.scenario.durations import Duration, Offset, format_duration
from solarflow.scenario.expectations import Answers, Expected, Forbidden, Relay
from solarflow.scenario.parts import Condition, Part, RelayName, SeriesName
from solarflow.scenario.steps import DeviceStep, HttpStep, Step
from solarflow.store.homes import Home


def _start(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError(f'expected a time such as "2026-06-21T11:00" or "2026-06-21T09:00Z", found {value!r:.40}')
    try:
        datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(
            f'expected a time such as "2026-06-21T11:00" (local) or "2026-06-21T09:00Z", found {value!r:.40}'
        ) from None
    return value


def _home(value: Any) -> Any:
    return {"id": value} if isinstance(value, str) else value


def _device(value: Any) -> Any:
    return {"relay": value} if isinstance(value, str) else value


class Device(Part):
    """A simulated relay at `comunita/<home>/rele/<n>`: obeys commands, falls off when their time runs out, reports."""

    relay: RelayName
    """Which one: casa_A/1."""
    condition: Condition = "well"
    """How it is at the start; the step `device` changes it."""
    load_w: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """What it switches draws so many watts, which the step `meter` adds to the home's consumption."""
    answers_after: Duration = 0.2
    """How long its report takes."""


class Recorded(Part):
    """A recorded series: what the store holds before the scenario begins."""

    series: SeriesName
    """Home and quantity: casa_A/production_w."""
    from_: Annotated[Offset, Field(alias="from")]
    """When it begins: -20d is twenty days before the start."""
    until: Offset = 0.0
    """Before when it ends."""
    every: Annotated[Offset, Field(ge=1)] = 3600.0
    """The distance of its samples."""
    value: float | None = None
    """The same value all the time; or:"""
    values: tuple[float, ...] | None = None
    """One after the other, from the first again after the last; or:"""
    day: DayCourse | None = None
    """A local day's course, straight between its points: {"06:00": 0, "13:00": 2400, "20:00": 0}."""

    @model_validator(mode="after")
    def _one_course(self) -> Self:
        if sum(course is not None for course in (self.value, self.values or None, self.day)) != 1:
            raise ValueError("say one of value, values and day")
        if self.until <= self.from_:
            raise ValueError(f"until ({format_duration(self.until)}) is not after from ({format_duration(self.from_)})")
        return self


Homes = tuple[Annotated[Home, BeforeValidator(_home)], ...]
Devices = tuple[Annotated[Device, BeforeValidator(_device)], ...]


class World(Part):
    """What a scenario finds. In the file itself it is for all of its scenarios; one may have its own instead."""

    start: Annotated[str, BeforeValidator(_start)] | None = None
    """When it begins: local time of the project, or with Z or an offset. Not said: 21 June 2026, 09:00 UTC."""
    homes: Homes = ()
    """The registered homes: an id, or an object as `solarflow homes export` writes it."""
    devices: Devices = ()
    """The simulated relays: a name such as casa_A/1, or an object."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of the project that are different here."""
    env: dict[str, str] = Field(default_factory=dict)
    """Environment variables for ${NAME} in the flows; those of the machine are not seen."""
    store: tuple[Recorded, ...] = ()
    """What was recorded before the start."""

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        for what, names in (("home", [h.id for h in self.homes]), ("device", [d.relay for d in self.devices])):
            if twice := [name for name, count in Counter(names).items() if count > 1]:
                raise ValueError(f"the {what} {twice[0]} stands here twice")
        return self


class Scenario(World):
    """One story: what is given, and what must, and must never, come of it."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    """What it shows, as a sentence."""
    description: str = ""
    """What a reader should know besides."""
    covers: tuple[str, ...] = ()
    """The sentences of the flows' descriptions that it shows to be true, word by word."""
    given: tuple[Step, ...] = ()
    """What happens."""
    then: tuple[Expected, ...] = ()
    """What must come of it. What is named here must come exactly so, no more and no less."""
    never: tuple[Forbidden, ...] = ()
    """What must not come."""
    strict: bool = False
    """Whether everything that comes must stand in `then`, also what is not named there."""
    lasts: Duration | None = None
    """When it ends; not said: with the last time that it names."""

    @property
    def ends_at(self) -> float:
        """When it ends, in seconds from its start."""
        if self.lasts is not None:
            return self.lasts
        return max([0.0, *(step.ends_at for step in self.given), *(one.ends_at for one in self.then)])

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.lasts is not None:
            for what, items in (("given", self.given), ("then", self.then)):
                late = [item for item in items if item.last_at > self.lasts]
                if late:
                    raise ValueError(
                        f"lasts {format_duration(self.lasts)}, and '{what}' names {format_duration(late[0].last_at)}"
                    )
        self._check_requests()
        return self

    def _check_requests(self) -> None:
        asked = {step.http for step in self.given if isinstance(step, HttpStep)}
        for one in self.then:
            if isinstance(one, Answers) and one.answers not in asked:
                raise ValueError(f"then answers '{one.answers}', which nobody asks for in given")


def _named_apart(scenarios: tuple[Scenario, ...]) -> tuple[Scenario, ...]:
    if not scenarios:
        raise ValueError("there is no scenario in it; write the first")
    twice = [name for name, count in Counter(scenario.name for scenario in scenarios).items() if count > 1]
    if twice:
        raise ValueError(f"two scenarios have the name '{twice[0]}'; give each its own")
    return scenarios


class ScenarioFile(World):
    """A scenario file."""

    schema_: Annotated[str, Field(alias="$schema")] = ""
    """For editors that check while one writes: where the JSON schema is."""
    flow: str | tuple[str, ...] = ()
    """The flow file under test, as flows.json names it, or several; not said: all of the project."""
    scenarios: Annotated[tuple[Scenario, ...], AfterValidator(_named_apart)]
    """The stories."""

    @property
    def flows(self) -> tuple[str, ...]:
        """The flow files; none: all."""
        return (self.flow,) if isinstance(self.flow, str) else self.flow

    def world_of(self, scenario: Scenario) -> World:
        """What a scenario finds: its own, and where it has none the file's."""
        own: Mapping[str, Any] = {
            name: getattr(scenario if name in scenario.model_fields_set else self, name) for name in World.model_fields
        }
        return World.model_construct(**own)

    @model_validator(mode="after")
    def _devices_are_there(self) -> Self:
        for scenario in self.scenarios:
            known = {device.relay for device in self.world_of(scenario).devices}
            named = [("given", step.device) for step in scenario.given if isinstance(step, DeviceStep)]
            named += [("then", one.relay) for one in scenario.then if isinstance(one, Relay)]
            named += [("never", one.relay) for one in scenario.never if isinstance(one, Relay)]
            for place, name in named:
                if name not in known:
                    raise ValueError(
                        f"'{scenario.name}' speaks in '{place}' of the relay {name}, which is none of the devices; "
                        'add it to "devices"'
                    )
        return self
