"""How fast a replay runs, in CPU seconds, as JSON lines.

    python benchmarks/replay.py [--homes 50] [--hours 12] [--data ../shared/data] [--default-times] [--profile]

Generated readings, one every ten seconds of each home, through the shipped benchmark flow, from a file of JSON lines
and from memory; and a recorded year of nine homes, hourly (CityLearn 2022), through benchmark and self-consumption with
the times of benchmarks/hourly.txt. `--default-times` runs that year with the flows' own times, too, which repeat
every minute for a year whatever comes in: minutes of CPU.
"""

from __future__ import annotations

import argparse
import cProfile
import csv
import json
import platform
import pstats
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from solarflow.manifest import read_project
from solarflow.registry import Registry, load_registry
from solarflow.replay import Reading, Recording, Replay
from solarflow.replay.changes import Change, plan_of, read_change, with_flows
from solarflow.replay.figures import messages
from solarflow.store import Home

HERE = Path(__file__).resolve().parent.parent
START = 1_750_500_000.0
STEP_S = 10
FIRST_HOUR = 1_753_920_000.0
"""31 July 2025, 00:00 UTC: the recording names no year."""
RUNS = 3


def generated(homes: int, hours: float) -> Iterator[Reading]:
    """Readings of production, as a meter sends them."""
    for step in range(int(hours * 3600 / STEP_S)):
        for home in range(homes):
            power_w = round(1500.0 + 7.3 * home + step % 97, 1)
            yield START + step * STEP_S, f"comunita/casa_{home:03d}/produzione", {"potenza_w": power_w}, False


def citylearn(folder: Path) -> Iterator[Reading]:
    """A year of nine homes: production and balance each hour."""
    homes = []
    for number in range(1, 10):
        with (folder / "citylearn" / f"Building_{number}.csv").open(newline="") as file:
            peak_kw = 5.0 if number == 4 else 4.0
            homes.append(
                [
                    (float(row["solar_generation"]) * peak_kw, float(row["non_shiftable_load"]) * 1000.0)
                    for row in csv.DictReader(file)
                ]
            )
    for hour, figures in enumerate(zip(*homes, strict=True)):
        for number, (production_w, consumption_w) in enumerate(figures, start=1):
            given = {"production_w": production_w, "consumption_w": consumption_w}
            yield from messages(FIRST_HOUR + 3600.0 * hour, f"casa_{number}", given)


def hourly_changes() -> list[Change]:
    """The lines of hourly.txt."""
    lines = (HERE / "benchmarks" / "hourly.txt").read_text().splitlines()
    return [read_change(line) for line in lines if not line.startswith("#")]


def measure(
    name: str, registry: Registry, flows: Sequence[str], homes: Sequence[Home], readings: Iterable[Reading],
    changes: Sequence[Change] = (), runs: int = RUNS, profiled: bool = False,
) -> None:  # fmt: skip
    """Run and print; the best of several runs, because other programs only ever make it slower."""
    plan = plan_of(with_flows(read_project(HERE), flows), registry, {}, changes)
    best: Replay | None = None
    for _ in range(runs):
        replay = Replay(registry, plan, homes, environ={})
        if profiled:
            profile = cProfile.Profile()
            profile.runcall(replay.run, readings)
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)
            return
        replay.run(readings)
        best = replay if best is None or replay.cpu_s < best.cpu_s else best
    assert best is not None and best.course is not None  # noqa: S101 - runs is at least 1
    count = best.course.readings
    figures = {"name": name, "readings": count, "cpu_s": round(best.cpu_s, 2)}
    print(json.dumps({**figures, "readings_per_cpu_s": round(count / best.cpu_s)}), flush=True)  # noqa: T201 - its result


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--homes", type=int, default=50)
    parser.add_argument("--hours", type=float, default=12.0)
    parser.add_argument("--data", type=Path, default=HERE.parent / "shared" / "data")
    parser.add_argument("--default-times", action="store_true")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    registry = load_registry()
    machine = {"name": "machine", "python": platform.python_version(), "system": platform.platform()}
    print(json.dumps(machine))  # noqa: T201 - its result
    fine = list(generated(options.homes, options.hours))
    homes = [Home(id=f"casa_{number:03d}", peak_power_wp=4000) for number in range(options.homes)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fine.jsonl"
        with path.open("w") as file:
            file.writelines(json.dumps({"ts": ts, "topic": t, "payload": p}) + "\n" for ts, t, p, _ in fine)
        for name, readings in (("benchmark, from JSON lines", Recording(path)), ("benchmark, from memory", fine)):
            measure(name, registry, ["benchmark"], homes, readings, profiled=options.profile)
        measure("ingest, from JSON lines", registry, ["ingest"], homes, Recording(path), profiled=options.profile)
    if not (options.data / "citylearn").is_dir():
        print(json.dumps({"name": "a recorded year", "skipped": f"there is no {options.data}/citylearn"}))  # noqa: T201 - its result
        return
    year = list(citylearn(options.data))
    homes = [Home(id=f"casa_{number}", peak_power_wp=5000 if number == 4 else 4000) for number in range(1, 10)]
    both = ("benchmark", "self-consumption")
    measure("a recorded year, hourly", registry, both, homes, year, hourly_changes(), profiled=options.profile)
    if options.default_times:
        measure("a recorded year, the flows' own times", registry, both, homes, year, runs=1)


if __name__ == "__main__":
    main()
