"""What a template sees of tools, and what it prints of them."""

from __future__ import annotations

from typing import Any

import pytest

from bundler.errors import BundleError
from bundler.prompt.conversation import Conversation
from bundler.prompt.ollama.template import read
from tests.prompt.ollama.talks import BARE, TIME, WEATHER

DESCRIPTION = r"Tells the \u003cb\u003e\"weather\"\u003c/b\u003e \u0026 more"
OPTIONS = '{"type":"object","properties":{"unit":{"type":"string"},"days":{"type":"integer"}},"required":["unit"]}'
PROPERTIES = (
    '{"anything":{},"city":{"type":"string","enum":["Köln","Paris",3,0.5,null,true]},'
    '"mixed":{"anyOf":[{"type":"number"},{"type":"array","items":{}}]},"options":' + OPTIONS + ","
    '"tags":{"type":"array","items":{"a":12345678,"b":1000000,"type":"string"}},'
    '"when":{"type":["string","null"],"description":"a day"}}'
)
PARAMETERS = '{"type":"object","required":["city","when"],"properties":' + PROPERTIES + "}"
FUNCTION = '{"name":"get_weather","description":"' + DESCRIPTION + '","parameters":' + PARAMETERS + "}"
TOOL = '{"type":"function","function":' + FUNCTION + "}"
EACH = "{{ range .Tools }}{{ range $n, $p := .Function.Parameters.Properties"
PRINTED = {
    "{{ .Tools }}": f"[{TOOL}]",
    "{{ json .Tools }}": f"[{TOOL}]",
    "{{ range .Tools }}{{ . }}{{ end }}": TOOL,
    "{{ range .Tools }}{{ .Function }}{{ end }}": FUNCTION,
    "{{ range .Tools }}{{ .Function.Parameters }}{{ end }}": PARAMETERS,
    "{{ range .Tools }}{{ .Function.Parameters.Properties }}{{ end }}": PROPERTIES,
    "{{ range .Tools }}{{ .Function.Parameters.Properties.options }}{{ end }}": OPTIONS,
    EACH + ".options.Properties }}{{ $n }}={{ .Type }};{{ end }}{{ end }}": "days=integer;unit=string;",
    "{{ range .Tools }}{{ .Function.Parameters.Properties.city.Enum }}{{ end }}": "[Köln Paris 3 0.5 <nil> true]",
    "{{ range .Tools }}{{ .Function.Parameters.Required }}{{ end }}": "[city when]",
    "{{ range .Tools }}{{ .Function.Parameters.Properties.when.Type }}{{ end }}": "[string null]",
    EACH + " }}{{ $n }}: {{ toTypeScriptType $p }};{{ end }}{{ end }}": (
        "anything: any;city: string;mixed: number | any[];options: Record<string, any>;tags: any[];when: string | null;"
    ),
    "{{ toTypeScriptType 1 }}{{ toTypeScriptType .Tools }}": "anyany",
    "{{ printf `%T` (index .Tools 0).Function.Parameters.Properties }}": "template.templateProperties",
}


def shown(text: str, *tools: Any) -> str:
    return read("{{ range .Messages }}{{ end }}" + text).chat(Conversation(messages=[], tools=tools))


@pytest.mark.parametrize("text", PRINTED)
def test_what_a_template_prints_of_a_tool(text: str) -> None:
    assert shown(text, WEATHER) == PRINTED[text]


def test_tools_without_parameters() -> None:
    assert shown("{{ range .Tools }}{{ . }}\n{{ end }}", TIME, BARE) == (
        '{"type":"function","function":{"name":"now","description":"","parameters":{"type":"object","properties":null}}}\n'
        '{"type":"function","function":{"name":"ping","description":"","parameters":{"type":"","properties":{}}}}\n'
    )
    assert shown("{{ range .Tools }}{{ .Function.Parameters.Properties }}{{ end }}", TIME, BARE) == "{}{}"


def test_no_tools() -> None:
    assert shown("{{ if .Tools }}tools{{ else }}none{{ end }} {{ len .Tools }} {{ .Tools }}") == "none 0 null"


def of(**parameters: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "parameters": parameters}}


DEEP: Any = {}
for _ in range(200):
    DEEP = {"properties": {"x": DEEP}}
REFUSED = {
    "no object": ("f", "tools[0] is no object"),
    "a name of another type": ({"function": {"name": 1}}, "tools[0].function.name is no text"),
    "two types of all parameters": (of(type=["object", "null"]), "tools[0].function.parameters.type is no text"),
    "a schema that is true": (of(properties={"a": True}), "tools[0].function.parameters.properties.a is no object"),
    "required by name": (of(required="a"), "tools[0].function.parameters.required is no list"),
    "required by number": (of(required=["a", 1]), "tools[0].function.parameters.required[1] is no text"),
    "too deep": (of(**DEEP), f"tools[0].function.parameters{'.properties.x' * 5}.proper… nests too deeply"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_tools_of_other_types_are_refused(name: str) -> None:
    tool, fault = REFUSED[name]
    with pytest.raises(BundleError) as caught:
        shown("{{ .Tools }}", tool)
    assert caught.value.message == f"failed to render the messages: {fault}"
