"""A replay: flows run over recorded time, everything they do is captured, and what came of it is counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, NamedTuple, TextIO

from solarflow.compiler import Cell
from solarflow.errors import UsageError
from solarflow.http_fetch import Request
from solarflow.mqtt.topics import TopicTemplate
from solarflow.offline import OfflineHttp, OfflineMessage
from solarflow.plan import Plan
from solarflow.registry import Registry
from solarflow.replay.course import LEFT_OUT, Course, Hook, VirtualBroker
from solarflow.replay.ledger import Ledger
from solarflow.replay.plant import LoadSpec, Plant
from solarflow.replay.recording import Reading
from solarflow.replay.wire import COMMAND, ENGINE_SAYS, canonical, value_of
from solarflow.replay.world import RecordedAnswers, ReplayAlerts, ReplayExecutor, ReplayHomes, ReplayStore
from solarflow.services import Services
from solarflow.store import DataFolder, Home, SeriesReader

MAX_GAP_S = 5400.0
"""Hourly recordings have none, and one missing hour is one."""
RAW_DAYS = 36_500.0


class NodeCounts(NamedTuple):
    """What went through one node."""

    id: str
    type: str
    name: str
    flow: str
    received: int
    sent: int
    errors: int
    last_error: str
    last_error_at: float | None


@dataclass(frozen=True, slots=True)
class Options:
    """How a replay runs."""

    relays: Literal["simulated", "recorded"] = "simulated"
    """Whether relays obey the flows, or are as they were recorded, whatever the flows say."""
    thermostats: bool = False
    """Whether loads called boiler, ev and softener stop by themselves when they have had enough."""
    max_gap_s: float = MAX_GAP_S
    """No energy is counted over a longer time without a reading."""
    tracks: bool = False
    """Whether to keep the powers for a plot."""


class Replay:
    """One run of a plan over recorded readings. `capture` gets a line of JSON for everything that left the flows."""

    def __init__(
        self,
        registry: Registry,
        plan: Plan,
        homes: Iterable[Home] | None = None,
        options: Options | None = None,
        *,
        capture: TextIO | None = None,
        past: SeriesReader | None = None,
        answers: RecordedAnswers | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """`past` is the store as it was: what the flows read of it is as of virtual now."""
        self.plan = plan
        self.options = options if options is not None else Options()
        self.homes = ReplayHomes(homes)
        self.alerts = ReplayAlerts(self._tell)
        self.broker = VirtualBroker(self._published)
        self.ledger = Ledger(self.options.max_gap_s, tracks=self.options.tracks)
        simulated = self.options.relays == "simulated"
        self.plant = self._make_plant() if simulated else None
        self.captured: dict[str, int] = {}
        """How many lines of each kind were captured."""
        self.requests_refused = 0
        self.left_out: dict[str, int] = {}
        """Recorded messages that were not given to the flows, by their kind."""
        self.cpu_s = 0.0
        self.start = self.end_ts = 0.0
        self.course: Course | None = None
        self.nodes: list[NodeCounts] = []
        """What went through each node, when the replay is over."""
        self._over = False  # what a flow says because of that is nothing that happened
        self._registry = registry
        self._capture = capture
        self._past = past
        self._answers = answers
        self._environ = environ
        self._declared = _loads_of_flows(plan)

    def _make_plant(self) -> Plant:
        zone = str(self.plan.settings.get("timezone") or "UTC")
        plant = Plant(self._loads_of, self._report, models=self.options.thermostats, timezone=zone)
        plant.switched = self._switched
        return plant

    # -- the run ----------------------------------------------------------------------------------------------------

    def run(
        self, readings: Iterable[Reading], start: float | None = None, progress: Callable[[], None] = lambda: None
    ) -> None:
        """Go through all readings. The clock begins at `start` (UTC seconds), or at the first of them.

        Raises UsageError where there are none, and what the readings raise.
        """
        begun = time.process_time()
        source = iter(readings)
        first = next(source, None)
        if first is None:
            raise UsageError("the recording holds no message in the time that was asked for")
        self.start = first[0] if start is None else min(start, first[0])
        with DataFolder.in_memory(raw_days=RAW_DAYS) as folder:
            course = self._set_out(folder)
            try:
                course.deploy(self.plan)
                course.feed(chain((first,), source), progress)
                self.end_ts = course.clock.now()
                if self.plant is not None:
                    self.plant.finish(self.end_ts)
                self.nodes = [_counts(cell, self.plan) for cell in course.engine.cells.values()]
                self.cpu_s = time.process_time() - begun
            finally:
                self._over = True
                course.engine.stop()

    def _set_out(self, folder: DataFolder) -> Course:
        services = Services(mqtt=self.broker, http=OfflineHttp(), homes=self.homes, alerts=self.alerts)
        services.settings = self.plan.settings
        course = self.course = Course(
            self._registry, services, self.broker, self.start, environ=self._environ, devices=self.plant,
            hook_of=self._hook_of, executor=ReplayExecutor(lambda: self.now, self._answers, self._asked),
        )  # fmt: skip
        services.store = ReplayStore(folder.telemetry, course.clock, self.start, self._past)
        course.engine.on_event.append(self._hear)
        if self.plant is not None:
            self.plant.on_earlier = course.earlier
        return course

    def end(self) -> None:
        """Stop after the message under way; callable from a signal handler."""
        if self.course is not None:
            self.course.end()

    @property
    def complete(self) -> bool:
        """Whether it was not stopped early."""
        return self.course is not None and not self.course.ended

    @property
    def now(self) -> float:
        """Virtual now, UTC seconds."""
        return self.course.clock.now() if self.course is not None else self.start

    # -- what comes in ----------------------------------------------------------------------------------------------

    def _hook_of(self, topic: str) -> Hook | None:
        for said in ENGINE_SAYS:
            if said.match(topic):
                return self._leave_out(said)
        if self.plant is not None and (hook := self.plant.hook_of(topic)) is not None:
            return hook
        return self.ledger.hook_of(topic, self.plant)

    def _leave_out(self, said: TopicTemplate) -> Hook:
        def leave_out(_now: float, _payload: Any) -> Any:
            self.left_out[said.text] = self.left_out.get(said.text, 0) + 1
            return LEFT_OUT

        return leave_out

    # -- what goes out ----------------------------------------------------------------------------------------------

    def _published(self, message: OfflineMessage) -> None:
        if self._over:
            return
        if self._capture is None:
            self.captured["mqtt"] = self.captured.get("mqtt", 0) + 1
        else:
            said = {"topic": message.topic, "payload": value_of(message.payload)}
            self._tell("mqtt", {**said, "retain": True} if message.retain else said)
        if self.plant is not None and (found := COMMAND.match(message.topic)):
            self.plant.command(found["home"], found["relay"], message.payload, self.now)

    def _report(self, topic: str, payload: bytes) -> None:
        """A simulated device answers: the flows hear it when the work of the moment is done."""
        self.broker.returning.append(OfflineMessage(topic, payload))

    def _switched(self, home: str, now: float) -> None:
        plant = self.plant
        if plant is not None:
            self.ledger.account(home).switched(now, plant.added_w(plant.site(home), now))

    def _hear(self, kind: str, what: Mapping[str, Any]) -> None:
        if kind == "debug":
            said = ("node", "name", "home", "topic", "value")
            self._tell("debug", {name: what[name] for name in said if name in what})

    def _tell(self, sink: str, fields: Mapping[str, Any]) -> None:
        """Capture what left the flows, with its virtual time."""
        if self._over:
            return
        self.captured[sink] = self.captured.get(sink, 0) + 1
        if self._capture is not None:
            self._capture.write(canonical({**fields, "sink": sink, "ts": round(self.now, 3)}) + "\n")

    def _asked(self, request: Request, answered: bool) -> None:
        self.requests_refused += not answered
        self._tell("http", {"method": request.method, "url": request.url, "answered": answered})

    # -- loads ------------------------------------------------------------------------------------------------------

    def _loads_of(self, home: str) -> list[LoadSpec]:
        """A home's loads, or where it declares none those that the flows would switch for it."""
        registered = self.homes.get(home)
        if registered is not None and registered.loads:
            return [LoadSpec(str(load.relay), load.name, load.power_w) for load in registered.loads]
        return self._declared


def _loads_of_flows(plan: Plan) -> list[LoadSpec]:
    """The loads that stand in the nodes' own properties: entries of `loads` with a relay, a name and a power."""
    found: dict[str, LoadSpec] = {}
    for spec in plan.nodes.values():
        for load in getattr(spec.config, "loads", ()):
            relay, power_w = getattr(load, "relay", None), getattr(load, "power_w", None)
            if relay is not None and isinstance(power_w, (int, float)):
                found.setdefault(str(relay), LoadSpec(str(relay), str(getattr(load, "name", "")), float(power_w)))
    return list(found.values())


def _counts(cell: Cell, plan: Plan) -> NodeCounts:
    node = cell.node
    flow = plan.flows.get(plan.nodes[node.id].scopes[-1]) if plan.nodes[node.id].scopes else None
    error_at = cell.last_error_at if cell.errors else None
    return NodeCounts(
        node.id, node.type, node.name, flow.label if flow else "", cell.received, cell.sent, cell.errors,
        cell.last_error, error_at,
    )  # fmt: skip
