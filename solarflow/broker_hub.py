"""The inside of the embedded broker: amqtt's listener and CONNECT, with sessions and delivery of our own.

amqtt 0.12.1 hands every message through a queue per client, a task per packet and a queue for all, and throws away
what lies in them when the publisher's connection ends; it also raises QoS, forgets unacknowledged messages after
five seconds and ignores keepalive. Here a message goes from the publisher's packet to its subscribers' connections in
one synchronous step, before it is acknowledged.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from amqtt.adapters import BufferReader, StreamWriterAdapter
from amqtt.broker import Broker
from amqtt.errors import AMQTTError, MQTTError, NoDataError
from amqtt.mqtt.connack import NOT_AUTHORIZED, SERVER_UNAVAILABLE, ConnackPacket
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler

from solarflow.broker_clients import CONNECT_TIMEOUT_S, Counters, Link, Mailbox
from solarflow.broker_packets import NOT_GRANTED, Message, ViolationError, is_filter
from solarflow.broker_rights import Action, Rights, is_publishable

LOG = logging.getLogger("solarflow.broker")

FILTERS_PER_CLIENT = 1_000
AWAY_PER_USER = 50
"""Persistent sessions of one user without a connection; above it the longest away goes."""
RETAINED_MESSAGES = 10_000
RETAINED_BYTES = 64 << 20
ROUTES = 20_000
"""Topics whose subscribers are remembered."""


class Refusals:
    """Counts what was refused; one log line a minute for each reason and client, with the number left out."""

    PERIOD_S = 60.0
    _CLIENTS = 1_000

    def __init__(self, clock: Callable[[], float]) -> None:
        self.counts: Counter[str] = Counter()
        self._clock = clock
        self._logged: dict[tuple[str, str], tuple[float, int]] = {}

    def add(self, reason: str, who: str, detail: str) -> None:
        """Count one; `who` is the user where it is known, else the address. Both texts may hold what a client sent."""
        self.counts[reason] += 1
        who, detail = _one_line(who), _one_line(detail)
        now = self._clock()
        since, left_out = self._logged.get((reason, who), (now - self.PERIOD_S, 0))
        if now - since < self.PERIOD_S:
            self._logged[reason, who] = (since, left_out + 1)
            return
        if len(self._logged) >= self._CLIENTS:
            self._logged.clear()
        self._logged[reason, who] = (now, 0)
        again = f" ({left_out} more like this since the last line)" if left_out else ""
        LOG.warning("MQTT client %s refused (%s): %s%s", who, reason, detail, again)


def _one_line(text: str) -> str:
    """The text without what could begin a line of its own in a log, and cut to a readable length."""
    return "".join(character if character.isprintable() else "?" for character in text[:200])


class BrokerHub(Broker):  # type: ignore[misc]  # amqtt carries no type information
    """amqtt's broker with the message path replaced. All of it runs in one event loop."""

    def __init__(
        self,
        config: Any,
        rights: Rights,
        listening: socket.socket,
        tls: ssl.SSLContext | None,
        *,
        anonymous: bool,
        max_packet_bytes: int,
        max_clients: int,
        session_expiry_s: float,
    ) -> None:
        super().__init__(config)
        self.rights = rights
        self._listening = listening
        self._tls = tls
        self.counters = Counters()
        self.refusals = Refusals(self._loop.time)
        self.links: dict[Link, asyncio.Task[Any]] = {}
        self.mailboxes: dict[str, Mailbox] = {}
        self.retained: dict[str, Message] = {}
        self._retained_bytes = 0
        self._filters: dict[str, dict[str, int]] = {}
        self._route = lru_cache(ROUTES)(self._find_route)
        self._anonymous = anonymous
        self._max_packet_bytes = max_packet_bytes
        self._max_clients = max_clients
        self._session_expiry_s = session_expiry_s

    async def _create_server_instance(self, *_: Any) -> asyncio.Server:
        """Serve on the socket that is bound already. (amqtt asks for this where it would bind one.)"""
        connected = partial(self.stream_connected, listener_name="default")
        handshake_s = CONNECT_TIMEOUT_S if self._tls else None
        return await asyncio.start_server(
            connected, sock=self._listening, ssl=self._tls, ssl_handshake_timeout=handshake_s
        )

    def stop_listening(self) -> None:
        """Let nobody new in."""
        for server in self._servers.values():
            server.instance.close()
            server.instance = None  # from Python 3.12 on amqtt's own closing would wait for unfinished TLS handshakes

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        """Serve one connection to its end."""
        del listener_name
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a connection is served by a task")
        link = Link(self, reader, writer, self._max_packet_bytes)
        self.links[link] = task
        try:
            await link.run()
        finally:
            del self.links[link]

    def refuse(self, reason: str, who: str, detail: str) -> None:
        """Count what was refused, and log it."""
        self.refusals.add(reason, who, detail)

    # --- coming and going

    async def admit(self, link: Link, connect: bytes) -> Mailbox:
        """Let a client in: before this has said yes, nothing of any session is touched."""
        try:
            _, session = await BrokerProtocolHandler.init_from_connect(
                BufferReader(connect), StreamWriterAdapter(link.writer), self.plugins_manager
            )
        except (AMQTTError, MQTTError, NoDataError) as error:
            raise ViolationError("protocol", f"not an MQTT 3.1.1 CONNECT: {error}") from error
        user, client_id = session.username, session.client_id
        if user is None and self._anonymous:
            link.who = f"'{client_id}' at {link.address}"
        elif user is None or not self.rights.verify(user, session.password or ""):
            link.writer.write(ConnackPacket.build(0, NOT_AUTHORIZED).to_bytes())
            given = "no user name" if user is None else f"unknown user or wrong secret for user {user!r}"
            raise ViolationError("credentials", given)
        else:
            link.who = f"'{user}'"
        # A client id belongs to its user: else one home could take over another's session by naming it.
        key = f"{user or ''}|{client_id}"
        old = self.mailboxes.get(key)
        if old is None and sum(mailbox.link is not None for mailbox in self.mailboxes.values()) >= self._max_clients:
            link.writer.write(ConnackPacket.build(0, SERVER_UNAVAILABLE).to_bytes())
            raise ViolationError("full", f"{self._max_clients} clients are connected, which is the limit")
        if session.will_flag:
            if not self._may(user, session.will_topic, "publish"):
                link.writer.write(ConnackPacket.build(0, NOT_AUTHORIZED).to_bytes())
                raise ViolationError("will", f"no right to its last will's topic '{session.will_topic}'")
            link.will = Message(
                session.will_topic, bytes(session.will_message), session.will_qos, bool(session.will_retain)
            )
        if old is not None and old.link is not None:
            old.link.end(with_will=True)  # [MQTT-3.1.4-2]
        if session.clean_session or key not in self.mailboxes:
            self._forget(key)
            mailbox = Mailbox(client_id, user, self.counters, persistent=not session.clean_session)
            self.mailboxes[key] = mailbox
            present = 0
        else:
            mailbox = self.mailboxes[key]
            present = 1
        mailbox.link = link
        link.keep_alive_s = session.keep_alive
        link.send(ConnackPacket.build(present, 0).to_bytes())
        return mailbox

    def part(self, mailbox: Mailbox, will: Message | None) -> None:
        """The client has gone; `will` is to be published."""
        mailbox.link = None
        mailbox.away_since = self._loop.time()
        if not mailbox.persistent:
            self._forget(self._key(mailbox))
        else:
            away = [other for other in self.mailboxes.values() if other.user == mailbox.user and other.link is None]
            if len(away) > AWAY_PER_USER:
                self._forget(self._key(min(away, key=lambda other: other.away_since)))
        if will is not None:
            self.publish(mailbox, will)

    @staticmethod
    def _key(mailbox: Mailbox) -> str:
        return f"{mailbox.user or ''}|{mailbox.client_id}"

    def _forget(self, key: str) -> None:
        mailbox = self.mailboxes.pop(key, None)
        if mailbox is not None:
            for topic_filter in list(mailbox.filters):
                self.unsubscribe(mailbox, topic_filter)

    async def _session_monitor(self) -> None:
        """Drop persistent sessions whose client stayed away too long. (amqtt runs this beside its listeners.)"""
        while True:
            await asyncio.sleep(min(1.0, self._session_expiry_s / 4))
            limit = self._loop.time() - self._session_expiry_s
            for key in [k for k, m in self.mailboxes.items() if m.link is None and m.away_since < limit]:
                self._forget(key)

    def rights_changed(self, user: str) -> None:
        """Whoever is connected under this name has to come again, and finds no session there."""
        for key, mailbox in list(self.mailboxes.items()):
            if mailbox.user == user:
                if mailbox.link is not None:
                    mailbox.link.end(with_will=True)
                self._forget(key)
        self._route.cache_clear()

    def refuse_anonymous(self) -> None:
        """From now on everybody needs a credential; whoever came in without has to go."""
        self._anonymous = False
        for key, mailbox in list(self.mailboxes.items()):
            if mailbox.user is None:
                if mailbox.link is not None:
                    mailbox.link.end(with_will=True)
                self._forget(key)

    async def close_clients(self, timeout_s: float) -> None:
        """End every connection, by force after `timeout_s` seconds. No will is published."""
        for link in list(self.links):
            link.end(with_will=False)
        tasks = list(self.links.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    # --- messages

    def _may(self, user: str | None, topic: str, action: Action) -> bool:
        if user is None:  # came in as anonymous, which is let in only where it may do everything
            return action != "publish" or is_publishable(topic)
        return self.rights.allowed(user, topic, action)

    def publish(self, mailbox: Mailbox, message: Message) -> None:
        """Hand on what the client published, where it may; the rights are asked each time, as they may change."""
        if not self._may(mailbox.user, message.topic, "publish"):
            self.refuse("publish", mailbox.name, f"no right to publish to '{message.topic}'")
            return
        self.counters.messages_in += 1
        if message.retain:
            self._retain(mailbox, message)
        for key, qos in self._route(message.topic):
            self.mailboxes[key].offer(message, min(qos, message.qos))

    def _find_route(self, topic: str) -> tuple[tuple[str, int], ...]:
        """The clients that get what is published to this topic, each once, at the highest QoS of its filters."""
        found: dict[str, int] = {}
        for topic_filter, subscribers in self._filters.items():
            if self._matches(topic, topic_filter):
                for key, qos in subscribers.items():
                    if self._may(self.mailboxes[key].user, topic, "receive"):
                        found[key] = max(qos, found.get(key, 0))
        return tuple(found.items())

    def _retain(self, mailbox: Mailbox, message: Message) -> None:
        old = self.retained.pop(message.topic, None)
        if old is not None:
            self._retained_bytes -= len(old.payload)
        if not message.payload:
            return
        if len(self.retained) >= RETAINED_MESSAGES or self._retained_bytes + len(message.payload) > RETAINED_BYTES:
            self.refuse("retained-full", mailbox.name, f"no room to retain the message of '{message.topic}'")
            return
        self.retained[message.topic] = message
        self._retained_bytes += len(message.payload)

    def subscribe(self, mailbox: Mailbox, topic_filter: str, qos: int) -> int:
        """Subscribe the client; the return code for SUBACK."""
        if not is_filter(topic_filter) or not self._may(mailbox.user, topic_filter, "subscribe"):
            self.refuse("subscribe", mailbox.name, f"no right to subscribe to '{topic_filter}'")
            return NOT_GRANTED
        if len(mailbox.filters) >= FILTERS_PER_CLIENT and topic_filter not in mailbox.filters:
            self.refuse("subscribe", mailbox.name, f"more than {FILTERS_PER_CLIENT} subscriptions")
            return NOT_GRANTED
        self._filters.setdefault(topic_filter, {})[self._key(mailbox)] = qos
        mailbox.filters.add(topic_filter)
        self._route.cache_clear()
        return qos

    def unsubscribe(self, mailbox: Mailbox, topic_filter: str) -> None:
        """Forget this filter of the client."""
        if topic_filter in mailbox.filters:
            mailbox.filters.remove(topic_filter)
            subscribers = self._filters[topic_filter]
            del subscribers[self._key(mailbox)]
            if not subscribers:
                del self._filters[topic_filter]
            self._route.cache_clear()

    def send_retained(self, mailbox: Mailbox, topic_filter: str, qos: int) -> None:
        """Send the client the retained messages that the filter matches: at SUBSCRIBE only, never at CONNECT."""
        for topic, message in self.retained.items():
            if self._matches(topic, topic_filter) and self._may(mailbox.user, topic, "receive"):
                mailbox.offer(message, min(qos, message.qos), retain=True)
