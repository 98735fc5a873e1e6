"""Whatever comes, in whatever order, the rollups are what the samples say."""

from __future__ import annotations

import math
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solarflow.store import DataFolder

START = 1_720_000_800
SAMPLE = st.tuples(
    st.sampled_from(["casa_A", "casa_B"]),
    st.integers(0, 4 * 3600).map(lambda quarter: START + quarter / 4),  # one hour, many collisions
    st.floats(-1e6, 1e6),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(SAMPLE, max_size=30), max_size=6), st.booleans())
def test_rollups_are_what_the_samples_say_after_any_order_duplicates_and_late_ones(commits, spread: bool) -> None:
    expected: dict[str, dict[float, float]] = defaultdict(dict)
    with DataFolder.in_memory() as folder:
        for samples in commits:
            for home, ts, value in samples:
                ts = START + (ts - START) * 7 if spread else ts
                folder.telemetry.append(home, "production_w", ts, value)
                expected[home][ts] = value
            folder.commit()
        for home, samples_of_home in expected.items():
            assert dict(folder.telemetry.samples(home, "production_w", 0, math.inf)) == samples_of_home
            hours: dict[float, list[float]] = defaultdict(list)
            for ts, value in samples_of_home.items():
                hours[ts // 3600 * 3600].append(value)
            found = {hour.ts: hour for hour in folder.telemetry.hourly(home, "production_w", 0, math.inf)}
            assert set(found) == set(hours)
            for ts, values in hours.items():
                assert (found[ts].n, found[ts].min, found[ts].max) == (len(values), min(values), max(values))
                assert found[ts].sum == pytest.approx(math.fsum(values), rel=1e-9, abs=1e-6)
