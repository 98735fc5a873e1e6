"""Homes with a meter and a relay, and an engine that looks after them: in virtual time, and in real time.

Both worlds have one face, so that a fault of the relays' safety is written once and provoked in both.
"""

from __future__ import annotations

import heapq
import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import paho.mqtt.client as paho
from brokers import Mosquitto

from solarflow.clock import VirtualClock
from solarflow.flowbench import FlowBench
from solarflow.offline import OfflineMessage
from solarflow.testing import START

from .hub import HubProcess, open_alerts
from .projects import BOILER, QUICK, SHIPPED, Times, edit, make_project, register, wires_of
from .relays import Relay
from .trial import Trial

RELAY = "relays-boiler"
REPORT_EVERY = 1.0
"""In TTL fifths: devices report each minute of a TTL of five."""


@dataclass
class House:
    """One home: what its meter would show without the boiler, and its relay."""

    id: str
    interval_s: float
    next_reading: float
    surplus_w: float = -500.0
    silent: bool = False
    relay: Relay = field(default_factory=Relay)
    last_reading: float = 0.0
    next_report: float = 0.0
    turned_at: float = 0.0
    """When the surplus was last changed."""

    def reading(self) -> dict[str, float]:
        boiler_w = BOILER["power_w"] if self.relay.on else 0
        if self.surplus_w >= 0:
            return {"produzione_w": self.surplus_w + 300, "consumo_w": 300 + boiler_w}
        return {"produzione_w": 0, "consumo_w": -self.surplus_w + boiler_w}


class World(ABC):
    """The face of both."""

    def __init__(self, trial: Trial, times: Times, **load: Any) -> None:
        self.trial, self.times, self.rng = trial, times, trial.rng
        self.houses: list[House] = []
        self.project = make_project(trial.folder, times.edits(**load))
        for number in range(trial.homes):
            interval_s = times.interval_s * self.rng.uniform(0.6, 1.0)
            self.houses.append(House(f"casa_{number:02}", interval_s, self.rng.uniform(0, interval_s)))
        trial.times = trial.homes

    @property
    @abstractmethod
    def t(self) -> float:
        """Seconds on the devices' clock."""

    @abstractmethod
    def run(self, seconds: float) -> None:
        """Let time pass."""

    @abstractmethod
    def kill(self) -> None:
        """The engine is dead, as after SIGKILL."""

    @abstractmethod
    def begin(self, ordered: bool = False) -> None:
        """Start the engine again."""

    @abstractmethod
    def end(self) -> None:
        """Stop the engine in order."""

    @abstractmethod
    def set_broker(self, up: bool) -> None:
        """Kill the broker, or bring it back."""

    @abstractmethod
    def deploy(self, mode: str) -> None:
        """Deploy with another `repeat_s` of relay-out, which nobody can see."""

    @abstractmethod
    def rewire(self, node: str, wires: list[list[str]]) -> list[list[str]]:
        """Deploy with other wires of a node; those that it had."""

    @abstractmethod
    def inject(self, node: str, **msg: Any) -> None:
        """Hand a node a message."""

    @abstractmethod
    def alerts(self, house: House) -> list[str]:
        """The open alerts of a home."""

    def wait(self, holds: Callable[[], bool], limit_s: float, what: str) -> float:
        """Let time pass until something holds; how long it took."""
        begin = self.t
        while not holds():
            assert self.t - begin < limit_s, f"not within {limit_s:g} s: {what}"
            self.run(0.02 * self.times.ttl_s / 6)
        return self.t - begin

    def all_on(self, but: tuple[House, ...] = ()) -> float:
        """Give every home a surplus and wait until its relay is on; how long that took at most."""
        for house in self.houses:
            if house not in but:
                self.set_surplus(house, 3000.0)
        return self.wait(
            lambda: all(house.relay.on for house in self.houses if house not in but), self.on_within_s, "all are on"
        )

    def set_surplus(self, house: House, surplus_w: float) -> None:
        house.surplus_w, house.turned_at = surplus_w, self.t

    @property
    def on_within_s(self) -> float:
        """From the beginning of a surplus to ON at most, whatever was before."""
        times = self.times
        waits = times.hold_s + times.min_off_s + times.readings_age_s + 3 * times.interval_s + times.settle_s
        return waits + 2 * times.repeat_s + 3 * times.slack_s

    def off_after(self, house: House, cause: float, within_s: float) -> None:
        """The relay is off by now, and went off within `within_s` of its cause."""
        off = house.relay.off_since(cause)
        assert off is not None, f"{house.id} is still on {self.t - cause:.1f} s after the cause"
        self.trial.recovered(off - cause, within_s + self.times.slack_s)


class SteppableClock(VirtualClock):
    """A virtual clock whose UTC somebody sets."""

    def step(self, seconds: float) -> None:
        self._now += seconds
        self._start += seconds


class VirtualWorld(World):
    """The shipped flows in virtual time, with the homes stepping beside it."""

    def __init__(self, trial: Trial, times: Times = SHIPPED, *, start: float = START, **load: Any) -> None:
        super().__init__(trial, times, **load)
        homes = [{"id": house.id, "peak_power_wp": 4000} for house in self.houses]
        self.bench = FlowBench(self.project, homes=homes, watch=(), start=start)
        self.bench.clock.__class__ = SteppableClock
        self.bench.mqtt.on_publish = self._commanded
        self._engine_up = self._broker_up = True
        self._order = count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._arrives: dict[str, float] = {}
        self._by_id = {house.id: house for house in self.houses}
        self._t = 0.0
        self._repeat_s = times.repeat_s

    @property
    def t(self) -> float:
        return self._t

    def _later(self, way: str, function: Callable[[], None]) -> None:
        """Messages take a while, and stay in order on each way: MQTT promises that for each client."""
        at = max(self._arrives.get(way, 0.0), self.t + self.rng.uniform(0.01, 1.0))
        self._arrives[way] = at
        heapq.heappush(self._due, (at, next(self._order), function))

    def _commanded(self, message: OfflineMessage) -> None:
        parts = message.topic.split("/")
        if parts[-1] == "set" and parts[2] == "rele" and parts[3] == "1":
            self._later(f"to {parts[1]}", lambda: self._obey(self._by_id[parts[1]], message.json))

    def _obey(self, house: House, payload: dict[str, Any]) -> None:
        if self._broker_up:
            self._tell(house, house.relay.hear(self.t, payload))

    def _tell(self, house: House, report: dict[str, Any] | None) -> None:
        if report is not None:
            self._later(house.id, lambda: self.deliver(f"comunita/{house.id}/rele/1", report))

    def deliver(self, topic: str, payload: Any, retain: bool = False) -> None:
        if self._engine_up and self._broker_up:
            self.bench.mqtt.deliver(topic, payload, retain=retain)

    def run(self, seconds: float) -> None:
        end = self._t + seconds
        while self._t < end - 1e-9:
            step = min(1.0, end - self._t)
            if self._engine_up:
                self.bench.advance(step)
            self._t += step
            while self._due and self._due[0][0] <= self._t:
                heapq.heappop(self._due)[2]()
            for house in self.houses:
                self._live(house)

    def _live(self, house: House) -> None:
        self._tell(house, house.relay.let_pass(self._t))
        if self._t >= house.next_reading:
            house.next_reading = self._t + house.interval_s
            if not house.silent:
                house.last_reading = self._t
                self.deliver(f"comunita/{house.id}/bilancio", house.reading())
        if self._t >= house.next_report:
            house.next_report = self._t + self.times.ttl_s / 5
            if not house.relay.deaf:
                self._tell(house, house.relay.report())

    def step_clock(self, seconds: float) -> None:
        """Set the wall clock; no time passes."""
        clock = self.bench.clock
        assert isinstance(clock, SteppableClock)
        clock.step(seconds)

    def kill(self) -> None:
        self.bench.checkpoint()
        self.run(self.rng.uniform(0, 1))  # which nobody saved
        self._engine_up = False
        self._stopped_at = self._t

    def end(self) -> None:
        self.bench.engine.stop()
        self.bench.checkpoint()
        self._engine_up = False
        self._stopped_at = self._t
        self.run(2)

    def begin(self, ordered: bool = False) -> None:
        self.bench.restart(self._t - self._stopped_at, killed=True)  # `end` has stopped it already
        self._engine_up = True

    def set_broker(self, up: bool) -> None:
        self._broker_up = up
        for connection in self.bench.mqtt.connections:
            connection.set_connected(up, "" if up else "gone")

    def deploy(self, mode: str) -> None:
        self._repeat_s = 60.0 if self._repeat_s == 55.0 else 55.0
        edit(self.project, "self-consumption", RELAY, repeat_s=self._repeat_s)
        self.bench.deploy(mode=mode)  # type: ignore[arg-type]  # one of the three

    def rewire(self, node: str, wires: list[list[str]]) -> list[list[str]]:
        before = wires_of(self.project, "self-consumption", node)
        edit(self.project, "self-consumption", node, wires=wires)
        self.bench.deploy()
        return before

    def inject(self, node: str, **msg: Any) -> None:
        self.bench.inject(node, msg)

    def alerts(self, house: House) -> list[str]:
        return [alert.code for alert in self.bench.alerts.alerts if alert.home == house.id and alert.closed_at is None]


class RealWorld(World):
    """The same flows with short times, in a process of their own, over a Mosquitto; the homes are an MQTT client."""

    def __init__(self, trial: Trial, times: Times = QUICK) -> None:
        super().__init__(trial, times)
        register(trial.folder / "data", [house.id for house in self.houses])
        self.broker = trial.enter(Mosquitto(trial.folder))
        self.hub = trial.enter(HubProcess(self.project, self.broker.url))
        self._by_topic = {f"comunita/{house.id}/rele/1/set": house for house in self.houses}
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._ended = threading.Event()
        self._repeat_s = times.repeat_s
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, "homes", reconnect_on_failure=True)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("comunita/+/rele/+/set")
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._obey
        self._client.connect("127.0.0.1", self.broker.port)
        self._client.loop_start()
        trial.stack.callback(self._client.loop_stop)
        trial.stack.callback(self._client.disconnect)
        assert self._ready.wait(10), "the homes are connected"
        self.connected()
        thread = threading.Thread(target=self._live, daemon=True)
        thread.start()
        trial.stack.callback(thread.join, 5)
        trial.stack.callback(self._ended.set)

    @property
    def t(self) -> float:
        return time.monotonic()

    def connected(self) -> None:
        """Wait until the engine hears its broker."""
        deadline = time.monotonic() + 10
        while self.hub.do("connected") is not True:
            assert time.monotonic() < deadline, "the engine hears its broker"
            time.sleep(0.02)

    def _obey(self, client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        house = self._by_topic.get(message.topic)
        if house is None or message.retain:
            return
        with self._lock:
            report = house.relay.hear(self.t, json.loads(message.payload))
        self._publish(f"comunita/{house.id}/rele/1", report)

    def _publish(self, topic: str, payload: Any) -> None:
        if payload is not None and self._client.is_connected():
            self._client.publish(topic, json.dumps(payload))

    def _live(self) -> None:
        while not self._ended.wait(0.01):
            now = self.t
            for house in self.houses:
                with self._lock:
                    report = house.relay.let_pass(now)
                    if now >= house.next_report and not house.relay.deaf:
                        house.next_report, report = now + self.times.ttl_s / 5, house.relay.report()
                self._publish(f"comunita/{house.id}/rele/1", report)
                if now >= house.next_reading:
                    house.next_reading = now + house.interval_s
                    if not house.silent:
                        house.last_reading = now
                        self._publish(f"comunita/{house.id}/bilancio", house.reading())

    def run(self, seconds: float) -> None:
        time.sleep(seconds)

    def kill(self) -> None:
        self.hub.kill()

    def end(self) -> None:
        self.hub.end()

    def begin(self, ordered: bool = False) -> None:
        self.hub.start()
        self.connected()

    def set_broker(self, up: bool) -> None:
        if up:
            self.broker.start()
        else:
            self.broker.kill()

    def deploy(self, mode: str) -> None:
        self._repeat_s = self.times.repeat_s if self._repeat_s != self.times.repeat_s else self.times.repeat_s - 0.05
        edit(self.project, "self-consumption", RELAY, repeat_s=self._repeat_s)
        assert self.hub.do("deploy", mode) == "deployed"

    def rewire(self, node: str, wires: list[list[str]]) -> list[list[str]]:
        before = wires_of(self.project, "self-consumption", node)
        edit(self.project, "self-consumption", node, wires=wires)
        assert self.hub.do("deploy", "nodes") == "deployed"
        return before

    def inject(self, node: str, **msg: Any) -> None:
        self.hub.do("inject", node, msg)

    def alerts(self, house: House) -> list[str]:
        return open_alerts(self.hub.data, house.id)


def world_of(kind: str) -> type[VirtualWorld] | type[RealWorld]:
    """By name."""
    return {"virtual": VirtualWorld, "real": RealWorld}[kind]
