"""Publish messages to an MQTT broker.

Inputs
    payload: what is published. An object or a list goes as JSON, bytes as they are, everything else as text; null is an
    empty message. A message without payload is not published.
    topic (string, optional): where to, if the node has no topic of its own.
    qos (number, optional): 0, 1 or 2, if the node does not say.
    retain (boolean, optional): whether the broker keeps it for later subscribers, if the node does not say.
    action (string, optional): "connect" or "disconnect" does that instead of publishing; `broker` may bring other
    properties of the connection.

Details
    The topic may be a template: `comunita/{home}/alert` takes `home` from the message. What is put in must be a text or
    a whole number without "/", "+" and "#", so that nothing in a message can turn it to another home's topic.

    While there is no connection nothing is published, and each message is an error that a `catch` node can see: a
    command that comes an hour late does harm. With `queue` messages wait for the connection instead (the oldest are
    dropped when there are too many): for reports, never for commands.

    To take back a retained message publish an empty one with `retain` on.

Example
    `topic`: comunita/{home}/alert.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from solarflow.errors import ConnectionLostError, NodeError
from solarflow.message import MISSING
from solarflow.mqtt.topics import TopicTemplate, validate_topic
from solarflow.node import BrokerRef, Example, Message, Node, NodeRedConfig, Setup, at
from solarflow.nodes.network.mqtt_broker import MqttBroker, broker_of
from solarflow.services import Cancel

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class MqttOut(Node):
    """Publishes."""

    type = "mqtt out"
    category = "network"
    icon = "bridge"
    color = "#d8bfd8"
    outputs = 0

    class Config(NodeRedConfig):
        """Where to publish, and how."""

        topic: str = ""
        """The topic, or a template such as `comunita/{home}/alert`; empty: the message's `topic`."""
        qos: Literal["", "0", "1", "2"] = ""
        """Quality of service: 0 at most once, 1 at least once, 2 once; empty: the message's, or 0."""
        retain: Literal["", "true", "false"] = ""
        """Whether the broker keeps the message for later subscribers; empty: what the message says, or not."""
        response_topic: str = Field(default="", alias="respTopic")
        """Node-RED's MQTT 5 response topic; kept in the file, not sent."""
        content_type: str = Field(default="", alias="contentType")
        """Node-RED's MQTT 5 content type; kept in the file, not sent."""
        user_props: str | dict[str, Any] = Field(default="", alias="userProps")
        """Node-RED's MQTT 5 user properties; kept in the file, not sent."""
        correlation: str = Field(default="", alias="correl")
        """Node-RED's MQTT 5 correlation data; kept in the file, not sent."""
        expiry: str | int = ""
        """Node-RED's MQTT 5 expiry in seconds; kept in the file, not sent."""
        broker: BrokerRef
        """The `mqtt-broker` node with the connection."""
        queue: bool = False
        """Let messages wait for the connection instead of refusing them. Never for commands."""

        @model_validator(mode="before")
        @classmethod
        def _as_texts(cls, values: Any) -> Any:
            if not isinstance(values, dict):
                return values
            given = {name: value for name, value in values.items() if value is not None}
            for name in ("qos", "retain"):
                if isinstance(given.get(name), (bool, int)):
                    given[name] = str(given[name]).lower()
            return given

        @field_validator("topic")
        @classmethod
        def _can_be_published_to(cls, value: str) -> str:
            if "{" in value or "}" in value:
                validate_topic(value)  # has no wildcards
                TopicTemplate(value)
            elif value:
                validate_topic(value)
            return value

    config: Config

    EXAMPLE = Example(
        text='Publishes {"stato":"ON"} on comunita/casa_A/rele/1/set. Nothing leaves towards other nodes.',
        config={"topic": "comunita/{home}/rele/{relay}/set", "broker": "b1"},
        others={"b1": (MqttBroker, {})},
        given=[at(0, home="casa_A", relay=1, payload={"stato": "ON"})],
        then=[],
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._broker: MqttBroker | None = None
        self._unwatch: Cancel | None = None
        self._refused = 0
        template = TopicTemplate(self.config.topic) if "{" in self.config.topic else None
        self._names = template.names if template else ()
        self._format: Callable[..., str] | None = template.format if template else None
        self._qos = int(self.config.qos) if self.config.qos else None
        self._retain = {"": None, "true": True, "false": False}[self.config.retain]

    def on_start(self) -> None:
        """Find the connection."""
        self._broker = broker_of(self, self.config.broker)
        self._unwatch = self._broker.watch(self._show)

    def on_stop(self) -> None:
        """Watch the connection no more; what is sent while the flow ends still goes out."""
        if self._unwatch is not None:
            self._unwatch()

    def on_input(self, msg: Message) -> None:
        """Publish a message."""
        broker = self._broker
        if broker is None:
            raise NodeError(f"there is no mqtt-broker node '{self.config.broker}'; choose one")
        if msg.get("action"):
            broker.act(msg)
            return
        payload = msg.get("payload", MISSING)
        if payload is MISSING:
            return
        topic = self._topic(msg)
        qos = self._qos if self._qos is not None else _qos(msg.get("qos"))
        retain = self._retain if self._retain is not None else msg.get("retain") in (True, "true")
        if not broker.publish(topic, _bytes(payload), qos, retain, queue=self.config.queue) and not self.config.queue:
            self._refused += 1
            self._show()
            raise ConnectionLostError(f"'{topic}' was not published: {broker.look[0]}")

    def _topic(self, msg: Message) -> str:
        if self._format is not None:
            return self._format(**{name: _level(msg[name]) for name in self._names if name in msg})
        topic = self.config.topic or msg.get("topic")
        if not isinstance(topic, str) or not topic:
            raise NodeError("there is no topic to publish to; give the node one, or the message a 'topic'")
        return topic

    def _show(self) -> None:
        if self._broker is not None:
            text, fill, shape = self._broker.look
            more = f", {self._refused} not sent" if self._refused else ""
            self.status(text + more, fill, shape)


def _level(value: Any) -> Any:
    """A value for a named level: relay numbers may come as numbers."""
    return str(value) if value.__class__ is int else value


def _qos(value: Any) -> int:
    return int(value) if value in (0, 1, 2, "0", "1", "2") and value is not True and value is not False else 0


def _bytes(payload: Any) -> bytes:
    """A payload as Node-RED sends it. Raises NodeError for what JSON cannot say."""
    kind = payload.__class__
    if kind is bytes:
        return bytes(payload)
    if kind is str:
        return str(payload).encode(errors="replace")
    if payload is None:
        return b""
    if kind is bool:
        return b"true" if payload else b"false"
    if isinstance(payload, (bytearray, memoryview)):
        return bytes(payload)
    try:
        text = _encode(payload)
    except ValueError as error:
        raise NodeError(f"the payload cannot be sent: {error}; JSON has no such value") from None
    except (TypeError, RecursionError) as error:
        raise NodeError(f"the payload cannot be sent as JSON: {error}") from None
    return text.removesuffix(".0").encode() if kind is float else text.encode()
