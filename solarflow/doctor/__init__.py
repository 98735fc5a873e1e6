"""Looks whether a machine, a project and its data folder are fit to run, and says of each thing what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from solarflow.doctor import machine, network, software
from solarflow.doctor.finding import Finding, Patient
from solarflow.errors import SolarFlowError

__all__ = ["Finding", "Patient", "examine"]

Check = Callable[[Patient], Iterator[Finding]]


CHECKS: Final[tuple[tuple[str, Check], ...]] = (
    ("Python", software.python), ("libraries", software.libraries), ("SQLite", software.sqlite),
    ("project", software.project), ("time zone", software.time_zone), ("restore", software.restore),
    ("data folder", machine.data_folder), ("secrets", software.secrets), ("databases", software.databases),
    ("disk", machine.disk), ("writing", machine.writing), ("writers", machine.writers),
    ("clock", machine.clock), ("ports", network.ports),
    ("instance", network.instance), ("broker", network.broker),
)  # fmt: skip
"""What is looked at, in this order, and what a check that fails itself is called."""


def examine(patient: Patient) -> Iterator[Finding]:
    """All findings, each as soon as it is there. A check that fails is a finding itself."""
    for name, check in CHECKS:
        try:
            yield from check(patient)
        except SolarFlowError as error:
            yield Finding(name, "problem", str(error), "mend that and call this again")
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            yield Finding(
                name, "problem", f"cannot be looked at: {where}{error.strerror or error}",
                "run this as the user who runs solarflow",
            )  # fmt: skip
