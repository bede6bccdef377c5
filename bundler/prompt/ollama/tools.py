"""Tool declarations as Ollama has them: an object's known keys, in Ollama's order; keys that it does not know are gone.

Values for a template, and their TypeScript types. Knows nothing of messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bundler.prompt.gotemplate.values import Map, Slice, Struct
from bundler.prompt.ollama.reader import MAX_DEPTH, Reader, mapping, member, refusal, sequence
from bundler.prompt.ollama.record import ORDERED, PROPERTY_TYPE, as_json

_TYPESCRIPT: Final = {
    "string": "string", "number": "number", "integer": "number", "boolean": "boolean", "array": "any[]",
    "object": "Record<string, any>", "null": "null",
}  # fmt: skip


def tools(declared: Sequence[Mapping[str, Any]], read: Reader) -> Slice:
    """`.Tools`: nil where there are none.

    Raises:
        BundleError: a declaration has a value of the wrong type.
    """
    made = [_tool(tool, read, f"tools[{at}]") for at, tool in enumerate(sequence(declared, "tools"))]
    return as_json(Slice("template.templateTools", made, nil=not made))


def typescript(schema: Any) -> str:
    """What `toTypeScriptType` gives: the TypeScript type of a tool's property, `any` for all else."""
    if not isinstance(schema, Struct) or schema.type_name != "api.ToolProperty":
        return "any"
    if schema.fields["AnyOf"]:
        return " | ".join(map(typescript, schema.fields["AnyOf"]))
    return " | ".join(_TYPESCRIPT.get(name, "any") for name in schema.fields["Type"]) or "any"


def _tool(declared: Any, read: Reader, where: str) -> Struct:
    tool = mapping(declared, where)
    fields = {
        "Type": read.text(tool.get("type"), f"{where}.type"),
        "Items": read.json(tool.get("items"), f"{where}.items"),
        "Function": _function(tool.get("function"), read, f"{where}.function"),
    }
    return as_json(Struct("template.templateTool", fields))


def _function(declared: Any, read: Reader, where: str) -> Struct:
    function = mapping(declared, where)
    fields = {
        "Name": read.text(function.get("name"), f"{where}.name"),
        "Description": read.text(function.get("description"), f"{where}.description"),
        "Parameters": _parameters(function.get("parameters"), read, f"{where}.parameters"),
    }
    return as_json(Struct("template.templateToolFunction", fields))


def _parameters(declared: Any, read: Reader, where: str) -> Struct:
    parameters = mapping(declared, where)
    fields = {
        "Type": read.text(parameters.get("type"), f"{where}.type"),
        "Defs": read.json(parameters.get("$defs"), f"{where}.$defs"),
        "Items": read.json(parameters.get("items"), f"{where}.items"),
        "Required": _texts(parameters.get("required"), read, f"{where}.required"),
        "Properties": _properties("template.templateProperties", parameters.get("properties"), read, where, 0),
    }
    return as_json(Struct("template.templateToolFunctionParameters", fields))


def _properties(type_name: str, declared: Any, read: Reader, where: str, depth: int) -> Map:
    if declared is None:
        return Map(type_name, nil=True, string="{}")
    where = f"{where}.properties"
    properties = {
        read.text(name, where): _property(schema, read, member(where, name), depth)
        for name, schema in mapping(declared, where).items()
    }
    return as_json(Map(type_name, properties))


def _property(declared: Any, read: Reader, where: str, depth: int) -> Struct:
    if depth > MAX_DEPTH:
        raise refusal(where, "nests too deeply")
    schema = mapping(declared, where)
    choices = sequence(schema.get("anyOf"), f"{where}.anyOf")
    enum = [read.json(item, f"{where}.enum", depth) for item in sequence(schema.get("enum"), f"{where}.enum")]
    fields = {
        "AnyOf": _list("[]api.ToolProperty", schema.get("anyOf"), [
            _property(choice, read, f"{where}.anyOf[{at}]", depth + 2) for at, choice in enumerate(choices)
        ]),
        "Type": _type(schema.get("type"), read, f"{where}.type"),
        "Items": read.json(schema.get("items"), f"{where}.items", depth),
        "Description": read.text(schema.get("description"), f"{where}.description"),
        "Enum": _list("[]interface {}", schema.get("enum"), enum),
        "Properties": _properties(ORDERED, schema.get("properties"), read, where, depth + 2),
        "Required": _texts(schema.get("required"), read, f"{where}.required"),
    }  # fmt: skip
    return as_json(Struct("api.ToolProperty", fields))


def _type(declared: Any, read: Reader, where: str) -> Slice:
    """One name prints as it is, several as a list."""
    names = read.texts([declared] if isinstance(declared, str) else declared, where)
    string = None if len(names) > 1 else names[0] if names else ""
    return Slice(PROPERTY_TYPE, names, nil=declared is None, string=string)


def _texts(declared: Any, read: Reader, where: str) -> Slice:
    return _list("[]string", declared, read.texts(declared, where))


def _list(type_name: str, declared: Any, items: list[Any]) -> Slice:
    return Slice(type_name, items, nil=declared is None)
