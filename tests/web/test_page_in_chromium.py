"""The first page in a real browser: live, undisturbed, narrow, without JavaScript, and when the stream is lost."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from brokers import free_port
from browser import chromium, visit
from page_peers import NOW, FakeInstance, community, flow, home, node, snapshot, status

from solarflow.web.server import WebServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def chrome() -> "Iterator[Browser]":
    with chromium() as started:
        yield started


def homes(page: "Page", text: str) -> None:
    """Wait until the homes' table shows `text`."""
    page.locator("#homes", has_text=text).wait_for()


def test_the_page_loads_without_an_error_and_asks_no_other_host(chrome: "Browser", server: WebServer) -> None:
    with visit(chrome, server.url) as page:
        homes(page, "Rossi")
        assert page.title() == "SolarFlow"


def test_values_change_while_one_looks(chrome: "Browser", server: WebServer, instance: FakeInstance) -> None:
    with visit(chrome, server.url) as page:
        homes(page, "3,001 W")
        instance.snapshot = replace(instance.snapshot, homes=[home("casa_A", 4321, 1000)], now=NOW + 1)
        homes(page, "4,321 W")


AGES_S = (0, 1, 59, 61, 899, 3661, 7200, 86_400 * 3, 86_400 * 10, 86_400 * 45, 86_400 * 800)


@pytest.mark.parametrize("language", ["en", "it", "es"])
def test_the_browser_writes_ages_as_the_server_does(
    chrome: "Browser", server: WebServer, instance: FakeInstance, language: str
) -> None:
    instance.snapshot = snapshot(homes=[home(f"casa_{age:09}", 1, heard_at=NOW - age) for age in AGES_S])
    with visit(chrome, server.url, language=language, javascript=False) as page:
        written = page.locator("#homes .heard").all_inner_texts()
    with visit(chrome, server.url, language=language) as page:
        ages = page.locator("#homes .heard time")
        page.evaluate("for (const time of document.querySelectorAll('#homes .heard time')) time.textContent = '?'")
        instance.snapshot = replace(instance.snapshot, now=NOW + 0.1)
        page.wait_for_function("() => !document.querySelector('#homes').innerText.includes('?')")
        assert ages.count() == len(AGES_S)
        assert page.locator("#homes .heard").all_inner_texts() == written


def test_ages_grow_by_the_instances_clock_without_being_sent(
    chrome: "Browser", server: WebServer, instance: FakeInstance
) -> None:
    with visit(chrome, server.url) as page:
        homes(page, "15 sec ago")
        instance.snapshot = replace(instance.snapshot, now=NOW + 600)
        homes(page, "10 min ago")
        instance.snapshot = replace(instance.snapshot, now=NOW + 1200)
        homes(page, "silent for 20 min")


def test_what_was_opened_marked_and_focused_stays_so_while_values_change(
    chrome: "Browser", server: WebServer, instance: FakeInstance
) -> None:
    instance.snapshot = snapshot(flows=[flow("A", node("n", received=1)), flow("B")])
    with visit(chrome, server.url) as page:
        page.locator("summary", has_text="A").click()
        page.evaluate("getSelection().selectAllChildren(document.querySelector('#flows .label'))")
        new = flow("C", node("m"))
        instance.snapshot = snapshot(flows=[new, flow("A", node("n", received=7, status=status("seven"))), flow("B")])
        page.locator("details[open] td", has_text="seven").wait_for()
        assert page.locator("details").count() == 3, "a new flow came before it"
        assert page.locator("details[open] .label").all_inner_texts() == ["A"]
        assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
        assert page.evaluate("String(getSelection())") == "A"


def test_a_region_that_empties_and_fills_again_follows(
    chrome: "Browser", server: WebServer, instance: FakeInstance
) -> None:
    with visit(chrome, server.url) as page:
        page.locator("#alerts", has_text="Low production").wait_for()
        instance.snapshot = replace(community(), alerts=[])
        page.locator("#alerts section").wait_for(state="detached")
        instance.snapshot = community()
        page.locator("#alerts", has_text="Low production").wait_for()


def test_a_lost_stream_is_told_and_comes_back_by_itself(chrome: "Browser", instance: FakeInstance) -> None:
    port = free_port()  # named, not 0: only then may the next server have it at once
    server = WebServer(instance, "127.0.0.1", port)
    server.bind()
    server.start()
    with visit(chrome, server.url, errors_expected=True) as page:
        homes(page, "3,001 W")
        server.stop()
        page.locator("#lost").wait_for(state="visible")
        assert "The connection is lost: these figures are from" in page.locator("#lost").inner_text()
        instance.snapshot = replace(instance.snapshot, homes=[home("casa_A", 4321, 1000)])
        again = WebServer(instance, "127.0.0.1", port)
        again.bind()
        again.start()
        try:
            homes(page, "4,321 W")
            page.locator("#lost").wait_for(state="hidden")
        finally:
            again.stop()


def test_a_page_without_its_stream_can_be_brought_up_to_date_by_hand(
    chrome: "Browser", server: WebServer, instance: FakeInstance
) -> None:
    with visit(chrome, server.url, errors_expected=True) as page:
        homes(page, "3,001 W")
        server.stop_streams()
        page.locator("#lost").wait_for(state="visible")
        instance.snapshot = replace(instance.snapshot, homes=[home("casa_A", 4321, 1000)])
        page.wait_for_function("() => new Promise(done => setTimeout(() => done(true), 1000))")  # a snapshot's age
        page.get_by_role("link", name="Load now").click()
        homes(page, "4,321 W")
        assert page.locator("#lost").is_visible(), "it still is not live"


@pytest.mark.parametrize("language", ["en", "it", "es"])
def test_a_narrow_screen_never_scrolls_sideways(
    chrome: "Browser", server: WebServer, instance: FakeInstance, language: str
) -> None:
    long = "a-name-without-any-place-to-break-it-" * 5
    instance.snapshot = replace(
        community(),
        homes=[home("casa_A", 123456, 99999, name=long), home("casa_B")],
        flows=[*community().flows, flow(long, node("n", name=long, errors=1, last_error=long, status=status(long)))],
    )
    with visit(chrome, server.url, width=360, height=740, language=language) as page:
        for line in page.locator("summary").all():
            line.click()
        assert page.locator("details[open]").count() == 4
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_without_javascript_the_values_are_there(chrome: "Browser", server: WebServer) -> None:
    with visit(chrome, server.url, javascript=False) as page:
        homes(page, "3,001 W")
        page.locator("summary", has_text="Benchmark").click()
        page.get_by_role("rowheader", name="production mqtt in").wait_for()


def test_a_screen_reader_finds_landmarks_headings_and_named_tables(chrome: "Browser", server: WebServer) -> None:
    with visit(chrome, server.url) as page:
        tree = page.locator("body").aria_snapshot()
        for part in ("banner:", "main:", "contentinfo:", 'heading "SolarFlow" [level=1]', 'heading "Homes 3" [level=2]',
                     'table "Homes 3"', 'columnheader "Production"', 'rowheader "Rossi casa_A"'):  # fmt: skip
            assert part in tree, tree
