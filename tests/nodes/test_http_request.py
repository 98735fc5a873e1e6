"""What `http request` promises, against a web server of the test's own."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import ValidationError

from solarflow.testing import run_example


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        what = self.path.partition("?")[0].strip("/")
        headers = {"content-type": "text/plain"}
        status, content = 200, b""
        if what == "echo":
            told = {
                "method": self.command, "path": self.path, "body": body.decode(),
                "headers": {name.lower(): value for name, value in self.headers.items()},
            }  # fmt: skip
            content = json.dumps(told).encode()
        elif what == "missing":
            status, content = 404, b"not here"
        elif what == "moved":
            status, headers["location"] = 302, "/echo?moved=1"
        elif what == "round":
            status, headers["location"] = 302, "/round"
        elif what == "large":
            content = b"x" * 100_000
        elif what == "bytes":
            content = b"\xff\x00"
        elif what == "cookies":
            headers["set-cookie"] = "session=12; Path=/; HttpOnly"
        elif what == "slow":
            self.server.release.wait(10)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = answer  # noqa: N815 - the library's names

    def log_message(self, *_args):
        pass


@pytest.fixture(scope="module")
def server():
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    running.release = threading.Event()
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.server_address[1]}"
    running.release.set()
    running.shutdown()
    running.server_close()
    thread.join(5)


@pytest.fixture
def asking(node, server):
    """An `http request` towards the test's server: `asking("/echo", method="POST")`."""

    def make(path="/echo", **properties):
        return node("http request", url=server + path if path else "", **properties)

    return make


def echoed(bench):
    """What the server saw."""
    assert bench.errors == []
    return json.loads(bench.last["payload"])


def test_the_answer_comes_with_status_headers_and_address(asking, server):
    bench = asking("/echo?a=1")
    bench.input({"topic": "kept"})
    assert bench.last["statusCode"] == 200
    assert bench.last["responseUrl"] == f"{server}/echo?a=1"
    assert bench.last["headers"]["content-type"] == "text/plain"
    assert bench.last["topic"] == "kept"
    assert echoed(bench)["method"] == "GET"
    assert bench.status() == ""


@pytest.mark.parametrize(("ret", "payload"), [("txt", "\ufffd\x00"), ("bin", b"\xff\x00")])
def test_the_answer_is_text_or_bytes(asking, ret, payload):
    bench = asking("/bytes", ret=ret)
    bench.input({})
    assert bench.payloads == [payload]


def test_the_answer_may_be_the_value_of_its_json(asking):
    bench = asking(ret="obj")
    bench.input({})
    assert bench.last["payload"]["method"] == "GET"


def test_an_answer_that_is_no_json_stays_text_and_is_warned_about(asking):
    bench = asking("/missing", ret="obj")
    bench.input({})
    assert bench.payloads == ["not here"]
    assert "not JSON" in bench.logged[0]


def test_the_address_and_the_method_may_come_with_the_message(asking, server):
    bench = asking("", method="use")
    bench.input({"url": server.removeprefix("http://") + "/echo", "method": "put", "payload": "x"})
    assert (echoed(bench)["method"], echoed(bench)["body"]) == ("PUT", "x")


def test_the_address_may_be_a_template(asking):
    bench = asking("/echo?topic={{{topic}}}&n={{payload.n}}")
    bench.input({"topic": "a/b", "payload": {"n": 5}})
    assert echoed(bench)["path"] == "/echo?topic=a/b&n=5"


@pytest.mark.parametrize(
    ("payload", "body", "content_type"),
    [
        ({"a": "città"}, '{"a":"città"}', "application/json"),
        ([1], "[1]", "application/json"),
        ("text", "text", None),
        (b"bytes", "bytes", None),
        (5, "5", None),
    ],
)
def test_the_payload_is_the_body(asking, payload, body, content_type):
    bench = asking(method="POST")
    bench.feed(payload)
    assert echoed(bench)["body"] == body
    assert echoed(bench)["headers"].get("content-type") == content_type


def test_an_object_goes_as_a_form_where_the_header_says_so(asking):
    bench = asking(method="POST")
    bench.feed({"a": "x y", "b": [1, 2]}, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert echoed(bench)["body"] == "a=x+y&b=1&b=2"


def test_the_payload_of_a_get_is_its_query_on_request(asking):
    bench = asking("/echo?z=0", paytoqs="query")
    bench.feed({"a": "x y", "b": [1, 2]})
    assert echoed(bench)["path"] == "/echo?z=0&a=x+y&b=1&b=2"
    bench.feed("text")
    assert "must be an object" in bench.errors[0]


def test_headers_of_the_node_come_before_those_of_the_message(asking):
    rows = [
        {"keyType": "Accept", "keyValue": "", "valueType": "application/json", "valueValue": ""},
        {"keyType": "other", "keyValue": "X-One", "valueType": "other", "valueValue": "node"},
        {"keyType": "msg", "keyValue": "name", "valueType": "msg", "valueValue": "payload.n"},
        {"keyType": "other", "keyValue": "X-None", "valueType": "msg", "valueValue": "nothing"},
    ]
    bench = asking(headers=rows)
    bench.feed({"n": 5}, name="X-Two", headers={"x-one": "msg", "X-Three": "msg"})
    sent = echoed(bench)["headers"]
    assert (sent["accept"], sent["x-one"], sent["x-two"], sent["x-three"]) == ("application/json", "node", "5", "msg")
    assert "x-none" not in sent


def test_headers_that_another_request_received_are_not_sent_on_unless_changed(asking):
    bench = asking()
    bench.input({"headers": {"x-mine": "1"}})
    received = bench.last["headers"]
    bench.input({"headers": dict(received)})
    assert "content-type" not in echoed(bench)["headers"]
    bench.input({"headers": {**received, "x-mine": "2"}})
    assert echoed(bench)["headers"]["x-mine"] == "2"


def test_it_logs_in_with_user_and_password_or_a_token(asking):
    bench = asking(authType="basic", user="me", password="secret")
    bench.input({})
    assert echoed(bench)["headers"]["authorization"] == "Basic " + base64.b64encode(b"me:secret").decode()
    bench.configure(authType="bearer", user="", password="token")
    bench.input({})
    assert echoed(bench)["headers"]["authorization"] == "Bearer token"
    assert "token" not in repr(bench.node.config)


def test_cookies_are_sent_and_received(asking):
    bench = asking()
    bench.input({"cookies": {"a": "1", "b": {"value": "2"}, "c": None}})
    assert echoed(bench)["headers"]["cookie"] == "a=1; b=2"
    bench.configure(url=bench.node.config.url.replace("echo", "cookies"))
    bench.input({})
    assert bench.last["responseCookies"]["session"]["value"] == "12"


def test_redirects_are_followed_and_listed(asking, server):
    bench = asking("/moved")
    bench.input({})
    assert bench.last["responseUrl"] == f"{server}/echo?moved=1"
    assert bench.last["redirectList"] == [{"location": "/echo?moved=1"}]
    bench.input({"followRedirects": False})
    assert (bench.last["statusCode"], bench.last["headers"]["location"]) == (302, "/echo?moved=1")


def test_going_round_in_circles_ends_in_an_error(asking):
    bench = asking("/round")
    bench.input({})
    assert "redirects more than 21 times" in bench.errors[0]


def test_an_answer_with_another_status_is_an_answer(asking):
    bench = asking("/missing")
    bench.input({})
    assert bench.errors == []
    assert (bench.last["statusCode"], bench.last["payload"]) == (404, "not here")


def test_with_senderr_it_is_an_error_and_nothing_is_sent(asking, server):
    bench = asking("/missing", senderr=True)
    bench.input({})
    assert bench.sent == []
    assert bench.errors == [f"{server}/missing answered 404"]


def test_a_request_that_failed_is_an_error_and_is_sent_with_the_reason(node):
    bench = node("http request", url="http://127.0.0.1:1/")
    bench.input({})
    assert bench.errors == ["http://127.0.0.1:1/: nobody listens there (connection refused)"]
    assert bench.last["statusCode"] == "ECONNREFUSED"
    assert bench.last["payload"] == bench.errors[0]
    bench.configure(senderr=True)
    bench.input({})
    assert len(bench.errors) == 2
    assert len(bench.sent) == 1


def test_a_server_that_does_not_answer_in_time_is_an_error(asking):
    bench = asking("/slow")
    bench.input({"requestTimeout": 50})
    assert bench.last["statusCode"] == "ETIMEDOUT"
    assert "did not answer within 0.05 s" in bench.errors[0]


def test_an_answer_that_is_too_long_is_an_error(asking):
    bench = asking("/large", max_bytes=99_999)
    bench.input({})
    assert bench.last["statusCode"] == "ETOOBIG"
    assert "over 99999 bytes" in bench.errors[0]


@pytest.mark.parametrize(
    ("properties", "message", "text"),
    [
        ({}, {}, "no address to ask"),
        ({"url": "ftp://host/x"}, {}, "no address that can be asked"),
        ({"url": "http://"}, {}, "no address that can be asked"),
        ({"url": "h", "method": "use"}, {"method": "DANCE"}, "not one of GET"),
        ({"url": "h"}, {"headers": {"x": "a\nb"}}, "cannot be sent"),
        ({"url": "h", "method": "POST"}, {"payload": float("nan")}, ""),
    ],
)
def test_a_request_that_cannot_be_made_is_an_error(node, properties, message, text):
    bench = node("http request", properties)
    bench.input(message)
    assert bench.errors and text in bench.errors[0]


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        ({"authType": "digest"}, "use basic"),
        ({"proxy": "p1"}, "leave 'proxy' empty"),
        ({"url": "http://h/{{#a}}"}, "template"),
    ],
)
def test_properties_that_cannot_work_are_refused(node, properties, text):
    with pytest.raises(ValidationError, match=text):
        node("http request", properties)


def test_the_example_of_its_help_holds(registry):
    sent, expected = run_example(registry["http request"], registry["http request"].EXAMPLE)
    assert sent == expected
