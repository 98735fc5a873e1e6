"""Flow tests: scenario files that say what is given and what must come of it, run in virtual time."""

from solarflow.scenario.files import LoadedFile, find_files, json_schema, load_file
from solarflow.scenario.run import Outcome, run

__all__ = ["LoadedFile", "Outcome", "find_files", "json_schema", "load_file", "run"]
