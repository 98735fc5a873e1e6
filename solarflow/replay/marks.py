"""Marks of what was really wrong, and when: what the alerts of a replay are measured by."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from solarflow.errors import FlowError, Problem, UsageError, Where
from solarflow.replay.recording import LineError, moment
from solarflow.replay.world import ReplayAlert


class Mark(NamedTuple):
    """From `start` to `end` (UTC seconds) a home had something that an alert of `code` should tell; "": any alert."""

    home: str
    start: float
    end: float
    code: str = ""

    def fits(self, alert: ReplayAlert) -> bool:
        """Whether an alert tells it: the home's, of its code, opened while it was so."""
        return alert.home == self.home and self.code in ("", alert.code) and self.start <= alert.opened_at <= self.end


def read_marks(path: Path) -> list[Mark]:
    """The marks of a file: JSON lines or CSV with home, from, to and optionally code.

    Raises UsageError where it cannot be read, FlowError with a Problem for each line that is no mark.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the marks {path} cannot be read: {error}") from error
    marks, problems = [], []
    for number, row in _rows(text):
        try:
            marks.append(_mark(row))
        except ValueError as error:
            problems.append(Problem("bad-line", Where(f"{path.name}:{number}"), {"reason": str(error)}))
    if problems:
        raise FlowError(problems[:20])
    return marks


def _rows(text: str) -> Iterable[tuple[int, Any]]:
    if text.lstrip().startswith("{"):
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                try:
                    yield number, json.loads(line)
                except ValueError:
                    yield number, None
        return
    reader = csv.DictReader(io.StringIO(text))
    for row in reader:
        yield reader.line_num, {name: cell for name, cell in row.items() if cell}


def _mark(row: Any) -> Mark:
    if not isinstance(row, dict) or not {"home", "from", "to"} <= row.keys():
        raise LineError('is no mark: "home", "from" and "to" are needed, "code" may stand beside them')
    mark = Mark(str(row["home"]), moment(row["from"]), moment(row["to"]), str(row.get("code") or ""))
    if mark.end < mark.start:
        raise LineError("ends before it begins")
    return mark


def judged(marks: Sequence[Mark], alerts: Sequence[ReplayAlert]) -> Mapping[str, Any]:
    """Which marks were found and how fast, which were missed, and which alerts were false.

    Where every mark has a code, alerts of other codes are not judged.
    """
    codes = {mark.code for mark in marks}
    found, missed = [], []
    for mark in marks:
        delays = [alert.opened_at - mark.start for alert in alerts if mark.fits(alert)]
        shown: dict[str, Any] = {"home": mark.home, "from": mark.start, "to": mark.end, "code": mark.code}
        if delays:
            found.append({**shown, "delay_s": round(min(delays), 3)})
        else:
            missed.append(shown)
    false = [
        {"home": alert.home, "code": alert.code, "opened": alert.opened_at}
        for alert in alerts
        if ("" in codes or alert.code in codes) and not any(mark.fits(alert) for mark in marks)
    ]
    return {"marks": len(marks), "found": found, "missed": missed, "false": false}
