"""html, js and urlquery; a test compares the table with Go where there is one."""

from __future__ import annotations

from typing import Any

import pytest

from bundler.prompt.foreign import Foreign, ranges
from bundler.prompt.gotemplate import escape
from tests.prompt.gotemplate.go import reference
from tests.prompt.gotemplate.wire import spelled

CALLS = {"html": escape.html, "js": escape.js, "urlquery": escape.urlquery}
CASES: list[tuple[str, tuple[Any, ...], str]] = [
    ("html", ('<a href="x">\'&\0é',), "&lt;a href=&#34;x&#34;&gt;&#39;&amp;\ufffdé"),
    ("html", (None,), "&lt;no value&gt;"),
    ("html", (1, 2, "a", [None]), "1 2a[&lt;nil&gt;]"),
    ("html", (), ""),
    ("js", ("'\"\\<>&=\n\x7fé\u2028\U000e0001",), "\\'\\\"\\\\\\u003C\\u003E\\u0026\\u003D\\u000A\x7fé\\u2028\\uE0001"),
    ("js", ("\udcff",), "\udcff"),
    ("urlquery", ("a b+c/ü~-_.?&=%\udcff",), "a+b%2Bc%2F%C3%BC~-_.%3F%26%3D%25%FF"),
    ("urlquery", ({"a": 1},), "map%5Ba%3A1%5D"),
]


@pytest.mark.parametrize(("name", "operands", "expected"), CASES)
def test_escape(name: str, operands: tuple[Any, ...], expected: str) -> None:
    assert CALLS[name](*operands) == expected


def test_the_table_is_go_s_own() -> None:
    answers = reference().ask({"call": name, "operands": [*map(spelled, operands)]} for name, operands, _ in CASES)
    assert [answer.output for answer in answers] == [expected for *_, expected in CASES]


@pytest.mark.parametrize("name", CALLS)
def test_what_is_made_of_foreign_text_is_foreign(name: str) -> None:
    assert ranges(CALLS[name](Foreign("ab"))) == ((0, 2),)
    assert ranges(CALLS[name]("ab")) == ()
