"""Flow tests: scenario files that say what is given and what must come of it, run in virtual time."""

from solarflow.scenario.files import Case, LoadedFile, cases_of, find_files, json_schema, load_all, load_file
from solarflow.scenario.report import describe
from solarflow.scenario.run import Outcome, run

__all__ = [
    "Case", "LoadedFile", "Outcome", "cases_of", "describe", "find_files", "json_schema", "load_all", "load_file",
    "run",
]  # fmt: skip
