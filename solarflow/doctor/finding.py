"""What a check of `solarflow doctor` finds, and what it looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from solarflow.store import DataFolder, Holder

Verdict = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    check: str
    verdict: Verdict
    text: str
    mend: str = ""
    """What to do about it; empty where all is well."""

    def as_json(self) -> dict[str, str]:
        """For machines."""
        return {"check": self.check, "verdict": self.verdict, "text": self.text, "mend": self.mend}


@dataclass(frozen=True, slots=True)
class Patient:
    """What is looked at."""

    project: Path
    data: Path
    environ: Mapping[str, str]
    broker: str = ""
    """The address of a broker to try; empty: none."""

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.project if self.project.is_dir() else self.project.parent

    def holder(self) -> Holder | None:
        """Which program has the data folder. Raises StoreError where that cannot be found out."""
        return DataFolder.holder(self.data)
