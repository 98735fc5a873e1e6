"""Who may come in: this machine; others with the access token. And what every answer carries for its safety.

A proxy on this machine connects from 127.0.0.1 for visitors from anywhere, so what a proxy passes on is never taken for
this machine's own.
"""

from __future__ import annotations

import hmac
from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import Flask, Response, abort, redirect, request

from solarflow.instance import Instance

COOKIE = "solarflow_access"
ENTRANCE = "/"
"""The page whose `?token=` lets a browser in. Everywhere else a parameter of that name belongs to a flow."""
PROXY_HEADERS = ("forwarded", "via", "x-real-ip")
"""Headers that proxies add, besides all that begin with X-Forwarded."""
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


def is_loopback(address: str | None) -> bool:
    """Whether an address, or a host name of a Host header, is this machine's own."""
    if not address:
        return False
    if address == "localhost":
        return True
    try:
        return ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False


def install(app: Flask, instance: Instance, host: str) -> None:
    """Check every request and mark every answer."""

    def has_token() -> bool:
        header = request.headers.get("authorization", "")
        given = header[7:] if header.lower().startswith("bearer ") else request.cookies.get(COOKIE, "")
        return bool(instance.token) and hmac.compare_digest(given.encode(), instance.token.encode())

    def check() -> Response | None:
        named = urlsplit(f"//{request.host}").hostname or ""
        offered = request.args.get("token")
        if offered is not None and request.method == "GET" and request.path == ENTRANCE:
            return _take_token(instance, offered)
        if not has_token():
            if not is_loopback(request.remote_addr):
                abort(403, f"from another machine this needs the access token; {_WAY_IN}")
            if _through_a_proxy():
                abort(403, f"through a proxy this needs the access token; {_WAY_IN}")
            # A page elsewhere that makes its own name lead here (DNS rebinding) would come with that name.
            if not is_loopback(named) and named != host:
                abort(403, f"'{named}' is not a name of this server; open it as 127.0.0.1")
            if request.path.startswith("/api/admin/"):
                abort(403, "this needs the access token in the data folder")
        if request.method not in SAFE_METHODS and _from_elsewhere():
            abort(403, "a page of another site may not change anything here")
        return None

    def mark(response: Response) -> Response:
        headers = response.headers
        headers.setdefault("content-security-policy", CONTENT_SECURITY_POLICY)
        headers.setdefault("x-content-type-options", "nosniff")
        headers.setdefault("referrer-policy", "same-origin")
        headers.setdefault("cross-origin-opener-policy", "same-origin")
        return response

    app.before_request(check)
    app.after_request(mark)


_WAY_IN = "open /?token=… once in this browser (it is in the data folder, in the file access-token)"


def _through_a_proxy() -> bool:
    """Whether somebody else may have sent this, through a proxy that connects from here.

    The protocol tells too: browsers and commands have long spoken HTTP/1.1, but nginx 1.0 unless told otherwise.
    """
    if request.environ.get("SERVER_PROTOCOL") == "HTTP/1.0":
        return True
    names = (name.lower() for name, _value in request.headers.items())
    return any(name in PROXY_HEADERS or name.startswith("x-forwarded") for name in names)


def _from_elsewhere() -> bool:
    """Whether a browser says that another site's page sends this."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.host


def _take_token(instance: Instance, offered: str) -> Response:
    if not instance.token or not hmac.compare_digest(offered.encode(), instance.token.encode()):
        abort(403, "this access token is not the one of this installation")
    answer = redirect(request.path)
    secure = request.is_secure or request.headers.get("x-forwarded-proto") == "https"
    answer.set_cookie(COOKIE, instance.token, httponly=True, samesite="Strict", secure=secure)
    assert isinstance(answer, Response)  # noqa: S101 - redirect's declared type is werkzeug's wider one
    return answer
