"""Every construct of the language by cases: what comes out, or what is said, to the letter."""

from __future__ import annotations

import pytest

from bundler.prompt.gotemplate import json
from bundler.prompt.gotemplate.errors import GoTemplateError
from bundler.prompt.gotemplate.template import parse
from bundler.prompt.gotemplate.values import Function
from tests.prompt.gotemplate.cases import (
    actions,
    branches,
    comparisons,
    functions,
    indexing,
    literals,
    lookups,
    pipelines,
    ranges,
    templates,
    variables,
)
from tests.prompt.gotemplate.cases.case import Case, Failure
from tests.prompt.gotemplate.go import reference
from tests.prompt.gotemplate.wire import spelled

TOPICS = (
    actions, branches, ranges, variables, templates, literals, pipelines, lookups, functions, indexing, comparisons
)  # fmt: skip
CASES = [
    pytest.param(case, id=f"{topic.__name__.rpartition('.')[2]} {number}")
    for topic in TOPICS
    for number, case in enumerate(topic.CASES)
]


def result(case: Case) -> str | Failure:
    try:
        template = parse(case.template, "TEMPLATE", {"json": Function(json.marshal)})
        return template.execute(case.data)
    except GoTemplateError as error:
        return Failure(error.message)


@pytest.mark.parametrize("case", CASES)
def test_cases(case: Case) -> None:
    assert result(case) == case.expected


def test_go_says_the_same() -> None:
    cases = [case for topic in TOPICS for case in topic.CASES]
    answers = reference().ask({"template": case.template, "data": spelled(case.data)} for case in cases)
    for case, answer in zip(cases, answers, strict=True):
        if isinstance(case.expected, Failure):
            assert answer.error == case.expected.message, case.template
        else:
            assert valid(answer.output) == case.expected, case.template


def valid(output: str | None) -> str | None:
    """Every byte that is no UTF-8 as U+FFFD."""
    if output is None:
        return None
    return "".join("\ufffd" if "\udc80" <= character <= "\udcff" else character for character in output)
