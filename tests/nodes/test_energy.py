import pytest
from hypothesis import given
from hypothesis import strategies as st

from solarflow.nodes.energy.energy import integrate
from solarflow.registry import load_registry
from solarflow.testing import START, NodeBench

ENERGY = load_registry()["energy"]


def intervals(bench):
    return [
        (s.msg["payload"]["start"] - START, round(s.msg["payload"]["energy_wh"], 6)) for s in bench.sent if not s.port
    ]


def test_a_constant_kilowatt_is_a_quarter_of_a_kilowatt_hour_in_a_quarter_of_an_hour(node):
    energy = node("energy", lateness_s=0)
    energy.feed(1000, home="a", every=60, until=1800)
    assert intervals(energy) == [(0, 250), (900, 250)]


def test_power_that_rises_evenly_is_integrated_exactly(node):
    energy = node("energy", interval_s=3600, max_gap_s=3600, lateness_s=0)
    energy.feed(0, home="a", at=0)
    energy.feed(1000, home="a", at=1000)
    energy.feed(3600, home="a", at=3600)
    assert intervals(energy) == [(0, 1800)]


def test_a_pair_across_an_edge_is_divided_at_the_edge(node):
    energy = node("energy", lateness_s=0)
    energy.feed(0, home="a", at=600)
    energy.feed(600, home="a", at=1200)
    energy.feed(600, home="a", at=1800)
    # 600..900 s: 0 to 300 W; 900..1200 s: 300 to 600 W, then 600 W.
    assert intervals(energy) == [(0, 12.5), (900, 37.5 + 100)]


def test_a_gap_is_reported_and_not_filled(node):
    energy = node("energy", interval_s=3600, max_gap_s=300, lateness_s=0)
    energy.feed(1000, home="a", every=300, until=900)
    energy.feed(1000, home="a", every=300, start=2700, until=3600)
    payload = energy.last["payload"]
    assert payload["energy_wh"] == pytest.approx(500)
    assert (payload["covered_s"], payload["gap_s"]) == (1800, 1800)


def test_an_interval_of_which_nothing_is_known_is_not_sent(node):
    energy = node("energy", max_gap_s=300, lateness_s=0)
    energy.feed(1000, home="a", every=300, until=900)
    energy.feed(1000, home="a", every=300, start=9000, until=9900)
    energy.advance(5000)
    assert intervals(energy) == [(0, 250), (9000, 250)]


def test_the_clock_closes_an_interval_when_nothing_comes_any_more(node):
    energy = node("energy", lateness_s=60)
    energy.feed(1000, home="a", every=300, until=900)
    assert energy.sent == []
    energy.advance_to(962)
    assert intervals(energy) == [(0, 250)]


def test_samples_out_of_order_count_as_if_they_had_come_in_order(node):
    energy = node("energy", lateness_s=300)
    for t in (0, 600, 300, 900, 1200):
        energy.feed(t, home="a", at=1200, ts=START + t)
    energy.advance_to(1300)
    assert intervals(energy) == [(0, 112.5)]


def test_a_sample_that_comes_too_late_leaves_by_the_second_output(node):
    energy = node("energy", lateness_s=0)
    energy.feed(1000, home="a", every=300, until=1200)
    energy.feed(500, home="a", ts=START + 450)
    late = energy.sent[-1]
    assert (late.port, late.msg["payload"]) == (1, {"power_w": 500, "ts": START + 450})
    assert energy.status("a") == "1 too late"


def test_the_same_moment_again_replaces_the_sample(node):
    energy = node("energy", lateness_s=0)
    energy.feed(9999, home="a", at=0)
    energy.feed(1000, home="a", at=0)
    energy.feed(1000, home="a", at=900)
    assert intervals(energy) == [(0, 250)]


def test_half_an_interval_survives_a_restart(node):
    energy = node("energy", lateness_s=0)
    energy.feed(1000, home="a", every=300, until=600)
    energy.restart(down_s=60)
    energy.feed(1000, home="a", at=900)
    assert intervals(energy) == [(0, 250)]


def test_one_home_s_rubbish_spoils_no_other_home(node):
    energy = node("energy", lateness_s=0)
    energy.feed(1000, home="a", at=0)
    energy.feed("broken", home="b", at=10)
    energy.feed(1000, home="a", at=900)
    assert intervals(energy) == [(0, 250)]
    assert energy.errors == ["'payload' is 'broken', where a number is needed"]


@given(
    st.lists(st.tuples(st.integers(0, 7200), st.integers(0, 5000)), min_size=2, max_size=50, unique_by=lambda s: s[0]),
    st.sampled_from([900.0, 300.0]),
)
def test_intervals_add_up_to_the_whole(samples, max_gap_s):
    ordered = sorted((float(t), float(p)) for t, p in samples)
    whole, covered = integrate(ordered, 0, 7200, max_gap_s)
    parts = [integrate(ordered, start, start + 900, max_gap_s) for start in range(0, 7200, 900)]
    assert sum(wh for wh, _ in parts) == pytest.approx(whole)
    assert sum(s for _, s in parts) == pytest.approx(covered)
    bench = NodeBench(ENERGY, {"max_gap_s": max_gap_s, "lateness_s": 0})
    for ts, power in ordered:
        bench.input({"home": "a", "payload": power, "ts": START + ts})
    bench.advance(20_000)
    assert sum(wh for _, wh in intervals(bench)) == pytest.approx(whole, abs=1e-3)
    bench.close()
