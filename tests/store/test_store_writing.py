"""Writing series: buffered, committed together, last one wins, refused when impossible, kept when the disk is full."""

from __future__ import annotations

import math
import threading

import pytest

from solarflow.errors import StoreError
from solarflow.store import DataFolder, Series, StateChanges

NOON = 1_720_000_800.0  # a whole hour
DAY = 86_400.0
EVER = (0.0, math.inf)
POWER = ("casa_A", "production_w")


def recomputed(folder: DataFolder) -> list[tuple[float, ...]]:
    """The rollups as the samples say."""
    query = """select series, ts_ms / 3600000, count(*), round(sum(value), 6), min(value), max(value) from samples
               group by 1, 2 order by 1, 2"""
    return folder.telemetry.connection.database.execute(query).fetchall()


def rollups(folder: DataFolder) -> list[tuple[float, ...]]:
    """The rollups as they were kept."""
    query = "select series, hour, n, round(sum, 6), minimum, maximum from hourly order by 1, 2"
    return folder.telemetry.connection.database.execute(query).fetchall()


def test_a_sample_is_there_after_the_commit_and_not_before(folder: DataFolder) -> None:
    folder.telemetry.append(*POWER, NOON, 1500.0)
    assert folder.telemetry.latest(*POWER) is None
    folder.commit()
    assert folder.telemetry.latest(*POWER) == (NOON, 1500.0)


def test_a_series_knows_its_unit_by_the_last_word_of_its_name(folder: DataFolder) -> None:
    for quantity in ("production_w", "exported_wh", "ev1.current_a", "yield_ratio", "mood"):
        folder.telemetry.append("casa_A", quantity, NOON, 1.0)
    folder.commit()
    assert [(series.name, series.unit) for series in folder.telemetry.series()] == [
        ("casa_A/ev1.current_a", "A"),
        ("casa_A/exported_wh", "Wh"),
        ("casa_A/mood", ""),
        ("casa_A/production_w", "W"),
        ("casa_A/yield_ratio", "1"),
    ]


def test_the_number_of_a_series_stays_over_a_restart(tmp_path) -> None:
    with DataFolder(tmp_path) as folder:
        numbers = [folder.telemetry.series_id(name) for name in ("casa_A/production_w", "casa_B/production_w")]
    with DataFolder(tmp_path) as folder:
        assert [folder.telemetry.series_id(name) for name in ("casa_A/production_w", "casa_B/production_w")] == numbers
        assert folder.telemetry.series_id("casa_C/production_w") not in numbers


@pytest.mark.parametrize("name", ["", "casa_A", "/production_w", "casa_A/", "casa_\ud800/x"])
def test_a_name_that_is_no_series_is_refused_with_an_example(folder: DataFolder, name: str) -> None:
    with pytest.raises(StoreError, match="expected 'home/quantity', as in 'casa_A/production_w'"):
        folder.telemetry.series_id(name)
    folder.commit()
    assert folder.telemetry.series() == []


def test_of_two_samples_of_one_millisecond_the_last_wins_and_the_rollup_follows(folder: DataFolder) -> None:
    for value in (100.0, 900.0):
        folder.telemetry.append(*POWER, NOON, value)
    folder.commit()
    folder.telemetry.append(*POWER, NOON + 0.0002, 300.0)
    folder.commit()
    assert folder.telemetry.samples(*POWER, *EVER) == [(NOON, 300.0)]
    assert list(folder.telemetry.hourly(*POWER, *EVER)) == [(NOON, 1, 300.0, 300.0, 300.0)]


def test_a_late_sample_counts_in_its_own_hour(folder: DataFolder) -> None:
    for ts, value in ((NOON + 10, 10.0), (NOON + 3600, 20.0)):
        folder.telemetry.append(*POWER, ts, value)
    folder.commit()
    folder.telemetry.append(*POWER, NOON + 5, 2.0)
    folder.commit()
    assert list(folder.telemetry.hourly(*POWER, *EVER)) == [
        (NOON, 2, 12.0, 2.0, 10.0),
        (NOON + 3600, 1, 20.0, 20.0, 20.0),
    ]


def test_after_a_restart_a_duplicate_is_still_known_as_one(tmp_path) -> None:
    for value in (100.0, 300.0):
        with DataFolder(tmp_path) as folder:
            folder.telemetry.append(*POWER, NOON, value)
    with DataFolder(tmp_path) as folder:
        assert list(folder.telemetry.hourly(*POWER, *EVER)) == [(NOON, 1, 300.0, 300.0, 300.0)]


def test_the_newest_sample_of_each_series_is_known_without_asking_the_file(tmp_path) -> None:
    every = (POWER, ("casa_B", "production_w"), ("casa_C", "production_w"))
    with DataFolder(tmp_path / "data") as folder:
        for ts, value in ((NOON, 1.0), (NOON + 60, 2.0), (NOON + 60, 3.0), (NOON + 30, 4.0), (NOON + 60, 1e300)):
            folder.telemetry.append(*POWER, ts, value)
        assert folder.telemetry.newest(*POWER) is None, "not committed yet"
        folder.commit()
        assert folder.telemetry.newest(*POWER) == (NOON + 60, 3.0)
        folder.telemetry.append("casa_B", "production_w", NOON, 5.0)
        folder.telemetry.append(*POWER, NOON + 60, 3.5)
        folder.commit()
        known = [folder.telemetry.newest(*series) for series in every]
        assert known == [(NOON + 60, 3.5), (NOON, 5.0), None]
        assert known == [folder.telemetry.latest(*series) for series in every]
    with DataFolder(tmp_path / "data") as again:
        assert [again.telemetry.newest(*series) for series in every] == known


def test_a_newest_sample_that_is_no_longer_kept_is_none(tmp_path) -> None:
    with DataFolder(tmp_path / "data", raw_days=10) as folder:
        folder.telemetry.append(*POWER, NOON, 1.0)
        folder.commit()
        folder.telemetry.prune(NOON + 11 * DAY)
        assert folder.telemetry.newest(*POWER) is None
        folder.telemetry.append(*POWER, NOON + 11 * DAY, 2.0)
        folder.commit()
        assert folder.telemetry.newest(*POWER) == (NOON + 11 * DAY, 2.0)


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        (("casa_A", "production_w", NOON, math.nan), "not a number"),
        (("casa_A", "production_w", NOON, -math.inf), "not a number"),
        (("casa_A", "production_w", NOON, 1e16), "not a number"),
        (("casa_A", "production_w", NOON, "much"), "not a number"),
        (("casa_A", "production_w", NOON, None), "not a number"),
        (("casa_A", "production_w", math.nan, 1.0), "not a number"),
        (("casa_A", "production_w", math.inf, 1.0), "not a number"),
        (("casa_A", "production_w", -1.0, 1.0), "time is impossible"),
        (("casa_A", "production_w", 1e12, 1.0), "time is impossible"),
        (("casa/A", "production_w", NOON, 1.0), "proper name"),
        (("casa_\ud800", "production_w", NOON, 1.0), "proper name"),
        ((["casa_A"], "production_w", NOON, 1.0), "proper name"),
        (("casa_A", 7, NOON, 1.0), "proper name"),
    ],
)
def test_an_impossible_sample_is_refused_by_itself(folder: DataFolder, sample, reason: str) -> None:
    folder.telemetry.append(*sample)
    folder.telemetry.append("casa_B", "production_w", NOON, 5.0)
    folder.commit()
    (refused,) = folder.telemetry.refused
    assert reason in refused.reason
    assert folder.telemetry.refused_count == 1
    assert folder.telemetry.series() == [Series("casa_B", "production_w", "W")]
    assert folder.telemetry.latest("casa_B", "production_w") == (NOON, 5.0)


def test_pruning_deletes_old_samples_in_slices_and_keeps_their_rollups(folder: DataFolder) -> None:
    for number in range(50_000):
        folder.telemetry.append(*POWER, NOON + number, 1.0)
    folder.commit()
    before = rollups(folder)
    now = NOON + 50_000 + 30 * DAY
    slices = []
    while deleted := folder.maintain(now):
        slices.append(deleted)
    assert slices == [20_000, 20_000, 6_800]  # the last hour that began is kept whole
    assert len(folder.telemetry.samples(*POWER, *EVER)) == 3_200
    assert rollups(folder) == before


def test_a_sample_older_than_what_is_kept_is_refused_and_leaves_the_rollup(folder: DataFolder) -> None:
    folder.telemetry.append(*POWER, NOON, 100.0)
    folder.commit()
    folder.maintain(NOON + 31 * DAY)
    assert folder.telemetry.raw_from == NOON + DAY
    folder.telemetry.append(*POWER, NOON + 1, 5.0)
    folder.telemetry.append(*POWER, NOON + DAY, 6.0)
    folder.commit()
    assert [refused.reason for refused in folder.telemetry.refused] == ["older than the samples that are kept"]
    assert [hour.sum for hour in folder.telemetry.hourly(*POWER, *EVER)] == [100.0, 6.0]


def test_what_is_refused_stays_so_after_a_restart(tmp_path) -> None:
    with DataFolder(tmp_path) as folder:
        folder.maintain(NOON + 31 * DAY)
    with DataFolder(tmp_path) as folder:
        folder.telemetry.append(*POWER, NOON, 5.0)
        folder.commit()
        assert folder.telemetry.refused_count == 1


def test_a_clock_that_was_years_ahead_blocks_nothing_once_it_is_right(folder: DataFolder) -> None:
    folder.telemetry.append(*POWER, NOON, 100.0)
    folder.commit()
    folder.maintain(NOON + 4000 * DAY)
    folder.maintain(NOON + 60)
    folder.telemetry.append(*POWER, NOON + 30, 7.0)  # its hour cannot be made whole again
    folder.telemetry.append(*POWER, NOON + 3600, 8.0)
    folder.commit()
    assert folder.telemetry.refused_count == 1
    assert [hour.sum for hour in folder.telemetry.hourly(*POWER, *EVER)] == [100.0, 8.0]


def test_days_to_keep_must_be_some(tmp_path) -> None:
    with pytest.raises(StoreError, match="cannot be kept for 0 days"):
        DataFolder(tmp_path, raw_days=0)
    DataFolder(tmp_path).close()


def limit_pages(folder: DataFolder, pages: int) -> None:
    folder.telemetry.connection.database.execute(f"pragma max_page_count = {pages}")


def fill(folder: DataFolder, samples: int) -> None:
    for number in range(samples):
        folder.telemetry.append(*POWER, NOON + number, float(number))


def test_a_full_disk_loses_nothing_and_writing_goes_on_when_there_is_room(folder: DataFolder) -> None:
    limit_pages(folder, 40)
    fill(folder, 30_000)
    for second in range(3):
        with pytest.raises(StoreError, match=r"database or disk is full\. Free some space"):
            folder.commit(StateChanges(states={("hold", "casa_A"): b"%d" % second}, saved_at=NOON + second))
    assert folder.telemetry.buffered == 30_000
    assert folder.telemetry.latest(*POWER) is None
    assert not folder.telemetry.load_state()

    limit_pages(folder, 100_000)
    folder.commit()
    assert len(folder.telemetry.samples(*POWER, *EVER)) == 20_000  # it catches up in steps
    folder.commit()
    assert folder.telemetry.buffered == 0
    assert len(folder.telemetry.samples(*POWER, *EVER)) == 30_000
    assert folder.telemetry.load_state() == StateChanges(states={("hold", "casa_A"): b"2"}, saved_at=NOON + 2)
    assert rollups(folder) == recomputed(folder)
    assert folder.telemetry.dropped == 0


def test_closing_writes_all_that_waits_even_after_a_failure(tmp_path) -> None:
    with DataFolder(tmp_path) as folder:
        limit_pages(folder, 40)
        fill(folder, 50_000)
        with pytest.raises(StoreError):
            folder.commit()
        limit_pages(folder, 100_000)
    with DataFolder.read_only(tmp_path) as reader:
        assert len(reader.telemetry.samples(*POWER, *EVER)) == 50_000


def test_a_folder_that_cannot_be_written_to_the_end_says_so_and_is_free_afterwards(tmp_path) -> None:
    folder = DataFolder(tmp_path)
    limit_pages(folder, 40)
    fill(folder, 30_000)
    with pytest.raises(StoreError, match="disk is full"):
        folder.close()
    DataFolder(tmp_path).close()


def test_a_full_buffer_drops_the_oldest_and_counts_them() -> None:
    with DataFolder.in_memory(buffer_limit=1000) as folder:
        fill(folder, 1500)
        assert (folder.telemetry.buffered, folder.telemetry.dropped) == (1000, 500)
        folder.commit()
        assert folder.telemetry.samples(*POWER, *EVER, limit=1) == [(NOON + 500, 500.0)]


def test_state_comes_back_as_it_was_saved_last(folder: DataFolder) -> None:
    folder.commit(
        StateChanges(
            states={("hold", "casa_A"): b'{"since": 1}', ("hold", "casa_B"): b"2"},
            timers={("hold", "due", "casa_A"): b"[1]"},
            context={("global", "tariff"): b'"F1"', ("flow:1", "x"): b"null"},
            saved_at=NOON,
        )
    )
    folder.commit(
        StateChanges(
            states={("hold", "casa_A"): None, ("hold", "casa_B"): b"3", ("hold", "never"): None},
            timers={("hold", "due", "casa_A"): None},
            context={("global", "tariff"): b'"F2"'},
            saved_at=NOON + 1,
        )
    )
    assert folder.telemetry.load_state() == StateChanges(
        states={("hold", "casa_B"): b"3"},
        timers={},
        context={("global", "tariff"): b'"F2"', ("flow:1", "x"): b"null"},
        saved_at=NOON + 1,
    )


def test_a_commit_without_news_writes_nothing(folder: DataFolder) -> None:
    folder.telemetry.append(*POWER, NOON, 1.0)
    folder.commit(StateChanges(states={("hold", "casa_A"): b"1"}))
    before = folder.telemetry.connection.database.conn.total_changes
    folder.commit()
    folder.commit(StateChanges())
    assert folder.telemetry.connection.database.conn.total_changes == before


def test_a_new_folder_has_no_state(folder: DataFolder) -> None:
    assert folder.telemetry.load_state() == StateChanges()


def test_a_key_that_is_no_text_blocks_no_later_commit(folder: DataFolder) -> None:
    folder.commit(StateChanges(states={("hold", "casa_\ud800"): b"1"}))
    folder.commit(StateChanges(states={("hold", "casa_B"): b"2"}))
    assert set(folder.telemetry.load_state().states) == {("hold", "casa_\\ud800"), ("hold", "casa_B")}


def test_state_that_is_not_bytes_is_refused_before_anything_is_taken(folder: DataFolder) -> None:
    with pytest.raises(StoreError, match="state of hold / casa_A must be handed over as JSON in bytes, not as str"):
        folder.commit(StateChanges(states={("hold", "casa_A"): "1"}))
    folder.commit()
    assert not folder.telemetry.load_state()


def in_thread(work) -> BaseException | None:
    """Run `work` in a thread of its own; what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except StoreError as error:
            raised.append(error)

    thread = threading.Thread(target=run, name="web-1")
    thread.start()
    thread.join()
    return raised[0] if raised else None


def test_another_thread_may_not_use_the_writing_connection(folder: DataFolder) -> None:
    for work in (lambda: folder.telemetry.latest(*POWER), lambda: folder.alerts.open("casa_A", "x", {}, NOON)):
        error = in_thread(work)
        assert "only the thread 'MainThread' uses the writing connection" in str(error)
        assert "this is 'web-1'" in str(error)


def test_the_thread_that_claims_the_folder_writes_and_when_it_ends_the_next_one_may(folder: DataFolder) -> None:
    def engine() -> None:
        folder.claim()
        folder.telemetry.append(*POWER, NOON, 1.0)
        folder.commit()

    assert in_thread(engine) is None
    assert folder.telemetry.latest(*POWER) == (NOON, 1.0)
