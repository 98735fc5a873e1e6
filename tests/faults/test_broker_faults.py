"""A broker that dies, is slow, or no longer answers: the engine is back within five seconds, and never hangs on it."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from typing import Any, Self

from brokers import Mosquitto
from embedded import BareClient

from solarflow.mqtt.options import Limits

from .hub import Hub, until
from .projects import QUICK, make_project, register, stored
from .trial import Trial, fault
from .worlds import VirtualWorld

A = "casa_A"
RESUBSCRIBED_S = 5.0


@fault("broker-killed", times=50)
def test_a_broker_killed_in_mid_stream_is_subscribed_again_within_five_seconds(trial: Trial) -> None:
    project = make_project(trial.folder, QUICK.edits())
    register(trial.folder / "data", [A])
    broker = trial.enter(Mosquitto(trial.folder))
    hub = trial.enter(Hub(project, broker.url))
    connection = hub.instance.mqtt.connections[0].connection
    until(hub.connected, 10, "the engine hears its broker")
    stream = trial.enter(Stream(broker.port))
    rounds = 1 if trial.brief else 10
    trial.times = rounds
    for number in range(1, rounds + 1):
        until(lambda: stream.sent % 200 > trial.rng.randrange(100), 10, "the stream flows")
        broker.kill()
        time.sleep(trial.rng.uniform(0, 6) if not trial.brief else 0.1)
        broker.start()
        up = time.monotonic()
        until(
            lambda n=number: connection.counters.reconnects >= n and hub.connected(),  # type: ignore[misc]  # see mypy
            30, "subscribed again",
        )  # fmt: skip
        trial.recovered(time.monotonic() - up, RESUBSCRIBED_S)
    last = stream.sent
    until(lambda: stream.sent > last + 20, 5, "the stream flows again")
    stream.pause.set()
    kept = {value for _, value in stored(hub.data, A)}
    until(lambda: stream.last in {value for _, value in stored(hub.data, A)}, 5, "the newest reading is stored")
    kept = {value for _, value in stored(hub.data, A)}
    trial.lost = stream.sent - len(kept)
    until(lambda: hub.health()["status"] == "ok", 3, "all is well")


class Stream:
    """Publishes numbered readings, 200 a second, to a broker that comes and goes."""

    def __init__(self, port: int, topic: str = f"comunita/{A}/produzione") -> None:
        self.sent = 0
        self.last = 0.0
        self.pause = threading.Event()
        self._port, self._topic = port, topic
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        client: BareClient | None = None
        number = 0
        while not self._ended.wait(0.005):
            if self.pause.is_set():
                continue
            try:
                if client is None:
                    client = BareClient(self._port, "stream")
                body = {"potenza_w": number + 1, "ts": round(time.time(), 3) + number * 1e-9}
                client.publish(self._topic, json.dumps(body).encode())
            except (OSError, EOFError):
                client = None
                continue
            number += 1
            self.sent, self.last = number, float(number)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(5)


class Line:
    """A way to a broker that can be slow, or dead without saying so (half open)."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.dead = threading.Event()
        self.delay_s = 0.0
        self._sockets: list[socket.socket] = []
        self._ended = False

    def _accept(self) -> None:
        while not self._ended:
            try:
                client, _ = self._server.accept()
                broker = socket.create_connection(("127.0.0.1", self._to), timeout=5)
            except OSError:
                continue
            self._sockets += [client, broker]
            for source, target in ((client, broker), (broker, client)):
                threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(64 if self.delay_s else 65536):
                if self.delay_s:
                    time.sleep(self.delay_s)
                if not self.dead.is_set():  # else it goes nowhere, and nobody is told
                    target.sendall(data)
            if not self.dead.is_set():
                target.close()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._server.close()
        for one in self._sockets:
            one.close()


def behind_a_line(trial: Trial, **broker: Any) -> tuple[Hub, Line, Mosquitto]:
    """A hub whose way to its broker is a line; `broker`: properties of the mqtt-broker node."""
    project = make_project(trial.folder, QUICK.edits())
    manifest = json.loads((project / "flows.json").read_text())
    manifest["nodes"][0].update(broker)
    (project / "flows.json").write_text(json.dumps(manifest))
    register(trial.folder / "data", [A])
    mosquitto = trial.enter(Mosquitto(trial.folder))
    line = trial.enter(Line(mosquitto.port))
    hub = trial.enter(Hub(project, f"mqtt://127.0.0.1:{line.port}"))
    until(hub.connected, 10, "the engine hears its broker")
    return hub, line, mosquitto


def proves_well(hub: Hub, broker: Mosquitto, power_w: float, within_s: float) -> float:
    """Readings that are published until one is stored."""
    begun = time.monotonic()
    client = BareClient(broker.port, "prove")

    def one() -> bool:
        client.publish(f"comunita/{A}/produzione", b'{"potenza_w": %d}' % power_w)
        time.sleep(0.1)
        return any(value == power_w for _, value in stored(hub.data, A))

    until(one, within_s, "good readings are stored")
    client.disconnect()
    return time.monotonic() - begun


KEEPALIVE_S = 1


@fault("half-open-connection", times=10)
def test_a_connection_that_is_dead_without_saying_so_is_found_out_by_its_keepalive(trial: Trial) -> None:
    hub, line, mosquitto = behind_a_line(trial, keepalive=KEEPALIVE_S)
    line.dead.set()
    begun = time.monotonic()
    until(lambda: hub.health()["status"] == "degraded", 10, "it is found out")
    found_s = time.monotonic() - begun
    assert found_s < 2 * KEEPALIVE_S + 3, f"twice the keepalive, and a look a second: {found_s:.1f} s"
    assert hub.on_engine(lambda: 1) == 1, "the engine waits for nobody"
    line.dead.clear()
    # Whoever was connecting into the dead line is given up after its five seconds.
    trial.recovered(proves_well(hub, mosquitto, 1601, 15), 15)
    until(lambda: hub.health()["status"] == "ok", 3, "all is well")


@fault("slow-connection", times=5)
def test_a_slow_connection_slows_only_its_own_messages(trial: Trial) -> None:
    hub, line, mosquitto = behind_a_line(trial, keepalive=5)
    line.delay_s = 0.03  # 64 bytes each time: 2 kB a second
    stream = trial.enter(Stream(mosquitto.port))
    slowest = 0.0
    for _ in range(20):
        begun = time.monotonic()
        hub.inject("relays-boiler", home=A, override="on", for_s=5)
        slowest = max(slowest, time.monotonic() - begun)
        time.sleep(0.05)
    assert slowest < 1, "the engine waits for nobody"
    until(lambda: stream.sent > 100, 10, "readings pile up before the line")
    stream.pause.set()
    line.delay_s = 0.0
    trial.recovered(proves_well(hub, mosquitto, 1602, 15), 15)


@fault("broker-away-for-an-hour", times=10)
def test_after_an_hour_without_a_broker_commands_go_at_once(trial: Trial) -> None:
    world = VirtualWorld(trial)
    world.all_on()
    world.set_broker(False)
    for _ in range(60):
        world.run(60)
        for house in world.houses:  # by HTTP people go on; each command that cannot go is an error of `mqtt out`
            world.inject("relays-boiler", home=house.id, override=world.rng.choice(["on", "off"]), for_s=50)
    assert not any(house.relay.on for house in world.houses)
    world.set_broker(True)
    for house in world.houses:
        world.inject("relays-boiler", home=house.id, override="auto")
    begun = world.t
    took = world.all_on()
    assert world.t >= begun
    trial.recovered(took, world.on_within_s)
    assert not world.bench.engine.breakers.get("relays-command")


def test_a_retry_never_waits_longer_than_the_promise() -> None:
    assert Limits().longest_retry_s < RESUBSCRIBED_S
