"""`solarflow nodes`: the palette and its help pages."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path

import click

from solarflow.helppages import page, schema, summary
from solarflow.registry import Registry, load_registry


@click.command(epilog="Example: solarflow nodes threshold-hold")
@click.argument("type_", metavar="[TYPE]", required=False)
@click.option("--json", "as_json", is_flag=True, help="The JSON schema of one type, or a list of all.")
@click.option(
    "--markdown", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Write the help page of every type into DIR.",
)  # fmt: skip
def nodes(type_: str | None, as_json: bool, markdown: Path | None) -> None:
    """List the node types, or show the help page of TYPE."""
    registry = load_registry()
    if markdown is not None:
        _write_pages(registry, markdown)
    elif as_json:
        described = schema(registry[type_]) if type_ else [schema(node_type) for node_type in registry]
        click.echo(json.dumps(described, indent=2, ensure_ascii=False))
    elif type_:
        click.echo(page(registry[type_]), nl=False)
    else:
        width = max(len(node_type.type) for node_type in registry)
        for category, types in groupby(registry, key=lambda node_type: node_type.category):
            click.echo(f"{category}")
            for node_type in types:
                click.echo(f"  {node_type.type:<{width}}  {summary(node_type)}")


def _write_pages(registry: Registry, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    index = ["# Node types", "", "Made by `make docs` from the node files; do not edit.", ""]
    for category, types in groupby(registry, key=lambda node_type: node_type.category):
        index += [f"## {category}", ""]
        for node_type in types:
            name = f"{node_type.type.replace(' ', '-')}.md"
            (folder / name).write_text(page(node_type, markdown=True))
            index.append(f"- [{node_type.type}]({name}): {summary(node_type)}")
        index.append("")
    (folder / "README.md").write_text("\n".join(index))
    click.echo(f"wrote the pages of {len(registry)} types to {folder}")
