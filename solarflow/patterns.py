"""Regular expressions that nodes run over messages: JavaScript's, and none of them can stop the engine.

What a device sends must not decide how long a match takes: with `^(a+)+$` some texts of thirty characters take a
backtracking engine seconds, and every further character doubles that. So every pattern that somebody configures, or a
message brings, is compiled here, and a match that takes too long ends with an error of that node.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import regex

from solarflow.errors import NodeError

LIMIT_S: Final = 0.05
"""Seconds of computing that one match may take; a match that is none of the bad ones takes microseconds."""
MAX_PATTERN: Final = 10_000
"""Characters of a pattern: compiling takes its time too."""
SHORT: Final = 1_000
"""Characters of a text over which a simple pattern runs without a limit, which costs more than most matches."""

Found = regex.Match[str]
"""What was found: as `re.Match`."""


class PatternTimeoutError(NodeError):
    """A match took too long."""


class Pattern:
    """A compiled pattern: `search`, `fullmatch` and `sub` as those of `re.Pattern`.

    They raise PatternTimeoutError where that takes more than LIMIT_S of computing.
    """

    __slots__ = ("_compiled", "_simple", "text")

    def __init__(self, text: str, compiled: regex.Pattern[str]) -> None:
        self.text = text
        """As it was written."""
        self._compiled = compiled
        self._simple = _is_simple(text)

    def search(self, text: str) -> Found | None:
        """The first place where it matches."""
        try:
            return self._compiled.search(text, concurrent=False, timeout=self._limit(text))
        except TimeoutError:
            raise self._too_slow(text) from None

    def fullmatch(self, text: str) -> Found | None:
        """Whether it matches all of the text."""
        try:
            return self._compiled.fullmatch(text, concurrent=False, timeout=self._limit(text))
        except TimeoutError:
            raise self._too_slow(text) from None

    def sub(self, replacement: Callable[[Found], str], text: str) -> str:
        """The text with every place where it matches replaced."""
        try:
            return self._compiled.sub(replacement, text, concurrent=False, timeout=self._limit(text))
        except TimeoutError:
            raise self._too_slow(text) from None

    # `concurrent=False`: letting go of the interpreter for a microsecond's match may mean waiting 5 ms to get it back.

    def _limit(self, text: str) -> float | None:
        return None if self._simple and len(text) <= SHORT else LIMIT_S

    def _too_slow(self, text: str) -> PatternTimeoutError:
        return PatternTimeoutError(
            f"the pattern '{self.text[:80]}' was not done with a text of {len(text)} characters after "
            f"{LIMIT_S * 1000:g} ms; write it without a repeat inside a repeat such as (a+)+, and without several "
            "repeats of the same characters in a row"
        )


def _is_simple(text: str) -> bool:
    """Whether a short text cannot take long: one sign at most by which a match has a choice, or a few "or" alone."""
    repeats, ors = len(re.findall(r"[*+?{]|\\[1-9k]", text)), text.count("|")
    return repeats + ors <= 1 or (not repeats and ors <= 8)


@lru_cache(maxsize=256)
def pattern(text: str, ignore_case: bool = False) -> Pattern:
    """A JavaScript regular expression, compiled.

    Raises NodeError where it is none, or says what this engine cannot do.
    """
    if len(text) > MAX_PATTERN:
        raise NodeError(f"the pattern '{text[:80]}…' has {len(text)} characters, where {MAX_PATTERN} are allowed")
    written = _python_syntax(text)
    flag = re.IGNORECASE if ignore_case else 0
    try:
        re.compile(written, flag)  # `regex` takes more for syntax than JavaScript and `re` do, such as {e<=1}
        return Pattern(text, regex.compile(written, regex.IGNORECASE if ignore_case else 0, cache_pattern=False))
    except (re.error, regex.error, OverflowError, RecursionError) as error:
        raise NodeError(f"'{text[:80]}' is not a regular expression: {error}") from None


def literal(text: str) -> re.Pattern[str]:
    """A pattern that matches this very text: it cannot take long, and the standard library compiles it faster."""
    return re.compile(re.escape(text))


_DIFFERS = re.compile(r"\\k<(\w+)>|\\([dDwW])|\\.|\(\?<(?![=!])|\[\^?\]|[\[\]$]|\{(?!\d+(?:,\d*)?\})", re.DOTALL)
_ASCII = {"d": "0-9", "w": "A-Za-z0-9_"}


def _python_syntax(text: str) -> str:
    """Where the languages differ: named groups, `$`, empty classes, a brace that is no count, digits and letters that
    are ASCII only."""
    in_class = False

    def translate(found: re.Match[str]) -> str:
        nonlocal in_class
        part = found[0]
        if found[1]:
            return f"(?P={found[1]})"
        if kind := found[2]:
            if kind.islower():
                return _ASCII[kind] if in_class else f"[{_ASCII[kind]}]"
            return part if in_class else f"[^{_ASCII[kind.lower()]}]"
        if part[0] == "\\":
            return re.escape(part[1]) if part[1] in "/-#&~" else part
        if in_class:
            in_class = part[-1] != "]"
            return "\\" + part if part[0] in "[{" else part
        if part == "[":
            in_class = True
        return {"(?<": "(?P<", "$": r"\Z", "[]": "(?!)", "[^]": r"[\s\S]", "{": r"\{"}.get(part, part)

    return _DIFFERS.sub(translate, text)


_REPLACEMENT = re.compile(r"\$(?:(\$)|(&)|(`)|(')|(\d\d?)|<([^>]*)>)")


def expand(replacement: str, found: Found | re.Match[str]) -> str:
    """What a found text is replaced by: `$1`, `$&`, `$<name>`, `$$` in a replacement as in JavaScript's `replace`."""

    def part(token: re.Match[str]) -> str:
        dollar, whole, before, after, number, name = token.groups()
        if dollar:
            return "$"
        if whole:
            return found[0]
        if before:
            return found.string[: found.start()]
        if after:
            return found.string[found.end() :]
        if number is not None:
            groups = found.re.groups
            for digits in (number, number[:1]):
                if 1 <= int(digits) <= groups:
                    return (found[int(digits)] or "") + number[len(digits) :]
            return token[0]
        if not found.re.groupindex:
            return token[0]
        return (found[name] or "") if name in found.re.groupindex else ""

    return _REPLACEMENT.sub(part, replacement) if "$" in replacement else replacement
