"""How to reach a broker, and how long to wait for what: the settings of one connection."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from paho.mqtt.properties import Properties

from solarflow.errors import UsageError
from solarflow.mqtt.client import MAX_PACKET_BYTES
from solarflow.mqtt.topics import validate_topic

PORT = 1883
TLS_PORT = 8883
_EXAMPLE = "write mqtt://host, mqtts://host:8883 or mqtt://user:password@host:1883"


class Outgoing(NamedTuple):
    """A message to publish. `properties` are MQTT 5 only and are left out under 3.1.1."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: Properties | None = None


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """One broker and how to log in there. Raises UsageError, with the mend, for what cannot work."""

    host: str
    port: int = PORT
    client_id: str = ""
    """Empty: one is made up for each connection."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    ca_file: str | None = None
    """The authority that signed the broker's certificate; None: those that the system trusts."""
    cert_file: str | None = None
    key_file: str | None = None
    verify: bool = True
    """Check the broker's certificate and name."""
    protocol: Literal[4, 5] = 4
    """4 is MQTT 3.1.1, 5 is MQTT 5."""
    keepalive_s: int = 60
    clean_session: bool = True
    session_expiry_s: int = 86_400
    """How long an MQTT 5 broker keeps a session that is not clean."""
    max_packet_bytes: int = MAX_PACKET_BYTES
    """Longer messages are discarded and counted."""
    will: Outgoing | None = None
    """Published by the broker when the connection ends without a farewell."""
    birth: Outgoing | None = None
    """Published at each connect."""
    close: Outgoing | None = None
    """Published before disconnecting on purpose."""

    def __post_init__(self) -> None:
        self._need(bool(self.host) and not self.host.isspace(), "the broker has no host; name one, such as 127.0.0.1")
        self._need(0 < self.port < 65536, f"the port {self.port} does not exist; {PORT} is usual, {TLS_PORT} with TLS")
        self._need(self.protocol in (4, 5), f"protocol {self.protocol!r}: 4 (MQTT 3.1.1) or 5 (MQTT 5) is needed")
        self._need(0 <= self.keepalive_s < 65536, f"keepalive_s {self.keepalive_s}: 0 to 65535 seconds is needed")
        self._need(
            self.clean_session or bool(self.client_id),
            "a session that is kept needs a client_id that stays the same; give one, or set clean_session",
        )
        self._need(self.password is None or self.username is not None, "there is a password but no username; give both")
        self._need(
            self.tls or not (self.ca_file or self.cert_file or self.key_file),
            "certificate files are given but tls is off; set tls (or write mqtts://), or remove the files",
        )
        self._need(
            bool(self.cert_file) or not self.key_file, "key_file is given without its cert_file; give both, or neither"
        )
        for name, message in (("will", self.will), ("birth", self.birth), ("close", self.close)):
            if message is not None:
                validate_topic(message.topic)
                self._need(message.qos in (0, 1, 2), f"the {name} message has QoS {message.qos!r}; 0, 1 or 2 is needed")

    @staticmethod
    def _need(condition: bool, text: str) -> None:
        if not condition:
            raise UsageError(text)

    @classmethod
    def from_url(cls, url: str) -> BrokerOptions:
        """Read `mqtt://user:password@host:1883` or `mqtts://...` (TLS, port 8883).

        User and password are percent-decoded. Raises UsageError; its text never holds the password.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:  # its text may hold a piece of the password
            raise UsageError(f"this broker address cannot be read: host or port are not valid; {_EXAMPLE}") from None
        if parts.scheme not in ("mqtt", "mqtts"):
            found = f"begins with '{parts.scheme}'" if parts.scheme else "does not say mqtt:// or mqtts://"
            raise UsageError(f"this broker address {found}; {_EXAMPLE}")
        if not parts.hostname:
            raise UsageError(f"this broker address names no host; {_EXAMPLE}")
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise UsageError(
                f"the broker address of '{parts.hostname}' goes on after the port; {_EXAMPLE}, "
                "and percent-encode '/', '?' and '#' in a password"
            )
        if port == 0:
            raise UsageError(f"the broker address of '{parts.hostname}' has port 0; {_EXAMPLE}")
        tls = parts.scheme == "mqtts"
        return cls(
            host=parts.hostname,
            port=port or (TLS_PORT if tls else PORT),
            username=None if parts.username is None else unquote(parts.username),
            password=None if parts.password is None else unquote(parts.password),
            tls=tls,
        )

    @property
    def address(self) -> str:
        """Where the broker is, without user and password: `mqtt://host:1883`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt{'s' if self.tls else ''}://{host}:{self.port}"

    def tls_context(self) -> ssl.SSLContext:
        """What TLS needs to know. Raises UsageError when a certificate file cannot be used."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"ca_file '{self.ca_file}' cannot be used ({error}); give a PEM file") from error
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert_file:
            try:
                context.load_cert_chain(self.cert_file, self.key_file, password="")  # never ask on the console
            except (OSError, ssl.SSLError) as error:
                raise UsageError(
                    f"cert_file '{self.cert_file}' and its key cannot be used ({error}); give PEM files that belong "
                    "together, the key without a passphrase"
                ) from error
        return context


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a connection waits, and how much it keeps. The defaults suit a live system."""

    first_retry_s: float = 0.5
    """The shortest pause before a new attempt."""
    longest_retry_s: float = 4.0
    """Relays wait for their broker: after however long an outage it is found again within five seconds."""
    stable_after_s: float = 1.0
    """A connection that lasted this long counts as a success: the pauses begin anew."""
    connect_timeout_s: float = 5.0
    """For the TCP connection, for TLS, and again for the broker's answer."""
    outbox_messages: int = 1000
    """Messages kept for the next connection; the oldest go first."""
    tick_s: float = 1.0
    """How often the keepalive is looked at."""
    stop_s: float = 1.5
    """How long `stop()` may take altogether."""


class Backoff:
    """Pauses between attempts: random between `first_retry_s` and a bound that doubles from twice that.

    `random` gives numbers from 0 up to 1, as `random.random` does; the spread keeps a thousand clients from returning
    to a restarted broker all at once.
    """

    def __init__(self, limits: Limits, random: Callable[[], float]) -> None:
        self._limits = limits
        self._random = random
        self._failures = 0

    def next_s(self) -> float:
        """The pause before the next attempt [s]."""
        limits = self._limits
        self._failures += 1
        bound = min(limits.longest_retry_s, limits.first_retry_s * 2.0 ** min(self._failures, 60))
        lowest = min(limits.first_retry_s, bound)
        return lowest + (bound - lowest) * self._random()

    def reset(self) -> None:
        """Begin with the shortest pause again."""
        self._failures = 0
