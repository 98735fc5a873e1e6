"""From figures to messages: what a home's series say becomes what its meter would have published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

QUANTITIES = ("production_w", "consumption_w", "grid_w", "import_w", "export_w", "battery_w")
"""What a table of figures may hold, in watts: grid is what is imported (export below zero), battery what it charges."""


def messages(ts: float, home: str, figures: Mapping[str, float]) -> Iterator[tuple[float, str, Any, bool]]:
    """The production, and the balance where the figures make one: consumption, or what is exchanged with the grid."""
    production = figures.get("production_w")
    if production is None:
        if "consumption_w" not in figures and _grid_w(figures) is None:
            return
        production = 0.0  # a home without panels
    else:
        yield ts, f"comunita/{home}/produzione", {"potenza_w": production}, False
    balance: dict[str, Any] = {"produzione_w": production}
    if "consumption_w" in figures:
        balance["consumo_w"] = figures["consumption_w"]
    elif (grid_w := _grid_w(figures)) is not None:
        balance["rete_w"] = grid_w
    else:
        return
    if "battery_w" in figures:
        balance["batteria_w"] = figures["battery_w"]
    yield ts, f"comunita/{home}/bilancio", balance, False


def _grid_w(figures: Mapping[str, float]) -> float | None:
    if "grid_w" in figures:
        return figures["grid_w"]
    if "import_w" in figures and "export_w" in figures:
        return figures["import_w"] - figures["export_w"]
    return None


class Figures:
    """Gathers the figures of one moment, which may stand in several rows, into messages."""

    def __init__(self) -> None:
        self._ts = 0.0
        self._homes: dict[str, dict[str, float]] = {}

    def take(self, ts: float, home: str, figures: Mapping[str, float]) -> Iterable[tuple[float, str, Any, bool]]:
        """Add a row; the messages of the moment before where this one begins another."""
        done: Iterable[tuple[float, str, Any, bool]] = ()
        if ts != self._ts:
            done, self._ts = self.rest(), ts
        self._homes.setdefault(home, {}).update(figures)
        return done

    def rest(self) -> list[tuple[float, str, Any, bool]]:
        """The messages of the last moment, home by home in the order in which they came."""
        homes, self._homes = self._homes, {}
        return [message for home, figures in homes.items() for message in messages(self._ts, home, figures)]
