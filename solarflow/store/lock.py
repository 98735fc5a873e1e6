"""The lock of a data folder: one program writes to it, and a second one is told which."""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from solarflow.errors import StoreError

ATTEMPTS = 10
ATTEMPT_SECONDS = 0.02
"""Someone who only asks who holds the lock has it for an instant; a start waits that out."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The program that holds a data folder, as its lock file tells."""

    pid: int
    start: str
    """When it took the folder: ISO 8601, UTC."""
    port: int | None = None
    """The port on which it answers; None until it told."""

    def __str__(self) -> str:
        port = f", on port {self.port}" if self.port is not None else ""
        return f"the solarflow with process id {self.pid}, started {self.start}{port}"


class FolderLock:
    """An exclusive `flock` on a file, held until `release` or the end of the process, however it ends.

    The file stays: removing it would let two programs lock two files of one name.
    """

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises StoreError when another program has it (its text names that program) or the file cannot be written.
        """
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"cannot lock the data folder {path.parent}: {error.strerror}. "
                "Give this user the right to write there, or choose another folder with --data"
            ) from error
        try:
            self._take()
            self._write(Holder(os.getpid(), datetime.now(UTC).isoformat(timespec="seconds")))
        except BaseException:
            os.close(self._descriptor)
            raise

    def _take(self) -> None:
        for attempt in range(ATTEMPTS):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if attempt < ATTEMPTS - 1:
                    time.sleep(ATTEMPT_SECONDS)
            else:
                return
        holder = _read(self.path) or "another program"
        raise StoreError(
            f"the data folder {self.path.parent} is in use by {holder}. "
            "Stop that one first, or give this one a folder of its own with --data"
        )

    def announce(self, port: int) -> None:
        """Write into the lock file on which port this program answers. Raises StoreError."""
        self._write(Holder(self._holder.pid, self._holder.start, port))

    def _write(self, holder: Holder) -> None:
        self._holder = holder
        text = json.dumps(asdict(holder)).encode() + b"\n"
        try:
            os.pwrite(self._descriptor, text, 0)
            os.ftruncate(self._descriptor, len(text))
        except OSError as error:
            raise StoreError(
                f"cannot write {self.path}: {error.strerror}. Make space on its disk, or check it; then start again"
            ) from error

    def release(self) -> None:
        """Give the folder free."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def holder_of(path: Path) -> Holder | None:
    """Who holds the lock file at `path` now; None when nobody does, whatever a program that was killed left in it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}. Run this as the user who runs solarflow") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(path)
    else:
        return None
    finally:
        os.close(descriptor)


def _read(path: Path) -> Holder | None:
    """What the lock file says; None while its holder is just about to write it."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return Holder(int(fields["pid"]), str(fields["start"]), fields["port"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
