"""What is wrong with a scenario file is said with its place and the mend, all of it at once."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from solarflow.errors import FlowError
from solarflow.manifest import read_project
from solarflow.scenario import find_files, load_all, load_file
from solarflow.scenario.expectations import KINDS
from solarflow.scenario.steps import STEPS

PREFIX = "error: flows/tests/one.json: "
ONE = f"{PREFIX}scenario 1 'one': "
SAYS = {"at": "0s", "mqtt": "in/a", "payload": 1}


def one(**scenario):
    return {"scenarios": [{"name": "one", "then": [{"publishes": "out/a"}], **scenario}]}


def test_a_right_file_has_no_problems(trial):
    assert trial.problems(one(given=[SAYS], covers=["What comes in goes out."])) == []


def test_every_mistake_is_named_with_its_place(trial):
    found = trial.problems(
        one(
            given=[{"mqtt": "in/a", "payload": 1, "at": "5 minutes"}, {"mqt": "in/a"}, {**SAYS, "evry": "1m"}],
            then=[{"relay": "casa_A", "goes": "on"}],
            startt="2026-06-21",
        )
    )
    assert found == [
        f"""{ONE}given 1: at: expected a time such as "5m30s", "2h" or "0.2s", found '5 minutes'""",
        f"{ONE}given 2: expected one of the keys {', '.join(step.kind for step in STEPS)}; found mqt; "
        "did you mean 'mqtt'?",
        f"{ONE}given 3: evry: there is no such key here; did you mean 'every'?",
        f"{ONE}then 1: relay: expected a text of the form ^[A-Za-z0-9_.-]{{1,64}}/[A-Za-z0-9_.-]{{1,64}}$, "
        "found 'casa_A'",
        f"{ONE}then 1: goes: expected 'ON' or 'OFF', found 'on'",
        f"{ONE}startt: there is no such key here; did you mean 'start'?",
    ]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({**SAYS, "every": "1m"}, '"at" is one time; for several say "from", "every" and "until" instead'),
        ({"mqtt": "a", "payload": 1, "every": "1m"}, '"every" needs "until": the last time'),
        ({"mqtt": "a", "payload": 1, "until": "1m"}, '"from" and "until" need "every"; for one time say "at"'),
        ({"mqtt": "a", "payload": 1, "from": "2m", "every": "1m", "until": "1m"}, '"until" is before "from"'),
        ({"mqtt": "a", "payload": 1, "every": "0.001s", "until": "1d"}, "it would come more than 1000000 times"),
        ({"mqtt": "a"}, 'say what comes: "payload" for JSON, "day" for what follows the day, or "text"'),
        ({"mqtt": "a", "payload": 1, "text": "x"}, 'say "payload" or "text", not both'),
        ({"mqtt": "a", "payload": 1, "age": "1m"}, '"age" puts ts into an object: it needs a "payload" that is one'),
        ({"mqtt": "a", "payload": 1, "day": {"w": {"06:00": 0, "13:00": 2}}},
         '"day" puts keys into an object: it needs a "payload" that is one, or none'),
    ],
)  # fmt: skip
def test_a_step_whose_keys_do_not_go_together_is_refused(trial, given, reason):
    assert trial.problems(one(given=[given])) == [f"{ONE}given 1: {reason}"]


@pytest.mark.parametrize(
    ("key", "item", "reason"),
    [
        ("then", {"publishes": "out/+"}, 'a topic with wildcards can only be forbidden, in "never"'),
        ("then", {"opens_alert": "low"}, 'an alert needs "home": whose it is'),
        ("then", {"publishes": "a", "times": 2}, '"times" needs "until", and no "every": how often between "from" '
         'and "until"'),
        ("then", {"publishes": "a", "from": "1m"}, '"from" needs "until"; for one time say "at" and "within"'),
        ("never", {"publishes": "a", "at": "1m"}, '"never" takes "from" and "until", or no time at all'),
        ("never", {"shows": "in", "status": "a"}, 'a status is only looked at in "then"'),
    ],
)  # fmt: skip
def test_an_expectation_whose_keys_do_not_go_together_is_refused(trial, key, item, reason):
    assert trial.problems(one(**{key: [item]})) == [f"{ONE}{key} 1: {reason}"]


@pytest.mark.parametrize(
    ("scenario", "problem"),
    [
        ({"given": [{"inject": "inn"}]}, "given 1: there is no node 'inn' in these flows; did you mean 'in'?"),
        ({"given": [{"set": {"ou": {"qos": 1}}}]},
         "given 1: there is no node 'ou' in these flows; did you mean 'out'?"),
        ({"then": [{"shows": "broke", "status": "x"}]},
         "then 1: there is no node 'broke' in these flows; did you mean 'broker'?"),
        ({"covers": ["What comes in goes up."]}, "covers 1: no description of these flows has the sentence 'What comes "
         "in goes up.'; did you mean 'What comes in goes out.'?"),
        ({"lasts": "1m", "given": [{**SAYS, "at": "2m"}]}, "lasts 1m, and 'given' names 2m"),
        ({"then": [{"answers": "GET /x", "status": 200}]}, "then answers 'GET /x', which nobody asks for in given"),
        ({"start": "today"}, 'start: expected a time such as "2026-06-21T11:00" (local) or "2026-06-21T09:00Z", '
         "found 'today'"),
        ({"homes": ["casa_A", "casa_A"]}, "the home casa_A stands here twice"),
        ({"homes": [{"id": "casa A"}]}, "homes 1: id: expected a text of the form ^[A-Za-z0-9_.-]{1,64}$, "
         "found 'casa A'"),
        ({"store": [{"series": "casa_A/w", "from": "-1d", "value": 1, "values": [1]}]},
         "store 1: say one of value, values and day"),
        ({"store": [{"series": "casa_A/w", "from": "-1d", "day": {"6": 0, "13:00": 1}}]},
         "store 1: day: expected times of the day such as \"06:30\", found '6'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_flows_or_the_world_is_refused(trial, scenario, problem):
    assert trial.problems(one(**scenario)) == [f"{ONE}{problem}"]


def test_a_relay_that_is_no_device_is_refused(trial):
    assert trial.problems(one(then=[{"relay": "casa_A/1"}])) == [
        f"{PREFIX}'one' speaks in 'then' of the relay casa_A/1, which is none of the devices; add it to \"devices\""
    ]


def test_two_scenarios_with_one_name_are_refused(trial):
    assert trial.problems({"scenarios": one()["scenarios"] * 2}) == [
        f"{PREFIX}scenarios: two scenarios have the name 'one'; give each its own"
    ]


def test_a_flow_that_is_not_there_is_refused_with_the_likeliest(trial):
    assert trial.problems({**one(), "flow": "flows/on.json"}) == [
        f"{PREFIX}flow: there is no flow file 'flows/on.json'; did you mean 'flows/one.json'?"
    ]


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"scenarios": []}', '{"scenarios": 1}', "{}"])
def test_what_is_no_scenario_file_is_a_problem(trial, content):
    assert trial.problems(content)


KEYS = st.sampled_from(
    ["name", "given", "then", "never", "homes", "devices", "store", "at", "every", "until", "within", "payload"]
    + [kind.kind for kind in (*STEPS, *KINDS)]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.just("5m"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=3), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(JSON | st.fixed_dictionaries({"scenarios": st.lists(JSON, max_size=2)}))
def test_no_json_raises_anything_but_problems(trial, value):
    trial.file.write_text(json.dumps(value))
    loaded = load_file(trial.file, read_project(trial.folder))
    assert (loaded.model is None) == bool(loaded.problems)


def test_a_flow_of_one_file_has_its_scenarios_in_the_folder_beside_it(tmp_path):
    (tmp_path / "tests").mkdir()
    flow = tmp_path / "notice.json"
    flow.write_text('[{"id": "tab", "type": "tab", "label": "x"}]')
    scenarios = tmp_path / "tests" / "notice.json"
    scenarios.write_text("{}")
    assert find_files(read_project(flow)) == [scenarios]


def test_load_all_raises_with_every_problem(trial):
    trial.problems(one(then=[{"publishs": "a"}, {"publishs": "b"}]))
    with pytest.raises(FlowError) as caught:
        load_all(read_project(Path(trial.folder)))
    assert len(caught.value.problems) == 2
