"""The engine on the machine's time: the inbox's two lanes, the thread, work elsewhere, start and stop."""

import asyncio
import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from solarflow.clock import SystemClock
from solarflow.engine import Engine
from solarflow.errors import ConnectionLostError, OverloadedError, StoreError
from solarflow.executor import DaemonExecutor
from solarflow.live import Inbox, LiveEngine
from solarflow.node import Node, NodeConfig
from solarflow.plan import FlowSpec, NodeSpec, Plan
from solarflow.registry import Registry
from solarflow.store.changes import StateChanges

SOON_S = 5.0
"""How long a test waits for what should happen at once."""


class Step(Node):
    """Puts each payload into `got`, and sends it on; a "slow" one is computed elsewhere when `gate` opens."""

    type = "step"
    got: list = []
    arrived = threading.Condition()
    gate = threading.Event()

    def on_start(self) -> None:
        self.take("start")

    def on_stop(self) -> None:
        self.take("stop")

    def on_input(self, msg) -> None:
        payload = msg["payload"]
        if payload == "slow":
            self.offload(self.gate.wait, SOON_S, then=lambda result, _msg: self.take(("slow", result)), msg=msg)
        elif payload == "fails":
            self.offload(int, "no number", then=lambda result, _msg: self.take(result), msg=msg)
        elif payload == "later":
            self.after(0.01, self.ring)
        elif payload == "spin":
            self.send(msg)
        else:
            self.take(payload)
            self.state["all"]["last"] = payload

    def ring(self, _key: str) -> None:
        self.take(("rang", threading.current_thread().name))

    @classmethod
    def take(cls, what) -> None:
        with cls.arrived:
            cls.got.append(what)
            cls.arrived.notify_all()

    @classmethod
    def wait_for(cls, what) -> None:
        with cls.arrived:
            assert cls.arrived.wait_for(lambda: what in cls.got, SOON_S), f"{what} did not come; there is {cls.got}"


def plan(wires=()) -> Plan:
    spec = NodeSpec(
        id="step", type="step", name="", file="f.json", flow="tab", scopes=("tab",), groups=(),
        config=NodeConfig(), env={}, wires=(wires,),
    )  # fmt: skip
    queued = frozenset(("step", 0, target) for target in wires)
    return Plan(nodes={"step": spec}, flows={"tab": FlowSpec("tab", "", "f.json", nodes=("step",))}, queued=queued)


@pytest.fixture
def saved():
    return []


@pytest.fixture
def running(saved):
    """Starts live engines with one step in them, and stops them after the test."""
    Step.got.clear()
    Step.gate.clear()
    with contextlib.ExitStack() as after:

        def start(wires=(), save=None, **options):
            registry = Registry()
            registry.add(Step)

            def make(live: LiveEngine) -> Engine:
                return Engine(registry, SystemClock(), executor=live.executor, call_back=live.call_back)

            def keep(changes: StateChanges) -> None:
                saved.append(changes)

            live = LiveEngine(make, save=save or keep, **options)
            after.callback(live.stop)
            after.callback(Step.gate.set)
            live.start()
            live.call(lambda: live.engine.deploy(plan(wires)))
            return live

        yield start


def give(live, payload):
    live.inbox.post(lambda: live.engine.inject("step", {"payload": payload}))


# -- the inbox --------------------------------------------------------------------------------------------------


def test_readings_drop_the_oldest_and_count():
    inbox = Inbox(lambda: None, readings=3)
    got = []
    for number in range(5):
        inbox.post(lambda number=number: got.append(number))
    inbox.run()
    assert got == [2, 3, 4]
    assert inbox.dropped == 2


def test_a_reading_that_fails_does_not_take_the_others_with_it(caplog):
    inbox = Inbox(lambda: None)
    got = []
    inbox.post(lambda: 1 / 0)
    inbox.post(lambda: got.append(1))
    inbox.run()
    assert got == [1]
    assert "could not be taken" in caplog.text


def test_readings_that_come_from_many_threads_are_all_taken_or_counted():
    inbox = Inbox(lambda: None, readings=10)
    got = []
    with ThreadPoolExecutor(4) as pool:
        posts = [pool.submit(inbox.post, lambda: got.append(1)) for _ in range(2000)]
        while not all(post.done() for post in posts):
            inbox.run()
    inbox.run()
    assert all(post.exception() is None for post in posts)
    assert len(got) + inbox.dropped == 2000


def test_a_call_whose_turn_does_not_come_is_refused_and_not_run_later():
    inbox = Inbox(lambda: None)
    got = []
    with pytest.raises(OverloadedError, match="nothing was done"):
        inbox.call(lambda: got.append(1), timeout_s=0.01)
    inbox.run()
    assert got == []


def test_a_call_that_finds_no_room_is_refused():
    inbox = Inbox(lambda: None, calls=1)
    with pytest.raises(OverloadedError):
        inbox.call(lambda: 1, timeout_s=0.01)
    before = time.monotonic()
    with pytest.raises(OverloadedError):
        inbox.call(lambda: 2, timeout_s=0.01)
    assert time.monotonic() - before < 1


def test_calls_go_before_readings():
    inbox = Inbox(lambda: None)
    got = []
    inbox.post(lambda: got.append("reading"))
    called = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        inbox._wake = called.set
        result = pool.submit(inbox.call, lambda: got.append("call"), SOON_S)
        assert called.wait(SOON_S)
        inbox.run()
        result.result(SOON_S)
    assert got == ["call", "reading"]


def test_what_a_call_raises_is_raised_where_it_was_made(running):
    live = running()
    with pytest.raises(ZeroDivisionError):
        live.call(lambda: 1 / 0)
    with pytest.raises(TimeoutError, match="its own"):
        live.call(_raise_timeout)


def _raise_timeout():
    raise TimeoutError("its own")


def test_a_call_that_has_begun_is_waited_for(running):
    live = running()
    began, go_on = threading.Event(), threading.Event()

    def work():
        began.set()
        return go_on.wait(SOON_S)

    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(live.call, work, 0.2)
        assert began.wait(SOON_S)
        time.sleep(0.25)  # not a synchronisation: it lets the limit of the call pass
        go_on.set()
        assert result.result(SOON_S) is True


def test_who_calls_a_closed_inbox_or_waits_in_it_is_told_that_the_engine_has_stopped():
    inbox = Inbox(lambda: None)
    waiting = threading.Event()
    inbox._wake = waiting.set
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(inbox.call, lambda: 1, SOON_S)
        assert waiting.wait(SOON_S)
        inbox.close()
        with pytest.raises(ConnectionLostError, match="the engine has stopped"):
            result.result(SOON_S)
    with pytest.raises(ConnectionLostError, match="the engine has stopped"):
        inbox.call(lambda: 1)


# -- the thread -------------------------------------------------------------------------------------------------


def test_everything_runs_on_the_engines_thread(running):
    live = running()
    assert live.call(lambda: threading.current_thread().name) == "engine"
    assert live.call(lambda: live.call(lambda: "at once")) == "at once"
    give(live, "later")
    Step.wait_for(("rang", "engine"))


def test_readings_reach_their_node(running):
    live = running()
    for number in range(100):
        give(live, number)
    Step.wait_for(99)
    assert Step.got == ["start", *range(100)]


def test_a_spinning_circle_lets_calls_and_timers_through(running):
    live = running(wires=("step",))
    live.call(lambda: setattr(live.engine, "limits", live.engine.limits.__class__(max_hops=10**9, turn=10)))
    give(live, "spin")
    give(live, "later")
    Step.wait_for(("rang", "engine"))
    assert live.call(lambda: "through") == "through"
    live.call(lambda: live.engine._queue.clear())


def test_what_has_changed_is_saved_each_second_and_at_the_end(running, saved):
    live = running()
    give(live, "a")
    Step.wait_for("a")
    live.stop()
    states = {}
    for changes in saved:
        states.update(changes.states)
    assert states == {("step", "all"): b'{"last":"a"}'}


def test_what_cannot_be_saved_is_said_kept_and_saved_later(running, monkeypatch):
    monkeypatch.setattr("solarflow.live.CHECKPOINT_S", 0.02)
    tries, done = [], threading.Event()

    def save(changes):
        tries.append(dict(changes.states))
        if len(tries) < 3:
            raise StoreError("the disk is full")
        done.set()

    live = running(save=save)
    give(live, "a")
    Step.wait_for("a")
    assert done.wait(SOON_S)
    live.stop()
    assert any(states.get(("step", "all")) == b'{"last":"a"}' for states in tries[2:])
    assert live.save_error == ""


# -- start and stop ---------------------------------------------------------------------------------------------


def test_what_opening_raises_is_raised_by_start_and_what_was_opened_is_closed():
    closed = []

    async def opening():
        raise ConnectionLostError("no broker")

    async def closing():
        closed.append(True)

    live = LiveEngine(
        lambda live: Engine(Registry(), SystemClock()), save=lambda changes: None, opening=opening, closing=closing
    )
    with pytest.raises(ConnectionLostError, match="no broker"):
        live.start()
    assert closed == [True]
    live.stop()
    with pytest.raises(ConnectionLostError):
        live.call(lambda: 1)


def test_opening_is_through_when_start_returns_and_closing_comes_after_the_end_of_the_engine(running):
    happened = []

    async def opening():
        await asyncio.sleep(0)
        happened.append("opened")

    async def closing():
        happened.append(("closed", live.engine.running))

    live = running(opening=opening, closing=closing)
    assert happened == ["opened"]
    live.stop()
    assert happened == ["opened", ("closed", False)]


def test_after_the_end_there_is_no_loop_and_nobody_is_called(running):
    live = running()
    live.stop()
    live.stop()
    with pytest.raises(ConnectionLostError, match="the engine does not run"):
        live.loop  # noqa: B018 - asking is the test
    with pytest.raises(ConnectionLostError, match="the engine has stopped"):
        live.call(lambda: 1)
    give(live, "too late")
    live.call_back(lambda: Step.take("too late"))
    assert Step.got == ["start", "stop"]


def test_a_stop_delivers_what_is_in_the_inbox(running):
    live = running()
    blocked, go_on = threading.Event(), threading.Event()

    def block():
        blocked.set()
        go_on.wait(SOON_S)

    live.inbox.post(block)
    assert blocked.wait(SOON_S)
    give(live, "waiting")
    with ThreadPoolExecutor(1) as pool:
        stopped = pool.submit(live.stop)
        go_on.set()
        stopped.result(SOON_S)
    assert Step.got == ["start", "waiting", "stop"]


# -- work elsewhere ---------------------------------------------------------------------------------------------


def test_work_elsewhere_holds_nobody_up_and_its_result_comes_back(running):
    live = running()
    give(live, "slow")
    give(live, "quick")
    Step.wait_for("quick")
    Step.gate.set()
    Step.wait_for(("slow", True))
    assert live.call(lambda: live.engine.offloaded) == 0


def test_an_error_elsewhere_is_an_error_of_the_node(running):
    live = running()
    heard = threading.Event()
    live.call(lambda: live.engine.on_event.append(lambda kind, what: heard.set() if kind == "error" else None))
    give(live, "fails")
    assert heard.wait(SOON_S)
    assert "invalid literal for int()" in live.engine.cells["step"].last_error


def test_a_stop_waits_for_work_elsewhere(running):
    live = running()
    give(live, "slow")
    live.call(lambda: None)
    with ThreadPoolExecutor(1) as pool:
        stopped = pool.submit(live.stop)
        Step.gate.set()
        stopped.result(SOON_S)
    assert ("slow", True) in Step.got


def test_a_stop_does_not_wait_for_ever(running, monkeypatch, caplog):
    monkeypatch.setattr("solarflow.live.FINISH_S", 0.05)
    live = running()
    give(live, "slow")
    live.call(lambda: None)
    live.stop()
    assert "1 results of work elsewhere did not come in time" in caplog.text


def test_too_much_work_elsewhere_is_refused():
    executor = DaemonExecutor(threads=1, waiting=1)
    gate, began = threading.Event(), threading.Event()

    def work():
        began.set()
        gate.wait(SOON_S)

    first = executor.submit(work)
    assert began.wait(SOON_S)
    second, third = executor.submit(gate.wait, SOON_S), executor.submit(gate.wait, SOON_S)
    with pytest.raises(OverloadedError, match="this was not begun"):
        third.result(0)
    gate.set()
    first.result(SOON_S)
    assert second.result(SOON_S) is True


def test_work_that_was_cancelled_is_not_begun():
    executor = DaemonExecutor(threads=1)
    gate, began = threading.Event(), threading.Event()

    def work():
        began.set()
        gate.wait(SOON_S)

    executor.submit(work)
    assert began.wait(SOON_S)
    got = []
    cancelled = executor.submit(got.append, 1)
    assert cancelled.cancel()
    gate.set()
    executor.submit(got.append, 2).result(SOON_S)
    assert got == [2]
