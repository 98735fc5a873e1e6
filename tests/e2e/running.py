"""Real processes for the end-to-end tests: `solarflow run` on a project of its own, and Mosquitto's two programs.

    with Solarflow(make_project(tmp_path), broker.url) as engine, Listener(engine.broker_port) as heard:
        publish(engine.broker_port, "comunita/casa_A/produzione", {"potenza_w": 1500})
        heard.wait("comunita/casa_A/alert")

Whatever a test starts here ends with it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as paho
import pytest
import urllib3
from brokers import Mosquitto

from solarflow.store import DataFolder

START_S = 30.0
"""A machine that runs other things besides may take its time."""


def end_limit_s() -> float:
    """How long an end may take: two seconds, and more in proportion where other programs want the processor, too."""
    return 2.0 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def until(holds: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """Poll until `holds()` is true and answer it; fails the test with `what` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not (value := holds()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout_s:g} s: {what}")
        time.sleep(0.01)
    return value


def solarflow(*arguments: object, timeout_s: float = START_S) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=timeout_s, check=False, env=environment()
    )


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "solarflow.cli", *map(str, arguments)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}


def with_both_brokers(folder: Path, project: Path, scenario: Callable[[str, Path], None]) -> None:
    """Run `scenario(broker, project)` with a Mosquitto and with the embedded broker at the same time, to save some.

    Each gets a copy of `project`. What fails says with which broker.
    """

    def run(name: str, broker: str) -> None:
        try:
            scenario(broker, Path(shutil.copytree(project, folder / name / "community")))
        except BaseException as error:
            error.add_note(f"This was with the broker: {name}")
            raise

    with Mosquitto(folder) as mosquitto, ThreadPoolExecutor(2) as both:
        running = [both.submit(run, *way) for way in (("mosquitto", mosquitto.url), ("embedded", "embedded"))]
    for one in running:
        one.result()


def edit(project: Path, flow: str, node: str, **properties: Any) -> None:
    """Change properties of a node in a flow file, as an integrator does with an editor."""
    path = project / "flows" / f"{flow}.json"
    nodes = json.loads(path.read_text())
    next(entry for entry in nodes if entry["id"] == node).update(properties)
    beside = path.with_suffix(".new")  # as editors save: `--watch` never sees half a file
    beside.write_text(json.dumps(nodes, indent=2) + "\n")
    beside.replace(path)


def add_flow(project: Path, name: str, nodes: Sequence[Mapping[str, Any]], **settings: Any) -> None:
    """Add a flow of its own to a project; its nodes need no places."""
    tab = {"id": name, "type": "tab", "label": name}
    placed = [{"z": name, "x": 100 * number, "y": 100, "wires": [], **node} for number, node in enumerate(nodes, 1)]
    (project / "flows" / f"{name}.json").write_text(json.dumps([tab, *placed]))
    manifest = json.loads((project / "flows.json").read_text())
    manifest["flows"].append(f"flows/{name}.json")
    manifest["settings"].update(settings)
    (project / "flows.json").write_text(json.dumps(manifest))


def mqtt_in(ident: str, topic: str, to: str) -> dict[str, Any]:
    return {"id": ident, "type": "mqtt in", "topic": topic, "qos": "1", "datatype": "json", "broker": "broker",
            "wires": [[to]]}  # fmt: skip


def mqtt_out(ident: str, topic: str) -> dict[str, Any]:
    return {"id": ident, "type": "mqtt out", "topic": topic, "qos": "1", "broker": "broker"}


class Process:
    """A running command whose output is kept, line by line, and which is killed at the end of its `with`."""

    def __init__(self, arguments: Sequence[str], **popen: Any) -> None:
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(), **popen
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def line(self, pattern: str, timeout_s: float = 10.0) -> re.Match[str]:
        """Wait for a line that has `pattern` in it."""
        deadline = time.monotonic() + timeout_s
        while True:
            ended = self._process.poll() is not None and not self._reader.is_alive()
            for line in list(self.lines):
                if found := re.search(pattern, line):
                    return found
            if ended or time.monotonic() > deadline:
                why = f"it ended with {self._process.poll()}" if ended else f"not within {timeout_s:g} s"
                pytest.fail(f"{why}, and never wrote a line like {pattern!r}:\n{self.output}")
            time.sleep(0.01)

    def end(self, how: signal.Signals = signal.SIGINT, timeout_s: float = 5.0) -> tuple[int, float]:
        """Send a signal: the exit code, and how many seconds it took."""
        begun = time.monotonic()
        self._process.send_signal(how)
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f"it did not end within {timeout_s:g} s of {how.name}:\n{self.output}")
        took = time.monotonic() - begun
        self._reader.join(5)
        return code, took

    def wait(self, timeout_s: float = START_S) -> int:
        """Wait for its end by itself."""
        code = self._process.wait(timeout_s)
        self._reader.join(5)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)
        self._reader.join(5)
        assert self._process.stdout is not None
        self._process.stdout.close()


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    """The JSON, or the text where it is none."""


class Solarflow(Process):
    """`solarflow run PROJECT`, ready when the constructor returns. Its data lie beside the project.

    `broker`: a URL, or "embedded". `options`: further ones of the command line.
    """

    def __init__(self, project: Path, broker: str = "embedded", *options: object, data: Path | None = None) -> None:
        self.project = project
        self.data = data if data is not None else project / "data"
        given = ["--broker", broker, "--broker-port", 0, "--port", 0, "--data", self.data, *options]
        super().__init__(command("run", project, *given))
        try:
            self.url = self.line(r"(?:pages|health) at (http://[^/\s]+)", START_S)[1]
            self.broker_port = int(self.line(r"broker mqtts?://127\.0\.0\.1:(\d+)")[1])
        except BaseException:
            self.__exit__()
            raise

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """A request of a visitor from this machine."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        response = urllib3.request(
            method, self.url + path, body=data, headers={"content-type": "application/json", **headers}, timeout=10
        )
        try:
            return Answer(response.status, response.json())
        except ValueError:
            return Answer(response.status, response.data.decode())

    def health(self) -> dict[str, Any]:
        answer = self.ask("GET", "/health").body
        assert isinstance(answer, dict)
        return answer

    def connected(self, timeout_s: float = 10.0) -> Self:
        """Wait until the engine hears its broker."""
        until(
            lambda: [broker["state"] for broker in self.health()["brokers"]] == ["connected"],
            timeout_s,
            "the engine is connected to its broker",
        )
        return self

    def homes(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """`solarflow homes …` on this one's data."""
        return solarflow("homes", *arguments, "--data", self.data)

    def deploy(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return solarflow("deploy", self.project, "--data", self.data, *arguments)


def register(project: Path, *homes: Mapping[str, Any]) -> None:
    """Approve homes before the start."""
    with DataFolder(project / "data") as folder:
        saved, problems = folder.homes.import_json(json.dumps(homes))
    assert (saved, problems) == (len(homes), [])


def home(ident: str, peak_power_wp: float = 4000, **properties: Any) -> dict[str, Any]:
    return {"id": ident, "peak_power_wp": peak_power_wp, **properties}


BOILER = [{"name": "boiler", "power_w": 900, "relay": 1}]
"""The loads of a home that has no other."""


def find(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"needs '{program}', which is not installed here (make deps, or: apt install mosquitto-clients)")
    return found


def publish(port: int, topic: str, payload: Any) -> None:
    """`mosquitto_pub` one message, which the broker has confirmed when this returns."""
    text = payload if isinstance(payload, str) else json.dumps(payload)
    done = subprocess.run(
        [find("mosquitto_pub"), "-p", str(port), "-q", "1", "-t", topic, "-m", text],
        capture_output=True, text=True, timeout=10, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@dataclass(frozen=True)
class Heard:
    at: float
    """When it came, on this process's monotonic clock."""
    topic: str
    payload: Any
    retained: bool


class Listener:
    """`mosquitto_sub`: everything below some topics, from the moment the constructor returns."""

    def __init__(self, port: int, *topics: str) -> None:
        self.heard: list[Heard] = []
        self._on_heard: list[Callable[[Heard], None]] = []
        self._probe = probe = f"test/probe/{id(self)}"
        self._ready = threading.Event()
        wanted = [part for topic in (*(topics or ("comunita/#",)), probe) for part in ("-t", topic)]
        self._process = subprocess.Popen(
            [find("mosquitto_sub"), "-p", str(port), *wanted, "-F", "\t%r\t%t\t%p"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            # Its own word that it has subscribed is written only together with the first message.
            until(lambda: publish(port, probe, {}) or self._ready.is_set(), 10, f"mosquitto_sub hears {topics}")
        except BaseException:
            self.__exit__()
            raise

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            parts = line.rstrip("\n").split("\t", 3)
            if len(parts) != 4:
                continue  # what it says about the connection
            _, retained, topic, text = parts
            if topic == self._probe:
                self._ready.set()
                continue
            try:
                payload = json.loads(text)
            except ValueError:
                payload = text
            message = Heard(time.monotonic(), topic, payload, retained == "1")
            self.heard.append(message)
            for function in list(self._on_heard):
                function(message)

    def then(self, function: Callable[[Heard], None]) -> None:
        """Call `function` with each message that comes from now on."""
        self._on_heard.append(function)

    def on(self, topic: str, since: float = 0.0, **fields: Any) -> list[Heard]:
        """What came on a topic, with these fields in the payload."""
        return [
            message for message in list(self.heard)
            if message.topic == topic and message.at >= since
            and all(isinstance(message.payload, dict) and message.payload.get(k) == v for k, v in fields.items())
        ]  # fmt: skip

    def payloads(self, topic: str) -> list[Any]:
        """The payloads on a topic so far."""
        return [message.payload for message in self.on(topic)]

    def wait(self, topic: str, timeout_s: float = 10.0, since: float = 0.0, **fields: Any) -> Heard:
        """The first message on a topic with these fields, once it is there."""
        wanted = f"{topic} {fields or ''}"
        deadline = time.monotonic() + timeout_s
        while not (found := self.on(topic, since, **fields)):
            if time.monotonic() > deadline:
                there = "\n".join(f"{m.at:.2f} {m.topic} {m.payload}" for m in list(self.heard)[-60:])
                pytest.fail(f"{wanted} was not heard within {timeout_s:g} s; the last that was:\n{there}")
            time.sleep(0.005)
        return found[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._process.kill()
        self._process.wait(10)
        self._reader.join(5)
        assert self._process.stdout is not None
        self._process.stdout.close()


class Meters:
    """Homes that publish again and again what their meters show, each topic through a `mosquitto_pub` of its own.

    `meters[topic] = {...}` from then on publishes that every `interval_s`; `del meters[topic]` is silence.
    """

    def __init__(self, port: int, interval_s: float) -> None:
        self._port = port
        self._interval_s = interval_s
        self._show: dict[str, Any] = {}
        self._programs: dict[str, subprocess.Popen[str]] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._publish, daemon=True)
        self._thread.start()

    def __setitem__(self, topic: str, payload: Any) -> None:
        with self._lock:
            self._show[topic] = payload
            if topic not in self._programs:
                self._programs[topic] = subprocess.Popen(
                    [find("mosquitto_pub"), "-p", str(self._port), "-t", topic, "-l"],
                    stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1,
                )  # fmt: skip
            self._say(topic)

    def __delitem__(self, topic: str) -> None:
        with self._lock:
            del self._show[topic]

    def _say(self, topic: str) -> None:
        pipe = self._programs[topic].stdin
        assert pipe is not None
        pipe.write(json.dumps(self._show[topic]) + "\n")

    def _publish(self) -> None:
        while not self._ended.wait(self._interval_s):
            with self._lock:
                for topic in self._show:
                    try:
                        self._say(topic)
                    except BrokenPipeError:  # its broker is gone
                        continue

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._ended.set()
        self._thread.join(5)
        for program in self._programs.values():
            program.kill()
            program.communicate()


class Device:
    """The relays of all homes: each obeys its commands, says what it did, and falls off when its TTL runs out.

    `speed`: how many of the TTL's seconds pass in a real one.
    """

    def __init__(self, port: int, speed: float = 1.0) -> None:
        self._speed = speed
        self._until: dict[str, float] = {}
        ready = threading.Event()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, "device")
        self._client.on_connect = lambda client, *_: client.subscribe("comunita/+/rele/+/set")
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.on_message = self._obey
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert ready.wait(10), "the device is connected"

    def _obey(self, client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        if message.retain:
            return  # who knows how old it is
        command = json.loads(message.payload)
        on = command["stato"] == "ON"
        topic = message.topic.removesuffix("/set")
        self._until[topic] = time.monotonic() + command["ttl_s"] / self._speed if on else 0.0
        client.publish(topic, json.dumps({"stato": command["stato"]}))

    def is_on(self, home: str, relay: int = 1) -> bool:
        return time.monotonic() < self._until.get(f"comunita/{home}/rele/{relay}", 0.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
