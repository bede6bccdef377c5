"""Page files: what they may say, and where they are wrong."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler.errors import BundleError
from bundler.formats.manifest import Page
from bundler.formats.pagefile import parse

EIGHT = ", ".join(f'"Is it {number}?"' for number in range(8))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('greeting = "Hi"', Page(greeting="Hi")),
        ('starters = ["Who are you?"]', Page(starters=["Who are you?"])),
        (f"starters = [{EIGHT}]", Page(starters=[f"Is it {number}?" for number in range(8)])),
        ("greeting = '''\n  Two\nlines\n'''\r\n", Page(greeting="Two\nlines")),
        ('\ufeffgreeting = "Grüß Gott 👩‍🔬"\nstarters = [\n  " A? ", # one\n  \'B "b"?\',\n]\n',
         Page(greeting="Grüß Gott 👩‍🔬", starters=["A?", 'B "b"?'])),
    ],
)  # fmt: skip
def test_a_greeting_and_questions(text: str, expected: Page) -> None:
    assert parse(text.encode()) == expected


@pytest.mark.parametrize(
    ("text", "cause", "hint"),
    [
        ("", "1:1: it says nothing\n\n  ^", 'write a greeting or starters, such as: greeting = "Hello!"'),
        (
            'greeting = "Hi"\nstarter = ["A?"]\n',
            '2:1: unknown key "starter"\n  starter = ["A?"]\n  ^',
            "did you mean starters?",
        ),
        ("[colours]\nink = 1\n", '1:2: unknown key "colours"\n  [colours]\n   ^', "known are greeting and starters"),
        ("# no\ngreeting = 3", "2:1: greeting needs a text, and this is none\n  greeting = 3\n", "such as: "),
        ('greeting = " "', '1:1: greeting has no text\n  greeting = " "\n  ^', "such as: greeting = "),
        (f'greeting = "{"x" * 301}"', "1:1: greeting is longer than 300 characters\n", "such as: greeting = "),
        ('greeting = "a\\u0007"', "1:1: greeting has characters that do not print\n", "such as: greeting = "),
        ('starters = "A?"', "1:1: starters needs a list of questions, and this is none\n", "such as: starters = "),
        ("starters = []", "1:1: starters has 0 questions, not 1 to 8\n", "such as: starters = "),
        (f'starters = [{EIGHT}, "More?"]', "1:1: starters has 9 questions, not 1 to 8\n", "such as: starters = "),
        (
            'starters = [\n  "A [b]?", # ok\n  7,\n]',
            "3:3: a starter needs a text, and this is none\n    7,\n    ^",
            "such as: starters = ",
        ),
        ('starters = ["A?", ["B?"]]', "1:19: a starter needs a text, and this is none\n", "such as: starters = "),
        ('starters = ["A?", " "]', '1:19: the question has no text\n', "such as: starters = "),
        ('starters = ["A?", "B?", "A? "]', "1:25: the question is there already\n", "such as: starters = "),
        (f'starters = ["{"x" * 121}"]', "1:13: the question is longer than 120 characters\n", "such as: starters = "),
        (
            'starters = ["a\\nb"]',
            "1:13: the question has line ends, or characters that do not print\n",
            "such as: starters = ",
        ),
        ("greeting = Hi", "1:12: it is no TOML: invalid value\n  greeting = Hi\n", "mind quotes, commas and brackets"),
        ('starters = ["A?"', "1:17: it is no TOML: unclosed array\n", "mind quotes, commas and brackets"),
        ("starters = " + "[" * 9999, "1:1: it is no TOML: it is nested", "mind quotes, commas and brackets"),
        ('a = "b"\na = "c"', "2:8: it is no TOML: cannot overwrite a value\n", "mind quotes, commas and brackets"),
    ],
)  # fmt: skip
def test_errors_show_the_place(text: str, cause: str, hint: str) -> None:
    with pytest.raises(BundleError) as caught:
        parse(text.encode())
    assert caught.value.message.startswith(f"failed to read page.toml:{cause}")
    assert caught.value.message.endswith("^")
    assert caught.value.hint.startswith(hint)


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(BundleError) as caught:
        parse(b'greeting = "caf\xe9"', "my.toml")
    assert caught.value.message == (
        'failed to read my.toml:1:16: the byte 0xe9 is no part of UTF-8 text\n  greeting = "caf\n                 ^'
    )


WORDS = [
    "greeting",
    "starters",
    "=",
    "[",
    "]",
    "{",
    "}",
    ",",
    '"',
    "'",
    '"""',
    "'''",
    "\\",
    "#",
    "\n",
    " ",
    "x",
    "1",
    ".",
]


@given(st.lists(st.sampled_from(WORDS), max_size=30) | st.text(max_size=60))
def test_any_text_gives_a_page_or_one_error(words: list[str] | str) -> None:
    text = "".join(words)
    with suppress(BundleError):
        found = parse(text.encode("utf-8", "replace"))
        assert found.greeting or found.starters
