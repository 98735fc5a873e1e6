"""The help page of a node type, from its one file: docstring, properties from the schema, the executed example."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator
from typing import Any

from solarflow.node import Node, Timed, examples_of


def help_text(node_type: type[Node]) -> str:
    """The module's docstring, or the class's where a module has several types."""
    module = sys.modules[node_type.__module__]
    own = [
        v
        for v in vars(module).values()
        if inspect.isclass(v) and issubclass(v, Node) and v.__module__ == module.__name__
    ]
    if len([t for t in own if t.type]) > 1 and node_type.__doc__:
        return inspect.cleandoc(node_type.__doc__)
    return inspect.cleandoc(module.__doc__ or node_type.__doc__ or "")


def summary(node_type: type[Node]) -> str:
    """The first line of its help."""
    return help_text(node_type).partition("\n")[0]


def schema(node_type: type[Node]) -> dict[str, Any]:
    """What machines need to know of a type: everything the editor shows, and the JSON schema of its properties."""
    return {
        "type": node_type.type,
        "category": node_type.category,
        "summary": summary(node_type),
        "color": node_type.color,
        "icon": node_type.icon,
        "inputs": node_type.inputs,
        "outputs": node_type.outputs,
        "output_labels": list(node_type.output_labels),
        "config": node_type.is_config,
        "version": node_type.schema_version,
        "properties": node_type.Config.model_json_schema(by_alias=True),
    }


def properties(node_type: type[Node]) -> Iterator[tuple[str, str, str, str]]:
    """(name, kind with unit and bounds, default, help) of each property."""
    described = node_type.Config.model_json_schema(by_alias=True)
    definitions = described.get("$defs", {})
    required = set(described.get("required", ()))
    for name, entry in described.get("properties", {}).items():
        default = "required" if name in required else _shown(entry.get("default"))
        yield name, kind_of(entry, definitions), default, " ".join(str(entry.get("description", "")).split())


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"


def kind_of(entry: dict[str, Any], definitions: dict[str, Any]) -> str:
    """What a property may be, in words: "number, W, from 0"."""
    if "$ref" in entry:
        return kind_of(definitions[entry["$ref"].rpartition("/")[2]], {})
    if "config_node" in entry:
        return f"a {' or '.join(entry['config_node'])} node"
    if "anyOf" in entry or "oneOf" in entry:
        kinds = [kind_of(part, definitions) for part in entry.get("anyOf") or entry["oneOf"]]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in entry:
        return " | ".join(str(value) if value != "" else '""' for value in entry["enum"])
    if "const" in entry:
        return str(entry["const"])
    names = {"string": "text", "boolean": "true | false", "integer": "whole number", "null": "nothing", "array": "list"}
    parts = [names.get(str(entry.get("type", "value")), str(entry.get("type", "any value")))]
    if entry.get("type") == "array" and isinstance(entry.get("items"), dict) and entry["items"]:
        parts[0] = f"list of {kind_of(entry['items'], definitions)}"
    if entry.get("format") == "password" or entry.get("writeOnly"):
        parts[0] = "secret text"
    if "unit" in entry and entry["unit"] != "1":
        parts.append(str(entry["unit"]))
    for key, words in (
        ("minimum", "from"),
        ("exclusiveMinimum", "above"),
        ("maximum", "to"),
        ("exclusiveMaximum", "below"),
    ):
        if key in entry:
            parts.append(f"{words} {entry[key]:g}")
    return ", ".join(parts)


def page(node_type: type[Node], *, markdown: bool = False) -> str:
    """The whole page as text for a terminal, or as Markdown."""
    lines = [f"# {node_type.type}", "", *_help_lines(node_type, markdown)]
    listed = list(properties(node_type))
    if listed:
        lines += ["", "## Properties" if markdown else "Properties"]
        if markdown:
            lines += ["", "| property | what | default | meaning |", "| --- | --- | --- | --- |"]
            lines += [f"| `{n}` | {_cell(k)} | `{_cell(d)}` | {_cell(text)} |" for n, k, d, text in listed]
        else:
            for name, kind, default, text in listed:
                lines += [f"    {name}  ({kind}; {default})", f"        {text}"]
    for example in examples_of(node_type):
        lines += ["", "## Example" if markdown else "Example (run by the tests)", ""]
        if example.text:
            lines += [example.text, ""]
        shown = [f"with {json.dumps(dict(example.config), ensure_ascii=False)}"]
        shown += [
            f"with the {other.type} '{id_}' {json.dumps(dict(given))}" for id_, (other, given) in example.others.items()
        ]
        shown += [f"in   {_timed(timed)}" for timed in example.given]
        shown += [f"out  {_timed(timed)}" for timed in example.then] or ["out  nothing"]
        lines += ["```", *shown, "```"] if markdown else [f"    {line}" for line in shown]
    return "\n".join(lines) + "\n"


def _help_lines(node_type: type[Node], markdown: bool) -> list[str]:
    lines = help_text(node_type).splitlines()
    if not markdown:
        return lines
    shown: list[str] = []
    section = ""
    for number, line in enumerate(lines):
        follows = lines[number + 1] if number + 1 < len(lines) else ""
        # A word alone at the margin, with indented text below it, is a heading in these pages.
        if line and not line.startswith(" ") and follows.startswith("    "):
            section = line
            shown += ["", f"## {line}", ""] if shown and shown[-1] else [f"## {line}", ""]
        elif section in ("Inputs", "Outputs") and _ITEM.match(line):
            shown.append(f"- {line.strip()}")
        else:
            shown.append(line[4:] if line.startswith("    ") else line)
    return shown


_ITEM = re.compile(r"    [\w., -]+(?:\([^)]*\))?: ")
"""What begins the description of one property in the Inputs and Outputs of a help page."""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _timed(timed: Timed) -> str:
    port = f" output {timed.port + 1}" if timed.port else ""
    return f"{timed.t:>6g} s{port}  {json.dumps(timed.msg, ensure_ascii=False, default=str)}"
