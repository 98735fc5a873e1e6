"""Switch one relay of each home, safely: what is asked for becomes commands for `mqtt out`.

A command says how long it is good for, and is repeated while the relay is to stay on: whatever breaks, the device falls
off by itself. What the relay reports is compared with what it was told.

Inputs
    payload (boolean): a request: whether the relay is to be on. It is good for `max_age_s` and must be repeated.
    reason (string, optional): why, shown in the status. "silent" and "removed" end a minimum on-time.
    load, relay (optional): whom the request is for; one for another relay or load is ignored.
    topic (string): a message on the feedback topic is what the relay reports: {"stato": "ON"}; on the presence topic
    it is "online" or "offline". Both come from `mqtt in`.
    override (string): "on", "off" or "auto", by hand; with `for_s` (seconds) or `until` (seconds since 1970, UTC, or
    ISO 8601 with its offset), and `by`, who it was. "on" and "off" need an end.
Outputs
    1: a command for `mqtt out`: `topic`, `payload` ({"stato": "ON", "ttl_s": 300} or {"stato": "OFF"}), `home`,
    `relay`; never retained, quality of service 0: an ON must not wait anywhere.
    2: at each change, what it does and why: `home`, `relay`, `load`, and the payload: `stato` (what the relay reports;
    null where it has not yet), `comando` (what it was told), `richiesto` (what is asked for), `motivo` (the
    reason), `fino_a` (until when, seconds since 1970, UTC, or null), `allarme` (whether it does not answer).

Details
    Reasons of its own: "stale" (no request for `max_age_s`), "waiting" (after a start: no request yet), "offline",
    "override", "minimum-on", "minimum-off", "stop", "removed", "breaker" (ten requests in a row made no sense).
    Off at once, whatever the minimum on-time, when requests end or make no sense, the home goes offline, the engine
    stops or the node is deleted. The minimum off-time always holds, over restarts too; the time that the engine was
    down counts.

    A deploy switches nothing. After a start no ON is sent before a request has come; only an override needs none.
    What is late (older than `max_age_s`, or marked `arretrato`) or was retained is ignored; the status counts it.

    Feedback: a command that is not answered in `feedback_timeout_s` is sent again; after `tries` commands without the
    right answer an alert is opened ("relay-no-answer/" and the relay), and closed by the right answer. What the broker
    had retained tells nothing new and is used only where nothing is known.
    The latest OFF after the last request: `max_age_s` while all works; the TTL after the last repetition where the
    engine or the broker is dead.
"""

from __future__ import annotations

from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from solarflow.energy.relay_state import SAFETY, RelayState, override_end, relay_of, word
from solarflow.errors import RefusedMessageError, StoreError
from solarflow.node import Example, KeyedConfig, KeyedState, Message, Node, NodeError, PropertyPath, Setup, at
from solarflow.nodes.energy.relay_topics import RelayTopics
from solarflow.units import PositiveSeconds, Seconds

FOR_S = PropertyPath("for_s")


class RelayOut(Node):
    """Commands a relay, repeats, compares, and lets go when nobody asks any more."""

    type = "relay-out"
    category = "energy"
    color = "#8fc9a0"
    icon = "power"
    outputs = 2
    output_labels = ("commands", "states")
    waits = True
    board = "Relays"

    class Config(KeyedConfig):
        """Which relay, and its times."""

        relay: Annotated[str, Field(coerce_numbers_to_str=True, min_length=1)] = "1"
        """The relay's number or name, as it stands in the topics; a home registered with this load has its own."""
        load: str = ""
        """Only requests for the load of this name are heard; empty: for any."""
        topic: str = "comunita/{home}/rele/{relay}/set"
        """Where commands go; {home} and {relay} are filled in."""
        feedback_topic: str = "comunita/{home}/rele/{relay}"
        """Where the relay reports its state; empty: it does not, and nothing is compared."""
        presence_topic: str = "comunita/{home}/stato"
        """Where the home says "online" or "offline"; empty: it does not."""
        ttl_s: Annotated[int, Field(gt=0, le=86_400, json_schema_extra={"unit": "s"})] = 300
        """How long a command is good for: the device goes off by itself afterwards."""
        repeat_s: PositiveSeconds = 60
        """How often ON is repeated; less than half of the TTL, so that one may be lost."""
        min_on_s: Seconds = 120
        """How long the relay stays on at least, except for safety."""
        min_off_s: Seconds = 120
        """How long it stays off at least, always."""
        max_age_s: PositiveSeconds = 180
        """How long a request is good for: without another one the relay goes off."""
        feedback_timeout_s: PositiveSeconds = 10
        """How long the relay may take to report the state it was told."""
        tries: Annotated[int, Field(ge=1, le=100)] = 3
        """How many commands may go unanswered before the alarm."""
        max_override_s: PositiveSeconds = 86_400
        """The longest an override may last."""

        @model_validator(mode="after")
        def _can_work(self) -> Self:
            if self.repeat_s >= self.ttl_s / 2:
                raise ValueError(
                    f"repeat_s ({self.repeat_s:g}) must be less than half of ttl_s ({self.ttl_s}), or the relay "
                    "falls off as soon as one command is lost: lower repeat_s or raise ttl_s"
                )
            RelayTopics(self.topic, self.feedback_topic, self.presence_topic)
            return self

    State = RelayState

    config: Config
    state: KeyedState[RelayState]

    EXAMPLE = Example(
        config={"relay": "1"},
        given=[
            at(0, home="casa_A", payload=True, reason="surplus"),
            at(1, topic="comunita/casa_A/rele/1", payload={"stato": "ON"}),
        ],
        then=[
            at(0, home="casa_A", topic="comunita/casa_A/rele/1/set", payload={"stato": "ON", "ttl_s": 300}),
            at(0, port=1, home="casa_A", relay="1"),
            at(1, port=1, home="casa_A", relay="1"),
        ],
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._topics = RelayTopics(self.config.topic, self.config.feedback_topic, self.config.presence_topic)
        self._zone = ZoneInfo(str(self.services.settings.get("timezone") or "UTC"))

    def on_start(self) -> None:
        """Take up each relay where it must be by now."""
        now, config = self.clock.now(), self.config
        for home in self.state:
            state = self._known(home)
            if not state.fresh:
                state.expire(now, config.ttl_s)
            self._hold_minimum(home, state)
            left = self.remaining(self.go_stale, home)
            if state.on if left is None else left > config.max_age_s:
                self.restart(config.max_age_s, self.go_stale, home)
            state.offline = state.offline and self._topics.has_presence
            if state.override_until <= now:
                state.override = ""
            elif state.override and (self.remaining(self.end_override, home) or 1e9) > state.override_until - now:
                self.restart(state.override_until - now, self.end_override, home)
            if state.on:
                self.restart(min(max(0.0, state.sent_at + config.repeat_s - now), config.repeat_s), self.repeat, home)
            self.decide(home)

    def on_stop(self) -> None:
        """With the engine everything goes off; a deploy switches nothing."""
        if self.host.stopping:
            self._all_off("stop")

    def on_removed(self) -> None:
        """The relay has no master any more."""
        self._all_off("removed")
        for home, state in self.state.items():
            if state.alarm:
                self._set_alarm(home, state, False)

    def _all_off(self, reason: str) -> None:
        for home in self.state:
            state = self.state[home]
            state.fresh = False
            if state.on:
                self._switch(home, state, False)
                self.cancel(self.check, home)
                self._show(home, state, reason, None)

    def on_input(self, msg: Message) -> None:
        """A request, an override, or what the relay or the home reports."""
        if "override" in msg:
            if self._is_mine(msg):
                self._hear_override(msg)
        elif (heard := self._topics.heard(msg.get("topic"))) is None:
            if self._is_mine(msg):
                self._hear_request(msg)
        elif heard.kind == "presence":
            self._hear_presence(heard.home, msg)
        elif heard.relay in (None, self._relay(heard.home)):
            self._hear_feedback(heard.home, msg)

    def on_rest(self, key: str) -> None:
        """Requests of this home do not come in for a while: nothing may stay on meanwhile, by hand neither."""
        if key in self.state:
            self.cancel(self.go_stale, key)
            self.cancel(self.end_override, key)
            self.state[key].rest()
            self.decide(key)

    def _is_mine(self, msg: Message) -> bool:
        relay, load = self._relay(self.key(msg)), msg.get("load", self.config.load)
        return str(msg.get("relay", relay)) == relay and self.config.load in ("", load)

    def _known(self, home: str) -> RelayState:
        """The state of a home. Raises NodeError where no topic can be made of its name."""
        relay = self._relay(home) or self.config.relay
        if (known := self.state.peek(home)) is not None and known.relay == relay and known.topic:
            return self.state[home]
        topic = self._topics.command(home, relay)
        state = self.state[home]
        if state.topic not in ("", topic):
            if state.on:
                self._send_command(home, state, False)
            if state.alarm:
                self._set_alarm(home, state, False)
            state.begin_anew()
            for method in (self.repeat, self.check):
                self.cancel(method, home)
        state.topic, state.relay = topic, relay
        return state

    def _relay(self, home: str) -> str | None:
        """The relay of this load in a home; None where the home is registered with others only."""
        return relay_of(self.services.homes and self.services.homes.get(home), self.config.load, self.config.relay)

    def _is_late(self, home: str, msg: Message) -> bool:
        if self.is_live(msg, self.config.max_age_s) and not msg.get("retain"):
            return False
        self._known(home).ignored += 1
        self.decide(home)
        return True

    def _hear_request(self, msg: Message) -> None:
        home, wanted = self.key(msg), msg.get("payload")
        if wanted is not True and wanted is not False:
            raise NodeError(f"a request's payload is {wanted!r:.60}; expected true or false")
        if self._is_late(home, msg):
            return
        state = self._known(home)
        state.wanted, state.reason = wanted, str(msg.get("reason") or "requested")
        state.load = str(msg.get("load") or self.config.load)
        self.restart(self.config.max_age_s, self.go_stale, home)
        self._renew(home, state)
        state.fresh = True
        self.decide(home)

    def _renew(self, home: str, state: RelayState) -> None:
        """Where nobody had asked since the start: what the relay was told before may have run out, or be about to."""
        if state.on and not state.fresh:
            state.expire(self.clock.now(), self.config.ttl_s)
            self._hold_minimum(home, state)
            self.restart(0, self.repeat, home)

    def _hear_override(self, msg: Message) -> None:
        home, override = self.key(msg), str(msg["override"]).lower()
        if override not in ("on", "off", "auto"):
            raise RefusedMessageError(f'the override is {msg["override"]!r:.60}; expected "on", "off" or "auto"')
        if self._is_late(home, msg):
            return
        state, now = self._known(home), self.clock.now()
        if override == "auto":
            return self.end_override(home)
        try:
            for_s = self.number(msg, FOR_S) if msg.get("for_s") is not None else None
            end = override_end(for_s, msg.get("until"), now, self.config.max_override_s, self._zone)
        except (NodeError, ValueError) as error:
            raise RefusedMessageError(str(error)) from None
        state.override, state.override_until, state.override_by = override, end, str(msg.get("by") or "")
        self.restart(for_s, self.end_override, home) if for_s else self.at(end, self.end_override, home)
        self._renew(home, state)
        self.decide(home)

    def _hear_feedback(self, home: str, msg: Message) -> None:
        payload = msg.get("payload")
        if (said := payload.get("stato") if isinstance(payload, dict) else payload) not in ("ON", "OFF"):
            raise RefusedMessageError(f'a relay reports {payload!r:.60}; expected {{"stato": "ON"}} or "OFF"')
        state = self.state.peek(home)
        if state is None or (msg.get("retain") and state.real is not None):
            return
        state = self.state[home]  # it changes
        state.real = said == "ON"
        if state.real == state.on:
            state.confirmed, state.tries = True, 0
            self.cancel(self.check, home)
            if state.alarm:
                self._set_alarm(home, state, False)
        elif state.on and state.confirmed:
            self._fall_off(home, state)
        elif self.remaining(self.check, home) is None:
            state.tries = 0  # a report that crossed a command, or a hand at the device: it may yet change
            self.restart(self.config.feedback_timeout_s, self.check, home)
        self.decide(home)

    def _hear_presence(self, home: str, msg: Message) -> None:
        if (payload := msg.get("payload")) not in ("online", "offline"):
            raise RefusedMessageError(f'the home says {payload!r:.60}; expected "online" or "offline"')
        self._known(home).offline = payload == "offline"
        self.decide(home)

    def decide(self, home: str) -> None:
        """Switch where that is wished and allowed, and tell how it stands."""
        state = self.state[home]
        wish = state.wish(self.remaining(self.go_stale, home) is not None)
        reason, until = wish.reason, wish.until
        if wish.on != state.on:
            left = self.remaining(self.end_minimum, home)
            if left is None or (state.on and reason in SAFETY):
                self._switch(home, state, wish.on)
            else:
                reason, until = "minimum-on" if state.on else "minimum-off", self.clock.now() + left
        self._show(home, state, reason, until)

    def _switch(self, home: str, state: RelayState, on: bool) -> None:
        # Timers first: the answer to the command may come before it returns.
        state.set(on, self.clock.now())
        self._hold_minimum(home, state)
        if on:
            self.restart(self.config.repeat_s, self.repeat, home)
        else:
            self.cancel(self.repeat, home)
        if self._topics.has_reports:
            self.restart(self.config.feedback_timeout_s, self.check, home)
        self._send_command(home, state, on)

    def _hold_minimum(self, home: str, state: RelayState) -> None:
        left = state.minimum_left_s(self.clock.now(), self.config.min_on_s, self.config.min_off_s)
        if left > 0:
            self.restart(left, self.end_minimum, home)
        else:
            self.cancel(self.end_minimum, home)

    def _fall_off(self, home: str, state: RelayState) -> None:
        """It went off untold. It rests at least as long as an answer may take, or the two would chase each other."""
        self.warn(f"relay {state.relay} of {home} went off without being told")
        state.set(False, self.clock.now())
        state.confirmed = True
        self.cancel(self.repeat, home)
        self.restart(max(self.config.min_off_s, self.config.feedback_timeout_s), self.end_minimum, home)

    def _send_command(self, home: str, state: RelayState, on: bool) -> None:
        if on:
            state.sent_at = self.clock.now()
        payload = {"stato": "ON", "ttl_s": self.config.ttl_s} if on else {"stato": "OFF"}
        where = {"home": home, "relay": state.relay, "topic": state.topic, "qos": 0, "retain": False}
        self.send({**where, "payload": payload})

    def go_stale(self, home: str) -> None:
        self.state[home].fresh = False
        self.decide(home)

    def end_minimum(self, home: str) -> None:
        self.decide(home)

    def end_override(self, home: str) -> None:
        self.cancel(self.end_override, home)
        self.state[home].override = ""
        self.decide(home)

    def repeat(self, home: str) -> None:
        state = self.state[home]
        self.after(self.config.repeat_s, self.repeat, home)
        if state.may_be_told_on:
            self._send_command(home, state, True)

    def check(self, home: str) -> None:
        """The answer is due: tell it again, or open the alarm."""
        state = self.state[home]
        if state.real == state.on:
            state.confirmed, state.tries = True, 0
        elif state.offline or (state.on and not state.may_be_told_on):
            self.restart(self.config.repeat_s, self.check, home)
        elif state.tries < self.config.tries:
            state.tries += 1
            self.restart(self.config.feedback_timeout_s, self.check, home)
            self._send_command(home, state, state.on)
        else:
            self.restart(self.config.repeat_s, self.check, home)
            if not state.on:
                self._send_command(home, state, False)  # an ON is repeated anyway
            self._set_alarm(home, state, True)
            self.decide(home)

    def _set_alarm(self, home: str, state: RelayState, alarm: bool) -> None:
        """Open or close the alert. What cannot be written is tried again at the next check or answer."""
        alerts, code, now = self.services.alerts, f"relay-no-answer/{state.relay}", self.clock.now()
        state.alarm = state.alarm or alarm
        try:
            if alerts is not None and alarm:
                said = {"relay": state.relay, "load": state.load, "told": word(state.on)}
                alerts.open(home, code, {**said, "tries": self.config.tries}, now)
            elif alerts is not None:
                alerts.close(home, code, now)
        except StoreError as error:
            self.error(error)
        else:
            state.alarm = alarm

    def _show(self, home: str, state: RelayState, reason: str, until: float | None) -> None:
        text = state.describe(reason, until, self.clock.now(), self._zone)
        self.status(text, state.colour(reason), key=home)
        report = state.report(reason, until, self._topics.has_reports)
        if report != state.told:
            state.told = report
            where = {"home": home, "relay": state.relay, "load": state.load or self.config.load}
            self.send({**where, "payload": dict(report)}, port=1)
