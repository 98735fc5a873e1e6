"""What came of a replay, as one JSON object and as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from solarflow.replay.ledger import NAMES
from solarflow.replay.marks import Mark, judged
from solarflow.replay.run import Replay

SHOWN: Final = 20
"""Lines of one table that the text shows; the JSON has all of them."""
ENERGY_LABELS: Final = ("produced", "consumed", "self-consumed", "imported", "exported")


def summary_of(replay: Replay, *, bad_lines: int = 0, marks: Sequence[Mark] | None = None) -> dict[str, Any]:
    """Everything that was counted. Energies in Wh, durations in s or h as the names say, times in UTC seconds."""
    course = replay.course
    readings = course.readings if course is not None else 0
    accounts = sorted(replay.ledger.accounts.items())
    homes = {home: account.as_json() for home, account in accounts}
    total = {name: round(sum(account[name] for account in homes.values()), 1) for name in NAMES}
    relays = replay.plant.relays if replay.plant is not None else []
    summary: dict[str, Any] = {
        "complete": replay.complete,
        "from": replay.start,
        "to": replay.end_ts,
        "readings": readings,
        "out_of_order": course.out_of_order if course is not None else 0,
        "bad_lines": bad_lines,
        "left_out": dict(sorted(replay.left_out.items())),
        "unknown_homes": dict(sorted(replay.homes.unknown.items())),
        "captured": dict(sorted(replay.captured.items())),
        "requests_refused": replay.requests_refused,
        "nodes": [
            {
                "id": node.id, "type": node.type, "name": node.name, "flow": node.flow, "in": node.received,
                "out": node.sent, "errors": node.errors, "last_error": node.last_error,
                "last_error_at": node.last_error_at,
            }
            for node in replay.nodes
        ],
        "relays": [
            {
                "home": relay.home, "relay": relay.number, "load": relay.load, "on_s": round(relay.on_s, 3),
                "switched": relay.switched, "fell_off": relay.expired, "energy_wh": round(relay.energy_wh, 1),
                "on_at_end": relay.on,
            }
            for relay in relays
        ],
        "commands_refused": replay.plant.refused if replay.plant is not None else 0,
        "energy": {"total": total, "homes": homes},
        "alerts": [
            {
                "home": alert.home, "code": alert.code, "opened": round(alert.opened_at, 3),
                "closed": None if alert.closed_at is None else round(alert.closed_at, 3),
            }
            for alert in replay.alerts.alerts
        ],
        "speed": {
            "cpu_s": round(replay.cpu_s, 3),
            "readings_per_cpu_s": round(readings / replay.cpu_s) if replay.cpu_s > 0 else 0,
        },
    }  # fmt: skip
    if marks is not None:
        summary["judged"] = judged(marks, replay.alerts.alerts)
    return summary


def as_text(summary: Mapping[str, Any]) -> str:
    """The summary for people."""
    lines = [_head(summary)]
    lines += _notes(summary)
    busy = [node for node in summary["nodes"] if node["in"] or node["out"] or node["errors"]]
    lines += table(
        ("node", "type", "in", "out", "errors"),
        [(node["name"] or node["id"], node["type"], node["in"], node["out"], node["errors"]) for node in busy],
        len(busy),
    )
    for node in summary["nodes"]:
        if node["errors"]:
            lines.append(f"  {node['id']}: the last error, {_time(node['last_error_at'])}: {node['last_error']}")
    relays = [relay for relay in summary["relays"] if relay["switched"]]
    lines += table(
        ("home", "relay", "load", "on", "switched", "fell off", "kWh"),
        [
            (r["home"], r["relay"], r["load"], _hours(r["on_s"]), r["switched"], r["fell_off"], _kwh(r["energy_wh"]))
            for r in relays
        ],
        SHOWN,
    )
    energy = summary["energy"]
    rows = [("all", *(_kwh(energy["total"][name]) for name in NAMES), "")]
    if len(energy["homes"]) > 1:
        for home, figures in energy["homes"].items():
            gaps = f"{figures['gaps_h']:g}" if figures["gaps_h"] else ""
            rows.append((home, *(_kwh(figures[name]) for name in NAMES), gaps))
    if energy["homes"]:
        lines += table(("kWh", *ENERGY_LABELS, "gaps h"), rows, SHOWN)
    lines += table(
        ("alert", "home", "opened", "closed"),
        [(a["code"], a["home"], _time(a["opened"]), _time(a["closed"])) for a in summary["alerts"]],
        SHOWN,
    )
    if "judged" in summary:
        lines += _judged(summary["judged"])
    speed = summary["speed"]
    lines += ["", f"{speed['cpu_s']:g} CPU seconds, {speed['readings_per_cpu_s']:,} readings per CPU second"]
    return "\n".join(lines)


def _head(summary: Mapping[str, Any]) -> str:
    text = f"{summary['readings']:,} readings, {_time(summary['from'])} to {_time(summary['to'])}"
    return text if summary["complete"] else f"PARTIAL, stopped at {_time(summary['to'])}: {text}"


def _notes(summary: Mapping[str, Any]) -> list[str]:
    notes = []
    if summary["bad_lines"]:
        notes.append(f"{summary['bad_lines']:,} lines could not be read and were left out")
    if summary["out_of_order"]:
        notes.append(f"{summary['out_of_order']:,} readings were older than the one before")
    if summary["left_out"]:
        said = ", ".join(f"{count:,} on {topic}" for topic, count in summary["left_out"].items())
        notes.append(f"left out, for the flows speak for themselves: {said}")
    if summary["unknown_homes"]:
        homes = sorted(summary["unknown_homes"])
        more = f" and {len(homes) - 5} more" if len(homes) > 5 else ""
        notes.append(f"not in the list of homes, so they did not enter: {', '.join(homes[:5])}{more}")
    if summary["requests_refused"]:
        notes.append(f"{summary['requests_refused']:,} requests to web servers were refused: none leaves a replay")
    if summary["commands_refused"]:
        notes.append(f"{summary['commands_refused']:,} commands were none that a relay obeys")
    if summary["captured"]:
        notes.append("captured: " + ", ".join(f"{count:,} {sink}" for sink, count in summary["captured"].items()))
    return notes


def _judged(judged: Mapping[str, Any]) -> list[str]:
    found, missed, false = judged["found"], judged["missed"], judged["false"]
    lines = ["", f"of {judged['marks']} marks {len(found)} found, {len(missed)} missed; {len(false)} false alerts"]
    if found:
        delays = sorted(mark["delay_s"] for mark in found)
        lines.append(f"  found after {_hours(delays[len(delays) // 2])} (median), {_hours(delays[-1])} at the latest")
    lines += [f"  missed: {mark['home']} from {_time(mark['from'])}" for mark in missed[:SHOWN]]
    lines += [f"  false: {alert['home']} {alert['code']} at {_time(alert['opened'])}" for alert in false[:SHOWN]]
    return lines


def table(header: Sequence[str], rows: Iterable[Sequence[Any]], shown: int) -> list[str]:
    """Aligned columns, numbers to the right; nothing where there are no rows."""
    cells = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    if not cells:
        return []
    more = len(cells) - shown
    cells = [list(header), *cells[:shown]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    right = [_is_figure(cells[1][column]) for column in range(len(header))]
    lines = [
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    ]
    return ["", *lines, *([f"... and {more:,} more; --json has all of them"] if more > 0 else [])]


def _is_figure(text: str) -> bool:
    return text[:1].isdigit() or (text[:1] in "+-" and text[1:2].isdigit())


def _time(ts: float | None) -> str:
    if ts is None:
        return "open"
    return f"{datetime.fromtimestamp(ts, UTC):%Y-%m-%d %H:%M:%S}Z"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.2f} h"


def _kwh(energy_wh: float) -> str:
    return f"{energy_wh / 1000:.2f}"
