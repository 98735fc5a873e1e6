"""An embedded broker in a thread with a loop of its own, and a bare MQTT client, for tests that need one."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Callable, Coroutine
from threading import Thread
from types import TracebackType
from typing import Any, Self, TypeVar

from solarflow.broker import BrokerSettings, EmbeddedBroker
from solarflow.broker_rights import Rights, hash_secret

T = TypeVar("T")


def until(holds: Callable[[], Any], timeout_s: float = 5.0) -> Any:
    """Poll until `holds()` is true and answer it; fails the test after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not (value := holds()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {holds}")
        time.sleep(0.005)
    return value


class RunningBroker:
    """A broker on a free port of 127.0.0.1, from `start` to `stop` or as a context manager.

    `RunningBroker()` lets anybody in; `RunningBroker(users={"casa_A": "token", "engine": "token"})` makes each user a
    home's, except `engine`, which goes everywhere. Other settings by keyword: `RunningBroker(session_expiry_s=0.2)`.
    """

    def __init__(self, users: dict[str, str] | None = None, **settings: Any) -> None:
        self.rights = Rights()
        for user, secret in (users or {}).items():
            self.rights.set_user(user, hash_secret(secret), None if user == "engine" else user)
        self.settings = BrokerSettings(**{"port": 0, "anonymous": users is None} | settings)
        self.broker = EmbeddedBroker(self.settings, self.rights)
        self.loop = asyncio.new_event_loop()
        self._thread = Thread(target=self.loop.run_forever, name="broker", daemon=True)

    @property
    def port(self) -> int:
        return self.broker.port

    def start(self) -> Self:
        self._thread.start()
        self.run(self.broker.start())
        return self

    def stop(self) -> None:
        self.run(self.broker.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run this in the broker's loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class BareClient:
    """MQTT 3.1.1 by hand over a socket: for what a well-behaved client library would never send."""

    def __init__(
        self,
        port: int,
        client_id: str = "bare",
        user: str | None = None,
        secret: str | None = None,
        *,
        clean: bool = True,
        keepalive_s: int = 60,
        will: tuple[str, bytes] | None = None,
        connect: bool = True,
    ) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        if not connect:
            return
        flags = 2 * clean | (4 if will else 0) | (0xC0 if user is not None else 0)
        body = text("MQTT") + bytes((4, flags)) + struct.pack("!H", keepalive_s) + text(client_id)
        if will:
            body += text(will[0]) + struct.pack("!H", len(will[1])) + will[1]
        if user is not None:
            body += text(user) + text(secret or "")
        self.send(packet(0x10, body))
        _, answer = self.read()
        self.session_present, self.return_code = answer[0] == 1, answer[1]

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def publish(self, topic: str, payload: bytes, qos: int = 0, packet_id: int = 1, retain: bool = False) -> None:
        self.send(publish_bytes(topic, payload, qos, packet_id, retain))

    def subscribe(self, topic_filter: str, qos: int = 0) -> int:
        """Subscribe; the return code. To be called while nothing else is on its way to this client."""
        self.send(packet(0x82, b"\0\x01" + text(topic_filter) + bytes((qos,))))
        first, body = self.read()
        assert first == 0x90, f"SUBACK expected, packet {first:#x} came"
        return body[2]

    def read(self) -> tuple[int, bytes]:
        """The next packet: first byte and body. EOFError when the broker has closed the connection."""
        first = self.read_exactly(1)[0]
        length = shift = 0
        while True:
            digit = self.read_exactly(1)[0]
            length |= (digit & 0x7F) << shift
            shift += 7
            if digit < 0x80:
                return first, self.read_exactly(length)

    def read_publish(self) -> tuple[str, bytes, int, bool, int]:
        """The next packet, which must be a PUBLISH: topic, payload, QoS, retain flag, packet id (0 at QoS 0)."""
        first, body = self.read()
        assert first >> 4 == 3, f"PUBLISH expected, packet {first:#x} came"
        qos = first >> 1 & 3
        end = 2 + int.from_bytes(body[:2], "big")
        packet_id = int.from_bytes(body[end : end + 2], "big") if qos else 0
        return body[2:end].decode(), body[end + (2 if qos else 0) :], qos, bool(first & 1), packet_id

    def is_silent(self) -> bool:
        """Whether nothing waits for this client: PINGREQ is answered by PINGRESP and nothing before it."""
        self.send(b"\xc0\0")
        return self.read()[0] == 0xD0

    def is_closed(self) -> bool:
        """Whether the broker has ended the connection; reads away what came before."""
        try:
            while True:
                self.read()
        except (EOFError, ConnectionError):
            return True
        except TimeoutError:
            return False

    def disconnect(self) -> None:
        self.send(b"\xe0\0")
        self.socket.close()

    def reset(self) -> None:
        """Vanish without a word (TCP reset)."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def read_exactly(self, count: int) -> bytes:
        """The next `count` bytes, whatever packets they belong to."""
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data


def text(value: str) -> bytes:
    """A string as MQTT writes it."""
    return struct.pack("!H", len(value.encode())) + value.encode()


def packet(first: int, body: bytes) -> bytes:
    """A packet with its length."""
    head, length = bytes((first,)), len(body)
    while length > 0x7F:
        head += bytes((length & 0x7F | 0x80,))
        length >>= 7
    return head + bytes((length,)) + body


def publish_bytes(topic: str, payload: bytes, qos: int = 0, packet_id: int = 1, retain: bool = False) -> bytes:
    """A PUBLISH packet."""
    return packet(0x30 | qos << 1 | retain, text(topic) + (struct.pack("!H", packet_id) if qos else b"") + payload)
