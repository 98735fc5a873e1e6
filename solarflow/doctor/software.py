"""What `solarflow doctor` looks at in software: versions, project, settings, secrets, databases."""

from __future__ import annotations

import platform
import re
import sqlite3
import sys
from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any, Final
from zoneinfo import ZoneInfo

from solarflow import __version__
from solarflow.doctor.finding import Finding, Patient
from solarflow.graph import check_project
from solarflow.instance import BROKER_USERS_FILE, TOKEN_FILE, read_broker_users
from solarflow.manifest import CREDENTIALS, read_project
from solarflow.mqtt import supported
from solarflow.registry import load_registry
from solarflow.restore import JOURNAL, WORK
from solarflow.store import DataFolder
from solarflow.store.database import MINIMUM_SQLITE

SAFE_SQLITE: Final = (3, 51, 3)
"""The first version without the error by which several writers of one WAL can damage a database (sqlite.org/wal.html,
"the WAL-reset bug")."""
MINIMUM_PYTHON: Final = (3, 11)


def python(_patient: Patient) -> Iterator[Finding]:
    """The interpreter."""
    found = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info[:2] < MINIMUM_PYTHON:
        yield Finding("Python", "problem", f"{found} is too old", "install Python 3.11 or newer, and solarflow with it")
    else:
        yield Finding("Python", "ok", found)


def libraries(_patient: Patient) -> Iterator[Finding]:
    """What solarflow stands on."""
    names = [re.split(r"[^\w.-]", line)[0] for line in requires("solarflow") or () if "extra ==" not in line]
    there: dict[str, str] = {}
    for name in names:
        try:
            there[name] = version(name)
        except PackageNotFoundError:
            yield Finding("libraries", "problem", f"{name} is not installed", f"pip install {name}")
    shown = ", ".join(f"{name} {there[name]}" for name in ("paho-mqtt", "amqtt", "pydantic", "numpy") if name in there)
    yield Finding("libraries", "ok", f"solarflow {__version__}, {shown}")
    missing = supported()
    if missing:
        yield Finding(
            "MQTT client", "warning",
            f"paho-mqtt {there.get('paho-mqtt', '?')} lacks {', '.join(missing)}: its own reader is used, which takes "
            "several times the processor time for each message",
            'pip install "paho-mqtt>=2.2,<2.3"',
        )  # fmt: skip
    else:
        yield Finding("MQTT client", "ok", "the fast reader fits this paho-mqtt")


def sqlite(_patient: Patient) -> Iterator[Finding]:
    """The database library."""
    found = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < MINIMUM_SQLITE:
        needed = ".".join(map(str, MINIMUM_SQLITE))
        yield Finding("SQLite", "problem", f"{found} is too old: {needed} is needed", "use a newer Python or system")
    elif sqlite3.sqlite_version_info < SAFE_SQLITE:
        yield Finding(
            "SQLite", "ok",
            f"{found}: before 3.51.3 two writers of one database can damage it; solarflow writes with one connection "
            "only (see 'writers'). Do not open the databases for writing with other programs",
        )  # fmt: skip
    else:
        yield Finding("SQLite", "ok", found)


def project(patient: Patient) -> Iterator[Finding]:
    """Whether the project can be run."""
    where = patient.project
    if not where.exists():
        yield Finding("project", "problem", f"there is nothing at {where}", f"solarflow new {where}, or name another")
        return
    registry = load_registry()
    checked = check_project(read_project(where), registry, patient.environ)
    errors = [problem for problem in checked.problems if problem.severity == "error"]
    warnings = len(checked.problems) - len(errors)
    mend = f"solarflow check {where} lists all, with what to do"
    if errors:
        first = f"the first: {errors[0].where}: {errors[0].what}"
        yield Finding("project", "problem", f"{len(errors)} errors, {warnings} warnings; {first}", mend)
    elif warnings:
        yield Finding("project", "warning", f"{warnings} warnings", mend)
    elif checked.plan is not None:
        yield Finding("project", "ok", f"{len(checked.plan.flows)} flows, {len(checked.plan.nodes)} nodes, no problems")


def time_zone(patient: Patient) -> Iterator[Finding]:
    """Whether pages and tariffs know where they are."""
    settings: dict[str, Any] = read_project(patient.project).settings if patient.project.exists() else {}
    name = settings.get("timezone")
    if name is None:
        yield Finding(
            "time zone", "warning", "none is set: pages, tariffs and schedules use UTC",
            'set it in flows.json: "settings": {"timezone": "Europe/Rome"}',
        )  # fmt: skip
    else:
        yield Finding("time zone", "ok", f"{name}, where it is {datetime.now(ZoneInfo(name)):%Y-%m-%d %H:%M}")


def restore(patient: Patient) -> Iterator[Finding]:
    """Whether a restore was interrupted."""
    if (patient.root / WORK / JOURNAL).exists():
        yield Finding(
            "restore", "problem", "a restore of this project was interrupted, or is under way",
            f"solarflow check {patient.project} finishes it",
        )  # fmt: skip


def secrets(patient: Patient) -> Iterator[Finding]:
    """Whether only their owner can read them."""
    paths = (patient.root / CREDENTIALS, patient.data / BROKER_USERS_FILE, patient.data / TOKEN_FILE)
    there = [path for path in paths if path.exists()]
    for path in there:
        if path.stat().st_mode & 0o077:
            mode = f"{path.stat().st_mode & 0o777:o}"
            yield Finding("secrets", "problem", f"others can read {path} (mode {mode})", f"chmod 600 {path}")
    users = len(read_broker_users(patient.data))
    if all(path.stat().st_mode & 0o077 == 0 for path in there):
        names = ", ".join(path.name for path in there) or "no file with secrets is there yet"
        yield Finding("secrets", "ok", f"{names}; {users} homes have a credential at the embedded broker")


def databases(patient: Patient) -> Iterator[Finding]:
    """Whether they can be read by this version."""
    if not (patient.data / "telemetry.db").exists():
        return
    with DataFolder.read_only(patient.data) as reader:
        homes, waiting = len(reader.homes.all()), len(reader.homes.pending())
    sizes = [f"{path.name} {path.stat().st_size / 1e6:.1f} MB" for path in sorted(patient.data.glob("*.db"))]
    yield Finding("databases", "ok", f"{', '.join(sizes)}; {homes} homes, {waiting} wait for approval")
