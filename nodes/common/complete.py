"""Hears when chosen nodes are done with a message.

Useful after nodes without an output, such as one that writes or sends something away.

Outputs
    The message with which the node is done: its own copy, as the node got it.
Details
    A node is done with a message when it has handled it without an error, with what it does later too where it waits
    for something (a request, a computation). What lies behind the node in the flow does not matter.
    There is no scope for a whole flow: the nodes have to be listed.
Example
    A complete node on an `mqtt out` node, wired to the next step, takes that step after the message has been sent.
Source
    The behaviour follows Node-RED's complete node.
"""

from __future__ import annotations

from collections.abc import Callable

from solarflow.node import Message, Node, NodeRedConfig


class Complete(Node):
    """Sends on the messages that the engine brings."""

    type = "complete"
    category = "common"
    color = "#c0edc0"
    icon = "alert"
    inputs = 0
    forwards = True
    role = "complete"

    class Config(NodeRedConfig):
        """The properties of Node-RED's complete node."""

        scope: tuple[str, ...] = ()
        """The ids of the nodes."""
        uncaught: bool = False
        """Node-RED's editor writes it here too; it has no meaning."""

    config: Config

    def input_function(self, send: Callable[..., None]) -> Callable[[Message], None]:
        """What comes goes on."""
        return send
