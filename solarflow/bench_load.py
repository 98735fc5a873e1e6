"""The load generator of `solarflow bench`, a process of its own: `python -m solarflow.bench_load MODE PORT SECONDS`.

Prints one JSON object. Latencies contain this generator's own time and the broker's.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import sys
import time
from typing import Any

from solarflow.mqtt import BrokerOptions, Connection, State


def free_port() -> int:
    """A TCP port of the loopback address that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def summary(latencies_s: list[float]) -> dict[str, Any]:
    """Percentiles in milliseconds."""
    if len(latencies_s) < 2:
        return {"received": len(latencies_s)}
    cuts = statistics.quantiles(latencies_s, n=1000, method="inclusive")
    return {
        "received": len(latencies_s),
        "p50_ms": round(cuts[499] * 1000, 4),
        "p99_ms": round(cuts[989] * 1000, 4),
        "worst_ms": round(max(latencies_s) * 1000, 3),
    }


async def _connected(port: int) -> Connection:
    up = asyncio.Event()

    def told(state: State, _reason: str) -> None:
        if state == State.CONNECTED:
            up.set()

    user = os.environ.get("SOLARFLOW_BENCH_USER") or None
    options = BrokerOptions(
        "127.0.0.1", port, username=user, password=os.environ.get("SOLARFLOW_BENCH_SECRET") if user else None
    )
    connection = Connection(options, told)
    connection.start()
    await asyncio.wait_for(up.wait(), 10)
    return connection


async def _until_heard(connection: Connection, heard: asyncio.Event) -> None:
    """Publish until something comes back: subscriptions on both sides are in place then."""
    for _ in range(200):
        connection.publish("bench/in/x", b'{"v": 1}')
        try:
            await asyncio.wait_for(heard.wait(), 0.1)
        except TimeoutError:
            continue
        await asyncio.sleep(0.3)
        return
    raise SystemExit("nothing came back from the flow")


async def ping(port: int, seconds: float) -> dict[str, Any]:
    """One message in flight."""
    connection = await _connected(port)
    heard = asyncio.Event()
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    sent_at = 0.0
    ended = loop.create_future()
    measuring = False

    def on_messages(_messages: list[Any]) -> None:
        nonlocal sent_at
        heard.set()
        if not measuring or ended.done():
            return
        now = time.perf_counter()
        latencies.append(now - sent_at)
        if now > until:
            ended.set_result(None)
            return
        sent_at = time.perf_counter()
        connection.publish("bench/in/x", b'{"v": 42}')

    connection.subscribe("bench/out/x", 0, on_messages)
    await _until_heard(connection, heard)
    measuring = True
    until = time.perf_counter() + seconds
    sent_at = time.perf_counter()
    connection.publish("bench/in/x", b'{"v": 42}')
    await asyncio.wait_for(ended, seconds + 10)
    await connection.stop()
    return summary(latencies[len(latencies) // 10 :])


async def flood(port: int, seconds: float, window: int = 1000) -> dict[str, Any]:
    """As much as goes through with `window` messages in flight."""
    connection = await _connected(port)
    heard = asyncio.Event()
    received = 0
    running = False

    def on_messages(messages: list[Any]) -> None:
        nonlocal received
        heard.set()
        if not running:
            return
        received += len(messages)
        for _ in messages:
            connection.publish("bench/in/x", b'{"v": 42}')

    connection.subscribe("bench/out/x", 0, on_messages)
    await _until_heard(connection, heard)
    running = True
    begun = time.perf_counter()
    for _ in range(window):
        connection.publish("bench/in/x", b'{"v": 42}')
    await asyncio.sleep(seconds)
    running = False
    elapsed = time.perf_counter() - begun
    await connection.stop()
    return {"received": received, "messages_per_second": round(received / elapsed), "in_flight": window}


async def relay(port: int, seconds: float) -> dict[str, Any]:
    """A home after another reports a surplus; how long until its relay is told to go on."""
    connection = await _connected(port)
    sent: dict[str, float] = {}
    latencies: list[float] = []

    def on_messages(messages: list[Any]) -> None:
        now = time.perf_counter()
        for message in messages:
            home = message.topic.split("/")[1]
            if home in sent and b"ON" in message.payload:
                latencies.append(now - sent.pop(home))

    connection.subscribe("comunita/+/rele/+/set", 0, on_messages)
    await asyncio.sleep(1)
    reading = json.dumps({"produzione_w": 5000, "consumo_w": 200}).encode()
    for number in range(200):
        home = f"bench_{number}"
        sent[home] = time.perf_counter()
        connection.publish(f"comunita/{home}/bilancio", reading)
        await asyncio.sleep(seconds / 200)
    await asyncio.sleep(1)
    await connection.stop()
    return {**summary(latencies), "unanswered": len(sent)}


async def homes(port: int, seconds: float, count: int = 1000) -> dict[str, Any]:
    """A thousand homes, each a message a second: production and balance in turn; every tenth changes its surplus."""
    connection = await _connected(port)
    waiting: dict[str, tuple[float, bytes]] = {}
    latencies: list[float] = []

    def on_messages(messages: list[Any]) -> None:
        now = time.perf_counter()
        for message in messages:
            home = message.topic.split("/")[1]
            expected = waiting.get(home)
            if expected is not None and expected[1] in message.payload:
                latencies.append(now - expected[0])
                del waiting[home]

    connection.subscribe("comunita/+/rele/1/set", 0, on_messages)
    await asyncio.sleep(1)
    names = [f"bench_{number}" for number in range(count)]
    on = [False] * count
    published = {"produzione": 0, "bilancio": 0}
    begun = time.perf_counter()
    steps = int(seconds * 100)
    for step in range(steps):
        for number in range(step % 100, count, 100):  # a hundredth of the homes each hundredth of a second
            second = step // 100
            if second % 2:
                connection.publish(f"comunita/{names[number]}/produzione", b'{"potenza_w": 2000}')
                published["produzione"] += 1
                continue
            if (number + second // 2) % 10 == 0:
                on[number] = not on[number]
                waiting[names[number]] = (time.perf_counter(), b"ON" if on[number] else b"OFF")
            reading = (
                b'{"produzione_w": 5000, "consumo_w": 200}' if on[number] else b'{"produzione_w": 0, "consumo_w": 200}'
            )
            connection.publish(f"comunita/{names[number]}/bilancio", reading)
            published["bilancio"] += 1
        await asyncio.sleep(max(0.0, begun + (step + 1) / 100 - time.perf_counter()))
    await asyncio.sleep(1)
    elapsed = time.perf_counter() - begun - 1
    await connection.stop()
    rate = round(sum(published.values()) / elapsed)
    return {**summary(latencies), "unanswered": len(waiting), "published": published, "messages_per_second": rate}


if __name__ == "__main__":
    mode, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    json.dump(
        asyncio.run({"ping": ping, "flood": flood, "relay": relay, "homes": homes}[mode](port, seconds)), sys.stdout
    )
