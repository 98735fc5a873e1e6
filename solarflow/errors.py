"""Problems and errors: what was wrong, where, what was expected and how to mend it.

A `Problem` is a code with parameters. The English text stands here, once, in `CATALOGUE`; a page or a mail that
speaks another language translates the two templates and fills in the same parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["error", "warning"]

CATALOGUE: dict[str, tuple[str, str]] = {
    # code: (what is wrong, how to mend it)
    "file-missing": ("there is no file here", "create it, or correct the path in flows.json"),
    "file-unreadable": ("cannot be read: {reason}", "check the file's rights and its text encoding (UTF-8)"),
    "not-json": ("is not JSON: {reason} at line {line}, column {column}", "correct the text at that place"),
    "duplicate-key": ("the key '{key}' stands twice in one object", "remove one of the two"),
    "open-credentials": ("other users of this machine can read the file", "chmod 600 credentials.json"),
    "secret-in-file": ("holds a secret in plain text", "move it to credentials.json, or write ${{NAME}} here"),
    "not-a-flow": ("expected {expected}, found {found}", "export the flow again, or compare with a shipped flow file"),
    "invalid-value": ("{reason}", "change the value; `solarflow nodes {type}` lists what is allowed"),
    "invalid-shape": ("{reason}", "export the flow again, or compare with a shipped flow file"),
    "invalid-setting": ("{reason}", "correct it in the manifest"),
    "invalid-scenario": ("{reason}", "correct it; docs/flow-tests.md shows how a scenario is written"),
    "missing-property": ("the property is required and missing", "add it; `solarflow nodes {type}` explains it"),
    "unknown-property": ("the property is not known to '{type}'{nearest}", "remove it or correct its name"),
    "unknown-type": ("there is no node type '{type}'{nearest}", "correct the type, or install the package with it"),
    "foreign-code": (
        "'{type}' nodes hold {language}, which is kept but not run",
        "replace it by a '{instead}' node, or disable it",
    ),
    "code-not-allowed": (
        "this project does not allow nodes with code of their own",
        "set \"allow_code\": true in flows.json's settings, or use an 'expression' node",
    ),
    "duplicate-id": ("the id '{id}' is also used in {other}", "give one of the two nodes a new id"),
    "dangling-wire": ("a wire of output {port} leads to '{target}', which is not in this flow", "remove the wire"),
    "duplicate-wire": ("output {port} is wired to '{target}' twice", "remove one of the two wires"),
    "no-such-output": (
        "output {port} (counted from 0) is wired, but the node has only {outputs}",
        "remove the wires of that output",
    ),
    "dangling-end": ("the subflow's '{end}' is wired to '{target}', which is not in it", "wire it anew"),
    "no-such-end": (
        "the subflow's '{end}' is wired to output {port} (counted from 0) of '{target}', which has only {outputs}",
        "wire it anew",
    ),
    "no-input": ("'{target}' takes no input", "remove the wire to it"),
    "missing-config-node": (
        "refers to the {type} '{target}', which is not here",
        'add that node to this flow or to the "nodes" of flows.json',
    ),
    "wrong-config-node": ("refers to '{target}', a '{found}' where a '{expected}' is needed", "choose another node"),
    "missing-subflow": ("there is no subflow '{target}' in this file", "paste the subflow into this file too"),
    "recursive-subflow": ("the subflow contains itself", "take the instance of itself out of it"),
    "dangling-link": ("links to '{target}', which is not a {expected} of this file", "remove the link"),
    "missing-group": ("lies in the group '{target}', which is not here", "remove the property 'g' or add the group"),
    "missing-flow": ("lies in the flow '{target}', which is not here", "add the tab or correct the property 'z'"),
    "config-circle": ("config nodes need each other in a circle: {nodes}", "take one reference out"),
    "too-many-nodes": ("unfolds to more than {count} nodes", "use fewer subflows inside subflows"),
    "too-many-ways": (
        "output {port} splits and joins in junctions so often that one message would arrive thousands of times",
        "wire the nodes directly",
    ),
    "too-deep": ("subflows lie in one another more than {count} deep", "use fewer subflows inside subflows"),
    "loop": (
        "sends in a circle with nothing in it that waits: {nodes}",
        "put a delay or a trigger into the circle, or take one wire out; it ends at the hop limit",
    ),
    "duplicate-route": ("{method} {url} is also answered by '{other}'", "give one of the two another path"),
    "own-path": (
        "requests for {url} are answered by SolarFlow itself and never come here",
        "give it another path; not for flows are: {taken}",
    ),
    "unset-variable": ("the environment variable '{name}' is not set", "set it before starting, or in the flow's env"),
    "no-tab": ("holds no tab", "a flow file holds one tab and what belongs to it"),
    "no-flows": (
        "holds no flow: to run it would stop everything",
        'list the flow files under "flows", or put the flow back; what is not to run, disable',
    ),
    "several-tabs": ("holds {count} tabs: {tabs}", "one file per flow: put each tab into a file of its own"),
    "unknown-setting": ("'{name}' is not a setting{nearest}", "remove it or correct its name"),
    "bad-line": ("{reason}", "correct the line, or leave such lines out with --skip-bad"),
    "not-homes": ("expected a JSON array of homes, found {found}", "compare with what `solarflow homes export` writes"),
    "invalid-home": ("{reason}", "correct it; `solarflow homes export` shows how a home is written"),
    "duplicate-home": ("the home '{id}' stands here twice", "remove one of the two"),
}
"""Every code a Problem may have, with its English text."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The tail of a sentence that names the likeliest slip: "; did you mean 'switch'?", or nothing."""
    from difflib import get_close_matches

    found = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{found[0]}'?" if found else ""


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a project: the file, and in it the flow, the node and the property."""

    file: str = ""
    node: str = ""
    name: str = ""
    type: str = ""
    property: str = ""

    def __str__(self) -> str:
        parts = [self.file] if self.file else []
        if self.node:
            label = f" '{self.name}'" if self.name else ""
            parts.append(f"{self.type or 'node'} {self.node}{label}")
        if self.property:
            parts.append(self.property)
        return ": ".join(parts)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a project: a code of `CATALOGUE` with its place and parameters."""

    code: str
    where: Where = field(default_factory=Where)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    severity: Severity = "error"

    @property
    def what(self) -> str:
        """What is wrong, in English."""
        return CATALOGUE[self.code][0].format_map(self.parameters)

    @property
    def mend(self) -> str:
        """How to put it right, in English."""
        return CATALOGUE[self.code][1].format_map(self.parameters)

    def __str__(self) -> str:
        place = f"{self.where}: " if str(self.where) else ""
        return f"{self.severity}: {place}{self.what}\n    {self.mend}"

    def as_json(self) -> dict[str, Any]:
        """The problem for machines: the place, the code with its parameters, and both English texts."""
        return {
            "severity": self.severity,
            "code": self.code,
            "file": self.where.file,
            "node": self.where.node,
            "name": self.where.name,
            "type": self.where.type,
            "property": self.where.property,
            "parameters": dict(self.parameters),
            "what": self.what,
            "mend": self.mend,
        }


def describe(problems: Iterable[Problem]) -> str:
    """All problems as one text, errors first, in the order in which they were found."""
    return "\n".join(str(p) for p in sorted(problems, key=lambda p: p.severity != "error"))


class SolarFlowError(Exception):
    """Everything this project raises on purpose. Its text is written for the person who reads it."""


class FlowError(SolarFlowError):
    """A project that cannot be deployed. `problems` has all of it, warnings too."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__(describe(self.problems))


class NodeError(SolarFlowError):
    """What a node says when it cannot do its work with this message; it goes to the catch nodes."""


class RefusedMessageError(NodeError):
    """A message that makes no sense, refused by a node that is well: it trips no breaker.

    For nodes to which several speak: what one device says wrong must not shut out the commands of another.
    """


class PropertyPathError(SolarFlowError, ValueError):
    """A message path such as `payload.power[0]` that cannot be read as one. In a Config it names the property."""


class ExpressionError(SolarFlowError, ValueError):
    """An expression that is not allowed, or that failed on this message. In a Config it names the property."""


class StoreError(SolarFlowError):
    """The store refused or could not do what was asked."""


class ConnectionLostError(SolarFlowError):
    """A command or request could not be handed over: nobody is there to take it."""


class OverloadedError(SolarFlowError):
    """A command or request waited for its turn until its limit."""


class UsageError(SolarFlowError):
    """A command was called in a way that cannot work; the text says what to do instead."""
