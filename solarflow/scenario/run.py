"""Runs a scenario: its flows in a real engine, in virtual time, in the world that it describes."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial, singledispatchmethod
from typing import Any
from zoneinfo import ZoneInfo

from solarflow.errors import SolarFlowError
from solarflow.flowbench import FlowBench
from solarflow.flowfile import FlowFile, Project, flow_of
from solarflow.registry import Registry
from solarflow.scenario.compare import Row, compare
from solarflow.scenario.course import value_at
from solarflow.scenario.devices import SimulatedRelay
from solarflow.scenario.events import Event
from solarflow.scenario.expectations import Shows
from solarflow.scenario.files import Case
from solarflow.scenario.model import Scenario
from solarflow.scenario.model import World as Given
from solarflow.scenario.parts import Timed
from solarflow.scenario.steps import (
    ApproveStep,
    BrokerStep,
    DeviceStep,
    HttpStep,
    InjectStep,
    MeterStep,
    MqttStep,
    PressStep,
    RestartStep,
    SetStep,
)  # fmt: skip
from solarflow.scenario.world import BEFORE, FIRST, LAST, World, WorldHomes
from solarflow.testing import START

CHECKPOINT_S = 1.0
"""A killed engine has saved what is older than this."""
SLACK_S = 1e-6
"""Times are sums of floats."""


@dataclass(slots=True)
class Outcome:
    """What came of a scenario."""

    file: str
    name: str
    rows: list[Row] = field(default_factory=list)
    """What was expected and what came, side by side, in order of time."""
    events: list[Event] = field(default_factory=list)
    """All that came."""
    error: str = ""
    """Why it could not be played to its end."""
    seconds: float = 0.0
    """Real time."""

    @property
    def passed(self) -> bool:
        """Whether all is as expected."""
        return not self.error and all(row.fits for row in self.rows)


def run(case: Case, project: Project, registry: Registry) -> Outcome:
    """Play a scenario, and compare what comes with what is expected."""
    loaded, scenario = case
    assert loaded.model is not None  # noqa: S101 - the caller has looked at its problems
    begun = time.perf_counter()
    outcome = Outcome(loaded.file, scenario.name)
    given = loaded.model.world_of(scenario)
    try:
        outcome.events = _Play(loaded.flows, given, scenario, project, registry).play()
    except SolarFlowError as error:
        outcome.error = str(error)
    else:
        outcome.rows = compare(scenario, outcome.events)
    outcome.seconds = time.perf_counter() - begun
    return outcome


def start_of(given: Given, timezone: str) -> float:
    """When it begins, in UTC seconds; a time without offset is local time."""
    if given.start is None:
        return START
    moment = datetime.fromisoformat(given.start)
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(timezone))).timestamp()


class _Bench(FlowBench):
    """A bench in a world that notes what happens, over parts of a project, with changed properties."""

    def __init__(
        self, project: Project, registry: Registry, world: World, settings: Mapping[str, Any],
        environ: Mapping[str, str],
    ) -> None:  # fmt: skip
        self._parts = project
        self._world = world
        self._begun = False
        self.changes: dict[str, dict[str, Any]] = {}
        super().__init__(
            project.manifest, registry, settings=settings, start=world.start, watch=(), store=world.store,
            environ=environ, credentials=project.credentials,
        )  # fmt: skip

    def _begin(self) -> None:
        if not self._begun:  # the world must be there before the first node begins
            self._begun = True
            self._world.now = lambda: self.now
            self.mqtt, self.http = self._world.mqtt, self._world.http
            self.alerts, self.homes = self._world.alerts, self._world.homes
        super()._begin()

    def _project(self) -> Project:
        files = tuple(self._changed(flow) for flow in self._parts.files)
        return replace(self._parts, files=files, settings=dict(self._parts.settings))

    def _changed(self, flow: FlowFile) -> FlowFile:
        if not any(node.get("id") in self.changes for node in flow.nodes):
            return flow
        nodes = [_with(node, self.changes.get(str(node.get("id")), {})) for node in flow.nodes]
        return flow_of(nodes, flow.file)

    def _hear(self, kind: str, what: Mapping[str, Any]) -> None:
        super()._hear(kind, what)
        if kind == "error":
            self._world.note("fails", what["node"], error=what["text"])

    def halt(self, *, killed: bool) -> None:
        """End the engine; `killed`: what it did since the last checkpoint is lost."""
        if not killed:
            self.engine.stop()
            self.checkpoint()
        for connection in list(self.mqtt.connections):
            connection.close()
        self.http.routes.clear()

    def resume(self) -> None:
        """Begin another engine with what was saved."""
        self._begin()


def _with(node: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A node with changed properties. Raises SolarFlowError where there is no such place in it."""
    changed = json.loads(json.dumps(node))
    for path, value in changes.items():
        *steps, last = path.split(".")
        place: Any = changed
        try:
            for step in steps:
                place = place[int(step) if isinstance(place, list) else step]
            if isinstance(place, list):
                place[int(last)] = value
            else:
                place[last] = value
        except (KeyError, IndexError, ValueError, TypeError):
            raise SolarFlowError(f"set: the node '{node.get('id')}' has nothing at {path}; see its file") from None
    return dict(changed)


class _Play:
    """One scenario at work."""

    def __init__(
        self, flows: tuple[FlowFile, ...], given: Given, scenario: Scenario, project: Project, registry: Registry
    ) -> None:
        self.scenario = scenario
        settings = {**project.settings, **given.settings}
        timezone = str(settings.get("timezone") or "UTC")
        self.zone = ZoneInfo(timezone)
        self.world = World(start_of(given, timezone), lambda: 0.0)
        self.world.store.fill(given.store, self.world.start, self.zone)
        self.homes = self.world.homes = WorldHomes(self.world, given.homes)
        self.relays = {
            device.relay: SimulatedRelay(device, self.world.later, self._say, self._switched)
            for device in given.devices
        }
        self.world.on_command = {f"{relay.topic}/set": relay.hear for relay in self.relays.values()}
        self.bench = _Bench(replace(project, files=flows), registry, self.world, given.settings, given.env)

    def play(self) -> list[Event]:
        """Let everything happen; what came."""
        self._plan()
        end = self.scenario.ends_at
        while True:
            t = self.world.agenda.next_t
            is_next = t is not None and t <= end + SLACK_S
            if self._engine_first(t if is_next and t is not None else end):
                continue
            if t is None or not is_next:
                break
            self._move_to(t)
            self.world.agenda.pop()()
            if self.world.engine_is_up:
                self.bench.engine.drain()
        self._move_to(end)
        return self.world.events

    def _engine_first(self, t: float) -> bool:
        """Let the engine's next timers fire, if they are due by `t`: what follows from them may come before `t`."""
        if not self.world.engine_is_up:
            return False
        wait = self.bench.engine.timers.wait()
        if wait is None or self.bench.now + wait > t + SLACK_S:
            return False
        self.bench.advance(wait)
        return True

    def _move_to(self, t: float) -> None:
        moment = max(self.world.start + t, self.bench.clock.now())
        if self.world.engine_is_up:
            self.bench.engine.advance_to(moment)
        else:
            self.bench.clock.move_to(moment)

    # -- planning -----------------------------------------------------------------------------------------------

    def _plan(self) -> None:
        agenda = self.world.agenda
        for step in self.scenario.given:
            act = partial(self._do, step)
            for t in step.moments:
                if isinstance(step, RestartStep) and step.restart == "killed":
                    agenda.add(max(0.0, t - CHECKPOINT_S), self._checkpoint)
                agenda.add(t, act, FIRST)
        for one in self.scenario.then:
            if isinstance(one, Shows):
                for t in one.moments:
                    agenda.add(t, partial(self._look, one), LAST)

    def _checkpoint(self) -> None:
        if self.world.engine_is_up:
            self.bench.checkpoint()

    def _look(self, one: Shows) -> None:
        home = one.home or ""
        self.world.note("shows", one.shows, home, status=self.bench.status(one.shows, home))

    # -- what is given ------------------------------------------------------------------------------------------

    def _say(self, topic: str, payload: Any) -> None:
        self.world.publish(topic, json.dumps(payload).encode())

    def _switched(self, relay: str, on: bool) -> None:
        self.world.note("relay", relay, goes="ON" if on else "OFF")

    def _content(self, step: MqttStep | HttpStep, value: Any) -> bytes:
        if step.text is not None:
            return step.text.encode()
        if isinstance(step, MqttStep) and step.day is not None:
            now = self.bench.clock.now()
            value = {**(value or {}), **{key: value_at(day, now, self.zone) for key, day in step.day.items()}}
        if step.age is not None:
            value = {**value, "ts": self.bench.clock.now() - step.age}
        return json.dumps(value).encode()

    @singledispatchmethod
    def _do(self, step: Timed) -> None:
        """Let a step happen."""
        raise TypeError(f"there is no step of the kind {step.kind}")

    @_do.register
    def _(self, step: MqttStep) -> None:
        self.world.publish(step.mqtt, self._content(step, step.payload), step.retain)

    @_do.register
    def _(self, step: HttpStep) -> None:
        has_body = step.text is not None or step.body is not None
        headers = {"content-type": "application/json"} if has_body else {}
        body = self._content(step, step.body) if has_body else b""
        self.world.http.ask(step.http, body, {**headers, **{k.lower(): v for k, v in step.headers.items()}})

    @_do.register
    def _(self, step: MeterStep) -> None:
        drawn_w = sum(relay.draws_w for relay in self.relays.values() if relay.home == step.meter)
        payload = {"produzione_w": step.production_w, "consumo_w": step.consumption_w + drawn_w}
        self._say(f"comunita/{step.meter}/bilancio", payload)

    @_do.register
    def _(self, step: InjectStep) -> None:
        if self.world.engine_is_up:
            self.bench.inject(step.inject, step.message)

    @_do.register
    def _(self, step: PressStep) -> None:
        if self.world.engine_is_up:
            self.bench.trigger(step.press)

    @_do.register
    def _(self, step: RestartStep) -> None:
        if not self.world.engine_is_up:
            return
        self.bench.halt(killed=step.restart == "killed")
        self.world.engine_is_up = False
        self.world.later(step.down, self._resume, BEFORE)

    def _resume(self) -> None:
        self.world.engine_is_up = True
        self.bench.resume()

    @_do.register
    def _(self, step: BrokerStep) -> None:
        up = step.broker == "up"
        self.world.mqtt.set_up(up)
        if up:  # devices that come back say how they stand
            for relay in self.relays.values():
                relay.report()

    @_do.register
    def _(self, step: SetStep) -> None:
        for node, properties in step.set.items():
            self.bench.changes.setdefault(node, {}).update(properties)
        if self.world.engine_is_up:
            self.bench.deploy()

    @_do.register
    def _(self, step: DeviceStep) -> None:
        self.relays[step.device].become(step.becomes)

    @_do.register
    def _(self, step: ApproveStep) -> None:
        self.homes.approve(step.approve)
