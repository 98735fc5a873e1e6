"""What a scenario can expect or forbid: each kind is told by the key that only it has."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from solarflow.mqtt.topics import matches
from solarflow.scenario.durations import Duration, Offset
from solarflow.scenario.events import KEYS, TOLERANCE_S, Event, difference
from solarflow.scenario.parts import (
    HomeId,
    Kinded,
    NodeId,
    RelayName,
    Request,
    SeriesName,
    Timed,
    check_repetition,
    kind_of,
)


class Expectation(Timed):
    """Something that is to come, or never to come."""

    within: Duration = 0.0
    """How long after its time it may come."""
    times: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """How often it is to come between `from` and `until`, whenever that is; without it and `every`: at least once."""
    texts: ClassVar[tuple[str, ...]] = ()
    """The texts of which only a part need be named."""

    @property
    def ends_at(self) -> float:
        """The last time at which it may come."""
        return super().ends_at + self.within

    @property
    def subject(self) -> tuple[str, ...]:
        """Whom it concerns: everything of whom is named must be expected. An empty text: anyone."""
        return tuple(getattr(self, name) or "" for name in KEYS[self.kind])

    @property
    def detail(self) -> dict[str, Any]:
        """What is to be so, by the keys of the file; what is not said may be anything."""
        fields = type(self).model_fields
        own = [name for name in fields if name not in Expectation.model_fields and name not in KEYS[self.kind]]
        return {fields[name].alias or name: getattr(self, name) for name in own if name in self.model_fields_set}

    @property
    def any_number(self) -> bool:
        """Whether it may come as often as it likes between `from` and `until`, once at least."""
        return self.until is not None and self.every is None and self.times is None

    @property
    def windows(self) -> list[tuple[float, float]]:
        """For each that is expected from when to when it may come."""
        if self.times is not None or self.any_number:
            return [(self.begins_at, self.ends_at)] * (self.times or 1)
        return [(moment, moment + self.within) for moment in self.moments]

    def concerns(self, event: Event) -> bool:
        """Whether an event is of this kind and of whom is named."""
        return self.kind == event.kind and all(
            own in ("", its) for own, its in zip(self.subject, event.subject, strict=True)
        )

    def unlike(self, event: Event) -> tuple[str, Any, Any] | None:
        """The first difference in what came: (path, expected, got); None where it is as expected."""
        expected, got = self.detail, dict(event.detail)
        for name in self.texts:
            if name in expected and str(expected[name]) in str(got.get(name, "")):
                got[name] = expected[name]
        return difference(expected, got)

    def forbids(self, event: Event) -> bool:
        """Whether this, in `never`, is about the event."""
        begin, end = self.from_ or 0.0, float("inf") if self.until is None else self.until
        in_time = begin - TOLERANCE_S <= event.t <= end + TOLERANCE_S
        return in_time and self.concerns(event) and self.unlike(event) is None


class Publishes(Expectation):
    """A flow publishes over MQTT."""

    kind: ClassVar = "publishes"
    publishes: Annotated[str, Field(min_length=1)]
    """The topic; in `never` wildcards may stand in it."""
    payload: Any = None
    """What; of an object the keys that matter."""
    retain: bool | None = None
    """Whether the broker is to keep it."""

    def concerns(self, event: Event) -> bool:
        """Topics may be filters."""
        return event.kind == "publishes" and matches(self.publishes, event.subject[0])


class Relay(Expectation):
    """A simulated relay switches: told so, or because its time ran out."""

    kind: ClassVar = "relay"
    relay: RelayName
    """Which one."""
    goes: Literal["ON", "OFF"] | None = None
    """How."""


class OpensAlert(Expectation):
    """An alert is opened."""

    kind: ClassVar = "opens_alert"
    opens_alert: Annotated[str, Field(min_length=1)]
    """Its code."""
    home: HomeId | None = None
    """Whose."""
    with_: Annotated[dict[str, Any] | None, Field(alias="with")] = None
    """What it says; the keys that matter."""


class ClosesAlert(Expectation):
    """An alert is closed."""

    kind: ClassVar = "closes_alert"
    closes_alert: Annotated[str, Field(min_length=1)]
    """Its code."""
    home: HomeId | None = None
    """Whose."""
    with_: Annotated[dict[str, Any] | None, Field(alias="with")] = None
    """What is said at the end; the keys that matter."""


class Answers(Expectation):
    """A request gets its answer."""

    kind: ClassVar = "answers"
    answers: Request
    """The request, as it was asked."""
    status: int | None = None
    """The status; 404: no flow answers there; 504: none did within 30 s; 0: nobody was there."""
    body: Any = None
    """What it says; of an object the keys that matter."""


class Records(Expectation):
    """A sample is written to the store."""

    kind: ClassVar = "records"
    records: SeriesName
    """Its series: casa_A/production_w."""
    value: float | None = None
    """Its value."""
    measured: Offset | None = None
    """When it was measured, from the start."""


class Shows(Expectation):
    """A node's status has a text, looked at after everything else of that moment."""

    kind: ClassVar = "shows"
    shows: NodeId
    """The node."""
    home: str | None = None
    """For which home."""
    status: str = ""
    """The text, or a part of it."""
    texts: ClassVar = ("status",)


class Fails(Expectation):
    """A node cannot do its work; where none is expected to, each that does is a failure."""

    kind: ClassVar = "fails"
    fails: NodeId
    """The node."""
    error: str = ""
    """What it says, or a part of it."""
    texts: ClassVar = ("error",)


class AwaitsApproval(Expectation):
    """A home that nobody knows is put on the list of those that wait for approval."""

    kind: ClassVar = "awaits_approval"
    awaits_approval: HomeId
    """The home."""


KINDS: tuple[type[Kinded], ...] = (
    Publishes, Relay, OpensAlert, ClosesAlert, Answers, Records, Shows, Fails, AwaitsApproval,
)  # fmt: skip

_Any = (
    Annotated[Publishes, Tag("publishes")]
    | Annotated[Relay, Tag("relay")]
    | Annotated[OpensAlert, Tag("opens_alert")]
    | Annotated[ClosesAlert, Tag("closes_alert")]
    | Annotated[Answers, Tag("answers")]
    | Annotated[Records, Tag("records")]
    | Annotated[Shows, Tag("shows")]
    | Annotated[Fails, Tag("fails")]
    | Annotated[AwaitsApproval, Tag("awaits_approval")]
)


def _in_then(one: Expectation) -> Expectation:
    check_repetition(one)
    if one.times is not None and (one.until is None or one.every is not None):
        raise ValueError('"times" needs "until", and no "every": how often between "from" and "until"')
    if one.from_ is not None and one.until is None:
        raise ValueError('"from" needs "until"; for one time say "at" and "within"')
    if one.kind in ("opens_alert", "closes_alert") and not one.subject[1]:
        raise ValueError('an alert needs "home": whose it is')
    if one.kind == "publishes" and any(mark in one.subject[0] for mark in "+#"):
        raise ValueError('a topic with wildcards can only be forbidden, in "never"')
    return one


def _in_never(one: Expectation) -> Expectation:
    if any(value is not None for value in (one.at, one.every, one.times)) or one.within:
        raise ValueError('"never" takes "from" and "until", or no time at all')
    if one.kind == "shows":
        raise ValueError('a status is only looked at in "then"')
    return one


Expected = Annotated[_Any, Discriminator(kind_of(KINDS)), AfterValidator(_in_then)]
Forbidden = Annotated[_Any, Discriminator(kind_of(KINDS)), AfterValidator(_in_never)]
