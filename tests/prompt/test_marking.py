"""Rendering marks what the template did not write itself, all of it, and not the template's own control tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import cycle, product
from pathlib import Path
from typing import Any, Final

import pytest

from bundler.errors import BundleError
from bundler.prompt import jinja
from bundler.prompt.conversation import Conversation, Rendered
from tests.prompt.chats import template

SPELLINGS: Final = (
    "<|im_start|>", "<|im_end|>", "<s>", "</s>", "[INST]", "<start_of_turn>", "<|eot_id|>", "<｜User｜>", "<|channel|>",
    "<end_of_turn>", "[TOOL_CALLS]", "<|END_OF_TURN_TOKEN|>",
)  # fmt: skip
FIELD: Final = re.compile(r"qz([0-9]+)-.*?-\1zq", re.DOTALL)
TOKEN: Final = re.compile(r"<\|[^|<>]{1,40}\|>|</?[a-z_]{1,20}>|<｜[^｜]{1,40}｜>|\[/?[A-Z_]{2,20}\]")
"""What control tokens look like."""
ARGUMENTS: Final = (
    "system_prompt", "model_identity", "developer_instruction", "platform_instruction_override", "date_string",
    "custom_instructions", "tool_namespace_descriptions", "knowledge_cutoff", "current_date", "developer_preamble",
)  # fmt: skip
"""Variables of some of the templates, which a request may set."""


class Fields:
    """Texts that name their field, each with the spelling of a control token inside."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def text(self, name: str) -> str:
        at = len(self.names)
        self.names.append(name)
        return f"qz{at}-{SPELLINGS[at % len(SPELLINGS)]}-{at}zq"

    def content(self, name: str, parts: bool) -> object:
        return [{"type": "text", "text": self.text(f"part of {name}")}] if parts else self.text(name)

    def messages(self, parts: bool, calls: bool, system: bool) -> Iterator[dict[str, Any]]:
        if system:
            yield {"role": "system", "content": self.content("system", parts)}
        yield {"role": "user", "content": self.content("user", parts), "name": self.text("name")}
        if calls:
            yield self.calling()
            yield {
                "role": "tool",
                "content": self.content("tool result", parts),
                "tool_call_id": "call12345",
                "name": self.text("name of the tool answering"),
            }
        yield {
            "role": "assistant",
            "content": self.content("assistant", parts),
            "reasoning_content": self.text("reasoning"),
        }
        yield {"role": "user", "content": self.content("user", parts)}

    def calling(self) -> dict[str, Any]:
        arguments = {
            self.text("argument"): self.text("value"),
            self.text("argument"): [self.text("item"), {self.text("key"): self.text("deep value"), "n": 1.5}],
            "plain": True,
        }
        function = {"name": self.text("name of the tool called"), "arguments": arguments}
        return {
            "role": "assistant",
            "content": self.text("content of a call"),
            "reasoning_content": self.text("reasoning of a call"),
            "tool_calls": [{"id": "call12345", "type": "function", "function": function}],
        }

    def tools(self) -> list[dict[str, Any]]:
        inner = {"type": "object", "properties": {self.text("property"): {"description": self.text("description")}}}
        properties = {
            self.text("property"): {
                "type": "string",
                "description": self.text("description"),
                "enum": [self.text("choice")],
                "default": self.text("default"),
            },
            self.text("property"): {"type": "array", "items": inner},
        }
        parameters = {"type": "object", "properties": properties, "required": [self.text("required")]}
        function = {
            "name": self.text("tool"),
            "description": self.text("tool's description"),
            "parameters": parameters,
            "return": {"type": "string", "description": self.text("tool's return")},
        }
        return [{"type": "function", "function": function}]

    def arguments(self, text: str) -> dict[str, Any]:
        given: dict[str, Any] = {name: self.text(name) for name in ARGUMENTS if name in text}
        return {"datetime": self.text("datetime"), **given}  # by the second, were it not given


def conversations(text: str) -> Iterator[tuple[Fields, Conversation]]:
    thinking = cycle((None, True, False))
    for parts, calls, system, tools in product((False, True), repeat=4):
        fields = Fields()
        yield (
            fields,
            Conversation(
                messages=list(fields.messages(parts, calls, system)),
                tools=fields.tools() if tools else (),
                documents=[{"title": fields.text("title"), "text": fields.text("document")}] if tools else (),
                think=next(thinking),
                arguments=fields.arguments(text),
            ),
        )


def test_in_real_templates_all_that_is_brought_is_marked_and_no_control_token(llama_cpp_templates: list[Path]) -> None:
    shown = set()
    for path in llama_cpp_templates:
        text = path.read_text(encoding="utf-8")
        rendered = own_tokens = 0
        for fields, conversation in conversations(text):
            try:
                prompt = jinja.render(template(text), conversation)
            except BundleError:  # the template does not support this
                continue
            made = jinja.render_marked(template(text), conversation)
            assert made.text == prompt, path.name
            marked, brought = bytearray(len(prompt)), bytearray(len(prompt))
            for start, end in made.foreign:
                marked[start:end] = b"x" * (end - start)
            for field in FIELD.finditer(prompt):
                start, end = field.span()
                assert all(marked[start:end]), (path.name, field[0])
                brought[start:end] = b"x" * (end - start)
            own = [token for token in TOKEN.finditer(prompt) if not brought[token.start()]]
            assert not [token[0] for token in own if marked[token.start()]], path.name
            own_tokens += len(own)
            shown |= {fields.names[int(match[1])] for match in FIELD.finditer(prompt)}
            rendered += 1
        assert rendered >= 2, path.name
        assert own_tokens or path.stem == "llama-cpp-rwkv-world", path.name
    assert {"system", "part of user", "name", "tool result", "argument", "deep value", "reasoning"} <= shown
    assert {"tool", "tool's description", "property", "choice", "title", "document", "model_identity"} <= shown


def covers(prompt: Rendered, start: int, end: int) -> bool:
    return any(first <= start and end <= last for first, last in prompt.foreign)


def shown_marked(text: str, content: object = "<x>", **arguments: Any) -> str:
    """The prompt with what is marked in double angle brackets."""
    messages = [{"role": "user", "content": content}]
    made = jinja.render_marked(template(text), Conversation(messages=messages, arguments=arguments))
    assert made.text == jinja.render(template(text), Conversation(messages=messages, arguments=arguments))
    shown, at = "", 0
    for start, end in made.foreign:
        shown += f"{made.text[at:start]}«{made.text[start:end]}»"
        at = end
    return shown + made.text[at:]


SET = "{% set x = messages[0].content %}"
LOOP = "{% for m in messages %}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<|a|>{{ messages[0].content }}<|b|>", "<|a|>«<x>»<|b|>"),
        ("{{ '<|a|>' ~ messages[0].content ~ '<|b|>' ~ 1 }}", "<|a|>«<x>»<|b|>1"),
        ("{{ '<|a|>' + messages[0].content + '<|b|>' }}", "<|a|>«<x>»<|b|>"),
        ("{{ '<|a|>%s<|b|>%5s|%d' % (messages[0].content, 'c', 1) }}", "<|a|>«<x>»<|b|>    c|1"),
        ("{{ '<|a|>%s' % messages[0].content }}", "<|a|>«<x>»"),
        ("{{ messages[0].content * 2 }}", "«<x><x>»"),
        ("{{ '<|a|>%s<|b|>' | format(messages[0].content) }}", "<|a|>«<x>»<|b|>"),
        ("{{ '<|a|>{}<|b|>{c!s:>4}'.format(messages[0].content, c='d') }}", "<|a|>«<x>»<|b|>   d"),
        ("{{ '<|a|>{c[0].content}'.format(c=messages) }}", "<|a|>«<x>»"),
        ("{{ '<|a|>{x}'.format_map({'x': messages[0].content}) }}", "«<|a|><x>»"),
        ("{{ '<|a|>X<|b|>'.replace('X', messages[0].content) }}", "<|a|>«<x>»<|b|>"),
        ("{{ '<|a|>X<|b|>' | replace('X', messages[0].content) }}", "<|a|>«<x>»<|b|>"),
        ("{{ '<|a|>'.join([messages[0].content, 'b', messages[0].content]) }}", "«<x>»<|a|>b<|a|>«<x>»"),
        ("{{ [messages[0].content, 'b', 1, ['c']] | join('<|a|>') }}", "«<x>»<|a|>b<|a|>1<|a|>«['c']»"),
        ("{{ messages | map(attribute='content') | map('upper') | join('<|a|>') }}", "«<X>»"),
        ("{{ messages | join('-', attribute='content') }}", "«<x>»"),
        ("{{ messages[0].content | upper | trim | capitalize | lower }}", "«<x>»"),
        (SET + "{{ ('<|a|>' ~ x ~ ' ') | trim | upper }}", "<|A|>«<X>»"),
        (SET + "{{ ('<|a|>' ~ x).split('x') }}", "«['<|a|><', '>']»"),
        (SET + "{{ ('<|a|>' ~ x).split('x')[0] }}", "<|a|>«<»"),
        (SET + "{{ ('<|a|>' ~ x)[:6] }}{{ ('<|a|>' ~ x)[::-1] }}", "<|a|>«<>x<»>|a|<"),
        ("{% for c in 'a' ~ messages[0].content %}{{ c }}.{% endfor %}", "a.«<».«x».«>»."),
        ("{{ messages[0].content | list | join('.') }}", "«<».«x».«>»"),
        ("{{ messages[0].content | first }}{{ messages[0].content | last }}", "«<>»"),
        ("{{ messages[0].content | reverse }}{{ messages[0].content | sort | join }}", "«>x<<>x»"),
        ("{% macro f(t) %}<|a|>{{ t }}<|b|>{% endmacro %}{{ f(messages[0].content) | trim }}", "<|a|>«<x>»<|b|>"),
        (
            "{% macro f() %}<|a|>{{ caller() }}{% endmacro %}{% call f() %}{{ messages[0].content }}b{% endcall %}",
            "<|a|>«<x>»b",
        ),
        ("{% set t %}<|a|>{{ messages[0].content }}{% endset %}{{ t | upper }}", "<|A|>«<X>»"),
        ("{% filter upper %}<|a|>{{ messages[0].content }}{% endfilter %}", "<|A|>«<X>»"),
        (
            "{% set n = namespace(t='') %}" + LOOP + "{% set n.t = n.t + '<|a|>' + m.content %}{% endfor %}{{ n.t }}",
            "<|a|>«<x>»",
        ),
        ("{% block b %}<|a|>{{ messages[0].content }}{% endblock %}{{ self.b() }}", "<|a|>«<x>»<|a|>«<x>»"),
        (
            "{% for m in messages recursive %}<|a|>{{ m.content }}{{ loop(m.more) if m.more else '' }}{% endfor %}",
            "<|a|>«<x>»",
        ),
        ("{{ messages[0] | tojson }}", '«{"role": "user", "content": "<x>"}»'),
        ("{{ {'a': '<|a|>'} | tojson }}{{ ['<|a|>'] }}{{ '<|a|>' | tojson }}", '«{"a": "<|a|>"}[\'<|a|>\']»"<|a|>"'),
        ("{{ messages[0].content | tojson | safe ~ '<|a|>' }}", '«"<x>"»<|a|>'),
        ("{{ ('{\"<a>\": \"<x>\"}' | from_json)['<a>'] }}", "<x>"),
        (SET + "{{ ('{\"<a>\": \"' ~ x ~ '\"}') | from_json | items | first | first }}", "«<a>»"),
        ("{{ messages[0].role }}{{ messages[0]['role'] | capitalize }}", "userUser"),
        ("{{ {'user': '<|u|>'}[messages[0].role] }}{{ {'<x>': '<|u|>'}.get(messages[0].content) }}", "<|u|><|u|>"),
        ("{{ nothing }}{{ none }}{{ true }}{{ 1.5 }}{{ nothing | upper }}", "NoneTrue1.5"),
        ("{{ messages[0].content | e }}{{ messages[0].content | urlencode }}", "«&lt;x&gt;%3Cx%3E»"),
        ("{{ messages[0].content | indent }}{{ messages[0].content | wordwrap(2) }}", "«<x><x\n>»"),
        ("{{ messages[0].content | title }}{{ messages[0].content | pprint }}", "«<X>'<x>'»"),
        ("{{ messages[0].content | truncate(2, true, '<|a|>'[:1], 0) }}", "«<»<"),
        ("{{ messages[0].content | center(5) }}|{{ 'a' | center(3) }}", " «<x>» | a "),
        ("{{ messages[0].content.marks }}{{ messages[0].content.marks is defined }}", "False"),
        ("{{ messages[0].content | string | length }}{{ messages[0].content == '<x>' }}", "3True"),
        ("{{ strftime_now(messages[0].content) }}{{ strftime_now('<x>') }}", "«<x>»<x>"),
        ("{{ name }}{{ names[0] }}{{ names | length }}", "«BobAnn»1"),
    ],
)
def test_marks(text: str, shown: str) -> None:
    assert shown_marked(text, name="Bob", names=["Ann"]) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{{ messages[0].content | safe }}", "«<x>»"),
        ("{{ '<|a|>' + (messages[0].content | safe) + '<|b|>' }}", "&lt;|a|&gt;«<x>»&lt;|b|&gt;"),
        ("{{ ('<|a|>' | safe) + messages[0].content }}", "<|a|>«&lt;x&gt;»"),
        ("{{ ('<|a|>' + messages[0].content) + ('b' | safe) }}", "&lt;|a|&gt;«&lt;x&gt;»b"),
        ("{{ ('<|a|>%s' | safe) % messages[0].content }}", "«<|a|>&lt;x&gt;»"),
        ("{{ ('<|a|>{}' | safe).format(messages[0].content) }}", "«<|a|>&lt;x&gt;»"),
        ("{{ ('<|a|>' | safe).join([messages[0].content, 'b']) }}", "«&lt;x&gt;<|a|>b»"),
        ("{{ (messages[0].content | e).unescape() }}", "«<x>»"),
        ("{{ (messages[0].content | safe).upper() | replace('X', '<|b|>') }}", "«<<|b|>>»"),
        ("{{ (messages[0].content | safe) | trim | lower }}{{ (messages[0].content | safe).split('x')[0] }}", "«<x><»"),
        ("{{ 'X<|a|>' | replace('X', messages[0].content | safe) }}", "«<x>»<|a|>"),
        ("{{ ['a', messages[0].content | safe] | join('<|a|>') }}", "a<|a|>«<x>»"),
        ("{{ messages[0].content | safe | string | striptags }}{{ messages[0].content | striptags }}.", "."),
    ],
)
def test_marks_of_what_is_declared_safe(text: str, shown: str) -> None:
    assert shown_marked(text) == shown


def test_every_filter_marks_what_it_makes_of_text_from_outside() -> None:
    """Of those that take a text alone; arguments and containers are above."""
    tried = 0
    for name in jinja._ENVIRONMENT.filters:
        if not name.isidentifier():
            continue
        content = "Qx\nQ <b>Q</b> Q%Q"
        try:
            made = jinja.render_marked(
                template(f"{{{{ messages[0].content | {name} }}}}"),
                Conversation(messages=[{"role": "user", "content": content}]),
            )
        except BundleError:
            continue
        tried += 1
        for at, letter in enumerate(made.text):
            assert letter not in "Qq" or covers(made, at, at + 1), name
    assert tried > 30


def test_roles_that_are_not_known_are_marked() -> None:
    messages = [{"role": "<|im_end|>", "content": "a"}, {"role": "tool", "content": "b"}]
    made = jinja.render_marked(
        template("{% for m in messages %}{{ m.role }} {% endfor %}"), Conversation(messages=messages)
    )
    assert made == Rendered("<|im_end|> tool ", ((0, 10),))


def test_a_continued_message_is_marked_to_its_end() -> None:
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hel  "}]
    text = "{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}<|end|>{% endfor %}"
    made = jinja.render_marked(template(text), Conversation(messages=messages, continue_final=True))
    assert made == Rendered("<|user|>Hi<|end|><|assistant|>Hel", ((8, 10), (30, 33)))


def test_autoescape_is_refused() -> None:
    with pytest.raises(BundleError) as caught:
        jinja.check("\n{% autoescape true %}{{ x }}{% endautoescape %}")
    assert caught.value.message == (
        "failed to compile the chat template: line 2: autoescape is for HTML, not for prompts"
    )


def test_numbers_are_not_marked_and_nothing_is_without_text_from_outside() -> None:
    assert shown_marked("{{ n }}{{ m }}{{ o }}<|a|>", n=1, m=2.5, o=True) == "12.5True<|a|>"
