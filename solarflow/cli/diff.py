"""`solarflow diff`: what two versions of a flow or of a project mean differently; also for git."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from solarflow.errors import FlowError, SolarFlowError, UsageError, describe
from solarflow.flowdiff import Side, compare, read_side, read_side_text
from solarflow.flowdiff_text import Paint, lines_of, printable, text_lines
from solarflow.registry import load_registry

TROUBLE = 2
"""The exit code where the two cannot be compared, as diff and git have it."""


@click.command(epilog="Example: solarflow diff flows/benchmark.json new/benchmark.json")
@click.argument("arguments", metavar="BEFORE AFTER", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--exit-code", is_flag=True, help="Exit code 1 where the meaning changed.")
@click.option("--git", is_flag=True, help="Take the arguments as git gives them to diff.<driver>.command.")
@click.pass_context
def diff(ctx: click.Context, arguments: tuple[str, ...], as_json: bool, exit_code: bool, git: bool) -> None:
    """Show what changed in meaning from BEFORE to AFTER: two flow files, two manifests, or two project folders.

    Nodes, properties, wires and settings count; places on the canvas, the order of keys, and what only spells out a
    default do not. Secrets are never shown, only that they changed. Exit code 2 where a file cannot be read.

    \b
    As git's own diff of flow files:
      git config diff.solarflow.command "solarflow diff --git --"
      printf 'flows.json diff=solarflow\\nflows/*.json diff=solarflow\\n' >> .gitattributes
    """
    if git:
        _for_git(arguments)
        return
    if len(arguments) != 2:
        raise click.UsageError("name two files or two project folders: solarflow diff BEFORE AFTER")
    try:
        before, after = _read(Path(arguments[0]), Path(arguments[1]))
    except SolarFlowError as error:
        click.echo(describe(error.problems) if isinstance(error, FlowError) else f"solarflow: {error}", err=True)
        ctx.exit(TROUBLE)
    found = compare(before, after, load_registry())
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2, ensure_ascii=False))
    else:
        for line in lines_of(found, _paint(sys.stdout.isatty())):
            click.echo(line)
    ctx.exit(1 if exit_code and found.meaningful else 0)


def _read(old: Path, new: Path) -> tuple[Side, Side]:
    if old.is_dir() != new.is_dir():
        raise UsageError(f"{old} and {new} cannot be compared: name two files, or two project folders")
    before, after = read_side(old), read_side(new)
    if not new.is_dir():
        before.call(str(new))
    return before, after


def _paint(coloured: bool) -> Paint:
    if not coloured or os.environ.get("NO_COLOR"):
        return lambda text, _: text
    return lambda text, colour: click.style(text, bold=True) if colour == "bold" else click.style(text, fg=colour)


def _for_git(arguments: tuple[str, ...]) -> None:
    """What git calls with path, old file, hex, mode, new file, hex, mode (and for a renamed file its new path, and how
    alike the two are); or with a path alone where a merge left several versions.

    Git takes any exit code but 0 for a crash and stops: so whatever is no flow is shown as text.
    """  # fmt: skip
    in_pager = os.environ.get("GIT_PAGER_IN_USE") == "true"
    paint = _paint(sys.stdout.isatty() or in_pager)
    colour = True if in_pager else None  # click would take the colours out again, as the pager is no terminal
    if len(arguments) == 1:
        click.echo(f"{printable(arguments[0])}: not merged yet")
        return
    if len(arguments) not in (7, 9):
        raise UsageError(
            "with --git this takes what git gives to diff.<driver>.command: PATH OLD-FILE OLD-HEX OLD-MODE NEW-FILE "
            "NEW-HEX NEW-MODE"
        )
    path, old, new = arguments[0], Path(arguments[1]), Path(arguments[4])
    name = arguments[7] if len(arguments) == 9 else path
    renamed = f" (was {path})" if name != path else ""
    click.echo(paint(printable(f"solarflow diff {name}{renamed}"), "bold"), color=colour)
    texts = [_text(file) for file in (old, new)]
    try:
        sides = [read_side_text(text, name) if text else Side() for text in texts]
    except FlowError as error:
        click.echo("not a flow that can be read; as text:")
        click.echo(describe(error.problems))
        lines = text_lines(texts[0], texts[1], paint)
    else:
        lines = lines_of(compare(sides[0], sides[1], load_registry()), paint)
    for line in lines:
        click.echo(line, color=colour)


def _text(file: Path) -> str:
    """A file's text; /dev/null, which git names where there is no file, is empty."""
    return file.read_bytes().decode("utf-8-sig", errors="replace")
