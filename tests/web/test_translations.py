"""Every string of the pages exists in every language, and every colour can be read."""

import importlib.util
import re
import string
from pathlib import Path
from types import ModuleType

import pytest
from babel.messages.catalog import Message
from babel.messages.pofile import read_po

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "web"
LANGUAGES = ["it", "es"]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("translations", ROOT / "scripts" / "translations.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def messages(language: str) -> list[Message]:
    with (WEB / "translations" / language / "LC_MESSAGES" / "messages.po").open("rb") as file:
        return [message for message in read_po(file, locale=language) if message.id]


def texts(value: object) -> list[str]:
    return list(value) if isinstance(value, (list, tuple)) else [str(value)]


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"%\((\w+)\)s", text))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_catalogue_has_exactly_the_strings_of_the_pages(script: ModuleType, language: str) -> None:
    ours = {str(message.id) for message in messages(language)}
    pages = {str(message.id) for message in script.strings() if message.id}
    assert len(pages) > 80
    assert ours == pages, "run scripts/translations.py and fill in what is empty"


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_left_untranslated_or_doubtful(language: str) -> None:
    assert [m.id for m in messages(language) if m.fuzzy or not all(texts(m.string))] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_fills_in_the_same_values(language: str) -> None:
    for message in messages(language):
        wanted = placeholders(texts(message.id)[-1])
        for text in texts(message.string):
            assert placeholders(text) == wanted, message.id
            assert text.count("%") == len(re.findall(r"%\(\w+\)s", text)), "a percent sign of its own breaks the page"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_ends_as_its_source_does_and_holds_no_markup(language: str) -> None:
    for message in messages(language):
        for text in texts(message.string):
            source = texts(message.id)[-1]
            assert "<" not in text
            assert (text[-1] in ".:") == (source[-1] in ".:"), message.id


def test_the_templates_hold_no_text_outside_gettext() -> None:
    for file in WEB.glob("templates/**/*.html"):
        code = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "", file.read_text(), flags=re.DOTALL)
        left = re.sub(r"<(style|script|code)\b.*?</\1>|<[^>]*>|&\w+;", "", code, flags=re.DOTALL)
        words = [w for w in re.findall(r"[^\W\d_]{2,}", left) if w != "SolarFlow"]
        assert words == [], file.name


def luminance(colour: str) -> float:
    """Relative luminance of "#rrggbb" (WCAG 2.2)."""
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_the_measure_of_contrast_is_right() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_colour_can_be_read_on_every_ground_it_stands_on(scheme: str) -> None:
    css = (WEB / "static" / "css" / "solarflow.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[0 if scheme == "light" else 1]))
    grounds = {"page": "ink muted ok warn bad link", "panel": "ink muted ok warn bad link", "raised": "ink",
               "warn-back": "ink warn", "bad-back": "ink bad"}  # fmt: skip
    for ground, inks in grounds.items():
        for ink in inks.split():
            assert contrast(colours[ink], colours[ground]) >= 4.5, f"{ink} on {ground}"


def test_the_alphabet_of_region_ids_needs_no_escaping() -> None:
    from solarflow.web.figures import anchor

    for name in ("", "a b", "<>&\"'", "\ud800", "è", "x" * 10_000):
        assert set(anchor("flow", name)) <= set(string.ascii_lowercase + string.digits + "-")
    assert anchor("flow", "a") != anchor("flow", "b")
