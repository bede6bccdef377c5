"""The Go templates of this project against Go itself, on thousands of cases made by chance from fixed seeds.

The same text has to come out, or an error in the same line. `GO_DIFFERENTIAL=20` makes twenty times as many cases.
Known differences, which the cases avoid: Go prints addresses for %p and pointers, shows with a second `slice` what a
first one has cut off the end of a list, refuses to slice with an index that comes straight out of a map, and its tables
of printable characters are of another version of Unicode. The text of an error may quote another operand.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from typing import Any

import pytest

from bundler.prompt.gotemplate import escape, fmt, json
from bundler.prompt.gotemplate.errors import FunctionError, GoTemplateError
from bundler.prompt.gotemplate.template import parse
from bundler.prompt.gotemplate.values import Function
from tests.prompt.gotemplate import operands, templates
from tests.prompt.gotemplate.go import Answer, Reference, reference
from tests.prompt.gotemplate.wire import spelled

TIMES = int(os.environ.get("GO_DIFFERENTIAL", "1"))
BATCH = 600
TOO_LONG = "output too long"
CALLS: dict[str, Callable[..., str]] = {
    "print": fmt.sprint,
    "println": fmt.sprintln,
    "printf": fmt.sprintf,
    "json": json.marshal,
    "html": escape.html,
    "js": escape.js,
    "urlquery": escape.urlquery,
}


def to_json(value: Any) -> str:
    """The function `json` that Ollama's templates have, and the reference's."""
    try:
        return json.marshal(value)
    except FunctionError:
        return ""


FUNCTIONS = {"json": Function(to_json)}


@pytest.fixture(scope="session")
def go() -> Reference:
    return reference()


def called(name: str, given: list[Any]) -> str | None:
    try:
        return CALLS[name](*given)
    except FunctionError:
        return None


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("batch", range(TIMES))
def test_functions(go: Reference, name: str, batch: int) -> None:
    chance = random.Random(f"{name} {batch}")
    cases = []
    for _ in range(4000 if name == "printf" else BATCH):
        count = 1 if name == "json" else chance.choice([0, 1, 1, 2, 3, 4])
        given = [operands.operand(chance) for _ in range(count)]
        cases.append([operands.form(chance), *given] if name == "printf" else given)
    answers = go.ask({"call": name, "operands": [spelled(value) for value in given]} for given in cases)
    for given, answer in zip(cases, answers, strict=True):
        assert called(name, given) == answer.output, f"{name} {given!r}: {answer.error}"


def difference(text: str, data: dict[str, Any], answer: Answer) -> str | None:
    """What Go and this project do not agree on."""
    if answer.error == TOO_LONG:
        return None
    try:
        output, error = parse(text, functions=FUNCTIONS).execute(data), None
    except GoTemplateError as refused:
        output, error = None, refused
    if answer.output is not None and output == re.sub("[\udc80-\udcff]", "\ufffd", answer.output):
        return None
    if answer.error is not None and error is not None and error.line == answer.line:
        return None
    return (
        f"template {text!r}\n  data {spelled(data)}\n  ours {output!r} {error}\n  Go's {answer.output!r} {answer.error}"
    )


@pytest.mark.parametrize("batch", range(5 * TIMES))
def test_templates(go: Reference, batch: int) -> None:
    chance = random.Random(f"templates {batch}")
    cases = [(templates.template(chance), templates.data(chance)) for _ in range(BATCH)]
    answers = go.ask({"template": text, "data": spelled(data)} for text, data in cases)
    found = [difference(text, data, answer) for (text, data), answer in zip(cases, answers, strict=True)]
    differences = [difference for difference in found if difference]
    assert not differences, "\n".join([f"{len(differences)} differences", *differences[:3]])
