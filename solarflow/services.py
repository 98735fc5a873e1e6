"""What the world outside offers to nodes: MQTT, HTTP routes, the store, the homes. Handed in, never imported.

The same flow runs live, in replay and in a test because only these are exchanged. Everything here is called on the
engine's thread.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Cancel = Callable[[], None]
AnswerHeaders = Mapping[str, str | list[str]]
"""Headers of an HTTP answer; a list is a header for each of its texts, as `set-cookie` needs."""


class Incoming(Protocol):
    """One MQTT message as it came."""

    @property
    def topic(self) -> str: ...
    @property
    def payload(self) -> bytes: ...
    @property
    def qos(self) -> int: ...
    @property
    def retain(self) -> bool: ...


class ReadyMessage:
    """A message whose payload is known as a JSON object already, as a replay has it: `mqtt in` need not read it again.

    As a text it is shorter than 64 KB; its values are finite numbers, ASCII texts, true, false and null, so nothing
    lies deeper. Who takes it makes a copy.
    """

    __slots__ = ("payload_object", "qos", "retain", "topic")

    def __init__(self, topic: str, payload_object: dict[str, Any], retain: bool = False) -> None:
        self.topic = topic
        self.payload_object = payload_object
        self.qos = 0
        self.retain = retain

    @property
    def payload(self) -> bytes:
        """What went over the wire, for whoever wants bytes."""
        return json.dumps(self.payload_object, separators=(",", ":")).encode()


class MqttConnection(Protocol):
    """One connection to a broker, shared by the nodes that name the same `mqtt-broker` node."""

    def subscribe(self, filter_: str, qos: int, callback: Callable[[list[Any]], None]) -> Any:
        """Hand every batch of matching messages (`Incoming`) to `callback`; the result's `cancel()` ends it."""

    def publish(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False, *, queue: bool = False) -> bool:
        """Send. False: it was not sent; with `queue` it waits (bounded) for the connection instead."""

    def close(self) -> None:
        """Say goodbye and disconnect; the rest happens by itself."""


class MqttService(Protocol):
    """Makes connections."""

    def connect(self, options: Mapping[str, Any], on_state: Callable[[str, str], None]) -> MqttConnection:
        """A connection by an `mqtt-broker` node's options; `on_state(state, reason)` is told every change.

        `options["broker"]` is a host name, or "" for the broker that the installation was started with.
        """


class HttpRequest(Protocol):
    """One request that waits for its answer."""

    method: str
    url: str
    """The path that was asked for."""
    params: Mapping[str, str]
    """What the route's `:name` parts matched."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def respond(self, status: int, headers: AnswerHeaders, body: bytes) -> bool:
        """Answer, once. False: somebody answered before, or nobody waits any more."""


class HttpService(Protocol):
    """Routes of flows."""

    def route(self, method: str, url: str, handler: Callable[[HttpRequest], None]) -> Cancel:
        """Hand requests for `url` (`/api/homes/:home`) to `handler` until cancelled."""


class StoreService(Protocol):
    """Recorded series, by home and quantity (`production_w`), times in UTC seconds."""

    def append(self, home: str, quantity: str, ts: float, value: float) -> None:
        """Keep one sample; written within a second."""

    def samples(
        self, home: str, quantity: str, start: float, end: float, limit: int = ..., *, as_of: float | None = None
    ) -> Sequence[tuple[float, float]]:
        """Raw (ts, value), start included, end not, oldest first."""

    def hourly(
        self, home: str, quantity: str, start: float, end: float, *, as_of: float | None = None
    ) -> Sequence[Any]:
        """Hourly rollups: objects with `ts` (start of the hour), `n`, `sum`, `min`, `max`, `mean`."""

    def latest(self, home: str, quantity: str, *, as_of: float | None = None) -> tuple[float, float] | None:
        """The newest (ts, value)."""


class Home(Protocol):
    """One home as registered."""

    @property
    def id(self) -> str: ...
    @property
    def community(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def peak_power_wp(self) -> float | None: ...
    @property
    def approved(self) -> bool: ...


class HomesService(Protocol):
    """The registry of homes."""

    def get(self, home: str) -> Any | None:
        """The `Home` of that id, or None; cheap enough to ask for every message."""

    def all(self, community: str | None = None) -> Iterable[Any]:
        """Every registered home."""

    def note_unknown(self, home: str, topic: str, payload: bytes, now: float) -> None:
        """Remember, for approval, that somebody unknown speaks."""


class AlertsService(Protocol):
    """Alerts that stay until they are over, and a bounded list of events."""

    def open(self, home: str, code: str, parameters: Mapping[str, Any], now: float) -> int:
        """Open an alert; one that is open already stays as it is."""

    def close(self, home: str, code: str, now: float, parameters: Mapping[str, Any] | None = None) -> bool:
        """Close it. False: none was open."""

    def event(self, kind: str, home: str, parameters: Mapping[str, Any], now: float) -> None:
        """Append to the list of events."""


@dataclass(slots=True)
class Services:
    """Everything that is handed to nodes. What is None is not there, and a node that needs it says so."""

    mqtt: MqttService | None = None
    http: HttpService | None = None
    store: StoreService | None = None
    homes: HomesService | None = None
    alerts: AlertsService | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The manifest's `settings`: `allow_code`, `timezone` ..."""
