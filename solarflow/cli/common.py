"""What several commands share: paths, the data folder, the way to a running instance, waiting for the end."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import urllib3

from solarflow.clock import Clock, ScaledClock, SystemClock
from solarflow.errors import ConnectionLostError, SolarFlowError, UsageError
from solarflow.instance import TOKEN_FILE
from solarflow.restore import finish_interrupted
from solarflow.store import DataFolder

START_TIME = click.DateTime(["%Y-%m-%dT%H:%M", "%Y-%m-%d"])
PORT = click.IntRange(0, 65_535)
SPEED = click.FloatRange(0, 100_000, min_open=True)
project_argument = click.argument("project", default=".", type=click.Path(path_type=Path))


def counted(number: int, what: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{number} {what if number == 1 else what + 's'}"


def data_folder(project: Path, data: Path | None) -> Path:
    """`data`, or the folder `data` in the project."""
    if data is not None:
        return data
    return (project if project.is_dir() else project.parent) / "data"


def clock_of(speed: float, start: datetime | None) -> Clock:
    """The machine's clock, or one that runs `speed` times as fast and begins at `start` (UTC).

    Raises UsageError for a speed that is none.
    """
    if speed == 1 and start is None:
        return SystemClock()
    try:
        return ScaledClock(speed, None if start is None else start.replace(tzinfo=UTC).timestamp())
    except ValueError as error:
        raise UsageError(str(error)) from None


def check_project_path(project: Path) -> Path:
    """Raise UsageError where there is no project at `project`; finish a restore of it that was interrupted."""
    if finish_interrupted(project):
        click.echo(f"a restore of {project} had been interrupted; it is finished now", err=True)
    if not project.exists():
        raise UsageError(f"there is nothing at {project}; `solarflow new {project}` makes a project there")
    if project.is_dir() and not (project / "flows.json").exists():
        raise UsageError(
            f"{project.resolve()} holds no flows.json; name a project folder or a Node-RED flow file, or make a "
            "project with `solarflow new DIR`"
        )
    return project


class RunningInstance:
    """The way to the program that has a data folder."""

    def __init__(self, data: Path) -> None:
        """Raise UsageError where none runs."""
        holder = DataFolder.holder(data)
        if holder is None:
            raise UsageError(f"nothing runs on the data folder {data}; start it with `solarflow run`")
        if holder.port is None:
            raise UsageError(f"process {holder.pid} has the data folder {data} but answers on no port (yet); try again")
        self.url = f"http://127.0.0.1:{holder.port}"
        self._token = (data / TOKEN_FILE).read_text().strip()

    @classmethod
    def find(cls, data: Path) -> RunningInstance | None:
        """The running instance, or None."""
        if not data.is_dir() or DataFolder.holder(data) is None:
            return None
        return cls(data)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask, and return the JSON answer.

        Raises SolarFlowError with the instance's own words where it refuses, ConnectionLostError where it is not
        there.
        """
        try:
            response = urllib3.request(
                method, self.url + path, timeout=30, retries=False,
                body=None if body is None else json.dumps(body).encode(),
                headers={"authorization": f"Bearer {self._token}", "content-type": "application/json"},
            )  # fmt: skip
        except urllib3.exceptions.HTTPError as error:
            raise ConnectionLostError(f"the running instance at {self.url} does not answer: {error}") from error
        try:
            answer = response.json()
        except ValueError:
            answer = {"error": response.data.decode(errors="replace")[:500]}
        if response.status >= 400:
            raise SolarFlowError(str(answer.get("error", f"the running instance answered {response.status}")))
        return answer


def wait_for_end(every: Callable[[], None], seconds: float = 1.0) -> None:
    """Wait for Ctrl-C or SIGTERM, calling `every` about each second."""
    ended = threading.Event()

    def end(*_: Any) -> None:
        if ended.is_set():  # a second time: at once
            raise SystemExit(130)
        ended.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        while not ended.wait(seconds):
            every()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
