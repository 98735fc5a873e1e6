"""threshold-hold: true above on_above for hold_s, false below off_below for release_s, false in silence."""

import pytest
from pydantic import ValidationError

from solarflow.testing import START, at


@pytest.fixture
def hold(node):
    return node("threshold-hold", on_above=1000, off_below=0, hold_s=300, release_s=60, max_age_s=120)


def test_true_once_it_has_been_above_for_the_hold(hold):
    hold.feed(1500, home="casa_A", every=60, until=300)
    assert hold.sent == [at(300, home="casa_A", payload=True, reason="held")]


def test_a_dip_starts_the_hold_anew(hold):
    hold.feed(1500, home="casa_A", every=60, until=240)
    hold.feed(900, home="casa_A", at=250)
    hold.feed(1500, home="casa_A", every=60, start=260, until=500)
    assert hold.sent == []
    hold.feed(1500, home="casa_A", every=60, start=560, until=620)
    assert hold.sent == [at(560, home="casa_A", payload=True, reason="held")]


def test_exactly_the_threshold_is_not_above_it(hold):
    hold.feed(1000, home="casa_A", every=60, until=600)
    assert hold.sent == []


def test_false_once_it_has_been_below_for_the_release(hold):
    hold.feed(1500, home="casa_A", every=60, until=300)
    hold.feed(-100, home="casa_A", every=30, start=330, until=390)
    assert hold.sent[1:] == [at(390, home="casa_A", payload=False, reason="released")]


def test_between_the_two_it_keeps_its_mind(hold):
    hold.feed(1500, home="casa_A", every=60, until=300)
    hold.feed(500, home="casa_A", every=60, start=360, until=3600)
    assert hold.payloads == [True]


def test_a_return_into_the_band_ends_the_release(hold):
    hold.feed(1500, home="casa_A", every=60, until=300)
    hold.feed(-100, home="casa_A", at=330)
    hold.feed(100, home="casa_A", at=380)
    hold.feed(-100, home="casa_A", at=400)
    hold.advance_to(459)
    assert hold.payloads == [True]
    hold.advance_to(460)
    assert hold.payloads == [True, False]


def test_a_hold_of_nothing_acts_at_once(node):
    hold = node("threshold-hold", hold_s=0, release_s=0)
    hold.feed(1500, home="a")
    hold.feed(-1, home="a", at=1)
    assert hold.sent == [at(0, payload=True), at(1, payload=False, reason="released")]


# -- dips -----------------------------------------------------------------------------------------------------------


def test_a_short_dip_is_tolerated_on_request(node):
    hold = node("threshold-hold", hold_s=300, dip_s=30)
    hold.feed(1500, home="a", every=60, until=120)
    hold.feed(200, home="a", at=140)
    hold.feed(1500, home="a", at=165)
    hold.feed(1500, home="a", every=60, start=180, until=300)
    assert hold.sent == [at(300, payload=True, reason="held")]


def test_a_dip_as_long_as_allowed_breaks_the_hold(node):
    hold = node("threshold-hold", hold_s=300, dip_s=30)
    hold.feed(1500, home="a", every=60, until=120)
    hold.feed(200, home="a", at=140)
    hold.feed(1500, home="a", every=60, start=170, until=470)
    assert hold.sent == [at(470, payload=True)]


def test_nothing_turns_true_during_a_dip(node):
    hold = node("threshold-hold", hold_s=300, dip_s=30)
    hold.feed(1500, home="a", every=60, until=240)
    hold.feed(200, home="a", at=290)
    hold.advance_to(310)
    assert hold.sent == []
    hold.feed(1500, home="a", at=315)
    assert hold.sent == [at(315, payload=True, reason="held")]


def test_a_dip_at_the_end_that_lasts_too_long_costs_the_whole_hold(node):
    hold = node("threshold-hold", hold_s=300, dip_s=30)
    hold.feed(1500, home="a", every=60, until=240)
    hold.feed(200, home="a", at=290)
    hold.feed(1500, home="a", every=60, start=325, until=600)
    assert hold.sent == []


# -- silence --------------------------------------------------------------------------------------------------------


def test_silence_makes_it_false_and_says_so(hold):
    hold.feed(1500, home="casa_A", every=60, until=300)
    hold.advance(119)
    assert hold.payloads == [True]
    hold.advance(1)
    assert hold.sent[-1] == at(420, home="casa_A", payload=False, reason="silent")
    assert hold.status("casa_A") == "off (silent)"


def test_silence_breaks_a_hold_under_way(hold):
    hold.feed(1500, home="casa_A", every=60, until=120)
    hold.advance(121)
    hold.feed(1500, home="casa_A", every=60, until=520)
    assert hold.sent == []
    hold.feed(1500, home="casa_A", at=541)
    assert hold.payloads == [True]


def test_after_silence_the_status_tells_that_readings_come_again(hold):
    hold.feed(500, home="casa_A")
    hold.advance(120)
    assert hold.status("casa_A") == "off (silent)"
    hold.feed(500, home="casa_A")
    assert hold.status("casa_A") == "off (waiting)"


def test_a_maximum_age_of_zero_would_mean_never_and_is_refused(node):
    with pytest.raises(ValidationError, match="greater than 0"):
        node("threshold-hold", max_age_s=0)


@pytest.mark.parametrize("late", [{"ts": START + 300 - 121}, {"arretrato": True}, {"ts": START + 300 + 301}])
def test_what_is_late_or_from_the_future_is_never_given_to_live_control(hold, late):
    hold.feed(1500, home="casa_A", every=60, until=240)
    hold.feed(-500, home="casa_A", at=300, **late)
    assert hold.sent == [at(300, home="casa_A", payload=True)]
    hold.advance_to(360)  # 120 s after the last reading that counts
    assert hold.last["reason"] == "silent"
    assert "1 late readings ignored" in hold.status("casa_A")


def test_a_payload_may_say_itself_that_it_is_late(node):
    hold = node("threshold-hold", property="payload.surplus_w", hold_s=0)
    hold.feed({"surplus_w": 1500, "arretrato": True}, home="a")
    hold.feed({"surplus_w": 1500, "ts": START - 1000}, home="a")
    assert hold.sent == []
    hold.feed({"surplus_w": 1500, "ts": START}, home="a")
    assert hold.payloads == [True]


def test_a_reading_older_than_the_newest_is_ignored(node):
    hold = node("threshold-hold", hold_s=0, release_s=0)
    hold.feed(1500, home="a", at=60, ts=START + 60)
    hold.feed(-500, home="a", ts=START + 30)
    assert hold.payloads == [True]


def test_a_clock_that_was_ahead_holds_nothing_up_once_it_is_right(node):
    hold = node("threshold-hold", hold_s=0, release_s=0)
    hold.feed(1500, home="a", ts=START + 240)
    hold.feed(-500, home="a", at=30, ts=START + 30)
    assert hold.payloads == [True, False]


# -- homes, restarts, deploys ---------------------------------------------------------------------------------------


def test_each_home_has_its_own_hold(hold):
    hold.feed(1500, home="casa_A")
    hold.feed(1500, home="casa_B", at=100)
    for t in (110, 220):
        hold.feed(1500, home="casa_A", at=t)
        hold.feed(1500, home="casa_B", at=t)
    hold.advance_to(310)
    assert hold.sent == [at(300, home="casa_A", payload=True)]


def test_the_key_may_be_another_property(node):
    hold = node("threshold-hold", key="device.id", hold_s=0)
    hold.input({"payload": 1500, "device": {"id": "ev"}})
    assert hold.sent == [at(0, device={"id": "ev"}, payload=True)]


def test_a_hold_survives_a_restart_without_the_time_in_between(hold):
    hold.feed(1500, home="casa_A", every=60, until=240)
    hold.restart(down_s=1000)
    hold.feed(1500, home="casa_A", at=1250)
    hold.advance_to(1299)
    assert hold.sent == []
    hold.advance_to(1300)
    assert hold.sent == [at(1300, home="casa_A", payload=True)]


def test_nothing_turns_true_after_a_restart_before_a_reading(hold):
    hold.feed(1500, home="casa_A", every=60, until=240)
    hold.restart(down_s=10)
    hold.advance_to(320)
    assert hold.sent == []
    hold.feed(1500, home="casa_A", at=330)
    assert hold.sent == [at(330, home="casa_A", payload=True, reason="held")]


@pytest.mark.parametrize("killed", [False, True])
def test_silence_after_a_restart_still_leads_to_false(hold, killed):
    hold.feed(1500, home="casa_A", every=60, until=300)
    hold.checkpoint()
    hold.restart(down_s=5000, killed=killed)
    hold.advance(119)
    assert hold.payloads == [True]
    hold.advance(1)
    assert hold.payloads == [True, False]


def test_a_deploy_forgets_neither_hold_nor_answer(hold):
    hold.feed(1500, home="casa_A", every=60, until=240)
    hold.configure(on_above=900)
    hold.feed(950, home="casa_A", at=290)
    hold.advance_to(300)
    assert hold.sent == [at(300, home="casa_A", payload=True)]
    hold.configure(on_above=800)
    hold.advance(60)
    assert hold.payloads == [True]


def test_a_shorter_maximum_age_counts_from_the_deploy_on(hold):
    hold.feed(1500, home="casa_A", every=60, until=300)
    hold.configure(max_age_s=30)
    hold.advance_to(330)
    assert hold.sent[-1] == at(330, payload=False, reason="silent")


def test_a_deleted_node_takes_its_true_back(hold):
    hold.feed(1500, home="casa_A", every=60, until=300)
    hold.remove()
    assert hold.sent[-1] == at(300, home="casa_A", payload=False, reason="removed")


# -- repeating ------------------------------------------------------------------------------------------------------


def test_the_answer_is_repeated_on_request(node):
    hold = node("threshold-hold", hold_s=30, repeat_s=60, max_age_s=1000)
    hold.feed(1500, home="a", every=30, until=160)
    assert hold.sent == [at(30, payload=True), at(90, payload=True, reason="held"), at(150, payload=True)]


def test_a_false_is_repeated_from_the_first_reading_on(node):
    hold = node("threshold-hold", repeat_s=60, max_age_s=1000)
    hold.feed(500, home="a")
    hold.advance(60)
    assert hold.sent == [at(60, payload=False, reason="waiting")]


def test_after_a_restart_a_true_is_repeated_only_once_readings_come(node):
    hold = node("threshold-hold", hold_s=0, repeat_s=20, max_age_s=100)
    hold.feed(1500, home="a")
    hold.restart()
    hold.advance_to(70)
    assert hold.payloads == [True]
    hold.feed(1500, home="a")
    hold.advance(20)
    assert hold.payloads[-1] is True
    assert len(hold.payloads) == 2


# -- mistakes -------------------------------------------------------------------------------------------------------


def test_what_is_no_number_is_an_error_and_no_reading(hold):
    hold.feed(1500, home="casa_A")
    hold.feed("sunny", home="casa_A", at=100)
    assert "'payload' is 'sunny', where a number is needed" in hold.errors[0]
    hold.advance_to(120)
    assert hold.status("casa_A") == "off (silent)"


def test_a_message_without_its_home_is_an_error(hold):
    hold.feed(1500)
    assert "no 'home'" in hold.errors[0]


def test_thresholds_the_wrong_way_round_are_refused_with_the_mend(node):
    with pytest.raises(ValidationError, match="there is no band left in which to rest; lower off_below"):
        node("threshold-hold", on_above=100, off_below=200)


def test_a_property_that_is_no_path_is_refused(node):
    with pytest.raises(ValidationError, match="write it like"):
        node("threshold-hold", property="pay load")
