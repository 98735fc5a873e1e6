"""Runs a command in this process, and puts the logging back that it set up."""

from __future__ import annotations

import logging
from pathlib import Path

from click.testing import CliRunner, Result

from solarflow.cli import main

ROOT = Path(__file__).parent.parent.parent


def run(*arguments: object, **options: object) -> Result:
    """`solarflow ARGUMENTS`; what it raises apart from its exit code fails the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False, **options)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    return result


def make_project(folder: Path) -> Path:
    """A project as `solarflow new` makes it."""
    assert run("new", folder / "community").exit_code == 0
    return folder / "community"
