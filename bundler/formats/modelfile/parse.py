"""The grammar of Modelfiles, as Ollama's parser/parser.go reads them.

A `#` is a comment only where a command may start, a value ends at the first line end where its quotes are closed,
characters that do not print are left out. Differences, on purpose: a byte that is no UTF-8 is an error, CR LF counts as
one line, characters that do not print may also stand before a comment or alone, and an unknown parameter is a notice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NoReturn

from bundler.formats import parameters
from bundler.formats.excerpt import clipped
from bundler.formats.modelfile.check import check_command, example, unknown
from bundler.formats.modelfile.values import (
    BLANKS,
    COMMANDS,
    MAX_COMMANDS,
    NEWLINES,
    ROLES,
    Command,
    Modelfile,
    Notice,
    is_kept,
)

_WORD = re.compile(r"[A-Za-z]*")
_NAME = re.compile(r"[A-Za-z0-9_]*")
_GAP = re.compile(r"[ \t\r\n]*")
_BLANKS = re.compile(r"[ \t]*")
_TO_BLANK = re.compile(r"[^ \t\r\n]*")
_TO_NEWLINE = re.compile(r"[^\r\n]*")


def parse(data: bytes, path: str = "Modelfile") -> Modelfile:
    """Read a Modelfile; `path` names it in errors.

    Raises:
        ModelfileError: it does not follow the grammar, names an unknown command or role, has a value that its command
            cannot take, or has no FROM.
    """
    modelfile = Modelfile(_decode(data, path), path)
    parser = _Parser(modelfile)
    while parser.skip_to_command():
        if len(modelfile.commands) == MAX_COMMANDS:
            raise modelfile.error(
                modelfile.place(parser.at), f"there are more than {MAX_COMMANDS} commands", "leave some out"
            )
        command = parser.command()
        check_command(modelfile, command)
        modelfile.commands.append(command)
    if not modelfile.all("from"):
        raise modelfile.error(
            modelfile.place(len(modelfile.text)),
            "there is no FROM",
            "name the model's weights in a line such as: FROM ./model.gguf",
        )
    return modelfile


class _Parser:
    """Where the reading stands; one method for each production of the grammar."""

    def __init__(self, modelfile: Modelfile) -> None:
        self.modelfile = modelfile
        self.text = modelfile.text
        self.unwanted = {ord(char): None for char in set(self.text) - set(NEWLINES) if not is_kept(char)}
        self.at = 0

    def skip_to_command(self) -> bool:
        """`(blank | newline | comment)*`; false at the end of the file."""
        text = self.text
        while (at := _end(_GAP, text, self.at)) < len(text):
            self.at = at
            if text[at] == "#":
                self.at = _end(_TO_NEWLINE, text, at)
            elif is_kept(text[at]):
                return True
            else:
                self.at += 1
        return False

    def command(self) -> Command:
        """`word blank value`, or `word blank key blank value` for PARAMETER and MESSAGE."""
        start = self.at
        name = self._word(_WORD).lower()
        if name not in COMMANDS or not self._at_blank():
            self._fail_command(start, name)
        self.at += 1
        key, key_at = "", self.at
        if name == "parameter":
            key = self._key(name, _NAME, "parameter", parameters.TYPES)
        elif name == "message":
            key = self._key(name, _WORD, "role", ROLES)
        value, span = self._value(name)
        place = self.modelfile.place
        value_place = place(span[0])
        return Command(name, key, value, place(start), place(key_at) if key else value_place, value_place, span)

    def _word(self, pattern: re.Pattern[str]) -> str:
        start, self.at = self.at, _end(pattern, self.text, self.at)
        return self.text[start : self.at]

    def _at_blank(self) -> bool:
        return self.at < len(self.text) and self.text[self.at] in BLANKS

    def _key(self, name: str, pattern: re.Pattern[str], what: str, known: Iterable[str]) -> str:
        """`[A-Za-z0-9_]+` for a parameter, `[A-Za-z]+` for a role, exactly one blank before it and one after."""
        start = self.at
        key = self._word(pattern)
        if key and self._at_blank():
            self.at += 1
            return key
        word = self.text[start : _end(_TO_BLANK, self.text, start)]
        if self._at_blank():
            self._fail(
                start, f"there is more than one space before the {what}", f"write one space after {name.upper()}"
            )
        if key == word:
            self._fail(self.at, f"{name.upper()} {clipped(key)}".rstrip() + " has no value", example(name))
        raise unknown(self.modelfile, self.modelfile.place(start), what, word, known)

    def _value(self, name: str) -> tuple[str, tuple[int, int]]:
        """Lines up to the first whose end closes the quote that the value began with: `"`, `\"\"\"` or none."""
        text = self.text
        begin = self.at = _end(_BLANKS, text, self.at)
        sieve = _Sieve(self.unwanted)
        line = sieve.kept(self._line(), begin)
        pieces = [line]
        line = line.strip(BLANKS)
        quote = '"""' if line.startswith('"""') else '"' if line.startswith('"') else ""
        if len(line) < 2 * len(quote):
            line = ""
        while not line.endswith(quote):
            if self.at == len(text):
                self._fail_unclosed(begin, quote, pieces[0].strip(BLANKS))
            at = self.at
            self.at += 1
            line = sieve.kept(self._line(), self.at)
            pieces += [text[at], line]
            line = line.rstrip(BLANKS)
        self.modelfile.notices += sieve.notices(self.modelfile, name)
        end = begin + len(text[begin : self.at].rstrip(BLANKS + NEWLINES))
        value = "".join(pieces).strip(BLANKS + NEWLINES)
        return value[len(quote) : len(value) - len(quote)], (begin, end)

    def _line(self) -> str:
        return self._word(_TO_NEWLINE)

    def _fail(self, offset: int, cause: str, hint: str) -> NoReturn:
        raise self.modelfile.error(self.modelfile.place(offset), cause, hint)

    def _fail_command(self, start: int, name: str) -> NoReturn:
        word = self.text[start : _end(_TO_BLANK, self.text, start)]
        if name in COMMANDS and word.lower() == name:
            self._fail(start, f"{name.upper()} has no value", example(name))
        if "\0" in word:
            self._fail(start, "there are zero bytes between the letters", "save the file as UTF-8")
        known = [command.upper() for command in COMMANDS]
        raise unknown(self.modelfile, self.modelfile.place(start), "command", word, known)

    def _fail_unclosed(self, begin: int, quote: str, first_line: str) -> NoReturn:
        if quote in first_line[len(quote) :]:
            hint = f"nothing may follow the closing {quote} on its line"
        else:
            hint = f"end the value with {quote}, the last characters of a line"
        self._fail(begin, f"the quote {quote} is never closed", hint)


class _Sieve:
    """Takes out of a value's lines what does not print, and remembers what it was."""

    def __init__(self, unwanted: dict[int, None]) -> None:
        self._unwanted = unwanted
        self._found: set[str] = set()
        self._count = 0
        self._first = 0

    def kept(self, line: str, offset: int) -> str:
        """What is kept of a line that begins at `offset` of the text."""
        kept = line.translate(self._unwanted) if self._unwanted and not line.isprintable() else line
        if len(kept) == len(line):
            return line
        if not self._count:
            self._first = offset + next(index for index, char in enumerate(line) if ord(char) in self._unwanted)
        self._found.update(set(line) - set(kept))
        self._count += len(line) - len(kept)
        return kept

    def notices(self, modelfile: Modelfile, name: str) -> list[Notice]:
        if not self._count:
            return []
        named = ", ".join(f"U+{ord(char):04X}" for char in sorted(self._found)[:4])
        words = (
            "characters of {} that do not print are" if self._count > 1 else "character of {} that does not print is"
        )
        text = f"{self._count} {words.format(name.upper())} left out ({named})"
        return [Notice(modelfile.place(self._first), text)]


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Where a pattern that matches everywhere ends."""
    found = pattern.match(text, at)
    return found.end() if found else at


def _decode(data: bytes, path: str) -> str:
    encoding, skip = "utf-8", 0
    for mark, name in ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if data.startswith(mark):
            encoding, skip = name, len(mark)
    try:
        return data[skip:].decode(encoding)
    except UnicodeDecodeError as cause:
        before = Modelfile(data[skip : skip + cause.start].decode(encoding, "replace"), path)
        byte = data[skip + cause.start]
        raise before.error(
            before.place(len(before.text)),
            f"the byte 0x{byte:02x} is no part of {encoding.upper()} text",
            "save the file as UTF-8",
        ) from cause
