"""A note on the canvas.

Says something to whoever reads the flow. It does nothing.

Details
    `name` is the headline; `info` is the text behind it, in Markdown.
Source
    The behaviour follows Node-RED's comment node.
"""

from __future__ import annotations

from solarflow.node import Node, NodeRedConfig


class Comment(Node):
    """A note."""

    type = "comment"
    category = "common"
    color = "#ffffff"
    icon = "comment"
    inputs = 0
    outputs = 0
    role = "comment"

    class Config(NodeRedConfig):
        """The properties of Node-RED's comment node."""

        info: str = ""
        """The text of the note."""

    config: Config
