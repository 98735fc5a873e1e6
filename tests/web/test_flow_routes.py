"""What the web server makes of a flow's answers."""

import pytest
from flask import Flask
from flask.testing import FlaskClient
from page_peers import FakeInstance

from solarflow.http_routes import OWN_PATHS, is_own_path
from solarflow.services import HttpRequest


@pytest.fixture
def asked(instance: FakeInstance) -> list[str]:
    """A flow that answers GET /a with a text and two cookies; the methods that it was asked with."""
    methods: list[str] = []

    def answer(request: HttpRequest) -> None:
        methods.append(request.method)
        request.respond(200, {"content-type": "text/plain", "x-one": "1", "set-cookie": ["a=1", "b=2"]}, b"sunny")

    instance.http.route("GET", "/a", answer)
    return methods


def test_head_is_answered_as_get_without_the_body(client: FlaskClient, asked: list[str]) -> None:
    answer = client.head("/a")
    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.headers["content-length"] == "5"
    assert asked == ["HEAD"]


def test_head_of_a_path_that_only_takes_posts_is_not_allowed(client: FlaskClient, instance: FakeInstance) -> None:
    instance.http.route("POST", "/b", lambda request: request.respond(200, {}, b""))
    answer = client.head("/b")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_a_method_that_is_not_answered_is_told_which_are(client: FlaskClient, asked: list[str]) -> None:
    answer = client.post("/a")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_a_flow_may_set_several_cookies(client: FlaskClient, asked: list[str]) -> None:
    answer = client.get("/a")
    assert answer.headers.getlist("set-cookie") == ["a=1", "b=2"]
    assert answer.headers.getlist("x-one") == ["1"]


def test_the_list_of_our_own_paths_is_what_the_web_server_answers(app: Flask) -> None:
    ours = [rule.rule for rule in app.url_map.iter_rules() if not rule.endpoint.startswith("flows")]
    assert [path for path in ours if not is_own_path(path)] == [], "a flow could have it, and would never be asked"
    for own in OWN_PATHS:
        assert any(path == own or path.startswith(own[:-1]) for path in ours), f"nothing is at {own} any more"
