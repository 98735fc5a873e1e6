"""What `split` promises."""

import pytest
from pydantic import ValidationError

from solarflow.testing import all_examples, run_example


def places(bench):
    """(index, count) of all that left."""
    return [(m.msg["parts"]["index"], m.msg["parts"].get("count")) for m in bench.sent]


def test_a_list_is_split_into_its_items(node):
    bench = node("split")
    bench.feed([1, {"a": 2}, "x"], topic="kept", home="casa_A")
    assert bench.payloads == [1, {"a": 2}, "x"]
    assert places(bench) == [(0, 3), (1, 3), (2, 3)]
    assert {m.msg["parts"]["id"] for m in bench.sent} == {bench.last["parts"]["id"]}
    assert (bench.last["parts"]["type"], bench.last["parts"]["len"]) == ("array", 1)
    assert (bench.last["topic"], bench.last["home"]) == ("kept", "casa_A")


def test_a_list_may_be_split_into_shorter_lists(node):
    bench = node("split", arraySplt="2")
    bench.feed([1, 2, 3])
    assert bench.payloads == [[1, 2], [3]]
    assert bench.last["parts"]["len"] == 2


def test_an_object_is_split_into_its_properties(node):
    bench = node("split", addname="topic")
    bench.feed({"a": 1, "b": [2]})
    assert [(m.msg["topic"], m.msg["payload"], m.msg["parts"]["key"]) for m in bench.sent] == [
        ("a", 1, "a"),
        ("b", [2], "b"),
    ]
    assert places(bench) == [(0, 2), (1, 2)]
    assert bench.last["parts"]["type"] == "object"


@pytest.mark.parametrize(
    ("config", "text", "pieces", "ch"),
    [
        ({}, "a\nb\n", ["a", "b", ""], "\n"),
        ({"splt": ", "}, "a, b", ["a", "b"], ", "),
        ({"splt": "\\t"}, "a\tb", ["a", "b"], "\t"),
        ({"splt": "[13, 10]", "spltType": "bin"}, "a\r\nb", ["a", "b"], [13, 10]),
        ({"splt": "2", "spltType": "len"}, "abcde", ["ab", "cd", "e"], ""),
        ({}, "", [""], "\n"),
    ],
)
def test_a_text_is_split_at_a_text_at_bytes_or_by_length(node, config, text, pieces, ch):
    bench = node("split", config)
    bench.feed(text)
    assert bench.payloads == pieces
    assert places(bench) == [(n, len(pieces)) for n in range(len(pieces))]
    assert (bench.last["parts"]["type"], bench.last["parts"]["ch"]) == ("string", ch)


@pytest.mark.parametrize(
    ("config", "pieces"),
    [
        ({}, [b"a", b"\xffb"]),
        ({"splt": "[255]", "spltType": "bin"}, [b"a\n", b"b"]),
        ({"splt": "3", "spltType": "len"}, [b"a\n\xff", b"b"]),
    ],
)
def test_bytes_are_split_likewise(node, config, pieces):
    bench = node("split", config)
    bench.feed(b"a\n\xffb")
    assert bench.payloads == pieces
    assert bench.last["parts"]["type"] == "buffer"


@pytest.mark.parametrize(
    ("config", "fed", "pieces"),
    [
        ({}, ["a\nb", "c\nd", "\n"], ["a", "bc", "d"]),
        ({"splt": "2", "spltType": "len"}, ["abc", "de", "f"], ["ab", "cd", "ef"]),
        ({}, [b"a\n\xff", b"\n"], [b"a", b"\xff"]),
        ({"splt": "2", "spltType": "len"}, [b"abc", b"d"], [b"ab", b"cd"]),
    ],
)
def test_in_a_stream_an_incomplete_piece_waits_for_the_next_message(node, config, fed, pieces):
    bench = node("split", config, stream=True)
    for payload in fed:
        bench.feed(payload)
    assert bench.payloads == pieces
    assert places(bench) == [(n, None) for n in range(len(pieces))]


def test_what_waits_of_a_stream_survives_a_restart_and_belongs_to_its_home(node):
    bench = node("split", stream=True)
    bench.feed("a", home="casa_A")
    bench.feed("b", home="casa_B")
    bench.restart()
    bench.feed("1\n", home="casa_A")
    bench.feed("2\n", home="casa_B")
    assert [(m.msg["home"], m.msg["payload"]) for m in bench.sent] == [("casa_A", "a1"), ("casa_B", "b2")]


def test_a_stream_that_never_ends_a_piece_is_an_error_and_forgotten(node):
    bench = node("split", stream=True)
    bench.feed("x" * 1_000_001)
    assert "they are dropped" in bench.errors[0]
    bench.feed("a\n")
    assert bench.payloads == ["a"]


def test_a_sequence_inside_a_sequence_keeps_the_outer_one(node):
    bench = node("split")
    outer = {"id": "outer", "index": 1, "count": 2}
    bench.feed([1], parts=outer)
    assert bench.last["parts"]["parts"] == outer


@pytest.mark.parametrize("payload", [[], {}])
def test_an_empty_list_or_object_gives_no_message(node, payload):
    bench = node("split")
    bench.feed(payload)
    assert bench.sent == bench.errors == []


def test_another_property_may_be_named(node):
    bench = node("split", property="payload.rows")
    bench.feed({"rows": [1, 2], "kept": True})
    assert bench.payloads == [{"rows": 1, "kept": True}, {"rows": 2, "kept": True}]


def test_each_piece_is_a_message_of_its_own(node):
    bench = node("split")
    shared = {"a": 1}
    bench.input({"payload": [shared, shared], "_msgid": "m", "other": shared})
    first, second = (m.msg for m in bench.sent)
    first["payload"]["a"] = first["other"]["a"] = 2
    assert second["payload"] == second["other"] == {"a": 1}
    assert len({"m", first["_msgid"], second["_msgid"]}) == 3


@pytest.mark.parametrize("payload", [5, None, True])
def test_what_cannot_be_split_is_an_error(node, payload):
    bench = node("split")
    bench.feed(payload)
    assert "where a text, a list or an object is needed" in bench.errors[0]


@pytest.mark.parametrize(
    "properties",
    [
        {"spltType": "len", "splt": "0"},
        {"spltType": "len", "splt": "x"},
        {"spltType": "bin", "splt": "x"},
        {"spltType": "bin", "splt": "[]"},
        {"arraySplt": 0},
        {"property": "a b"},
    ],
)
def test_properties_that_cannot_work_are_refused(node, properties):
    with pytest.raises(ValidationError):
        node("split", properties)


def test_an_export_of_node_red_is_read(node):
    bench = node(
        "split",
        splt="\\n",
        spltType="str",
        arraySplt=1,
        arraySpltType="len",
        stream=False,
        addname="",
        property="payload",
    )
    bench.feed("a\nb")
    assert bench.payloads == ["a", "b"]


@pytest.mark.parametrize("type_", ["split", "join"])
def test_the_examples_of_its_help_hold(registry, type_):
    for kind, example in all_examples(registry):
        if kind.type == type_:
            sent, expected = run_example(kind, example)
            assert sent == expected
