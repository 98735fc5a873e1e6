"""`solarflow demo`: broker, engine, page and twelve simulated homes over real MQTT, sixty times as fast as life."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click

import solarflow
from solarflow.cli.common import PORT, SPEED, check_project_path
from solarflow.cli.run import serve
from solarflow.cli.simulate import Publishers
from solarflow.clock import ScaledClock
from solarflow.errors import FlowError
from solarflow.graph import check_project
from solarflow.instance import Instance, Options
from solarflow.manifest import load_project
from solarflow.priming import prime
from solarflow.registry import Registry, load_registry
from solarflow.simulation import DEMO_START, Community

DAYS_BEHIND = 14
PRIMED = ("flows/ingest.json",)
"""The flows that the past runs through: the store gets it, and the benchmark learns from the store when it begins."""


@click.command(epilog="Example: solarflow demo --speed 120")
@click.option("--homes", default=12, show_default=True, help="How many homes.")
@click.option("--speed", type=SPEED, default=60.0, show_default=True, help="How many seconds pass there in a real one.")
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same community.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the page listens.")
@click.option("--port", type=PORT, default=1880, show_default=True, help="The port of the page; 0 takes a free one.")
@click.option("--broker-port", type=PORT, default=0, help="The embedded broker's port.  [default: a free one]")
@click.option("--project", type=click.Path(path_type=Path), help="Run this project's flows, not the shipped ones.")
@click.option("--data", type=click.Path(path_type=Path), help="Keep the data here.  [default: thrown away at the end]")
def demo(
    homes: int, speed: float, seed: int, host: str, port: int, broker_port: int, project: Path | None,
    data: Path | None,
) -> None:  # fmt: skip
    """Show a simulated community: surplus switches relays on, one home performs badly and gets its alert.

    It is 10:00 on a summer day in Turin, with fourteen days behind it. At speed 60 an hour passes each minute.
    """
    flows = check_project_path(project) if project is not None else Path(solarflow.__file__).parent
    kept = data is not None
    folder = data if data is not None else Path(tempfile.mkdtemp(prefix="solarflow-demo-"))
    registry = load_registry()
    community = Community(homes, seed)
    try:
        if not (folder / "telemetry.db").exists():
            _give_a_past(folder, flows, registry, community)
        clock = ScaledClock(speed, DEMO_START)
        instance = Instance(Options(project=flows, data=folder, broker_port=broker_port, clock=clock), registry)
        serve(instance, host, port, beside=_homes(instance, community, clock))
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _homes(instance: Instance, community: Community, clock: ScaledClock) -> Iterator[Callable[[], None]]:
    """The homes publish to the instance's broker; what it gives raises where they have ended by themselves."""
    assert instance.broker_options is not None  # noqa: S101 - it runs
    publishers = Publishers(community, instance.broker_options, clock)
    publishers.start()
    there = datetime.fromtimestamp(clock.now(), ZoneInfo("Europe/Rome"))
    click.echo(
        f"{len(community.homes)} homes publish; it is {there:%H:%M on %-d %B} there, "
        f"{clock.speed:g} times as fast as here\n"
    )
    try:
        yield publishers.check_alive
    finally:
        publishers.stop()


def _give_a_past(folder: Path, flows: Path, registry: Registry, community: Community) -> None:
    loaded = load_project(flows, registry, {})
    past = replace(loaded, files=tuple(file for file in loaded.files if file.file in PRIMED))
    checked = check_project(past, registry, {})
    if checked.plan is None:
        raise FlowError(checked.problems)
    start = DEMO_START - DAYS_BEHIND * 86_400
    with click.progressbar(length=100, label=f"{DAYS_BEHIND} days of history", show_pos=False) as bar:

        def progress(share: float) -> None:
            bar.update(int(share * 100) - bar.pos)

        prime(
            folder, registry, checked.plan, community.registry(), community.history(start, DEMO_START), start,
            DEMO_START, progress,
        )  # fmt: skip
        bar.update(100 - bar.pos)
