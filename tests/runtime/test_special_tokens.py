"""No text that anybody brings becomes a control token: every special of real vocabularies, through every field."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler.formats.manifest import Manifest, Template
from bundler.prompt import jinja, render
from bundler.prompt.conversation import Conversation, Rendered
from bundler.prompt.specials import Specials
from bundler.runtime.prompting import Prompter
from bundler.runtime.request import Request
from bundler.runtime.tokenizing import tokenize
from tests import sources
from tests.runtime.vocabularies import Tokenizer, tokenizer, vectors

GO = (
    "{{ if .System }}<|im_start|>system\n{{ .System }}{{ range .Tools }}\n{{ . }}{{ end }}<|im_end|>\n{{ end }}"
    '{{ range .Messages }}{{ if ne .Role "system" }}<|im_start|>{{ .Role }}\n{{ .Content }}'
    "{{ range .ToolCalls }}\n{{ .Function.Name }} {{ .Function.Arguments }}{{ end }}<|im_end|>\n{{ end }}{{ end }}"
    "<|im_start|>assistant\n"
)
VOCABULARIES = [
    ("qwen2", "Qwen-Qwen2.5-7B-Instruct"),
    ("qwen2", "NousResearch-Hermes-3-Llama-3.1-8B-tool_use"),
    ("qwen2", GO),
    ("qwen35", "Qwen3.5-4B"),
    ("llama-bpe", "meta-llama-Llama-3.1-8B-Instruct"),
    ("gemma-4", "google-gemma-4-31B-it"),
    ("command-r", "CohereForAI-c4ai-command-r-plus-tool_use"),
    ("phi-3", "microsoft-Phi-3.5-mini-instruct"),
    ("deepseek-llm", "deepseek-ai-DeepSeek-V3.1"),
    ("llama-spm", "mistralai-Mistral-Nemo-Instruct-2407"),
]
HARMLESS = "heronbird"
"""As long as Mistral wants the id of a tool call."""


def conversation(field: str, text: str) -> Conversation:
    """A chat with tools and documents in which one field says `text`."""

    def said(name: str) -> str:
        return text if name == field else HARMLESS

    schema = {
        "type": "object",
        "properties": {said("parameter"): {"type": "string", "description": said("parameter description")}},
        "required": [said("parameter")],
    }
    function = {"name": said("tool name"), "description": said("tool description"), "parameters": schema}
    call = {"name": said("called name"), "arguments": {said("argument name"): said("argument")}}
    return Conversation(
        messages=[
            {"role": "system", "content": said("system")},
            {"role": "user", "content": said("user"), "name": said("name")},
            {"role": "assistant", "content": said("assistant"), "reasoning_content": said("thoughts")},
            {"role": "user", "content": said("last user")},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": said("call id"), "type": "function", "function": call}],
            },
            {
                "role": "tool",
                "content": said("tool result"),
                "tool_call_id": said("call id"),
                "name": said("called name"),
            },
        ],
        tools=[{"type": "function", "function": function}],
        documents=[{"title": said("document title"), "text": said("document")}],
        arguments={"enable_thinking": True},
    )


FIELDS = (
    "system", "user", "name", "assistant", "thoughts", "last user", "tool result", "call id", "called name",
    "argument name", "argument", "tool name", "tool description", "parameter", "parameter description",
    "document title", "document",
)  # fmt: skip


def template_of(known: Tokenizer, name: str) -> Template:
    if name is GO:
        return msgspec.structs.replace(known.template, kind="go", text=GO)
    text = (sources.models() / "templates" / f"{name}.jinja").read_text(encoding="utf-8")
    return msgspec.structs.replace(known.template, text=text)


def unless_refused(template: Template, said: Conversation, specials: Specials) -> Rendered | None:
    """The prompt; None where the template itself says that it does not want such text."""
    try:
        return render.render(template, said, specials)
    except jinja.TemplateError as refusal:
        if not refusal.said:
            raise
        return None


def plainly(template: Template, said: Conversation) -> str:
    """The prompt without any origins."""
    return render.render(template, said, Specials([])).text


def control(known: Tokenizer) -> Callable[[Rendered], list[int]]:
    """The control tokens of a prompt, in order."""
    ids = set()
    for spelling in known.specials.spellings:
        ids.update(known.vocabulary.tokenize(spelling, add_special=False, parse_special=True))
    return lambda prompt: [token for token in tokenize(prompt, known.specials, known.vocabulary) if token in ids]


@pytest.mark.parametrize(("vocabulary", "name"), VOCABULARIES)
def test_no_field_brings_a_control_token(vocabulary: str, name: str, libs: Path) -> None:
    known = tokenizer(vocabulary, libs)
    template, controls = template_of(known, name), control(known)
    expected = controls(render.render(template, conversation("", ""), known.specials))
    assert expected
    spellings = sorted(known.specials.spellings)
    shown = set()
    for field in FIELDS:
        for text in (" and ".join(spellings), "".join(spellings), *spellings[:12]):
            said = conversation(field, text)
            prompt = unless_refused(template, said, known.specials)
            if prompt is None:
                continue
            assert controls(prompt) == expected, (field, text)
            assert prompt.text == plainly(template, said)
            if controls(Rendered(prompt.text)) != expected:
                shown.add(field)
    assert shown >= {"user", "assistant", "last user"}, "the template shows what is tested"


@pytest.mark.parametrize("name", ["qwen2", "llama-bpe", "gemma-4", "command-r", "phi-3", "llama-spm", "falcon"])
def test_every_special_alone_is_plain_text(name: str, libs: Path) -> None:
    known = tokenizer(name, libs)
    for spelling in known.specials.spellings:
        [special] = known.vocabulary.tokenize(spelling, add_special=False, parse_special=True)
        ids = tokenize(Rendered(spelling, ((0, len(spelling)),)), known.specials, known.vocabulary)
        assert special not in ids
        assert "".join(pieces(known, ids)).strip() == spelling


@pytest.mark.parametrize("name", ["qwen2", "llama-bpe", "gemma-4", "command-r", "phi-3", "llama-spm", "falcon"])
def test_text_without_specials_has_the_ids_of_transformers(name: str, libs: Path) -> None:
    known = tokenizer(name, libs)
    for text, expected in vectors(name):
        assert tokenize(Rendered(text), known.specials, known.vocabulary) == expected
        assert tokenize(Rendered(text, ((0, len(text)),)), known.specials, known.vocabulary) == expected


FRAMES = [
    ("qwen2", "<|im_start|>user\n", "<|im_end|>\n"),
    ("llama-spm", "<s>[INST] ", " [/INST]</s>"),
    ("phi-3", "<|user|>\n", "<|end|>\n"),
    ("gemma-4", "<bos><|turn>user\n", "<turn|>\n"),
]


@pytest.mark.parametrize(("name", "before", "after"), FRAMES)
def test_foreign_text_without_specials_has_the_ids_of_one_call(name: str, before: str, after: str, libs: Path) -> None:
    known = tokenizer(name, libs)
    for text, _ in vectors(name):
        prompt = before + text + after + before
        foreign = ((len(before), len(before) + len(text)),)
        expected = known.vocabulary.tokenize(prompt, add_special=False, parse_special=True)
        assert tokenize(Rendered(prompt, foreign), known.specials, known.vocabulary) == expected


@pytest.mark.parametrize(("name", "before", "after"), FRAMES)
def test_a_special_changes_no_other_ids(name: str, before: str, after: str, libs: Path) -> None:
    """What stands around the turn with a special in it is tokenized as ever."""
    known = tokenizer(name, libs)
    special = next(iter(sorted(known.specials.spellings)))
    text = f"so {special} ends"
    start = len(before + "one" + after + before)
    prompt = Rendered(
        before + "one" + after + before + text + after + before + "two" + after, ((start, start + len(text)),)
    )

    def one_call(part: str) -> list[int]:
        return known.vocabulary.tokenize(part, add_special=False, parse_special=True)

    ids = tokenize(prompt, known.specials, known.vocabulary)
    head, tail = one_call(before + "one" + after + before), one_call(after + before + "two" + after)
    assert ids[: len(head) - 1] == head[:-1]
    assert ids[1 - len(tail) :] == tail[1:]


def test_tokens_that_llama_cpp_always_reads_are_broken_up(libs: Path) -> None:
    """Command R's marks of turns are user-defined tokens, which llama.cpp finds in plain text too."""
    known = tokenizer("command-r", libs)
    mark = "<|START_OF_TURN_TOKEN|>"
    assert len(known.vocabulary.tokenize(mark, add_special=False, parse_special=False)) == 1
    ids = tokenize(Rendered(f"{mark}{mark}", ((len(mark), 2 * len(mark)),)), known.specials, known.vocabulary)
    assert pieces(known, ids)[:2] == [mark, "<"]
    assert "".join(pieces(known, ids)) == 2 * mark


def test_the_prompt_of_a_completion_keeps_its_specials(libs: Path) -> None:
    known = tokenizer("qwen2", libs)
    prompter = Prompter(
        Manifest(name="x", bundler="0", runtime={}, models=[], specials=sorted(known.specials.spellings))
    )
    ids = prompter.tokens(Request(prompt="<|im_start|>user"), known.vocabulary, 100)
    assert pieces(known, ids) == ["<|im_start|>", "user"]


@pytest.mark.parametrize(
    ("text", "foreign", "expected"),
    [
        ("<s>a<s>", ((3, 7),), ["<s>", "a", "<", "s", ">"]),
        ("<s>a<s>", ((5, 6),), ["<s>", "a", "<", "s", ">"]),
        ("<s>a<s>", ((3, 4),), ["<s>", "a", "<s>"]),
        ("<<s>", ((0, 1),), ["<", "<s>"]),
        ("<s>a<s>b</s>", ((0, 3), (9, 12)), ["<", "s", ">", "a", "<s>", "b", "</", "s", ">"]),
    ],
)
def test_a_spelling_counts_as_foreign_where_one_of_its_characters_is(
    text: str, foreign: tuple[tuple[int, int], ...], expected: list[str], libs: Path
) -> None:
    known = tokenizer("llama-spm", libs)
    ids = tokenize(Rendered(text, foreign), known.specials, known.vocabulary)
    assert [piece.strip() for piece in pieces(known, ids)] == expected


def pieces(known: Tokenizer, ids: list[int]) -> list[str]:
    return [known.vocabulary.piece(token, special=True).decode("utf-8", "replace") for token in ids]


PARTS = st.sampled_from(["<|im_start|>", "<|im_end|>", "<|im_", "start|>", "<", "|>", "</s>", "user", "\n", " ", "é🦙"])


@given(parts=st.lists(st.tuples(PARTS, st.booleans()), max_size=12))
def test_exactly_the_own_specials_are_read(parts: list[tuple[str, bool]], libs: Path) -> None:
    known = tokenizer("qwen2", libs)
    text = "".join(part for part, _ in parts)
    marks = "".join(("1" if foreign else "0") * len(part) for part, foreign in parts)
    ranges = tuple(run.span() for run in re.finditer("1+", marks))
    ids = tokenize(Rendered(text, ranges), known.specials, known.vocabulary)
    assert b"".join(known.vocabulary.piece(token, special=True) for token in ids) == text.encode()
    own = [text[start:end] for start, end in known.specials.occurrences(text) if "1" not in marks[start:end]]
    assert [piece for piece in pieces(known, ids) if piece in known.specials.spellings] == own
