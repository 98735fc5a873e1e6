"""Run the code of a `python` node in a process of its own: the side that runs it. `solarflow.code_process` starts it.

The process is told its code and its limits, and then waits for messages. Both sides speak JSON over one socket. The
program sends {"run": part, "msg": ...}; while the code runs, this side may call (["get", "count", "flow", ""]) and is
answered ({"value": [3]} or {"error": text}); ["done", result], ["failed", text] or ["spent", text] ends it.
["print", text] and ["late", text] need no answer.

Only the standard library is imported, and as little of it as will do: a process is there 30 ms after it is wanted.
"""

from __future__ import annotations

import builtins
import io
import json
import os
import signal
import sys
from _thread import get_ident
from time import monotonic
from types import FrameType, FunctionType
from typing import Any, NoReturn, cast

from solarflow.worker_wire import EXIT_LATE, FILES, UnfitError, compile_code, encode, encode_call, framed

MAX_PRINTED = 10_000
"""What is kept of the text that the code prints for one message, in characters."""
MAX_CALLS = 10_000
"""How often the code may call `node`, `flow`, `global_` and `env` for one message."""
MAX_STARTED = 16
"""How many processes the code may start for one message."""
MAX_FILES = 256
LOOK_S = 0.5
"""How often a process at work looks whether the program is still there, in seconds."""
_STARTING = frozenset({"os.fork", "os.forkpty", "os.posix_spawn", "os.system", "subprocess.Popen"})


class RefusedError(Exception):
    """What the program answers to a call that cannot be done; its text is the program's."""


class Worker:
    """The process: its code, and the one message at a time that it is run on."""

    def __init__(self, wire: int) -> None:
        self._wire = wire
        self._pid, self._parent, self._thread = os.getpid(), os.getppid(), get_ident()
        self._started = self._calls = 0
        self._running = self._writing = False
        self._timed = hasattr(signal, "setitimer")
        self.now = self._end_at = 0.0
        hello = self._read()
        self._folder = str(hello["folder"])
        unlimited = limit_process(int(hello["memory_bytes"]))
        sys.path[:] = hello["path"]
        self._printed = Printed(self)
        sys.stdout = sys.stderr = self._printed
        sys.addaudithook(self._audit)
        names: dict[str, Any] = {
            "__name__": "code",
            "__builtins__": builtins,
            "node": NodeFace(self, hello["id"], hello["name"]),
            "flow": Context(self, "flow"),
            "global_": Context(self, "global"),
            "env": Environment(self),
        }
        self._parts = {part: FunctionType(compile_code(hello[part], part), names) for part in FILES}
        if self._timed:
            signal.signal(signal.SIGALRM, self._look)
        self._write(encode(["ready", unlimited]))

    def serve(self) -> NoReturn:
        """Run the code on what comes, until the program goes away."""
        while True:
            request = self._read()
            self.now = float(request["now"])
            self._started = self._calls = 0
            self._printed.begin()
            self._running = True
            self._arm(float(request["limit_s"]))
            ending = self._run(str(request["run"]), request.get("msg"))
            if os.getpid() != self._pid:
                os._exit(0)  # the code has forked, and this is the copy: the answer is not its to give
            self._running = False
            self._arm(0.0)
            self._printed.flush()
            self._write(ending)

    def _run(self, part: str, msg: Any) -> bytes:
        try:
            result = self._parts[part](msg) if part == "func" else self._parts[part]()
            try:
                return encode_call(["done", result])
            except UnfitError as unfit:
                return encode(["failed", f"what the code returns: {unfit}"])
        except MemoryError as error:
            result = None
            return encode(["spent", place_of(error)])
        except SystemExit as error:
            return encode(["failed", f"{place_of(error)}{error!r}: a node cannot end the program; use return"])
        except BaseException as error:  # noqa: BLE001 - whatever the code raises is the node's error
            said = str(error) if isinstance(error, (RefusedError, UnfitError)) else f"{type(error).__name__}: {error}"
            return encode(["failed", f"{place_of(error)}{said[:MAX_PRINTED]}"])

    def call(self, *request: Any) -> Any:
        """Ask something of the program. Raises RefusedError where it says no, UnfitError for what JSON has not."""
        if not (self._running and self.speaks()):
            raise RuntimeError("node, flow, global_ and env are there while the code runs for a message, in its thread")
        self._calls += 1
        if self._calls > MAX_CALLS:
            raise RuntimeError(
                f"the code calls node, flow, global_ and env more than {MAX_CALLS} times for one message"
            )
        text = encode_call(list(request))
        left_s = self._arm(0.0)  # the program's time is not the code's
        self._write(text)
        answer = self._read()
        self._arm(left_s)
        if "error" in answer:
            raise RefusedError(answer["error"])
        return answer.get("value")

    def speaks(self) -> bool:
        """Whether this is who may use the wire: not a thread and not a copy that the code has made."""
        return get_ident() == self._thread and os.getpid() == self._pid

    def tell(self, *what: str) -> None:
        """Say something that needs no answer."""
        self._write(encode(what))

    # -- the wire -----------------------------------------------------------------------------------------------

    def _read(self) -> dict[str, Any]:
        size = int.from_bytes(self._exactly(4), "big")
        return cast("dict[str, Any]", json.loads(self._exactly(size)))

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            more = os.read(self._wire, min(size - len(data), 1 << 20))
            if not more:
                self._leave()
            data += more
        return bytes(data)

    def _write(self, text: bytes) -> None:
        rest = memoryview(framed(text))
        self._writing = True
        try:
            while rest:
                rest = rest[os.write(self._wire, rest) :]
        except OSError:
            self._leave()
        self._writing = False

    def _leave(self) -> NoReturn:
        """The program has gone: end with all that the code has started, and clear away what it left."""
        import shutil

        os.chdir("/")
        shutil.rmtree(self._folder, ignore_errors=True)  # nobody is there any more to be told
        if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(0)

    # -- time and processes -------------------------------------------------------------------------------------

    def _arm(self, seconds: float) -> float:
        """Let the time run that the code has, or with 0 no longer; how much was left of the time before."""
        left_s, self._end_at = self._end_at - monotonic(), monotonic() + seconds if seconds else float("inf")
        if self._timed:
            # Code stuck where Python does not look for signals is ended by the system, even without the program.
            signal.setitimer(signal.ITIMER_PROF, (seconds + 1.0) * (os.cpu_count() or 1) if seconds else 0.0)
            signal.setitimer(signal.ITIMER_REAL, min(seconds, LOOK_S))
        return max(left_s, 0.001)  # 0 would be no limit

    def _look(self, _signal: int, frame: FrameType | None) -> None:
        """Now and then while the code runs: whether the program is still there, and the code in its time."""
        if not self._running:
            return
        if self.speaks() and os.getppid() != self._parent:
            self._leave()
        left_s = self._end_at - monotonic()
        if left_s > 0:
            signal.setitimer(signal.ITIMER_REAL, min(left_s, LOOK_S))
            return
        self._running = False
        if self.speaks() and not self._writing:
            while frame is not None and frame.f_code.co_filename not in FILES.values():
                frame = frame.f_back
            self._printed.flush()
            self.tell("late", line_of(frame.f_code.co_filename, frame.f_lineno) if frame else "")
        os._exit(EXIT_LATE)

    def _audit(self, event: str, _arguments: Any) -> None:
        if event in _STARTING:
            if os.getpid() != self._pid:
                raise RuntimeError("a process that the code has started cannot start others")
            self._started += 1
            if self._started > MAX_STARTED:
                raise RuntimeError(f"the code may start at most {MAX_STARTED} processes for one message")


class Printed(io.TextIOBase):
    """What the code prints, line by line; for each message the first 10,000 characters."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._kept = ""
        self.begin()

    def begin(self) -> None:
        """There is room again."""
        self._room, self._lost = MAX_PRINTED, 0

    def write(self, text: str) -> int:
        """Keep it, and pass on whole lines."""
        kept = text[: self._room]
        self._lost += len(text) - len(kept)
        self._room -= len(kept)
        self._kept += kept
        if "\n" in kept and self._worker.speaks():
            lines, self._kept = self._kept.rsplit("\n", 1)
            self._worker.tell("print", lines)
        return len(text)

    def flush(self) -> None:
        """Pass on the last line, and how much was too much."""
        if (self._kept or self._lost) and self._worker.speaks():
            more = f"... and {self._lost} characters more" if self._lost else ""
            text, self._kept, self._lost = self._kept + more, "", 0
            self._worker.tell("print", text)


class NodeFace:
    """What the code sees as `node`."""

    def __init__(self, worker: Worker, id_: str, name: str) -> None:
        self._worker = worker
        self.id = id_
        self.name = name

    def send(self, result: Any) -> None:
        """Send at once: a message, a list with one entry for each output, or None. What is sent is a copy."""
        self._worker.call("send", result)

    def status(self, text: str = "", fill: str = "", shape: str = "dot") -> None:
        """Show something under the node."""
        self._worker.call("status", str(text), str(fill), str(shape))

    def error(self, text: str, msg: Any = None) -> None:
        """Report an error, with the message to the catch nodes."""
        self._worker.call("error", msg, str(text))

    def warn(self, text: str) -> None:
        """A warning in the log."""
        self._worker.call("warn", str(text))

    def log(self, text: str) -> None:
        """A line in the log."""
        self._worker.call("log", str(text))

    def now(self) -> float:
        """The flow's time when the code was given the message, UTC seconds."""
        return self._worker.now


class Context:
    """What the code sees as `flow` or `global_`."""

    def __init__(self, worker: Worker, scope: str) -> None:
        self._worker, self._scope = worker, scope

    def get(self, name: str, default: Any = None, *, store: str = "") -> Any:
        """A copy of the value, or `default`."""
        found = self._worker.call("get", name, self._scope, store)
        return found[0] if found else default

    def set(self, name: str, value: Any, *, store: str = "") -> None:
        """Keep a copy of the value; None takes it away."""
        self._worker.call("set", value, name, self._scope, store)

    def keys(self, *, store: str = "") -> list[str]:
        """All names."""
        return list(self._worker.call("keys", self._scope, store))


class Environment:
    """What the code sees as `env`."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def get(self, name: str) -> Any:
        """The value as the node sees it, or None."""
        return self._worker.call("env", name)


def limit_process(memory_bytes: int) -> list[str]:
    """Limit this process for good: memory, open files, processes, no core dump. What cannot be limited here."""
    try:
        import resource
    except ImportError:
        return ["memory", "files"]
    limits = [("RLIMIT_AS", "memory", memory_bytes), ("RLIMIT_NOFILE", "files", MAX_FILES), ("RLIMIT_CORE", "", 0)]
    if os.getuid() != 0:  # whom the system does not limit
        # It counts all threads of the user on the machine, not only those of this process.
        limits.append(("RLIMIT_NPROC", "", tasks_of(os.getuid()) + 4 * MAX_STARTED))
    unlimited = []
    for name, what, value in limits:
        try:
            number = getattr(resource, name)
            hard = resource.getrlimit(number)[1]
            bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(number, (bound, bound))
        except (AttributeError, OSError, ValueError):
            unlimited.append(what)
    return [what for what in unlimited if what]


def tasks_of(uid: int) -> int:
    """How many threads a user has, in all processes; 0 where the system does not tell."""
    count = 0
    # pathlib would cost a third of the time that the process needs to start.
    for name in os.listdir("/proc") if sys.platform == "linux" else []:  # noqa: PTH208 - see above
        try:
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == uid:  # noqa: PTH116 - see above
                count += len(os.listdir(f"/proc/{name}/task"))  # noqa: PTH208 - see above
        except OSError:
            continue  # it has ended meanwhile
    return count


def line_of(file: str, line: int) -> str:
    """Where that is in the node's code."""
    part = "" if file == FILES["func"] else f"{file.strip('<>')}, "
    return f"{part}line {line}"


def place_of(error: BaseException) -> str:
    """Which line of the code raised it, as the beginning of a text."""
    found, trace = "", error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename in FILES.values():
            found = f"{line_of(trace.tb_frame.f_code.co_filename, trace.tb_lineno)}: "
        trace = trace.tb_next
    return found


def main() -> None:
    """Take the socket from where the program has put it, and keep what the code may print elsewhere away from it."""
    wire = os.dup(0)
    worker = Worker(wire)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
    worker.serve()
