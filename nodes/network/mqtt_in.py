"""Receive messages from an MQTT broker.

Outputs
    payload: what was published: see `datatype`.
    topic (string): the topic it came on.
    qos (number), retain (boolean): how it came. A retained message was published before we subscribed, and may be old.
    home, ... (string): the levels that the topic names: `comunita/{home}/produzione` sets `home`.
    ts (number): when it was measured, in seconds since 1970 (UTC): the number `ts` of the payload, or now.
    late (boolean): true where that is long past, or the payload says `"arretrato": true`: not for live control.

Details
    The topic may have the wildcards of MQTT, `+` for one level and `#` for all that follow, and named levels.
    `comunita/{home}/produzione` subscribes to `comunita/+/produzione`.

    Before a message enters the flow it is checked: size, text encoding, JSON (no NaN, no infinite number, bounded
    depth). With "auto-detect" what is no JSON is text, and what is no text stays bytes; numbers that are not finite are
    refused there, too. What is refused is counted for each topic; the status shows how many, and the last reason.

    Homes: where the topic names `{home}` only homes that were approved enter the flow. Others are listed for approval
    (`solarflow homes`). Where there is no list of homes, all enter.

    Time: a `ts` in milliseconds is put into seconds, in the payload too. One more than five minutes ahead is a wrong
    clock: the message is not sent, and an alert "clock-skew" stays open until the next good one. One that is past by
    more than `late_after_s` is late.

    Dynamic subscriptions (`inputs` 1) are made by messages to the node. `action` "subscribe": `topic` is a topic, an
    object with `topic`, `qos` and `datatype`, or a list of these. "unsubscribe": the same, or true for all.
    "getSubscriptions" sends the list of them. "connect" (with `broker`: other properties) and "disconnect" are for the
    connection.

Example
    `topic`: comunita/{home}/produzione.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from solarflow.errors import NodeError
from solarflow.mqtt.topics import TopicTemplate
from solarflow.node import MAX_SKEW_S, BrokerRef, Example, KeyedState, Message, Node, NodeRedConfig, Setup, at
from solarflow.nodes.network.mqtt_broker import MqttBroker, Wanted, broker_of
from solarflow.services import Cancel, Incoming, ReadyMessage
from solarflow.strict_json import RefusedJsonError, read_json
from solarflow.units import Seconds

Datatype = Literal["auto-detect", "auto", "json", "utf8", "buffer", "base64"]
MILLISECONDS_ABOVE = 1e11
"""A larger `ts` is in milliseconds: as seconds it would be in the year 5138."""
REFUSED_TOPICS = 100


@dataclass(slots=True)
class Refused:
    """What was refused on one topic."""

    count: int = 0
    reason: str = ""


class MqttIn(Node):
    """Subscribes."""

    type = "mqtt in"
    category = "network"
    icon = "bridge"
    color = "#d8bfd8"
    inputs = 0

    class Config(NodeRedConfig):
        """What to subscribe to, and what may enter."""

        topic: str = ""
        """The topic, with `+`, `#` and named levels such as `{home}`."""
        qos: int = Field(default=2, ge=0, le=2)
        """The highest quality of service in which it is delivered."""
        datatype: Datatype = "auto-detect"
        """The payload. auto-detect: JSON, else text, else bytes; auto: text, else bytes; or always json, utf8 (a text),
        buffer (bytes) or base64 (a text)."""
        broker: BrokerRef
        """The `mqtt-broker` node with the connection."""
        no_local: bool = Field(default=False, alias="nl")
        """Node-RED's MQTT 5 option (not what this connection publishes itself); has no effect here."""
        retain_as_published: bool = Field(default=True, alias="rap")
        """Node-RED's MQTT 5 option; has no effect: `retain` always says whether the broker had kept the message."""
        retain_handling: int = Field(default=0, alias="rh", ge=0, le=2)
        """Retained messages: 0 and 1 take them when a subscription begins, 2 ignores them."""
        inputs: Literal[0, 1] = 0
        """1: messages to this node say what to subscribe to."""
        max_bytes: int = Field(default=65536, ge=1)
        """Longer messages are refused."""
        max_depth: int = Field(default=20, ge=1, le=500)
        """JSON with more objects and lists inside each other is refused."""
        ignore_retained: bool | None = None
        """Ignore retained messages; not said: where the topic ends in `/set`, because an old command is none."""
        approved_only: bool | None = None
        """Let in only approved homes; not said: where the topic names `{home}`."""
        late_after_s: Seconds = 120
        """A message measured longer ago is marked as late."""

        @model_validator(mode="before")
        @classmethod
        def _unset_is_default(cls, values: Any) -> Any:
            if not isinstance(values, dict):
                return values
            given = {name: value for name, value in values.items() if value not in ("", None)}
            if str(given.get("inputs")) in ("0", "1"):
                given["inputs"] = int(given["inputs"])
            return given

        @model_validator(mode="after")
        def _topic_is_one(self) -> Self:
            if self.inputs == 0:
                if not self.topic:
                    raise ValueError("there is no topic to subscribe to; write one, such as comunita/{home}/produzione")
                names = TopicTemplate(self.topic).names
                if self.approved_only and "home" not in names:
                    raise ValueError("approved_only needs a topic that names {home}, as in comunita/{home}/produzione")
            return self

    @dataclass(slots=True)
    class State:
        """Kept for each home (or topic) whose clock is ahead."""

        skewed: int = 0

    config: Config
    state: KeyedState[State]

    EXAMPLES = (
        Example(
            text="The production of every approved home. One whose clock is an hour ahead does not enter.",
            config={"topic": "comunita/{home}/produzione", "broker": "b1"},
            others={"b1": (MqttBroker, {})},
            homes=[{"id": "casa_A"}],
            given=[
                at(0, topic="comunita/casa_A/produzione", payload={"potenza_w": 1500}),
                at(60, topic="comunita/casa_A/produzione", payload={"potenza_w": 1500, "ts": 4e9}),
                at(60, topic="comunita/casa_Z/produzione", payload={"potenza_w": 9}),
            ],
            then=[at(0, topic="comunita/casa_A/produzione", home="casa_A", payload={"potenza_w": 1500}, retain=False)],
        ),
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.refused: dict[str, Refused] = {}
        """What was refused, by topic; the last hundred topics."""
        self.refused_count = 0
        self._broker: MqttBroker | None = None
        self._unwatch: Cancel | None = None
        self._subscription: Wanted | None = None
        self._dynamic: dict[str, tuple[Wanted, dict[str, Any]]] = {}
        self._last_reason = ""

    def on_start(self) -> None:
        """Subscribe."""
        self._broker = broker_of(self, self.config.broker)
        if not self.config.inputs:
            self._subscription = self._subscribe(self.config.topic, self.config.qos, self.config.datatype)
        self._unwatch = self._broker.watch(self._show)

    def on_stop(self) -> None:
        """Unsubscribe; at the end of SolarFlow a kept session may go on collecting."""
        if self._unwatch is not None:
            self._unwatch()
        broker = self._broker
        if broker is not None and broker.keeps_session and self.host.stopping:
            return
        for wanted in [self._subscription, *(wanted for wanted, _ in self._dynamic.values())]:
            if wanted is not None:
                wanted.cancel()
        self._subscription = None
        self._dynamic.clear()

    # -- dynamic subscriptions ----------------------------------------------------------------------------------

    def on_input(self, msg: Message) -> None:
        """Do what `action` says."""
        broker, action = self._broker, msg.get("action")
        if broker is None:
            raise NodeError(f"there is no mqtt-broker node '{self.config.broker}'; choose one")
        if not self.config.inputs:
            raise NodeError("this node has a topic of its own and takes no messages; set 'inputs' to 1 for that")
        if action in ("connect", "disconnect"):
            broker.act(msg)
        elif action == "getSubscriptions":
            msg["topic"], msg["payload"] = "subscriptions", self._listed()
            self.send(msg)
        elif action in ("subscribe", "unsubscribe"):
            self._change(action, msg.get("topic"))
            msg["subscriptions"] = self._listed()  # for a `complete` node
        else:
            raise NodeError(
                f"the action {action!r} is not known; use subscribe, unsubscribe, getSubscriptions, connect or "
                "disconnect"
            )

    def _listed(self) -> list[dict[str, Any]]:
        return [dict(given) for _, given in self._dynamic.values()]

    def _change(self, action: str, topic: Any) -> None:
        """Subscribe or unsubscribe. All topics are checked before the first is touched."""
        if topic is True and action == "unsubscribe":
            topic = list(self._dynamic)
        entries = [
            {"topic": entry} if isinstance(entry, str) else entry
            for entry in (topic if isinstance(topic, list) else [topic])
        ]
        for entry in entries:
            if not isinstance(entry, dict) or not isinstance(entry.get("topic"), str):
                raise NodeError("'topic' must be a topic, an object with a 'topic', or a list of these")
            TopicTemplate(entry["topic"])
            if str(entry.get("qos", 2)) not in ("0", "1", "2"):
                raise NodeError(f"the QoS {entry['qos']!r} of '{entry['topic']}' is not 0, 1 or 2")
            if entry.get("datatype", "json") not in ("auto-detect", "auto", "json", "utf8", "buffer", "base64"):
                raise NodeError(f"the datatype {entry['datatype']!r} of '{entry['topic']}' is not known")
        for entry in entries:
            name = entry["topic"]
            if name in self._dynamic:
                self._dynamic.pop(name)[0].cancel()
            if action == "subscribe":
                given = {**entry, "qos": int(entry.get("qos", 2))}
                wanted = self._subscribe(name, given["qos"], entry.get("datatype", self.config.datatype))
                self._dynamic[name] = (wanted, given)

    # -- messages -----------------------------------------------------------------------------------------------

    def _subscribe(self, topic: str, qos: int, datatype: str) -> Wanted:
        if self._broker is None:
            raise NodeError(f"there is no mqtt-broker node '{self.config.broker}'; choose one")
        template = TopicTemplate(topic)
        return self._broker.subscribe(template.filter, qos, self.entry(self._receiver(template, datatype)))

    def _receiver(self, template: TopicTemplate, datatype: str) -> Callable[[list[Incoming]], None]:
        """What takes a batch: made once for each subscription, because thousands of messages a second go through."""
        config, clock, state = self.config, self.clock, self.state
        match, read, max_bytes = template.match, _READERS[datatype], config.max_bytes
        ignore_retained = config.ignore_retained
        if ignore_retained is None:
            ignore_retained = template.text.endswith("/set") or config.retain_handling == 2
        approved_only = config.approved_only
        if approved_only is None:
            approved_only = "home" in template.names
        homes = self.services.homes if approved_only else None
        max_depth, late_after_s = config.max_depth, config.late_after_s
        refuse, quarantine, heal = self._refuse, self._quarantine, self._heal
        takes_objects = datatype in ("json", "auto-detect") and max_bytes >= 65536

        def receive(batch: list[Incoming]) -> None:
            now, send = clock.now(), self.send  # which a deploy may replace
            for incoming in batch:
                topic, retain = incoming.topic, incoming.retain
                if retain and ignore_retained:
                    continue
                ready = incoming.payload_object if takes_objects and isinstance(incoming, ReadyMessage) else None
                raw = incoming.payload if ready is None else b""
                names = match(topic)
                if names is None:
                    refuse(topic, "a level that has a name is empty")
                    continue
                if len(raw) > max_bytes:
                    refuse(topic, f"{len(raw)} bytes, at most {max_bytes} are allowed")
                    continue
                if homes is not None:
                    home = homes.get(names["home"])
                    if home is None or not home.approved:
                        homes.note_unknown(names["home"], topic, incoming.payload, now)
                        continue
                try:
                    payload = read(raw, max_depth) if ready is None else ready.copy()
                except RefusedJsonError as error:
                    refuse(topic, str(error))
                    continue
                msg: Message = {"topic": topic, "payload": payload, "qos": incoming.qos, "retain": retain, **names}
                if payload.__class__ is dict:
                    if "ts" in payload:
                        ts = _seconds(payload)
                        if ts is not None:
                            if ts > now + MAX_SKEW_S:
                                quarantine(names.get("home", ""), topic, ts - now, now)
                                continue
                            msg["ts"] = ts
                            if now - ts > late_after_s:
                                msg["late"] = True
                            elif len(state):
                                heal(names.get("home", ""), topic, now)
                    if payload.get("arretrato"):
                        msg["late"] = True
                send(msg)

        return receive

    def _quarantine(self, home: str, topic: str, ahead_s: float, now: float) -> None:
        self.state[home or topic].skewed += 1
        self._refuse(topic, f"its clock is {ahead_s:.0f} s ahead")
        if self.services.alerts is not None:
            self.services.alerts.open(home, "clock-skew", {"topic": topic, "ahead_s": round(ahead_s)}, now)

    def _heal(self, home: str, topic: str, now: float) -> None:
        if self.state.pop(home or topic) is not None and self.services.alerts is not None:
            self.services.alerts.close(home, "clock-skew", now)

    def _refuse(self, topic: str, reason: str) -> None:
        known = self.refused.pop(topic, None)
        if known is None:
            self.warn(f"a message on '{topic}' was refused: {reason}; further ones on this topic are only counted")
            if len(self.refused) >= REFUSED_TOPICS:
                del self.refused[next(iter(self.refused))]
            known = Refused()
        known.count, known.reason = known.count + 1, reason
        self.refused[topic] = known
        self.refused_count += 1
        self._last_reason = f"{topic}: {reason}"
        if self.remaining(self.show) is None:  # at most one status a second, however much is refused
            self.after(1, self.show)

    def show(self, _key: str = "") -> None:
        """Show the connection, and what was refused."""
        if self._broker is not None:
            text, fill, shape = self._broker.look
            if self.refused_count:
                text += f", {self.refused_count} refused (last: {self._last_reason})"
                fill = "yellow" if fill == "green" else fill
            self.status(text, fill, shape)

    def _show(self) -> None:
        self.show()


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise RefusedJsonError("the text is not UTF-8") from None


def _read_json(raw: bytes, max_depth: int) -> Any:
    try:
        return read_json(_text(raw), max_depth)
    except RefusedJsonError:
        raise
    except ValueError as error:
        raise RefusedJsonError(f"not JSON: {error}") from None


def _read_detected(raw: bytes, max_depth: int) -> Any:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return raw
    try:
        return read_json(text, max_depth)
    except RefusedJsonError:
        raise
    except ValueError:
        return text


def _read_auto(raw: bytes, _max_depth: int) -> Any:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


_READERS: dict[str, Callable[[bytes, int], Any]] = {
    "auto-detect": _read_detected,
    "auto": _read_auto,
    "json": _read_json,
    "utf8": lambda raw, _depth: _text(raw),
    "buffer": lambda raw, _depth: raw,
    "base64": lambda raw, _depth: base64.b64encode(raw).decode(),
}


def _seconds(payload: dict[str, Any]) -> float | None:
    """The time of measurement that a payload states, put into seconds there; None where it states none."""
    ts = payload["ts"]
    if ts is None:
        del payload["ts"]
    if ts.__class__ is not float and ts.__class__ is not int:
        return None
    try:
        if ts > MILLISECONDS_ABOVE:
            ts = payload["ts"] = ts / 1000
        return float(ts)
    except OverflowError:  # an integer beyond what a float can be
        return sys.float_info.max
