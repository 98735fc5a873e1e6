"""What holds for every node type: help, an executed example, a schema that the editor can show."""

import pytest

from solarflow.helppages import help_text, page, properties, schema
from solarflow.node import Node, examples_of
from solarflow.registry import load_registry
from solarflow.state import check_state_type
from solarflow.testing import run_example

REGISTRY = load_registry()
TYPES = list(REGISTRY)
EXAMPLES = [(t, e) for t in TYPES for e in examples_of(t)]
NO_EXAMPLE = ("comment", "junction", "catch", "status", "complete", "link in", "link out", "link call")


@pytest.mark.parametrize("node_type", TYPES, ids=lambda t: t.type)
def test_every_type_has_a_help_page_with_its_inputs_and_outputs(node_type: type[Node]) -> None:
    text = help_text(node_type)
    assert len(text.partition("\n")[0]) <= 120
    assert text.partition("\n")[0].endswith((".", "?")), "the first line is a sentence"
    if node_type.inputs and not node_type.is_config and node_type.role not in ("comment", "junction"):
        assert "\nInputs\n" in text
    if node_type.outputs and not node_type.is_config and node_type.role not in ("comment", "junction"):
        assert "\nOutputs\n" in text


@pytest.mark.parametrize("node_type", TYPES, ids=lambda t: t.type)
def test_every_property_has_a_help_text(node_type: type[Node]) -> None:
    assert [name for name, _, _, text in properties(node_type) if not text] == []


@pytest.mark.parametrize("node_type", TYPES, ids=lambda t: t.type)
def test_every_type_can_be_shown_and_kept(node_type: type[Node]) -> None:
    described = schema(node_type)
    assert described["category"] == node_type.__module__.split(".")[2]
    assert described["color"].startswith("#")
    assert node_type.type in page(node_type)
    assert page(node_type, markdown=True).startswith(f"# {node_type.type}\n")
    check_state_type(node_type)


@pytest.mark.parametrize(("node_type", "example"), EXAMPLES, ids=lambda v: v.type if isinstance(v, type) else "")
def test_every_example_does_what_it_says_and_stays_as_it_is_printed(node_type: type[Node], example) -> None:
    printed = page(node_type)
    sent, expected = run_example(node_type, example)
    assert sent == list(expected)
    assert page(node_type) == printed


@pytest.mark.parametrize("node_type", [t for t in TYPES if not t.is_config], ids=lambda t: t.type)
def test_every_type_shows_an_example_unless_it_does_nothing_alone(node_type: type[Node]) -> None:
    assert list(examples_of(node_type)) or node_type.type in NO_EXAMPLE
