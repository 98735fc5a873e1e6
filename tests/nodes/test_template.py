"""The template node: the statements of Node-RED's documentation."""

import pytest

from solarflow.errors import Where
from solarflow.validate import configure


def filled(node, template, msg, **config):
    bench = node("template", template=template, **config)
    bench.input(msg)
    assert bench.errors == []
    return bench.payloads[0]


def test_the_payload_becomes_the_filled_template(node):
    assert filled(node, "payload={{payload}}", {"payload": "foo"}) == "payload=foo"


def test_values_are_escaped_for_html_unless_in_three_braces(node):
    assert filled(node, "{{payload}} {{{payload}}}", {"payload": "a<b"}) == "a&lt;b a<b"


def test_what_is_missing_is_empty(node):
    assert filled(node, "[{{a.b}}{{flow.c}}{{env.D}}]", {}) == "[]"


def test_other_delimiters_may_be_chosen(node):
    assert filled(node, "{{=[[ ]]=}}[[payload]] {{payload}}", {"payload": 1}) == "1 {{payload}}"


@pytest.mark.parametrize("scope", ["flow", "global"])
@pytest.mark.parametrize("store", ["", "durable"])
def test_flow_and_global_values_stand_in_a_template(node, registry, scope, store):
    name = f"#:({store})::home" if store else "home"
    rule = {"t": "set", "p": name, "pt": scope, "to": '{"name": "A", "loads": ["ev"]}', "tot": "json"}
    others = {"setter": (registry["change"], {"rules": [rule]})}
    at = f"{scope}[{store}]" if store else scope
    template = f"{{{{{at}.home.name}}}}:{{{{#{at}.home.loads}}}}{{{{.}}}}{{{{/{at}.home.loads}}}}"
    bench = node("template", template=template, bench={"others": others})
    bench.engine.inject("setter", {})
    bench.feed(1)
    assert bench.payloads == ["A:ev"]


def test_environment_variables_stand_in_a_template(node):
    assert filled(node, "{{env.HOUSE}}", {}, bench={"env": {"HOUSE": "A"}}) == "A"


def test_a_property_of_the_message_comes_before_a_flow_value_of_the_same_name(node):
    assert filled(node, "{{flow.x}}", {"flow": {"x": "of the message"}}) == "of the message"


def test_plain_is_written_as_it_is(node):
    assert filled(node, "{{payload}}", {"payload": 1}, syntax="plain") == "{{payload}}"


@pytest.mark.parametrize("place", ["flow", "global"])
def test_the_result_may_go_to_another_property_or_to_context(node, place):
    bench = node("template", template="x{{payload}}", field="out.text", bench={})
    bench.feed(1)
    assert bench.last["out"] == {"text": "x1"}
    assert bench.last["payload"] == 1
    bench.configure(field="#:(durable)::out", fieldType=place)
    bench.feed(2)
    bench.restart()
    bench.configure(field="payload", fieldType="msg", template=f"{{{{{place}[durable].out}}}}")
    bench.feed(3)
    assert bench.payloads[-1] == "x2"


def test_the_message_may_bring_the_template_only_where_the_node_has_none(node):
    assert filled(node, "", {"payload": 1, "template": "[{{payload}}]"}) == "[1]"
    assert filled(node, "own", {"payload": 1, "template": "[{{payload}}]"}) == "own"


def test_the_result_may_be_read_as_json(node):
    assert filled(node, '{"a": {{payload}}}', {"payload": 1.5}, output="json") == {"a": 1.5}


def test_for_json_line_ends_and_backslashes_in_values_are_escaped(node):
    assert filled(node, '{"a": "{{{payload}}}"}', {"payload": "one\ntwo\\\t"}, output="json") == {"a": "one\ntwo\\\t"}


def test_what_is_not_json_is_an_error_and_the_next_message_is_unharmed(node):
    bench = node("template", template="{{payload}}", output="json")
    bench.feed("{a")
    assert bench.errors == [
        "what the template gave is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 "
        "(char 1); it begins '{a'"
    ]
    bench.feed(1)
    assert bench.payloads == [1]


def test_the_result_may_be_read_as_yaml(node):
    template = "home: {{payload}}\nsince: 2026-06-21\nloads:\n  - ev\n  - 2\n1: x\n"
    expected = {"home": "A", "since": "2026-06-21", "loads": ["ev", 2], "1": "x"}
    assert filled(node, template, {"payload": "A"}, output="yaml") == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "expected the node content"),
        ("a: &x [1]\nb: *x", "anchors"),
        ("!!python/object:os.system {}", "could not"),
    ],
)
def test_yaml_that_is_more_than_plain_data_is_an_error(node, text, said):
    bench = node("template", template=text, output="yaml", syntax="plain")
    bench.feed(1)
    assert said in bench.errors[0]
    assert bench.sent == []


def test_a_template_in_a_message_is_not_filled_again(node):
    assert filled(node, "{{{payload}}}", {"payload": "{{secret}}", "secret": 1}) == "{{secret}}"


def test_a_bad_template_in_a_message_is_an_error(node):
    bench = node("template", template="")
    bench.feed(1, template="{{#a}}")
    bench.feed(1, template=5)
    assert bench.errors[0].startswith("the template cannot be read: ")
    assert bench.errors[1] == "msg.template is a int, where a text is needed"


def test_a_bad_template_of_the_node_is_refused_before_it_runs(registry):
    config = {"template": "{{#a}}x{{/b}}"}
    _, problems = configure(Where(), registry["template"], config, config)
    assert problems[0].what.startswith("the template cannot be read: Section end tag mismatch")
