"""Recordings: what a line may hold, what is wrong with one, and where."""

import gzip
import json

import pytest

from solarflow.errors import FlowError, UsageError
from solarflow.replay.recording import Recording

TOPIC = "comunita/casa_A/produzione"
USUAL = [(1750500000.0, TOPIC, {"potenza_w": 1500}, False), (1750500060.5, TOPIC, {"potenza_w": 1600}, False)]


def read(tmp_path, content, name="rec.jsonl", **options):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(Recording(path, **options))


def jsonl(*lines):
    return "".join(json.dumps(line) + "\n" for line in lines)


def test_json_lines_hold_ts_topic_and_payload(tmp_path):
    lines = jsonl(*({"ts": ts, "topic": topic, "payload": payload} for ts, topic, payload, _ in USUAL))
    assert read(tmp_path, lines) == USUAL


def test_a_recording_may_be_packed(tmp_path):
    lines = jsonl(*({"ts": ts, "topic": topic, "payload": payload} for ts, topic, payload, _ in USUAL))
    assert read(tmp_path, gzip.compress(lines.encode()), "rec.jsonl.gz") == USUAL


def test_a_csv_holds_the_same_with_json_in_its_payload_cells(tmp_path):
    table = f'ts,topic,payload\n1750500000,{TOPIC},"{{""potenza_w"": 1500}}"\n1750500001,comunita/casa_A/stato,online\n'
    assert read(tmp_path, table, "rec.csv") == [
        USUAL[0],
        (1750500001.0, "comunita/casa_A/stato", "online", False),
    ]


@pytest.mark.parametrize(
    "written", ["2025-06-21T10:00:00Z", "2025-06-21T12:00:00+0200", "2025-06-21T10:00:00", 1750500000, 1750500000000]
)
def test_times_are_seconds_milliseconds_or_iso_8601_and_utc_where_they_do_not_say(tmp_path, written):
    assert read(tmp_path, jsonl({"ts": written, "topic": "a", "payload": 1})) == [(1750500000.0, "a", 1, False)]


def test_what_mosquitto_sub_writes_is_read_with_its_retain_flag(tmp_path):
    line = {"tst": "2025-06-21T12:00:00.000000+0200", "topic": "a", "qos": 0, "retain": 1, "payload": "hi"}
    assert read(tmp_path, jsonl(line)) == [(1750500000.0, "a", "hi", True)]


def test_a_table_of_figures_becomes_what_the_meters_would_have_published(tmp_path):
    table = (
        "ts,home,quantity,value\n"
        "0,casa_A,production_w,1500\n0,casa_B,production_w,100\n0,casa_A,consumption_w,400\n60,casa_B,grid_w,-50\n"
        "60,casa_B,production_w,80\n"
    )
    assert [(ts, topic, payload) for ts, topic, payload, _ in read(tmp_path, table, "t.csv")] == [
        (0, "comunita/casa_A/produzione", {"potenza_w": 1500}),
        (0, "comunita/casa_A/bilancio", {"produzione_w": 1500, "consumo_w": 400}),
        (0, "comunita/casa_B/produzione", {"potenza_w": 100}),
        (60, "comunita/casa_B/produzione", {"potenza_w": 80}),
        (60, "comunita/casa_B/bilancio", {"produzione_w": 80, "rete_w": -50}),
    ]


def test_figures_may_stand_in_columns_and_empty_cells_are_unknown(tmp_path):
    table = "ts,home,production_w,consumption_w\n0,casa_A,1500,400\n0,casa_B,900,\n"
    assert [topic for _, topic, _, _ in read(tmp_path, table, "t.csv")] == [
        "comunita/casa_A/produzione",
        "comunita/casa_A/bilancio",
        "comunita/casa_B/produzione",
    ]


BAD = [
    (b"{", "is not JSON: expecting property name enclosed in double quotes at column 2"),
    (b'{"ts": 1, "payload": 1}', 'has no "topic"'),
    (b'{"topic": "a", "payload": 1}', 'has no "ts"'),
    (b'{"ts": true, "topic": "a", "payload": 1}', "its time is 'True'; expected seconds since 1970 (UTC), or ISO 8601"),
    (b'{"ts": "noon", "topic": "a", "payload": 1}', "its time is not one: 'noon' is not a date and time"),
    (b'{"ts": -5, "topic": "a", "payload": 1}', "its time is -5, which lies outside of 1970 to 9999"),
    (b'{"ts": 1, "topic": "a/+", "payload": 1}', "the topic 'a/+' holds a wildcard"),
    (b'{"ts": 1, "topic": "a", "payload": NaN}', "NaN is not a number that JSON knows"),
    (b"\xff\xfe", "is not UTF-8"),
    (b"[1, 2]", 'is not an object with "ts", "topic" and "payload"'),
    (b'{"ts": 1, "topic": "a", "payload": 1} x', "is not JSON: extra data"),
]


@pytest.mark.parametrize(("line", "what"), BAD)
def test_a_line_that_cannot_be_read_is_told_with_file_and_number(tmp_path, line, what):
    good = b'{"ts": 1.0, "topic": "a", "payload": 1}\n'
    with pytest.raises(FlowError) as caught:
        read(tmp_path, good + line + b"\n" + good)
    (problem,) = caught.value.problems
    assert str(problem.where) == "rec.jsonl:2"
    assert what in problem.what
    assert problem.mend == "correct the line, or leave such lines out with --skip-bad"


def test_with_skip_bad_such_lines_are_left_out_and_counted(tmp_path):
    path = tmp_path / "rec.jsonl"
    path.write_bytes(b'{"ts": 1.0, "topic": "a", "payload": 1}\n' + b"".join(line + b"\n" for line, _ in BAD))
    recording = Recording(path, skip_bad=True)
    assert [reading[0] for reading in recording] == [1.0]
    assert recording.bad == len(BAD)


def test_at_most_twenty_bad_lines_are_told(tmp_path):
    with pytest.raises(FlowError) as caught:
        read(tmp_path, "{\n" * 1000)
    assert len(caught.value.problems) == 20


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("0,casa_A,production_kw,1", "there is no quantity 'production_kw'; did you mean 'production_w'?"),
        ("0,casa_A,production_w,much", "production_w is 'much', where a number is needed"),
        ("0,casa_A,production_w,inf", "production_w is inf, which is not finite"),
        ("0,casa/A,production_w,1", "the home is 'casa/A'"),
        ("0,casa_A,production_w", "has 3 cells, the header has 4"),
    ],
)
def test_a_bad_row_of_a_table_is_told_with_its_number(tmp_path, row, what):
    with pytest.raises(FlowError) as caught:
        read(tmp_path, f"ts,home,quantity,value\n0,casa_A,production_w,1\n{row}\n", "t.csv")
    (problem,) = caught.value.problems
    assert str(problem.where) == "t.csv:3"
    assert what in problem.what


def test_columns_that_say_nothing_are_refused_with_those_that_are_expected(tmp_path):
    with pytest.raises(UsageError, match="the columns are when, what; expected JSON lines, or a CSV with the columns"):
        read(tmp_path, "when,what\n1,2\n", "t.csv")


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UsageError, match="cannot be opened: No such file"):
        list(Recording(tmp_path / "nothing.jsonl"))


def test_a_packed_file_that_ends_early_is_told(tmp_path):
    packed = gzip.compress(jsonl(*({"ts": n, "topic": "a", "payload": n} for n in range(1000))).encode())
    with pytest.raises(UsageError, match="cannot be read to its end"):
        read(tmp_path, packed[:-20], "rec.jsonl.gz")
