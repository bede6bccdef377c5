"""Modelfiles: the grammar with its oddities, and errors that point at their place."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from bundler.formats import modelfile, parameters
from bundler.formats.modelfile import Modelfile, ModelfileError, Place, parse
from bundler.formats.modelfile.values import MAX_COMMANDS


def read(text: str) -> Modelfile:
    return parse(text.encode())


def values(text: str) -> list[tuple[str, str, str]]:
    return [(command.name, command.key, command.value) for command in read(text).commands]


def only(text: str) -> str:
    """The value of SYSTEM in a Modelfile with a FROM."""
    (command,) = read(f"FROM x\n{text}").all("system")
    return command.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("SYSTEM plain text", "plain text"),
        ("SYSTEM   \t padded \t ", "padded"),
        ("system lower case command", "lower case command"),
        ("sYsTeM mixed", "mixed"),
        ("SYSTEM\ttab", "tab"),
        ("SYSTEM a # no comment", "a # no comment"),
        ("SYSTEM 'single'", "'single'"),
        ('SYSTEM "quoted"', "quoted"),
        ('SYSTEM "  kept  "', "  kept  "),
        ('SYSTEM "two\nlines"', "two\nlines"),
        ('SYSTEM "a \\" b"', 'a \\" b'),
        ('SYSTEM "a "quoted" word"', 'a "quoted" word'),
        ('SYSTEM ""', ""),
        ('SYSTEM """"""', ""),
        ("SYSTEM ", ""),
        ('SYSTEM """three"""', "three"),
        ('SYSTEM """\nthree\n"""', "\nthree\n"),
        ('SYSTEM """say "hi" """', 'say "hi" '),
        ('SYSTEM """a"" b"""', 'a"" b'),
        ('SYSTEM """"\n"""', '"\n'),
        ('SYSTEM "foo" bar\nbaz"', 'foo" bar\nbaz'),
        ('SYSTEM """a\n\n\nb"""   ', "a\n\n\nb"),
        ('SYSTEM say "hi"', 'say "hi"'),
        ('SYSTEM """a\r\nb"""', "a\r\nb"),
        ("SYSTEM a\tb", "a\tb"),
        ("SYSTEM a\u00a0b\u200dc\u3000d\x07e\u200bf", "abcdef"),
        ("SYSTEM \u00a0", ""),
        ("SYSTEM 🦙 ä 日本語", "🦙 ä 日本語"),
        ("SYSTEM \U0001fae8", "\U0001fae8"),  # Unicode 15, unknown to Python 3.11
        ("\u200bSYSTEM x", "x"),
        ("  \t SYSTEM indented", "indented"),
        ("# SYSTEM no\n#\n#no\nSYSTEM yes", "yes"),
        ("SYSTEM x\r\n\r\n", "x"),
        ("\rSYSTEM x\r", "x"),
    ],
)
def test_values(text: str, value: str) -> None:
    assert only(text) == value


def test_all_commands_are_read_in_order() -> None:
    text = (
        "FROM a.gguf\nADAPTER l.gguf\nDRAFT d.gguf\nTEMPLATE {{ .Prompt }}\nRENDERER r\nPARSER p\nREQUIRES 0.14.0\n"
        "PARAMETER top_k 3\nMESSAGE user hi: there\nLICENSE MIT\nSYSTEM s"
    )
    assert values(text) == [
        ("from", "", "a.gguf"),
        ("adapter", "", "l.gguf"),
        ("draft", "", "d.gguf"),
        ("template", "", "{{ .Prompt }}"),
        ("renderer", "", "r"),
        ("parser", "", "p"),
        ("requires", "", "0.14.0"),
        ("parameter", "top_k", "3"),
        ("message", "user", "hi: there"),
        ("license", "", "MIT"),
        ("system", "", "s"),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(encoding: str) -> None:
    (command,) = parse("FROM ä🦙".encode(encoding)).commands
    assert command.value == "ä🦙"
    assert command.value_place == Place(1, 6)


def test_utf_16_big_endian() -> None:
    assert parse(b"\xfe\xff" + "FROM ä".encode("utf-16-be")).commands[0].value == "ä"


def test_places_count_lines_and_characters() -> None:
    _, command, message = read('FROM x\r\n  PARAMETER stop "ä\r\nb"\n\nMESSAGE user  hi').commands
    assert (command.place, command.key_place, command.value_place) == (Place(2, 3), Place(2, 13), Place(2, 18))
    assert (message.place, message.key_place, message.value_place) == (Place(5, 1), Place(5, 9), Place(5, 15))


def test_parameters_are_typed_and_the_last_wins() -> None:
    text = (
        "FROM x\nPARAMETER temperature 0.2\nPARAMETER temperature 1e-1\nPARAMETER num_ctx +4096\nPARAMETER seed -1\n"
        'PARAMETER use_mmap T\nPARAMETER stop "a b"\nPARAMETER stop c\nPARAMETER top_p ".5"\n'
    )
    assert read(text).parameters() == {
        "temperature": 0.1,
        "num_ctx": 4096,
        "seed": -1,
        "use_mmap": True,
        "stop": ["a b", "c"],
        "top_p": 0.5,
    }


@pytest.mark.parametrize("name", sorted(parameters.DEPRECATED))
def test_deprecated_parameters_are_told_and_ignored(name: str) -> None:
    found = read(f"FROM x\nPARAMETER {name} whatever\n")
    assert found.parameters() == {}
    assert found.notices == [(Place(2, 11), f"parameter {name} is deprecated and ignored")]


@pytest.mark.parametrize(
    ("name", "advice"),
    [("temprature", "; did you mean temperature?"), ("TOP_K", "; did you mean top_k?"), ("x" * 70, "")],
)
def test_unknown_parameters_are_told_and_ignored(name: str, advice: str) -> None:
    found = read(f"FROM x\nPARAMETER {name} whatever\n")
    assert found.parameters() == {}
    shown = name if len(name) <= 60 else name[:60] + "…"
    assert found.notices == [(Place(2, 11), f'unknown parameter "{shown}" is ignored{advice}')]


@pytest.mark.parametrize("version", ["0", "0.14", "0.14.0", "v1.2.3", "1.0.0-rc.1+build.05", "1.0.0--", "1.0.0+a"])
def test_versions(version: str) -> None:
    assert read(f"FROM x\nREQUIRES {version}").commands[1].value == version


@pytest.mark.parametrize(
    "version", ["", "x", "vv1", "V1", "01", "1.", "1.2.3.4", "1-rc", "1.0.0-01", "1.0.0-", "1.0.0+"]
)
def test_versions_that_are_none(version: str) -> None:
    with pytest.raises(ModelfileError) as caught:
        read(f'FROM x\nREQUIRES "{version}"\n')
    assert caught.value.message == (
        f'failed to read Modelfile: Modelfile:2:10: REQUIRES needs a semantic version, and "{version}" is none\n'
        f'  REQUIRES "{version}"\n           ^'
    )
    assert caught.value.hint == "write it on one line, such as: REQUIRES 0.14.0"


def test_left_out_characters_are_told() -> None:
    found = read("FROM x\nSYSTEM a\u200db\u3000c\u200d\n")
    assert found.notices == [(Place(2, 9), "3 characters of SYSTEM that do not print are left out (U+200D, U+3000)")]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "FORM ./model.gguf\n",
            'Modelfile:1:1: unknown command "FORM"\n  FORM ./model.gguf\n  ^',
            "did you mean FROM?",
        ),
        (
            "FROM x\n  SYSTEN hello\n",
            'Modelfile:2:3: unknown command "SYSTEN"\n    SYSTEN hello\n    ^',
            "did you mean SYSTEM?",
        ),
        (
            "日本 x",
            'Modelfile:1:1: unknown command "日本"\n  日本 x\n  ^',
            "known are FROM, PARAMETER, TEMPLATE, SYSTEM, MESSAGE, ADAPTER, DRAFT, RENDERER, PARSER, LICENSE, REQUIRES",
        ),
        (
            "FROM\nSYSTEM x\n",
            "Modelfile:1:1: FROM has no value\n  FROM\n  ^",
            "write it on one line, such as: FROM ./model.gguf",
        ),
        (
            "FROM  \n",
            "Modelfile:1:7: FROM has no value\n  FROM\n        ^",
            "write it on one line, such as: FROM ./model.gguf",
        ),
        (
            "# nothing\n",
            "Modelfile:2:1: there is no FROM\n\n  ^",
            "name the model's weights in a line such as: FROM ./model.gguf",
        ),
        (
            "FROM x\nDRAFT \n",
            "Modelfile:2:7: DRAFT has no value\n  DRAFT\n        ^",
            "write it on one line, such as: DRAFT ./draft.gguf",
        ),
        (
            'FROM x\nADAPTER ""\n',
            'Modelfile:2:9: ADAPTER has no value\n  ADAPTER ""\n          ^',
            "write it on one line, such as: ADAPTER ./adapter.gguf",
        ),
        (
            "F\0R\0O\0M\0 \0x\0",
            "Modelfile:1:1: there are zero bytes between the letters\n  F R O M   x\n  ^",
            "save the file as UTF-8",
        ),
        (
            "FROM x\nPARAMETER top-k 4\n",
            'Modelfile:2:11: unknown parameter "top-k"\n  PARAMETER top-k 4\n            ^',
            "did you mean top_k?",
        ),
        (
            "FROM x\nPARAMETER  top_k 4\n",
            "Modelfile:2:11: there is more than one space before the parameter\n  PARAMETER  top_k 4\n            ^",
            "write one space after PARAMETER",
        ),
        (
            "FROM x\nPARAMETER top_k\n",
            "Modelfile:2:16: PARAMETER top_k has no value\n  PARAMETER top_k\n                 ^",
            "write it on one line, such as: PARAMETER temperature 0.7",
        ),
        (
            "FROM x\nPARAMETER top_k 1.5\n",
            'Modelfile:2:17: top_k needs a whole number, and "1.5" is none\n  PARAMETER top_k 1.5\n                  ^',
            "such as: PARAMETER top_k 42",
        ),
        (
            "FROM x\nPARAMETER temperature warm\n",
            'Modelfile:2:23: temperature needs a number, and "warm" is none\n  PARAMETER temperature warm\n'
            "                        ^",
            "such as: PARAMETER temperature 0.7",
        ),
        (
            "FROM x\nMESSAGE User hi\n",
            'Modelfile:2:9: unknown role "User"\n  MESSAGE User hi\n          ^',
            "did you mean user?",
        ),
        (
            'FROM x\nSYSTEM "foo" bar\nmore\n',
            'Modelfile:2:8: the quote " is never closed\n  SYSTEM "foo" bar\n         ^',
            'nothing may follow the closing " on its line',
        ),
        (
            'FROM x\nSYSTEM """foo\n',
            'Modelfile:2:8: the quote """ is never closed\n  SYSTEM """foo\n         ^',
            'end the value with """, the last characters of a line',
        ),
    ],
)
def test_errors_show_the_place(text: str, message: str, hint: str) -> None:
    with pytest.raises(ModelfileError) as caught:
        read(text)
    assert caught.value.message == f"failed to read Modelfile: {message}"
    assert caught.value.hint == hint


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(ModelfileError) as caught:
        parse(b"FROM x\nSYSTEM caf\xe9\n")
    assert caught.value.message == (
        "failed to read Modelfile: Modelfile:2:11: the byte 0xe9 is no part of UTF-8 text\n  SYSTEM caf\n            ^"
    )


def test_more_commands_than_anybody_needs() -> None:
    text = "FROM x\n" + "SYSTEM y\n" * (MAX_COMMANDS - 1)
    assert len(read(text).commands) == MAX_COMMANDS
    with pytest.raises(ModelfileError) as caught:
        read(text + "#\n  SYSTEM z\n")
    assert caught.value.message == (
        "failed to read Modelfile: Modelfile:5002:3: there are more than 5000 commands\n    SYSTEM z\n    ^"
    )


def test_a_caret_stands_under_wide_characters_and_in_long_lines() -> None:
    found = read("FROM x\nSYSTEM 日本語 x" + "y" * 500)
    wide = found.error(Place(2, 12), "here").message.splitlines()
    assert wide[2] == "  " + " " * 14 + "^"
    late = found.error(Place(2, 400), "here").message.splitlines()
    assert len(late[1]) == 102
    assert late[2].index("^") < 102


def test_an_empty_stop_is_refused() -> None:
    with pytest.raises(ModelfileError, match="stop needs some text"):
        read('FROM x\nPARAMETER stop ""')


def test_values_are_replaced_and_nothing_else() -> None:
    text = '# mine\r\nFROM  "/home/me/a.gguf"  \r\nSYSTEM """\nä\n""" \n\n'
    found = read(text)
    assert found.with_values([(found.all("from")[0], "./models/a.gguf")]) == text.replace(
        '"/home/me/a.gguf"', "./models/a.gguf"
    )


@given(st.binary(max_size=200))
@example(b"\xff\xfeF\x00")
@example(b'FROM x\nSYSTEM """')
def test_any_bytes_give_commands_or_one_error(data: bytes) -> None:
    with suppress(ModelfileError):
        parse(data)


WORDS = [*(name.upper() for name in modelfile.COMMANDS), "user", "top_k", "stop", '"', '"""', "#", "\n", "\r\n", "\t"]


@given(st.lists(st.sampled_from([*WORDS, " ", "x", "1", "\u200d", "ä"]), max_size=40))
def test_any_words_give_commands_or_one_error(words: list[str]) -> None:
    text = "FROM x\n" + "".join(words)
    error = None
    try:
        commands = read(text).commands
    except ModelfileError as caught:
        commands, error = [], caught
    for command in commands:
        raw = text[slice(*command.span)]
        assert raw.strip(' \t\r\n"').replace("\u200d", "") == command.value.strip(' \t\r\n"')
    if error:
        assert 1 <= error.place.line <= text.count("\n") + text.count("\r") + 1
        assert error.place.column >= 1
        assert error.message.endswith("^")
        assert error.hint


@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]) | st.sampled_from(" \n\t"), min_size=1))
def test_quoted_text_comes_back_to_the_byte(text: str) -> None:
    assume('"""' not in text and not text.endswith('"'))
    assert only(f'SYSTEM """{text}"""') == text


@pytest.mark.parametrize(
    ("text", "offset", "place"),
    [
        ("TEMPLATE abc", 2, (2, 12)),
        ('TEMPLATE "abc"', 2, (2, 13)),
        ('TEMPLATE  """abc\r\ndef"""', 5, (3, 1)),
        ('TEMPLATE """abc\ndef"""', 6, (3, 3)),
        ("TEMPLATE a\u200db", 1, (2, 12)),
        ("TEMPLATE \u200d abc", 0, (2, 12)),
        ('TEMPLATE "abc"', 9, (2, 15)),
    ],
)
def test_places_within_a_value(text: str, offset: int, place: tuple[int, int]) -> None:
    modelfile = parse(f"FROM a.gguf\n{text}\n".encode())
    assert modelfile.place_within(modelfile.commands[1], offset) == place
