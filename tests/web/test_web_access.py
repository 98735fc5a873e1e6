"""Who may come in, and what every answer carries for its safety."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from page_peers import TOKEN, FakeInstance
from werkzeug.test import TestResponse

HERE = {"REMOTE_ADDR": "127.0.0.1"}
ELSEWHERE = {"REMOTE_ADDR": "192.168.1.20"}


def get(client: FlaskClient, path: str = "/", *, remote: bool = False, host: str = "", **more: Any) -> TestResponse:
    named = host or ("solar.local:1880" if remote else "127.0.0.1:1880")
    headers = {"host": named, **more.pop("headers", {})}
    return client.open(path, environ_base=ELSEWHERE if remote else HERE, headers=headers, **more)


@pytest.mark.parametrize("host", ["127.0.0.1:1880", "localhost:1880", "[::1]:1880", "127.0.0.1"])
def test_this_machine_comes_in_by_any_of_its_own_names(client: FlaskClient, host: str) -> None:
    assert get(client, host=host).status_code == 200


def test_a_foreign_name_that_leads_here_is_refused(client: FlaskClient) -> None:
    answer = get(client, host="evil.example:1880")
    assert answer.status_code == 403
    assert answer.json == {"error": "'evil.example' is not a name of this server; open it as 127.0.0.1"}


@pytest.mark.parametrize("path", ["/", "/_live", "/health", "/metrics", "/api/produzione/", "/static/favicon.svg"])
def test_another_machine_needs_the_token(client: FlaskClient, path: str) -> None:
    assert get(client, path, remote=True).status_code == 403
    wrong = get(client, path, remote=True, headers={"authorization": "Bearer something else"})
    assert wrong.status_code == 403


@pytest.mark.parametrize(
    "header",
    [
        {"x-forwarded-for": "203.0.113.7"},
        {"x-forwarded-host": "solar.example"},
        {"x-forwarded-proto": "https"},
        {"x-real-ip": "203.0.113.7"},
        {"forwarded": "for=203.0.113.7"},
        {"via": "1.1 gate"},
        {"x-forwarded-for": "127.0.0.1"},
    ],
)
def test_what_a_proxy_on_this_machine_passes_on_needs_the_token(client: FlaskClient, header: dict[str, str]) -> None:
    answer = get(client, headers=header)
    assert answer.status_code == 403
    assert answer.json is not None
    assert answer.json["error"].startswith("through a proxy this needs the access token; open /?token=")
    assert get(client, headers={**header, "authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_the_link_with_the_token_lets_a_browser_in_through_a_proxy(client: FlaskClient) -> None:
    proxy = {"x-forwarded-for": "203.0.113.7", "x-forwarded-proto": "https"}
    answer = get(client, f"/?token={TOKEN}", host="solar.example", headers=proxy)
    assert answer.status_code == 302
    assert "Secure" in answer.headers["set-cookie"].split("; "), "TLS ends at the proxy"
    cookie = answer.headers["set-cookie"].partition(";")[0]
    shown = get(client, host="solar.example", headers={**proxy, "cookie": cookie})
    assert shown.status_code == 200


def test_another_machine_comes_in_with_the_token(client: FlaskClient) -> None:
    assert get(client, remote=True, headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_the_link_with_the_token_leaves_a_cookie_and_drops_the_token_from_the_address(client: FlaskClient) -> None:
    answer = get(client, f"/?token={TOKEN}", remote=True)
    assert (answer.status_code, answer.headers["location"]) == (302, "/")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"solarflow_access={TOKEN};")
    assert {"HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))
    assert get(client, remote=True).status_code == 200, "the browser keeps it"


def test_a_wrong_token_in_the_link_is_refused_even_here(client: FlaskClient) -> None:
    assert get(client, "/?token=wrong").status_code == 403


def test_a_flow_may_have_a_parameter_that_is_called_token(client: FlaskClient, instance: FakeInstance) -> None:
    instance.http.route("GET", "/hook", lambda request: request.respond(200, {}, request.query["token"].encode()))
    assert get(client, "/hook?token=the-webhook's").text == "the-webhook's"


def test_an_installation_without_a_token_lets_no_empty_one_in(client: FlaskClient, instance: FakeInstance) -> None:
    instance.token = ""
    assert get(client, "/?token=", remote=True).status_code == 403
    assert get(client, remote=True, headers={"authorization": "Bearer "}).status_code == 403


def test_administration_needs_the_token_on_this_machine_too(client: FlaskClient, instance: FakeInstance) -> None:
    assert get(client, "/api/admin/deploy", method="POST").status_code == 403
    assert instance.deployed == []
    answer = get(client, "/api/admin/deploy", method="POST", headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    assert instance.deployed == ["nodes"]


@pytest.mark.parametrize(
    "sent_by",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
    ],
)
def test_a_page_of_another_site_changes_nothing_even_with_the_cookie(
    client: FlaskClient, instance: FakeInstance, sent_by: dict[str, str]
) -> None:
    get(client, f"/?token={TOKEN}")
    answer = get(client, "/api/admin/deploy", method="POST", headers=sent_by)
    assert answer.status_code == 403
    assert instance.deployed == []


def test_a_page_of_our_own_may(client: FlaskClient, instance: FakeInstance) -> None:
    get(client, f"/?token={TOKEN}")
    ours = {"origin": "http://127.0.0.1:1880", "sec-fetch-site": "same-origin"}
    assert get(client, "/api/admin/deploy", method="POST", headers=ours).status_code == 200


@pytest.mark.parametrize("path", ["/", "/_live", "/health", "/nowhere", "/static/js/live.js"])
def test_every_answer_carries_the_security_headers(client: FlaskClient, path: str) -> None:
    answer = get(client, path)
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["script-src"] == "'self'"
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["object-src"] == "'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    answer.close()


def test_a_refusal_carries_them_too(client: FlaskClient) -> None:
    assert "content-security-policy" in get(client, remote=True).headers
