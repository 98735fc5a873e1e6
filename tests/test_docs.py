"""The documentation says what the program does."""

import re
from pathlib import Path

import pytest

from solarflow.helppages import page, summary
from solarflow.registry import load_registry

ROOT = Path(__file__).parent.parent
DOCS = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"]
TYPES = list(load_registry())


@pytest.mark.parametrize("node_type", TYPES, ids=lambda t: t.type)
def test_the_page_of_a_node_type_is_what_make_docs_writes(node_type):
    path = ROOT / "docs" / "nodes" / f"{node_type.type.replace(' ', '-')}.md"
    assert path.exists(), "run `make docs` and commit docs/nodes"
    assert path.read_text() == page(node_type, markdown=True), "run `make docs` and commit docs/nodes"
    assert summary(node_type) in (ROOT / "docs" / "nodes" / "README.md").read_text()


def test_there_is_no_page_of_a_type_that_is_gone():
    names = {f"{node_type.type.replace(' ', '-')}.md" for node_type in TYPES} | {"README.md"}
    assert {path.name for path in (ROOT / "docs" / "nodes").glob("*.md")} == names


@pytest.mark.parametrize("path", DOCS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(path):
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []
