"""Where a replay knows the homes from: a file, or a data folder."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from solarflow.errors import FlowError, UsageError
from solarflow.store import DataFolder, Home

NUMBERS = ("peak_power_wp", "tilt_deg", "azimuth_deg", "latitude", "longitude")


def homes_of_file(path: Path) -> list[Home]:
    """The homes of a file: JSON as `solarflow homes export` writes it, or a CSV with the same names as columns.

    Of the CSV's cells `loads` holds JSON; an empty cell is not known. Raises UsageError where the file cannot be read,
    FlowError with all that is wrong in it.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the homes {path} cannot be read: {error}") from error
    if not text.lstrip().startswith("["):
        text = json.dumps(_rows(path, text))
    with DataFolder.in_memory() as folder:
        _, problems = folder.homes.import_json(text)
        if problems:
            raise FlowError(problems)
        return folder.homes.all()


def _rows(path: Path, text: str) -> list[dict[str, object]]:
    reader = csv.DictReader(io.StringIO(text))
    if "id" not in (reader.fieldnames or ()):
        raise UsageError(
            f"{path}: expected JSON as `solarflow homes export` writes it, or a CSV with a column 'id' and others such "
            "as peak_power_wp and loads"
        )
    homes: list[dict[str, object]] = []
    for row in reader:
        home: dict[str, object] = {}
        for name, cell in row.items():
            if name is None or not isinstance(cell, str):
                raise UsageError(f"{path}:{reader.line_num}: the row has not as many cells as the header")
            if not cell.strip():
                continue
            try:
                home[name] = float(cell) if name in NUMBERS else json.loads(cell) if name == "loads" else cell.strip()
            except ValueError as error:
                raise UsageError(f"{path}:{reader.line_num}: {name} is {cell[:60]!r}: {error}") from None
        homes.append(home)
    return homes


def homes_of_folder(folder: Path) -> list[Home] | None:
    """The homes of a data folder; None where there is no such folder or no home in it. Raises StoreError."""
    if not (folder / "app.db").exists():
        return None
    with DataFolder.read_only(folder) as reader:
        return reader.homes.all() or None
