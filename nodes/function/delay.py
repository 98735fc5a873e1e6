"""Hold messages back: each for a while, or all so that no more than so many pass in a time.

Inputs
    Any message.
    delay (number, optional): with "set by msg.delay", how long this message waits, in milliseconds.
    rate (number, optional): where allowed, the new time between messages, in milliseconds, until changed or reset.
    reset (optional): drop all that waits; this message is dropped too.
    flush (optional): send all that waits at once, or as many as this number says.
    toFront (optional): true puts this message before all that wait (rate limit).
Outputs
    The messages, later. With a second output, messages that are not let through leave by that one.
Details
    *delay*, *delayv*, *random*: each message waits for a fixed time, for msg.delay (where it has none, the fixed time),
    or for a random time between two.

    *rate*: the first message passes at once, the others wait in a queue and leave one by one; with `drop` they do not
    wait but are dropped (or leave by the second output).

    *queue*, *timed*: of each topic only the newest message waits, an older one is dropped (or leaves by the second
    output). At each step *queue* lets the topic pass whose turn it is, *timed* all of them.

    *burst*: so many messages pass in any stretch of that time; the rest is dropped (or leaves by the second output).

    Waiting messages and their times survive a restart; the time without the program does not count. Messages that
    cannot be written as JSON (bytes, an HTTP request) wait as well but do not survive: a warning tells how many.
    At most 10,000 messages wait; beyond that the oldest is dropped with an error.
Source
    The behaviour follows Node-RED's delay node.
"""

from __future__ import annotations

import math
import random
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from solarflow.errors import NodeError
from solarflow.loose import is_json, leading_number, to_text
from solarflow.message import Message
from solarflow.node import Example, KeyedState, Node, NodeRedConfig, Setup, at, resets_state

MAX_WAITING = 10_000
NO_TOPIC = "_none_"
STATUS_EVERY_S = 0.5
_UNITS: Final = {
    "milliseconds": 0.001, "seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400,
    "second": 1, "minute": 60, "hour": 3600, "day": 86_400,
}  # fmt: skip
_CONTROLS: Final = frozenset({"_msgid", "ts", "topic", "flush", "reset"})
_ABSENT: Final = object()
Unit = Literal["milliseconds", "seconds", "minutes", "hours", "days"]
Duration = Annotated[float, Field(ge=0)]


class Delay(Node):
    """Holds messages back."""

    type = "delay"
    category = "function"
    color = "#E6E0F8"
    icon = "timer"
    forwards = True
    waits = True
    max_keys: ClassVar[int] = MAX_WAITING + 10

    class Config(NodeRedConfig):
        """The properties of Node-RED's delay node."""

        pause_type: Annotated[
            Literal["delay", "delayv", "random", "rate", "queue", "timed", "burst"], resets_state()
        ] = Field(default="delay", alias="pauseType")
        """How messages wait: delay, delayv (msg.delay), random, rate, queue, timed (both by topic) or burst."""
        timeout: Duration = 5
        """For delay, and for delayv where the message does not say: how long."""
        timeout_units: Unit = Field(default="seconds", alias="timeoutUnits")
        """The unit of `timeout`."""
        rate: Annotated[float, Field(gt=0)] = 1
        """For rate, queue, timed and burst: how many messages ..."""
        rate_units: Literal["second", "minute", "hour", "day"] = Field(default="second", alias="rateUnits")
        """... in this time ..."""
        nb_rate_units: Duration = Field(default=1, alias="nbRateUnits")
        """... or so many times this time."""
        random_first: Duration = Field(default=1, alias="randomFirst")
        """For random: at least so long."""
        random_last: Duration = Field(default=5, alias="randomLast")
        """For random: at most so long."""
        random_units: Unit = Field(default="seconds", alias="randomUnits")
        """The unit of both."""
        drop: bool = False
        """For rate: drop what comes too early instead of queueing it."""
        allowrate: bool = False
        """Let msg.rate change the time between messages."""
        outputs: int = Field(default=1, ge=1, le=2)
        """2: what is not let through leaves by the second output."""

        @field_validator("*", mode="before")
        @classmethod
        def _default(cls, value: Any, info: Any) -> Any:
            return cls.model_fields[info.field_name].default if value is None or value == "" else value

        @model_validator(mode="after")
        def _check(self) -> Self:
            if self.random_first > self.random_last:
                raise ValueError("randomFirst is above randomLast: there is no time between them")
            return self

    @dataclass(slots=True)
    class State:
        """One message that waits, by its number; under "" what holds for the node."""

        msg: dict[str, Any] | None = None
        live: Annotated[Any, Field(exclude=True)] = None
        """A message that cannot be written as JSON: it is here only as long as the program runs."""
        place: int = 0
        interval_s: float | None = None
        """Where a message has set it: the time between messages."""

        def put(self, msg: Message) -> None:
            """Keep a message, so that it survives if it can."""
            self.msg, self.live = (msg, None) if is_json(msg) else (None, msg)

        def message(self) -> Message | None:
            """The message, or None where it did not survive."""
            return self.live if self.msg is None else self.msg

    config: Config
    state: KeyedState[State]

    EXAMPLES = (
        Example(
            text="Each message waits for five seconds.",
            config={"pauseType": "delay", "timeout": "5", "timeoutUnits": "seconds"},
            given=[at(0, payload="a"), at(1, payload="b")],
            then=[at(5, payload="a"), at(6, payload="b")],
        ),
        Example(
            text="One message in two seconds; the others queue.",
            config={"pauseType": "rate", "rate": "1", "nbRateUnits": "2", "rateUnits": "second"},
            given=[at(0, payload="a"), at(0.5, payload="b"), at(1, payload="c")],
            then=[at(0, payload="a"), at(2, payload="b"), at(4, payload="c")],
        ),
        Example(
            text="Of each topic the newest, once in ten seconds.",
            config={"pauseType": "timed", "rate": "1", "nbRateUnits": "10", "rateUnits": "second"},
            given=[at(1, topic="a", payload=1), at(2, topic="b", payload=2), at(3, topic="a", payload=3)],
            then=[at(10, topic="a", payload=3), at(10, topic="b", payload=2)],
        ),
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        config = self.config
        self._waiting: OrderedDict[str, str] = OrderedDict()
        """The keys of the messages that wait, in their order, with their topics."""
        self._of_topic: dict[str, str] = {}
        self._last, self._first = 0, 0
        self._began = 0.0
        unit_s = _UNITS[config.rate_units]
        self._burst_s = (config.nb_rate_units or 1) * unit_s
        self._interval_s = self._burst_s / config.rate
        self._random = random.Random(setup.id)  # noqa: S311 - waiting times, the same in every run
        by_type: dict[str, Callable[[Message], None]] = {
            "rate": self._drop_or_pass if config.drop else self._queue,
            "queue": self._by_topic, "timed": self._by_topic, "burst": self._burst,
        }  # fmt: skip
        self._take = by_type.get(config.pause_type, self._delay)

    @classmethod
    def outputs_of(cls, config: Any) -> int:
        """As many as it says."""
        return int(config.outputs)

    def on_start(self) -> None:
        self._began = self.clock.monotonic()
        lost = 0
        for place, key, state in sorted((state.place, key, state) for key, state in self.state.items() if key):
            self._last, self._first = max(self._last, int(key)), min(self._first, place)
            msg = state.message()
            if msg is not None:
                self._waiting[key] = topic = _topic(msg)
                self._of_topic[topic] = key
                if self._each_by_itself() and self.remaining(self.release, key) is None:
                    self.after(0, self.release, key)
            elif self.config.pause_type != "burst":
                lost += 1
                self._forget(key)
        if lost:
            self.warn(f"{lost} waiting messages are lost: they could not be written as JSON and kept over the restart")
        if self._waiting and not self._each_by_itself() and self.remaining(self.step) is None:
            self.after(self.interval_s, self.step)

    def on_input(self, msg: Message) -> None:
        only_controls = msg.keys() <= _CONTROLS and ("flush" in msg or "reset" in msg)
        reset = msg.pop("reset", _ABSENT) is not _ABSENT
        flush = msg.pop("flush", _ABSENT)
        if not only_controls and not (reset and flush is _ABSENT):
            self._set_rate(msg)
            self._take(msg)
        if flush is not _ABSENT:
            self._flush(_count(flush))
        if reset:
            self._reset(idle=flush is _ABSENT)

    @property
    def interval_s(self) -> float:
        """The time between two messages, as it is now."""
        state = self.state.peek("")
        return self._interval_s if state is None or state.interval_s is None else state.interval_s

    def _each_by_itself(self) -> bool:
        return self.config.pause_type in ("delay", "delayv", "random")

    # -- what waits ---------------------------------------------------------------------------------------------

    def _keep(self, msg: Message, *, in_front: bool = False) -> str:
        """Let a message wait; its key."""
        if len(self._waiting) >= MAX_WAITING:
            self._forget(next(iter(self._waiting)))
            self.error(f"{MAX_WAITING} messages wait already; the oldest is dropped. More come than may go")
        self._last += 1
        key = str(self._last)
        self._waiting[key] = topic = _topic(msg)
        self._of_topic[topic] = key
        state = self.state[key]
        state.place = self._last
        if in_front:
            self._first -= 1
            state.place = self._first
            self._waiting.move_to_end(key, last=False)
        state.put(msg)
        self._report_soon()
        return key

    def _forget(self, key: str) -> Message | None:
        """Take out what waits under a key."""
        topic = self._waiting.pop(key, "")
        if self._of_topic.get(topic) == key:
            del self._of_topic[topic]
        self.cancel(self.release, key)
        self._report_soon()
        state = self.state.pop(key)
        return None if state is None else state.message()

    def _send_next(self, count: float = 1) -> None:
        for key in list(self._waiting)[: int(min(count, len(self._waiting)))]:
            msg = self._forget(key)
            if msg is not None:
                self.send(msg)

    def _flush(self, count: float) -> None:
        some = bool(self._waiting)
        self._send_next(count)
        if self.config.pause_type == "rate" and not self.config.drop:
            if some:
                self.restart(self.interval_s, self.step)
            else:
                self.cancel(self.step)

    def _reset(self, *, idle: bool) -> None:
        for key in list(self._waiting):
            self._forget(key)
        for key in self.state:
            self.state.pop(key)
            self.cancel(self.free, key)
        if idle:
            self.cancel(self.step)
            self.cancel(self.reopen)

    def _report_soon(self) -> None:
        self.after(STATUS_EVERY_S, self.report)

    def report(self, _key: str) -> None:
        """Show how many wait."""
        self.status(str(len(self._waiting)), "blue", "dot" if self._waiting else "ring")

    # -- each by itself -----------------------------------------------------------------------------------------

    def _delay(self, msg: Message) -> None:
        self.after(self._wait_s(msg), self.release, self._keep(msg))

    def _wait_s(self, msg: Message) -> float:
        config = self.config
        if config.pause_type == "random":
            return self._random.uniform(config.random_first, config.random_last) * _UNITS[config.random_units]
        if config.pause_type == "delayv" and "delay" in msg:
            asked_ms = leading_number(msg["delay"])
            if math.isfinite(asked_ms):
                return max(0.0, asked_ms / 1000)
        return config.timeout * _UNITS[config.timeout_units]

    def release(self, key: str) -> None:
        """A message has waited long enough."""
        msg = self._forget(key)
        if msg is not None:
            self.send(msg)

    # -- one by one ---------------------------------------------------------------------------------------------

    def _set_rate(self, msg: Message) -> None:
        """Take over msg.rate, at once."""
        if not self.config.allowrate or "rate" not in msg or self._each_by_itself():
            return
        asked_ms = leading_number(msg["rate"])
        if not (math.isfinite(asked_ms) and asked_ms > 0):
            raise NodeError(f"msg.rate is '{to_text(msg['rate'])[:40]}', where a number of milliseconds is needed")
        grown = asked_ms / 1000 - self.interval_s
        self.state[""].interval_s = asked_ms / 1000
        if grown and self.remaining(self.step) is not None:
            self.restart(self.interval_s, self.step)
        closed_s = self.remaining(self.reopen)
        if closed_s is not None:
            if closed_s + grown > 0:
                self.restart(closed_s + grown, self.reopen)
            else:
                self.cancel(self.reopen)

    def _queue(self, msg: Message) -> None:
        if self.remaining(self.step) is not None:
            self._keep(msg, in_front=msg.get("toFront") is True)
        else:
            self.restart(self.interval_s, self.step)
            self.send(msg)

    def step(self, _key: str) -> None:
        """The time between two messages is over."""
        self._began = self.clock.monotonic()
        if self._waiting:
            self.restart(self.interval_s, self.step)
            self._send_next(math.inf if self.config.pause_type == "timed" else 1)
        if not self._waiting and self.config.pause_type != "rate":
            self.cancel(self.step)

    def _drop_or_pass(self, msg: Message) -> None:
        if self.remaining(self.reopen) is None:
            self.restart(self.interval_s, self.reopen)
            self.send(msg)
        elif self.config.outputs == 2:
            self.send(msg, 1)

    def reopen(self, _key: str) -> None:
        """The next message may pass; that no timer runs says so."""

    # -- by topic -----------------------------------------------------------------------------------------------

    def _by_topic(self, msg: Message) -> None:
        key = self._of_topic.get(_topic(msg))
        if key is None:
            self._keep(msg)
            if self.remaining(self.step) is None:
                passed = (self.clock.monotonic() - self._began) % self.interval_s
                self.after(self.interval_s - passed, self.step)
            return
        state = self.state[key]
        older = state.message()
        state.put(msg)
        if self.config.outputs == 2 and older is not None:
            self.send(older, 1)

    # -- bursts -------------------------------------------------------------------------------------------------

    def _burst(self, msg: Message) -> None:
        if len(self.state) < self.config.rate:
            self._last += 1
            key = str(self._last)
            self.state[key].place = self._last
            self.after(self._burst_s, self.free, key)
            self.send(msg)
            return
        self.status("full", "red", "dot")
        if self.config.outputs == 2:
            self.send(msg, 1)

    def free(self, key: str) -> None:
        """A message that passed is long enough ago."""
        self.state.pop(key)
        self.status("", "green", "ring")


def _topic(msg: Message) -> str:
    return to_text(msg.get("topic", NO_TOPIC))


def _count(flush: Any) -> float:
    if isinstance(flush, (int, float)) and not isinstance(flush, bool) and math.isfinite(flush):
        return max(0, math.floor(flush))
    return math.inf
