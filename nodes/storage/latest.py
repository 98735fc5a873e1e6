"""Remember the last message of each home and item, and give it to whoever asks.

A message is remembered under its home (`key`) and an item within it (`item`), such as the number of a relay. A message
that carries the property `ask`, as a request from `http in` does, is answered with what is remembered instead.

Inputs
    payload: what is remembered.
    home (text): whose; another property where `key` says so.
    req: a request (another property where `ask` says so). With a `home` it asks for that one, without for all.
Outputs
    payload (object): for a request: item by item what was remembered last; for all homes, home by home.
Details
    What is older than `max_age_s` is forgotten. Where `ttl` names a property with a number of seconds, that is how
    long this message is valid, and what is left of it is what a request gets: a command that has run out is gone.
Example
    Commands for devices that only pull: `mqtt in` on `comunita/{home}/rele/{relay}/set` and an `http in` both lead
    here, with `item` "relay" and `ttl` "ttl_s".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from solarflow.message import MISSING, clone
from solarflow.node import (
    Example,
    KeyedConfig,
    KeyedState,
    Message,
    Node,
    NodeError,
    OptionalMessageProperty,
    PropertyPath,
    Setup,
    at,
)
from solarflow.units import PositiveSeconds

MAX_ITEMS = 100
"""Items remembered for one home."""


class Latest(Node):
    """Remembers and answers."""

    type = "latest"
    category = "storage"
    color = "#8fc9a0"
    icon = "db"

    class Config(KeyedConfig):
        """What is remembered, and for how long."""

        item: OptionalMessageProperty = ""
        """The message property that tells items of one home apart; empty where each home has one."""
        ask: str = "req"
        """A message with this property asks; all others are remembered."""
        max_age_s: PositiveSeconds = 86_400
        """After this it is forgotten."""
        ttl: str = ""
        """The property of the payload that says for how many seconds it is valid; empty where nothing runs out."""

    @dataclass(slots=True)
    class State:
        """By item: (payload, when it came, until when it is valid), times in UTC seconds."""

        items: dict[str, tuple[Any, float, float]] = field(default_factory=dict)

    config: Config
    state: KeyedState[State]

    EXAMPLE = Example(
        config={"item": "relay", "ttl": "ttl_s"},
        given=[
            at(0, home="casa_A", relay="1", payload={"stato": "ON", "ttl_s": 300}),
            at(100, home="casa_A", req={}),
            at(400, home="casa_A", req={}),
        ],
        then=[
            at(100, home="casa_A", payload={"1": {"stato": "ON", "ttl_s": 200}}),
            at(400, home="casa_A", payload={}),
        ],
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._item = PropertyPath(self.config.item) if self.config.item else None

    def on_input(self, msg: Message) -> None:
        if self.config.ask in msg:
            self._answer(msg)
            return
        now = self.clock.now()
        payload = clone(msg.get("payload"))
        until = now + self.config.max_age_s
        if self.config.ttl:
            ttl = payload.get(self.config.ttl, MISSING) if isinstance(payload, dict) else MISSING
            if ttl is not MISSING:
                if isinstance(ttl, bool) or not isinstance(ttl, (int, float)):
                    raise NodeError(f"'payload.{self.config.ttl}' is {ttl!r}, where a number of seconds is needed")
                until = min(until, now + ttl)
        item = "" if self._item is None else self._item.get(msg)
        if item is MISSING:
            raise NodeError(f"the message has no '{self.config.item}', which tells the items of a home apart")
        items = self.state[self.key(msg)].items
        items.pop(str(item), None)  # the newest stands last
        items[str(item)] = (payload, now, until)
        while len(items) > MAX_ITEMS:
            del items[next(iter(items))]

    def _answer(self, msg: Message) -> None:
        key = self._key_path.get(msg)
        if key is MISSING or key is None or key == "":
            msg["payload"] = {
                home: shown for home, _ in self.state.items() if (shown := self._valid(home)) not in ({}, None)
            }
        else:
            msg["payload"] = self._valid(str(key))
        self.send(msg)

    def _valid(self, home: str) -> Any:
        kept = self.state.peek(home)
        now = self.clock.now()
        shown = {}
        for item, (payload, came, until) in (kept.items if kept is not None else {}).items():
            if until <= now or came > now:
                continue
            value = clone(payload)
            if self.config.ttl and isinstance(value, dict) and self.config.ttl in value:
                value[self.config.ttl] = round(until - now, 3)
            shown[item] = value
        if self._item is None:
            return shown.get("")
        return dict(sorted(shown.items()))
