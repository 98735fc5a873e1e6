"""The pages' language, and numbers, times and units as that language writes them.

The source is English; `translations/<language>/LC_MESSAGES/messages.po` hold the others. They are read as they are:
no compiled catalogue is made, packed or forgotten.
"""

from __future__ import annotations

import io
import logging
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel.dates import format_skeleton, format_timedelta
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent
from babel.support import NullTranslations, Translations
from flask import Flask, Response, request
from flask_babel import Babel, Domain, get_locale

log = logging.getLogger("solarflow.web")

LANGUAGES = ("en", "it", "es")
FOLDER = Path(__file__).parent / "translations"
DOMAIN = "messages"
NO_BREAK = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"


def install(app: Flask) -> None:
    """Give the app its languages, chosen by the Accept-Language header, and the filters of its templates."""
    babel = Babel(app, locale_selector=chosen_language)
    babel.domain_instance = Domain(domain=DOMAIN)
    babel.domain_instance.cache = {(language, DOMAIN): catalogue(language) for language in LANGUAGES}
    app.jinja_env.filters.update(
        count=count, plain=plain, rate=rate, watts=watts, kilowatts=kilowatts, share=share, age=age, moment=moment,
        clock=clock, iso=iso,
    )  # fmt: skip
    app.jinja_env.globals["language"] = current_language


def chosen_language() -> str:
    """What the visitor's browser prefers of the languages that are there."""
    return request.accept_languages.best_match(LANGUAGES) or LANGUAGES[0]


def current_language() -> str:
    """The language that is being rendered in: "it"."""
    return str(get_locale())


@lru_cache
def catalogue(language: str) -> NullTranslations:
    """The translations of a language; of English, the source, none."""
    path = FOLDER / language / "LC_MESSAGES" / f"{DOMAIN}.po"
    if language == LANGUAGES[0]:
        return NullTranslations()
    compiled = io.BytesIO()
    with path.open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return Translations(compiled, DOMAIN)


def mark(response: Response) -> Response:
    """Say in which language a page is, and what else it depends on."""
    response.headers["content-language"] = current_language()
    response.vary.update(("Accept-Language", "HX-Request"))
    return response


@lru_cache(maxsize=8)
def zone(name: str) -> tzinfo:
    """The time zone of that name; UTC, with a line in the log, where there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        log.warning("there is no time zone '%s': pages show UTC; correct the setting 'timezone' of flows.json", name)
        return UTC


def _decimal(value: float, pattern: str) -> str:
    return format_decimal(value, format=pattern, locale=get_locale()).replace("-", MINUS)


def count(value: float) -> str:
    """A whole number: 12.345 in Italian."""
    return _decimal(round(value), "#,##0")


def plain(value: float) -> str:
    """A number with as many decimals as it has, at most three."""
    return _decimal(value, "#,##0.###")


def rate(value: float) -> str:
    """How many in a second: 12,3 /s; no decimals from a hundred on."""
    return f"{_decimal(value, '#,##0' if value >= 99.95 else '#,##0.0')}{NO_BREAK}/s"


def watts(value: float) -> str:
    """A power: 1.234 W."""
    return f"{_decimal(round(value), '#,##0')}{NO_BREAK}W"


def kilowatts(value_w: float) -> str:
    """A power given in watts, of a whole community: 12,3 kW."""
    return f"{_decimal(round(value_w / 1000, 1) + 0.0, '#,##0.0')}{NO_BREAK}kW"


def share(value: float) -> str:
    """A fraction of 1 as percent: 52 %."""
    return str(format_percent(value, format=None, locale=get_locale()))


def age(seconds: float) -> str:
    """A duration, rounded to what matters: 12 s, 3 min, 2 h."""
    return _age(max(0, round(seconds)), current_language())


@lru_cache(maxsize=4096)
def _age(seconds: int, language: str) -> str:
    return format_timedelta(
        timedelta(seconds=seconds), threshold=1, granularity="second", format="short", locale=language
    )


def moment(ts: float, timezone: str) -> str:
    """A day and a time of it, local: 21 giu, 10:23."""
    local = datetime.fromtimestamp(ts, zone(timezone))
    return f"{format_skeleton('MMMd', local, locale=get_locale())}, {local:%H:%M}"


def clock(ts: float, timezone: str) -> str:
    """A moment to the second, local: sab 21 giu, 10:23:05."""
    local = datetime.fromtimestamp(ts, zone(timezone))
    return f"{format_skeleton('MMMEd', local, locale=get_locale())}, {local:%H:%M:%S}"


def iso(ts: float) -> str:
    """A moment for machines: 2025-06-21T08:23:05Z."""
    return f"{datetime.fromtimestamp(ts, UTC):%Y-%m-%dT%H:%M:%SZ}"
