"""Which template a bundle gets, why, and what is told about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.build import template, traps
from bundler.build.plan import Plan, plan
from bundler.build.template import known_families
from bundler.errors import BundleError
from bundler.formats import gguf, vocabulary
from bundler.formats.gguf import Header
from bundler.formats.manifest import Template
from bundler.formats.modelfile import ModelfileError, parse
from bundler.formats.source import FileSource
from bundler.prompt import families
from tests import models, sources

SHAPE = models.Shape(embedding=32, layers=1, heads=2, kv_heads=1, feed_forward=32, context=2048)
PLAIN = "{% for m in messages %}### {{ m.role }}\n{{ m.content }}\n{% endfor %}### assistant\n"

Build = Callable[..., Plan]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Plans a bundle of a Modelfile's text, after FROM, and a GGUF with a template and other metadata."""

    def build(modelfile: str = "", template: str = "", **metadata: Any) -> Plan:
        given = {key.replace("__", "."): value for key, value in metadata.items()}
        models.write_random(tmp_path / "m.gguf", shape=SHAPE, metadata={**given, "tokenizer.chat_template": template})
        (tmp_path / "Modelfile").write_text(f"FROM ./m.gguf\n{modelfile}", encoding="utf-8")
        return plan(tmp_path, "demo")

    return build


@pytest.fixture(scope="module")
def one_header(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Header]:
    path = models.write_random(tmp_path_factory.mktemp("one") / "m.gguf", shape=SHAPE)
    with path.open("rb") as file:
        yield gguf.read_header(FileSource(file.fileno()), "m.gguf")


def chosen(planned: Plan) -> Template:
    assert planned.manifest.template is not None
    return planned.manifest.template


def told(planned: Plan) -> list[str]:
    """The warnings without the path before the line."""
    return [warning.partition("Modelfile:")[2] for warning in planned.warnings]


def fails(build: Build, *arguments: Any, **metadata: Any) -> tuple[str, str]:
    """The cause with its line and column, without the excerpt; and the hint."""
    with pytest.raises(BundleError) as caught:
        build(*arguments, **metadata)
    return caught.value.message.partition("Modelfile:")[2].rpartition("Modelfile:")[2].split("\n")[0], caught.value.hint


def base(**others: Any) -> dict[str, Any]:
    """As a base model: its sequences end with <|endoftext|>, and its vocabulary has ChatML's tokens all the same."""
    return {"tokenizer__ggml__eos_token_id": 0, **others}


def test_the_own_template_of_a_known_format_brings_its_stops(build: Build) -> None:
    template = chosen(build(template=models.CHATML))
    assert (template.kind, template.source, template.text) == ("jinja", "gguf", models.CHATML)
    assert template.reason == "the GGUF brings its own chat template, in the format of ChatML"
    assert (template.family, template.stops) == ("chatml", ["<|im_end|>", "<|im_start|>"])


def test_the_vocabulary_narrows_the_format_of_an_own_template(build: Build) -> None:
    qwen = {"general__architecture": "qwen2", "tokenizer__ggml__pre": "qwen2", "general__name": "Qwen2.5 0.5B Instruct"}
    assert chosen(build(template=models.CHATML, **qwen)).family == "qwen2.5"
    assert chosen(build(template=known_families()["qwen2.5"].template)).family == "qwen2.5"
    assert chosen(build(template=known_families()["phi3"].template, **qwen)).family == "phi3"


def test_an_own_template_of_no_known_format(build: Build) -> None:
    planned = build('PARAMETER stop "### user"\n', PLAIN)
    template = chosen(planned)
    assert template.reason == "the GGUF brings its own chat template"
    assert (template.family, template.stops) == ("", [])
    assert told(planned) == []


def test_a_format_is_recognised_by_the_vocabulary(build: Build) -> None:
    planned = build()
    template = chosen(planned)
    family = known_families()["chatml"]
    assert (template.kind, template.source, template.text) == ("jinja", "family", family.template)
    assert template.reason == "the GGUF has no chat template; its control tokens are those of ChatML"
    assert (template.family, template.stops) == ("chatml", family.stops)
    assert (template.bos_token, template.eos_token) == ("<|endoftext|>", "<|im_end|>")
    assert told(planned) == []


def test_bare_vocabularies_of_models() -> None:
    """Most of them are of base models; Command R was never published as one."""
    recognised = {}
    for path in sorted(sources.models().glob("ggml-vocab-*.gguf")):
        with path.open("rb") as file:
            header = gguf.read_header(FileSource(file.fileno()), path.name)
            family = families.recognise(known_families(), template.traits(header, vocabulary.control_tokens(header)))
        if family:
            recognised[path.name] = family.name
    assert recognised == {"ggml-vocab-command-r.gguf": "command-r"}


def test_a_format_that_is_not_certain_is_an_error_with_ways_out(build: Build) -> None:
    cause, hint = fails(build, **base())
    assert cause == ("1:6: ./m.gguf has no chat template, and its vocabulary does not make certain how to prompt it")
    assert hint.startswith("use a GGUF of the instruction-tuned model; or if it was tuned for one of chatml")
    assert ": RENDERER chatml; or name its format, such as RENDERER chatml (known: alpaca, chatml, " in hint
    assert all(name in hint for name in known_families())
    assert '; or write it: TEMPLATE """{{ if .System }}' in hint


def test_a_name_alone_is_a_hint_and_no_choice(build: Build) -> None:
    _, hint = fails(build, **base(general__name="vicuna-7b-v1.5"))
    assert "if it was tuned for one of vicuna, " in hint
    assert chosen(build("RENDERER vicuna\n", **base())).family == "vicuna"


def test_a_renderer_names_the_format(build: Build) -> None:
    planned = build("RENDERER harmony\n", **base())
    template = chosen(planned)
    assert (template.source, template.family) == ("family", "gpt-oss")
    assert template.reason == "RENDERER harmony names the format gpt-oss (harmony)"
    assert template.stops == known_families()["gpt-oss"].stops


def test_a_format_whose_tokens_the_model_does_not_have(build: Build) -> None:
    assert told(build("RENDERER gemma3\n"))[0] == (
        "2:10: ./m.gguf has no control token <end_of_turn>, which the format gemma writes"
    )


def test_a_parser_names_the_format_where_no_renderer_does(build: Build) -> None:
    assert chosen(build("PARSER harmony\n", **base())).family == "gpt-oss"
    assert chosen(build("RENDERER llama3\nPARSER harmony\n", **base())).family == "llama3"
    planned = build("RENDERER glimmer\nPARSER harmony\n", **base())
    assert chosen(planned).family == "gpt-oss"
    assert told(planned)[0].startswith("2:10: RENDERER glimmer is not known here")


def test_a_renderer_of_the_own_templates_format_keeps_the_own_template(build: Build) -> None:
    """It is the whole of what the family's template is the plain part of: it may know tools."""
    planned = build("RENDERER qwen3-coder\nPARSER qwen3-coder\n", models.CHATML)
    template = chosen(planned)
    assert (template.source, template.text, template.family) == ("gguf", models.CHATML, "qwen3-instruct")
    assert template.reason.startswith("the GGUF's own chat template, whose format RENDERER qwen3-coder names (Qwen 3")
    assert told(planned) == []


def test_a_renderer_of_another_format_comes_first_and_that_is_told(build: Build) -> None:
    planned = build("RENDERER llama3\n", models.CHATML)
    assert chosen(planned).family == "llama3"
    warning = "2:10: RENDERER llama3 is used, and the chat template of ./m.gguf writes another format"
    assert warning in told(planned)


NOT_KNOWN = "{} is not known here, and the GGUF's own chat template is used{}"


@pytest.mark.parametrize(
    ("line", "warning"),
    [
        ("RENDERER cogito", "2:10: " + NOT_KNOWN.format("RENDERER cogito", "")),
        ("RENDERER qwen3-codr", "2:10: " + NOT_KNOWN.format("RENDERER qwen3-codr", "; did you mean qwen3-coder?")),
        ("PARSER ministrel", "2:8: " + NOT_KNOWN.format("PARSER ministrel", "; did you mean ministral?")),
        ("PARSER passthrough", None),
    ],
)
def test_a_renderer_that_is_not_known_is_told(build: Build, line: str, warning: str | None) -> None:
    planned = build(f"{line}\n", models.CHATML)
    assert told(planned) == ([warning] if warning else [])
    assert chosen(planned).source == "gguf"


def test_a_renderer_that_is_not_known_leaves_no_choice(build: Build) -> None:
    assert "its vocabulary does not make certain" in fails(build, "RENDERER cogito\n", **base())[0]
    assert chosen(build("RENDERER cogito\n")).reason.startswith("the GGUF has no chat template; its control tokens")


# What goes wrong in silence.


def test_a_template_that_leaves_the_system_prompt_out(build: Build) -> None:
    without = "{% for m in messages if m.role != 'system' %}{{ m.content }}<|im_end|>{% endfor %}"
    assert told(build("SYSTEM x\n", without)) == ["2:1: the chat template of ./m.gguf leaves the system prompt out"]
    assert told(build("", without)) == ["1:6: the chat template of ./m.gguf leaves the system prompt out"]
    at_first = (
        "{% for m in messages if m.role != 'system' or messages | length < 3 %}{{ m.content }}<|im_end|>{% endfor %}"
    )
    assert told(build("", at_first)) == [
        "1:6: the chat template of ./m.gguf leaves the system prompt out after the first answer"
    ]


NO_STOP = '1:6: nothing ends an answer: {0} is neither an end token nor a stop; add PARAMETER stop "{0}"'
NO_MARK = (
    "1:6: the chat template of ./m.gguf writes nothing between an answer and the next question, so no stop string can "
    "end one"
)


@pytest.mark.parametrize(
    ("modelfile", "end", "warning"),
    [
        ("", "<|im_end|>", None),
        ("", "<|endoftext|>", None),
        ("", "### user", NO_STOP.format("### user")),
        ("", "<|im_start|>", NO_STOP.format("<|im_start|>")),
        ("", " ### user\n<|im_start|>", NO_STOP.format("<|im_start|>")),
        ("", "</answer><question>", NO_STOP.format("</answer>")),
        ('PARAMETER stop "###"\n', "### user", None),
        ("PARAMETER stop no\n", " ", NO_MARK),
    ],
)
def test_a_stop_that_is_missing(build: Build, modelfile: str, end: str, warning: str | None) -> None:
    template = "{% for m in messages %}{{ m.content }}END{% endfor %}".replace("END", end)
    assert told(build(modelfile, template)) == ([warning] if warning else [])


def test_a_begin_token_that_is_there_twice(build: Build) -> None:
    assert told(build("", "{{ bos_token }}" + models.CHATML)) == []
    assert told(build("", "{{ bos_token }}<|endoftext|>" + models.CHATML)) == [
        "1:6: the prompt begins with <|endoftext|> twice"
    ]


def test_a_date_in_the_prompt(build: Build) -> None:
    dated = "{% if messages[0].role != 'system' %}Today is {{ strftime_now('%d %b %Y') }}.{% endif %}" + models.CHATML
    assert told(build("", dated)) == [
        "1:6: the chat template of ./m.gguf writes today's date: prompts change every day"
    ]
    assert told(build("SYSTEM x\n", dated)) == []
    assert "2:10: the format gpt-oss writes today's date: prompts change every day" in told(build("RENDERER gpt-oss\n"))


def test_a_variable_that_is_misspelt(build: Build) -> None:
    assert told(build("", models.CHATML + "{{ eos_tokn }}{{ my_own }}")) == [
        "1:6: the chat template of ./m.gguf uses the variable eos_tokn; is eos_token meant?"
    ]


ALTERNATING = (
    "{% for m in messages if m.role != 'system' %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{{ m.content }}<|im_end|>{% endfor %}"
)


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        (["MESSAGE user a"], "2:1"),
        (["MESSAGE assistant a", "MESSAGE user b"], "2:1"),
        (["MESSAGE user a", "MESSAGE assistant b", "MESSAGE assistant c", "MESSAGE user d"], "4:1"),
        (["MESSAGE user a", "MESSAGE assistant b", "MESSAGE user c"], "4:1"),
    ],
)
def test_the_message_that_the_template_refuses(build: Build, lines: list[str], place: str) -> None:
    cause, hint = fails(build, "\n".join(lines), ALTERNATING)
    assert cause == (
        f"{place}: the chat template of ./m.gguf does not take the MESSAGEs and a question after them: it says: "
        "roles must alternate"
    )
    assert hint == "change the MESSAGEs: most templates want user and assistant in turn"


# TEMPLATE.

GO = (
    "{{- if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ end }}<|im_start|>user\n{{ .Prompt }}<|im_end|>\n"
    "<|im_start|>assistant\n{{ .Response }}<|im_end|>\n"
)


def test_the_modelfiles_template_comes_first(build: Build) -> None:
    planned = build(f'TEMPLATE """{GO}"""\n', models.CHATML)
    template = chosen(planned)
    assert (template.kind, template.source, template.text) == ("go", "modelfile", GO)
    assert template.reason == "the Modelfile's TEMPLATE"
    assert (template.bos_token, template.eos_token) == ("<|endoftext|>", "<|im_end|>")
    assert template.stops == []
    assert told(planned) == []


PIECES = st.sampled_from(
    ["{{", "}}", "{{-", " .Prompt", ".System", ".Response", ".Messages", "range ", "if ", "end", "else", "$x := ", ".x",
     "|", '"', "`", "\\", "\n", "ä", "{%", "print ", "json ", "index ", "1", " ", "<|im_end|>", "/*", "*/", "(", ")"]
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(PIECES, max_size=14).map("".join))
def test_any_template_works_or_fails_at_its_place(one_header: Header, text: str) -> None:
    try:
        modelfile = parse(f"FROM x\nTEMPLATE {text}\n".encode())
        choice = template.choose(modelfile, modelfile.commands[0], one_header)
        places = [notice.place for notice in traps.try_out(modelfile, choice, [])]
    except ModelfileError as error:
        places = [error.place]
    assert all(place.line >= 2 for place in places)


def test_the_last_template_counts(build: Build) -> None:
    assert chosen(build(f'TEMPLATE x\nTEMPLATE """{GO}"""\n')).text == GO


def test_a_template_makes_a_renderer_useless(build: Build) -> None:
    planned = build(f'RENDERER llama3\nPARSER llama3\nTEMPLATE """{GO}"""\n')
    assert chosen(planned).source == "modelfile"
    assert told(planned) == ["2:1: RENDERER is not used: TEMPLATE says how to prompt"]


def test_the_placeholder_beside_a_renderer_is_no_template(build: Build) -> None:
    """As `ollama show --modelfile` writes it."""
    planned = build("TEMPLATE {{ .Prompt }}\nRENDERER qwen3-coder\n", models.CHATML)
    assert chosen(planned).source == "gguf"
    assert told(planned) == ["2:1: TEMPLATE {{ .Prompt }} is left out: RENDERER comes first"]


def test_an_empty_template_is_none(build: Build) -> None:
    planned = build('TEMPLATE ""\n', models.CHATML)
    assert chosen(planned).source == "gguf"
    assert told(planned) == ["2:1: TEMPLATE is empty and left out"]


def test_a_bare_prompt_is_taken_at_its_word(build: Build) -> None:
    planned = build("TEMPLATE {{ .Prompt }}\n", models.CHATML)
    assert chosen(planned).text == "{{ .Prompt }}"
    assert told(planned) == ["2:10: TEMPLATE leaves the system prompt out"]


GUIDE = 'such as: TEMPLATE """{{ if .System }}'
JINJA_HINT = "a TEMPLATE is a Go template; Jinja belongs into the GGUF"
FILE_HINT = "TEMPLATE takes the template itself, and not the name of a file that holds it"


@pytest.mark.parametrize(
    ("value", "cause", "hint"),
    [
        ('"""{{ .Prompt }\n"""', '2:24: TEMPLATE is no Go template: unexpected "}" in operand', GUIDE),
        ('"""a\n  {{ if .System }}b"""', "3:20: TEMPLATE is no Go template: unexpected EOF", GUIDE),
        ('"""ä\nä{{ .Prompt.X }}"""', "3:12: TEMPLATE does not work: executing", GUIDE),
        ("{{ .Prompt | nonsense }}", '2:23: TEMPLATE is no Go template: function "nonsense" not defined', GUIDE),
        ("Hello", "2:10: TEMPLATE leaves out what the user says", GUIDE),
        ("./chat.tmpl", "2:10: TEMPLATE leaves out what the user says", FILE_HINT),
        ("chat template.jinja", "2:10: TEMPLATE leaves out what the user says", FILE_HINT),
        (
            "{% for m in messages %}{{ m.content }}{% endfor %}",
            '2:36: TEMPLATE is no Go template: function "m" not defined',
            JINJA_HINT,
        ),
        (
            "{% for message in messages %}{% endfor %}",
            "2:10: TEMPLATE leaves out what the user says",
            JINJA_HINT,
        ),
    ],
)
def test_a_template_that_does_not_work(build: Build, value: str, cause: str, hint: str) -> None:
    found, told = fails(build, f"TEMPLATE {value}\n", models.CHATML)
    assert found.startswith(cause)
    assert told.startswith(hint)


@pytest.mark.parametrize(
    ("value", "warnings"),
    [
        (
            "{{ .Sytem }}" + GO,
            ["2:16: there is no variable .Sytem: it is false and prints <no value>; is .System meant?"],
        ),
        (
            "{{ range .Messages }}{{ .Content }}<|im_end|>\n{{ $.Xyz }}{{ end }}",
            [
                "3:5: there is no variable .Xyz: it is false and prints <no value>; known are IsThinkSet, Messages, "
                "Prompt, Response, Suffix, System, Think, ThinkLevel, Tools"
            ],
        ),
        ("{{ .System }}[INST] {{ .Prompt }} [/INST]", []),
        (
            "{{ .System }}{{ .Prompt }} {{ .Response }}",
            ["2:10: TEMPLATE writes nothing between an answer and the next question, so no stop string can end one"],
        ),
        (
            "\nIt is {{ currentDate }}." + GO,
            ["3:10: TEMPLATE writes today's date: prompts change every day"],
        ),
        (
            "{{ .System }}USER: {{ .Prompt }} ASSISTANT: {{ .Response }} ",
            [NO_STOP.format("USER:").replace("1:6", "2:10")],
        ),
        ("<|endoftext|><|endoftext|>" + GO, ["2:10: the prompt begins with <|endoftext|> twice"]),
    ],
)
def test_traps_of_a_template(build: Build, value: str, warnings: list[str]) -> None:
    assert told(build(f'TEMPLATE """{value}"""\n', models.CHATML)) == warnings
