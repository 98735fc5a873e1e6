"""The log that `solarflow run` keeps in the data folder, and `solarflow logs`, which shows it."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from command_line import make_project, run

from solarflow.logfile import LogFile, LogReader, keep_log, log_path

LOG = logging.getLogger("solarflow.test")


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def told():
    """As `set_up_logging` has it."""
    LOG.setLevel(logging.INFO)
    yield
    LOG.setLevel(logging.NOTSET)


def shown(data: Path, *options: object) -> list[str]:
    """The texts of the lines that `solarflow logs` shows."""
    result = run("logs", "--data", data, "--json", *options)
    assert result.exit_code == 0, result.output
    return [json.loads(line)["text"] for line in result.stdout.splitlines()]


def test_what_is_logged_becomes_a_line_of_json_with_time_level_logger_and_text(data):
    with keep_log() as begin:
        begin(data)
        LOG.warning("it is %d °C", 40)

    (line,) = [json.loads(text) for text in log_path(data).read_text().splitlines()]
    assert {key: line[key] for key in ("level", "logger", "text")} == {
        "level": "warning", "logger": "solarflow.test", "text": "it is 40 °C",
    }  # fmt: skip
    assert line["time"].endswith("Z")


def test_a_line_about_a_node_names_it_and_its_flow(data, node):
    bench = node("debug")
    with keep_log() as begin:
        begin(data)
        LOG.error("%r: %s", bench.node, "no")
        LOG.info("on", extra={"about": bench.node})

    lines = [json.loads(text) for text in log_path(data).read_text().splitlines()]
    assert [(line["node"], line["flow"]) for line in lines] == [(bench.node.id, bench.node.file)] * 2


def test_what_was_logged_before_the_folder_was_ours_is_kept_and_what_failed_to_start_writes_nothing(data):
    with keep_log() as begin:
        LOG.info("early")
        begin(data)
        LOG.info("late")
    assert shown(data) == ["early", "late"]

    with keep_log():
        LOG.info("refused")
    assert shown(data) == ["early", "late"]


def test_an_exception_is_kept_with_its_trace_and_shown_below_its_line(data):
    with keep_log() as begin:
        begin(data)
        try:
            raise ValueError("why")
        except ValueError:
            LOG.exception("that failed")

    output = run("logs", "--data", data).stdout
    assert "error    that failed\n    Traceback" in output
    assert "\n    ValueError: why\n" in output


def test_only_its_owner_can_read_the_log(data):
    with keep_log() as begin:
        begin(data)

    assert log_path(data).stat().st_mode & 0o777 == 0o600


def test_the_log_is_bounded_and_read_across_its_files(data):
    file = LogFile(log_path(data), max_bytes=2000, older=4)
    for number in range(200):
        file.note(f"line {number}")
    file.close()

    files = list(log_path(data).parent.iterdir())
    assert len(files) == 5
    assert all(path.stat().st_size <= 2000 for path in files)
    texts = shown(data, "-n", 0)
    assert texts == [f"line {number}" for number in range(200 - len(texts), 200)]
    assert len(texts) > 60


def test_a_full_disk_costs_lines_says_how_many_and_stops_nothing(data, capfd):
    file = LogFile(log_path(data))
    file.note("before")
    stream = file.stream
    file.stream = Path("/dev/full").open("a")  # noqa: SIM115 - closed below, where that fails too
    for number in range(3):
        file.note(f"lost {number}")
    with suppress(OSError):
        file.stream.close()
    file.stream = stream
    file.note("after")
    file.close()

    assert shown(data) == ["before", "lines of this log that could not be written: 3", "after"]
    assert capfd.readouterr().err == ""


def test_where_no_log_can_be_written_an_error_tells_it_and_all_goes_on(data, caplog):
    (data / "log").write_text("a file in its place")

    with keep_log() as begin:
        begin(data)("nobody reads this")

    assert "no log file is written" in caplog.text


@pytest.fixture
def filled(data, node):
    bench = node("debug")
    with keep_log() as begin:
        bench.node.file, bench.node.name = "flows/benchmark.json", "see"
        begin(data)
        LOG.info("one")
        LOG.warning("two %r", bench.node)
        LOG.error("three")
    return data, bench.node


def test_lines_can_be_chosen_by_number_level_flow_and_node(filled):
    data, node = filled
    two = f"two {node!r}"

    assert shown(data, "-n", 1) == ["three"]
    assert shown(data, "--level", "warning") == [two, "three"]
    assert shown(data, "--flow", "benchmark") == shown(data, "--flow", "flows/benchmark.json") == [two]
    assert shown(data, "--node", "see") == shown(data, "--node", node.id) == [two]
    assert shown(data, "--flow", "other") == shown(data, "--node", "other") == []


def test_a_line_for_people_has_local_time_level_and_text(filled):
    first = run("logs", "--data", filled[0]).stdout.splitlines()[0]

    assert first.startswith(time.strftime("%Y-%m-%d "))
    assert first.endswith("  info     one")


def test_half_a_line_that_a_power_cut_left_is_shown_as_it_is(data):
    with keep_log() as begin:
        begin(data)
        LOG.info("whole")
    with log_path(data).open("a") as file:
        file.write('{"time": "2026-0\n')

    assert run("logs", "--data", data).stdout.splitlines()[1].split() == ["?", "?", '{"time":', '"2026-0']
    assert shown(data, "--level", "info") == ["whole"]


def test_what_a_payload_holds_can_do_nothing_to_the_terminal(data):
    with keep_log() as begin:
        begin(data)
        LOG.warning("topic \x1b[2J\u202e")

    assert "\x1b" not in run("logs", "--data", data).stdout + run("logs", "--data", data, "--json").stdout
    assert "\\x1b[2J\\u202e" in run("logs", "--data", data).stdout


def test_following_shows_what_is_added_also_after_the_file_was_put_aside(data):
    file = LogFile(log_path(data), max_bytes=250)
    file.note("old")
    reader = LogReader(data)
    existing = [entry.text for entry in reader.existing()]
    numbers = iter(range(6))

    def write_one_more() -> None:
        number = next(numbers, None)
        if number is None:
            raise EOFError
        file.note(f"new {number}")

    added = []
    with pytest.raises(EOFError):
        for entry in reader.added(write_one_more):
            added.append(entry.text)
    reader.close()
    file.close()

    assert existing == ["old"]
    assert added == [f"new {number}" for number in range(6)]
    assert len(list(log_path(data).parent.iterdir())) > 2


def test_where_there_is_no_log_the_command_says_what_writes_it(tmp_path):
    result = run("logs", tmp_path)

    assert (result.exit_code, result.stderr) == (
        1,
        f"solarflow: there is no log in {tmp_path / 'data' / 'log'}; `solarflow run` writes it there\n",
    )


def test_a_running_instance_keeps_its_log_and_follow_ends_with_ctrl_c(tmp_path):
    project = make_project(tmp_path)
    command = [sys.executable, "-m", "solarflow.cli"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    begin = [*command, "run", str(project), "--port", "0", "--broker-port", "0"]
    with subprocess.Popen(begin, stdout=subprocess.PIPE, text=True, env=environment) as instance:
        try:
            assert instance.stdout is not None
            assert any("pages at" in line for line in instance.stdout)
            follow = [*command, "logs", str(project), "--follow", "--json"]
            with subprocess.Popen(follow, stdout=subprocess.PIPE, text=True, env=environment) as reader:
                assert reader.stdout is not None
                killer = threading.Timer(60, reader.kill)
                killer.start()
                texts = iter(reader.stdout)
                assert any("started: solarflow" in line for line in texts)
                instance.send_signal(signal.SIGINT)
                assert any('"stopping"' in line for line in texts)
                reader.send_signal(signal.SIGINT)
                assert reader.wait(20) == 0
                killer.cancel()
            assert instance.wait(20) == 0
        finally:
            instance.kill()
