"""`bundle template`: the exact prompt on stdout, and one clear error for whatever is wrong with its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bundler.cli import command
from bundler.errors import BundleError
from bundler.formats import gguf
from bundler.formats.source import FileSource
from tests import sources
from tests.models import write_chain
from tests.runtime.bundles import write_alphabet

HI = [{"role": "user", "content": "Hi"}]
TOOLS = [{"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}]
PROMPT = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_chain(tmp_path / "tiny.gguf")
    (tmp_path / "Modelfile").write_text("FROM ./tiny.gguf\nSYSTEM Be brief.\nMESSAGE user Q\nMESSAGE assistant A\n")
    (tmp_path / "hi.json").write_text(json.dumps(HI))
    return tmp_path


def run(*arguments: str | Path, stdin: Any = None) -> Result:
    given = None if stdin is None else json.dumps(stdin)
    return CliRunner().invoke(command, ["template", *map(str, arguments)], input=given)


def prompt_of(*arguments: str | Path, stdin: Any = None) -> str:
    result = run(*arguments, stdin=stdin)
    assert (result.exception, result.stderr) == (None, "")
    return result.stdout_bytes.decode()


def error(*arguments: str | Path, stdin: Any = None) -> BundleError:
    result = run(*arguments, stdin=stdin)
    assert isinstance(result.exception, BundleError)
    assert result.stdout == ""
    return result.exception


def test_a_modelfile_s_own_messages_are_in_the_prompt(folder: Path) -> None:
    own = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n"
    for source in (folder, folder / "Modelfile"):
        assert prompt_of(source, "--messages", folder / "hi.json") == own + PROMPT


def test_a_gguf_that_ends_with_its_header(folder: Path) -> None:
    weights = folder / "tiny.gguf"
    with weights.open("rb+") as file:
        file.truncate(gguf.read_header(FileSource(file.fileno()), "tiny.gguf").data_offset)
    assert prompt_of(weights, "--messages", folder / "hi.json") == PROMPT


def test_a_bundle(tmp_path: Path) -> None:
    bundle = write_alphabet(tmp_path)
    assert prompt_of(bundle, "--messages", "-", stdin=HI) == "<|im_start|>system\nRecite.<|im_end|>\n" + PROMPT


def test_bytes_come_as_they_are(folder: Path) -> None:
    said = [{"role": "user", "content": "\r\n\t\x00é🦙"}]
    assert "user\n\r\n\t\x00é🦙<|im_end|>" in prompt_of(folder / "tiny.gguf", "--messages", "-", stdin=said)


CONTINUED = [*HI, {"role": "assistant", "content": "Well"}]


@pytest.mark.parametrize(
    ("messages", "arguments", "prompt"),
    [
        ({"messages": HI, "model": "any", "temperature": 0.5}, [], PROMPT),
        (HI, ["--no-generation-prompt"], "<|im_start|>user\nHi<|im_end|>\n"),
        ({"messages": HI, "add_generation_prompt": False}, [], "<|im_start|>user\nHi<|im_end|>\n"),
        (CONTINUED, ["--continue"], PROMPT + "Well"),
        ({"messages": CONTINUED, "continue_final_message": True}, [], PROMPT + "Well"),
    ],
)
def test_how_the_prompt_ends(messages: Any, arguments: list[str], prompt: str, folder: Path) -> None:
    assert prompt_of(folder / "tiny.gguf", "--messages", "-", *arguments, stdin=messages) == prompt


def test_tools_documents_thinking_and_variables_reach_the_template(folder: Path) -> None:
    (folder / "tools.json").write_text(json.dumps(TOOLS))
    (folder / "documents.json").write_text('[{"title": "Birds"}]')
    shown = (
        "{{ messages[0].content }} {{ tools[0].function.name }} {{ documents[0].title }} {{ enable_thinking }} "
        "{{ a + 1 }} {{ b }}"
    )
    write_chain(folder / "shown.gguf", metadata={"tokenizer.chat_template": shown})
    prompt = prompt_of(
        folder / "shown.gguf",
        *("--messages", folder / "hi.json", "--tools", folder / "tools.json", "--documents", folder / "documents.json"),
        *("--think", "--arg", "a=1", "--arg", "b=x=y"),
    )
    assert prompt == "Hi clock Birds True 2 x=y"


def test_a_go_template(folder: Path) -> None:
    (folder / "Modelfile").write_text('FROM ./tiny.gguf\nTEMPLATE """[{{ .System }}] {{ .Prompt }} -> """\nSYSTEM S\n')
    assert prompt_of(folder, "--messages", folder / "hi.json") == "[S] Hi -> "


def test_doubts_are_told_on_stderr(folder: Path) -> None:
    (folder / "Modelfile").write_text(
        "FROM ./tiny.gguf\nTEMPLATE {{ .Prompt }}\nRENDERER qwen3\nPARAMETER low_vram 1\n"
    )
    result = run(folder, "--messages", folder / "hi.json")
    assert result.stdout == PROMPT
    assert (
        f"warning: {folder}/Modelfile:2:1: TEMPLATE {{{{ .Prompt }}}} is left out: RENDERER comes first"
        in result.stderr
    )
    assert f"warning: {folder}/Modelfile:4:11: parameter low_vram is deprecated and ignored" in result.stderr


def test_json_for_scripts(folder: Path) -> None:
    facts = json.loads(prompt_of(folder / "tiny.gguf", "--messages", folder / "hi.json", "--json"))
    assert facts["prompt"] == PROMPT
    assert (facts["template"]["kind"], facts["template"]["source"]) == ("jinja", "gguf")


FAULTS: list[tuple[Any, str]] = [
    ("Hi", 'failed to read -:1:1: a list of messages is needed, or an object that has one\n  "Hi"\n  ^'),
    ([], "failed to read -:1:1: messages: at least one message is needed\n  []\n  ^"),
    ({"model": "x"}, 'failed to read -:1:1: object missing required field `messages`\n  {"model": "x"}\n  ^'),
    (
        [{"role": "user", "content": 5}],
        "failed to read -:1:30: messages[0].content: expected `str | array | null`, got `int`\n"
        '  [{"role": "user", "content": 5}]\n'
        "                               ^",
    ),
    (
        [{"role": "robot", "content": ""}],
        "failed to read -:1:11: messages[0].role: 'robot' is none of system, developer, user, assistant, tool\n"
        '  [{"role": "robot", "content": ""}]\n'
        "            ^",
    ),
    (
        {"messages": HI, "think": "hard"},
        "failed to read -:1:60: think is none of true, false, low, medium, high, max\n"
        '  {"messages": [{"role": "user", "content": "Hi"}], "think": "hard"}\n'
        "                                                             ^",
    ),
]


@pytest.mark.parametrize(("messages", "message"), FAULTS)
def test_messages_at_fault(messages: Any, message: str, folder: Path) -> None:
    assert str(error(folder / "tiny.gguf", "--messages", "-", stdin=messages)) == message


def test_tools_at_fault_are_told_with_their_own_file(folder: Path) -> None:
    (folder / "tools.json").write_text('[\n {"type": "function"}]')
    said = error(folder / "tiny.gguf", "--messages", folder / "hi.json", "--tools", folder / "tools.json")
    assert str(said).startswith(f"failed to read {folder}/tools.json:2:2: tools[0].function is required\n")


def test_messages_that_are_not_there(folder: Path) -> None:
    said = error(folder, "--messages", folder / "no.json")
    assert str(said) == f"failed to read {folder}/no.json: No such file or directory"
    assert said.hint == "check the path and its permissions"


def test_a_variable_that_is_the_template_s_own(folder: Path) -> None:
    said = error(folder, "--messages", folder / "hi.json", "--arg", "messages=1")
    assert str(said) == "failed to render the messages: the template's variable messages cannot be set"


def test_a_source_that_is_none(folder: Path) -> None:
    assert "unknown command" in str(error(folder / "hi.json", "--messages", folder / "hi.json"))
    assert "there is no" in str(error(folder / "no", "--messages", folder / "hi.json"))


def test_a_gguf_without_a_template(folder: Path) -> None:
    said = error(sources.models() / "ggml-vocab-gpt-2.gguf", "--messages", folder / "hi.json")
    assert str(said).startswith("failed to choose a template: ./ggml-vocab-gpt-2.gguf has no chat template")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing option '--messages'"),
        (["--messages", "-", "--arg", "x"], "Invalid value for --arg: 'x' is no NAME=VALUE"),
        (["--messages", "-", "--think", "hard"], "Invalid value for '--think': 'hard' is not one of"),
    ],
)
def test_wrong_usage(arguments: list[str], said: str) -> None:
    result = run("Modelfile", *arguments, stdin=HI)
    assert result.exit_code == 2
    assert said in result.stderr
