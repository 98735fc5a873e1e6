"""Who does blocking work for the engine: threads where it runs live, nobody else in virtual time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

from solarflow.errors import OverloadedError


class Executor(Protocol):
    """Runs blocking work elsewhere."""

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Begin `function(*args)`."""


class InlineExecutor:
    """Runs the work at once, where one stands: for virtual time, which does not go on meanwhile."""

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Run `function(*args)` now."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args))
        except Exception as error:  # noqa: BLE001 - handed to whoever asks for the result
            future.set_exception(error)
        return future


class DaemonExecutor:
    """A few threads for blocking work; unlike the standard pool's they never hold the end of the process."""

    def __init__(self, threads: int = 4, waiting: int = 1000) -> None:
        self._queue: queue.Queue[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = queue.Queue(waiting)
        self._threads = threads
        self._started = 0

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Run `function(*args)` on one of the threads. The future fails at once where too much is waiting already."""
        future: Future[Any] = Future()
        try:
            self._queue.put_nowait((future, function, args))
        except queue.Full:
            future.set_exception(OverloadedError("too much is waiting for its turn; this was not begun"))
            return future
        if self._started < self._threads:
            self._started += 1
            threading.Thread(target=self._work, name=f"offload-{self._started}", daemon=True).start()
        return future

    def _work(self) -> None:
        while True:
            future, function, args = self._queue.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function(*args))
            except BaseException as error:  # noqa: BLE001 - handed to whoever asks for the result
                future.set_exception(error)
