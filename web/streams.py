"""Server-sent events: how many streams may be open, what they send, and that each of them ends at the stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from flask import Response

MAX_STREAMS = 48
EVERY_S = 1.0


class Streams:
    """The open streams of a server."""

    def __init__(self) -> None:
        self._open = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()

    @property
    def open(self) -> int:
        """How many are open."""
        return self._open

    def close(self) -> None:
        """End all of them within a moment; new ones are refused."""
        self._ended.set()

    def response(self, event: str, make: Callable[[], str], every_s: float = EVERY_S) -> Response:
        """A stream that sends `make()` as `event` when it has changed, and a comment as a sign of life when not.

        `make` is called every `every_s` seconds; an empty text is nothing new.
        """
        with self._lock:
            if self._open >= MAX_STREAMS or self._ended.is_set():
                # htmx's extension tries again by itself.
                return Response("too many open pages\n", 503, {"retry-after": "10"}, mimetype="text/plain")
            self._open += 1

        def produce() -> Iterator[str]:
            last = ""
            while not self._ended.is_set():
                text = make()
                if text and text != last:
                    last = text
                    yield event_text(event, text)
                else:
                    yield ": alive\n\n"
                self._ended.wait(every_s)

        def leave() -> None:
            with self._lock:
                self._open -= 1

        response = Response(
            produce(), mimetype="text/event-stream", headers={"cache-control": "no-store", "x-accel-buffering": "no"}
        )
        # Not in a `finally` of `produce`: an answer to HEAD, or to one who left at once, is closed without being begun.
        response.call_on_close(leave)
        return response


def event_text(event: str, text: str) -> str:
    """One server-sent event."""
    lines = "".join(f"data: {line}\n" for line in text.splitlines() or [""])
    return f"event: {event}\n{lines}\n"
