"""What can be given in a scenario: each kind of step is told by the key that only it has."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from solarflow.scenario.course import DayCourse
from solarflow.scenario.durations import Duration, Offset
from solarflow.scenario.parts import (
    Condition,
    HomeId,
    Kinded,
    NodeId,
    RelayName,
    Request,
    Timed,
    check_repetition,
    kind_of,
)
from solarflow.store.homes import Home


class TimedStep(Timed):
    """A step, at a time or repeatedly."""

    @model_validator(mode="after")
    def _times(self) -> Self:
        check_repetition(self)
        if self.every is None and (self.from_ is not None or self.until is not None):
            raise ValueError('"from" and "until" need "every"; for one time say "at"')
        return self


class _Content(TimedStep):
    """A step that carries something."""

    text: str | None = None
    """What comes, word by word, where it is not JSON."""
    age: Offset | None = None
    """How long ago it was measured: puts `ts` into it; negative: by a clock that is ahead."""

    def check_content(self, what: str) -> None:
        """Raise ValueError where there are two contents."""
        if self.text is not None and what in self.model_fields_set:
            raise ValueError(f'say "{what}" or "text", not both')
        if self.age is not None and not isinstance(getattr(self, what), dict) and getattr(self, "day", None) is None:
            raise ValueError(f'"age" puts ts into an object: it needs a "{what}" that is one')


class MqttStep(_Content):
    """A message comes in over MQTT."""

    kind: ClassVar = "mqtt"
    mqtt: Annotated[str, Field(min_length=1, pattern=r"^[^+#]+$")]
    """Its topic."""
    payload: Any = None
    """What was published, as JSON."""
    day: dict[str, DayCourse] | None = None
    """Keys of the payload whose value follows the local day: {"potenza_w": {"06:00": 0, "13:00": 2400, "20:00": 0}}."""
    retain: bool = False
    """Whether the broker had kept it."""

    @model_validator(mode="after")
    def _content(self) -> Self:
        self.check_content("payload")
        if self.text is None and self.day is None and "payload" not in self.model_fields_set:
            raise ValueError('say what comes: "payload" for JSON, "day" for what follows the day, or "text"')
        if self.day is not None and (self.text is not None or not isinstance(self.payload or {}, dict)):
            raise ValueError('"day" puts keys into an object: it needs a "payload" that is one, or none')
        return self


class HttpStep(_Content):
    """Somebody asks over HTTP."""

    kind: ClassVar = "http"
    http: Request
    """Method and path: POST /api/produzione/."""
    body: Any = None
    """What is sent, as JSON."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Headers besides the content type."""

    @model_validator(mode="after")
    def _content(self) -> Self:
        self.check_content("body")
        return self


class MeterStep(TimedStep):
    """A home's meter reports its balance; what its simulated relays have switched on is added to the consumption."""

    kind: ClassVar = "meter"
    meter: HomeId
    """The home."""
    production_w: float
    """What its panels give."""
    consumption_w: float
    """What it draws besides the loads behind the relays."""


class InjectStep(TimedStep):
    """A node is given a message, as if another had sent it."""

    kind: ClassVar = "inject"
    inject: NodeId
    """The node."""
    message: dict[str, Any] = Field(default_factory=dict)
    """The message."""


class PressStep(TimedStep):
    """Somebody presses a node's button."""

    kind: ClassVar = "press"
    press: NodeId
    """The node."""


class RestartStep(TimedStep):
    """The engine ends and begins again with what it saved."""

    kind: ClassVar = "restart"
    restart: Literal["stopped", "killed"]
    """stopped: it puts everything off first. killed: it can do nothing, and its last second is lost."""
    down: Duration = 0.0
    """How long it is not there."""

    @property
    def ends_at(self) -> float:
        """When the engine is there again."""
        return super().ends_at + self.down


class BrokerStep(TimedStep):
    """The broker goes, or comes back."""

    kind: ClassVar = "broker"
    broker: Literal["down", "up"]
    """Which of the two."""


class SetStep(TimedStep):
    """A deploy with other properties."""

    kind: ClassVar = "set"
    set: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
    """By node: property and value; a property inside others is written loads.0.on_above_w."""


class DeviceStep(TimedStep):
    """A simulated relay breaks, or is well again."""

    kind: ClassVar = "device"
    device: RelayName
    """Which one."""
    becomes: Condition
    """What becomes of it."""


class ApproveStep(TimedStep):
    """A home is registered, or changed in the register."""

    kind: ClassVar = "approve"
    approve: Annotated[Home, BeforeValidator(lambda value: {"id": value} if isinstance(value, str) else value)]
    """The home: an id, or an object as `solarflow homes export` writes it."""


STEPS: tuple[type[Kinded], ...] = (
    MqttStep, HttpStep, MeterStep, InjectStep, PressStep, RestartStep, BrokerStep, SetStep, DeviceStep, ApproveStep,
)  # fmt: skip

Step = Annotated[
    Annotated[MqttStep, Tag("mqtt")]
    | Annotated[HttpStep, Tag("http")]
    | Annotated[MeterStep, Tag("meter")]
    | Annotated[InjectStep, Tag("inject")]
    | Annotated[PressStep, Tag("press")]
    | Annotated[RestartStep, Tag("restart")]
    | Annotated[BrokerStep, Tag("broker")]
    | Annotated[SetStep, Tag("set")]
    | Annotated[DeviceStep, Tag("device")]
    | Annotated[ApproveStep, Tag("approve")],
    Discriminator(kind_of(STEPS)),
]
