"""The topics of a relay: where commands go, and what a message on one of the others tells."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from solarflow.mqtt.topics import TopicTemplate


class Heard(NamedTuple):
    """A message of a home: a relay's report (of which relay, where the topic says so) or its presence."""

    kind: Literal["report", "presence"]
    home: str
    relay: str | None


class RelayTopics:
    """Templates with {home} and perhaps {relay}; empty: the relay does not report, the home has no presence."""

    def __init__(self, command: str, feedback: str, presence: str) -> None:
        """Raises ValueError, in words for the reader of the form, for templates that cannot work."""
        for what, text in (("topic", command), ("feedback_topic", feedback), ("presence_topic", presence)):
            names = set(TopicTemplate(text).names) if text or what == "topic" else {"home"}
            if "home" not in names or names - {"home", "relay"} or "+" in text or "#" in text:
                raise ValueError(f"{what} '{text}' must name {{home}}, may name {{relay}}, and nothing else")
        self._command = TopicTemplate(command)
        self._feedback = TopicTemplate(feedback) if feedback else None
        self._presence = TopicTemplate(presence) if presence else None

    @property
    def has_reports(self) -> bool:
        """Whether relays say how they stand."""
        return self._feedback is not None

    @property
    def has_presence(self) -> bool:
        """Whether homes say that they are there."""
        return self._presence is not None

    def command(self, home: str, relay: str) -> str:
        """Where commands go. Raises NodeError where no topic can be made of the home's name."""
        return self._command.format(home=home, relay=relay)

    def heard(self, topic: Any) -> Heard | None:
        """What a message on a topic tells; None where the topic is another."""
        if not isinstance(topic, str):
            return None
        if self._feedback is not None and (found := self._feedback.match(topic)):
            return Heard("report", found["home"], found.get("relay"))
        if self._presence is not None and (found := self._presence.match(topic)):
            return Heard("presence", found["home"], None)
        return None
