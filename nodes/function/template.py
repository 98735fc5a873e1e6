"""Write a text, JSON or YAML from a template and the message.

Inputs
    Any message; its properties fill the template.
    template (text, optional): the template, where the node has none of its own.
Outputs
    The same message, with the property set to what the template gave.
Details
    `{{payload.name}}` stands for a property, with `& < > " ' / ` =` written for HTML; `{{{payload.name}}}` leaves them
    as they are. What is missing is empty. `{{#payload}}...{{/payload}}` repeats for each item of a list, or shows its
    inside where there is something; `{{^payload}}...{{/payload}}` where there is nothing. `{{flow.name}}`,
    `{{global.name}}` and `{{env.NAME}}` stand for flow and global values and environment variables, with a store as
    `{{flow[durable].name}}`. A first line `{{=[[ ]]=}}` changes the braces to others.

    With *plain* the template is written as it is. The result may be read as JSON or YAML. YAML is read as plain data:
    anchors are refused, dates stay texts.

    Nothing in a template is run: there are no partials, no functions, and no attributes of objects.
Source
    The behaviour follows Node-RED's template node; the language is mustache(5).
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal, Self

import yaml
from pydantic import Field, field_validator, model_validator

from solarflow.errors import NodeError
from solarflow.message import MISSING, Message, PropertyPath
from solarflow.mustache import Template as Mustache
from solarflow.mustache import template as parsed
from solarflow.node import Example, Node, NodeRedConfig, Setup, at
from solarflow.typed import check_typed, context_getter, context_setter, environment

_CONTEXT = re.compile(r"(flow|global)(?:\[(\w+)\])?\.(.+)")


class Template(Node):
    """Fills templates."""

    type = "template"
    category = "function"
    color = "#f3b567"
    icon = "template"
    forwards = True

    class Config(NodeRedConfig):
        """The properties of Node-RED's template node."""

        field: str = "payload"
        """The property that is set."""
        field_type: Literal["msg", "flow", "global"] = Field(default="msg", alias="fieldType")
        """Where that property is."""
        template: str = ""
        """The template. Where it is empty, the message's `template` is taken."""
        syntax: Literal["mustache", "plain"] = "mustache"
        """mustache: fill the template; plain: write it as it is."""
        output: Literal["str", "json", "yaml"] = "str"
        """What the result is read as: a text (str), json or yaml."""
        format: str = "handlebars"
        """How the editor colours the template."""

        @field_validator("field", "field_type", "syntax", "output", mode="before")
        @classmethod
        def _default(cls, value: Any, info: Any) -> Any:
            return value or cls.model_fields[info.field_name].default

        @field_validator("template", mode="before")
        @classmethod
        def _empty(cls, value: Any) -> Any:
            return "" if value is None else value

        @model_validator(mode="after")
        def _check(self) -> Self:
            check_typed(self.field, self.field_type)
            if self.syntax == "mustache":
                try:
                    Mustache(self.template)
                except NodeError as error:
                    raise ValueError(str(error)) from None
            return self

    config: Config

    EXAMPLES = (
        Example(
            config={"template": "Hello {{payload.name}}. Today is {{date}}"},
            given=[at(0, date="Monday", payload={"name": "Fred"})],
            then=[at(0, payload="Hello Fred. Today is Monday")],
        ),
        Example(
            text="JSON, with a list.",
            config={
                "template": '{"homes": [{{#payload}}"{{{id}}}"{{^last}}, {{/last}}{{/payload}}]}',
                "output": "json",
            },
            given=[at(0, payload=[{"id": "casa_A"}, {"id": "casa_B", "last": True}])],
            then=[at(0, payload={"homes": ["casa_A", "casa_B"]})],
        ),
    )

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        config = self.config
        own = config.template
        self._own = Mustache(own) if own and config.syntax == "mustache" else None
        self._path = PropertyPath(config.field) if config.field_type == "msg" else None
        self._keep = None if self._path else context_setter(self, config.field_type, config.field)

    def on_input(self, msg: Message) -> None:
        value = self._read(self._written(msg))
        if self._path is not None:
            self._path.set(msg, value)
        elif self._keep is not None:
            self._keep(msg, value)
        self.send(msg)

    def _written(self, msg: Message) -> str:
        text = self.config.template
        template = self._own
        if not text:
            text = msg.get("template", "")
            if not isinstance(text, str):
                raise NodeError(f"msg.template is a {type(text).__name__}, where a text is needed")
            template = parsed(text)
        if self.config.syntax == "plain" or template is None:
            return text
        return template.render(msg, lambda name: self._elsewhere(msg, name), for_json=self.config.output == "json")

    def _elsewhere(self, msg: Message, name: str) -> Any:
        if name.startswith("env."):
            return environment(self, name.removeprefix("env."))
        found = _CONTEXT.fullmatch(name)
        if found is None:
            return MISSING
        scope, store, path = found.groups()
        return context_getter(self, scope, f"#:({store})::{path}" if store else path)(msg)

    def _read(self, text: str) -> Any:
        if self.config.output == "json":
            try:
                return json.loads(text)
            except (json.JSONDecodeError, RecursionError) as error:
                raise NodeError(f"what the template gave is not JSON: {error}; it begins {text[:60]!r}") from None
        if self.config.output == "yaml":
            try:
                return _plain_data(yaml.load(text, Loader=_PlainLoader))  # noqa: S506 - a SafeLoader that reads less
            except (yaml.YAMLError, RecursionError) as error:
                said = " ".join(str(error).split())
                raise NodeError(f"what the template gave is not YAML that can be read: {said}") from None
        return text


class _PlainLoader(yaml.SafeLoader):
    """Plain data only: no anchors (a short text could stand for a value without end), no dates."""

    yaml_implicit_resolvers = {
        first: [(tag, expression) for tag, expression in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("anchors (&name, *name) are not read here")
        return super().compose_node(parent, index)


def _plain_data(value: Any) -> Any:
    """As JSON has it: names are texts, and there is nothing but texts, numbers, true, false, null, lists, objects."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else json.dumps(key): _plain_data(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain_data(item) for item in value]
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise yaml.YAMLError(f"a {type(value).__name__} is not read here")
