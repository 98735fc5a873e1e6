"""Homes measured by their neighbours: the median of the others, and the rules peer, learned and auto."""

import sys
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solarflow.energy.peers import (
    DAYS_KEPT,
    BenchmarkRules,
    HomeRecord,
    begin_day,
    evidence,
    judge,
    learn_day,
    medians_of_others,
    observe,
    references_of,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import benchmark_rule as study

SUNNY = 0.5
"""Twelve hours at this yield are 6 Wh/Wp."""


def live_days(record, rules, ratios, first=1):
    """Days of twelve even hours with the home at these ratios of its peers; (day, verdict) of each change."""
    changes = []
    for day, ratio in enumerate(ratios, start=first):
        begin_day(record, rules, day)
        for hour in range(24):
            bright = 6 <= hour < 18
            observe(record, rules, SUNNY * ratio * bright, SUNNY * bright, 3600.0)
            verdict = judge(record, rules, (day * 24.0 + hour) * 3600.0)
            if verdict:
                changes.append((day, verdict))
    return changes


def grown(rules, ratio=1.0, days=20):
    """A home that has learned that `ratio` is usual; its next day is `days` + 1."""
    record = HomeRecord()
    live_days(record, rules, [ratio] * days)
    begin_day(record, rules, days + 1)
    return record


# -- the reference -------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 2), min_size=2, max_size=40))
def test_the_reference_is_the_median_of_all_the_others(values):
    expected = [median(values[:place] + values[place + 1 :]) for place in range(len(values))]
    assert medians_of_others(values) == pytest.approx(expected)


def test_one_home_alone_has_no_others():
    with pytest.raises(ValueError, match="at least 2 values, not 1"):
        medians_of_others([0.5])


def test_with_too_few_neighbours_there_is_no_reference():
    assert references_of({"a": 0.5, "b": 0.6, "c": 0.7}, 3) == {}
    assert references_of({"a": 0.5, "b": 0.6, "c": 0.7}, 2) == pytest.approx({"a": 0.65, "b": 0.6, "c": 0.55})


# -- peer ----------------------------------------------------------------------------------------------------------

PEER = BenchmarkRules(rule="peer", persistence_s=7200)


def hours(record, rules, readings):
    """One verdict per hour of (own, reference)."""
    verdicts = []
    for hour, (own, reference) in enumerate(readings):
        observe(record, rules, own, reference, 3600.0)
        verdicts.append(judge(record, rules, hour * 3600.0))
    return verdicts


def test_peer_reports_a_home_that_stays_below_its_reference():
    assert hours(HomeRecord(), PEER, [(0.3, 0.5)] * 4) == ["", "low", "", ""]


def test_peer_begins_anew_after_one_good_hour():
    readings = [(0.3, 0.5), (0.5, 0.5), (0.3, 0.5), (0.3, 0.5)]
    assert hours(HomeRecord(), PEER, readings) == ["", "", "", "low"]


def test_peer_says_nothing_in_poor_light():
    assert hours(HomeRecord(), PEER, [(0.0, 0.29)] * 5) == [""] * 5


def test_peer_takes_back_its_alert_only_above_the_clear_ratio_and_for_as_long():
    record = HomeRecord()
    hours(record, PEER, [(0.3, 0.5)] * 2)
    assert hours(record, PEER, [(0.44, 0.5)] * 5) == [""] * 5
    assert hours(record, PEER, [(0.46, 0.5)] * 3) == ["", "recovered", ""]


# -- learned -------------------------------------------------------------------------------------------------------

LEARNED = BenchmarkRules(rule="learned")


def test_learned_says_nothing_before_it_knows_what_is_usual():
    assert live_days(HomeRecord(), LEARNED, [0.3] * 13) == []


def test_a_roof_that_is_merely_different_is_usual_to_itself():
    assert live_days(HomeRecord(), LEARNED, [0.7] * 60) == []


def test_learned_reports_a_loss_on_the_fifth_bad_day():
    record = grown(LEARNED, 0.8)
    assert live_days(record, LEARNED, [0.6] * 6, first=21) == [(25, "low")]


def test_bad_days_need_not_stand_together():
    record = grown(LEARNED)
    assert live_days(record, LEARNED, [0.7, 1, 0.7, 0.7, 1, 0.7, 0.7], first=21) == [(27, "low")]


def test_four_bad_days_of_seven_are_no_alert():
    record = grown(LEARNED)
    assert live_days(record, LEARNED, [0.7, 1, 0.7, 1, 0.7, 1, 0.7, 1, 1, 0.7], first=21) == []


def test_the_running_day_counts_as_soon_as_its_light_means_something():
    record = grown(LEARNED)
    live_days(record, LEARNED, [0.65] * 4, first=21)
    begin_day(record, LEARNED, 25)
    assert hours(record, LEARNED, [(0.325, 0.5)] * 3) == ["", "low", ""]


def test_two_good_whole_days_end_the_alert_and_old_bad_days_do_not_open_it_again():
    record = grown(LEARNED)
    changes = live_days(record, LEARNED, [0.7] * 6 + [1.0] * 10, first=21)
    assert changes == [(25, "low"), (29, "recovered")]


def test_after_the_alert_it_takes_five_new_bad_days():
    record = grown(LEARNED)
    changes = live_days(record, LEARNED, [0.7] * 5 + [1.0] * 3 + [0.7] * 6, first=21)
    assert changes == [(25, "low"), (28, "recovered"), (33, "low")]


def test_a_day_that_is_only_a_little_better_does_not_end_the_alert():
    record = grown(LEARNED)
    assert live_days(record, LEARNED, [0.7] * 5 + [0.86] * 5, first=21) == [(25, "low")]


def test_a_home_between_the_two_thresholds_is_not_reported_for_ever():
    record = grown(LEARNED)
    changes = live_days(record, LEARNED, [0.7] * 5 + [0.88] * 60, first=21)
    assert [verdict for _, verdict in changes] == ["low", "recovered"]


def test_dark_days_do_not_count():
    record = grown(LEARNED)
    begin_day(record, LEARNED, 21)
    observe(record, LEARNED, 0.0, 0.09, 10 * 3600.0)
    begin_day(record, LEARNED, 22)
    assert len(record.days) == 20


def test_bad_days_teach_nothing():
    record = grown(LEARNED, 1.0)
    live_days(record, LEARNED, [0.6] * 40, first=21)
    assert record.usual == pytest.approx(1.0)
    assert record.cause == "learned"


def test_what_is_usual_follows_the_season_but_not_dirt_that_settles_faster():
    season, dirt = grown(LEARNED), grown(LEARNED)
    assert live_days(season, LEARNED, [0.997**day for day in range(100)], first=21) == []
    assert live_days(dirt, LEARNED, [1.0 - 0.008 * day for day in range(40)], first=21)[0][1] == "low"


def test_what_was_bad_among_the_first_days_is_known_once_the_usual_is():
    record = HomeRecord()
    live_days(record, LEARNED, [1.0] * 10 + [0.65] * 4)
    begin_day(record, LEARNED, 15)
    assert record.usual == pytest.approx(1.0)
    assert evidence(record, LEARNED) == pytest.approx([1, 1, 1, 0.65, 0.65, 0.65, 0.65])


def test_a_record_keeps_sixty_days_and_forgets_another_season():
    record = grown(LEARNED, days=90)
    assert len(record.days) == DAYS_KEPT
    begin_day(record, LEARNED, 91 + DAYS_KEPT + 1)
    assert (record.days, record.usual) == ([], None)


def test_silence_is_no_recovery():
    record = grown(LEARNED)
    live_days(record, LEARNED, [0.7] * 5, first=21)
    begin_day(record, LEARNED, 300)
    assert judge(record, LEARNED, 0.0) == ""
    assert record.cause == "learned"


# -- auto ----------------------------------------------------------------------------------------------------------

AUTO = BenchmarkRules()


def test_auto_judges_a_new_home_by_its_peers():
    record = HomeRecord()
    assert live_days(record, AUTO, [0.6]) == [(1, "low")]
    assert record.cause == "peer"


def test_auto_lets_a_different_roof_go_once_it_has_learned_it():
    changes = live_days(HomeRecord(), AUTO, [0.7] * 30)
    assert changes == [(1, "low"), (15, "recovered")]


def test_auto_reports_a_dead_inverter_on_the_same_day():
    record = grown(AUTO)
    assert live_days(record, AUTO, [0.0], first=21) == [(21, "low")]
    assert record.cause == "absolute"


def test_a_fault_from_the_first_day_on_is_never_learned_as_usual():
    record = HomeRecord()
    assert live_days(record, AUTO, [0.4] * 40) == [(1, "low")]
    assert record.usual is None


def test_a_recorded_past_teaches_without_judging():
    records = {}
    for day in range(1, 16):
        poor = 0.65 if day > 11 else 1.0
        past = {hour * 3600.0: {"a": 0.5, "b": 0.5, "c": 0.5, "d": 0.5 * poor} for hour in range(6, 18)}
        learn_day(records, AUTO, day, past, 3)
    assert judge(records["a"], AUTO, 0.0) == ""
    assert judge(records["d"], AUTO, 0.0) == ""
    begin_day(records["d"], AUTO, 16)
    observe(records["d"], AUTO, 0.3, 0.5, 7200.0)
    assert judge(records["d"], AUTO, 0.0) == "low"


# -- recorded homes ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded():
    try:
        return study.read_yields(study.DATA)
    except FileNotFoundError as error:
        pytest.skip(f"the recordings of ../shared/data are not there: {error.filename}")


def test_on_recorded_homes_auto_is_quiet_and_finds_losses(recorded):
    clean, lossy = study.through_library(recorded, study.random_losses(len(recorded), 5, 0.25), AUTO)
    found, delay = study.detection(lossy)
    assert study.false_alarm_share(clean, recorded) <= 0.005
    assert found >= 0.9
    assert delay <= 5
    assert [bool(story.episodes) for story in clean] == [home == 6 for home in range(9)], "home 7 has true outages"


def test_on_recorded_homes_a_fixed_share_of_the_peers_is_useless(recorded):
    clean, _ = study.through_library(recorded, [], BenchmarkRules(rule="peer"))
    assert study.false_alarm_share(clean, recorded) > 0.1


def test_the_study_prints_its_table_and_says_where_the_recordings_are_missing(recorded, capsys, tmp_path):
    assert study.main(["--losses", "1"]) == 0
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines()[-3:]] == ["peer", "learned", "auto"]
    assert study.main(["--data", str(tmp_path)]) == 0
    assert "skipped: the recordings are not there" in capsys.readouterr().out
