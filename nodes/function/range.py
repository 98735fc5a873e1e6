"""Map a number from one range to another.

Inputs
    payload (number): the value, or another property; a text that is a number counts as one.
Outputs
    The same message, with the property mapped. A message without the property goes on as it is.
Details
    result = (value - input from) / (input to - input from) * (output to - output from) + output from

    What lies outside the input range is mapped in proportion (*scale*), first limited to the range (*clamp*), wrapped
    round into it (*roll*), or the message is dropped (*drop*).
Source
    The behaviour follows Node-RED's range node.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, field_validator, model_validator

from solarflow.loose import to_number, to_text
from solarflow.message import MISSING, Message
from solarflow.node import Example, Node, NodeError, NodeRedConfig, PropertyPath, Send, Setup, at
from solarflow.typed import check_typed

Bound = Annotated[float, BeforeValidator(lambda value: 0 if value == "" else value)]


MOST = sys.float_info.max
"""Beyond this a number is infinite."""


class Range(Node):
    """Maps numbers."""

    type = "range"
    category = "function"
    color = "#E2D96E"
    icon = "range"
    forwards = True

    class Config(NodeRedConfig):
        """The properties of Node-RED's range node."""

        minin: Bound
        """Where the input range begins."""
        maxin: Bound
        """Where the input range ends."""
        minout: Bound
        """What the beginning of the input range becomes."""
        maxout: Bound
        """What the end of the input range becomes."""
        action: Literal["scale", "clamp", "roll", "drop"] = "scale"
        """What becomes of a value outside the input range: scale, clamp (limited), roll (wrapped), drop (not sent)."""
        round: bool = False
        """Round the result to a whole number, halves up."""
        property: str = "payload"
        """The property of the message."""

        @field_validator("round", mode="before")
        @classmethod
        def _empty(cls, value: object) -> object:
            return value or False

        @model_validator(mode="after")
        def _check(self) -> Self:
            if self.minin == self.maxin:
                raise ValueError(f"the input range from {self.minin:g} to {self.maxin:g} is empty")
            check_typed(self.property, "msg")
            return self

    config: Config

    EXAMPLE = Example(
        text="A sensor's 4 to 20 mA to 0 to 100 %.",
        config={"minin": 4, "maxin": 20, "minout": 0, "maxout": 100, "action": "clamp", "round": True},
        given=[at(0, payload=12), at(1, payload=3.8), at(2, payload="20")],
        then=[at(0, payload=50), at(1, payload=0), at(2, payload=100)],
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._path = PropertyPath(self.config.property)

    def input_function(self, send: Send) -> Callable[[Message], None]:
        """Made for its configuration: the usual case is a plain number in a property of the message itself."""
        path, mapped, drop = self._path, self._mapping(), self.config.action == "drop"
        low, high = sorted((self.config.minin, self.config.maxin))
        name = path.steps[0] if len(path.steps) == 1 and isinstance(path.steps[0], str) else None

        def on_any(msg: Message) -> None:
            value = path.get(msg)
            if value is not MISSING:
                number = to_number(value)
                if math.isnan(number) or math.isinf(number):
                    raise NodeError(f"'{path.text}' is '{to_text(value)[:60]}', where a number is needed")
                if drop and not low <= number <= high:
                    return
                path.set(msg, mapped(number))
            send(msg)

        if name is None or drop:
            return on_any

        def on_number(msg: Message) -> None:
            value = msg.get(name)
            kind = value.__class__
            if (kind is int or kind is float) and -MOST < value < MOST:  # type: ignore[operator]  # a number by its class
                msg[name] = mapped(value)  # type: ignore[arg-type]  # the same
                send(msg)
            else:
                on_any(msg)

        return on_number

    def _mapping(self) -> Callable[[float], float | int]:
        config = self.config
        minin, minout, whole = config.minin, config.minout, config.round
        span, width = config.maxin - minin, config.maxout - minout
        low, high = sorted((minin, config.maxin))

        def scale(number: float) -> float:
            return (number - minin) / span * width + minout

        def clamp(number: float) -> float:
            return scale(min(max(number, low), high))

        def roll(number: float) -> float:
            return scale((number - minin) % span + minin)

        exact = {"clamp": clamp, "roll": roll}.get(config.action, scale)
        return (lambda number: math.floor(exact(number) + 0.5)) if whole else exact
