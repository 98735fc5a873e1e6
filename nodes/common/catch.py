"""Hears of the errors of other nodes.

What a node cannot do with a message comes here, with the message, instead of only standing in the log.

Outputs
    The message with which it happened (its own copy; an empty one where there was none), and in it
    error.message (text): what went wrong.
    error.source (object): the node: `id`, `type`, `name`, and `count`, how often this message has failed there.
    _error: what `error` was before, where the message had one.
Details
    The scope is the whole flow, the group that this node lies in (with the groups in it), or chosen nodes. With
    `uncaught` it hears only of errors that no other catch node of the flow has heard of.
    All catch nodes in whose scope an error lies hear of it, those of the nearest group first. Where there is none in a
    subflow, the error goes on to the flow around it, where the subflow's instance is what failed.
    An error of a node to which its own catch leads back is dropped when it has come back ten times. A node that
    fails ten times in a row for one home rests for that home for a while.
    Errors that nobody catches are logged, once a minute for each node.
Example
    A catch node without a scope, a change node that makes `payload` of `error.message`, and an mqtt out node tell
    everybody of every error of a flow.
Source
    The behaviour follows Node-RED's catch node.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from solarflow.node import Message, Node, NodeRedConfig


class Catch(Node):
    """Sends on the errors that the engine brings."""

    type = "catch"
    category = "common"
    color = "#e49191"
    icon = "alert"
    inputs = 0
    forwards = True
    role = "catch"

    class Config(NodeRedConfig):
        """The properties of Node-RED's catch node."""

        scope: Literal["group"] | tuple[str, ...] | None = None
        """Whose errors: of all nodes of the flow (null), of this node's group ("group"), or of the nodes listed."""
        uncaught: bool = False
        """Only errors that no other catch node of the flow takes."""

    config: Config

    def input_function(self, send: Callable[..., None]) -> Callable[[Message], None]:
        """What comes goes on."""
        return send
