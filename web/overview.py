"""The first page: what is running, rendered once a second for all who look, and sent to each as what has changed.

The page consists of regions, elements with an id. An event of the stream carries the regions that changed since the
last one, marked for htmx's out-of-band swap; `static/js/live.js` puts them in place without disturbing the rest.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

from flask import Flask, Response, make_response, render_template, url_for
from flask_babel import force_locale
from flask_babel import gettext as _
from htmx_flask import Htmx, request

from solarflow import __version__
from solarflow.errors import OverloadedError, SolarFlowError
from solarflow.instance import Instance
from solarflow.snapshot import Snapshot, Snapshots
from solarflow.web import figures, i18n
from solarflow.web.streams import Streams

EVENT = "overview"
AGE_MARK = "\ufdd0"
"""Where in a row that is kept the age belongs: a character that no text has."""


class Region(NamedTuple):
    """A part of the page that changes by itself."""

    html: str
    version: str
    """It is sent anew when this changes."""
    within: str = ""
    """The region whose html has this one in it."""
    row: bool = False
    """Whether it is a row of a table."""


class Rendered(NamedTuple):
    """One moment in one language."""

    snapshot: Snapshot
    regions: Mapping[str, Region]


class LivePage:
    """Renders the regions, at most once for each snapshot and language however many look."""

    def __init__(self, app: Flask, instance: Instance, snapshots: Snapshots) -> None:
        self._app = app
        self._instance = instance
        self._snapshots = snapshots
        self._lock = threading.Lock()
        self._rendered: dict[str, Rendered] = {}

    def regions(self, language: str) -> Mapping[str, Region]:
        """Every region as it is now. Raises SolarFlowError where the engine does not answer."""
        watchdog = self._instance.live.watchdog
        if watchdog is not None and (blocked := watchdog.blocked) is not None:
            raise OverloadedError(str(blocked))  # whoever asks the engine now would wait in vain
        with self._lock:
            snapshot = self._snapshots.get()
            last = self._rendered.get(language)
            if last is None or last.snapshot is not snapshot:
                with self._app.app_context(), force_locale(language):
                    last = Rendered(snapshot, render_regions(snapshot))
                self._rendered[language] = last
            return last.regions

    def follow(self, language: str) -> Callable[[], str]:
        """For one stream: a function that returns what has changed since it was last called, at first everything."""
        sent: dict[str, str] = {}

        def changes() -> str:
            try:
                regions = self.regions(language)
            except SolarFlowError as error:
                regions = {"trouble": self._trouble(language, error)}
            fresh = {name: region for name, region in regions.items() if sent.get(name) != region.version}
            sent.update((name, region.version) for name, region in fresh.items())
            return as_swaps(fresh)

        return changes

    def _trouble(self, language: str, error: SolarFlowError) -> Region:
        with self._app.app_context(), force_locale(language):
            html = render_template("overview/trouble.html", text=str(error))
        return Region(html, html)


def install(app: Flask, instance: Instance, streams: Streams, snapshots: Snapshots) -> None:
    """Add the page and its stream."""
    Htmx(app)
    page = LivePage(app, instance, snapshots)

    @app.get("/", endpoint="overview")
    def overview() -> Response:
        try:
            regions = page.regions(i18n.chosen_language())
        except SolarFlowError as error:
            return error_page(503, str(error))
        # htmx asks for what is new only ("load now" of a page that lost its stream); browsers for the page.
        only_regions = request.htmx and not request.htmx.history_restore_request
        answer = make_response(
            as_swaps(regions)
            if only_regions
            else render_template(
                "overview/page.html",
                regions={name: region.html for name, region in regions.items()},
                stream=url_for("live"),
                event=EVENT,
                version=__version__,
            )
        )
        answer.headers["cache-control"] = "no-store"
        return i18n.mark(answer)

    @app.get("/_live", endpoint="live")
    def live() -> Response:
        return streams.response(EVENT, page.follow(i18n.chosen_language()))


def error_page(status: int, text: str) -> Response:
    """A page that says what happened, with the way home."""
    titles = {
        403: _("This is not open to you"),
        404: _("There is nothing here"),
        405: _("This cannot be done here"),
        413: _("That was too much at once"),
        503: _("SolarFlow is too busy to answer"),
    }
    title = titles.get(status, _("That did not work"))
    return i18n.mark(Response(render_template("error.html", status=status, title=title, text=text), status))


def render_regions(snapshot: Snapshot) -> dict[str, Region]:
    """The regions by their id, in the language of the context."""
    rows = figures.home_rows(snapshot)
    alerts = figures.alert_rows(snapshot)
    boards = figures.boards(snapshot)
    blocks = figures.flow_blocks(snapshot)
    shown = rows[: figures.ROWS_SHOWN]
    titles = {"Relays": _("Relays")}

    def region(name: str, **values: object) -> Region:
        html = render_template(f"overview/{name}.html", snapshot=snapshot, titles=titles, **values)
        return Region(html, html)

    homes = {row.anchor: _home(row, snapshot.now) for row in shown}
    around = {
        "total": len(rows), "hidden": len(rows) - len(shown), "publish": figures.publish_command(snapshot),
        "pending": snapshot.pending > 0, "heard": any(row.heard_at is not None for row in rows),
    }  # fmt: skip
    table = region("homes", html={name: one.html for name, one in homes.items()}, **around)
    flows = {
        block.anchor: region(
            "flow", block=block, colours=_colours(),
            resting=_("%(num)s resting", num=block.resting) if block.resting else "",
        )._replace(within="flows")
        for block in blocks
    }  # fmt: skip
    shell = render_template(
        "overview/flows.html", snapshot=snapshot, blocks=blocks, html={name: one.html for name, one in flows.items()}
    )
    return {
        "trouble": Region("", ""),
        "clock": region("clock"),
        "notices": region("notices"),
        "tiles": region(
            "tiles", sums=figures.sums(rows), boards=boards, states=_connection_states(),
            per_second=sum(flow.per_second for flow in snapshot.flows),
        ),
        "alerts": region("alerts", alerts=alerts[: figures.ROWS_SHOWN], total=len(alerts)),
        "waiting": region("waiting", command=figures.approve_command),
        # Inside of these two are rows and flows, which are regions of their own: they are sent when there are others.
        "homes": Region(table.html, repr((list(homes), around))),
        **homes,
        "boards": region("boards", boards=boards),
        "flows": Region(shell, repr([(block.anchor, block.label, snapshot.deployed_at) for block in blocks])),
        **flows,
    }  # fmt: skip


def _home(row: figures.HomeRow, now: float) -> Region:
    cells = _home_cells(row, i18n.current_language())
    age_s = 0.0 if row.heard_at is None else now - row.heard_at
    return Region(cells.replace(AGE_MARK, i18n.age(age_s)), cells, within="homes", row=True)


@lru_cache(maxsize=4 * figures.ROWS_SHOWN)
def _home_cells(row: figures.HomeRow, _language: str) -> str:
    """The cells of a home's row in the language of the context, with a mark where its age is to stand."""
    return render_template("overview/home.html", home=row, age=AGE_MARK)


def _connection_states() -> dict[str, str]:
    return {
        "connected": _("connected"), "connecting": _("connecting"), "disconnected": _("disconnected"),
        "refused": _("refused"),
    }  # fmt: skip


def _colours() -> dict[str, str]:
    return {
        "green": _("green"), "red": _("red"), "yellow": _("yellow"), "blue": _("blue"), "grey": _("grey"),
        "": _("grey"),
    }  # fmt: skip


def as_swaps(regions: Mapping[str, Region]) -> str:
    """Regions as htmx takes them out of an answer or an event; those inside another one come with it."""
    alone = [(name, one) for name, one in regions.items() if one.within not in regions]
    parts = [f'<div id="{name}" hx-swap-oob="morph">{one.html}</div>' for name, one in alone if not one.row]
    rows = [f'<tr id="{name}" hx-swap-oob="morph">{one.html}</tr>' for name, one in alone if one.row]
    if rows:
        parts += ["<template>", *rows, "</template>"]  # elsewhere a browser drops rows that are in no table
    return "".join(parts)
