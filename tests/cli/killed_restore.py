"""Restores in processes that are killed at their n-th step on the disk; prints for each what was left, as JSON.

    python killed_restore.py PRISTINE ARCHIVE WORK

A step is whatever Python's audit events tell that changes a file system. Processes are forked: starting Python for each
would take minutes.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from archives import marks

from solarflow.restore import finish_interrupted, restore

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "os.truncate", "shutil.rmtree"}


class Killer:
    """Kills this process at the n-th step, before it is done."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in CHANGES or writes:
            self.left -= 1
            if self.left < 0:
                os.kill(os.getpid(), signal.SIGKILL)


def killed(project: Path, archive: Path, at: int) -> bool:
    """Whether the restore was killed, or was through before."""
    child = os.fork()
    if child == 0:
        try:
            sys.addaudithook(Killer(at))
            restore(archive, project, project / "data")
        except BaseException:
            traceback.print_exc()
            os._exit(1)
            raise
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return True
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"the restore failed at step {at}")
    return False


def tell(pristine: Path, archive: Path, project: Path, at: int) -> dict[str, Any]:
    """What one restore left, and what the next command makes of it."""
    shutil.copytree(pristine, project)
    died = killed(project, archive, at)
    committed = (project / ".solarflow" / "restore.json").exists()
    before = None if committed else marks(project)
    finished = finish_interrupted(project)
    after = marks(project)
    shutil.rmtree(project)
    return {"step": at, "killed": died, "committed": committed, "finished": finished, "before": before, "after": after}


def main(pristine: Path, archive: Path, work: Path) -> None:
    """Every step from shortly before the journal on, and every fifth of those before."""
    at, stride = 0, 5
    while True:
        found = tell(pristine, archive, work / str(at) / "community", at)
        if found["committed"] and stride > 1:
            at, stride = max(at - stride + 1, 0), 1
            continue
        sys.stdout.write(json.dumps(found) + "\n")
        if not found["killed"]:
            return
        at += stride


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
