"""The example model: it answers what it was trained for, and what it says agrees with the real commands."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bundler.cli import command
from bundler.formats import pagefile
from bundler.formats.gguf import read_header
from bundler.formats.source import FileSource
from tests.conftest import GUIDE
from tests.e2e.running import Running, serving

TRAIN = GUIDE / "train"
LEAST_SHARE = 0.9
LEAST_OBEYED = 0.75


@pytest.fixture(scope="module")
def modules() -> Iterator[dict[str, Any]]:
    """The training's own modules that need no torch."""
    names = ("grammar", "noise", "facts", "questions", "manner", "corpus", "evaluate")
    sys.path.insert(0, str(TRAIN))
    yield {name: importlib.import_module(name) for name in names}
    sys.path.remove(str(TRAIN))
    for name in names:
        del sys.modules[name]


@cache
def help_of(program: str, subcommands: tuple[str, ...]) -> str:
    """What --help prints for a command; fails where there is no such command."""
    if program == "bundle":
        result = CliRunner().invoke(command, [*subcommands, "--help"], prog_name="bundle")
        assert result.exit_code == 0, f"bundle {subcommands}: {result.output}"
        return result.output
    asked = [sys.executable, "-m", "bundler.runtime", *(subcommands or ("serve",)), "--help"]
    ran = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"{subcommands}: {ran.stderr}"
    return ran.stdout


def said_commands(modules: dict[str, Any]) -> set[str]:
    """Every command line in an answer, listed in facts.toml or not."""
    topics = modules["facts"].topics().values()
    answers = " ".join(text for topic in topics for text in (topic.answer, topic.short, topic.more))
    shown = re.findall(r"`([^`]+)`", answers)
    lines = {line for line in shown if line.startswith(("bundle ", "./mymodel"))}
    return lines | set(modules["facts"].commands().values())


def test_each_command_that_it_teaches_exists(modules: dict[str, Any]) -> None:
    for line in said_commands(modules):
        program, *words = shlex.split(line)
        depth = 0 if not words or words[0].startswith("-") else 2 if words[0] == "runtime" else 1
        options = {word for word in words if word.startswith("-")}
        if program == "./mymodel" and not depth:
            assert options <= {"--version", "--help"}, line
            continue
        text = help_of(program, tuple(words[:depth]))
        for option in options:
            assert re.search(rf"(?<![\w-]){option}(?![\w-])", text), f"{line}: no {option}"


def test_each_option_that_it_names_exists(modules: dict[str, Any]) -> None:
    topics = modules["facts"].topics().values()
    named = {
        option
        for topic in topics
        for text in (topic.answer, topic.short, topic.more)
        for option in re.findall(r"(?<!\w)--[a-z][a-z-]+", text)
    }
    elsewhere = {"--now"}  # systemctl's
    known = " ".join(
        help_of(program, names)
        for program, names in [
            *(("bundle", names) for names in ((), ("build",), ("inspect",), ("template",), ("modelfile",))),
            *(("./mymodel", (name,)) for name in ("serve", "run", "info")),
        ]
    )
    for option in named - elsewhere:
        assert re.search(rf"{option}(?![\w-])", known), f"{option} is in no --help"


def test_no_training_text_holds_a_question_of_the_evaluation(modules: dict[str, Any]) -> None:
    plain = modules["questions"].plain
    held_out = {plain(question) for question in modules["evaluate"].held_out()}
    corpus = modules["corpus"].Corpus(7, modules["evaluate"].held_out())
    for _ in range(3000):
        for message in corpus.conversation().messages:
            assert message.role != "user" or plain(message.text) not in held_out


def test_the_same_seed_composes_the_same_corpus(modules: dict[str, Any]) -> None:
    first, second = (modules["corpus"].Corpus(3) for _ in range(2))
    assert [first.conversation() for _ in range(50)] == [second.conversation() for _ in range(50)]


def test_every_topic_is_measured_and_its_own_answer_is_right(modules: dict[str, Any]) -> None:
    topics = modules["facts"].topics()
    assert {case.topic for case in modules["evaluate"].cases()} >= set(topics)
    for topic in topics.values():
        assert topic.is_right(topic.answer), topic.name


def test_no_question_is_asked_twice(modules: dict[str, Any]) -> None:
    asked = [modules["questions"].plain(question) for question in modules["evaluate"].held_out()]
    assert [question for question, count in Counter(asked).items() if count > 1] == []


def test_the_evaluation_tells_right_from_wrong(modules: dict[str, Any]) -> None:
    evaluate, topics = modules["evaluate"], modules["facts"].topics()
    cases = {json.dumps(case.messages): case for case in evaluate.cases()}

    def ask(messages: list[dict[str, str]]) -> str:
        assert messages[0]["role"] == "system"
        case = cases.get(json.dumps(messages)) or cases[json.dumps(messages[1:])]
        return topics[case.topic].answer if case.topic else ""

    knowing = evaluate.evaluate(ask)
    assert (knowing["share"], knowing["share_unseen"]) == (1, 1)
    assert {entry["topic"] for entry in knowing["wrong"]} == {""}, "only what no topic answers is left"
    silent = evaluate.evaluate(lambda messages: "")
    assert (silent["share"], silent["share_unseen"]) == (0, 0)
    assert len(silent["wrong"]) == len(cases)
    shown = evaluate.table(silent, wrong=True)
    assert re.search(r"^question, unseen +0 +[1-9]\d+ +0\.0%$", shown, re.MULTILINE)
    assert re.search(r"^port +0/\d+ +0/\d+ +0\.0%$", shown, re.MULTILINE)
    assert "question, unseen port: " in shown


def test_the_weights_are_a_small_llama_model_with_its_template() -> None:
    path = GUIDE / "guide.gguf"
    assert path.stat().st_size <= 8_000_000
    with path.open("rb") as file:
        header = read_header(FileSource(file.fileno()), path.name)
        assert header.string("general.architecture") == "llama"
        assert "<|assistant|>" in (header.string("tokenizer.chat_template") or "")


@pytest.fixture(scope="module")
def served(guide: Path) -> Iterator[Running]:
    with serving([guide]) as running:
        yield running


def test_it_answers_the_questions_that_its_page_offers(modules: dict[str, Any], served: Running) -> None:
    topics, ask = modules["facts"].topics(), modules["evaluate"].over_http(served.url)
    offered = pagefile.parse((GUIDE / "page.toml").read_bytes()).starters
    known = ("bundle", "build", "port", "python", "usb", "offline")
    for question, topic in zip(offered, known, strict=True):
        said = ask([{"role": "user", "content": question}])
        assert topics[topic].is_right(said), f"{question}: {said}"


def test_it_answers_held_out_questions(modules: dict[str, Any], served: Running) -> None:
    evaluate = modules["evaluate"]
    result = evaluate.evaluate(evaluate.over_http(served.url))
    print(evaluate.table(result, wrong=True))
    assert result["share"] >= LEAST_SHARE
    assert result["share_unseen"] >= LEAST_SHARE
    obeyed = [score for section, score in result["sections"].items() if section.startswith("system line")]
    assert all(score["right"] / score["asked"] >= LEAST_OBEYED for score in obeyed), obeyed
    recorded = json.loads((TRAIN / "evaluation.json").read_text(encoding="utf-8"))
    assert result["share"] >= recorded["share"] - 0.02, "the committed evaluation is of other weights"
