"""The expression node."""

import pytest

from solarflow.errors import Where
from solarflow.validate import configure


def test_the_result_becomes_the_payload_or_another_property(node):
    bench = node("expression", expression="payload.a + payload.b")
    bench.feed({"a": 1, "b": 2})
    bench.configure(property="payload.sum")
    bench.feed({"a": 1, "b": 2})
    assert bench.payloads == [3, {"a": 1, "b": 2, "sum": 3}]


def test_as_a_filter_it_lets_pass_where_it_is_true_and_changes_nothing(node):
    bench = node("expression", expression="payload > 1000", mode="filter")
    for payload in (900, 1500):
        bench.feed(payload)
    assert bench.payloads == [1500]


def test_what_is_missing_is_an_error_and_the_next_message_is_unharmed(node):
    bench = node("expression", expression="payload.a * 2")
    bench.feed({"b": 1})
    assert "payload has no 'a'" in bench.errors[0]
    bench.feed({"a": 1})
    assert bench.payloads == [2]


def test_it_reads_flow_and_global_values(node, registry):
    rules = [
        {"t": "set", "p": "limits", "pt": "flow", "to": '{"casa_A": 10}', "tot": "json"},
        {"t": "set", "p": "factor", "pt": "global", "to": "2", "tot": "num"},
    ]
    bench = node(
        "expression", expression="flow.limits[home] * global_.factor",
        bench={"others": {"setter": (registry["change"], {"rules": rules})}},
    )  # fmt: skip
    bench.engine.inject("setter", {})
    bench.feed(1, home="casa_A")
    assert bench.payloads == [20]


def test_an_object_from_flow_is_a_copy(node, registry):
    rules = [{"t": "set", "p": "x", "pt": "flow", "to": "[1]", "tot": "json"}]
    bench = node(
        "expression", expression="flow.x", bench={"others": {"setter": (registry["change"], {"rules": rules})}}
    )
    bench.engine.inject("setter", {})
    bench.feed(1)
    bench.last["payload"].append(2)
    bench.feed(1)
    assert bench.last["payload"] == [1]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"expression": "payload.__class__"}, "names do not begin with two underscores"),
        ({"expression": ""}, "the expression is empty"),
        ({"expression": "open('x')"}, "'open' is not a function"),
        ({"expression": "1", "property": "a b"}, "'a b' cannot be read"),
        ({}, "the property is required and missing"),
    ],
)
def test_what_cannot_work_is_refused_before_it_runs(registry, config, said):
    _, problems = configure(Where(), registry["expression"], config, config)
    assert said in problems[0].what
