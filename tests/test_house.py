"""The rules of the house, read from the source: who imports whom, how long a file may be, what may not stand in it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parent.parent
ROOMS = {"solarflow": ROOT / "solarflow", "solarflow.nodes": ROOT / "nodes", "solarflow.web": ROOT / "web"}
WHAT_RUNS_NODES = (
    "solarflow.engine", "solarflow.hosting", "solarflow.compiler", "solarflow.routing", "solarflow.timers",
    "solarflow.breaker", "solarflow.plan", "solarflow.graph", "solarflow.flowfile", "solarflow.manifest",
    "solarflow.registry", "solarflow.live", "solarflow.instance", "solarflow.store", "solarflow.broker",
    "solarflow.testing", "solarflow.cli", "solarflow.web",
)  # fmt: skip
"""What a node must not depend on, not even by way of something else."""
STARTERS = ("solarflow.cli", "solarflow.bench_load")
"""What puts everything together; only these may know of the web."""


def modules() -> dict[str, Path]:
    found = {}
    for prefix, folder in ROOMS.items():
        for path in folder.rglob("*.py"):
            inside = path.relative_to(folder)
            if prefix == "solarflow" and inside.parts[0] in ("nodes", "web", "flows"):
                continue
            parts = [prefix, *inside.with_suffix("").parts]
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports_of(name: str, *, at_run_time: bool = False) -> Iterator[str]:
    """The modules of ours that a module imports; with `at_run_time` without those only for type checkers."""
    tree = ast.parse(MODULES[name].read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if at_run_time and id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("solarflow"))
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("solarflow"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else node.module


def within(name: str, rooms: tuple[str, ...] | str) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in ([rooms] if isinstance(rooms, str) else rooms))


IMPORTS = nx.DiGraph([(name, found) for name in MODULES for found in imports_of(name, at_run_time=True)])
IMPORTS.add_nodes_from(MODULES)


@pytest.mark.parametrize("name", [m for m in MODULES if within(m, "solarflow.nodes")])
def test_a_node_knows_the_contract_and_its_services_and_nothing_of_what_runs_it(name):
    assert [found for found in nx.descendants(IMPORTS, name) if within(found, WHAT_RUNS_NODES)] == []


@pytest.mark.parametrize("name", [m for m in MODULES if within(m, "solarflow.energy")])
def test_the_energy_library_stands_on_units_and_errors_alone(name):
    assert [
        f for f in imports_of(name) if not within(f, ("solarflow.energy", "solarflow.units", "solarflow.errors"))
    ] == []


@pytest.mark.parametrize("name", [m for m in MODULES if within(m, "solarflow.web")])
def test_the_web_knows_no_node_module(name):
    assert [found for found in imports_of(name) if within(found, "solarflow.nodes")] == []


@pytest.mark.parametrize("name", [m for m in MODULES if not within(m, ("solarflow.nodes", "solarflow.web"))])
def test_the_runtime_knows_no_node_module_and_no_page(name):
    forbidden = ("solarflow.nodes",) if within(name, STARTERS) else ("solarflow.nodes", "solarflow.web")
    assert [found for found in imports_of(name) if within(found, forbidden)] == []


def test_no_modules_import_each_other_in_a_circle():
    graph = IMPORTS.copy()
    graph.remove_edges_from([(a, b) for a, b in list(graph.edges) if a.startswith(f"{b}.") or a == b])
    assert list(nx.simple_cycles(graph)) == []


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_its_purpose_in_its_first_line_and_fits_a_room(name):
    text = MODULES[name].read_text()
    assert ast.get_docstring(ast.parse(text)), "no docstring"
    assert len(text.splitlines()) <= 400, "asks to be two rooms"


@pytest.mark.parametrize("path", sorted(p for p in (*MODULES.values(), *(ROOT / "tests").rglob("*.py"))), ids=str)
def test_what_is_silenced_has_a_reason_beside_it(path):
    silenced = re.findall(r"#\s*(?:type: ignore|noqa)\b[^\n]*", path.read_text())
    assert [text for text in silenced if not re.search(r"(?:\]|[A-Z]+\d+)\s+\S{1,3}\s*\w+", text)] == []


@pytest.mark.parametrize("name", [m for m in MODULES if within(m, "solarflow.nodes")])
def test_a_node_asks_only_its_clock_for_the_time_and_starts_no_thread(name):
    tree = ast.parse(MODULES[name].read_text())
    imported = {
        alias.name.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    } | {str(node.module).partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported.isdisjoint({"time", "threading", "asyncio", "sqlite3", "subprocess", "socket"})
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert calls.isdisjoint({"datetime.now", "datetime.utcnow", "datetime.datetime.now", "date.today"})


def test_firmware_imports_nothing_of_the_runtime():
    for path in (ROOT / "firmware").rglob("*.py"):
        assert "solarflow" not in path.read_text()
