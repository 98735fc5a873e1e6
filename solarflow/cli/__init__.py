"""The command line, `solarflow`: a table of commands, each imported when it is called."""

from __future__ import annotations

import logging
import sys
from typing import Any

import click

from solarflow import __version__
from solarflow.errors import FlowError, SolarFlowError, describe, nearest

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Commands(click.Group):
    """A group whose mistakes are one clear line each, and whose commands are imported when they are called."""

    MODULES = {
        "run": "run", "demo": "demo", "simulate": "simulate", "check": "project", "deploy": "project",
        "new": "project", "test": "test", "fmt": "fmt", "diff": "diff", "logs": "logs",
        "backup": "backup", "restore": "backup", "doctor": "doctor",
        "nodes": "palette", "homes": "homes", "replay": "replay", "bench": "bench",
    }  # fmt: skip

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The commands in the order in which one meets them."""
        return list(self.MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module that has it."""
        module = self.MODULES.get(cmd_name)
        if module is None:
            hint = nearest(cmd_name, self.MODULES)
            ctx.fail(f"there is no command '{cmd_name}'{hint or '; `solarflow --help` lists them'}")
        from importlib import import_module

        command = getattr(import_module(f"solarflow.cli.{module}"), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101 - a table of our own
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run, and turn what is raised on purpose into one line and an exit code."""
        try:
            return super().invoke(ctx)
        except FlowError as error:
            click.echo(describe(error.problems), err=True)
            errors = sum(problem.severity == "error" for problem in error.problems)
            click.echo(f"{errors} {'error' if errors == 1 else 'errors'}; nothing was started or changed", err=True)
            ctx.exit(1)
        except SolarFlowError as error:
            click.echo(f"solarflow: {error}", err=True)
            ctx.exit(1)


@click.group(cls=Commands, context_settings=CONTEXT)
@click.version_option(__version__, prog_name="solarflow")
@click.option("-v", "--verbose", is_flag=True, help="Show more of what happens inside.")
def main(verbose: bool) -> None:
    """SolarFlow: a flow engine for residential solar communities.

    \b
    Examples:
      solarflow demo                          a simulated community, at once
      solarflow new my-community              a project with the shipped flows
      solarflow check my-community            all that is wrong with it
      solarflow test my-community             try its flows on their scenarios, in virtual time
      solarflow run my-community              run it, with a broker of its own
    """
    set_up_logging(verbose)


def set_up_logging(verbose: bool) -> None:
    """Lines on the console: time, what, and nothing of libraries unless it is bad."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("solarflow").setLevel(logging.DEBUG if verbose else logging.INFO)
