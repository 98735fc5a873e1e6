"""Both brokers, and a fresh project."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from brokers import Mosquitto
from running import solarflow


@pytest.fixture(params=["mosquitto", "embedded"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """What `--broker` gets: the address of a Mosquitto of the test's own, or "embedded"."""
    if request.param == "embedded":
        yield "embedded"
        return
    with Mosquitto(tmp_path) as mosquitto:
        yield mosquitto.url


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project as `solarflow new` makes it, not to be changed."""
    project = tmp_path_factory.mktemp("shipped") / "community"
    made = solarflow("new", project)
    assert made.returncode == 0, made.stderr
    return project


@pytest.fixture
def project(tmp_path: Path, shipped: Path) -> Path:
    """A project as `solarflow new` makes it."""
    return Path(shutil.copytree(shipped, tmp_path / "community"))
