"""Give a home's surplus to its loads, in the order of a list.

A load goes on when the surplus has covered it for its `hold_s`, the first of the list first; it goes off when more than
its allowed import has been drawn for its `release_s`, the last that went on first. Silence puts all off.

Inputs
    payload (number): the home's surplus at its meter in watts, with what is on included: positive while it exports,
    negative while it imports. Or an object with `surplus_w` and `import_w` (an import above 0 counts, else the
    surplus) and optionally `loads`: what is metered of them, such as {"boiler": 1480}.
    payload.stato: with `load` or `relay` beside the payload, a report of a relay (the second output of `relay-out`).
    Run times then count what really ran, and a load that is asked for and not yet on has its power kept for it.
    ts, arretrato (optional): when it was measured; what is too old is ignored, and the status counts it.
Outputs
    payload (boolean): whether a load is to be on; a message for each load, at each change and every `repeat_s`.
    load, relay, power_w: which load, by its name and relay number, and its power.
    reason (string): on: "surplus", "guarantee" or "completion"; off: "import", "hours", "max-per-day", "completed",
    "yields", "silent", "removed" or "waiting".
    home (string): whose it is.

Details
    Off is decided on the import alone: the drop in surplus that a load itself causes does not switch it off.

    One at a time: after each switch nothing more follows from the surplus until a reading has come that was measured
    `settle_s` later. What follows from the clock (hours, maxima, guarantees) does not wait.

    Guarantee: at the latest moment at which the minutes that are missing since midnight still fit before the deadline
    and into the allowed hours, the load goes on, from the grid if need be, and stays until they are done.

    Run to completion: begins like any load, but only where it fits into the allowed hours; then only silence ends it,
    and it goes on where it was when readings come again.

    Reserve: a load with it leaves room for those above it in the list that wait: it goes on only where the surplus
    covers these too, and gives way to one for which its own power would suffice, if that power is metered.

    Silence puts off everything, guaranteed loads too. A reading older than `max_age_s`, marked `arretrato`, older
    than the newest one, or from more than five minutes ahead is no reading for live control.

    Days, hours and deadlines are local time (the project's time zone); days of 23 and 25 hours are right. Holds go on
    over a restart, without the time in between; minimum times count it. Nothing is asked to be on after a restart
    before a reading has come.

    A home that is registered with loads has those of the list that it has by name, with its own power and relay; any
    other home has the whole list.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from solarflow.energy.load_settings import Load
from solarflow.energy.load_switching import HomeLoads, follow_surplus, keep_limits, next_event_s, pass_time
from solarflow.message import MISSING
from solarflow.node import Example, KeyedConfig, KeyedState, Message, Node, NodeError, PropertyPath, Setup, at
from solarflow.units import PositiveSeconds, PositiveWatts, Seconds

IMPORT, SURPLUS, EXPORT = (PropertyPath(f"payload.{name}") for name in ("import_w", "surplus_w", "export_w"))


@dataclass(slots=True)
class Live:
    """What is known of a home since this node began; nothing of it outlives a restart."""

    moved_at: float
    heard: bool = False
    net_w: float | None = None
    """Export less import; None until a reading shows what the last switch did."""
    metered_w: dict[str, float] = field(default_factory=dict)
    settles_at: float = -math.inf
    newest_ts: float = 0.0


class LoadPriority(Node):
    """Says which loads of a home may run on its surplus."""

    type = "load-priority"
    category = "energy"
    color = "#8fc9a0"
    icon = "sort"
    waits = True

    class Config(KeyedConfig):
        """The loads and what they share."""

        loads: Annotated[tuple[Load, ...], Field(min_length=1)]
        """The loads, the most important first."""
        margin_w: PositiveWatts = 100
        """Surplus beyond a load's power that must be there before it goes on."""
        settle_s: Seconds = 10
        """How long the meter needs to show what a switch did; not less than the interval over which it averages."""
        repeat_s: PositiveSeconds = 60
        """How often all requests are repeated; relay-out takes silence for a reason to switch off."""
        max_age_s: PositiveSeconds = 120
        """Without a reading for this long, all loads go off. Choose two to three times the interval of the readings."""

        @model_validator(mode="after")
        def _loads_differ(self) -> Self:
            for what in ("name", "relay"):
                values = [getattr(load, what) for load in self.loads]
                if twice := {value for value in values if values.count(value) > 1}:
                    raise ValueError(f"two loads have the {what} {min(twice)!r}; give each its own")
            return self

    @dataclass(slots=True)
    class State(HomeLoads):
        """What is kept for each home."""

        seen_at: float = 0.0
        ignored: int = 0

    config: Config
    state: KeyedState[State]

    EXAMPLE = Example(
        text="A boiler of 1500 W takes the surplus after five minutes.",
        config={"loads": [{"name": "boiler", "relay": 1, "power_w": 1500}], "repeat_s": 3600},
        given=[at(60 * n, home="casa_A", payload=1800) for n in range(6)],
        then=[
            at(0, home="casa_A", payload=False, load="boiler", relay=1, reason="waiting"),
            at(300, home="casa_A", payload=True, load="boiler", relay=1, reason="surplus", power_w=1500),
        ],
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._zone = ZoneInfo(str(self.services.settings.get("timezone") or "UTC"))
        self._live: dict[str, Live] = {}
        self._loads: dict[str, tuple[Any, Sequence[Load]]] = {}

    def on_start(self) -> None:
        """Count the time that the engine was down, drop loads that are gone, and let silence begin now."""
        now = self.clock.now()
        for home in self.state:
            state = self.state[home]
            self._live_of(home)
            for load in state.loads.values():
                load.standing_s += max(0.0, now - state.seen_at)
            state.seen_at = now
            self._drop_gone(home, state)
            for seconds, method in ((self.config.max_age_s, self.fall_silent), (self.config.repeat_s, self.repeat)):
                left = self.remaining(method, home)
                if left is None or left > seconds:
                    self.restart(seconds, method, home)
            self._act(home)

    def on_stop(self) -> None:
        """Count what has passed."""
        for home in self._live:
            if home in self.state:
                self._pass_time(home)

    def on_removed(self) -> None:
        """Nobody looks after the loads any more."""
        for home in self.state:
            if self.state[home].order:
                self._say(home, self.state[home].all_off("removed"))

    def on_input(self, msg: Message) -> None:
        """Take a reading, or a relay's report, and see what follows."""
        home, payload = self.key(msg), msg.get("payload")
        if payload.__class__ is dict and "stato" in payload:
            self._hear_relay(home, msg)
            return
        net_w, metered_w = self._net_w(msg), self._metered_w(msg)
        state, live, now = self.state[home], self._live_of(home), self.clock.now()
        # A newest time that is still ahead of the clock was a wrong clock's and holds nothing up.
        if not self.is_live(msg, self.config.max_age_s) or msg["ts"] < live.newest_ts <= now:
            state.ignored += 1
            self._show(home)
            return
        live.newest_ts = msg["ts"]
        self._pass_time(home)
        self.restart(self.config.max_age_s, self.fall_silent, home)
        if self.clock.monotonic() - max(0.0, now - msg["ts"]) >= live.settles_at:
            live.net_w, live.metered_w = net_w, metered_w
        is_first, live.heard = not live.heard, True
        if is_first:
            state.end_silence()
        self._act(home, tell_all=is_first)

    def _net_w(self, msg: Message) -> float:
        """Export less import, from a number or an object."""
        payload = msg.get("payload")
        if payload.__class__ is not dict:
            return self.number(msg)
        given = {path: self.number(msg, path) for path in (IMPORT, SURPLUS, EXPORT) if path.get(msg) is not MISSING}
        if not given:
            raise NodeError("the payload has neither 'surplus_w' nor 'import_w': send one of them, or a number")
        if given.get(IMPORT, 0.0) > 0 or (len(given) == 1 and IMPORT in given):
            return -given[IMPORT]
        return given[SURPLUS] if SURPLUS in given else given[EXPORT]

    def _metered_w(self, msg: Message) -> dict[str, float]:
        payload = msg.get("payload")
        metered = payload.get("loads", {}) if isinstance(payload, dict) else {}
        if not isinstance(metered, dict):
            raise NodeError(f"'payload.loads' is {metered!r}; expected names and watts, such as {{\"boiler\": 1480}}")
        return {name: self.number({"payload": power}) for name, power in metered.items()}

    def _hear_relay(self, home: str, msg: Message) -> None:
        if home not in self.state:
            return
        loads = self._loads_of(home)
        named = [load for load in loads if load.name == msg.get("load")]
        for load in named or [load for load in loads if str(load.relay) == str(msg.get("relay"))]:
            self._pass_time(home)
            said = msg["payload"]["stato"]
            # Power is not kept for a relay that does not answer.
            knows = said in ("ON", "OFF") and not msg["payload"].get("allarme")
            self.state[home].of(load).real = said == "ON" if knows else None
            self._act(home)

    def review(self, home: str) -> None:
        """Time has passed: a hold may be over, hours may have ended."""
        self._pass_time(home)
        self._act(home)

    def repeat(self, home: str) -> None:
        """Say all again, while readings come: where they do not, all is off and has been said to be."""
        if self._live_of(home).heard:
            self.after(self.config.repeat_s, self.repeat, home)
            self._say(home, [*self.state[home].loads])

    def fall_silent(self, home: str) -> None:
        """No reading for too long: all off."""
        self._pass_time(home)
        self._live[home] = Live(self.clock.monotonic())
        self._say(home, self.state[home].all_off("silent"))

    def _live_of(self, home: str) -> Live:
        found = self._live.get(home)
        if found is not None:
            return found
        if len(self._live) > self.max_keys:
            self._live = {kept: live for kept, live in self._live.items() if kept in self.state}
        live = self._live[home] = Live(self.clock.monotonic())
        return live

    def _loads_of(self, home: str) -> Sequence[Load]:
        """The loads of the list that the home has, with its own powers and relays."""
        registered = self.services.homes.get(home) if self.services.homes is not None else None
        known = self._loads.get(home)
        if known is None or known[0] is not registered:
            own = {load.name: load for load in registered.loads} if registered is not None else {}
            loads = [
                load.model_copy(update={"power_w": own[load.name].power_w, "relay": own[load.name].relay})
                for load in self.config.loads
                if load.name in own
            ]
            known = (registered, loads if own else self.config.loads)
            if len(self._loads) > self.max_keys:
                self._loads = {}
            self._loads[home] = known
        return known[1]

    def _drop_gone(self, home: str, state: State) -> None:
        """Put off and forget what the home no longer has."""
        there = {load.name for load in self._loads_of(home)}
        gone = [name for name in state.loads if name not in there]
        self._say(home, [state.switch(name, False, "removed") for name in gone if state.loads[name].on])
        for name in gone:
            del state.loads[name]

    def _pass_time(self, home: str) -> None:
        live, state = self._live_of(home), self.state[home]
        mono, state.seen_at = self.clock.monotonic(), self.clock.now()
        pass_time(state, mono - live.moved_at, state.seen_at, self._zone)
        live.moved_at = mono

    def _act(self, home: str, tell_all: bool = False) -> None:
        """See what is to be switched now, say so, and come back when time alone can change that."""
        live, state, loads, now = self._live_of(home), self.state[home], self._loads_of(home), self.clock.now()
        switched = keep_limits(state, loads, now, self._zone, may_start=live.heard)
        if len(state.loads) > len(loads):
            self._drop_gone(home, state)
        if not switched and live.net_w is not None:
            margin_w = self.config.margin_w
            switched = follow_surplus(state, loads, live.net_w, live.metered_w, margin_w, now, self._zone)
        if switched:
            live.net_w = None
            live.settles_at = self.clock.monotonic() + self.config.settle_s
        self.restart(next_event_s(state, loads, now, self._zone), self.review, home)
        self.after(self.config.repeat_s, self.repeat, home)
        if switched or tell_all:
            self._say(home, [*state.loads] if tell_all else switched)

    def _say(self, home: str, names: Sequence[str]) -> None:
        """Send the requests of some loads."""
        state = self.state[home]
        powers = {load.name: load.power_w for load in self._loads_of(home)}
        said: list[Message] = [
            {
                "home": home, "payload": load.on, "load": name, "relay": load.relay, "reason": load.reason,
                "power_w": powers.get(name, 0.0),
            }
            for name in names
            for load in (state.loads[name],)
        ]  # fmt: skip
        self._show(home)
        for msg in said:
            self.send(msg)

    def _show(self, home: str) -> None:
        state = self.state[home]
        silent = any(load.reason == "silent" for load in state.loads.values())
        text = "on: " + ", ".join(state.order) if state.order else "off (silent)" if silent else "off"
        if state.ignored:
            text += f"; {state.ignored} late readings ignored"
        self.status(text, "green" if state.order else "red" if silent else "grey", key=home)
