"""Run Python code for each message, in a process of its own.

The code is there for projects whose settings allow it (`"allow_code": true` in flows.json). What goes wrong in it stays
in its process: a loop that does not end, memory without end, a crash. The process is then ended, the node reports it,
and the next message finds a new one. That contains accidents; it is no wall against an author who means harm. The code
may read and write files and use the network like the program itself, so read a flow from elsewhere before you deploy
it. For computing and comparing, the `expression` node does without these risks.

Inputs
    Any message, as `msg`: a dict.
Outputs
    What the code returns: `msg` or another dict for the first output; a list with one entry for each output, each
    a message, a list of messages or None; None for nothing.
Details
    The code is the body of a function, as in Node-RED's function node. It sees

    `msg`: the message.

    `node`: `send(...)` takes what may be returned, and sends at once; `status(text, fill, shape)`,
    `error(text, msg)`, `warn(text)`, `log(text)`; `now()` is the flow's time, UTC seconds (in a replay the time
    replayed: do not ask the machine for it); `id` and `name`.

    `flow` and `global_`: `get(name, default)`, `set(name, value)`, `keys()`; with `store="durable"` the store that
    survives a restart. `get` gives a copy. Between a `get` and a `set` other nodes may work.

    `env`: `get(name)`.

    `initialize` runs once when the flow begins, and again in each new process; `finalize` when the flow ends, for
    which it has half a second. Names that `initialize` sets can be read by the others. What the code raises is this
    node's error, with the line. A message that is returned without a `_msgid` takes that of the message that came.

    One message is worked on at a time, in the order in which they came; at most 1000 wait, then the oldest is an
    error. After two bad ends in a row the node rests before it begins a new process: 1 second, then 2, 4, up to 60;
    messages are errors meanwhile.

    Messages go to the code and back as JSON: numbers, texts, True, False, None, lists and dicts, at most 16 MB and 100
    deep. Anything else (bytes, dates, sets) is an error that says where it is; only the `res` of `http in` passes as
    it is. What the code prints is written to the log, at most 10,000 characters for each message; the output of
    programs that it starts is not kept. It runs in an empty folder that goes with the process, and of the program's
    environment variables it sees PATH only.

    Where the machine cannot limit memory (macOS), a line in the log says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, get_args

from pydantic import Field, field_validator

from solarflow.code_process import CodeProcess, Exchange, Reply
from solarflow.errors import SolarFlowError
from solarflow.host import ContextScope, Fill, Shape
from solarflow.message import Message
from solarflow.node import Example, Node, NodeConfig, NodeError, Setup, at
from solarflow.worker_wire import FILES, UnfitError, compile_code, encode

MAX_WAITING = 1000
"""Messages that wait for the code; of more the oldest is an error."""
STOP_S = 1.0
"""Real seconds that messages which still wait have when the node stops."""
STOP_AT_END_S = 0.25
"""The same when everything ends: the engine has waited for them already."""
FINALIZE_S = 0.5
FIRST_REST_S = 1.0
LONGEST_REST_S = 60.0
KEPT: Final = {"_kept": "res"}
"""What the code sees as `msg["res"]`: the way back to whoever asked cannot leave the program."""


@dataclass(slots=True)
class Job:
    """A part of the code to run, on a message or on none; `left_s` is the real time that it still has."""

    part: str
    left_s: float
    msg: Message | None = None
    text: bytes = b"null"


class Python(Node):
    """Runs code."""

    type = "python"
    category = "function"
    color = "#fdd0a2"
    icon = "function"
    role = "code"

    class Config(NodeConfig):
        """The code, and what it may take."""

        func: str = ""
        """The body of a function of `msg`, run for each message; what it returns is sent."""
        outputs: int = Field(default=1, ge=0, le=100)
        """How many outputs the node has."""
        initialize: str = ""
        """Code that runs once, when the flow begins."""
        finalize: str = ""
        """Code that runs when the flow ends or the node goes away."""
        timeout_s: float = Field(default=1.0, gt=0, le=60)
        """How long the code may take for a message, in seconds; then its process is ended."""
        memory_mb: int = Field(default=256, ge=64, le=65536)
        """How much memory the process may take, in MB; Python itself takes 15, numpy about 150."""

        @field_validator("func", "initialize", "finalize")
        @classmethod
        def _code(cls, value: str, info: Any) -> str:
            compile_code(value, info.field_name)
            return value

    config: Config

    EXAMPLE = Example(
        text="Count the messages of each home; the third goes by the second output.",
        config={
            "func": 'count = flow.get("count", 0) + 1\nflow.set("count", count)\nmsg["payload"] = count\n'
            "return [None, msg] if count == 3 else msg",
            "outputs": 2,
        },
        given=[at(0, payload="a"), at(1, payload="b"), at(2, payload="c")],
        then=[at(0, payload=1), at(1, payload=2), at(2, port=1, payload=3)],
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        code = {part: getattr(self.config, part) for part in FILES}
        self.process = CodeProcess(code, self.config.memory_mb, self.id, self.name)
        self._waiting: deque[Job] = deque()
        self._job: Job | None = None
        self._under_way: Exchange | None = None
        self._next_text = b""
        self._driving = self._stopping = False
        self._bad_ends = 0
        self._rests_until = 0.0
        self._told_unlimited = False

    @classmethod
    def outputs_of(cls, config: Any) -> int:
        """As many as it says."""
        return int(config.outputs)

    # -- what comes ---------------------------------------------------------------------------------------------

    def on_start(self) -> None:
        if self.config.initialize.strip():
            self._waiting.append(self._initializing())
            self._go()

    def on_input(self, msg: Message) -> None:
        if self._stopping:
            raise NodeError("the node has stopped, and its code runs no more")
        self._check_rest()
        try:
            text = encode({**msg, "res": KEPT} if "res" in msg else msg, nan=True)
        except UnfitError as unfit:
            raise NodeError(f"the message cannot be given to the code: {unfit}") from None
        self.defer()
        self._waiting.append(Job("func", self.config.timeout_s, msg, text))
        if len(self._waiting) > MAX_WAITING:
            dropped = self._waiting.popleft().msg
            self.error(f"more than {MAX_WAITING} messages wait for the code; the oldest is dropped", dropped)
        self._go()

    def on_stop(self) -> None:
        """Finish what waits, then `finalize`, all within two seconds; nothing of the process stays."""
        self._stopping = True
        self.process.hurry(STOP_AT_END_S if self.host.stopping else STOP_S)
        if (under_way := self._under_way) is not None:
            self._came(under_way.claim())
        self._go()
        lost = len(self._waiting)
        self._waiting.clear()
        if lost:
            self.warn(f"{lost} messages that waited for the code are lost, as the node stops")
        if self.config.finalize.strip():
            self.process.hurry(FINALIZE_S)
            self._waiting.append(Job("finalize", FINALIZE_S))
            self._go()
        self.process.close()

    def _initializing(self) -> Job:
        return Job("initialize", self.config.timeout_s)

    def _check_rest(self) -> None:
        """Raise NodeError while the node rests."""
        left_s = self._rests_until - self.clock.monotonic()
        if left_s > 0:
            raise NodeError(
                f"the code's process came to a bad end {self._bad_ends} times in a row; it is begun anew in "
                f"{left_s:.1f} s"
            )

    # -- one step after the other -------------------------------------------------------------------------------

    def _go(self) -> None:
        """Take the next steps, until one is taken elsewhere or nothing is to be done."""
        if self._driving:
            return  # whoever drives goes on when this returns
        self._driving = True
        try:
            while self._under_way is None and self._take():
                exchange = self._under_way = Exchange(
                    self.process, self._next_text, self._left_s(), self.config.timeout_s
                )
                if self._stopping:
                    self._came(exchange.run())
                else:
                    self.host.elsewhere(self, exchange.run, (), partial(self._came_back, exchange))
        finally:
            self._driving = False

    def _take(self) -> bool:
        """Go on with the job, or take the next, if there is one and time for it."""
        if self._job is not None:
            return True
        while self._waiting and not (self._stopping and not self.process.left_s):
            job = self._waiting[0]
            try:
                self._check_rest()
            except NodeError as error:
                self.error(error, self._waiting.popleft().msg)
                continue
            if job.part != "initialize" and self.process.pid is None and self.config.initialize.strip():
                job = self._initializing()  # a new process knows nothing yet
            else:
                self._waiting.popleft()
            self._job = job
            request = {"run": job.part, "now": self.clock.now(), "limit_s": job.left_s}
            self._next_text = encode(request)[:-1] + b',"msg":' + job.text + b"}"
            return True
        return False

    def _left_s(self) -> float:
        return 0.0 if self._job is None else max(0.0, self._job.left_s)

    def _came_back(self, exchange: Exchange, future: Future[Reply]) -> None:
        if exchange is not self._under_way:
            return  # claimed when the node stopped
        try:
            reply = future.result()
        except SolarFlowError as error:  # too much waits elsewhere, so that it was not begun
            self.process.close()
            reply = Reply("failed", [str(error)])
        self._came(reply)
        self._go()

    def _came(self, reply: Reply) -> None:
        """The process has said something: the end of the job, or a call to be answered."""
        self._under_way = None
        job = self._job
        if job is None:
            return
        job.left_s -= reply.used_s
        if reply.printed:
            self.info(reply.printed)
        if self.process.unlimited and not self._told_unlimited:
            self._told_unlimited = True
            self.warn(f"this machine cannot limit the code's {' and '.join(self.process.unlimited)}")
        if reply.op not in ("done", "failed", "ended"):
            self._next_text = self._answer(job, reply)
            return
        self._job = None
        try:
            self._finish(job, reply)
        except Exception as error:  # noqa: BLE001 - goes the way of every error of this node
            self.error(error, job.msg)
        else:
            if job.msg is not None:
                self.done(job.msg)

    def _finish(self, job: Job, reply: Reply) -> None:
        if reply.op == "ended":
            self._bad_ends += 1
            if self._bad_ends > 1:
                rest_s = min(FIRST_REST_S * 2 ** min(self._bad_ends - 2, 10), LONGEST_REST_S)
                self._rests_until = self.clock.monotonic() + rest_s
        elif job.part == "func":
            self._bad_ends = 0
        if reply.op != "done":
            raise NodeError(str(reply.args[0]))
        self.deliver(reply.args[0], job.msg)

    # -- calls of the code --------------------------------------------------------------------------------------

    def _answer(self, job: Job, call: Reply) -> bytes:
        try:
            return encode({"value": self._called(job, call.op, *call.args)}, nan=True)
        except UnfitError as unfit:
            del unfit.path[:1]
            return encode({"error": f"the value cannot be given to the code: {unfit}"})
        except Exception as error:  # noqa: BLE001 - raised where the code made the call
            said = str(error) if isinstance(error, SolarFlowError) else f"{type(error).__name__}: {error}"
            return encode({"error": said})

    def _called(self, job: Job, op: str, *args: Any) -> Any:
        match (op, *args):
            case ("send", result):
                self.deliver(result, kept=job.msg)
            case ("status", str(text), fill, shape):
                self.status(text, *_look(fill, shape))
            case ("error", None | dict() as msg, text):
                self.error(NodeError(text), _with_res(msg, job.msg) if msg is not None else None)
            case ("warn", text):
                self.warn(text)
            case ("log", text):
                self.info(text)
            case ("get", str(name), scope, store):
                missing = object()
                value = self._context(scope, store).get(name, missing)
                return [] if value is missing else [value]
            case ("set", value, str(name), scope, store):
                self._context(scope, store).set(name, value)
            case ("keys", scope, store):
                return self._context(scope, store).keys()
            case ("env", str(name)):
                return self.host.env(self, name)
            case _:
                raise NodeError(f"'{op}' does not take these values")
        return None

    def _context(self, scope: str, store: str) -> ContextScope:
        return self.host.context(self, scope, store)

    def deliver(self, result: Any, source: Message | None = None, kept: Message | None = None) -> None:
        """Send what the code returned or gave to `node.send`.

        `source` is the message that came, whose id one without takes; `kept` where its `res` is found, if not there.
        """
        if result is None:
            return
        outputs = result if isinstance(result, list) else [result]
        if len(outputs) > self.config.outputs:
            raise NodeError(f"the code gives {len(outputs)} outputs, and the node has {self.config.outputs}")
        for item in outputs:
            for message in item if isinstance(item, list) else [item]:
                if message is None:
                    continue
                if not isinstance(message, dict):
                    raise NodeError(
                        f"the code gives a {type(message).__name__}, where a message (a dict), a list with one entry "
                        "for each output, or None is needed"
                    )
                _with_res(message, source if source is not None else kept)
                if source is not None and "_msgid" in source:
                    message.setdefault("_msgid", source["_msgid"])
        self.send_each(outputs)


def _with_res(message: Message, source: Mapping[str, Any] | None) -> Message:
    """Put back what could not leave the program."""
    if message.get("res") == KEPT and source is not None and "res" in source:
        message["res"] = source["res"]
    return message


def _look(fill: Any, shape: Any) -> tuple[Fill, Shape]:
    """A status's colour and shape. Raises NodeError where they are none."""
    for name, value, known in (("fill", fill, get_args(Fill)), ("shape", shape, get_args(Shape))):
        if value not in known:
            raise NodeError(f"'{value}' is no {name} of a status; there are {', '.join(filter(None, known))}")
    return fill, shape
