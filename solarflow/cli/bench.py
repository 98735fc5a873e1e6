"""`solarflow bench`: how fast the engine is here, as JSON lines. Docs quote the figures with date and machine."""

from __future__ import annotations

import gc
import json
import logging
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from solarflow.bench_load import free_port
from solarflow.clock import SystemClock
from solarflow.engine import Engine
from solarflow.errors import FlowError, UsageError
from solarflow.graph import check_project
from solarflow.instance import Instance, Options
from solarflow.manifest import load_project
from solarflow.node import Node
from solarflow.registry import Registry, load_registry

MEASUREMENTS = ("chain", "mixed", "mqtt", "relay", "homes", "start")


class _Sink(Node):
    """Counts."""

    type = "bench-sink"
    outputs = 0


def _change() -> dict[str, Any]:
    return {"type": "change", "rules": [{"t": "set", "p": "payload", "pt": "msg", "to": "42", "tot": "num"}]}


def _range() -> dict[str, Any]:
    return {"type": "range", "minin": "0", "maxin": "100", "minout": "0", "maxout": "100", "action": "scale",
            "round": False, "property": "payload"}  # fmt: skip


def _switch() -> dict[str, Any]:
    return {"type": "switch", "property": "payload", "propertyType": "msg", "checkall": "true", "repair": False,
            "rules": [{"t": "gte", "v": "0", "vt": "num"}], "outputs": 1}  # fmt: skip


def _chain(kinds: list[Callable[[], dict[str, Any]]]) -> list[dict[str, Any]]:
    flow: list[dict[str, Any]] = [{"id": "tab", "type": "tab", "label": "bench"}]
    for number, make in enumerate(kinds):
        after = f"n{number + 1}" if number + 1 < len(kinds) else "sink"
        flow.append({**make(), "id": f"n{number}", "z": "tab", "x": 1, "y": 1, "wires": [[after]]})
    flow.append({"id": "sink", "type": "bench-sink", "z": "tab", "x": 1, "y": 1, "wires": []})
    return flow


def _engine(registry: Registry, flow: list[dict[str, Any]]) -> Engine:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "flow.json"
        path.write_text(json.dumps(flow))
        checked = check_project(load_project(path, registry, {}), registry, {})
    if checked.plan is None:
        raise FlowError(checked.problems)
    engine = Engine(registry, SystemClock())
    engine.deploy(checked.plan, "full")
    return engine


def measure_chain(registry: Registry, kinds: list[Callable[[], dict[str, Any]]], messages: int) -> dict[str, Any]:
    """CPU time per message and hop of a chain, the median of seven runs."""
    engine = _engine(registry, _chain(kinds))
    deliver = engine.cells["n0"].direct.deliver
    runs = []
    for _ in range(7):
        gc.collect()
        begun = time.process_time()
        for number in range(messages):
            deliver({"payload": number % 100, "topic": "a", "_msgid": "1", "ts": 0.0})
        runs.append((time.process_time() - begun) / messages)
    if engine.cells["sink"].received != 7 * messages:
        raise UsageError("messages were lost in the chain; the figures would mean nothing")
    per_message = statistics.median(runs)
    return {
        "hops": len(kinds),
        "messages_per_cpu_second": round(1 / per_message),
        "cpu_us_per_hop": round(per_message / len(kinds) * 1e6, 4),
        "spread": round(max(runs) / min(runs), 2),
    }


MQTT_FLOW: list[dict[str, Any]] = [
    {"id": "tab", "type": "tab", "label": "mqtt bench"},
    {"id": "broker", "type": "mqtt-broker", "broker": "", "name": ""},
    {"id": "in", "type": "mqtt in", "z": "tab", "x": 1, "y": 1, "topic": "bench/in/#", "qos": "0", "datatype": "json",
     "broker": "broker", "wires": [["change"]]},
    {"id": "change", "type": "change", "z": "tab", "x": 1, "y": 1, "wires": [["range"]], "rules": [
        {"t": "set", "p": "payload.site", "pt": "msg", "to": "house", "tot": "str"},
        {"t": "set", "p": "topic", "pt": "msg", "to": "bench/out/x", "tot": "str"}]},
    {**_range(), "id": "range", "z": "tab", "x": 1, "y": 1, "maxout": "1000", "property": "payload.v",
     "wires": [["switch"]]},
    {**_switch(), "id": "switch", "z": "tab", "x": 1, "y": 1, "property": "payload.v", "wires": [["out"]]},
    {"id": "out", "type": "mqtt out", "z": "tab", "x": 1, "y": 1, "topic": "", "qos": "0", "retain": "false",
     "broker": "broker", "wires": []},
]  # fmt: skip


@contextmanager
def _broker() -> Iterator[tuple[str, str]]:
    """(name, url) of a Mosquitto of our own where there is one, else "embedded"."""
    found = shutil.which("mosquitto", path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")
    if found is None:
        yield "embedded", "embedded"
        return
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "mosquitto.conf"
        config.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n"
            "log_type none\nmax_queued_messages 0\n"
        )
        process = subprocess.Popen(  # noqa: S603 - the broker found above, with a file of our own
            [found, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            yield "mosquitto", f"mqtt://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(5)


@contextmanager
def _running(project: Path, broker: str, data: Path) -> Iterator[Instance]:
    instance = Instance(Options(project=project, data=data, broker=broker, broker_port=0, environ={}))
    instance.start()
    try:
        yield instance
    finally:
        instance.stop()


def _load(instance: Instance, mode: str, seconds: float) -> dict[str, Any]:
    """What the load generator, a process of its own, saw."""
    options = instance.broker_options
    if options is None:
        raise UsageError("the instance has no broker to send the load to")
    command = [sys.executable, "-m", "solarflow.bench_load", mode, str(options.port), str(seconds)]
    environment = {
        **os.environ,
        "SOLARFLOW_BENCH_USER": options.username or "",
        "SOLARFLOW_BENCH_SECRET": options.password or "",
    }
    begun = time.process_time()
    ran = subprocess.run(  # noqa: S603 - our own module
        command, capture_output=True, text=True, timeout=seconds * 10 + 60, env=environment, check=False
    )
    if ran.returncode:
        raise UsageError(f"the load generator failed: {ran.stderr.strip()[-500:]}")
    result: dict[str, Any] = json.loads(ran.stdout)
    if result.get("received") and mode in ("ping", "flood"):
        result["engine_cpu_us_per_message"] = round((time.process_time() - begun) / result["received"] * 1e6, 2)
    return result


def measure_mqtt(folder: Path, seconds: float) -> Iterator[dict[str, Any]]:
    """MQTT in, JSON, change, range, switch, MQTT out: latency with one in flight, throughput with a thousand."""
    flow = folder / "mqtt.json"
    flow.write_text(json.dumps(MQTT_FLOW))
    with _broker() as (name, url), _running(flow, url, folder / "mqtt-data") as instance:
        yield {"name": "mqtt one in flight", "broker": name, **_load(instance, "ping", seconds)}
        yield {"name": "mqtt saturated", "broker": name, **_load(instance, "flood", seconds)}


def _shipped_without_holds(folder: Path) -> Path:
    """The shipped project with every hold and minimum time at zero, so that what is left is the engine's own time."""
    import solarflow

    shipped = Path(solarflow.__file__).parent
    project = folder / "project"
    if project.exists():
        return project
    shutil.copytree(shipped / "flows", project / "flows")
    shutil.copy(shipped / "flows.json", project / "flows.json")
    path = project / "flows" / "self-consumption.json"
    nodes = json.loads(path.read_text())
    for node in nodes:
        if node["type"] == "load-priority":
            node["settle_s"] = 0
            node["loads"] = [
                {**load, "hold_s": 0, "release_s": 0} for load in node["loads"] if load["name"] == "boiler"
            ]
        elif node["type"] == "relay-out":
            node.update(min_on_s=0, min_off_s=0, feedback_topic="")
    path.write_text(json.dumps(nodes))
    return project


def _register(instance: Instance, count: int) -> None:
    from solarflow.store.homes import Home

    def save() -> None:
        if instance.folder is None:
            raise UsageError("the data folder is not open")
        for number in range(count):
            instance.folder.homes.save(Home(id=f"bench_{number}", peak_power_wp=4000))

    instance.call(save, 60)


def measure_relay(folder: Path, seconds: float) -> dict[str, Any]:
    """From a reading with surplus to the relay's command, through the shipped flow with its holds at zero."""
    with _broker() as (name, url), _running(_shipped_without_holds(folder), url, folder / "relay-data") as instance:
        _register(instance, 200)
        return {"name": "reading to relay command", "broker": name, **_load(instance, "relay", seconds)}


def measure_homes(folder: Path, seconds: float) -> dict[str, Any]:
    """A thousand homes at a message a second each, through all shipped features."""
    with _broker() as (name, url), _running(_shipped_without_holds(folder), url, folder / "homes-data") as instance:
        _register(instance, 1000)
        cpu, begun = time.process_time(), time.monotonic()
        seen = _load(instance, "homes", max(seconds, 20))
        share = (time.process_time() - cpu) / (time.monotonic() - begun)
        cells = instance.engine.cells
        got = {kind: cells[f"ingest-{kind}"].sent for kind in ("produzione", "bilancio")}
        lost = sum(seen["published"].values()) - sum(got.values())
        return {"name": "1000 homes, a message a second", "broker": name, **seen, "lost": lost,
                "cpu_share_of_one_core": round(share, 3), "resident_mb": _resident_mb()}  # fmt: skip


def _resident_mb() -> float | None:
    """Resident memory of this process, where the system tells."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((round(int(line.split()[1]) / 1024, 1) for line in lines if line.startswith("VmRSS")), None)


def measure_start(folder: Path) -> dict[str, Any]:
    """From the command to running flows that answer, and what that takes of memory."""
    import solarflow

    command = [sys.executable, "-m", "solarflow.cli", "run", str(Path(solarflow.__file__).parent),
               "--port", "0", "--broker-port", "0", "--data", str(folder / "start-data")]  # fmt: skip
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own command
    try:
        for line in process.stdout or ():
            if "Ctrl-C" in line:
                break
        took = time.perf_counter() - begun
        status = Path(f"/proc/{process.pid}/status")
        lines = status.read_text().splitlines() if status.exists() else []
        resident = next((int(text.split()[1]) / 1024 for text in lines if text.startswith("VmRSS")), None)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(10)
    return {"name": "start of the three features", "seconds": round(took, 2),
            "resident_mb": None if resident is None else round(resident, 1)}  # fmt: skip


@click.command(epilog="Example: solarflow bench --only chain --only mqtt")
@click.option("--only", type=click.Choice(MEASUREMENTS), multiple=True, help="Only this; repeatable.  [all]")
@click.option(
    "--messages", type=click.IntRange(1), default=50_000, show_default=True, help="Messages in each run of the chains."
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 3600),
    default=4.0,
    show_default=True,
    help="How long each MQTT measurement takes.",
)
def bench(only: tuple[str, ...], messages: int, seconds: float) -> None:
    """Measure the engine on this machine and print JSON lines: what, and the figures."""
    chosen = only or MEASUREMENTS
    logging.getLogger("solarflow").setLevel(logging.ERROR)  # nothing but JSON lines
    registry = load_registry()
    registry.add(_Sink)

    def tell(line: dict[str, Any]) -> None:
        click.echo(json.dumps(line))

    tell(
        {"name": "machine", "python": platform.python_version(), "cores": os.cpu_count(), "system": platform.platform()}
    )
    if "chain" in chosen:
        tell({"name": "chain of ten change nodes", **measure_chain(registry, [_change] * 10, messages)})
    if "mixed" in chosen:
        kinds = [_change, _range, _switch] * 3
        tell({"name": "change, range, switch, three times", **measure_chain(registry, kinds, messages)})
    with tempfile.TemporaryDirectory(prefix="solarflow-bench-") as folder:
        if "mqtt" in chosen:
            for line in measure_mqtt(Path(folder), seconds):
                tell(line)
        if "relay" in chosen:
            tell(measure_relay(Path(folder), seconds))
        if "homes" in chosen:
            tell(measure_homes(Path(folder), seconds))
        if "start" in chosen:
            tell(measure_start(Path(folder)))
