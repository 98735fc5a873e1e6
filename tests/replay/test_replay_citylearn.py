"""The shipped flows over recorded homes (CityLearn 2022), which stay where they are."""

import csv
from functools import cache
from pathlib import Path

import pytest

from solarflow.manifest import read_project
from solarflow.replay import Options, Replay
from solarflow.replay.changes import plan_of, read_change, with_flows
from solarflow.replay.figures import messages
from solarflow.replay.marks import Mark, judged
from solarflow.replay.resample import Resampled
from solarflow.store import Home

ROOT = Path(__file__).parent.parent.parent
DATA = ROOT.parent / "shared" / "data" / "citylearn"
HOURLY = (ROOT / "benchmarks" / "hourly.txt").read_text().splitlines()[1:]
FIRST_HOUR = 1_753_920_000.0
HOMES = [Home(id=f"casa_{number}", peak_power_wp=5000 if number == 4 else 4000) for number in range(1, 10)]

SUNNY = range(1, 4, 2)
"""Homes with a surplus on the first day: 1 and 3."""

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the recordings of ../shared/data are not here")


@cache
def figures(number: int) -> list[tuple[float, float]]:
    with (DATA / f"Building_{number}.csv").open(newline="") as file:
        peak_kw = 5.0 if number == 4 else 4.0
        return [
            (float(row["solar_generation"]) * peak_kw, float(row["non_shiftable_load"]) * 1000)
            for row in csv.DictReader(file)
        ]


def recorded(first: int, hours: int, homes: range, loss_of: int = 0, loss_from: int = 0):
    """Hours of homes; from an hour on one of them gives 40 % less."""
    for hour in range(first, first + hours):
        for number in homes:
            production_w, consumption_w = figures(number)[hour]
            if number == loss_of and hour >= loss_from:
                production_w *= 0.6
            given = {"production_w": production_w, "consumption_w": consumption_w}
            yield from messages(FIRST_HOUR + 3600 * hour, f"casa_{number}", given)


def shipped(registry, *flows: str, changes=()):
    return plan_of(with_flows(read_project(ROOT), flows), registry, {}, [read_change(text) for text in changes])


def test_a_loss_is_found_by_the_benchmark_and_nothing_else_is(registry):
    plan = shipped(registry, "benchmark", changes=[line for line in HOURLY if line.startswith("benchmark")])
    replay = Replay(registry, plan, HOMES, environ={})
    replay.run(recorded(0, 45 * 24, range(1, 7), loss_of=3, loss_from=25 * 24))
    begins = FIRST_HOUR + 25 * 86_400
    verdict = judged([Mark("casa_3", begins, begins + 10 * 86_400)], replay.alerts.alerts)
    assert (len(verdict["found"]), verdict["false"]) == (1, [])
    assert verdict["found"][0]["delay_s"] < 7 * 86_400
    assert replay.captured == {"alert": 1, "mqtt": 1}


def test_resampled_to_minutes_the_shipped_surplus_flow_works_with_its_own_times(registry):
    plan = shipped(registry, "self-consumption")
    coarse, fine = Replay(registry, plan, HOMES, environ={}), Replay(registry, plan, HOMES, environ={})
    coarse.run(recorded(5, 14, SUNNY))
    fine.run(Resampled(recorded(5, 14, SUNNY), 60.0, 5400.0))
    # Hour by hour every reading is too old after two minutes.
    assert [relay for relay in coarse.plant.relays if relay.switched] == []
    boilers = [relay for relay in fine.plant.relays if relay.load == "boiler"]
    assert all(3600 < relay.on_s < 14 * 3600 and relay.expired == 0 for relay in boilers)
    for home in ("casa_1", "casa_3"):
        before, after = coarse.ledger.accounts[home], fine.ledger.accounts[home]
        assert after.produced_wh == pytest.approx(before.produced_wh)
        assert after.self_consumed_wh > before.self_consumed_wh + 500
        assert after.exported_wh < before.exported_wh - 500


def test_what_is_used_and_sent_is_what_is_made_and_taken(registry):
    replay = Replay(registry, shipped(registry, "self-consumption", changes=HOURLY[2:]), HOMES, Options(), environ={})
    replay.run(recorded(0, 7 * 24, range(1, 10)))
    for account in replay.ledger.accounts.values():
        assert account.produced_wh == pytest.approx(account.self_consumed_wh + account.exported_wh)
        assert account.consumed_wh == pytest.approx(account.self_consumed_wh + account.imported_wh)
    loads_wh = sum(relay.energy_wh for relay in replay.plant.relays)
    recorded_wh = sum(
        (figures(number)[hour][1] + figures(number)[hour + 1][1]) / 2
        for number in range(1, 10)
        for hour in range(7 * 24 - 1)
    )
    consumed_wh = sum(account.consumed_wh for account in replay.ledger.accounts.values())
    assert consumed_wh == pytest.approx(recorded_wh + loads_wh, rel=1e-6)
