"""Mustache as the template node renders it."""

import pytest

from solarflow.errors import NodeError
from solarflow.message import MISSING
from solarflow.mustache import Template, nowhere


def rendered(text, /, **msg):
    return Template(text).render(msg, nowhere)


def test_double_braces_escape_html_as_node_red_does_and_triple_braces_do_not():
    assert rendered("{{payload}}", payload='<a href="/x">\'`&') == (
        "&lt;a href&#x3D;&quot;&#x2F;x&quot;&gt;&#39;&#x60;&amp;"
    )
    assert rendered("{{{payload}}}{{&payload}}", payload="<a>") == "<a><a>"


def test_numbers_and_lists_are_written_as_javascript_writes_them():
    assert rendered("{{a}} {{b}} {{c}} {{d}}", a=1.0, b=[1, 2], c=False, d={}) == "1 1,2 false [object Object]"


def test_what_is_missing_or_null_is_empty():
    assert rendered("[{{a}}{{b}}{{c.d.e}}]", b=None, c={}) == "[]"


def test_paths_reach_into_objects_and_lists():
    assert rendered("{{a.b.0.c}} {{a.b.length}}", a={"b": [{"c": 7}]}) == "7 1"


def test_sections_repeat_for_a_list_and_look_outside_for_what_an_item_lacks():
    text = "{{#homes}}{{name}}:{{unit}}{{#last}}.{{/last}}{{^last}}, {{/last}}{{/homes}}"
    homes = [{"name": "a"}, {"name": "b", "last": True}]
    assert rendered(text, homes=homes, unit="W") == "a:W, b:W."


def test_delimiters_can_be_changed():
    assert rendered("{{=[[ ]]=}}[[x]] {{x}}", x=1) == "1 {{x}}"


def test_nothing_of_a_message_is_called_and_no_attribute_is_reached():
    called = []

    class Request:
        body = "secret"

        def respond(self):
            called.append(1)

    text = "{{req.body}}{{req.respond}}{{f}}{{#f}}x{{/f}}{{#l}}{{.}}{{/l}}{{x.__class__}}"
    assert "secret" not in rendered(text, req=Request(), f=lambda *_: called.append(1), l=[called.append], x="")
    assert called == []


def test_no_file_is_read_for_a_partial(tmp_path, monkeypatch):
    (tmp_path / "part.mustache").write_text("secret")
    monkeypatch.chdir(tmp_path)
    assert rendered("[{{>part}}]") == "[]"


def test_a_template_in_a_value_is_only_text():
    assert rendered("{{{a}}}", a="{{b}}", b="secret") == "{{b}}"


def test_a_section_that_is_not_closed_is_said_so():
    with pytest.raises(NodeError, match=r"the template cannot be read: Did not find a matching tag for \{\{#a}}"):
        Template("{{#a}}x")
    with pytest.raises(NodeError, match=r"Found \{\{/b}}, expected \{\{#b}}"):
        Template("x{{/b}}")


def test_what_the_message_lacks_is_asked_for_elsewhere():
    known = {"flow.limit": 5}
    assert Template("{{flow.limit}}{{flow.other}}").render({}, lambda name: known.get(name, MISSING)) == "5"
