"""The engine is killed in the middle of its work: devices fall off by themselves, a restart goes on where it was."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from brokers import free_port
from running import (
    Device,
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
    until,
    with_both_brokers,
)

HOLD_S, LONG_HOLD_S = 1.0, 6.0
TTL_S = 2
MIN_OFF_S = 8.0
SAVED_S = 1.0
"""What is older than this survives kill -9."""
SURPLUS = {"produzione_w": 3000, "consumo_w": 300}


@pytest.fixture
def quick(project: Path) -> Path:
    """The project with short times in its flow files: real time, because a crash happens in real time."""
    load = {"hold_s": HOLD_S, "release_s": 0.3}
    edit(
        project, "self-consumption", "relays-priority", settle_s=0.1, repeat_s=0.3, max_age_s=1.5,
        loads=[
            {"name": "boiler", "relay": 1, "power_w": 900, **load},
            {"name": "ev", "relay": 2, "power_w": 2000, **load, "hold_s": LONG_HOLD_S},
        ],
    )  # fmt: skip
    times = {"ttl_s": TTL_S, "repeat_s": 0.8, "min_on_s": 0, "max_age_s": 2, "feedback_timeout_s": 1}
    edit(project, "self-consumption", "relays-boiler", min_off_s=MIN_OFF_S, **times)
    edit(project, "self-consumption", "relays-ev", min_off_s=0, **times)
    ten = {"id": "ten", "type": "window", "key": "topic", "by": "count", "size": 10, "function": "sum"}
    add_flow(
        project, "windows",
        [mqtt_in("numbers", "numbers", "ten"), {**ten, "wires": [["sums"]]}, mqtt_out("sums", "sums")],
    )  # fmt: skip
    boiler, ev = ({"name": name, "power_w": 900, "relay": relay} for name, relay in (("boiler", 1), ("ev", 2)))
    register(
        project, home("casa_on", loads=[boiler]), home("casa_off", loads=[boiler]), home("casa_hold", loads=[ev])
    )  # fmt: skip
    return project


def test_a_kill_switches_devices_off_and_a_restart_goes_on_where_it_was(tmp_path: Path, quick: Path) -> None:
    with_both_brokers(tmp_path, quick, _killed_in_the_middle)


def _killed_in_the_middle(broker: str, project: Path) -> None:
    port = free_port()  # with the embedded broker, which dies too, devices find it again
    options = ("--broker-port", port) if broker == "embedded" else ()
    with Solarflow(project, broker, *options) as engine, Device(engine.connected().broker_port) as device:
        with Listener(engine.broker_port, "#") as heard, Meters(engine.broker_port, interval_s=0.2) as meters:
            for ident in ("casa_on", "casa_off", "casa_hold"):
                meters[f"comunita/{ident}/bilancio"] = SURPLUS
            held_since = time.monotonic()
            for number in range(6):
                publish(engine.broker_port, "numbers", number)
            for ident in ("casa_on", "casa_off"):
                heard.wait(f"comunita/{ident}/rele/1", stato="ON")
            meters["comunita/casa_off/bilancio"] = {"produzione_w": 300, "consumo_w": 3000}
            off = heard.wait("comunita/casa_off/rele/1/set", since=time.monotonic(), stato="OFF")
            meters["comunita/casa_off/bilancio"] = SURPLUS

            until(lambda: time.monotonic() > max(off.at + 1.5 * SAVED_S, held_since + 3.5), 10, "all of it is saved")
            assert device.is_on("casa_on")
            held_s = time.monotonic() - held_since
            assert held_s < LONG_HOLD_S, "its hold is under way"
            assert not heard.on("comunita/casa_hold/rele/2/set", stato="ON")
            engine.end(signal.SIGKILL)
            killed = time.monotonic()
        until(lambda: not device.is_on("casa_on"), TTL_S + 0.1, "the device falls off by itself")

        with (
            Solarflow(project, broker, *options) as engine,
            Listener(engine.connected().broker_port, "#") as heard,
            Meters(engine.broker_port, interval_s=0.2) as meters,
        ):
            restarted = time.monotonic()
            for ident in ("casa_off", "casa_hold"):
                meters[f"comunita/{ident}/bilancio"] = SURPLUS
            for number in range(6, 10):
                publish(engine.broker_port, "numbers", number)
            heard.wait("sums")
            assert [message.payload for message in heard.heard if message.topic == "sums"] == [sum(range(10))]

            on = heard.wait("comunita/casa_hold/rele/2/set", stato="ON")
            left_s = LONG_HOLD_S - held_s
            assert left_s - 0.1 < on.at - restarted < left_s + SAVED_S + 1, "the rest of its hold, not all of it"

            on = heard.wait("comunita/casa_off/rele/1/set", stato="ON")
            assert MIN_OFF_S - 0.2 < on.at - off.at < MIN_OFF_S + 1.5, "the minimum off-time, over the crash"
            assert killed < restarted < on.at
            assert not heard.on("comunita/casa_on/rele/1/set", stato="ON"), "nothing is on before a reading has come"
