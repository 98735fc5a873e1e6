"""One installation: what a deploy of changed files and settings does, and what a failed one leaves as it was."""

import json

import pytest

from solarflow.errors import FlowError
from solarflow.instance import Instance, Options


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    (folder / "flows").mkdir(parents=True)
    flow = [
        {"id": "tab", "type": "tab", "label": "A flow"},
        {"id": "note", "type": "comment", "z": "tab", "x": 1, "y": 1, "wires": []},
        {"id": "tell", "type": "debug", "z": "tab", "x": 1, "y": 1, "wires": []},
    ]
    (folder / "flows" / "one.json").write_text(json.dumps(flow))
    write_manifest(folder)
    return folder


def write_manifest(folder, **settings):
    (folder / "flows.json").write_text(json.dumps({"flows": ["flows/one.json"], "settings": settings}))


@pytest.fixture
def instance(project, tmp_path):
    made = Instance(Options(project=project, data=tmp_path / "data", broker_port=0, environ={}))
    made.start()
    yield made
    made.stop()


def test_a_deploy_of_the_same_files_touches_no_node(instance):
    result = instance.deploy()
    assert (result.started, result.stopped) == ([], [])


def test_changed_settings_reach_every_node(instance, project):
    write_manifest(project, timezone="Asia/Tokyo")
    result = instance.deploy()
    assert "tell" in result.started
    assert instance.call(lambda: instance.engine.nodes["tell"].services.settings["timezone"]) == "Asia/Tokyo"


def test_the_days_that_samples_are_kept_follow_the_settings_without_a_restart(instance, project):
    write_manifest(project, raw_days=7)
    instance.deploy()
    assert instance.call(lambda: instance.folder.telemetry.raw_days) == 7


def test_a_failed_deploy_leaves_everything_as_it_was(instance, project):
    before = instance.project, instance.problems
    (project / "flows" / "one.json").write_text('[{"id": "tab", "type": "tab"')
    with pytest.raises(FlowError, match="is not JSON"):
        instance.deploy()
    assert (instance.project, instance.problems) == before
    assert sorted(instance.call(lambda: list(instance.engine.nodes))) == ["note", "tell"]
