"""The MQTT wire format of PUBLISH, read in bulk: many packets of one read become one batch.

Pure: bytes in, batches out; no socket and no client. Sections named here are those of MQTT 5.0.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from paho.mqtt import MQTTException
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from solarflow.mqtt.topics import validate_topic

_SHORTEST = 2  # a packet has at least a type and a length
_MAX_REMAINING_LENGTH = 268_435_455
_PUBACK, _PUBREC = b"\x40\x02", b"\x50\x02"
_CACHED_TOPICS = 10_000
_UNREADABLE = (ValueError, IndexError, KeyError, struct.error, MQTTException)  # what reading past the end may raise


class Incoming(NamedTuple):
    """One message as it came from the broker. `retain` is true for what the broker had kept before we subscribed."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    properties: Properties | None


class Delivery(NamedTuple):
    """Messages to hand over, in order, and the acknowledgements to send once that is done."""

    messages: list[Incoming]
    acknowledgements: bytes


class Packet(NamedTuple):
    """A complete packet of any other kind: its first byte, and all that follows its length."""

    command: int
    body: bytes


class MalformedError(ValueError):
    """The broker sent what is not MQTT; the connection cannot be read any further."""


def _bad(reason: str) -> MalformedError:
    return MalformedError(f"malformed PUBLISH: {reason}")


class PacketReader:
    """Cuts the stream of one connection into deliveries and packets, however the bytes were divided.

    A PUBLISH whose remaining length exceeds `max_packet_bytes` is acknowledged and discarded while it passes, without
    being kept in memory: refusing it would have a retained one sent again after every reconnect.
    """

    __slots__ = ("_held", "_max_packet_bytes", "_needed", "_protocol_5", "_skip", "discarded")

    def __init__(self, *, protocol_5: bool, max_packet_bytes: int) -> None:
        self._protocol_5 = protocol_5
        self._max_packet_bytes = max_packet_bytes
        self._held = bytearray()  # the beginning of a packet
        self._needed = 0  # bytes of it at which reading on makes sense
        self._skip = 0  # bytes of a discarded packet that are still to come
        self.discarded = 0
        """PUBLISH packets that were too long."""

    @property
    def missing_bytes(self) -> int:
        """How many bytes the packet under way still needs."""
        return max(0, self._needed - len(self._held))

    def feed(self, chunk: bytes) -> Iterator[Delivery | Packet]:
        """Read on. Yields what is complete, in order.

        Raises MalformedError, after yielding what came before the fault. The caller deals with each item before it
        asks for the next: an acknowledgement must not overtake its message.
        """
        if self._skip:
            skipped = min(self._skip, len(chunk))
            self._skip -= skipped
            chunk = chunk[skipped:]
        if self._held:
            self._held += chunk
            if len(self._held) < self._needed:
                return
            chunk = bytes(self._held)
            self._held.clear()
        if chunk:
            yield from self._cut(chunk)

    def _cut(self, data: bytes) -> Iterator[Delivery | Packet]:
        # The loop that every message passes: kept in one function, on local names.
        protocol_5, limit, make = self._protocol_5, self._max_packet_bytes, tuple.__new__
        position, size, needed = 0, len(data), _SHORTEST
        messages: list[Incoming] = []
        acknowledgements = bytearray()
        fault: MalformedError | None = None
        while size - position >= _SHORTEST:
            command = data[position]
            length = data[position + 1]
            body = position + 2
            if length > 127:
                try:
                    length, body = _long_length(data, position + 1)
                except IndexError:
                    needed = size - position + 1
                    break
                except MalformedError as error:
                    fault = error
                    break
            end = body + length
            qos = (command >> 1) & 3
            publish = command & 0xF0 == 0x30 and qos != 3
            if length > limit:
                try:
                    needed, acknowledgement = self._discard(data, command, publish, body, end, size, position)
                except MalformedError as error:
                    fault = error
                    break
                if needed:
                    break
                acknowledgements += acknowledgement
                if end > size:
                    self._skip = end - size
                    position = size
                    break
                position = end
                needed = _SHORTEST
                continue
            if end > size:
                needed = end - position
                break
            if not publish or qos == 2:
                if messages or acknowledgements:
                    yield Delivery(messages, bytes(acknowledgements))
                    messages = []
                    acknowledgements = bytearray()
                yield Packet(command, data[body:end])
                position = end
                continue
            try:
                start = body + 2 + (data[body] << 8 | data[body + 1])
                topic = str(data[body + 2 : start], "utf-8")
                if qos:
                    identifier = data[start : start + 2]
                    start += 2
                properties = None
                if protocol_5:
                    if data[start]:
                        properties, start = _properties(data, start, end)
                    else:
                        start += 1
                if start > end or not topic:
                    raise ValueError("the header is longer than the packet, or the topic is empty")
            except _UNREADABLE as error:
                fault = _bad(str(error))
                break
            if qos:
                acknowledgements += _PUBACK
                acknowledgements += identifier
            messages.append(make(Incoming, (topic, data[start:end], qos, command & 1 == 1, properties)))
            position = end
        if fault is None and position < size:
            self._held += data[position:] if position else data
            self._needed = needed
        else:
            self._needed = 0
        if messages or acknowledgements:
            yield Delivery(messages, bytes(acknowledgements))
        if fault is not None:
            raise fault

    def _discard(
        self, data: bytes, command: int, publish: bool, body: int, end: int, size: int, position: int
    ) -> tuple[int, bytes]:
        """How many bytes are needed to see the packet's identifier, or 0 and the acknowledgement that it gets."""
        if not publish:
            raise MalformedError(f"a packet of type {command >> 4} and {end - body} bytes is longer than is allowed")
        acknowledgement = b""
        qos = (command >> 1) & 3
        if qos:
            if size - body < 2:
                return body + 2 - position, b""
            start = body + 2 + (data[body] << 8 | data[body + 1])
            if start + 2 > end:
                raise _bad("the topic is longer than the packet")
            if size < start + 2:
                return start + 2 - position, b""
            acknowledgement = (_PUBACK if qos == 1 else _PUBREC) + data[start : start + 2]
        self.discarded += 1
        return 0, acknowledgement


def _long_length(data: bytes, start: int) -> tuple[int, int]:
    """The variable byte integer at `start` and where it ends (1.5.5). IndexError when it is not complete."""
    value = 0
    for count in range(4):
        byte = data[start + count]
        value |= (byte & 127) << (7 * count)
        if byte < 128:
            return value, start + count + 1
    raise MalformedError("a length has more than four bytes")


def _properties(data: bytes, start: int, end: int) -> tuple[Properties, int]:
    length, first = _long_length(data, start)
    last = first + length
    if last > end:
        raise ValueError("the properties are longer than the packet")
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves Properties untyped
    properties.unpack(data[start:last])  # type: ignore[no-untyped-call]  # as above
    return properties, last


class PublishWriter:
    """Encodes QoS 0 PUBLISH packets; remembers the topics that it checked and encoded (bounded)."""

    __slots__ = ("_protocol_5", "_topics")

    def __init__(self, *, protocol_5: bool) -> None:
        self._protocol_5 = protocol_5
        self._topics: dict[str, bytes] = {}

    def write(self, out: bytearray, topic: str, payload: bytes, retain: bool) -> None:
        """Append one packet to `out`. Raises TopicError for a topic that one cannot publish to, ValueError for size."""
        head = self._topics.get(topic)
        if head is None:
            head = self._remember(topic)
        length = len(head) + len(payload)
        if length > _MAX_REMAINING_LENGTH:
            raise ValueError(f"a payload of {len(payload)} bytes is too long; MQTT allows {_MAX_REMAINING_LENGTH}")
        out.append(0x31 if retain else 0x30)
        while length > 127:
            out.append(length & 127 | 128)
            length >>= 7
        out.append(length)
        out += head
        out += payload

    def _remember(self, topic: str) -> bytes:
        text = validate_topic(topic).encode()
        head = len(text).to_bytes(2, "big") + text + (b"\0" if self._protocol_5 else b"")  # \0: no properties
        if len(self._topics) >= _CACHED_TOPICS:
            self._topics.clear()
        self._topics[topic] = head
        return head
