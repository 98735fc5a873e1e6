"""The far end of a wire that is not drawn.

What `link out` nodes send to it, and what `link call` nodes send it to be worked on, goes on from here.

Outputs
    The message as it came.
Details
    Links lead from tab to tab of one file. A subflow's links stay in its instance.
    A `link call` finds its link in by what is chosen there, or by the id or name that the message gives: then the name
    must be one of a kind in its flow.
Source
    The behaviour follows Node-RED's link in node.
"""

from __future__ import annotations

from collections.abc import Callable

from solarflow.node import Message, Node, NodeRedConfig


class LinkIn(Node):
    """Sends on what links bring."""

    type = "link in"
    category = "common"
    color = "#ddd"
    icon = "link-in"
    inputs = 0
    forwards = True
    role = "link in"

    class Config(NodeRedConfig):
        """The properties of Node-RED's link in node."""

        links: tuple[str, ...] = ()
        """The link out nodes at the other end, as the editor notes them; the link out nodes' own lists count."""

    config: Config

    def input_function(self, send: Callable[..., None]) -> Callable[[Message], None]:
        """What comes goes on."""
        return send
