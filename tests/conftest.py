"""What every test may use."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from solarflow.registry import Registry, load_registry
from solarflow.testing import NodeBench


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Commands that a test calls in this process set the logging up for themselves; the next test must not notice."""
    root, ours = logging.getLogger(), logging.getLogger("solarflow")
    handlers, levels, disabled = root.handlers[:], (root.level, ours.level), root.manager.disable
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
    logging.disable(disabled)


@pytest.fixture(scope="session")
def registry() -> Registry:
    """The palette."""
    return load_registry()


@pytest.fixture
def node(registry: Registry) -> Iterator[Callable[..., NodeBench]]:
    """A node on the bench: `node("threshold-hold", on_above=1000)`; see solarflow.testing.NodeBench."""

    def make(
        type_: str, config: dict[str, Any] | None = None, *, bench: dict[str, Any] | None = None, **properties: Any
    ) -> NodeBench:
        made.append(NodeBench(registry[type_], {**(config or {}), **properties}, **(bench or {})))
        return made[-1]

    made: list[NodeBench] = []
    yield make
    for used in made:
        used.close()
