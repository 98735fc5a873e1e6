"""`solarflow check`, `deploy`, `new`: what one does with a project's files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click

import solarflow
from solarflow.cli.common import RunningInstance, check_project_path, counted, data_folder, project_argument
from solarflow.errors import UsageError, describe
from solarflow.graph import check_project
from solarflow.manifest import load_project
from solarflow.registry import load_registry


@click.command(epilog="Example: solarflow check my-community --json")
@project_argument
@click.option("--json", "as_json", is_flag=True, help="One JSON object: problems, errors, warnings.")
@click.pass_context
def check(ctx: click.Context, project: Path, as_json: bool) -> None:
    """List all that is wrong with PROJECT: file, node, property, what, and how to mend it. Exit code 1 for errors."""
    import os

    check_project_path(project)
    registry = load_registry()
    checked = check_project(load_project(project, registry, os.environ), registry, os.environ)
    problems = list(checked.problems)
    errors = sum(problem.severity == "error" for problem in problems)
    if as_json:
        listed = [problem.as_json() for problem in problems]
        click.echo(json.dumps({"problems": listed, "errors": errors, "warnings": len(listed) - errors}, indent=2))
    elif problems:
        click.echo(describe(problems))
        click.echo(f"{counted(errors, 'error')}, {counted(len(problems) - errors, 'warning')}")
    else:
        nodes = len(checked.plan.nodes) if checked.plan is not None else 0
        flows = len(checked.plan.flows) if checked.plan is not None else 0
        click.echo(f"no problems: {flows} flows, {nodes} nodes")
    ctx.exit(1 if errors else 0)


@click.command(epilog="Example: solarflow deploy my-community --mode flows")
@project_argument
@click.option("--data", type=click.Path(path_type=Path), help="The running instance's data folder.  [PROJECT/data]")
@click.option(
    "--mode", type=click.Choice(["nodes", "flows", "full"]), default="nodes", show_default=True,
    help="What restarts: changed nodes, all nodes of changed flows, or everything. State is kept.",
)  # fmt: skip
def deploy(project: Path, data: Path | None, mode: str) -> None:
    """Tell the running instance of PROJECT to take the files as they are now."""
    check_project_path(project)
    answer = RunningInstance(data_folder(project, data)).ask("POST", f"/api/admin/deploy?mode={mode}")
    for text in answer.get("warnings", []):
        click.echo(text)
    click.echo(
        f"deployed: {len(answer['started'])} nodes started, {len(answer['stopped'])} stopped, "
        f"{len(answer['kept'])} untouched"
    )


IGNORED = """# what a running SolarFlow keeps; the flows are what belongs into git
data/
.solarflow/
*.before-restore-*/
credentials.json
"""


@click.command(epilog="Example: solarflow new my-community && solarflow run my-community")
@click.argument("directory", type=click.Path(path_type=Path))
def new(directory: Path) -> None:
    """Make a project in DIRECTORY, with the shipped flows to begin from."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UsageError(f"{directory} is there already and not empty; name a new folder")
    shipped = Path(solarflow.__file__).parent
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {directory}: {error.strerror}; name another one") from error
    shutil.copy(shipped / "flows.json", directory / "flows.json")
    shutil.copytree(shipped / "flows", directory / "flows", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    (directory / ".gitignore").write_text(IGNORED)
    flows = json.loads((directory / "flows.json").read_text())["flows"]
    click.echo(f"made {directory} with {len(flows)} flows: {', '.join(Path(flow).stem for flow in flows)}")
    click.echo(f"run it with: solarflow run {directory}")
