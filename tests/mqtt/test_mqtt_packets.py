"""Reading and writing the wire format, without any socket."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from solarflow.mqtt.packets import Delivery, Incoming, MalformedError, Packet, PacketReader, PublishWriter
from solarflow.mqtt.topics import TopicError

PINGRESP = b"\xd0\x00"


def variable(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def publish(topic: str, payload: bytes, qos: int = 0, *, retain: bool = False, mid: int = 7, v5: bytes = b"") -> bytes:
    """A PUBLISH as section 3.3 lays it out; `v5` is its property field, length included."""
    text = topic.encode()
    body = len(text).to_bytes(2, "big") + text + (mid.to_bytes(2, "big") if qos else b"") + v5 + payload
    return bytes([0x30 | qos << 1 | retain]) + variable(len(body)) + body


def read(*chunks: bytes, v5: bool = False, limit: int = 1 << 20) -> tuple[list[Incoming], bytes, list[Packet]]:
    """All messages, all acknowledgements, all other packets."""
    reader = PacketReader(protocol_5=v5, max_packet_bytes=limit)
    messages: list[Incoming] = []
    acknowledgements, packets = b"", []
    for chunk in chunks:
        for item in reader.feed(chunk):
            if isinstance(item, Delivery):
                messages += item.messages
                acknowledgements += item.acknowledgements
            else:
                packets.append(item)
    return messages, acknowledgements, packets


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


MESSAGE = st.tuples(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
    st.binary(max_size=300),
    st.sampled_from([0, 1]),
    st.booleans(),
)


@given(st.lists(MESSAGE, max_size=8), st.lists(st.integers(0, 4000), max_size=20), st.booleans())
def test_messages_come_out_whole_however_the_bytes_were_divided(
    messages: list[tuple[str, bytes, int, bool]], cuts: list[int], v5: bool
) -> None:
    empty = b"\0" if v5 else b""
    data = b"".join(publish(t, p, q, retain=r, mid=i + 1, v5=empty) for i, (t, p, q, r) in enumerate(messages))
    got, acknowledgements, _packets = read(*split(data, cuts), v5=v5)
    assert [(m.topic, m.payload, m.qos, m.retain) for m in got] == messages
    expected = [b"\x40\x02" + (i + 1).to_bytes(2, "big") for i, (_t, _p, qos, _r) in enumerate(messages) if qos]
    assert acknowledgements == b"".join(expected)


@given(st.lists(st.binary(max_size=200), max_size=4), st.booleans())
def test_any_bytes_are_read_or_called_malformed(chunks: list[bytes], v5: bool) -> None:
    with contextlib.suppress(MalformedError):
        read(*chunks, v5=v5, limit=100)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_publish_of_version_5_is_read_or_called_malformed(properties: bytes, rest: bytes) -> None:
    body = b"\x00\x01t" + variable(len(properties)) + properties + rest
    try:
        messages, _acknowledgements, _packets = read(b"\x30" + variable(len(body)) + body, v5=True)
    except MalformedError:
        return
    assert messages[0].payload == rest


@given(st.lists(st.sampled_from(["big0", "big1", "big2", "small", "ping"]), max_size=8), st.lists(st.integers(0, 3000)))
def test_too_long_messages_are_acknowledged_and_skipped_however_they_were_divided(
    kinds: list[str], cuts: list[int]
) -> None:
    parts = {
        "big0": publish("t", bytes(300), 0),
        "big1": publish("t", bytes(300), 1, mid=1),
        "big2": publish("t", bytes(300), 2, mid=2),
        "small": publish("t", b"x"),
        "ping": PINGRESP,
    }
    data = b"".join(parts[kind] for kind in kinds)
    messages, acknowledgements, packets = read(*split(data, cuts), limit=100)
    assert len(messages) == kinds.count("small")
    assert len(packets) == kinds.count("ping")
    answers = {"big1": b"\x40\x02\x00\x01", "big2": b"\x50\x02\x00\x02"}
    assert acknowledgements == b"".join(answers[kind] for kind in kinds if kind in answers)


def test_a_message_of_one_mebibyte_comes_whole_in_single_bytes() -> None:
    data = publish("t", b"x" * (1 << 20), 1)
    messages, _acknowledgements, _packets = read(*(data[i : i + 1] for i in range(len(data))), limit=2 << 20)
    assert len(messages[0].payload) == 1 << 20


def test_other_packets_keep_their_place_between_the_messages() -> None:
    reader = PacketReader(protocol_5=False, max_packet_bytes=1000)
    items = list(reader.feed(publish("a", b"1") + PINGRESP + publish("b", b"2", 2) + publish("c", b"3")))
    assert [type(item) for item in items] == [Delivery, Packet, Packet, Delivery]
    assert items[1] == Packet(0xD0, b"")


def test_properties_come_with_the_message() -> None:
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = ("unit", "W")
    properties.ContentType = "x" * 200
    messages, _acknowledgements, _packets = read(publish("t", b"payload", 1, v5=properties.pack()), v5=True)
    assert messages[0].payload == b"payload"
    assert messages[0].properties.UserProperty == [("unit", "W")]
    assert messages[0].properties.ContentType == "x" * 200


@pytest.mark.parametrize(
    ("bad", "v5"),
    [
        (b"\x30\xff\xff\xff\xff\x01", False),  # five bytes of length
        (b"\x30\x05\x00\x09abc", False),  # a topic longer than the packet
        (b"\x30\x05\x00\x09abc" + bytes(20), False),  # the same, with more behind it
        (b"\x30\x04\x00\x02\xff\xfe", False),  # no UTF-8
        (b"\x30\x02\x00\x00", False),  # no topic
        (b"\x32\x04\x00\x01t\x00", False),  # half an identifier
        (b"\x30\x04\x00\x01t\x05", True),  # properties longer than the packet
        (b"\x30\x05\x00\x01t\x01\xfe", True),  # a property that does not exist
    ],
)
def test_what_is_malformed_is_said_to_be(bad: bytes, v5: bool) -> None:
    with pytest.raises(MalformedError):
        read(bad, v5=v5)


def test_what_came_before_a_malformed_packet_is_still_delivered() -> None:
    reader = PacketReader(protocol_5=False, max_packet_bytes=1000)
    items = reader.feed(publish("a", b"1") + b"\x30\x02\x00\x00")
    assert next(items) == Delivery([Incoming("a", b"1", 0, False, None)], b"")
    with pytest.raises(MalformedError):
        next(items)


def test_a_packet_of_another_kind_that_is_too_long_is_refused() -> None:
    with pytest.raises(MalformedError, match="longer than is allowed"):
        read(b"\x90" + variable(2000) + bytes(10), limit=1000)


@given(MESSAGE, st.booleans())
def test_what_is_written_is_read_again(message: tuple[str, bytes, int, bool], v5: bool) -> None:
    topic, payload, _qos, retain = message
    writer, out = PublishWriter(protocol_5=v5), bytearray()
    try:
        writer.write(out, topic, payload, retain)
    except TopicError:
        assert any(mark in topic for mark in "+#\0")
        return
    assert read(bytes(out), v5=v5)[0] == [Incoming(topic, payload, 0, retain, None)]


@pytest.mark.parametrize("size", [0, 100, 127, 128, 16_384, 2_100_000])
def test_every_length_of_payload_can_be_written(size: int) -> None:
    out = bytearray()
    PublishWriter(protocol_5=False).write(out, "t", bytes(size), False)
    assert len(read(bytes(out), limit=4 << 20)[0][0].payload) == size
