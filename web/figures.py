"""What the first page shows of a snapshot: rows, sums and cards, ready for the templates; numbers stay numbers."""

from __future__ import annotations

import hashlib
import shlex
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from flask_babel import gettext as _

from solarflow.host import Fill, Status
from solarflow.snapshot import FlowFigures, HomeFigures, NodeFigures, Snapshot
from solarflow.web.alert_texts import AlertText, alert_text

SILENT_AFTER_S = 900.0
"""A home without a reading for this long (on the instance's clock) is marked, and not summed up."""
ROWS_SHOWN = 200
RED_SHOWN = 3
TEXT_SHOWN = 300


@dataclass(frozen=True, slots=True)
class HomeRow:
    """A home in the table; None is not known. `anchor` names it on the page. It stays equal while time only passes."""

    anchor: str
    id: str
    name: str
    production_w: float | None
    consumption_w: float | None
    surplus_w: float | None
    share: float | None
    """Production over peak power, between 0 and 1."""
    heard_at: float | None
    """UTC seconds of the instance's clock."""
    silent: bool
    alerted: bool


@dataclass(frozen=True, slots=True)
class Sums:
    """The community now, from the homes that are not silent; None where none of them says."""

    production_w: float | None
    consumption_w: float | None
    surplus_w: float | None
    heard: int


@dataclass(frozen=True, slots=True)
class Card:
    """What the nodes of a board say of one key."""

    id: str
    name: str
    entries: list[tuple[str, Status]]


@dataclass(frozen=True, slots=True)
class Board:
    """The cards under one heading."""

    id: str
    title: str
    cards: list[Card]
    hidden: int
    green: int
    red: int
    total: int


@dataclass(frozen=True, slots=True)
class AlertRow:
    """An open alert; `since` in UTC seconds."""

    id: str
    home: str
    name: str
    text: AlertText
    since: float


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A node of a flow."""

    figures: NodeFigures
    fills: list[tuple[Fill, int]]
    """How many of its keys show which colour, where it shows one for each."""
    red: list[tuple[str, Status]]
    """The first keys that show red, and what they show."""
    resting: str
    last_error: str


@dataclass(frozen=True, slots=True)
class FlowBlock:
    """A flow with its nodes. `anchor` names it on the page, and is safe there whatever its id is."""

    anchor: str
    label: str
    file: str
    per_second: float | None
    """None: not a flow, but the nodes that all flows share."""
    errors: int
    resting: int
    nodes: list[NodeRow] = field(default_factory=list)


def home_rows(snapshot: Snapshot) -> list[HomeRow]:
    """Every home."""
    alerted = {alert.home for alert in snapshot.alerts}
    return [_home_row(home, snapshot.now, home.id in alerted) for home in snapshot.homes]


def _home_row(home: HomeFigures, now: float, alerted: bool) -> HomeRow:
    production, consumption = home.values.get("production_w"), home.values.get("consumption_w")
    peak, heard_at = home.peak_power_wp, home.heard_at
    return HomeRow(
        anchor=anchor("home", home.id),
        id=home.id,
        name=home.name or home.id,
        production_w=production,
        consumption_w=consumption,
        surplus_w=None if production is None or consumption is None else production - consumption,
        share=None if production is None or not peak else min(1.0, max(0.0, production) / peak),
        heard_at=heard_at,
        silent=heard_at is not None and now - heard_at > SILENT_AFTER_S,
        alerted=alerted,
    )  # fmt: skip


def sums(rows: list[HomeRow]) -> Sums:
    """The community's figures."""
    live = [row for row in rows if row.heard_at is not None and not row.silent]

    def total(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) if known else None

    return Sums(
        total([row.production_w for row in live]),
        total([row.consumption_w for row in live]),
        total([row.surplus_w for row in live]),
        len(live),
    )


def boards(snapshot: Snapshot) -> list[Board]:
    """One board for each heading that a node type asks for, one card for each key (home) on it."""
    names = {home.id: home.name for home in snapshot.homes}
    by_title: dict[str, dict[str, list[tuple[str, Status]]]] = {}
    for flow in snapshot.flows:
        for node in flow.nodes:
            if node.board:
                keys = by_title.setdefault(node.board, {})
                for key, status in node.keyed.items():
                    keys.setdefault(key, []).append((node.name or node.id, status))
    found = []
    for title, keys in by_title.items():
        cards = [Card(key, names.get(key) or key, entries) for key, entries in sorted(keys.items())]
        fills = Counter(status.fill for card in cards for _name, status in card.entries)
        found.append(
            Board(
                anchor("board", title), title, cards[:ROWS_SHOWN], max(0, len(cards) - ROWS_SHOWN), fills["green"],
                fills["red"], sum(fills.values()),
            )
        )  # fmt: skip
    return found


def alert_rows(snapshot: Snapshot) -> list[AlertRow]:
    """The open alerts in words, the newest first."""
    names = {home.id: home.name for home in snapshot.homes}
    return [
        AlertRow(str(alert.id), alert.home, names.get(alert.home) or alert.home,
                 alert_text(alert.code, alert.parameters), alert.opened)
        for alert in reversed(snapshot.alerts)
    ]  # fmt: skip


def flow_blocks(snapshot: Snapshot) -> list[FlowBlock]:
    """The flows, and after them the nodes that they share."""
    blocks = [_flow_block(flow) for flow in snapshot.flows]
    if snapshot.shared:
        nodes = [_node_row(node) for node in snapshot.shared]
        errors, resting = sum(node.errors for node in snapshot.shared), sum(bool(node.resting) for node in nodes)
        blocks.append(FlowBlock("flow-shared", _("Shared nodes"), "flows.json", None, errors, resting, nodes))
    return blocks


def _flow_block(flow: FlowFigures) -> FlowBlock:
    nodes = [_node_row(node) for node in flow.nodes]
    resting = sum(bool(node.resting) for node in nodes)
    return FlowBlock(
        anchor("flow", flow.id), flow.label or flow.id, flow.file, flow.per_second, flow.errors, resting, nodes
    )


def _node_row(node: NodeFigures) -> NodeRow:
    fills = Counter(status.fill for status in node.keyed.values())
    resting = ", ".join(key or _("everything") for key in node.resting[:RED_SHOWN])
    if len(node.resting) > RED_SHOWN:
        resting = _("%(names)s and %(num)s more", names=resting, num=len(node.resting) - RED_SHOWN)
    return NodeRow(
        node,
        fills.most_common(),
        [(key, said) for key, said in node.keyed.items() if said.fill == "red" and key not in node.resting][:RED_SHOWN],
        resting,
        node.last_error if len(node.last_error) <= TEXT_SHOWN else node.last_error[:TEXT_SHOWN] + "…",
    )


def approve_command(snapshot: Snapshot, home: str) -> str:
    """What to type so that a home's readings are let in."""
    return f"solarflow homes approve {shlex.quote(home)} --data {shlex.quote(str(snapshot.store['path']))}"


def publish_command(snapshot: Snapshot) -> str:
    """What to type so that a first reading comes in; empty where no flow is connected to a broker."""
    for connection in snapshot.connections:
        address = urlsplit(connection["address"])
        if address.scheme == "mqtt":
            return (
                f"mosquitto_pub -h {shlex.quote(address.hostname or '')} -p {address.port or 1883} "
                """-t comunita/casa_A/bilancio -m '{"produzione_w": 1500, "consumo_w": 400}'"""
            )
    return ""


def anchor(kind: str, name: str) -> str:
    """An id for the page that holds nothing of a foreign name but always is the same for it."""
    return f"{kind}-{hashlib.blake2s(name.encode(errors='surrogatepass'), digest_size=6).hexdigest()}"
