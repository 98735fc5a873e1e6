"""The embedded MQTT broker: MQTT 3.1.1 for a home, a demo or a small community, with rights per home."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from amqtt.contexts import BrokerConfig, ListenerConfig

from solarflow.broker_hub import LOG, BrokerHub
from solarflow.broker_rights import Rights
from solarflow.errors import UsageError

_QUIET = ("amqtt", "transitions")
"""Libraries that log every connection and state change at INFO."""


@dataclass(frozen=True)
class BrokerSettings:
    """How the broker listens and what it bounds."""

    host: str = "127.0.0.1"
    """The address it listens on: this machine only, unless told otherwise."""
    port: int = 1883
    """0 takes any free one; `EmbeddedBroker.port` then tells which."""
    max_packet_bytes: int = 1 << 20
    """A client that sends a larger packet is disconnected."""
    max_clients: int = 1_000
    """Clients connected at the same time."""
    session_expiry_s: float = 3_600
    """How long a persistent session outlives its connection."""
    anonymous: bool = False
    """Let clients without a user name do everything. Only on a loopback address."""
    tls_certificate: Path | None = None
    """A PEM file with the server's certificate chain; with `tls_key`, the listener speaks TLS."""
    tls_key: Path | None = None
    """A PEM file with the certificate's private key."""


class ConnectedClient(NamedTuple):
    """A client that is connected now."""

    client_id: str
    user: str | None
    """None for an anonymous client."""


@dataclass(frozen=True)
class BrokerStatus:
    """The broker's figures at one moment; the counters run from its start."""

    clients: int = 0
    """Connected now."""
    sessions_away: int = 0
    """Persistent sessions whose client is not connected."""
    retained: int = 0
    """Topics with a retained message."""
    messages_in: int = 0
    messages_out: int = 0
    dropped: int = 0
    """Messages that a slow or absent client will not get."""
    refused: dict[str, int] = field(default_factory=dict)
    """By reason: credentials, will, full, protocol, malformed, too-large, timeout, keepalive, publish, subscribe,
    retained-full."""


class EmbeddedBroker:
    """An MQTT broker inside the running event loop. Nothing of it survives `stop`.

    A client is let in with a user and secret of `rights`, or without a user name where `settings.anonymous`.
    """

    def __init__(self, settings: BrokerSettings, rights: Rights) -> None:
        """Raises UsageError for settings that do not go together."""
        if settings.anonymous and not _is_loopback(settings.host):
            raise UsageError(
                f"the embedded broker would let anybody in at {settings.host}: give every client a credential "
                "(anonymous=False), or let it listen on 127.0.0.1"
            )
        if (settings.tls_certificate is None) != (settings.tls_key is None):
            raise UsageError("TLS for the embedded broker needs both: the certificate's file and its key's file")
        self.settings = settings
        self.rights = rights
        self._hub: BrokerHub | None = None
        self._unwatch: Callable[[], None] | None = None
        self._port = settings.port

    @property
    def port(self) -> int:
        """The port it listens on; before the first start, the one of the settings."""
        return self._port

    async def start(self) -> None:
        """Bind and serve. Raises UsageError when the address cannot be had or the TLS files cannot be read."""
        if self._hub is not None:
            raise UsageError("the embedded broker is running already: stop it before starting it again")
        for name in _QUIET:
            logger = logging.getLogger(name)
            if logger.level == logging.NOTSET:  # else somebody wants to see it
                logger.setLevel(logging.WARNING)
        settings = self.settings
        tls = _tls_context(settings)
        listening = _bind(settings.host, settings.port)
        hub = BrokerHub(
            BrokerConfig(listeners={"default": ListenerConfig(bind=f"{settings.host}:{settings.port}")}, plugins={}),
            self.rights,
            listening,
            tls,
            anonymous=settings.anonymous,
            max_packet_bytes=settings.max_packet_bytes,
            max_clients=settings.max_clients,
            session_expiry_s=settings.session_expiry_s,
        )
        await hub.start()
        self._hub = hub
        self._port = listening.getsockname()[1]
        loop = asyncio.get_running_loop()

        def rights_changed(user: str) -> None:  # in whatever thread changed them
            loop.call_soon_threadsafe(hub.rights_changed, user)

        self._unwatch = self.rights.watch(rights_changed)
        LOG.info(
            "MQTT broker on %s:%d (%s, %s)",
            settings.host,
            self._port,
            "TLS" if tls else "no TLS",
            "anonymous clients too" if settings.anonymous else f"{len(self.rights.users())} users",
        )
        if tls is None and not _is_loopback(settings.host):
            LOG.warning("secrets and readings cross the network unencrypted: set up TLS, or use a broker that has it")

    async def stop(self) -> None:
        """End every connection and the listener within 2 s. A broker that is not running is left as it is."""
        hub, self._hub = self._hub, None
        if hub is None:
            return
        if self._unwatch is not None:
            self._unwatch()
        hub.stop_listening()
        await hub.close_clients(timeout_s=1.0)
        await hub.shutdown()

    def refuse_anonymous(self) -> None:
        """Let nobody in without a credential any more, and disconnect who came in so. On the loop's thread."""
        if self._hub is not None:
            self._hub.refuse_anonymous()

    def sessions(self) -> list[ConnectedClient]:
        """The clients connected now, by user and client id."""
        mailboxes = list(self._hub.mailboxes.values()) if self._hub else []
        connected = (ConnectedClient(m.client_id, m.user) for m in mailboxes if m.link is not None)
        return sorted(connected, key=lambda client: (client.user or "", client.client_id))

    def status(self) -> BrokerStatus:
        """The figures for `/metrics`. May be called from any thread; all zero when it is not running."""
        return _status(self._hub) if self._hub else BrokerStatus()


def _status(hub: BrokerHub) -> BrokerStatus:
    mailboxes = list(hub.mailboxes.values())
    clients = sum(mailbox.link is not None for mailbox in mailboxes)
    counters = hub.counters
    return BrokerStatus(
        clients=clients,
        sessions_away=len(mailboxes) - clients,
        retained=len(hub.retained),
        messages_in=counters.messages_in,
        messages_out=counters.messages_out,
        dropped=counters.dropped,
        refused=dict(hub.refusals.counts),
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # another name: it may lead anywhere
        return False


def _bind(host: str, port: int) -> socket.socket:
    """A listening socket, bound here rather than by amqtt for a clear answer when the port is taken."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        return socket.create_server(address[:2], family=family, backlog=128)
    except (OSError, OverflowError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise UsageError(
            f"the embedded broker cannot listen on {host} port {port}: {reason}. Another broker may be running there: "
            "stop it, choose another port with --broker-port (0 takes a free one), or point SolarFlow to it with "
            "--broker mqtt://..."
        ) from error


def _tls_context(settings: BrokerSettings) -> ssl.SSLContext | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except OSError as error:  # ssl.SSLError is one too
        raise UsageError(
            f"the embedded broker cannot use the TLS files {settings.tls_certificate} and {settings.tls_key}: {error}. "
            "Both must be readable PEM files that belong together"
        ) from error
    return context
