"""A template that asks for too much ends with one clear error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bundler.prompt.gotemplate import limits
from bundler.prompt.gotemplate.errors import ExecutionError, LimitError, ParseError
from bundler.prompt.gotemplate.template import parse


def read(text: str) -> str:
    with pytest.raises(LimitError) as raised:
        parse(text)
    return raised.value.message


def run(text: str, data: Any = None) -> str:
    with pytest.raises(LimitError) as raised:
        parse(text).execute(data)
    return raised.value.message


def test_length() -> None:
    assert parse("x" * limits.SOURCE).execute(None) == "x" * limits.SOURCE
    assert read("x" * (limits.SOURCE + 1)) == f"template: TEMPLATE:1: longer than {limits.SOURCE} characters"


NESTED: dict[str, Callable[[int], str]] = {
    "if": lambda levels: "{{if 1}}" * levels + "x" + "{{end}}" * levels,
    "else if": lambda levels: "{{if 0}}" + "{{else if 0}}" * (levels - 1) + "{{else}}x{{end}}",
    "range": lambda levels: "{{range 1}}" * levels + "x" + "{{end}}" * levels,
    "with": lambda levels: "{{with 1}}" * levels + "x" + "{{end}}" * levels,
    "parentheses": lambda levels: "{{print " + "(" * levels + "`x`" + ")" * levels + "}}",
    "block": lambda levels: "".join(f"{{{{block `{n}` 1}}}}" for n in range(levels)) + "x" + "{{end}}" * levels,
}


@pytest.mark.parametrize("kind", NESTED)
def test_nesting(kind: str) -> None:
    nested = NESTED[kind]
    assert parse(nested(limits.NESTING)).execute(None) == "x"
    assert read(nested(limits.NESTING + 1)) == f"template: TEMPLATE:1: nested deeper than {limits.NESTING} levels"
    assert read(nested(9_000)) == read(nested(limits.NESTING + 1))


def test_variables() -> None:
    assert parse("{{$x := 1}}" * (limits.VARIABLES - 1) + "{{$x}}").execute(None) == "1"
    assert parse(("{{if 1}}" + "{{$x := 1}}" * 600 + "{{end}}") * 3).execute(None) == ""
    message = f"template: TEMPLATE:2: more than {limits.VARIABLES} variables"
    assert read("{{$x := 1}}" * (limits.VARIABLES - 1) + "\n{{$x = 2}}") == message


def test_templates_that_call_themselves() -> None:
    message = "exceeded maximum template depth (100)"
    assert run("{{define `a`}}{{template `a`}}{{end}}\n {{template `a`}}") == (
        f'template: TEMPLATE:1:25: executing "a" at <{{{{template "a"}}}}>: {message}'
    )
    assert run("{{define `a`}}{{template `b`}}{{end}}{{define `b`}}{{template `a`}}{{end}}{{template `a`}}").endswith(
        message
    )


def test_templates_that_call_themselves_in_nested_branches() -> None:
    text = "{{define `a`}}" + "{{if 1}}" * 60 + "{{template `a`}}" + "{{end}}" * 61 + "{{template `a`}}"
    assert run(text) == "template: TEMPLATE: it nests too deeply"


STEPS = f"template: TEMPLATE: it takes more than {limits.STEPS + 1} steps"


@pytest.mark.parametrize(
    "text",
    [
        "{{range 9223372036854775807}}{{end}}",
        "{{range 2000}}{{range 2000}}{{if eq . 1}}{{end}}{{end}}{{end}}",
        "{{range $i := 10000000}}{{$x := print $i}}{{end}}",
        "".join(
            f"{{{{define `{n}`}}}}{{{{template `{n + 1}`}}}}{{{{template `{n + 1}`}}}}{{{{end}}}}" for n in range(40)
        )
        + "{{define `40`}}{{end}}{{template `0`}}",
        "{{range 10000}}" + "{{len `x`}}" * 1000 + "{{end}}",
    ],
    ids=["range", "ranges", "calls", "templates", "body"],
)
def test_steps(text: str) -> None:
    assert run(text) == STEPS


def test_many_parts_may_take_many_steps() -> None:
    """Templates in wide use look through all messages at every message."""
    messages = [{"Role": "user", "Content": "Hello!"}] * 700
    text = "{{range .Messages}}{{range $.Messages}}{{if eq .Role `tool`}}{{.Role}}{{end}}{{end}}{{end}}done"
    assert parse(text).execute({"Messages": messages}) == "done"


TEXT = "template: TEMPLATE: it takes too much text"


@pytest.mark.parametrize(
    "text",
    [
        "{{range 100000}}" + "x" * 10_000 + "{{end}}",
        "{{range 100000}}{{$.Long}}{{end}}",
        "{{.Long}}" * 10_000,
        "{{$x := .Long}}" + "{{$x = print $x $x}}" * 8 + "{{range 100}}{{$y := print $x}}{{end}}",
        "{{range 100000}}{{$x := slice $.Long 1}}{{end}}",
        "{{range 1000}}{{$x := printf `%1000000d` 1}}{{end}}",
        "{{.List}}" * 25_000,
    ],
    ids=["template's", "data's", "data's in a row", "doubled", "parts", "padding", "printed"],
)
def test_text(text: str) -> None:
    assert run(text, {"Long": "y" * 50_000, "List": ["y" * 50_000]}) == TEXT


def test_one_call_makes_only_so_much() -> None:
    with pytest.raises(ExecutionError) as raised:
        parse("{{$x := .}}" + "{{$x = print $x $x}}" * 10).execute("y" * 50_000)
    assert raised.value.message == (
        'template: TEMPLATE:1:178: executing "TEMPLATE" at <print $x $x>: error calling print: '
        "it makes more than 16777216 characters"
    )


def test_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SECONDS", -1.0)
    assert run("{{range 1000}}x{{end}}") == "template: TEMPLATE: it takes more than -1 seconds"


def test_long_rows_are_no_nesting() -> None:
    """What is long but flat is read without recursion."""
    assert parse("{{or " + "0 " * 20_000 + "1}}").execute(None) == "1"
    assert parse("{{." + "A." * 20_000 + "A}}").execute({}) == "<no value>"
    assert parse("{{1" + " | print" * 100 + "}}").execute(None) == "1"
    assert run("{{1" + " | print" * 20_000 + "}}") == "template: TEMPLATE: it nests too deeply"
    with pytest.raises(ParseError, match=r"unclosed action$"):
        parse("{{" + " " * 100_000)
