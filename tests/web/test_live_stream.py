"""The stream that keeps an open page up to date."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from page_peers import NOW, FakeInstance, flow, home, snapshot
from werkzeug.test import TestResponse

from solarflow.snapshot import Snapshots
from solarflow.web import overview
from solarflow.web.overview import LivePage
from solarflow.web.streams import MAX_STREAMS, Streams, event_text


def events(answer: TestResponse) -> Iterator[str]:
    """The pieces of a stream, as they come."""
    return (piece.decode() if isinstance(piece, bytes) else piece for piece in answer.response)


def regions(text: str) -> list[str]:
    return re.findall(r'<(?:div|tr) id="([\w-]+)" hx-swap-oob="morph">', text)


@pytest.fixture
def changes(app: Flask, instance: Any) -> Callable[[], str]:
    """Every look at the instance is a new one: no test waits for the second to pass."""
    return LivePage(app, instance, Snapshots(instance, keep_s=-1)).follow("en")


def test_the_first_event_brings_every_region(client: FlaskClient) -> None:
    answer = client.get("/_live")
    first = next(events(answer))
    assert answer.mimetype == "text/event-stream"
    assert first.startswith("event: overview\ndata: ")
    assert first.endswith("\n\n")
    within = re.findall(r'<\w+ [^>]*?id="([\w-]+)"[^>]* data-region', first)
    page_regions = re.findall(r'<\w+ [^>]*?id="([\w-]+)"[^>]* data-region', client.get("/").text)
    assert sorted(regions(first) + within) == sorted(page_regions), "each of them once"
    answer.close()


def test_an_event_brings_only_what_has_changed(changes: Callable[[], str], instance: FakeInstance) -> None:
    changes()
    instance.snapshot = replace(instance.snapshot, now=NOW + 1)
    assert regions(changes()) == ["clock"], "the ages grow in the browser"


def test_of_many_homes_only_the_rows_with_news_are_sent(changes: Callable[[], str], instance: FakeInstance) -> None:
    homes = [home(f"casa_{number:03}", 1000, 400) for number in range(300)]
    instance.snapshot = snapshot(homes=homes)
    assert changes().count('role="rowheader"') == 200
    homes = list(homes)
    homes[7] = home("casa_007", 1001, 400)
    homes[9] = homes[9]._replace(heard_at=NOW + 1)
    instance.snapshot = snapshot(homes=homes, now=NOW + 1)
    sent = changes()
    rows = sent.partition("<template>")[2].removesuffix("</template>")
    assert [name.partition("-")[0] for name in regions(rows)] == ["home", "home"]
    assert "casa_007" in rows
    assert "casa_009" in rows
    assert "homes" not in regions(sent)


def test_a_home_that_falls_silent_is_sent_once_and_a_new_home_brings_the_table(
    changes: Callable[[], str], instance: FakeInstance
) -> None:
    instance.snapshot = snapshot(homes=[home("casa_A", 1)])
    changes()
    instance.snapshot = replace(instance.snapshot, now=NOW + 901)
    assert "silent for" in changes()
    instance.snapshot = replace(instance.snapshot, now=NOW + 902)
    assert regions(changes()) == ["clock"]
    instance.snapshot = snapshot(homes=[home("casa_A", 1), home("casa_B", 1)])
    assert "homes" in regions(changes())


def test_where_nothing_has_changed_nothing_is_sent(changes: Callable[[], str]) -> None:
    assert changes() != ""
    assert changes() == ""


def test_a_flow_that_works_is_sent_without_the_others(changes: Callable[[], str], instance: FakeInstance) -> None:
    instance.snapshot = snapshot(flows=[flow("A"), flow("B")])
    changes()
    instance.snapshot = snapshot(flows=[flow("A"), flow("B", per_second=0.04)])
    assert changes() == "", "no digit of it changes"
    instance.snapshot = snapshot(flows=[flow("A"), flow("B", per_second=3)])
    sent = changes()
    assert "3.0" in sent
    assert len([name for name in regions(sent) if name.startswith("flow-")]) == 1
    assert "flows" not in regions(sent)


def test_a_new_flow_brings_the_whole_list(changes: Callable[[], str], instance: FakeInstance) -> None:
    instance.snapshot = snapshot(flows=[flow("A")])
    changes()
    instance.snapshot = snapshot(flows=[flow("A"), flow("B")])
    assert "flows" in regions(changes())


def test_an_engine_that_does_not_answer_is_told_and_its_return_too(
    changes: Callable[[], str], instance: FakeInstance
) -> None:
    changes()
    instance.silent = True
    told = changes()
    assert regions(told) == ["trouble"]
    assert "The engine does not answer." in told
    assert changes() == "", "once"
    instance.silent = False
    assert '<div id="trouble" hx-swap-oob="morph"></div>' in changes()


def test_a_node_that_holds_the_engine_up_is_named_without_waiting_for_the_engine(
    changes: Callable[[], str], instance: FakeInstance
) -> None:
    asked = instance.asked
    instance.live.watchdog.blocked = "node 'forecast' has held the engine up for 4 s"
    assert "node &#39;forecast&#39; has held the engine up for 4 s" in changes()
    assert instance.asked == asked


def test_each_viewer_gets_its_own_language(client: FlaskClient) -> None:
    answer = client.get("/_live", headers={"accept-language": "it"})
    assert "Produzione bassa" in next(events(answer))
    answer.close()


def test_many_viewers_cost_one_look_at_the_engine(client: FlaskClient, instance: FakeInstance) -> None:
    opened = [client.get("/_live") for _ in range(20)]
    for answer in opened:
        next(events(answer))
    assert instance.asked <= 3, "one for each second that this takes"
    for answer in opened:
        answer.close()


def test_page_health_and_metrics_share_one_look(client: FlaskClient, instance: FakeInstance) -> None:
    before = time.monotonic()
    for path in ("/", "/health", "/metrics", "/"):
        assert client.get(path).status_code == 200
    assert instance.asked <= 1 + (time.monotonic() - before) / 0.9


def test_many_viewers_cost_one_rendering_for_each_language(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[object] = []
    render = overview.render_regions
    monkeypatch.setattr(overview, "render_regions", lambda shown: (rendered.append(shown), render(shown))[1])
    for _ in range(10):
        client.get("/", headers={"accept-language": "it"})
        client.get("/", headers={"accept-language": "es"})
    assert 2 <= len(rendered) <= 6


def test_closing_the_streams_ends_each_of_them(client: FlaskClient, streams: Streams) -> None:
    answer = client.get("/_live")
    coming = events(answer)
    next(coming)
    streams.close()
    assert [piece for piece in coming if piece != ": alive\n\n"] == []
    answer.close()
    assert streams.open == 0


def test_after_closing_no_stream_begins(client: FlaskClient, streams: Streams) -> None:
    streams.close()
    assert client.get("/_live").status_code == 503


def test_one_viewer_too_many_is_refused_until_another_leaves(client: FlaskClient, streams: Streams) -> None:
    opened = [client.get("/_live") for _ in range(MAX_STREAMS)]
    refused = client.get("/_live")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
    opened.pop().close()
    again = client.get("/_live")
    assert again.status_code == 200
    for answer in [*opened, again]:
        answer.close()
    assert streams.open == 0


def test_who_only_asks_for_the_head_of_a_stream_takes_no_place(client: FlaskClient, streams: Streams) -> None:
    for _ in range(MAX_STREAMS + 1):
        answer = client.head("/_live")
        assert answer.status_code == 200
        answer.close()
    assert streams.open == 0


def test_a_text_of_several_lines_is_one_event() -> None:
    assert event_text("overview", "<p>\na\n\nb") == "event: overview\ndata: <p>\ndata: a\ndata: \ndata: b\n\n"


def test_htmx_gets_the_regions_alone_and_a_browser_the_page(client: FlaskClient) -> None:
    part = client.get("/", headers={"hx-request": "true"}).text
    assert part.startswith('<div id="trouble" hx-swap-oob="morph">')
    assert "<html" not in part
    whole = client.get("/", headers={"hx-request": "true", "hx-history-restore-request": "true"}).text
    assert "<html" in whole


def test_an_instance_with_nothing_in_it_streams_too(client: FlaskClient, instance: FakeInstance) -> None:
    instance.snapshot = snapshot(homes=[home("casa_A")])
    answer = client.get("/_live")
    assert "no reading yet" in next(events(answer))
    answer.close()
