"""Real chat templates give what transformers' `apply_chat_template` gives, to the character."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import cycle, product
from pathlib import Path
from typing import Any, Final

import pytest

from bundler.errors import BundleError
from bundler.prompt import jinja
from bundler.prompt.conversation import Conversation
from tests.prompt.chats import CHATS, ODD_TOOLS, PARTS, TOOLS, Messages, assistant, template, user

DIFFERENT: Final = {
    ("deepseek-ai-DeepSeek-R1-Distill-Llama-8B", "call"): "shows calls only where the content is None, as JSON text",
}
"""What is rendered in another way, by template and chat, and why. Beside it parts: see the test."""
LENIENT: Final = {
    r"'NoneType' object is not iterable|generator is not JSON": "written for tools alone: gets an empty list",
    r"'functions' is undefined": "written for another program: gets the empty text that llama.cpp gives it",
    r"attribute 'append' of 'list'": "changes a list of its own",
    r"no attribute 'content'|Undefined is not JSON": "counts on a content: gets an empty one",
    r'concatenate str \(not "list"\)|\'list object\' has no|Invalid user message': "takes text: gets the parts' lines",
    r'concatenate str \(not "dict"\)': "takes arguments as JSON text: gets it",
}
"""What transformers fails at (how its error reads) and we do not, and why."""
VARIANTS: Final[list[dict[str, Any]]] = [
    {},
    {},
    {"custom": 1},
    {"enable_thinking": False, "thinking": False},
    {"add_generation_prompt": False},
    {"enable_thinking": True, "thinking": True, "documents": [{"title": "T", "text": "Doc <x>"}]},
]


class Reference:
    """transformers, with tokens named as `template` of the chats has them."""

    def __init__(self) -> None:
        transformers = pytest.importorskip("transformers")
        from tokenizers import Tokenizer, models

        vocabulary = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
        self._tokenizer = transformers.PreTrainedTokenizerFast(
            tokenizer_object=vocabulary, bos_token="<s>", eos_token="</s>"
        )

    def render(self, text: str, messages: Messages, **variables: Any) -> str:
        given = {"add_generation_prompt": True, **variables}
        prompt: str = self._tokenizer.apply_chat_template(messages, chat_template=text, tokenize=False, **given)
        return prompt


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference()


def render(text: str, messages: Messages, **variables: Any) -> str:
    named = {name: variables.pop(name) for name in ("tools", "documents") if variables.get(name)}
    prompt = variables.pop("add_generation_prompt", True)
    variables.pop("tools", None)
    return jinja.render(
        template(text), Conversation(messages=messages, arguments=variables, add_generation_prompt=prompt, **named)
    )


def rendered(reference: Reference, paths: list[Path]) -> Iterator[tuple[str, str, str | Exception, str | Exception]]:
    """Name of the template, name of the chat, what transformers gives, what we give."""
    variants, all_tools = cycle(VARIANTS), cycle((TOOLS, None, ODD_TOOLS, None))
    for path, (name, messages), _ in product(paths, CHATS.items(), range(2)):
        text, given = path.read_text(encoding="utf-8"), {"tools": next(all_tools), **next(variants)}
        wanted: str | Exception
        made: str | Exception
        try:
            wanted = reference.render(text, messages, **given)
        except Exception as cause:
            wanted = cause
        try:
            made = render(text, messages, **given)
        except BundleError as cause:
            made = cause
        yield path.stem, name, wanted, made


def test_real_templates_give_what_transformers_give(reference: Reference, llama_cpp_templates: list[Path]) -> None:
    same: Counter[str] = Counter()
    reasons = set()
    for name, chat, wanted, made in rendered(reference, llama_cpp_templates):
        if isinstance(wanted, str):
            if (name, chat) in DIFFERENT:
                reasons.add(DIFFERENT[name, chat])
            elif chat != "parts":
                assert made == wanted, (name, chat)
                same[name] += 1
        elif isinstance(made, str):
            known = [why for error, why in LENIENT.items() if re.search(error, str(wanted))]
            assert known, (name, chat, str(wanted))
            reasons.update(known)
    assert sum(same.values()) > 30 * len(llama_cpp_templates)
    assert reasons == {*DIFFERENT.values(), *LENIENT.values()}


def test_every_real_template_shows_plain_chats(llama_cpp_templates: list[Path]) -> None:
    assert len(llama_cpp_templates) == 70
    simple = {"name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {}}}
    for path, tools in product(llama_cpp_templates, (None, [{"type": "function", "function": simple}])):
        prompt = render(path.read_text(encoding="utf-8"), CHATS["plain"], tools=tools)
        assert "How are you?" in prompt, path.name


def test_parts_become_lines_where_a_template_takes_text_alone(
    reference: Reference, llama_cpp_templates: list[Path]
) -> None:
    lines = [{**PARTS[0], "content": " one\ntwo "}]
    joined = 0
    for path in llama_cpp_templates:
        text = path.read_text(encoding="utf-8")
        wanted = [_given(reference, text, lines), _given(reference, text, PARTS)]
        made = render(text, PARTS)
        if wanted[0] is not None:
            assert made in wanted, path.name
            joined += made == wanted[0] != wanted[1]
    assert joined > 30


def _given(reference: Reference, text: str, messages: Messages) -> str | None:
    try:
        return reference.render(text, messages)
    except Exception:  # the template does not support this
        return None


CONTINUED: Final[dict[str, Messages]] = {
    "word": [user("Hi"), assistant("Hel")],
    "blanks behind": [user("Hi"), assistant(" Hello, \n ")],
    "empty": [user("Hi"), assistant("")],
    "after reasoning": [user("Hi"), assistant("Hel", reasoning_content="be nice")],
    "looks like the end": [user("CONTINUE_FINAL_MESSAGE_TAG "), assistant("Hel CONTINUE_FINAL_MESSAGE_TAG x")],
    "part": [user("Hi"), assistant([{"type": "text", "text": "a"}, {"type": "text", "text": "Hel "}])],
}


def test_a_message_is_continued_as_in_transformers(reference: Reference, llama_cpp_templates: list[Path]) -> None:
    compared = 0
    for path, (name, messages) in product(llama_cpp_templates, CONTINUED.items()):
        text = path.read_text(encoding="utf-8")
        try:
            wanted = reference.render(text, messages, add_generation_prompt=False, continue_final_message=True)
        except Exception:  # the template does not support this
            continue
        made = jinja.render(template(text), Conversation(messages=messages, continue_final=True))
        if name == "part" and made != wanted:
            assert made.endswith(("a\nHel ", "a\nHel")), path.name
            continue
        assert made == wanted, (path.name, name)
        compared += 1
    assert compared > 4 * len(llama_cpp_templates)


def test_reasoning_is_continued_as_in_transformers(reference: Reference, llama_cpp_templates: list[Path]) -> None:
    compared = 0
    messages = [user("Hi"), {"role": "assistant", "reasoning_content": "It says hi, so "}]
    for path in llama_cpp_templates:
        text = path.read_text(encoding="utf-8")
        try:
            wanted = reference.render(
                text, messages, add_generation_prompt=False, continue_final_message="reasoning_content"
            )
        except Exception:  # the template does not support this
            continue
        assert jinja.render(template(text), Conversation(messages=messages, continue_final=True)) == wanted, path.name
        compared += 1
    assert compared > 10
