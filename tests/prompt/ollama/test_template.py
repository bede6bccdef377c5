"""Go templates run as Ollama runs them.

`expected.json` has what Ollama's own code (commit fb307609) made of `templates/` and `talks`, after a tool's function,
a tool call and a property were given the printing as JSON that Ollama means them to have.
"""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from bundler.errors import BundleError
from bundler.prompt import foreign
from bundler.prompt.conversation import Completion, Conversation
from bundler.prompt.ollama.template import read
from tests.prompt.ollama.talks import BARE, TALKS, TIME, WEATHER

HERE = Path(__file__).parent
TEMPLATES = {path.stem: path.read_bytes().decode() for path in sorted((HERE / "templates").glob("*.gotmpl"))}
EXPECTED: dict[str, dict[str, str]] = json.loads((HERE / "expected.json").read_text(encoding="utf-8"))
HELLO: dict[str, Any] = {"role": "user", "content": "Hello"}
PROPERTIES = "{{ range .Messages }}{{ end }}{{ range .Tools }}{{ range $n, $p := .Function.Parameters.Properties }}"


def conversation(messages: list[dict[str, Any]], **more: Any) -> Conversation:
    return Conversation(messages=messages, **more)


def chat(text: str, *messages: dict[str, Any], **more: Any) -> str:
    return read(text).chat(conversation(list(messages), **more))


def said(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def failure(text: str, *messages: dict[str, Any], **more: Any) -> str:
    with pytest.raises(BundleError) as caught:
        chat(text, *(messages or (HELLO,)), **more)
    return caught.value.message


def test_there_is_an_expectation_for_every_template_and_talk() -> None:
    assert {name: list(talks) for name, talks in EXPECTED.items()} == {name: list(TALKS) for name in TEMPLATES}


@pytest.mark.parametrize("marked", [False, True])
@pytest.mark.parametrize("name", TEMPLATES)
def test_as_ollama(name: str, marked: bool) -> None:
    for talk, given in TALKS.items():
        prompt = read(TEMPLATES[name]).chat(Conversation(**given), foreign=marked)
        assert prompt == EXPECTED[name][talk], talk
        assert marked or not foreign.ranges(prompt), talk
