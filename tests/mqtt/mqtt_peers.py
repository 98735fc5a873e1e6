"""What the tests of the MQTT client talk to and wait with."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import paho.mqtt.client as paho
from brokers import Certificates, Mosquitto
from paho.mqtt.enums import CallbackAPIVersion

from solarflow.mqtt import BrokerOptions, Connection, Incoming, Limits, State

QUICK = Limits(first_retry_s=0.05, longest_retry_s=0.2, tick_s=0.05, connect_timeout_s=2.0)
CONNACK, SUBACK_TYPE = b"\x20\x02\x00\x00", 0x90


def run(body: Coroutine[Any, Any, None], limit_s: float = 30) -> None:
    """Run an async test on a selector loop, and end it after `limit_s`."""

    async def limited() -> None:
        async with asyncio.timeout(limit_s):
            await body

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(limited())


async def until(condition: Callable[[], object], limit_s: float = 10, what: str = "") -> None:
    """Let the loop work until the condition holds; fail after `limit_s`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + limit_s
    while not condition():
        assert loop.time() < deadline, f"waited {limit_s} s for {what or 'a condition'}"
        await asyncio.sleep(0.005)


def options_for(broker: Mosquitto, **more: Any) -> BrokerOptions:
    return BrokerOptions(host="127.0.0.1", port=broker.port, **more)


@dataclass
class Log:
    """The states that a connection went through."""

    entries: list[tuple[State, str]] = field(default_factory=list)

    def __call__(self, state: State, reason: str) -> None:
        self.entries.append((state, reason))

    @property
    def states(self) -> list[State]:
        return [state for state, _reason in self.entries]

    def reason(self, state: State) -> str:
        return next(reason for found, reason in reversed(self.entries) if found is state)


@asynccontextmanager
async def connection(options: BrokerOptions, *, wait: bool = True, **more: Any) -> AsyncIterator[Connection]:
    more.setdefault("limits", QUICK)
    made = Connection(options, **more)
    made.start()
    try:
        if wait:
            await until(lambda: made.state is State.CONNECTED, what="the connection")
        yield made
    finally:
        await made.stop()


class Taker:
    """A subscription's callback that keeps what it got."""

    def __init__(self) -> None:
        self.batches: list[list[Incoming]] = []

    def __call__(self, batch: list[Incoming]) -> None:
        self.batches.append(batch)

    @property
    def messages(self) -> list[Incoming]:
        return [message for batch in self.batches for message in batch]

    @property
    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.messages]


@asynccontextmanager
async def publisher(broker: Mosquitto, **options: Any) -> AsyncIterator[paho.Client]:
    """A stock paho client on its own thread: a stranger, who knows nothing of our code."""
    client = paho.Client(CallbackAPIVersion.VERSION2, **options)
    if broker.tls:
        client.tls_set(broker.tls.ca_file)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


async def publish_all(client: paho.Client, messages: Sequence[tuple[str, bytes, int]], **more: Any) -> None:
    """Publish (topic, payload, qos) and wait until the broker has all of them."""
    infos = [client.publish(topic, payload, qos, **more) for topic, payload, qos in messages]
    for info in infos:
        await asyncio.to_thread(info.wait_for_publish, 20)
        assert info.is_published()


class Door:
    """Stands between client and broker, and divides what the broker sends into pieces of `piece_bytes`."""

    def __init__(self, piece_bytes: int) -> None:
        self.piece_bytes = piece_bytes
        self.port = 0

    @asynccontextmanager
    async def opened(self, broker: Mosquitto) -> AsyncIterator[Door]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            inner, outer = await asyncio.open_connection("127.0.0.1", broker.port)
            await asyncio.gather(self._pass(reader, outer, 65536), self._pass(inner, writer, self.piece_bytes))

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, piece: int) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                for start in range(0, len(data), piece):
                    writer.write(data[start : start + piece])
                    await asyncio.sleep(0)  # the client, on this same loop, reads the piece before the next comes
        writer.close()


class ScriptedBroker:
    """Speaks just enough MQTT 3.1.1 to let a client in and out, and otherwise does what the test says."""

    def __init__(
        self,
        script: Callable[[ScriptedBroker], Awaitable[None]],
        *,
        connack: bytes = CONNACK,
        lets_out: bool = True,
    ) -> None:
        self._script = script
        self._connack = connack
        self._lets_out = lets_out
        self.connects: list[bytes] = []
        self.port = 0

    @asynccontextmanager
    async def opened(self, tls: Certificates | None = None) -> AsyncIterator[ScriptedBroker]:
        context = None
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls.cert_file, tls.key_file)
        tasks: list[asyncio.Task[None]] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.append(asyncio.current_task())  # type: ignore[arg-type]  # a handler runs in a task
            self.reader, self.writer = reader, writer
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                self.connects.append((await self.packet())[1])
                writer.write(self._connack)
                await self._script(self)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def packet(self) -> tuple[int, bytes]:
        """The client's next packet: first byte and body."""
        command = (await self.reader.readexactly(1))[0]
        length = shift = 0
        while True:
            byte = (await self.reader.readexactly(1))[0]
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        body = await self.reader.readexactly(length)
        if command == 0xA2 and self._lets_out:
            self.writer.write(b"\xb0\x02" + body[:2])  # UNSUBACK, which a farewell waits for
        return command, body

    async def grant(self) -> None:
        """Answer the SUBSCRIBE that must come now."""
        command, body = await self.packet()
        assert command == 0x82
        self.writer.write(bytes((SUBACK_TYPE, 3)) + body[:2] + b"\x00")

    def publish(self, topic: str, payload: bytes, qos: int = 0, identifier: int = 1) -> None:
        body = len(topic).to_bytes(2, "big") + topic.encode()
        body += identifier.to_bytes(2, "big") if qos else b""
        body += payload
        self.writer.write(bytes((0x30 | qos << 1, len(body))) + body)
