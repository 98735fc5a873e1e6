"""Take the README's pictures of the first page: `python scripts/screenshot.py`.

Starts `solarflow demo`, waits until relays are on and an alert is open, and writes docs/images/first-page.png and
first-page-dark.png. Needs Chromium and the extra 'test'.
"""

from __future__ import annotations

import base64
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path
from typing import Literal

from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
WIDTH, HEIGHT = 1280, 900
PATIENCE_MS = 180_000
READY = """() => document.querySelectorAll('#boards .status.ok').length >= 5
    && document.querySelector('#alerts section') !== null"""
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
# The 256 commonest colours of a picture that can be told apart, and for each pixel the number of the nearest one.
INDEX_COLOURS = """async (url) => {
  const image = await createImageBitmap(await (await fetch(url)).blob());
  const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
  canvas.drawImage(image, 0, 0);
  const pixels = new Uint32Array(canvas.getImageData(0, 0, image.width, image.height).data.buffer);
  const counts = new Map();
  for (const colour of pixels) counts.set(colour, (counts.get(colour) ?? 0) + 1);
  const parts = (colour) => [colour & 255, (colour >> 8) & 255, (colour >> 16) & 255];
  const distance = (a, b) => (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 + (a[2] - b[2]) ** 2;
  const palette = [];
  for (const [colour] of [...counts].sort((a, b) => b[1] - a[1]))
    if (palette.length < 256 && palette.every((one) => distance(one, parts(colour)) > 40)) palette.push(parts(colour));
  const nearest = new Map();
  for (const colour of counts.keys()) {
    const all = palette.map((one) => distance(one, parts(colour)));
    nearest.set(colour, all.indexOf(Math.min(...all)));
  }
  return { width: image.width, height: image.height, palette: palette.flat(),
           pixels: Array.from(pixels, (colour) => nearest.get(colour)) };
}"""


def main() -> None:
    """Take both pictures."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("this takes the browser 'chromium' (apt install chromium)")
    command = [sys.executable, "-m", "solarflow.cli", "demo", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as demo:  # noqa: S603 - ours
        try:
            take(address(demo), chromium)
        finally:
            demo.send_signal(signal.SIGINT)
            demo.wait(20)


def address(demo: subprocess.Popen[str]) -> str:
    """Where the demo says its pages are; what it goes on saying is read and dropped, or it would stop."""
    said = []
    for line in demo.stdout or ():
        said.append(line)
        if found := re.search(r"pages at (http://\S+)", line):
            threading.Thread(target=lambda: [None for _ in demo.stdout or ()], daemon=True).start()
            return found[1]
    sys.exit("the demo ended:\n" + "".join(said))


def take(url: str, chromium: str) -> None:
    """Wait until there is something to see, and take it in both schemes at the same moment of the demo."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, locale="en")
        page.goto(url)
        page.wait_for_function(READY, timeout=PATIENCE_MS)
        pictures = []
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            pictures.append(page.screenshot(full_page=True))
        page.goto("about:blank")
        for name, picture in zip(("first-page.png", "first-page-dark.png"), pictures, strict=True):
            url = "data:image/png;base64," + base64.b64encode(picture).decode()
            small = indexed_png(**page.evaluate(INDEX_COLOURS, url))
            (IMAGES / name).write_bytes(small)
            print(f"{IMAGES / name}: {len(small) / 1000:.0f} kB")  # noqa: T201 - a script's output
        browser.close()


def indexed_png(width: int, height: int, palette: list[int], pixels: list[int]) -> bytes:
    """A PNG with a palette of at most 256 colours (red, green, blue each): a third of what a browser writes."""
    rows = b"".join(b"\0" + bytes(pixels[y * width : (y + 1) * width]) for y in range(height))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"PLTE", bytes(palette))
        + chunk(b"IDAT", zlib.compress(rows, 9))
        + chunk(b"IEND", b"")
    )


if __name__ == "__main__":
    main()
