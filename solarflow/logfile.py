"""The log file of a data folder: JSON lines, bounded, written by `solarflow run` and read by `solarflow logs`."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from logging.handlers import MemoryHandler, RotatingFileHandler
from pathlib import Path
from typing import Any, Final

from solarflow.node import Node

FOLDER: Final = "log"
FILE: Final = "solarflow.log"
MAX_BYTES: Final = 5_000_000
"""A file that reaches this is put aside, and a new one begun."""
OLDER: Final = 4
"""So many that were put aside are kept."""

log = logging.getLogger("solarflow")


def log_path(data: Path) -> Path:
    """Where the log of a data folder is written; older ones lie beside it with .1, .2 ... behind their name."""
    return data / FOLDER / FILE


class JsonLines(logging.Formatter):
    """A record as one line of JSON: time (UTC), level, logger, flow and node where it is about one, text, trace."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": moment.replace("+00:00", "Z"), "level": record.levelname.lower(), "logger": record.name,
        }  # fmt: skip
        arguments = record.args if isinstance(record.args, tuple) else ()
        about = next((argument for argument in arguments if isinstance(argument, Node)), getattr(record, "about", None))
        if isinstance(about, Node):
            line |= {"flow": about.file, "node": about.id, **({"name": about.name} if about.name else {})}
        line["text"] = record.getMessage()
        if record.exc_info and record.exc_info[0] is not None:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line)  # in ASCII: whatever a payload holds, the file can be looked at on a terminal


class LogFile(RotatingFileHandler):
    """Writes the log file. While the disk takes nothing, lines are counted, and told when it takes them again."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES, older: int = OLDER) -> None:
        """Raises OSError where the file cannot be written."""
        path.parent.mkdir(mode=0o700, exist_ok=True)
        super().__init__(path, maxBytes=max_bytes, backupCount=older, encoding="utf-8", errors="backslashreplace")
        self.setFormatter(JsonLines())
        self.lost = 0

    def _open(self) -> io.TextIOWrapper:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        return os.fdopen(os.open(self.baseFilename, flags, 0o600), "a", encoding=self.encoding, errors=self.errors)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, and before it how many could not be."""
        lost, self.lost = self.lost, 0
        if lost:
            super().emit(_record(f"lines of this log that could not be written: {lost}", logging.ERROR))
            if self.lost:
                self.lost += lost
                return
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Count what the disk refused; anything else is a mistake of ours, and told as logging does."""
        if isinstance(sys.exc_info()[1], OSError):
            self.lost += 1
        else:
            super().handleError(record)

    def note(self, text: str) -> None:
        """Write a line that stands in this file only."""
        self.handle(_record(text, logging.INFO))


def _record(text: str, level: int) -> logging.LogRecord:
    return logging.LogRecord("solarflow.log", level, "", 0, text, None, None)


@contextmanager
def keep_log() -> Iterator[Callable[[Path], Callable[[str], None]]]:
    """Keep what is logged inside: it waits until the function that this gives is called with the data folder, which
    must be ours by then, and goes into its file. That function gives one that writes a line into the file only.

    Where the file cannot be written an error is logged, and all goes on.
    """  # fmt: skip
    root = logging.getLogger()
    waiting = MemoryHandler(10_000, flushLevel=logging.CRITICAL + 1, flushOnClose=False)
    root.addHandler(waiting)
    opened: list[logging.Handler] = [waiting]

    def begin(data: Path) -> Callable[[str], None]:
        root.removeHandler(waiting)
        try:
            file = LogFile(log_path(data))
        except OSError as error:
            log.error("no log file is written: %s (%s)", error.strerror, log_path(data))
            return lambda _text: None
        waiting.setTarget(file)
        waiting.flush()
        root.addHandler(file)
        opened.append(file)
        return file.note

    try:
        yield begin
    finally:
        for handler in opened:
            root.removeHandler(handler)
            handler.close()


# -- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log."""

    line: str
    """As it stands in the file."""
    time: datetime | None = None
    """None where the line is none of ours: what a power cut left of one."""
    level: int = logging.NOTSET
    flow: str = ""
    node: str = ""
    name: str = ""
    text: str = ""
    trace: str = ""


def read_entry(line: str) -> Entry:
    """Read a line; what is none of ours becomes an entry without a time, with the line as its text."""
    try:
        fields = json.loads(line)
        moment = datetime.fromisoformat(fields["time"])
        level = logging.getLevelNamesMapping()[fields["level"].upper()]
        texts = {key: str(fields.get(key, "")) for key in ("flow", "node", "name", "text", "trace")}
    except (ValueError, KeyError, TypeError, AttributeError):
        return Entry(line, text=line)
    return Entry(line, moment, level, **texts)


class LogReader:
    """Reads a log from its oldest line to its newest, and then what is added."""

    def __init__(self, data: Path) -> None:
        self.path = log_path(data)
        self._file: io.TextIOWrapper | None = None
        self._rest = ""

    def existing(self) -> Iterator[Entry]:
        """All that is there, oldest first."""
        for number in range(OLDER, 0, -1):
            try:
                with self.path.with_name(f"{FILE}.{number}").open(encoding="utf-8", errors="replace") as file:
                    yield from (read_entry(line.rstrip("\n")) for line in file)
            except FileNotFoundError:
                continue
        yield from self._more()

    def added(self, pause: Callable[[], None]) -> Iterator[Entry]:
        """What is added from now on, for ever; calls `pause` where there is nothing new."""
        while True:
            found = False
            for entry in self._more():
                found = True
                yield entry
            if not found:
                pause()

    def _more(self) -> Iterator[Entry]:
        """The whole lines that are new, also of the file that followed when this one was put aside."""
        while True:
            if self._file is None:
                try:
                    self._file = self.path.open(encoding="utf-8", errors="replace")
                except FileNotFoundError:
                    return
            replaced = self._replaced()  # before reading: what is written until then still goes into this one
            for part in self._file:
                self._rest += part
                if part.endswith("\n"):
                    line, self._rest = self._rest[:-1], ""
                    yield read_entry(line)
            if not replaced:
                return
            if self._rest:
                line, self._rest = self._rest, ""
                yield read_entry(line)
            self.close()

    def _replaced(self) -> bool:
        assert self._file is not None  # noqa: S101 - opened above
        try:
            return self.path.stat().st_ino != os.fstat(self._file.fileno()).st_ino
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Close the file that is being read."""
        if self._file is not None:
            self._file.close()
            self._file = None
