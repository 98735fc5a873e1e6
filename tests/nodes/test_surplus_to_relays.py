"""The three together, with a home that obeys: surplus -> threshold-hold or load-priority -> relay-out -> the load."""

from itertools import pairwise

import pytest

from solarflow.clock import VirtualClock
from solarflow.engine import Engine
from solarflow.message import Message
from solarflow.node import Node
from solarflow.offline import OfflineAlerts, OfflineMqtt
from solarflow.plan import FlowSpec, NodeSpec, Plan
from solarflow.registry import load_registry
from solarflow.services import Services
from solarflow.store.changes import StateChanges
from solarflow.testing import START

HOME = "casa_A"
POWERS = {"1": 1500, "2": 2000}
PRIORITY = {
    "loads": [
        {"name": "boiler", "relay": 1, "power_w": 1500, "allowed_hours": ["08:00-20:00"], "max_per_day_s": 14_400},
        {"name": "ev", "relay": 2, "power_w": 2000, "allowed_import_w": 300},
    ],
    "max_age_s": 150,
}
RELAY = {"min_on_s": 300, "min_off_s": 300}


class Commands(Node):
    """Stands for `mqtt out`: hands commands to the house."""

    type = "commands"
    outputs = 0
    house = None

    def on_input(self, msg: Message) -> None:
        self.house.obey(msg, self.clock.now() - START)


class House:
    """A home whose meter shows what its relays do; each falls off when its TTL runs out."""

    def __init__(self):
        self.surplus_w = 0.0
        self.until = dict.fromkeys(POWERS)
        self.log = []
        self.answers = []
        self.deaf = set()

    def obey(self, msg, t):
        relay, payload = msg["topic"].split("/")[3], msg["payload"]
        if relay in self.deaf:
            return
        self._set(relay, t + payload["ttl_s"] if payload["stato"] == "ON" else None, t)
        self.answers.append((f"comunita/{HOME}/rele/{relay}", {"stato": payload["stato"]}))

    def _set(self, relay, until, t):
        if (until is None) != (self.until[relay] is None):
            self.log.append((t, relay, until is not None))
        self.until[relay] = until

    def let_pass(self, t):
        for relay, until in self.until.items():
            if until is not None and t >= until:
                self._set(relay, None, until)
                self.answers.append((f"comunita/{HOME}/rele/{relay}", {"stato": "OFF"}))

    @property
    def net_w(self):
        return self.surplus_w - sum(POWERS[relay] for relay, until in self.until.items() if until is not None)

    @property
    def on(self):
        return {relay for relay, until in self.until.items() if until is not None}


class World:
    """An engine with the flow, the house, and time: every 30 s the meter is read."""

    def __init__(self, decider, config):
        self.decider, self.config = decider, config
        self.house, self.clock, self.alerts = House(), VirtualClock(START), OfflineAlerts()
        self.kept = StateChanges(states={}, timers={}, context={})
        self.silent = False
        self._begin()

    def _begin(self):
        registry = load_registry()
        registry.add(type("HouseCommands", (Commands,), {"house": self.house}))
        self.engine = Engine(registry, self.clock, Services(alerts=self.alerts))
        self.engine.restore(self.kept)
        self.errors = []
        self.engine.on_event.append(lambda kind, what: kind == "error" and self.errors.append(what["text"]))
        relays = [f"relay{number}" for number in POWERS]

        def spec(id_, type_, properties, *wires):
            config = registry[type_].Config(**properties)
            return NodeSpec(
                id=id_, type=type_, name=id_, file="f.json", flow="f", scopes=("f",), groups=(), config=config,
                env={}, wires=wires, digest=repr(config),
            )  # fmt: skip

        nodes = [spec("decider", self.decider, self.config, tuple(relays))]
        nodes += [
            spec(
                relay, "relay-out", {**RELAY, "relay": relay[5:]}, ("commands",), ("decider",) if self._reports else ()
            )
            for relay in relays
        ]
        nodes.append(spec("commands", "commands", {}))
        queued = frozenset((relay, 1, "decider") for relay in relays if self._reports)
        self.engine.deploy(
            Plan(
                {n.id: n for n in nodes}, {"f": FlowSpec("f", "f", "f.json", nodes=tuple(n.id for n in nodes))}, queued
            )
        )

    @property
    def _reports(self):
        return self.decider == "load-priority"

    @property
    def t(self):
        return self.clock.now() - START

    def run(self, seconds, surplus_w=None):
        """Let time pass in steps of 10 s; answers come a step later, the meter is read every third."""
        if surplus_w is not None:
            self.house.surplus_w = surplus_w
        end = self.t + seconds
        while self.t < end:
            self.engine.advance_to(self.clock.now() + 10)
            self.house.let_pass(self.t)
            answers, self.house.answers = self.house.answers, []
            for topic, payload in answers:
                for number in POWERS:
                    self.engine.inject(f"relay{number}", {"topic": topic, "payload": payload})
            if self.t % 30 == 0 and not self.silent:
                self.engine.inject("decider", {"home": HOME, "payload": self.house.net_w})

    def die(self, down_s):
        """SIGKILL, and begin again after a while; the house goes on by itself."""
        self.checkpoint()
        self.clock.move_to(self.clock.now() + down_s)
        self.house.let_pass(self.t)
        self.house.answers.clear()
        self._begin()

    def checkpoint(self):
        def save(changes):
            for name in ("states", "timers", "context"):
                getattr(self.kept, name).update(getattr(changes, name))

        self.engine.checkpoint(save)


@pytest.fixture
def world():
    world = World("load-priority", PRIORITY)
    yield world
    assert world.errors == []


def test_five_minutes_of_surplus_switch_the_boiler_and_it_keeps_running_on_it(world):
    world.run(290, 2000)
    assert world.house.on == set()
    world.run(3600)
    assert world.house.on == {"1"}
    assert world.house.log == [(330, "1", True)]


def test_with_more_surplus_the_second_load_follows_and_goes_first(world):
    world.run(900, 5000)
    assert world.house.on == {"1", "2"}
    world.run(900, 2000)
    assert world.house.on == {"1"}
    world.run(900, 0)
    assert world.house.on == set()
    assert [entry[1:] for entry in world.house.log] == [("1", True), ("2", True), ("2", False), ("1", False)]


def test_a_silent_meter_puts_all_off_whatever_the_minimum(world):
    world.run(360, 2000)
    assert world.house.on == {"1"}
    world.silent = True
    world.run(160)
    assert world.house.on == set()


def test_an_hour_of_flapping_surplus_violates_no_minimum_time(world):
    for minute in range(60):
        world.run(60, 6000 if minute % 7 < 6 else -2000)
    assert world.house.log
    for relay in POWERS:
        times = [t for t, number, _ in world.house.log if number == relay]
        assert all(later - earlier >= 300 for earlier, later in pairwise(times))


def test_a_killed_engine_lets_the_house_fall_off_by_its_ttl(world):
    world.run(400, 2000)
    world.die(600)
    assert world.house.on == set()
    fell_off = world.house.log[-1][0]
    assert fell_off <= 400 + 300
    world.run(600)
    assert world.house.on == {"1"}
    assert world.house.log[-1][0] - fell_off >= 300


def test_after_a_short_kill_the_boiler_never_goes_off(world):
    world.run(400, 2000)
    world.die(60)
    world.run(1800)
    assert [entry[1:] for entry in world.house.log] == [("1", True)]


def test_a_stopped_engine_leaves_nothing_on(world):
    world.run(400, 2000)
    world.engine.stop()
    assert world.house.on == set()


def test_the_day_s_maximum_holds(world):
    world.run(6 * 3600, 2000)
    on = [t for t, _, is_on in world.house.log if is_on]
    off = [t for t, _, is_on in world.house.log if not is_on]
    assert len(on) == len(off) == 1
    assert off[0] - on[0] == pytest.approx(14_400, abs=30)


def test_a_deaf_relay_is_one_alert_and_the_next_load_gets_the_surplus(world):
    world.house.deaf = {"1"}
    world.run(1800, 2300)
    assert [(alert.code, alert.closed_at) for alert in world.alerts.alerts] == [("relay-no-answer/1", None)]
    assert world.house.on == {"2"}
    world.house.deaf = set()
    world.run(120)
    assert world.alerts.alerts[0].closed_at is not None
    world.run(900)
    assert world.house.on == {"1"}  # both were too much: the last that went on has gone off


def test_a_threshold_may_drive_relays_directly():
    config = {"on_above": 1000, "off_below": -2000, "hold_s": 300, "release_s": 60, "max_age_s": 150, "repeat_s": 60}
    world = World("threshold-hold", config)
    world.run(600, 4000)
    assert world.house.on == {"1", "2"}
    world.silent = True
    world.run(160)
    assert world.house.on == set()
    assert world.errors == []


def test_a_flow_that_is_deleted_with_its_broker_still_says_off():
    registry, mqtt, clock = load_registry(), OfflineMqtt(), VirtualClock(START)
    engine = Engine(registry, clock, Services(mqtt=mqtt))

    def spec(id_, type_, properties, *wires):
        config = registry[type_].Config(**properties)
        return NodeSpec(
            id=id_, type=type_, name=id_, file="f.json", flow="f", scopes=("f",), groups=(), config=config, env={},
            wires=wires,
        )  # fmt: skip

    nodes = [
        spec("broker", "mqtt-broker", {"broker": "localhost"}),
        spec("out", "mqtt out", {"broker": "broker"}),
        spec("relay", "relay-out", {"min_on_s": 600}, ("out",), ()),
    ]
    engine.deploy(Plan({n.id: n for n in nodes}, {"f": FlowSpec("f", "f", "f.json", nodes=tuple(n.id for n in nodes))}))
    engine.inject("relay", {"home": HOME, "payload": True})
    engine.deploy(Plan({}, {}))
    assert [(message.topic, message.json, message.qos, message.retain) for message in mqtt.published] == [
        (f"comunita/{HOME}/rele/1/set", {"stato": "ON", "ttl_s": 300}, 0, False),
        (f"comunita/{HOME}/rele/1/set", {"stato": "OFF"}, 0, False),
    ]
    assert mqtt.connections == []
