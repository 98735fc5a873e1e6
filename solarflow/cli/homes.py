"""`solarflow homes`: list, import, export, approve, give a credential."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from solarflow.broker_rights import hash_secret, new_credential
from solarflow.cli.common import RunningInstance
from solarflow.errors import SolarFlowError, UsageError
from solarflow.instance import write_broker_user
from solarflow.store import DataFolder
from solarflow.store.homes import HOME_ID


def _home_id(_ctx: click.Context, _parameter: click.Parameter, home: str) -> str:
    if not re.fullmatch(HOME_ID, home):
        raise UsageError(
            f"{home!r} cannot be the id of a home: it is what stands in its topics, as in comunita/casa_A/bilancio, "
            "and has letters, digits, '_', '.' and '-' only, at most 64; `solarflow homes list` shows them"
        )
    return home


def _address(home: str, verb: str) -> str:
    return f"/api/admin/homes/{quote(home, safe='')}/{verb}"


home_argument = click.argument("home", callback=_home_id)
data_option = click.option(
    "--data", type=click.Path(path_type=Path), default="data", show_default=True, help="The data folder."
)


@click.group(epilog="Example: solarflow homes list --data my-community/data")
def homes() -> None:
    """The homes of an installation. What changes them goes through the running instance where there is one."""


def _either(data: Path, ask: Callable[[RunningInstance], Any], do: Callable[[DataFolder], Any]) -> Any:
    """Ask the running instance, or open the data folder where none runs."""
    running = RunningInstance.find(data)
    if running is not None:
        return ask(running)
    if not data.is_dir():
        raise UsageError(f"there is no data folder {data}; name it with --data, or start with `solarflow run`")
    with DataFolder(data) as folder:
        return do(folder)


@homes.command("list", epilog="Example: solarflow homes list --json")
@data_option
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_homes(data: Path, as_json: bool) -> None:
    """List the homes, and those that wait for approval."""
    registered, pending = _known(data)
    if as_json:
        click.echo(json.dumps({"homes": registered, "pending": pending}, indent=2, ensure_ascii=False))
        return
    for home in registered:
        peak = f"{home['peak_power_wp']:g} Wp" if home.get("peak_power_wp") else "no panels known"
        note = "" if home.get("approved", True) else "  not approved"
        click.echo(f"{home['id']:<20} {home.get('name', ''):<24} {peak}{note}")
    if not registered:
        click.echo("no homes yet; `solarflow homes import FILE`, or approve one that publishes")
    for home in pending:
        text = f"waits for approval: {home['count']} readings, last on {home['last_topic']}"
        click.echo(f"{home['id']:<20} {text}")


def _known(data: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The registered homes and those that wait; a running instance knows who has just been heard."""
    running = RunningInstance.find(data)
    if running is not None:
        answer = running.ask("GET", "/api/admin/homes")
        return answer["homes"], answer["pending"]
    with DataFolder.read_only(data) as reader:
        return json.loads(reader.homes.export_json()), [asdict(home) for home in reader.homes.pending()]


@homes.command("export", epilog="Example: solarflow homes export > homes.json")
@data_option
def export_homes(data: Path) -> None:
    """Write all homes as JSON to the standard output."""
    with DataFolder.read_only(data) as reader:
        click.echo(reader.homes.export_json(), nl=False)


@homes.command("import", epilog="Example: solarflow homes import homes.json")
@click.argument("file", type=click.File(encoding="utf-8"))
@data_option
def import_homes(file: Any, data: Path) -> None:
    """Save the homes of FILE (JSON, as export writes it); all of them or, where one is wrong, none."""
    text = file.read()

    def do(folder: DataFolder) -> int:
        saved, problems = folder.homes.import_json(text)
        if problems:
            raise SolarFlowError("nothing was imported:\n" + "\n".join(str(problem) for problem in problems))
        return saved

    def ask(running: RunningInstance) -> int:
        try:
            body = json.loads(text)
        except ValueError as error:
            raise UsageError(f"{file.name} is not JSON: {error}") from None
        return int(running.ask("POST", "/api/admin/homes", body)["saved"])

    click.echo(f"saved {_either(data, ask, do)} homes")


@homes.command("approve", epilog="Example: solarflow homes approve casa_A")
@home_argument
@data_option
def approve_home(home: str, data: Path) -> None:
    """Let the readings of HOME into the flows."""
    _either(
        data,
        lambda running: running.ask("POST", _address(home, "approve")),
        lambda folder: folder.homes.approve(home),
    )
    click.echo(f"{home} is approved; give its peak power with `solarflow homes import` for the benchmark")


@homes.command("credential", epilog="Example: solarflow homes credential casa_A")
@home_argument
@data_option
def home_credential(home: str, data: Path) -> None:
    """Make a new secret for HOME at the embedded broker. It is shown once; from the first on, nobody comes in without.

    With it HOME may publish and subscribe below comunita/HOME/ and nowhere else.
    """

    def do(_folder: DataFolder) -> dict[str, str]:
        user, secret = new_credential(home)
        write_broker_user(data, user, hash_secret(secret))
        return {"user": user, "secret": secret}

    answer = _either(data, lambda running: running.ask("POST", _address(home, "credential")), do)
    click.echo(f"user   {answer['user']}\nsecret {answer['secret']}")
