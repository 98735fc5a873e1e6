"""The HTTP routes of flows: `http in` nodes answer requests that the web server's threads bring."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from solarflow.errors import ConnectionLostError, OverloadedError
from solarflow.services import AnswerHeaders, Cancel, HttpRequest

Response = tuple[int, AnswerHeaders, bytes]
ANSWER_WITHIN_S = 30.0
OWN_PATHS = ("/", "/_live", "/health", "/metrics", "/api/admin/*", "/static/*")
"""What SolarFlow answers itself, before any flow; `*` is all that lies below."""
_NAME = re.compile(r":(\w+)(\?)?")


@dataclass(eq=False)
class LiveRequest:
    """One request; the thread that brought it waits for the answer."""

    method: str
    url: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    answer: Response | None = None
    answered: threading.Event = field(default_factory=threading.Event)

    def respond(self, status: int, headers: AnswerHeaders, body: bytes) -> bool:
        """Answer; the first answer counts."""
        if self.answered.is_set():
            return False
        self.answer = (status, headers, body)
        self.answered.set()
        return True


@dataclass(frozen=True, slots=True)
class _Route:
    method: str
    url: str
    pattern: re.Pattern[str]
    handler: Callable[[HttpRequest], None]


def route_pattern(url: str) -> re.Pattern[str]:
    """Express's simple paths: `:name` is one part, `:name?` may be missing, `*` is anything; the last / is optional."""
    parts: list[str] = []
    for part in url.strip("/").split("/"):
        found = _NAME.fullmatch(part)
        if found:
            parts.append(f"(?:/(?P<{found[1]}>[^/]+))?" if found[2] else f"/(?P<{found[1]}>[^/]+)")
        elif part == "*":
            parts.append("/.*")
        elif part:
            parts.append("/" + re.escape(part))
    return re.compile("".join(parts) + "/?")


def is_own_path(url: str) -> bool:
    """Whether SolarFlow itself answers requests for `url`, so that no flow ever gets them."""
    path = "/" + url.strip("/")
    return any(path == own or (own[-1] == "*" and f"{path}/".startswith(own[:-1])) for own in OWN_PATHS)


def answered_by(method: str) -> tuple[str, ...]:
    """The methods of the routes that answer a request: what answers GET answers HEAD."""
    return ("HEAD", "GET") if method == "HEAD" else (method,)


class HttpRoutes:
    """The table of routes. Flows change it on the engine's thread, requests read it on their own."""

    def __init__(self, call: Callable[[Callable[[], None]], None]) -> None:
        """`call` runs a function on the engine's thread and waits for it."""
        self._call = call
        self._routes: tuple[_Route, ...] = ()

    def route(self, method: str, url: str, handler: Callable[[HttpRequest], None]) -> Cancel:
        """Answer requests for `url` until cancelled."""
        route = _Route(method.upper(), url, route_pattern(url), handler)
        self._routes = (*self._routes, route)

        def cancel() -> None:
            self._routes = tuple(other for other in self._routes if other is not route)

        return cancel

    @property
    def routes(self) -> list[tuple[str, str]]:
        """(method, url) of each."""
        return [(route.method, route.url) for route in self._routes]

    def methods(self, path: str) -> list[str]:
        """The methods that are answered at a path; none: nothing is there."""
        found = {route.method for route in self._routes if route.pattern.fullmatch(path)}
        return sorted(found | {"HEAD"} if "GET" in found else found)

    def handle(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> Response | None:
        """Let the flow answer; None where no flow answers this. The web server drops the body of one to HEAD.

        A flow that does not answer in time gives a 504, an engine without time a 503.
        """
        for route in self._routes:
            found = route.pattern.fullmatch(path)
            if found is None or route.method not in (*answered_by(method), "ALL"):
                continue
            params = {name: value for name, value in found.groupdict().items() if value is not None}
            request = LiveRequest(method, path, params, query, headers, body)
            try:
                self._call(lambda request=request, route=route: route.handler(request))  # type: ignore[misc]  # bound now
            except (OverloadedError, ConnectionLostError) as error:
                return 503, {"content-type": "text/plain; charset=utf-8", "retry-after": "5"}, str(error).encode()
            if not request.answered.wait(ANSWER_WITHIN_S):
                request.respond(
                    504,
                    {"content-type": "text/plain; charset=utf-8"},
                    f"the flow that answers {path} sent no answer in {ANSWER_WITHIN_S:g} s; "
                    "does each of its ways end in an http response?".encode(),
                )
            return request.answer
        return None
