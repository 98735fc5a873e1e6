"""What `solarflow doctor` looks at on the machine: folder, disk, who writes, clock."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from solarflow.doctor.finding import Finding, Patient

LOW_BYTES: Final = 1_000_000_000
"""Below this the free space is a warning ..."""
LOWEST_BYTES: Final = 100_000_000
"""... and below this a problem."""
SLOW_FSYNC_S: Final = 0.5
"""The engine writes once a second; a disk that takes this long for it holds it up."""
SKEW_S: Final = 120.0
_FIRST_YEAR: Final = 2025


def data_folder(patient: Patient) -> Iterator[Finding]:
    """Whether it is ours, and only ours."""
    data = patient.data
    if not data.exists():
        yield Finding("data folder", "ok", f"{data} is not there yet; the first `solarflow run` makes it")
        return
    status = data.stat()
    mode = status.st_mode & 0o777
    if os.geteuid() not in (0, status.st_uid):
        yield Finding(
            "data folder", "problem", f"{data} belongs to user {status.st_uid}, and this is user {os.geteuid()}",
            "run this, and solarflow, as that user",
        )  # fmt: skip
    elif mode & 0o077:
        yield Finding("data folder", "warning", f"others can look into {data} (mode {mode:o})", f"chmod 700 {data}")
    else:
        yield Finding("data folder", "ok", f"{data}, for its owner only")


def _nearest(path: Path) -> Path:
    """The path, or the folder above it that is there."""
    path = path.resolve()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def disk(patient: Patient) -> Iterator[Finding]:
    """Whether there is room."""
    free = shutil.disk_usage(_nearest(patient.data)).free
    text = f"{free / 1e9:.1f} GB are free" if free >= LOW_BYTES else f"{free / 1e6:.0f} MB are free"
    mend = 'make room, or keep single readings for fewer days ("raw_days" in flows.json\'s settings)'
    if free < LOWEST_BYTES:
        yield Finding("disk", "problem", f"only {text}", mend)
    elif free < LOW_BYTES:
        yield Finding("disk", "warning", text, mend)
    else:
        yield Finding("disk", "ok", text)
    inodes = os.statvfs(_nearest(patient.data))
    if inodes.f_files and inodes.f_favail < 1000:
        yield Finding(
            "disk", "warning", f"it takes only {inodes.f_favail} more files", "remove files that nobody needs"
        )


def writing(patient: Patient) -> Iterator[Finding]:
    """Whether a file can be written and brought to the disk, and how fast."""
    folder = _nearest(patient.data)
    begun = time.perf_counter()
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * 65_536)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        yield Finding(
            "writing", "problem", f"{folder} cannot be written: {error.strerror or error}",
            "give this user the right to write there, or mend the disk",
        )  # fmt: skip
        return
    took = time.perf_counter() - begun
    if took > SLOW_FSYNC_S:
        yield Finding(
            "writing", "warning", f"64 kB took {took:.2f} s to the disk; the engine writes each second",
            "use an SSD, or a card made for it",
        )  # fmt: skip
    else:
        yield Finding("writing", "ok", f"64 kB are on the disk after {took * 1000:.0f} ms")


def writers(patient: Patient) -> Iterator[Finding]:
    """Who has the data folder, and whether anybody else has a database open for writing."""
    holder = patient.holder() if patient.data.is_dir() else None
    found = _open_for_writing(patient.data)
    others = sorted(found - {holder.pid}) if holder is not None else sorted(found)
    if others:
        who = ", ".join(f"{pid} ({_name(pid)})" for pid in others)
        yield Finding(
            "writers", "problem", f"a process other than solarflow's has a database open for writing: {who}",
            "end it: two writers can damage a database. Read with `sqlite3 -readonly`",
        )  # fmt: skip
    if holder is not None:
        yield Finding("writers", "ok", f"{holder}")
    elif not others:
        yield Finding("writers", "ok", "nobody has the data folder now")


def _open_for_writing(data: Path) -> set[int]:
    """The processes that have a database of the folder open for writing; of other users' only root learns.

    Linux tells it in /proc; elsewhere nothing is found.
    """
    databases = {str(path.resolve()) for path in data.glob("*.db")}
    found: set[int] = set()
    for folder in Path("/proc").glob("[0-9]*/fd") if databases else ():
        try:
            for descriptor in folder.iterdir():
                if str(descriptor.readlink()) in databases and _writes(folder.parent, descriptor.name):
                    found.add(int(folder.parent.name))
        except OSError:
            continue  # it has ended, or is another user's
    return found


def _writes(process: Path, descriptor: str) -> bool:
    lines = (process / "fdinfo" / descriptor).read_text().splitlines()
    flags = next(int(line.split()[1], 8) for line in lines if line.startswith("flags:"))
    return flags & os.O_ACCMODE != os.O_RDONLY


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "ended"


def clock(patient: Patient) -> Iterator[Finding]:
    """Whether the time can be right: readings, tariffs and certificates all hang on it."""
    now = time.time()
    shown = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S} UTC"
    files = [path for path in patient.data.glob("*") if path.is_file()] if patient.data.is_dir() else []
    newest = max(files, key=lambda path: path.stat().st_mtime, default=None)
    mend = "set the clock, and let it be kept: `timedatectl set-ntp true`"
    ahead = newest.stat().st_mtime - now if newest is not None else 0.0
    if datetime.fromtimestamp(now, UTC).year < _FIRST_YEAR:
        yield Finding("clock", "problem", f"it says {shown}, which is past", mend)
    elif newest is not None and ahead > SKEW_S:
        yield Finding("clock", "problem", f"it says {shown}, but {newest} was written {_span(ahead)} after that", mend)
    else:
        kept = _kept()
        if kept is False:
            yield Finding("clock", "warning", f"{shown}, but no time server keeps it (NTP is not in step)", mend)
        else:
            told = "kept by a time server" if kept else "whether a time server keeps it is not known here"
            yield Finding("clock", "ok", f"{shown}, {told}")


def _span(seconds: float) -> str:
    return f"{seconds / 86_400:.1f} days" if seconds > 86_400 else f"{seconds / 60:.0f} minutes"


def _kept() -> bool | None:
    """Whether a time server keeps the clock; None where the system does not tell."""
    program = shutil.which("timedatectl")
    if program is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - the system's own program, found above
            [program, "show", "--property=NTPSynchronized", "--value"],
            capture_output=True, text=True, timeout=5, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return {"yes": True, "no": False}.get(done.stdout.strip()) if done.returncode == 0 else None
