"""docs/operations.md: what it shows works, and it names what there is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
import urllib3
from brokers import free_port
from command_line import ROOT, make_project, run

from solarflow.cli import main

PAGE = (ROOT / "docs" / "operations.md").read_text()


def block(language: str, holds: str) -> str:
    """The page's code block in a language that holds a text."""
    (found,) = [text for text in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if holds in text]
    return found


def test_the_metrics_of_the_page_are_those_of_an_instance_and_the_broker_may_stand_in_the_environment(tmp_path):
    """One start for both: it takes a second."""
    address = f"mqtt://somebody:secret@127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "solarflow.cli", "run", str(make_project(tmp_path)), "--port", "0"]
    seen: set[str] = set()
    for extra, environment in (((), {"SOLARFLOW_BROKER": address}), (("--broker-port", "0"), {})):
        with subprocess.Popen(
            [*command, *extra], stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        ) as instance:  # fmt: skip
            try:
                assert instance.stdout is not None
                lines = []
                for line in instance.stdout:
                    lines.append(line)
                    if found := re.search(r"pages at (http://\S+)", line):
                        break
                assert found is not None, lines
                metrics = urllib3.request("GET", f"{found[1]}/metrics", timeout=10).data.decode()
            finally:
                instance.kill()
        seen |= set(re.findall(r"^# TYPE (\S+)", metrics, re.MULTILINE))
        if environment:
            assert f"broker mqtt://{address.partition('@')[2]};" in "".join(lines)
            assert "secret" not in "".join(lines)

    assert set(re.findall(r"`(solarflow_\w+)`", PAGE)) == seen


def test_the_service_file_is_one_that_systemd_takes(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs 'systemd-analyze', which is not installed here")
    unit = tmp_path / "solarflow.service"
    unit.write_text(block("ini", "[Service]").replace("/opt/solarflow/bin/solarflow", sys.executable))

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=60, check=False
    )

    ours = [line for line in done.stderr.splitlines() if "solarflow" in line]
    assert ours == []


def test_the_options_of_the_service_leave_little_open(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs 'systemd-analyze', which is not installed here")
    unit = tmp_path / "solarflow.service"
    unit.write_text(block("ini", "[Service]"))

    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=25", unit],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze cannot look at a file")
    assert done.returncode == 0, done.stdout[-500:] + done.stderr


def test_the_lines_for_git_make_git_diff_show_the_meaning(tmp_path):
    project = make_project(tmp_path)
    environment = {
        **os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path),
        "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@x", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@x",
    }  # fmt: skip
    script = f"""set -e
git init -q && git add -A && git commit -qm begin
{block("sh", "diff.solarflow.command")}
sed -i 's/"timezone": "[^"]*"/"timezone": "Europe\\/Madrid"/' flows.json
git --no-pager diff
"""

    done = subprocess.run(
        ["bash", "-c", script], cwd=project, env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    assert 'settings.timezone: "Europe/Rome" -> "Europe/Madrid"' in done.stdout
    assert run("fmt", "--check", project).exit_code == 0


def test_what_belongs_not_into_git_is_ignored_by_a_new_project(tmp_path):
    project = make_project(tmp_path)
    for name in ("data/app.db", "credentials.json", "data.before-restore-1/app.db", "flows.before-restore-1/flows.json",
                 ".solarflow/restore.lock"):  # fmt: skip
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text("")
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)

    done = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard"], cwd=project, capture_output=True, text=True, check=True
    )

    assert {line.partition("/")[0] for line in done.stdout.splitlines()} == {".gitignore", "flows", "flows.json"}


def commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    found = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found.append(((*path, name), command))
        if isinstance(command, click.Group):
            found += commands(command, (*path, name))
    return found


COMMANDS = commands(main)


@pytest.mark.parametrize("path", [path for path, _ in COMMANDS], ids=" ".join)
def test_every_command_explains_itself_with_an_example_and_each_of_its_options(path):
    command = dict(COMMANDS)[path]

    result = run(*path, "--help")

    assert result.exit_code == 0
    assert f"Example: solarflow {' '.join(path[:1])}" in result.output
    assert [o.name for o in command.params if isinstance(o, click.Option) and not o.help] == []


@pytest.mark.parametrize(
    "name", re.findall(r"\bsolarflow ([a-z]+)\b(?! to\b)", "\n".join(re.findall(r"`+[^`]*`+", PAGE)))
)
def test_every_command_that_the_page_names_is_there(name):
    assert name in main.list_commands(click.Context(main))
