"""The simulated relays of a scenario: they obey commands, fall off when their time runs out, report, and break."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from solarflow.scenario.model import Device
from solarflow.scenario.parts import Condition
from solarflow.simulation import DEFAULT_TTL_S


class SimulatedRelay:
    """One relay. `later(seconds, function)` comes back to it; `say(topic, payload)` publishes for it."""

    def __init__(
        self, device: Device, later: Callable[[float, Callable[[], None]], None],
        say: Callable[[str, Any], None], on_change: Callable[[str, bool], None],
    ) -> None:  # fmt: skip
        self.device = device
        self.condition: Condition = device.condition
        self.home, _, number = device.relay.partition("/")
        self.topic = f"comunita/{self.home}/rele/{number}"
        self.on = False
        self._orders = 0
        """Each order makes the end of the one before it void."""
        self._later, self._say, self._on_change = later, say, on_change

    @property
    def draws_w(self) -> float:
        """What its load draws now."""
        return self.device.load_w if self.on else 0.0

    def hear(self, payload: bytes) -> None:
        """Obey a command, as a device does: what it cannot read it ignores."""
        if self.condition == "dead":
            return
        try:
            said = json.loads(payload)
        except ValueError:
            return
        if not isinstance(said, dict) or said.get("stato") not in ("ON", "OFF"):
            return
        if self.condition != "stuck":
            self._orders += 1
            order = self._orders
            self._set(said["stato"] == "ON")
            if self.on:
                self._later(float(said.get("ttl_s", DEFAULT_TTL_S)), lambda: self._run_out(order))
        self._later(self.device.answers_after, self.report)

    def become(self, condition: Condition) -> None:
        """Break, or be well again: with its power come back it is off, and says so."""
        before, self.condition = self.condition, condition
        if condition == "dead":
            self._orders += 1
            self._set(False)
        elif before == "dead":
            self.report()

    def report(self) -> None:
        """Say how it stands, if it can."""
        if self.condition in ("well", "stuck"):
            self._say(self.topic, {"stato": "ON" if self.on else "OFF"})

    def _run_out(self, order: int) -> None:
        if order == self._orders and self.on:
            self._set(False)
            self.report()

    def _set(self, on: bool) -> None:
        if on != self.on:
            self.on = on
            self._on_change(self.device.relay, on)
