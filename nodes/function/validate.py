"""Check a message against rules, and keep what breaks them out of the flow.

Inputs
    whatever the rules name.
Outputs
    the message: on the first output where every rule holds, unchanged.
    the message: on the second output where one does not, with `reasons` (list of texts: what was expected where, and
        what came) and `reason` (the first of them).
Details
    All rules are looked at, so that one answer tells everything. A property that is not required may be missing, and
    is checked where it is there. Numbers must be finite; text that looks like a number is not one; true and false are
    not numbers. A *home* must have been approved; where there is no list of homes, any id of a home will do.
    `called` is for whoever reads the reasons: of a property `for_s` that is called "per_s" they say "per_s is missing".
    Patterns are JavaScript's regular expressions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from solarflow.errors import NodeError
from solarflow.message import MISSING
from solarflow.node import Example, Message, MessageProperty, Node, NodeConfig, PropertyPath, Setup, at
from solarflow.patterns import Pattern, PatternTimeoutError, pattern
from solarflow.services import HomesService

MAX_TEXT = 10_000
"""Longer texts break every rule: a pattern is not run over them."""
HOME_ID = pattern("[A-Za-z0-9_.-]{1,64}")


class Rule(NodeConfig):
    """What one property must be."""

    property: MessageProperty
    """The message property, such as payload.potenza_w."""
    called: str = ""
    """What the reasons call it; empty: as `property` says."""
    kind: Literal["number", "text", "boolean", "object", "list", "home"] = "number"
    """What it must be; home: the id of a home that was approved."""
    required: bool = True
    """Whether it must be there."""
    minimum: float | None = None
    """For a number: the least that is allowed."""
    maximum: float | None = None
    """For a number: the most that is allowed."""
    pattern: str = ""
    """For a text: a regular expression that must match all of it."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.kind != "number" and (self.minimum is not None or self.maximum is not None):
            raise ValueError(f"a {self.kind} has no minimum or maximum")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"the minimum {self.minimum:g} is above the maximum {self.maximum:g}: nothing would pass")
        if self.pattern and self.kind != "text":
            raise ValueError(f"a {self.kind} has no pattern")
        try:
            pattern(self.pattern)
        except NodeError as error:
            raise ValueError(str(error)) from None
        return self


KINDS: dict[str, tuple[type, ...]] = {
    "number": (int, float),
    "text": (str,),
    "boolean": (bool,),
    "object": (dict,),
    "list": (list,),
    "home": (str,),
}


class Validate(Node):
    """Checks messages."""

    type = "validate"
    category = "function"
    color = "#e2d96e"
    icon = "switch"
    outputs = 2
    output_labels = ("holds", "does not")
    forwards = True

    class Config(NodeConfig):
        """The rules."""

        rules: Sequence[Rule] = Field(min_length=1)
        """Every one of them must hold."""

    config: Config

    EXAMPLE = Example(
        config={"rules": [{"property": "payload.potenza_w", "minimum": 0, "maximum": 100000}]},
        given=[at(0, payload={"potenza_w": 1500}), at(1, payload={"potenza_w": "much"})],
        then=[
            at(0, payload={"potenza_w": 1500}),
            at(1, port=1, reason="payload.potenza_w must be a number and is 'much'"),
        ],
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._rules = [
            (PropertyPath(rule.property), rule, pattern(rule.pattern) if rule.pattern else None)
            for rule in self.config.rules
        ]

    def on_input(self, msg: Message) -> None:
        homes = self.services.homes
        reasons = [reason for path, rule, form in self._rules if (reason := _broken(path.get(msg), rule, form, homes))]
        if reasons:
            msg["reasons"], msg["reason"] = reasons, reasons[0]
            self.send(msg, 1)
        else:
            self.send(msg, 0)


def _broken(value: Any, rule: Rule, form: Pattern | None, homes: HomesService | None) -> str:
    """Why a value breaks a rule, or "" where it does not."""
    called = rule.called or rule.property
    if value is MISSING or value is None:
        return f"{called} is missing" if rule.required else ""
    if not isinstance(value, KINDS[rule.kind]) or (isinstance(value, bool) and rule.kind != "boolean"):
        expected = {"object": "an object", "home": "the id of a home"}.get(rule.kind, f"a {rule.kind}")
        return f"{called} must be {expected} and is {_shown(value)}"
    if isinstance(value, (int, float)) and rule.kind == "number":
        if not -1.7e308 < value < 1.7e308:
            return f"{called} must be a finite number and is {_shown(value)}"
        if rule.minimum is not None and value < rule.minimum:
            return f"{called} must be at least {rule.minimum:g} and is {_shown(value)}"
        if rule.maximum is not None and value > rule.maximum:
            return f"{called} must be at most {rule.maximum:g} and is {_shown(value)}"
    if isinstance(value, str) and form is not None:
        try:
            looks_right = len(value) <= MAX_TEXT and form.fullmatch(value) is not None
        except PatternTimeoutError as error:
            return f"{called} is {_shown(value)}: {error}"
        return "" if looks_right else f"{called} must look like {rule.pattern} and is {_shown(value)}"
    if isinstance(value, str) and rule.kind == "home":
        return _unapproved(value, called, homes)
    return ""


def _unapproved(value: str, called: str, homes: HomesService | None) -> str:
    if len(value) > MAX_TEXT or not HOME_ID.fullmatch(value):
        return f"{called} must be the id of a home, 1 to 64 of A-Z a-z 0-9 _ . -, and is {_shown(value)}"
    known = homes.get(value) if homes is not None else None
    if homes is None or (known is not None and known.approved):
        return ""
    return f"the home {value} is not approved; `solarflow homes approve {value}`"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"
