"""Two replays of the same input side by side: what differs, and by how much."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from solarflow.replay.ledger import NAMES
from solarflow.replay.summary import ENERGY_LABELS, SHOWN, table

Figures = dict[str, tuple[float, str]]
"""By what it says, a figure and its unit."""


def comparison_of(base: Mapping[str, Any], this: Mapping[str, Any]) -> dict[str, Any]:
    """Both summaries, and every figure that one of them has: its value in both, and the difference."""
    before, after = dict(_figures(base)), dict(_figures(this))
    differences = []
    for what in dict.fromkeys([*before, *after]):
        old, unit = before.get(what, (0, ""))
        new, unit = after.get(what, (0, unit))
        differences.append({"what": what, "unit": unit, "base": old, "this": new, "difference": round(new - old, 3)})
    return {"base": base, "this": this, "differences": differences}


def _figures(summary: Mapping[str, Any]) -> Iterator[tuple[str, tuple[float, str]]]:
    for place, figures in [("", summary["energy"]["total"]), *summary["energy"]["homes"].items()]:
        for name, label in zip(NAMES, ENERGY_LABELS, strict=True):
            yield f"{label} {place}".strip(), (figures[name], "Wh")
    relays = summary["relays"]
    yield "relays switched", (sum(relay["switched"] for relay in relays), "")
    yield "relays on", (round(sum(relay["on_s"] for relay in relays), 3), "s")
    for relay in relays:
        place = f"{relay['home']} relay {relay['relay']}"
        yield f"{place} switched", (relay["switched"], "")
        yield f"{place} on", (relay["on_s"], "s")
    yield "alerts", (len(summary["alerts"]), "")
    for alert in summary["alerts"]:
        what = f"alerts {alert['home']} {alert['code']}"
        yield what, (sum((a["home"], a["code"]) == (alert["home"], alert["code"]) for a in summary["alerts"]), "")
    if "judged" in summary:
        for what in ("found", "missed", "false"):
            yield f"marks {what}", (len(summary["judged"][what]), "")
    for node in summary["nodes"]:
        for way in ("in", "out", "errors"):
            yield f"node {node['id']} {way}", (node[way], "")


def as_text(comparison: Mapping[str, Any]) -> str:
    """The totals, and what differs beside them, for people."""
    always = {*ENERGY_LABELS, "relays switched", "relays on", "alerts"}
    always |= {line["what"] for line in comparison["differences"] if line["what"].startswith("marks ")}
    totals = [line for line in comparison["differences"] if line["what"] in always]
    rest = [line for line in comparison["differences"] if line["what"] not in always and line["difference"]]
    header = ("", "base", "this", "difference")
    lines = ["what differs between the base and this", *table(header, [_row(line) for line in totals], len(totals))]
    if rest:
        lines += table(header, [_row(line) for line in rest], 2 * SHOWN)
    return "\n".join(lines)


def _row(line: Mapping[str, Any]) -> tuple[str, ...]:
    scale, unit, digits = {"Wh": (1000, " kWh", 2), "s": (3600, " h", 2)}.get(line["unit"], (1, "", 0))
    base, this, difference = (line[name] / scale for name in ("base", "this", "difference"))
    return line["what"], f"{base:,.{digits}f}{unit}", f"{this:,.{digits}f}{unit}", f"{difference:+,.{digits}f}{unit}"
