"""`solarflow diff`: what two versions mean differently, in text, as JSON, and as git's own diff."""

from __future__ import annotations

import copy
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ROOT, make_project, run

FLOW = [
    {"id": "t", "type": "tab", "label": "Benchmark"},
    {"id": "in", "type": "mqtt in", "z": "t", "name": "production", "topic": "a/{home}", "broker": "b", "x": 1, "y": 1,
     "wires": [["c", "d"]]},
    {"id": "c", "type": "benchmark", "z": "t", "name": "compare", "ratio": 0.85, "x": 2, "y": 2, "wires": [["d"], []]},
    {"id": "d", "type": "debug", "z": "t", "name": "see", "x": 3, "y": 3, "wires": []},
    {"id": "b", "type": "mqtt-broker", "name": "hub", "broker": "hub.example", "user": "u", "password": "old-secret"},
]  # fmt: skip


class Pair:
    """Two versions of one flow: change `after` by node id, then compare."""

    def __init__(self, folder: Path) -> None:
        self._paths = folder / "before.json", folder / "after.json"
        self.before = copy.deepcopy(FLOW)
        self.nodes = copy.deepcopy(FLOW)

    def __getitem__(self, ident):
        return next(node for node in self.nodes if node["id"] == ident)

    def diff(self, *options):
        for path, nodes in zip(self._paths, (self.before, self.nodes), strict=True):
            path.write_text(json.dumps(nodes))
        return run("diff", *self._paths, *options)

    def json(self):
        return json.loads(self.diff("--json").stdout)

    @property
    def text(self):
        """What it says about the one flow, without the headings and the count."""
        return [line.strip() for line in self.diff().stdout.splitlines()[1:-1]]


@pytest.fixture
def pair(tmp_path):
    return Pair(tmp_path)


def test_a_changed_property_is_shown_with_what_it_was(pair):
    pair["c"]["ratio"] = 0.8

    result = pair.diff()

    assert result.stdout.splitlines()[0].endswith("after.json 'Benchmark'")
    assert result.stdout.splitlines()[1:] == [
        "  ~ benchmark c 'compare'",
        "      ratio: 0.85 -> 0.8",
        "1 changed",
    ]


def test_places_layout_and_the_order_of_keys_are_no_change_in_meaning(pair):
    pair["c"].update(x=500, y=7)
    pair.nodes = [dict(reversed(node.items())) for node in reversed(pair.nodes)]

    result = pair.diff("--exit-code")

    assert result.exit_code == 0
    assert result.stdout.splitlines()[1:] == ["    only moved: 'compare'", "no change in meaning; 1 only moved"]


def test_a_default_that_is_spelled_out_is_no_change(pair):
    pair["c"].update(period_s=300, d=False)

    assert pair.diff().stdout == "no change in meaning\n"


def test_what_was_at_its_default_is_shown_as_that(pair):
    pair["c"]["period_s"] = 60

    assert pair.text == ["~ benchmark c 'compare'", "period_s: 300 -> 60"]


def test_nodes_that_came_are_shown_with_their_properties_and_nodes_that_went_by_name(pair):
    pair.nodes.append({"id": "n", "type": "rbe", "z": "t", "func": "deadband", "gap": "5", "x": 1, "y": 1, "wires": []})
    pair.nodes.remove(pair["d"])
    pair["c"]["wires"] = [["n"], []]
    pair["in"]["wires"] = [["c"]]

    assert pair.text == [
        "- debug d 'see'",
        "+ rbe n",
        'func: "deadband"',
        'gap: "5"',
        "- wire 'production' -> 'see'",
        "- wire 'compare' output 0 -> 'see'",
        "+ wire 'compare' output 0 -> n",
    ]


def test_wires_in_another_order_are_told_because_delivery_follows_it(pair):
    pair["in"]["wires"] = [["d", "c"]]

    assert pair.text == ["~ mqtt in in 'production' sends in another order"]


def test_of_a_list_only_the_entries_that_changed_are_shown(pair):
    rules = [{"t": "eq", "v": str(number)} for number in range(20)]
    pair.before[3]["rules"] = rules
    pair["d"]["rules"] = [*rules[:3], {"t": "eq", "v": "changed"}, *rules[4:12], *rules[13:], {"t": "else"}]

    assert pair.json()["nodes"]["changed"][0]["changes"] == [
        {"path": "rules[3].v", "before": "3", "after": "changed"},
        {"path": "rules[12]", "before": {"t": "eq", "v": "12"}},
        {"path": "rules[19]", "after": {"t": "else"}},
    ]


def test_of_a_long_text_only_the_lines_that_changed_are_shown(pair):
    lines = [f"line {number}" for number in range(30)]
    pair.before[0]["info"] = "\n".join(lines)
    pair["t"]["info"] = "\n".join([*lines[:10], "another", *lines[11:]])

    assert pair.text[2:] == ["…", "line 9", "-line 10", "+another", "line 11"]


def test_true_is_not_one_but_one_is_one_point_zero(pair):
    pair.before[3].update(a=1, b=1)
    pair["d"].update(a=True, b=1.0)

    assert [change["path"] for change in pair.json()["nodes"]["changed"][0]["changes"]] == ["a"]


# -- secrets --


@pytest.mark.parametrize(
    ("change", "before", "after"),
    [
        (lambda p: p.before[4].update(password="old-secret") or p["b"].update(password="new-secret"), None, None),
        (lambda p: p.before[4].update(broker="mqtt://u:old-secret@h") or p["b"].update(broker="mqtt://u:new-secret@h"),
         "mqtt://u:(secret)@h", "mqtt://u:(secret)@h"),
        (lambda p: p.before[3].update(type="unknown", apiKey="old-secret")
         or p["d"].update(type="unknown", apiKey="new-secret"), None, None),
        (lambda p: p.before[3].update(headers=[{"keyValue": "Authorization", "valueValue": "old-secret"}])
         or p["d"].update(headers=[{"keyValue": "Authorization", "valueValue": "new-secret"}]), None, None),
        (lambda p: p.before[0].update(env=[{"name": "X", "type": "cred", "value": "old-secret"}])
         or p["t"].update(env=[{"name": "X", "type": "cred", "value": "new-secret"}]), None, None),
        (lambda p: p.before[3].update(url="http://h/?api_key=old-secret&a=1")
         or p["d"].update(url="http://h/?api_key=new-secret&a=1"),
         "http://h/?api_key=(secret)&a=1", "http://h/?api_key=(secret)&a=1"),
    ],
    ids=["schema", "address", "name", "header", "variable", "query"],
)  # fmt: skip
def test_a_secret_is_never_shown_only_that_it_changed(pair, change, before, after):
    change(pair)

    human, machine = pair.diff("--exit-code"), pair.json()

    assert human.exit_code == 1
    assert "old-secret" not in human.output + json.dumps(machine)
    assert "new-secret" not in human.output + json.dumps(machine)
    assert f"{before or '(secret)'} changed" in human.stdout
    (found,) = machine["nodes"]["changed"][0]["changes"]
    assert (found["before"], found["after"]) == (before or "(secret)", after or "(secret)")


def test_the_secret_of_a_new_node_is_not_shown(pair):
    pair.before.pop()

    assert "old-secret" not in pair.diff().output
    assert "password: (secret)" in pair.text


def test_a_reference_to_a_secret_is_shown(pair):
    pair["b"]["password"] = "${HUB_SECRET}"

    assert 'password: (secret) -> "${HUB_SECRET}"' in pair.text


def test_what_a_file_holds_can_do_nothing_to_the_terminal(pair):
    pair["d"]["name"] = "x\x1b[2Jy\u202e"
    pair["c"]["info"] = "one\ntwo\x1b]0;title\x07"

    assert re.search("[\x1b\x07\u202e]", pair.diff().stdout) is None
    assert "'x\\x1b[2Jy\\u202e'" in pair.diff().stdout


# -- projects --


def test_two_projects_are_compared_file_by_file_and_setting_by_setting(tmp_path):
    old = make_project(tmp_path / "a")
    new = make_project(tmp_path / "b")
    manifest = json.loads((new / "flows.json").read_text())
    manifest["settings"]["timezone"] = "Europe/Madrid"
    manifest["flows"].remove("flows/benchmark.json")
    (new / "flows.json").write_text(json.dumps(manifest))

    result = run("diff", old, new)

    assert 'settings.timezone: "Europe/Rome" -> "Europe/Madrid"' in result.stdout
    assert 'flows[1]: - "flows/benchmark.json"' in result.stdout
    assert "  - benchmark benchmark-compare 'every 5 minutes'" in result.stdout
    assert run("diff", old, old).stdout == "no change in meaning\n"


def test_a_node_that_went_to_another_file_is_one_change(tmp_path):
    old, new = make_project(tmp_path / "a"), make_project(tmp_path / "b")
    for project, home in ((old, "ingest"), (new, "benchmark")):
        path = project / "flows" / f"{home}.json"
        path.write_text(json.dumps([*json.loads(path.read_text()), {"id": "wanderer", "type": "tls-config"}]))

    (changed,) = json.loads(run("diff", "--json", old, new).stdout)["nodes"]["changed"]

    assert changed["changes"] == [{"path": "file", "before": "flows/ingest.json", "after": "flows/benchmark.json"}]


# -- mistakes --


def test_a_file_that_cannot_be_read_is_exit_code_two_with_the_place(pair, tmp_path):
    pair.diff()
    (tmp_path / "after.json").write_text('[{"id": ]')

    result = run("diff", tmp_path / "before.json", tmp_path / "after.json")

    assert result.exit_code == 2
    assert f"{tmp_path / 'after.json'}: is not JSON: expecting value at line 1, column 9" in result.stderr


def test_a_node_without_an_id_is_not_passed_over_in_silence(pair):
    del pair.nodes[3]["id"]

    assert pair.diff().exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [((), "name two files"), (("flows.json",), "name two files"), (("flows", "flows.json"), "cannot be compared")],
)
def test_anything_but_two_files_or_two_folders_is_refused(arguments, said):
    result = run("diff", *(ROOT / argument for argument in arguments))

    assert result.exit_code == 2
    assert said in result.stderr


# -- git --


class Repository:
    """A git repository with flow files, configured as docs/operations.md says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "-q", "-b", "main")
        (folder / "flows").mkdir()
        program = f"{shlex.quote(sys.executable)} -m solarflow.cli"
        self.git("config", "diff.solarflow.command", f"{program} diff --git --")
        (folder / ".gitattributes").write_text("flows.json diff=solarflow\nflows/*.json diff=solarflow\n")
        self.write(FLOW)
        self.commit()

    def git(self, *arguments: str) -> str:
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.folder), "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C.UTF-8",
            "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@x", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@x",
        }  # fmt: skip
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode in (0, 1), done.stdout + done.stderr
        assert not done.stderr, done.stderr
        return done.stdout

    def write(self, nodes: object, name: str = "flows/benchmark.json") -> None:
        (self.folder / name).write_text(nodes if isinstance(nodes, str) else json.dumps(nodes, indent=2) + "\n")

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "state")


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path)


def changed_flow() -> list[dict]:
    nodes = copy.deepcopy(FLOW)
    nodes[2].update(ratio=0.8, x=900)
    return nodes


def test_git_diff_shows_the_meaning(repository):
    repository.write(changed_flow())

    assert repository.git("diff").splitlines() == [
        "solarflow diff flows/benchmark.json",
        "flows/benchmark.json 'Benchmark'",
        "  ~ benchmark c 'compare'",
        "      ratio: 0.85 -> 0.8",
        "1 changed",
    ]


def test_git_show_does_so_with_ext_diff(repository):
    repository.write(changed_flow())
    repository.commit()

    assert "ratio: 0.85 -> 0.8" in repository.git("show", "--ext-diff")
    assert "ratio: 0.85 -> 0.8" in repository.git("log", "-p", "--ext-diff", "-1")


def test_git_diff_of_new_deleted_and_renamed_files(repository):
    repository.write([{"id": "u", "type": "tab", "label": "New"}], "flows/new.json")
    repository.git("mv", "flows/benchmark.json", "flows/renamed.json")
    repository.write(changed_flow(), "flows/renamed.json")
    repository.git("add", "-A")

    renamed = repository.git("diff", "--cached", "-M50%")
    assert "solarflow diff flows/renamed.json (was flows/benchmark.json)" in renamed
    assert "+ tab u 'New'" in renamed

    repository.commit()
    repository.git("rm", "-q", "flows/new.json")
    assert "- tab u 'New'" in repository.git("diff", "--cached")


def test_git_diff_goes_on_where_a_file_is_no_flow_and_still_hides_secrets(repository):
    repository.write('[\n  {"id": "b", "password": "new-secret",\n')
    repository.write('{"flows": []}\n', "flows.json")
    repository.git("add", "-N", "flows.json")

    shown = repository.git("diff")

    assert "not a flow that can be read; as text:" in shown
    assert '+  {"id": "b", "password": "(secret)",' in shown
    assert "new-secret" not in shown
    assert "old-secret" not in shown
    assert "solarflow diff flows.json" in shown


def test_git_diff_in_a_merge_conflict_says_that_it_is_not_merged(repository):
    repository.git("checkout", "-q", "-b", "other")
    repository.write(changed_flow())
    repository.commit()
    repository.git("checkout", "-q", "main")
    nodes = changed_flow()
    nodes[2]["ratio"] = 0.7
    repository.write(nodes)
    repository.commit()
    subprocess.run(["git", "merge", "-q", "other"], cwd=repository.folder, capture_output=True, timeout=60, check=False)

    shown = repository.git("diff", "--ours")

    assert shown.startswith("flows/benchmark.json: not merged yet\n")
    assert "+<<<<<<< HEAD" in shown
