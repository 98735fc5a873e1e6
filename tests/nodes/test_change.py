"""The change node: the statements of Node-RED's documentation."""

import pytest

from solarflow.errors import Where
from solarflow.validate import configure


def rule(t, p="payload", to="", tot="str", **more):
    return {"t": t, "p": p, "pt": "msg", "to": to, "tot": tot, **more}


@pytest.fixture
def change(node):
    return lambda *rules, **more: node("change", rules=list(rules), **more)


def changed(bench, /, **msg):
    bench.input(msg)
    return {name: value for name, value in bench.last.items() if name not in ("_msgid", "ts")}


def refused(registry, *rules):
    _, problems = configure(Where(), registry["change"], {"rules": list(rules)}, {"rules": list(rules)})
    return problems[0].what if problems else ""


# -- set --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "tot", "value"),
    [
        ("x", "str", "x"), ("12345", "num", 12345), ("0.5", "num", 0.5), ("true", "bool", True),
        ("false", "bool", False),
        ('{"a": [1]}', "json", {"a": [1]}), ("[104, 105]", "bin", b"hi"), ("fred", "msg", "bar"),
        ("payload * 2", "expression", 14), ("HOUSE", "env", "A"), ("", "date", 1_782_032_400_000),
    ],
)  # fmt: skip
def test_set_gives_a_property_a_value_of_any_type(change, to, tot, value):
    bench = change(rule("set", to=to, tot=tot), bench={"env": {"HOUSE": "A"}})
    assert changed(bench, payload=7, fred="bar") == {"payload": value, "fred": "bar"}


def test_set_makes_the_objects_on_the_way(change):
    assert changed(change(rule("set", "foo.bar.baz", "x"))) == {"foo": {"bar": {"baz": "x"}}}


def test_set_to_a_property_that_does_not_exist_removes_the_property(change):
    assert changed(change(rule("set", to="nothing", tot="msg")), payload=1) == {}
    assert changed(change(rule("set", "foo.bar", "nothing.here", "msg"))) == {}


def test_set_to_a_property_that_is_null_sets_null(change):
    assert changed(change(rule("set", to="foo", tot="msg")), payload=1, foo=None) == {"payload": None, "foo": None}


def test_a_json_value_is_new_for_every_message(change):
    bench = change(rule("set", to='{"n": []}', tot="json"))
    changed(bench, payload=1)["payload"]["n"].append(1)
    assert changed(bench, payload=1) == {"payload": {"n": []}}


def test_without_deep_copy_both_properties_are_one_object_with_it_they_are_two(change):
    again = rule("set", "payload.n", "2", "num")
    source = {"n": 1}
    assert changed(change(rule("set", to="a", tot="msg"), again), a=source)["a"] == {"n": 2}
    source = {"n": 1}
    assert changed(change(rule("set", to="a", tot="msg", dc=True), again), a=source)["a"] == {"n": 1}


def test_an_object_can_be_set_into_itself(change):
    assert changed(change(rule("set", "payload.old", "payload", "msg")), payload={"n": 1}) == {
        "payload": {"n": 1, "old": {"n": 1}}
    }


def test_a_property_of_a_text_cannot_be_set_and_the_message_goes_on_with_a_warning(change):
    bench = change(rule("set", "payload.x", "1"), rule("set", "topic", "t"))
    assert changed(bench, payload="text") == {"payload": "text", "topic": "t"}
    assert bench.logged == ["cannot set payload.x: a str has no place for 'x'"]
    assert bench.errors == []


def test_an_environment_variable_may_stand_in_a_text(change):
    bench = change(rule("set", to="house ${HOUSE}", tot="env"), bench={"env": {"HOUSE": "A"}})
    assert changed(bench) == {"payload": "house A"}


# -- context ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["flow", "global"])
@pytest.mark.parametrize("name", ["count", "#:(durable)::count", "deep.er.count"])
def test_flow_and_global_values_are_set_read_and_deleted(change, place, name):
    put = rule("set", name, "payload", "msg", pt=place)
    get = rule("set", "seen", name, place)
    assert changed(change(put, get), payload=5) == {"payload": 5, "seen": 5}
    assert changed(change(put, {"t": "delete", "p": name, "pt": place}, get), payload=5, seen=1) == {"payload": 5}


def test_only_the_durable_store_survives_a_restart(change):
    bench = change(
        rule("set", "#:(durable)::a", "payload", "msg", pt="flow"),
        rule("set", "b", "payload", "msg", pt="flow"),
    )
    changed(bench, payload=5)
    bench.restart()
    bench.configure(rules=[rule("set", "a", "#:(durable)::a", "flow"), rule("set", "b", "b", "flow")])
    assert changed(bench) == {"a": 5}


def test_what_is_kept_in_context_is_a_copy(change):
    bench = change(rule("set", "kept", "payload", "msg", pt="flow"), rule("set", "payload.n", "2", "num"))
    changed(bench, payload={"n": 1})
    bench.configure(rules=[rule("set", "payload", "kept", "flow")])
    assert changed(bench) == {"payload": {"n": 1}}


def test_a_path_into_context_may_take_a_name_from_the_message(change):
    bench = change(rule("set", "limits[msg.home]", "payload", "msg", pt="flow"))
    changed(bench, home="casa_A", payload=1)
    changed(bench, home="casa_B", payload=2)
    bench.configure(rules=[rule("set", "limit", "limits[msg.home]", "flow"), rule("set", "all", "limits", "flow")])
    assert changed(bench, home="casa_B") == {"home": "casa_B", "limit": 2, "all": {"casa_A": 1, "casa_B": 2}}


def test_an_expression_reads_flow_values(change):
    bench = change(
        rule("set", "factor", "3", "num", pt="flow"), rule("set", to="payload * flow.factor", tot="expression")
    )
    assert changed(bench, payload=5) == {"payload": 15}


def test_an_unknown_store_is_an_error_that_names_the_stores(change):
    bench = change(rule("set", "#:(disk)::a", "1", pt="flow"))
    bench.feed(1)
    assert bench.errors == ["there is no context store 'disk'; there are 'memory' and 'durable'"]
    assert bench.sent == []


# -- change -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("from_", "fromt", "to", "tot", "before", "after"),
    [
        ("Hello", "str", "Goodbye", "str", "Hello World! Hello!", "Goodbye World! Goodbye!"),
        ("a.b", "str", "x", "str", "a.b aXb", "x aXb"),
        (r"\d+", "re", "N", "str", "all 12 and 14", "all N and N"),
        ("(Hello)", "re", "$1-$1", "str", "Hello World", "Hello-Hello World"),
        ("123", "num", "456", "str", "123", "456"),
        ("123", "num", "456", "num", "123", 456),
        ("123", "num", "456", "num", "a123", "a456"),
        ("123", "num", "abc", "str", 123, "abc"),
        ("123", "num", "abc", "str", 1234, 1234),
        ("123", "str", "abc", "str", 123, 123),
        ("1", "num", "x", "str", True, True),
        ("true", "bool", "xxx", "str", True, "xxx"),
        ("true", "bool", "xxx", "str", "true", "xxx"),
        ("true", "bool", "xxx", "str", 1, 1),
        ("false", "bool", "1", "num", False, 1),
        ("ON", "str", "true", "bool", "ON", True),
        ("ON", "str", "1", "num", "ON!", "1!"),
        (".*", "re", "x", "str", 12, 12),
        ("x", "str", "y", "str", {"a": "x"}, {"a": "x"}),
        ("x", "str", "y", "str", None, None),
    ],
)  # fmt: skip
def test_change_replaces_parts_of_texts_and_other_values_as_a_whole(change, from_, fromt, to, tot, before, after):
    bench = change({"t": "change", "p": "payload", "from": from_, "fromt": fromt, "to": to, "tot": tot})
    got = changed(bench, payload=before)["payload"]
    assert got == after
    assert type(got) is type(after)


@pytest.mark.parametrize("place", ["msg", "flow", "global"])
def test_what_is_searched_may_be_a_property(change, place):
    bench = change(
        rule("set", "what", "what", "msg", pt=place),
        {"t": "change", "p": "payload", "from": "what", "fromt": place, "to": "123", "tot": "str"},
    )
    assert changed(bench, payload="abcABCabc", what="ABC")["payload"] == "abc123abc"
    assert changed(bench, payload=7, what=7)["payload"] == "123"
    assert changed(bench, payload=True, what=True)["payload"] == "123"


def test_what_cannot_be_searched_is_an_error_and_the_next_message_is_unharmed(change):
    bench = change({"t": "change", "p": "payload", "from": "what", "fromt": "msg", "to": "123", "tot": "str"})
    bench.feed("abc")
    assert bench.errors == [
        "what is to be searched, msg.what, is missing; a text, a number, true or false can be searched"
    ]
    bench.feed("abc", what="b")
    assert bench.payloads == ["a123c"]


def test_change_works_on_flow_values_too(change):
    bench = change(
        rule("set", "x", "payload", "msg", pt="flow"),
        {"t": "change", "p": "x", "pt": "flow", "from": "b", "fromt": "str", "to": "B", "tot": "str"},
        rule("set", to="x", tot="flow"),
    )
    assert changed(bench, payload="abc") == {"payload": "aBc"}


# -- delete and move --------------------------------------------------------------------------------------------------


def test_delete_takes_a_property_away_and_does_not_mind_where_there_is_none(change):
    bench = change({"t": "delete", "p": "payload.a", "pt": "msg"})
    assert changed(bench, payload={"a": 1, "b": 2}) == {"payload": {"b": 2}}
    assert changed(bench, topic="t") == {"topic": "t"}


@pytest.mark.parametrize(
    ("p", "to", "before", "after"),
    [
        ("topic", "payload", {"topic": 1, "payload": 2}, {"payload": 1}),
        ("payload", "payload.x", {"payload": 1}, {"payload": {"x": 1}}),
        ("payload.x", "payload", {"payload": {"x": {"x": 1}}}, {"payload": {"x": 1}}),
        ("payload", "payload", {"payload": 1}, {"payload": 1}),
        ("nothing", "payload", {"payload": 1}, {}),
    ],
)
def test_move_gives_a_property_another_name(change, p, to, before, after):
    assert changed(change(rule("move", p, to, "msg")), **before) == after


def test_move_goes_between_message_and_flow(change):
    bench = change(rule("move", "payload", "kept", "flow"), rule("set", "seen", "kept", "flow"))
    assert changed(bench, payload=1) == {"seen": 1}


# -- rules ------------------------------------------------------------------------------------------------------------


def test_rules_are_applied_in_order(change):
    bench = change(
        rule("set", to="a"), rule("change", to="b", **{"from": "a", "fromt": "str"}), rule("move", to="x", tot="msg")
    )
    assert changed(bench, payload=1) == {"x": "b"}


def test_without_rules_the_message_goes_on_as_it_is(change):
    assert changed(change(), payload=1) == {"payload": 1}


def test_the_message_itself_goes_on(change):
    bench = change(rule("set", to="x"))
    message = {"payload": 1, "_msgid": "m"}
    bench.input(message)
    assert bench.last is message


@pytest.mark.parametrize(
    ("config", "before", "after"),
    [
        ({"action": "replace", "property": "payload", "from": "", "to": "x", "reg": False}, "a", "x"),
        ({"action": "replace", "property": "payload", "from": "", "to": "msg.topic", "reg": False}, "a", "t"),
        ({"action": "change", "property": "payload", "from": r"\d+", "to": "N", "reg": True}, "a12", "aN"),
        ({"action": "change", "property": "payload", "from": "+", "to": "N", "reg": False}, "a+", "aN"),
        ({"action": "delete", "property": "payload"}, "a", None),
        ({"rules": [{"t": "change", "p": "payload", "from": "a+", "to": "b", "re": True}]}, "aaa", "b"),
        ({"rules": [{"t": "set", "p": "payload", "to": "msg.topic"}]}, "a", "t"),
    ],
)
def test_exports_of_older_versions_mean_what_they_meant(node, config, before, after):
    assert changed(node("change", config), payload=before, topic="t").get("payload") == after


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (rule("set", to="$sum(payload)", tot="jsonata"), "JSONata is not run here; write it as an expression"),
        (rule("set", to="{a", tot="json"), "'{a' is not JSON"),
        (rule("set", to="x", tot="num"), "'x' is not a number"),
        (rule("set", to="payload +", tot="expression"), "column 10: this cannot be read"),
        (rule("set", p="a b"), "'a b' cannot be read from ' b' on"),
        (rule("move", to="x", tot="str"), "the type 'str' is not one of msg, flow, global"),
        ({"t": "change", "p": "payload", "from": "+**", "fromt": "re"}, "'+**' is not a regular expression"),
        ({"t": "chnage", "p": "payload"}, "expected 'set', 'change', 'delete' or 'move', found the text 'chnage'"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_work_is_refused_before_it_runs(registry, bad, said):
    assert said in refused(registry, bad)


def test_a_text_that_a_regular_expression_would_never_be_done_with_is_an_error_and_the_next_counts(change):
    bench = change({"t": "change", "p": "payload", "from": "(a|aa)+$", "fromt": "re", "to": "b"})
    bench.input({"payload": "a" * 60 + "!"})
    assert changed(bench, payload="xaa")["payload"] == "xb"
    assert len(bench.sent) == 1
    assert "was not done with a text of 61 characters" in bench.errors[0]
