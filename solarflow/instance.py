"""One running installation: project, data folder, brokers and engine put together; what `solarflow run` starts.

The web server is handed in by whoever starts it: nothing here knows of pages.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from solarflow.broker import BrokerSettings, EmbeddedBroker
from solarflow.broker_rights import Rights, hash_secret
from solarflow.clock import Clock, ScaledClock, SystemClock
from solarflow.engine import Deployment, DeployMode, Engine, Limits
from solarflow.errors import FlowError, Problem, StoreError
from solarflow.flowfile import Project
from solarflow.graph import check_project
from solarflow.http_routes import HttpRoutes
from solarflow.live import LiveEngine
from solarflow.live_mqtt import LiveMqtt
from solarflow.manifest import Settings, load_project
from solarflow.mqtt import BrokerOptions
from solarflow.plan import Plan
from solarflow.registry import Registry, load_registry
from solarflow.services import Services
from solarflow.store import DataFolder
from solarflow.told_alerts import ToldAlerts

log = logging.getLogger("solarflow")
T = TypeVar("T")

EMBEDDED = "embedded"
TOKEN_FILE = "access-token"  # noqa: S105 - a file's name
BROKER_USERS_FILE = "broker-users.json"
AHEAD_S = 300.0
"""Data from so far ahead of the clock are told at the start."""


@dataclass(frozen=True, slots=True)
class Options:
    """How an installation is started."""

    project: Path
    data: Path
    broker: str = EMBEDDED
    """"embedded", or `mqtt://…` or `mqtts://…`."""
    broker_port: int = 1883
    """The port of the embedded broker; 0 takes a free one."""
    clock: Clock = field(default_factory=SystemClock)
    safe: bool = False
    """Load and show everything, start nothing."""
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))


class Instance:
    """A running installation. `start`, then `deploy` as often as files change, then `stop`."""

    def __init__(self, options: Options, registry: Registry | None = None) -> None:
        self.options = options
        self.registry = registry if registry is not None else load_registry()
        self.clock = options.clock
        self.started_at = time.time()
        self.project: Project | None = None
        self.problems: list[Problem] = []
        self.deployed_at = 0.0
        self.folder: DataFolder | None = None
        self.broker: EmbeddedBroker | None = None
        self.broker_options: BrokerOptions | None = None
        self.rights = Rights()
        self.services = Services()
        self.alerts: ToldAlerts | None = None
        self.live = LiveEngine(self._make_engine, save=self._save, opening=self._open, closing=self._close)
        self.http = HttpRoutes(self.live.call)
        self.mqtt = LiveMqtt(self._default_broker)
        self.token = ""
        self._plan: Plan | None = None
        self._maintained = 0.0
        self._told: dict[tuple[str, str], str] = {}
        self._deploying = threading.Lock()

    @property
    def engine(self) -> Engine:
        """The engine; only to be touched on its own thread, see `call`."""
        return self.live.engine

    def call(self, function: Callable[[], T], timeout_s: float = 5.0) -> T:
        """Run `function` on the engine's thread; see `solarflow.live.Inbox.call`."""
        return self.live.call(function, timeout_s)

    # -- start and stop -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Check the project, take the data folder, start broker and engine, deploy.

        Raises FlowError where the project has errors, StoreError where the data folder cannot be used, UsageError
        where the broker cannot be started. Then nothing runs and nothing was changed.
        """
        self._take(*self._check())
        if self.options.broker != EMBEDDED:
            self.broker_options = BrokerOptions.from_url(self.options.broker)
        self.live.start()

    def stop(self) -> None:
        """Stop everything and save."""
        self.live.stop()

    def _check(self) -> tuple[Project, list[Problem], Plan]:
        project = load_project(self.options.project, self.registry, self.options.environ)
        checked = check_project(project, self.registry, self.options.environ)
        if checked.plan is None:
            raise FlowError(checked.problems)
        return project, list(checked.problems), checked.plan

    def _take(self, project: Project, problems: list[Problem], plan: Plan) -> None:
        """From now on this is what runs."""
        self.project, self.problems, self._plan = project, problems, plan

    def _make_engine(self, live: LiveEngine) -> Engine:
        return Engine(
            self.registry, self.clock, self.services, executor=live.executor, call_back=live.call_back,
            environ=self.options.environ, limits=Limits(),
        )  # fmt: skip

    async def _open(self) -> None:
        plan = self._plan
        assert plan is not None  # noqa: S101 - made by start
        folder = DataFolder(self.options.data, raw_days=Settings.model_validate(dict(plan.settings)).raw_days)
        self.folder = folder
        self.token = _access_token(self.options.data / TOKEN_FILE)
        if self.options.broker == EMBEDDED:
            await self._start_broker()
        services = self.services
        services.mqtt, services.http = self.mqtt, self.http
        services.store, services.homes = folder.telemetry, folder.homes
        services.alerts = self.alerts = ToldAlerts(folder.alerts)
        self.engine.on_event.append(self._tell_relays)
        kept = folder.telemetry.load_state()
        self._follow_on(kept.saved_at)
        self.engine.restore(kept)
        if self.options.safe:
            log.warning("started in safe mode: the flows are loaded and shown, nothing runs")
        else:
            self._apply(plan, "full")

    def _follow_on(self, saved_at: float) -> None:
        """See that the time goes on where the data end: in scaled time they may well lie ahead of the machine's."""
        ahead_s = saved_at - self.clock.now()
        until = datetime.fromtimestamp(saved_at, UTC).isoformat(" ", "seconds").removesuffix("+00:00")
        if isinstance(self.clock, ScaledClock) and ahead_s > 0:
            self.clock.go_on_from(saved_at)
            log.info("the clock goes on at %s UTC, where the data end", until)
        elif ahead_s > AHEAD_S:
            log.warning(
                "the data were saved at %s UTC, which is ahead of the clock: after a run with --speed take another "
                "data folder; else set this machine's clock", until,
            )  # fmt: skip

    async def _start_broker(self) -> None:
        users = read_broker_users(self.options.data)
        for user, secret_hash in users.items():
            self.rights.set_user(user, secret_hash, user)
        secret = secrets.token_urlsafe(16)
        self.rights.set_user("engine", hash_secret(secret))
        settings = BrokerSettings(port=self.options.broker_port, anonymous=not users)
        self.broker = EmbeddedBroker(settings, self.rights)
        await self.broker.start()
        self.broker_options = BrokerOptions("127.0.0.1", self.broker.port, username="engine", password=secret)

    def _default_broker(self) -> BrokerOptions:
        assert self.broker_options is not None  # noqa: S101 - set before the first deploy
        return self.broker_options

    def _apply(self, plan: Plan, mode: DeployMode) -> Deployment:
        before, settings = self.services.settings, Settings.model_validate(dict(plan.settings))
        # Nodes read the settings when they are made: all must see the new ones. They keep their state.
        if self.engine.running and before != plan.settings:
            mode = "full"
        self.services.settings = plan.settings
        try:
            result = self.engine.deploy(plan, mode)
        except BaseException:
            self.services.settings = before
            raise
        self.engine.limits = Limits(max_hops=settings.max_hops)
        if self.folder is not None:
            self.folder.telemetry.raw_days = settings.raw_days
        self._told = {at: word for at, word in self._told.items() if at[0] in plan.nodes}
        self.deployed_at = self.clock.now()
        return result

    async def _close(self) -> None:
        await self.mqtt.wait_closed()
        if self.broker is not None:
            await self.broker.stop()
        if self.folder is not None:
            try:
                await asyncio.to_thread(lambda: None)  # let cancelled tasks of the broker end before the files close
                self.folder.close()
            except StoreError as error:
                log.error("%s", error)
            self.folder = None

    def _save(self, changes: Any) -> None:
        folder = self.folder
        if folder is None:
            return
        folder.commit(changes)
        if self.alerts is not None:
            self.alerts.retry()
        now = time.monotonic()
        if now - self._maintained > 60 or self._maintained == 0:
            # A slice at a time: the next checkpoint goes on where something is left.
            self._maintained = now if folder.maintain(self.clock.now()) == 0 else self._maintained

    def _tell_relays(self, kind: str, what: Mapping[str, Any]) -> None:
        """A line in the log where a relay, or what else the first page shows on a board, goes on or off."""
        if kind != "status":
            return
        node, status = self.engine.nodes.get(what["node"]), what["status"]
        if node is None or not node.board or not status.key:
            return
        word = status.text.partition(":")[0]
        before = self._told.get((node.id, status.key))
        self._told[node.id, status.key] = word
        if before is not None and before != word:
            log.info("%s  %s %s", status.key, node.name or node.id, status.text, extra={"about": node})

    # -- while it runs ------------------------------------------------------------------------------------------

    def deploy(self, mode: DeployMode = "nodes") -> Deployment:
        """Take the project's files as they are now. Callable from any thread.

        Raises FlowError where they have errors: then everything goes on as it was.
        """
        with self._deploying:  # two at once: the later one reads the files after the earlier one has applied its own
            checked = self._check()
            result = self.call(lambda: self._apply(checked[2], mode))
            self._take(*checked)
        return result


def read_broker_users(data: Path) -> dict[str, str]:
    """The embedded broker's users (homes) with the hashes of their secrets.

    Raises StoreError where the file is damaged.
    """
    path = data / BROKER_USERS_FILE
    try:
        users = json.loads(path.read_text())
        if not isinstance(users, dict) or not all(isinstance(v, str) for v in users.values()):
            raise ValueError("not an object of texts")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path} cannot be read ({error}); restore it from a backup, or delete it and give every home a new "
            "credential with `solarflow homes credential`"
        ) from error
    return users


def write_broker_user(data: Path, user: str, secret_hash: str) -> None:
    """Keep a home's new secret (its hash) for the embedded broker."""
    users = {**read_broker_users(data), user: secret_hash}
    path = data / BROKER_USERS_FILE
    beside = path.with_suffix(".new")
    beside.touch(mode=0o600)
    beside.write_text(json.dumps(users, indent=2, sort_keys=True) + "\n")
    beside.replace(path)


def _access_token(path: Path) -> str:
    """The token of commands and of visitors from other machines; made at the first start, readable by the owner."""
    try:
        token = path.read_text().strip()
        if token:
            return token
    except FileNotFoundError:
        pass
    token = secrets.token_urlsafe(24)
    path.touch(mode=0o600)
    path.write_text(token + "\n")
    return token
