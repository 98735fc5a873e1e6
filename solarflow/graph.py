"""Makes a plan of a project: checks every node, resolves wires and references, orders, and finds the circles."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from solarflow.environment import Entry, Environment, is_reference, read_entries, substitute
from solarflow.errors import FlowError, Problem, Where
from solarflow.flowfile import FlowNode, Project
from solarflow.http_routes import OWN_PATHS, is_own_path
from solarflow.node import Node
from solarflow.plan import FlowSpec, InstanceSpec, NodeSpec, Plan
from solarflow.references import resolve_references
from solarflow.registry import Registry
from solarflow.topology import PlanDifference, difference, loops, order_of_need, queued_wires
from solarflow.unfold import FileIndex, Findings, Place, unfold
from solarflow.validate import STRUCTURE_TYPES, check_type, configure, field_names, is_secret, lift
from solarflow.wiring import check_outlets, check_outputs, check_wires, links_of, reach

__all__ = ["Checked", "PlanDifference", "check_project", "difference", "make_plan"]


@dataclass(frozen=True, slots=True)
class Checked:
    """A project looked at as a whole: everything that is wrong, and the plan where nothing stops it."""

    problems: list[Problem]
    plan: Plan | None


def make_plan(project: Project, registry: Registry, environ: Mapping[str, str]) -> Plan:
    """The plan of a project. Raises FlowError with all problems, warnings too, where one of them is an error."""
    checked = check_project(project, registry, environ)
    if checked.plan is None:
        raise FlowError(checked.problems)
    return checked.plan


def check_project(project: Project, registry: Registry, environ: Mapping[str, str]) -> Checked:
    """Everything that is wrong with a project as it was read, and its plan where nothing of it is an error."""
    return _Planner(project, registry, environ).run()


@dataclass(slots=True, eq=False)
class _Draft:
    """A node on its way into the plan."""

    node: FlowNode
    place: Place | None
    node_type: type[Node]
    config: Any
    name: str
    env: Mapping[str, Any]
    digest: str
    needs: tuple[str, ...]
    """The config nodes that it refers to."""


@dataclass(slots=True)
class _Planner:
    project: Project
    registry: Registry
    environ: Mapping[str, str]
    findings: Findings = field(default_factory=Findings)
    drafts: dict[str, _Draft] = field(default_factory=dict)
    types: dict[FlowNode, type[Node] | None] = field(default_factory=dict)
    lifted: dict[FlowNode, dict[str, Any]] = field(default_factory=dict)

    def run(self) -> Checked:
        project, findings = self.project, self.findings
        for problem in (*project.reading, *project.shared.problems, *(p for f in project.files for p in f.problems)):
            findings.add(problem)
        self._check_ids()
        self._check_tabs()
        shared = {node.id: node for node in project.shared.models if node.type not in STRUCTURE_TYPES}
        outside = self._project_environment()
        places: list[Place] = []
        indexes = [FileIndex(file, self.registry, findings) for file in project.files]
        for node in shared.values():
            self._draft(node, None, None, shared, outside)
        for index in indexes:
            check_wires(index, self.registry, findings)
            for node in index.loose.values():
                self._draft(node, None, index, shared, outside)
            found = unfold(index, outside, project.credentials, findings)
            for place in found:
                for node in place.members.values():
                    environment = place.environment_of(node, project.credentials)
                    self._draft(node, place, index, shared, environment)
            places += found
        specs, statuses = self._specs(places)
        config_nodes = [node_id for node_id in specs if self.drafts[node_id].node_type.is_config]
        ordered = self._config_order(config_nodes)
        nodes = {node_id: specs[node_id] for node_id in dict.fromkeys([*ordered, *specs])}
        self._check_routes(nodes)
        self._check_loops(nodes)
        instances = {place.id: _instance(place) for place in places if place.live and place.in_subflow}
        plan = Plan(
            nodes=nodes,
            flows={tab.id: self._flow(tab, nodes, instances) for tab in places if tab.live and not tab.in_subflow},
            queued=queued_wires(nodes),
            instances=instances,
            status_wires=statuses,
            settings=dict(project.settings),
        )
        failed = any(problem.severity == "error" for problem in findings.problems)
        return Checked(findings.problems, None if failed else plan)

    # -- the files as they stand --------------------------------------------------------------------------------

    def _check_ids(self) -> None:
        first: dict[str, FlowNode] = {}
        for file in (self.project.shared, *self.project.files):
            for node in file.models:
                other = first.setdefault(node.id, node)
                if other is not node:
                    parameters = {"id": node.id, "other": str(other.where())}
                    self.findings.add(Problem("duplicate-id", node.where("id"), parameters))

    def _check_tabs(self) -> None:
        alone = any(file.file == self.project.manifest.name for file in self.project.files)
        for file in self.project.files:
            tabs = file.tabs
            if not tabs and not alone and not any(problem.severity == "error" for problem in file.problems):
                self.findings.add(Problem("no-tab", Where(file.file)))
            elif len(tabs) > 1 and not alone:
                parameters = {"count": len(tabs), "tabs": ", ".join(tab.name or tab.id for tab in tabs)}
                self.findings.add(Problem("several-tabs", Where(file.file), parameters))
        failed = any(problem.severity == "error" for problem in self.findings.problems)
        if not failed and not any(file.tabs for file in self.project.files):
            self.findings.add(Problem("no-flows", Where(self.project.manifest.name)))
        for node in self.project.shared.models:
            known = self.registry.get(node.type)
            if node.type != "global-config" and (
                node.type in STRUCTURE_TYPES or (known is not None and not known.is_config)
            ):
                reason = 'only config nodes may stand in the "nodes" of the manifest'
                self.findings.add(Problem("invalid-setting", node.where("type"), {"reason": reason}))

    def _project_environment(self) -> Environment:
        """The process's environment, and inside it that of Node-RED's `global-config` nodes."""
        entries: list[Entry] = []
        for file in (self.project.shared, *self.project.files):
            for node in file.models:
                if node.type == "global-config":
                    secrets = self.project.credentials.get(node.id, {})
                    found, problems = read_entries(node.raw.get("env"), node.where())
                    entries += [Entry(e.name, secrets.get(e.name, e.value)) if e.type == "cred" else e for e in found]
                    for problem in problems:
                        self.findings.add(problem)
        return Environment({entry.name: entry for entry in entries}, process=self.environ)

    # -- nodes --------------------------------------------------------------------------------------------------

    def _type_of(self, node: FlowNode, lenient: bool) -> type[Node] | None:
        """A node's type, where it may run; its properties lifted to this version."""
        if node not in self.types:
            problems = check_type(node, self.registry, self.project.settings.get("allow_code") is True)
            self.types[node] = None if problems else self.registry.get(node.type)
            node_type = self.types[node]
            if node_type is not None:
                self.lifted[node], problems = lift(node, node_type)
                self.types[node] = None if problems else node_type
            for problem in problems:
                self.findings.add(problem, lenient)
        return self.types[node]

    def _draft(
        self,
        node: FlowNode,
        place: Place | None,
        index: FileIndex | None,
        shared: Mapping[str, FlowNode],
        surrounding: Environment,
    ) -> None:
        """Check one node where it lies, and keep it for the plan if it runs."""
        lenient = index.off(node) if index is not None else node.disabled
        if node.type == "junction" or node.subflow:
            outputs = 1
            if node.subflow and index is not None:
                definition = index.by_id.get(node.subflow)
                outputs = len(definition.ports.outputs) if definition is not None else len(node.wires)
            self._check_ports(node, place, outputs, lenient)
            return
        node_type = self._type_of(node, lenient)
        if node_type is None:
            return
        own_id = place.unfolded(node.id) if place is not None else node.id
        path = "/".join([place.scopes[-1], own_id]) if place is not None else own_id
        own = {"NR_NODE_ID": own_id, "NR_NODE_NAME": node.name, "NR_NODE_PATH": path}

        def variable(name: str) -> Any:
            return own[name] if name in own else surrounding.get(name)

        def unset(path: str, name: str) -> None:
            if not lenient:
                self.findings.add(Problem("unset-variable", node.where(path), {"name": name}, "warning"))

        shown = self.lifted[node]
        given = {**shown, **self.project.credentials.get(node.id, {})}
        properties = {key: substitute(value, variable, unset, key) for key, value in given.items()}
        self._check_secrets(node, node_type, shown)
        needs, missing = resolve_references(node, node_type, properties, place, index, shared)
        for problem in missing:
            self.findings.add(problem, lenient)
        config, problems = configure(node.where(), node_type, properties, shown)
        for problem in problems:
            self.findings.add(problem, lenient)
        if config is None:
            return
        self._check_ports(node, place, node_type.outputs_of(config), lenient)
        if lenient or (place is not None and not place.live):
            return
        known = field_names(node_type.Config)
        name = str(substitute(node.name, variable, unset, "name"))
        env = {**surrounding.as_mapping(), **own}
        digest = _digest([node.type, {key: value for key, value in properties.items() if key in known}, env])
        if own_id not in self.drafts:
            self.drafts[own_id] = _Draft(node, place, node_type, config, name, env, digest, needs)

    def _check_secrets(self, node: FlowNode, node_type: type[Node], properties: Mapping[str, Any]) -> None:
        for key, value in properties.items():
            if value not in ("", None) and not is_reference(value) and is_secret(node_type, key):
                self.findings.add(Problem("secret-in-file", node.where(key), {}, "warning"))

    def _check_ports(self, node: FlowNode, place: Place | None, outputs: int, lenient: bool) -> None:
        check_outputs(node, outputs, self.findings, lenient)
        if place is not None and place.in_subflow:
            check_outlets(place.container, node.id, outputs, self.findings)

    # -- the plan -----------------------------------------------------------------------------------------------

    def _specs(self, places: Iterable[Place]) -> tuple[dict[str, NodeSpec], dict[tuple[str, int], str]]:
        """The drafts with their wires, links and scopes."""
        tabs: dict[int, dict[str, Place]] = {}
        for tab in places:
            if not tab.in_subflow:
                tabs.setdefault(id(tab.index), {})[tab.id] = tab
        specs: dict[str, NodeSpec] = {}
        statuses: dict[tuple[str, int], str] = {}
        for own_id, draft in self.drafts.items():
            node, place = draft.node, draft.place
            wires: list[tuple[str, ...]] = []
            links: tuple[str, ...] = ()
            groups: tuple[str, ...] = ()
            if place is not None and not draft.node_type.is_config:
                # A wire to a node that is itself in trouble has been reported there; the plan is not used then.
                ends = (*place.outlets, *place.container.ports.status)
                ports = [port for source, port in ends if source == node.id]
                for port in range(max([len(node.wires), *(port + 1 for port in ports)])):
                    reached = reach(place, node.id, port)
                    if reached is None:
                        self.findings.add(Problem("too-many-ways", node.where("wires"), {"port": port}))
                        continue
                    wires.append(tuple(target for target in reached.nodes if target in self.drafts))
                    for instance in reached.statuses:
                        statuses.setdefault((own_id, port), instance)
                links = links_of(
                    node, draft.node_type.role, place, tabs.get(id(place.index), {}), self.registry, self.findings
                )
                groups = tuple(place.unfolded(group.id) for group in place.index.groups_of(node))
            specs[own_id] = NodeSpec(
                id=own_id,
                type=node.type,
                name=draft.name,
                file=node.file,
                flow=place.id if place is not None else "",
                scopes=place.scopes if place is not None else (),
                groups=groups,
                config=draft.config,
                env=draft.env,
                wires=tuple(wires),
                links=links,
                digest=draft.digest,
            )
        return specs, statuses

    def _config_order(self, config_nodes: list[str]) -> list[str]:
        needs = {node_id: self.drafts[node_id].needs for node_id in config_nodes}
        ordered, circle = order_of_need(needs)
        if circle:
            parameters = {"nodes": ", ".join(circle)}
            self.findings.add(Problem("config-circle", self.drafts[circle[0]].node.where(), parameters))
        return ordered

    def _check_routes(self, nodes: Mapping[str, NodeSpec]) -> None:
        seen: dict[tuple[str, str], NodeSpec] = {}
        for spec in nodes.values():
            if spec.type != "http in":
                continue
            method = str(getattr(spec.config, "method", "get")).lower()
            url = "/" + str(getattr(spec.config, "url", "")).strip("/")
            where = self.drafts[spec.id].node.where("url")
            if is_own_path(url):
                self.findings.add(Problem("own-path", where, {"url": url, "taken": ", ".join(OWN_PATHS)}))
            other = seen.setdefault((method, url), spec)
            if other is not spec:
                label = f"{other.name or other.id} ({other.file})"
                parameters = {"method": method.upper(), "url": url, "other": label}
                self.findings.add(Problem("duplicate-route", where, parameters))

    def _check_loops(self, nodes: Mapping[str, NodeSpec]) -> None:
        waiting = {node_id for node_id in nodes if self.drafts[node_id].node_type.waits}
        for circle in loops(nodes, waiting):
            names = [nodes[node_id].name or node_id for node_id in circle]
            text = " -> ".join([*names[:10], *(["…"] if len(names) > 10 else []), names[0]])
            where = self.drafts[circle[0]].node.where()
            self.findings.add(Problem("loop", where, {"nodes": text}, "warning"))

    def _flow(self, place: Place, nodes: Mapping[str, NodeSpec], instances: Mapping[str, InstanceSpec]) -> FlowSpec:
        tab = place.container
        inside = [spec for spec in nodes.values() if spec.scopes and spec.scopes[-1] == place.id]
        parts = [
            *([spec.id, spec.name, spec.digest, spec.wires, spec.links, spec.groups] for spec in inside),
            *(
                [one, spec.name, spec.type, spec.groups]
                for one, spec in instances.items()
                if spec.scopes[-1] == place.id
            ),
        ]
        own = {key: tab.raw.get(key) for key in ("label", "info", "env")}
        info = tab.raw.get("info")
        return FlowSpec(
            id=place.id,
            label=tab.name or tab.id,
            file=tab.file,
            description=info if isinstance(info, str) else "",
            nodes=tuple(spec.id for spec in inside),
            digest=_digest([own, sorted(parts, key=lambda part: str(part[0]))]),
        )


def _instance(place: Place) -> InstanceSpec:
    """An instance as seen from outside. Raises ValueError for a place that is a tab."""
    node, outer = place.instance, place.outer
    if node is None or outer is None:
        raise ValueError(f"{place.id} is not a subflow instance")
    groups = tuple(outer.unfolded(group.id) for group in outer.index.groups_of(node))
    return InstanceSpec(node.name, node.type, outer.scopes, groups)


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
