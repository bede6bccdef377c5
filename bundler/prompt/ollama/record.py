"""Ollama's structs: Go's field names for templates, JSON's names for what a template prints.

Knows how a struct becomes JSON, nothing of what the structs mean.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

from bundler.prompt.gotemplate.json import marshal
from bundler.prompt.gotemplate.values import Map, Slice, Struct

_Named = TypeVar("_Named", Struct, Slice, Map)

TAGS: Final[dict[str, dict[str, str]]] = {
    "*template.templateMessage": {
        "Role": "role", "Content": "content", "Thinking": "thinking,", "Images": "images,", "ToolCalls": "tool_calls,",
        "ToolName": "tool_name,", "ToolCallID": "tool_call_id,",
    },
    "template.templateToolCall": {"ID": "id,", "Function": "function"},
    "template.templateToolCallFunction": {"Index": "index", "Name": "name", "Arguments": "arguments"},
    "template.templateTool": {"Type": "type", "Items": "items?", "Function": "function"},
    "template.templateToolFunction": {"Name": "name", "Description": "description", "Parameters": "parameters"},
    "template.templateToolFunctionParameters": {
        "Type": "type", "Defs": "$defs?", "Items": "items?", "Required": "required,", "Properties": "properties",
    },
    "api.ToolProperty": {
        "AnyOf": "anyOf,", "Type": "type,", "Items": "items?", "Description": "description,", "Enum": "enum,",
        "Properties": "properties?", "Required": "required,",
    },
}  # fmt: skip
"""By type: JSON's name of each field; left out are with a comma after it what is empty, with a question mark nil."""

PROPERTY_TYPE: Final = "api.PropertyType"
ORDERED: Final = "api.ToolPropertiesMap"
"""A map that JSON shows in the order in which it was given."""


def to_json(value: Any) -> str:
    """The value in JSON as Go's encoding/json writes it, with the names that Ollama's API has for the fields.

    Raises:
        FunctionError: a number in it is none that JSON has.
    """
    return marshal(_named(value))


def as_json(value: _Named) -> _Named:
    """The same value with a String method that gives its JSON."""

    def string() -> str:
        return to_json(value)

    if isinstance(value, Struct):
        return Struct(value.type_name, value.fields, string)
    if isinstance(value, Slice):
        return Slice(value.type_name, value, nil=value.nil, string=string)
    return Map(value.type_name, value, nil=value.nil, string=string)


def _named(value: Any) -> Any:
    """The value with JSON's names for fields, without those that are left out."""
    if isinstance(value, Struct):
        tags = TAGS[value.type_name]
        shown = (item for item in value.fields.items() if not _is_left_out(tags[item[0]], item[1]))
        return Struct(value.type_name, {tags[field].rstrip(",?"): _named(item) for field, item in shown})
    if isinstance(value, Slice):
        if value.type_name == PROPERTY_TYPE and len(value) == 1:
            return value[0]
        return Slice(value.type_name, map(_named, value), nil=value.nil)
    if isinstance(value, Map):
        members = {key: _named(item) for key, item in value.items()}
        ordered = value.type_name == ORDERED
        return Struct(ORDERED, members) if ordered else Map(value.type_name, members, nil=value.nil)
    return value


def _is_left_out(tag: str, value: Any) -> bool:
    if tag.endswith("?"):
        return value is None or (isinstance(value, Map) and value.nil)
    return tag.endswith(",") and not value
