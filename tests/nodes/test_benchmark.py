"""The `benchmark` node: one alert when a home falls behind the others, one all-clear when it is well."""

import sys
from collections import namedtuple
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from solarflow.simulation import Community
from solarflow.testing import START, at

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import benchmark_rule as study

ALERTS, FIGURES = 0, 1
HOUR, DAY = 3600.0, 86_400.0
FOUR = {"casa_A": 0.60, "casa_B": 0.62, "casa_C": 0.61, "casa_D": 0.60}
DAWN = 24 * HOUR - 3 * HOUR
"""06:00 UTC of the day after the bench begins at 09:00."""


def readings(bench, yields, until, every=60.0, start=None):
    """Every home's reading, `every` seconds until the time `until`."""
    t = bench.now if start is None else start
    while t <= until:
        for home, value in yields.items():
            bench.feed(value, home=home, at=t)
        t += every


def alerts(bench):
    """(time, home, kind, rule) of what left the first output."""
    return [
        (seen.t, seen.msg["home"], seen.msg["payload"]["alert"], seen.msg["payload"]["regola"])
        for seen in bench.sent
        if seen.port == ALERTS
    ]


def figures(bench):
    """The newest message with figures."""
    return next(seen.msg for seen in reversed(bench.sent) if seen.port == FIGURES)


def day(bench, number, ratios, light=0.5):
    """Twelve hours of light on day `number` (0: tomorrow), a reading an hour, homes at these ratios of it."""
    for hour in range(12):
        bench.advance_to(DAWN + number * DAY + hour * HOUR)
        for home, ratio in ratios.items():
            bench.feed(light * ratio, home=home)
    bench.advance_to(DAWN + number * DAY + 18.5 * HOUR)


def hourly(node, **config):
    return node("benchmark", period_s=3600, max_age_s=3600, **config)


GOOD = {"a": 1.0, "b": 1.0, "c": 1.0, "d": 0.9}
BAD = {**GOOD, "d": 0.6}


# -- peer ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def peer(node):
    return node("benchmark", rule="peer", period_s=300, persistence_s=900)


def test_a_poor_home_gets_its_alert_once_and_its_all_clear_once(peer):
    readings(peer, {**FOUR, "casa_D": 0.305}, until=3000)
    readings(peer, FOUR, until=7200, start=3060)
    assert alerts(peer) == [
        (900, "casa_D", "performance_bassa", "peer"),
        (4200, "casa_D", "performance_ok", "peer"),
    ]


def test_the_alert_says_what_was_compared(peer):
    readings(peer, {**FOUR, "casa_D": 0.305}, until=900)
    assert peer.sent[-2] == at(
        900,
        home="casa_D",
        event="alert",
        payload={
            "alert": "performance_bassa",
            "rapporto": 0.5,
            "rendimento": 0.305,
            "riferimento": 0.61,
            "regola": "peer",
            "dal": START + 900,
        },
    )


def test_alert_and_all_clear_are_stored(peer):
    readings(peer, {**FOUR, "casa_D": 0.305}, until=1800)
    (alert,) = peer.alerts.alerts
    assert (alert.home, alert.code, alert.opened_at, alert.closed_at) == ("casa_D", "low-yield", START + 900, None)
    assert alert.parameters["rapporto"] == pytest.approx(0.5)
    readings(peer, FOUR, until=5400, start=1860)
    assert alert.closed_at == START + 3000
    assert len(peer.alerts.alerts) == 1


def test_a_home_is_compared_with_the_others_and_not_with_itself(peer):
    readings(peer, {"a": 0.5, "b": 0.6, "c": 0.7, "d": 0.3}, until=300)
    assert {home: shown["reference"] for home, shown in figures(peer)["payload"].items()} == pytest.approx(
        {"a": 0.6, "b": 0.5, "c": 0.5, "d": 0.6}
    )


def test_with_too_few_homes_nothing_is_compared_and_the_status_says_so(peer):
    readings(peer, {"a": 0.6, "b": 0.6, "c": 0.1}, until=3600)
    assert alerts(peer) == []
    assert peer.status() == "3 homes, 4 are needed to compare"


def test_a_short_shadow_is_no_alert(peer):
    for start in range(0, 7200, 1200):
        readings(peer, {**FOUR, "casa_D": 0.2}, start=start, until=start + 500)
        readings(peer, FOUR, start=start + 600, until=start + 1100)
    assert alerts(peer) == []


def test_in_the_evening_nobody_is_poor(peer):
    readings(peer, {"a": 0.2, "b": 0.21, "c": 0.2, "d": 0.01}, until=7200)
    assert alerts(peer) == []


def test_silence_is_neither_bad_nor_a_recovery(peer):
    readings(peer, {**FOUR, "casa_D": 0.3}, until=240)
    rest = {home: value for home, value in FOUR.items() if home != "casa_D"}
    readings(peer, {**rest, "casa_E": 0.6}, start=300, until=2 * HOUR)
    assert alerts(peer) == []
    readings(peer, {**FOUR, "casa_D": 0.3}, start=2 * HOUR + 60, until=3 * HOUR)
    assert [kind for _, _, kind, _ in alerts(peer)] == ["performance_bassa"]
    readings(peer, {**rest, "casa_E": 0.6}, start=3 * HOUR + 60, until=80 * HOUR, every=600)
    assert [kind for _, _, kind, _ in alerts(peer)] == ["performance_bassa"]
    assert figures(peer)["payload"]["casa_D"]["low"] is True


def test_communities_are_compared_within_themselves(node):
    cloudy = [{"id": f"north_{n}", "community": "north"} for n in range(4)]
    sunny = [{"id": f"south_{n}", "community": "south"} for n in range(4)]
    bench = node("benchmark", rule="peer", persistence_s=900, bench={"homes": [*cloudy, *sunny]})
    readings(bench, {f"north_{n}": 0.35 for n in range(4)} | {f"south_{n}": 0.8 for n in range(4)}, until=3600)
    assert alerts(bench) == []
    shown = [seen.msg for seen in bench.sent if seen.port == FIGURES][-2:]
    assert [(msg["community"], msg["reference"], msg["homes"]) for msg in shown] == [
        ("north", 0.35, 4),
        ("south", 0.8, 4),
    ]


def test_homes_of_no_known_community_are_compared_with_the_only_one_there_is(node):
    bench = node("benchmark", rule="peer", persistence_s=900, bench={"homes": [{"id": "casa_A"}, {"id": "casa_B"}]})
    readings(bench, {**FOUR, "casa_D": 0.3}, until=900)
    assert [home for _, home, _, _ in alerts(bench)] == ["casa_D"]


# -- readings ------------------------------------------------------------------------------------------------------


def test_the_figures_show_every_home(peer):
    for home, value in FOUR.items():
        peer.feed(value, home=home, at=240, power_w=3000 * value)
    peer.advance_to(300)
    assert figures(peer)["reference"] == pytest.approx(0.605)
    assert figures(peer)["payload"]["casa_A"] == {
        "yield": 0.6,
        "reference": 0.61,
        "ratio": 0.6 / 0.61,
        "usual": None,
        "days": 0,
        "power_w": 1800.0,
        "age": 60.0,
        "low": False,
        "since": None,
    }


def test_all_readings_of_a_period_count_by_their_mean(peer):
    for value in (0.4, 0.6):
        readings(peer, {**FOUR, "casa_A": value}, until=peer.now)
        peer.advance(60)
    peer.advance_to(300)
    assert figures(peer)["payload"]["casa_A"]["yield"] == pytest.approx(0.5)


def test_a_reading_counts_until_it_is_too_old(node):
    bench = node("benchmark", period_s=300, max_age_s=600)
    readings(bench, FOUR, until=0)
    bench.advance_to(600)
    assert figures(bench)["payload"]["casa_A"]["yield"] == 0.6
    bench.advance_to(900)
    assert figures(bench)["payload"]["casa_A"] == {
        **figures(bench)["payload"]["casa_A"],
        "yield": None,
        "ratio": None,
        "age": 900.0,
    }


def test_late_readings_and_wrong_clocks_are_not_used(peer):
    peer.feed(0.6, home="casa_A", ts=START - 3600)
    peer.feed(0.6, home="casa_B", ts=START + 3600)
    peer.feed(0.6, home="casa_C", arretrato=True)
    peer.advance_to(300)
    assert [seen for seen in peer.sent if seen.port == FIGURES and seen.msg["payload"]] == []


def test_one_homes_rubbish_harms_no_other(peer):
    for t in range(0, 1200, 60):
        readings(peer, {**FOUR, "casa_D": 0.305}, start=t, until=t)
        for rubbish in (1500, -1, "sunny", None, float("nan"), {"a": 1}):
            peer.feed(rubbish, home="casa_X")
    assert alerts(peer) == [(900, "casa_D", "performance_bassa", "peer")]
    assert "casa_X" not in figures(peer)["payload"]
    assert peer.errors[0] == (
        "'casa_X' sends 1500, and a yield lies between 0 and 1.5 W/Wp; put a 'yield' node before this one"
    )


def test_rubbish_beside_the_yield_harms_nobody(peer):
    for t in range(0, 1200, 60):
        readings(peer, {**FOUR, "casa_D": 0.305}, start=t, until=t)
        peer.feed(0.6, home="casa_X", community={"not": "text"}, power_w="much")
    assert len(alerts(peer)) == 1
    assert figures(peer)["payload"]["casa_X"]["power_w"] is None


# -- learned and auto ----------------------------------------------------------------------------------------------


def test_a_roof_that_is_merely_different_is_learned(node):
    bench = hourly(node, rule="learned")
    for number in range(25):
        day(bench, number, {**GOOD, "d": 0.6})
    assert alerts(bench) == []
    assert figures(bench)["payload"]["d"]["usual"] == pytest.approx(0.6)


def test_a_loss_is_found_on_its_fifth_day_and_forgiven_after_two_good_ones(node):
    bench = hourly(node)
    for number in range(30):
        day(bench, number, BAD if 16 <= number < 22 else GOOD)
    found = alerts(bench)
    assert [(home, kind, rule) for _, home, kind, rule in found] == [
        ("d", "performance_bassa", "learned"),
        ("d", "performance_ok", "learned"),
    ]
    assert [int((t - DAWN) // DAY) for t, *_ in found] == [20, 23]


def test_hours_in_which_a_home_is_silent_are_not_held_against_it(node):
    bench = hourly(node)
    for number in range(25):
        day(bench, number, GOOD)
    for number in range(25, 33):
        for hour in range(12):
            bench.advance_to(DAWN + number * DAY + hour * HOUR)
            for home, ratio in GOOD.items():
                if home != "d" or hour % 2:
                    bench.feed(0.5 * ratio, home=home)
    bench.advance(DAY)
    assert alerts(bench) == []


def test_a_dead_inverter_is_reported_on_the_same_day(node):
    bench = hourly(node)
    for number in range(20):
        day(bench, number, GOOD)
    day(bench, 20, {**GOOD, "d": 0.0})
    (t, home, kind, rule) = alerts(bench)[0]
    assert (home, kind, rule) == ("d", "performance_bassa", "absolute")
    assert t - (DAWN + 20 * DAY) <= 7 * HOUR


def test_days_are_local_also_when_they_have_23_or_25_hours(node):
    rome = ZoneInfo("Europe/Rome")
    bench = hourly(node, bench={"settings": {"timezone": "Europe/Rome"}})
    begin = datetime(2026, 10, 24, tzinfo=rome).timestamp() - START
    bench.advance_to(begin)
    for t in range(int(begin), int(begin + 4 * DAY), 3600):
        bench.advance_to(t + 1)
        for home in GOOD:
            bench.feed(0.5, home=home)
    kept = bench.node.state.peek("a").days
    assert [datetime.fromordinal(one.day).day for one in kept] == [24, 25, 26]
    # A reading at h:00:01 is taken in at the next full hour of the bench: 24, 25 and 24 hours of 0.5 W/Wp.
    assert [one.energy for one in kept] == pytest.approx([12.0, 12.5, 12.0], abs=0.5)
    assert kept[1].energy == pytest.approx(12.5)


def test_an_unknown_time_zone_is_named_and_days_are_utc(node):
    bench = node("benchmark", bench={"settings": {"timezone": "Europe/Roma"}})
    assert bench.errors == [
        "there is no time zone 'Europe/Roma'; days are cut in UTC: correct 'timezone' in flows.json"
    ]


# -- over a restart, a deploy, a removal ---------------------------------------------------------------------------


def test_an_open_episode_outlives_a_restart_and_is_not_told_twice(peer):
    readings(peer, {**FOUR, "casa_D": 0.305}, until=1800)
    peer.restart(down_s=600)
    readings(peer, {**FOUR, "casa_D": 0.305}, until=7200)
    assert len(alerts(peer)) == 1
    readings(peer, FOUR, start=7260, until=10_800)
    assert [kind for _, _, kind, _ in alerts(peer)] == ["performance_bassa", "performance_ok"]


def test_what_was_learned_outlives_a_restart(node):
    bench = hourly(node)
    for number in range(18):
        day(bench, number, GOOD)
    bench.checkpoint()
    bench.restart(killed=True)
    for number in range(18, 24):
        day(bench, number, BAD)
    assert [(home, rule) for _, home, _, rule in alerts(bench)] == [("d", "learned")]


def test_the_time_that_the_engine_was_down_counts_for_nothing(node):
    bench = hourly(node)
    day(bench, 0, GOOD)
    bench.advance_to(DAWN + DAY + 2 * HOUR)
    for home in GOOD:
        bench.feed(0.5, home=home)
    bench.restart(down_s=6 * HOUR)
    for home in GOOD:
        bench.feed(0.5, home=home)
    bench.advance(HOUR)
    assert bench.node.state.peek("a").energy == pytest.approx(0.5)


def test_a_threshold_changed_forgets_nothing(peer):
    readings(peer, {**FOUR, "casa_D": 0.305}, until=1800)
    peer.configure(ratio=0.8)
    readings(peer, {**FOUR, "casa_D": 0.305}, until=3600)
    assert len(alerts(peer)) == 1


def test_a_reset_forgets_the_home_and_ends_its_alert(peer):
    readings(peer, {**FOUR, "casa_D": 0.305}, until=1800)
    peer.feed(home="casa_D", reset=True)
    assert alerts(peer)[-1][1:] == ("casa_D", "performance_ok", "reset")
    assert peer.alerts.alerts[0].closed_at == START + 1800
    assert peer.node.state.peek("casa_D") is None


def test_a_node_that_is_removed_leaves_no_alert_open(peer):
    readings(peer, {**FOUR, "casa_D": 0.305}, until=1800)
    peer.remove()
    assert peer.alerts.alerts[0].closed_at == START + 1800


def test_homes_that_are_gone_are_forgotten_in_the_end(node):
    bench = hourly(node)
    day(bench, 0, {**GOOD, "gone": 1.0})
    for number in range(1, 64):
        day(bench, number, GOOD)
    assert "gone" not in bench.node.state
    assert "a" in bench.node.state


# -- properties ----------------------------------------------------------------------------------------------------


def test_more_bad_days_than_days_are_refused(node):
    with pytest.raises(ValidationError, match="8 bad days do not fit into 7 days"):
        node("benchmark", bad_days=8)


def test_a_clear_ratio_below_the_ratio_is_refused(node):
    with pytest.raises(ValidationError, match="a home would be low and well at once"):
        node("benchmark", ratio=0.95)


# -- the past in the store, and the demonstration ------------------------------------------------------------------

Hour = namedtuple("Hour", "ts mean")


class RecordedHours:
    """A store with hourly production."""

    def __init__(self, series):
        self.series = series
        self.asked_until = 0.0

    def hourly(self, home, quantity, start, end, *, as_of=None):
        assert quantity == "production_w"
        self.asked_until = max(self.asked_until, end)
        return [Hour(ts, mean) for ts, mean in self.series.get(home, {}).items() if start <= ts < end]


def community_hours(community, start, end):
    """Home -> hour -> mean production, of a simulated community."""
    sums = {}
    for moment, topic, payload in community.history(start, end, 300.0):
        if topic.endswith("/bilancio"):
            hours = sums.setdefault(topic.split("/")[1], {})
            hours.setdefault(moment - moment % HOUR, []).append(payload["produzione_w"])
    return {home: {ts: sum(values) / len(values) for ts, values in hours.items()} for home, hours in sums.items()}


def test_after_a_generated_fortnight_the_poor_home_alone_gets_its_alert_within_the_first_hour(node):
    begin = 23 * HOUR
    ten_in_turin = START + begin
    community = Community(start=ten_in_turin)
    store = RecordedHours(community_hours(community, ten_in_turin - 14 * DAY, ten_in_turin))
    homes = [{"id": home.id, "peak_power_wp": home.peak_power_wp} for home in community.homes]
    settings = {"timezone": "Europe/Rome"}
    bench = node("benchmark", learn_from="", bench={"homes": homes, "store": store, "settings": settings})
    bench.advance_to(begin)
    bench.configure(learn_from="production_w")
    for minute in range(8 * 60):
        bench.advance_to(begin + 60 * minute)
        for home in community.homes:
            bench.feed(home.step(ten_in_turin + 60 * minute).production_w / home.peak_power_wp, home=home.id)
    assert store.asked_until == ten_in_turin
    assert bench.logged == ["learned from the recorded production_w of 12 homes"]
    ((t, home, kind, rule),) = alerts(bench)
    assert (home, kind, rule) == ("casa_07", "performance_bassa", "learned")
    assert t - begin <= HOUR


def test_with_a_past_of_its_own_it_learns_nothing_from_the_store(node):
    store = RecordedHours({})
    homes = [{"id": "casa_A", "peak_power_wp": 3000}]
    bench = node("benchmark", bench={"store": store, "homes": homes})
    readings(bench, FOUR, until=900)
    store.asked_until = 0.0
    bench.restart()
    readings(bench, FOUR, until=1800)
    assert store.asked_until == 0.0


# -- recorded homes ------------------------------------------------------------------------------------------------


def test_a_recorded_year_through_the_engine_is_quiet_and_every_homes_loss_is_found():
    try:
        recorded = study.read_yields(study.DATA)
    except FileNotFoundError as error:
        pytest.skip(f"the recordings of ../shared/data are not there: {error.filename}")
    losses = study.random_losses(len(recorded), 1, 0.25)[::2]
    clean, lossy = study.through_node(recorded, losses)
    assert study.false_alarm_share(clean, recorded) <= 0.005
    assert study.detection(lossy)[0] >= 0.9
