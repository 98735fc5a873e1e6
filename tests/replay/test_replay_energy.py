"""The energy that a replay counts."""

import pytest
from replay_helpers import HOME, balance, passing, project, readings, replayed, switcher


def energy(run, home="casa_A"):
    return run.ledger.accounts[home].as_json()


def test_power_runs_in_straight_lines_between_readings(registry, tmp_path):
    given = readings((0, *balance("casa_A", 0, 500)), (3600, *balance("casa_A", 2000, 500)))
    counted = energy(replayed(registry, project(tmp_path, *passing("x")), given))
    assert counted["produced_wh"] == 1000
    assert counted["consumed_wh"] == 500
    # Below 500 W of sun, in the first quarter, the rest is imported: a triangle of 500 W x 15 min / 2.
    assert counted["imported_wh"] == 62.5
    assert counted["self_consumed_wh"] == 437.5
    assert counted["exported_wh"] == 562.5
    assert counted["counted_h"] == 1


def test_a_battery_takes_before_the_grid_does(registry, tmp_path):
    given = readings(*((t, *balance("casa_A", 2000, 500, batteria_w=1000)) for t in (0, 3600)))
    counted = energy(replayed(registry, project(tmp_path, *passing("x")), given))
    assert (counted["exported_wh"], counted["imported_wh"], counted["self_consumed_wh"]) == (500, 0, 500)
    given = readings(*((t, *balance("casa_A", 0, 500, batteria_w=-300)) for t in (0, 3600)))
    counted = energy(replayed(registry, project(tmp_path, *passing("x")), given))
    assert (counted["exported_wh"], counted["imported_wh"]) == (0, 200)


def test_nothing_is_counted_over_a_gap(registry, tmp_path):
    given = readings(*((t, *balance("casa_A", 1000, 0)) for t in (0, 3600, 3600 + 5401)))
    counted = energy(replayed(registry, project(tmp_path, *passing("x")), given))
    assert (counted["produced_wh"], counted["counted_h"], counted["gaps_h"]) == (1000, 1, 1.5)
    wide = energy(replayed(registry, project(tmp_path, *passing("x")), given, max_gap_s=6000))
    assert wide["gaps_h"] == 0


def test_a_home_that_only_says_its_production_has_that_counted(registry, tmp_path):
    given = readings(*((t, "comunita/casa_A/produzione", {"potenza_w": 1000}) for t in (0, 1800, 3600)))
    counted = energy(replayed(registry, project(tmp_path, *passing("x")), given))
    assert (counted["produced_wh"], counted["consumed_wh"]) == (1000, 0)


def test_production_that_is_told_twice_is_counted_once(registry, tmp_path):
    given = []
    for t in (0, 1800, 3600):
        given += [(t, "comunita/casa_A/produzione", {"potenza_w": 1000}), (t, *balance("casa_A", 1000, 400))]
    assert energy(replayed(registry, project(tmp_path, *passing("x")), readings(*given)))["produced_wh"] == 1000


def test_a_simulated_load_is_counted_from_switch_to_switch_however_coarse_the_readings(registry, tmp_path):
    given = readings(
        (0, *balance("casa_A", 2000, 400)), (600, "on", 1), (800, "on", 1), (1500, "off", 1),
        (3600, *balance("casa_A", 2000, 400)),
    )  # fmt: skip
    run = replayed(registry, project(tmp_path, *switcher("x", ttl_s=900)), given, homes=[HOME])
    counted = energy(run)
    assert counted["consumed_wh"] == pytest.approx(400 + 1500 * 900 / 3600)
    assert counted["self_consumed_wh"] == counted["consumed_wh"]
    assert counted["exported_wh"] == pytest.approx(2000 - counted["consumed_wh"])


def test_a_reading_that_was_on_its_way_counts_for_the_time_at_which_it_was_measured(registry, tmp_path):
    given = readings((0, *balance("casa_A", 1000, 0)), (3700, *balance("casa_A", 1000, 0, ts=1_750_503_600.0)))
    assert energy(replayed(registry, project(tmp_path, *passing("x")), given))["produced_wh"] == 1000
