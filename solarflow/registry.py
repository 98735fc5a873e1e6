"""Finds the node types: the palette beside this package, and packages with an entry point "solarflow.nodes"."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from importlib.metadata import entry_points
from types import ModuleType

from solarflow.errors import SolarFlowError, nearest
from solarflow.node import Node

PALETTE = "solarflow.nodes"


class Registry:
    """Node types by name. Two with the same name are refused."""

    def __init__(self) -> None:
        self._types: dict[str, type[Node]] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._types

    def __iter__(self) -> Iterator[type[Node]]:
        return iter(sorted(self._types.values(), key=lambda t: (t.category, t.type)))

    def __len__(self) -> int:
        return len(self._types)

    def get(self, name: str) -> type[Node] | None:
        """The type of that name, or None."""
        return self._types.get(name)

    def __getitem__(self, name: str) -> type[Node]:
        try:
            return self._types[name]
        except KeyError:
            raise SolarFlowError(f"there is no node type '{name}'{self.nearest(name)}") from None

    def nearest(self, name: str) -> str:
        """The tail of an error text that names the likeliest type."""
        return nearest(name, self._types)

    def add(self, node_type: type[Node]) -> None:
        """Register a type.

        Raises SolarFlowError where it has no name, or the name is taken.
        """
        if not node_type.type:
            raise SolarFlowError(f"{node_type.__module__}.{node_type.__qualname__} names no type")
        other = self._types.get(node_type.type)
        if other is not None and other is not node_type:
            raise SolarFlowError(
                f"the node type '{node_type.type}' is defined twice: in {other.__module__} and {node_type.__module__}; "
                "rename one, or uninstall the package that brings it"
            )
        self._types[node_type.type] = node_type

    def add_module(self, module: ModuleType) -> None:
        """Register the node types that are defined in a module (not those it imports)."""
        for value in vars(module).values():
            if (
                inspect.isclass(value)
                and issubclass(value, Node)
                and value.__module__ == module.__name__
                and value.type
            ):
                self.add(value)

    def add_package(self, name: str) -> None:
        """Register the node types of every module below a package."""
        package = importlib.import_module(name)
        self.add_module(package)
        for found in pkgutil.walk_packages(package.__path__, prefix=f"{name}."):
            self.add_module(importlib.import_module(found.name))


def load_registry() -> Registry:
    """The palette and what installed packages add to it.

    Raises SolarFlowError that names the package where one cannot be loaded.
    """
    registry = Registry()
    registry.add_package(PALETTE)
    for point in entry_points(group="solarflow.nodes"):
        try:
            found = point.load()
        except Exception as error:
            where = f"{point.dist.name if point.dist else 'a package'} ({point.value})"
            raise SolarFlowError(f"the node package {where} cannot be loaded: {error}; mend or uninstall it") from error
        if inspect.ismodule(found):
            if hasattr(found, "__path__"):
                registry.add_package(found.__name__)
            else:
                registry.add_module(found)
        else:
            registry.add(found)
    return registry
