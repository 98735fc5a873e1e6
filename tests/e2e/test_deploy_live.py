"""Flow files change under a running engine: what did not change goes on, and what is wrong changes nothing."""

from __future__ import annotations

import time
from pathlib import Path

from running import (
    Listener,
    Meters,
    Solarflow,
    add_flow,
    edit,
    home,
    mqtt_in,
    mqtt_out,
    publish,
    register,
    with_both_brokers,
)

HOLD_S = 4.0
SURPLUS = {"produzione_w": 5000, "consumo_w": 300}
ON = "comunita/casa_A/rele/1/set"


def add_limit(project: Path) -> None:
    """A flow that lets pass what is above 1000."""
    over = {"id": "over", "type": "switch", "property": "payload", "rules": [{"t": "gt", "v": "1000", "vt": "num"}]}
    nodes = [mqtt_in("numbers", "numbers", "over"), {**over, "wires": [["big"]]}, mqtt_out("big", "big")]
    add_flow(project, "limit", nodes)


def set_limit(project: Path, limit: int, **properties: str) -> None:
    edit(project, "limit", "over", rules=[{"t": "gt", "v": str(limit), "vt": "num"}], **properties)


def passes(engine: Solarflow, heard: Listener, *numbers: int) -> list[int]:
    """Publish numbers: those that the flow let pass, of these. The last one must pass."""
    since = len(heard.payloads("big"))
    for number in numbers:
        publish(engine.broker_port, "numbers", number)
    deadline = time.monotonic() + 10
    while numbers[-1] not in (passed := heard.payloads("big")[since:]):
        assert time.monotonic() < deadline, f"{numbers[-1]} did not pass"
    return passed


def test_a_changed_threshold_acts_at_once_and_interrupts_no_hold_of_another_flow(tmp_path: Path, project: Path) -> None:
    with_both_brokers(tmp_path, project, _deployed_within_a_hold)


def _deployed_within_a_hold(broker: str, project: Path) -> None:
    add_limit(project)
    boiler = {"name": "boiler", "relay": 1, "power_w": 900, "hold_s": HOLD_S}
    edit(project, "self-consumption", "relays-priority", loads=[boiler], repeat_s=0.5)
    register(project, home("casa_A"))
    with (
        Solarflow(project, broker) as engine,
        Listener(engine.connected().broker_port, "#") as heard,
        Meters(engine.broker_port, interval_s=0.2) as meters,
    ):
        begun = time.monotonic()
        meters["comunita/casa_A/bilancio"] = SURPLUS
        assert passes(engine, heard, 950, 2000) == [2000]
        set_limit(project, 900)
        deployed = engine.deploy()
        assert deployed.returncode == 0, deployed.stderr
        assert "deployed: 1 nodes started, 1 stopped" in deployed.stdout
        assert not heard.on(ON, stato="ON"), "the hold is under way"
        assert passes(engine, heard, 850, 950) == [950]

        on = heard.wait(ON, stato="ON")
        assert HOLD_S - 0.1 < on.at - begun < HOLD_S + 1.5


def test_a_wrong_file_is_refused_with_its_problems_and_the_old_flow_goes_on(broker: str, project: Path) -> None:
    add_limit(project)
    with Solarflow(project, broker) as engine, Listener(engine.connected().broker_port, "#") as heard:
        set_limit(project, 5000, type="swich")
        refused = engine.deploy()
        assert refused.returncode == 1
        for word in ("limit.json", "over", "swich", "switch"):
            assert word in refused.stderr
        assert "Traceback" not in refused.stderr
        assert passes(engine, heard, 900, 1100) == [1100]

        (project / "flows" / "limit.json").write_text("[{broken")
        refused = engine.deploy()
        assert refused.returncode == 1
        assert "limit.json" in refused.stderr
        assert passes(engine, heard, 900, 1100) == [1100]


def test_watch_deploys_what_was_saved_and_tells_once_what_is_wrong(project: Path) -> None:
    add_limit(project)
    with Solarflow(project, "embedded", "--watch") as engine, Listener(engine.connected().broker_port, "#") as heard:
        set_limit(project, 900)
        engine.line("deployed: 1 nodes started, 1 stopped")
        assert passes(engine, heard, 850, 950) == [950]

        set_limit(project, 100, type="swich")
        engine.line("not deployed, the flows go on as they were")
        assert passes(engine, heard, 850, 950) == [950]

        set_limit(project, 800, type="switch")
        deadline = time.monotonic() + 10
        while engine.output.count("deployed: 1 nodes started") < 2:
            assert time.monotonic() < deadline, engine.output
        assert passes(engine, heard, 850) == [850]
        assert engine.output.count("not deployed") == 1
