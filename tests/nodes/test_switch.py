"""The switch node: the statements of Node-RED's documentation, and JavaScript's comparisons."""

import time

import pytest

from solarflow.errors import Where
from solarflow.message import MISSING
from solarflow.validate import configure

NUMBER = {"vt": "num"}
TEXT = {"vt": "str"}


@pytest.fixture
def switch(node):
    return lambda *rules, **more: node("switch", rules=list(rules), **more)


def ports(bench, payload=MISSING, **msg):
    """The outputs that a message leaves by."""
    before = len(bench.sent)
    bench.input(msg if payload is MISSING else {"payload": payload, **msg})
    return [seen.port for seen in bench.sent[before:]]


def matches(switch, rule, payload, **msg):
    bench = switch(rule)
    found = ports(bench, payload, **msg) == [0]
    assert bench.errors == []
    return found


def sequence(bench, values, *, id_="s", count=True, start=0):
    for index, value in enumerate(values, start):
        parts = {"id": id_, "index": index, **({"count": len(values) + start} if count else {})}
        bench.input({"payload": value, "parts": parts})


# -- value rules ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "matching", "others"),
    [
        ({"t": "eq", "v": "1", **NUMBER}, [1, 1.0, "1", " 1 ", True, [1]], [2, "2", None, MISSING, "one", {}]),
        ({"t": "eq", "v": "a", **TEXT}, ["a", ["a"]], ["b", "A", None, MISSING, 0]),
        ({"t": "eq", "v": "", **TEXT}, ["", 0, False, []], [None, MISSING, "0"]),
        ({"t": "neq", "v": "1", **NUMBER}, [2, "2", None, MISSING, "x"], [1, "1", True]),
        ({"t": "lt", "v": "3", **NUMBER}, [2.9, "2", None, "", True, -1], [3, "10", MISSING, "two", {}]),
        ({"t": "lte", "v": "3", **NUMBER}, [3, "3"], [3.1, "4", "x"]),
        ({"t": "gt", "v": "3", **NUMBER}, [4, "10"], [3, None, MISSING, "x"]),
        ({"t": "gte", "v": "3", **NUMBER}, [3, "3"], [2, "x"]),
        ({"t": "lt", "v": "9", **TEXT}, ["10", 5], ["a", 10]),
        ({"t": "btwn", "v": "3", "vt": "num", "v2": "5", "v2t": "num"}, [3, 4, "5"], [2, 6, "x", None]),
        ({"t": "btwn", "v": "5", "vt": "num", "v2": "3", "v2t": "num"}, [3, 4, 5], [2, 6]),
        ({"t": "cont", "v": "lo", **TEXT}, ["hello", ["a", "lo"]], ["Hi", "LO", 10]),
        ({"t": "cont", "v": "5", **NUMBER}, [1500, "x5"], [12]),
        ({"t": "regex", "v": "^h.*o$", "vt": "str", "case": False}, ["hello"], ["Hello", "hell", "hello\n"]),
        ({"t": "regex", "v": "^h", "vt": "str", "case": True}, ["Hello"], ["ello"]),
        ({"t": "true"}, [True], [1, "true", None]),
        ({"t": "false"}, [False], [0, "", None, MISSING]),
        ({"t": "null"}, [None, MISSING], [0, "", False]),
        ({"t": "nnull"}, [0, "", False, {}], [None, MISSING]),
        ({"t": "empty"}, ["", [], {}, b""], [" ", [0], {"a": 1}, None, MISSING, 0]),
        ({"t": "nempty"}, [" ", [0], {"a": 1}, b"x"], ["", [], {}, b"", None, MISSING, 5]),
        ({"t": "hask", "v": "a", **TEXT}, [{"a": None}], [{"b": 1}, "a", ["a"], None, MISSING, 5]),
        ({"t": "hask", "v": "0", **TEXT}, [{"0": 1}, ["a"]], [[], 5]),
        ({"t": "istype", "v": "string", "vt": "string"}, ["", "a"], [1, None, []]),
        ({"t": "istype", "v": "number", "vt": "number"}, [0, 1.5], ["1", True, None]),
        ({"t": "istype", "v": "boolean", "vt": "boolean"}, [True, False], [1, "true"]),
        ({"t": "istype", "v": "array", "vt": "array"}, [[]], [{}, "a"]),
        ({"t": "istype", "v": "buffer", "vt": "buffer"}, [b""], ["", []]),
        ({"t": "istype", "v": "object", "vt": "object"}, [{}], [[], None, b"", "a"]),
        ({"t": "istype", "v": "json", "vt": "json"}, ['{"a":1}', "5", 5, True], ["{a", "", {"a": 1}, MISSING]),
        ({"t": "istype", "v": "undefined", "vt": "undefined"}, [MISSING], [None, 0]),
        ({"t": "istype", "v": "null", "vt": "null"}, [None], [MISSING, 0]),
    ],
)
def test_a_rule_compares_as_node_red_does(switch, rule, matching, others):
    assert [value for value in matching if not matches(switch, rule, value)] == []
    assert [value for value in others if matches(switch, rule, value)] == []


@pytest.mark.parametrize(
    ("kind", "name"),
    [("msg", "limit"), ("flow", "limit"), ("global", "limit"), ("env", "LIMIT"), ("expression", "limit * 1")],
)
def test_a_value_may_come_from_elsewhere(node, registry, kind, name):
    setter = {"t": "set", "p": "limit", "pt": kind, "to": "limit", "tot": "msg"}
    others = {"setter": (registry["change"], {"rules": [setter] if kind in ("flow", "global") else []})}
    bench = node("switch", rules=[{"t": "gt", "v": name, "vt": kind}], bench={"others": others, "env": {"LIMIT": "7"}})
    bench.engine.inject("setter", {"limit": 7})
    assert [ports(bench, payload, limit=7) for payload in (7, 8)] == [[], [0]]


def test_a_regular_expression_may_come_from_the_message(switch):
    bench = switch({"t": "regex", "v": "what", "vt": "msg"})
    assert ports(bench, "abc", what="^a") == [0]
    assert ports(bench, "abc", what="^b") == []
    assert ports(bench, "abc", what="+**") == []
    assert bench.errors == ["'+**' is not a regular expression: nothing to repeat at position 0"]


@pytest.mark.parametrize(("kind", "value"), [("str", "^(a+)+$"), ("msg", "what")])
def test_a_text_that_a_regular_expression_would_never_be_done_with_is_an_error_and_the_next_counts(switch, kind, value):
    bench = switch({"t": "regex", "v": value, "vt": kind})
    began = time.process_time()
    assert ports(bench, "a" * 26 + "!", what="^(a+)+$") == []
    assert ports(bench, "a" * 5000 + "!", what="^(a+)+$") == []
    assert ports(bench, "aaa", what="^(a+)+$") == [0]
    assert time.process_time() - began < 1
    assert [error.partition(";")[0] for error in bench.errors] == [
        "the pattern '^(a+)+$' was not done with a text of 5001 characters after 50 ms"
    ]


@pytest.mark.parametrize(
    ("kind", "name"),
    [("msg", "payload.n"), ("expression", "payload.n + 0"), ("env", "N"), ("flow", "n"), ("global", "n")],
)
def test_what_is_looked_at_may_be_elsewhere(node, registry, kind, name):
    setter = {"t": "set", "p": "n", "pt": kind, "to": "payload.n", "tot": "msg"}
    others = {"setter": (registry["change"], {"rules": [setter] if kind in ("flow", "global") else []})}
    config = {"property": name, "propertyType": kind, "rules": [{"t": "eq", "v": "5", "vt": "num"}]}
    bench = node("switch", config, bench={"others": others, "env": {"N": "5"}})
    bench.engine.inject("setter", {"payload": {"n": 5}})
    assert ports(bench, {"n": 5}) == [0]


def test_an_expression_rule_matches_where_it_is_true(switch):
    bench = switch({"t": "jsonata_exp", "v": "payload.w > 10 and topic == 'a'", "vt": "expression"})
    assert ports(bench, {"w": 11}, topic="a") == [0]
    assert ports(bench, {"w": 11}, topic="b") == []


def test_the_previous_value_is_that_of_the_message_before_and_survives_a_restart(switch):
    bench = switch({"t": "gt", "v": "", "vt": "prev"}, {"t": "else"})
    assert [ports(bench, payload) for payload in (5, 5, 6)] == [[0], [1], [0]]
    bench.restart()
    assert [ports(bench, payload) for payload in (6, 7)] == [[1], [0]]


def test_between_the_previous_value_and_another(switch):
    bench = switch({"t": "btwn", "v": "", "vt": "prev", "v2": "10", "v2t": "num"})
    assert [ports(bench, payload) for payload in (5, 7, 6)] == [[0], [0], []]


# -- which outputs ----------------------------------------------------------------------------------------------------


def test_every_matching_rule_sends_by_its_own_output(switch):
    rules = [{"t": "gt", "v": "1", **NUMBER}, {"t": "gt", "v": "5", **NUMBER}, {"t": "gt", "v": "3", **NUMBER}]
    bench = switch(*rules)
    assert ports(bench, 4) == [0, 2]
    first, second = (seen.msg for seen in bench.sent)
    assert first is not second
    assert first == second


def test_with_stop_at_the_first_match_only_that_output_sends(switch):
    rules = [{"t": "gt", "v": "1", **NUMBER}, {"t": "gt", "v": "3", **NUMBER}, {"t": "else"}]
    bench = switch(*rules, checkall="false")
    assert [ports(bench, payload) for payload in (4, 2, 0)] == [[0], [0], [2]]


def test_otherwise_matches_where_no_rule_before_it_did(switch):
    bench = switch({"t": "eq", "v": "1", **NUMBER}, {"t": "else"}, {"t": "eq", "v": "2", **NUMBER}, {"t": "else"})
    assert [ports(bench, payload) for payload in (1, 2, 3)] == [[0], [1, 2], [1]]


def test_without_rules_nothing_leaves(switch):
    bench = switch()
    assert ports(bench, 1) == []


def test_the_message_itself_goes_on(switch):
    bench = switch({"t": "true"})
    message = {"payload": True, "_msgid": "m"}
    bench.input(message)
    assert bench.last is message


# -- sequences --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "leaving"),
    [
        ({"t": "head", "v": "2", **NUMBER}, ["a", "b"]),
        ({"t": "tail", "v": "2", **NUMBER}, ["d", "e"]),
        ({"t": "index", "v": "1", "vt": "num", "v2": "3", "v2t": "num"}, ["b", "c", "d"]),
    ],
)
def test_a_sequence_rule_looks_at_the_place(switch, rule, leaving):
    bench = switch(rule)
    sequence(bench, "abcde")
    assert bench.payloads == leaving


def test_a_sequence_rule_on_a_message_of_no_sequence_is_an_error(switch):
    bench = switch({"t": "head", "v": "2", **NUMBER})
    bench.feed("a")
    assert bench.errors == ["a 'head' rule needs messages of a sequence, with parts.id and parts.index"]


def test_by_default_the_parts_stay_as_they_are(switch):
    bench = switch({"t": "eq", "v": "b", **TEXT})
    sequence(bench, "abc")
    assert bench.last["parts"] == {"id": "s", "index": 1, "count": 3}


def test_recreated_sequences_begin_when_the_sequence_is_complete_and_count_anew(switch):
    bench = switch({"t": "gt", "v": "2", **NUMBER}, {"t": "else"}, repair=True)
    sequence(bench, [1, 2, 3], count=False)
    assert bench.sent == []
    bench.input({"payload": 4, "parts": {"id": "s", "index": 3, "count": 4}})
    assert [(seen.port, seen.msg["payload"]) for seen in bench.sent] == [(1, 1), (1, 2), (0, 3), (0, 4)]
    parts = [(seen.port, seen.msg["parts"]["index"], seen.msg["parts"]["count"]) for seen in bench.sent]
    assert parts == [(1, 0, 2), (1, 1, 2), (0, 0, 2), (0, 1, 2)]
    assert len({seen.msg["parts"]["id"] for seen in bench.sent} - {"s"}) == 2


def test_interleaved_sequences_are_kept_apart(switch):
    bench = switch({"t": "tail", "v": "1", **NUMBER})
    for value, id_, index in (("a", "x", 0), ("b", "y", 0), ("c", "x", 1), ("d", "y", 1)):
        bench.input({"payload": value, "parts": {"id": id_, "index": index, "count": 2}})
    assert bench.payloads == ["c", "d"]


def test_a_message_of_no_sequence_passes_a_node_that_recreates_them(switch):
    bench = switch({"t": "nempty"}, repair=True)
    bench.feed("x")
    assert bench.payloads == ["x"]


def test_a_message_that_fails_takes_none_of_its_sequence_with_it(switch):
    bench = switch({"t": "regex", "v": "payload", "vt": "msg"}, repair=True)
    sequence(bench, ["a", "+**", "b"])
    assert bench.payloads == ["a", "b"]
    assert [seen.msg["parts"]["count"] for seen in bench.sent] == [2, 2]
    assert len(bench.errors) == 1


def test_waiting_messages_are_bounded_the_oldest_sequence_goes_with_an_error(switch):
    bench = switch({"t": "nnull"}, repair=True)
    bench.input({"payload": "old", "parts": {"id": "old", "index": 0}})
    for index in range(10_000):
        bench.input({"payload": index, "parts": {"id": "new", "index": index}})
    assert bench.errors == [
        "more than 10000 messages wait for the rest of their sequences; the oldest sequence ('old', 1 messages) is "
        "dropped. Check that one message of each has parts.count"
    ]
    bench.input({"payload": "end", "parts": {"id": "new", "index": 10_000, "count": 10_001}})
    assert len(bench.sent) == 10_001


# -- properties -------------------------------------------------------------------------------------------------------


def test_rules_of_older_exports_without_types_compare_numbers_where_they_can(switch):
    bench = switch({"t": "eq", "v": "10"}, {"t": "eq", "v": "x"})
    assert ports(bench, "10.0") == [0]
    assert ports(bench, "x") == [1]


def test_a_threshold_may_be_changed_without_forgetting_the_previous_value(switch):
    bench = switch({"t": "gt", "v": "", "vt": "prev"})
    bench.feed(10)
    bench.configure(rules=[{"t": "gt", "v": "", "vt": "prev"}, {"t": "else"}])
    assert ports(bench, 9) == [1]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"propertyType": "jsonata", "property": "$x"}, "JSONata is not run here"),
        ({"rules": [{"t": "jsonata_exp", "v": "$x", "vt": "jsonata"}]}, "JSONata is not run here"),
        ({"rules": [{"t": "eq", "v": "x", "vt": "num"}]}, "'x' is not a number"),
        ({"rules": [{"t": "regex", "v": "(", "vt": "str"}]}, "'(' is not a regular expression"),
        ({"rules": [{"t": "istype", "v": "strng", "vt": "strng"}]}, "the type 'strng' is not one of string, number"),
        ({"rules": [{"t": "btwn", "v": "1", "vt": "num", "v2": "x", "v2t": "num"}]}, "'x' is not a number"),
        ({"rules": [{"t": "jsonata_exp", "v": "payload >", "vt": "expression"}]}, "column 10"),
        ({"property": "a b"}, "'a b' cannot be read"),
    ],
)
def test_what_cannot_work_is_refused_before_it_runs(registry, config, said):
    _, problems = configure(Where(), registry["switch"], config, config)
    assert said in problems[0].what


def test_the_rules_of_an_export_are_read_as_they_are(registry):
    exported = {
        "property": "payload", "propertyType": "msg", "checkall": "true", "repair": False, "outputs": 2,
        "rules": [{"t": "eq", "v": "", "vt": "str"}, {"t": "else"}],
    }  # fmt: skip
    config, problems = configure(Where(), registry["switch"], exported, exported)
    assert problems == []
    assert registry["switch"].outputs_of(config) == 2
