"""What `csv` promises."""

import time

import pytest
from pydantic import ValidationError

from solarflow.testing import all_examples, run_example


def test_each_row_is_a_message_with_its_place(node):
    bench = node("csv", temp="a,b")
    bench.feed("1,x\n2,y\n", topic="kept")
    assert bench.payloads == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    assert [(m.msg["parts"]["index"], m.msg["parts"]["count"], m.msg["topic"]) for m in bench.sent] == [
        (0, 2, "kept"),
        (1, 2, "kept"),
    ]
    assert bench.sent[0].msg["parts"]["id"] == bench.sent[1].msg["parts"]["id"]
    assert bench.last["columns"] == "a,b"


def test_the_first_row_may_name_the_columns(node):
    bench = node("csv", hdrin=True, multi="mult")
    bench.feed('\ufeff"a", b ,"c,d"\r\n1,2,3\r\n')
    assert bench.payloads == [[{"a": 1, "b": 2, "c,d": 3}]]
    assert bench.last["columns"] == 'a,b,"c,d"'


def test_without_names_columns_are_numbered(node):
    bench = node("csv", multi="mult")
    bench.feed("1,x\n2,y,z")
    assert bench.payloads == [[{"col1": 1, "col2": "x"}, {"col1": 2, "col2": "y", "col3": "z"}]]


def test_a_column_without_a_name_is_left_out(node):
    bench = node("csv", temp="a,,c")
    bench.feed("1,2,3,4")
    assert bench.payloads == [{"a": 1, "c": 3}]


def test_quoted_fields_hold_separators_line_ends_and_quotes(node):
    bench = node("csv", temp="a,b")
    bench.feed('"x, ""y""\nz",2')
    assert bench.payloads == [{"a": 'x, "y"\nz', "b": 2}]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5), ("-5.50", -5.5), ("1e3", 1000), (".5", 0.5), ("0", 0), ("0.5", 0.5), ("0123", "0123"),
        ("1e999", "1e999"), ("12 kW", "12 kW"), ("NaN", "NaN"), ("+39", "+39"), ("٣", "٣"),
    ],
)  # fmt: skip
def test_texts_that_are_numbers_become_numbers(node, text, value):
    bench = node("csv", temp="a")
    bench.feed(text)
    assert bench.payloads == [{"a": value}]
    assert type(bench.payloads[0]["a"]) is type(value)
    bench.configure(strings=False)
    bench.feed(text)
    assert bench.payloads[1] == {"a": text}


@pytest.mark.parametrize(
    ("options", "row"),
    [
        ({}, {"a": 1, "c": 3}),
        ({"include_empty_strings": True}, {"a": 1, "b": "", "c": 3}),
        ({"include_null_values": True}, {"a": 1, "b": None, "c": 3}),
    ],
)
def test_a_field_without_text_is_left_out_empty_or_null(node, options, row):
    bench = node("csv", temp="a,b,c", **options)
    bench.feed("1,,3\n\n")
    assert bench.payloads == [row]


def test_lines_at_the_beginning_may_be_skipped(node):
    bench = node("csv", skip="2", hdrin=True, multi="mult")
    bench.feed("made by\nsomething\na,b\n1,2")
    assert bench.payloads == [[{"a": 1, "b": 2}]]


def test_another_separator(node):
    bench = node("csv", sep="\\t", temp="a,b")
    bench.feed("1\t2")
    bench.feed({"a": "x\ty", "b": 2})
    assert bench.payloads == [{"a": 1, "b": 2}, '"x\ty"\t2\n']


def test_parts_are_read_as_one_sequence(node):
    bench = node("csv", hdrin=True, multi="mult")
    for index, line in enumerate(["a,b", "1,2", "3,4"]):
        bench.feed(line, parts={"id": "x", "index": index, "count": 3})
    assert bench.payloads == [[{"a": 1, "b": 2}, {"a": 3, "b": 4}]]
    assert "parts" not in bench.last


def test_parts_may_leave_row_by_row_and_survive_a_restart(node):
    bench = node("csv", hdrin=True)
    bench.feed("a,b", parts={"id": "x", "index": 0, "count": 3})
    bench.feed("1,2", parts={"id": "x", "index": 1, "count": 3})
    bench.restart()
    bench.feed("3,4", parts={"id": "x", "index": 2, "count": 3})
    assert bench.payloads == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
    assert [m.msg["parts"] for m in bench.sent] == [
        {"id": "x", "index": 0, "count": 2},
        {"id": "x", "index": 1, "count": 2},
    ]
    assert len(bench.node.state) == 0


@pytest.mark.parametrize(
    ("config", "payload", "text"),
    [
        ({"temp": "b,a"}, {"a": 1, "b": "x", "c": 3}, "x,1\n"),
        ({"temp": "b,a"}, [{"a": 1, "b": 2}, {"a": 3}], "2,1\n,3\n"),
        ({"temp": "a,,b"}, {"a": 1, "b": 2}, "1,,2\n"),
        ({}, {"a": 1, "b": 2.5}, "1,2.5\n"),
        ({}, [1, "x", None, True], "1,x,,true\n"),
        ({}, [[1, 2], [3, 4]], "1,2\n3,4\n"),
        ({}, {"a": 'say "x"', "b": "1,2", "c": "y\nz"}, '"say ""x""","1,2","y\nz"\n'),
        ({}, {"a": {"b": [1]}}, '"{""b"":[1]}"\n'),
        ({"ret": "\\r\\n"}, {"a": 1}, "1\r\n"),
        ({"temp": "a,b", "hdrout": True}, {"a": 1, "b": 2}, "a,b\n1,2\n"),
        ({"hdrout": "all"}, [{"a": 1.0}, {"a": 2}], "a\n1\n2\n"),
        ({"temp": "x,y", "hdrout": "all"}, [[1, 2]], "x,y\n1,2\n"),
    ],
)
def test_objects_and_lists_become_text(node, config, payload, text):
    bench = node("csv", config)
    bench.feed(payload)
    assert bench.payloads == [text]


def test_the_message_may_name_the_columns_to_write(node):
    bench = node("csv", hdrout="all")
    bench.feed({"a": 1, "b": 2}, columns="b,a")
    assert bench.payloads == ["b,a\n2,1\n"]


def test_the_header_may_be_written_once_until_reset(node):
    bench = node("csv", hdrout="once")
    for _ in range(2):
        bench.feed({"a": 1})
    bench.restart()
    bench.feed({"a": 1})
    bench.input({"reset": True})
    bench.feed({"a": 1})
    assert bench.payloads == ["a\n1\n", "1\n", "1\n", "a\n1\n"]


def test_what_it_wrote_it_reads_again(node):
    rows = [{"a": 'x, "y"', "b": 1.5}, {"a": "z\r\nw", "b": -2}]
    bench = node("csv", temp="a,b", multi="mult")
    bench.feed(rows)
    bench.feed(bench.last["payload"])
    assert bench.last["payload"] == rows


@pytest.mark.parametrize("payload", [5, True, None, b"1,2"])
def test_anything_else_is_an_error(node, payload):
    bench = node("csv")
    bench.feed(payload)
    assert "where a text, an object or a list is needed" in bench.errors[0]


def test_a_message_without_payload_passes(node):
    bench = node("csv")
    bench.input({"topic": "a"})
    assert bench.last["topic"] == "a"


def test_a_text_that_is_no_csv_is_an_error(node):
    bench = node("csv")
    bench.feed('"' + "x" * 1_000_001)
    assert "is not CSV" in bench.errors[0]


@pytest.mark.parametrize("properties", [{"sep": "ab"}, {"sep": '"'}, {"ret": "x"}, {"multi": "two"}])
def test_properties_that_cannot_work_are_refused(node, properties):
    with pytest.raises(ValidationError):
        node("csv", properties)


def test_an_export_of_node_red_is_read(node):
    bench = node(
        "csv", spec="", sep=",", hdrin="", hdrout="none", multi="one", ret="\\n", temp="", skip="0", strings=True,
        include_empty_strings="", include_null_values="",
    )  # fmt: skip
    bench.feed("1")
    assert bench.payloads == [{"col1": 1}]


def test_the_examples_of_its_help_hold(registry):
    for kind, example in all_examples(registry):
        if kind.type == "csv":
            sent, expected = run_example(kind, example)
            assert sent == expected


def test_a_long_field_that_is_no_number_after_all_takes_no_time(node):
    bench = node("csv", temp="a")
    field = "1" * 60_000 + "x"
    began = time.process_time()
    bench.feed(field)
    assert bench.payloads == [{"a": field}]
    assert time.process_time() - began < 1  # some forty seconds where every digit is tried with every other
