"""Hold a condition before acting on it.

True once a value has stayed above `on_above` for `hold_s`; false once it has stayed below `off_below` for
`release_s`. Between the two it keeps its mind. Silence makes it false: it never stays true because data stopped.

Inputs
    payload (number): the value, for each home; watts unless your flow says otherwise. Another `property` may be named.
    ts (number, optional): when it was measured, in seconds since 1970 (UTC).
    arretrato (boolean, optional): true where a device sends what it could not send before.
Outputs
    payload (boolean): sent at each change, and every `repeat_s` where that is set.
    reason (string): why: "held", "released", "silent", or "removed" where the node is deleted while true; a repeated
    false says "waiting" where nothing has turned it yet.
    home (string): whose it is (the property named by `key`).

Details
    A value exactly at `on_above` or `off_below` is in the band between: it turns nothing, and ends a hold.

    A dip: while the hold runs, the value may fall to `on_above` or below for less than `dip_s` seconds without ending
    the hold; that time counts. Nothing turns true during a dip: where the hold ends in one, it turns true when the
    value is back.

    Silence: without a reading for `max_age_s` it is false, and the hold begins anew afterwards. A reading older than
    that, marked `arretrato`, older than the newest one, or from more than five minutes ahead is no reading for live
    control: it is ignored, and the status counts it.

    Over a restart the holds go on with what was left of them; the time that the engine was down does not count.
    After a restart, or a deploy of this node, it turns true, and repeats a true, only once a new reading has come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from pydantic import model_validator

from solarflow.node import Example, KeyedConfig, KeyedState, Message, MessageProperty, Node, PropertyPath, Setup, at
from solarflow.units import PositiveSeconds, Seconds, Watts


class ThresholdHold(Node):
    """Says whether a value has been high for long enough."""

    type = "threshold-hold"
    category = "energy"
    color = "#8fc9a0"
    icon = "timer"
    waits = True

    class Config(KeyedConfig):
        """The thresholds and how long they must hold."""

        property: MessageProperty = "payload"
        """The message property with the value, such as `payload.surplus_w`."""
        on_above: Watts = 1000
        """Above this it begins to turn true."""
        off_below: Watts = 0
        """Below this it begins to turn false."""
        hold_s: Seconds = 300
        """How long it must stay above, without a break, to become true."""
        release_s: Seconds = 60
        """How long it must stay below, without a break, to become false."""
        dip_s: Seconds = 0
        """A dip shorter than this does not break the hold; with 0 every dip does."""
        max_age_s: PositiveSeconds = 120
        """Silence after which it is false, whatever it was. Choose two to three times the interval of the readings."""
        repeat_s: Seconds = 0
        """Repeat the last answer this often, for a recipient that wants to know that it still holds; 0: do not."""

        @model_validator(mode="after")
        def _leave_room_between(self) -> Self:
            if self.off_below > self.on_above:
                raise ValueError(
                    f"off_below ({self.off_below:g}) is above on_above ({self.on_above:g}): there is no band left in "
                    "which to rest; lower off_below"
                )
            return self

    @dataclass(slots=True)
    class State:
        """What is kept for each home."""

        on: bool = False
        held: bool = False
        """The hold is over, but turning true waits for a reading above."""
        reason: str = "waiting"
        newest_ts: float = 0.0
        ignored: int = 0

    config: Config
    state: KeyedState[State]

    EXAMPLES = (
        Example(
            text="More than 1000 W to spare for five minutes.",
            config={"on_above": 1000, "hold_s": 300},
            given=[at(60 * n, home="casa_A", payload=1500) for n in range(6)],
            then=[at(300, home="casa_A", payload=True, reason="held")],
        ),
        Example(
            text="The meter falls silent.",
            config={"on_above": 1000, "hold_s": 0, "max_age_s": 120},
            given=[at(0, home="casa_A", payload=1500)],
            then=[at(0, home="casa_A", payload=True), at(120, home="casa_A", payload=False, reason="silent")],
        ),
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._value_path = PropertyPath(self.config.property)
        self._heard: set[str] = set()
        """Homes that sent a reading since this node began: what was kept from before it is not fresh."""

    def on_start(self) -> None:
        """Silence counts from now for everything that was kept, so that a true without readings ends."""
        for home in self.state:
            for seconds, method in ((self.config.max_age_s, self.fall_silent), (self.config.repeat_s, self.repeat)):
                left = self.remaining(method, home)
                if not seconds:
                    self.cancel(method, home)
                elif left is None or left > seconds:
                    self.restart(seconds, method, home)

    def on_removed(self) -> None:
        """What was true is no longer watched: say that it is over."""
        for home, state in self.state.items():
            if state.on:
                self._decide(home, False, "removed")

    def on_input(self, msg: Message) -> None:
        """Compare a reading with the threshold; start, keep or end the hold."""
        home, value = self.key(msg), self.number(msg, self._value_path)
        config, state = self.config, self.state[home]
        if not self._is_news(msg, state):
            state.ignored += 1
            self._show(home, state)
            return
        if home not in self._heard:
            self._meet(home, state)
        self.restart(config.max_age_s, self.fall_silent, home)
        if state.on:
            if value < config.off_below:
                self._begin(config.release_s, home)
            else:
                self.cancel(self.turn, home)
        elif value > config.on_above:
            self.cancel(self.end_dip, home)
            if state.held:
                self.turn(home)
            else:
                self._begin(config.hold_s, home)
        elif state.held or self.remaining(self.turn, home) is not None:
            if config.dip_s:
                self.after(config.dip_s, self.end_dip, home)
            else:
                self.end_dip(home)

    def _is_news(self, msg: Message, state: State) -> bool:
        """Whether it may be used, and is not older than what was used before.

        A newest time that is still ahead of the clock was a wrong clock's, here or there, and holds nothing up.
        """
        if not self.is_live(msg, self.config.max_age_s) or msg["ts"] < state.newest_ts <= self.clock.now():
            return False
        state.newest_ts = msg["ts"]
        return True

    def _meet(self, home: str, state: State) -> None:
        """The first reading since the start or a silence."""
        self._heard.add(home)
        if self.config.repeat_s:
            self.after(self.config.repeat_s, self.repeat, home)
        if not state.on:
            state.reason = "waiting"
            self._show(home, state)

    def _begin(self, seconds: float, home: str) -> None:
        if seconds:
            self.after(seconds, self.turn, home)  # one that runs, runs on
        else:
            self.turn(home)

    def turn(self, home: str) -> None:
        """The hold or the release is over."""
        state = self.state[home]
        if not state.on and (home not in self._heard or self.remaining(self.end_dip, home) is not None):
            state.held = True  # until the next reading above
        else:
            self._decide(home, not state.on, "released" if state.on else "held")

    def end_dip(self, home: str) -> None:
        """The dip was too long: the hold is broken."""
        self.state[home].held = False
        self.cancel(self.turn, home)

    def fall_silent(self, home: str) -> None:
        """No reading for too long: false."""
        self._heard.discard(home)
        self.cancel(self.end_dip, home)
        self.end_dip(home)
        state = self.state[home]
        if state.on:
            self._decide(home, False, "silent")
        else:
            state.reason = "silent"
            self._show(home, state)

    def repeat(self, home: str) -> None:
        """Say it again; a true only while readings come."""
        state = self.state[home]
        self.after(self.config.repeat_s, self.repeat, home)
        if home in self._heard or not state.on:
            self._tell(home, state)

    def _decide(self, home: str, on: bool, reason: str) -> None:
        state = self.state[home]
        state.on, state.held, state.reason = on, False, reason
        self.cancel(self.turn, home)
        if self.config.repeat_s:
            self.restart(self.config.repeat_s, self.repeat, home)
        self._show(home, state)
        self._tell(home, state)

    def _tell(self, home: str, state: State) -> None:
        msg: Message = {"payload": state.on, "reason": state.reason}
        # The answer stands in the payload, so a key that came in there goes out beside it.
        steps = self._key_path.steps
        (PropertyPath(str(steps[-1])) if steps[0] == "payload" else self._key_path).set(msg, home)
        self.send(msg)

    def _show(self, home: str, state: State) -> None:
        text = "on" if state.on else f"off ({state.reason})"
        if state.ignored:
            text += f", {state.ignored} late readings ignored"
        self.status(text, "green" if state.on else "red" if state.reason == "silent" else "grey", key=home)
