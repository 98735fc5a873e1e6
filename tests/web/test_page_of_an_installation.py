"""The first page of a real installation: the shipped flows, its own broker, a home that comes in over HTTP."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import urllib3

import solarflow
from solarflow.instance import Instance, Options
from solarflow.registry import Registry
from solarflow.web.server import WebServer

WAIT_S = 15.0


class Site:
    """A running installation and its address."""

    def __init__(self, instance: Instance, url: str) -> None:
        self.instance = instance
        self.url = url

    def ask(self, path: str, body: object = None, *, admin: bool = False) -> str:
        headers = {"content-type": "application/json"}
        if admin:
            headers["authorization"] = f"Bearer {self.instance.token}"
        method, data = ("GET", None) if body is None else ("POST", json.dumps(body))
        answer = urllib3.request(method, self.url + path, body=data, headers=headers, timeout=WAIT_S)
        assert answer.status < 300, answer.data
        return answer.data.decode()

    def until(self, true: Callable[[str], bool]) -> str:
        """The first page, as soon as it is so."""
        deadline = time.monotonic() + WAIT_S
        while not true(html := self.ask("/")):
            assert time.monotonic() < deadline, html
            time.sleep(0.2)
        return html


@pytest.fixture
def site(tmp_path: Path, registry: Registry) -> Iterator[Site]:
    project = Path(solarflow.__file__).parent
    instance = Instance(Options(project=project, data=tmp_path / "data", broker_port=0), registry)
    web = WebServer(instance, "127.0.0.1", 0)
    web.bind()
    instance.start()
    web.start()
    yield Site(instance, web.url)
    web.stop_streams()
    instance.stop()
    web.stop()


def test_a_home_that_nobody_knows_is_approved_and_then_shows_its_values(site: Site) -> None:
    html = site.until(lambda html: "127.0.0.1:" in html and 'class="status ok">connected' in html)
    assert "No home yet." in html
    assert "Self-consumption" in html
    assert "Relays" in html
    reading = {"casa": "casa_Z", "produzione_w": 3000, "consumo_w": 1000}
    site.ask("/api/bilancio/", reading)
    html = site.until(lambda html: "Waiting for approval" in html)
    assert f"solarflow homes approve casa_Z --data {site.instance.options.data}" in html
    site.ask("/api/admin/homes/casa_Z/approve", {}, admin=True)
    site.until(lambda html: "Waiting for approval" not in html and "no reading yet" in html)

    def has_arrived(html: str) -> bool:
        site.ask("/api/bilancio/", reading)
        return "3,000\N{NO-BREAK SPACE}W" in html and "2,000\N{NO-BREAK SPACE}W" in html

    site.until(has_arrived)


def test_the_page_shows_the_time_of_the_projects_zone(site: Site) -> None:
    assert site.instance.services.settings["timezone"] == "Europe/Rome"
    local = site.ask("/").partition("<time")[2].partition("</time>")[0][-8:-6]
    utc = site.ask("/").partition('datetime="')[2].partition('"')[0][11:13]
    assert (int(local) - int(utc)) % 24 in (1, 2)
