"""What is known of one relay, and what it should do: the rules, without messages and without a clock of their own.

Moments are UTC seconds since 1970, durations seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import Field

from solarflow.energy.local_time import local_clock, parse_moment

SAFETY = frozenset({"silent", "stale", "removed", "stop", "offline", "breaker"})
"""Reasons for off that end a minimum on-time."""


class Wish(NamedTuple):
    """Whether a relay should be on, why, and until when (None: not known)."""

    on: bool
    reason: str
    until: float | None = None


@dataclass(slots=True)
class RelayState:
    """One relay: what is asked for, what it was told, what it reports."""

    wanted: bool = False
    reason: str = "waiting"
    """Of what is asked for; "waiting": nobody has asked yet."""
    load: str = ""
    on: bool = False
    """What it was told."""
    real: bool | None = None
    """What it last reported."""
    confirmed: bool = False
    """Whether it has reported what it was told."""
    changed_at: float | None = None
    """When it last went on or off."""
    sent_at: float = 0.0
    """When it was last told to be on."""
    topic: str = ""
    relay: str = ""
    """Which one, as it stands in the topic."""
    tries: int = 0
    """Commands without the right answer."""
    alarm: bool = False
    offline: bool = False
    fresh: Annotated[bool, Field(exclude=True)] = False
    """Whether the last request came in this run of the engine; not kept over a restart."""
    override: str = ""
    override_until: float = 0.0
    override_by: str = ""
    ignored: int = 0
    """Messages that came too late."""
    told: dict[str, Any] = field(default_factory=dict)
    """The last `report`."""

    def wish(self, good: bool) -> Wish:
        """What should be, minimum times left aside; `good`: the last request is not too old."""
        if self.offline:
            return Wish(False, "offline")
        if self.override:
            return Wish(self.override == "on", "override", self.override_until)
        if not good:
            # One that rests, and was last asked to, rests for the reason it was given.
            rests = not self.wanted and not self.on
            return Wish(False, self.reason if rests or self.reason in ("waiting", "breaker") else "stale")
        if self.wanted and not self.fresh:
            return Wish(self.on, "waiting")
        return Wish(self.wanted, self.reason)

    @property
    def may_be_told_on(self) -> bool:
        """Whether ON may be sent again: an ON that nobody has asked for since the start is not repeated."""
        return self.on and (self.fresh or self.override == "on")

    def set(self, on: bool, at: float | None) -> None:
        """It is told to go on or off, or went off by itself; None: it is not known when."""
        self.on, self.changed_at, self.confirmed, self.tries = on, at, False, 1

    def rest(self) -> None:
        """Nothing that is asked for is heard for a while: nobody asks any more, by hand neither."""
        self.wanted, self.fresh, self.reason, self.override = False, False, "breaker", ""

    def begin_anew(self) -> None:
        """It is another relay from now on: nothing is known of it, nobody has asked, and its times are its own."""
        self.set(False, None)
        self.real, self.wanted, self.fresh, self.reason = None, False, False, "waiting"

    def expire(self, now: float, ttl_s: float) -> None:
        """Where the last ON is no longer good, the device went off when it ended."""
        if self.on and now - self.sent_at >= ttl_s:
            self.set(False, self.sent_at + ttl_s)
            self.real = False

    def minimum_left_s(self, now: float, min_on_s: float, min_off_s: float) -> float:
        """How long it must stay as it is; with a clock that was set back at most the whole minimum."""
        minimum_s = min_on_s if self.on else min_off_s
        if self.changed_at is None:
            return 0.0
        return min(minimum_s, max(0.0, self.changed_at + minimum_s - now))

    def report(self, reason: str, until: float | None, reports: bool) -> dict[str, Any]:
        """How it stands, in the words of the wire contract; `reports`: whether the relay itself says how it stands."""
        real = self.real if reports else self.on
        return {
            "stato": None if real is None else word(real), "comando": word(self.on), "richiesto": word(self.wanted),
            "motivo": reason, "fino_a": None if until is None else round(until), "allarme": self.alarm,
        }  # fmt: skip

    def colour(self, reason: str) -> Literal["red", "yellow", "green", "grey"]:
        """How urgent it is, as the colour of the status."""
        if self.alarm:
            return "red"
        if reason in ("minimum-on", "minimum-off"):
            return "yellow"
        return "green" if self.on else "grey"

    def describe(self, reason: str, until: float | None, now: float, zone: ZoneInfo) -> str:
        """How it stands, for people: "ON: override by Anna until 18:00"."""
        text = f"{word(self.on)}: {reason}"
        if reason == "override" and self.override_by:
            text += f" by {self.override_by}"
        if until is not None:
            text += f" until {local_clock(until, now, zone)}"
        if self.ignored:
            text += f"; {self.ignored} late messages ignored"
        return f"does not answer; told {text}" if self.alarm else text


def relay_of(registered: Any, load: str, default: str) -> str | None:
    """The relay behind which a home has a load; `registered` is the home, or None.

    A home that is not registered with loads has the default; one that has others only has none.
    """
    loads = registered.loads if registered is not None and load else ()
    return next((str(own.relay) for own in loads if own.name == load), None) if loads else default


def word(on: bool) -> str:
    """As relays speak."""
    return "ON" if on else "OFF"


def override_end(for_s: float | None, until: object, now: float, longest_s: float, zone: ZoneInfo) -> float:
    """When an override ends, from its duration, or from a moment (UTC seconds, or ISO 8601). Raises ValueError."""
    if for_s is not None:
        end = now + for_s
    elif isinstance(until, str):
        end = parse_moment(until, zone)
    elif isinstance(until, (int, float)):
        end = until
    else:
        raise ValueError("an override needs an end: send 'for_s' (seconds) or 'until' with it")
    if not now < end <= now + longest_s:
        raise ValueError(
            f"the override would end {end - now:.0f} s from now; expected more than 0 and at most max_override_s "
            f"({longest_s:g} s)"
        )
    return end
