"""Checks a node's properties against its type's `Config` and says in plain words what does not fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, get_args

from pydantic import AliasChoices, BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from solarflow.errors import Problem, SolarFlowError, Where, nearest
from solarflow.flowfile import FlowNode, shape_of
from solarflow.node import Node, NodeConfig
from solarflow.registry import Registry

BOOKKEEPING: Final = frozenset(
    (
        *("id", "type", "z", "g", "name", "x", "y", "w", "h", "l", "d", "wires", "info", "icon"),
        *("inputLabels", "outputLabels", "credentials", "_alias", "_mcu", "_flow", "_path"),
    )
)
"""What Node-RED itself keeps in every node; a Config sees it only where it has a field of that name."""
STRUCTURAL: Final = frozenset(("id", "type", "z", "g", "x", "y", "d", "wires"))
"""What a Config never sees."""
STRUCTURE_TYPES: Final = frozenset(("tab", "subflow", "group", "junction", "global-config"))
"""Types that the flow format itself has."""
FOREIGN_CODE: Final = {"function": ("JavaScript", "python' or 'expression")}
"""Types whose code this engine keeps but does not run: its language, and the types to take instead."""
GRAPH_PROPERTIES: Final = {"link in": {"links"}, "link out": {"links"}, "link call": {"links"}} | {
    role: {"scope"} for role in ("catch", "status", "complete")
}
"""Properties that the graph reads, by role; a Config need not have them."""


def field_names(config: type[BaseModel]) -> dict[str, str]:
    """The names a property may have in a file, in schema order, with the field each belongs to."""
    names: dict[str, str] = {}
    for name, field in config.model_fields.items():
        for alias in _aliases(field):
            names.setdefault(alias, name)
        names.setdefault(name, name)
    return names


def _aliases(field: FieldInfo) -> Iterator[str]:
    for alias in (field.alias, field.validation_alias):
        for choice in alias.choices if isinstance(alias, AliasChoices) else (alias,):
            if isinstance(choice, str):
                yield choice


def properties_of(node: FlowNode, node_type: type[Node]) -> dict[str, Any]:
    """The properties that a type's Config is to judge: without places, wires and Node-RED's own bookkeeping."""
    known = field_names(node_type.Config)
    return {
        key: value
        for key, value in node.raw.items()
        if key not in BOOKKEEPING or (key in known and key not in STRUCTURAL)
    }


def check_type(node: FlowNode, registry: Registry, allow_code: bool) -> list[Problem]:
    """Whether there is such a type, and whether this project may use it."""
    if node.type in FOREIGN_CODE and node.type not in registry:
        language, instead = FOREIGN_CODE[node.type]
        parameters = {"type": node.type, "language": language, "instead": instead}
        return [Problem("foreign-code", node.where(), parameters)]
    node_type = registry.get(node.type)
    if node_type is None:
        return [Problem("unknown-type", node.where(), {"type": node.type, "nearest": registry.nearest(node.type)})]
    if node_type.role == "code" and not allow_code:
        return [Problem("code-not-allowed", node.where(), {"type": node.type})]
    return []


def lift(node: FlowNode, node_type: type[Node]) -> tuple[dict[str, Any], list[Problem]]:
    """A node's properties in the form of this version of its type."""
    properties = properties_of(node, node_type)
    try:
        return node_type.migrate(dict(properties)), []
    except Exception as error:  # noqa: BLE001 - a type's own code on whatever a file holds; the problem list tells it
        reason = f"the properties of an older version cannot be read: {error}"
        return properties, [Problem("invalid-value", node.where(), {"reason": reason, "type": node.type})]


def configure(
    where: Where, node_type: type[Node], properties: Mapping[str, Any], shown: Mapping[str, Any]
) -> tuple[NodeConfig | None, list[Problem]]:
    """A node's configuration, or None, and what is wrong with its properties.

    `shown` holds the properties as the file has them: problems quote these, so that what `${NAME}` stands for is not
    spread.
    """
    config_type = node_type.Config
    problems: list[Problem] = []
    if config_type.model_config.get("extra") == "ignore":
        known = field_names(config_type)
        extra = [key for key in properties if key not in known and key not in GRAPH_PROPERTIES.get(node_type.role, ())]
        problems = [_unknown(where, node_type.type, key, known, "warning") for key in extra]
        properties = {key: value for key, value in properties.items() if key in known}
    else:
        kept = GRAPH_PROPERTIES.get(node_type.role, set()) - set(field_names(config_type))
        properties = {key: value for key, value in properties.items() if key not in kept}
    try:
        return config_type.model_validate(properties), problems
    except ValidationError as error:
        return None, problems + _problems(where, node_type, error, properties, shown)
    except Exception as error:  # noqa: BLE001 - a validator of the type's own; the problem list tells it
        reason = str(error) if isinstance(error, SolarFlowError) else f"the properties cannot be checked: {error!r}"
        return None, [*problems, Problem("invalid-value", where, {"reason": reason, "type": node_type.type})]


def _unknown(where: Where, type_: str, path: str, known: Iterable[str], severity: Any) -> Problem:
    place = Where(where.file, where.node, where.name, where.type, path)
    last = path.rpartition(".")[2]
    return Problem("unknown-property", place, {"type": type_, "nearest": nearest(last, known)}, severity)


def _problems(
    where: Where, node_type: type[Node], error: ValidationError, properties: Mapping[str, Any], shown: Mapping[str, Any]
) -> list[Problem]:
    known = field_names(node_type.Config)
    found: list[Problem] = []
    reasons: dict[str, list[str]] = {}
    for steps, detail in _causes(error, properties):
        path = ".".join(steps)
        kind = detail["type"]
        if kind == "extra_forbidden":
            found.append(_unknown(where, node_type.type, path, _names_at(node_type.Config, steps[:-1]), "error"))
        elif kind == "missing":
            place = Where(where.file, where.node, where.name, where.type, path)
            found.append(Problem("missing-property", place, {"type": node_type.type}))
        else:
            secret = _is_secret(node_type.Config.model_fields.get(known.get(path.partition(".")[0], "")))
            reason = plain_reason(detail, "a secret" if secret else _quoted(shown, path, detail))
            if reason not in reasons.setdefault(path, []):
                reasons[path].append(reason)
    for path, texts in reasons.items():
        place = Where(where.file, where.node, where.name, where.type, path)
        parameters = {"reason": "; or ".join(texts), "type": node_type.type}
        found.append(Problem("invalid-value", place, parameters))
    return found


def _causes(error: ValidationError, properties: Mapping[str, Any]) -> list[tuple[tuple[str, ...], ErrorDetails]]:
    """The errors with their places, without those of a list or an object that only follow from one inside it.

    Pydantic counts a list's entries without the wrong ones; here they count.
    """
    placed = [(tuple(_path(detail, properties)), detail) for detail in error.errors(include_url=False)]
    parents = {steps[:length] for steps, _ in placed for length in range(len(steps))}
    causes = []
    for steps, detail in placed:
        context = detail.get("ctx", {})
        if detail["type"] == "too_short" and isinstance(detail["input"], (list, tuple)):
            if len(detail["input"]) >= context["min_length"]:
                continue
            detail["ctx"] = {**context, "actual_length": len(detail["input"])}
        elif steps in parents:
            continue
        causes.append((steps, detail))
    return causes


def _names_at(config: type[BaseModel], steps: Iterable[str]) -> list[str]:
    """The properties that are known in the object at this place; steps that are no property lead into a list."""
    models = [config]
    for step in steps:
        inside = [
            inner
            for model in models
            if (name := field_names(model).get(step)) is not None
            for inner in _models_in(model.model_fields[name].annotation)
        ]
        models = inside or models
    return [name for model in models for name in field_names(model)]


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in `tuple[Load, ...]`, `Load | None` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _path(detail: ErrorDetails, properties: Mapping[str, Any]) -> Iterator[str]:
    """An error's place as steps that the file has too: pydantic names the branches of a union among them."""
    value: Any = properties
    last = len(detail["loc"]) - 1
    for index, step in enumerate(detail["loc"]):
        in_object = isinstance(value, Mapping) and step in value
        if in_object or (isinstance(value, (list, tuple)) and isinstance(step, int) and step < len(value)):
            value = value[step]
        elif index != last or detail["type"] not in ("missing", "extra_forbidden"):
            continue
        yield str(step)


def _is_secret(field: FieldInfo | None) -> bool:
    return field is not None and "SecretStr" in str(field.annotation)


def is_secret(node_type: type[Node], key: str) -> bool:
    """Whether a property holds a secret: it is stored in credentials.json and never shown."""
    field = node_type.Config.model_fields.get(field_names(node_type.Config).get(key, ""))
    return field is not None and (field.annotation is SecretStr or _is_secret(field))


def _quoted(shown: Mapping[str, Any], path: str, detail: ErrorDetails) -> str:
    """The value as the file has it; where the file has none at that place, as it was judged."""
    value: Any = shown
    for step in path.split(".") if path else ():
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return "" if isinstance(value, str) else shape_of(detail["input"])
    return shape_of(value)


_EXPECTED: Final = {
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "string": "a text",
    "list": "an array",
    "tuple": "an array",
    "set": "an array",
    "dict": "an object",
    "model": "an object",
    "dataclass": "an object",
    "mapping": "an object",
    "none": "null",
    "datetime": "a date and time such as 2026-06-21T10:00:00Z",
    "date": "a date such as 2026-06-21",
    "time": "a time of day such as 07:30",
    "timezone": "a time zone",
    "url": "an address such as http://host/path",
    "decimal": "a decimal number",
    "uuid": "a UUID",
}


def plain_reason(detail: ErrorDetails, found: str) -> str:
    """One of pydantic's errors as a sentence about the value: what was expected, and what is there."""
    kind, context = detail["type"], detail.get("ctx", {})
    there = f", found {found}" if found else ""
    if kind in ("value_error", "assertion_error"):
        return str(context.get("error", detail["msg"]))
    bounds = {
        "greater_than": "gt", "greater_than_equal": "ge", "less_than": "lt", "less_than_equal": "le"
    }  # fmt: skip
    words = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}
    if kind in bounds:
        return f"expected a value of {words[bounds[kind]]} {_figure(context[bounds[kind]])}{there}"
    if kind in ("literal_error", "enum", "literal"):
        return f"expected {context.get('expected', 'one of the allowed values')}{there}"
    if kind in ("finite_number", "int_parsing_size"):
        return f"expected a finite number{there}"
    if kind == "int_from_float":
        return f"expected a whole number{there}"
    if kind == "multiple_of":
        return f"expected a multiple of {context['multiple_of']}{there}"
    if kind == "string_too_short":
        return f"expected a text of at least {context['min_length']} characters{there}"
    if kind == "string_too_long":
        return f"expected a text of at most {context['max_length']} characters{there}"
    if kind == "string_pattern_mismatch":
        return f"expected a text of the form {context['pattern']}{there}"
    if kind in ("too_short", "too_long"):
        bound = (
            f"at least {context.get('min_length')}" if kind == "too_short" else f"at most {context.get('max_length')}"
        )
        return f"expected {bound} entries, found {context.get('actual_length')}"
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        tags = context.get("expected_tags")
        return f"expected {context.get('discriminator')} to be {'one of ' + str(tags) if tags else 'given'}{there}"
    expected = _EXPECTED.get(kind.partition("_")[0])
    if expected:
        return f"expected {expected}{there}"
    message = detail["msg"]
    return f"{message[:1].lower()}{message[1:]}{there}"


def _figure(bound: Any) -> str:
    return f"{bound:g}" if isinstance(bound, float) else str(bound)
