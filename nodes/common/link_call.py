"""Calls a part of the flow and goes on with what it returns.

A message goes to a link in node, runs through what is wired there, and comes back when it reaches a link out node in
the mode *return*. So several places of a flow can use one part of it, as one calls a function.

Inputs
    Any message. With the type *dynamic*, `target` (text) is the id or the name of the link in node.
Outputs
    What was returned. Of several returned messages each goes on.
Details
    A name is looked for in the node's own flow, then in the other tabs of its file; where several link in nodes have
    it, that is an error. A link in node in a subflow can only be called from within the same instance.
    A call that has not returned after `timeout` seconds is an error, with the message that called; what it returns
    later still goes on. Calls may be nested: the message carries, in `_linkSource`, to whom it returns.
    At most ten thousand calls wait at one time; a further one is an error.
Source
    The behaviour follows Node-RED's link call node.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from solarflow.errors import NodeError
from solarflow.message import clone
from solarflow.node import Message, Node, NodeRedConfig
from solarflow.units import Seconds

MAX_WAITING = 10_000


def _or_default(value: Any) -> Any:
    return 30 if value in ("", None) else value


class LinkCall(Node):
    """Sends to a link in node and waits for what comes back."""

    type = "link call"
    category = "common"
    color = "#ddd"
    icon = "link-call"
    role = "link call"

    class Config(NodeRedConfig):
        """The properties of Node-RED's link call node."""

        links: tuple[str, ...] = ()
        """The id of the link in node to call."""
        link_type: Literal["static", "dynamic"] = Field(default="static", alias="linkType")
        """Call the node of `links`, or the one that the message's `target` names."""
        timeout: Annotated[Seconds, BeforeValidator(_or_default)] = 30
        """How long a call may take; 0 is without a limit."""

    config: Config

    def __init__(self, setup: Any) -> None:
        super().__init__(setup)
        self._waiting: dict[str, tuple[float, Message]] = {}
        """By call: when it is overdue, and the message that called. In the order of the calls."""

    def on_input(self, msg: Message) -> None:
        """Call; or, for a message that comes back, go on with it."""
        call = msg.pop("_linkReturn", None)
        if call is not None:
            self.defer()
            _, calling = self._waiting.pop(str(call), (0.0, None))
            self.send(msg)
            if calling is not None:
                self.done(calling)
            return
        target = self._target(msg)
        if len(self._waiting) >= MAX_WAITING:
            raise NodeError(f"{MAX_WAITING} calls wait for their return already; this one is not made")
        call = self.host.new_id()
        before = clone(msg)
        callers = msg.get("_linkSource")
        msg["_linkSource"] = [*(callers if isinstance(callers, list) else ()), {"id": call, "node": self.id}]
        if not self.host.deliver_to(self, target, msg):
            raise NodeError(f"the link in node '{target}' is not running")
        self.defer()
        self._waiting[call] = (self.clock.monotonic() + self.config.timeout, before)
        if self.config.timeout:
            self.after(self.config.timeout, self.give_up)

    def _target(self, msg: Message) -> str:
        if self.config.link_type == "static":
            links = self.host.links(self)
            if not links:
                raise NodeError("no link in node is chosen to be called")
            return links[0]
        wanted = msg.get("target")
        if not isinstance(wanted, str) or not wanted:
            raise NodeError(f"'target' is {wanted!r}, where the id or the name of a link in node is needed")
        found = self.host.find(self, wanted, "link in")
        if found is None:
            raise NodeError(f"there is no link in node '{wanted}' that can be called from here")
        return found

    def give_up(self, _key: str) -> None:
        """Report the calls that are overdue."""
        now = self.clock.monotonic()
        while self._waiting:
            call, (due, msg) = next(iter(self._waiting.items()))
            if due > now + 1e-6:
                self.after(due - now, self.give_up)
                return
            del self._waiting[call]
            self.error(f"the call has not returned within {self.config.timeout:g} s", msg)
