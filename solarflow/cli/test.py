"""`solarflow test`: run the scenarios of a project's flows in virtual time."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from solarflow.cli.common import check_project_path, project_argument
from solarflow.errors import UsageError, describe, nearest
from solarflow.flowfile import Project
from solarflow.flowtext import write_atomically
from solarflow.manifest import read_project
from solarflow.registry import Registry, load_registry
from solarflow.scenario import Case, LoadedFile, Outcome, cases_of, find_files, load_file, run
from solarflow.scenario.coverage import uncovered
from solarflow.scenario.report import Tone, junit, side_by_side
from solarflow.scenario.text import canonical
from solarflow.scenario.update import updated

TONES: Mapping[Tone, Mapping[str, Any]] = {"quiet": {"dim": True}, "bad": {"fg": "red"}, "plain": {}}


@click.command(epilog="Example: solarflow test my-community benchmark --junit results.xml")
@project_argument
@click.argument("names", nargs=-1)
@click.option("--list", "only_list", is_flag=True, help="Only list the scenarios, by file.")
@click.option("--update", is_flag=True, help='Write what came into "then" of those that fail, for you to review.')
@click.option("--junit", "junit_file", type=click.Path(path_type=Path), help="Write JUnit XML to this file, too.")
@click.option("--fail-uncovered", is_flag=True, help="Fail where a sentence of a flow's description has no scenario.")
@click.pass_context
def test(
    ctx: click.Context, project: Path, names: tuple[str, ...], only_list: bool, update: bool, junit_file: Path | None,
    fail_uncovered: bool,
) -> None:  # fmt: skip
    """Run the scenarios in flows/tests of PROJECT, in virtual time.

    NAMES choose some: the name of a file, or a part of a scenario's name. Exit code 0: all came as expected; 1:
    something else came; 2: a scenario file has problems, and nothing was run. docs/flow-tests.md shows how one is
    written.
    """
    check_project_path(project)
    found = read_project(project)
    files = [load_file(path, found) for path in find_files(found)]
    problems = [problem for loaded in files for problem in loaded.problems]
    if problems:
        click.echo(describe(problems), err=True)
        click.echo(f"{len(problems)} {'problem' if len(problems) == 1 else 'problems'}; no scenario was run", err=True)
        ctx.exit(2)
    if not files:
        raise UsageError(f"{project} has no scenarios; write the first as flows/tests/NAME.json (docs/flow-tests.md)")
    chosen = _chosen(files, names)
    if only_list:
        for file, scenarios in groupby(chosen, lambda one: one[0].file):
            click.echo(file)
            for _, scenario in scenarios:
                click.echo(f"  {scenario.name}")
        return
    with _quiet(ctx.find_root().params.get("verbose", False)):
        outcomes = _run_all(chosen, found, load_registry(), quiet=update)
    if junit_file is not None:
        junit_file.write_text(junit(outcomes), encoding="utf-8")
    failed = [outcome for outcome in outcomes if not outcome.passed]
    if update and failed:
        _update(chosen, outcomes)
    bare = _tell_uncovered(found, files) if not names else 0
    passed = len(outcomes) - len(failed)
    seconds = sum(outcome.seconds for outcome in outcomes)
    words = click.style(f"{len(failed)} failed", fg="red") if failed else click.style("none failed", fg="green")
    click.echo(f"{passed} {'scenario' if passed == 1 else 'scenarios'} passed, {words}, in {seconds:.1f} s")
    ctx.exit(1 if failed or (fail_uncovered and bare) else 0)


@contextmanager
def _quiet(verbose: bool) -> Iterator[None]:
    """Without the log lines of the flows: what counts of them is in the report."""
    logger = logging.getLogger("solarflow")
    level = logger.level
    if not verbose:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _chosen(files: Sequence[LoadedFile], names: Sequence[str]) -> list[Case]:
    """The scenarios that are meant. Raises UsageError for a name that means none."""
    everything = [case for loaded in files for case in cases_of(loaded)]
    if not names:
        return everything
    wanted: set[tuple[str, str]] = set()
    for name in names:
        text = name.casefold()
        meant = [
            (loaded.file, one.name)
            for loaded, one in everything
            if text in (loaded.path.stem.casefold(), loaded.file.casefold()) or text in one.name.casefold()
        ]
        if not meant:
            known = [loaded.path.stem for loaded in files] + [one.name for _, one in everything]
            raise UsageError(
                f"no scenario is called '{name}'{nearest(name, known)}; `solarflow test --list` lists them"
            )
        wanted.update(meant)
    return [case for case in everything if (case.file.file, case.scenario.name) in wanted]


def _run_all(chosen: list[Case], project: Project, registry: Registry, *, quiet: bool) -> list[Outcome]:
    width = shutil.get_terminal_size((120, 24)).columns
    outcomes = []
    shown = ""
    for case in chosen:
        scenario = case.scenario
        if case.file.file != shown:
            shown = case.file.file
            click.echo(shown)
        outcome = run(case, project, registry)
        outcomes.append(outcome)
        word = click.style("ok  ", fg="green") if outcome.passed else click.style("FAIL", fg="red", bold=True)
        click.echo(f"  {word}  {scenario.name}")
        if not outcome.passed and not quiet:
            for line in side_by_side(outcome, width - 4):
                click.echo("    " + click.style(line.text, **TONES[line.tone]) if line.text else "")
            if not (scenario.then or scenario.never):
                click.echo("    It expects nothing, which proves nothing; `--update` writes what came into it.")
    return outcomes


def _update(chosen: list[Case], outcomes: Sequence[Outcome]) -> None:
    """Write what came into the files of those that failed."""
    came = {(outcome.file, outcome.name): outcome for outcome in outcomes}
    for file, group in groupby(chosen, lambda one: one[0].file):
        pairs = list(group)
        loaded = pairs[0][0]
        by_name = {one.name: one for _, one in pairs}
        scenarios = []
        changed = 0
        for raw in loaded.raw["scenarios"]:
            outcome = came.get((file, raw["name"]))
            if outcome is None or outcome.passed or outcome.error:
                scenarios.append(raw)
                continue
            scenarios.append(updated(raw, by_name[raw["name"]], outcome))
            changed += 1
        if changed:
            write_atomically(loaded.path, canonical({**loaded.raw, "scenarios": scenarios}))
            click.echo(f"{file}: wrote what came into {changed} of its scenarios; look at the diff before you keep it")
    for outcome in outcomes:
        if any(row.forbidden for row in outcome.rows):
            click.echo(f"{outcome.file}: '{outcome.name}' does what stands under \"never\"; no update mends that")


def _tell_uncovered(project: Project, files: Sequence[LoadedFile]) -> int:
    bare = uncovered(project.files, [loaded.model for loaded in files if loaded.model])
    if bare:
        click.echo("No scenario covers these sentences of the flows' descriptions:")
        for one in bare:
            click.echo(f"  {one.file}: {one.sentence}")
    return len(bare)
