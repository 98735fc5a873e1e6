"""What the models of a scenario file share: times, names, and how an object's kind is told from its keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from solarflow.scenario.durations import Duration, PositiveDuration

MOST_TIMES = 1_000_000
"""A step that comes more often than this is a slip."""

_ID = r"[A-Za-z0-9_.-]{1,64}"
HomeId = Annotated[str, Field(pattern=f"^{_ID}$")]
"""A home, such as casa_A."""
RelayName = Annotated[str, Field(pattern=f"^{_ID}/{_ID}$")]
"""A relay of a home, such as casa_A/1."""
SeriesName = Annotated[str, Field(pattern=f"^{_ID}/{_ID}$")]
"""A series of a home, such as casa_A/production_w."""
NodeId = Annotated[str, Field(min_length=1)]
"""A node of the flow, by its id; in a subflow instance <instance>/<node>."""
Condition = Literal["well", "mute", "stuck", "dead"]
"""mute: switches and reports nothing; stuck: reports and does not switch; dead: without power, and so off."""


def _request(value: str) -> str:
    method, _, url = value.partition(" ")
    if not method.isupper() or not url.startswith("/"):
        raise ValueError(f'expected a method and a path such as "POST /api/produzione/", found {value!r:.60}')
    return value


Request = Annotated[str, AfterValidator(_request)]
"""An HTTP request: GET /api/dashboard/."""


class Part(BaseModel):
    """A part of a scenario: fixed once it is read, without keys that nobody knows."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, populate_by_name=True, allow_inf_nan=False
    )


class Kinded(Part):
    """A part whose kind is told by the one key that only this kind has."""

    kind: ClassVar[str]


class Timed(Kinded):
    """A part with a time, or with several."""

    at: Duration | None = None
    """When, from the start; not said: at the start."""
    from_: Annotated[Duration | None, Field(alias="from")] = None
    """With `until`: when it begins."""
    every: PositiveDuration | None = None
    """Again and again, with this distance."""
    until: Duration | None = None
    """When it ends; a time that is exactly then is the last one."""

    @property
    def begins_at(self) -> float:
        """The first time."""
        return self.at if self.at is not None else self.from_ or 0.0

    @property
    def last_at(self) -> float:
        """The last time that it names."""
        return self.begins_at if self.until is None else self.until

    @property
    def ends_at(self) -> float:
        """When all of it is over."""
        return self.last_at

    @property
    def moments(self) -> list[float]:
        """When it happens."""
        if self.every is None or self.until is None:
            return [self.begins_at]
        count = int((self.until - self.begins_at) / self.every + 1e-9) + 1
        return [self.begins_at + number * self.every for number in range(count)]


def check_repetition(part: Timed) -> None:
    """Raise ValueError where the keys for times do not go together."""
    if part.at is not None and (part.from_ is not None or part.until is not None or part.every is not None):
        raise ValueError('"at" is one time; for several say "from", "every" and "until" instead')
    if part.until is not None and part.until < part.begins_at:
        raise ValueError('"until" is before "from"')
    if part.every is not None and part.until is None:
        raise ValueError('"every" needs "until": the last time')
    if part.every is not None and part.until is not None and (part.until - part.begins_at) / part.every > MOST_TIMES:
        raise ValueError(f"it would come more than {MOST_TIMES} times")


def kind_of(kinds: Sequence[type[Kinded]]) -> Callable[[Any], str | None]:
    """A function that tells which of `kinds` an object is, by its keys; None: none of them."""
    names = [kind.kind for kind in kinds]

    def tell(value: Any) -> str | None:
        if isinstance(value, Kinded):
            return value.kind
        return next((name for name in names if name in value), None) if isinstance(value, dict) else None

    return tell
