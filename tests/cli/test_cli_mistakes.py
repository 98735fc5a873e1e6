"""A mistake gets one clear line that says what to do instead, and an exit code; never a traceback."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from command_line import make_project, run

MISTAKES = {
    "run nowhere": r"nothing at nowhere; `solarflow new nowhere` makes a project there",
    "check nowhere": r"nothing at nowhere",
    "check .": r"holds no flows.json; name a project folder or a Node-RED flow file",
    "run community --broker http://hub": r"begins with 'http'; write mqtt://host",
    "run community --broker mqtt://": r"names no host; write mqtt://host",
    "run community --broker mqtt://hub:99999": r"host or port are not valid",
    "run community --port 99999": r"'--port': 99999 is not in the range",
    "run community --broker-port 70000": r"'--broker-port': 70000 is not in the range",
    "run community --speed 0": r"'--speed': 0.0 is not in the range",
    "run community --speed nan --port 0": r"the speed is nan; it must be above 0",
    "run community --data community/flows.json --port 0": r"cannot make the data folder .* --data",
    "run community --host 192.0.2.1": r"cannot listen on 192.0.2.1: .*; name an address of this machine with --host",
    "run community --host nowhere.invalid": r"cannot listen on nowhere.invalid: .*; name an address of this machine",
    "demo --speed 0": r"'--speed': 0.0 is not in the range",
    "demo --homes 0": r"a community of 0 homes cannot be simulated: ask for 1 to 100000",
    "demo --project nowhere": r"nothing at nowhere",
    "simulate hub": r"begins with ''|write mqtt://host",
    "simulate --homes 0": r"ask for 1 to 100000",
    "simulate --interval 0": r"'--interval': 0.0 is not in the range",
    "simulate --start yesterday": r"'--start': 'yesterday' does not match",
    "simulate --fault casa_01:rust": r"KIND is soiling, dead-inverter, degraded, silence or wrong-clock",
    "simulate --fault casa_99:silence": r"no home 'casa_99' .* casa_01 to casa_12",
    "simulate --fault casa_01:silence=2": r"it takes none: write casa_01:silence",
    "chekc community": r"no command 'chekc'; did you mean 'check'\?",
    "frobnicate": r"no command 'frobnicate'; `solarflow --help` lists them",
    "run community --brocker embedded": r"No such option '--brocker'.*--broker'",
    "nodes treshold-hold": r"no node type 'treshold-hold'; did you mean 'threshold-hold'\?",
    "nodes treshold-hold --json": r"no node type 'treshold-hold'; did you mean 'threshold-hold'\?",
    "nodes --markdown community/flows.json": r"'--markdown': .* is a file",
    "new community": r"community is there already and not empty; name a new folder",
    "new community/flows.json/new": r"cannot make the folder .*; name another one",
    "deploy community": r"nothing runs on the data folder .*; start it with `solarflow run`",
    "deploy nowhere": r"there is nothing at nowhere; `solarflow new nowhere` makes a project there",
    "deploy .": r"holds no flows.json",
    "deploy community --mode soft": r"'soft' is not one of 'nodes', 'flows', 'full'",
    "homes list --data nowhere": r"there is no nowhere.*`solarflow run",
    "homes export --data nowhere": r"there is no nowhere",
    "homes approve casa_A --data nowhere": r"no data folder nowhere; name it with --data",
    "homes approve x/y": r"'x/y' cannot be the id of a home: .* letters, digits, '_', '.' and '-' only, at most 64",
    "homes credential città": r"'città' cannot be the id of a home",
    "homes credential casa_A --data nowhere": r"no data folder nowhere",
    "homes import nowhere.json --data nowhere": r"'nowhere.json': No such file",
    "homes aprove casa_A": r"No such command 'aprove'",
    "bench --only speed": r"'speed' is not one of 'chain'",
    "bench --only chain --messages 0": r"'--messages': 0 is not in the range",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_one_clear_line(tmp_path: Path, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    result = run(*line.split())
    assert result.exit_code in (1, 2)
    said = [text for text in result.stderr.splitlines() if not text.startswith(("Usage: ", "Try '")) and text]
    assert len(said) == 1, result.stderr
    assert re.search(MISTAKES[line], said[0]), said[0]


def test_json_that_is_broken_is_said_with_file_and_place(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    (project / "flows" / "ingest.json").write_text('[{"id": "a",}]')
    for command in ("check", "run"):
        result = run(command, project)
        assert result.exit_code == 1
        assert re.search(r"error: flows/ingest\.json: is not JSON: .*line 1, column", result.output)


def test_homes_that_are_wrong_are_all_told_and_none_is_imported(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    file = tmp_path / "homes.json"
    file.write_text('[{"id": "casa_A"}, {"id": "casa/B"}, {"id": "casa_C", "peak_power": 3000}]')
    result = run("homes", "import", file, "--data", data)
    assert result.exit_code == 1
    assert "nothing was imported" in result.stderr
    assert "casa/B" in result.stderr
    assert "did you mean 'peak_power_wp'?" in result.stderr
    file.write_text("[{broken")
    result = run("homes", "import", file, "--data", data)
    assert result.exit_code == 1
    assert "JSON" in result.stderr
    assert "no homes yet" in run("homes", "list", "--data", data).output
