"""From a home's meters to its balance: production, consumption, surplus, import, export.

Two kinds of homes are understood. One measures its consumption; the other has a clamp on the main line, which
measures what it exchanges with the grid, and its consumption follows: production + grid - battery charging.

Inputs
    payload (object): `produzione_w` and either `consumo_w` or `rete_w` (grid, import positive), optional
        `batteria_w` (charging positive). The names are properties of the node.
Outputs
    payload (object): `production_w`, `consumption_w`, `battery_w` (charging positive), `surplus_w`, `import_w`,
        `export_w`, `self_consumed_w`. All in watts.
Details
    surplus = production - consumption. What a battery charges is no surplus as long as the battery goes first
    (`battery`); what it discharges never is. Exchange with the grid = production - consumption - battery charging:
    above zero it is export, below it import. A production slightly below zero (an inverter's own consumption at night)
    counts as zero.
"""

from __future__ import annotations

from solarflow.message import MISSING
from solarflow.node import Example, Message, Node, NodeConfig, NodeError, PropertyPath, Setup, at
from solarflow.units import PositiveWatts


class Balance(Node):
    """Balances a home's power."""

    type = "balance"
    category = "energy"
    color = "#8fc9a0"
    icon = "sun"
    forwards = True

    class Config(NodeConfig):
        """Where the powers stand in the message."""

        production: str = "payload.produzione_w"
        """What the panels give, in watts."""
        consumption: str = "payload.consumo_w"
        """What the home draws, in watts; where it is missing it follows from `grid`."""
        grid: str = "payload.rete_w"
        """What comes from the grid, in watts, import positive; used where consumption is missing."""
        battery: str = "payload.batteria_w"
        """What the battery takes, in watts, charging positive; missing where there is none."""
        battery_first: bool = True
        """Whether the battery is charged before anything else may use the surplus."""
        night_tolerance_w: PositiveWatts = 100
        """A production below zero by at most so much counts as zero; below that it is an error."""
        maximum_w: PositiveWatts = 100_000
        """A power above this is an error of the meter."""

    config: Config

    EXAMPLE = Example(
        config={},
        given=[
            at(0, home="casa_A", payload={"produzione_w": 1500, "consumo_w": 400}),
            at(60, home="casa_B", payload={"produzione_w": 800, "rete_w": 200}),
        ],
        then=[
            at(
                0,
                home="casa_A",
                payload={
                    "production_w": 1500, "consumption_w": 400, "battery_w": 0, "surplus_w": 1100,
                    "import_w": 0, "export_w": 1100, "self_consumed_w": 400,
                },
            ),
            at(
                60,
                home="casa_B",
                payload={
                    "production_w": 800, "consumption_w": 1000, "battery_w": 0, "surplus_w": -200,
                    "import_w": 200, "export_w": 0, "self_consumed_w": 800,
                },
            ),
        ],
    )  # fmt: skip

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        config = self.config
        self._production, self._consumption, self._grid, self._battery = (
            PropertyPath(text) for text in (config.production, config.consumption, config.grid, config.battery)
        )

    def on_input(self, msg: Message) -> None:
        production = self._power(msg, self._production)
        if production < 0:
            if production < -self.config.night_tolerance_w:
                raise NodeError(f"the production is {production:g} W; is the clamp the wrong way round?")
            production = 0.0
        battery = self._power(msg, self._battery) if _has(msg, self._battery) else 0.0
        if _has(msg, self._consumption):
            consumption = self._power(msg, self._consumption)
        elif _has(msg, self._grid):
            consumption = production + self._power(msg, self._grid) - battery
        else:
            raise NodeError(f"the message has neither '{self._consumption.text}' nor '{self._grid.text}'")
        if consumption < -self.config.night_tolerance_w:
            raise NodeError(f"the consumption is {consumption:g} W; is the clamp the wrong way round?")
        consumption = max(consumption, 0.0)
        exchange = production - consumption - battery
        surplus = production - consumption
        if battery > 0 and self.config.battery_first:
            surplus -= battery
        msg["payload"] = {
            "production_w": production,
            "consumption_w": consumption,
            "battery_w": battery,
            "surplus_w": surplus,
            "import_w": max(0.0, -exchange),
            "export_w": max(0.0, exchange),
            "self_consumed_w": min(production, consumption),
        }
        self.send(msg)

    def _power(self, msg: Message, path: PropertyPath) -> float:
        power = float(self.number(msg, path))
        if abs(power) > self.config.maximum_w:
            raise NodeError(
                f"'{path.text}' is {power:g} W, above the {self.config.maximum_w:g} W that are possible here"
            )
        return power


def _has(msg: Message, path: PropertyPath) -> bool:
    value = path.get(msg)
    return value is not MISSING and value is not None
