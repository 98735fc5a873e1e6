"""Replaying what a data folder has recorded, and giving a folder a past."""

import pytest
from replay_helpers import START, mqtt_in, project

from solarflow.errors import StoreError, UsageError
from solarflow.manifest import read_project
from solarflow.priming import prime
from solarflow.replay.changes import plan_of
from solarflow.replay.history import History
from solarflow.store import DataFolder


@pytest.fixture
def data(tmp_path):
    with DataFolder(tmp_path / "data", raw_days=2) as folder:
        for minute in range(0, 12 * 60, 10):
            for home in ("casa_B", "casa_A"):
                folder.telemetry.append(home, "production_w", START + 60 * minute, 1000 + minute)
            folder.telemetry.append("casa_A", "consumption_w", START + 60 * minute, 400)
            folder.telemetry.append("casa_A", "surplus_w", START + 60 * minute, 0)
    return tmp_path / "data"


def test_series_become_the_messages_of_the_meters_in_order_of_time(data):
    found = list(History(data, None, None))
    assert found[:3] == [
        (START, "comunita/casa_A/produzione", {"potenza_w": 1000}, False),
        (START, "comunita/casa_A/bilancio", {"produzione_w": 1000, "consumo_w": 400}, False),
        (START, "comunita/casa_B/produzione", {"potenza_w": 1000}, False),
    ]
    assert len(found) == 72 * 3
    assert [ts for ts, *_ in found] == sorted(ts for ts, *_ in found)


def test_only_the_time_that_is_asked_for_is_replayed(data):
    found = list(History(data, START + 3600, START + 7200))
    assert (found[0][0], found[-1][0], len(found)) == (START + 3600, START + 6600, 18)


def test_where_single_samples_are_gone_the_means_of_the_hours_stand_in(data):
    with DataFolder(data, raw_days=2) as folder:
        folder.maintain(START + 2 * 86_400 + 6 * 3600)
    found = [(ts - START, payload) for ts, topic, payload, _ in History(data, None, None) if "casa_B" in topic]
    assert [ts for ts, _ in found] == [*range(3600, 6 * 3600, 3600), *range(6 * 3600, 12 * 3600, 600)]
    assert found[0] == (3600, {"potenza_w": 1025})


def test_a_time_without_anything_is_told(data):
    with pytest.raises(UsageError, match="holds nothing in that time"):
        History(data, START + 10 * 86_400, None)


def test_a_folder_that_is_none_is_told(tmp_path):
    with pytest.raises(StoreError):
        History(tmp_path, None, None)


def test_a_data_folder_gets_a_past_with_its_samples_and_states(registry, tmp_path):
    sample = {"property": "payload.potenza_w", "quantity": "production_w"}
    flow = project(
        tmp_path,
        mqtt_in("in", "comunita/{home}/produzione", "record", "latest"),
        {"id": "record", "type": "record", "samples": [sample]},
        {"id": "latest", "type": "latest", "wires": []},
    )
    given = [(START + 600 * n, "comunita/casa_A/produzione", {"potenza_w": n}) for n in range(100)]
    shares = []
    plan = plan_of(read_project(flow), registry, {})
    count = prime(
        tmp_path / "past", registry, plan, [{"id": "casa_A"}], given, START, START + 60_000, shares.append
    )  # fmt: skip
    assert count == 100
    assert shares == sorted(shares)
    with DataFolder.read_only(tmp_path / "past") as reader:
        assert len(reader.telemetry.samples("casa_A", "production_w", 0, 2e10)) == 100
        assert ("latest", "casa_A") in reader.telemetry.load_state().states
