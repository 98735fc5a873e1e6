"""A real Chromium for tests: found where Debian puts it, started without touching anything outside this machine.

    with chromium() as browser, visit(browser, url, width=360) as page:
        ...
    # leaving `visit` fails where the page had an error or asked another host for anything

Call `require_chromium()` (`chromium()` does) to skip, with the reason, where the program is not installed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
WAIT_MS = 10_000


def find_chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def require_chromium() -> str:
    pytest.importorskip("playwright.sync_api", reason="needs the package 'pytest-playwright' (the extra 'test')")
    found = find_chromium()
    if found is None:
        pytest.skip("needs the browser 'chromium', which is not installed here (make deps, or: apt install chromium)")
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    program = require_chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visit(
    browser: Browser, url: str, *, width: int = 1280, height: int = 900, scheme: str = "light",
    language: str = "en", javascript: bool = True, errors_expected: bool = False,
) -> Iterator[Page]:  # fmt: skip
    """A page in a browser profile of its own; at the end it must have been without errors and stayed on this host."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, locale=language,
        java_script_enabled=javascript,
    )  # fmt: skip
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    errors: list[str] = []
    asked: set[str] = set()
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
    try:
        page.goto(url)
        yield page
    finally:
        context.close()
    assert errors_expected or not errors
    assert asked <= {urlsplit(url).netloc, ""}, "the page asked another host"
