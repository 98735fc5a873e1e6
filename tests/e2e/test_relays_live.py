"""Surplus switches a relay on, consumption and silence switch it off, over a real broker."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

from running import BOILER, Device, Listener, Meters, Solarflow, home, register, with_both_brokers

SPEED = 75
"""The shipped flow as it is, in scaled time: its five minutes take four seconds."""
HOLD_S = 300 / SPEED
REPEAT_S = 60 / SPEED
RELEASE_S = 60 / SPEED
SILENCE_S = 120 / SPEED
"""load-priority's `max_age_s`: without a reading for so long, a relay is switched off."""
SLACK_S = 1.0
"""What two busy cores may add."""


def test_surplus_switches_on_and_consumption_and_silence_switch_off(tmp_path: Path, project: Path) -> None:
    register(project, *(home(ident, loads=BOILER) for ident in ("casa_A", "casa_B")))
    with_both_brokers(tmp_path, project, _surplus_then_none)


def _surplus_then_none(broker: str, project: Path) -> None:
    with (
        Solarflow(project, broker, "--speed", SPEED) as engine,
        Listener(engine.connected().broker_port) as heard,
        Device(engine.broker_port, SPEED) as device,
        Meters(engine.broker_port, interval_s=0.1) as meters,
    ):
        begun = time.monotonic()
        for ident in ("casa_A", "casa_B"):
            meters[f"comunita/{ident}/bilancio"] = {"produzione_w": 2500, "consumo_w": 300}
        for ident in ("casa_A", "casa_B"):
            on = heard.wait(f"comunita/{ident}/rele/1/set", stato="ON")
            assert on.payload == {"stato": "ON", "ttl_s": 300}
            assert HOLD_S - 0.1 < on.at - begun < HOLD_S + SLACK_S
            assert not on.retained
            heard.wait(f"comunita/{ident}/rele/1", stato="ON")
            meters[f"comunita/{ident}/bilancio"] = {"produzione_w": 2500, "consumo_w": 1200}
        assert device.is_on("casa_A")

        # One is heard no more, the other says on, and its command is repeated.
        del meters["comunita/casa_B/bilancio"]
        silent = time.monotonic()
        off = heard.wait("comunita/casa_B/rele/1/set", since=silent, stato="OFF")
        assert SILENCE_S - 0.1 - 0.1 < off.at - silent < SILENCE_S + SLACK_S
        heard.wait("comunita/casa_B/rele/1", since=silent, stato="OFF")
        repeated = heard.on("comunita/casa_A/rele/1/set", stato="ON")
        assert len(repeated) >= 2
        for earlier, later in pairwise(repeated):
            assert later.at - earlier.at < REPEAT_S + SLACK_S
        assert device.is_on("casa_A")
        assert not device.is_on("casa_B")

        meters["comunita/casa_A/bilancio"] = {"produzione_w": 2500, "consumo_w": 4000}
        busy = time.monotonic()
        off = heard.wait("comunita/casa_A/rele/1/set", since=busy, stato="OFF")
        assert RELEASE_S - 0.1 < off.at - busy < RELEASE_S + SLACK_S
        heard.wait("comunita/casa_A/rele/1", since=busy, stato="OFF")
        assert not device.is_on("casa_A")
        engine.line("casa_A  boiler ON: surplus")
        engine.line("casa_A  boiler OFF: import")
        engine.line("casa_B  boiler OFF: silent")
        engine.end()

        for ident in ("casa_A", "casa_B"):
            commands = [message.payload["stato"] for message in heard.on(f"comunita/{ident}/rele/1/set")]
            assert "ON" not in commands[commands.index("OFF", commands.index("ON")) :], "off stays off"
