"""Ask another web server.

Inputs
    url, method (string, optional): where the node leaves it open.
    payload: the body of a request other than GET: bytes and text as they are, everything else as JSON, or as a form
    where the header `content-type` says application/x-www-form-urlencoded.
    headers (object, optional): headers of the request; those of the node come first.
    cookies (object, optional): cookies to send: {"name": "value"} or {"name": {"value": "value"}}.
    requestTimeout (number, optional): milliseconds that the whole request may take.
    followRedirects (boolean, optional): false: answer with the redirect itself.
    rejectUnauthorized (boolean, optional): false: do not check the certificate of an https server.
Outputs
    payload: the answer: text, bytes, or the value of its JSON (`ret`).
    statusCode (number): the status of the answer; where there was none a text such as "ECONNREFUSED".
    headers (object), responseUrl (string), responseCookies (object), redirectList (list): what came with it.

Details
    The address may be a template: `api.example.org/{{{topic}}}`. Three braces put the value in as it is, two escape
    what HTML escapes. Without `http://` in front, that is assumed (https where `tls` is given).

    An answer with a status such as 404 is an answer. With `senderr` it, and a request that failed, go to `catch` nodes
    only. Without, a request that failed is an error and is sent on as well, with the reason as payload.

    Headers that another `http request` received are not sent with the next request, unless somebody changed them.

    The flow goes on while it waits. An answer longer than `max_bytes` is an error.

Example
    A server that is not there.
"""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Annotated, Any, Literal
from urllib.parse import urlencode, urlsplit

import urllib3
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from solarflow.errors import NodeError
from solarflow.http_fetch import Answer, Request, fetch
from solarflow.loose import to_text
from solarflow.message import MISSING, PropertyPath
from solarflow.mustache import nowhere, template
from solarflow.node import Example, Message, Node, NodeRedConfig, Secret, Setup, at, config_node
from solarflow.nodes.network.http_response import REQUEST_MARK, checked_headers, headers_mark, own_headers
from solarflow.nodes.network.tls_config import TlsConfig
from solarflow.units import PositiveSeconds

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
MAX_REDIRECTS = 21


class HeaderRow(BaseModel):
    """One header of the node, as Node-RED's editor writes it."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    key_type: str = Field(default="other", alias="keyType")
    key_value: str = Field(default="", alias="keyValue")
    value_type: str = Field(default="other", alias="valueType")
    value_value: str = Field(default="", alias="valueValue")


class HttpRequest(Node):
    """Sends a request and the answer on."""

    type = "http request"
    category = "network"
    icon = "white-globe"
    color = "#e7e7ae"
    waits = True

    class Config(NodeRedConfig):
        """What to ask whom."""

        method: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "use"] = "GET"
        """The method; use: the message's `method`."""
        ret: Literal["txt", "bin", "obj"] = "txt"
        """The answer as a text (txt), as bytes (bin), or as the value of its JSON (obj)."""
        pay_to_query: Literal["ignore", "query", "body"] = Field(default="ignore", alias="paytoqs")
        """The payload of a GET: do nothing with it, append it to the address as a query, or send it as a body."""
        url: str = ""
        """The address, or a template of it; empty: the message's `url`."""
        tls: Annotated[str, config_node("tls-config")] = ""
        """Certificates for https; empty: trust what this machine trusts."""
        persist: bool = False
        """Keep the connection open for the next request."""
        proxy: str = ""
        """Node-RED's proxy; not available here, leave it empty."""
        insecure_parser: bool = Field(default=False, alias="insecureHTTPParser")
        """Node-RED's tolerance for malformed answers; without effect."""
        auth_type: Literal["", "basic", "digest", "bearer"] = Field(default="", alias="authType")
        """How to log in: basic with `user` and `password`, bearer with a token in `password`; digest is refused."""
        user: Secret = Secret("")
        """Who logs in."""
        password: Secret = Secret("")
        """The password, or the token."""
        senderr: bool = False
        """Send failures, and answers with a status other than 2xx, to `catch` nodes only."""
        headers: tuple[HeaderRow, ...] = ()
        """Headers of the request: rows of keyType, keyValue, valueType, valueValue as Node-RED writes them."""
        timeout_s: PositiveSeconds = 120
        """How long the whole request may take."""
        max_bytes: int = Field(default=5_000_000, ge=0)
        """A longer answer is an error."""

        @model_validator(mode="before")
        @classmethod
        def _unset_is_default(cls, values: Any) -> Any:
            if not isinstance(values, dict):
                return values
            given = {name: value for name, value in values.items() if value not in ("", None)}
            if isinstance(given.get("paytoqs"), bool):
                given["paytoqs"] = "query" if given["paytoqs"] else "ignore"
            return given

        @field_validator("auth_type")
        @classmethod
        def _no_digest(cls, value: str) -> str:
            if value == "digest":
                raise ValueError("digest authentication is not available; use basic (over https) or bearer")
            return value

        @field_validator("proxy")
        @classmethod
        def _no_proxy(cls, value: str) -> str:
            if value:
                raise ValueError("requests through a proxy are not available; leave 'proxy' empty")
            return value

        @field_validator("url")
        @classmethod
        def _can_be_read(cls, value: str) -> str:
            try:
                template(value)
            except NodeError as error:
                raise ValueError(str(error)) from None
            return value

    config: Config

    EXAMPLE = Example(
        text="Nobody listens at port 1. The error goes to `catch` nodes, too.",
        config={"method": "GET", "url": "http://127.0.0.1:1/{{{topic}}}"},
        given=[at(0, topic="status")],
        then=[at(0, statusCode="ECONNREFUSED")],
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._pools: dict[bool, urllib3.PoolManager] = {}

    def on_stop(self) -> None:
        """Close what was kept open."""
        for pool in self._pools.values():
            pool.clear()

    def on_input(self, msg: Message) -> None:
        """Send a request; `finish` gets the answer."""
        request = self._request(msg)
        self.status("requesting", "blue")
        self.offload(fetch, self._pool(msg), request, then=self.finish, msg=msg)

    # -- the request --------------------------------------------------------------------------------------------

    def _request(self, msg: Message) -> Request:
        config = self.config
        method: str = config.method
        if method == "use":
            method = str(msg.get("method") or "GET").upper()
            if method not in METHODS:
                raise NodeError(f"the method {method[:20]!r} is not one of {', '.join(METHODS)}")
        url, payload = self._url(msg), msg.get("payload", MISSING)
        headers = {**checked_headers(own_headers(msg)), **checked_headers(dict(self._rows(msg)))}
        self._log_in(headers)
        cookies = _cookies(msg)
        if cookies:
            headers["cookie"] = cookies
        body = None
        if method == "GET" and config.pay_to_query == "query" and payload is not MISSING:
            if not isinstance(payload, dict):
                raise NodeError("the payload is to be the query of the address, so it must be an object")
            url += ("&" if "?" in url else "?") + urlencode(_pairs(payload), doseq=True)
        elif payload is not MISSING and (method not in ("GET", "HEAD") or config.pay_to_query == "body"):
            body = _body(payload, headers)
        follow = msg.get("followRedirects") is not False
        return Request(
            method, url, headers, body, timeout_s=self._timeout(msg), max_bytes=config.max_bytes,
            redirects=MAX_REDIRECTS if follow else 0, persist=config.persist,
        )  # fmt: skip

    def _url(self, msg: Message) -> str:
        url = self.config.url
        if "{{" in url:
            url = template(url).render(msg, nowhere)
        url = url or msg.get("url") or ""
        if not isinstance(url, str) or not url:
            raise NodeError("there is no address to ask; give the node a url, or the message one")
        if "://" not in url:
            url = ("https://" if self.config.tls else "http://") + url
        try:
            parts = urlsplit(url)
            known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            known = False
        if not known:
            raise NodeError(f"'{url[:200]}' is no address that can be asked; write http://host/path")
        return url

    def _rows(self, msg: Message) -> list[tuple[str, Any]]:
        """The node's own headers; a row whose name or value the message does not have is left out."""
        rows = []
        for row in self.config.headers:
            name, value = _named(row.key_type, row.key_value, msg), _named(row.value_type, row.value_value, msg)
            if isinstance(name, str) and name and value not in (MISSING, None, ""):
                rows.append((name, value if isinstance(value, str) else to_text(value)))
        return rows

    def _log_in(self, headers: dict[str, str]) -> None:
        user, password = self.config.user.get_secret_value(), self.config.password.get_secret_value()
        if self.config.auth_type == "bearer" and password:
            headers["authorization"] = f"Bearer {password}"
        elif self.config.auth_type != "bearer" and user:
            headers["authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def _timeout(self, msg: Message) -> float:
        given = msg.get("requestTimeout")
        if given is None:
            return self.config.timeout_s
        try:
            seconds = float(given) / 1000
        except (TypeError, ValueError):
            seconds = 0.0
        if not 0.001 <= seconds < float("inf"):
            self.warn(f"requestTimeout {given!r} is not a number of milliseconds; {self.config.timeout_s:g} s is taken")
            return self.config.timeout_s
        return seconds

    def _pool(self, msg: Message) -> urllib3.PoolManager:
        certificates = self.host.config_node(self, self.config.tls).config if self.config.tls else None
        if isinstance(certificates, TlsConfig.Config):
            verify, ca, cert, key = certificates.verify, certificates.ca, certificates.cert, certificates.key
        else:
            verify, ca, cert, key = msg.get("rejectUnauthorized") is not False, "", "", ""
        if verify not in self._pools:
            try:
                context = ssl.create_default_context(cafile=ca or None)
                if cert:
                    context.load_cert_chain(cert, key or None, password=lambda: b"")  # never ask at the console
            except (OSError, ssl.SSLError) as error:
                raise NodeError(f"the certificates cannot be used: {error}; give PEM files") from None
            if not verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            self._pools[verify] = urllib3.PoolManager(ssl_context=context)
        return self._pools[verify]

    # -- the answer ---------------------------------------------------------------------------------------------

    def finish(self, answer: Answer, msg: Message) -> None:
        """The answer, or what went wrong, is here."""
        if answer.failure:
            self.status(answer.failure[:80], "red", "ring")
            msg["payload"], msg["statusCode"] = answer.failure, answer.code
            self.error(answer.failure, msg)
            if not self.config.senderr:
                self.send(msg)
            return
        msg["statusCode"], msg["responseUrl"] = answer.status, answer.url
        msg["headers"] = {**answer.headers, REQUEST_MARK: headers_mark(answer.headers)}
        msg["responseCookies"] = _received_cookies(answer.headers.get("set-cookie", []))
        msg["redirectList"] = [{"location": location} for location in answer.redirects]
        msg.pop("error", None)
        msg["payload"] = self._payload(answer.body)
        if self.config.senderr and not 200 <= answer.status < 300:
            self.status(str(answer.status), "red", "ring")
            raise NodeError(f"{answer.url} answered {answer.status}")
        self.status("")
        self.send(msg)

    def _payload(self, body: bytes) -> Any:
        if self.config.ret == "bin":
            return body
        text = body.decode(errors="replace")
        if self.config.ret == "obj":
            try:
                return json.loads(text)
            except (ValueError, RecursionError):
                self.warn("the answer is not JSON; it is sent as text")
        return text


def _named(kind: str, value: str, msg: Message) -> Any:
    return value if kind == "other" else PropertyPath(value).get(msg) if kind == "msg" else kind


def _pairs(payload: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [
        (name, [to_text(item) for item in value] if isinstance(value, list) else to_text(value))
        for name, value in payload.items()
    ]


def _body(payload: Any, headers: dict[str, str]) -> bytes:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        raise NodeError("uploads in several parts are not available; send the file itself as the body")
    if isinstance(payload, (bytes, bytearray, memoryview)):
        return bytes(payload)
    if isinstance(payload, str):
        return payload.encode(errors="replace")
    if isinstance(payload, (int, float)) and not isinstance(payload, bool):
        return to_text(payload).encode()
    if kind == "application/x-www-form-urlencoded" and isinstance(payload, dict):
        return urlencode(_pairs(payload), doseq=True).encode()
    headers.setdefault("content-type", "application/json")
    try:
        return json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(errors="replace")
    except (ValueError, TypeError, RecursionError) as error:
        raise NodeError(f"the payload cannot be sent as JSON: {error}") from None


def _cookies(msg: Message) -> str:
    """The Cookie header for `msg.cookies`; null, which deletes a cookie in an answer, means nothing here."""
    cookies = msg.get("cookies")
    if not isinstance(cookies, dict):
        return ""
    jar: SimpleCookie = SimpleCookie()
    for name, given in cookies.items():
        value = given.get("value") if isinstance(given, dict) else given
        if value is not None:
            try:
                jar[name] = to_text(value)
            except CookieError as error:
                raise NodeError(f"the cookie {name!r} cannot be sent: {error}") from None
    return jar.output(attrs=[], header="", sep=";").strip()


def _received_cookies(lines: Any) -> dict[str, Any]:
    jar: SimpleCookie = SimpleCookie()
    for line in lines:
        try:
            jar.load(line)
        except CookieError:
            continue  # a malformed one of a server's many
    return {
        name: {"value": morsel.value, **{key: value for key, value in morsel.items() if value}}
        for name, morsel in jar.items()
    }
