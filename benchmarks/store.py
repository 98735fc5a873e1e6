"""How fast the store is: one JSON line per measurement.

    python benchmarks/store.py [--rows 400000] [--folder DIR]

Samples come as they do live: every series reports every 10 s, the samples of a second or more go in one commit, and
the rollups are kept on the way.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from solarflow.store import DataFolder, StateChanges

START = 1_735_689_600.0
PERIOD_S = 10.0
HOMES = [f"casa_{number:03d}" for number in range(50)]
QUANTITIES = ("production_w", "consumption_w", "battery_w", "grid_w")


def report(name: str, **figures: float) -> None:
    """One line for one measurement."""
    line: dict[str, Any] = {"benchmark": f"store.{name}"}
    line |= {key: float(f"{value:.4g}") for key, value in figures.items()}
    print(json.dumps(line), flush=True)  # noqa: T201 - the output of this script


def insert(folder: DataFolder, rows: int, rows_per_commit: int, first: int) -> int:
    """Append and commit `rows` samples; the number of the next round of samples."""
    telemetry = folder.telemetry
    round_number, waiting = first, 0
    for _ in range(rows // (len(HOMES) * len(QUANTITIES))):
        ts = START + round_number * PERIOD_S
        for home in HOMES:
            for offset, quantity in enumerate(QUANTITIES):
                telemetry.append(home, quantity, ts, 1000.0 + (round_number * 7 + offset * 13) % 997)
        round_number += 1
        waiting += len(HOMES) * len(QUANTITIES)
        if waiting >= rows_per_commit:
            folder.commit()
            waiting = 0
    folder.commit()
    return round_number


def timed(work: Callable[[], object], repeats: int = 15) -> float:
    """The median of its wall time, in milliseconds."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1000.0


def inserting(parent: Path, rows: int) -> None:
    """Rows a second for three sizes of commit, and the bytes that a row takes."""
    for rows_per_commit in (1_000, 10_000, 100_000):
        path = parent / f"insert-{rows_per_commit}"
        with DataFolder(path, raw_days=3650) as folder:
            wall, cpu = time.perf_counter(), time.process_time()
            insert(folder, rows, rows_per_commit, 0)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        size = (path / "telemetry.db").stat().st_size
        report(
            "insert",
            rows=rows,
            rows_per_commit=rows_per_commit,
            rows_per_s=rows / wall,
            rows_per_cpu_s=rows / cpu,
            bytes_per_row=size / rows,
        )


def appending(rows: int) -> None:
    """What a node pays to have a sample recorded."""
    with DataFolder.in_memory() as folder:
        append = folder.telemetry.append
        begin = time.perf_counter()
        for number in range(rows):
            append("casa_A", "production_w", START + number, 1.0)
        report("append", ns_per_sample=(time.perf_counter() - begin) / rows * 1e9)


def committing(parent: Path) -> None:
    """A second of a live community: 200 samples and 400 changed states in one commit; then with late samples."""
    with DataFolder(parent / "commit") as folder:
        state = {(f"node-{number % 20}", f"casa_{number}"): b'{"since": 1735689600.0}' for number in range(400)}
        number = 0

        def second() -> None:
            nonlocal number
            insert_round(number)
            number += 1
            folder.commit(StateChanges(states=dict(state), saved_at=START + number))

        def insert_round(number: int) -> None:
            for home in HOMES:
                for quantity in QUANTITIES:
                    folder.telemetry.append(home, quantity, START + number * PERIOD_S, 1000.0 + number)

        report("commit", samples=200, states=400, ms=timed(second, 400))
        report("commit_late", samples=200, states=400, ms=timed(lambda: (insert_round(7), second()), 15))


def reading(parent: Path) -> None:
    """A year of one series, from rollups and (30 days of it) from samples; then pruning a slice of samples."""
    with DataFolder(parent / "read", raw_days=30) as folder:
        for hour in range(24 * 365):
            for home in HOMES[:9]:
                for minute in range(0, 60, 15):
                    folder.telemetry.append(home, "production_w", START + hour * 3600 + minute * 60, float(hour % 997))
            if hour % 240 == 0:
                folder.commit()
        folder.commit()
        with folder.reader() as reader:
            series = ("casa_004", "production_w", 0.0, math.inf)
            telemetry = reader.telemetry
            assert len(telemetry.hourly(*series)) == 24 * 365  # noqa: S101 - a benchmark of the wrong thing is none
            report("year_hourly", rows=8760, ms=timed(lambda: telemetry.hourly(*series)))
            report("year_hourly_means", rows=8760, ms=timed(lambda: telemetry.hourly_means(*series)))
            report("year_samples", rows=35040, ms=timed(lambda: telemetry.samples(*series)))
            report("year_arrays", rows=35040, ms=timed(lambda: telemetry.arrays(*series)))
            report("latest", us=timed(lambda: telemetry.latest("casa_004", "production_w"), 200) * 1000)
        report("prune_slice", rows=20_000, ms=timed(lambda: folder.maintain(START + 365 * 86400.0), 5))


def main() -> None:
    """Run all of them in a folder that is removed afterwards."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--folder", help="where to make the temporary data folder: choose the disk to measure")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        appending(options.rows)
        inserting(Path(folder), options.rows)
        committing(Path(folder))
        reading(Path(folder))


if __name__ == "__main__":
    main()
