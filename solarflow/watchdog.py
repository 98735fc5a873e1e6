"""Notices when the engine's thread is held up, and names the node that holds it.

Once a second another thread asks the event loop to answer. Where no answer comes, it looks at the stack of the engine's
thread until one does. While all is well that is all it costs: nothing is asked of a node, or for a message.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

from solarflow.node import Node

log = logging.getLogger("solarflow.watchdog")

ASK_EVERY_S = 1.0
LOOK_EVERY_S = 0.25
TELL_AFTER_S = 3.0
"""Real seconds for which one thing may hold the engine up before it is told."""
FRAMES_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Blocked:
    """What holds the engine's thread up."""

    seconds: float
    """Real seconds so far."""
    who: str
    """The node, with its file; or the function, where it is none."""
    node: str
    """The node's id; empty where it is none."""
    stack: str
    """Where it stands, innermost last."""

    def __str__(self) -> str:
        return f"{self.who} has held the engine up for {self.seconds:.0f} s; nothing else runs meanwhile"


class Watchdog:
    """Watches one thread with an event loop.

    `ask(function)` has the loop call `function`, as `call_soon_threadsafe` does; `thread_id` is its thread's ident.
    """

    def __init__(
        self, ask: Callable[[Callable[[], None]], None], thread_id: int, *, tell_after_s: float = TELL_AFTER_S,
        ask_every_s: float = ASK_EVERY_S, look_every_s: float = LOOK_EVERY_S,
    ) -> None:  # fmt: skip
        self.blocked: Blocked | None = None
        """What holds it up now, once that has been told."""
        self.last: Blocked | None = None
        """What did the last time, with how long it took in the end."""
        self.count = 0
        """How often something was told."""
        self.total_s = 0.0
        """Real seconds for which it was held up, of all that was told."""
        self._ask = ask
        self._thread_id = thread_id
        self._tell_after_s = tell_after_s
        self._ask_every_s = ask_every_s
        self._look_every_s = look_every_s
        self._answered = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._ended.set()
        self._answered.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(1.0)

    def _watch(self) -> None:
        while not self._ended.wait(self._ask_every_s):
            self._answered.clear()
            begin = time.monotonic()
            self._ask(self._answered.set)
            if not self._answered.wait(self._ask_every_s):
                self._look_until_it_answers(begin)

    def _look_until_it_answers(self, begin: float) -> None:
        seen: Counter[tuple[str, str]] = Counter()
        stacks: dict[tuple[str, str], str] = {}
        while not self._ended.is_set():
            frame = sys._current_frames().get(self._thread_id)
            if frame is None:
                return  # the thread has ended
            who, stack = describe_frame(frame)
            del frame  # it would keep everything alive that the thread works with
            seen[who] += 1
            stacks[who] = stack
            seconds = time.monotonic() - begin
            # Both, so that a machine that slept, or had no time for anybody, is not taken for a slow node.
            if seconds >= self._tell_after_s and seen.total() * self._look_every_s >= self._tell_after_s / 3:
                self._tell(seconds, seen, stacks)
            if self._answered.wait(self._look_every_s):
                self._is_free(time.monotonic() - begin)
                return

    def _tell(self, seconds: float, seen: Counter[tuple[str, str]], stacks: Mapping[tuple[str, str], str]) -> None:
        (node, who), _ = seen.most_common(1)[0]
        first = self.blocked is None
        self.blocked = Blocked(seconds, who, node, stacks[node, who])
        if first:
            self.count += 1
            log.error("%s. It stands here:\n%s", self.blocked, self.blocked.stack)

    def _is_free(self, seconds: float) -> None:
        blocked, self.blocked = self.blocked, None
        if blocked is not None:
            self.last = Blocked(seconds, blocked.who, blocked.node, blocked.stack)
            self.total_s += seconds
            log.warning("the engine goes on: %s had held it up for %.1f s", blocked.who, seconds)


def describe_frame(frame: FrameType) -> tuple[tuple[str, str], str]:
    """((id, name) of the innermost node at work in a stack, the stack from there); ("", function) where none is."""
    stack = list(traceback.walk_stack(frame))
    for place, (outer, _) in enumerate(stack):
        node = _node_of(outer.f_locals)
        if node is not None:
            named = f" '{node.name}'" if node.name else ""
            return (node.id, f"{node.file}: {node.type} {node.id}{named}"), _text(frame, place + 1)
    code = frame.f_code
    return ("", f"{code.co_qualname} ({code.co_filename}:{frame.f_lineno})"), _text(frame, FRAMES_SHOWN)


def _node_of(names: Mapping[str, Any]) -> Node | None:
    """The node whose code a function is, by its local and enclosed names; or whom a wire is about to call."""
    for name in ("self", "node"):
        if isinstance(names.get(name), Node):
            return names[name]  # type: ignore[no-any-return]  # just checked
    receiver = getattr(names.get("receive"), "__self__", None)
    return receiver if isinstance(receiver, Node) else None


def _text(frame: FrameType, frames: int) -> str:
    return "".join(traceback.format_stack(frame, limit=None)[-min(frames, FRAMES_SHOWN) :]).rstrip()
