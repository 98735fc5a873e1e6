"""Answer the request that an `http in` node began with.

Inputs
    payload: the body. An object or a list goes as JSON, bytes as they are, everything else as text.
    statusCode (number, optional): the status of the answer, if the node has none; otherwise 200.
    headers (object, optional): further headers; those of the node come first. A list of texts is a header for each.
    cookies (object, optional): cookies to set: {"name": "value"}, or an object with `value`, `path`, `domain`, `maxAge`
    (milliseconds), `httpOnly`, `secure`, `sameSite`; null deletes one.
    res: as `http in` made it.

Details
    As in Node-RED a text is sent as text/html unless a `content-type` header says otherwise. Scripts in it do not run:
    the server forbids them in every page. Do not put what others have sent into HTML without escaping it.

    The first answer counts. A further one is not sent, and a line in the log says so.

Example
    Answers `{"ok": true}` as JSON.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

from pydantic import Field, model_validator

from solarflow.errors import NodeError
from solarflow.message import MISSING
from solarflow.node import Example, Message, Node, NodeRedConfig, at
from solarflow.nodes.network.http_in import HttpAnswer

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SERVERS_OWN = ("content-length", "transfer-encoding", "connection", "keep-alive", "content-encoding")
"""Headers that the web server sets by itself."""
REQUEST_MARK = "x-node-red-request-node"
"""Among `msg.headers`: that they are what an `http request` node received."""


class HttpResponse(Node):
    """Answers."""

    type = "http response"
    category = "network"
    icon = "white-globe"
    color = "#e7e7ae"
    outputs = 0

    class Config(NodeRedConfig):
        """What to answer with."""

        status_code: int | None = Field(default=None, alias="statusCode", ge=200, le=599)
        """The status; empty: what the message says, or 200."""
        headers: dict[str, str] = {}
        """Headers of the answer."""

        @model_validator(mode="before")
        @classmethod
        def _unset_is_default(cls, values: Any) -> Any:
            return {k: v for k, v in values.items() if v not in ("", None)} if isinstance(values, dict) else values

        @model_validator(mode="after")
        def _headers_are_headers(self) -> HttpResponse.Config:
            try:
                checked_headers(self.headers)
            except NodeError as error:
                raise ValueError(str(error)) from None
            return self

    config: Config

    EXAMPLE = Example(
        text="A message that no `http in` began has nobody to answer to: that is a warning in the log.",
        config={"statusCode": "200"},
        given=[at(0, payload={"ok": True})],
        then=[],
    )

    def on_input(self, msg: Message) -> None:
        """Answer."""
        answer = msg.get("res")
        if not isinstance(answer, HttpAnswer):
            self.warn("a message without 'res' cannot be answered; keep the message that http in sent")
            return
        headers = {**_answer_headers(own_headers(msg)), **checked_headers(self.config.headers)}
        cookies = msg.get("cookies")
        if isinstance(cookies, dict) and cookies:
            others = headers.get("set-cookie", [])
            headers["set-cookie"] = [*([others] if isinstance(others, str) else others), *_cookie_headers(cookies)]
        content_type, body = _body(msg.get("payload", MISSING))
        headers.setdefault("content-type", content_type)
        if not answer.send(self._status(msg), headers, body):
            self.warn(f"{answer!r} was sent before; this one is ignored")

    def _status(self, msg: Message) -> int:
        status = self.config.status_code or msg.get("statusCode") or 200
        try:
            number = int(status)
        except (TypeError, ValueError):
            number = 0
        if not 200 <= number <= 599:
            raise NodeError(f"the status {status!r} of the answer is not a number from 200 to 599")
        return number


def headers_mark(headers: Mapping[str, Any]) -> str:
    """Tells received headers from those that somebody has changed or written."""
    text = json.dumps({k: v for k, v in headers.items() if k != REQUEST_MARK}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def own_headers(msg: Message) -> dict[str, Any]:
    """`msg.headers`, unless they are what an `http request` node received, unchanged."""
    headers = msg.get("headers")
    if not isinstance(headers, dict) or headers.get(REQUEST_MARK) == headers_mark(headers):
        return {}
    return {name: value for name, value in headers.items() if name != REQUEST_MARK}


def checked_headers(headers: Mapping[str, Any]) -> dict[str, str]:
    """Headers with lower-case names, without those that the server sets by itself.

    Raises NodeError for a name or value that would end the header, or begin another one.
    """
    checked = {}
    for name, value in headers.items():
        text = value if isinstance(value, str) else json.dumps(value)
        if not _NAME.fullmatch(name) or not text.isprintable() or not text.isascii():
            raise NodeError(f"the header {name!r}: {text[:60]!r} cannot be sent; use plain ASCII on one line")
        if name.lower() not in _SERVERS_OWN:
            checked[name.lower()] = text
    return checked


def _answer_headers(headers: Mapping[str, Any]) -> dict[str, str | list[str]]:
    """Checked headers; a list of texts is a header for each of them."""
    checked: dict[str, str | list[str]] = {}
    for name, value in headers.items():
        if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
            texts = [text for entry in value for text in checked_headers({name: entry}).values()]
            if texts:
                checked[name.lower()] = texts
        else:
            checked.update(checked_headers({name: value}))
    return checked


def _body(payload: Any) -> tuple[str, bytes]:
    """(content type, bytes) of a payload, as Node-RED sends it."""
    if payload is MISSING:
        return "text/plain; charset=utf-8", b""
    if isinstance(payload, str):
        return "text/html; charset=utf-8", payload.encode(errors="replace")
    if isinstance(payload, (bytes, bytearray, memoryview)):
        return "application/octet-stream", bytes(payload)
    try:
        text = json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (ValueError, TypeError, RecursionError) as error:
        raise NodeError(f"the payload cannot be answered as JSON: {error}") from None
    number = isinstance(payload, (int, float)) and not isinstance(payload, bool)
    return ("text/html" if number else "application/json") + "; charset=utf-8", text.encode(errors="replace")


def _cookie_headers(cookies: Mapping[str, Any]) -> list[str]:
    """The value of a Set-Cookie header for each cookie."""
    jar: SimpleCookie = SimpleCookie()
    for name, given in cookies.items():
        options = given if isinstance(given, dict) else {"value": given}
        value = options.get("value")
        try:
            jar[name] = "" if value is None else str(value)
        except CookieError as error:
            raise NodeError(f"the cookie {name!r} cannot be set: {error}") from None
        morsel = jar[name]
        morsel["path"] = str(options.get("path", "/"))
        if value is None:
            morsel["max-age"] = 0
        elif "maxAge" in options:
            morsel["max-age"] = int(float(options["maxAge"]) / 1000)
        for ours, theirs in (("domain", "domain"), ("expires", "expires"), ("sameSite", "samesite")):
            if options.get(ours):
                morsel[theirs] = str(options[ours])
        for ours, theirs in (("httpOnly", "httponly"), ("secure", "secure")):
            if options.get(ours):
                morsel[theirs] = True
    headers = [morsel.OutputString() for morsel in jar.values()]
    for header in headers:
        checked_headers({"set-cookie": header})
    return headers
