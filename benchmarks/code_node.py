"""Measure the `python` node: start of its process, messages per second, calls, and what an accident costs.

`python benchmarks/code_node.py` prints a table for docs/measurements.md. In virtual time one message is in flight at a
time, and each waits for its answer; live the engine's thread hands over and goes on.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from typing import Any

from solarflow.clock import SystemClock
from solarflow.engine import Engine
from solarflow.live import LiveEngine
from solarflow.plan import FlowSpec, NodeSpec, Plan
from solarflow.registry import Registry, load_registry
from solarflow.testing import NodeBench

READING = {"produzione_w": 1500, "consumo_w": 400}
COUNT = 'n = flow.get("n", 0) + 1\nflow.set("n", n)\nmsg["payload"] = n\nreturn msg'
MESSAGES = 10_000


def check(right: bool, bench: NodeBench) -> None:
    """End with what went wrong, where a figure would mean nothing."""
    if not right:
        raise SystemExit(f"{len(bench.sent)} messages left, and these errors: {bench.errors}")


def started(registry: Registry) -> float:
    """Seconds from a message that finds no process to its answer; the median of 20."""
    took = []
    for _ in range(20):
        bench = NodeBench(registry["python"], {"func": "return msg"})
        begun = time.perf_counter()
        bench.feed(1)
        took.append(time.perf_counter() - begun)
        bench.close()
    return statistics.median(took)


def in_virtual_time(registry: Registry, func: str) -> float:
    """Messages per second."""
    bench = NodeBench(registry["python"], {"func": func})
    bench.feed(READING)
    begun = time.perf_counter()
    for _ in range(MESSAGES):
        bench.feed(READING)
    rate = MESSAGES / (time.perf_counter() - begun)
    check(len(bench.sent) == MESSAGES + 1, bench)
    bench.close()
    return rate


def live(registry: Registry, func: str) -> float:
    """Messages per second through an engine on the machine's time."""

    def make(engine: LiveEngine) -> Engine:
        return Engine(registry, SystemClock(), executor=engine.executor, call_back=engine.call_back)

    seen, done = 0, threading.Event()

    def count(_msg: Any) -> None:
        nonlocal seen
        seen += 1
        if seen % 500 == 0:
            done.set()

    running = LiveEngine(make, save=lambda _changes: None)
    running.start()
    specs = {}
    for id_, type_, properties, wires in (("n", "python", {"func": func}, (("d",),)), ("d", "junction", {}, ((),))):
        config = registry[type_].Config.model_validate(properties)
        specs[id_] = NodeSpec(id=id_, type=type_, name="", file="f.json", flow="t", scopes=("t",), groups=(),
                              config=config, env={}, wires=wires)  # fmt: skip
    plan = Plan(nodes=specs, flows={"t": FlowSpec("t", "", "f.json", nodes=("n", "d"))})
    running.call(lambda: running.engine.deploy(plan))
    running.call(lambda: running.engine.tap(("n", 0, "d"), count))
    begun = time.perf_counter()
    for _ in range(MESSAGES // 500):
        done.clear()
        for _ in range(500):  # the node lets a thousand wait
            running.inbox.post(lambda: running.engine.inject("n", {"payload": dict(READING)}))
        if not done.wait(60):
            raise SystemExit(f"only {seen} messages came")
    rate = MESSAGES / (time.perf_counter() - begun)
    running.stop()
    return rate


def accident(registry: Registry, line: str, **config: Any) -> float:
    """Seconds from the message whose code comes to a bad end to the answer to the next; the median of 5."""
    took = []
    for _ in range(5):
        bench = NodeBench(registry["python"], {"func": f"if msg['payload'] == 0:\n    {line}\nreturn msg", **config})
        bench.feed(1)
        begun = time.perf_counter()
        bench.feed(0)
        bench.feed(1)
        took.append(time.perf_counter() - begun)
        check(len(bench.errors) == 1 and len(bench.sent) == 2, bench)
        bench.close()
    return statistics.median(took)


def main() -> None:
    """Print the table."""
    registry = load_registry()
    rows = [
        ("first message of a process", f"{started(registry) * 1000:.0f} ms"),
        ("`return msg`, virtual time", f"{in_virtual_time(registry, 'return msg'):,.0f} messages/s"),
        ("one `flow.get`, one `flow.set`, virtual time", f"{in_virtual_time(registry, COUNT):,.0f} messages/s"),
        ("`return msg`, live", f"{live(registry, 'return msg'):,.0f} messages/s"),
        ("one `flow.get`, one `flow.set`, live", f"{live(registry, COUNT):,.0f} messages/s"),
    ]
    for name, line, config in (
        ("loop without end, `timeout_s` 0.2", "while True: pass", {"timeout_s": 0.2}),
        ("`10 ** 10 ** 9`, `timeout_s` 0.2", "10 ** 10 ** 9", {"timeout_s": 0.2}),
        ("1 GB of memory, `memory_mb` 256", "x = bytes(10 ** 9)", {}),
        ("`os._exit(1)`", "import os; os._exit(1)", {}),
        ("segmentation fault", "import ctypes; ctypes.string_at(0)", {}),
    ):
        rows.append((f"{name}: until the next answer", f"{accident(registry, line, **config) * 1000:.0f} ms"))
    print(f"{os.cpu_count()} cores\n\n| | |\n|---|---|")  # noqa: T201 - its output
    for name, figure in rows:
        print(f"| {name} | {figure} |")  # noqa: T201 - its output


if __name__ == "__main__":
    main()
