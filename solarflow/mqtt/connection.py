"""One connection to one broker, driven by an asyncio loop: what the MQTT nodes stand on.

No network thread: the loop watches the socket, and only the blocking part of connecting (name, TCP, TLS) runs in a
thread of its own. Everything here belongs to the loop's thread, and every callback is called there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random as _random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from solarflow.mqtt import reasons
from solarflow.mqtt.client import AnyClient
from solarflow.mqtt.driver import Driver, build_client
from solarflow.mqtt.options import Backoff, BrokerOptions, Limits, Outgoing
from solarflow.mqtt.packets import Incoming
from solarflow.mqtt.routing import BrokerFilter, OnMessages, Router, Subscription
from solarflow.mqtt.topics import validate_topic

logger = logging.getLogger(__name__)

_FILTERS_PER_PACKET = 100
_ASK_RETAINED, _NO_RETAINED = 0, 2  # MQTT 5's Retain Handling (3.8.3.1)
_NO_FILTER = "solarflow/nothing"  # taking back a subscription that is not there asks the broker for an answer


class State(StrEnum):
    """How a connection stands."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    """Lost or stopped; when lost, a new attempt follows."""
    REFUSED = "refused"
    """An attempt failed; the reason says what to do. A new attempt follows, at growing intervals."""


class Counters(NamedTuple):
    """What passed and what did not, since the connection object was made."""

    received: int
    published: int
    dropped_in: int
    """Messages that were too long."""
    dropped_out: int
    """Messages refused by `publish()`, or pushed out of the outbox."""
    reconnects: int


OnState = Callable[[State, str], None]


def _ignore(_state: State, _reason: str) -> None:
    pass


class Connection:
    """Keeps a connection to a broker up, its subscriptions alive and its outbox moving.

    `on_state` is called with each new state and its reason. `random` (numbers from 0 up to 1) and `limits` are there
    for tests. Raises UsageError when a certificate file cannot be used.
    """

    def __init__(
        self,
        options: BrokerOptions,
        on_state: OnState = _ignore,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        limits: Limits | None = None,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self.options = options
        self.limits = limits or Limits()
        self.state = State.DISCONNECTED
        self.reason = "not started"
        self.last_error = ""
        """The last thing that went wrong, in words; it stays when all is well again."""
        self._on_state = on_state
        self._loop = loop or asyncio.get_running_loop()
        self._backoff = Backoff(self.limits, random)
        self._router = Router(protocol_5=options.protocol == 5, now=self._loop.time, on_error=self._note)
        self._outbox: deque[Outgoing] = deque()
        self._received = self._published = self._dropped_out = self._reconnects = 0
        self._dropped_in_before = 0
        self._tls = options.tls_context() if options.tls else None
        self._client, self._driver = self._new_client()
        self._task: asyncio.Task[None] | None = None
        self._up = asyncio.Event()
        self._down = asyncio.Event()
        self._acknowledged = asyncio.Event()
        self._answered = asyncio.Event()
        self._sync_due = self._stopping = False
        self._connected_once = False
        self._connected_at: float | None = None
        self._refusal = self._logged = ""
        self._loss: ReasonCode | None = None
        self._unacknowledged: set[int] = set()
        self._asked: dict[int, list[str]] = {}
        self._farewell_id: int | None = None

    def _new_client(self) -> tuple[AnyClient, Driver]:
        client = build_client(self.options, self.limits, self._tls, self._on_batch)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_unsubscribe = self._on_unsubscribe
        client.on_publish = self._on_publish

        def went_down() -> None:
            if client is self._client:  # and not one that was abandoned while it connected
                self._up.clear()
                self._down.set()

        return client, Driver(client, self._loop, went_down)

    # ---------------------------------------------------------------------------------------------------- the face

    def start(self) -> None:
        """Begin to connect, and stay connected until `stop()`. Starting twice does nothing."""
        if self._task is None:
            self._stopping = False
            self._task = self._loop.create_task(self._run(), name=f"mqtt {self.options.address}")

    async def stop(self) -> None:
        """Publish the close message, send what is still to be sent, and disconnect; within `limits.stop_s` seconds.

        A connection that is not up but has an outbox gets that time to come up. What remains then is dropped and
        counted. The connection can be started again.
        """
        if self._task is None:
            return
        try:
            async with asyncio.timeout(self.limits.stop_s):
                if self._outbox:
                    await self._up.wait()
                if self._up.is_set():
                    await self._say_farewell()
        except TimeoutError:
            self._note(f"{self.options.address}: stopped before the broker had answered everything")
        self._stopping = True
        task, self._task = self._task, None
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        self._driver.abort()
        self._up.clear()
        self._dropped_out += len(self._outbox)
        self._outbox.clear()
        self._unacknowledged.clear()
        self._dropped_in_before += self._client.discarded
        self._client, self._driver = self._new_client()  # a thread may still be connecting the old one
        self._set(State.DISCONNECTED, "stopped")

    def subscribe(self, topic_filter: str, qos: int, callback: OnMessages) -> Subscription:
        """Have the messages of a filter handed to `callback`, in batches and in order, until cancelled.

        Each subscription gets each message once, however filters overlap, and what the broker had retained when it
        begins and at each reconnect. Raises TopicError for what is no filter, ValueError for what is no QoS.
        """
        subscription = self._router.add(topic_filter, qos, callback, self._subscriptions_changed)
        self._subscriptions_changed()
        return subscription

    def publish(
        self,
        topic: str,
        payload: bytes,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
        *,
        queue: bool = False,
    ) -> bool:
        """Publish; False when the message was refused.

        While there is no connection every message is refused, so that no command arrives an hour late, unless
        `queue` is set: then it waits in the outbox (`limits.outbox_messages`, the oldest go first) and True is
        returned. Raises TopicError for a topic that one cannot publish to, ValueError for what is no QoS.
        """
        if self._up.is_set() and not self._stopping:
            if qos == 0 and (properties is None or self.options.protocol == 4):
                taken = self._client.post(topic, payload, retain)
            else:
                validate_topic(topic)
                info = self._client.publish(topic, payload, qos, retain, properties)
                taken = info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS
                if taken and qos:
                    self._unacknowledged.add(info.mid)
            if taken:
                self._published += 1
            else:
                self._dropped_out += 1
            return taken
        validate_topic(topic)
        if qos not in (0, 1, 2):
            raise ValueError(f"a QoS is 0, 1 or 2, not {qos!r}")
        if not queue or self._stopping:
            self._dropped_out += 1
            return False
        self._outbox.append(Outgoing(topic, payload, qos, retain, properties))
        if len(self._outbox) > self.limits.outbox_messages:
            self._outbox.popleft()
            self._dropped_out += 1
        return True

    @property
    def subscribed(self) -> bool:
        """Whether the broker has answered for every subscription; each one's `error` says what the answer was."""
        return self._up.is_set() and not self._sync_due and not self._asked

    @property
    def counters(self) -> Counters:
        """The counts as they are now."""
        dropped_in = self._dropped_in_before + self._client.discarded
        return Counters(self._received, self._published, dropped_in, self._dropped_out, self._reconnects)

    # ------------------------------------------------------------------------------------------ connecting, and again

    async def _run(self) -> None:
        while True:
            self._set(State.CONNECTING, f"connecting to {self.options.address}")
            error = await self._driver.dial()
            if error is not None:
                self._set(State.REFUSED, reasons.failed_to_connect(error, self.options))
            else:
                await self._converse()
            await asyncio.sleep(self._backoff.next_s())

    async def _converse(self) -> None:
        """Serve the socket until it closes, then say why it did."""
        limits = self.limits
        self._down.clear()
        self._refusal, self._loss, self._connected_at = "", None, None
        deadline = self._loop.time() + limits.connect_timeout_s
        if not self._driver.attach():
            self._down.set()
        while not self._down.is_set():
            try:
                async with asyncio.timeout(limits.tick_s):
                    await self._down.wait()
            except TimeoutError:
                self._client.loop_misc()
                if self._connected_at is None and self._loop.time() > deadline and not self._down.is_set():
                    self._refusal = reasons.no_answer(self.options, limits.connect_timeout_s)
                    self._driver.abort()
        if self._stopping:
            return
        if self._connected_at is None:
            self._set(State.REFUSED, self._refusal or reasons.no_answer(self.options, None))
            return
        if self._loop.time() - self._connected_at >= limits.stable_after_s:
            self._backoff.reset()
        self._set(State.DISCONNECTED, reasons.lost(self._loss, self.options))

    async def _say_farewell(self) -> None:
        """End the conversation so that nothing is lost in it.

        The answer to UNSUBSCRIBE proves that all before it was read, and it ends the stream towards us: closing a
        socket with unread data resets the connection, and takes what the broker had not read yet with it.
        """
        if self.options.close is not None:
            self.publish(*self.options.close)
        self._stopping = True
        self._answered.clear()
        filters = self._router.filters if self.options.clean_session else []
        self._farewell_id = self._client.unsubscribe(filters or [_NO_FILTER])[1]
        await self._either(self._answered)
        while self._unacknowledged and not self._down.is_set():
            self._acknowledged.clear()
            await self._either(self._acknowledged)
        self._client.disconnect()
        await self._down.wait()

    async def _either(self, event: asyncio.Event) -> None:
        """Until the event, or until the connection is down."""
        waits = [self._loop.create_task(event.wait()), self._loop.create_task(self._down.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    # ------------------------------------------------------------------------------------------------ paho's callbacks

    def _on_batch(self, batch: list[Incoming]) -> None:
        self._received += len(batch)
        self._router.deliver(batch)

    def _on_connect(self, _client: Any, _userdata: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if reason.is_failure:
            self._refusal = reasons.refused_by_broker(reason, self.options)
            return
        self._connected_at = self._loop.time()
        self._reconnects += self._connected_once
        self._connected_once = True
        self._asked.clear()
        self._router.connected()
        self._up.set()
        self._sync()
        if self.options.birth is not None:
            self.publish(*self.options.birth)
        while self._outbox:
            self.publish(*self._outbox.popleft())
        self._set(State.CONNECTED, f"connected to {self.options.address}")

    def _on_disconnect(self, _client: Any, _userdata: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        self._loss = reason

    def _on_publish(self, _client: Any, _userdata: Any, identifier: int, _reason: Any, _properties: Any) -> None:
        self._unacknowledged.discard(identifier)
        if not self._unacknowledged:
            self._acknowledged.set()

    def _on_unsubscribe(self, _client: Any, _userdata: Any, identifier: int, _reasons: Any, _properties: Any) -> None:
        if identifier == self._farewell_id:
            self._answered.set()

    def _on_subscribe(
        self, _client: Any, _userdata: Any, identifier: int, answers: Iterable[ReasonCode], _properties: Any
    ) -> None:
        self._router.acknowledged()
        for topic_filter, answer in zip(self._asked.pop(identifier, []), answers, strict=False):
            if answer.is_failure:
                reason = (
                    f"{self.options.address}: the broker refuses the subscription to '{topic_filter}' "
                    f"({answer.getName()}); give its user the right to read it, or subscribe to less"
                )
                self._note(reason)
                self._router.refused(topic_filter, reason)
                self._subscriptions_changed()

    # ---------------------------------------------------------------------------------------------- subscriptions

    def _subscriptions_changed(self) -> None:
        if not self._sync_due:  # several changes of one moment become one packet
            self._sync_due = True
            self._loop.call_soon(self._sync)

    def _sync(self) -> None:
        self._sync_due = False
        if not self._up.is_set() or self._stopping:
            return
        changes = self._router.changes()
        self._send_subscribe(changes.subscribe, _ASK_RETAINED)
        self._send_subscribe(changes.quiet, _NO_RETAINED)
        if changes.unsubscribe:  # after the new ones: rather a moment of copies than one of silence
            self._client.unsubscribe(changes.unsubscribe)

    def _send_subscribe(self, filters: Mapping[str, BrokerFilter], retain_handling: int) -> None:
        by_identifier: dict[int, list[tuple[str, int]]] = {}
        for topic_filter, (qos, identifier) in filters.items():
            by_identifier.setdefault(identifier, []).append((topic_filter, qos))
        for identifier, wanted in by_identifier.items():
            for start in range(0, len(wanted), _FILTERS_PER_PACKET):
                part = wanted[start : start + _FILTERS_PER_PACKET]
                if self.options.protocol == 5:
                    ask = [(f, SubscribeOptions(qos=qos, retainHandling=retain_handling)) for f, qos in part]
                    properties = _identified(identifier) if identifier else None
                    packet = self._client.subscribe(ask, properties=properties)[1]
                else:
                    packet = self._client.subscribe(part)[1]
                if packet is not None:
                    self._asked[packet] = [f for f, _qos in part]

    # --------------------------------------------------------------------------------------------------- saying so

    def _note(self, text: str) -> None:
        if text != self._logged:  # the same at every attempt is one line
            logger.warning("%s", text)
        self.last_error = self._logged = text

    def _set(self, state: State, reason: str) -> None:
        if (state, reason) == (self.state, self.reason):
            return
        self.state, self.reason = state, reason
        if state is State.REFUSED or (state is State.DISCONNECTED and not self._stopping):
            self._note(reason)
        elif state is State.CONNECTED:
            self._logged = ""
            logger.info("%s", reason)
        self._loop.call_soon(self._on_state, state, reason)


def _identified(identifier: int) -> Properties:
    properties = Properties(PacketTypes.SUBSCRIBE)  # type: ignore[no-untyped-call]  # paho leaves it untyped
    properties.SubscriptionIdentifier = identifier
    return properties
