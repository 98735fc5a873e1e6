"""What is expected is compared with what comes, shown side by side, and written into the file where one asks for it."""

import json
from xml.etree import ElementTree

import pytest

from solarflow.manifest import read_project
from solarflow.scenario import describe, load_all
from solarflow.scenario.report import junit
from solarflow.scenario.update import updated

EACH_MINUTE = {"from": "0s", "every": "1m", "until": "5m", "mqtt": "in/a", "payload": {"w": 1, "v": {"x": [1, 2]}}}
OUT = {"publishes": "out/a"}


def passes(trial, *then, given=(EACH_MINUTE,), **scenario):
    return trial.play({"given": list(given), "then": list(then), **scenario}).passed


# -- what counts ----------------------------------------------------------------------------------------------------


def test_of_an_object_only_the_keys_that_are_written_count(trial):
    series = {"from": "0s", "every": "1m", "until": "5m", **OUT}
    assert passes(trial, {**series, "payload": {"w": 1}})
    assert passes(trial, {**series, "payload": {"v": {"x": [1, 2]}}})
    assert passes(trial, {**series, "payload": {}})
    assert passes(trial, series)
    assert not passes(trial, {**series, "payload": {"w": 2}})
    assert not passes(trial, {**series, "payload": {"z": None}})
    assert not passes(trial, {**series, "payload": {"v": {"x": [1]}}})
    assert not passes(trial, {**series, "payload": {"w": True}})
    assert not passes(trial, {**series, "payload": None})
    assert not passes(trial, {**series, "retain": True})


def test_numbers_are_compared_to_six_digits(trial):
    given = [{"mqtt": "in/a", "payload": 2 / 3}]
    assert passes(trial, {**OUT, "payload": 0.6666667}, given=given)
    assert not passes(trial, {**OUT, "payload": 0.666}, given=given)


def test_one_too_many_and_one_too_few_are_failures(trial):
    assert not passes(trial, {"from": "0s", "every": "1m", "until": "4m", **OUT})
    assert not passes(trial, {"from": "0s", "every": "1m", "until": "6m", **OUT})


def test_something_may_come_within_a_time_or_so_many_times_or_any_number_of_times(trial):
    given = [{"at": "50s", "mqtt": "in/a", "payload": 1}]
    assert passes(trial, {"at": "45s", "within": "5s", **OUT}, given=given)
    assert not passes(trial, {"at": "45s", "within": "4s", **OUT}, given=given)
    assert not passes(trial, {"at": "51s", "within": "4s", **OUT}, given=given)
    assert passes(trial, {"from": "0s", "until": "5m", "times": 6, **OUT})
    assert not passes(trial, {"from": "0s", "until": "5m", "times": 5, **OUT})
    assert not passes(trial, {"from": "0s", "until": "5m", "times": 7, **OUT})
    assert passes(trial, {"from": "0s", "until": "5m", **OUT})
    assert not passes(trial, {"from": "0s", "until": "4m", **OUT})
    assert not passes(trial, {"from": "6m", "until": "7m", **OUT})


def test_whom_one_does_not_name_is_not_looked_at_unless_one_is_strict(trial):
    given = [{"mqtt": "in/a", "payload": 1}, {"mqtt": "in/b", "payload": 1}]
    assert passes(trial, OUT, given=given)
    assert not passes(trial, OUT, given=given, strict=True)
    assert passes(trial, OUT, {"publishes": "out/b"}, given=given, strict=True)


def test_what_may_never_come_fails_in_its_time_only(trial):
    given = [{"at": "1m", "mqtt": "in/a", "payload": {"w": 1}}]

    def never(**ban):
        return trial.play({"given": given, "never": [ban]}).passed

    assert not never(publishes="out/+")
    assert not never(publishes="#", payload={"w": 1})
    assert never(publishes="#", payload={"w": 2})
    assert never(**{"publishes": "#", "from": "61s"})
    assert never(**{"publishes": "#", "until": "59s"})
    assert not never(**{"publishes": "#", "from": "1m", "until": "1m"})


def test_a_node_that_fails_is_a_failure_unless_one_expects_it(trial):
    given = [{"inject": "out", "message": {"payload": 1}}]
    assert not passes(trial, given=given, never=[OUT])
    assert passes(trial, {"fails": "out", "error": "no topic to publish to"}, given=given)
    assert not passes(trial, {"fails": "out", "error": "something else"}, given=given)


def test_a_scenario_that_expects_nothing_proves_nothing_and_fails(trial):
    assert not trial.play({"given": [EACH_MINUTE]}).passed


def test_a_status_is_looked_at_after_everything_else_of_the_moment(trial):
    trial.flow(
        ("in", "mqtt in", [["hold"]], {"topic": "in/{home}", "datatype": "json", "broker": "broker"}),
        ("hold", "threshold-hold", [[]], {"hold_s": 0, "on_above": 10}),
    )
    given = [{"at": "1m", "mqtt": "in/casa_A", "payload": 50}]
    shown = {"shows": "hold", "home": "casa_A", "status": "on"}
    assert passes(trial, {**shown, "at": "1m"}, given=given)
    assert not passes(trial, {**shown, "at": "59s"}, given=given)


# -- side by side ---------------------------------------------------------------------------------------------------


def lines(trial, *then, **scenario):
    return describe(trial.play({"given": [EACH_MINUTE], "then": list(then), **scenario})).splitlines()


def test_the_first_difference_is_marked_and_what_fits_far_from_it_is_left_out(trial):
    then = [{"at": f"{minute}m", **OUT, "payload": {"w": 1 if minute != 4 else 7}} for minute in range(6)]
    assert lines(trial, *then) == [
        "      expected                      got",
        "      ... 2 as expected             ...",
        '  2m  publishes out/a {"w": 1}  2m  publishes out/a {"w": 1}',
        '  3m  publishes out/a {"w": 1}  3m  publishes out/a {"w": 1}',
        '> 4m  publishes out/a {"w": 7}  4m  publishes out/a {"w": 1}',
        "      ^ payload.w: expected 7, got 1",
        '  5m  publishes out/a {"w": 1}  5m  publishes out/a {"w": 1}',
    ]


def test_what_is_missing_early_late_or_too_much_is_told(trial):
    series = {"from": "1m", "every": "1m", "until": "4m", **OUT}
    text = lines(trial, {"at": "20s", **OUT}, series, {"at": "5m10s", **OUT})
    assert [line.strip() for line in text if "^" in line] == ["^ 20s too early", "^ 10s too early"]
    text = lines(trial, series, {"at": "9m", "publishes": "out/z"})
    assert [line.strip() for line in text if "^" in line] == ["^ nobody expected this"] * 2
    assert [line.split()[:3] for line in text if line[0] in ">!"] == [
        [">", "0s", "publishes"],
        ["!", "5m", "publishes"],
        ["!", "9m", "publishes"],
    ]
    assert text[-1].endswith("nothing")


def test_long_lines_are_broken_so_that_both_sides_stay_side_by_side(trial):
    long = {"text": "a word and another " * 12}
    text = lines(trial, {**OUT, "payload": long}, given=[{"mqtt": "in/a", "payload": {"text": "other"}}])
    assert max(map(len, text)) <= 120
    assert len(text) > 4


def test_hundreds_of_differences_are_not_all_shown(trial):
    given = [{"from": "0s", "every": "1s", "until": "200s", "mqtt": "in/a", "payload": 1}]
    text = lines(trial, given=given)
    assert "... and 171 more differences" in text[-1]


def test_why_it_could_not_be_played_is_the_report(trial):
    outcome = trial.play({"given": [{"set": {"in": {"qos": 9}}}], "then": [OUT]})
    assert describe(outcome) == outcome.error


# -- JUnit ----------------------------------------------------------------------------------------------------------


def test_junit_has_a_suite_for_each_file_and_the_comparison_in_each_failure(trial):
    good = trial.play({"given": [EACH_MINUTE], "then": [{"from": "0s", "until": "5m", **OUT}]})
    bad = trial.play({"given": [EACH_MINUTE], "then": [{"at": "1m", **OUT, "payload": "\x07<&"}]})
    broken = trial.play({"given": [{"set": {"in": {"qos": 9}}}], "then": [OUT]})
    root = ElementTree.fromstring(junit([good, bad, broken]))  # noqa: S314 - ours
    (suite,) = root
    assert suite.attrib | {"time": ""} == {
        "name": "flows/tests/one.json", "tests": "3", "failures": "1", "errors": "1", "time": ""
    }  # fmt: skip
    assert [[child.tag for child in case] for case in suite] == [[], ["failure"], ["error"]]
    assert "expected" in suite[1][0].text
    assert "<&" in suite[1][0].text


# -- update ---------------------------------------------------------------------------------------------------------


def update(trial, *then, **scenario):
    """`then` as an update writes it, which must then pass."""
    outcome = trial.play({"given": [EACH_MINUTE], "then": list(then), **scenario})
    case = load_all(read_project(trial.folder))[0]
    raw = updated(case.file.raw["scenarios"][0], case.scenario, outcome)
    assert trial.play(raw).passed
    return raw["then"]


def test_an_update_of_a_scenario_that_expects_nothing_writes_all_that_came(trial):
    assert update(trial) == [
        {"from": "0s", "every": "1m", "until": "5m", "publishes": "out/a", "payload": {"w": 1, "v": {"x": [1, 2]}}}
    ]


def test_an_update_leaves_what_fits_and_writes_what_came_in_place_of_the_rest(trial):
    fitting = {"from": "0s", "every": "1m", "until": "3m", **OUT, "payload": {"w": 1}}
    assert update(trial, fitting, {"at": "4m", **OUT, "payload": {"w": 3}}, {"at": "7m", **OUT}) == [
        fitting,
        {"at": "4m", **OUT, "payload": {"w": 1}},
        {"at": "5m", **OUT},
    ]


def test_an_update_takes_out_what_does_not_come_and_puts_in_what_does(trial):
    gone = {"at": "2m", "publishes": "out/z"}
    given = [{"at": "1m", "mqtt": "in/a", "payload": 1.0}, {"at": "3m", "mqtt": "in/a", "payload": "x"}]
    assert update(trial, {"at": "1m", **OUT}, gone, given=given) == [
        {"at": "1m", **OUT},
        {"at": "3m", **OUT, "payload": "x"},
    ]


def test_an_update_writes_every_kind_of_thing_so_that_it_passes(trial):
    trial.flow(
        ("in", "mqtt in", [["store", "hold"]], {"topic": "in/{home}", "datatype": "json", "broker": "broker"}),
        ("store", "record", [], {"samples": [{"property": "payload.w", "quantity": "w"}]}),
        ("hold", "threshold-hold", [["relay"]], {"hold_s": 0, "on_above": 10, "property": "payload.w"}),
        ("relay", "relay-out", [["out"], []], {}),
        ("out", "mqtt out", [], {"broker": "broker", "topic": ""}),
        ("ask", "http in", [["answer"]], {"url": "/x", "method": "get"}),
        ("answer", "http response", [], {"headers": {}, "statusCode": ""}),
    )
    given = [
        {"from": "0s", "every": "1m", "until": "3m", "mqtt": "in/casa_A", "payload": {"w": 50}, "age": "1s"},
        {"at": "1m", "mqtt": "in/casa_Z", "payload": {}},
        {"at": "2m", "mqtt": "in/casa_A", "payload": {"w": "x"}},
        {"at": "2m", "device": "casa_A/1", "becomes": "dead"},
        {"at": "3m", "http": "GET /x"},
    ]
    written = update(trial, given=given, devices=["casa_A/1"], lasts="5m")
    assert {next(key for key in entry if key not in ("at", "from", "every", "until")) for entry in written} >= {
        "publishes", "relay", "records", "fails", "answers", "awaits_approval"
    }  # fmt: skip
    assert json.dumps(written)


@pytest.mark.parametrize("name", ["then", "never"])
def test_an_update_puts_then_before_never(trial, name):
    outcome = trial.play({"given": [EACH_MINUTE], "never": [{"publishes": "out/z"}], "strict": True})
    case = load_all(read_project(trial.folder))[0]
    raw = updated(case.file.raw["scenarios"][0], case.scenario, outcome)
    assert list(raw).index("then") < list(raw).index("never")
