"""The web server: cheroot around the Flask app, in a thread, with an end that open streams cannot hold up."""

from __future__ import annotations

import logging
import socket
import threading
from ipaddress import ip_address

from cheroot.wsgi import Server

from solarflow.errors import UsageError
from solarflow.instance import Instance
from solarflow.web.app import create_app
from solarflow.web.streams import MAX_STREAMS, Streams

log = logging.getLogger("solarflow.web")
THREADS = MAX_STREAMS + 16
"""Each open stream keeps a thread; the rest answer requests."""


class WebServer:
    """Serves an instance. `bind`, then `start`; `stop_streams` before the instance stops, `stop` at the end."""

    def __init__(self, instance: Instance, host: str, port: int, *, pages: bool = True) -> None:
        self.host = host
        self.port = port
        self.streams = Streams()
        self.app = create_app(instance, self.streams, pages=pages, host=host)
        self._server = Server((host, port), self.app, numthreads=THREADS, server_name="solarflow", shutdown_timeout=1)
        self._thread: threading.Thread | None = None

    @property
    def local_only(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def url(self) -> str:
        """The address to open on this machine."""
        host = self.host if self.local_only else socket.gethostname()
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def bind(self) -> None:
        """Take the port. Raises UsageError where the address is none of this machine, or somebody else has the port."""
        try:
            self._server.prepare()
        except OSError as error:
            wrong = _refusal(self.host, 0)
            if wrong is not None:
                raise UsageError(
                    f"the pages cannot listen on {self.host}: {wrong.strerror or wrong}; name an address of this "
                    "machine with --host (127.0.0.1 for this machine alone, 0.0.0.0 for all of its addresses)"
                ) from error
            reason = _refusal(self.host, self.port) or error
            raise UsageError(
                f"the pages cannot listen on {self.host}:{self.port}: {reason.strerror or reason}; "
                "stop what listens there, or choose another with --port (0 takes a free one)"
            ) from error
        self.port = self._server.bind_addr[1]

    def start(self) -> None:
        """Begin to answer."""
        self._thread = threading.Thread(target=self._server.serve, name="web", daemon=True)
        self._thread.start()

    def stop_streams(self) -> None:
        """End every open stream, so that none holds up the end."""
        self.streams.close()

    def stop(self) -> None:
        """Stop answering, and give the port free."""
        self.streams.close()
        self._server.stop()
        if self._thread is not None:
            self._thread.join(2)
            self._thread = None


def _refusal(host: str, port: int) -> OSError | None:
    """Why nobody could listen there; the web server's own error does not say whether address or port is at fault."""
    try:
        family, kind, protocol, _name, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(address)
    except OSError as error:
        return error
    return None
