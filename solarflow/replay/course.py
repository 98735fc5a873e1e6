"""An engine on its way through recorded time: readings come in, timers fall due, and nobody waits for anything.

What flows publish comes back to the flows that subscribe to it, as from a broker. Devices that are simulated beside the
engine (see `Devices`) act at their own moments in between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import Any, Final, Protocol

from solarflow.clock import VirtualClock
from solarflow.engine import Engine
from solarflow.errors import UsageError
from solarflow.executor import Executor
from solarflow.mqtt.topics import matches
from solarflow.offline import OfflineConnection, OfflineMessage, OfflineMqtt, OfflineSubscription
from solarflow.plan import Plan
from solarflow.registry import Registry
from solarflow.replay.recording import Reading
from solarflow.replay.wire import encode
from solarflow.services import ReadyMessage, Services

MOST_AT_ONCE: Final = 100_000
"""So many messages may come back to the flows within one moment; flows that feed each other for ever send more."""
KNOWN_TOPICS: Final = 100_000
PROGRESS_EVERY: Final = 4096
READY_VALUES: Final = 16
READY_TEXT: Final = 200

LEFT_OUT: Final = object()
"""What a hook returns in place of the payload of a reading that is not to enter the flows."""
Hook = Callable[[float, Any], Any]
"""Takes the time and the payload of a reading on one topic; returns the payload that enters the flows, or LEFT_OUT."""
Channel = tuple[Hook | None, tuple[Callable[[list[Any]], None], ...]]


class Devices(Protocol):
    """What acts in virtual time beside the engine."""

    next_due: float
    """When it acts next by itself (UTC seconds); infinity where it does not."""

    def fall_due(self, now: float) -> None:
        """It is `next_due` now."""


class NoDevices:
    """Nothing beside the engine."""

    next_due = inf

    def fall_due(self, now: float) -> None:
        """Never called."""


class VirtualBroker(OfflineMqtt):
    """The MQTT service of a course: what is published waits in `returning` until the work of the moment is done."""

    def __init__(self, on_publish: Callable[[OfflineMessage], None], *, returns: bool = True) -> None:
        """`returns`: whether what flows publish comes back to those that subscribe to it."""
        super().__init__(on_publish)
        self.returning: deque[OfflineMessage] = deque()
        self.on_change: Callable[[], None] = lambda: None
        """Called when somebody subscribes or leaves."""
        self._returns = returns

    def connect(self, options: Mapping[str, Any], on_state: Callable[[str, str], None]) -> OfflineConnection:
        """A connection that is up at once."""
        connection = _Connection(self, options, on_state)
        self.connections.append(connection)
        on_state("connected", "")
        return connection

    def record(self, message: OfflineMessage) -> None:
        """Hand on what a flow publishes, and let it come back."""
        if self._returns:
            self.returning.append(message._replace(retain=False))
        super().record(message)

    def hearers(self, topic: str) -> tuple[Callable[[list[Any]], None], ...]:
        """Who subscribes to a topic."""
        return tuple(
            subscription.callback
            for connection in self.connections
            for subscription in connection.subscriptions
            if matches(subscription.filter, topic)
        )


class _Connection(OfflineConnection):
    def subscribe(self, filter_: str, qos: int, callback: Callable[[list[Any]], None]) -> OfflineSubscription:
        subscription = _Subscription(filter_, qos, callback, self)
        self.subscriptions.append(subscription)
        self.changed()
        return subscription

    def close(self) -> None:
        super().close()
        self.changed()

    def changed(self) -> None:
        assert isinstance(self.service, VirtualBroker)  # noqa: S101 - which makes them
        self.service.on_change()


class _Subscription(OfflineSubscription):
    def cancel(self) -> None:
        super().cancel()
        assert isinstance(self.connection, _Connection)  # noqa: S101 - which makes them
        self.connection.changed()


class Course:
    """An engine, its virtual clock and its broker. `services.mqtt` must be the broker given here."""

    def __init__(
        self,
        registry: Registry,
        services: Services,
        broker: VirtualBroker,
        start: float,
        *,
        executor: Executor | None = None,
        environ: Mapping[str, str] | None = None,
        devices: Devices | None = None,
        hook_of: Callable[[str], Hook | None] = lambda _topic: None,
    ) -> None:
        """`hook_of(topic)` may give a function through which every reading on that topic goes first."""
        self.clock = VirtualClock(start)
        self.engine = Engine(registry, self.clock, services, executor=executor, environ=environ)
        self.broker = broker
        self.readings = 0
        """How many have come in."""
        self.out_of_order = 0
        """How many of them were older than the one before."""
        self.left_out = 0
        """How many did not enter the flows: a hook kept them."""
        self._devices = devices if devices is not None else NoDevices()
        self._hook_of = hook_of
        self._channels: dict[str, Channel] = {}
        self._awake = False
        self._next = -inf
        self._ended = False
        self.engine.on_wake = self._wake
        self.engine.timers.on_earlier = self.earlier
        broker.on_change = self._channels.clear

    def deploy(self, plan: Plan) -> None:
        """Begin with all flows of a plan."""
        self.engine.deploy(plan, "full")
        self.settle()

    def end(self) -> None:
        """Take no further reading; callable from a signal handler."""
        self._ended = True

    @property
    def ended(self) -> bool:
        """Whether `end` was called."""
        return self._ended

    # -- time -------------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        self._awake = True

    def earlier(self) -> None:
        """Something may be due earlier than it was: look again."""
        self._next = -inf

    def advance_to(self, moment: float) -> None:
        """Let time pass up to `moment` (UTC seconds); timers and devices act at their own moments on the way."""
        clock, timers, engine, devices = self.clock, self.engine.timers, self.engine, self._devices
        self.settle()
        while True:
            now = clock.now()
            wait = timers.wait()
            due = min(inf if wait is None else now + wait, devices.next_due)
            if due > moment or self._ended:
                break
            clock.move_to(max(now, due))
            if devices.next_due <= due:
                devices.fall_due(clock.now())
            engine.run_due()
            self.settle()
        if not self._ended:
            clock.move_to(max(moment, clock.now()))
        self._next = due

    def settle(self) -> None:
        """Deliver what waits in the engine's queue, and what was published.

        Raises UsageError where that never ends.
        """
        returning, channels = self.broker.returning, self._channels
        left = MOST_AT_ONCE
        while self._awake or returning:
            if self._awake:
                self._awake = False
                self.engine.drain()
                continue
            message = returning.popleft()
            left -= 1
            if left < 0:
                raise UsageError(
                    f"the flows feed each other over MQTT without end: {MOST_AT_ONCE} messages at one moment, the last "
                    f"on '{message.topic}'; let a flow not publish where it subscribes"
                )
            channel = channels.get(message.topic)
            if channel is None:
                channel = self._open(message.topic)
            for hearer in channel[1]:
                hearer([message])

    # -- readings ---------------------------------------------------------------------------------------------------

    def _open(self, topic: str) -> Channel:
        if len(self._channels) >= KNOWN_TOPICS:
            self._channels.clear()
        channel = self._channels[topic] = (self._hook_of(topic), self.broker.hearers(topic))
        return channel

    def feed(self, readings: Iterable[Reading], progress: Callable[[], None] = lambda: None) -> None:
        """Run all readings, in the order in which they come; `progress` is called now and then.

        The clock follows the times of arrival and never goes back: a reading that is older than the one before arrives
        when its turn comes, with its own time as `ts` in its payload.
        """
        clock, channels, returning = self.clock, self._channels, self.broker.returning
        now, count = clock.now(), self.readings
        for ts, topic, payload, retained in readings:
            if ts > now:
                if ts >= self._next:
                    self.advance_to(ts)
                else:
                    clock.move_to(ts)
                now = ts
            elif ts < now:
                self.out_of_order += 1
                if payload.__class__ is dict and "ts" not in payload:
                    payload = {**payload, "ts": ts}
            if self._ended:
                break
            count += 1
            if not count % PROGRESS_EVERY:
                self.readings = count
                progress()
            channel = channels.get(topic)
            if channel is None:
                channel = self._open(topic)
            hook, hearers = channel
            if hook is not None:
                payload = hook(now, payload)
                if payload is LEFT_OUT:
                    self.left_out += 1
                    continue
            if hearers:
                message: Any
                if payload.__class__ is dict and is_plain(payload):
                    message = ReadyMessage(topic, payload, retained)
                else:
                    message = OfflineMessage(topic, encode(payload), 0, retained)
                for hearer in hearers:
                    hearer([message])
            if self._awake or returning:
                self.settle()
        self.readings = count


def is_plain(payload: dict[str, Any]) -> bool:
    """Whether a payload is what `ReadyMessage` promises: nearly all readings of meters are."""
    if len(payload) > READY_VALUES:
        return False
    for value in payload.values():
        kind = value.__class__
        if kind is float:
            if value - value != 0.0:
                return False
        elif kind is str:
            if len(value) > READY_TEXT or not value.isascii():
                return False
        elif not (kind is int or kind is bool or value is None):
            return False
    return True
