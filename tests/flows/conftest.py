"""The small palette and the project folder of flow_helpers, as fixtures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from flow_helpers import Files, palette

from solarflow.errors import Problem
from solarflow.plan import Plan
from solarflow.registry import Registry


@pytest.fixture
def registry() -> Registry:
    return palette()


@pytest.fixture
def files(tmp_path: Path, registry: Registry) -> Files:
    return Files(tmp_path, registry)


@pytest.fixture
def plan_of(files: Files) -> Callable[..., Plan]:
    return files.plan


@pytest.fixture
def problems_of(files: Files) -> Callable[..., list[Problem]]:
    return files.problems
