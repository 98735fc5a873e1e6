"""Who gets which message: our own matching, so that it does not matter how a broker treats overlapping filters.

Brokers differ. With the filters `a/#` and `a/+/c`, Mosquitto sends `a/b/c` once to a 3.1.1 client and twice to an
MQTT 5 client; others always send it twice. Therefore:

- A filter that another one covers is not sent to the broker at all.
- Of filters that overlap otherwise (`a/+/c` and `a/b/+`), an MQTT 5 client gives each an identifier, and takes only
  the copies that bear one of them.
- An MQTT 3.1.1 client learns from the first messages whether the broker sends copies, and if so drops them.

Retained messages answer a SUBSCRIBE, so they go to the subscriptions for whose sake it was sent. A shared filter
(`$share/...`) that overlaps another filter of the same connection is left as it is: both get both copies.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from solarflow.mqtt.packets import Incoming
from solarflow.mqtt.topics import covers, matches, overlap, validate_filter

logger = logging.getLogger(__name__)

COPY_WINDOW_S = 0.25
"""A copy for an overlapping filter follows its original within this time."""
RETAINED_WINDOW_S = 5.0
"""Messages marked as retained answer our SUBSCRIBE until this long after the last such message."""
_CACHED_TOPICS = 10_000
_COMPLAIN_EVERY_S = 60.0

OnMessages = Callable[[list[Incoming]], None]


class BrokerFilter(NamedTuple):
    """How a filter stands at the broker: its QoS, and its subscription identifier or 0."""

    qos: int
    identifier: int


class Changes(NamedTuple):
    """What to tell the broker. `quiet` is subscribed without asking for retained messages, where MQTT 5 allows it."""

    subscribe: dict[str, BrokerFilter]
    quiet: dict[str, BrokerFilter]
    unsubscribe: list[str]


class Subscription:
    """A filter and who wants its messages. `cancel()` ends it; `error` says why the broker refused it, if it did."""

    __slots__ = ("_asked", "_cancel", "_complained_at", "_inbox", "_retained", "callback", "error", "filter", "qos")

    def __init__(self, topic_filter: str, qos: int, callback: OnMessages, cancel: Callable[[Subscription], None]):
        self.filter = topic_filter
        self.qos = qos
        self.callback = callback
        self.error = ""
        self._cancel: Callable[[Subscription], None] | None = cancel
        self._inbox: list[Incoming] = []
        self._asked = False  # whether a SUBSCRIBE for its sake was sent on this connection
        self._retained: set[str] | None = None  # topics whose retained message it got; None: it waits for none
        self._complained_at = float("-inf")

    @property
    def active(self) -> bool:
        """False once it was cancelled."""
        return self._cancel is not None

    def cancel(self) -> None:
        """Get no more messages, from now on. Cancelling twice does nothing."""
        cancel, self._cancel = self._cancel, None
        if cancel is not None:
            cancel(self)


class _Original:
    """The last message on a topic for which copies may come, and how often it came."""

    __slots__ = ("arrivals", "at", "payload")

    def __init__(self, payload: bytes, at: float) -> None:
        self.payload, self.at, self.arrivals = payload, at, 1


class Router:
    """Keeps the subscriptions, works out what the broker must know, and hands each batch to those who want it.

    `now` gives monotonic seconds; `on_error` gets a text when a callback raised.
    """

    def __init__(self, *, protocol_5: bool, now: Callable[[], float], on_error: Callable[[str], None]) -> None:
        self._protocol_5 = protocol_5
        self._now = now
        self._on_error = on_error
        self._subscriptions: list[Subscription] = []
        self._refused: set[str] = set()
        self._identifiers: dict[str, int] = {}
        self._next_identifier = 1
        self._at_broker: dict[str, BrokerFilter] = {}
        self._plain: dict[str, Sequence[Subscription]] = {}  # topics that one filter at the broker matches
        self._overlapped: dict[str, tuple[Sequence[Subscription], list[str]]] = {}  # topics that several match
        self._originals: dict[str, _Original] = {}
        self._sends_copies = True  # until seen otherwise
        self._retained_until = float("-inf")

    # ------------------------------------------------------------------------------------------------ subscriptions

    @property
    def filters(self) -> list[str]:
        """The filters that the broker was told."""
        return list(self._at_broker)

    def add(self, topic_filter: str, qos: int, callback: OnMessages, changed: Callable[[], None]) -> Subscription:
        """A new subscription; `changed` is called when it has been cancelled. Raises TopicError, ValueError."""
        validate_filter(topic_filter)
        if qos not in (0, 1, 2):
            raise ValueError(f"a QoS is 0, 1 or 2, not {qos!r}")

        def cancel(subscription: Subscription) -> None:
            self._subscriptions.remove(subscription)
            self._forget()
            changed()

        subscription = Subscription(topic_filter, qos, callback, cancel)
        self._subscriptions.append(subscription)
        self._forget()
        return subscription

    def _forget(self) -> None:
        self._plain.clear()
        self._overlapped.clear()
        self._originals.clear()

    def connected(self) -> None:
        """A new connection: the broker knows nothing yet, and may be another one than before."""
        self._at_broker = {}
        self._refused.clear()
        self._sends_copies = True
        self._retained_until = float("-inf")
        for subscription in self._subscriptions:
            subscription._asked = False
            subscription._retained = None
            subscription.error = ""
        self._forget()

    def changes(self) -> Changes:
        """What the broker must be told after all that changed since the last call; taken as told."""
        now = self._now()
        if now > self._retained_until:
            for subscription in self._subscriptions:
                subscription._retained = None
        unasked = [s for s in self._subscriptions if not s._asked and s.filter not in self._refused]
        for subscription in unasked:
            subscription._asked = True
            subscription._retained = set()
        wanted = self._wanted()
        subscribe, quiet = {}, {}
        for topic_filter, state in wanted.items():
            if any(covers(topic_filter, s.filter) for s in unasked):
                subscribe[topic_filter] = state
            elif self._at_broker.get(topic_filter) != state:
                quiet[topic_filter] = state
        gone = [f for f in self._at_broker if f not in wanted]
        for topic_filter in gone:
            self._identifiers.pop(topic_filter, None)
        self._at_broker = wanted
        self._forget()
        if subscribe or quiet:
            self._retained_until = now + RETAINED_WINDOW_S
        return Changes(subscribe, quiet, gone)

    def _wanted(self) -> dict[str, BrokerFilter]:
        """The outermost filters, each with the highest QoS asked of what it covers."""
        asked: dict[str, int] = {}
        for subscription in self._subscriptions:
            if subscription.filter not in self._refused:
                asked[subscription.filter] = max(subscription.qos, asked.get(subscription.filter, 0))
        outer = [f for f in asked if not any(other != f and covers(other, f) for other in asked)]
        wanted = {}
        for topic_filter in outer:
            qos = max(qos for narrow, qos in asked.items() if covers(topic_filter, narrow))
            overlaps = self._protocol_5 and any(f != topic_filter and overlap(f, topic_filter) for f in outer)
            wanted[topic_filter] = BrokerFilter(qos, self._identifier(topic_filter) if overlaps else 0)
        return wanted

    def _identifier(self, topic_filter: str) -> int:
        if topic_filter not in self._identifiers:
            self._identifiers[topic_filter] = self._next_identifier
            self._next_identifier += 1
        return self._identifiers[topic_filter]

    def acknowledged(self) -> None:
        """The broker answered a SUBSCRIBE: what it had kept comes now."""
        self._retained_until = max(self._retained_until, self._now() + RETAINED_WINDOW_S)

    def refused(self, topic_filter: str, reason: str) -> None:
        """The broker will not have this filter; what it covered must be asked for by itself."""
        self._refused.add(topic_filter)
        self._at_broker.pop(topic_filter, None)
        for subscription in self._subscriptions:
            if subscription.filter == topic_filter:
                subscription.error = reason
            elif covers(topic_filter, subscription.filter):
                subscription._asked = False

    # ----------------------------------------------------------------------------------------------------- delivery

    def deliver(self, batch: list[Incoming]) -> None:
        """Hand the messages over: one call, one list in order, for each subscription that has any."""
        plain = self._plain
        touched: list[Subscription] = []
        for message in batch:
            takers = plain.get(message[0])
            if takers is None or message[3]:
                takers = self._takers(message)
            for subscription in takers:
                inbox = subscription._inbox
                if not inbox:
                    touched.append(subscription)
                inbox.append(message)
        for subscription in touched:
            messages, subscription._inbox = subscription._inbox, []
            if subscription._cancel is not None:
                self._call(subscription, messages)

    def _call(self, subscription: Subscription, messages: list[Incoming]) -> None:
        try:
            subscription.callback(messages)
        except Exception as error:
            # One taker's fault must not cost the others their messages, nor the connection its life.
            self._on_error(f"the taker of '{subscription.filter}' failed: {type(error).__name__}: {error}")
            if self._now() - subscription._complained_at >= _COMPLAIN_EVERY_S:
                subscription._complained_at = self._now()
                logger.exception("the taker of '%s' failed (said once a minute)", subscription.filter)

    def _takers(self, message: Incoming) -> Sequence[Subscription]:
        topic = message.topic
        takers: Sequence[Subscription]
        filters: list[str]
        if topic in self._plain:
            takers, filters = self._plain[topic], []
        elif topic in self._overlapped:
            takers, filters = self._overlapped[topic]
        else:
            takers, filters = self._find(topic)
        if message.retain and self._now() <= self._retained_until:
            return self._waiting(takers, topic)
        if len(filters) > 1 and self._is_copy(message, filters):
            return ()
        return takers

    def _find(self, topic: str) -> tuple[Sequence[Subscription], list[str]]:
        if len(self._plain) + len(self._overlapped) >= _CACHED_TOPICS:
            self._forget()
        takers = tuple(s for s in self._subscriptions if matches(s.filter, topic))
        filters = [f for f in self._at_broker if not f.startswith("$share/") and matches(f, topic)]
        if len(filters) > 1:
            self._overlapped[topic] = takers, filters
        else:
            self._plain[topic] = takers
        return takers, filters

    def _waiting(self, takers: Sequence[Subscription], topic: str) -> Sequence[Subscription]:
        self._retained_until = self._now() + RETAINED_WINDOW_S
        waiting = []
        for subscription in takers:
            if subscription._retained is not None and topic not in subscription._retained:
                subscription._retained.add(topic)
                waiting.append(subscription)
        return waiting

    def _is_copy(self, message: Incoming, filters: list[str]) -> bool:
        borne = getattr(message.properties, "SubscriptionIdentifier", None)
        if borne:
            owner = max(filters, key=lambda f: (self._at_broker[f].qos, f))
            return self._at_broker[owner].identifier not in borne
        if not self._sends_copies:
            return False
        now = self._now()
        last = self._originals.get(message.topic)
        if last is not None:
            alike = last.payload == message.payload and now - last.at < COPY_WINDOW_S
            if alike and last.arrivals < len(filters):
                last.arrivals += 1
                return True
            if last.arrivals < len(filters):  # it came less often than filters match: this broker sends no copies
                self._sends_copies = False
                self._originals.clear()
                return False
        self._originals[message.topic] = _Original(message.payload, now)
        return False
