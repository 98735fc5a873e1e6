"""The web server: it serves, and nothing that is open holds up its end."""

import socket
import threading
import time
from contextlib import ExitStack

import pytest
from page_peers import FakeInstance

from solarflow.errors import UsageError
from solarflow.web.server import WebServer

END_S = 2.0


def open_stream(port: int) -> socket.socket:
    """A viewer that has received its first event."""
    viewer = socket.create_connection(("127.0.0.1", port), timeout=10)
    viewer.sendall(b"GET /_live HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: text/event-stream\r\n\r\n")
    got = b""
    while b"event: overview" not in got:
        piece = viewer.recv(65536)
        assert piece, got
        got += piece
    return viewer


def until_closed(viewer: socket.socket) -> None:
    while viewer.recv(65536):
        pass


def test_a_proxy_that_says_nothing_of_itself_is_known_by_its_old_protocol(server: WebServer) -> None:
    for protocol, status in (("1.0", b"403"), ("1.1", b"200")):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as proxy:  # as nginx's bare proxy_pass
            proxy.sendall(f"GET / HTTP/{protocol}\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n".encode())
            assert proxy.recv(64).split(b" ")[1] == status


def test_the_end_does_not_wait_for_open_streams(server: WebServer) -> None:
    with ExitStack() as stack:
        viewers = [stack.enter_context(open_stream(server.port)) for _ in range(5)]
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < END_S
        for viewer in viewers:
            until_closed(viewer)
    assert server.streams.open == 0


def test_the_end_does_not_wait_for_a_visitor_who_says_nothing(server: WebServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as visitor:
        visitor.sendall(b"GET / HTTP/1.1\r\n")
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < END_S


def test_the_port_is_free_after_the_end(server: WebServer, instance: FakeInstance) -> None:
    server.stop()
    again = WebServer(instance, "127.0.0.1", server.port)
    again.bind()
    again.stop()


def test_a_port_that_somebody_has_is_one_clear_error(server: WebServer, instance: FakeInstance) -> None:
    with pytest.raises(UsageError, match=rf"cannot listen on 127\.0\.0\.1:{server.port}.*choose another with --port"):
        WebServer(instance, "127.0.0.1", server.port).bind()


def test_pages_are_answered_while_as_many_as_may_look_on(server: WebServer) -> None:
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(open_stream(server.port))
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as visitor:
            visitor.sendall(b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
            assert visitor.recv(64).startswith(b"HTTP/1.1 200")
        closing = threading.Thread(target=server.stop_streams)
        closing.start()
        closing.join(END_S)
        assert not closing.is_alive()
