"""The MQTT service of a running installation: connections on the engine's loop, as `mqtt-broker` nodes ask for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from solarflow.mqtt import BrokerOptions, Connection, Outgoing, State, Subscription


class LiveConnection:
    """One connection as nodes see it."""

    def __init__(self, service: LiveMqtt, connection: Connection) -> None:
        self._service = service
        self.connection = connection

    def subscribe(self, filter_: str, qos: int, callback: Callable[[list[Any]], None]) -> Subscription:
        """Hand batches of messages to `callback` until the subscription is cancelled."""
        return self.connection.subscribe(filter_, qos, callback)

    def publish(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False, *, queue: bool = False) -> bool:
        """Publish; False where it was refused."""
        return self.connection.publish(topic, payload, qos, retain, queue=queue)

    def close(self) -> None:
        """Say goodbye and disconnect, in the background."""
        self._service.close(self)


class LiveMqtt:
    """Makes connections; the broker "" is the one that the installation was started with."""

    def __init__(self, default: Callable[[], BrokerOptions]) -> None:
        self._default = default
        self.connections: list[LiveConnection] = []
        self._closing: set[asyncio.Task[None]] = set()

    def connect(self, options: Mapping[str, Any], on_state: Callable[[str, str], None]) -> LiveConnection:
        """Begin to connect, with the fields of `BrokerOptions` and `will`, `birth`, `close` as mappings.

        Raises UsageError for options that cannot work.
        """
        given = {name: value for name, value in options.items() if value is not None}
        for name in ("will", "birth", "close"):
            if isinstance(given.get(name), Mapping):
                message = given[name]
                payload = message.get("payload", b"")
                raw = payload if isinstance(payload, bytes) else str(payload).encode()
                given[name] = Outgoing(message["topic"], raw, int(message.get("qos", 0)), bool(message.get("retain")))
        if given.get("host"):
            chosen = BrokerOptions(**given)
        else:
            for name in ("host", "port", "tls", "ca_file", "cert_file", "key_file", "verify"):
                given.pop(name, None)  # where the broker is was said at the start
            chosen = replace(self._default(), **given)

        def told(state: State, reason: str) -> None:
            on_state(str(state), reason)

        connection = LiveConnection(self, Connection(chosen, told))
        self.connections.append(connection)
        connection.connection.start()
        return connection

    def close(self, connection: LiveConnection) -> None:
        """End a connection in the background; `wait_closed` waits for all that end."""
        if connection in self.connections:
            self.connections.remove(connection)
            task = asyncio.get_running_loop().create_task(connection.connection.stop())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def wait_closed(self) -> None:
        """End every connection and wait until their goodbyes are out (bounded by each connection's own limit)."""
        for connection in list(self.connections):
            self.close(connection)
        if self._closing:
            await asyncio.gather(*self._closing, return_exceptions=True)
