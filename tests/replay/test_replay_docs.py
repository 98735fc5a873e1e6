"""docs/replay.md says what the command does."""

import re
from pathlib import Path

import pytest

from solarflow.cli.replay import replay
from solarflow.manifest import read_project
from solarflow.replay.changes import plan_of, read_change
from solarflow.replay.figures import QUANTITIES
from solarflow.replay.recording import read_line

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "replay.md").read_text()


@pytest.mark.parametrize("option", [name for p in replay.params for name in p.opts if name.startswith("--")])
def test_every_option_is_explained(option):
    assert f"{option}" in PAGE


def test_no_option_is_explained_that_is_not_there():
    known = {name for parameter in replay.params for name in parameter.opts}
    assert set(re.findall(r"--[a-z][a-z-]*", PAGE)) - known == set()


def test_the_line_of_the_page_can_be_read():
    (line,) = re.findall(r"`(\{\"ts\".*?\})`\. ", PAGE)
    assert read_line(line.encode()) == (1750500000.0, "comunita/casa_A/produzione", {"potenza_w": 1500}, False)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_every_quantity_is_named(quantity):
    assert f"`{quantity}`" in PAGE


def test_the_changes_for_hourly_recordings_fit_the_shipped_flows(registry):
    lines = (ROOT / "benchmarks" / "hourly.txt").read_text().splitlines()
    changes = [read_change(line) for line in lines if not line.startswith("#")]
    plan = plan_of(read_project(ROOT), registry, {}, changes)
    assert plan.nodes["benchmark-compare"].config.period_s == 3600
