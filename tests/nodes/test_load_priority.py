"""load-priority: the surplus goes to the loads in the order of the list; last on, first off."""

import pytest
from pydantic import ValidationError

from solarflow.testing import START, at

BOILER = {"name": "boiler", "relay": 1, "power_w": 1500}
SOFTENER = {"name": "softener", "relay": 2, "power_w": 200}
EV = {"name": "ev", "relay": 3, "power_w": 2000}
HOUR = 3600.0


@pytest.fixture
def make(node):
    """START is 09:00 UTC; long maximum age so that a test may be sparing with readings, unless it is about that."""

    def make(*loads, timezone="UTC", homes=(), **config):
        config = {"max_age_s": 1e6, "repeat_s": 1e6, "settle_s": 10, **config}
        bench = {"settings": {"timezone": timezone}, "homes": homes}
        return node("load-priority", loads=list(loads), bench=bench, **config)

    return make


def read(home, surplus_w, t=None, /, **msg):
    home.input({"home": "casa_A", "payload": surplus_w} | msg, t=t)


def switched(home, since=0.0):
    """(time, load, on, reason) of what changed."""
    on, changes = {}, []
    for seen in home.sent:
        load, payload = seen.msg["load"], seen.msg["payload"]
        if on.get(load, False) != payload and seen.t >= since:
            changes.append((round(seen.t, 3), load, payload, seen.msg["reason"]))
        on[load] = payload
    return changes


# -- on -------------------------------------------------------------------------------------------------------------


def test_a_load_goes_on_when_the_surplus_has_covered_it_and_the_margin_for_its_hold(make):
    home = make(BOILER, margin_w=100)
    read(home, 1600)
    home.advance(300)
    request = at(300, home="casa_A", payload=True, load="boiler", relay=1, power_w=1500, reason="surplus")
    assert home.sent[-1] == request
    assert switched(home) == [(300, "boiler", True, "surplus")]


def test_a_surplus_that_does_not_cover_the_margin_is_not_enough(make):
    home = make(BOILER, margin_w=100)
    read(home, 1599)
    home.advance(HOUR)
    assert switched(home) == []


def test_a_dip_starts_the_hold_anew(make):
    home = make(BOILER)
    read(home, 2000)
    read(home, 1000, 200)
    read(home, 2000, 210)
    home.advance_to(509)
    assert switched(home) == []
    home.advance_to(510)
    assert switched(home) == [(510, "boiler", True, "surplus")]


def test_the_first_of_the_list_goes_on_first(make):
    home = make(BOILER, EV)
    for t in range(0, 600, 60):
        read(home, 2200 if t <= 300 else 700, t)
    assert switched(home) == [(300, "boiler", True, "surplus")]


def test_the_first_reading_says_how_every_load_stands(make):
    home = make(BOILER, EV)
    read(home, 0)
    assert home.sent == [
        at(0, load="boiler", payload=False, reason="waiting"),
        at(0, load="ev", payload=False, reason="waiting"),
    ]


def test_loads_go_on_one_at_a_time_each_after_a_reading_that_shows_the_one_before(make):
    home = make(BOILER, SOFTENER, settle_s=10)
    read(home, 5000)
    home.advance_to(300)
    assert switched(home) == [(300, "boiler", True, "surplus")]
    read(home, 5000, 305)  # the meter may not have seen the boiler yet
    home.advance_to(350)
    assert len(switched(home)) == 1
    read(home, 3500, 360)
    assert switched(home)[1:] == [(360, "softener", True, "surplus")]


def test_a_reading_measured_before_the_switch_says_nothing_of_it_however_late_it_comes(make):
    home = make(BOILER, EV, settle_s=10)
    read(home, 5000)
    home.advance_to(300)
    read(home, 5000, 330, ts=START + 295)
    assert len(switched(home)) == 1


def test_a_threshold_of_its_own_replaces_power_and_margin(make):
    home = make({**BOILER, "on_above_w": 1000, "allowed_import_w": 500})
    read(home, 1000)
    home.advance(300)
    assert switched(home) == [(300, "boiler", True, "surplus")]


def test_what_is_asked_for_and_not_yet_on_has_its_power_kept(make):
    home = make(BOILER, {**EV, "hold_s": 400})
    read(home, 2500)
    home.advance_to(300)
    home.input({"home": "casa_A", "relay": 1, "payload": {"stato": "OFF", "comando": "OFF"}}, t=301)
    read(home, 2500, 320)  # its relay rests: the surplus is still there, but promised
    home.advance_to(900)
    assert switched(home) == [(300, "boiler", True, "surplus")]


# -- off ------------------------------------------------------------------------------------------------------------


def test_the_drop_that_a_load_causes_does_not_switch_it_off(make):
    home = make(BOILER)
    read(home, 1600)
    for t in range(300, 7200, 60):
        read(home, 100, t + 30)
    assert switched(home) == [(300, "boiler", True, "surplus")]


def test_it_goes_off_when_too_much_was_imported_for_its_release(make):
    home = make(BOILER)
    read(home, 1600)
    read(home, 100, 320)
    read(home, -50, 400)
    home.advance_to(459)
    assert len(switched(home)) == 1
    home.advance_to(460)
    assert switched(home)[1:] == [(460, "boiler", False, "import")]


def test_the_allowed_import_does_not_switch_it_off(make):
    home = make({**BOILER, "allowed_import_w": 500})
    read(home, 1600)
    read(home, -500, 400)
    home.advance_to(2000)
    assert len(switched(home)) == 1
    read(home, -501, 2000)
    home.advance(60)
    assert switched(home)[1:] == [(2060, "boiler", False, "import")]


def test_the_last_on_is_the_first_off_and_the_next_has_its_own_release(make):
    home = make(BOILER, SOFTENER)
    read(home, 5000)
    read(home, 3500, 320)
    read(home, -600, 400)
    read(home, -400, 480)
    home.advance_to(600)
    assert switched(home) == [
        (300, "boiler", True, "surplus"),
        (320, "softener", True, "surplus"),
        (460, "softener", False, "import"),
        (540, "boiler", False, "import"),
    ]


def test_a_load_that_must_stay_on_lets_the_next_go_first(make):
    home = make(BOILER, {**SOFTENER, "min_on_s": 1800})
    read(home, 5000)
    read(home, 3500, 320)
    read(home, -600, 400)
    home.advance_to(470)
    assert switched(home)[2:] == [(460, "boiler", False, "import")]


def test_it_stays_off_for_its_minimum(make):
    home = make({**BOILER, "min_off_s": 1200, "hold_s": 0})
    read(home, 2000)
    read(home, -100, 20)
    read(home, 2000, 100)
    home.advance_to(3000)
    assert switched(home) == [
        (0, "boiler", True, "surplus"), (80, "boiler", False, "import"), (1280, "boiler", True, "surplus"),
    ]  # fmt: skip


# -- silence --------------------------------------------------------------------------------------------------------


def test_silence_puts_everything_off_and_says_so(make):
    home = make(BOILER, SOFTENER, max_age_s=120)
    for t in range(0, 420, 60):
        read(home, 5000 if t <= 300 else 3500, t)
    assert [change[1] for change in switched(home)] == ["boiler", "softener"]
    home.advance_to(480)
    assert switched(home)[2:] == [(480, "boiler", False, "silent"), (480, "softener", False, "silent")]
    assert home.status("casa_A") == "off (silent)"


def test_after_silence_the_hold_begins_anew(make):
    home = make(BOILER, max_age_s=120)
    read(home, 2000)
    read(home, 2000, 100)
    for t in range(300, 700, 60):
        read(home, 2000, t)
    home.advance_to(700)
    assert switched(home) == [(600, "boiler", True, "surplus")]


@pytest.mark.parametrize("late", [{"ts": START - 1000}, {"arretrato": True}, {"ts": START + 1000}])
def test_what_is_late_or_from_the_future_is_ignored_and_counted(make, late):
    home = make(BOILER, max_age_s=120)
    read(home, 2000, **late)
    assert home.sent == []
    assert home.status("casa_A") == "off; 1 late readings ignored"


def test_requests_are_repeated_while_readings_come(make):
    home = make({**BOILER, "hold_s": 0}, repeat_s=60, max_age_s=1000)
    read(home, 2000)
    home.advance(130)
    assert home.sent == [at(0, payload=True), at(60, payload=True, reason="surplus"), at(120, payload=True)]


# -- hours and days -------------------------------------------------------------------------------------------------


def test_a_load_is_on_only_in_its_hours_which_are_local(make):
    home = make({**BOILER, "allowed_hours": ["12:00-13:00", "15:00-16:00"]}, timezone="Europe/Rome")
    read(home, 5000)  # 11:00 in Rome
    for t in range(0, int(6 * HOUR), 600):
        read(home, 5000, t)
    assert switched(home) == [
        (HOUR, "boiler", True, "surplus"),
        (2 * HOUR, "boiler", False, "hours"),
        (4 * HOUR, "boiler", True, "surplus"),
        (5 * HOUR, "boiler", False, "hours"),
    ]


def test_a_day_s_maximum_ends_it_and_midnight_begins_anew(make):
    home = make({**BOILER, "max_per_day_s": 7200}, timezone="Europe/Rome")  # 11:00 there
    for t in range(0, int(16 * HOUR), 600):
        read(home, 3000, t)
    assert switched(home) == [
        (300, "boiler", True, "surplus"),
        (7500, "boiler", False, "max-per-day"),
        (13 * HOUR, "boiler", True, "surplus"),
        (15 * HOUR, "boiler", False, "max-per-day"),
    ]


def test_a_run_over_midnight_counts_for_each_day_its_part(make):
    home = make({**BOILER, "max_per_day_s": 4000, "allowed_hours": ["23:30-03:00"]})
    for t in range(int(14 * HOUR), int(18 * HOUR), 600):
        read(home, 3000, t)
    assert switched(home) == [
        (14.5 * HOUR, "boiler", True, "surplus"), (15 * HOUR + 4000, "boiler", False, "max-per-day"),
    ]  # fmt: skip


def test_run_times_follow_what_the_relay_reports(make):
    home = make({**BOILER, "max_per_day_s": 3600, "hold_s": 0})
    home.input({"home": "casa_A", "payload": 3000})
    home.input({"home": "casa_A", "load": "boiler", "payload": {"stato": "OFF"}})
    home.input({"home": "casa_A", "load": "boiler", "payload": {"stato": "ON"}}, t=1000)
    home.advance_to(5000)
    assert switched(home) == [(0, "boiler", True, "surplus"), (4600, "boiler", False, "max-per-day")]


# -- guarantee ------------------------------------------------------------------------------------------------------

HOT_WATER = {**BOILER, "guarantee": {"minutes": 60, "deadline": "17:00"}}


def test_a_guarantee_runs_from_the_grid_at_the_last_moment(make):
    home = make(HOT_WATER)  # 09:00, the deadline is 8 hours away
    for t in range(0, int(10 * HOUR), 600):
        read(home, -300 if not 7 * HOUR <= t < 8 * HOUR else -1800, t)
    assert switched(home) == [(7 * HOUR, "boiler", True, "guarantee"), (8 * HOUR + 60, "boiler", False, "import")]


def test_what_ran_on_surplus_counts_for_the_guarantee(make):
    home = make(HOT_WATER)
    read(home, 2000)
    read(home, 200, 400)
    read(home, -500, 300 + 40 * 60)
    for t in range(3600, int(9 * HOUR), 600):
        read(home, -300, t)
    # On from 300 s on for 41 minutes: 19 are missing.
    assert switched(home)[2] == (8 * HOUR - 19 * 60, "boiler", True, "guarantee")


def test_a_guarantee_keeps_to_the_allowed_hours(make):
    home = make({**HOT_WATER, "allowed_hours": ["10:00-11:30", "16:30-20:00"]})
    for t in range(0, int(9 * HOUR), 600):
        read(home, -300, t)
    # The hour must fit into 10:00-11:30 and 16:30-17:00: half of it before 11:30.
    assert [change[:3] for change in switched(home)] == [
        (2 * HOUR, "boiler", True),
        (2.5 * HOUR, "boiler", False),
        (7.5 * HOUR, "boiler", True),
        (8 * HOUR + 60, "boiler", False),
    ]


@pytest.mark.parametrize(("days", "month"), [(0, 6), (126, 10)])
def test_the_deadline_is_local_also_on_the_day_of_25_hours(make, days, month):
    home = make(HOT_WATER, timezone="Europe/Rome")
    midnight = days * 86400 - 11 * HOUR  # of 21 June, and of 25 October 2026, where the clock goes back at 3:00
    deadline = midnight + (17 + (month == 10)) * HOUR
    for t in range(int(max(0, midnight)), int(deadline), 600):
        read(home, -300, t)
    assert switched(home) == [(deadline - HOUR, "boiler", True, "guarantee")]


def test_silence_beats_the_guarantee(make):
    home = make(HOT_WATER, max_age_s=120)
    read(home, -300, 7 * HOUR)
    home.advance(121)
    assert switched(home)[-1] == (7 * HOUR + 120, "boiler", False, "silent")


# -- run to completion ----------------------------------------------------------------------------------------------

REGENERATION = {**SOFTENER, "run_to_completion": {"every_days": 3, "duration_s": 7200}}


def test_a_run_to_completion_is_not_interrupted_by_import(make):
    home = make(REGENERATION)
    read(home, 500)
    read(home, -900, 400)
    home.advance_to(10_000)
    assert switched(home) == [(300, "softener", True, "surplus"), (7500, "softener", False, "completed")]


def test_the_next_run_begins_only_days_later(make):
    home = make(REGENERATION)
    for t in range(0, 4 * 86400, 600):
        read(home, 500, t)
    starts = [change[0] for change in switched(home) if change[2]]
    assert starts == [300, 3 * 86400 - 9 * HOUR]


def test_a_run_begins_only_where_it_fits_into_the_hours(make):
    home = make({**REGENERATION, "allowed_hours": ["08:00-11:00", "14:00-17:00"]})
    for t in range(int(0.5 * HOUR), int(9 * HOUR), 600):
        read(home, 500 if t >= HOUR else 0, t)
    assert switched(home)[0] == (5 * HOUR, "softener", True, "surplus")


def test_silence_interrupts_a_run_and_readings_take_it_up_again(make):
    home = make(REGENERATION, max_age_s=600)
    for t in range(0, 3600, 300):
        read(home, 500, t)
    home.advance_to(5000)
    read(home, -900, 5000)
    for t in range(5000, 12_000, 300):
        read(home, -900, t)
    assert switched(home) == [
        (300, "softener", True, "surplus"),
        (3900, "softener", False, "silent"),
        (5000, "softener", True, "completion"),
        (8600, "softener", False, "completed"),
    ]


# -- reserve --------------------------------------------------------------------------------------------------------


def test_a_load_without_reserve_takes_what_is_too_little_for_one_above_it(make):
    home = make(EV, BOILER)
    read(home, 1800)
    home.advance(300)
    assert switched(home) == [(300, "boiler", True, "surplus")]


def test_a_load_with_reserve_leaves_room_for_one_above_it_that_waits(make):
    home = make(EV, {**BOILER, "reserve": True}, margin_w=0)
    read(home, 1999)
    home.advance(HOUR)
    assert switched(home) == []
    read(home, 3500)
    home.advance(300)
    assert switched(home) == [(HOUR + 300, "ev", True, "surplus")]


def test_reserve_is_kept_only_for_loads_that_may_run(make):
    home = make({**EV, "allowed_hours": ["20:00-23:00"]}, {**BOILER, "reserve": True})
    read(home, 1800)
    home.advance(300)
    assert switched(home) == [(300, "boiler", True, "surplus")]


def test_a_load_with_reserve_gives_way_where_its_metered_power_makes_room(make):
    home = make({**EV, "allowed_hours": ["10:00-20:00"]}, {**BOILER, "reserve": True}, margin_w=0)
    read(home, 2600)
    for t in range(360, 8000, 60):
        ev_on, boiler_on = (home.node.state.peek("casa_A").loads[name].on for name in ("ev", "boiler"))
        surplus = 2600 - 2000 * ev_on - 1500 * boiler_on
        read(home, {"surplus_w": surplus, "loads": {"boiler": 1500 * boiler_on}}, t)
    assert [change[1:] for change in switched(home)] == [
        ("boiler", True, "surplus"), ("boiler", False, "yields"), ("ev", True, "surplus"),
    ]  # fmt: skip


def test_a_load_whose_power_is_not_metered_does_not_give_way(make):
    home = make({**EV, "allowed_hours": ["10:00-20:00"]}, {**BOILER, "reserve": True}, margin_w=0)
    read(home, 2600)
    for t in range(360, 8000, 60):
        read(home, 1100, t)
    assert [change[1:] for change in switched(home)] == [("boiler", True, "surplus")]


# -- what a reading may be ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "on"),
    [
        ({"surplus_w": 1600}, True),
        ({"surplus_w": 1600, "import_w": 0}, True),
        ({"surplus_w": 1600, "import_w": 10}, False),
        ({"import_w": -1600}, True),
        ({"import_w": 0, "export_w": 1600}, True),
        ("1600", True),
    ],
)
def test_surplus_and_import_may_come_as_an_object(make, payload, on):
    home = make({**BOILER, "hold_s": 0})
    read(home, payload)
    assert home.last["payload"] is on


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({"power": 1}, "neither 'surplus_w' nor 'import_w'"),
        ({"surplus_w": "much"}, "where a number is needed"),
        (True, "where a number is needed"),
        ({"surplus_w": 1, "loads": [1]}, "expected names and watts"),
    ],
)
def test_a_reading_that_is_none_is_an_error_and_keeps_nobody_waiting(make, payload, text):
    home = make(BOILER, max_age_s=120)
    read(home, 2000)
    read(home, payload, 60)
    assert text in home.errors[0]
    home.advance_to(120)
    assert home.last["reason"] == "silent"


def test_each_home_is_served_by_itself(make):
    home = make({**BOILER, "hold_s": 0})
    read(home, 2000)
    read(home, 0, home="casa_B")
    assert home.sent == [at(0, home="casa_A", payload=True), at(0, home="casa_B", payload=False)]


def test_a_registered_home_has_its_own_loads(make):
    class Own:
        name, relay, power_w = "ev", 7, 3000.0

    home = make(BOILER, {**EV, "hold_s": 0}, homes=[{"id": "casa_A", "loads": (Own,)}])
    read(home, 2500)
    assert home.sent == [at(0, load="ev", relay=7, power_w=3000, payload=False)]
    read(home, 3200)
    assert home.last["payload"] is True


# -- restart and deploy ---------------------------------------------------------------------------------------------


def test_a_hold_survives_a_restart_without_the_time_in_between(make):
    home = make(BOILER)
    read(home, 2000)
    home.advance_to(200)
    home.restart(down_s=1000)
    read(home, 2000, 1210)
    home.advance_to(1400)
    assert switched(home) == [(1300, "boiler", True, "surplus")]


def test_a_minimum_off_time_counts_the_time_that_the_engine_was_down(make):
    home = make({**BOILER, "min_off_s": 1200, "hold_s": 0})
    read(home, 2000)
    read(home, -100, 20)
    home.advance_to(80)
    home.restart(down_s=1000)
    read(home, 2000, 1100)
    home.advance_to(1400)
    assert switched(home)[2:] == [(1280, "boiler", True, "surplus")]


def test_nothing_is_asked_to_be_on_after_a_restart_before_a_reading(make):
    home = make({**BOILER, "hold_s": 0}, max_age_s=120, repeat_s=20)
    read(home, 2000)
    home.restart(down_s=5)
    before = len(home.sent)
    home.advance(100)
    assert len(home.sent) == before
    read(home, 200)
    assert home.sent[before] == at(105, load="boiler", payload=True, reason="surplus")


def test_silence_after_a_restart_still_puts_everything_off(make):
    home = make({**BOILER, "hold_s": 0}, max_age_s=120)
    read(home, 2000)
    home.checkpoint()
    home.restart(down_s=5000, killed=True)
    home.advance(120)
    assert switched(home)[-1] == (5120, "boiler", False, "silent")


def test_hours_that_ended_while_the_engine_was_down_have_ended(make):
    home = make({**BOILER, "hold_s": 0, "allowed_hours": ["09:00-10:00"]})
    read(home, 2000)
    home.restart(down_s=7200)
    assert home.sent[1:] == [at(7200, payload=False, reason="hours")]


def test_hours_end_also_before_the_first_reading_after_a_restart(make):
    home = make({**BOILER, "hold_s": 0, "allowed_hours": ["09:00-10:00"]})
    read(home, 2000, 3500)
    home.restart(down_s=10)
    home.advance_to(4000)
    assert switched(home)[1:] == [(3600, "boiler", False, "hours")]


def test_a_deploy_puts_off_the_loads_that_are_gone_and_no_other(make):
    home = make({**BOILER, "hold_s": 0}, {**SOFTENER, "hold_s": 0})
    read(home, 5000)
    read(home, 3500, 20)
    home.configure(loads=[{**SOFTENER, "hold_s": 600}])
    home.advance(1)
    assert switched(home)[2:] == [(20, "boiler", False, "removed")]
    assert home.node.state.peek("casa_A").loads["softener"].on


def test_a_deleted_node_asks_for_nothing_any_more(make):
    home = make({**BOILER, "hold_s": 0})
    read(home, 2000)
    home.remove()
    assert home.last["reason"] == "removed"


# -- mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loads", "text"),
    [
        ([], "at least 1 item"),
        ([BOILER, {**EV, "name": "boiler"}], "two loads have the name 'boiler'"),
        ([BOILER, {**EV, "relay": 1}], "two loads have the relay 1"),
        ([{**BOILER, "on_above_w": 1000}], "raise on_above_w or allowed_import_w"),
        ([{**BOILER, "allowed_hours": ["8-18"]}], "write it like"),
        ([{**BOILER, "guarantee": {"minutes": 61, "deadline": "01:00"}}], "leave no room"),
        ([{**BOILER, "guarantee": {"minutes": 61}, "allowed_hours": ["16:00-18:00"]}], "leave no room"),
        ([{**BOILER, "guarantee": {"minutes": 61}, "max_per_day_s": 3600}], "leave no room"),
        ([{**REGENERATION, "allowed_hours": ["08:00-09:00"]}], "shorten it"),
        ([{**REGENERATION, "guarantee": {"minutes": 1}}], "choose one"),
        ([{**BOILER, "max_per_day_s": 0}], "greater than 0"),
    ],
)
def test_loads_that_cannot_work_are_refused_with_the_reason(make, loads, text):
    with pytest.raises(ValidationError, match=text):
        make(*loads)
