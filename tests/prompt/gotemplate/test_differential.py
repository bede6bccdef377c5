"""The Go templates of this project against Go itself, on thousands of cases made by chance from a fixed seed.

`BUNDLE_TEST_DIFFERENTIAL=50` makes fifty times as many.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from bundler.prompt.gotemplate import escape, fmt, json
from bundler.prompt.gotemplate.errors import FunctionError
from tests.prompt.gotemplate import operands
from tests.prompt.gotemplate.go import Reference, reference
from tests.prompt.gotemplate.wire import spelled

TIMES = int(os.environ.get("GO_DIFFERENTIAL_TIMES", "1"))
"""How many times the usual number of cases."""

CALLS: dict[str, Callable[..., str]] = {
    "print": fmt.sprint,
    "println": fmt.sprintln,
    "printf": fmt.sprintf,
    "json": json.marshal,
    "html": escape.html,
    "js": escape.js,
    "urlquery": escape.urlquery,
}


@pytest.fixture(scope="session")
def go() -> Reference:
    return reference()


def called(name: str, given: list[Any]) -> str | None:
    try:
        return CALLS[name](*given)
    except FunctionError:
        return None


@pytest.mark.parametrize("name", CALLS)
def test_functions(go: Reference, name: str) -> None:
    chance = random.Random(f"functions {name}")
    cases = []
    for _ in range((4000 if name == "printf" else 600) * TIMES):
        count = 1 if name == "json" else chance.choice([0, 1, 1, 2, 3, 4])
        given = [operands.operand(chance) for _ in range(count)]
        cases.append([operands.form(chance), *given] if name == "printf" else given)
    answers = go.ask({"call": name, "operands": [spelled(value) for value in given]} for given in cases)
    for given, answer in zip(cases, answers, strict=True):
        assert called(name, given) == answer.output, f"{name} {given!r}: {answer.error}"
