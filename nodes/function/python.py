"""Run Python code for each message.

This code is NOT sandboxed. It runs inside the program, with all that the program may do: read and write files, use the
network, stop everything by a loop that does not end. It is there for projects whose settings allow it
(`"allow_code": true` in flows.json); a flow from elsewhere that holds such a node should be read before it is deployed.
For computing and comparing, the `expression` node does without these risks.

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
    survives a restart. `get` gives a copy.

    `env`: `get(name)`.

    `initialize` runs once when the flow begins, `finalize` when it ends; names that `initialize` sets can be read by
    the others. What the code raises is this node's error, with the line. A message that is returned without a `_msgid`
    takes that of the message that came.
"""

from __future__ import annotations

import ast
import inspect
import traceback
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any, Final, cast

from pydantic import Field, field_validator

from solarflow.errors import SolarFlowError
from solarflow.host import ContextScope, Fill, Shape
from solarflow.message import Message, clone
from solarflow.node import Example, Node, NodeConfig, NodeError, Setup, at

Result = Message | list[Any] | tuple[Any, ...] | None

_FILES: Final = {"func": "<code>", "initialize": "<initialize>", "finalize": "<finalize>"}


def compile_code(text: str, part: str) -> CodeType:
    """The compiled code of a part: of `func` a function of `msg`, of the others a module.

    Raises ValueError with line and column where it is not Python.
    """
    file = _FILES[part]
    try:
        tree = ast.parse(text, file)
        if part == "func":
            # The text is the body of the function as it stands: nothing is indented, so lines and columns are its own.
            wrapped = ast.parse("def code(msg): pass")
            cast("ast.FunctionDef", wrapped.body[0]).body = tree.body or [ast.Pass()]
            tree = ast.fix_missing_locations(wrapped)
        module = compile(tree, file, "exec")
    except SyntaxError as error:
        raise ValueError(f"line {error.lineno}, column {error.offset}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"the code cannot be read: {error}") from None
    if part != "func":
        return module
    code = next(constant for constant in module.co_consts if isinstance(constant, CodeType))
    if code.co_flags & (inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
        raise ValueError("the code has 'yield' or 'await' outside a function of its own; use node.send(...) or return")
    return code


class Python(Node):
    """Runs code."""

    type = "python"
    category = "function"
    color = "#fdd0a2"
    icon = "function"
    role = "code"

    class Config(NodeConfig):
        """The code."""

        func: str = ""
        """The body of a function of `msg`, run for each message; what it returns is sent."""
        outputs: int = Field(default=1, ge=0, le=100)
        """How many outputs the node has."""
        initialize: str = ""
        """Code that runs once, when the flow begins."""
        finalize: str = ""
        """Code that runs when the flow ends or the node goes away."""

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
        self._names: dict[str, Any] = {
            "__name__": "code",
            "node": NodeFace(self),
            "flow": Context(self, "flow"),
            "global_": Context(self, "global"),
            "env": Environment(self),
        }
        self._code = FunctionType(compile_code(self.config.func, "func"), self._names)

    @classmethod
    def outputs_of(cls, config: Any) -> int:
        """As many as it says."""
        return int(config.outputs)

    def on_start(self) -> None:
        self._run(self._once, "initialize")

    def on_stop(self) -> None:
        self._run(self._once, "finalize")

    def _once(self, part: str) -> None:
        exec(compile_code(getattr(self.config, part), part), self._names)  # noqa: S102 - what this node is for

    def on_input(self, msg: Message) -> None:
        self.deliver(self._run(self._code, msg), msg)

    def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:
            raise NodeError(f"{_place(error)}{_said(error)}") from error

    def deliver(self, result: Any, source: Message | None = None) -> None:
        """Send what the code returned or gave to `node.send`."""
        if result is None:
            return
        outputs = list(result) if isinstance(result, (list, tuple)) else [result]
        if len(outputs) > self.config.outputs:
            raise NodeError(f"the code gives {len(outputs)} outputs, and the node has {self.config.outputs}")
        outputs = [list(item) if isinstance(item, tuple) else item for item in outputs]
        for item in outputs:
            for message in item if isinstance(item, list) else [item]:
                if message is None:
                    continue
                if not isinstance(message, dict):
                    raise NodeError(
                        f"the code gives a {type(message).__name__}, where a message (a dict), a list with one entry "
                        "for each output, or None is needed"
                    )
                if source is not None and "_msgid" in source:
                    message.setdefault("_msgid", source["_msgid"])
        self.send_each(outputs)


class NodeFace:
    """What the code sees as `node`."""

    def __init__(self, node: Python) -> None:
        self._node = node
        self.id = node.id
        self.name = node.name

    def send(self, result: Result) -> None:
        """Send at once: a message, a list with one entry for each output, or None. What is sent is a copy."""
        self._node.deliver(clone(list(result) if isinstance(result, tuple) else result))

    def status(self, text: str = "", fill: Fill = "", shape: Shape = "dot") -> None:
        """Show something under the node."""
        self._node.status(str(text), fill, shape)

    def error(self, text: str, msg: Message | None = None) -> None:
        """Report an error, with the message to the catch nodes."""
        self._node.error(str(text), msg)

    def warn(self, text: str) -> None:
        """A warning in the log."""
        self._node.warn(str(text))

    def log(self, text: str) -> None:
        """A line in the log."""
        self._node.info(str(text))

    def now(self) -> float:
        """The flow's time, UTC seconds."""
        return self._node.clock.now()


class Context:
    """What the code sees as `flow` or `global_`."""

    def __init__(self, node: Python, scope: str) -> None:
        self._node, self._scope = node, scope

    def _in(self, store: str) -> ContextScope:
        return self._node.host.context(self._node, self._scope, store)

    def get(self, name: str, default: Any = None, *, store: str = "") -> Any:
        """A copy of the value, or `default`."""
        return clone(self._in(store).get(name, default))

    def set(self, name: str, value: Any, *, store: str = "") -> None:
        """Keep a copy of the value; None takes it away."""
        self._in(store).set(name, clone(value))

    def keys(self, *, store: str = "") -> list[str]:
        """All names."""
        return self._in(store).keys()


class Environment:
    """What the code sees as `env`."""

    def __init__(self, node: Python) -> None:
        self._node = node

    def get(self, name: str) -> Any:
        """The value as the node sees it, or None."""
        return self._node.host.env(self._node, name)


def _place(error: BaseException) -> str:
    """Which line of the code raised it."""
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in _FILES.values()]
    if not lines:
        return ""
    part = "" if lines[-1].filename == _FILES["func"] else f"{lines[-1].filename.strip('<>')}, "
    return f"{part}line {lines[-1].lineno}: "


def _said(error: BaseException) -> str:
    return str(error) if isinstance(error, SolarFlowError) else f"{type(error).__name__}: {error}"
