"""Reads recordings: messages as JSON lines or CSV, or tables of figures; plain or gzip; line by line.

A `Reading` is one message as it arrived. What a line must hold stands in docs/replay.md; a line that cannot be read is
a Problem with its number.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, TextIO
from zoneinfo import ZoneInfo

from solarflow.energy.local_time import parse_moment
from solarflow.errors import FlowError, Problem, UsageError, Where, nearest
from solarflow.mqtt.topics import TopicError, validate_topic
from solarflow.replay.figures import QUANTITIES, Figures

Reading = tuple[float, str, Any, bool]
"""When it arrived (UTC seconds), its topic, its payload (a JSON value; a text is the raw text), and whether the broker
had retained it."""

PROBLEMS_TOLD: Final = 20
LOOK_AHEAD: Final = 100_000
"""After a line that cannot be read so many more are looked at, so that one run tells most of what is wrong."""
MILLISECONDS_ABOVE: Final = 1e11
LATEST: Final = 253_402_300_799.0
"""The end of the year 9999."""
KNOWN_TOPICS: Final = 100_000
UTC: Final = ZoneInfo("UTC")


class LineError(ValueError):
    """What is wrong with one line."""


class Recording:
    """A file of messages, read once or several times: each `iter` begins anew.

    Raises UsageError where it cannot be opened, FlowError with a Problem for each line that cannot be read (at most 20
    of them); with `skip_bad` such lines are left out and counted instead.
    """

    def __init__(self, path: Path | str, *, skip_bad: bool = False) -> None:
        self.path = Path(path)
        self.name = self.path.name if str(path) != "-" else "standard input"
        self.skip_bad = skip_bad
        self.bad = 0
        """Lines left out."""
        self.problems: list[Problem] = []
        """The first of them."""
        self._raw: BinaryIO | None = None
        self._size = 0

    @property
    def repeatable(self) -> bool:
        """Whether it can be read twice."""
        return str(self.path) != "-"

    @property
    def share(self) -> float:
        """How much of it has been read, 0 to 1; 0 where that cannot be told."""
        if self._raw is None or not self._size or self._raw.closed:
            return 0.0
        return min(1.0, self._raw.tell() / self._size)

    def __iter__(self) -> Iterator[Reading]:
        """The messages in their order."""
        self.bad, self.problems = 0, []
        raw = self._open()
        try:
            packed = raw.peek(2)[:2] == b"\x1f\x8b"
            lines = io.BufferedReader(gzip.GzipFile(fileobj=raw), 1 << 16) if packed else raw
            first = lines.peek(1).lstrip()[:1]
            yield from self._messages(lines) if first in (b"{", b"[", b"") else self._table(lines)
        except (OSError, EOFError) as error:
            raise UsageError(f"{self.name} cannot be read to its end: {error}") from error
        finally:
            if self.repeatable:
                raw.close()

    def _open(self) -> io.BufferedReader:
        if not self.repeatable:
            return sys.stdin.buffer  # type: ignore[return-value]  # typed as BinaryIO, it is a BufferedReader
        try:
            raw = self.path.open("rb")
            self._raw, self._size = raw, self.path.stat().st_size
        except OSError as error:
            raise UsageError(f"the recording {self.path} cannot be opened: {error.strerror}") from error
        return raw

    # -- what is wrong ----------------------------------------------------------------------------------------------

    def _note(self, line: int, reason: str) -> None:
        self.bad += 1
        if len(self.problems) < PROBLEMS_TOLD:
            self.problems.append(Problem("bad-line", Where(f"{self.name}:{line}"), {"reason": reason}))

    def _is_over(self, line: int) -> bool:
        """Whether enough has been seen to refuse the recording."""
        if self.skip_bad or not self.bad:
            return False
        return len(self.problems) >= PROBLEMS_TOLD or line > self._first_bad + LOOK_AHEAD

    @property
    def _first_bad(self) -> int:
        return int(self.problems[0].where.file.rpartition(":")[2])

    def _refuse_bad(self) -> None:
        if self.bad and not self.skip_bad:
            raise FlowError(self.problems)

    # -- JSON lines -------------------------------------------------------------------------------------------------

    def _messages(self, lines: Iterable[bytes]) -> Iterator[Reading]:
        decoder = json.JSONDecoder(parse_constant=_refuse_constant)
        scan = decoder.scan_once  # type: ignore[attr-defined]  # the json module documents it, its type does not
        known: set[str] = set()
        number = 0
        for line in lines:
            number += 1
            try:
                # The usual line; what is in any way different is looked at closely below.
                text = line.decode()
                value, end = scan(text, 0)
                ts, topic, payload = value["ts"], value["topic"], value["payload"]
                usual = topic in known and len(value) == 3 and ts.__class__ is float and len(text) == end + 1
                if usual and text[end] == "\n" and 0.0 <= ts < MILLISECONDS_ABOVE:
                    if not self.bad or self.skip_bad:
                        yield ts, topic, payload, False
                    continue
            except (ValueError, TypeError, KeyError, StopIteration, RecursionError):
                pass
            try:
                reading = read_line(line)
            except LineError as error:
                self._note(number, str(error))
                if self._is_over(number):
                    break
                continue
            if reading is not None:
                if len(known) < KNOWN_TOPICS:
                    known.add(reading[1])
                if not self.bad or self.skip_bad:
                    yield reading
        self._refuse_bad()

    # -- CSV --------------------------------------------------------------------------------------------------------

    def _table(self, lines: BinaryIO) -> Iterator[Reading]:
        text = io.TextIOWrapper(lines, "utf-8-sig", errors="surrogateescape", newline="")
        try:
            yield from self._rows(text)
        finally:
            text.detach()

    def _rows(self, text: TextIO) -> Iterator[Reading]:
        rows = csv.reader(text)
        header = [name.strip().lower() for name in next(rows, [])]
        read, rest = self._reader(header)
        while True:
            try:
                row = next(rows)
            except StopIteration:
                break
            except csv.Error as error:
                self._note(rows.line_num, f"is not CSV: {error}")
                if self._is_over(rows.line_num):
                    break
                continue
            if not row:
                continue
            try:
                if len(row) != len(header):
                    raise LineError(f"has {len(row)} cells, the header has {len(header)}")
                found = read(row)
            except LineError as error:
                self._note(rows.line_num, str(error))
                if self._is_over(rows.line_num):
                    break
                continue
            if not self.bad or self.skip_bad:
                yield from found
        self._refuse_bad()
        yield from rest()

    def _reader(
        self, header: list[str]
    ) -> tuple[Callable[[list[str]], Iterable[Reading]], Callable[[], Iterable[Reading]]]:
        """What reads a row, and what gives the readings that are still waiting at the end."""
        place = {name: index for index, name in enumerate(header)}
        if {"ts", "topic", "payload"} <= place.keys():
            at, topic_at, payload_at = place["ts"], place["topic"], place["payload"]

            def message(row: list[str]) -> list[Reading]:
                return [(moment(row[at]), checked_topic(row[topic_at]), payload_of(row[payload_at]), False)]

            return message, lambda: ()
        figures = Figures()
        if {"ts", "home", "quantity", "value"} <= place.keys():
            at, home_at, quantity_at, value_at = (place[name] for name in ("ts", "home", "quantity", "value"))

            def one(row: list[str]) -> Iterable[Reading]:
                quantity = row[quantity_at].strip()
                if quantity not in QUANTITIES:
                    raise LineError(f"there is no quantity '{quantity}'{nearest(quantity, QUANTITIES) or _known()}")
                return figures.take(moment(row[at]), _home(row[home_at]), {quantity: _figure(row[value_at], quantity)})

            return one, figures.rest
        quantities = [name for name in header if name in QUANTITIES]
        unknown = [name for name in header if name not in (*QUANTITIES, "ts", "home")]
        if {"ts", "home"} <= place.keys() and quantities and not unknown:
            at, home_at = place["ts"], place["home"]

            def several(row: list[str]) -> Iterable[Reading]:
                given = {name: _figure(row[place[name]], name) for name in quantities if row[place[name]].strip()}
                return figures.take(moment(row[at]), _home(row[home_at]), given)

            return several, figures.rest
        found = f"the columns are {', '.join(header)[:200]}" if any(header) else "there is no header"
        raise UsageError(
            f"{self.name}: {found}; expected JSON lines, or a CSV with the columns ts,topic,payload or "
            f"ts,home,quantity,value or ts,home and some of {', '.join(QUANTITIES)}"
        )


def read_line(line: bytes) -> Reading | None:
    """One line of JSON as a reading; None for an empty one. Raises LineError."""
    try:
        text = line.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise LineError("is not UTF-8") from None
    if not text:
        return None
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise LineError(f"is not JSON: {error.msg[:1].lower() + error.msg[1:]} at column {error.colno}") from None
    except RecursionError:
        raise LineError("is nested too deep") from None
    except ValueError as error:
        raise LineError(f"is not JSON: {error}") from None
    if isinstance(value, list) and len(value) == 3:
        value = dict(zip(("ts", "topic", "payload"), value, strict=True))
    if not isinstance(value, dict):
        raise LineError('is not an object with "ts", "topic" and "payload"')
    ts = value.get("ts", value.get("tst"))
    missing = [name for name in ("topic", "payload") if name not in value] + (["ts"] if ts is None else [])
    if missing:
        raise LineError(f'has no "{missing[0]}"')
    return moment(ts), checked_topic(value["topic"]), value["payload"], value.get("retain") in (True, 1)


def moment(value: Any) -> float:
    """A time in UTC seconds, of seconds or milliseconds since 1970 or ISO 8601. Raises LineError."""
    if isinstance(value, str):
        text = value.strip()
        try:
            value = float(text)
        except ValueError:
            try:
                value = parse_moment(text, UTC)
            except (ValueError, OverflowError) as error:
                raise LineError(f"its time is not one: {error}, or as seconds since 1970") from None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise LineError(f"its time is {str(value)[:40]!r}; expected seconds since 1970 (UTC), or ISO 8601")
    seconds = value / 1000 if value > MILLISECONDS_ABOVE else float(value)
    if not 0.0 <= seconds <= LATEST:
        raise LineError(f"its time is {str(value)[:40]}, which lies outside of 1970 to 9999")
    return seconds


def checked_topic(value: Any) -> str:
    """A topic that one may publish to. Raises LineError."""
    try:
        return validate_topic(value) if isinstance(value, str) else validate_topic("")
    except TopicError as error:
        raise LineError(str(error)) from None


def payload_of(cell: str) -> Any:
    """The payload that a cell of a table holds: a JSON value, or the raw text where it is none."""
    try:
        value = json.loads(cell, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return cell
    return cell if isinstance(value, str) else value


def _home(cell: str) -> str:
    home = cell.strip()
    if not home or any(mark in home for mark in "/+#\0"):
        raise LineError(f"the home is {home[:40]!r}; expected its id, without /, + and #")
    return home


def _figure(cell: str, quantity: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        raise LineError(f"{quantity} is {cell[:40]!r}, where a number is needed") from None
    if value - value != 0.0:
        raise LineError(f"{quantity} is {cell[:40]}, which is not finite")
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number that JSON knows")


def _known() -> str:
    return f"; known are {', '.join(QUANTITIES)}"
