"""The Flask app of one instance."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from solarflow.errors import ConnectionLostError, FlowError, OverloadedError, SolarFlowError
from solarflow.instance import Instance
from solarflow.snapshot import Snapshots
from solarflow.web import access, admin, flow_routes, health, i18n, overview
from solarflow.web.streams import Streams

MAX_BODY_BYTES = 5_000_000


def create_app(instance: Instance, streams: Streams, *, pages: bool = True, host: str = "127.0.0.1") -> Flask:
    """The app: health, metrics, administration, the flows' own routes, and with `pages` the pages."""
    app = Flask("solarflow.web")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it
    access.install(app, instance, host)
    i18n.install(app)
    snapshots = Snapshots(instance)
    app.register_blueprint(health.blueprint(instance, streams, snapshots))
    app.register_blueprint(admin.blueprint(instance))
    if pages:
        overview.install(app, instance, streams, snapshots)
    flow_routes.install(app, instance)
    app.register_error_handler(SolarFlowError, _refused)
    app.register_error_handler(HTTPException, _http_error)
    return app


def _refused(error: SolarFlowError) -> tuple[Response, int]:
    answer: dict[str, Any] = {"error": str(error)}
    if isinstance(error, FlowError):
        answer["problems"] = [problem.as_json() for problem in error.problems]
    status = 503 if isinstance(error, (OverloadedError, ConnectionLostError)) else 422
    return jsonify(answer), status


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    if request.path.startswith("/api/") or "html" not in request.headers.get("accept", ""):
        answer = jsonify({"error": error.description})
        answer.status_code = status
        return answer
    return overview.error_page(status, error.description or "")
