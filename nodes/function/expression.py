"""Compute a value with an expression, or let a message pass only where an expression is true.

Inputs
    Any message; the expression reads its properties.
Outputs
    The same message, with the property set to the result; as a filter, the message as it is, or nothing.
Details
    Expressions are written as in Python: `payload.produzione_w - payload.consumo_w`, `round(payload / 1000, 2)`,
    `"high" if payload > limits.high else "low"`, `get(payload.retries, 0) < 3`. `flow.x` and `global_.x` read flow and
    global values. There are numbers, texts, lists, comparisons, and, or, not, + - * / // %
    and a fixed list of functions; nothing else can be called or reached. What is missing in the message is an error
    that says so, and the message does not go on.
Source
    docs: expressions.
"""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from solarflow.message import Message, PropertyPath
from solarflow.node import Example, Node, NodeConfig, Setup, at
from solarflow.typed import check_typed, expression_evaluator


class Expression(Node):
    """Computes."""

    type = "expression"
    category = "function"
    color = "#E2D96E"
    icon = "function"
    forwards = True

    class Config(NodeConfig):
        """What is computed, and what becomes of it."""

        expression: str
        """The expression, such as `payload.produzione_w - payload.consumo_w`."""
        mode: Literal["set", "filter"] = "set"
        """set: put the result into the property; filter: let the message pass where the result is true."""
        property: str = "payload"
        """For set: the property of the message that takes the result."""

        @field_validator("expression")
        @classmethod
        def _expression(cls, value: str) -> str:
            check_typed(value, "expression")
            return value

        @field_validator("property")
        @classmethod
        def _property(cls, value: str) -> str:
            check_typed(value, "msg")
            return value

    config: Config

    EXAMPLES = (
        Example(
            text="A home's surplus.",
            config={"expression": "payload.produzione_w - payload.consumo_w", "property": "payload.surplus_w"},
            given=[at(0, payload={"produzione_w": 1500, "consumo_w": 400})],
            then=[at(0, payload={"produzione_w": 1500, "consumo_w": 400, "surplus_w": 1100})],
        ),
        Example(
            text="A filter.",
            config={"expression": "payload > 1000 and not exists(arretrato)", "mode": "filter"},
            given=[at(0, payload=1500), at(1, payload=900), at(2, payload=1500, arretrato=True)],
            then=[at(0, payload=1500)],
        ),
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._compute = expression_evaluator(self, self.config.expression)
        self._put = PropertyPath(self.config.property).set
        self._filters = self.config.mode == "filter"

    def on_input(self, msg: Message) -> None:
        result = self._compute(msg)
        if not self._filters:
            self._put(msg, result)
        elif not result:
            return
        self.send(msg)
