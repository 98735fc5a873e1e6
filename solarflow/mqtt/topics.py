"""MQTT topics: matching against filters, checking them, and templates that name a level.

Rules and words are those of MQTT 5.0, section 4.7 (MQTT 3.1.1, section 4.7, says the same).
"""

from __future__ import annotations

import re

from solarflow.errors import NodeError, UsageError

MAX_TOPIC_BYTES = 65535
"""The longest topic that the protocol can carry, in UTF-8 bytes."""
_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SHARED = "$share/"
_CACHED_TOPICS = 10_000


class TopicError(UsageError, ValueError):
    """A topic, filter or template that cannot be one; also a ValueError, so that model validators may raise it."""


def _check_text(what: str, text: str) -> None:
    if not text:
        raise TopicError(f"the {what} is empty; write at least one level, such as 'comunita'")
    if "\0" in text:
        raise TopicError(f"the {what} {text!r} holds a NUL character; remove it")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise TopicError(f"the {what} {text!r} is not valid Unicode; remove the lone surrogate") from None
    if size > MAX_TOPIC_BYTES:
        raise TopicError(f"the {what} is {size} bytes long; MQTT allows {MAX_TOPIC_BYTES}")


def validate_topic(topic: str) -> str:
    """Return the topic if one may publish to it; otherwise raise `TopicError`."""
    _check_text("topic", topic)
    if "+" in topic or "#" in topic:
        raise TopicError(f"the topic {topic!r} holds a wildcard; one publishes to a topic without '+' and '#'")
    return topic


def validate_filter(topic_filter: str) -> str:
    """Return the filter if one may subscribe to it; otherwise raise `TopicError`."""
    _check_text("topic filter", topic_filter)
    if topic_filter.startswith(_SHARED):
        group, _, rest = topic_filter[len(_SHARED) :].partition("/")
        if not group or not rest or "+" in group or "#" in group:
            raise TopicError(f"the shared filter {topic_filter!r} must read $share/<group>/<filter>")
    levels = topic_filter.split("/")
    for position, level in enumerate(levels):
        if "#" in level and (level != "#" or position != len(levels) - 1):
            raise TopicError(f"in the topic filter {topic_filter!r} '#' must be the whole last level, as in 'a/b/#'")
        if "+" in level and level != "+":
            raise TopicError(f"in the topic filter {topic_filter!r} '+' must be a whole level, as in 'a/+/b'")
    return topic_filter


def plain_filter(topic_filter: str) -> str:
    """The filter that a message's topic is compared with: without `$share/<group>/`."""
    return topic_filter.split("/", 2)[2] if topic_filter.startswith(_SHARED) else topic_filter


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a message on this topic belongs to this filter. Both are taken to be valid."""
    topic_filter = plain_filter(topic_filter)
    if topic.startswith("$") and topic_filter[0] in "+#":
        return False
    wanted, levels = topic_filter.split("/"), topic.split("/")
    for position, level in enumerate(wanted):
        if level == "#":
            return True
        if position >= len(levels) or (level != "+" and level != levels[position]):
            return False
    return len(wanted) == len(levels)


def covers(wide: str, narrow: str) -> bool:
    """Whether every topic that `narrow` matches is also matched by `wide`. Shared filters cover nothing."""
    if wide == narrow:
        return True
    if wide.startswith(_SHARED) or narrow.startswith(_SHARED) or (narrow[0] == "$" and wide[0] in "+#"):
        return False
    wide_levels, narrow_levels = wide.split("/"), narrow.split("/")
    for position, level in enumerate(wide_levels):
        if level == "#":
            return True
        if position >= len(narrow_levels) or narrow_levels[position] == "#":
            return False
        if level not in ("+", narrow_levels[position]):
            return False
    return len(wide_levels) == len(narrow_levels)


def overlap(one: str, other: str) -> bool:
    """Whether some topic is matched by both filters. Shared filters overlap nothing: they are other clients' too."""
    if one.startswith(_SHARED) or other.startswith(_SHARED):
        return False
    if (one[0] == "$" and other[0] in "+#") or (other[0] == "$" and one[0] in "+#"):
        return False
    ours, theirs = one.split("/"), other.split("/")
    for position in range(max(len(ours), len(theirs))):
        left = ours[position] if position < len(ours) else None
        right = theirs[position] if position < len(theirs) else None
        if left == "#" or right == "#":
            return True
        if left is None or right is None or (left != right and left != "+" and right != "+"):
            return False
    return True


class TopicTemplate:
    """A filter some of whose levels have a name: `comunita/{home}/produzione`.

    `+` and `#` may stand beside the named levels. A named level matches any text except an empty one, so that what
    was matched can be formatted again. Raises `TopicError` when the text is not a template.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        """The template as it was written."""
        names: list[str] = []
        levels: list[str] = []
        patterns: list[str] = []
        for level in text.split("/"):
            place = _PLACE.fullmatch(level)
            if place:
                names.append(place[1])
                levels.append("+")
                patterns.append("([^/]+)")
            elif "{" in level or "}" in level:
                raise TopicError(
                    f"in the topic template {text!r} the level {level!r} is not a name in braces; write a whole level, "
                    "as in 'comunita/{home}/produzione'"
                )
            else:
                levels.append(level)
                patterns.append("[^/]*" if level == "+" else re.escape(level))
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise TopicError(f"the topic template {text!r} uses the name '{min(twice)}' twice; give each level its own")
        self.names = tuple(names)
        """The names of the named levels, in order."""
        self.filter = validate_filter("/".join(levels))
        """What to subscribe to."""
        pattern = "/".join(patterns)
        if levels[-1] == "#":  # '#' stands for the parent level too
            pattern = "/".join(patterns[:-1]) + "(?:/.*)?" if len(levels) > 1 else ".*"
        if self.filter.startswith(_SHARED):
            pattern = pattern.split("/", 2)[2]
        guard = r"(?!\$)" if plain_filter(self.filter)[0] in "+#" else ""
        self._pattern = re.compile(guard + pattern, re.DOTALL)
        self._seen: dict[str, dict[str, str] | None] = {}

    def match(self, topic: str) -> dict[str, str] | None:
        """The text of each named level, or None when the topic does not match. The dict is the caller's own."""
        try:
            found = self._seen[topic]
        except KeyError:
            hit = self._pattern.fullmatch(topic)
            found = dict(zip(self.names, hit.groups(), strict=True)) if hit else None
            if len(self._seen) >= _CACHED_TOPICS:
                self._seen.clear()
            self._seen[topic] = found
        return None if found is None else found.copy()

    def format(self, **values: str) -> str:
        """The topic with these values in the named levels.

        Raises NodeError when a value is missing, empty, no text, or holds '/', '+', '#' or NUL, and when the template
        has a plain wildcard, which no value can fill.
        """
        levels = []
        for level in self.text.split("/"):
            place = _PLACE.fullmatch(level)
            if place:
                levels.append(self._checked(place[1], values))
            elif level in ("+", "#"):
                raise NodeError(f"the topic template '{self.text}' has a '{level}', so no topic can be made of it")
            else:
                levels.append(level)
        return "/".join(levels)

    def _checked(self, name: str, values: dict[str, str]) -> str:
        if name not in values:
            raise NodeError(f"the topic template '{self.text}' needs a value for '{name}', which the message lacks")
        value = values[name]
        if not isinstance(value, str) or not value or any(mark in value for mark in "/+#\0"):
            raise NodeError(
                f"{name} = {value!r} cannot be a level of the topic '{self.text}': "
                "a text is needed, not empty and without '/', '+', '#' and NUL"
            )
        return value

    def __repr__(self) -> str:
        return f"TopicTemplate({self.text!r})"
