"""A point where wires meet and part.

Keeps a drawing tidy. It is no step of its own: what is wired to it goes straight to where it leads.

Details
    A circle of junctions leads nowhere.
Source
    The behaviour follows Node-RED's junctions.
"""

from __future__ import annotations

from solarflow.node import Node, NodeRedConfig


class Junction(Node):
    """A point where wires meet; the plan of a flow has it no more."""

    type = "junction"
    category = "common"
    color = "#d9d9d9"
    icon = "junction"
    forwards = True
    role = "junction"

    class Config(NodeRedConfig):
        """A junction has no properties."""

    config: Config
