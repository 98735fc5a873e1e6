"""Set, change, delete or move properties of a message, of the flow or of all flows.

The rules are applied in order, each to what the one before has left. Then the message goes on.

Inputs
    Any message.
Outputs
    The same message, changed.
Details
    *set* writes a value: a text, number, true or false, JSON, bytes, the time, an environment variable, another
    property of the message, a flow or global value, or the result of an expression. What stands on the way to a
    property (`payload.power.total`) is made. Where the other property does not exist, the property is removed.
    *change* searches and replaces. In a text every place where the searched text, number or regular expression stands
    is replaced; a text that is nothing but what is searched takes the new value with its type. A number or true and
    false is replaced only where it is equal as a whole. In what replaces, `$1` stands for a regular expression's first
    group. Regular expressions are JavaScript's; one that takes more than 50 ms of computing over a text is an error.
    *delete* removes a property, *move* gives it another name, also across message, flow and global.
    Without "deep copy", a property set to another property's object shares it: changing one changes both.
    Flow and global names may choose a store: `#:(durable)::count`. A path may take a name from the message:
    `limits[msg.home]`.
    A property that cannot be set, because what stands on the way to it is a text or a number, is left as it is and
    warned about; the message goes on.
Source
    The behaviour follows Node-RED's change node.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from solarflow.errors import NodeError, PropertyPathError
from solarflow.loose import to_number, to_text
from solarflow.message import MISSING, Message, PropertyPath, clone
from solarflow.node import Example, Node, NodeRedConfig, at
from solarflow.patterns import Pattern, expand, literal, pattern
from solarflow.typed import check_typed, constant_of, context_setter, evaluator

Apply = Callable[[Message], Any]
Get = Callable[[Message], Any]
Put = Callable[[Message, Any], None]
Searched = Pattern | re.Pattern[str] | None

_CONSTANTS = ("str", "num", "bool", "json", "bin")
_PLACES = ("msg", "flow", "global")
_SEARCHED = ("str", "num", "bool", "re", "msg", "flow", "global", "env")


class Rule(BaseModel):
    """One rule of a change node."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True, populate_by_name=True)

    t: Literal["set", "change", "delete", "move"]
    """What to do."""
    p: str
    """The property to set, change, delete or move."""
    pt: Literal["msg", "flow", "global"] = "msg"
    """Where that property is."""
    to: Any = ""
    """The value to set, what to replace by, or the new place of what is moved."""
    tot: str = "str"
    """What `to` means: str, num, bool, json, bin, date, env, msg, flow, global or expression."""
    from_: str = Field(default="", alias="from")
    """What to search."""
    fromt: str = "str"
    """What `from` means: str, num, bool, re (regular expression), msg, flow, global or env."""
    dc: bool = False
    """Set a copy of the object instead of the object itself."""

    @model_validator(mode="before")
    @classmethod
    def _lift(cls, rule: Any) -> Any:
        """Rules of older exports have no types."""
        if not isinstance(rule, dict):
            return rule
        rule = {key: value for key, value in rule.items() if value is not None}
        if rule.get("t") == "change" and rule.pop("re", False):
            rule["fromt"] = "re"
        to = rule.get("to")
        if rule.get("t") == "set" and not rule.get("tot") and isinstance(to, str) and to.startswith("msg."):
            rule.update(to=to.removeprefix("msg."), tot="msg")
        if rule.get("t") == "move" and not rule.get("tot"):
            rule["tot"] = "msg"
        for name, default in (("pt", "msg"), ("tot", "str"), ("fromt", "str")):
            rule[name] = rule.get(name) or default
        return rule

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_typed(self.p, self.pt)
        if self.t in ("set", "change"):
            check_typed(self.to, self.tot)
        if self.t == "move":
            check_typed(self.to, self.tot, _PLACES)
        if self.t == "change":
            if self.fromt == "re":
                _regular(self.from_)
            else:
                check_typed(self.from_, self.fromt, _SEARCHED)
        return self


def _regular(text: str) -> Pattern:
    try:
        return pattern(text)
    except NodeError as error:
        raise ValueError(str(error)) from None


class Change(Node):
    """Changes messages by rules."""

    type = "change"
    category = "function"
    color = "#E2D96E"
    icon = "swap"
    forwards = True

    class Config(NodeRedConfig):
        """The properties of Node-RED's change node."""

        rules: tuple[Rule, ...] = ()
        """What to do, in order. Each rule has `t` (set, change, delete, move), `p` and `pt` (the property), `to` and
        `tot` (the value), for change `from` and `fromt` (what is searched), for set `dc` (deep copy)."""
        action: str = ""
        """Of an export before rules: replace, change, delete or move. Not used where there are rules."""
        property: str = ""
        """Of an export before rules: the property."""
        from_: str = Field(default="", alias="from")
        """Of an export before rules: what is searched."""
        to: str = ""
        """Of an export before rules: the value."""
        reg: bool | None = False
        """Of an export before rules: whether what is searched is a regular expression."""

        @model_validator(mode="before")
        @classmethod
        def _lift(cls, config: Any) -> Any:
            if not isinstance(config, dict) or config.get("rules") or not config.get("action"):
                return config
            reg = config.get("reg", True)
            rule = {
                "t": "set" if config["action"] == "replace" else config["action"],
                "p": config.get("property", ""),
                "to": config.get("to", ""),
                "from": config.get("from", ""),
                "re": reg is None or reg,
            }
            return {**config, "rules": [rule]}

    config: Config

    EXAMPLES = (
        Example(
            text="Three rules, one after the other.",
            config={
                "rules": [
                    {"t": "move", "p": "payload", "pt": "msg", "to": "payload.power_w", "tot": "msg"},
                    {"t": "set", "p": "payload.state", "pt": "msg", "to": "ON", "tot": "str"},
                    {"t": "change", "p": "topic", "from": "produzione", "fromt": "str", "to": "stato", "tot": "str"},
                ]
            },
            given=[at(0, payload=1500, topic="comunita/casa_A/produzione")],
            then=[at(0, payload={"power_w": 1500, "state": "ON"}, topic="comunita/casa_A/stato")],
        ),
        Example(
            text="A regular expression with a group.",
            config={
                "rules": [{"t": "change", "p": "payload", "from": r"(\d+) W", "fromt": "re", "to": "$1", "tot": "str"}]
            },
            given=[at(0, payload="now 1500 W, before 900 W"), at(1, payload=1500)],
            then=[at(0, payload="now 1500, before 900"), at(1, payload=1500)],
        ),
    )

    def input_function(self, send: Callable[..., None]) -> Callable[[Message], None]:
        """A closure for these rules; the usual few shapes cost as little as they can."""
        rules = [self._compile(rule) for rule in self.config.rules]
        if len(rules) == 1:
            rule = self.config.rules[0]
            constant = self._scalar(rule)
            if constant is not MISSING:
                name = PropertyPath(rule.p).steps[0]

                def set_constant(msg: Message) -> None:
                    msg[name] = constant
                    send(msg)

                return set_constant
            (only,) = rules

            def apply_one(msg: Message) -> None:
                only(msg)
                send(msg)

            return apply_one

        def apply_all(msg: Message) -> None:
            for apply in rules:
                apply(msg)
            send(msg)

        return apply_all

    @staticmethod
    def _scalar(rule: Rule) -> Any:
        """The constant that a rule sets a property of the message itself to; MISSING where it does something else."""
        if rule.t != "set" or rule.pt != "msg" or rule.tot not in _CONSTANTS or len(PropertyPath(rule.p).steps) != 1:
            return MISSING
        value = constant_of(rule.to, rule.tot)
        return MISSING if isinstance(value, (dict, list)) else value

    def _compile(self, rule: Rule) -> Apply:
        if rule.t == "delete":
            put = self._putter(rule.p, rule.pt)
            return lambda msg: put(msg, MISSING)
        if rule.t == "move":
            return self._move(rule)
        if rule.t == "change":
            return self._change(rule)
        constant = self._scalar(rule)
        if constant is not MISSING:
            return _setter_of(str(PropertyPath(rule.p).steps[0]), constant)
        put, value = self._putter(rule.p, rule.pt), evaluator(self, rule.to, rule.tot)
        if rule.tot == "msg" and (rule.dc or _inside(rule)):
            return lambda msg: put(msg, clone(value(msg)))
        return lambda msg: put(msg, value(msg))

    def _move(self, rule: Rule) -> Apply:
        value = evaluator(self, rule.p, rule.pt)
        take, put = self._putter(rule.p, rule.pt), self._putter(rule.to, rule.tot)

        def move(msg: Message) -> None:
            moved = value(msg)
            take(msg, MISSING)
            put(msg, moved)

        return move

    def _change(self, rule: Rule) -> Apply:
        current, value = evaluator(self, rule.p, rule.pt), evaluator(self, rule.to, rule.tot)
        put, search = self._putter(rule.p, rule.pt), self._search(rule)

        def change(msg: Message) -> None:
            now = current(msg)
            if isinstance(now, (str, int, float)):
                changed = replaced(now, *search(msg), lambda: value(msg))
                if changed is not now:
                    put(msg, changed)

        return change

    def _search(self, rule: Rule) -> Callable[[Message], tuple[Any, Searched]]:
        """What gives, for a message, the value that is searched and its pattern in texts."""
        if rule.fromt == "re":
            regular = pattern(rule.from_)
            return lambda _msg: (MISSING, regular)
        if rule.fromt in ("str", "num", "bool"):
            constant = constant_of(rule.from_, rule.fromt)
            same = literal(rule.from_)
            return lambda _msg: (constant, same)
        value = evaluator(self, rule.from_, rule.fromt)

        def search(msg: Message) -> tuple[Any, Searched]:
            searched = value(msg)
            if isinstance(searched, str):
                return searched, literal(searched)
            if isinstance(searched, (int, float)):
                return searched, None
            raise NodeError(
                f"what is to be searched, {rule.fromt}.{rule.from_}, is {_kind(searched)}; "
                "a text, a number, true or false can be searched"
            )

        return search

    def _putter(self, name: str, place: str) -> Put:
        put = PropertyPath(name) if place == "msg" else context_setter(self, place, name)
        write: Put = _write(put) if isinstance(put, PropertyPath) else put

        def careful(msg: Message, value: Any) -> None:
            try:
                write(msg, value)
            except PropertyPathError as error:
                self.warn(str(error))

        if isinstance(put, PropertyPath) and len(put.steps) == 1:
            return write  # nothing stands on the way
        return careful


def _setter_of(name: str, constant: Any) -> Apply:
    def set_constant(msg: Message) -> None:
        msg[name] = constant

    return set_constant


def _write(path: PropertyPath) -> Put:
    def write(msg: Message, value: Any) -> None:
        if value is MISSING:
            path.delete(msg)
        else:
            path.set(msg, value)

    def write_top(msg: Message, value: Any) -> None:
        if value is MISSING:
            msg.pop(name, None)
        else:
            msg[name] = value

    name = str(path.steps[0])
    return write_top if len(path.steps) == 1 else write


def _inside(rule: Rule) -> bool:
    """Whether an object is to be set into itself: without a copy it would have no end."""
    if rule.pt != "msg":
        return False
    place, source = PropertyPath(rule.p).steps, PropertyPath(rule.to).steps
    return len(place) > len(source) and place[: len(source)] == source


def replaced(now: Any, searched: Any, found: Searched, value: Callable[[], Any]) -> Any:
    """`now` with what is searched replaced, or `now` itself where nothing is."""
    if isinstance(now, str):
        if searched is not MISSING and now == (searched if isinstance(searched, str) else to_text(searched)):
            return value()
        if found is None or not found.search(now):
            return now
        text = to_text(value())
        return found.sub(lambda match: expand(text, match), now)
    if isinstance(now, bool) or isinstance(searched, bool):
        equal = now is searched
    else:
        equal = isinstance(searched, (int, float)) and now == to_number(searched)
    return value() if equal else now


def _kind(value: Any) -> str:
    return "missing" if value is MISSING else f"a {type(value).__name__}" if value is not None else "null"
