"""The canonical text of a flow file, and how it gets onto the disk."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

import pytest
from flow_helpers import Files, node, palette, tab
from hypothesis import given
from hypothesis import strategies as st

from solarflow.errors import FlowError
from solarflow.flowfile import parse_flow
from solarflow.flowtext import BACKUP_FOLDER, dump_flow, save_credentials, save_flow, save_text, take_secrets, versions
from solarflow.registry import Registry

FLOW = [
    node("b", "pass", "a", name="Second", mode="slow", limit_w=5),
    node("a", "sink", zeta=1, alpha={"z": 1, "a": 2}),
    {"id": "c", "type": "mqtt-broker", "z": "", "broker": "h"},
    {"id": "g", "type": "group", "z": "t2", "nodes": []},
    {"id": "s", "type": "subflow", "out": [], "in": [], "name": "Sub"},
    tab("t2", "Ünder"),
    tab("t1", "Over"),
]


def test_nodes_stand_in_a_stable_order(registry: Registry) -> None:
    ids = [one["id"] for one in json.loads(dump_flow(FLOW, registry))]
    assert ids == ["t2", "t1", "s", "g", "c", "a", "b"]
    assert dump_flow(FLOW, registry) == dump_flow([*reversed(FLOW[:5]), *FLOW[5:]], registry)


def test_the_text_of_a_node(registry: Registry) -> None:
    moved = {"wires": [["a"], []], "y": 2, "unknown": "è", "mode": "slow", "limit_w": 5, "x": 1}
    assert dump_flow([moved | {"name": "N", "type": "pass", "z": "t", "id": "n"}], registry) == (
        "[\n"
        "  {\n"
        '    "id": "n",\n'
        '    "type": "pass",\n'
        '    "z": "t",\n'
        '    "name": "N",\n'
        '    "limit_w": 5,\n'
        '    "mode": "slow",\n'
        '    "unknown": "è",\n'
        '    "x": 1,\n'
        '    "y": 2,\n'
        '    "wires": [\n'
        "      [\n"
        '        "a"\n'
        "      ],\n"
        "      []\n"
        "    ]\n"
        "  }\n"
        "]\n"
    )


def test_moving_a_node_changes_two_lines(registry: Registry) -> None:
    before = dump_flow(FLOW, registry).splitlines()
    after = dump_flow([FLOW[0] | {"x": 512, "y": 64}, *FLOW[1:]], registry).splitlines()
    changed = [line for line in difflib.unified_diff(before, after, n=0) if line[:2] not in ("--", "++", "@@")]
    assert [line[0] for line in changed] == ["-", "-", "+", "+"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(("z", "g", "name", "x", "y", "wires", "limit_w", "mode", "info")) | st.text(max_size=6)
NODES = st.lists(
    st.builds(
        lambda more, node_id, type_: more | {"id": node_id, "type": type_},
        st.dictionaries(KEYS, JSON, max_size=6),
        st.text(max_size=4) | JSON,
        st.sampled_from(("tab", "subflow", "group", "pass", "mqtt-broker", "strange")) | JSON,
    ),
    max_size=5,
)


@given(NODES)
def test_saving_and_loading_keeps_everything_and_settles_at_once(nodes: list[dict[str, Any]]) -> None:
    registry = palette()
    text = dump_flow(nodes, registry)
    loaded = parse_flow(text, "a.json").nodes
    assert sorted(json.dumps(one, sort_keys=True) for one in loaded) == sorted(
        json.dumps(one, sort_keys=True) for one in nodes
    )
    assert [one["id"] for one in loaded if one["type"] == "tab"] == [one["id"] for one in nodes if one["type"] == "tab"]
    assert dump_flow(loaded, registry) == text


# -- on the disk ----------------------------------------------------------------------------------------------------


def test_a_first_save_makes_the_text_canonical_and_says_so(files: Files) -> None:
    path = files.write("flows/a.json", FLOW)
    first = save_flow(path, FLOW, files.registry)
    again = save_flow(path, FLOW, files.registry)
    assert (first.became_canonical, first.changed) == (True, True)
    assert (again.became_canonical, again.changed) == (False, False)
    assert path.read_text(encoding="utf-8") == dump_flow(FLOW, files.registry)


def test_a_new_file_was_never_anything_else(files: Files) -> None:
    report = save_flow(files.root / "new" / "a.json", FLOW, files.registry)
    assert (report.became_canonical, report.changed) == (False, True)


def test_the_last_five_versions_are_kept_out_of_git(files: Files) -> None:
    path = files.root / "a.json"
    for number in range(8):
        save_flow(path, [tab("t", str(number))])
    labels = [json.loads(kept.read_text(encoding="utf-8"))[0]["label"] for kept in versions(path)]
    assert labels == ["6", "5", "4", "3", "2"]
    assert (files.root / BACKUP_FOLDER / ".gitignore").read_text(encoding="utf-8") == "*\n"
    assert sorted(one.name for one in files.root.iterdir()) == [BACKUP_FOLDER, "a.json"]


@pytest.mark.parametrize("text", ["", "[", '[{"id": NaN}]', "{}", "null", "[1]"])
def test_what_is_no_flow_is_never_saved(files: Files, text: str) -> None:
    path = files.write("a.json", FLOW)
    before = path.read_bytes()
    with pytest.raises(FlowError, match=r"a\.json"):
        save_text(path, text)
    assert path.read_bytes() == before
    assert versions(path) == []


def test_a_file_that_cannot_be_read_is_not_replaced_by_an_empty_flow(files: Files) -> None:
    path = files.write("a.json", '[{"id": "n"')
    flow = parse_flow(path.read_text(encoding="utf-8"), "a.json")
    with pytest.raises(FlowError, match="not JSON"):
        save_flow(path, flow.nodes)
    assert path.read_text(encoding="utf-8") == '[{"id": "n"'


def test_a_text_is_saved_as_it_was_written(files: Files) -> None:
    path = files.write("a.json", FLOW)
    assert save_text(path, '[ {"id":"t","type":"tab"} ]').changed
    assert path.read_text(encoding="utf-8") == '[ {"id":"t","type":"tab"} ]'


def test_a_save_that_fails_leaves_the_old_file_and_nothing_beside_it(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = files.write("a.json", FLOW)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_flow(path, [tab()])
    assert json.loads(path.read_text(encoding="utf-8")) == FLOW
    assert [one.name for one in files.root.iterdir()] == ["a.json"]


def test_the_new_text_is_on_the_disk_before_it_takes_the_files_place(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = files.write("a.json", FLOW)
    done: list[str] = []
    replace = Path.replace

    def renamed(self: Path, target: Path) -> Path:
        if Path(target) == path:
            done.append("renamed")
        return replace(self, target)

    monkeypatch.setattr("os.fsync", lambda descriptor: done.append("synced"))
    monkeypatch.setattr(Path, "replace", renamed)
    save_flow(path, [tab()])
    assert done == ["synced", "renamed", "synced"]


def test_a_file_keeps_its_rights_and_its_link(files: Files) -> None:
    path = files.write("real/a.json", FLOW)
    path.chmod(0o640)
    link = files.root / "link.json"
    link.symlink_to(path)
    save_flow(link, [tab()])
    assert link.is_symlink()
    assert json.loads(path.read_text(encoding="utf-8")) == [tab()]
    assert path.stat().st_mode & 0o777 == 0o640


# -- secrets --------------------------------------------------------------------------------------------------------


def test_secrets_are_taken_out_of_what_is_saved(registry: Registry) -> None:
    broker = {"id": "b", "type": "mqtt-broker", "broker": "h", "password": "sun"}
    other = {"id": "c", "type": "mqtt-broker", "password": "${PASSWORD}"}
    nodes, secrets = take_secrets([broker, other, {"id": 5, "type": []}], registry)
    assert nodes == [{"id": "b", "type": "mqtt-broker", "broker": "h"}, other, {"id": 5, "type": []}]
    assert secrets == {"b": {"password": "sun"}}
    assert broker["password"] == "sun"


def test_credentials_are_for_their_owner_only_and_leave_no_versions(files: Files) -> None:
    path = files.root / "credentials.json"
    save_credentials(path, {"b": {"password": "one"}})
    save_credentials(path, {"b": {"password": "two"}})
    assert json.loads(path.read_text(encoding="utf-8")) == {"b": {"password": "two"}}
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in files.root.iterdir()] == ["credentials.json"]
