"""Provokes each fault many times, bounded in time, and prints a table: fault, times, lost, recovered in, verdict."""

from __future__ import annotations

import argparse
import fnmatch
import importlib
import logging
import os
import platform
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import pytest

from .hub import QUIET
from .trial import FAULTS, Fault, Trial

MODULES = sorted(path.stem for path in Path(__file__).parent.glob("test_*.py"))
MINUTES = 4.0
HOMES = 10
"""In one trial of the relays' safety; each home is one time."""


@dataclass
class Result:
    """What came of one fault."""

    fault: Fault
    times: int = 0
    lost: int = 0
    recoveries: list[float] = field(default_factory=list)
    bound: float = 0.0
    violation: str = ""
    skipped: str = ""
    seconds: float = 0.0

    @property
    def verdict(self) -> str:
        if self.violation:
            return f"VIOLATED: {self.violation}"
        if self.skipped:
            return f"skipped: {self.skipped}"
        return "ok" if self.times else "no time left"


def provoke(found: Fault, seed: int, times: int, deadline: float, homes: int) -> Result:
    """Provoke one fault so often, until it violates a promise, or the time is over."""
    result = Result(found)
    begun = time.monotonic()
    number = 0
    while result.times < times and (number == 0 or time.monotonic() < deadline):
        folder = Path(tempfile.mkdtemp(prefix="fault-"))
        chance = random.Random(f"{seed}/{found.name}/{number}")  # noqa: S311 - to be repeated, not to be secret
        trial = Trial(chance, folder, min(homes, times - result.times), brief=False)
        try:
            with trial.stack:
                found.function(trial)
        except pytest.skip.Exception as skipped:
            result.skipped = str(skipped)
            break
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - whatever it is, it is a violation
            place = traceback.extract_tb(error.__traceback__)[-1]
            what = str(error).strip().split("\n")[0] or place.line
            result.violation = f"{what} (seed {seed}, trial {number}, {Path(place.filename).name}:{place.lineno})"
            traceback.print_exc(file=sys.stderr)
            break
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            result.times += trial.times
            result.lost += trial.lost
            result.recoveries += trial.recoveries
            result.bound = max([result.bound, *trial.bounds])
        number += 1
    result.seconds = time.monotonic() - begun
    return result


def table(results: Sequence[Result]) -> str:
    """As Markdown: it goes into docs/measurements.md as it is."""
    lines = [
        "| fault | times | lost | recovered in p50 [s] | max [s] | at most [s] | verdict |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for result in results:
        took = sorted(result.recoveries)
        figures = [f"{median(took):.2f}", f"{took[-1]:.2f}", f"{result.bound:.2f}"] if took else ["", "", ""]
        lines.append(
            f"| {result.fault.name} | {result.times} | {result.lost} | {' | '.join(figures)} | {result.verdict} |"
        )
    return "\n".join(lines)


def load_faults() -> None:
    """Import the modules in which the faults are."""
    for name in MODULES:
        importlib.import_module(f".{name}", __package__)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 where a promise was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--times", type=int, help="how often each fault; default: the fault's own number")
    parser.add_argument("--full", action="store_true", help="the fault's own numbers, however long that takes")
    parser.add_argument("--only", action="append", metavar="NAME", help="only this fault (a pattern; repeatable)")
    parser.add_argument("--skip", action="append", metavar="NAME", default=[], help="not this one (a pattern)")
    parser.add_argument("--seed", type=int, default=1, help="what is by chance follows from it (default: 1)")
    parser.add_argument("--minutes", type=float, help=f"for all of them together (default: {MINUTES:g})")
    parser.add_argument("--homes", type=int, default=HOMES, help="homes at once in the relays' trials (default: 10)")
    parser.add_argument("--list", action="store_true", help="list the faults and how often each is provoked")
    given = parser.parse_args(arguments)
    load_faults()
    chosen = [
        found for found in FAULTS.values()
        if any(fnmatch.fnmatch(found.name, pattern) for pattern in given.only or ["*"])
        and not any(fnmatch.fnmatch(found.name, pattern) for pattern in given.skip)
    ]  # fmt: skip
    if not chosen:
        parser.error(f"there is no such fault; there are: {', '.join(FAULTS)}")
    if given.list:
        listed = [f"{found.name:32} {found.times:4}  {found.sentence}" for found in chosen]
        print("\n".join(listed))  # noqa: T201 - a command
        return 0
    logging.disable(logging.CRITICAL)  # what is provoked is also logged, by the thousand
    os.environ[QUIET] = "1"
    minutes = given.minutes if given.minutes is not None else (24 * 60 if given.full else MINUTES)
    end = time.monotonic() + 60 * minutes
    results: list[Result] = []
    for number, found in enumerate(chosen):
        # What one leaves of its share goes to those after it.
        share = max(0.0, end - time.monotonic()) / (len(chosen) - number)
        times = given.times or found.times
        result = provoke(found, given.seed, times, time.monotonic() + share, given.homes)
        results.append(result)
        told = f"{result.seconds:6.1f} s  {found.name}: {result.times} times, {result.verdict}\n"
        sys.stderr.write(told)
    print(table(results))  # noqa: T201 - a command
    machine = f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"\n{machine}, seed {given.seed}")  # noqa: T201 - a command
    return 1 if any(result.violation for result in results) else 0
