"""One client of the embedded broker: its connection, and what is on its way to it across reconnections."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from solarflow.broker_packets import (
    CONNECT,
    DISCONNECT,
    NOT_GRANTED,
    PINGREQ,
    PINGRESP,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBSCRIBE,
    UNSUBSCRIBE,
    Message,
    ViolationError,
    acknowledgement,
    frame,
    publish_packet,
    read_packet_id,
    read_publish,
    read_subscribe,
    read_unsubscribe,
    split_packets,
)

READ_BYTES = 16 << 10
"""Read at a time: some hundred small messages, after which the loop's other work has its turn."""
CONNECT_TIMEOUT_S = 10.0
"""How long a connection may take until its CONNECT is complete."""
CLOSE_TIMEOUT_S = 0.5
"""How long a closing connection may take to send its last bytes."""
BACKLOG_BYTES = 16 << 20
"""Unsent bytes for one client above which it gets no more at QoS 0."""
WINDOW = 100
"""QoS 1 and 2 messages that may be on their way to one client without its acknowledgement."""
QUEUE_MESSAGES = 10_000
"""QoS 1 and 2 messages that wait for one client; above it the oldest goes."""
QUEUE_BYTES = 16 << 20
"""Bytes of payload that wait for one client; above it the oldest goes."""


@dataclass(slots=True)
class Counters:
    """What the broker has counted since it started."""

    messages_in: int = 0
    """Messages accepted from clients."""
    messages_out: int = 0
    """Messages sent to clients."""
    dropped: int = 0
    """Messages that a slow or absent client will not get, because what waits for it passed its bound."""


class Hub(Protocol):
    """What a connection needs of the broker."""

    async def admit(self, link: Link, connect: bytes) -> Mailbox:
        """The mailbox of the client that sends this CONNECT. Raises ViolationError when it may not come in."""

    def publish(self, mailbox: Mailbox, message: Message) -> None:
        """Hand on what the client published, where it may."""

    def subscribe(self, mailbox: Mailbox, topic_filter: str, qos: int) -> int:
        """Subscribe the client; the return code for SUBACK."""

    def unsubscribe(self, mailbox: Mailbox, topic_filter: str) -> None:
        """Forget this filter of the client."""

    def send_retained(self, mailbox: Mailbox, topic_filter: str, qos: int) -> None:
        """Send the client the retained messages that the filter matches."""

    def part(self, mailbox: Mailbox, will: Message | None) -> None:
        """The client has gone; `will` is to be published."""

    def refuse(self, reason: str, who: str, detail: str) -> None:
        """Count what was refused, and log it."""


@dataclass(slots=True)
class _Waiting:
    message: Message
    qos: int
    retain: bool
    released: bool = False
    """QoS 2: PUBREC has come and PUBREL was sent."""


@dataclass(slots=True, eq=False)
class Mailbox:
    """What is on its way to one client. With a persistent session it outlives the connection."""

    client_id: str
    user: str | None
    counters: Counters
    persistent: bool
    link: Link | None = None
    away_since: float = 0.0
    """The loop's time at which the client went; only while `link` is None."""
    filters: set[str] = field(default_factory=set)
    received: set[int] = field(default_factory=set)
    """Ids of QoS 2 messages that the client sent and has not released."""
    _sent: dict[int, _Waiting] = field(default_factory=dict)
    _queue: deque[_Waiting] = field(default_factory=deque)
    _queue_bytes: int = 0
    _last_id: int = 0

    @property
    def name(self) -> str:
        """For the log."""
        return f"'{self.user or self.client_id}'"

    def offer(self, message: Message, qos: int, *, retain: bool = False) -> None:
        """Send the message, or keep it for later. QoS 0 is not kept."""
        if not qos:
            if self.link is not None:
                if self.link.backlogged():
                    self.counters.dropped += 1
                else:
                    self.link.send(publish_packet(message, 0, retain=retain))
                    self.counters.messages_out += 1
            return
        self._queue.append(_Waiting(message, qos, retain))
        self._queue_bytes += len(message.payload)
        self._pump()
        while len(self._queue) > QUEUE_MESSAGES or self._queue_bytes > QUEUE_BYTES:
            self._queue_bytes -= len(self._queue.popleft().message.payload)
            self.counters.dropped += 1

    def resume(self) -> None:
        """Send again what the last connection did not acknowledge, in its order, then what waits [MQTT-4.4.0-1]."""
        if self.link is None:
            return
        for packet_id, entry in self._sent.items():
            if entry.released:
                self.link.send(acknowledgement(PUBREL, packet_id))
            else:
                self.link.send(
                    publish_packet(entry.message, entry.qos, retain=entry.retain, packet_id=packet_id, duplicate=True)
                )
        self._pump()

    def acknowledged(self, kind: int, packet_id: int) -> None:
        """The client answered PUBACK, PUBREC or PUBCOMP. One that fits nothing under way is ignored."""
        entry = self._sent.get(packet_id)
        if kind == PUBREC and self.link is not None:
            if entry is not None and entry.qos == 2:
                entry.released = True
            # Also for an unknown id: the client may have missed that its message was complete.
            self.link.send(acknowledgement(PUBREL, packet_id))
        elif entry is not None and (kind == PUBCOMP if entry.qos == 2 else kind == PUBACK):
            del self._sent[packet_id]
            self._pump()

    def _pump(self) -> None:
        link = self.link
        while link is not None and self._queue and len(self._sent) < WINDOW:
            if self._sent and link.backlogged():
                return  # the next acknowledgement comes back here
            entry = self._queue.popleft()
            self._queue_bytes -= len(entry.message.payload)
            packet_id = self._last_id % 0xFFFF + 1
            while packet_id in self._sent:
                packet_id = packet_id % 0xFFFF + 1
            self._last_id = packet_id
            self._sent[packet_id] = entry
            link.send(publish_packet(entry.message, entry.qos, retain=entry.retain, packet_id=packet_id))
            self.counters.messages_out += 1


class Link:
    """One connection. What it reads is handled before more is read, so that nothing accepted is lost when it ends."""

    def __init__(
        self, hub: Hub, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, max_packet_bytes: int
    ) -> None:
        self._hub = hub
        self._reader = reader
        self.writer = writer
        self._max_packet_bytes = max_packet_bytes
        self._loop = asyncio.get_running_loop()
        self._out: list[bytes] = []
        self._pending_bytes = 0
        self._last_heard = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._ending = False
        self._mailbox: Mailbox | None = None
        peer = writer.get_extra_info("peername")
        self.address = str(peer[0]) if peer else "an unknown address"
        self.who = self.address
        """For the log: the user once it is known, else the address."""
        self.will: Message | None = None
        self.keep_alive_s = 0.0

    async def run(self) -> None:
        """Serve the connection until it ends, whoever ends it."""
        with_will = True
        try:
            raw_socket = self.writer.get_extra_info("socket")
            if raw_socket is not None:  # a client without keepalive whose machine vanished is noticed all the same
                raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self.writer.transport.set_write_buffer_limits(high=BACKLOG_BYTES)
            self._timer = self._loop.call_later(CONNECT_TIMEOUT_S, self._no_connect)
            with_will = await self._read()
        except ViolationError as error:
            self._hub.refuse(error.reason, self.who, str(error))
        except (OSError, EOFError):
            pass  # the network's way to say that the client has gone; its will says so to those who asked
        finally:
            self.end(with_will=with_will)
            with suppress(OSError):  # reset while closing: closed is what was wanted
                await self.writer.wait_closed()
            if self._timer is not None:
                self._timer.cancel()

    async def _read(self) -> bool:
        """Read to the end; false when it ended with a DISCONNECT, which drops the will."""
        buffer = bytearray()
        while chunk := await self._reader.read(READ_BYTES):
            self._last_heard = self._loop.time()
            buffer += chunk
            if self._mailbox is None and buffer[0] >> 4 != CONNECT:  # a browser's length, say, would never be reached
                raise ViolationError("protocol", "the first packet is not an MQTT CONNECT")
            for first, body in split_packets(buffer, self._max_packet_bytes):
                if self._ending:
                    return True
                if first >> 4 == DISCONNECT:
                    return False
                if self._mailbox is not None:
                    self._take(self._mailbox, first, body)
                else:
                    self._connected(await self._hub.admit(self, frame(first, body)))
            await self.writer.drain()
            await asyncio.sleep(0)  # a reader with data at hand does not wait: let the others have their turn
        return True

    def _take(self, mailbox: Mailbox, first: int, body: bytes) -> None:
        """Handle one packet completely."""
        kind = first >> 4
        if kind == PUBLISH:
            self._published(mailbox, *read_publish(first, body))
        elif kind in (PUBACK, PUBREC, PUBCOMP):
            mailbox.acknowledged(kind, read_packet_id(body))
        elif kind == PUBREL:
            packet_id = read_packet_id(body)
            mailbox.received.discard(packet_id)
            self.send(acknowledgement(PUBCOMP, packet_id))
        elif kind == SUBSCRIBE:
            packet_id = read_packet_id(body)
            filters = read_subscribe(body)
            codes = [self._hub.subscribe(mailbox, topic_filter, qos) for topic_filter, qos in filters]
            self.send(frame(0x90, packet_id.to_bytes(2, "big") + bytes(codes)))
            for (topic_filter, _), code in zip(filters, codes, strict=True):
                if code != NOT_GRANTED:
                    self._hub.send_retained(mailbox, topic_filter, code)
        elif kind == UNSUBSCRIBE:
            packet_id = read_packet_id(body)
            for topic_filter in read_unsubscribe(body):
                self._hub.unsubscribe(mailbox, topic_filter)
            self.send(frame(0xB0, packet_id.to_bytes(2, "big")))
        elif kind == PINGREQ:
            self.send(PINGRESP)
        else:
            raise ViolationError("malformed", f"a packet of type {kind} where none may come")

    def _connected(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.keep_alive_s:
            self._timer = self._loop.call_later(self.keep_alive_s * 1.5, self._check_alive)
        mailbox.resume()

    def _published(self, mailbox: Mailbox, message: Message, packet_id: int) -> None:
        if message.qos < 2:
            self._hub.publish(mailbox, message)
            if message.qos:
                self.send(acknowledgement(PUBACK, packet_id))
            return
        if packet_id not in mailbox.received:  # else it is a repetition of one that was handed on
            mailbox.received.add(packet_id)
            self._hub.publish(mailbox, message)
        self.send(acknowledgement(PUBREC, packet_id))

    def _check_alive(self) -> None:
        """End the connection after one and a half times its keepalive without a byte [MQTT-3.1.2-24]."""
        left_s = self._last_heard + self.keep_alive_s * 1.5 - self._loop.time()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._check_alive)
        else:
            self._hub.refuse("keepalive", self.who, f"silent for longer than 1.5 times its {self.keep_alive_s:g} s")
            self.end(with_will=True)

    def _no_connect(self) -> None:
        self._hub.refuse("timeout", self.who, f"no MQTT CONNECT within {CONNECT_TIMEOUT_S:g} s")
        self.end(with_will=False)

    def send(self, data: bytes) -> None:
        """Send soon: all that gathers until the loop's next turn goes out in one write."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)
        self._pending_bytes += len(data)

    def backlogged(self) -> bool:
        """Whether too much waits for this client to read."""
        if self._pending_bytes <= BACKLOG_BYTES:
            return False
        self._pending_bytes = sum(map(len, self._out)) + self.writer.transport.get_write_buffer_size()
        return self._pending_bytes > BACKLOG_BYTES

    def _flush(self) -> None:
        data = b"".join(self._out)
        self._out.clear()
        if data and not self.writer.transport.is_closing():
            self.writer.write(data)
            self._pending_bytes = self.writer.transport.get_write_buffer_size()

    def end(self, *, with_will: bool) -> None:
        """Close the connection: what was sent still goes out, for a moment. The second call does nothing."""
        if self._ending:
            return
        self._ending = True
        self._flush()
        self.writer.close()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(CLOSE_TIMEOUT_S, self.writer.transport.abort)
        if self._mailbox is not None:
            self._hub.part(self._mailbox, self.will if with_will else None)
