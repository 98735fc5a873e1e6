"""What stands in for the world around the flows of a replay: homes, store, alerts, and no web server at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from solarflow.clock import Clock
from solarflow.errors import FlowError, Problem, UsageError, Where
from solarflow.executor import InlineExecutor
from solarflow.http_fetch import Answer, Request, fetch
from solarflow.replay.recording import LineError, moment
from solarflow.store import Home, Hour, SeriesReader, Telemetry

COMMIT_SAMPLES = 200_000
HOUR_S = 3600.0


class ReplayHomes:
    """The homes of a replay, all of them approved. Without a list every home that speaks is one, of unknown size."""

    def __init__(self, homes: Iterable[Home] | None) -> None:
        self.listed = homes is not None
        self._homes = {home.id: home.model_copy(update={"approved": True}) for home in homes or ()}
        self.unknown: dict[str, int] = {}
        """Homes that are not in the list, and how many of their messages did not enter."""

    def get(self, home: str) -> Home | None:
        """The home of that id."""
        found = self._homes.get(home)
        if found is None and not self.listed:
            found = self._homes[home] = Home.model_construct(id=home)
        return found

    def all(self, community: str | None = None) -> list[Home]:
        """Every home, or those of one community, by id."""
        return [home for _, home in sorted(self._homes.items()) if community in (None, home.community)]

    def note_unknown(self, home: str, _topic: str, _payload: bytes, _now: float) -> None:
        """Count a message that did not enter."""
        self.unknown[home] = self.unknown.get(home, 0) + 1


class ReplayStore:
    """The store as of virtual now: what the flows have recorded, and before and beside it a data folder's past.

    A series that the flows write is theirs from the start of the replay on; everything else comes from the folder.
    """

    def __init__(self, written: Telemetry, clock: Clock, start: float, past: SeriesReader | None = None) -> None:
        self._written = written
        self._clock = clock
        self._start = start
        self._past = past
        self._own: set[tuple[str, str]] = set()

    def append(self, home: str, quantity: str, ts: float, value: float) -> None:
        """Keep one sample."""
        self._own.add((home, quantity))
        self._written.append(home, quantity, ts, value)
        if self._written.buffered >= COMMIT_SAMPLES:
            self._written.commit()

    def samples(
        self, home: str, quantity: str, start: float, end: float, limit: int | None = None, *,
        as_of: float | None = None,
    ) -> list[tuple[float, float]]:  # fmt: skip
        """Raw (ts, value), as of now at the latest."""
        begins, now = self._begins(home, quantity), self._as_of(as_of)
        found: list[tuple[float, float]] = []
        if self._past is not None and start < begins:
            found = self._past.samples(home, quantity, start, min(end, begins), limit, as_of=now)
        if end > begins and (limit is None or len(found) < limit):
            rest = None if limit is None else limit - len(found)
            found += self._written.samples(home, quantity, max(start, begins), end, rest, as_of=now)
        return found

    def hourly(
        self, home: str, quantity: str, start: float, end: float, *, as_of: float | None = None
    ) -> Sequence[Hour]:
        """Hourly figures, as of now at the latest; of the hour in which the replay began both parts."""
        begins, now = self._begins(home, quantity), self._as_of(as_of)
        hours: dict[float, Hour] = {}
        if self._past is not None and start < begins:
            before = self._past.hourly(home, quantity, start, min(end, begins), as_of=min(now, begins - 0.001))
            hours = {hour.ts: hour for hour in before}
        if end > begins:
            for hour in self._written.hourly(home, quantity, max(start, begins // HOUR_S * HOUR_S), end, as_of=now):
                known = hours.get(hour.ts)
                hours[hour.ts] = hour if known is None else _both(known, hour)
        return list(hours.values())

    def latest(self, home: str, quantity: str, *, as_of: float | None = None) -> tuple[float, float] | None:
        """The newest (ts, value), as of now at the latest."""
        begins, now = self._begins(home, quantity), self._as_of(as_of)
        found = self._written.latest(home, quantity, as_of=now)
        if found is None and self._past is not None:
            found = self._past.latest(home, quantity, as_of=min(now, begins - 0.001))
        return found

    def _begins(self, home: str, quantity: str) -> float:
        """From when on the flows' own samples count; what they appended is made readable."""
        if (home, quantity) not in self._own:
            return inf
        if self._written.buffered:
            self._written.commit()
        return self._start

    def _as_of(self, as_of: float | None) -> float:
        now = self._clock.now()
        return now if as_of is None else min(as_of, now)


def _both(one: Hour, other: Hour) -> Hour:
    return Hour(one.ts, one.n + other.n, one.sum + other.sum, min(one.min, other.min), max(one.max, other.max))


@dataclass(slots=True)
class ReplayAlert:
    """One alert, open while `closed_at` is None. Times in UTC seconds."""

    home: str
    code: str
    parameters: dict[str, Any]
    opened_at: float
    closed_at: float | None = None


class ReplayAlerts:
    """Alerts and events in memory; `tell(what, fields)` hears each."""

    def __init__(self, tell: Callable[[str, Mapping[str, Any]], None]) -> None:
        self.alerts: list[ReplayAlert] = []
        self.events = 0
        self._open: dict[tuple[str, str], int] = {}
        self._tell = tell

    def open(self, home: str, code: str, parameters: Mapping[str, Any], now: float) -> int:
        """Open an alert; one that is open already stays as it is."""
        found = self._open.get((home, code))
        if found is None:
            found = self._open[home, code] = len(self.alerts)
            self.alerts.append(ReplayAlert(home, code, dict(parameters), now))
            self._tell("alert", {"home": home, "code": code, "state": "open", "parameters": dict(parameters)})
        return found

    def close(self, home: str, code: str, now: float, parameters: Mapping[str, Any] | None = None) -> bool:
        """Close it. False: none was open."""
        found = self._open.pop((home, code), None)
        if found is None:
            return False
        self.alerts[found].closed_at = now
        self._tell("alert", {"home": home, "code": code, "state": "closed", "parameters": dict(parameters or {})})
        return True

    def event(self, kind: str, home: str, parameters: Mapping[str, Any], now: float) -> None:  # noqa: ARG002 - the service's signature
        """Count and tell an event."""
        self.events += 1
        self._tell("event", {"home": home, "code": kind, "parameters": dict(parameters)})


class ReplayExecutor(InlineExecutor):
    """Offloaded work runs at once; requests to web servers never leave: recorded answers come, or a refusal."""

    def __init__(
        self, now: Callable[[], float], answers: RecordedAnswers | None, tell: Callable[[Request, bool], None]
    ) -> None:
        """`tell(request, answered)` hears of each request."""
        self._now = now
        self._answers = answers
        self._tell = tell

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Run `function(*args)` now, or answer the request."""
        if function is not fetch:
            return super().submit(function, *args)
        request: Request = args[1]
        answer = self._answers.find(request, self._now()) if self._answers is not None else None
        self._tell(request, answer is not None)
        future: Future[Any] = Future()
        future.set_result(answer or _refusal(request))
        return future


def _refusal(request: Request) -> Answer:
    why = f"{request.method} {request.url}: no request leaves a replay, and no answer to this one was recorded by then"
    return Answer(url=request.url, code="EREPLAY", failure=why)


class RecordedAnswers:
    """Answers of web servers, read from JSON lines: ts, url, and optionally method, status, headers, body.

    A request gets the newest answer to its method and address that is not from its future. Raises FlowError with a
    Problem for each line that cannot be used, UsageError where the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._answers: dict[tuple[str, str], list[tuple[float, Answer]]] = {}
        problems = []
        try:
            lines = path.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"the answers {path} cannot be read: {error}") from error
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                self._take(line)
            except ValueError as error:
                problems.append(Problem("bad-line", Where(f"{path.name}:{number}"), {"reason": str(error)}))
        if problems:
            raise FlowError(problems[:20])
        for found in self._answers.values():
            found.sort(key=lambda answer: answer[0])

    def _take(self, line: str) -> None:
        value = json.loads(line)
        if not isinstance(value, dict) or not isinstance(value.get("url"), str) or "ts" not in value:
            raise LineError('is not an object with "ts" and "url"')
        status, headers, body = value.get("status", 200), value.get("headers", {}), value.get("body", "")
        if isinstance(status, bool) or not isinstance(status, int) or not isinstance(headers, dict):
            raise LineError('"status" must be a number such as 200, and "headers" an object')
        raw = (body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))).encode()
        named = {str(name).lower(): text for name, text in headers.items()}
        if isinstance(named.get("set-cookie"), str):
            named["set-cookie"] = [named["set-cookie"]]
        answer = Answer(status, value["url"], named, raw)
        key = (str(value.get("method", "GET")).upper(), value["url"])
        self._answers.setdefault(key, []).append((moment(value["ts"]), answer))

    def find(self, request: Request, now: float) -> Answer | None:
        """The newest answer as of `now`."""
        known = self._answers.get((request.method, request.url), ())
        return next((answer for ts, answer in reversed(known) if ts <= now), None)
