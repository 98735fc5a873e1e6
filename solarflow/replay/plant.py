"""The relays of the homes and what hangs on them, simulated: they obey commands, fall off by themselves, and answer.

A home's consumption in a replay is what was recorded, less what its switched loads drew then, plus what they draw now.
What a load drew then is known where the recording has its power (`comunita/<home>/elettrodomestici/<load>`) or the
state of its relay (`comunita/<home>/rele/<n>`, with the declared power); where it has neither, it was off.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple

from solarflow.energy.appliances import Boiler, ElectricVehicle, Softener, SwitchedLoad
from solarflow.energy.load import local_seconds
from solarflow.replay.course import LEFT_OUT, Hook
from solarflow.replay.wire import APPLIANCE, PRESENCE, REPORT, power_of

DEFAULT_TTL_S = 300.0
"""How long a relay stays on after a command that does not say."""
LONGEST_TTL_S = 86_400.0
MODELS: Mapping[str, Callable[..., SwitchedLoad]] = {
    "boiler": Boiler, "ev": ElectricVehicle, "softener": Softener
}  # fmt: skip
"""Loads that stop by themselves when they have had enough, by their names."""
MAINS_V = 230.0


class LoadSpec(NamedTuple):
    """A load behind a relay, as a home or a flow declares it."""

    relay: str
    name: str
    power_w: float


@dataclass(slots=True)
class Relay:
    """One relay with its load, now and as it was recorded."""

    home: str
    number: str
    load: str
    power_w: float
    model: SwitchedLoad | None = None
    moved_at: float = 0.0
    on: bool = False
    until: float = -inf
    on_since: float = 0.0
    on_s: float = 0.0
    """How long it has been on, up to the last time it went off."""
    switched: int = 0
    """How often it went on or off."""
    expired: int = 0
    """How often it fell off because no command came."""
    energy_wh: float = 0.0
    spans: list[tuple[float, float]] = field(default_factory=list)
    """When it was on, from and to."""
    recorded_on: bool = False
    recorded_w: float | None = None
    """What the recording says that it drew; None where it does not."""

    def draw_w(self) -> float:
        """What the load draws now."""
        if self.model is not None:
            return self.model.draw_w(self.on)
        return self.power_w if self.on else 0.0

    def drew_w(self) -> float:
        """What it drew when it was recorded."""
        if self.recorded_w is not None:
            return self.recorded_w
        return self.power_w if self.recorded_on else 0.0


@dataclass(slots=True)
class Site:
    """A home as the plant knows it."""

    relays: dict[str, Relay]
    offline: bool = False

    def removed_w(self) -> float:
        """What they drew when it was recorded."""
        return sum(relay.drew_w() for relay in self.relays.values())


class Plant:
    """All homes' relays. `report(topic, payload)` is told what a device answers, `switched(home, now)` every change."""

    def __init__(
        self,
        loads_of: Callable[[str], Iterable[LoadSpec]],
        report: Callable[[str, bytes], None],
        *,
        models: bool = False,
        timezone: str = "UTC",
    ) -> None:
        """`models`: whether loads of a known name stop by themselves (see `MODELS`), by the hours of `timezone`."""
        self.next_due = inf
        self.refused = 0
        """Commands that no device could obey."""
        self.switched: Callable[[str, float], None] = lambda _home, _now: None
        self.on_earlier: Callable[[], None] = lambda: None
        self._sites: dict[str, Site] = {}
        self._ends: list[tuple[float, int, Relay]] = []
        self._commands = 0
        self._loads_of = loads_of
        self._report = report
        self._models = models
        self._timezone = timezone

    @property
    def relays(self) -> list[Relay]:
        """Every relay that is declared, commanded or recorded, by home and number."""
        found = [relay for site in self._sites.values() for relay in site.relays.values()]
        return sorted(found, key=lambda relay: (relay.home, len(relay.number), relay.number))

    def site(self, home: str) -> Site:
        """A home and its relays."""
        found = self._sites.get(home)
        if found is None:
            relays = {spec.relay: self._relay(home, spec) for spec in self._loads_of(home)}
            found = self._sites[home] = Site(relays)
        return found

    def _relay(self, home: str, spec: LoadSpec) -> Relay:
        model = MODELS.get(spec.name) if self._models else None
        return Relay(home, spec.relay, spec.name, spec.power_w, model and model(name=spec.name, power_w=spec.power_w))

    def _of(self, home: str, number: str) -> Relay:
        relays = self.site(home).relays
        if number not in relays:
            relays[number] = self._relay(home, LoadSpec(number, "", 0.0))
        return relays[number]

    # -- commands ---------------------------------------------------------------------------------------------------

    def command(self, home: str, number: str, payload: bytes, now: float) -> None:
        """Obey a command, as the device does: switch, set the time after which it falls off, and answer."""
        wanted = _command(payload)
        if wanted is None:
            self.refused += 1
            return
        on, ttl_s = wanted
        site, relay = self.site(home), self._of(home, number)
        if site.offline:
            return  # it hears nothing
        relay.until = now + ttl_s if on else -inf
        self._set(relay, on, now)
        if on:
            self._commands += 1
            heapq.heappush(self._ends, (relay.until, self._commands, relay))
        self._look()
        self._answer(relay)

    def _set(self, relay: Relay, on: bool, now: float) -> None:
        self.pass_time(relay, now)
        if relay.on == on:
            return
        relay.on = on
        relay.switched += 1
        if on:
            relay.on_since = now
        else:
            relay.on_s += now - relay.on_since
            relay.spans.append((relay.on_since, now))
        self.switched(relay.home, now)

    def added_w(self, site: Site, now: float) -> float:
        """What the simulated loads of a home draw now."""
        if self._models:
            for relay in site.relays.values():
                self.pass_time(relay, now)
        return sum(relay.draw_w() for relay in site.relays.values())

    def pass_time(self, relay: Relay, now: float) -> None:
        """Let a relay's load run up to `now`."""
        passed_s = now - relay.moved_at if relay.moved_at else 0.0
        if relay.model is not None:
            if passed_s > 0:
                relay.energy_wh += relay.draw_w() * passed_s / 3600.0
                relay.model.advance(relay.on, passed_s, float(local_seconds(now, self._timezone)))
        elif relay.on:
            relay.energy_wh += relay.power_w * passed_s / 3600.0
        relay.moved_at = now

    def fall_due(self, now: float) -> None:
        """Relays whose time has run out fall off and say so."""
        while self._ends and self._ends[0][0] <= now:
            until, _, relay = heapq.heappop(self._ends)
            if relay.on and relay.until == until:
                relay.expired += 1
                self._set(relay, False, now)
                if not self.site(relay.home).offline:
                    self._answer(relay)
        self._look()

    def _look(self) -> None:
        """Find the next relay that falls off; an end that was put off or came early counts no more."""
        while self._ends and not (self._ends[0][2].on and self._ends[0][2].until == self._ends[0][0]):
            heapq.heappop(self._ends)
        before, self.next_due = self.next_due, self._ends[0][0] if self._ends else inf
        if self.next_due < before:
            self.on_earlier()

    def _answer(self, relay: Relay) -> None:
        topic = REPORT.format(home=relay.home, relay=relay.number)
        self._report(topic, b'{"stato":"ON"}' if relay.on else b'{"stato":"OFF"}')

    def finish(self, now: float) -> None:
        """Count what is on up to `now`, the end."""
        for relay in self.relays:
            self.pass_time(relay, now)
            if relay.on:
                relay.on_s += now - relay.on_since
                relay.spans.append((relay.on_since, now))
                relay.on_since = now

    # -- what was recorded ------------------------------------------------------------------------------------------

    def hook_of(self, topic: str) -> Hook | None:
        """What becomes of a recorded reading that tells of a relay, its load or the home's presence."""
        if found := REPORT.match(topic):
            return self._hear_recorded_state(self._of(found["home"], found["relay"]))
        if found := PRESENCE.match(topic):
            return self._hear_presence(self.site(found["home"]))
        if found := APPLIANCE.match(topic):
            for relay in self.site(found["home"]).relays.values():
                if relay.load and relay.load == found["device"]:
                    return self._stand_in(relay)
        return None

    @staticmethod
    def _hear_recorded_state(relay: Relay) -> Hook:
        def hear(_now: float, payload: Any) -> Any:
            said = payload.get("stato") if isinstance(payload, dict) else payload
            if said in ("ON", "OFF"):
                relay.recorded_on = said == "ON"
            return LEFT_OUT  # the simulated relay speaks for itself

        return hear

    @staticmethod
    def _hear_presence(site: Site) -> Hook:
        def hear(_now: float, payload: Any) -> Any:
            site.offline = payload == "offline"
            return payload

        return hear

    def _stand_in(self, relay: Relay) -> Hook:
        """A meter of one load shows what the simulated load draws."""

        def measure(now: float, payload: Any) -> Any:
            power_w = power_of(payload, "potenza_w")
            if power_w is None:
                return payload
            relay.recorded_w = max(0.0, power_w)
            self.pass_time(relay, now)
            shown: dict[str, Any] = {**payload, "potenza_w": relay.draw_w()}
            if "ampere" in payload:
                shown["ampere"] = round(relay.draw_w() / MAINS_V, 3)
            return shown

        return measure


def _command(payload: bytes) -> tuple[bool, float] | None:
    """Whether on and for how long [s]; None for a command that a device would not obey."""
    try:
        content = json.loads(payload)
    except ValueError:
        return None
    if not isinstance(content, dict) or content.get("stato") not in ("ON", "OFF"):
        return None
    ttl_s = content.get("ttl_s", DEFAULT_TTL_S)
    if isinstance(ttl_s, bool) or not isinstance(ttl_s, (int, float)) or not 0 < ttl_s <= LONGEST_TTL_S:
        return None
    return content["stato"] == "ON", float(ttl_s)
