"""The first page: what is running."""

from __future__ import annotations

from flask import Flask, Response
from markupsafe import escape

from solarflow.instance import Instance
from solarflow.snapshot import Snapshots
from solarflow.web.streams import Streams


def install(app: Flask, instance: Instance, streams: Streams) -> None:
    """Add the page and its stream."""
    snapshots = Snapshots(instance)

    @app.get("/", endpoint="overview")
    def overview() -> str:
        flows = "".join(f"<li>{escape(flow.label)}</li>" for flow in snapshots.get().flows)
        return f"<!doctype html><title>SolarFlow</title><ul>{flows}</ul>"

    @app.get("/live", endpoint="live")
    def live() -> Response:
        return streams.response("overview", overview)


def error_page(status: int, text: str) -> Response:
    """A page that says what happened."""
    return Response(f"<!doctype html><title>{status}</title><p>{escape(text)}</p>", status)
