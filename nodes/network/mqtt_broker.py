"""A connection to an MQTT broker.

All `mqtt in` and `mqtt out` nodes that name it share its one connection. It comes back by itself when it was lost, with
growing pauses, and subscribes again to everything.

Details
    Leave `broker` empty to take the broker that SolarFlow was started with (`--broker`; the embedded one where that was
    not given). Then `port`, `usetls` and the certificates are those of the start, too.

    Birth message: published whenever the connection is made. Close message: before it is ended on purpose, by a deploy
    or at the end. Will: published by the broker when the connection ends without a farewell.

    A client id must be the only one of its name at the broker. A session that is kept (`cleansession` off) needs one;
    without, it is not kept, and the log says so.

    MQTT over WebSockets (`ws://`) is not available: give the broker's MQTT port.

Example
    `broker`: mqtt.example.org, `port`: 8883, `usetls`: on, user and password from credentials.json.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from solarflow.errors import NodeError
from solarflow.host import Fill, Shape
from solarflow.mqtt.topics import validate_topic
from solarflow.node import Message, Node, NodeRedConfig, Secret, Setup, config_node
from solarflow.nodes.network.tls_config import TlsConfig
from solarflow.services import Cancel, MqttConnection

_SCHEMES = {"mqtt": False, "tcp": False, "mqtts": True, "ssl": True, "tls": True}
_LOOKS: dict[str, tuple[Fill, Shape]] = {
    "connected": ("green", "dot"), "connecting": ("yellow", "ring"), "disconnected": ("red", "ring"),
    "refused": ("red", "ring"),
}  # fmt: skip


@dataclass(eq=False, slots=True)
class Wanted:
    """A subscription of a node: it outlives the connection."""

    filter: str
    qos: int
    callback: Callable[[list[Any]], None]
    owner: MqttBroker
    running: Any = None

    def cancel(self) -> None:
        """Get no more messages."""
        if self in self.owner.wanted:
            self.owner.wanted.remove(self)
        running, self.running = self.running, None
        if running is not None:
            running.cancel()


class MqttBroker(Node):
    """Keeps one connection."""

    type = "mqtt-broker"
    category = "network"
    icon = "bridge"
    color = "#d8bfd8"
    inputs = 0
    outputs = 0
    is_config = True

    class Config(NodeRedConfig):
        """Where the broker is and how to log in."""

        broker: str = ""
        """Its host name or address, or mqtt://host:1883 or mqtts://host:8883; empty: the one of the start."""
        port: int | None = Field(default=None, ge=1, le=65535)
        """Its port; by default 1883, and 8883 with TLS."""
        use_tls: bool = Field(default=False, alias="usetls")
        """Encrypt the connection."""
        tls: Annotated[str, config_node("tls-config")] = ""
        """The certificates; empty: trust what this machine trusts."""
        verify: bool = Field(default=True, alias="verifyservercert")
        """Check the broker's certificate where no `tls` is given."""
        client_id: str = Field(default="", alias="clientid")
        """How the broker knows us; empty: a name is made up for each connection."""
        auto_connect: bool = Field(default=True, alias="autoConnect")
        """Connect at the start; otherwise when an `mqtt in` or `mqtt out` gets `action` "connect"."""
        protocol_version: Literal[3, 4, 5] = Field(default=4, alias="protocolVersion")
        """4 is MQTT 3.1.1, 5 is MQTT 5; 3 (MQTT 3.1) is spoken as 4."""
        keepalive_s: int = Field(default=60, alias="keepalive", ge=0, le=65535)
        """Seconds of silence after which both sides ask whether the other is still there; 0: never."""
        clean_session: bool = Field(default=True, alias="cleansession")
        """Begin anew at each connection; otherwise the broker keeps messages of QoS 1 and 2 while we are away."""
        auto_unsubscribe: bool = Field(default=True, alias="autoUnsubscribe")
        """Unsubscribe when SolarFlow ends; off: a kept session goes on collecting messages meanwhile."""
        session_expiry_s: int | None = Field(default=None, alias="sessionExpiry", ge=0)
        """MQTT 5: how long the broker keeps a session that is not clean."""
        birth_topic: str = Field(default="", alias="birthTopic")
        """Where the birth message goes; empty: there is none."""
        birth_qos: int = Field(default=0, alias="birthQos", ge=0, le=2)
        """Its quality of service."""
        birth_payload: str = Field(default="", alias="birthPayload")
        """What it says."""
        birth_retain: bool = Field(default=False, alias="birthRetain")
        """Whether the broker keeps it for later subscribers."""
        birth_msg: dict[str, Any] = Field(default={}, alias="birthMsg")
        """Node-RED's MQTT 5 properties of the birth message; kept in the file, not sent."""
        close_topic: str = Field(default="", alias="closeTopic")
        """Where the close message goes; empty: there is none."""
        close_qos: int = Field(default=0, alias="closeQos", ge=0, le=2)
        """Its quality of service."""
        close_payload: str = Field(default="", alias="closePayload")
        """What it says."""
        close_retain: bool = Field(default=False, alias="closeRetain")
        """Whether the broker keeps it for later subscribers."""
        close_msg: dict[str, Any] = Field(default={}, alias="closeMsg")
        """Node-RED's MQTT 5 properties of the close message; kept in the file, not sent."""
        will_topic: str = Field(default="", alias="willTopic")
        """Where the will goes; empty: there is none."""
        will_qos: int = Field(default=0, alias="willQos", ge=0, le=2)
        """Its quality of service."""
        will_payload: str = Field(default="", alias="willPayload")
        """What it says."""
        will_retain: bool = Field(default=False, alias="willRetain")
        """Whether the broker keeps it for later subscribers."""
        will_msg: dict[str, Any] = Field(default={}, alias="willMsg")
        """Node-RED's MQTT 5 properties of the will; kept in the file, not sent."""
        user_props: str | dict[str, Any] = Field(default="", alias="userProps")
        """Node-RED's MQTT 5 user properties of the connection; kept in the file, not sent."""
        user: Secret = Secret("")
        """Who logs in; empty: nobody in particular."""
        password: Secret = Secret("")
        """The password of that user."""

        @model_validator(mode="before")
        @classmethod
        def _unset_is_default(cls, values: Any) -> Any:
            if not isinstance(values, dict):
                return values
            given = {name: value for name, value in values.items() if value not in ("", None)}
            if str(given.get("protocolVersion")) in ("3", "4", "5"):
                given["protocolVersion"] = int(given["protocolVersion"])
            return given

        @field_validator("broker")
        @classmethod
        def _is_an_address(cls, value: str) -> str:
            if "://" not in value:
                return "" if value == "default" else value.strip()
            try:
                parts = urlsplit(value)
                port = parts.port
            except ValueError:
                raise ValueError("this broker address cannot be read; write mqtt://host:1883") from None
            if parts.scheme in ("ws", "wss"):
                raise ValueError("MQTT over WebSockets is not available; give the broker's MQTT port: mqtt://host:1883")
            if parts.scheme not in _SCHEMES or not parts.hostname or port == 0:
                raise ValueError("expected a host name, mqtt://host:1883 or mqtts://host:8883")
            if parts.username or parts.password:
                raise ValueError("user and password do not belong into the address; use 'user' and 'password'")
            return value

        @field_validator("birth_topic", "close_topic", "will_topic")
        @classmethod
        def _is_a_topic(cls, value: str) -> str:
            return validate_topic(value) if value else value

        @model_validator(mode="after")
        def _password_has_a_user(self) -> Self:
            if self.password.get_secret_value() and not self.user.get_secret_value():
                raise ValueError("there is a password but no user; give both")
            return self

    config: Config

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.connection: MqttConnection | None = None
        """The connection, while there is one; it may be down: `standing` says so."""
        self.standing = "disconnected"
        """ "connected", "connecting", "disconnected" or "refused"."""
        self.reason = ""
        """Why, in words."""
        self.wanted: list[Wanted] = []
        self._watchers: list[Callable[[], None]] = []
        self._attempt = 0

    def on_start(self) -> None:
        """Connect, unless somebody is to say when."""
        if self.config.auto_connect:
            self.connect()
        else:
            self._stand("disconnected", "waits for the action 'connect'")

    def on_stop(self) -> None:
        """Say goodbye."""
        self.disconnect()

    # -- for the nodes that use it ------------------------------------------------------------------------------

    @property
    def look(self) -> tuple[str, Fill, Shape]:
        """The status that its users show: text, colour, shape."""
        fill, shape = _LOOKS.get(self.standing, ("grey", "ring"))
        told = self.reason and self.standing in ("disconnected", "refused")
        return f"{self.standing}: {self.reason}" if told else self.standing, fill, shape

    @property
    def keeps_session(self) -> bool:
        """Whether subscriptions are left to the broker when SolarFlow ends."""
        return not self.config.auto_unsubscribe

    def watch(self, callback: Callable[[], None]) -> Cancel:
        """Call `callback` now and whenever `look` changes."""
        self._watchers.append(callback)
        callback()

        def cancel() -> None:
            if callback in self._watchers:
                self._watchers.remove(callback)

        return cancel

    def subscribe(self, filter_: str, qos: int, callback: Callable[[list[Any]], None]) -> Wanted:
        """Have batches of messages handed to `callback`, through every connection, until cancelled."""
        wanted = Wanted(filter_, qos, callback, self)
        self.wanted.append(wanted)
        if self.connection is not None:
            wanted.running = self.connection.subscribe(filter_, qos, callback)
        return wanted

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool, *, queue: bool = False) -> bool:
        """Publish; False where it was not sent."""
        return self.connection is not None and self.connection.publish(topic, payload, qos, retain, queue=queue)

    def act(self, msg: Message) -> None:
        """Do what `msg.action` says: "connect" (`msg.broker` may bring other properties) or "disconnect".

        Raises NodeError for any other action, and where it is connected already and not to be forced.
        """
        if msg.get("action") == "disconnect":
            self.disconnect()
            return
        if msg.get("action") != "connect":
            raise NodeError(f"the action {msg.get('action')!r} is not known here; use 'connect' or 'disconnect'")
        changes = msg.get("broker")
        if self.connection is not None:
            if not isinstance(changes, dict):
                return
            if not changes.get("force"):
                raise NodeError("there is a connection already; disconnect first, or set msg.broker.force to true")
            self.disconnect()
        self.connect(changes if isinstance(changes, dict) else None)

    def connect(self, changes: dict[str, Any] | None = None) -> None:
        """Begin to connect; `changes` are properties for this connection only."""
        if self.connection is not None:
            return
        if self.services.mqtt is None:
            raise NodeError("there is no MQTT here; start SolarFlow with a broker")
        self._stand("connecting", "")
        config = self.config if changes is None else self._changed(changes)
        self._attempt = attempt = self._attempt + 1

        def told(standing: str, reason: str) -> None:
            if attempt == self._attempt:  # and not the last words of the connection before
                self._stand(standing, reason)

        self.connection = self.services.mqtt.connect(self._options(config), self.entry(told))
        for wanted in self.wanted:
            wanted.running = self.connection.subscribe(wanted.filter, wanted.qos, wanted.callback)

    def disconnect(self) -> None:
        """Say goodbye and stay away."""
        connection, self.connection = self.connection, None
        self._attempt += 1
        for wanted in self.wanted:
            wanted.running = None
        if connection is not None:
            connection.close()
        self._stand("disconnected", "")

    # -- inside -------------------------------------------------------------------------------------------------

    def _changed(self, changes: dict[str, Any]) -> MqttBroker.Config:
        given = {**self.config.model_dump(by_alias=True), **changes}
        given["broker"] = changes.get("url") or given["broker"]
        given["user"] = changes.get("username") or self.config.user
        try:
            return self.Config.model_validate(given)
        except ValueError as error:
            raise NodeError(f"msg.broker cannot be used: {error}") from None

    def _options(self, config: MqttBroker.Config) -> dict[str, Any]:
        """What `MqttService.connect` wants to know."""
        host, port, tls = config.broker, config.port, config.use_tls
        if "://" in host:
            parts = urlsplit(host)
            host, port, tls = parts.hostname or "", parts.port or port, _SCHEMES[parts.scheme]
        clean = config.clean_session
        if not clean and not config.client_id:
            self.warn("without a client id the session cannot be kept; give 'clientid', or set 'cleansession'")
            clean = True
        user = config.user.get_secret_value()
        options: dict[str, Any] = {
            "host": host, "port": port or (8883 if tls else 1883), "client_id": config.client_id,
            "username": user or None, "password": config.password.get_secret_value() if user else None,
            "tls": tls, "verify": config.verify, "ca_file": None, "cert_file": None, "key_file": None,
            "protocol": max(config.protocol_version, 4), "keepalive_s": config.keepalive_s, "clean_session": clean,
            "session_expiry_s": config.session_expiry_s,
            "will": self._message(config, "will"), "birth": self._message(config, "birth"),
            "close": self._message(config, "close"),
        }  # fmt: skip
        if tls and config.tls:
            certificates = self.host.config_node(self, config.tls).config
            if isinstance(certificates, TlsConfig.Config):
                options["verify"] = certificates.verify
                options["ca_file"] = certificates.ca or None
                options["cert_file"], options["key_file"] = certificates.cert or None, certificates.key or None
        return options

    @staticmethod
    def _message(config: MqttBroker.Config, kind: str) -> dict[str, Any] | None:
        topic = getattr(config, f"{kind}_topic")
        if not topic:
            return None
        return {
            "topic": topic, "payload": getattr(config, f"{kind}_payload").encode(),
            "qos": getattr(config, f"{kind}_qos"), "retain": getattr(config, f"{kind}_retain"),
        }  # fmt: skip

    def _stand(self, standing: str, reason: str) -> None:
        self.standing, self.reason = standing, reason
        text, fill, shape = self.look
        self.status(text, fill, shape)
        for callback in list(self._watchers):
            callback()


def broker_of(node: Node, node_id: str) -> MqttBroker:
    """The `mqtt-broker` node that another node names. Raises NodeError where that is none."""
    found = node.host.config_node(node, node_id)
    if not isinstance(found, MqttBroker):
        raise NodeError(f"'{node_id}' is a '{found.type}' node, where an 'mqtt-broker' is needed")
    return found
