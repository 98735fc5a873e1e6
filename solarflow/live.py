"""Runs an engine on the machine's time: one thread with one event loop, and an inbox for all other threads."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, TypeVar

from solarflow.engine import Engine
from solarflow.errors import ConnectionLostError, OverloadedError, StoreError
from solarflow.executor import DaemonExecutor
from solarflow.store.changes import StateChanges
from solarflow.watchdog import Watchdog

log = logging.getLogger("solarflow.live")
T = TypeVar("T")

CHECKPOINT_S = 0.8
"""Real seconds between two checkpoints: with what one takes, a SIGKILL loses at most a second."""
FINISH_S = 1.0
"""Real seconds that a stop waits for work that runs elsewhere."""


class Inbox:
    """What other threads hand to the engine's: readings, of which the oldest give way, and calls, which wait."""

    def __init__(self, wake: Callable[[], None], readings: int = 10_000, calls: int = 1000) -> None:
        self._wake = wake
        self._readings: deque[Callable[[], None]] = deque()
        self._max_readings = readings
        self._calls: queue.Queue[tuple[Future[Any], Callable[[], Any]]] = queue.Queue(calls)
        self._closed = False
        self._lock = threading.Lock()
        self.dropped = 0

    def post(self, function: Callable[[], None]) -> None:
        """Hand over telemetry. Where the inbox is full the oldest is dropped and counted."""
        with self._lock:
            if len(self._readings) >= self._max_readings:
                self._readings.popleft()
                self.dropped += 1
            self._readings.append(function)
        self._wake()

    def call(self, function: Callable[[], T], timeout_s: float = 5.0) -> T:
        """Run `function` on the engine's thread and wait for its result; what it raises is raised here.

        Raises OverloadedError where its turn does not come in time (then it is not run at all), ConnectionLostError
        where the engine has stopped.
        """
        if self._closed:
            raise ConnectionLostError("the engine has stopped")
        future: Future[T] = Future()
        limit = time.monotonic() + timeout_s
        try:
            self._calls.put((future, function), timeout=timeout_s)
        except queue.Full:
            raise OverloadedError(f"the engine had no time for {timeout_s:g} s; nothing was done, try again") from None
        if self._closed:
            self.close()  # it was closed between the question and the answer
        self._wake()
        try:
            return future.result(max(0.0, limit - time.monotonic()))
        except CancelledError:
            raise ConnectionLostError("the engine has stopped") from None
        except FutureTimeoutError:
            if future.cancel():
                raise OverloadedError(
                    f"the engine had no time for {timeout_s:g} s; nothing was done, try again"
                ) from None
        # Its turn has come: the result, or what it raises, is due. It may itself raise a TimeoutError.
        if not wait([future], timeout_s).done:
            raise OverloadedError(
                f"the engine is still busy with it after {2 * timeout_s:g} s; look whether it is done"
            )
        return future.result()

    def run(self) -> None:
        """Do what waits: every call, and as many readings as there are now."""
        for _ in range(self._calls.qsize()):
            future, function = self._calls.get_nowait()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001 - raised in the calling thread
                future.set_exception(error)
        with self._lock:
            readings, self._readings = self._readings, deque()
        for reading in readings:
            try:
                reading()
            except Exception:
                log.exception("a reading that another thread handed over could not be taken")

    def close(self) -> None:
        """Refuse what comes from now on, and whoever still waits."""
        self._closed = True
        while True:
            try:
                future, _ = self._calls.get_nowait()
            except queue.Empty:
                return
            future.cancel()


class LiveEngine:
    """An engine on its own thread.

    `opening` runs on the new event loop before `start` returns (brokers, the first deploy), `closing` after the
    engine has stopped. `save` gets each second what has changed.
    """

    def __init__(
        self,
        make_engine: Callable[[LiveEngine], Engine],
        *,
        save: Callable[[StateChanges], None],
        opening: Callable[[], Awaitable[None]] | None = None,
        closing: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.inbox = Inbox(self.wake)
        self.executor = DaemonExecutor()
        self.engine = make_engine(self)
        self.save_error = ""
        self.saved_at = 0.0
        self.watchdog: Watchdog | None = None
        self.died = ""
        """Why the engine's thread has ended by itself; empty while it runs, and where it was stopped."""
        self._save = save
        self._opening = opening
        self._closing = closing
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._arming = False
        self._stopping: asyncio.Event | None = None
        self._pending = False
        self._lock = threading.Lock()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The engine's event loop. Raises ConnectionLostError before the start and after the end."""
        if self._loop is None:
            raise ConnectionLostError("the engine does not run")
        return self._loop

    def start(self) -> None:
        """Begin; returns when `opening` is through. What that raises is raised here, and nothing runs then."""
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="engine", daemon=True)
        self._thread.start()
        ready.result()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Stop the engine, save, close, and wait for the thread to end."""
        if self._thread is None:
            return
        stopping = self._stopping
        if stopping is not None:
            self.call_back(stopping.set)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            log.error("the engine did not stop within %g s; a node is blocking it", timeout_s)
        self._thread = None

    def call(self, function: Callable[[], T], timeout_s: float = 5.0) -> T:
        """Run `function` on the engine's thread; see `Inbox.call`."""
        if threading.current_thread() is self._thread:
            return function()
        return self.inbox.call(function, timeout_s)

    def check_alive(self) -> None:
        """Raise ConnectionLostError where the engine's thread has ended by itself: only a new process helps then."""
        if self.died:
            raise ConnectionLostError(
                f"the engine has ended by itself: {self.died}. Its state is saved up to the last second; start it again"
            )

    def call_back(self, function: Callable[[], None]) -> None:
        """Bring the result of offloaded work to the engine's thread."""
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(function)

    def wake(self) -> None:
        """There is something in the inbox, or in the engine's queue."""
        with self._lock:
            if self._pending or self._loop is None:
                return
            self._pending = True
            self._loop.call_soon_threadsafe(self._work)

    # -- on the engine's thread ---------------------------------------------------------------------------------

    def _run(self, ready: Future[None]) -> None:
        try:
            asyncio.run(self._live(ready))
        except BaseException as error:  # a node's SystemExit too: nobody else would hear of it
            if not ready.done():
                ready.set_exception(error)
            else:
                self.died = f"{type(error).__name__}: {error}"
                log.exception("the engine's thread has ended")

    async def _live(self, ready: Future[None]) -> None:
        try:
            await self._main(ready)
        finally:
            if self.watchdog is not None:
                self.watchdog.stop()
            self.inbox.close()
            with self._lock:
                self._loop = None  # nobody reaches for a loop that is about to be closed

    async def _main(self, ready: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self.engine.on_wake = self.wake
        self.engine.timers.on_earlier = self._arm_soon
        try:
            if self._opening is not None:
                await self._opening()
        except BaseException:
            if self._closing is not None:
                await self._closing()
            raise
        self._arm()
        self.watchdog = Watchdog(self.call_back, threading.get_ident())
        self.watchdog.start()
        ready.set_result(None)
        self.wake()
        while not self._stopping.is_set():
            try:
                await asyncio.wait_for(self._stopping.wait(), CHECKPOINT_S)
            except TimeoutError:
                self._checkpoint()
                self._arm()  # a step of the wall clock moves what is due by it
        self.engine.enter(self.inbox.run)
        self.engine.stop_sources()
        await self._finish_offloaded()
        self.engine.stop()
        self.inbox.close()
        self._checkpoint()
        if self._timer is not None:
            self._timer.cancel()
        if self._closing is not None:
            await self._closing()

    async def _finish_offloaded(self) -> None:
        """Wait a little for work that runs elsewhere: its results still go through the flow."""
        limit = time.monotonic() + FINISH_S
        while self.engine.offloaded and time.monotonic() < limit:
            await asyncio.sleep(0.01)
        if self.engine.offloaded:
            log.warning("%d results of work elsewhere did not come in time and are lost", self.engine.offloaded)

    def _work(self) -> None:
        with self._lock:
            self._pending = False
        self.engine.enter(self.inbox.run)
        # Not left to the timer's own call: `_arm` puts that off, and a circle may bring us here again and again.
        self.engine.run_due()
        if self.engine.turn():
            self.wake()
        self._arm()

    def _arm_soon(self) -> None:
        if not self._arming and self._loop is not None:
            self._arming = True
            self._loop.call_soon(self._arm)

    def _arm(self) -> None:
        self._arming = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wait = self.engine.timers.wait()
        if wait is not None and self._loop is not None:
            self._timer = self._loop.call_later(self.engine.clock.real_seconds(wait), self._fire)

    def _fire(self) -> None:
        self._timer = None
        self.engine.run_due()
        self._arm()

    def _checkpoint(self) -> None:
        try:
            self.engine.checkpoint(self._save)
        except Exception as error:  # noqa: BLE001 - whatever it is (memory, say), the relays need the engine to go on
            text = str(error) if isinstance(error, StoreError) else f"{type(error).__name__}: {error}"
            if not self.save_error:
                log.error("nothing can be saved now, it is kept in memory: %s", text)
            self.save_error = text
        else:
            if self.save_error:
                log.warning("saving works again")
            self.save_error = ""
            self.saved_at = self.engine.clock.now()
