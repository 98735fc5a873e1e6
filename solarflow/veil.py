"""Takes secrets out of what is shown of a flow, in a way that still tells whether one changed."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, Final

from solarflow.environment import is_reference
from solarflow.node import Node
from solarflow.validate import is_secret

SHOWN: Final = "(secret)"
_NAME: Final = re.compile(
    r"pass(word|wd|phrase|code)?$|secret|token|credential|api[-_ ]?key|private[-_ ]?key|authori[sz]ation|^cookie$",
    re.IGNORECASE,
)
"""Names of what nobody should see, for nodes of unknown types and for headers and variables in known ones."""
_USERINFO: Final = re.compile(r"(?<=://)([^\s/:@]*):([^\s/@]+)@")
_QUERY: Final = re.compile(r"([?&][^=&#\s]*(?:key|token|secret|pass)[^=&#\s]*=)([^&#\s\"]+)", re.IGNORECASE)
_IN_TEXT: Final = re.compile(
    r'("(?:user|[^"\n]*(?:pass|secret|token|credential|key|authori[sz]ation|cookie)[^"\n]*)"\s*:\s*)"(?:[^"\\\n]|\\.)*"',
    re.IGNORECASE,
)
_CALLED: Final = ("name", "key", "keyType", "keyValue", "h", "p")
"""Where a row of a table (header, variable, rule) has its name ..."""
_HOLDS: Final = ("value", "valueType", "valueValue", "v", "to")
"""... and where what is called so."""


@dataclass(frozen=True, slots=True)
class Veiled:
    """Something secret, or with a secret in it: equal to what is the same, shown without the secret."""

    shown: str
    digest: str

    def __str__(self) -> str:
        return self.shown


def _veil(value: Any, shown: str = SHOWN) -> Veiled:
    return Veiled(shown, hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest())


def veil_property(node_type: type[Node] | None, name: str, value: Any) -> Any:
    """A node's property with everything secret in it veiled. `${NAME}` is no secret, and neither is nothing."""
    if node_type is not None and is_secret(node_type, name):
        return _hide(value)
    return veil(value, name)


def veil(value: Any, name: str = "") -> Any:
    """The same for any JSON value; `name` is what it is called where it stands."""
    if name and _NAME.search(name) and not isinstance(value, (dict, list)):
        return _hide(value)
    if isinstance(value, dict):
        whole = bool(name and _NAME.search(name))
        called = value.get("type") == "cred" or any(_NAME.search(str(value.get(key, ""))) for key in _CALLED)
        return {
            key: _hide(item) if whole or (called and key in _HOLDS) else veil(item, key) for key, item in value.items()
        }
    if isinstance(value, list):
        return [veil(item, name) for item in value]
    if isinstance(value, str) and (shown := _veil_addresses(value)) != value:
        return _veil(value, shown)
    return value


def _veil_addresses(text: str) -> str:
    """A text without the passwords and keys of the addresses in it."""

    def hidden(found: re.Match[str], before: str, after: str) -> str:
        return found[0] if is_reference(found[2]) else f"{before}{SHOWN}{after}"

    text = _USERINFO.sub(lambda found: hidden(found, f"{found[1]}:", "@"), text)
    return _QUERY.sub(lambda found: hidden(found, found[1], ""), text)


def _hide(value: Any) -> Any:
    if value is None or isinstance(value, bool) or value == "" or is_reference(value):
        return value
    return _veil(value)


def veil_text(line: str) -> str:
    """A line of a file that is no JSON, without what looks like a secret."""
    return _veil_addresses(_IN_TEXT.sub(rf'\1"{SHOWN}"', line))
