"""`solarflow doctor`: what is wrong with machine, project and data, and what to do."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

import click

from solarflow.cli.common import data_folder, project_argument
from solarflow.doctor import Finding, Patient, examine
from solarflow.flowdiff_text import printable

COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command(epilog="Example: solarflow doctor my-community --broker mqtts://hub:secret@broker.example")
@project_argument
@click.option("--data", type=click.Path(path_type=Path), help="The data folder.  [default: PROJECT/data]")
@click.option(
    "--broker", default="", envvar="SOLARFLOW_BROKER", show_envvar=True,
    help="Also try this broker: mqtt://… or mqtts://…, as for `run`.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object: checks, problems, warnings.")
@click.pass_context
def doctor(ctx: click.Context, project: Path, data: Path | None, broker: str, as_json: bool) -> None:
    """Look at everything that running PROJECT needs, and say of each what to do. Exit code 1 where there is a problem.

    Versions, project, time zone, rights, secrets, databases, disk, who writes, clock, ports, the running instance and,
    where one is named, a broker. It changes nothing, and may be called while an instance runs.
    """
    logging.getLogger("solarflow").setLevel(logging.CRITICAL)  # what it would log is among the findings
    patient = Patient(project, data_folder(project, data), os.environ, broker)
    found = []
    for finding in examine(patient):
        found.append(finding)
        if not as_json:
            _tell(finding)
    problems = sum(finding.verdict == "problem" for finding in found)
    warnings = sum(finding.verdict == "warning" for finding in found)
    if as_json:
        checks = [finding.as_json() for finding in found]
        click.echo(json.dumps({"checks": checks, "problems": problems, "warnings": warnings}, indent=2))
    else:
        click.echo(f"{problems} problems, {warnings} warnings")
    ctx.exit(1 if problems else 0)


def _tell(finding: Finding) -> None:
    verdict = f"{finding.verdict:<8}"
    shown = click.style(verdict, fg=COLOURS[finding.verdict]) if sys.stdout.isatty() else verdict
    click.echo(f"{shown} {finding.check:<12} {printable(finding.text)}")
    if finding.mend:
        click.echo(f"{'':<22}-> {printable(finding.mend)}")
