"""The watchdog by itself: whom it names, what it tells, and when it keeps quiet."""

import logging
import sys
import threading
import time

import pytest

from solarflow.watchdog import Watchdog, describe_frame


class Loop:
    """A thread that answers what it is asked, unless it is busy with something else."""

    def __init__(self) -> None:
        self.busy = threading.Event()
        self.free = threading.Event()
        self._asked: list = []
        self._work = threading.Condition()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def ask(self, function) -> None:
        with self._work:
            self._asked.append(function)
            self._work.notify()

    def _run(self) -> None:
        while True:
            with self._work:
                while not self._asked:
                    self._work.wait()
                function = self._asked.pop(0)
            function()

    def compute_for_long(self) -> None:
        self.busy.set()
        self.free.wait(10)


@pytest.fixture
def loop():
    loop = Loop()
    yield loop
    loop.free.set()


@pytest.fixture
def watchdog(loop):
    assert loop.thread.ident is not None
    watchdog = Watchdog(loop.ask, loop.thread.ident, tell_after_s=0.15, ask_every_s=0.05, look_every_s=0.02)
    watchdog.start()
    yield watchdog
    watchdog.stop()


def until(holds) -> None:
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_what_is_no_node_is_named_by_its_function_and_told_once_with_its_end(loop, watchdog, caplog):
    loop.ask(loop.compute_for_long)
    until(lambda: watchdog.blocked is not None)
    first = watchdog.blocked
    until(lambda: watchdog.blocked.seconds > first.seconds)
    assert first.node == ""
    assert "wait" in first.who
    assert "compute_for_long" in first.stack
    loop.free.set()
    until(lambda: watchdog.blocked is None)
    until(lambda: watchdog.last is not None)
    assert watchdog.count == 1
    assert watchdog.total_s >= 0.15
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.WARNING]
    assert "compute_for_long" in caplog.text


def test_it_keeps_quiet_while_answers_come(loop, watchdog):
    for _ in range(20):
        done = threading.Event()
        loop.ask(lambda done=done: done.wait(0.02) or done.set())
        assert done.wait(5)
    assert watchdog.count == 0


def test_it_ends_with_the_thread_that_it_watches(loop):
    watchdog = Watchdog(lambda _function: None, 12345, tell_after_s=0.1, ask_every_s=0.01, look_every_s=0.01)
    watchdog.start()
    watchdog.stop()
    assert watchdog.blocked is None


def test_a_stack_without_a_node_is_described_by_its_innermost_function():
    (node, who), stack = describe_frame(sys._getframe())
    assert node == ""
    assert who.startswith("test_a_stack_without_a_node_is_described_by_its_innermost_function")
    assert "describe_frame(sys._getframe())" in stack
