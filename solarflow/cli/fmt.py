"""`solarflow fmt`: flow files in their canonical text."""

from __future__ import annotations

from pathlib import Path

import click

from solarflow.canonical import Canonical, canonical, files_of
from solarflow.errors import SolarFlowError, describe
from solarflow.registry import load_registry


@click.command(epilog="Example: solarflow fmt my-community --check")
@click.argument("paths", metavar="[PROJECT|FILES]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Change nothing; exit code 1 where a file would change.")
@click.pass_context
def fmt(ctx: click.Context, paths: tuple[Path, ...], check: bool) -> None:
    """Write flow files and flows.json in their canonical text, so that a diff shows nothing but changes.

    Default: the project in this folder. The meaning stays; the earlier text is kept in .versions. A file that cannot
    be read is told and not touched (exit code 1).
    """
    registry = load_registry()
    looked_at = [canonical(path, file, registry) for path, file in dict(files_of(paths or (Path(),))).items()]
    for found in looked_at:
        if found.differs:
            if not check:
                _save(found)
            click.echo(f"{found.file}: {'would change' if check else 'canonical now'}")
    problems = [problem for found in looked_at for problem in found.problems]
    if problems:
        click.echo(describe(problems), err=True)
    changed = sum(found.differs for found in looked_at)
    broken = sum(bool(found.problems) for found in looked_at)
    parts = [f"{changed} {'would change' if check else 'changed'}", f"{len(looked_at) - changed - broken} as they were"]
    click.echo(", ".join([*parts, *([f"{broken} not touched"] if broken else [])]))
    ctx.exit(1 if broken or (check and changed) else 0)


def _save(found: Canonical) -> None:
    try:
        found.save()
    except OSError as error:
        raise SolarFlowError(
            f"{found.file} cannot be written ({error.strerror}) and is as it was; check its rights"
        ) from error
