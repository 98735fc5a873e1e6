"""Counts the energy of a replay: produced, consumed, used where it was produced, imported and exported, by home.

Between two readings of a home, power runs in straight lines; switched loads are added at the very moments at which
their relays switched. Nothing is counted over a gap longer than `max_gap_s`: it is a gap, and its length is told.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Any, Final

from solarflow.replay.course import Hook
from solarflow.replay.plant import Plant, Site
from solarflow.replay.wire import BALANCE, PRODUCTION, power_of

NAMES: Final = ("produced_wh", "consumed_wh", "self_consumed_wh", "imported_wh", "exported_wh")
POINTS: Final = 200_000
"""Readings of one home that a plot keeps; of more, every second one, again and again."""


@dataclass(slots=True)
class Track:
    """The powers of one home as they were, for a plot."""

    ts: array[float] = field(default_factory=lambda: array("d"))
    production_w: array[float] = field(default_factory=lambda: array("d"))
    consumption_w: array[float] = field(default_factory=lambda: array("d"))
    every: int = 1
    count: int = 0

    def add(self, ts: float, production_w: float, consumption_w: float) -> None:
        """Keep a reading, or every second, fourth ... one."""
        self.count += 1
        if self.count % self.every:
            return
        columns = (self.ts, self.production_w, self.consumption_w)
        for column, value in zip(columns, (ts, production_w, consumption_w), strict=True):
            column.append(value)
        if len(self.ts) >= POINTS:
            self.every *= 2
            for column in columns:
                column[:] = column[1::2]


@dataclass(slots=True)
class Account:
    """The energy of one home. Powers in W, energies in Wh."""

    max_gap_s: float
    track: Track | None = None
    ts: float = -1.0
    """Of the last reading; below 0 before the first."""
    production_w: float = 0.0
    base_w: float = 0.0
    """Consumption without the simulated loads."""
    battery_w: float = 0.0
    load_w: float = 0.0
    """What the simulated loads drew after the last reading or switch."""
    has_balance: bool = False
    produced_wh: float = 0.0
    consumed_wh: float = 0.0
    self_consumed_wh: float = 0.0
    imported_wh: float = 0.0
    exported_wh: float = 0.0
    counted_s: float = 0.0
    gaps_s: float = 0.0
    switches: list[tuple[float, float]] = field(default_factory=list)
    """Since the last reading: when, and what the simulated loads drew from then on."""

    def take_production(self, ts: float, production_w: float) -> None:
        """A reading of the panels alone."""
        if ts <= self.ts:
            return
        passed_s = ts - self.ts
        if self.ts >= 0.0:
            if passed_s <= self.max_gap_s:
                self.produced_wh += (self.production_w + production_w) * passed_s / 7200.0
                self.counted_s += passed_s
            else:
                self.gaps_s += passed_s
        self.ts, self.production_w = ts, production_w
        if self.track is not None:
            self.track.add(ts, production_w, 0.0)

    def take(self, ts: float, production_w: float, base_w: float, battery_w: float, load_w: float) -> None:
        """A reading of production and consumption; `load_w` is what the simulated loads draw now."""
        if ts <= self.ts and self.has_balance:
            return
        passed_s = ts - self.ts
        if self.ts >= 0.0 and self.has_balance:
            if passed_s <= self.max_gap_s:
                self._count(ts, production_w, base_w, battery_w)
                self.counted_s += passed_s
            else:
                self.gaps_s += passed_s
        self.ts, self.production_w, self.base_w, self.battery_w, self.load_w = (
            ts, production_w, base_w, battery_w, load_w
        )  # fmt: skip
        self.has_balance = True
        if self.switches:
            self.switches = []
        if self.track is not None:
            self.track.add(ts, production_w, base_w + load_w)

    def _count(self, ts: float, production_w: float, base_w: float, battery_w: float) -> None:
        if not self.switches:
            load_w = self.load_w
            self._add(
                ts - self.ts, self.production_w, self.base_w + load_w, self.battery_w, production_w, base_w + load_w,
                battery_w,
            )  # fmt: skip
            return
        begin_ts, whole_s, load_w = self.ts, ts - self.ts, self.load_w
        left = (self.production_w, self.base_w, self.battery_w)
        for switched_at, next_load_w in [*self.switches, (ts, 0.0)]:
            moment = min(switched_at, ts)
            share = (moment - self.ts) / whole_s
            right = (
                self.production_w + (production_w - self.production_w) * share,
                self.base_w + (base_w - self.base_w) * share,
                self.battery_w + (battery_w - self.battery_w) * share,
            )
            self._add(
                moment - begin_ts, left[0], left[1] + load_w, left[2], right[0], right[1] + load_w, right[2]
            )  # fmt: skip
            begin_ts, left, load_w = moment, right, next_load_w

    def _add(
        self, passed_s: float, produced: float, consumed: float, charged: float, production_w: float,
        consumption_w: float, battery_w: float,
    ) -> None:  # fmt: skip
        """Count a stretch in which all powers run straight from the first three to the last three."""
        if passed_s <= 0.0:
            return
        per = passed_s / 7200.0
        made, used = (produced + production_w) * per, (consumed + consumption_w) * per
        more = _above_zero(produced - consumed, production_w - consumption_w, passed_s)
        self.produced_wh += made
        self.consumed_wh += used
        self.self_consumed_wh += made - more
        if charged or battery_w:
            sent = _above_zero(produced - consumed - charged, production_w - consumption_w - battery_w, passed_s)
            taken = sent - made + used + (charged + battery_w) * per
        else:
            sent, taken = more, used - made + more
        self.exported_wh += sent
        self.imported_wh += taken

    def switched(self, now: float, load_w: float) -> None:
        """A relay switched: what the simulated loads draw from now on."""
        if self.ts >= 0.0:
            self.switches.append((max(now, self.ts), load_w))

    def as_json(self) -> dict[str, float]:
        """The figures, rounded to a tenth of a watt-hour."""
        figures = {name: round(getattr(self, name), 1) + 0.0 for name in NAMES}
        return {**figures, "counted_h": round(self.counted_s / 3600, 2), "gaps_h": round(self.gaps_s / 3600, 2)}


def _above_zero(left: float, right: float, passed_s: float) -> float:
    """The energy [Wh] of the positive part of a power that runs straight from `left` to `right`."""
    if left >= 0.0 and right >= 0.0:
        return (left + right) * passed_s / 7200.0
    if left <= 0.0 and right <= 0.0:
        return 0.0
    top = left if left > 0.0 else right
    return top * (top / abs(left - right)) * passed_s / 7200.0


class Ledger:
    """The accounts of all homes."""

    def __init__(self, max_gap_s: float, *, tracks: bool = False) -> None:
        """`tracks`: whether to keep the powers for a plot."""
        self.accounts: dict[str, Account] = {}
        self._max_gap_s = max_gap_s
        self._tracks = tracks

    def account(self, home: str) -> Account:
        """The account of a home, opened when it is first asked for."""
        found = self.accounts.get(home)
        if found is None:
            found = self.accounts[home] = Account(self._max_gap_s, Track() if self._tracks else None)
        return found

    def hook_of(self, topic: str, plant: Plant | None) -> Hook | None:
        """What counts the readings on a topic; with a plant the balance shows what its loads draw."""
        if found := PRODUCTION.match(topic):
            return self._count_production(self.account(found["home"]))
        if found := BALANCE.match(topic):
            home = found["home"]
            return self._count_balance(self.account(home), plant, None if plant is None else plant.site(home))
        return None

    @staticmethod
    def _count_production(account: Account) -> Hook:
        take = account.take_production

        def count(now: float, payload: Any) -> Any:
            if not account.has_balance and payload.__class__ is dict:
                power_w = payload.get("potenza_w")
                if (power_w.__class__ is float or power_w.__class__ is int) and -1e12 < power_w < 1e12:
                    take(_measured(payload, now) if "ts" in payload else now, power_w if power_w > 0 else 0.0)
            return payload

        return count

    @staticmethod
    def _count_balance(account: Account, plant: Plant | None, site: Site | None) -> Hook:
        take = account.take

        def count(now: float, payload: Any) -> Any:
            production_w = power_of(payload, "produzione_w")
            if production_w is None:
                return payload
            battery_w = power_of(payload, "batteria_w") or 0.0
            consumption_w = power_of(payload, "consumo_w")
            field = "consumo_w"
            if consumption_w is None:
                grid_w = power_of(payload, "rete_w")
                if grid_w is None:
                    return payload
                field, consumption_w = "rete_w", production_w + grid_w - battery_w
            if plant is None or site is None or not site.relays:
                take(_measured(payload, now), max(0.0, production_w), consumption_w, battery_w, 0.0)
                return payload
            added_w, base_w = plant.added_w(site, now), max(0.0, consumption_w - site.removed_w())
            take(_measured(payload, now), max(0.0, production_w), base_w, battery_w, added_w)
            change_w = base_w + added_w - consumption_w
            return {**payload, field: payload[field] + change_w} if change_w else payload

        return count


def _measured(payload: dict[str, Any], now: float) -> float:
    """When a reading was measured: its own time, where it states a possible one."""
    if "ts" not in payload:
        return now
    ts = payload["ts"]
    if ts.__class__ is not float and ts.__class__ is not int:
        return now
    seconds: float = ts / 1000 if ts > 1e11 else ts
    return seconds if now - 7 * 86_400 <= seconds <= now + 300 else now
