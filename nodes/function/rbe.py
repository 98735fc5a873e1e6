"""Let a message pass only where its value has changed, or has changed by enough.

Inputs
    payload: the value, or another property. The two "changed" modes take any value, the others numbers; of a text, the
        number it begins with.
    topic (optional): values are compared for each topic apart, or for each value of another property.
    reset (optional): forget the value of this message's topic; of all topics where it has none. If the message has
        a value too, that value is then a first one.
Outputs
    The same message, or nothing.
Details
    *changed* (`rbe`): the value differs from the one before; the first one passes. `rbei`: the same, but the first one
    of each topic does not pass.

    *deadband*: it differs from the one before by more than the gap (`deadbandEq`: by the gap or more). The first one
    passes.

    *narrowband*: it differs by no more than the gap (`narrowbandEq`: by less): for outliers of a faulty sensor. The
    first one is compared with the start value, or passes where there is none.

    "The one before" is the last that passed (`out`), or the last that came (`in`): then a slow drift passes no
    deadband. A gap such as "10%" is a share of the one before.
    What is remembered survives a restart. At most 10,000 topics are remembered; the one whose value has stayed the
    longest is forgotten first.
Source
    The behaviour follows Node-RED's filter node.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from solarflow.loose import is_json, leading_number, to_text
from solarflow.message import MISSING, Message
from solarflow.node import Example, KeyedState, Node, NodeError, NodeRedConfig, PropertyPath, Setup, at, resets_state
from solarflow.typed import check_typed

NO_TOPIC = "_no_topic"


class Filter(Node):
    """Reports by exception."""

    type = "rbe"
    category = "function"
    label = "filter"
    color = "#E2D96E"
    icon = "rbe"
    forwards = True

    class Config(NodeRedConfig):
        """The properties of Node-RED's filter node."""

        func: Annotated[
            Literal["rbe", "rbei", "deadband", "deadbandEq", "narrowband", "narrowbandEq"], resets_state()
        ] = "rbe"
        """What passes: rbe (changed), rbei (changed, not the first), deadband (by more than the gap), deadbandEq (by
        the gap or more), narrowband (by no more than the gap), narrowbandEq (by less than the gap)."""
        gap: str = Field(default="", coerce_numbers_to_str=True)
        """For the bands: by how much; "10%" is a share of the value before."""
        start: str = Field(default="", coerce_numbers_to_str=True)
        """For narrowband: what the first value is compared with; empty lets the first one pass."""
        inout: Literal["out", "in"] = "out"
        """Compare with the last value that passed (out) or that came (in)."""
        septopics: bool = True
        """Compare for each topic apart."""
        property: Annotated[str, resets_state()] = "payload"
        """The property that is looked at."""
        topi: Annotated[str, resets_state()] = "topic"
        """The property that tells the topics apart."""

        @field_validator("property", "topi", mode="before")
        @classmethod
        def _default(cls, value: Any, info: Any) -> Any:
            return value or ("payload" if info.field_name == "property" else "topic")

        @field_validator("property", "topi")
        @classmethod
        def _path(cls, value: str) -> str:
            check_typed(value, "msg")
            return value

        @field_validator("gap")
        @classmethod
        def _gap(cls, value: str) -> str:
            if not re.fullmatch(r"(\d+\.?\d*|\.\d+)?%?", value):
                raise ValueError(f"'{value[:40]}' is neither a number nor a share such as 10%")
            return value

        @field_validator("start")
        @classmethod
        def _start(cls, value: str) -> str:
            if value:
                check_typed(value, "num")
            return value

    @dataclass(slots=True)
    class State:
        """The value before of one topic."""

        value: Any = None

    config: Config
    state: KeyedState[State]

    EXAMPLES = (
        Example(
            text="Only changes pass, for each topic apart.",
            config={"func": "rbe"},
            given=[at(0, topic="a", payload="ON"), at(1, topic="a", payload="ON"), at(2, topic="b", payload="ON")],
            then=[at(0, topic="a", payload="ON"), at(2, topic="b", payload="ON")],
        ),
        Example(
            text="A meter is heard again when it has moved by more than 50 W.",
            config={"func": "deadband", "gap": "50"},
            given=[at(0, payload=1000), at(1, payload=1040), at(2, payload=1060), at(3, payload=1020)],
            then=[at(0, payload=1000), at(2, payload=1060)],
        ),
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        config = self.config
        self._value, self._topic = PropertyPath(config.property).get, PropertyPath(config.topi).get
        self._share = config.gap.endswith("%")
        self._gap = float(config.gap.rstrip("%") or 0)
        self._passes: Callable[[Any, str], bool]
        self._passes = self._changed if config.func in ("rbe", "rbei") else self._in_band

    def on_input(self, msg: Message) -> None:
        topic = self._topic(msg) if self.config.septopics else MISSING
        has_topic = topic is not MISSING and topic is not None and topic != ""
        key = to_text(topic) if has_topic else NO_TOPIC
        if "reset" in msg:
            if has_topic:
                self.state.pop(key)
            else:
                self.state.clear()
        value = self._value(msg)
        if value is not MISSING and self._passes(value, key):
            self.send(msg)

    def _changed(self, value: Any, key: str) -> bool:
        new = _comparable(value, self.config.property)
        before = self.state.peek(key)
        if before is None:
            self.state[key].value = new
            return self.config.func == "rbe"
        if before.value == new and isinstance(before.value, bool) == isinstance(new, bool):
            return False
        self.state[key].value = new
        return True

    def _in_band(self, value: Any, key: str) -> bool:
        config = self.config
        number = leading_number(value)
        if not math.isfinite(number):
            raise NodeError(f"'{config.property}' is '{to_text(value)[:60]}', where a number is needed")
        kept = self.state.peek(key)
        narrow = config.func.startswith("narrowband")
        if kept is not None:
            before = float(kept.value)
        elif narrow and config.start:
            before = float(config.start)
        else:
            self.state[key].value = number
            return True
        gap = abs(before * self._gap / 100) if self._share else self._gap
        difference = abs(number - before)
        if config.func.endswith("Eq"):
            passes = difference < gap if narrow else difference >= gap
        else:
            passes = difference <= gap if narrow else difference > gap
        if passes or config.inout == "in" or kept is None:
            self.state[key].value = number if passes or config.inout == "in" else before
        return passes


def _comparable(value: Any, name: str) -> Any:
    """A value as it is remembered: plain values themselves, others as a text that is equal where they are."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, (bytes, bytearray)):
        return ["bytes", bytes(value).hex()]
    if is_json(value):
        return ["json", json.dumps(_numbers_alike(value), sort_keys=True)]
    raise NodeError(f"'{name}' is a {type(value).__name__}, which cannot be compared with the one before")


def _numbers_alike(value: Any) -> Any:
    """1.0 and 1 are one number, and are to be written alike."""
    if isinstance(value, dict):
        return {key: _numbers_alike(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers_alike(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
