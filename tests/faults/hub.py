"""A running installation to provoke: in this process (`Hub`), or in one of its own, to be killed (`HubProcess`)."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pkgutil
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

from embedded import BareClient

import solarflow.nodes
from solarflow.clock import Clock, SystemClock
from solarflow.instance import EMBEDDED, Instance, Options
from solarflow.registry import Registry
from solarflow.store import DataFolder
from solarflow.web.app import create_app
from solarflow.web.streams import Streams

from .projects import palette, stored

START_S = 30.0
QUIET = "SOLARFLOW_FAULTS_QUIET"
"""Set in the environment, processes log nothing."""
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["solarflow.instance", *(m.name for m in pkgutil.walk_packages(solarflow.nodes.__path__, "solarflow.nodes."))]
)


def until(holds: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """Poll until `holds()` is true and answer it; fails with `what` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not (value := holds()):
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.01)
    return value


class Hub:
    """An installation in this process. Use as a context manager."""

    def __init__(
        self, project: Path, broker: str = EMBEDDED, *, registry: Registry | None = None, clock: Clock | None = None,
        data: Path | None = None,
    ) -> None:  # fmt: skip
        self.data = data if data is not None else project.parent / "data"
        options = Options(project, self.data, broker, 0, clock if clock is not None else SystemClock())
        self.instance = Instance(options, registry if registry is not None else palette())
        self.client = create_app(self.instance, Streams(), pages=False).test_client()

    def __enter__(self) -> Self:
        self.instance.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.instance.stop()

    @property
    def port(self) -> int:
        options = self.instance.broker_options
        assert options is not None
        return options.port

    def health(self) -> dict[str, Any]:
        """What /health says."""
        answer = self.client.get("/health").get_json()
        assert isinstance(answer, dict)
        return answer

    def on_engine(self, function: Callable[[], Any]) -> Any:
        """Run something on the engine's thread."""
        return self.instance.call(function)

    def node(self, ident: str) -> Any:
        return self.instance.engine.nodes[ident]

    def inject(self, ident: str, **msg: Any) -> None:
        self.on_engine(lambda: self.instance.engine.inject(ident, msg))

    def connected(self) -> bool:
        """Whether every connection is up and the broker has answered for its subscriptions."""
        connections = self.instance.mqtt.connections
        return bool(connections) and all(
            self.on_engine(lambda c=c: c.connection.subscribed)  # type: ignore[misc]  # mypy and defaults of lambdas
            for c in list(connections)
        )

    def publisher(self, name: str = "meter") -> BareClient:
        """A client that sends whatever it is told to."""
        until(self.connected, 10, "the engine hears its broker")
        return BareClient(self.port, name)

    def proves_well(self, home: str, power_w: float, within_s: float = 5.0) -> float:
        """Publish a good reading of a home and wait until it is on the disk; the seconds that it took."""
        begun = time.monotonic()
        client = self.publisher(f"prove-{power_w}")
        try:
            client.publish(f"comunita/{home}/produzione", b'{"potenza_w": %d}' % power_w, qos=1, packet_id=1)
            client.read()  # PUBACK
            until(
                lambda: any(value == power_w for _, value in stored(self.data, home)), within_s,
                f"the good reading of {home} is stored",
            )  # fmt: skip
        finally:
            client.disconnect()
        return time.monotonic() - begun


class HubProcess:
    """An installation in a process of its own: it can be killed. Its actions are functions of the instance below."""

    def __init__(self, project: Path, broker: str, **options: Any) -> None:
        self.project, self.broker, self.options = project, broker, options
        self.data = project.parent / "data"
        self._process: Any = None
        self._pipe: Connection | None = None

    def start(self, expect: bool = True) -> Self:
        """Start it; returns when it runs. Fails with its own words where it does not, unless that is expected."""
        self._pipe, theirs = CONTEXT.Pipe()
        self._process = CONTEXT.Process(
            target=_serve, args=(self.project, self.data, self.broker, theirs, self.options), daemon=True
        )
        self._process.start()
        theirs.close()
        self.answer = self._receive(START_S)
        assert not expect or self.answer == "runs", self.answer
        return self

    def _receive(self, timeout_s: float) -> Any:
        assert self._pipe is not None
        if not self._pipe.poll(timeout_s):
            raise AssertionError(f"the hub's process did not answer within {timeout_s:g} s")
        try:
            return self._pipe.recv()
        except (EOFError, ConnectionError):
            return "it has ended"

    def do(self, action: str, *arguments: Any, timeout_s: float = 30.0) -> Any:
        """Run an action there."""
        assert self._pipe is not None
        self._pipe.send((action, arguments))
        return self._receive(timeout_s)

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    def kill(self) -> float:
        """SIGKILL; when, on the monotonic clock."""
        at = time.monotonic()
        os.kill(self.pid, signal.SIGKILL)
        self._process.join(10)
        return at

    def end(self) -> None:
        """Stop it in order."""
        self.do("stop")
        self._process.join(10)
        assert self._process.exitcode == 0

    def wait(self, timeout_s: float) -> int | None:
        """Its exit code; None while it runs."""
        self._process.join(timeout_s)
        return None if self._process.exitcode is None else int(self._process.exitcode)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            if self._process.is_alive():
                self._process.kill()
            self._process.join(10)


def _serve(project: Path, data: Path, broker: str, pipe: Connection, options: dict[str, Any]) -> None:
    if os.environ.get(QUIET):
        logging.disable(logging.CRITICAL)
    registry = palette()
    for node_type in options.get("types", ()):
        registry.add(node_type)
    instance = Instance(Options(project, data, broker, options.get("broker_port", 0)), registry)
    try:
        instance.start()
    except Exception as error:  # noqa: BLE001 - told to the test
        pipe.send(f"{type(error).__name__}: {error}")
        return
    pipe.send("runs")
    while True:
        while not pipe.poll(0.2):
            if instance.live.died:
                os._exit(3)  # as `solarflow run` does: whoever started it starts it again
        action, arguments = pipe.recv()
        try:
            answer = ACTIONS[action](instance, *arguments)
        except Exception as error:  # noqa: BLE001 - told to the test
            answer = f"{type(error).__name__}: {error}"
        pipe.send(answer)
        if action == "stop":
            return


def _connected(instance: Instance) -> bool:
    return instance.call(lambda: all(c.connection.subscribed for c in instance.mqtt.connections))


def _problems(instance: Instance) -> list[str]:
    client = create_app(instance, Streams(), pages=False).test_client()
    answer = client.get("/health").get_json()
    assert isinstance(answer, dict)
    return list(answer["problems"])


ACTIONS: dict[str, Callable[..., Any]] = {
    "stop": lambda instance: instance.stop(),
    "connected": _connected,
    "problems": _problems,
    "deploy": lambda instance, mode: instance.deploy(mode) and "deployed",
    "inject": lambda instance, node, msg: instance.call(lambda: instance.engine.inject(node, msg)),
    "errors": lambda instance, node: (instance.engine.cells[node].errors, instance.engine.cells[node].last_error),
    "let_go": lambda instance, node: instance.call(lambda: instance.engine.nodes[node].kept.clear()),
    "port": lambda instance: instance.broker_options.port,
    "lock_memory": lambda instance, more: _limit_memory(more),
}


def _limit_memory(more_bytes: int) -> int:
    """Let this process have so much more memory and no more; 0 or less: as much as it wants."""
    import resource

    if more_bytes <= 0:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        return 0
    with Path("/proc/self/statm").open() as file:
        used = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + more_bytes, resource.RLIM_INFINITY))
    return used


def open_alerts(data: Path, home: str) -> list[str]:
    """The codes of a home's open alerts, as they stand on the disk."""
    with DataFolder.read_only(data) as reader:
        return [alert.code for alert in reader.alerts.open_alerts() if alert.home == home]
