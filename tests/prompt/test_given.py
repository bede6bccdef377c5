"""What a Jinja template is given: messages, tools, what continues a message."""

from __future__ import annotations

from typing import Any

import pytest

from bundler.errors import BundleError
from bundler.prompt import jinja
from bundler.prompt.conversation import Conversation
from tests.prompt.chats import PLAIN, TOOLS, assistant, template, user

SHOWN = (
    "{% for m in messages %}[{{ m.role }}:{{ m.content | trim }}]{% endfor %}{% if add_generation_prompt %}>{% endif %}"
)

PARTS = "{% for m in messages %}{% for part in m.content %}{{ part.text }}{% endfor %}{% endfor %}"


def render(text: str, messages: list[dict[str, Any]], **given: Any) -> str:
    return jinja.render(template(text), Conversation(messages=messages, **given))


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("{{ tools is none }}{{ documents is none }}{{ add_generation_prompt }}", "TrueTrueTrue"),
        ("{{ messages[1].name is defined }}{{ messages[1].content is defined }}", "FalseFalse"),
        ("{{ messages[0].reasoning_content }}{{ messages[0].thinking }}{{ messages[0].reasoning }}", "hmhmhm"),
        ("{{ messages[1].reasoning_content is defined }}", "False"),
    ],
)
def test_a_conversation_as_variables(text: str, output: str) -> None:
    messages = [assistant("a", reasoning="hm"), {"role": "user", "content": None, "name": None}]
    assert render(text, [*messages, user("b")]) == output


def test_tools_documents_and_arguments_reach_the_template() -> None:
    text = "{{ tools[0].function.name }} {{ documents[0].title }} {{ custom }} {{ bos_token }}"
    given = {"tools": TOOLS, "documents": [{"title": "T"}], "arguments": {"custom": 1, "bos_token": "<b>"}}
    assert render(text, PLAIN, **given) == "weather T 1 <b>"


def test_arguments_do_not_stand_in_for_the_conversation() -> None:
    arguments = {"messages": [], "tools": [1], "documents": [1], "add_generation_prompt": False}
    assert render("{{ messages | length }}{{ tools }}{{ documents }}", PLAIN, arguments=arguments) == "3NoneNone"


@pytest.mark.parametrize(
    ("last", "prompt"),
    [
        (assistant("Hel"), "[user:Hi][assistant:Hel"),
        (assistant("  Hel  "), "[user:Hi][assistant:Hel"),
        (assistant(""), "[user:Hi][assistant:"),
        (user("Hel"), "[user:Hi][user:Hel"),
    ],
)
def test_the_prompt_ends_with_the_message_to_be_continued(last: dict[str, Any], prompt: str) -> None:
    assert render(SHOWN, [user("Hi"), last], continue_final=True) == prompt


@pytest.mark.parametrize(
    ("text", "last", "message"),
    [
        (SHOWN, {"role": "assistant"}, "it has no text"),
        (PARTS, assistant([{"type": "image"}]), "it has no text"),
        ("{{ messages[0].content }}", assistant("Hel"), "the chat template leaves it out"),
        ("{{ messages[-1].content[:-9] }}", assistant("Hel"), "the chat template leaves it out"),
    ],
)
def test_what_cannot_be_continued(text: str, last: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError) as caught:
        render(text, [user("Hi"), last], continue_final=True)
    assert caught.value.message == f"failed to continue the last message: {message}"


def test_nothing_cannot_be_continued() -> None:
    with pytest.raises(BundleError, match="failed to continue the last message: it has no text"):
        render(SHOWN, [], continue_final=True)
