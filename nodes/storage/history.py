"""Read a home's recorded series.

For each message it reads what was recorded of a quantity in a stretch of time that ends now, and sends it on in the
same message.

Inputs
    home (text): whose series; another property where `key` says so.
    quantity (text, optional): another series than the configured one.
    start, end (numbers, optional): another stretch, UTC seconds.
Outputs
    payload (list): [{"ts": …, "value": …}], oldest first. With `resolution` "hourly" each has also `n`, `min` and
        `max`, `value` is the mean of the hour and `ts` its start. With "latest" it is one object, or null.
Details
    In a replay it sees only what was recorded before the replay's own time.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from solarflow.node import Example, KeyedConfig, Message, Node, NodeError, at
from solarflow.units import PositiveSeconds


class History(Node):
    """Reads a series."""

    type = "history"
    category = "storage"
    color = "#8fc9a0"
    icon = "db"

    class Config(KeyedConfig):
        """What is read."""

        quantity: str = "production_w"
        """The name of the series."""
        resolution: Literal["raw", "hourly", "latest"] = "hourly"
        """Every sample, the hours, or only the newest sample."""
        span_s: PositiveSeconds = 86_400
        """How far back it reads."""
        limit: int = Field(default=10_000, ge=1, le=1_000_000)
        """At most so many values; of more, the newest."""

    config: Config

    EXAMPLE = Example(
        config={"quantity": "production_w", "resolution": "latest"},
        given=[at(0, home="casa_A")],
        then=[at(0, home="casa_A", payload=None)],
        text="Nothing is recorded yet.",
    )

    def on_input(self, msg: Message) -> None:
        store = self.services.store
        if store is None:
            raise NodeError("there is no store here to read from")
        home = self.key(msg)
        now = self.clock.now()
        quantity = str(msg.get("quantity", self.config.quantity))
        end = self._moment(msg, "end", now)
        start = self._moment(msg, "start", end - self.config.span_s)
        if self.config.resolution == "latest":
            newest = store.latest(home, quantity, as_of=now)
            msg["payload"] = None if newest is None else {"ts": newest[0], "value": newest[1]}
        elif self.config.resolution == "raw":
            samples = store.samples(home, quantity, start, end, as_of=now)[-self.config.limit :]
            msg["payload"] = [{"ts": ts, "value": value} for ts, value in samples]
        else:
            hours = list(store.hourly(home, quantity, start, end, as_of=now))[-self.config.limit :]
            msg["payload"] = [
                {"ts": hour.ts, "value": hour.mean, "n": hour.n, "min": hour.min, "max": hour.max} for hour in hours
            ]
        self.send(msg)

    @staticmethod
    def _moment(msg: Message, name: str, default: float) -> float:
        value = msg.get(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise NodeError(f"'{name}' is {value!r}, where a time in UTC seconds is needed")
        return float(value)
