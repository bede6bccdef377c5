"""Messages reach a template in the shape that it reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bundler.errors import BundleError
from bundler.prompt import jinja
from bundler.prompt.conversation import Conversation
from tests.prompt.chats import TOOLS, answer, assistant, calling, system, template, user

TEXT = "{% for m in messages %}[{{ m.role }}:{{ m.content }}]{% endfor %}"
PARTS = (
    "{% for m in messages %}[{{ m.role }}:"
    "{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}]{% endfor %}"
)
EITHER = (
    "{% for m in messages %}[{{ m.role }}:{% if m.content is string %}{{ m.content }}"
    "{% else %}{% for part in m.content %}({{ part.text or part.type }}){% endfor %}{% endif %}]{% endfor %}"
)
SYSTEM_TEXT = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ 'S:' + m.content }}"
    "{% else %}{{ 'U:' + m.content[0].text }}{% endif %}{% endfor %}"
)
ALTERNATING = "{% if messages[0].role != 'user' %}{{ raise_exception('no') }}{% endif %}" + TEXT
ONE, TWO = {"type": "text", "text": "one"}, {"type": "text", "text": "two"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:"}}


def render(text: str, messages: list[dict[str, Any]], tools: Any = ()) -> str:
    return jinja.render(template(text), Conversation(messages=messages, tools=tools))


@pytest.mark.parametrize(
    ("text", "messages", "prompt"),
    [
        (TEXT, [user("Hi")], "[user:Hi]"),
        (TEXT, [user([ONE, TWO])], "[user:one\ntwo]"),
        (TEXT, [user([])], "[user:]"),
        (TEXT, [system([ONE]), user("Hi"), assistant([TWO])], "[system:one][user:Hi][assistant:two]"),
        (PARTS, [user([ONE, TWO])], "[user:onetwo]"),
        (PARTS, [user("Hi"), assistant("")], "[user:Hi][assistant:]"),
        (EITHER, [user("Hi"), user([ONE, TWO]), user([IMAGE])], "[user:Hi][user:(one)(two)][user:(image_url)]"),
        (SYSTEM_TEXT, [system("Be."), user("Hi")], "S:Be.U:Hi"),
        (SYSTEM_TEXT, [system([ONE]), user([TWO])], "S:oneU:two"),
        (ALTERNATING, [user([ONE])], "[user:one]"),
        (TEXT, [{"role": "developer", "content": [ONE]}], "[developer:one]"),
        (TEXT, [{"content": [ONE]}], "[:one]"),
        ("nothing of it", [user([ONE])], "nothing of it"),
    ],
)
def test_content(text: str, messages: list[dict[str, Any]], prompt: str) -> None:
    assert render(text, messages) == prompt


@pytest.mark.parametrize(
    ("part", "kind"), [(IMAGE, "image_url"), ({"text": 1}, "no type"), ("a", "str"), ({"type": "text"}, "text")]
)
def test_what_is_no_text_is_refused_by_a_template_that_takes_text_alone(part: object, kind: str) -> None:
    with pytest.raises(BundleError) as caught:
        render(TEXT, [user([ONE, part])])
    assert caught.value.message == (
        f"failed to render the chat template: it takes text alone, and a message has a part of {kind}"
    )


CALLS = "{% for m in messages %}{% for call in m.tool_calls %}{{ SHOWN }}{% endfor %}{% endfor %}"
OBJECT = {"city": "Köln", "n": 1}


@pytest.mark.parametrize(
    ("shown", "arguments", "prompt"),
    [
        ("call.function.arguments | tojson", OBJECT, '{"city": "Köln", "n": 1}'),
        ("call.function.arguments | tojson", json.dumps(OBJECT), '{"city": "Köln", "n": 1}'),
        ("call.function.arguments", OBJECT, '{"city": "Köln", "n": 1}'),
        ("call.function.arguments", '{"city":"x"}', '{"city":"x"}'),
        ("'<' + call.function.arguments + '>'", OBJECT, '<{"city": "Köln", "n": 1}>'),
        ("call.function.arguments.items() | list | length", OBJECT, "2"),
        ("call.function.arguments | tojson", "no JSON", '"no JSON"'),
        ("call.function.arguments | tojson", "[1]", '"[1]"'),
        ("call.function.arguments | tojson", {}, "{}"),
        ("call.function.name", OBJECT, "weather"),
    ],
)
def test_arguments(shown: str, arguments: object, prompt: str) -> None:
    messages = [user("?"), calling(arguments), answer("!")]
    assert render(CALLS.replace("SHOWN", shown), messages, TOOLS) == prompt


@pytest.mark.parametrize("content", ["", None])
def test_content_beside_calls(content: object) -> None:
    called = [user("?"), calling(OBJECT, content=content), answer("!")]
    only_none = "{% for m in messages if m.tool_calls and m.content is none %}{{ m.tool_calls | tojson }}{% endfor %}"
    assert "Köln" in render(only_none, called, TOOLS)
    only_text = "{% for m in messages %}{{ m.content + '.' }}{{ (m.tool_calls or '') | tojson }}{% endfor %}"
    assert "Köln" in render(only_text, called, TOOLS)


def test_a_call_without_a_function_is_passed_on() -> None:
    messages = [user("?"), {"role": "assistant", "tool_calls": [{"name": "x", "arguments": {"a": 1}}]}]
    assert render("{{ messages[1].tool_calls[0].name }}", messages) == "x"


def test_real_templates_show_calls_of_either_form_alike(llama_cpp_templates: list[Path]) -> None:
    shown = 0
    for path in llama_cpp_templates:
        text = path.read_text(encoding="utf-8")
        prompts = set()
        for given in ({"city": "Bonn"}, '{"city": "Bonn"}'):
            try:
                prompts.add(render(text, [user("?"), calling(given), answer("!")], TOOLS[1:]))
            except BundleError:  # the template does not support this
                prompts.add("")
        assert len(prompts) == 1, path.name
        shown += "Bonn" in prompts.pop()
    assert shown > 55
