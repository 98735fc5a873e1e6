"""CPU time per MQTT message, through a real Mosquitto: the bulk client against stock paho.

    python benchmarks/mqtt_client.py [--messages 200000]

Prints one JSON object per line. `cpu_us` is the CPU time of the receiving process, all its threads, per message, from
the first message to the last [us]. Loads: `backlog`, all messages wait at the broker when the measuring begins, as
after a pause or when the flows are busy; `burst`, as fast as the broker passes them on, which is a few per read;
`single`, 2,000 a second, one per read. Tasks: `receive` counts, `relay` publishes each one again at QoS 0.
Clients: `bulk` is what solarflow uses; `stock-loop` is stock paho in the same asyncio driver; `stock-thread` is stock
paho as its manual shows it, with its own thread.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

import solarflow.mqtt.client as client_module
from solarflow.mqtt import BrokerOptions, Connection, Limits

PAYLOAD = b'{"potenza_w": 1500, "ts": 1750000000.0}'
HOMES = 200
SINGLE_PER_S = 2_000
SINGLE_SHARE = 20  # a paced run has this many times fewer messages


class Meter:
    """Counts messages, and takes the CPU time of the process at the first and the last.

    With `wait` it holds up the receiver at the first message until a line comes on stdin.
    """

    def __init__(self, expected: int, *, wait: bool) -> None:
        self.expected = expected
        self.wait = wait
        self.count = self.batches = 0
        self.done = threading.Event()

    def add(self, count: int) -> None:
        """Take note of some messages."""
        if not self.count:
            if self.wait:
                sys.stdin.readline()
            self._cpu, self._wall = time.process_time(), time.monotonic()
        self.count += count
        self.batches += 1
        if self.count >= self.expected:
            self.done.set()

    def result(self) -> dict[str, float]:
        """The figures, at the end."""
        cpu, wall = time.process_time() - self._cpu, time.monotonic() - self._wall
        return {
            "messages": self.count,
            "cpu_us": round(cpu / self.count * 1e6, 2),
            "per_batch": round(self.count / self.batches, 1),
            "messages_per_s": round(self.count / wall),
        }


def say(**fields: Any) -> None:
    """Print one JSON line."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


async def with_connection(port: int, task: str, meter: Meter) -> None:
    """Receive with solarflow's connection, over whichever client it finds."""
    connection = Connection(BrokerOptions("127.0.0.1", port), limits=Limits(stop_s=60))

    def count(batch: list[Any]) -> None:
        meter.add(len(batch))

    def relay(batch: list[Any]) -> None:
        publish = connection.publish
        for message in batch:
            publish("out", message.payload)
        meter.add(len(batch))

    connection.subscribe("comunita/+/produzione", 0, relay if task == "relay" else count)
    connection.start()
    while not connection.subscribed:
        await asyncio.sleep(0.01)
    say(ready=True)
    while not meter.done.is_set():
        await asyncio.sleep(0.05)
    await connection.stop()  # what was relayed has left by then, and is counted
    say(**meter.result(), refused=connection.counters.dropped_out)


def with_thread(port: int, task: str, meter: Meter) -> None:
    """Receive as paho's manual shows it."""
    client = paho.Client(CallbackAPIVersion.VERSION2)

    def on_message(_client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        if task == "relay":
            client.publish("out", message.payload)
        meter.add(1)

    client.on_message = on_message
    client.on_connect = lambda c, *_: c.subscribe("comunita/+/produzione", 0)
    client.on_subscribe = lambda *_: say(ready=True)
    client.connect("127.0.0.1", port)
    client.loop_start()
    meter.done.wait()
    while client.want_write():
        time.sleep(0.01)
    say(**meter.result(), refused=0)
    client.disconnect()
    client.loop_stop()


def receive(port: int, name: str, task: str, load: str, count: int) -> None:
    """The measured process."""
    meter = Meter(count, wait=load == "backlog")
    if name == "stock-thread":
        with_thread(port, task, meter)
        return
    if name == "stock-loop":
        client_module.supported = lambda *_: ["bulk reading"]  # it says so in the log, which nobody needs here
        client_module.logger.disabled = True
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(with_connection(port, task, meter))


def send(port: int, load: str, count: int) -> None:
    """The publishing process: a bare socket, so that it is never what limits."""

    def packet(number: int) -> bytes:
        topic = f"comunita/casa_{number % HOMES}/produzione".encode()
        return bytes((0x30, 2 + len(topic) + len(PAYLOAD))) + len(topic).to_bytes(2, "big") + topic + PAYLOAD

    packets = [packet(number) for number in range(HOMES)]
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(b"\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05bench")
        sock.recv(4)
        if load != "single":
            block = b"".join(packets)
            for _ in range(count // HOMES):
                sock.sendall(block)
        else:
            began = time.monotonic()
            for number in range(count):
                sock.sendall(packets[number % HOMES])
                time.sleep(max(0.0, began + (number + 1) / SINGLE_PER_S - time.monotonic()))
        sock.sendall(b"\xe0\x00")
        while sock.recv(4096):
            pass


@contextmanager
def mosquitto() -> Iterator[int]:
    """A broker on a port of its own."""
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        sys.exit("this needs the broker 'mosquitto': install it, for instance with apt install mosquitto")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "mosquitto.conf")
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nlog_type error\n")
        process = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL)  # noqa: S603  # found above
        try:
            for _ in range(200):
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    time.sleep(0.02)
            yield port
        finally:
            process.kill()
            process.wait()


def measure(port: int, name: str, task: str, load: str, count: int) -> None:
    """One line of output: start the receiver, let it subscribe, start the sender."""
    me = [sys.executable, str(Path(__file__))]
    arguments = ["--port", str(port), "--messages", str(count)]
    command = [*me, "--role", "receive", "--client", name, "--task", task, "--load", load, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as receiver:  # noqa: S603  # this very script
        if receiver.stdout is None or not receiver.stdout.readline():
            sys.exit(f"the receiver with {name} ended before it was ready; its error stands above")
        subprocess.run([*me, "--role", "send", "--load", load, *arguments], check=True)  # noqa: S603  # this very script
        if load == "backlog" and receiver.stdin is not None:
            receiver.stdin.write("go\n")
            receiver.stdin.flush()
        result = json.loads(receiver.stdout.readline())
    say(bench="mqtt_client", client=name, task=task, load=load, **result)


def main() -> None:
    """Measure everything, or play one role in it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=200_000, help="messages of a burst")
    parser.add_argument("--role", choices=["all", "receive", "send"], default="all", help=argparse.SUPPRESS)
    parser.add_argument("--client", default="bulk", help=argparse.SUPPRESS)
    parser.add_argument("--task", default="receive", help=argparse.SUPPRESS)
    parser.add_argument("--load", default="burst", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.role == "receive":
        receive(given.port, given.client, given.task, given.load, given.messages)
    elif given.role == "send":
        send(given.port, given.load, given.messages)
    else:
        count = max(HOMES * SINGLE_SHARE, given.messages // (HOMES * SINGLE_SHARE) * HOMES * SINGLE_SHARE)
        with mosquitto() as port:
            for load, messages in (("backlog", count), ("burst", count), ("single", count // SINGLE_SHARE)):
                for task in ("receive", "relay"):
                    for name in ("bulk", "stock-loop", "stock-thread"):
                        measure(port, name, task, load, messages)


if __name__ == "__main__":
    main()
