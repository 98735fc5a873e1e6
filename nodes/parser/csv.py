"""Turn CSV text into objects, or objects and lists into CSV text.

Inputs
    payload: a text: its rows are read. An object or a list: it is written.
    columns (string, optional): the names of the columns, separated by commas, to write with where the node has none.
    parts (optional): a text may come in parts, row by row (`split`); then the rows are read as one sequence.
    reset (optional): the header that is written once is written again.
Outputs
    payload: an object for each row, or one list of all; or a text.
    columns (string): the names of the columns.
    parts: where each row is a message of its own, its place in the sequence.

Details
    Columns are named by `temp`, or by the first row (`hdrin`); a column without a name is left out. Where neither names
    them they are col1, col2, ...

    A text that is a number becomes one (`strings`), except with a leading zero: 0123 stays text, as a telephone number
    is. A field without text is left out, unless `include_empty_strings` or `include_null_values` is on; with both it is
    null.

    Writing: an object is a row, a list of simple values too; a list of objects or lists is several rows. Objects give
    the columns named by `temp`, else by `msg.columns`, else all properties of the first one.

    Quotes follow RFC 4180: a field in double quotes may hold separators, line ends, and quotes written twice.

Example
    Two readings, with the names in the first row.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from solarflow.errors import NodeError
from solarflow.loose import to_text
from solarflow.message import MISSING, clone
from solarflow.node import Example, KeyedState, Message, Node, NodeRedConfig, Setup, at

_NUMBER = re.compile(r"-?(?!0\d)(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_ESCAPES = {"\\t": "\t", "\\n": "\n", "\\r": "\r"}
MAX_FIELD = 1_000_000
MAX_ROWS = 100_000


class Csv(Node):
    """Reads and writes CSV."""

    type = "csv"
    category = "parser"
    icon = "parser-csv"
    color = "#DEBD5C"
    max_keys = 100

    class Config(NodeRedConfig):
        """How the text looks."""

        spec: Literal["", "rfc"] = "rfc"
        """Node-RED's choice between RFC 4180 and its older rules; RFC 4180 in either case."""
        sep: str = ","
        """What separates the fields: one character, or \\t."""
        temp: str = ""
        """The names of the columns, separated by commas."""
        skip: int = Field(default=0, ge=0)
        """Leave out so many lines at the beginning."""
        hdrin: bool = False
        """The first row has the names of the columns."""
        multi: Literal["one", "mult"] = "one"
        """one: a message for each row; mult: one message with a list of all."""
        strings: bool = True
        """Turn texts that are numbers into numbers."""
        include_empty_strings: bool = False
        """Give a field without text as an empty text."""
        include_null_values: bool = False
        """Give a field without text as null."""
        hdrout: Literal["none", "all", "once"] = "none"
        """Write the names first: never, with every message, or with the first one (until `msg.reset`)."""
        ret: str = "\n"
        """What ends a line that is written: \\n, \\r or \\r\\n."""

        @model_validator(mode="before")
        @classmethod
        def _unset_is_default(cls, values: Any) -> Any:
            if not isinstance(values, dict):
                return values
            given = {name: value for name, value in values.items() if value not in ("", None) or name == "spec"}
            if isinstance(given.get("hdrout"), bool):
                given["hdrout"] = "all" if given["hdrout"] else "none"
            return given

        @field_validator("sep")
        @classmethod
        def _is_one_character(cls, value: str) -> str:
            plain = _ESCAPES.get(value, value)
            if len(plain) != 1 or plain in '"\r\n':
                raise ValueError(f"'{value}' cannot separate fields; give one character such as , or ; or \\t")
            return plain

        @field_validator("ret")
        @classmethod
        def _is_a_line_end(cls, value: str) -> str:
            plain = value.replace("\\n", "\n").replace("\\r", "\r")
            if plain not in ("\n", "\r", "\r\n"):
                raise ValueError(f"'{value}' is no line end; choose \\n, \\r or \\r\\n")
            return plain

    @dataclass(slots=True)
    class State:
        """A text that comes in parts, by the id of its sequence; under "" what holds for the node."""

        names: list[str] = field(default_factory=list)
        rows: list[dict[str, Any]] = field(default_factory=list)
        sent: int = 0
        header_written: bool = False

    config: Config
    state: KeyedState[State]

    EXAMPLES = (
        Example(
            text="Two readings, with the names in the first row.",
            config={"hdrin": True, "multi": "mult", "sep": ";"},
            given=[at(0, payload="casa;potenza_w\ncasa_A;1500\ncasa_B;300\n")],
            then=[at(0, payload=[{"casa": "casa_A", "potenza_w": 1500}, {"casa": "casa_B", "potenza_w": 300}])],
        ),
        Example(
            text="An object becomes a line, with the names above it.",
            config={"temp": "casa,potenza_w", "hdrout": "all"},
            given=[at(0, payload={"potenza_w": 1500, "casa": "casa_A"})],
            then=[at(0, payload="casa,potenza_w\ncasa_A,1500\n")],
        ),
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._names = _names(self.config.temp)

    def on_input(self, msg: Message) -> None:
        """Read a text, write anything else."""
        if "reset" in msg:
            self.state[""].header_written = False
        payload = msg.get("payload", MISSING)
        if payload is MISSING:
            if "reset" not in msg:
                self.send(msg)
        elif isinstance(payload, str):
            self._read(msg, payload)
        elif isinstance(payload, (dict, list)):
            self._write(msg, payload)
        else:
            raise NodeError(f"the payload is {payload!r:.60}, where a text, an object or a list is needed")

    # -- reading ------------------------------------------------------------------------------------------------

    def _read(self, msg: Message, text: str) -> None:
        parts = msg.get("parts")
        if isinstance(parts, dict) and "id" in parts and isinstance(parts.get("index"), int):
            self._read_part(msg, text, parts)
            return
        rows = self._rows(_lines_after(text, self.config.skip))
        names = _names_of(next(rows, [])) if self.config.hdrin else self._names
        objects = self._objects(rows, names)
        msg["columns"] = _joined(names or _numbered(objects))
        if self.config.multi == "mult":
            msg["payload"] = objects
            msg.pop("parts", None)
            self.send(msg)
            return
        group = msg.get("_msgid") or self.host.new_id()
        for index, row in enumerate(objects):
            self.send(_copy(msg, row, {"id": group, "index": index, "count": len(objects)}))

    def _read_part(self, msg: Message, text: str, parts: dict[str, Any]) -> None:
        """One part of a sequence, usually one row."""
        key, index, count = str(parts["id"]), parts["index"], parts.get("count")
        state, config = self.state[key], self.config
        rows = self._rows(text) if index >= config.skip else iter(())
        if config.hdrin and not state.names:
            state.names = _names_of(next(rows, []))
        names = state.names or self._names
        objects = self._objects(rows, names)
        if len(state.rows) + len(objects) > MAX_ROWS:
            self.state.pop(key)
            raise NodeError(f"more than {MAX_ROWS} rows came in one sequence; they are dropped")
        last = isinstance(count, int) and index + 1 >= count
        msg["columns"] = _joined(names or _numbered(objects))
        if config.multi == "mult":
            state.rows += objects
            if last:
                msg["payload"] = state.rows
                del msg["parts"]
                self.send(msg)
        else:
            lines_before = config.skip + config.hdrin
            for row in objects:
                place = {**parts, "index": state.sent}
                if isinstance(count, int):
                    place["count"] = count - lines_before
                state.sent += 1
                self.send(_copy(msg, row, place))
        if last:
            self.state.pop(key)

    def _rows(self, text: str) -> Any:
        csv.field_size_limit(MAX_FIELD)
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=self.config.sep)
        try:
            for number, row in enumerate(rows):
                if number > MAX_ROWS:
                    raise NodeError(f"the text has more than {MAX_ROWS} rows; split it first")
                yield row
        except csv.Error as error:
            raise NodeError(f"the text is not CSV in line {rows.line_num}: {error}") from None

    def _objects(self, rows: Iterable[Sequence[str]], names: Sequence[str]) -> list[dict[str, Any]]:
        """The rows as objects; those with nothing in them are left out."""
        objects = []
        for row in rows:
            found: dict[str, Any] = {}
            for place, text in enumerate(row):
                name = names[place] if place < len(names) else "" if names else f"col{place + 1}"
                if not name or (not text and len(row) == 1):
                    continue
                if text:
                    found[name] = _number(text) if self.config.strings else text
                elif self.config.include_null_values:
                    found[name] = None
                elif self.config.include_empty_strings:
                    found[name] = ""
            if found:
                objects.append(found)
        return objects

    # -- writing ------------------------------------------------------------------------------------------------

    def _write(self, msg: Message, payload: dict[str, Any] | list[Any]) -> None:
        rows: list[Any] = [payload] if isinstance(payload, dict) else payload
        if rows and not isinstance(rows[0], (dict, list)):
            rows = [rows]  # simple values: one row
        names = self._names
        if not names and isinstance(msg.get("columns"), str):
            names = _names(msg["columns"])
        if not names and rows and isinstance(rows[0], dict):
            names = list(rows[0])
        out = io.StringIO()
        writer = csv.writer(out, delimiter=self.config.sep, lineterminator=self.config.ret)
        if names and self._header_is_due():
            writer.writerow(names)
        for row in rows:
            if isinstance(row, dict):
                writer.writerow([_field(row.get(name) if name else None) for name in names])
            else:
                writer.writerow([_field(value) for value in (row if isinstance(row, list) else [row])])
        msg["payload"] = out.getvalue()
        if names:
            msg["columns"] = _joined(names)
        if msg["payload"]:
            self.send(msg)

    def _header_is_due(self) -> bool:
        if self.config.hdrout != "once":
            return self.config.hdrout == "all"
        state = self.state[""]
        due, state.header_written = not state.header_written, True
        return due


def _names(text: str) -> list[str]:
    return _names_of(next(csv.reader([text], skipinitialspace=True), [])) if text.strip() else []


def _names_of(row: Sequence[str]) -> list[str]:
    names = [name.strip() for name in row]
    if names and names[0].startswith("\ufeff"):  # a file's byte order mark
        names[0] = names[0].removeprefix("\ufeff").strip('"')
    return names


def _numbered(objects: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in objects for name in row))


def _joined(names: Sequence[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow([name for name in names if name])
    return out.getvalue()


def _lines_after(text: str, skip: int) -> str:
    for _ in range(skip):
        text = text.partition("\n")[2]
    return text


def _number(text: str) -> Any:
    if not _NUMBER.fullmatch(text):
        return text
    value = float(text)
    if not math.isfinite(value):
        return text
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _field(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (dict, list)):
        try:
            return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        except (ValueError, TypeError) as error:
            raise NodeError(f"a value inside a row cannot be written: {error}") from None
    return to_text(value)


def _copy(msg: Message, row: dict[str, Any], parts: dict[str, Any]) -> Message:
    copy: Message = {name: clone(value) for name, value in msg.items() if name not in ("payload", "parts", "_msgid")}
    copy["payload"], copy["parts"] = row, parts
    return copy
