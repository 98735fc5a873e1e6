"""The message: how it is copied, and paths into it."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solarflow.errors import PropertyPathError
from solarflow.message import MISSING, PropertyPath, clone

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
    max_leaves=30,
)


def containers(value):
    """The dicts and lists in a value that are reached through dicts and lists."""
    if isinstance(value, (dict, list)):
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from containers(inner)


# -- clone ------------------------------------------------------------------------------------------------------


@given(VALUES)
def test_a_clone_equals_and_shares_no_container(value):
    copied = clone(value)
    assert copied == value
    assert type(copied) is type(value)
    assert not {id(one) for one in containers(copied)} & {id(one) for one in containers(value)}


def test_everything_but_dicts_and_lists_is_shared():
    request, raw = object(), b"bytes"
    copied = clone({"req": request, "payload": {"raw": raw}})
    assert copied["req"] is request
    assert copied["payload"]["raw"] is raw


# -- paths ------------------------------------------------------------------------------------------------------

MSG = {
    "topic": "a/b",
    "home": "casa_A",
    "payload": {"power": [10, {"a b": 20}], "0": "zero", "it's": 1, "casa_A": "mine", "über-maß": 2, "none": None},
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("topic", "a/b"),
        ("msg.topic", "a/b"),
        ("payload.power", MSG["payload"]["power"]),
        ("payload.power[0]", 10),
        ("payload.power.0", 10),
        ('payload.power[1]["a b"]', 20),
        ("payload['power'][0]", 10),
        ('payload["it\'s"]', 1),
        ("payload['it\\'s']", 1),
        ("payload[msg.home]", "mine"),
        ("payload.über-maß", 2),
        ("payload[0]", "zero"),
        ("payload.power.length", 2),
        ("topic.length", 3),
        ("topic[1]", "/"),
        ("payload.none", None),
        ("nothing", MISSING),
        ("payload.nothing.deeper", MISSING),
        ("payload.none.deeper", MISSING),
        ("payload.power[9]", MISSING),
        ("payload.power.name", MISSING),
        ("payload[msg.nothing]", MISSING),
    ],
)
def test_a_path_finds_what_is_there(path, value):
    assert PropertyPath(path).get(MSG) == value


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("topic", {}, {"topic": 1}),
        ("payload.a.b", {}, {"payload": {"a": {"b": 1}}}),
        ("payload.a.b", {"payload": {"a": None, "c": 2}}, {"payload": {"a": {"b": 1}, "c": 2}}),
        ("payload[0]", {"payload": [5, 6]}, {"payload": [1, 6]}),
        ("payload[2]", {"payload": [5, 6]}, {"payload": [5, 6, 1]}),
        ("payload[msg.home].x", {"home": "A"}, {"home": "A", "payload": {"A": {"x": 1}}}),
    ],
)
def test_setting_makes_what_stands_on_the_way(path, before, after):
    msg = copy.deepcopy(before)
    PropertyPath(path).set(msg, 1)
    assert msg == after


@pytest.mark.parametrize(
    ("path", "msg"),
    [("payload.a", {"payload": 5}), ("payload.a.b", {"payload": "text"}), ("payload[3]", {"payload": [1]})],
)
def test_setting_where_there_is_no_place_says_so(path, msg):
    before = copy.deepcopy(msg)
    with pytest.raises(PropertyPathError, match="cannot set payload"):
        PropertyPath(path).set(msg, 1)
    assert msg == before


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("payload.a", {"payload": {"a": 1, "b": 2}}, {"payload": {"b": 2}}),
        ("payload[0]", {"payload": [1, 2]}, {"payload": [2]}),
        ("payload.nothing.deeper", {"payload": {"a": 1}}, {"payload": {"a": 1}}),
        ("payload[9]", {"payload": [1]}, {"payload": [1]}),
    ],
)
def test_deleting_takes_away_what_is_there(path, before, after):
    msg = copy.deepcopy(before)
    PropertyPath(path).delete(msg)
    assert msg == after


@pytest.mark.parametrize(
    "path", ["", ".", "a..b", "a[", "a[x]", "a]", "1a", "a b", "payload.", "payload[msg.]", "a" * 1001, "msg."]
)
def test_what_is_no_path_is_refused_with_an_example(path):
    with pytest.raises(PropertyPathError, match=r"write it like payload\.power or payload\[0\]"):
        PropertyPath(path)


@given(st.text(max_size=50))
def test_any_text_is_a_path_or_refused(text):
    try:
        path = PropertyPath(text)
    except PropertyPathError:
        return
    path.get({"payload": {"a": [1]}})


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4), st.integers())
def test_what_was_set_is_found_and_deleted(names, value):
    path = PropertyPath("payload" + "".join(f"[{_quoted(name)}]" for name in names))
    msg = {}
    path.set(msg, value)
    assert path.get(msg) == value
    path.delete(msg)
    assert path.get(msg) is MISSING


def _quoted(name):
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
