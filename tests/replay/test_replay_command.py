"""`solarflow replay` as one calls it."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner
from replay_helpers import HOME, START, balance, mqtt_in, mqtt_out, passing, project, readings, switcher, write_lines

from solarflow.cli import main
from solarflow.replay.run import Replay

SWITCHING = readings(
    (0, *balance("casa_A", 2000, 400)), (600, "on", 1), (1500, "off", 1), (3600, *balance("casa_A", 2000, 400)),
    (3700, *balance("casa_B", 500, 400)),
)  # fmt: skip


def run(*arguments, code=0):
    result = CliRunner().invoke(main, ["replay", *map(str, arguments)])
    assert result.exit_code == code, result.output + result.stderr
    return result


def row(text, begins):
    """The first line that begins so, in words."""
    return next(line for line in text.splitlines() if line.startswith(begins)).split()


@pytest.fixture
def switching(tmp_path):
    """A project, a recording and a list of homes."""
    homes = tmp_path / "homes.json"
    homes.write_text(json.dumps([HOME, {"id": "casa_B"}]))
    flow = project(tmp_path, *switcher("comunita/{home}/bilancio", ttl_s=3000))
    return flow, write_lines(tmp_path / "rec.jsonl", SWITCHING), "--homes", homes


def test_the_summary_says_what_came_of_it(switching):
    said = json.loads(run(*switching, "--json").stdout)
    assert (said["complete"], said["readings"], said["from"], said["to"]) == (True, 5, START, START + 3700)
    (relay,) = said["relays"]
    assert relay == {
        "home": "casa_A", "relay": "1", "load": "boiler", "on_s": 900, "switched": 2, "fell_off": 0,
        "energy_wh": 375, "on_at_end": False,
    }  # fmt: skip
    assert said["energy"]["homes"]["casa_A"]["consumed_wh"] == 775
    nodes = {node["id"]: (node["in"], node["out"], node["errors"]) for node in said["nodes"]}
    assert nodes["in-on"] == (0, 1, 0)
    assert nodes["out"] == (5, 0, 0)
    assert said["captured"] == {"mqtt": 5}


def test_people_get_tables(switching):
    text = run(*switching).stdout
    assert text.startswith("5 readings, 2025-06-21 10:00:00Z to 2025-06-21 11:01:40Z")
    assert row(text, "casa_A") == ["casa_A", "1", "boiler", "0.25", "h", "2", "0", "0.38"]
    assert "readings per CPU second" in text


def test_out_has_all_that_left_the_flows_with_its_time(switching, tmp_path):
    run(*switching, "--out", tmp_path / "out.jsonl")
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert lines[1] == (
        '{"payload":{"stato":"ON","ttl_s":3000},"sink":"mqtt","topic":"comunita/casa_A/rele/1/set","ts":1750500600.0}'
    )
    assert len(lines) == 5


def test_twice_the_same_input_gives_the_same_bytes_in_any_process(switching, tmp_path):
    for seed in ("1", "77"):
        out = ("--out", tmp_path / f"{seed}.jsonl")
        subprocess.run(
            [sys.executable, "-m", "solarflow.cli", "replay", *map(str, switching), *out],
            env={**os.environ, "PYTHONHASHSEED": seed}, check=True, capture_output=True,
        )  # fmt: skip
    assert (tmp_path / "1.jsonl").read_bytes() == (tmp_path / "77.jsonl").read_bytes() != b""


def test_what_if_and_against_show_both_and_the_difference(switching, tmp_path):
    path, recording, *homes = switching
    given = (path, recording, *homes, "--set", "say-off.d=true", "--against", path, "--out", tmp_path / "out.jsonl")
    said = json.loads(run(*given, "--json").stdout)
    lines = {line["what"]: (line["base"], line["this"], line["difference"]) for line in said["differences"]}
    assert lines["casa_A relay 1 on"] == (900, 3000, 2100)
    assert lines["consumed casa_A"] == (775, 1650, 875)
    assert (tmp_path / "out.base.jsonl").read_text().count("OFF") == 1
    assert (tmp_path / "out.jsonl").read_text().count("OFF") == 0
    assert row(run(*given).stdout, "casa_A relay 1 on")[4:] == ["0.25", "h", "0.83", "h", "+0.58", "h"]


def test_changes_may_stand_in_a_file(switching, tmp_path):
    (tmp_path / "changes.txt").write_text("# none of these\n\nsay-off.d=true\n")
    said = json.loads(run(*switching, "--json", "--set", f"@{tmp_path / 'changes.txt'}").stdout)
    assert said["relays"][0]["on_s"] == 3000


def test_a_mistake_is_one_clear_line(switching, tmp_path):
    assert (
        "there is no node 'say-of'; did you mean 'say-off'?" in run(*switching, "--set", "say-of.d=true", code=1).stderr
    )
    assert "there is no data folder" in run(switching[0], code=1).stderr
    assert "'soon' is not a date and time" in run(*switching, "--from", "soon", code=2).stderr
    assert "'often' is not a duration" in run(*switching, "--resample", "often", code=2).stderr
    assert "must end in .svg" in run(*switching, "--plot", tmp_path / "plot.txt", code=1).stderr
    assert "holds no message in the time" in run(*switching, "--from", "2030-01-01", code=1).stderr


def test_bad_lines_stop_it_unless_they_may_be_skipped(switching):
    path, recording, *homes = switching
    recording.write_text(recording.read_text() + "rubbish\n")
    assert "rec.jsonl:6: is not JSON" in run(path, recording, *homes, code=1).stderr
    assert "1 lines could not be read and were left out" in run(path, recording, *homes, "--skip-bad").stdout


def test_resampling_puts_readings_in_between(switching):
    said = json.loads(run(*switching, "--json", "--resample", "10m").stdout)
    assert said["readings"] == 5 + 5


def test_the_recording_may_come_from_the_standard_input(switching):
    path, recording, *homes = switching
    arguments = [sys.executable, "-m", "solarflow.cli", "replay", str(path), "-", "--json", *map(str, homes)]
    ran = subprocess.run(arguments, input=recording.read_bytes(), capture_output=True, check=True)
    assert json.loads(ran.stdout)["readings"] == 5
    ran = subprocess.run([*arguments, "--against", str(path)], input=b"", capture_output=True)
    assert b"can be read twice" in ran.stderr


def test_a_data_folder_is_replayed_with_its_own_homes(tmp_path):
    from solarflow.store import DataFolder, Home

    flow = project(tmp_path, *passing("comunita/{home}/produzione"))
    with DataFolder(tmp_path / "data") as folder:
        folder.homes.save(Home(id="casa_A"))
        for home in ("casa_A", "casa_B"):
            folder.telemetry.append(home, "production_w", START, 7.0)
    said = json.loads(run(flow, "--json").stdout)
    assert said["captured"] == {"mqtt": 1}
    assert said["unknown_homes"] == {"casa_B": 1}


ALARM = [
    mqtt_in("in", "comunita/{home}/x", "relay"),
    {"id": "relay", "type": "relay-out", "relay": "1", "ttl_s": 300, "feedback_timeout_s": 5, "wires": [["out"], []]},
    mqtt_out(),
]  # nobody brings the relay's answers: an alert


def test_alerts_are_judged_by_marks(tmp_path):
    flow = project(tmp_path, *ALARM)
    given = readings(*((t, "comunita/casa_A/x", True) for t in range(0, 600, 60)))
    marks = tmp_path / "marks.csv"
    marks.write_text(
        "home,from,to,code\n"
        "casa_A,2025-06-21T10:00:00Z,2025-06-21T10:10:00Z,relay-no-answer/1\n"
        "casa_B,2025-06-21T10:00:00Z,2025-06-21T10:10:00Z,relay-no-answer/1\n"
    )
    said = json.loads(run(flow, write_lines(tmp_path / "r.jsonl", given), "--marks", marks, "--json").stdout)
    (alert,) = said["alerts"]
    assert (alert["home"], alert["opened"], alert["closed"]) == ("casa_A", START + 15, None)
    assert [(mark["home"], mark["delay_s"]) for mark in said["judged"]["found"]] == [("casa_A", 15)]
    assert [mark["home"] for mark in said["judged"]["missed"]] == ["casa_B"]
    assert said["judged"]["false"] == []


def test_an_alert_outside_of_every_mark_is_false(tmp_path):
    flow = project(tmp_path, *ALARM)
    given = readings(*((t, "comunita/casa_A/x", True) for t in range(0, 600, 60)))
    marks = tmp_path / "marks.jsonl"
    marks.write_text(json.dumps({"home": "casa_A", "from": START + 300, "to": START + 400}))
    text = run(flow, write_lines(tmp_path / "r.jsonl", given), "--marks", marks).stdout
    assert "of 1 marks 0 found, 1 missed; 1 false alerts" in text
    assert "false: casa_A relay-no-answer/1 at 2025-06-21 10:00:15Z" in text


def test_a_plot_shows_the_power_and_the_relays_and_is_always_the_same(switching, tmp_path):
    pytest.importorskip("matplotlib")
    for name in ("a.svg", "b.svg"):
        run(*switching, "--plot", tmp_path / name, "--against", switching[0])
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    run(*switching, "--plot", tmp_path / "home.png", "--plot-home", "casa_A")
    assert (tmp_path / "home.png").read_bytes().startswith(b"\x89PNG")
    assert (
        "there is no home 'casa_X'"
        in run(*switching, "--plot", tmp_path / "x.svg", "--plot-home", "casa_X", code=1).stderr
    )


def test_without_matplotlib_a_plot_says_what_to_install(switching, tmp_path, monkeypatch):
    monkeypatch.setattr("solarflow.replay.plot.find_spec", lambda _name: None)
    assert "pip install 'solarflow[plot]'" in run(*switching, "--plot", tmp_path / "a.svg", code=1).stderr


def test_ctrl_c_ends_it_with_a_partial_summary_marked_as_such(switching, tmp_path):
    path, _, *homes = switching
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    out = tmp_path / "out.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "solarflow.cli", "replay", str(path), str(pipe), *map(str, homes), "--out", str(out)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        line = json.dumps(
            {"ts": START, "topic": "comunita/casa_A/bilancio", "payload": {"produzione_w": 1, "consumo_w": 1}}
        )
        with pipe.open("w") as feeding:
            deadline = time.monotonic() + 30
            while not (out.exists() and out.stat().st_size):  # until it runs
                assert time.monotonic() < deadline
                feeding.write((line + "\n") * 1000)
                feeding.flush()
            process.send_signal(signal.SIGINT)
            try:
                while time.monotonic() < deadline:
                    feeding.write((line + "\n") * 1000)
                    feeding.flush()
            except BrokenPipeError:
                pass  # it has stopped reading
        text, _ = process.communicate(timeout=30)
    except BrokenPipeError:
        text, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert text.startswith("PARTIAL, stopped at 2025-06-21 10:00:00Z")


def test_a_replay_that_is_stopped_says_that_it_is_not_complete(registry, switching):
    from solarflow.manifest import read_project
    from solarflow.replay.changes import plan_of

    replay = Replay(registry, plan_of(read_project(switching[0]), registry, {}), environ={})

    def given():
        yield SWITCHING[0]
        replay.end()
        yield SWITCHING[-1]

    replay.run(given())
    assert (replay.complete, replay.course.readings, replay.end_ts) == (False, 1, START)
