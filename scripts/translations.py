"""Bring the translations up to date with the pages: `python scripts/translations.py`.

New strings come into each `web/translations/<language>/LC_MESSAGES/messages.po` with an empty translation, to be
filled in by hand; strings that no page has any more are dropped. The tests fail while one is empty.
"""

from __future__ import annotations

import io
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

WEB = Path(__file__).resolve().parent.parent / "web"
HEADER = """# Written by scripts/translations.py; fill in what is empty.
msgid ""
msgstr ""
"Project-Id-Version: SolarFlow\\n"
"Language: {language}\\n"
"Plural-Forms: {plural}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

"""
"""Without the times and names that would change with each run."""
METHODS = [("static/**", "ignore"), ("**.py", "python"), ("templates/**.html", "jinja2")]


def strings() -> Catalog:
    """Every string of the pages, with the files that have it."""
    found = Catalog()
    for file, _line, message, _comments, context in extract_from_dir(WEB, METHODS):
        found.add(message, None, [(file, 0)], context=context)
    return found


def update(language: str, source: Catalog) -> Catalog:
    """The catalogue of a language with exactly the strings of `source`."""
    path = WEB / "translations" / language / "LC_MESSAGES" / "messages.po"
    with path.open("rb") as file:
        catalogue = read_po(file, locale=language)
    catalogue.update(source, no_fuzzy_matching=True, update_header_comment=False)
    catalogue.obsolete.clear()
    text = io.BytesIO()
    write_po(text, catalogue, sort_output=True, no_location=True, omit_header=True, width=118)
    path.write_text(HEADER.format(language=language, plural=catalogue.plural_forms) + text.getvalue().decode())
    return catalogue


def main() -> None:
    """Update every language and say what is left to do."""
    source = strings()
    for folder in sorted((WEB / "translations").iterdir()):
        catalogue = update(folder.name, source)
        empty = [message.id for message in catalogue if message.id and not all(_texts(message.string))]
        print(f"{folder.name}: {len(source)} strings, {len(empty)} to translate")  # noqa: T201 - a script's output


def _texts(translation: object) -> tuple[str, ...]:
    return tuple(translation) if isinstance(translation, (list, tuple)) else (str(translation),)


if __name__ == "__main__":
    main()
