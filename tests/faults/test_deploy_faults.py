"""A flow file whose saving is killed at any step is the old one or the new one, and never empty."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from solarflow import flowtext
from solarflow.flowtext import save_credentials, save_flow, save_text, versions
from solarflow.graph import check_project
from solarflow.manifest import load_project

from .hub import CONTEXT, Hub
from .projects import make_project, palette, register
from .trial import Trial, fault

STEPS_OF = ("flowtext.py", "shutil.py", "pathlib.py", "tempfile.py")
"""Each line that runs in one of these is a step."""

STEPS = {"flow": 1500, "text": 1500, "credentials": 400}
"""About so many there are; a save that has fewer ends well."""


def nodes_of(name: str, size: int) -> list[dict[str, Any]]:
    tab = {"id": "odd", "type": "tab", "label": name}
    debugs = [{"id": f"d{n}", "type": "debug", "z": "odd", "x": n, "y": 1, "name": name} for n in range(size)]
    return [tab, *debugs]


def save(path: Path, name: str, how: str) -> None:
    """As an editor's deploy saves."""
    if how == "flow":
        save_flow(path, nodes_of(name, 200), palette())
    elif how == "text":
        save_text(path, json.dumps(nodes_of(name, 200)))
    else:
        save_credentials(path, {"n1": {"password": name}})


def save_and_die(path: Path, name: str, how: str, at_step: int) -> None:
    """In a process of its own: SIGKILL before the step of that number; exit code 0 where there are fewer."""
    steps = 0

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal steps
        if not frame.f_code.co_filename.endswith(STEPS_OF):
            return None
        if event == "line":
            steps += 1
            if steps == at_step:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    write = flowtext.write_atomically

    def write_traced(*arguments: Any, **more: Any) -> bool:
        sys.settrace(trace)
        try:
            return write(*arguments, **more)
        finally:
            sys.settrace(None)

    flowtext.write_atomically = write_traced
    save(path, name, how)
    os._exit(0)


def killed_at(path: Path, name: str, how: str, step: int) -> bool:
    """Whether the process died there, and was not through before."""
    process = CONTEXT.Process(target=save_and_die, args=(path, name, how, step))
    process.start()
    process.join(30)
    assert process.exitcode is not None
    return process.exitcode == -signal.SIGKILL


@fault("deploy-killed", times=100)
def test_a_save_that_is_killed_at_any_step_leaves_the_old_flow_or_the_new_one(trial: Trial) -> None:
    how = trial.rng.choice(["flow", "flow", "text"])
    project = make_project(trial.folder, added={"odd": nodes_of("first", 3)[1:]})
    path = project / "flows" / "odd.json"
    save(path, "first", how)
    old = path.read_text()
    rounds = 8 if trial.brief else 20
    trial.times = rounds
    begun = time.monotonic()
    outcomes = set()
    for number in range(rounds):
        name = f"round-{number}"
        step = 1 + trial.rng.randrange(STEPS[how])
        died = killed_at(path, name, how, step)
        now = path.read_text()
        if now != old:
            assert {node.get("name") or node["label"] for node in json.loads(now)} == {name}
            assert len(json.loads(now)) == 201
        outcomes.add((died, now != old))
        assert died or now != old, "a save that ended has saved"
        old = now
        loaded = load_project(project, palette(), {})
        assert check_project(loaded, palette(), {}).plan is not None
        for kept in versions(path):
            json.loads(kept.read_text() or "null")
    save(path, "last", how)
    assert "last" in path.read_text()
    assert len(versions(path)) <= 5
    assert [node["label"] for node in json.loads(versions(path)[0].read_text()) if node["type"] == "tab"]
    trial.recovered(time.monotonic() - begun, 60)


@fault("credentials-killed", times=20)
def test_secrets_whose_saving_is_killed_stay_whole_and_for_their_owner(trial: Trial) -> None:
    path = trial.folder / "credentials.json"
    save(path, "first", "credentials")
    rounds = 4 if trial.brief else 20
    trial.times = rounds
    for number in range(rounds):
        killed_at(path, f"round-{number}", "credentials", 1 + trial.rng.randrange(STEPS["credentials"]))
        assert json.loads(path.read_text())["n1"]["password"]
        assert all(file.stat().st_mode & 0o077 == 0 for file in trial.folder.iterdir() if file.is_file())
    begun = time.monotonic()
    save(path, "last", "credentials")
    assert json.loads(path.read_text()) == {"n1": {"password": "last"}}
    trial.recovered(time.monotonic() - begun, 5)


@fault("deploys-while-it-runs", times=5)
def test_deploys_in_quick_succession_lose_no_reading_of_other_flows(trial: Trial) -> None:
    project = make_project(trial.folder, added={"odd": nodes_of("first", 3)[1:]})
    register(trial.folder / "data", ["casa_A"])
    hub = trial.enter(Hub(project))
    meter = hub.publisher()
    received = hub.instance.engine.cells["ingest-produzione-record"].received
    for number in range(10):
        meter.publish("comunita/casa_A/produzione", b'{"potenza_w": %d}' % number, qos=1)
        save(project / "flows" / "odd.json", f"round-{number}", "flow")
        hub.instance.deploy(trial.rng.choice(["nodes", "flows"]))
        meter.publish("comunita/casa_A/produzione", b'{"potenza_w": %d}' % (100 + number), qos=1)
        trial.times += 1
    trial.recovered(hub.proves_well("casa_A", 1901), 5)
    cell = hub.instance.engine.cells["ingest-produzione-record"]
    trial.lost = received + 21 - cell.received
    assert trial.lost == 0
