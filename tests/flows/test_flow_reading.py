"""What a flow file may hold, and what is said of one that cannot be read."""

from __future__ import annotations

import pytest
from flow_helpers import Files, node, tab

from solarflow.flowfile import MAX_DEPTH, parse_flow
from solarflow.manifest import load_project, read_flow


def said(text: str) -> list[str]:
    return [problem.what for problem in parse_flow(text, "a.json").problems]


def test_a_file_keeps_every_property_of_every_node() -> None:
    raw = '[{"id": "n", "type": "who knows", "z": "", "strange": {"deep": [1, null]}, "wires": []}]'
    flow = parse_flow(raw, "a.json")
    assert flow.nodes == [{"id": "n", "type": "who knows", "z": "", "strange": {"deep": [1, None]}, "wires": []}]
    assert flow.problems == ()


def test_a_file_knows_its_tabs_in_their_order() -> None:
    flow = parse_flow('[{"id": "z", "type": "tab", "label": "One"}, {"id": "a", "type": "tab"}]', "a.json")
    assert [(one.id, one.name) for one in flow.tabs] == [("z", "One"), ("a", "")]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "is not JSON: expecting value at line 1, column 1"),
        ('[{"id": "n",\n  "type": }]', "is not JSON: expecting value at line 2, column 11"),
        ('[{"id": "n", "type": "tab"}', "is not JSON: expecting ',' delimiter at line 1, column 28"),
        (
            '[\n{"id": "NaN", "v": NaN}]',
            "is not JSON: NaN, Infinity and numbers of thousands of digits are not allowed at line 2, column 20",
        ),
        (
            "[-Infinity]",
            "is not JSON: NaN, Infinity and numbers of thousands of digits are not allowed at line 1, column 2",
        ),
        ('[{"v": 1e999}]', "is not JSON: the number is too large at line 1, column 8"),
        ('[{"v": "\\ud800"}]', "is not JSON: the text holds half a character at line 1, column 8"),
        ('{"nodes": []}', "expected an array of nodes, found an object"),
        ("null", "expected an array of nodes, found null"),
        ('["tab"]', "expected an object for each node, found the text 'tab'"),
        ('[{"type": "tab"}]', "the property is required and missing"),
        ('[{"id": 7, "type": "tab"}]', "expected a text, found the number 7"),
        (
            '[{"id": "a/b", "type": "x"}]',
            "an id may not hold '/', which stands between a subflow instance and a node in it",
        ),
        ('[{"id": "n", "type": "x", "id": "m"}]', "the key 'id' stands twice in one object"),
        (
            '[{"id": "n", "type": "x", "wires": "m"}]',
            "expected an array with one array of node ids for each output, found the text 'm'",
        ),
        ('[{"id": "n", "type": "x", "wires": [["m", 1]]}]', "expected the id of a node, found the number 1"),
        ('[{"id": "n", "type": "x", "d": "yes"}]', "expected true or false, found the text 'yes'"),
        ('[{"id": "n", "type": "subflow", "in": [1]}]', 'expected an object with "wires", found the number 1'),
        (
            '[{"id": "n", "type": "subflow", "out": [{"wires": [{"id": "m", "port": -1}]}]}]',
            "expected the number of an output, found the number -1",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, what: str) -> None:
    assert said(text) == [what]


def test_text_nested_too_deeply_is_refused_however_deep() -> None:
    for depth in (MAX_DEPTH + 1, 200_000):
        (what,) = said("[" * depth + "]" * depth)
        assert what == f"is not JSON: lists and objects are nested deeper than {MAX_DEPTH} at line 1, column 1"
    assert said("[" * 3 + "]" * 3) == ["expected an object for each node, found an array"]


def test_a_number_of_ten_thousand_digits_is_refused() -> None:
    assert said(f'[{{"v": {"9" * 10_000}}}]')[0].endswith("at line 1, column 8")


def test_null_stands_for_what_is_not_there() -> None:
    flow = parse_flow('[{"id": "n", "type": "x", "z": null, "wires": [null, ["m"]], "env": null}]', "a.json")
    assert flow.problems == ()
    assert flow.models[0].wires == ((), ("m",))


def test_a_byte_order_mark_is_nothing(files: Files) -> None:
    path = files.write("a.json", b"\xef\xbb\xbf[]")
    assert read_flow(path, "a.json").problems == ()


def test_a_file_in_another_encoding_says_so(files: Files) -> None:
    path = files.write("a.json", '[{"id": "n", "type": "x", "name": "perché"}]'.encode("latin-1"))
    assert [p.what for p in read_flow(path, "a.json").problems] == ["cannot be read: byte 40 is not UTF-8"]


def test_a_missing_file_a_folder_and_a_huge_file_say_so(files: Files) -> None:
    huge = files.write("huge.json", b"[" + b" " * 20_000_000 + b"]")
    (files.root / "folder").mkdir()
    assert [p.what for p in read_flow(files.root / "none.json", "none.json").problems] == ["there is no file here"]
    assert [p.what for p in read_flow(files.root / "folder", "f").problems] == ["cannot be read: it is not a file"]
    assert [p.what for p in read_flow(huge, "huge.json").problems] == ["cannot be read: it is larger than 20 MB"]


def test_all_problems_of_all_files_come_at_once(files: Files) -> None:
    files.write("flows.json", {"flows": ["flows/a.json", "flows/b.json", "flows/c.json"]})
    files.write("flows/a.json", [tab("t1"), node("n", "pass", z="t1", limit_w=-5), node("m", "pas", z="t1")])
    files.write("flows/b.json", '[{"id": "t2", "type": "tab"')
    problems = load_project(files.root, files.registry, {}).problems
    assert sorted((p.where.file, p.where.node, p.code) for p in problems) == [
        ("flows/a.json", "m", "unknown-type"),
        ("flows/a.json", "n", "invalid-value"),
        ("flows/b.json", "", "not-json"),
        ("flows/c.json", "", "file-missing"),
    ]
