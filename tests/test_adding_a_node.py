"""The page docs/adding-a-node.md is right: its node works, its tests pass, its schema is shown."""

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from solarflow.helppages import page, properties
from solarflow.node import Node
from solarflow.registry import Registry
from solarflow.testing import NodeBench, run_example

PAGE = Path(__file__).parent.parent / "docs" / "adding-a-node.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def node_type(tmp_path_factory: pytest.TempPathFactory) -> Iterator[type[Node]]:
    folder = tmp_path_factory.mktemp("page")
    (folder / "page_node.py").write_text(BLOCKS[0])
    sys.path.insert(0, str(folder))
    registry = Registry()
    registry.add_module(importlib.import_module("page_node"))
    yield registry["to-celsius"]
    sys.path.remove(str(folder))
    del sys.modules["page_node"]


def test_the_example_of_the_page_does_what_it_says(node_type):
    sent, expected = run_example(node_type, node_type.EXAMPLE)
    assert sent == list(expected)


def test_the_tests_of_the_page_pass(node_type):
    names: dict = {}
    exec(compile(BLOCKS[1], str(PAGE), "exec"), names)  # noqa: S102 - the page's own tests
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        test(lambda type_, **config: NodeBench({node_type.type: node_type}[type_], config))


def test_the_help_page_of_the_example_is_complete(node_type):
    text = page(node_type)
    assert "Convert a temperature to degrees Celsius." in text
    assert [(name, bool(help_)) for name, _, _, help_ in properties(node_type)] == [("key", True), ("scale", True)]
