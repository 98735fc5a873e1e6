"""Puts a backup in place of a project's state: checked before, exchanged as a whole, what was there kept aside.

Everything new is first unpacked and checked beside what is there. Then one file, the journal, says what is to take
whose place; from the moment it is there, a restore that was killed is finished by the next `solarflow run`, `check`,
`backup` or `restore` of the project, and before it nothing has changed. So what solarflow runs is old or new.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from solarflow.archive import DATA, PROJECT, Manifest, check_data, sync_folder, unpack
from solarflow.errors import StoreError, UsageError
from solarflow.instance import TOKEN_FILE
from solarflow.store.folder import LOCK
from solarflow.store.lock import FolderLock

WORK: Final = ".solarflow"
"""The folder in a project for what is under way."""
JOURNAL: Final = "restore.json"
_LOCK: Final = "restore.lock"
_NEW: Final = "restore-new"


@dataclass(frozen=True, slots=True)
class Move:
    """One thing that takes another's place: `new` becomes `target`, and what was there becomes `aside`."""

    new: Path
    target: Path
    aside: Path


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did."""

    manifest: Manifest
    kept: tuple[Path, ...]
    """Where what was there is now."""


def check_backup(archive: Path, beside: Path) -> Manifest:
    """Check a backup as `restore` does, unpacking it into `beside`, an empty folder. Raises StoreError."""
    manifest = unpack(archive, beside)
    check_data(archive, beside / DATA)
    return manifest


def restore(archive: Path, project: Path, data: Path) -> Restored:
    """Put a backup in place of a project folder's flows and of its data folder; both are made where they are missing.

    Flow files that the backup does not name stay, and so do credentials and the access token where it has none.
    Raises StoreError or UsageError where the backup is not right, an instance runs on the data folder, or the disk
    refuses; then everything is as it was.
    """
    if not archive.is_file():
        raise UsageError(f"there is no file {archive}")
    if project.exists() and not project.is_dir():
        raise UsageError(f"{project} is a file; restore to a folder")
    data = data.resolve()
    if data.is_mount():
        raise UsageError(
            f"{data} is where a disk is mounted, and cannot be exchanged as a whole; put the data folder one level "
            "below (--data), or restore elsewhere and copy the files"
        )
    made = [folder for folder in (project, data.parent) if not folder.exists()]
    try:
        for folder in made:
            folder.mkdir(parents=True, exist_ok=True)
        with _alone(project), ExitStack() as locks:
            finish(project)
            _lock(data, locks)
            return _restore(archive, project, data, locks)
    except BaseException as error:
        for folder in made:
            if not (project / WORK / JOURNAL).exists():
                shutil.rmtree(folder, ignore_errors=True)  # it was not there, and nothing is in it but ours
        if isinstance(error, OSError):
            raise StoreError(
                f"the backup cannot be restored to {project}: {error.strerror or error} ({error.filename}). "
                f"{_standing(project)}"
            ) from error
        raise


def _standing(project: Path) -> str:
    if (project / WORK / JOURNAL).exists():
        return "It stopped in the middle: `solarflow check` on the project finishes it"
    return "Everything is as it was"


def finish_interrupted(project: Path) -> bool:
    """Finish a restore that was killed after it had begun to replace; True where there was one.

    Raises UsageError where one is under way, StoreError where it cannot be finished.
    """
    root = project if project.is_dir() else project.parent
    if not (root / WORK / JOURNAL).exists():
        return False
    with _alone(root), ExitStack() as locks:
        try:
            for folder in json.loads((root / WORK / JOURNAL).read_text(encoding="utf-8"))["data"]:
                _lock(Path(folder), locks)
            return finish(root)
        except OSError as error:
            raise StoreError(
                f"a restore of {root} was interrupted and cannot be finished: {error.strerror or error} "
                f"({error.filename}). Mend that, then call `solarflow check` on the project"
            ) from error


@contextmanager
def _alone(project: Path) -> Iterator[None]:
    """One restore of a project at a time."""
    work = project / WORK
    work.mkdir(exist_ok=True)
    descriptor = os.open(work / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"a restore of {project} is under way; wait for its end") from None
        yield
    finally:
        os.close(descriptor)


def _lock(data: Path, locks: ExitStack) -> None:
    """Hold a data folder, so that no instance begins on it. Raises StoreError where one runs."""
    if data.is_dir():
        locks.callback(FolderLock(data / LOCK).release)


def _restore(archive: Path, project: Path, data: Path, locks: ExitStack) -> Restored:
    stage = data.parent / f".{data.name}.{_NEW}"
    near = project / WORK / _NEW
    for left in (stage, near):  # by one that was killed before it replaced anything
        shutil.rmtree(left, ignore_errors=True)
    try:
        stage.mkdir(mode=0o700)
        manifest = check_backup(archive, stage)
        if not (stage / DATA / TOKEN_FILE).exists() and (data / TOKEN_FILE).exists():
            _copy(data / TOKEN_FILE, stage / DATA / TOKEN_FILE)
        near.mkdir(mode=0o700)
        moves = _moves(manifest, stage, near, project, data)
        _check_disks(moves)
        if os.geteuid() == 0:
            for folder, like in ((stage, data if data.exists() else project), (near, project)):
                _give(folder, like)
        for folder in (stage, stage / DATA, near):
            sync_folder(folder)
        _lock(stage / DATA, locks)  # whoever comes right after the exchange waits for the end of it
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        shutil.rmtree(near, ignore_errors=True)
        raise
    kept = [move.aside for move in moves if os.path.lexists(move.target)]
    _write_journal(project, moves, (stage / DATA, data), (stage, near))
    try:
        finish(project)
    except OSError:
        _undo(moves)  # where that fails too the journal stays, and says how it goes on
        (project / WORK / JOURNAL).unlink()
        for folder in (stage, near):
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return Restored(manifest, tuple(dict.fromkeys(_top(aside, project) for aside in kept)))


def _top(aside: Path, project: Path) -> Path:
    """Where something is kept: the folder in the project that holds it."""
    return project / aside.relative_to(project).parts[0] if aside.is_relative_to(project) else aside


def _check_disks(moves: list[Move]) -> None:
    """Raise StoreError where something could not be exchanged by giving it another name."""
    for move in moves:
        for path in (move.target, move.aside):
            there = next(folder for folder in path.parents if folder.exists())
            if there.stat().st_dev != move.new.stat().st_dev:
                raise StoreError(
                    f"{path} would lie on another disk than {move.new}, and cannot be exchanged in one step; restore "
                    "to another folder and copy the files. Nothing was changed"
                )


def _give(folder: Path, like: Path) -> None:
    """Give everything in a folder to the owner of another: root restores for the user that the service runs as."""
    owner = like.stat()
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)


def _moves(manifest: Manifest, stage: Path, near: Path, project: Path, data: Path) -> list[Move]:
    """What takes whose place; the project's new files lie on the project's own disk then."""
    stamp = _free_stamp(project, data)
    moves = [Move(stage / DATA, data, data.with_name(f"{data.name}.before-restore-{stamp}"))]
    for packed in manifest.files:
        if not packed.path.startswith(f"{PROJECT}/"):
            continue
        inside = packed.path.removeprefix(f"{PROJECT}/")
        new = near / inside
        _copy(stage / packed.path, new)
        if inside != "credentials.json":
            new.chmod(0o644)
        moves.append(Move(new, project / inside, project / f"flows.before-restore-{stamp}" / inside))
    return moves


def _free_stamp(project: Path, data: Path) -> str:
    stamp = now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    number = 1
    while any(
        (folder / f"{name}.before-restore-{stamp}").exists()
        for folder, name in ((data.parent, data.name), (project, "flows"))
    ):
        number += 1
        stamp = f"{now}-{number}"
    return stamp


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(source.read_bytes())
        file.flush()
        os.fsync(file.fileno())
    sync_folder(target.parent)


def _write_journal(project: Path, moves: list[Move], data: tuple[Path, ...], leftovers: tuple[Path, ...]) -> None:
    """From the moment that this file is there, the restore will be finished."""
    text = json.dumps(
        {
            "moves": [[str(_absolute(path)) for path in (move.new, move.target, move.aside)] for move in moves],
            "data": [str(_absolute(path)) for path in data],
            "leftovers": [str(_absolute(path)) for path in leftovers],
        },
        indent=2,
    )
    beside = project / WORK / f"{JOURNAL}.new"
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(project / WORK / JOURNAL)
    sync_folder(project / WORK)


def _absolute(path: Path) -> Path:
    """The path for whoever reads it elsewhere; a link at its end stays one, and is exchanged itself."""
    return path.parent.resolve() / path.name


def finish(project: Path) -> bool:
    """Do what the journal says, from wherever it stopped; True where there is one. The caller holds `_alone`."""
    journal = project / WORK / JOURNAL
    try:
        said = json.loads(journal.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    moves = [Move(*map(Path, paths)) for paths in said["moves"]]
    for move in moves:
        _move(move)
    for folder in {path.parent for move in moves for path in (move.target, move.aside) if path.parent.is_dir()}:
        sync_folder(folder)
    for leftover in said["leftovers"]:
        shutil.rmtree(leftover, ignore_errors=True)
    journal.unlink()
    sync_folder(journal.parent)
    return True


def _move(move: Move) -> None:
    if not os.path.lexists(move.new):
        return  # done before
    if os.path.lexists(move.target):
        if os.path.lexists(move.aside):
            raise StoreError(
                f"a restore that was interrupted cannot be finished: {move.target} is there again, and {move.aside} "
                f"holds what was there before. Move one of them away, then call `solarflow check` on the project"
            )
        move.aside.parent.mkdir(parents=True, exist_ok=True)
        move.target.rename(move.aside)
    move.target.parent.mkdir(parents=True, exist_ok=True)
    move.new.rename(move.target)


def _undo(moves: list[Move]) -> None:
    for move in reversed(moves):
        if not os.path.lexists(move.new) and os.path.lexists(move.target):
            move.target.rename(move.new)
        if os.path.lexists(move.aside):
            move.aside.rename(move.target)
