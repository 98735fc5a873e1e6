"""MQTT 3.1.1 packets as the embedded broker reads and writes them: whole packets out of a buffer, size checked first.

Source: OASIS MQTT 3.1.1, http://docs.oasis-open.org/mqtt/mqtt/v3.1.1/os/mqtt-v3.1.1-os.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

CONNECT, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 3, 4, 5, 6, 7
SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT = 8, 10, 12, 14
PINGRESP = b"\xd0\x00"
NOT_GRANTED = 0x80
"""The SUBACK code of a filter that was refused."""


class ViolationError(Exception):
    """A client broke the protocol; the connection ends. `reason` is the counter it goes to."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Message:
    """One published message."""

    topic: str
    payload: bytes
    qos: int
    retain: bool = False


def split_packets(buffer: bytearray, max_packet_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Take the whole packets off the front of `buffer`: their first byte, and what follows their length.

    Raises ViolationError as soon as a packet's length is known to be too large, before its content has come.
    """
    at = 0
    try:
        while len(buffer) - at >= 2:
            length = shift = 0
            position = at + 1
            while True:
                if position == len(buffer):
                    return
                digit = buffer[position]
                position += 1
                length |= (digit & 0x7F) << shift
                if digit < 0x80:
                    break
                shift += 7
                if shift > 21:
                    raise ViolationError("malformed", "a packet length of more than four bytes")
            end = position + length
            if end - at > max_packet_bytes:
                raise ViolationError("too-large", f"a packet of {end - at} bytes, the limit is {max_packet_bytes}")
            if end > len(buffer):
                return
            packet = buffer[at], bytes(buffer[position:end])
            at = end
            yield packet
    finally:
        del buffer[:at]


def frame(first: int, body: bytes) -> bytes:
    """A packet: first byte, length, body."""
    head = bytearray((first,))
    length = len(body)
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + body


def acknowledgement(kind: int, packet_id: int) -> bytes:
    """PUBACK, PUBREC, PUBREL or PUBCOMP."""
    return bytes((kind << 4 | (2 if kind == PUBREL else 0), 2)) + packet_id.to_bytes(2, "big")


def publish_packet(
    message: Message, qos: int, *, retain: bool = False, packet_id: int = 0, duplicate: bool = False
) -> bytes:
    """A PUBLISH that carries `message` at `qos`."""
    topic = message.topic.encode()
    head = len(topic).to_bytes(2, "big") + topic + (packet_id.to_bytes(2, "big") if qos else b"")
    return frame(PUBLISH << 4 | duplicate << 3 | qos << 1 | retain, head + message.payload)


def read_publish(first: int, body: bytes) -> tuple[Message, int]:
    """The message of a PUBLISH, and its packet id (0 at QoS 0). Raises ViolationError."""
    qos = first >> 1 & 3
    topic, at = _text(body, 0)
    if qos == 3:
        raise ViolationError("malformed", "a PUBLISH with QoS 3")
    if not topic or "+" in topic or "#" in topic:
        raise ViolationError("malformed", f"a PUBLISH to '{topic}', which is no topic")
    packet_id = 0
    if qos:
        packet_id = read_packet_id(body, at)
        at += 2
    return Message(topic, body[at:], qos, bool(first & 1)), packet_id


def read_packet_id(body: bytes, at: int = 0) -> int:
    """The packet id that stands at this place. Raises ViolationError."""
    packet_id = int.from_bytes(body[at : at + 2], "big")
    if len(body) < at + 2 or not packet_id:
        raise ViolationError("malformed", "a packet without a packet id")
    return packet_id


def read_subscribe(body: bytes) -> list[tuple[str, int]]:
    """The filters of a SUBSCRIBE with the QoS asked for. Raises ViolationError."""
    found, at = [], 2
    while at < len(body):
        topic_filter, at = _text(body, at)
        if at == len(body) or body[at] > 2:
            raise ViolationError("malformed", "a SUBSCRIBE without a QoS of 0, 1 or 2")
        found.append((topic_filter, body[at]))
        at += 1
    if not found:
        raise ViolationError("malformed", "a SUBSCRIBE without a topic filter")
    return found


def read_unsubscribe(body: bytes) -> list[str]:
    """The filters of an UNSUBSCRIBE. Raises ViolationError."""
    found, at = [], 2
    while at < len(body):
        topic_filter, at = _text(body, at)
        found.append(topic_filter)
    if not found:
        raise ViolationError("malformed", "an UNSUBSCRIBE without a topic filter")
    return found


def is_filter(text: str) -> bool:
    """Whether this is a topic filter: `#` only as the last level, `+` only as a whole level."""
    levels = text.split("/")
    return (
        text != ""
        and all(level in ("#", "+") or not ("#" in level or "+" in level) for level in levels)
        and all(level != "#" for level, _ in pairwise(levels))
    )


def _text(body: bytes, at: int) -> tuple[str, int]:
    start = at + 2
    end = start + int.from_bytes(body[at:start], "big")
    if start > len(body) or end > len(body):
        raise ViolationError("malformed", "a text that is longer than its packet")
    try:
        text = body[start:end].decode()
    except UnicodeDecodeError as error:
        raise ViolationError("malformed", f"a text that is not UTF-8: {error.reason}") from error
    if "\0" in text:
        raise ViolationError("malformed", "a text with a null character")
    return text, end
