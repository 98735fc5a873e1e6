"""Write numbers of a message into the store.

Each named property becomes a sample of a quantity of the message's home, at the message's own time (`ts`). What is
missing in a message is not written: a missing reading stays missing. Two samples of one moment are one: the later
message wins.

Inputs
    payload: whatever holds the numbers, an object as a rule.
    home (text): whose reading it is; another property where `key` says so.
    ts (number): when it was measured, seconds since the epoch, UTC.
Details
    A value outside its bounds is refused with an error, and so is a message that has none of the properties. The
    other values of the message are written all the same.
Example
    Write `payload.produzione_w` as `production_w`: it is then there for `history`, for charts and for the forecast.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from solarflow.message import MISSING
from solarflow.node import (
    Example,
    KeyedConfig,
    Message,
    MessageProperty,
    Node,
    NodeConfig,
    NodeError,
    PropertyPath,
    Setup,
    at,
)


class Sample(NodeConfig):
    """One property and the series it goes to."""

    property: MessageProperty
    """The message property with the number, such as payload.potenza_w."""
    quantity: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")
    """The name of the series, with its unit: production_w."""
    minimum: float | None = None
    """Below this the value is refused; empty for no bound."""
    maximum: float | None = None
    """Above this the value is refused; empty for no bound."""


class Record(Node):
    """Writes samples."""

    type = "record"
    category = "storage"
    color = "#8fc9a0"
    icon = "db"
    outputs = 0

    class Config(KeyedConfig):
        """What is written."""

        samples: Sequence[Sample] = Field(min_length=1)
        """Which property goes to which series."""

    config: Config

    EXAMPLE = Example(
        config={"samples": [{"property": "payload.potenza_w", "quantity": "production_w", "maximum": 100000}]},
        given=[at(0, home="casa_A", payload={"potenza_w": 1500})],
        then=[],
        text="Nothing is sent on; the sample stands in the series casa_A/production_w.",
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._samples = [(PropertyPath(s.property), s.quantity, s.minimum, s.maximum) for s in self.config.samples]

    def on_start(self) -> None:
        if self.services.store is None:
            raise NodeError("there is no store here to write to")

    def on_input(self, msg: Message) -> None:
        store = self.services.store
        if store is None:
            raise NodeError("there is no store here to write to")
        home, ts = self.key(msg), float(msg["ts"])
        written, refused = 0, ""
        for path, quantity, minimum, maximum in self._samples:
            value = path.get(msg)
            if value is MISSING or value is None:
                continue
            try:
                number = self.number(msg, path)
            except NodeError as error:
                refused = str(error)
                continue
            if (minimum is not None and number < minimum) or (maximum is not None and number > maximum):
                refused = f"{path.text} is {number:g}, outside {_bounds(minimum, maximum)}; it is not recorded"
                continue
            store.append(home, quantity, ts, number)
            written += 1
        if refused:
            raise NodeError(refused)
        if not written:
            raise NodeError(f"the message has none of {', '.join(s.property for s in self.config.samples)}")


def _bounds(minimum: float | None, maximum: float | None) -> str:
    low = "any" if minimum is None else f"{minimum:g}"
    return f"{low} to {'any' if maximum is None else f'{maximum:g}'}"
