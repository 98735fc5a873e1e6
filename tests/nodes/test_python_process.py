"""The python node's process: what goes wrong in the code stays in it, is reported, and is over with it."""

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from solarflow.clock import SystemClock
from solarflow.engine import Engine
from solarflow.errors import OverloadedError
from solarflow.flowbench import FlowBench
from solarflow.live import LiveEngine
from solarflow.plan import FlowSpec, NodeSpec, Plan
from solarflow.registry import Registry
from solarflow.worker import tasks_of

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
SOON_S = 10.0
"""How long a test waits for what should happen at once."""


def bad_at_first(line, after=""):
    """Code that comes to a bad end for payload 0 and sends on any other message; `line` is its line 2."""
    return f"if msg['payload'] == 0:\n    {line}\n{after}\nreturn msg"


def running(group):
    """The processes of a process group that have not ended."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                state, _, of_group, *_ = (folder / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(of_group) == group and state != "Z":
                found.append(int(folder.name))
    return found


def until(condition, what):
    limit = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < limit, what
        time.sleep(0.005)


def pid_of(bench):
    return bench.node.process.pid


# -- bad ends ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "config", "said"),
    [
        ("while True: pass", {"timeout_s": 0.2}, "line 2: the code took longer than its 0.2 s (timeout_s) and was"),
        (
            "while True:\n        try: len(1)\n        except BaseException: pass",
            {"timeout_s": 0.2},
            "the code took longer than its 0.2 s (timeout_s) and was ended",
        ),
        ("10 ** 10 ** 9", {"timeout_s": 0.2}, "the code took longer than its 0.2 s (timeout_s) and was ended"),
        ("import time; time.sleep(60)", {"timeout_s": 0.2}, "line 2: the code took longer than its 0.2 s"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
            {"timeout_s": 0.2},
            "the code took longer than its 0.2 s",
        ),
        ("x = ['a' * 1000000 * n for n in range(1000)]", {}, "line 2: the code needs more than 256 MB of memory and"),
        ("b = bytes(80_000_000)", {"memory_mb": 64}, "line 2: the code needs more than 64 MB of memory and was ended"),
        ("import os; os._exit(3)", {}, "the code ended its own process (exit status 3)"),
        ("import os; os.abort()", {}, "the process of the code crashed (SIGABRT)"),
        ("import ctypes; ctypes.string_at(0)", {}, "the process of the code crashed (SIGSEGV)"),
        (
            "import os; os.closerange(3, 1000)",
            {},
            "the process of the code was killed, or closed its connection to the",
        ),
        ("import os; os.kill(os.getpid(), 9)", {}, "the process of the code was killed, or closed its connection to"),
        ("import os; os.write(3, b'rubbish' * 10)", {}, "sent what cannot be understood, and was ended"),
    ],
)
def test_a_bad_end_is_reported_and_the_next_message_finds_a_new_process(node, line, config, said):
    bench = node("python", func=bad_at_first(line), **config)
    bench.feed(1)
    ended = pid_of(bench)
    bench.feed(0)
    assert len(bench.errors) == 1
    assert said in bench.errors[0]
    assert pid_of(bench) is None
    until(lambda: running(ended) == [], "a process is left")
    bench.feed(2)
    assert bench.payloads == [1, 2]
    assert pid_of(bench) != ended


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("import sys; sys.exit(3)", "line 2: SystemExit(3): a node cannot end the program; use return"),
        ("raise KeyboardInterrupt", "line 2: KeyboardInterrupt: "),
        ("f = lambda: f(); f()", "line 2: RecursionError: maximum recursion depth exceeded"),
        ("while True: node.warn('x')", "line 2: RuntimeError: the code calls node, flow, global_ and env more than"),
        ("while True: os.fork()", "line 2: RuntimeError: the code may start at most 16 processes for one message"),
        ("return {'payload': 'x' * 17_000_000}", "what the code returns: the value has 17 MB as JSON; at most 16 MB"),
        ("node.send({'payload': 'x' * 17_000_000})", "line 2: the value has 17 MB as JSON; at most 16 MB are allowed"),
        (
            "return {'payload': {'a': [1, {2}]}}",
            "what the code returns: payload.a[1] is of type set; what goes between",
        ),
        ("node.send([None, {'x': b'a'}])", "line 2: [1].x is of type bytes; what goes between the flow and the code"),
        ("flow.set('x', object())", "line 2: the value is of type object; what goes between the flow and the code is"),
        ("return {'payload': {1: 2}}", "what the code returns: payload has 1 as a name; names are text: use str(...)"),
        ("return {'payload': float('nan')}", "what the code returns: the value cannot be written: Out of range float"),
        ("msg['msg'] = msg; return msg", "is nested more than 100 deep, or contains itself"),
        ("node.status('x', 'purple')", "line 2: 'purple' is no fill of a status; there are red, green, yellow, blue,"),
        ("flow.set('x', 1, store='nowhere')", "line 2: "),
        ("node.send(5)", "line 2: the code gives a int, where a message (a dict), a list with one entry"),
        ("threading.Thread(target=lambda: result.append(tried())).start()", ""),
    ],
)
def test_what_can_be_said_without_a_bad_end_leaves_the_process_as_it_is(node, line, said):
    prepare = (
        "import os, threading\nresult = []\ndef tried():\n    try: node.warn('x')\n    except RuntimeError as e: pass"
    )
    bench = node("python", func=bad_at_first(line), initialize=prepare, timeout_s=10, outputs=2)
    process = pid_of(bench)
    bench.feed(0)
    bench.feed(1)
    assert said in "".join(bench.errors)
    assert bench.payloads[-1] == 1
    assert pid_of(bench) == process


def test_code_that_forks_gives_one_answer(node):
    bench = node("python", func="import os\nmsg['child'] = os.fork() == 0\nreturn msg")
    bench.feed(0)
    bench.feed(1)
    assert [seen.msg["child"] for seen in bench.sent] == [False, False]
    assert bench.errors == []


def test_children_of_the_code_end_with_it(node):
    bench = node("python", timeout_s=0.5, func=bad_at_first(
        "subprocess.Popen(['sleep', '600']); msg['pid'] = os.getpid(); node.send(msg)\n    while True: pass",
    ), initialize="import os, subprocess")  # fmt: skip
    bench.feed(0)
    assert "took longer" in bench.errors[0]
    until(lambda: running(bench.last["pid"]) == [], "a process is left")


def test_a_fork_bomb_that_takes_no_for_an_answer_is_bounded_and_ended(node):
    bomb = "while True:\n        try: os.fork()\n        except Exception: pass"
    bench = node("python", func=bad_at_first(bomb), initialize="import os", timeout_s=0.3)
    process = pid_of(bench)
    bench.feed(0)
    assert "took longer" in bench.errors[0]
    until(lambda: running(process) == [], "a process is left")
    bench.feed(1)
    assert bench.payloads == [1]


def test_after_two_bad_ends_in_a_row_the_node_rests_twice_as_long_each_time(node):
    bench = node("python", func=bad_at_first("import os; os._exit(1)"))
    bench.feed(0)
    bench.feed(0)
    assert "exit status 1" in bench.errors[1]
    bench.feed(1)
    assert bench.errors[2] == "the code's process came to a bad end 2 times in a row; it is begun anew in 1.0 s"
    assert bench.sent == []
    bench.feed(0, at=1)
    bench.feed(1, at=2.5)
    assert bench.errors[4].endswith("3 times in a row; it is begun anew in 0.5 s")
    bench.feed(1, at=3)
    assert bench.payloads == [1]
    bench.feed(0)
    bench.feed(2)
    assert bench.payloads == [1, 2], "a success in between begins the count anew"


def test_initialize_runs_again_in_each_new_process(node):
    bench = node(
        "python", initialize="import os\nn = 10", func=bad_at_first("os._exit(1)", "global n\nn += 1\nmsg['n'] = n")
    )
    for payload in (1, 1, 0, 1):
        bench.feed(payload)
    assert [seen.msg["n"] for seen in bench.sent] == [11, 12, 11]


def test_an_initialize_that_never_ends_is_reported_for_it_and_not_tried_without_end(node):
    bench = node("python", initialize="while True: pass", func="return msg", timeout_s=0.1)
    bench.feed(1)
    bench.feed(2)
    assert [error.partition(" the code")[0] for error in bench.errors[:2]] == ["initialize, line 1:"] * 2
    assert bench.errors[-1].startswith("the code's process came to a bad end 2 times in a row")
    assert bench.sent == []


# -- what the code sees and says ---------------------------------------------------------------------------------


def test_what_it_prints_is_logged_up_to_a_bound_even_before_a_bad_end(node):
    bench = node("python", func=bad_at_first("print('before', 'the end', flush=True)\n    while True: pass",
                                             "print('a\\nb')\nprint('x' * 1000000)"), timeout_s=0.3)  # fmt: skip
    bench.feed(1)
    assert bench.logged[0].startswith("a\nb\nxxx")
    assert bench.logged[0].endswith("... and 990005 characters more")
    assert len(bench.logged[0]) < 10_100
    bench.feed(0)
    assert bench.logged[1] == "before the end"


def test_the_process_has_nothing_of_the_program_but_the_path_and_an_empty_folder(node, monkeypatch):
    monkeypatch.setenv("SECRET", "x")
    held = os.open(__file__, os.O_RDONLY)
    os.set_inheritable(held, True)
    func = (
        "import os\nmsg.update(env=sorted(os.environ), folder=os.getcwd(), files=os.listdir('.'), "
        "open=[os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') if int(n) < 100 and "
        "os.path.lexists(f'/proc/self/fd/{n}')], session=os.getsid(0) == os.getpid())\nreturn msg"
    )
    bench = node("python", func=func)
    bench.feed(0)
    os.close(held)
    seen = bench.last
    assert [name for name in seen["env"] if name != "LC_CTYPE"] == ["OPENBLAS_NUM_THREADS", "PATH", "PYTHONHASHSEED"]
    assert seen["files"] == []
    assert seen["session"] is True
    assert [name for name in seen["open"] if name != "/dev/null" and not name.startswith("socket:")] == []
    assert Path(seen["folder"]).is_dir()
    bench.close()
    assert not Path(seen["folder"]).exists()


def test_code_may_import_what_the_program_has(node):
    bench = node("python", func="import numpy, solarflow\nmsg['payload'] = float(numpy.mean(msg['payload']))\n"
                 "msg['version'] = solarflow.__version__\nreturn msg", timeout_s=30)  # fmt: skip
    bench.feed([1, 2])
    assert bench.errors == []
    assert bench.payloads == [1.5]
    assert bench.last["version"]


def test_a_set_has_the_same_order_in_every_run(node):
    orders = []
    for _ in range(2):
        bench = node("python", func="msg['payload'] = list({str(n) for n in range(50)})\nreturn msg")
        bench.feed(0)
        orders.append(bench.payloads[0])
        bench.close()
    assert orders[0] == orders[1]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"x", "the message cannot be given to the code: payload.a[0] is of type bytes; what goes between"),
        (10**5000, "the message cannot be given to the code: the value cannot be written: Exceeds the limit"),
        ("x" * 17_000_000, "the message cannot be given to the code: the value has 17 MB as JSON"),
    ],
    ids=["bytes", "digits", "long"],
)
def test_a_message_that_is_no_json_is_an_error_that_says_where(node, value, said):
    bench = node("python", func="return msg")
    bench.feed({"a": [value]})
    assert said in bench.errors[0]
    bench.feed(1)
    assert bench.payloads == [1]


def test_code_may_mend_a_message_with_a_number_that_is_none(node):
    bench = node("python", func="import math\nmsg['payload'] = not math.isnan(msg['payload'])\nreturn msg")
    bench.feed(float("nan"))
    assert bench.payloads == [False]


def test_the_way_back_to_who_asked_passes_by_the_code(node):
    class Answer:
        pass

    answer = Answer()
    bench = node("python", func='node.send({"payload": 1, "res": msg["res"]})\nmsg["payload"] = 2\nreturn msg')
    bench.feed(0, res=answer)
    assert [seen.msg["res"] for seen in bench.sent] == [answer, answer]


def test_a_message_is_complete_once_however_often_the_code_calls(registry):
    bench = FlowBench([
        {"id": "t", "type": "tab", "label": "t"},
        {"id": "n", "type": "python", "z": "t", "x": 1, "y": 1, "wires": [[]],
         "func": "for n in range(3): flow.set('n', n)\nif msg['payload'] == 0: raise ValueError\nreturn msg"},
        {"id": "c", "type": "complete", "z": "t", "x": 1, "y": 1, "scope": ["n"], "uncaught": False, "wires": [[]]},
    ], registry, settings={"allow_code": True})  # fmt: skip
    bench.inject("n", payload=1)
    bench.inject("n", payload=0)
    bench.inject("n", payload=2)
    assert bench.payloads("c") == [1, 2]


# -- live -------------------------------------------------------------------------------------------------------


class Live:
    """A live engine with one python node in it."""

    def __init__(self, registry: Registry, executor=None, **config) -> None:
        self.seen, self.errors, self.changed = [], [], threading.Condition()

        def make(live):
            engine = Engine(registry, SystemClock(), executor=executor or live.executor, call_back=live.call_back)
            engine.on_event.append(self._hear)
            return engine

        self.live = LiveEngine(make, save=lambda _changes: None)
        self.live.start()
        self.deploy(registry, **config)
        self.pid = lambda: self.live.engine.nodes["n"].process.pid

    def _hear(self, kind, what):
        with self.changed:
            if kind == "error":
                self.errors.append(what)
            elif kind == "debug":
                self.seen.append(what)
            self.changed.notify_all()

    def deploy(self, registry, **config):
        def spec(id_, type_, config, wires=()):
            checked = registry[type_].Config.model_validate(config)
            return NodeSpec(id=id_, type=type_, name="", file="f.json", flow="t", scopes=("t",), groups=(),
                            config=checked, env={}, wires=wires, digest=repr(checked))  # fmt: skip

        nodes = {"n": spec("n", "python", config, (("d",),)), "d": spec("d", "debug", {"complete": "payload"})}
        plan = Plan(nodes=nodes, flows={"t": FlowSpec("t", "", "f.json", nodes=tuple(nodes))})
        self.live.call(lambda: self.live.engine.deploy(plan), 30)

    def give(self, *payloads):
        for payload in payloads:
            self.live.inbox.post(lambda payload=payload: self.live.engine.inject("n", {"payload": payload}))

    def wait(self, condition, what=""):
        with self.changed:
            assert self.changed.wait_for(condition, SOON_S), f"{what} {self.errors[-3:]}"

    def wait_for_begin(self):
        until(lambda: "n" in self.live.engine.statuses, "the code did not begin")

    def set(self, name, value):
        self.live.call(lambda: self.live.engine.contexts.scope("flow:t", "memory").set(name, value))


@pytest.fixture
def live(registry):
    made = []

    def make(**config):
        made.append(Live(registry, **config))
        return made[-1]

    yield make
    for one in made:
        one.live.stop()


WAITS_FOR_GO = "node.status('began')\nwhile not flow.get('go'): time.sleep(0.002)\nreturn msg"


def test_messages_come_out_in_the_order_in_which_they_came(live):
    one = live(func="if msg['payload'] % 10 == 0: time.sleep(0.002)\nreturn msg", initialize="import time")
    one.give(*range(300))
    one.wait(lambda: len(one.seen) == 300)
    assert [what["value"] for what in one.seen] == [*range(300)]


def test_the_engine_goes_on_while_the_code_works(live):
    one = live(func=WAITS_FOR_GO, initialize="import time", timeout_s=30)
    one.give(1)
    one.set("go", True)  # on the engine's thread, and the code sees it
    one.wait(lambda: len(one.seen) == 1)
    assert one.errors == []


def test_only_so_many_messages_wait_and_the_oldest_of_more_is_an_error(live):
    one = live(func=WAITS_FOR_GO, initialize="import time", timeout_s=30)
    one.give(0)
    one.wait_for_begin()
    one.give(*range(1, 1003))  # two are too many
    one.wait(lambda: len(one.errors) == 2)
    assert [(what["msg"]["payload"], what["text"]) for what in one.errors] == [
        (payload, "more than 1000 messages wait for the code; the oldest is dropped") for payload in (1, 2)
    ]
    one.set("go", True)
    one.wait(lambda: len(one.seen) == 1001)


def test_a_loop_without_end_holds_up_neither_the_next_message_nor_the_other_work(live):
    one = live(func=bad_at_first("while True: pass"), timeout_s=0.2)
    one.give(0, 1)
    one.wait(lambda: len(one.seen) == 1)
    assert "line 2: the code took longer" in one.errors[0]["text"]


def test_work_that_is_refused_elsewhere_is_an_error_and_the_next_message_is_taken(registry):
    class Full:
        refuses = 1

        def submit(self, function, *args):
            future = Future()
            if self.refuses:
                self.refuses -= 1
                future.set_exception(OverloadedError("too much is waiting"))
            else:
                future.set_result(function(*args))
            return future

    one = Live(registry, Full(), func="return msg")
    one.give(1, 2)
    one.wait(lambda: len(one.seen) == 1)
    assert [what["text"] for what in one.errors] == ["too much is waiting"]
    one.live.stop()


@pytest.mark.parametrize(
    "func", ["while True: pass", "return msg", "subprocess.Popen(['sleep', '600'])\nwhile True: pass"]
)
def test_stopping_leaves_no_process_behind_and_takes_less_than_two_seconds(live, func):
    one = live(func=f"node.status('began')\n{func}", timeout_s=60, initialize="import subprocess",
               finalize="while True: pass")  # fmt: skip
    one.give(1)
    one.wait_for_begin()
    process = one.pid()
    assert running(process)
    begun = time.monotonic()
    one.live.stop()
    assert time.monotonic() - begun < 2.0 + 1.0, "two seconds, and one for a busy machine"
    until(lambda: running(process) == [], "a process is left")


def test_a_deploy_finishes_what_waits_and_leaves_only_the_new_process(live, registry):
    one = live(func="time.sleep(0.01)\nreturn msg", initialize="import time", finalize="node.send({'payload': 'end'})")
    one.give(*range(10))
    one.wait(lambda: len(one.seen) >= 1)
    old = one.pid()
    one.deploy(registry, func="return msg", initialize="pass")
    one.wait(lambda: len(one.seen) == 11)
    until(lambda: running(old) == [], "a process is left")
    assert one.errors == []


@pytest.mark.parametrize("func", ["return msg", "while True: pass", "node.send(msg)\n10 ** 10 ** 9"])
def test_a_program_that_is_killed_leaves_no_process_and_no_folder(func, tmp_path):
    program = (
        "import json, os, sys, threading\nfrom solarflow.registry import load_registry\n"
        "from solarflow.testing import NodeBench\n"
        f"bench = NodeBench(load_registry()['python'], {{'initialize': 'pass', 'timeout_s': 2, 'func': {func!r}}})\n"
        "print(bench.node.process.pid, flush=True)\nbench.feed(1)\nthreading.Event().wait()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    assert parent.stdout is not None
    process = int(parent.stdout.readline())
    assert running(process) == [process]
    parent.kill()
    parent.wait()
    until(lambda: running(process) == [], "the code's process outlived the program")
    if "**" not in func:  # what is stuck beyond Python's reach cannot clear up
        assert list(tmp_path.iterdir()) == []


# -- limits of the machine ---------------------------------------------------------------------------------------


def test_without_limits_for_memory_time_still_counts_and_the_log_says_so(node, monkeypatch):
    bench = node("python", func=bad_at_first("while True: pass"), timeout_s=0.2)
    monkeypatch.setattr("solarflow.code_process._BOOT", "import sys; sys.modules['resource'] = None\n" + _boot())
    bench.feed(1)
    assert bench.logged == ["this machine cannot limit the code's memory and files"]
    bench.feed(0)
    assert "took longer" in bench.errors[0]


def _boot():
    from solarflow import code_process

    return code_process._BOOT


def test_without_alarms_the_program_ends_what_takes_too_long(node, monkeypatch):
    monkeypatch.setattr("solarflow.code_process._BOOT", "import signal; del signal.setitimer\n" + _boot())
    bench = node("python", func=bad_at_first("while True: pass"), timeout_s=0.2)
    bench.feed(0)
    assert bench.errors == ["the code took longer than its 0.2 s (timeout_s) and was ended"]
    bench.feed(1)
    assert bench.payloads == [1]


def test_a_process_that_cannot_be_started_is_an_error_that_says_why(node, monkeypatch):
    bench = node("python", func="return msg")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    bench.feed(1)
    assert bench.errors[0].startswith("the process for the code could not be started: [Errno 2] No such file")
    monkeypatch.undo()
    monkeypatch.setattr("solarflow.code_process._BOOT", "raise RuntimeError('no luck')")
    bench.feed(1)
    assert bench.errors[1].endswith("RuntimeError: no luck")


def test_the_number_of_processes_is_limited_where_the_system_does_so():
    program = (
        "import json, os, resource, sys\nfrom solarflow.worker import limit_process, tasks_of\n"
        "if os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "before = tasks_of(os.getuid())\nlimit_process(10**9)\n"
        "print(json.dumps([before, resource.getrlimit(resource.RLIMIT_NPROC)[0]]))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    before, limit = json.loads(ran.stdout)
    assert 0 <= limit - before - 64 <= 50


def test_the_tasks_of_a_user_are_counted():
    assert tasks_of(os.getuid()) >= threading.active_count()
