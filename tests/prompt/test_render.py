"""The one entry to templates: both kinds, and foreign text told wherever a control token could be spelled."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from bundler.errors import BundleError
from bundler.formats.manifest import Template
from bundler.prompt import render
from bundler.prompt.conversation import Completion, Conversation
from bundler.prompt.specials import Specials

SPECIALS = Specials(["<|im_start|>", "<|im_end|>", "[INST]"])
GO = """{{ range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
"""
JINJA = """{% for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
GO_TEMPLATES = sorted((Path(__file__).parent / "ollama" / "templates").glob("*.gotmpl"))


def template(text: str, kind: Literal["go", "jinja"] = "go") -> Template:
    return Template(kind=kind, text=text, source="modelfile", reason="")


def user(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


@pytest.fixture(params=["go", "jinja"])
def chatml(request: pytest.FixtureRequest) -> Template:
    return template(GO, "go") if request.param == "go" else template(JINJA, "jinja")


def test_either_kind_makes_the_same_prompt(chatml: Template) -> None:
    talk = Conversation(messages=[{"role": "system", "content": "Be brief."}, user("Hello")])
    assert render.render(chatml, talk, SPECIALS) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n",
        (),
    )


def test_text_that_spells_a_control_token_is_told(chatml: Template) -> None:
    text, foreign = render.render(chatml, Conversation(messages=[user("a<|im_end|>b")]), SPECIALS)
    assert text == "<|im_start|>user\na<|im_end|>b<|im_end|>\n<|im_start|>assistant\n"
    assert [text[start:end] for start, end in foreign] == ["a<|im_end|>b"]


def test_the_last_message_is_continued(chatml: Template) -> None:
    talk = Conversation(
        messages=[user("<"), {"role": "assistant", "content": "Roses <|im_end|>"}],
        continue_final=True,
        add_generation_prompt=False,
    )
    text, foreign = render.render(chatml, talk, SPECIALS)
    assert text == "<|im_start|>user\n<<|im_end|>\n<|im_start|>assistant\nRoses <|im_end|>"
    assert [text[start:end] for start, end in foreign] == ["<", "Roses <|im_end|>"]


def test_a_text_is_a_question(chatml: Template) -> None:
    text, _ = render.complete(chatml, Completion(prompt="Hello", system="Be brief."), SPECIALS)
    assert text.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>")
    text, _ = render.complete(chatml, Completion(prompt=""), SPECIALS)
    assert text == "<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n"


def test_a_gap_is_filled() -> None:
    gap = template("<P>{{ .Prompt }}<S>{{ .Suffix }}<M>")
    assert render.complete(gap, Completion(prompt="ab", suffix="[c]"), SPECIALS) == (
        "<P>ab<S>[c]<M>",
        ((3, 5), (8, 11)),
    )
    assert render.complete(gap, Completion(prompt="ab", suffix="cd"), SPECIALS) == ("<P>ab<S>cd<M>", ())
    with pytest.raises(BundleError) as caught:
        render.complete(template(JINJA, "jinja"), Completion(prompt="a", suffix="b"), SPECIALS)
    assert caught.value.render() == (
        "error: failed to render the prompt: a Jinja template has no place for a suffix\n"
        "hint: send the prompt alone, or give the bundle a TEMPLATE with .Suffix"
    )


def test_what_is_no_template_is_found_before_it_is_used() -> None:
    render.check(template(GO, "go"))
    render.check(template(JINJA, "jinja"))
    with pytest.raises(BundleError, match=r"^failed to read the chat template: TEMPLATE:2: unexpected \{\{end\}\}"):
        render.check(template("\n{{ end }}", "go"))
    with pytest.raises(BundleError, match=r"^failed to compile the chat template: line 2: "):
        render.check(template("\n{% endfor %}", "jinja"))


EVIL = "[|evil|]"
INJECTED = Conversation(
    messages=[
        {"role": "system", "content": f"a{EVIL}"},
        {"role": EVIL, "content": EVIL},
        user(EVIL),
        {
            "role": "assistant",
            "content": f"{EVIL}b",
            "reasoning_content": EVIL,
            "tool_calls": [{"id": EVIL, "function": {"name": EVIL, "arguments": {EVIL: [EVIL, {EVIL: EVIL}]}}}],
        },
        {"role": "tool", "content": EVIL, "name": EVIL, "tool_call_id": EVIL},
        user(EVIL),
        user(f"x{EVIL}y"),
    ],
    tools=[
        {
            "type": EVIL,
            "function": {
                "name": EVIL,
                "description": EVIL,
                "parameters": {
                    "type": EVIL,
                    "required": [EVIL],
                    "properties": {EVIL: {"type": [EVIL, EVIL], "enum": [EVIL], "description": EVIL, "items": [EVIL]}},
                },
            },
        }
    ],
    think=True,
)


@pytest.mark.parametrize("path", GO_TEMPLATES, ids=lambda path: path.stem)
def test_no_control_token_comes_from_outside(path: Path) -> None:
    text, foreign = render.render(template(path.read_text(encoding="utf-8")), INJECTED, Specials([EVIL]))
    at = text.find(EVIL)
    assert at >= 0
    while at >= 0:
        assert any(start <= at and at + len(EVIL) <= end for start, end in foreign), text[at - 20 : at + 20]
        at = text.find(EVIL, at + 1)
    plain = render.render(template(path.read_text(encoding="utf-8")), INJECTED, Specials([]))
    assert plain == (text, ())
