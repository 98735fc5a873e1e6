"""Mustache templates as Node-RED renders them: names are looked up in plain values, and nothing is ever called.

pystache parses; the looking up is ours, because its own would reach attributes and methods of Python objects and load
partials from files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from pystache.parser import ParsingError, parse
from pystache.renderengine import RenderEngine

from solarflow.errors import NodeError
from solarflow.loose import to_text
from solarflow.message import MISSING

Lookup = Callable[[str], Any]
"""Gives the value of a name that the message does not have (`flow.limit`), or MISSING."""

_HTML = str.maketrans(
    {
        "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;", "/": "&#x2F;", "`": "&#x60;",
        "=": "&#x3D;",
    }
)  # fmt: skip
_JSON = str.maketrans({"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\f": "\\f", "\b": "\\b"})


class _Stack:
    """The values a name is looked up in, innermost last; pystache pushes and pops around sections."""

    def __init__(self, root: Any, elsewhere: Lookup) -> None:
        self._values = [root]
        self._elsewhere = elsewhere

    def push(self, value: Any) -> None:
        self._values.append(value)

    def pop(self) -> Any:
        return self._values.pop()

    def get(self, name: str) -> Any:
        if name == ".":
            return _plain(self._values[-1])
        steps = name.split(".")
        for value in reversed(self._values):
            found = _walk(value, steps)
            if found is not MISSING:
                return _plain(found)
        found = self._elsewhere(name)
        return "" if found is MISSING else _plain(found)


class _Engine(RenderEngine):  # type: ignore[misc]  # pystache has no type information
    def fetch_section_data(self, context: _Stack, name: str) -> list[Any]:
        """The values that a section is repeated for: a list's items, or what is true once."""
        data = context.get(name)
        if isinstance(data, list):
            return [_plain(item) for item in data]
        return [] if data is None or data is False or data == 0 or data == "" else [data]


class Template:
    """A parsed template. Raises NodeError where the text is none (a section that is not closed)."""

    def __init__(self, text: str) -> None:
        try:
            self._parsed = parse(text, raise_on_mismatch=True)
        except (ParsingError, ValueError, RecursionError) as error:
            raise NodeError(f"the template cannot be read: {error}") from None

    def render(self, message: Mapping[str, Any], elsewhere: Lookup, *, for_json: bool = False) -> str:
        """The text, with `{{name}}` escaped for HTML and `{{{name}}}` not.

        A missing name is empty. `for_json` also writes line ends, tabs and backslashes in values as JSON does.
        """

        def literal(text: str) -> str:
            return text.translate(_JSON) if for_json else text

        engine = _Engine(
            literal=literal,
            escape=lambda text: literal(text).translate(_HTML),
            resolve_context=lambda stack, name: stack.get(name),
            resolve_partial=lambda _name: "",
            to_str=lambda value: "" if value is None else to_text(value),
        )
        return str(self._parsed.render(engine, _Stack(message, elsewhere)))


@lru_cache(maxsize=128)
def template(text: str) -> Template:
    """The parsed template of a text, from a small cache: for texts that come with messages."""
    return Template(text)


def nowhere(_name: str) -> Any:
    """A lookup that finds nothing."""
    return MISSING


def _walk(value: Any, steps: list[str]) -> Any:
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step, MISSING)
        elif isinstance(value, (list, str)) and step == "length":
            value = len(value)
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return MISSING
    return value


def _plain(value: Any) -> Any:
    """The value itself where it is plain data; of anything else, which pystache might call, only a text."""
    if value is None or isinstance(value, (str, int, float, dict, list)):
        return value
    return to_text(value)
