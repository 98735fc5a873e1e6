"""The trial that each test gets under pytest: one, with a fixed seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from .trial import Trial


@pytest.fixture(autouse=True)
def _saved_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hubs in this process save more often, so that nobody waits long; those in one of their own as ever."""
    monkeypatch.setattr("solarflow.live.CHECKPOINT_S", 0.1)


@pytest.fixture
def trial(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Trial]:
    made = Trial(random.Random(request.node.name), tmp_path)  # noqa: S311 - to be repeated, not to be secret
    with made.stack:
        yield made
