"""A project as the engine runs it: nodes with their checked configuration, wires resolved, subflows unfolded.

Made by `solarflow.graph` from the files that `solarflow.flowfile` has read; nothing here knows of files or of JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from solarflow.node import NodeConfig


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One node to run.

    Nodes inside a subflow instance have the id "<instance id>/<id in the subflow>", so that state finds them again.
    Junctions are gone: wires through them lead on. Disabled nodes and everything in disabled flows are gone too.
    """

    id: str
    type: str
    name: str
    file: str
    """The flow file, relative to the project: "flows/benchmark.json"."""
    flow: str
    """The id of the tab, or of the subflow instance, whose flow context it has; "" for a shared config node."""
    scopes: tuple[str, ...]
    """The flows it lies in, nearest first: subflow instances, then the tab. Errors and statuses climb along these."""
    groups: tuple[str, ...]
    """The groups it lies in within its nearest flow, innermost first."""
    config: NodeConfig
    env: Mapping[str, Any]
    """Everything it sees as environment: subflow, group, flow, then the project's; the process's own is not in it."""
    wires: tuple[tuple[str, ...], ...] = ()
    """For each output the ids of the nodes that get its messages."""
    links: tuple[str, ...] = ()
    """For link out and link call: the link in nodes; for catch, status, complete: the nodes of their scope."""
    digest: str = ""
    """Changes with anything but the place on the canvas and the wires: type, properties, env it uses."""


@dataclass(frozen=True, slots=True)
class FlowSpec:
    """One flow file as it runs."""

    id: str
    label: str
    file: str
    description: str = ""
    nodes: tuple[str, ...] = ()
    digest: str = ""
    """Changes with anything in it but places on the canvas."""


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """One subflow instance, as seen from outside."""

    name: str
    type: str
    """ "subflow:<id of the subflow>"."""
    scopes: tuple[str, ...]
    """The flows it lies in, nearest first."""
    groups: tuple[str, ...]
    """The groups it lies in, innermost first."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All flows to run."""

    nodes: Mapping[str, NodeSpec]
    """Config nodes first, in the order in which they need each other."""
    flows: Mapping[str, FlowSpec]
    queued: frozenset[tuple[str, int, str]] = frozenset()
    """Wires (source, port, target) that go through the queue: those that close a circle, and one in every hundred of a
    very long chain."""
    instances: Mapping[str, InstanceSpec] = field(default_factory=dict)
    """Subflow instances by id."""
    status_wires: Mapping[tuple[str, int], str] = field(default_factory=dict)
    """(node, port) wired to a subflow's status output: the instance whose status its messages set."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The manifest's settings."""
