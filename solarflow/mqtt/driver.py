"""Drives a paho client's socket inside an asyncio loop, without a network thread.

Only the blocking part of connecting (name, TCP, TLS) runs in a thread; paho's callbacks come on the loop's thread.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import uuid
from collections.abc import Callable
from typing import Any

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from solarflow.mqtt.client import AnyClient, OnBatch, make_client
from solarflow.mqtt.options import BrokerOptions, Limits


def build_client(
    options: BrokerOptions, limits: Limits, context: ssl.SSLContext | None, on_batch: OnBatch
) -> AnyClient:
    """A client that is set up for this broker and not connected yet. `context` is what TLS needs, or None."""
    protocol_5 = options.protocol == 5
    client = make_client(
        on_batch=on_batch,
        max_packet_bytes=options.max_packet_bytes,
        client_id=options.client_id or f"solarflow-{uuid.uuid4().hex[:12]}",
        protocol=options.protocol,
        clean_session=None if protocol_5 else options.clean_session,
        reconnect_on_failure=False,
    )
    if context is not None:
        client.tls_set_context(context)
    if options.username is not None:
        client.username_pw_set(options.username, options.password)
    if options.will is not None:
        will = options.will
        client.will_set(will.topic, will.payload, will.qos, will.retain, will.properties if protocol_5 else None)
    client.connect_timeout = limits.connect_timeout_s
    client.max_queued_messages_set(limits.outbox_messages)
    if protocol_5:
        properties = None
        if not options.clean_session:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
            properties.SessionExpiryInterval = options.session_expiry_s
        client.connect_async(
            options.host, options.port, options.keepalive_s, clean_start=options.clean_session, properties=properties
        )
    else:
        client.connect_async(options.host, options.port, options.keepalive_s)
    return client


class Driver:
    """One client and its socket. `on_down` is called whenever the socket is about to be closed."""

    def __init__(self, client: AnyClient, loop: asyncio.AbstractEventLoop, on_down: Callable[[], None]) -> None:
        self._client = client
        self._loop = loop
        self._on_down = on_down
        self._attached = self._writing = False
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_want_write
        client.on_socket_unregister_write = self._on_written

    async def dial(self) -> Exception | None:
        """Connect; None, or why it failed. When cancelled, what comes of it later is closed.

        The thread is a daemon of its own: one that hangs must hold up neither a stop nor the interpreter's end.
        """
        loop, client = self._loop, self._client
        outcome: asyncio.Future[Exception | None] = loop.create_future()

        def settle(error: Exception | None) -> None:
            if outcome.done():
                self._discard()
            else:
                outcome.set_result(error)

        def work() -> None:
            error: Exception | None = None
            try:
                client.reconnect()
            except (OSError, ValueError) as caught:  # ValueError: a host name that cannot be one
                error = caught
            try:
                loop.call_soon_threadsafe(settle, error)
            except RuntimeError:  # the loop was closed meanwhile
                self._discard()

        threading.Thread(target=work, name="mqtt connect", daemon=True).start()
        return await outcome

    def attach(self) -> bool:
        """Begin to serve the socket that `dial()` opened. False when there is none."""
        sock = self._client.socket()
        if sock is None:
            return False
        self._attached = True
        # Without it a command waits for the broker's delayed acknowledgement of the packet before, up to 40 ms.
        if isinstance(sock, socket.socket):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._loop.add_reader(sock.fileno(), self._read)
        self._write()
        return True

    def abort(self) -> None:
        """Close at once; paho finds the socket closed and tells all concerned."""
        sock = self._client.socket()
        if sock is not None and self._attached:
            self._detach(sock)
            sock.close()
            self._client.loop_read()

    def _read(self) -> None:
        client = self._client
        client.loop_read()
        while (pending := getattr(client.socket(), "pending", None)) is not None and pending():
            client.loop_read()  # TLS: already decrypted, so the selector does not see it

    def _write(self) -> None:
        client = self._client
        client.loop_write()
        sock = client.socket()
        if sock is not None and client.want_write() and self._attached and not self._writing:
            self._writing = True
            self._loop.add_writer(sock.fileno(), client.loop_write)

    def _on_want_write(self, _client: Any, _userdata: Any, _sock: Any) -> None:
        if self._attached:  # otherwise this is the connecting thread, and attach() will write
            self._loop.call_soon(self._write)

    def _on_written(self, _client: Any, _userdata: Any, sock: Any) -> None:
        if self._writing:
            self._writing = False
            self._loop.remove_writer(sock.fileno())

    def _on_socket_close(self, _client: Any, _userdata: Any, sock: Any) -> None:
        self._detach(sock)
        self._on_down()

    def _detach(self, sock: Any) -> None:
        if self._attached and sock.fileno() >= 0:
            self._loop.remove_reader(sock.fileno())
            self._loop.remove_writer(sock.fileno())
        self._attached = self._writing = False

    def _discard(self) -> None:
        """Close what nobody waits for any more."""
        sock = self._client.socket()
        if sock is not None:
            sock.close()
