"""`solarflow backup` and `restore`: everything that an installation is, in one file, and back."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

import click

from solarflow.archive import DATA, PROJECT, Manifest
from solarflow.backup import make_backup
from solarflow.cli.common import check_project_path, data_folder, project_argument
from solarflow.errors import UsageError
from solarflow.manifest import CREDENTIALS
from solarflow.restore import check_backup
from solarflow.restore import restore as put_back


@click.command(epilog="Example: solarflow backup my-community --to /media/usb/")
@project_argument
@click.option("--data", type=click.Path(path_type=Path), help="The data folder.  [default: PROJECT/data]")
@click.option(
    "--to", "target", type=click.Path(path_type=Path),
    help="The file to make, or a folder for it.  [default: solarflow-NAME-TIME.tar.gz in this folder]",
)  # fmt: skip
@click.option("--with-secrets", is_flag=True, help="Also credentials.json and the access token; keep such a file safe.")
def backup(project: Path, data: Path | None, target: Path | None, with_secrets: bool) -> None:
    """Write databases, flows and the broker's users of PROJECT to one file, also while it runs.

    The databases are copied as they are at one moment each; the running instance goes on meanwhile. Only the owner of
    the file can read it. `solarflow restore FILE --check` checks it.
    """
    check_project_path(project)
    name = f"solarflow-{project.resolve().stem or 'project'}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar.gz"
    path = target / name if target is not None and target.is_dir() else target or Path(name)
    made = make_backup(project, data_folder(project, data), path, secrets=with_secrets)
    click.echo(f"wrote {made.path} ({_size(made.size)}): {_contents(made.manifest)}")
    if made.manifest.left_out:
        click.echo(f"without {' and '.join(made.manifest.left_out)}: secret; --with-secrets takes that in too")
    if with_secrets:
        click.echo("it holds secrets: keep it like a password")
    if made.open_to_others:
        click.echo("others can read it: the file system that it is on keeps no rights")


@click.command(epilog="Example: solarflow restore solarflow-my-community-20260701T030000Z.tar.gz --to my-community")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--to", "project", type=click.Path(path_type=Path), help="The project folder that it goes to.")
@click.option("--data", type=click.Path(path_type=Path), help="The data folder.  [default: PROJECT/data]")
@click.option("--check", is_flag=True, help="Only check the file; change nothing.")
def restore(file: Path, project: Path | None, data: Path | None, check: bool) -> None:
    """Put the backup FILE in place of a project's flows and data; no instance may run on them.

    First everything is checked: that the file is complete, all checksums, the databases themselves, and that this
    version of solarflow knows them. What was there is kept beside, as data.before-restore-TIME and
    flows.before-restore-TIME. If this is killed, the project is as before, or the next command finishes it.
    """
    if check:
        if not file.is_file():
            raise UsageError(f"there is no file {file}")
        with tempfile.TemporaryDirectory(prefix=".solarflow-check-", dir=file.resolve().parent) as beside:
            manifest = check_backup(file, Path(beside))
        click.echo(f"{file} is complete and right: {_told(manifest)}")
        return
    if project is None:
        raise click.UsageError("name the project folder that it goes to with --to, or only --check the file")
    done = put_back(file, project, data_folder(project, data) if project.is_dir() else data or project / "data")
    click.echo(f"restored to {project}: {_told(done.manifest)}")
    for path in done.kept:
        click.echo(f"what was there is in {path}")
    if CREDENTIALS in done.manifest.left_out:
        here = (project / CREDENTIALS).exists()
        click.echo(f"{CREDENTIALS} was left out of the backup; {'the one here stays' if here else 'bring it yourself'}")


def _told(manifest: Manifest) -> str:
    return f"{_contents(manifest)}; made {manifest.made} by solarflow {manifest.solarflow}"


def _contents(manifest: Manifest) -> str:
    data = [packed.path.partition("/")[2] for packed in manifest.files if packed.path.startswith(f"{DATA}/")]
    flows = sum(packed.path.startswith(f"{PROJECT}/") for packed in manifest.files)
    return f"{', '.join(data)} and {flows} files of the project"


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"
