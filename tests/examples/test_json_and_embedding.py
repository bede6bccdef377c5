"""The examples for programs: answers of a JSON schema, and texts as vectors; the commands of their READMEs at work."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from openai import OpenAI

from bundler.build.packs import Pack
from tests.conftest import GUIDE
from tests.e2e.running import Running, serving
from tests.examples.readme import steps

EXAMPLES = GUIDE.parent
FEWEST_FOUND = 0.6
"""Of questions in new words, for which the right fact is among the three nearest."""


class Example:
    """A copy of examples/ that the commands of one README run in."""

    def __init__(self, folder: Path, name: str) -> None:
        shutil.copytree(EXAMPLES, folder / "examples", ignore=shutil.ignore_patterns("words.gguf", "__pycache__"))
        self.folder = folder / "examples" / name
        self.readme = self.folder / "README.md"

    def run(self, command: str, url: str = "http://127.0.0.1:11434") -> str:
        """A command line of the README; `bundle` and `python` are those of the tests."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        ran = subprocess.run(
            command.replace("http://127.0.0.1:11434", url),
            shell=True,
            cwd=self.folder,
            env=os.environ | {"PATH": path, "URL": url},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"
        return ran.stdout

    def follow(self) -> Iterator[Running]:
        """Run the README down to its end; its server is there from the line that starts it."""
        commands = steps(self.readme)
        start = next(index for index, step in enumerate(commands) if step.command.endswith("&"))
        for step in commands[:start]:
            assert step.is_shown(self.run(step.command)), step.command
        with serving([self.folder / commands[start].command.split()[0]]) as running:
            for step in commands[start + 1 :]:
                output = self.run(step.command, running.url)
                assert step.is_shown(output), f"{step.command}\n{output}"
            yield running


@pytest.fixture(scope="module")
def searching(pack: Pack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    for running in Example(tmp_path_factory.mktemp("embedding"), "embedding").follow():
        yield OpenAI(base_url=f"{running.url}/v1", api_key="none")


def test_the_words_of_a_question_lead_to_its_fact(searching: OpenAI) -> None:
    sys.path.insert(0, str(GUIDE / "train"))
    try:
        evaluate, facts = importlib.import_module("evaluate"), importlib.import_module("facts")
        single = [case for case in evaluate.cases() if len(case.messages) == 1 and case.topic in facts.topics()]
        answers = {name: topic.answer for name, topic in facts.topics().items()}
    finally:
        sys.path.remove(str(GUIDE / "train"))
        for name in ("evaluate", "facts"):
            del sys.modules[name]
    asked = [case.messages[0]["content"] for case in single][:400]
    made = searching.embeddings.create(model="default", input=[*answers.values(), *asked]).data
    vectors = [each.embedding for each in made]
    known, questions = vectors[: len(answers)], vectors[len(answers) :]
    found = 0
    for case, question in zip(single, questions, strict=False):
        near = [sum(a * b for a, b in zip(question, other, strict=True)) for other in known]
        best = sorted(zip(near, answers, strict=True), reverse=True)[:3]
        found += case.topic in (name for _, name in best)
    assert found / len(questions) >= FEWEST_FOUND


def test_answers_have_the_form_of_the_schema(pack: Pack, tmp_path: Path) -> None:
    schema = json.loads((EXAMPLES / "json" / "command.schema.json").read_text())
    for running in Example(tmp_path, "json").follow():
        client = OpenAI(base_url=f"{running.url}/v1", api_key="none")
        for temperature in (0.0, 1.5):
            answer = client.chat.completions.create(
                model="default",
                messages=[{"role": "user", "content": "How do I verify it?"}],
                temperature=temperature,
                response_format={"type": "json_schema", "json_schema": {"name": "command", "schema": schema}},
            )
            jsonschema.validate(json.loads(answer.choices[0].message.content or ""), schema)
