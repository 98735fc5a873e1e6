"""A difference between flows as a text for the reader: what came, what went, what became of the rest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from difflib import unified_diff
from typing import Final

from solarflow.flowdiff import ABSENT, Change, Difference, NodeRef, Wire, plain
from solarflow.veil import Veiled, veil_text

LONGEST: Final = 200
"""Values are cut to this many characters."""

Paint = Callable[[str, str], str]
"""Gives a text a colour: (text, name of the colour)."""


def lines_of(difference: Difference, paint: Paint = lambda text, _: text) -> Iterator[str]:
    """The difference, flow by flow, and a last line that counts it."""
    for change in difference.project:
        yield from _change(change, "", paint)
    for file, flow in _places(difference):
        yield paint(" ".join(part for part in (file, f"'{flow}'" if flow else "") if part), "bold")

        def here(node: NodeRef, file: str = file, flow: str = flow) -> bool:
            return (node.file, node.flow) == (file, flow)

        for removed in filter(here, difference.removed):
            yield paint(f"  - {label(removed)}", "red")
        for added in difference.added:
            if here(added.node):
                yield paint(f"  + {label(added.node)}", "green")
                for change in added.changes:
                    yield f"      {printable(change.path)}: {_value(change.after)}"
        for changed in difference.changed:
            if here(changed.node):
                yield paint(f"  ~ {label(changed.node)}", "yellow")
                for change in changed.changes:
                    yield from _change(change, "      ", paint)
        yield from (paint(f"  - {_wire(w)}", "red") for w in difference.wires_removed if here(w.source))
        yield from (paint(f"  + {_wire(w)}", "green") for w in difference.wires_added if here(w.source))
        yield from (f"  ~ {label(node)} sends in another order" for node in filter(here, difference.reordered))
        moved = [_short(node) for node in difference.moved if here(node)]
        if moved:
            yield f"    only moved: {', '.join(moved[:8])}{f' and {len(moved) - 8} more' if len(moved) > 8 else ''}"
    yield _summary(difference)


def _places(difference: Difference) -> list[tuple[str, str]]:
    nodes = [
        *difference.removed, *(n.node for n in difference.added), *(n.node for n in difference.changed),
        *(w.source for w in (*difference.wires_removed, *difference.wires_added)), *difference.reordered,
        *difference.moved,
    ]  # fmt: skip
    return sorted({(node.file, node.flow) for node in nodes})


def printable(text: str) -> str:
    """A text that can do nothing to the terminal: what does not print is written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def label(node: NodeRef) -> str:
    """ "debug d1 'what arrives'"."""
    return printable(" ".join(part for part in (node.type, node.id, f"'{node.name}'" if node.name else "") if part))


def _short(node: NodeRef) -> str:
    return printable(f"'{node.name}'" if node.name else node.id)


def _wire(wire: Wire) -> str:
    output = f" output {wire.output}" if wire.output or wire.source.many_outputs else ""
    return f"wire {_short(wire.source)}{output} -> {_short(wire.target)}"


def _value(value: object) -> str:
    if isinstance(value, Veiled):
        return printable(value.shown)
    text = printable(json.dumps(plain(value), ensure_ascii=False))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"


def _change(change: Change, indent: str, paint: Paint) -> Iterator[str]:
    path, before, after = printable(change.path), change.before, change.after
    if isinstance(before, str) and isinstance(after, str) and "\n" in before + after:
        yield f"{indent}{path}:"
        for line in list(unified_diff(before.splitlines(), after.splitlines(), n=1, lineterm=""))[2:]:
            colour = {"+": "green", "-": "red"}.get(line[0], "")
            shown = "…" if line.startswith("@@") else printable(line)
            yield f"{indent}    {paint(shown, colour) if colour else shown}"
    elif before is ABSENT:
        yield f"{indent}{path}: {paint(f'+ {_value(after)}', 'green')}"
    elif after is ABSENT:
        yield f"{indent}{path}: {paint(f'- {_value(before)}', 'red')}"
    elif isinstance(before, Veiled) and isinstance(after, Veiled) and before.shown == after.shown:
        yield f"{indent}{path}: {printable(before.shown)} changed"
    else:
        yield f"{indent}{path}: {_value(before)} -> {_value(after)}"


def _summary(difference: Difference) -> str:
    moved = f"{len(difference.moved)} only moved" if difference.moved else ""
    if not difference.meaningful:
        return f"no change in meaning{f'; {moved}' if moved else ''}"
    wires = len(difference.wires_added) + len(difference.wires_removed)
    counts = [
        (len(difference.added), "added"), (len(difference.removed), "removed"), (len(difference.changed), "changed"),
        (wires, "wire" if wires == 1 else "wires"), (len(difference.reordered), "in another order"),
        (len(difference.project), "of the project"),
    ]  # fmt: skip
    told = ", ".join(f"{count} {what}" for count, what in counts if count)
    return f"{told}{f'; {moved}' if moved else ''}"


def text_lines(before: str, after: str, paint: Paint = lambda text, _: text) -> Iterator[str]:
    """Two texts that are no flows line by line, without what looks like a secret."""
    for line in list(unified_diff(before.splitlines(), after.splitlines(), lineterm=""))[2:]:
        colour = {"+": "green", "-": "red"}.get(line[0], "")
        shown = printable(veil_text(line))
        yield paint(shown, colour) if colour else shown
