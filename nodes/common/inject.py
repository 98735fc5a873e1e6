"""Sends a message: at the press of a button, at intervals, at times of day, or once at the start.

Outputs
    A message with the properties listed, by default `payload` and `topic`.
Details
    Each property is a text, a number, true or false, JSON, bytes, the time, an environment variable, a flow or global
    value, or the result of an expression. They are set in order, so that an expression may use the ones before.
    With `repeat` it sends every so many seconds. With `crontab` it sends at the minutes that match, in the time zone
    of the project's settings: five fields (minute, hour, day of the month, month, day of the week), such as
    `*/5 8-18 * * 1-5` for every five minutes from 8:00 to 18:55, Monday to Friday. Where the clocks go forward, what
    would fall into the hour that is missing is sent when it is over; where they go back, a fixed time of day is sent
    once and intervals go on through both hours.
    With `once` it sends once, `onceDelay` seconds after the start or after it was deployed; an interval begins then.
    Times that passed while the engine was down are not made up for.
Source
    The behaviour follows Node-RED's inject node. Times of day: the crontab format of Debian's cron.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from solarflow.errors import PropertyPathError
from solarflow.message import MISSING, Message, PropertyPath, clone
from solarflow.node import Example, Node, NodeRedConfig, at
from solarflow.typed import check_typed, evaluator

MAX_INTERVAL_S = 2_147_483.0
"""Node-RED's longest interval: what a 32-bit number of milliseconds holds."""
KINDS = ("flow", "global", "str", "num", "bool", "json", "bin", "date", "env", "expression", "msg")


def _blank_is_none(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


class Property(BaseModel):
    """One property of the message."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    p: str
    """Where it goes: `payload`, `topic`, `payload.power_w`."""
    v: Any = None
    """Its value; for `payload` and `topic` the node's own ones where there is none here."""
    vt: str = ""
    """What the value means: str, num, bool, json, bin, date, env, flow, global or expression."""


class Inject(Node):
    """Sends messages by itself."""

    type = "inject"
    category = "common"
    color = "#a6bbcf"
    icon = "inject"
    inputs = 0

    class Config(NodeRedConfig):
        """The properties of Node-RED's inject node."""

        props: tuple[Property, ...] | None = None
        """The properties of the message: each with `p` (its name), `v` (the value) and `vt` (what the value means)."""
        repeat: Annotated[
            Annotated[float, Field(ge=0, le=MAX_INTERVAL_S, json_schema_extra={"unit": "s"})] | None,
            BeforeValidator(_blank_is_none),
        ] = None
        """Seconds between two messages; empty for none."""
        crontab: str = ""
        """Times of day, in five fields: minute, hour, day of the month, month, day of the week."""
        once: bool = False
        """Send once after the start."""
        once_delay: Annotated[
            Annotated[float, Field(ge=0, le=MAX_INTERVAL_S, json_schema_extra={"unit": "s"})] | None,
            BeforeValidator(_blank_is_none),
        ] = Field(default=0.1, alias="onceDelay")
        """Seconds after the start."""
        topic: str = ""
        """The topic, where the property has no value of its own."""
        payload: Any = ""
        """The payload, where the property has no value of its own."""
        payload_type: str = Field(default="date", alias="payloadType")
        """What the payload means."""

        @field_validator("crontab")
        @classmethod
        def _check_crontab(cls, text: str) -> str:
            if text.strip():
                next_moment(text, 0.0, ZoneInfo("UTC"))
            return text.strip()

        @model_validator(mode="after")
        def _check_values(self) -> Inject.Config:
            for path, value, kind in self.values():
                try:
                    PropertyPath(path)
                    check_typed(value, kind, KINDS)
                except (PropertyPathError, ValueError) as error:
                    raise ValueError(f"{path}: {error}") from None
            return self

        def values(self) -> list[tuple[str, Any, str]]:
            """(property, value, what it means) of all that the message gets."""
            kind = {"none": "str", "string": "str", "": "str"}.get(self.payload_type, self.payload_type)
            if self.props is None:  # an export from before there were `props`
                return [("payload", self.payload, kind), ("topic", self.topic, "str")]
            values: list[tuple[str, Any, str]] = []
            for one in self.props:
                if not one.p:
                    continue
                if one.p == "payload" and "v" not in one.model_fields_set:
                    values.append(("payload", self.payload, kind))
                elif one.p == "topic" and "v" not in one.model_fields_set and one.vt in ("", "str"):
                    values.append(("topic", self.topic, "str"))
                else:
                    values.append((one.p, "" if one.v is None else one.v, one.vt or "str"))
            return [(path, "0" if kind == "num" and value == "" else value, kind) for path, value, kind in values]

    config: Config

    EXAMPLES = (
        Example(
            text="Once at the start, then every minute.",
            config={
                "props": [{"p": "payload"}, {"p": "topic", "vt": "str"}],
                "payload": "5", "payloadType": "num", "topic": "period", "repeat": "60", "once": True,
            },
            given=[],
            then=[at(0.1, payload=5, topic="period"), at(60.1, payload=5, topic="period")],
            until=100,
        ),
        Example(
            text="Every half hour from eight to ten o'clock (the example begins at nine).",
            config={"props": [{"p": "payload", "v": "true", "vt": "bool"}], "crontab": "*/30 8-9 * * *"},
            given=[],
            then=[at(1800, payload=True)],
            until=7200,
        ),
    )  # fmt: skip

    def __init__(self, setup: Any) -> None:
        super().__init__(setup)
        self._values: list[tuple[PropertyPath, Callable[[Message], Any]]] = [
            (PropertyPath(path), evaluator(self, value, kind)) for path, value, kind in self.config.values()
        ]
        self._due = 0.0

    def on_start(self) -> None:
        """Begin to wait for the first time."""
        self._end_waiting()  # what an engine that was killed was waiting for
        if self.config.once:
            self.restart(self.config.once_delay or 0.0, self.begin)
        else:
            self._repeat()

    def on_stop(self) -> None:
        """Wait no longer."""
        self._end_waiting()

    def _end_waiting(self) -> None:
        for method in (self.begin, self.beat, self.strike):
            self.cancel(method)

    def on_trigger(self) -> None:
        """Send, because somebody pressed the button."""
        self._emit()

    def on_input(self, msg: Message) -> None:
        """Send a message that somebody gave, with this node's properties."""
        self.send(self._fill(msg))

    def begin(self, _key: str) -> None:
        """Send the first message; the interval begins now."""
        self._repeat()
        self._emit()

    def beat(self, _key: str) -> None:
        """Send, because the interval is over."""
        self._emit()

    def strike(self, _key: str) -> None:
        """Send, because it is the time of day; wait for the next."""
        self._wait_for_crontab()
        self._emit()

    def _repeat(self) -> None:
        if self.config.repeat:
            self.every(self.config.repeat, self.beat)
        elif self.config.crontab:
            self._wait_for_crontab()

    def _wait_for_crontab(self) -> None:
        # A timer may be a moment early, and the wall clock may have been set back: never the same minute twice in a
        # row, unless the clock was set back by more than an hour.
        now = self.clock.now()
        after = max(now, self._due) if self._due - now < 3600 else now
        zone = ZoneInfo(str(self.services.settings.get("timezone", "UTC")))
        self._due = next_moment(self.config.crontab, after, zone)
        self.at(self._due, self.strike)

    def _emit(self) -> None:
        msg = self._fill({})
        sent = clone(msg)
        self.send(msg)
        self.done(sent)

    def _fill(self, msg: Message) -> Message:
        for path, value in self._values:
            found = value(msg)
            if found is not MISSING:
                path.set(msg, found)
        return msg


def next_moment(crontab: str, after: float, zone: ZoneInfo) -> float:
    """The next time (UTC seconds) after `after` that a crontab of five fields names in a time zone.

    Raises ValueError where it is not such a crontab or names no time.
    """
    if len(crontab.split()) != 5:
        raise ValueError(
            f"'{crontab[:60]}' has not the five fields of a crontab: minute, hour, day of the month, month, day of the "
            "week, such as */5 8-18 * * 1-5"
        )
    try:
        return float(next(CronSim(crontab, datetime.fromtimestamp(after, UTC).astimezone(zone))).timestamp())
    except CronSimError as error:
        raise ValueError(f"'{crontab[:60]}' is not a crontab: {str(error)[:1].lower()}{str(error)[1:]}") from None
    except StopIteration:
        raise ValueError(f"'{crontab[:60]}' names no time within the next fifty years") from None
