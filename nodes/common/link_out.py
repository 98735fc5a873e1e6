"""The near end of a wire that is not drawn; or the way back to whoever called.

In the mode *link* a message goes to all link in nodes that are chosen. In the mode *return* it goes back to the
`link call` node from which it came.

Inputs
    Any message; to return, one that came from a `link call` node, whose `_linkSource` it still has.
Details
    The first link in gets the message itself, each further one its own copy, as with wires.
    A message that did not come from a `link call` cannot return: that is an error.
Source
    The behaviour follows Node-RED's link out node.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from solarflow.errors import NodeError
from solarflow.node import Example, Message, Node, NodeRedConfig, at


class LinkOut(Node):
    """Sends to link in nodes, over wires that the engine lays, or back to the calling link call node."""

    type = "link out"
    category = "common"
    color = "#ddd"
    icon = "link-out"
    outputs = 0
    forwards = True
    role = "link out"

    class Config(NodeRedConfig):
        """The properties of Node-RED's link out node."""

        mode: Literal["link", "return"] = "link"
        """Send to the link in nodes chosen, or return to the calling `link call` node."""
        links: tuple[str, ...] = ()
        """The ids of the link in nodes."""

    config: Config

    EXAMPLE = Example(
        text="Without a link in node to lead to, the message ends here.", config={}, given=[at(0, payload=1)], then=[]
    )

    def input_function(self, send: Callable[..., None]) -> Callable[[Message], None]:
        """Sending is all there is to do for a link."""
        return send if self.config.mode == "link" else self._give_back

    def _give_back(self, msg: Message) -> None:
        callers = msg.get("_linkSource")
        caller = callers.pop() if isinstance(callers, list) and callers else None
        if not isinstance(caller, dict) or not isinstance(caller.get("node"), str):
            raise NodeError(
                "the message did not come from a link call node, or what it carries to find back (_linkSource) was "
                "lost on the way; send on the message that came, changed, instead of a new one"
            )
        if self.host.config_node(self, caller["node"]).type != "link call":
            raise NodeError(f"'{caller['node']}', to which the message is to return, is not a link call node")
        if not callers:
            del msg["_linkSource"]
        msg["_linkReturn"] = caller.get("id")
        self.host.deliver_to(self, caller["node"], msg)
