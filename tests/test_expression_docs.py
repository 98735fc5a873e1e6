"""The page on expressions: its examples give what it says, and it knows every function and bound."""

import ast
import json
import re
from pathlib import Path

import pytest

from solarflow import expression_source, expression_values
from solarflow.errors import ExpressionError
from solarflow.expression import compile_expression
from solarflow.expression_values import FUNCTIONS

PAGE = (Path(__file__).parents[1] / "docs" / "expressions.md").read_text()
EXAMPLES = re.findall(r"^\| `(.+?)` \| `(\{.*?\})`(?: with `(\{.*?\})`)? \| (.+) \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("text", "message", "variables", "result"), EXAMPLES)
def test_an_example_of_the_page_gives_its_result(text, message, variables, result):
    def run():
        return compile_expression(text)(json.loads(message), json.loads(variables or "{}"))

    if result.startswith("error: "):
        with pytest.raises(ExpressionError) as caught:
            run()
        assert result.removeprefix("error: ") in str(caught.value)
    else:
        expected = ast.literal_eval(result.strip("`"))
        got = run()
        assert (got, type(got)) == (expected, type(expected))


def test_every_row_of_the_page_with_a_message_is_run():
    rows = [line for line in PAGE.splitlines() if line.startswith("| `") and line.count("|") > 3]
    assert len(rows) == len(EXAMPLES) > 40


def test_the_page_lists_every_function_as_it_is():
    table = "\n".join(
        ["| function | gives |", "|---|---|", *(f"| `{f.usage}` | {f.help} |" for f in FUNCTIONS.values())]
    )
    assert f"\n{table}\n\n" in PAGE, f"docs/expressions.md should have this table:\n{table}"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_has_an_example(name):
    assert any(re.search(rf"\b{name}\(", text) for text, *_ in EXAMPLES)


@pytest.mark.parametrize(
    "bound",
    [
        expression_source.MAX_LENGTH, expression_source.MAX_NODES, expression_source.MAX_DEPTH,
        expression_source.MAX_LIST, expression_values.MAX_TEXT, expression_values.MAX_ITEMS,
        expression_values.MAX_WALKED, expression_values.MAX_SEARCHED, expression_values.MAX_COMPARED,
        expression_values.MAX_COMPARED_DEPTH,
    ],
)  # fmt: skip
def test_the_page_names_every_bound(bound):
    assert re.search(rf"\b{bound:,}\b", PAGE.partition("## Bounds")[2])
