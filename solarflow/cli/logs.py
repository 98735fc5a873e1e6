"""`solarflow logs`: what a running or stopped instance has logged."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import click

from solarflow.cli.common import data_folder, project_argument
from solarflow.errors import UsageError
from solarflow.flowdiff_text import printable
from solarflow.logfile import Entry, LogReader

POLL_S = 0.3
LEVELS = ("debug", "info", "warning", "error")


@click.command(epilog="Example: solarflow logs my-community --level warning --flow benchmark --follow")
@project_argument
@click.option("--data", type=click.Path(path_type=Path), help="The data folder.  [default: PROJECT/data]")
@click.option("-n", "--lines", default=100, show_default=True, help="So many of the last lines; 0 shows all.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is added, until Ctrl-C.")
@click.option("--level", type=click.Choice(LEVELS), default="debug", help="Only lines of this level or above.  [all]")
@click.option("--flow", default="", help="Only lines about nodes of this flow: benchmark, or flows/benchmark.json.")
@click.option("--node", default="", help="Only lines about this node, by its id or name.")
@click.option("--json", "as_json", is_flag=True, help="The lines as they are kept: one JSON object each.")
def logs(
    project: Path, data: Path | None, lines: int, follow: bool, level: str, flow: str, node: str, as_json: bool
) -> None:
    """Show the log of PROJECT: what its instance told on the console, with the dates.

    It is kept in DATA/log, at most 25 MB of it, and stays when the instance has ended.
    """
    reader = LogReader(data_folder(project, data))
    if not reader.path.parent.is_dir():
        raise UsageError(f"there is no log in {reader.path.parent}; `solarflow run` writes it there")
    wanted = _filter(logging.getLevelNamesMapping()[level.upper()], flow, node)

    def show(entry: Entry) -> None:
        click.echo(_json(entry) if as_json else _line(entry, sys.stdout.isatty()))

    try:
        for entry in deque(filter(wanted, reader.existing()), lines or None):
            show(entry)
        if follow:
            for entry in filter(wanted, reader.added(lambda: time.sleep(POLL_S))):
                show(entry)
    except KeyboardInterrupt:  # how one ends following
        return
    finally:
        reader.close()


def _filter(level: int, flow: str, node: str) -> Callable[[Entry], bool]:
    all_of_them = level <= logging.DEBUG and not flow and not node

    def wanted(entry: Entry) -> bool:
        if entry.time is None:
            return all_of_them
        in_flow = not flow or flow in (entry.flow, PurePosixPath(entry.flow).stem)
        of_node = not node or (bool(entry.node) and node in (entry.node, entry.name))
        return entry.level >= level and in_flow and of_node

    return wanted


def _json(entry: Entry) -> str:
    return entry.line if entry.time is not None else json.dumps({"text": entry.line})


def _line(entry: Entry, coloured: bool) -> str:
    if entry.time is None:
        return f"{'?':<19}  {'?':<7}  {printable(entry.text)}"
    moment = entry.time.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    level = logging.getLevelName(entry.level).lower()
    text = f"{moment}  {level:<7}  {printable(entry.text)}"
    text += "".join(f"\n    {printable(line)}" for line in entry.trace.splitlines())
    colour = "red" if entry.level >= logging.ERROR else "yellow" if entry.level >= logging.WARNING else None
    return click.style(text, fg=colour) if coloured and colour else text
