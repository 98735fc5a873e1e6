"""Run the code of a `python` node in a process of its own: the side of the program. `solarflow.worker` is the other.

The process contains accidents, no more: code that does not end, takes all memory, crashes or floods is ended and
reported, and the program goes on. It is no wall against an author who means harm: the code may do on this machine what
the program's user may.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from solarflow.worker_wire import EXIT_LATE, MAX_FRAME, encode, framed

START_S = 10.0
"""Real seconds that a process may take to be there; it takes 0.03 where the machine is not busy."""
GRACE_S = 0.25
"""Real seconds beyond its time in which the process may say itself where it was; then it is killed."""
MAX_TOLD = 100_000
"""Most characters that a process may say without being asked, in one turn."""

# The package's own first module reads what is installed, which takes as long as all the rest of the start. The code
# may import the package: it is not left half-imported.
_BOOT = """
import sys, types
package = sys.modules["solarflow"] = types.ModuleType("solarflow")
package.__path__ = [sys.argv[1]]
from solarflow.worker import main
for name in [name for name in sys.modules if name.partition(".")[0] == "solarflow"]:
    del sys.modules[name]
main()
"""


@dataclass(slots=True)
class Reply:
    """What the process says: "done" (result), "failed" (text), "ended" (why), or a call; what it printed before.

    `used_s` is the real time that the code has had.
    """

    op: str
    args: list[Any] = field(default_factory=list)
    printed: str = ""
    used_s: float = 0.0


class _EndedError(Exception):
    """The process is not there any more, or must not be."""


class CodeProcess:
    """A process that runs one node's code; begun when it is first needed, and anew after it was ended.

    Only `close` and `kill` may be called while another thread is in `exchange`.
    """

    def __init__(self, code: Mapping[str, str], memory_mb: int, id_: str = "", name: str = "") -> None:
        self._hello = {**code, "id": id_, "name": name, "memory_bytes": memory_mb * 1024 * 1024}
        self._memory_mb = memory_mb
        self._popen: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._release: weakref.finalize[..., Any] | None = None
        self._received = bytearray()
        self._lock = threading.Lock()
        self._end_at = float("inf")
        self.unlimited: list[str] = []
        """What this machine could not limit."""

    @property
    def pid(self) -> int | None:
        """The process id, or None where there is no process now."""
        return None if self._popen is None else self._popen.pid

    @property
    def left_s(self) -> float:
        """Real seconds until the end that `hurry` has set."""
        return max(0.0, self._end_at - time.monotonic())

    def hurry(self, seconds: float) -> None:
        """Whatever is exchanged from now on must be through in so many real seconds."""
        self._end_at = time.monotonic() + seconds

    def exchange(self, text: bytes, left_s: float, limit_s: float) -> Reply:
        """Give the process a request or an answer, and wait for what it says, at most `left_s` of its `limit_s`.

        A process that takes longer, has ended, or says what cannot be understood is ended; the reply says why. Raises
        nothing.
        """
        begun = time.monotonic()
        told: list[list[Any]] = []
        try:
            if self._socket is None:
                self._start()
                begun = time.monotonic()
            deadline = begun + min(left_s + GRACE_S, self.left_s)
            self._send(text, deadline)
            op, args = self._receive(deadline, told)
            if op == "spent":
                raise _EndedError(f"{args[0]}the code needs more than {self._memory_mb} MB of memory and was ended")
        except (_EndedError, OSError) as error:
            late = next((args[0] for op, *args in told if op == "late"), "")
            why = self._why(error, limit_s, late)
            self.close()
            op, args = "ended", [why]
        printed = "\n".join(str(said[0]) for what, *said in told if what == "print").rstrip("\n")
        return Reply(op, args, printed, time.monotonic() - begun)

    def close(self) -> None:
        """End the process with all that it has started; at the next exchange there is a new one."""
        with self._lock:
            if self._release is not None:
                self._release()
            self._popen = self._socket = self._release = None
            self._received.clear()

    def kill(self) -> None:
        """End the process, whoever is waiting for it."""
        with self._lock:
            if self._popen is not None:
                _kill_group(self._popen)

    # -- starting and ending ------------------------------------------------------------------------------------

    def _start(self) -> None:
        if not self.left_s:
            raise _EndedError("there was no time left to begin")
        folder = tempfile.mkdtemp(prefix="solarflow-code-")
        ours, theirs = socket.socketpair()
        try:
            popen = subprocess.Popen(  # noqa: S603 - this interpreter, with a text of ours
                [sys.executable, "-P", "-s", "-S", "-c", _BOOT, str(Path(__file__).parent)],
                stdin=theirs.fileno(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=folder,
                env=_environment(), start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            ours.close()
            Path(folder).rmdir()
            raise _EndedError(f"the process for the code could not be started: {error}") from None
        finally:
            theirs.close()
        with self._lock:
            self._popen, self._socket = popen, ours
            self._release = weakref.finalize(self, _release, popen, ours, folder)
        hello = {**self._hello, "folder": folder, "path": _import_path()}
        deadline = time.monotonic() + min(START_S, self.left_s)
        try:
            self._send(encode(hello), deadline)
            _, (self.unlimited,) = self._receive(deadline, [])
        except (_EndedError, OSError):
            _kill_group(popen)
            said = popen.stderr.read(2000).decode(errors="replace").strip() if popen.stderr else ""
            raise _EndedError(f"the process for the code did not start: {said[-500:] or 'it said nothing'}") from None

    def _why(self, error: Exception, limit_s: float, late: str) -> str:
        """Why the process has ended or must end, for the reader."""
        popen = self._popen
        if popen is None or (isinstance(error, _EndedError) and str(error)):
            return str(error)
        if not self.left_s:
            return "the code was ended, as the node stops"
        with self._lock:
            status = _kill_group(popen)
        where = f"{late}: " if late else ""
        if late or status == EXIT_LATE or isinstance(error, TimeoutError) or self._overrun(status):
            return f"{where}the code took longer than its {limit_s:g} s (timeout_s) and was ended"
        if status == -signal.SIGKILL:
            return "the process of the code was killed, or closed its connection to the program"
        if status is not None and status < 0:
            with contextlib.suppress(ValueError):  # a signal without a name
                return f"the process of the code crashed ({signal.Signals(-status).name})"
        return f"the code ended its own process (exit status {status}); to end for this message, use return"

    @staticmethod
    def _overrun(status: int | None) -> bool:
        return hasattr(signal, "SIGPROF") and status == -signal.SIGPROF

    # -- the wire -----------------------------------------------------------------------------------------------

    def _connection(self) -> socket.socket:
        if self._socket is None:
            raise _EndedError("the process of the code was closed")
        return self._socket

    def _send(self, text: bytes, deadline: float) -> None:
        connection = self._connection()
        connection.settimeout(_left(deadline))
        connection.sendall(framed(text))

    def _receive(self, deadline: float, told: list[list[Any]]) -> tuple[str, list[Any]]:
        """The next thing that wants an answer, or the end; what comes before it is put into `told`."""
        said = 0
        while True:
            size = int.from_bytes(self._exactly(4, deadline), "big")
            if size > MAX_FRAME + 1000:
                raise _EndedError("the process of the code sent what cannot be understood, and was ended")
            text = self._exactly(size, deadline)
            try:
                op, *args = json.loads(text)
            except (ValueError, TypeError, RecursionError):
                raise _EndedError("the process of the code sent what cannot be understood, and was ended") from None
            if op not in ("print", "late"):
                return op, args
            said += size
            if said > MAX_TOLD:
                raise _EndedError("the process of the code prints without end, and was ended")
            told.append([op, *args])

    def _exactly(self, size: int, deadline: float) -> bytes:
        connection, received = self._connection(), self._received
        while len(received) < size:
            connection.settimeout(_left(deadline))
            more = connection.recv(1 << 20)
            if not more:
                raise _EndedError
            received += more
        data = bytes(received[:size])
        del received[:size]
        return data


class Exchange:
    """One exchange, which is made once, by whoever comes first: the executor, or the engine when it must stop."""

    def __init__(self, process: CodeProcess, text: bytes, left_s: float, limit_s: float) -> None:
        self._process, self._text, self._left_s, self._limit_s = process, text, left_s, limit_s
        self._lock = threading.Lock()
        self._reply: Reply | None = None

    def run(self) -> Reply:
        """Make it, or say what came of it."""
        with self._lock:
            if self._reply is None:
                self._reply = self._process.exchange(self._text, self._left_s, self._limit_s)
            return self._reply

    def claim(self) -> Reply:
        """Make it within the time that `hurry` has set; where it is under way and does not end, end the process."""
        if not self._lock.acquire(timeout=self._process.left_s):
            self._process.kill()
            if not self._lock.acquire(timeout=GRACE_S):
                return Reply("ended", ["the code did not end in time, as the node stops"])
        self._lock.release()
        return self.run()


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _import_path() -> list[str]:
    """Where this program finds its modules, this package among them, however it was installed."""
    return list(dict.fromkeys([*(p for p in sys.path if Path(p).is_absolute()), str(Path(__file__).parents[1])]))


def _environment() -> dict[str, str]:
    """Nothing of the program's own, which may hold secrets; hashing that is the same in every run."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    # A library that starts a thread for each core would count the memory of all their stacks.
    return {**kept, "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}


def _kill_group(popen: subprocess.Popen[bytes]) -> int | None:
    """Kill the process and its children; its exit status, None where it does not die within a second."""
    if popen.returncode is None:
        # Before anybody asks how it ended: until then its number is nobody else's.
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS's word for "ended already"
                os.killpg(popen.pid, signal.SIGKILL)
        else:
            popen.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            popen.wait(1.0)
    return popen.returncode


def _release(popen: subprocess.Popen[bytes], connection: socket.socket, folder: str) -> None:
    """End a process and free what it held."""
    connection.close()
    _kill_group(popen)
    if popen.stderr is not None:
        popen.stderr.close()
    shutil.rmtree(folder, ignore_errors=True)  # a temporary file that somebody holds is the system's to clear
