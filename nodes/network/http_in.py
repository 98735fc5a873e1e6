"""Answer HTTP requests with a flow.

Outputs
    payload: of a GET the query as an object; otherwise the body: an object for JSON and forms, text, or bytes.
    req (object): the request: method, url, params, query, headers, cookies, body.
    res: what an `http response` node needs to answer. Keep it in the message.

Details
    The path may have parts with a name: `/api/comandi/:home` gives `req.params.home`; `:home?` may be missing, `*` is
    anything.

    The paths of SolarFlow itself (/, /_live, /health, /metrics, and all below /api/admin/ and /static/) are refused.

    This node does not answer. Each way through the flow must end in an `http response` node; where none answers within
    30 seconds, the asker gets 504. Where the web server is off (`--no-web`) nobody can ask.

    A body that is no JSON though it says so is answered with 400 at once and does not enter the flow; so is NaN, and
    JSON deeper than 100. A body longer than `max_bytes` gets 413. Uploads (multipart) are not available: 415.

    A node for GET answers HEAD too: as the flow answers GET, without the body. `req.method` tells them apart.

    Requests from other machines need the access token, as the pages do.

Example
    `method`: get, `url`: /api/dashboard/.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal
from urllib.parse import parse_qsl

from pydantic import Field, field_validator

from solarflow.errors import NodeError
from solarflow.node import Example, Node, NodeRedConfig, Setup, at
from solarflow.services import AnswerHeaders, Cancel, HttpRequest
from solarflow.strict_json import read_json

MAX_FORM_FIELDS = 1000


class HttpAnswer:
    """What is in `msg.res`: the way back to whoever asked. Copies of a message share it."""

    __slots__ = ("_request",)

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    def __repr__(self) -> str:
        return f"<the answer to {self._request.method} {self._request.url}>"

    def send(self, status: int, headers: AnswerHeaders, body: bytes) -> bool:
        """Answer. False: somebody answered before, or nobody waits any more."""
        return self._request.respond(status, headers, body)


class _BadRequestError(Exception):
    """A request that is answered at once, with this status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class HttpIn(Node):
    """Begins a flow with each request."""

    type = "http in"
    category = "network"
    icon = "white-globe"
    color = "#e7e7ae"
    inputs = 0

    class Config(NodeRedConfig):
        """What to answer."""

        url: str
        """The path, such as /api/dashboard/ or /api/comandi/:home."""
        method: Literal["get", "post", "put", "patch", "delete"] = "get"
        """The method of the requests."""
        upload: bool = False
        """Node-RED's file upload; not available here, leave it off."""
        swagger_doc: str = Field(default="", alias="swaggerDoc")
        """Node-RED's documentation node; kept in the file, without effect."""
        skip_body_parsing: bool = Field(default=False, alias="skipBodyParsing")
        """Give the body as bytes, whatever it is."""
        max_bytes: int = Field(default=5_000_000, ge=0)
        """Longer bodies are refused."""

        @field_validator("url")
        @classmethod
        def _is_a_path(cls, value: str) -> str:
            if not value.strip() or any(mark in value for mark in "?#"):
                raise ValueError(f"'{value}' is not a path; write one such as /api/dashboard/, without '?' and '#'")
            return value if value.startswith("/") else f"/{value}"

        @field_validator("upload")
        @classmethod
        def _no_upload(cls, value: bool) -> bool:
            if value:
                raise ValueError("file uploads are not available; switch 'upload' off and send the file as the body")
            return value

    config: Config

    EXAMPLE = Example(
        text="A request with a query. An `http response` further on would answer it.",
        config={"method": "get", "url": "/api/dashboard/"},
        given=[at(0, method="GET", url="/api/dashboard/", query={"home": "casa_A"})],
        then=[at(0, payload={"home": "casa_A"})],
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._cancel: Cancel | None = None

    def on_start(self) -> None:
        """Begin to answer."""
        if self.services.http is None:
            raise NodeError("there is no web server here, so nobody can ask; start SolarFlow without --no-web")
        handler = self.entry(self._receive)
        self._cancel = self.services.http.route(self.config.method.upper(), self.config.url, handler)

    def on_stop(self) -> None:
        """Answer no more."""
        if self._cancel is not None:
            self._cancel()

    def _receive(self, request: HttpRequest) -> None:
        try:
            body = self._body(request)
        except _BadRequestError as error:
            answer = json.dumps({"error": str(error)}, ensure_ascii=False).encode()
            request.respond(error.status, {"content-type": "application/json; charset=utf-8"}, answer)
            return
        query = dict(request.query)
        headers = dict(request.headers)
        req = {
            "method": request.method, "url": request.url, "params": dict(request.params), "query": query,
            "headers": headers, "cookies": _cookies(headers.get("cookie", "")), "body": body,
        }  # fmt: skip
        payload = dict(query) if self.config.method == "get" else body
        self.send({"req": req, "res": HttpAnswer(request), "payload": payload})

    def _body(self, request: HttpRequest) -> Any:
        raw = request.body
        if len(raw) > self.config.max_bytes:
            raise _BadRequestError(413, f"the body has {len(raw)} bytes; at most {self.config.max_bytes} are taken")
        if self.config.skip_body_parsing:
            return raw
        media, _, parameters = request.headers.get("content-type", "text/plain").partition(";")
        kind = media.strip().lower()
        if kind == "application/json" or kind.endswith("+json"):
            return _read(raw, lambda text: read_json(text) if text.strip() else {}, "JSON")
        if kind == "application/x-www-form-urlencoded":
            return _read(raw, _form, "a form")
        if kind.startswith("multipart/"):
            raise _BadRequestError(415, "uploads in several parts are not taken; send the file as the body")
        if kind == "application/octet-stream" or not kind.startswith(("text/", "application/")):
            return raw
        charset = parameters.partition("charset=")[2].strip(" \"'") or "utf-8"
        try:
            return raw.decode(charset)
        except (UnicodeDecodeError, LookupError):
            return raw


def _read(raw: bytes, read: Callable[[str], Any], what: str) -> Any:
    try:
        return read(raw.decode())
    except UnicodeDecodeError:
        raise _BadRequestError(400, "the body is not UTF-8") from None
    except ValueError as error:
        raise _BadRequestError(400, f"the body cannot be read as {what}: {error}") from None


def _form(text: str) -> dict[str, Any]:
    """The fields of a form; one that comes several times is a list."""
    fields: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS):
        known = fields.get(name)
        fields[name] = value if known is None else [*known, value] if isinstance(known, list) else [known, value]
    return fields


def _cookies(header: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in header.split(";"))
    return {name.strip(): value.strip().strip('"') for name, equals, value in pairs if equals}
