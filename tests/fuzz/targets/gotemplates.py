"""Go templates: the engine with values of every kind, and templates run with conversations as Ollama does."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from bundler.formats.manifest import Template
from bundler.prompt import render
from bundler.prompt.conversation import Completion, Conversation
from bundler.prompt.gotemplate.errors import GoTemplateError
from bundler.prompt.gotemplate.template import parse
from bundler.prompt.specials import Specials
from tests.fuzz import chats
from tests.fuzz.mutation import mutated
from tests.prompt.gotemplate import templates

SECONDS = 45.0
"""The engine's own clock ends after 30."""

SPECIALS = Specials(["<|im_start|>", "<|im_end|>", "<think>", "</think>", "[INST]", "<s>"])
_TEMPLATES = Path(__file__).parents[2] / "prompt" / "ollama" / "templates"
_PIECES = (
    "{{", "}}", "{{-", "-}}", "{{ end }}", "{{ else }}", "{{ if .System }}", "{{ range .Messages }}",
    "{{ .Content }}", "{{ .Role }}", "{{ .Prompt }}", "{{ .Response }}", "{{ .Suffix }}", "{{ .Tools }}",
    "{{ json . }}", "{{ . }}", "{{ range .ToolCalls }}", "{{ .Function.Arguments }}", "{{ define \"t\" }}",
    "{{ template \"t\" . }}", "{{ break }}", "{{ range $i, $m := $.Messages }}", "{{ slice .Messages 1 }}",
    "{{ index .Messages 0 }}", "{{ len . }}", "$", "(", ")", "{{ range 1000000000 }}",
    "{{ printf \"%999999999d\" 1 }}", "{{ printf \"%v\" . }}", "{{ $x := . }}", "{{ $x = 1 }}", "{{ .Thinking }}",
    "{{ currentDate }}", "{{ toTypeScriptType . }}", "/*", "*/", "`", '"', "'", "\\", "|", "\x00", "é",
    "{{ range $m := .Messages }}{{ range $n := $.Messages }}", "{{ and .Think .IsThinkSet }}", "{{ eq . 1 }}",
)  # fmt: skip


class Case(NamedTuple):
    text: str
    data: Any
    """Of the engine alone; else None."""
    asked: Conversation | Completion | None


def case(chance: Random) -> Case:
    if chance.random() < 0.4:
        text = templates.template(chance)
        if chance.random() < 0.4:
            text = mutated(chance, text, _PIECES, chance.choice(_seeds()))
        return Case(text, templates.data(chance), None)
    text = chance.choice(_seeds())
    if chance.random() < 0.8:
        text = mutated(chance, text, _PIECES, chance.choice(_seeds()))
    if chance.random() < 0.2:
        return Case(text, None, Completion(prompt=chats.text(chance), suffix=chats.text(chance)))
    return Case(text, None, chats.conversation(chance))


@cache
def _seeds() -> tuple[str, ...]:
    return tuple(path.read_text(encoding="utf-8") for path in sorted(_TEMPLATES.glob("*.gotmpl")))


def attempt(case: Case) -> bool:
    if case.asked is None:
        try:
            parse(case.text).execute(case.data).encode("utf-8", "surrogatepass")
        except GoTemplateError as error:
            return not error.message
        return True
    template = Template(kind="go", text=case.text, source="modelfile", reason="")
    if isinstance(case.asked, Completion):
        rendered = render.complete(template, case.asked, SPECIALS)
    else:
        rendered = render.render(template, case.asked, SPECIALS)
    check_ranges(rendered.text, rendered.foreign)
    return True


def check_ranges(text: str, ranges: tuple[tuple[int, int], ...]) -> None:
    """Ranges are ordered, disjoint, not empty, and within the text."""
    at = 0
    for start, end in ranges:
        assert at <= start < end <= len(text)
        at = end
