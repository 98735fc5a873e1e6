"""A simulated community: homes that publish their meters, obey their relays, and have a past to learn from.

The homes speak the wire contract of docs/mqtt.md. What they say follows from the seed, the time and the commands they
got; nothing here opens a connection or reads a clock of its own.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import numpy as np

from solarflow.clock import Clock
from solarflow.energy.faults import Fault
from solarflow.energy.home_model import Reading, SimulatedHome
from solarflow.energy.noise import chance, derive
from solarflow.energy.weather import DAY_S, Weather
from solarflow.errors import UsageError

log = logging.getLogger(__name__)

DEMO_START = 1_750_492_800.0
"""21 June 2025, 10:00 in Turin: where the demonstration begins."""

DEFAULT_TTL_S = 300.0
"""How long a relay stays on after a command that does not say."""

LONGEST_TTL_S = 86_400.0
"""A device takes a longer time for a mistake."""

Publication = tuple[str, dict[str, Any]]
"""A topic and its payload."""


class Incoming(Protocol):
    """A message as the connection hands it over."""

    @property
    def topic(self) -> str:
        """Where it was published."""

    @property
    def payload(self) -> bytes:
        """What was published."""

    @property
    def retain(self) -> bool:
        """Whether the broker had kept it: such a command may be old, and is not obeyed."""


class Subscription(Protocol):
    """What `subscribe` returns."""

    def cancel(self) -> None:
        """Hear no more."""


class Connection(Protocol):
    """What the community needs of an MQTT connection."""

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> bool:
        """Send, or say False where there is no room."""

    def subscribe(self, topic_filter: str, qos: int, callback: Any, /) -> Subscription:
        """Have `callback` called with a list of messages, from any thread, until cancelled."""


def encode(payload: Mapping[str, Any]) -> bytes:
    """The payload as it goes over the wire: compact JSON, keys in the order given."""
    return json.dumps(payload, separators=(",", ":"), allow_nan=False).encode()


class Community:
    """Homes under one sky. `start` (UTC seconds) is where its life begins; that local day and the week before are fair.

    One home, `poor_home`, gives 65 % of normal from four days before that day on (None: none does). `faults` adds more,
    home id -> faults. With `include_ts` the payloads carry the time of measurement. Raises UsageError.
    """

    def __init__(
        self,
        homes: int = 12,
        seed: int = 1,
        start: float = DEMO_START,
        latitude: float = 45.07,
        longitude: float = 7.69,
        *,
        timezone: str = "Europe/Rome",
        poor_home: str | None = "casa_07",
        faults: Mapping[str, Sequence[Fault]] | None = None,
        include_ts: bool = False,
        community: str = "comunita",
    ) -> None:
        if not 1 <= homes <= 100_000:
            raise UsageError(f"a community of {homes} homes cannot be simulated: ask for 1 to 100000")
        self.start = start
        self.include_ts = include_ts
        self.community = community
        self.refused = 0
        """Commands that no device could obey."""
        self.dropped = 0
        """Publications that the connection had no room for."""

        midnight = datetime.fromtimestamp(start, ZoneInfo(timezone)).replace(hour=0, minute=0, second=0, microsecond=0)
        day_begins = midnight.timestamp()
        weather = Weather(
            derive(seed, "weather"),
            latitude,
            longitude,
            fair_from=day_begins - 7 * DAY_S,
            fair_until=day_begins + DAY_S,
        )
        digits = max(2, len(str(homes)))
        ids = [f"casa_{number:0{digits}d}" for number in range(1, homes + 1)]
        wanted: dict[str, list[Fault]] = {home: list(listed) for home, listed in (faults or {}).items()}
        for home in wanted:
            if home not in ids:
                raise UsageError(f"there is no home '{home}' to give a fault to: there are {ids[0]} to {ids[-1]}")
        if poor_home in ids:
            poor_from = (midnight - timedelta(days=4)).timestamp()
            wanted.setdefault(poor_home, []).append(Fault("degraded", start=poor_from, factor=0.65))
        self.homes = [
            _home(home, number, derive(seed, "home", home), weather, timezone, wanted.get(home, ()))
            for number, home in enumerate(ids, start=1)
        ]
        self._by_id = {home.id: home for home in self.homes}
        self._switched: set[str] = set()

    # -- what they are -----------------------------------------------------------------------------------------------

    def registry(self) -> list[dict[str, Any]]:
        """The homes as the homes registry imports them."""
        return [
            {
                "id": home.id,
                "community": self.community,
                "name": f"Casa {number}",
                "peak_power_wp": home.peak_power_wp,
                "tilt_deg": home.tilt,
                "azimuth_deg": home.azimuth,
                "latitude": home.latitude,
                "longitude": home.longitude,
                "loads": [
                    {"name": load.name, "power_w": load.power_w, "relay": relay} for relay, load in home.loads.items()
                ],
            }
            for number, home in enumerate(self.homes, start=1)
        ]

    # -- what they say -----------------------------------------------------------------------------------------------

    def readings(self, now: float) -> Iterator[Publication]:
        """What all homes that are not silent publish at `now`: production, balance, and the state of each relay."""
        for home in self.homes:
            yield from self.home_readings(home, now)
            yield from self.relay_states(home, now)

    def home_readings(self, home: SimulatedHome, now: float) -> list[Publication]:
        """One home's production and balance; nothing while it is silent."""
        reading = home.step(now)
        return [] if home.silent(now) else self._measured(home, now, reading)

    def relay_states(self, home: SimulatedHome, now: float) -> list[Publication]:
        """The state of each of a home's relays as it is at `now`; nothing while it is silent."""
        home.advance(now)
        if home.silent(now):
            return []
        return [self._relay(home, relay, on) for relay, on in home.relay_states.items()]

    def relay_changes(self, now: float) -> list[Publication]:
        """The relays that went on or off, by command or by themselves, since this was last asked."""
        said = []
        for name in sorted(self._switched):
            home = self._by_id[name]
            home.advance(now)
            changes = home.take_changes()
            if not home.silent(now):
                said += [self._relay(home, change.relay, change.on) for change in changes]
            if not any(home.relay_states.values()):
                self._switched.discard(name)
        return said

    def next_expiry(self) -> float:
        """When the next relay of any home falls off by itself (UTC seconds); infinity where all are off."""
        return min((self._by_id[name].next_expiry() for name in self._switched), default=float("inf"))

    def presence(self, state: str, now: float) -> Iterator[tuple[str, bytes]]:
        """The retained `stato` of every home that is not silent: "online" or "offline"."""
        for home in self.homes:
            if not home.silent(now):
                yield f"{self.community}/{home.id}/stato", state.encode()

    def history(self, start: float, end: float, step_s: float = 300.0) -> Iterator[tuple[float, str, dict[str, Any]]]:
        """What the homes measured from `start` up to `end` (UTC seconds), every `step_s`, with their relays off.

        In order of time, as (time, topic, payload); it agrees with what a running community says at those times.
        """
        per_day = max(1, int(DAY_S / step_s))
        count = max(0, int(np.ceil((end - start) / step_s)))
        for first in range(0, count, per_day):
            times = start + step_s * np.arange(first, min(first + per_day, count))
            columns = [(home, home.production(times).tolist(), home.household(times).tolist()) for home in self.homes]
            for place, moment in enumerate(times.tolist()):
                for home, production, household in columns:
                    if home.faults and home.silent(moment):
                        continue
                    reading = Reading(production[place], household[place])
                    for topic, payload in self._measured(home, moment, reading):
                        yield moment, topic, payload

    def _measured(self, home: SimulatedHome, now: float, reading: Reading) -> list[Publication]:
        production_w = round(reading.production_w, 1)
        produced: dict[str, Any] = {
            "potenza_w": production_w,
            "rendimento": round(reading.production_w / home.peak_power_wp, 4),
        }
        balance: dict[str, Any] = {"produzione_w": production_w, "consumo_w": round(reading.consumption_w, 1)}
        if self.include_ts or home.has_wrong_clock:
            produced["ts"] = balance["ts"] = round(now + home.clock_error_s(now), 3)
        return [
            (f"{self.community}/{home.id}/produzione", produced),
            (f"{self.community}/{home.id}/bilancio", balance),
        ]

    def _relay(self, home: SimulatedHome, relay: int, on: bool) -> Publication:
        return f"{self.community}/{home.id}/rele/{relay}", {"stato": "ON" if on else "OFF"}

    # -- what they hear ----------------------------------------------------------------------------------------------

    def on_command(self, topic: str, payload: bytes, now: float) -> list[Publication]:
        """Obey `.../rele/<n>/set` or `.../pulizia/set`; returns what the homes answer: changes, and the relay's state.

        A command that cannot be obeyed is logged and counted in `refused`; a silent home hears nothing.
        """
        try:
            home, relay = self._addressed(topic)
            on, ttl_s, max_s = _command(payload)
        except UsageError as error:
            self.refused += 1
            log.warning("command on %s refused: %s", topic, error)
            return []
        if home.silent(now):
            return []
        if relay is None:
            home.clean(on, ttl_s, max_s, now)
            return []
        home.switch(relay, on, ttl_s, now)
        self._switched.add(home.id)
        changed = self.relay_changes(now)
        answer = self._relay(home, relay, on)
        return changed if answer in changed else [*changed, answer]

    def _addressed(self, topic: str) -> tuple[SimulatedHome, int | None]:
        match topic.removeprefix(f"{self.community}/").split("/"):
            case [name, "rele", number, "set"] if name in self._by_id and number.isdecimal():
                home, relay = self._by_id[name], int(number)
                if relay in home.loads:
                    return home, relay
                raise UsageError(f"{name} has no relay {relay}, only {', '.join(map(str, home.loads))}")
            case [name, "pulizia", "set"] if name in self._by_id:
                return self._by_id[name], None
        raise UsageError(f"expected {self.community}/<home>/rele/<n>/set or {self.community}/<home>/pulizia/set")

    # -- over a connection -------------------------------------------------------------------------------------------

    async def run(
        self, connection: Connection, clock: Clock, interval_s: float = 60.0, *, announce_s: float = 60.0
    ) -> None:
        """Publish over `connection` and obey what comes from it, on `clock`, until cancelled.

        Every home reads its meters each `interval_s` clock seconds, the homes spread over that time, and says where its
        relays stand each `announce_s`; a relay whose time runs out says so at that moment. On the way out the homes
        publish that they are offline.
        """
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        ended = False

        def obey(messages: list[Incoming]) -> None:
            for message in messages:
                if not ended and not message.retain:
                    self._send(connection, self.on_command(message.topic, message.payload, clock.now()))
            woken.set()

        def hear(messages: Sequence[Incoming]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(obey, list(messages))

        def present(now: float) -> list[Publication]:
            self._send_presence(connection, "online", now)
            return []

        began = clock.monotonic()
        spread = [(began + interval_s * place / len(self.homes), home) for place, home in enumerate(self.homes)]
        say: list[tuple[float, Callable[[float], list[Publication]]]] = [(announce_s, present)]
        due = [(began, 0)]
        for first, home in spread:
            for period_s, what in ((interval_s, self.home_readings), (announce_s, self.relay_states)):
                due.append((first, len(say)))
                say.append((period_s, partial(what, home)))
        heapq.heapify(due)

        commands = [
            connection.subscribe(f"{self.community}/+/{tail}", 0, hear) for tail in ("rele/+/set", "pulizia/set")
        ]
        try:
            while True:
                now, moment = clock.now(), clock.monotonic()
                self._send(connection, self.relay_changes(now))
                while due[0][0] <= moment:
                    when, number = due[0]
                    period_s, what_is_said = say[number]
                    late_s = (moment - when) % period_s  # a rhythm that was missed goes on where it would be
                    heapq.heapreplace(due, (moment - late_s + period_s, number))
                    self._send(connection, what_is_said(now))
                wait_s = max(0.0, min(due[0][0] - moment, self.next_expiry() - now))
                woken.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(woken.wait(), clock.real_seconds(wait_s))
        finally:
            ended = True
            for subscription in commands:
                subscription.cancel()
            self._send_presence(connection, "offline", clock.now())

    def _send(self, connection: Connection, publications: Iterable[Publication]) -> None:
        for topic, payload in publications:
            if not connection.publish(topic, encode(payload), qos=0, retain=False):
                self.dropped += 1

    def _send_presence(self, connection: Connection, state: str, now: float) -> None:
        for topic, payload in self.presence(state, now):
            if not connection.publish(topic, payload, qos=1, retain=True):
                self.dropped += 1


def _home(
    name: str,
    number: int,
    seed: int,
    weather: Weather,
    timezone: str,
    faults: Sequence[Fault],
) -> SimulatedHome:
    """A home as its seed makes it: 3 to 6 kWp, facing about the equator; every seventh small and busy all day."""
    latitude, longitude = weather.latitude, weather.longitude
    short_of_surplus = number % 7 == 4
    return SimulatedHome(
        id=name,
        peak_power_wp=3000.0 if short_of_surplus else 3300.0 + 50.0 * int(55 * chance(seed, "peak")),
        tilt=18.0 + int(15 * chance(seed, "tilt")),
        azimuth=(180.0 if latitude >= 0 else 0.0) + int(17 * chance(seed, "azimuth")),
        latitude=round(latitude + 0.01 * (chance(seed, "north") - 0.5), 5),
        longitude=round(longitude + 0.014 * (chance(seed, "east") - 0.5), 5),
        seed=seed,
        weather=weather,
        faults=tuple(faults),
        load_scale=2.4 if short_of_surplus else 0.8 + 1.2 * chance(seed, "busy") ** 2,
        timezone=timezone,
    )


def _command(payload: bytes) -> tuple[bool, float, float]:
    """Whether on, for how long, and for how long at most; both in seconds. Raises UsageError."""
    try:
        content = json.loads(payload)
    except ValueError as error:
        raise UsageError(f'the payload is not JSON ({error}); expected {{"stato": "ON", "ttl_s": 300}}') from None
    if not isinstance(content, dict) or content.get("stato") not in ("ON", "OFF"):
        raise UsageError('expected {"stato": "ON", "ttl_s": 300} or {"stato": "OFF"}')
    durations = []
    for name in ("ttl_s", "max_s"):
        seconds = content.get(name, DEFAULT_TTL_S if name == "ttl_s" else LONGEST_TTL_S)
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= LONGEST_TTL_S:
            raise UsageError(f"{name} is {seconds!r}; expected seconds above 0 and at most {LONGEST_TTL_S:.0f}")
        durations.append(float(seconds))
    return content["stato"] == "ON", durations[0], durations[1]
