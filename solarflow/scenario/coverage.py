"""Which sentences of the flows' descriptions are shown to be true by a scenario, and which by none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from solarflow.flowfile import FlowFile
from solarflow.scenario.model import ScenarioFile

_CODE = re.compile(r"`[^`]*`")
_END = re.compile(r"(?<=[.!?])\s+|\n\s*\n")


class Uncovered(NamedTuple):
    """A sentence that no scenario covers."""

    file: str
    flow: str
    sentence: str


def normal(sentence: str) -> str:
    """A sentence with single spaces: line breaks do not matter."""
    return " ".join(sentence.split())


def sentences(text: str) -> list[str]:
    """The sentences of a description. What stands in backticks ends none."""
    hidden = _CODE.sub(lambda code: "\0" * len(code[0]), text)
    cuts = [0, *(place for end in _END.finditer(hidden) for place in end.span()), len(text)]
    found = [text[cuts[i] : cuts[i + 1]] for i in range(0, len(cuts), 2)]
    return [normal(sentence) for sentence in found if sentence.strip()]


def described(flow: FlowFile) -> Iterator[str]:
    """The sentences of the descriptions (`info`) of a file's tabs."""
    for tab in flow.tabs:
        yield from sentences(str(tab.raw.get("info") or ""))


def uncovered(flows: Iterable[FlowFile], files: Iterable[ScenarioFile]) -> list[Uncovered]:
    """The sentences of the descriptions that no scenario covers."""
    covered = {normal(one) for file in files for scenario in file.scenarios for one in scenario.covers}
    return [
        Uncovered(flow.file, str(tab.raw.get("label") or tab.id), sentence)
        for flow in flows
        for tab in flow.tabs
        for sentence in sentences(str(tab.raw.get("info") or ""))
        if sentence not in covered
    ]
