"""The pages on an instance that shows what a test puts into it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from page_peers import FakeInstance, community

from solarflow.instance import Instance
from solarflow.snapshot import Snapshot
from solarflow.web.app import create_app
from solarflow.web.server import WebServer
from solarflow.web.streams import Streams

VENDOR = Path(__file__).resolve().parents[2] / "web" / "static" / "vendor"


@pytest.fixture
def instance() -> FakeInstance:
    return FakeInstance(community())


@pytest.fixture
def streams() -> Iterator[Streams]:
    made = Streams()
    yield made
    made.close()


@pytest.fixture
def app(instance: Instance, streams: Streams) -> Flask:
    return create_app(instance, streams)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def render() -> Callable[..., str]:
    """The HTML of the first page for a snapshot: `render(snapshot(...), "it")`."""

    def show(shown: Snapshot, language: str = "en") -> str:
        made = create_app(FakeInstance(shown), Streams()).test_client()
        answer = made.get("/", headers={"accept-language": language})
        assert answer.status_code == 200
        return answer.text

    return show


@pytest.fixture
def server(instance: Instance) -> Iterator[WebServer]:
    """The pages on a port of their own."""
    if not VENDOR.is_dir():
        pytest.skip("the browser libraries were not fetched yet; `pip install -e .` does it")
    web = WebServer(instance, "127.0.0.1", 0)
    web.bind()
    web.start()
    yield web
    web.stop()
