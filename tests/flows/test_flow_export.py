"""A flow as Node-RED 5 exports it: loads, keeps everything, runs with the same meaning, and goes back out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flow_helpers import Catch, Files, LinkIn, LinkOut, lines

from solarflow.flowtext import dump_flow, save_flow
from solarflow.graph import check_project, difference, make_plan
from solarflow.manifest import load_project, read_project
from solarflow.node import Node, NodeRedConfig
from solarflow.plan import Plan
from solarflow.registry import Registry

EXPORT = """[
 {"id":"f6f2187d.f17ca8","type":"tab","label":"Inverter","disabled":false,"info":"Reads inverters.\\n\\n## Notes\\nè",
  "env":[{"name":"SITE","value":"casa_A","type":"str"},{"name":"LIMIT","value":"1000","type":"num"}]},
 {"id":"0d1b2c3e4f506172","type":"tab","label":"Spare","disabled":true,"info":"","env":[]},
 {"id":"5ca1ab1e00000001","type":"subflow","name":"Scale","info":"Watts to kilowatts","category":"solar",
  "in":[{"x":60,"y":80,"wires":[{"id":"5ca1ab1e00000002"}]}],
  "out":[{"x":420,"y":80,"wires":[{"id":"5ca1ab1e00000002","port":0}]},
         {"x":420,"y":140,"wires":[{"id":"5ca1ab1e00000001","port":0}]}],
  "env":[{"name":"FACTOR","type":"num","value":"0.001",
          "ui":{"icon":"font-awesome/fa-bolt","label":{"en-US":"Factor"},"type":"input","opts":{"types":["num"]}}}],
  "meta":{"module":"scale","version":"0.0.1","author":"","desc":"","keywords":"","license":"MIT"},
  "color":"#DDAA99","inputLabels":["W"],"outputLabels":["kW","W"],"icon":"font-awesome/fa-bolt",
  "status":{"x":420,"y":200,"wires":[{"id":"5ca1ab1e00000003","port":0}]}},
 {"id":"9a00000000000001","type":"group","z":"f6f2187d.f17ca8","name":"Watching","style":{"label":true,"stroke":"none",
  "fill":"#ffefbf","fill-opacity":"0.5"},"nodes":["b100000000000003","9a00000000000002"],"x":34,"y":19,"w":612,"h":202,
  "env":[{"name":"LIMIT","value":"900","type":"num"}]},
 {"id":"9a00000000000002","type":"group","z":"f6f2187d.f17ca8","g":"9a00000000000001","name":"","style":{"label":true},
  "nodes":["b100000000000004"],"x":54,"y":59,"w":212,"h":82},
 {"id":"a100000000000001","type":"mqtt-broker","name":"","broker":"${MQTT_HOST}","port":"1883","tls":"","clientid":"",
  "autoConnect":true,"usetls":false,"protocolVersion":"4","keepalive":"60","cleansession":true,"autoUnsubscribe":true,
  "birthTopic":"","birthQos":"0","birthRetain":"false","birthPayload":"","birthMsg":{},"closeTopic":"","userProps":"",
  "sessionExpiry":""},
 {"id":"a100000000000002","type":"ui-base","name":"Dashboard","path":"/dashboard","appIcon":"","includeClientData":true,
  "acceptsClientConfig":["ui-notification","ui-control"],"showPathInSidebar":false,"navigationStyle":"default"},
 {"id":"a100000000000003","type":"global-config","env":[{"name":"COMMUNITY","value":"north","type":"str"}],
  "modules":{"@flowfuse/node-red-dashboard":"1.30.2"}},
 {"id":"5ca1ab1e00000002","type":"change","z":"5ca1ab1e00000001","name":"","rules":[{"t":"set","p":"factor","pt":"msg",
  "to":"${FACTOR}","tot":"num"}],"action":"","property":"","from":"","to":"","reg":false,"x":220,"y":80,
  "wires":[["5ca1ab1e00000003"]]},
 {"id":"5ca1ab1e00000003","type":"change","z":"5ca1ab1e00000001","name":"Status","rules":[],"x":260,"y":200,
  "wires":[[]]},
 {"id":"b100000000000001","type":"mqtt in","z":"f6f2187d.f17ca8","name":"Power","topic":"comunita/+/produzione",
  "qos":"2","datatype":"auto-detect","broker":"a100000000000001","nl":false,"rap":true,"rh":0,"inputs":0,"x":130,"y":80,
  "wires":[["b100000000000002"]]},
 {"id":"b100000000000002","type":"junction","z":"f6f2187d.f17ca8","x":240,"y":80,
  "wires":[["b100000000000003","b100000000000005"]]},
 {"id":"b100000000000003","type":"change","z":"f6f2187d.f17ca8","g":"9a00000000000001","name":"Over the limit",
  "rules":[{"t":"set","p":"limit","pt":"msg","to":"${LIMIT}","tot":"num"}],"x":360,"y":80,"wires":[["b100000000000004"]]},
 {"id":"b100000000000004","type":"subflow:5ca1ab1e00000001","z":"f6f2187d.f17ca8","g":"9a00000000000002","name":"To kW",
  "env":[{"name":"FACTOR","value":"0.002","type":"num"}],"x":520,"y":100,
  "wires":[["b100000000000006"],["b100000000000007"]]},
 {"id":"b100000000000005","type":"function","z":"f6f2187d.f17ca8","name":"Old","func":"\\nreturn msg;","outputs":1,
  "timeout":0,"noerr":0,"initialize":"","finalize":"","libs":[],"x":360,"y":160,"wires":[["b100000000000006"]],"d":true},
 {"id":"b100000000000006","type":"link out","z":"f6f2187d.f17ca8","name":"away","mode":"link",
  "links":["b100000000000008"],"x":700,"y":80,"wires":[],"l":true},
 {"id":"b100000000000007","type":"ui-gauge","z":"f6f2187d.f17ca8","d":true,"name":"","group":"","value":"payload",
  "segments":[{"from":"0","color":"#5cd65c"}],"x":700,"y":140,"wires":[]},
 {"id":"b100000000000008","type":"link in","z":"f6f2187d.f17ca8","name":"","links":["b100000000000006"],"x":45,"y":240,
  "wires":[["b100000000000009"]]},
 {"id":"b100000000000009","type":"debug","z":"f6f2187d.f17ca8","name":"debug 1","active":true,"tosidebar":true,
  "console":false,"tostatus":false,"complete":"payload","targetType":"msg","statusVal":"","statusType":"auto","x":200,
  "y":240,"wires":[]},
 {"id":"b10000000000000a","type":"catch","z":"f6f2187d.f17ca8","name":"","scope":["b100000000000003","b100000000000004"],
  "uncaught":false,"x":120,"y":300,"wires":[["b100000000000009"]]},
 {"id":"c100000000000001","type":"a type of my own","z":"0d1b2c3e4f506172","name":"","secretSauce":{"deep":[1,[2,{}]]},
  "x":100,"y":100,"wires":[["gone"]]}
]
"""
TAB = "f6f2187d.f17ca8"


class Anything(NodeRedConfig):
    broker: str = ""
    rules: list[dict[str, Any]] = []
    name: str = ""


def node_type(name: str, **more: Any) -> type[Node]:
    return type(name, (Node,), {"type": name, "Config": Anything, **more})


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    for one in (
        *(node_type("mqtt-broker", is_config=True, inputs=0), node_type("mqtt in", inputs=0), node_type("change")),
        *(node_type("debug", outputs=0), LinkIn, LinkOut, Catch),
    ):
        registry.add(one)
    return registry


@pytest.fixture
def files(files: Files) -> Files:
    files.environ = {"MQTT_HOST": "mosquitto"}
    files.write("flow.json", EXPORT)
    return files


@pytest.fixture
def plan(files: Files) -> Plan:
    return make_plan(read_project(files.root / "flow.json"), files.registry, files.environ)


def test_an_export_loads_and_says_what_it_does_not_run(files: Files) -> None:
    problems = load_project(files.root / "flow.json", files.registry, files.environ).problems
    assert {p.severity for p in problems} == {"error", "warning"}
    assert [line for line in lines(problems) if line.startswith("error")] == [
        "error: a100000000000002: : there is no node type 'ui-base'"
    ]
    warned = {(p.where.node, p.code) for p in problems if p.code != "unknown-property"}
    assert warned - {("a100000000000002", "unknown-type")} == {
        ("b100000000000005", "foreign-code"),
        ("b100000000000007", "unknown-type"),
        ("c100000000000001", "unknown-type"),
        ("c100000000000001", "dangling-wire"),
    }


@pytest.fixture
def without_dashboard(files: Files) -> Files:
    """The export without the one type that stops it."""
    files.write("flow.json", [one for one in json.loads(EXPORT) if one["type"] != "ui-base"])
    return files


@pytest.mark.usefixtures("without_dashboard")
class TestPlan:
    def test_messages_go_the_way_that_they_go_in_node_red(self, plan: Plan) -> None:
        assert {one: spec.wires for one, spec in plan.nodes.items() if any(spec.wires)} == {
            "b100000000000001": (("b100000000000003",),),
            "b100000000000003": (("b100000000000004/5ca1ab1e00000002",),),
            "b100000000000004/5ca1ab1e00000002": (("b100000000000004/5ca1ab1e00000003", "b100000000000006"),),
            "b100000000000008": (("b100000000000009",),),
            "b10000000000000a": (("b100000000000009",),),
        }
        assert plan.nodes["b100000000000006"].links == ("b100000000000008",)
        assert plan.status_wires == {("b100000000000004/5ca1ab1e00000003", 0): "b100000000000004"}

    def test_variables_have_the_values_that_they_have_in_node_red(self, plan: Plan) -> None:
        assert plan.nodes["a100000000000001"].config.broker == "mosquitto"
        assert plan.nodes["b100000000000003"].config.rules[0]["to"] == 900
        inner = plan.nodes["b100000000000004/5ca1ab1e00000002"]
        assert inner.config.rules[0]["to"] == 0.002
        assert [inner.env[name] for name in ("FACTOR", "LIMIT", "SITE", "COMMUNITY")] == [0.002, 900, "casa_A", "north"]

    def test_groups_and_scopes_are_as_in_node_red(self, plan: Plan) -> None:
        assert plan.nodes["b100000000000003"].groups == ("9a00000000000001",)
        assert plan.nodes["b10000000000000a"].links == ("b100000000000003", "b100000000000004")
        assert list(plan.flows) == [TAB]
        assert plan.flows[TAB].description.startswith("Reads inverters.")

    def test_the_saved_file_has_the_same_meaning(self, files: Files, plan: Plan) -> None:
        path = files.root / "flow.json"
        before = json.loads(path.read_text(encoding="utf-8"))
        assert save_flow(path, before, files.registry).became_canonical
        project = read_project(path)
        assert not difference(plan, make_plan(project, files.registry, files.environ))
        assert check_project(project, files.registry, files.environ).plan == make_plan(
            project, files.registry, files.environ
        )


def test_everything_that_was_in_the_export_comes_out_again(files: Files) -> None:
    project = read_project(files.root / "flow.json")
    text = dump_flow(project.files[0].nodes, files.registry)
    assert {one["id"]: one for one in json.loads(text)} == {one["id"]: one for one in json.loads(EXPORT)}
    assert '"info": "Reads inverters.\\n\\n## Notes\\nè"' in text
