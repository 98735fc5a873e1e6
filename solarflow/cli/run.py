"""`solarflow run`: run a project until Ctrl-C."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path

import click

from solarflow import __version__
from solarflow.cli.common import (
    PORT,
    SPEED,
    START_TIME,
    check_project_path,
    clock_of,
    data_folder,
    project_argument,
    wait_for_end,
)
from solarflow.errors import FlowError, SolarFlowError, describe
from solarflow.instance import EMBEDDED, Instance, Options
from solarflow.logfile import keep_log
from solarflow.web.server import WebServer

log = logging.getLogger("solarflow")


@click.command(epilog="Example: solarflow run my-community --broker mqtts://hub:secret@broker.example:8883 --watch")
@project_argument
@click.option(
    "--broker", default=EMBEDDED, show_default=True, envvar="SOLARFLOW_BROKER", show_envvar=True,
    help="mqtt://… or mqtts://… of a broker, or 'embedded'. In the environment its password is not seen by others.",
)  # fmt: skip
@click.option(
    "--broker-port", type=PORT, default=1883, show_default=True, help="The embedded broker's port; 0 takes a free one."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the pages listen.")
@click.option("--port", type=PORT, default=1880, show_default=True, help="The port of the pages; 0 takes a free one.")
@click.option("--data", type=click.Path(path_type=Path), help="The data folder.  [default: PROJECT/data]")
@click.option(
    "--speed", type=SPEED, default=1.0, show_default=True, help="How many seconds of the flows pass in a real one."
)
@click.option("--start", type=START_TIME, help="Let the flows' clock begin at this UTC time, for trials.  [now]")
@click.option("--safe", is_flag=True, help="Load and show the flows, start none.")
@click.option("--watch", is_flag=True, help="Deploy by itself when a file of the project changes.")
@click.option("--no-web", is_flag=True, help="No pages; the flows' own HTTP routes and /health are still there.")
def run(
    project: Path, broker: str, broker_port: int, host: str, port: int, data: Path | None, speed: float,
    start: datetime | None, safe: bool, watch: bool, no_web: bool,
) -> None:  # fmt: skip
    """Run PROJECT: a folder with flows.json (default: this one), or one Node-RED flow file."""
    check_project_path(project)
    clock = clock_of(speed, start)
    instance = Instance(
        Options(
            project=project, data=data_folder(project, data), broker=broker, broker_port=broker_port, clock=clock,
            safe=safe,
        )
    )  # fmt: skip
    serve(instance, host, port, pages=not no_web, watch=watch)


def serve(
    instance: Instance, host: str, port: int, *, pages: bool = True, watch: bool = False,
    beside: AbstractContextManager[Callable[[], None]] | None = None,
) -> None:  # fmt: skip
    """Start an instance and its web server, tell where it is, and wait for the end.

    `beside` is entered once everything runs and left before anything stops; what it gives is called each second.
    """
    web = WebServer(instance, host, port, pages=pages)
    web.bind()
    with keep_log() as begin_log:
        try:
            instance.start()
            note = begin_log(instance.options.data)
            try:
                web.start()
                _announce(instance, web, pages, note)
                watcher = Watcher(instance) if watch else None
                with beside if beside is not None else nullcontext(lambda: None) as look_beside:

                    def each_second() -> None:
                        look_after(instance, watcher)
                        look_beside()

                    wait_for_end(each_second)
                    click.echo("stopping …")
                    note("stopping")
            finally:
                web.stop_streams()
                instance.stop()
        finally:
            web.stop()


def look_after(instance: Instance, watcher: Watcher | None) -> None:
    """Each second. Raises where the engine has ended by itself: whoever started this process can start it again."""
    instance.live.check_alive()
    if watcher is not None:
        watcher.look()


def _announce(instance: Instance, web: WebServer, pages: bool, note: Callable[[str], None]) -> None:
    for problem in instance.problems:
        click.echo(str(problem))
    if instance.folder is not None:
        instance.folder.announce(web.port)
    flows = len(instance.call(lambda: instance.engine.plan.flows))
    broker = instance.broker_options.address if instance.broker_options is not None else "none"
    own = " (its own)" if instance.broker is not None else ""
    click.echo(f"{flows} flows run; broker {broker}{own}; data in {instance.options.data}")
    note(f"started: solarflow {__version__}, process {os.getpid()}, {flows} flows, broker {broker}{own}, {web.url}")
    click.echo(f"{'pages' if pages else 'health'} at {web.url}{'' if pages else '/health'}   (Ctrl-C ends)")
    if not web.local_only:
        click.echo(f"from other machines, once for each browser: {web.url}/?token={instance.token}")


class Watcher:
    """Deploys when a file of the project has changed; a file with errors changes nothing and is told once."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._seen = self._state()

    def _state(self) -> dict[Path, tuple[int, int]]:
        project = self._instance.project
        if project is None:
            return {}
        paths = [project.manifest, *(project.root / flow.file for flow in project.files)]
        state = {}
        for path in paths:
            try:
                found = path.stat()
            except OSError:
                continue  # between an editor's two steps of saving
            state[path] = (found.st_mtime_ns, found.st_size)
        return state

    def look(self) -> None:
        """Deploy where something is new."""
        state = self._state()
        if state == self._seen:
            return
        self._seen = state
        try:
            result = self._instance.deploy()
        except FlowError as error:
            click.echo(f"not deployed, the flows go on as they were:\n{describe(error.problems)}")
        except SolarFlowError as error:
            click.echo(f"not deployed: {error}")
        else:
            self._seen = self._state()
            log.info("deployed: %d nodes started, %d stopped, %d untouched",
                     len(result.started), len(result.stopped), len(result.kept))  # fmt: skip
