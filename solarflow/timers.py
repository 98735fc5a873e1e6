"""The timers of an engine: one for each (node, method, key), on two clocks, kept over a restart.

Holds run on the monotonic clock, so a step of the wall clock moves none of them; moments run on UTC.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from solarflow.clock import Clock

TimerId = tuple[str, str, str]
"""(node, method, key)."""
TOLERANCE_S = 1e-6
"""A timer counts as due this much early: in this century UTC as a float has steps of a quarter of a microsecond."""
SPARE_PLACES = 1000
"""A heap is swept once so many places in it, and most of them, belong to timers that have ended."""


@dataclass(slots=True, eq=False)
class Timer:
    """One timer: `due` on the monotonic clock, or in UTC where `wall`."""

    id: TimerId
    due: float
    wall: bool
    period: float = 0.0
    queued_at: float = 0.0
    """The due time under which it stands in the heap; the timer may have been moved later since."""
    alive: bool = True


class Timers:
    """Schedules by id; `pop_due` gives those whose time has come, in the order of their due times."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._timers: dict[TimerId, Timer] = {}
        self._heaps: dict[bool, list[tuple[float, int, Timer]]] = {False: [], True: []}
        self._sequence = 0
        self.changed: set[TimerId] = set()
        self.on_earlier: Callable[[], None] = lambda: None
        """Called when something may now be due earlier than before."""

    def __len__(self) -> int:
        return len(self._timers)

    def schedule(self, id_: TimerId, due: float, *, wall: bool, restart: bool, period: float = 0.0) -> None:
        """Start a timer. One that runs already runs on, or with `restart` is moved."""
        timer = self._timers.get(id_)
        if timer is not None:
            if not restart:
                return
            if timer.wall == wall and due >= timer.queued_at:
                # Moved later: its place in the heap stays; when that comes up it is put back.
                timer.due = due
                timer.period = period
                self.changed.add(id_)
                return
            timer.alive = False
        timer = Timer(id_, due, wall, period)
        self._timers[id_] = timer
        self.changed.add(id_)
        self._push(timer)

    def _push(self, timer: Timer) -> None:
        heap = self._heaps[timer.wall]
        if len(heap) > SPARE_PLACES + 2 * len(self._timers):
            heap[:] = [place for place in heap if place[2].alive]
            heapq.heapify(heap)
        self._sequence += 1
        timer.queued_at = timer.due
        heapq.heappush(heap, (timer.due, self._sequence, timer))
        if heap[0][2] is timer:
            self.on_earlier()

    def cancel(self, id_: TimerId) -> bool:
        """End a timer. False: there was none."""
        timer = self._timers.pop(id_, None)
        if timer is None:
            return False
        timer.alive = False
        self.changed.add(id_)
        return True

    def cancel_node(self, node: str, key: str | None = None) -> None:
        """End all timers of a node, or those of one of its keys."""
        for id_ in [i for i in self._timers if i[0] == node and (key is None or i[2] == key)]:
            self.cancel(id_)

    def of_node(self, node: str) -> Iterator[Timer]:
        """The running timers of a node."""
        return (timer for timer in list(self._timers.values()) if timer.id[0] == node)

    def remaining(self, id_: TimerId) -> float | None:
        """Clock seconds until it is due, or None."""
        timer = self._timers.get(id_)
        if timer is None:
            return None
        return timer.due - (self._clock.now() if timer.wall else self._clock.monotonic())

    def wait(self) -> float | None:
        """Clock seconds until the next is due (0 where one is), or None where none runs."""
        waits = []
        for wall, now in ((False, self._clock.monotonic), (True, self._clock.now)):
            self._settle(wall)
            if self._heaps[wall]:
                waits.append(max(0.0, self._heaps[wall][0][0] - now()))
        return min(waits, default=None)

    def _settle(self, wall: bool) -> None:
        """Make the head of a heap a living timer that stands under its true due time."""
        heap = self._heaps[wall]
        while heap:
            due, _, timer = heap[0]
            if timer.alive and timer.due == due:
                return
            heapq.heappop(heap)
            if timer.alive:
                self._push(timer)

    def pop_due(self) -> TimerId | None:
        """Take the timer that is due the longest, or None. A periodic one is started again."""
        best: Timer | None = None
        best_late = 0.0
        for wall, now in ((False, self._clock.monotonic()), (True, self._clock.now())):
            self._settle(wall)
            heap = self._heaps[wall]
            if heap and (late := now - heap[0][0]) >= -TOLERANCE_S and (best is None or late > best_late):
                best, best_late = heap[0][2], late
        if best is None:
            return None
        heapq.heappop(self._heaps[best.wall])
        self.changed.add(best.id)
        if best.period > 0:
            # Beats that were missed are skipped, and the phase is kept.
            missed = max(0, int(best_late // best.period))
            best.due += best.period * (missed + 1)
            self._push(best)
        else:
            del self._timers[best.id]
            best.alive = False
        return best.id

    # -- over a restart -----------------------------------------------------------------------------------------

    def take_changes(self) -> dict[TimerId, bytes | None]:
        """What has changed since the last call, as JSON; None for those that ended. Periodic ones are not kept."""
        changes: dict[TimerId, bytes | None] = {}
        for id_ in self.changed:
            timer = self._timers.get(id_)
            changes[id_] = None if timer is None or timer.period else json.dumps([timer.wall, timer.due]).encode()
        self.changed = set()
        return changes

    def restore(self, id_: TimerId, kept: bytes) -> None:
        """Start a timer as `pause` gives it: a hold with what was left of it, a moment at its moment."""
        wall, value = json.loads(kept)
        due = value if wall else self._clock.monotonic() + value
        self.schedule(id_, due, wall=bool(wall), restart=True)


def pause(kept: bytes, saved_monotonic: float) -> bytes:
    """A timer as `take_changes` gives it, with what was left of a hold when it was saved in place of its due time.

    A monotonic clock means nothing after a restart. What is paused already stays as it is.
    """
    wall, value = json.loads(kept)
    return json.dumps([None, max(0.0, value - saved_monotonic)]).encode() if wall is False else kept
