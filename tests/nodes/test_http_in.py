"""What `http in` and `http response` promise, one after the other as in a flow."""

import json
import threading

import pytest
from pydantic import ValidationError

from solarflow.flowbench import FlowBench
from solarflow.http_routes import HttpRoutes
from solarflow.testing import run_example


@pytest.fixture
def answering():
    """A flow of `http in` -> `http response` -> its bench: `answering(method="post", response={...})`."""

    def make(response=None, between=(), **properties) -> FlowBench:
        return FlowBench(
            [
                {"id": "tab", "type": "tab", "label": "t"},
                {"id": "in", "type": "http in", "z": "tab", "url": "/a", "wires": [["out"]], **properties},
                {"id": "out", "type": "http response", "z": "tab", "wires": [], **(response or {})},
                {"id": "again", "type": "http response", "z": "tab", "wires": []},
                *between,
            ]
        )

    return make


def ask(bench, method="POST", body=b"", url="/a", **more):
    return bench.http.request(method, url, body=body, **more)


def seen_by_response(bench):
    (seen,) = bench.messages("out")
    return seen.msg


def test_the_payload_of_a_get_is_its_query(answering):
    bench = answering(method="get")
    request = ask(bench, "GET", query={"home": "casa_A"})
    assert request.answer == (200, {"content-type": "application/json; charset=utf-8"}, b'{"home":"casa_A"}')


def test_head_is_answered_as_get_and_the_flow_can_tell(answering):
    bench = answering(method="get")
    request = ask(bench, "HEAD", query={"home": "casa_A"}, route="/a")
    assert request.answer[2] == b'{"home":"casa_A"}', "the web server drops it"
    assert seen_by_response(bench)["req"]["method"] == "HEAD"


def test_the_request_is_in_msg_req(answering):
    bench = answering(method="get", url="/api/homes/:home")
    ask(
        bench, "GET", url="/api/homes/casa_A", route="/api/homes/:home", params={"home": "casa_A"},
        query={"day": "1"}, headers={"cookie": 'a=1; b="two"'},
    )  # fmt: skip
    req = seen_by_response(bench)["req"]
    assert req == {
        "method": "GET", "url": "/api/homes/casa_A", "params": {"home": "casa_A"}, "query": {"day": "1"},
        "headers": {"cookie": 'a=1; b="two"'}, "cookies": {"a": "1", "b": "two"}, "body": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content_type", "body", "payload"),
    [
        ("application/json", b'{"casa": "A"}', {"casa": "A"}),
        ("application/json; charset=utf-8", b"[1]", [1]),
        ("application/vnd.api+json", b"{}", {}),
        ("application/json", b"", {}),
        ("application/x-www-form-urlencoded", b"a=1&b=&c=x%20y&c=z", {"a": "1", "b": "", "c": ["x y", "z"]}),
        ("text/plain", "città".encode(), "città"),
        ("text/plain; charset=latin-1", "città".encode("latin-1"), "città"),
        ("application/xml", b"<a/>", "<a/>"),
        ("application/pdf", b"\xff\xfe", b"\xff\xfe"),
        ("application/octet-stream", b"text", b"text"),
        ("image/png", b"text", b"text"),
        (None, b"text", "text"),
    ],
)
def test_a_body_is_read_by_its_content_type(answering, content_type, body, payload):
    bench = answering(method="post")
    ask(bench, body=body, headers={"content-type": content_type} if content_type else {})
    assert seen_by_response(bench)["payload"] == payload


def test_the_body_can_be_left_as_it_is(answering):
    bench = answering(method="post", skipBodyParsing=True)
    ask(bench, body=b"{}", headers={"content-type": "application/json"})
    assert seen_by_response(bench)["payload"] == b"{}"


@pytest.mark.parametrize(
    ("content_type", "body", "status", "text"),
    [
        ("application/json", b'{"casa":', 400, "cannot be read as JSON"),
        ("application/json", b'{"w": NaN}', 400, "NaN"),
        ("application/json", b"[" * 101 + b"]" * 101, 400, "deeper than 100"),
        ("application/json", b"\xff", 400, "not UTF-8"),
        ("application/x-www-form-urlencoded", b"&".join(b"a=1" for _ in range(2000)), 400, "cannot be read as a form"),
        ("multipart/form-data; boundary=x", b"", 415, "send the file as the body"),
        ("text/plain", b"x" * 101, 413, "at most 100"),
    ],
)
def test_a_body_that_cannot_be_read_is_answered_at_once(answering, content_type, body, status, text):
    bench = answering(method="post", max_bytes=100 if status == 413 else 10_000)
    request = ask(bench, body=body, headers={"content-type": content_type})
    answered, headers, raw = request.answer
    assert (answered, headers["content-type"]) == (status, "application/json; charset=utf-8")
    assert text in json.loads(raw)["error"]
    assert bench.messages("out") == []


@pytest.mark.parametrize(
    ("payload", "content_type", "body"),
    [
        ({"a": [1, "città"]}, "application/json; charset=utf-8", '{"a":[1,"città"]}'.encode()),
        ([], "application/json; charset=utf-8", b"[]"),
        (None, "application/json; charset=utf-8", b"null"),
        (True, "application/json; charset=utf-8", b"true"),
        ("<b>hi</b>", "text/html; charset=utf-8", b"<b>hi</b>"),
        (5, "text/html; charset=utf-8", b"5"),
        (b"\x00", "application/octet-stream", b"\x00"),
    ],
)
def test_an_answer_has_the_content_type_of_its_payload(answering, payload, content_type, body):
    bench, request = waiting(answering)
    bench.inject("out", {**request.msg, "payload": payload})
    assert request.answer == (200, {"content-type": content_type}, body)


def waiting(answering, response=None):
    """A request that the flow has not answered yet; `request.msg` is the message."""
    bench = answering(method="get", wires=[["hold"]], response=response, between=[
        {"id": "hold", "type": "debug", "z": "tab", "wires": []},
    ])  # fmt: skip
    request = ask(bench, "GET")
    return bench, _Waiting(request, bench.messages("hold")[0].msg)


class _Waiting:
    def __init__(self, request, msg):
        self.request, self.msg = request, msg

    @property
    def answer(self):
        return self.request.answer


def test_status_and_headers_come_from_the_node_then_from_the_message(answering):
    bench, request = waiting(answering, {"statusCode": "201", "headers": {"X-One": "node"}})
    bench.inject("out", {**request.msg, "statusCode": 404, "headers": {"x-one": "msg", "X-Two": "msg"}, "payload": ""})
    status, headers, _ = request.answer
    assert status == 201
    assert headers == {"x-one": "node", "x-two": "msg", "content-type": "text/html; charset=utf-8"}


def test_the_message_may_say_status_and_content_type(answering):
    bench, request = waiting(answering)
    bench.inject("out", {**request.msg, "statusCode": 404, "headers": {"Content-Type": "text/plain"}, "payload": "no"})
    assert request.answer == (404, {"content-type": "text/plain"}, b"no")


def test_a_copy_of_the_message_shares_the_way_back_and_the_first_answer_counts(answering):
    bench = answering(method="get", wires=[["out", "again"]])
    request = ask(bench, "GET", query={"a": "1"})
    assert request.answer[2] == b'{"a":"1"}'
    assert any("was sent before" in line for line in bench.logged)


def test_a_message_without_res_is_a_warning(answering):
    bench = answering()
    bench.inject("out", {"payload": 1})
    assert "keep the message that http in sent" in bench.logged[-1]
    assert bench.errors == []


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"statusCode": 99}, "status 99"),
        ({"statusCode": "no"}, "status 'no'"),
        ({"headers": {"x": "a\r\nset-cookie: b=1"}}, "cannot be sent"),
        ({"headers": {"x y": "a"}}, "cannot be sent"),
        ({"headers": {"set-cookie": ["a=1", "b=2\r\nx: 1"]}}, "cannot be sent"),
        ({"payload": {"w": float("nan")}}, "as JSON"),
    ],
)
def test_an_answer_that_cannot_be_sent_is_an_error(answering, message, text):
    bench, request = waiting(answering)
    bench.inject("out", {**request.msg, **message})
    assert text in bench.errors[0].text
    assert request.answer is None


@pytest.mark.parametrize(
    ("cookies", "header"),
    [
        ({"name": "nick"}, "name=nick; Path=/"),
        ({"session": {"value": "12", "maxAge": 900000, "httpOnly": True}}, "session=12; HttpOnly; Max-Age=900; Path=/"),
        ({"name": None}, 'name=""; Max-Age=0; Path=/'),
    ],
)  # fmt: skip
def test_a_cookie_is_set_or_deleted(answering, cookies, header):
    bench, request = waiting(answering)
    bench.inject("out", {**request.msg, "cookies": cookies})
    assert request.answer[1]["set-cookie"] == [header]


def test_several_cookies_are_set_each_by_a_header_of_its_own(answering):
    bench, request = waiting(answering)
    headers = {"Set-Cookie": ["a=1", "b=2"]}
    bench.inject("out", {**request.msg, "headers": headers, "cookies": {"c": "3", "d": None}})
    expected = ["a=1", "b=2", "c=3; Path=/", 'd=""; Max-Age=0; Path=/']
    assert request.answer[1]["set-cookie"] == expected


def test_a_header_that_comes_several_times_is_a_list(answering):
    bench, request = waiting(answering)
    bench.inject("out", {**request.msg, "headers": {"Link": ["</a>", "</b>"], "X-Numbers": [1, 2]}})
    assert request.answer[1]["link"] == ["</a>", "</b>"]
    assert request.answer[1]["x-numbers"] == "[1, 2]"


def test_the_route_ends_with_the_node(node):
    bench = node("http in", url="a", method="put")
    assert list(bench.http.routes) == [("PUT", "/a")]
    bench.configure(url="/b")
    assert list(bench.http.routes) == [("PUT", "/b")]
    bench.remove()
    assert bench.http.routes == {}


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        ({"url": ""}, "is not a path"),
        ({"url": "/a?b=1"}, "is not a path"),
        ({"url": "/a", "upload": True}, "send the file as the body"),
        ({"url": "/a", "method": "trace"}, "method"),
    ],
)
def test_properties_that_cannot_work_are_refused(node, properties, text):
    with pytest.raises(ValidationError, match=text):
        node("http in", properties)


@pytest.mark.parametrize("type_", ["http in", "http response"])
def test_the_example_of_its_help_holds(registry, type_):
    sent, expected = run_example(registry[type_], registry[type_].EXAMPLE)
    assert sent == expected


def test_a_request_of_another_thread_is_answered_through_the_table_of_routes(answering):
    bench = answering(method="post", url="/api/homes/:home")
    lock = threading.Lock()

    def on_engine(function):
        with lock:
            function()

    routes = HttpRoutes(on_engine)
    handler = bench.http.routes[("POST", "/api/homes/:home")]
    routes.route("POST", "/api/homes/:home", handler)
    answers = []
    asking = threading.Thread(
        target=lambda: answers.append(
            routes.handle("POST", "/api/homes/casa_A/", {}, {"content-type": "application/json"}, b'{"w": 1}')
        )
    )
    asking.start()
    asking.join(5)
    assert answers == [(200, {"content-type": "application/json; charset=utf-8"}, b'{"w":1}')]
    assert seen_by_response(bench)["req"]["params"] == {"home": "casa_A"}
