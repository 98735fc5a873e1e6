"""A flow of a few nodes, running."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from little_nodes import TYPES, Life, flow_of

from solarflow.flowbench import FlowBench
from solarflow.registry import Registry


@pytest.fixture(scope="session")
def palette() -> Registry:
    """Node-RED's common types and the little ones."""
    registry = Registry()
    registry.add_package("solarflow.nodes.common")
    for node_type in TYPES:
        registry.add(node_type)
    return registry


@pytest.fixture
def flow(palette: Registry) -> Callable[..., FlowBench]:
    """A running flow: `flow(node("a", "pass", "b"), node("b", "pass"))`; see solarflow.flowbench."""
    Life.happened.clear()

    def make(*nodes: dict[str, Any], **options: Any) -> FlowBench:
        return FlowBench(flow_of(*nodes), palette, **options)

    return make
