"""MQTT, HTTP and alerts that record instead of act: the world of a test and of a replay."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from solarflow.http_routes import answered_by
from solarflow.mqtt.topics import matches
from solarflow.services import AnswerHeaders, Cancel, HttpRequest


class OfflineMessage(NamedTuple):
    """One MQTT message, in or out."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: Any = None

    @property
    def json(self) -> Any:
        """The payload as the JSON value it is."""
        return json.loads(self.payload)


@dataclass(slots=True)
class OfflineSubscription:
    """One filter and who hears of it."""

    filter: str
    qos: int
    callback: Callable[[list[Any]], None]
    connection: OfflineConnection

    def cancel(self) -> None:
        """End it."""
        if self in self.connection.subscriptions:
            self.connection.subscriptions.remove(self)


class OfflineConnection:
    """A connection that is up (unless `connected` is set to False) and leads nowhere."""

    def __init__(self, service: OfflineMqtt, options: Mapping[str, Any], on_state: Callable[[str, str], None]) -> None:
        self.service = service
        self.options = options
        self.on_state = on_state
        self.subscriptions: list[OfflineSubscription] = []
        self.connected = True
        self.waiting: list[OfflineMessage] = []

    def subscribe(self, filter_: str, qos: int, callback: Callable[[list[Any]], None]) -> OfflineSubscription:
        """Hand what `OfflineMqtt.deliver` brings to `callback`."""
        subscription = OfflineSubscription(filter_, qos, callback, self)
        self.subscriptions.append(subscription)
        return subscription

    def publish(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False, *, queue: bool = False) -> bool:
        """Record the message; refused while the connection is down, as the real one does."""
        message = OfflineMessage(topic, bytes(payload), qos, retain)
        if not self.connected:
            if queue:
                self.waiting.append(message)
            return queue
        self.service.record(message)
        return True

    def set_connected(self, connected: bool, reason: str = "") -> None:
        """Let the line break or come back."""
        self.connected = connected
        if connected:
            waiting, self.waiting = self.waiting, []
            for message in waiting:
                self.service.record(message)
        self.on_state("connected" if connected else "disconnected", reason)

    def close(self) -> None:
        """Take it out of the service."""
        self.connected = False
        if self in self.service.connections:
            self.service.connections.remove(self)


class OfflineMqtt:
    """The MQTT service of tests and replay: `published` has what went out, `deliver` brings something in."""

    def __init__(self, on_publish: Callable[[OfflineMessage], None] | None = None) -> None:
        self.connections: list[OfflineConnection] = []
        self.published: list[OfflineMessage] = []
        self.on_publish = on_publish
        """Where set, published messages go there and are not kept."""

    def connect(self, options: Mapping[str, Any], on_state: Callable[[str, str], None]) -> OfflineConnection:
        """A connection that is up at once."""
        connection = OfflineConnection(self, options, on_state)
        self.connections.append(connection)
        on_state("connected", "")
        return connection

    def record(self, message: OfflineMessage) -> None:
        """Keep a published message, or hand it on."""
        if self.on_publish is not None:
            self.on_publish(message)
        else:
            self.published.append(message)

    def deliver(self, topic: str, payload: Any, *, qos: int = 0, retain: bool = False) -> int:
        """Bring a message in; what is not bytes goes as JSON. The number of subscriptions that got it."""
        raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        message = OfflineMessage(topic, raw, qos, retain)
        heard = 0
        for connection in list(self.connections):
            for subscription in list(connection.subscriptions):
                if matches(subscription.filter, topic):
                    subscription.callback([message])
                    heard += 1
        return heard


@dataclass(slots=True)
class OfflineRequest:
    """A request of a test, and its answer once it has come."""

    method: str
    url: str
    params: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    answer: tuple[int, AnswerHeaders, bytes] | None = None

    def respond(self, status: int, headers: AnswerHeaders, body: bytes) -> bool:
        """Keep the first answer."""
        if self.answer is not None:
            return False
        self.answer = (status, headers, body)
        return True


class OfflineHttp:
    """The HTTP service of tests and replay."""

    def __init__(self) -> None:
        self.routes: dict[tuple[str, str], Callable[[HttpRequest], None]] = {}

    def route(self, method: str, url: str, handler: Callable[[HttpRequest], None]) -> Cancel:
        """Remember who answers."""
        key = (method.upper(), url)
        self.routes[key] = handler

        def cancel() -> None:
            self.routes.pop(key, None)

        return cancel

    def request(
        self, method: str, url: str, *, body: bytes = b"", query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None, params: Mapping[str, str] | None = None, route: str = "",
    ) -> OfflineRequest:  # fmt: skip
        """Ask the flow that answers `route` (default: `url`). Raises KeyError where none does."""
        request = OfflineRequest(method.upper(), url, params or {}, query or {}, headers or {}, body)
        keys = [(own, route or url) for own in answered_by(method.upper())]
        self.routes[next((key for key in keys if key in self.routes), keys[0])](request)
        return request


@dataclass(slots=True)
class OfflineAlert:
    """One alert, open while `closed_at` is None."""

    home: str
    code: str
    parameters: dict[str, Any]
    opened_at: float
    closed_at: float | None = None


class OfflineAlerts:
    """Alerts and events in memory."""

    def __init__(self) -> None:
        self.alerts: list[OfflineAlert] = []
        self.events: list[tuple[str, str, dict[str, Any], float]] = []

    def _find(self, home: str, code: str) -> int | None:
        for index, alert in enumerate(self.alerts):
            if alert.closed_at is None and (alert.home, alert.code) == (home, code):
                return index
        return None

    def open(self, home: str, code: str, parameters: Mapping[str, Any], now: float) -> int:
        """Open an alert; its number."""
        found = self._find(home, code)
        if found is not None:
            return found
        self.alerts.append(OfflineAlert(home, code, dict(parameters), now))
        return len(self.alerts) - 1

    def close(self, home: str, code: str, now: float, parameters: Mapping[str, Any] | None = None) -> bool:
        """Close an alert."""
        found = self._find(home, code)
        if found is None:
            return False
        self.alerts[found].closed_at = now
        self.alerts[found].parameters.update(parameters or {})
        return True

    def event(self, kind: str, home: str, parameters: Mapping[str, Any], now: float) -> None:
        """Keep an event."""
        self.events.append((kind, home, dict(parameters), now))


@dataclass(frozen=True, slots=True)
class OfflineHome:
    """A home of a test."""

    id: str
    community: str = "comunita"
    name: str = ""
    peak_power_wp: float | None = None
    tilt_deg: float | None = None
    azimuth_deg: float | None = None
    latitude: float | None = None
    longitude: float | None = None
    loads: tuple[Mapping[str, Any], ...] = ()
    approved: bool = True


class OfflineHomes:
    """A registry of homes in memory."""

    def __init__(self, homes: Iterable[Mapping[str, Any]] = ()) -> None:
        self._homes = {home["id"]: OfflineHome(**home) for home in homes}
        self.unknown: list[tuple[str, str, bytes, float]] = []

    def get(self, home: str) -> OfflineHome | None:
        """The home of that id."""
        return self._homes.get(home)

    def all(self, community: str | None = None) -> list[OfflineHome]:
        """All of them."""
        return [home for home in self._homes.values() if community in (None, home.community)]

    def add(self, **home: Any) -> None:
        """Register, or replace, a home."""
        self._homes[home["id"]] = OfflineHome(**home)

    def note_unknown(self, home: str, topic: str, payload: bytes, now: float) -> None:
        """Remember who spoke."""
        self.unknown.append((home, topic, payload, now))
