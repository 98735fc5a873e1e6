"""Requests that flows answer: whatever no page has, goes to the `http in` nodes."""

from __future__ import annotations

from flask import Flask, Response, abort, request

from solarflow.instance import Instance
from solarflow.web.access import COOKIE

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def _headers(token: str) -> dict[str, str]:
    """The request's headers without what opens this installation: a flow may show them to anybody."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    if token and token in headers.get("authorization", ""):
        del headers["authorization"]
    cookies = [f"{name}={value}" for name, value in request.cookies.items() if name != COOKIE]
    if cookies:
        headers["cookie"] = "; ".join(cookies)
    else:
        headers.pop("cookie", None)
    return headers


def install(app: Flask, instance: Instance) -> None:
    """Add the route that matches where no other does."""

    @app.route("/", defaults={"path": ""}, methods=METHODS, endpoint="flows_root")
    @app.route("/<path:path>", methods=METHODS, endpoint="flows")
    def ask_flow(path: str) -> Response:
        url = f"/{path}"
        answer = instance.http.handle(
            request.method,
            url,
            request.args.to_dict(),
            _headers(instance.token),
            request.get_data(),
        )
        if answer is None:
            others = instance.http.methods(url)
            if others:
                response = Response(f"{url} answers {', '.join(others)}\n", 405, mimetype="text/plain")
                response.headers["allow"] = ", ".join(others)
                return response
            abort(404, f"nothing is at {url}")
        status, headers, body = answer
        response = Response(body, status)
        for name, value in headers.items():
            if isinstance(value, str):
                response.headers[name] = value
            else:
                response.headers.setlist(name, value)
        # Another site's script may not be run from an answer of a flow.
        response.headers.setdefault("content-type", "text/plain; charset=utf-8")
        return response
