"""Hears of the statuses of other nodes.

Whenever a node in its scope shows something under itself, a message tells what.

Outputs
    status.text (text): what the node shows; empty where it takes the status away.
    status.fill (text): red, green, yellow, blue, grey or empty.
    status.shape (text): dot, ring or empty.
    status.source (object): the node: `id`, `type`, `name`.
    home: whose status it is, where the node keeps one for each home.
Details
    The scope is the whole flow, the group that this node lies in (with the groups in it), or chosen nodes.
    The status of a node in a subflow goes on to the flow around it where no status node in the subflow takes it, and
    only where the subflow has no status output: through that it tells itself what it shows.
Example
    A status node with the scope of one `mqtt in` node and a switch on `status.fill` act when a broker is lost.
Source
    The behaviour follows Node-RED's status node.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from solarflow.node import Message, Node, NodeRedConfig


class StatusNode(Node):
    """Sends on the statuses that the engine brings."""

    type = "status"
    category = "common"
    color = "#c0edc0"
    icon = "status"
    inputs = 0
    forwards = True
    role = "status"

    class Config(NodeRedConfig):
        """The properties of Node-RED's status node."""

        scope: Literal["group"] | tuple[str, ...] | None = None
        """Whose statuses: of all nodes of the flow (null), of this node's group ("group"), or of the nodes listed."""

    config: Config

    def input_function(self, send: Callable[..., None]) -> Callable[[Message], None]:
        """What comes goes on."""
        return send
