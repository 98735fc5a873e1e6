"""What `join` promises."""

import pytest
from pydantic import ValidationError

from solarflow.flowbench import FlowBench
from solarflow.testing import at


@pytest.fixture
def there_and_back():
    """Split a value and join it again: `there_and_back([1, 2], arraySplt=2)`; pieces may be turned round on the way."""

    def run(payload, *, turned=False, **split):
        bench = FlowBench(
            [
                {"id": "tab", "type": "tab", "label": "t"},
                {"id": "split", "type": "split", "z": "tab", "wires": [["held"]], **split},
                {"id": "held", "type": "debug", "z": "tab", "wires": []},
                {"id": "join", "type": "join", "z": "tab", "wires": [["out"]]},
                {"id": "out", "type": "debug", "z": "tab", "wires": []},
            ]
        )
        bench.inject("split", {"payload": payload, "topic": "kept"})
        pieces = [seen.msg for seen in bench.messages("held")]
        for piece in reversed(pieces) if turned else pieces:
            bench.inject("join", piece)
        assert bench.errors == []
        (seen,) = bench.messages("out")
        assert "parts" not in seen.msg
        assert seen.msg["topic"] == "kept"
        return seen.msg["payload"]

    return run


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("payload", "split"),
    [
        ([1, {"a": 2}, "x", None], {}),
        ([1, 2, 3], {"arraySplt": 2}),
        ([[1], [2]], {}),
        ({"a": 1, "b": [2]}, {}),
        ("a\nb\n", {}),
        ("abcde", {"splt": "2", "spltType": "len"}),
        ("a\r\nb", {"splt": "[13,10]", "spltType": "bin"}),
        (b"a\n\xff", {}),
        (b"abcde", {"splt": "2", "spltType": "len"}),
    ],
)
def test_automatic_mode_undoes_a_split_in_whatever_order_the_pieces_come(there_and_back, payload, split, turned):
    assert there_and_back(payload, turned=turned, **split) == payload


def test_an_outer_sequence_comes_back(node):
    bench = node("join")
    outer = {"id": "outer", "index": 0, "count": 1}
    bench.feed(1, parts={"id": "x", "type": "array", "index": 0, "count": 1, "parts": outer})
    assert bench.last["parts"] == outer
    assert bench.payloads == [[1]]


def test_sequences_are_kept_apart(node):
    bench = node("join")
    for index in range(2):
        for id_ in ("x", "y"):
            bench.feed(f"{id_}{index}", parts={"id": id_, "type": "array", "index": index, "count": 2})
    assert bench.payloads == [["x0", "x1"], ["y0", "y1"]]


def test_in_automatic_mode_a_message_without_parts_is_an_error(node):
    bench = node("join")
    bench.feed(1)
    assert "no 'parts'" in bench.errors[0]


@pytest.mark.parametrize(
    ("config", "fed", "made"),
    [
        ({"build": "array"}, [1, "x", None], [1, "x", None]),
        ({"build": "string", "joiner": "\\n"}, ["a", 1.0, True], "a\n1\ntrue"),
        ({"build": "string"}, ["a", "b", None], "ab"),
        ({"build": "string", "joiner": "[59]", "joinerType": "bin"}, ["a", "b", "c"], "a;b;c"),
        ({"build": "buffer", "joiner": "-"}, [b"\xff", "b", [1]], b"\xff-b-\x01"),
        ({"build": "merged"}, [{"a": 1}, {"a": 2, "b": 3}, {"c": 4}], {"a": 2, "b": 3, "c": 4}),
    ],
)
def test_custom_mode_builds_after_a_count(node, config, fed, made):
    bench = node("join", mode="custom", count="3", **config)
    for number, payload in enumerate(fed):
        assert bench.sent == []
        bench.feed(payload, topic=f"t{number}")
    assert bench.payloads == [made]
    assert bench.last["topic"] == "t2", "the other properties are the last message's"


def test_an_object_has_a_property_for_each_value_of_the_key(node):
    bench = node("join", mode="custom", build="object", key="topic", count=2)
    bench.feed(1, topic="a")
    bench.feed(2, topic="a")
    bench.feed(3, topic=5)
    assert bench.payloads == [{"a": 2, "5": 3}]
    bench.feed(4)
    assert "no 'topic'" in bench.errors[0]


def test_with_accumulate_each_further_message_sends_the_object_again_until_complete(node):
    bench = node("join", mode="custom", build="object", count=2, accumulate="true")
    for topic, payload in (("a", 1), ("b", 2), ("a", 3)):
        bench.feed(payload, topic=topic)
    assert bench.payloads == [{"a": 1, "b": 2}, {"a": 3, "b": 2}]
    bench.input({"complete": True})
    assert bench.payloads[-1] == {"a": 3, "b": 2}
    bench.feed(4, topic="a")
    assert len(bench.sent) == 3


def test_complete_adds_its_piece_and_sends_what_there_is(node):
    bench = node("join", mode="custom", build="array")
    bench.feed(1)
    bench.feed(2, complete=True)
    bench.feed(3)
    bench.input({"complete": True})
    assert bench.payloads == [[1, 2], [3]]
    assert "complete" not in bench.last


def test_reset_forgets_what_there_is(node):
    bench = node("join", mode="custom", build="array", count=2, timeout=10)
    bench.feed(1)
    bench.input({"reset": True})
    bench.advance(20)
    bench.feed(2)
    bench.feed(3)
    assert bench.payloads == [[2, 3]]


def test_after_the_timeout_it_sends_what_there_is(node):
    bench = node("join", mode="custom", build="array", count=3, timeout="10")
    bench.feed(1)
    bench.feed(2, at=9)
    bench.advance(100)
    assert bench.sent == [at(10, payload=[1, 2])]


def test_the_timeout_begins_anew_on_request_and_ends_with_the_sequence(node):
    bench = node("join", mode="custom", build="array", count=3, timeout=10)
    bench.feed(1)
    bench.feed(2, at=9, restartTimeout=True)
    bench.feed(3, at=18)
    bench.feed(4, at=20)
    bench.advance(100)
    assert bench.sent == [at(18, payload=[1, 2, 3]), at(30, payload=[4])]
    assert "restartTimeout" not in bench.last


def test_without_a_count_the_parts_of_the_messages_count(node):
    bench = node("join", mode="custom", build="array", count="")
    for index in range(2):
        bench.feed(index, parts={"id": "x", "index": index, "count": 2})
    assert bench.payloads == [[0, 1]]


def test_custom_mode_may_keep_sequences_apart_by_their_parts(node):
    bench = node("join", mode="custom", build="string", joiner=",", useparts=True)
    for index in (1, 0):
        for id_ in ("x", "y"):
            bench.feed(f"{id_}{index}", parts={"id": id_, "index": index, "count": 2})
    assert bench.payloads == ["x0,x1", "y0,y1"]


def test_homes_may_be_joined_apart(node):
    bench = node("join", mode="custom", build="array", count=2, group_by="home")
    for payload in (1, 2):
        for home in ("casa_A", "casa_B"):
            bench.feed(payload, home=home)
    assert [(m.msg["home"], m.msg["payload"]) for m in bench.sent] == [("casa_A", [1, 2]), ("casa_B", [1, 2])]
    bench.feed(1)
    assert "no 'home'" in bench.errors[0]


def test_the_complete_message_may_be_joined(node):
    bench = node("join", mode="custom", build="array", propertyType="full", count=2)
    bench.feed(1, topic="a")
    bench.feed(2, topic="b")
    assert [(m["topic"], m["payload"]) for m in bench.last["payload"]] == [("a", 1), ("b", 2)]


def test_what_waits_survives_a_restart_bytes_and_timeout_too(node):
    bench = node("join", mode="custom", build="buffer", timeout=10)
    bench.feed(b"\xff\x00", topic="kept", res=object())
    bench.restart(down_s=100)
    bench.feed(b"\x01")
    bench.advance(10)
    assert bench.payloads == [b"\xff\x00\x01"]
    assert bench.last["topic"] == "kept"


def test_what_cannot_be_written_is_there_while_the_program_runs(node):
    bench = node("join", mode="custom", build="array", count=2)
    handle = object()
    bench.feed(handle, res=handle)
    bench.feed(1)
    assert bench.payloads == [[handle, 1]]
    assert bench.last["res"] is handle


def test_a_piece_of_the_wrong_kind_is_an_error_and_loses_nothing_else(node):
    bench = node("join", mode="custom", build="merged", count=2)
    bench.feed({"a": 1})
    bench.feed(5)
    bench.feed({"b": 2})
    assert bench.payloads == [{"a": 1, "b": 2}]
    assert "no object" in bench.errors[0]
    bench.configure(build="buffer")
    bench.feed(1.5)
    assert "cannot be joined to bytes" in bench.errors[1]


def test_a_sequence_is_bounded_and_so_is_the_number_of_sequences(node):
    bench = node("join", mode="custom", build="array", max_messages=3)
    for number in range(4):
        bench.feed(number)
    assert "more than 3 messages" in bench.errors[0]
    assert len(bench.node.state) == 0
    bench.configure(mode="auto")
    for number in range(1500):
        bench.feed(1, parts={"id": str(number), "type": "array", "index": 0, "count": 2})
    assert len(bench.node.state) == 1000


@pytest.mark.parametrize(
    ("config", "value"),
    [
        ({"reduceExp": "A + payload", "reduceInit": "10"}, 16),
        ({"reduceExp": "A + payload", "reduceFixup": "A / N"}, 2),
        ({"reduceExp": "A * 10 + payload"}, 123),
        ({"reduceExp": "A * 10 + payload", "reduceRight": True}, 321),
        ({"reduceExp": "A + I * payload"}, 8),
    ],
)
def test_an_expression_reduces_a_sequence_to_one_value(node, config, value):
    bench = node("join", mode="reduce", reduce_type="expression", **config)
    for payload in (2, 1, 3):
        bench.feed(payload, parts={"id": "x", "index": payload - 1, "count": 3}, home="casa_A")
    assert bench.payloads == [value]
    assert bench.last["home"] == "casa_A"


def test_a_message_without_parts_passes_a_reducing_node(node):
    bench = node("join", mode="reduce", reduce_type="expression", reduceExp="A + payload")
    bench.feed(5)
    assert bench.payloads == [5]


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        ({"mode": "reduce", "reduceExp": "$A+payload"}, "JSONata is not run here"),
        ({"mode": "reduce", "reduce_type": "expression", "reduceExp": ""}, "expression is empty"),
        ({"mode": "reduce", "reduce_type": "expression", "reduceExp": "A +"}, "check brackets"),
        ({"mode": "reduce", "reduce_type": "expression", "reduceExp": "A", "reduceInit": "x"}, "not a number"),
        ({"mode": "custom", "joiner": "x", "joinerType": "bin"}, "list of bytes"),
        ({"mode": "custom", "key": "a b"}, "cannot be read"),
    ],
)
def test_properties_that_cannot_work_are_refused(node, properties, text):
    with pytest.raises(ValidationError, match=text):
        node("join", properties)


def test_an_export_of_node_red_is_read(node):
    bench = node(
        "join", mode="auto", build="object", property="payload", propertyType="msg", key="topic", joiner="\\n",
        joinerType="str", useparts=False, accumulate="false", timeout="", count="", reduceRight=False, reduceExp="",
        reduceInit="", reduceInitType="", reduceFixup="",
    )  # fmt: skip
    bench.feed(1, parts={"id": "x", "type": "array", "index": 0, "count": 1})
    assert bench.payloads == [[1]]
