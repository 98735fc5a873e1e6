"""The world of a running scenario: a broker, askers, relays and alerts that note what happens, and an agenda."""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from solarflow.http_routes import ANSWER_WITHIN_S, answered_by, route_pattern
from solarflow.offline import (
    OfflineAlerts,
    OfflineConnection,
    OfflineHomes,
    OfflineHttp,
    OfflineMessage,
    OfflineMqtt,
    OfflineRequest,
)
from solarflow.scenario.events import Event
from solarflow.scenario.memory_store import MemoryStore
from solarflow.services import AnswerHeaders
from solarflow.store.homes import Home

Action = Callable[[], None]
BEFORE, FIRST, LAST = -1, 0, 1
"""Of what happens at one moment: the engine is back first, looking at it comes last."""


class Agenda:
    """What is to happen, by time [s from the start] and order."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, int, Action]] = []
        self._count = 0

    def add(self, t: float, action: Action, order: int = FIRST) -> None:
        """Let `action` happen at `t`."""
        self._count += 1
        heapq.heappush(self._heap, (t, order, self._count, action))

    @property
    def next_t(self) -> float | None:
        """When the next is due; None where nothing is left."""
        return self._heap[0][0] if self._heap else None

    def pop(self) -> Action:
        """Take the next."""
        return heapq.heappop(self._heap)[3]


class World:
    """What is outside of the engine, with the list of what came of it."""

    def __init__(self, start: float, now: Callable[[], float]) -> None:
        """`start` in UTC seconds; `now` gives the seconds since then."""
        self.start = start
        self.now = now
        self.agenda = Agenda()
        self.events: list[Event] = []
        self.mqtt = WorldMqtt(self)
        self.http = WorldHttp(self)
        self.alerts = WorldAlerts(self)
        self.store = MemoryStore(self._recorded)
        self.homes = OfflineHomes()
        self.on_command: dict[str, Callable[[bytes], None]] = {}
        """Devices, by the topic of their commands."""
        self.engine_is_up = True

    def note(self, kind: str, *subject: str, **detail: Any) -> None:
        """Add an event of this moment."""
        # UTC seconds as floats are exact to a quarter of a microsecond only.
        self.events.append(Event(round(self.now(), 6), kind, subject, detail))

    def later(self, seconds: float, action: Action, order: int = FIRST) -> None:
        """Let something happen after so many seconds."""
        self.agenda.add(self.now() + seconds, action, order)

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        """A device publishes: the engine hears it, if both reach the broker."""
        if self.mqtt.up:
            if self.engine_is_up:
                self.mqtt.deliver(topic, payload, retain=retain)
            if topic in self.on_command:
                self.on_command[topic](payload)

    def _recorded(self, home: str, quantity: str, ts: float, value: float) -> None:
        self.note("records", f"{home}/{quantity}", value=value, measured=ts - self.start)


def parsed(payload: bytes) -> Any:
    """A payload as JSON, else as text."""
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode(errors="replace")


class WorldMqtt(OfflineMqtt):
    """A broker: what flows publish reaches the devices, and the flows that listen."""

    def __init__(self, world: World) -> None:
        super().__init__(on_publish=self._published)
        self._world = world
        self.up = True

    def connect(self, options: Mapping[str, Any], on_state: Callable[[str, str], None]) -> OfflineConnection:
        """A connection; it is up where the broker is."""
        if self.up:
            return super().connect(options, on_state)
        connection = OfflineConnection(self, options, on_state)
        connection.connected = False
        self.connections.append(connection)
        on_state("disconnected", "the broker is down")
        return connection

    def set_up(self, up: bool) -> None:
        """Let the broker go, or come back."""
        if up == self.up:
            return
        self.up = up
        for connection in list(self.connections):
            connection.set_connected(up, "" if up else "the broker is down")

    def _published(self, message: OfflineMessage) -> None:
        self._world.note("publishes", message.topic, payload=parsed(message.payload), retain=message.retain)
        # Through the agenda, because a broker brings a message back only when whoever sent it has finished.
        self._world.later(0.0, lambda: self._world.publish(message.topic, message.payload))


class WorldHttp(OfflineHttp):
    """Askers; each answer is noted when it comes."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def ask(self, asked: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Ask; `asked` is method and address."""
        method, _, address = asked.partition(" ")
        url = urlsplit(address)
        if not self._world.engine_is_up:
            self._world.note("answers", asked, status=0, body=None)
            return
        for (own, route), handler in self.routes.items():
            found = route_pattern(route).fullmatch(url.path)
            if found is not None and own in answered_by(method):
                params = {name: value for name, value in found.groupdict().items() if value is not None}
                request = _Request(method, url.path, params, dict(parse_qsl(url.query)), dict(headers), body)
                request.note = lambda status, said: self._world.note("answers", asked, status=status, body=said)
                handler(request)
                if request.answer is None:
                    self._world.later(ANSWER_WITHIN_S, request.give_up)
                return
        self._world.note("answers", asked, status=404, body=None)


class _Request(OfflineRequest):
    """A request that tells of its answer."""

    note: Callable[[int, Any], None]

    def respond(self, status: int, headers: AnswerHeaders, body: bytes) -> bool:
        if not super().respond(status, headers, body):
            return False
        self.note(status, parsed(body))
        return True

    def give_up(self) -> None:
        """Nobody answered in time."""
        self.respond(504, {}, b"null")


class WorldAlerts(OfflineAlerts):
    """Alerts, noted when they open and close. They outlive the engine, as the store's do."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def open(self, home: str, code: str, parameters: Mapping[str, Any], now: float) -> int:
        """Open an alert; one that is open is no event."""
        known = len(self.alerts)
        number = super().open(home, code, parameters, now)
        if len(self.alerts) > known:
            self._world.note("opens_alert", code, home, **{"with": dict(parameters)})
        return number

    def close(self, home: str, code: str, now: float, parameters: Mapping[str, Any] | None = None) -> bool:
        """Close an alert; one that is not open is no event."""
        closed = super().close(home, code, now, parameters)
        if closed:
            self._world.note("closes_alert", code, home, **{"with": dict(parameters or {})})
        return closed


class WorldHomes(OfflineHomes):
    """The register of homes; who waits for approval is noted once."""

    def __init__(self, world: World, homes: Iterable[Home]) -> None:
        super().__init__()
        self._world = world
        self._waiting: set[str] = set()
        for home in homes:
            self.approve(home)

    def approve(self, home: Home) -> None:
        """Register, or change, a home."""
        self.add(**{name: getattr(home, name) for name in Home.model_fields})
        self._waiting.discard(home.id)

    def note_unknown(self, home: str, topic: str, payload: bytes, now: float) -> None:
        """Remember who spoke."""
        super().note_unknown(home, topic, payload, now)
        if home not in self._waiting:
            self._waiting.add(home)
            self._world.note("awaits_approval", home)
