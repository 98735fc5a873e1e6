"""A small palette, and a way to say a flow in a line or two."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from solarflow.errors import Problem
from solarflow.flowfile import Project
from solarflow.graph import check_project, make_plan
from solarflow.manifest import read_project
from solarflow.node import BrokerRef, Node, NodeConfig, NodeRedConfig, Secret, config_node
from solarflow.plan import Plan
from solarflow.registry import Registry


class Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    t: Literal["eq", "gt"]
    v: float


class Guarantee(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    deadline: str = "17:00"


class Load(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    power_w: float
    hold_s: float = 300
    guarantee: Guarantee | None = None


class Pass(Node):
    type = "pass"

    class Config(NodeConfig):
        limit_w: Annotated[float, Field(gt=0)] = 1000
        mode: Literal["fast", "slow"] = "fast"
        rules: tuple[Rule, ...] = ()
        loads: Annotated[tuple[Load, ...], Field(min_length=1)] = (Load(power_w=900),)
        pair: Annotated[tuple[Load, ...], Field(min_length=2)] = (Load(power_w=900), Load(power_w=40))
        one: float | tuple[Load, ...] = 0
        label: Any = ""
        flag: bool = False
        text: str = ""

        @field_validator("text")
        @classmethod
        def _no_shouting(cls, text: str) -> str:
            if text.isupper() and text.isalpha():
                raise ValueError("please do not shout")
            return text


class Needs(Node):
    type = "needs"

    class Config(NodeConfig):
        hold_s: float


class Source(Node):
    type = "source"
    inputs = 0


class Sink(Node):
    type = "sink"
    outputs = 0


class Fork(Node):
    type = "fork"

    class Config(NodeConfig):
        outputs: int = 2

    @classmethod
    def outputs_of(cls, config: Any) -> int:
        return int(config.outputs)


class Wait(Node):
    type = "wait"
    waits = True


class Legacy(Node):
    type = "legacy"

    class Config(NodeRedConfig):
        topic: str = ""
        from_: str = Field("", alias="from")


class Renamed(Node):
    type = "renamed"
    schema_version = 2

    class Config(NodeConfig):
        power_w: float = 0

    @classmethod
    def migrate(cls, properties: dict[str, Any]) -> dict[str, Any]:
        if "power" in properties:
            properties["power_w"] = properties.pop("power")
        return properties


class Tls(Node):
    type = "tls-config"
    is_config = True

    class Config(NodeRedConfig):
        ca: str = ""


class Broker(Node):
    type = "mqtt-broker"
    is_config = True

    class Config(NodeRedConfig):
        broker: str = "localhost"
        port: int = 1883
        tls: Annotated[str, config_node("tls-config", "mqtt-broker")] = ""
        password: Secret = Secret("")


class Listen(Node):
    type = "listen"
    inputs = 0

    class Config(NodeConfig):
        broker: BrokerRef
        spare: Annotated[str, config_node("mqtt-broker")] = ""


class HttpIn(Node):
    type = "http in"
    inputs = 0

    class Config(NodeRedConfig):
        method: str = "get"
        url: str = "/"


class Code(Node):
    type = "python"
    role = "code"

    class Config(NodeConfig):
        code: str = ""


class LinkIn(Node):
    type = "link in"
    role = "link in"
    inputs = 0


class LinkOut(Node):
    type = "link out"
    role = "link out"
    outputs = 0

    class Config(NodeRedConfig):
        mode: str = "link"


class LinkCall(Node):
    type = "link call"
    role = "link call"

    class Config(NodeRedConfig):
        linkType: str = "static"  # noqa: N815 - Node-RED's name


class Catch(Node):
    type = "catch"
    role = "catch"
    inputs = 0

    class Config(NodeRedConfig):
        uncaught: bool = False


PALETTE = (
    *(Pass, Needs, Source, Sink, Fork, Wait, Legacy, Renamed, Tls, Broker, Listen, HttpIn, Code),
    *(LinkIn, LinkOut, LinkCall, Catch),
)


def palette() -> Registry:
    registry = Registry()
    for node_type in PALETTE:
        registry.add(node_type)
    return registry


def node(node_id: str, type_: str, *targets: str | Sequence[str], z: str = "tab", **more: Any) -> dict[str, Any]:
    """A node; each target is one output's (a list: several nodes of one output)."""
    wires = [[target] if isinstance(target, str) else list(target) for target in targets]
    return {"id": node_id, "type": type_, "z": z, "x": 0, "y": 0, "wires": wires, **more}


def tab(node_id: str = "tab", label: str = "A tab", **more: Any) -> dict[str, Any]:
    return {"id": node_id, "type": "tab", "label": label, **more}


class Files:
    """A project in a folder."""

    def __init__(self, root: Path, registry: Registry) -> None:
        self.root = root
        self.registry = registry
        self.environ: dict[str, str] = {}

    def write(self, name: str, value: Any) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(value, bytes):
            path.write_bytes(value)
        else:
            path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
        return path

    def project(self, *nodes: Mapping[str, Any]) -> Project:
        """A project of one Node-RED file with these nodes (the tab "tab" is added where there is none)."""
        has_tab = any(one["type"] == "tab" for one in nodes)
        return read_project(self.write("flow.json", [*([] if has_tab else [tab()]), *nodes]))

    def plan(self, *nodes: Mapping[str, Any]) -> Plan:
        return make_plan(self.project(*nodes), self.registry, self.environ)

    def problems(self, *nodes: Mapping[str, Any]) -> list[Problem]:
        return check_project(self.project(*nodes), self.registry, self.environ).problems


def lines(problems: Sequence[Problem]) -> list[str]:
    """What each problem says, without the file: "node: property: what"."""
    return [f"{p.severity}: {p.where.node}: {p.where.property}: {p.what}" for p in problems]
