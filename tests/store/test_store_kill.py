"""A program that is killed while it writes: the file opens, the rollups are right, what was committed is there."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from solarflow.store import DataFolder, StateChanges

START = 1_720_000_000.0
HOMES = ("casa_A", "casa_B", "casa_C")
# Forked, so that ten of them do not each take the time to import everything.
CONTEXT = multiprocessing.get_context("fork")


def write_until_killed(path: Path, committed: Connection) -> None:
    """Commits second after second, every fifth sample late or twice, each time telling the number of the second."""
    with DataFolder(path) as folder:
        second = int(folder.telemetry.load_state().saved_at)
        while True:
            second += 1
            for home in HOMES:
                for part in range(10):
                    back = 300 if part % 5 == 4 and second > 300 else 0
                    folder.telemetry.append(home, "production_w", START + second + part / 10 - back, float(second))
            folder.telemetry.append("all", "second", START + second, float(second))
            folder.commit(StateChanges(states={("counter", "all"): str(second).encode()}, saved_at=float(second)))
            committed.send(second)


def test_a_killed_program_loses_at_most_what_it_had_not_committed(tmp_path: Path) -> None:
    told = 0
    for kill in range(10):
        ours, theirs = CONTEXT.Pipe(duplex=False)
        process = CONTEXT.Process(target=write_until_killed, args=(tmp_path, theirs))
        process.start()
        theirs.close()
        try:
            for _ in range(20 + 7 * kill):  # it runs on while these are read: the kill comes at any point
                told = ours.recv()
        finally:
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        try:
            while True:
                told = ours.recv()
        except EOFError:
            ours.close()
        with DataFolder(tmp_path) as folder:
            saved = folder.telemetry.load_state()
            assert saved.saved_at >= told
            second = int(saved.saved_at)
            assert saved.states == {("counter", "all"): str(second).encode()}
            # State and samples are of one moment.
            assert folder.telemetry.latest("all", "second") == (START + second, float(second))
            assert len(folder.telemetry.samples("all", "second", 0, math.inf)) == second
            database = folder.telemetry.connection.database
            assert database.execute("pragma integrity_check").fetchone() == ("ok",)
            kept = database.execute(
                "select series, hour, n, sum, minimum, maximum from hourly order by 1, 2"
            ).fetchall()
            right = database.execute(
                "select series, ts_ms / 3600000, count(*), sum(value), min(value), max(value) from samples"
                " group by 1, 2 order by 1, 2"
            ).fetchall()
            assert [row[:3] + row[4:] for row in kept] == [row[:3] + row[4:] for row in right]
            assert [row[3] for row in kept] == pytest.approx([row[3] for row in right])
    assert told > 300  # far enough for late samples
