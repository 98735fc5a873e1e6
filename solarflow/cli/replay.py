"""`solarflow replay`: recorded time through the flows of a project."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import click

from solarflow.cli.common import check_project_path, data_folder
from solarflow.errors import UsageError
from solarflow.manifest import read_project
from solarflow.plan import Plan
from solarflow.registry import Registry, load_registry
from solarflow.replay import comparison
from solarflow.replay.changes import Change, plan_of, read_change, with_flows
from solarflow.replay.history import History
from solarflow.replay.homes import homes_of_file, homes_of_folder
from solarflow.replay.marks import Mark, read_marks
from solarflow.replay.plot import check_plot, draw
from solarflow.replay.recording import LineError, Reading, Recording, moment
from solarflow.replay.resample import How, Resampled
from solarflow.replay.run import MAX_GAP_S, Options, Replay
from solarflow.replay.summary import as_text, summary_of
from solarflow.replay.world import RecordedAnswers
from solarflow.store import DataFolder, Home

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d)?")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
INTERRUPTED = 130


def duration(value: str | float) -> float:
    """The seconds of a time such as 60s, 5m, 1h; a bare number counts seconds. Raises click.BadParameter."""
    if isinstance(value, float):
        return value
    found = _DURATION.fullmatch(value.strip())
    if found is None:
        raise click.BadParameter(f"'{value}' is not a duration; write it like 60s, 5m or 1h")
    return float(found[1]) * _SECONDS[found[2] or "s"]


def utc_moment(value: str | float) -> float:
    """UTC seconds of a time in ISO 8601 (UTC where it names no offset), or of seconds. Raises click.BadParameter."""
    try:
        return moment(value)
    except LineError as error:
        raise click.BadParameter(str(error)) from None


class Source(Protocol):
    """A recording or a history."""

    name: str
    bad: int

    @property
    def share(self) -> float:
        """How much has been read, 0 to 1."""

    @property
    def repeatable(self) -> bool:
        """Whether it can be read twice."""

    def __iter__(self) -> Iterator[Reading]:
        """The readings."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What both replays of a comparison share."""

    registry: Registry
    source: Source
    homes: list[Home] | None
    options: Options
    start: float | None
    end: float | None
    resample: float | None
    how: How
    answers: RecordedAnswers | None
    past: Path | None
    marks: list[Mark] | None

    def readings(self) -> Iterable[Reading]:
        """The readings as they enter the flows."""
        found: Iterable[Reading] = self.source
        if self.start is not None or self.end is not None:
            found = _between(found, self.start or 0.0, float("inf") if self.end is None else self.end)
        if self.resample is not None:
            found = Resampled(found, self.resample, self.options.max_gap_s, self.how)
        return found


def _between(readings: Iterable[Reading], start: float, end: float) -> Iterator[Reading]:
    for reading in readings:
        if reading[0] >= end:
            return
        if reading[0] >= start:
            yield reading


@click.command(
    epilog="Example: solarflow replay . june.jsonl --set relays-priority.margin_w=300 --against . --out result.jsonl"
)
@click.argument("project", type=click.Path(path_type=Path))
@click.argument("recording", required=False)
@click.option("--data", type=click.Path(path_type=Path), help="Replay what this data folder has recorded.")
@click.option("--from", "start", type=utc_moment, help="From this time on (UTC).")
@click.option("--to", "end", type=utc_moment, help="Up to this time (UTC).")
@click.option("--homes", "homes_file", type=click.Path(path_type=Path), help="The homes: JSON as exported, or a CSV.")
@click.option("--flow", "flows", multiple=True, help="Run only this flow (id, name or file); repeatable.  [all]")
@click.option(
    "--set", "changes", multiple=True, help="NODE.PROPERTY=VALUE, or @FILE with one on each line; repeatable."
)
@click.option("--against", type=click.Path(path_type=Path), help="Compare with this project, without --set.")
@click.option(
    "--relays",
    type=click.Choice(["simulated", "recorded"]),
    default="simulated",
    show_default=True,
    help="Whether relays obey the flows or are as they were.",
)
@click.option("--thermostats", is_flag=True, help="Loads called boiler, ev, softener stop when they have had enough.")
@click.option("--resample", type=duration, help="Put readings in between, this far apart, as a live meter has them.")
@click.option(
    "--resample-how",
    type=click.Choice(["linear", "hold"]),
    default="linear",
    show_default=True,
    help="Straight lines between two readings, or the earlier one.",
)
@click.option(
    "--max-gap",
    type=duration,
    default=MAX_GAP_S,
    show_default="90m",
    help="Over a longer time without a reading nothing is put in and no energy counted.",
)
@click.option("--answers", "answers_file", type=click.Path(path_type=Path), help="Recorded answers of web servers.")
@click.option(
    "--marks", "marks_file", type=click.Path(path_type=Path), help="What was really wrong: judges the alerts."
)
@click.option("--skip-bad", is_flag=True, help="Leave lines out that cannot be read, and count them.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write all that leaves the flows (JSON lines)."
)
@click.option("--json", "as_json", is_flag=True, help="The summary as JSON.")
@click.option(
    "--plot", "plot_file", type=click.Path(path_type=Path, dir_okay=False), help="Draw it: .svg, .png or .pdf."
)
@click.option("--plot-home", default="", help="Draw only this home.")
@click.pass_context
def replay(
    ctx: click.Context, project: Path, recording: str | None, data: Path | None, start: float | None, end: float | None,
    homes_file: Path | None, flows: tuple[str, ...], changes: tuple[str, ...], against: Path | None, relays: Any,
    thermostats: bool, resample: float | None, resample_how: Any, max_gap: float, answers_file: Path | None,
    marks_file: Path | None, skip_bad: bool, out: Path | None, as_json: bool, plot_file: Path | None, plot_home: str,
) -> None:  # fmt: skip
    """Run the flows of PROJECT over recorded time, as fast as it goes, and count what comes of it.

    RECORDING is a file of messages (JSON lines or CSV of ts, topic, payload; also .gz; - is the standard input) or a
    table of figures; without it, what the data folder has recorded is replayed. Nothing leaves: what the flows publish
    is captured, relays are simulated. docs/replay.md tells what a recording holds.
    """
    _quiet(ctx)
    if plot_file is not None:
        check_plot(plot_file)
    registry = load_registry()
    wanted = list(_changes(changes))
    plan = _plan(project, flows, registry, wanted)
    base_plan = None if against is None else _plan(against, flows, registry, [])
    folder = data_folder(project, data)
    source = _source(recording, data, folder, start, end, skip_bad)
    if base_plan is not None and not source.repeatable:
        raise UsageError("two replays need an input that can be read twice; save the standard input to a file first")
    setting = Setting(
        registry, source, _homes(homes_file, folder), Options(relays, thermostats, max_gap, plot_file is not None),
        start, end, resample, resample_how, RecordedAnswers(answers_file) if answers_file else None,
        None if recording else folder, read_marks(marks_file) if marks_file else None,
    )  # fmt: skip
    runs: list[tuple[str, Replay]] = []
    summaries: list[dict[str, Any]] = []
    for label, each, target in (("base", base_plan, _beside(out)), ("this" if against else "", plan, out)):
        if each is not None and all(run.complete for _, run in runs):
            done = _run(setting, each, target, label)
            runs.append((label, done))
            summaries.append(summary_of(done, bad_lines=source.bad, marks=setting.marks))
    both = len(summaries) == 2
    compared = comparison.comparison_of(summaries[0], summaries[1]) if both else None
    if as_json:
        click.echo(json.dumps(compared or summaries[0], indent=2, ensure_ascii=False))
    else:
        _show(runs, summaries, setting, compared)
    if plot_file is not None:
        draw(plot_file, runs, plot_home)
    if not all(run.complete for _, run in runs):
        ctx.exit(INTERRUPTED)


def _quiet(ctx: click.Context) -> None:
    """What flows log would come a thousand times as fast as live; errors are counted in the summary."""
    verbose = bool(ctx.parent and ctx.parent.params.get("verbose"))
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(sys.stderr)
    logging.getLogger("solarflow").setLevel(logging.DEBUG if verbose else logging.CRITICAL)


def _changes(given: Iterable[str]) -> Iterator[Change]:
    for text in given:
        if not text.startswith("@"):
            yield read_change(text)
            continue
        try:
            lines = Path(text[1:]).read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"the changes {text[1:]} cannot be read: {error}") from error
        yield from (read_change(line) for line in map(str.strip, lines) if line and not line.startswith("#"))


def _plan(project: Path, flows: tuple[str, ...], registry: Registry, changes: list[Change]) -> Plan:
    check_project_path(project)
    return plan_of(with_flows(read_project(project), flows), registry, os.environ, changes)


def _source(
    recording: str | None, data: Path | None, folder: Path, start: float | None, end: float | None, skip_bad: bool
) -> Source:
    if recording is not None:
        if data is not None:
            raise UsageError("name a recording, or --data, not both: each is an input of its own")
        return Recording(recording, skip_bad=skip_bad)
    if not folder.is_dir():
        raise UsageError(f"there is no data folder {folder}; name a recording, or a data folder with --data")
    return History(folder, start, end)


def _homes(file: Path | None, folder: Path) -> list[Home] | None:
    if file is not None:
        return homes_of_file(file)
    return homes_of_folder(folder)


def _beside(out: Path | None) -> Path | None:
    """Where the base of a comparison goes: result.jsonl has result.base.jsonl beside it."""
    return None if out is None else out.with_name(f"{out.stem}.base{out.suffix}")


def _run(setting: Setting, plan: Plan, out: Path | None, label: str) -> Replay:
    with ExitStack() as stack:
        capture = None
        if out is not None:
            try:
                capture = stack.enter_context(out.open("w", encoding="utf-8", newline="\n"))
            except OSError as error:
                raise UsageError(f"{out} cannot be written: {error.strerror}") from error
        past = stack.enter_context(DataFolder.read_only(setting.past)).telemetry if setting.past else None
        run = Replay(
            setting.registry, plan, setting.homes, setting.options, capture=capture, past=past,
            answers=setting.answers, environ=os.environ,
        )  # fmt: skip
        stack.enter_context(_ended_by_signals(run))
        source = setting.source
        if not sys.stderr.isatty():
            run.run(setting.readings(), setting.start)
            return run
        bar = stack.enter_context(click.progressbar(length=1000, label=label or "replay", file=sys.stderr))

        def progress() -> None:
            bar.update(int(source.share * 1000) - bar.pos)

        run.run(setting.readings(), setting.start, progress)
        bar.update(1000 - bar.pos)
        return run


@contextmanager
def _ended_by_signals(run: Replay) -> Iterator[None]:
    """Ctrl-C ends the replay after the message under way; a second one at once."""

    def end(number: int, _frame: Any) -> None:
        run.end()
        signal.signal(number, signal.default_int_handler)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(
    runs: list[tuple[str, Replay]], summaries: list[dict[str, Any]], setting: Setting, compared: dict[str, Any] | None
) -> None:
    if setting.homes is None:
        click.echo("no list of homes: every home that speaks is one, of unknown peak power; name them with --homes\n")
    for (label, _), summary in zip(runs, summaries, strict=True):
        click.echo(f"{label}: " * bool(label) + as_text(summary) + "\n" * (compared is not None))
    if compared is not None:
        click.echo(comparison.as_text(compared))
