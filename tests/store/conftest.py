"""What the tests of the store share: a data folder, on disk and in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from solarflow.store import DataFolder


@pytest.fixture(params=["on disk", "in memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DataFolder]:
    """A new data folder. Both kinds behave the same."""
    with DataFolder(tmp_path / "data") if request.param == "on disk" else DataFolder.in_memory() as opened:
        yield opened
