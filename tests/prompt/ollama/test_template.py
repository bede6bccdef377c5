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
from tests.prompt.ollama.talks import BARE, TALKS

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


FLUSHED = {
    "a turn ends before the next question": (
        [HELLO, said("assistant", "A"), said("user", "B")],
        "<|Hello|A>\n<|B|",
    ),
    "and before a system message": (
        [HELLO, said("system", "S"), said("user", "B")],
        "<|Hello|>\n<S|B|",
    ),
    "a question that follows no answer takes the place of the one before": (
        [HELLO, said("tool", "T"), said("user", "B")],
        "<|B|",
    ),
    "the answer to be continued is the end": ([HELLO, said("assistant", "A")], "<|Hello|A"),
    "without messages": ([], "<||"),
}


@pytest.mark.parametrize("name", FLUSHED)
def test_turn_by_turn(name: str) -> None:
    messages, prompt = FLUSHED[name]
    assert chat("<{{ .System }}|{{ .Prompt }}|{{ .Response }}>\n", *messages) == prompt


CUT = {
    "nothing names the answer": ("[{{ .Prompt }}]", "[Hello]"),
    "in a condition": ("{{ .Prompt }}{{ if .Response }}!{{ end }}:{{ .Response }}</s>", "Hello:"),
    "in a body": ("{{ .Prompt }}{{ if true }}<{{ .Response }}>{{ else }}none{{ end }}</s>", "Hello<"),
    "in another body": ("{{ .Prompt }}{{ if false }}x{{ else }}<{{ .Response }}>{{ end }}</s>", "Hello<"),
    "with": ("{{ .Prompt }}{{ with .Response }}{{ . }}{{ end }}</s>", "Hello"),
    "piped": ('{{ .Prompt }}:{{ .Response | printf "<%s>" }}</s>', "Hello:<>"),
    "of the data": ("{{ with .Prompt }}{{ . }}:{{ $.Response }}</s>{{ end }}", "Hello:"),
    "after a comment": ("{{ .Prompt }}{{/* .Response */}}:{{- .Response -}} </s>", "Hello:"),
    "with a template of its own": ('{{ define "x" }}{{ json . }}{{ end }}{{ template "x" .Prompt }}', '"Hello"'),
}


@pytest.mark.parametrize("name", CUT)
def test_the_last_turn_ends_where_the_answer_begins(name: str) -> None:
    text, prompt = CUT[name]
    assert chat(text, HELLO) == prompt


THINK = "{{ .Think }} {{ .ThinkLevel }} {{ .IsThinkSet }}{{ .Response }}"


@pytest.mark.parametrize(
    ("think", "shown"),
    [
        (None, "false  false"),
        (False, "false  true"),
        (True, "true medium true"),
        ("low", "true low true"),
        ("max", "true max true"),
    ],
)
def test_thinking(think: Any, shown: str) -> None:
    assert chat(THINK, HELLO, think=think) == shown


def test_a_model_that_shows_where_it_thinks_does_so_by_itself() -> None:
    text = "{{ .Think }} {{ .ThinkLevel }} {{ .IsThinkSet }}{{ range .Messages }}<t>{{ .Thinking }}</t>{{ end }}"
    assert chat(text, HELLO).startswith("true medium true")
    assert chat(text, HELLO, think=False).startswith("false  true")


GAP = "{{ if .Suffix }}<P>{{ .Prompt }}<S>{{ .Suffix }}<M>{{ else }}{{ .Prompt }}{{ end }}"


def test_a_gap_is_filled() -> None:
    assert read(GAP).fill(Completion(prompt="def f(", suffix="return x")) == "<P>def f(<S>return x<M>"
    assert read(GAP).fill(Completion(prompt="", suffix="return x")) == "<P><S>return x<M>"
    thinking = read(GAP + "{{ .Think }}{{ .ThinkLevel }}{{ .Messages }}")
    assert thinking.fill(Completion(prompt="a", suffix="b", think="low")) == "<P>a<S>b<M>truelow<no value>"


def test_a_gap_needs_a_template_that_knows_of_gaps() -> None:
    with pytest.raises(BundleError) as caught:
        read("{{ .Prompt }}").fill(Completion(prompt="a", suffix="b"))
    assert caught.value.render() == (
        "error: failed to render the prompt: the template has no place for a suffix\n"
        "hint: send the prompt alone, or give the bundle a TEMPLATE with .Suffix"
    )


CLOSED = "{{ range .Messages }}<{{ .Role }}>{{ .Content }}</{{ .Role }}>\n{{ end }}<assistant>"
CONTINUED = {
    "a template that ends every message": (CLOSED, "Roses are ", "<user>Hello</user>\n<assistant>Roses are "),
    "nothing yet": (CLOSED, "", "<user>Hello</user>\n<assistant>"),
    "a template that shows an answer only where it is": (
        "{{ range .Messages }}{{ if .Content }}{{ .Content }}.{{ end }}{{ end }}",
        "",
        "Hello.",
    ),
    "turn by turn": ("[{{ .Prompt }}] {{ .Response }}</s>", "Roses", "[Hello] Roses"),
    "turn by turn, with the answer in quotes": (
        '[{{ .Prompt }}] {{ printf "%q" .Response }}',
        "Roses",
        '[Hello] "Roses',
    ),
}


@pytest.mark.parametrize("marked", [False, True])
@pytest.mark.parametrize("name", CONTINUED)
def test_the_last_message_is_continued(name: str, marked: bool) -> None:
    text, begun, prompt = CONTINUED[name]
    talk = conversation([HELLO, said("assistant", begun)], continue_final=True)
    assert read(text).chat(talk, foreign=marked) == prompt


def test_what_cannot_be_continued() -> None:
    fault = "failed to continue the last message: it is not the assistant's"
    assert failure(CLOSED, HELLO, continue_final=True) == fault
    begun = said("assistant", "Roses")
    fault = "failed to continue the last message: the template does not show the end of it"
    assert failure("{{ range .Messages }}{{ .Role }}{{ end }}", begun, continue_final=True) == fault


def test_dates() -> None:
    text = '{{ currentDate }} {{ currentDate "2006" }} {{ yesterdayDate }}{{ .Response }}'
    before, shown, after = date.today(), chat(text, HELLO), date.today()
    assert shown in [f"{day} {day} {day - timedelta(days=1)}" for day in (before, after)]


FAILURES = {
    "{{ .Prompt": "failed to read the chat template: TEMPLATE:1: unclosed action",
    "a\n{{ if }}": "failed to read the chat template: TEMPLATE:2: missing value for if",
    "{{ nonsense }}": 'failed to read the chat template: TEMPLATE:1: function "nonsense" not defined',
    "{{ .Prompt }}\n{{ index .Prompt 99 }}": (
        'failed to render the chat template: TEMPLATE:2:3: executing "TEMPLATE" at <index .Prompt 99>: '
        "error calling index: index out of range: 99"
    ),
    "{{ range .Messages }}\n é{{ .Nope }}{{ end }}": (
        'failed to render the chat template: TEMPLATE:2:6: executing "TEMPLATE" at <.Nope>: '
        "can't evaluate field Nope in type *template.templateMessage"
    ),
    '{{ template "gone" . }}': (
        'failed to render the chat template: TEMPLATE:1:12: executing "TEMPLATE" at <{{template "gone" .}}>: '
        'template "gone" not defined'
    ),
    "{{ json }}": (
        'failed to render the chat template: TEMPLATE:1:3: executing "TEMPLATE" at <json>: '
        "wrong number of args for json: want 1 got 0"
    ),
}


@pytest.mark.parametrize("text", FAILURES)
def test_failures_name_the_place(text: str) -> None:
    assert failure(text) == FAILURES[text]


def test_a_failure_says_what_to_do() -> None:
    with pytest.raises(BundleError) as caught:
        chat("{{ .Prompt", HELLO)
    assert caught.value.hint == "correct the TEMPLATE of the Modelfile and build again"


def test_the_same_text_is_read_once() -> None:
    assert read("{{ .Prompt }} once") is read("{{ .Prompt }} once")


def marked(text: str, *messages: dict[str, Any], **more: Any) -> str:
    """The prompt with angle brackets around what is foreign."""
    prompt = read(text).chat(conversation(list(messages), **more), foreign=True)
    for start, end in reversed(foreign.ranges(prompt)):
        prompt = f"{prompt[:start]}‹{prompt[start:end]}›{prompt[end:]}"
    return prompt


def test_what_the_template_did_not_write_is_marked() -> None:
    text = "{{ range .Messages }}<|{{ .Role }}|>{{ .Content }}<|end|>{{ end }}"
    talk = [said("system", ""), said("user", "a<|end|>"), said("user", "b"), said("<|x|>", "c")]
    assert marked(text, *talk) == "<|system|><|end|><|user|>‹a<|end|>›\n\n‹b›<|end|><|‹<|x|>›|>‹c›<|end|>"


def test_what_tools_say_is_marked() -> None:
    text = (
        "{{ range .Messages }}{{ range .ToolCalls }}[{{ .Function.Name }}{{ .Function.Arguments }}]{{ end }}{{ end }}"
    )
    call = {"id": "1", "function": {"name": "f<|end|>", "arguments": {"k<|end|>": ["v", 1, None]}}}
    assert marked(text, said("assistant", "", tool_calls=[call])) == (
        r'[‹f<|end|>›{‹"k\u003c|end|\u003e"›:[‹"v"›,1,null]}]'
    )
    shown = marked("{{ .Messages }}{{ range .Tools }}{{ json . }}{{ .Function }}{{ end }}", tools=[BARE])
    assert shown.count('‹"ping"›') == 2


def test_turn_by_turn_is_marked_as_well() -> None:
    talk = [said("system", "s"), HELLO, said("assistant", "a"), said("user", "b")]
    assert marked("{{ .System }}:{{ .Prompt }}={{ .Response }};", *talk) == "‹s›:‹Hello›=‹a›;:‹b›="


def test_a_gap_is_marked() -> None:
    prompt = read(GAP).fill(Completion(prompt="ab", suffix="cd"), foreign=True)
    assert foreign.ranges(prompt) == ((3, 5), (8, 10))


def test_half_a_surrogate_pair_is_no_text() -> None:
    assert chat("{{ .Prompt }}", said("user", "a\ud800b\udc80")) == "a\ufffdb\ufffd"
