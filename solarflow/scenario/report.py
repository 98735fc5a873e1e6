"""Tells how scenarios came out: expected and got side by side, and JUnit XML for machines."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Literal, NamedTuple
from xml.etree import ElementTree

from solarflow.scenario.compare import Row
from solarflow.scenario.durations import format_duration
from solarflow.scenario.events import MISSING, restrict
from solarflow.scenario.run import Outcome
from solarflow.scenario.text import compact, plain

CONTEXT = 2
"""So many rows that are as expected are shown before and after a difference."""
MOST_DIFFERENCES = 30
NARROWEST = 24
LONGEST_VALUE = 40

Tone = Literal["plain", "quiet", "bad"]


class Line(NamedTuple):
    """A line of a report, and how it is meant."""

    text: str
    tone: Tone = "plain"


class _Cells(NamedTuple):
    mark: str
    wanted_at: str
    wanted: str
    got_at: str
    got: str
    note: str
    tone: Tone


def side_by_side(outcome: Outcome, width: int = 120) -> list[Line]:
    """What was expected on the left, what came on the right, in order of time; `>` marks the first difference."""
    if outcome.error:
        return [Line(line, "bad") for line in outcome.error.splitlines()]
    cells = list(_table(outcome.rows))
    at_wide = max(len(cell.wanted_at) for cell in cells), max(len(cell.got_at) for cell in cells)
    room = width - 2 - sum(at_wide) - 6
    wide = max(len("expected"), *(len(cell.wanted) for cell in cells))
    other_wide = max(len("got"), *(len(cell.got) for cell in cells))
    if wide + other_wide > room:
        wide = max(NARROWEST, min(wide, max(room // 2, room - other_wide)))
        other_wide = max(NARROWEST, room - wide)

    def lines() -> Iterator[Line]:
        yield Line(f"  {'':{at_wide[0]}}  {'expected':{wide}}  {'':{at_wide[1]}}  got", "quiet")
        for cell in cells:
            left, right = textwrap.wrap(cell.wanted, wide) or [""], textwrap.wrap(cell.got, other_wide) or [""]
            for number in range(max(len(left), len(right))):
                first = number == 0
                one = left[number] if number < len(left) else ""
                other = right[number] if number < len(right) else ""
                text = (
                    f"{cell.mark if first else ' '} {cell.wanted_at if first else '':>{at_wide[0]}}  {one:{wide}}  "
                    f"{cell.got_at if first else '':>{at_wide[1]}}  {other}"
                )
                yield Line(text.rstrip(), cell.tone)
            if cell.note:
                yield Line(f"  {'':{at_wide[0]}}  ^ {cell.note}", cell.tone)

    return list(lines())


def describe(outcome: Outcome) -> str:
    """The comparison as a text."""
    return "\n".join(line.text for line in side_by_side(outcome))


def _table(rows: Sequence[Row]) -> Iterator[_Cells]:
    near = {place + offset for place, row in enumerate(rows) if not row.fits for offset in range(-CONTEXT, CONTEXT + 1)}
    shown = 0
    for is_near, group in groupby(range(len(rows)), lambda place: place in near):
        places = list(group)
        if not is_near:
            yield _Cells(" ", "", f"... {len(places)} as expected", "", "...", "", "quiet")
            continue
        for place in places:
            if not rows[place].fits:
                shown += 1
                if shown > MOST_DIFFERENCES:
                    left = sum(not row.fits for row in rows[place:])
                    yield _Cells("!", "", f"... and {left} more differences", "", "", "", "bad")
                    return
            yield _cells(rows[place], ">" if shown == 1 else "!")


def _cells(row: Row, mark: str) -> _Cells:
    wanted = got = wanted_at = got_at = ""
    if row.expected is not None:
        wanted = described(row.expected.kind, row.expected.subject, row.expected.detail)
        if row.forbidden:
            wanted = f"never: {wanted}"
        else:
            begin, end = (format_duration(moment) for moment in row.window)
            wanted_at = begin if begin == end else f"{begin}..{end}"
    if row.got is not None:
        detail: Mapping[str, Any] = row.got.detail
        if row.expected is not None and not row.forbidden:
            detail = restrict(detail, row.expected.detail)
        elif row.got.detail.get("retain") is False:
            detail = {key: value for key, value in detail.items() if key != "retain"}
        got, got_at = described(row.got.kind, row.got.subject, detail), format_duration(row.got.t)
    if row.fits:
        return _Cells(" ", wanted_at, wanted, got_at, got, "", "plain")
    return _Cells(mark, wanted_at, wanted, got_at, got or "nothing", _note(row), "bad")


def _note(row: Row) -> str:
    if row.got is None or row.forbidden:
        return ""
    if row.expected is None:
        return "nobody expected this"
    notes = []
    if not row.in_time:
        early, late = row.window[0] - row.got.t, row.got.t - row.window[1]
        notes.append(f"{format_duration(early)} too early" if early > 0 else f"{format_duration(late)} too late")
    if (unlike := row.unlike) is not None:
        path, expected, got = unlike
        notes.append(f"{path}: expected {_value(expected)}, got {_value(got)}")
    return "; ".join(notes)


def _value(value: Any) -> str:
    text = repr(value) if value is MISSING else compact(plain(value))
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."


def described(kind: str, subject: Sequence[str], detail: Mapping[str, Any]) -> str:
    """An expectation or an event as a phrase: relay casa_A/1 goes ON."""
    who = subject[0] + (f" of {subject[1]}" if len(subject) > 1 and subject[1] else "")
    said = []
    for name, value in plain(detail).items():
        if name == "retain":
            said.append("retained" if value else "not retained")
        elif name in ("payload", "with"):
            said.append(value if isinstance(value, str) else compact(value))
        elif name == "measured":
            said.append(f"measured at {format_duration(value)}")
        elif name == "goes":
            said.append(f"goes {value}")
        else:
            said.append(value if isinstance(value, str) else compact(value))
    return f"{kind} {who} {' '.join(said)}".rstrip()


_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(outcomes: Iterable[Outcome]) -> str:
    """JUnit XML: a suite for each file, a case for each scenario."""
    root = ElementTree.Element("testsuites")
    for file, group in groupby(outcomes, lambda outcome: outcome.file):
        cases = list(group)
        suite = ElementTree.SubElement(
            root, "testsuite", name=file, tests=str(len(cases)),
            failures=str(sum(not case.passed and not case.error for case in cases)),
            errors=str(sum(bool(case.error) for case in cases)), time=f"{sum(case.seconds for case in cases):.3f}",
        )  # fmt: skip
        for case in cases:
            element = ElementTree.SubElement(
                suite, "testcase", classname=file, name=_NOT_XML.sub("?", case.name), time=f"{case.seconds:.3f}"
            )
            if not case.passed:
                kind = "error" if case.error else "failure"
                text = _NOT_XML.sub("?", describe(case))
                message = "it could not be played to its end" if case.error else "something else came than expected"
                ElementTree.SubElement(element, kind, message=message).text = text
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"
