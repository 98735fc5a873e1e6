"""What comes of a scenario: events, and how a value that is expected is compared with one that came."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TOLERANCE_S = 0.001
"""Virtual time is exact; sums of floats are not."""

KEYS: Mapping[str, tuple[str, ...]] = {
    "publishes": ("publishes",),
    "relay": ("relay",),
    "opens_alert": ("opens_alert", "home"),
    "closes_alert": ("closes_alert", "home"),
    "answers": ("answers",),
    "records": ("records",),
    "shows": ("shows", "home"),
    "fails": ("fails",),
    "awaits_approval": ("awaits_approval",),
}
"""For each kind of event the keys of a scenario that tell whom it concerns."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that came, `t` seconds from the start."""

    t: float
    kind: str
    subject: tuple[str, ...]
    detail: Mapping[str, Any] = field(default_factory=dict)

    def raw(self) -> dict[str, Any]:
        """As a scenario writes it, without its time."""
        return {key: value for key, value in zip(KEYS[self.kind], self.subject, strict=True) if value} | dict(
            self.detail
        )


def difference(expected: Any, got: Any, path: str = "") -> tuple[str, Any, Any] | None:
    """The first difference: (its path, expected, got); None where there is none.

    Of objects only the keys that are expected count; numbers are compared to six digits.
    """
    here = (path, expected, got)
    if isinstance(expected, bool) or isinstance(got, bool):
        return None if expected is got else here
    if isinstance(expected, (int, float)) and isinstance(got, (int, float)):
        return None if math.isclose(expected, got, rel_tol=1e-6, abs_tol=1e-6) else here
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        for key, value in expected.items():
            inside = f"{path}.{key}" if path else str(key)
            if key not in got:
                return inside, value, MISSING
            if found := difference(value, got[key], inside):
                return found
        return None
    if isinstance(expected, (list, tuple)) and isinstance(got, (list, tuple)):
        if len(expected) != len(got):
            return here
        for index, (one, other) in enumerate(zip(expected, got, strict=True)):
            if found := difference(one, other, f"{path}.{index}"):
                return found
        return None
    return None if expected == got and type(expected) is type(got) else here


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


MISSING = _Missing()
"""What is there where a key is not."""


def restrict(got: Any, expected: Any) -> Any:
    """Of `got` the keys that are expected, so that both can stand side by side."""
    if isinstance(got, Mapping) and isinstance(expected, Mapping):
        return {key: restrict(got[key], value) for key, value in expected.items() if key in got}
    if isinstance(got, (list, tuple)) and isinstance(expected, (list, tuple)) and len(got) == len(expected):
        return [restrict(one, other) for one, other in zip(got, expected, strict=True)]
    return got
