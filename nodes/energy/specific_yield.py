"""From production to yield: watts per watt of peak power, so that homes of any size can be compared.

The peak power is the registered one of the home. Where none is registered, the yield that the device itself sends is
taken, if it sends one.

Inputs
    payload (number): the production in watts. Another `property` may be named, such as `payload.potenza_w`.
    payload.rendimento (number, optional): the device's own yield in W/Wp; another property where `reported` says so.
    home (string): whose it is.
Outputs
    payload (number): the yield in W/Wp. All else in the message stays.
    power_w (number): the production in watts, where it is known.

Details
    A little less than nothing, as inverters draw at night, becomes 0: down to `night_tolerance` below zero. More than
    that means that the meter counts the wrong way round, and more than `max_yield` that the peak power or the unit is
    wrong: both are errors and say so.

    `source` "registered" never trusts the device, "reported" always does; "either" is explained above.

Example
    1500 W from 3000 Wp.

Source
    Specific power P / P_stc, IEC 61724-1; the sun rarely gives a plant more than 1.2 W/Wp.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from solarflow.errors import PropertyPathError
from solarflow.message import MISSING
from solarflow.node import Example, Message, Node, NodeConfig, NodeError, PropertyPath, Setup, at
from solarflow.units import Ratio


class SpecificYield(Node):
    """Divides production by peak power."""

    type = "yield"
    category = "energy"
    color = "#8fc9a0"
    icon = "sun"
    forwards = True

    class Config(NodeConfig):
        """Where the production stands, whose word counts, and what is possible."""

        property: str = "payload"
        """The message property with the production in watts, such as `payload.potenza_w`."""
        reported: str = "payload.rendimento"
        """The message property in which a device may send its own yield [W/Wp]; empty: none does."""
        source: Literal["either", "registered", "reported"] = "either"
        """Whose word counts: the registered peak power, the device's own yield, or the first that is there."""
        max_yield: Ratio = Field(default=1.5, gt=0)
        """More than this [W/Wp] is an error."""
        night_tolerance: Ratio = 0.02
        """So much below zero [W/Wp] counts as 0."""

        @field_validator("property", "reported")
        @classmethod
        def _is_a_path(cls, value: str) -> str:
            try:
                return PropertyPath(value).text if value else value
            except PropertyPathError as error:
                raise ValueError(str(error)) from None

        @field_validator("property")
        @classmethod
        def _is_there(cls, value: str) -> str:
            if not value:
                raise ValueError("name the property with the production, such as payload or payload.potenza_w")
            return value

    config: Config

    EXAMPLES = (
        Example(
            text="1500 W from 3000 Wp.",
            config={"property": "payload.potenza_w"},
            homes=[{"id": "casa_A", "peak_power_wp": 3000}],
            given=[at(0, home="casa_A", payload={"potenza_w": 1500})],
            then=[at(0, home="casa_A", payload=0.5, power_w=1500)],
        ),
        Example(
            text="A home that is not registered yet, whose device sends its own yield.",
            config={"property": "payload.potenza_w"},
            given=[at(0, home="casa_B", payload={"potenza_w": 1500, "rendimento": 0.4})],
            then=[at(0, home="casa_B", payload=0.4, power_w=1500)],
        ),
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._power_path = PropertyPath(self.config.property)
        self._reported_path = PropertyPath(self.config.reported) if self.config.reported else None

    def on_input(self, msg: Message) -> None:
        """Compute the yield and send the message on with it."""
        home = self.key(msg)
        peak_wp = self._peak_power(home)
        if peak_wp is None:
            value = self._reported(home, msg)
            has_power = self._power_path.get(msg) not in (MISSING, None)
            power_w = self.number(msg, self._power_path) if has_power and self._power_path.text != "payload" else None
        else:
            power_w = self.number(msg, self._power_path)
            value = power_w / peak_wp
        value = self._checked(home, value, peak_wp)
        if power_w is not None:
            msg["power_w"] = power_w
        msg["payload"] = value
        self.send(msg)

    def _peak_power(self, home: str) -> float | None:
        if self.config.source == "reported" or self.services.homes is None:
            return None
        registered = self.services.homes.get(home)
        return None if registered is None else registered.peak_power_wp or None

    def _reported(self, home: str, msg: Message) -> float:
        path = self._reported_path
        if path is not None and self.config.source != "registered" and path.get(msg) is not MISSING:
            return self.number(msg, path)
        if self.config.source == "reported":
            raise NodeError(
                f"the message of '{home}' has no '{self.config.reported}', the yield that its device should send; "
                "name another property in 'reported', or let 'source' be 'either' and register the home"
            )
        raise NodeError(
            f"the peak power of '{home}' is not known, so its yield cannot be computed; "
            'register the home with "peak_power_wp": solarflow homes import FILE'
        )

    def _checked(self, home: str, value: float, peak_wp: float | None) -> float:
        config = self.config
        how = "as its device says" if peak_wp is None else f"with {peak_wp:g} Wp registered"
        if value > config.max_yield:
            raise NodeError(
                f"'{home}' would give {value:.3g} W/Wp, {how}; at most {config.max_yield:g} is possible: "
                "correct its peak power, or the unit of its production (watts)"
            )
        if value >= 0.0:
            return value
        if value >= -config.night_tolerance:
            return 0.0
        raise NodeError(
            f"'{home}' would give {value:.3g} W/Wp, {how}, and production is never below zero: "
            "turn its current clamp round, or use a 'balance' node where the meter shows the grid's exchange"
        )
