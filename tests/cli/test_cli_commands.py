"""What each command does when all is well, and that each explains itself."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import click
import paho.mqtt.client as paho
import pytest
from brokers import Mosquitto
from click.shell_completion import ShellComplete
from command_line import ROOT, make_project, run

from solarflow.cli import main
from solarflow.registry import Registry
from solarflow.simulation import Community

HOMES = [{"id": "casa_A", "name": "Rossi", "peak_power_wp": 4000}, {"id": "casa_B", "approved": False}]


def commands() -> dict[str, click.Command]:
    """Every command by what one types: "homes list"."""
    found: dict[str, click.Command] = {}

    def walk(group: click.Group, before: str) -> None:
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            found[f"{before}{name}"] = command
            if isinstance(command, click.Group):
                walk(command, f"{before}{name} ")

    walk(main, "")
    return found


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path)


@pytest.mark.parametrize("name", commands())
def test_every_command_explains_itself_with_an_example(name: str) -> None:
    for option in ("--help", "-h"):
        result = run(*name.split(), option)
        assert result.exit_code == 0
        assert f"Usage: main {name}" in result.output or f"Usage: solarflow {name}" in result.output
        assert re.search(rf"Examples?:\s+solarflow {name}\b", result.output), "an example that calls it"


@pytest.mark.parametrize("name", commands())
def test_every_option_says_what_it_does(name: str) -> None:
    silent = [option.name for option in commands()[name].params if isinstance(option, click.Option) and not option.help]
    assert silent == []


def test_the_start_page_lists_every_command_with_what_it_does() -> None:
    listed = run("--help").output
    for name in commands():
        if " " not in name:
            assert re.search(rf"^  {name} +\w+", listed, re.MULTILINE), name


@pytest.mark.parametrize("name", commands())
def test_the_example_of_every_command_is_accepted(name: str) -> None:
    """Its options and arguments are real ones; it is not carried out."""
    command = commands()[name]
    if isinstance(command, click.Group):
        return
    text = (command.epilog or "").removeprefix("Example: ").split("\n")[0]
    for call in re.split(r" && | \| | > \S+", text):
        words = call.split()
        if words[:1] != ["solarflow"]:
            continue
        called = commands()[next(n for n in (" ".join(words[1:3]), words[1]) if n in commands())]
        options = {opt for option in called.params for opt in (*option.opts, *option.secondary_opts)} | {"-h", "--help"}
        for word in words[2:]:
            if word.startswith("-") and len(word) > 1:
                assert word.partition("=")[0] in options, f"{name}: {word}"


def test_version_and_completion_are_there() -> None:
    assert re.fullmatch(r"solarflow, version \d+\.\d+\.\d+\n", run("--version").output)
    completed = ShellComplete(main, {}, "solarflow", "_SOLARFLOW_COMPLETE").get_completions([], "ch")
    assert [item.value for item in completed] == ["check"]


# -- new and check ---------------------------------------------------------------------------------------------------


def test_a_new_project_has_the_shipped_flows_and_no_problems(project: Path) -> None:
    assert (project / "flows.json").read_text() == (ROOT / "flows.json").read_text()
    assert "data/" in (project / ".gitignore").read_text()
    checked = run("check", project)
    assert checked.exit_code == 0
    assert re.fullmatch(r"no problems: \d+ flows, \d+ nodes\n", checked.output)
    assert json.loads(run("check", project, "--json").output) == {"problems": [], "errors": 0, "warnings": 0}


def test_check_lists_all_problems_for_people_and_for_machines(project: Path) -> None:
    path = project / "flows" / "benchmark.json"
    nodes = json.loads(path.read_text())
    next(node for node in nodes if node["id"] == "benchmark-yield")["type"] = "yeild"
    next(node for node in nodes if node["id"] == "benchmark-compare")["ratio"] = 5
    next(node for node in nodes if node["id"] == "benchmark-get")["wires"] = [["nobody"]]
    path.write_text(json.dumps(nodes))

    people = run("check", project)
    assert people.exit_code == 1
    for words in (
        "flows/benchmark.json: yeild benchmark-yield 'W per Wp'",
        "did you mean 'yield'?",
        "benchmark-compare 'every 5 minutes': ratio",
        "'nobody'",
        "3 errors, 0 warnings",
    ):
        assert words in people.output, people.output

    machines = run("check", project, "--json")
    assert machines.exit_code == 1
    found = json.loads(machines.output)
    assert found["errors"] == 3
    assert {(p["file"], p["node"]) for p in found["problems"]} == {
        ("flows/benchmark.json", node) for node in ("benchmark-yield", "benchmark-compare", "benchmark-get")
    }
    assert all(p["severity"] == "error" and p["what"] and p["mend"] and p["code"] for p in found["problems"])


# -- nodes -----------------------------------------------------------------------------------------------------------


def test_nodes_lists_the_palette_and_shows_the_page_and_the_schema_of_each_type(
    registry: Registry, tmp_path: Path
) -> None:
    listed = run("nodes").output
    described = {entry["type"]: entry for entry in json.loads(run("nodes", "--json").output)}
    for node_type in registry:
        assert re.search(rf"^  {re.escape(node_type.type)}  ", listed, re.MULTILINE)
        assert node_type.type in described
    page = run("nodes", "threshold-hold").output
    assert page.startswith("# threshold-hold\n")
    for part in ("Inputs", "Outputs", "Details", "Properties", "Example"):
        assert f"\n{part}" in page
    assert json.loads(run("nodes", "threshold-hold", "--json").output) == described["threshold-hold"]
    assert described["threshold-hold"]["properties"]["properties"]["on_above"]

    written = run("nodes", "--markdown", tmp_path / "pages")
    assert written.exit_code == 0
    index = (tmp_path / "pages" / "README.md").read_text()
    for name in re.findall(r"\]\((\S+)\)", index):
        assert (tmp_path / "pages" / name).read_text().startswith("# ")
    assert index.count("](") == len(list(registry))


# -- homes -----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["offline", "running"])
def data(request: pytest.FixtureRequest, project: Path) -> Iterator[Path]:
    """A data folder that nobody has, and one that an instance has: commands go through it."""
    folder = project / "data"
    if request.param == "offline":
        folder.mkdir()
        yield folder
        return
    with subprocess.Popen(
        [sys.executable, "-m", "solarflow.cli", "run", str(project), "--port", "0", "--broker-port", "0"],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as instance:  # fmt: skip
        try:
            assert instance.stdout is not None
            assert any("pages at" in line for line in instance.stdout), "it has begun"
            yield folder
        finally:
            instance.terminate()


def test_homes_are_imported_listed_approved_and_exported(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "homes.json"
    file.write_text(json.dumps(HOMES))
    assert run("homes", "import", file, "--data", data).output == "saved 2 homes\n"
    listed = run("homes", "list", "--data", data).output
    assert re.search(r"^casa_A +Rossi +4000 Wp$", listed, re.MULTILINE)
    assert re.search(r"^casa_B +no panels known  not approved$", listed, re.MULTILINE)

    approved = run("homes", "approve", "casa_B", "--data", data)
    assert approved.exit_code == 0
    assert approved.output.startswith("casa_B is approved")
    assert "not approved" not in run("homes", "list", "--data", data).output
    as_json = json.loads(run("homes", "list", "--json", "--data", data).output)
    assert [home["id"] for home in as_json["homes"]] == ["casa_A", "casa_B"]
    assert as_json["pending"] == []

    exported = run("homes", "export", "--data", data).output
    file.write_text(exported)
    assert run("homes", "import", file, "--data", data).output == "saved 2 homes\n"
    assert run("homes", "export", "--data", data).output == exported


def test_a_wrong_import_says_why_and_changes_nothing(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "homes.json"
    file.write_text('[{"id": "casa_A"}, {"id": "casa/B"}]')
    result = run("homes", "import", file, "--data", data)
    assert result.exit_code == 1
    assert "casa/B" in result.stderr
    assert "Traceback" not in result.stderr
    assert json.loads(run("homes", "export", "--data", data).output) == []


def test_a_credential_is_shown_once_and_kept_as_a_hash(data: Path) -> None:
    given = run("homes", "credential", "casa_A", "--data", data)
    assert given.exit_code == 0, given.output
    user, secret = re.findall(r"^(?:user|secret) +(\S+)$", given.output, re.MULTILINE)
    assert user == "casa_A"
    kept = (data / "broker-users.json").read_text()
    assert secret not in kept
    assert user in json.loads(kept)
    assert (data / "broker-users.json").stat().st_mode & 0o077 == 0


# -- simulate and bench ----------------------------------------------------------------------------------------------


def test_simulated_homes_publish_to_a_broker_until_they_are_told_to_end(tmp_path: Path) -> None:
    heard: dict[str, dict[str, float]] = {}
    enough = threading.Event()

    def take(_client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        heard[message.topic] = json.loads(message.payload)
        if len(heard) == 6:
            enough.set()

    with Mosquitto(tmp_path) as broker:
        listener = paho.Client(paho.CallbackAPIVersion.VERSION2)
        listener.on_message = take
        listener.on_connect = lambda client, *_: client.subscribe([(f"comunita/+/{t}", 0) for t in TOPICS])
        listener.connect("127.0.0.1", broker.port)
        listener.loop_start()
        arguments = ["--homes", "3", "--speed", "60", "--start", "2025-06-21T10:00", "--fault", "casa_02:dead-inverter"]
        homes = subprocess.Popen(
            [sys.executable, "-m", "solarflow.cli", "simulate", broker.url, *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        try:
            assert enough.wait(20), heard
            begun = time.monotonic()
            homes.send_signal(signal.SIGINT)
            said, _ = homes.communicate(timeout=5)
        finally:
            homes.kill()
            homes.wait(5)
            listener.disconnect()
            listener.loop_stop()
    assert homes.returncode == 0
    assert time.monotonic() - begun < 2
    assert f"3 homes publish to {broker.url} below comunita/, 60 times real time" in said
    assert {topic.split("/")[1] for topic in heard} == {"casa_01", "casa_02", "casa_03"}
    assert heard["comunita/casa_01/produzione"]["potenza_w"] > 500
    assert heard["comunita/casa_02/produzione"]["potenza_w"] == 0


TOPICS = ("produzione", "bilancio")


@pytest.mark.parametrize("command", ["simulate mqtt://127.0.0.1:1", "demo --port 0 --homes 2"])
def test_simulated_homes_that_fail_end_the_command_with_their_error(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise OSError("the sun is gone")

    monkeypatch.setattr(Community, "run", fail)
    late = threading.Timer(30, os.kill, (os.getpid(), signal.SIGINT))
    late.start()
    try:
        result = run(*command.split())
    finally:
        late.cancel()
    assert result.exit_code == 1
    assert "the simulated homes have ended by an error of their own: OSError: the sun is gone" in result.output


def test_bench_prints_one_json_object_a_line() -> None:
    result = run("bench", "--only", "chain", "--messages", "200")
    assert result.exit_code == 0
    machine, chain = [json.loads(line) for line in result.output.splitlines()]
    assert machine["name"] == "machine"
    assert chain["hops"] == 10
    assert chain["messages_per_cpu_second"] > 0
