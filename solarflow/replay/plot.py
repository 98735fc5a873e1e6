"""Draws a replay: the power of a home or of all homes, and when relays were on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solarflow.errors import UsageError, nearest
from solarflow.replay.ledger import Track
from solarflow.replay.run import Replay

Floats = NDArray[np.float64]
POINTS = 2000
FORMATS = (".svg", ".png", ".pdf")


def check_plot(path: Path) -> None:
    """Raise UsageError where no plot can be drawn: the format is unknown, or matplotlib is not there."""
    if path.suffix not in FORMATS:
        raise UsageError(f"the plot {path} must end in {', '.join(FORMATS)}")
    if find_spec("matplotlib") is None:
        raise UsageError(
            "plots need matplotlib, which is not installed; install it with: pip install 'solarflow[plot]'"
        )


def draw(path: Path, replays: Sequence[tuple[str, Replay]], home: str = "") -> None:
    """Draw one replay, or a base and another, into a file: of one home, or of all of them together.

    Raises UsageError for a home that is not in them, and where the file cannot be written.
    """
    check_plot(path)
    known = {name for _, replay in replays for name in replay.ledger.accounts}
    if home and home not in known:
        raise UsageError(f"there is no home '{home}' in this replay{nearest(home, known)}")
    # By name, because a machine without plots has no such package.
    matplotlib, dates = import_module("matplotlib"), import_module("matplotlib.dates")
    with matplotlib.rc_context({"svg.hashsalt": "solarflow", "font.size": 9}):
        figure = import_module("matplotlib.figure").Figure(figsize=(11, 6), layout="constrained")
        power, relays = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        for place, (label, replay) in enumerate(replays):
            _draw_power(power, label, replay, home, dashed=place < len(replays) - 1)
        _draw_relays(relays, replays, home)
        power.set_ylabel("kW")
        power.set_title(home or f"{len(known)} homes")
        power.legend(loc="upper right")
        power.grid(alpha=0.3)
        locator = dates.AutoDateLocator(tz=UTC)
        relays.xaxis.set_major_locator(locator)
        relays.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=UTC))
        relays.set_xlabel("UTC")
        metadata = {"Date": None} if path.suffix == ".svg" else {}
        try:
            figure.savefig(path, metadata=metadata)
        except OSError as error:
            raise UsageError(f"the plot {path} cannot be written: {error.strerror}") from error


def _draw_power(axes: Any, label: str, replay: Replay, home: str, *, dashed: bool) -> None:
    grid = np.linspace(replay.start, max(replay.end_ts, replay.start + 1.0), POINTS)
    accounts = [account for name, account in replay.ledger.accounts.items() if home in ("", name)]
    tracks = [account.track for account in accounts if account.track is not None and len(account.track.ts)]
    times = [datetime.fromtimestamp(ts, UTC) for ts in grid]
    after = f" ({label})" if label else ""
    style = "--" if dashed else "-"
    for name, colour in (("production", "#d9a400"), ("consumption", "#3b6ea5")):
        total = np.zeros(POINTS)
        seen = np.zeros(POINTS, dtype=bool)
        for track in tracks:
            values = _on_grid(grid, track, name, replay.options.max_gap_s)
            seen |= ~np.isnan(values)
            total += np.nan_to_num(values)
        axes.plot(times, np.where(seen, total / 1000.0, np.nan), style, color=colour, linewidth=1, label=name + after)


def _on_grid(grid: Floats, track: Track, name: str, max_gap_s: float) -> Floats:
    """A home's power at the times of the grid; NaN in gaps."""
    ts = np.array(track.ts)
    values = np.array(track.production_w if name == "production" else track.consumption_w)
    found: Floats = np.interp(grid, ts, values, left=np.nan, right=np.nan)
    place = np.clip(np.searchsorted(ts, grid), 1, max(1, len(ts) - 1))
    if len(ts) > 1:
        found[(ts[place] - ts[place - 1]) > max_gap_s * track.every] = np.nan
    return found


def _draw_relays(axes: Any, replays: Sequence[tuple[str, Replay]], home: str) -> None:
    """Bars for the relays of one home; for all homes, how many relays of each load are on."""
    rows: list[str] = []
    colours: dict[str, str] = {}
    for place, (label, replay) in enumerate(replays):
        relays = [relay for relay in replay.plant.relays if relay.spans] if replay.plant is not None else []
        for relay in (relay for relay in relays if relay.home == home):
            rows.append(" ".join(filter(None, (relay.load or f"relay {relay.number}", label and f"({label})"))))
            bars = [(datetime.fromtimestamp(a, UTC), datetime.fromtimestamp(b, UTC)) for a, b in relay.spans]
            axes.broken_barh([(a, b - a) for a, b in bars], (len(rows) - 0.9, 0.8), color="#4c8c4a")
        if home:
            continue
        for load in sorted({relay.load or f"relay {relay.number}" for relay in relays}):
            spans = [span for relay in relays if load in (relay.load, f"relay {relay.number}") for span in relay.spans]
            edges = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
            times = [datetime.fromtimestamp(ts, UTC) for ts, _ in edges]
            counts = np.cumsum([change for _, change in edges])
            axes.step(
                times, counts, "--" if place < len(replays) - 1 else "-", where="post", linewidth=1,
                color=colours.setdefault(load, f"C{len(colours)}"), label=f"{load} ({label})" if label else load,
            )  # fmt: skip
    if home:
        axes.set_yticks([row + 0.5 for row in range(len(rows))], rows)
        axes.set_ylim(0, max(1, len(rows)))
    else:
        axes.set_ylabel("relays on")
        if axes.get_lines():
            axes.legend(loc="upper right")
    axes.grid(alpha=0.3)
