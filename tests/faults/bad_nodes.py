"""Node types that no one should write, to see that the engine survives them."""

from __future__ import annotations

import threading
import time

from solarflow.message import Message
from solarflow.node import Node
from solarflow.registry import Registry

from .projects import palette


class Raises(Node):
    """Fails at every message."""

    type = "raises"

    def on_input(self, msg: Message) -> None:
        raise RuntimeError("this node never works")


class Blocks(Node):
    """Holds the engine's thread until it is let go."""

    type = "blocks"
    let_go = threading.Event()

    def on_input(self, msg: Message) -> None:
        self.let_go.wait(30)
        self.send(msg)


class Sleeps(Node):
    """Holds the engine's thread from a timer."""

    type = "sleeps"

    def on_input(self, msg: Message) -> None:
        self.after(0.01, self.nap, "home")

    def nap(self, key: str) -> None:
        while not Blocks.let_go.is_set():
            time.sleep(0.05)


class Circles(Node):
    """Sends each message twice: in a circle that doubles."""

    type = "circles"
    forwards = True

    def on_input(self, msg: Message) -> None:
        self.send(msg)
        self.send(dict(msg))


class Hoards(Node):
    """Keeps a megabyte of each message, or all memory there is, until somebody clears `kept`."""

    type = "hoards"

    def on_input(self, msg: Message) -> None:
        kept = self.__dict__.setdefault("kept", [])
        if msg.get("payload") == "all":
            for size in (1 << 20, 1 << 16, 1 << 12, 1 << 9):
                try:
                    while True:
                        kept.append(bytearray(size))
                except MemoryError:
                    continue
            raise MemoryError
        else:
            kept.append(bytearray(1 << 20))
        self.send({"payload": len(kept)})


class Quits(Node):
    """Takes the engine's thread with it: what nothing in the engine stops."""

    type = "quits"

    def on_input(self, msg: Message) -> None:
        self.after(0.01, self.quit)

    def quit(self, key: str) -> None:
        raise SystemExit("enough")


TYPES = (Raises, Blocks, Sleeps, Circles, Hoards, Quits)


def with_bad_nodes() -> Registry:
    """The palette and these."""
    registry = Registry()
    for node_type in (*palette(), *TYPES):
        registry.add(node_type)
    return registry
