"""One HTTP request from beginning to end, for threads that may wait; what goes wrong is told in words."""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3 import exceptions


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it goes out."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    timeout_s: float
    max_bytes: int
    redirects: int
    persist: bool
    """Whether the connection is kept for the next request."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it. `failure` says why nothing did, `code` in one word."""

    status: int = 0
    url: str = ""
    headers: Mapping[str, Any] = field(default_factory=dict)
    body: bytes = b""
    redirects: tuple[str, ...] = ()
    code: str = ""
    failure: str = ""


def fetch(pool: urllib3.PoolManager, request: Request) -> Answer:
    """Send a request and read the answer; blocks. What goes wrong on the way is told in the answer."""
    clock = urllib3.Timeout(total=request.timeout_s)
    clock.start_connect()
    retries = urllib3.Retry(
        total=None, connect=0, read=0, status=0, other=0, redirect=request.redirects, raise_on_redirect=True
    )
    try:
        response = pool.request(
            request.method, request.url, body=request.body, headers=dict(request.headers), retries=retries,
            timeout=urllib3.Timeout(total=request.timeout_s), redirect=bool(request.redirects), preload_content=False,
        )  # fmt: skip
        body = bytearray()
        for chunk in response.stream(65536):
            body += chunk
            if len(body) > request.max_bytes:
                response.close()
                return Answer(code="ETOOBIG", failure=f"{request.url}: the answer is over {request.max_bytes} bytes")
            left = clock.read_timeout
            if isinstance(left, (int, float)) and left <= 0:  # a server that sends a byte now and then
                response.close()
                return _too_late(request)
        if request.persist:
            response.release_conn()
        else:
            response.close()
    except exceptions.TimeoutError:
        return _too_late(request)
    except exceptions.MaxRetryError as error:
        return _failure(request, error.reason or error)
    except (exceptions.HTTPError, OSError, UnicodeError, binascii.Error) as error:
        return _failure(request, error)
    history = response.retries.history if response.retries is not None else ()
    received: dict[str, Any] = {name.lower(): value for name, value in response.headers.items()}
    if "set-cookie" in received:
        received["set-cookie"] = response.headers.getlist("set-cookie")
    redirects = tuple(step.redirect_location for step in history if step.redirect_location)
    final = response.url or request.url
    if final.startswith("/"):  # after a redirect without a host
        parts = urlsplit(request.url)
        final = f"{parts.scheme}://{parts.netloc}{final}"
    return Answer(response.status, final, received, bytes(body), redirects)


def _too_late(request: Request) -> Answer:
    return Answer(code="ETIMEDOUT", failure=f"{request.url} did not answer within {request.timeout_s:g} s")


def _failure(request: Request, error: BaseException) -> Answer:
    if isinstance(error, exceptions.TimeoutError) and not isinstance(error, exceptions.NewConnectionError):
        return _too_late(request)
    if isinstance(error, exceptions.ResponseError):
        return Answer(code="ETOOMANYREDIRECTS", failure=f"{request.url} redirects more than {request.redirects} times")
    if isinstance(error, exceptions.NameResolutionError):
        return Answer(code="ENOTFOUND", failure=f"{request.url}: the name of the host is not known")
    cause = error.__cause__ or error.__context__ or error
    if isinstance(error, exceptions.NewConnectionError):
        refused = "refused" in str(error)
        what = "nobody listens there (connection refused)" if refused else str(cause)
        return Answer(code="ECONNREFUSED" if refused else "ECONNFAILED", failure=f"{request.url}: {what}")
    if isinstance(error, exceptions.SSLError):
        return Answer(code="ECERT", failure=f"{request.url}: the encrypted connection failed: {error}")
    return Answer(code="ECONNRESET", failure=f"{request.url}: {error}")
