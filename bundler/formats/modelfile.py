"""Modelfiles: bytes in, commands with their places out.

The grammar and its oddities are Ollama's (parser/parser.go): a `#` is a comment only where a command may start, a value
ends at the first line end where its quotes are closed, characters that do not print are left out. Two differences: a
byte that is no UTF-8 is an error, and CR LF counts as one line. Knows no files and nothing of what a command leads to.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, NamedTuple, NoReturn

from bundler.errors import BundleError
from bundler.formats import parameters
from bundler.formats.manifest import ParameterValue

COMMANDS: Final = (
    "from", "parameter", "template", "system", "message", "adapter", "draft", "renderer", "parser", "license",
    "requires",
)  # fmt: skip
ROLES: Final = ("system", "user", "assistant")

_BLANKS = " \t"
_NEWLINES = "\r\n"
_WORD = re.compile(r"[A-Za-z]*")
_NAME = re.compile(r"[A-Za-z0-9_]*")
_TO_BLANK = re.compile(r"[^ \t\r\n]*")
_TO_NEWLINE = re.compile(r"[^\r\n]*")
_SHOWN_WIDTH = 100


class Place(NamedTuple):
    """Where something stands, both counted from 1; the column in characters."""

    line: int
    column: int


class ModelfileError(BundleError):
    """A Modelfile that cannot be used, at `place` of the file called `path`."""

    def __init__(self, message: str, hint: str, path: str, place: Place) -> None:
        super().__init__(message, hint)
        self.path = path
        self.place = place


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `span` is the range of the value with its quotes in `Modelfile.text`."""

    name: str
    """One of COMMANDS."""
    key: str
    """The parameter of PARAMETER, the role of MESSAGE, else empty."""
    value: str
    place: Place
    key_place: Place
    """Of the key; of the value where there is no key."""
    value_place: Place
    span: tuple[int, int]


class Notice(NamedTuple):
    """Something to tell that stops nothing."""

    place: Place
    text: str


class Modelfile:
    """The commands of one Modelfile in their order, and its text to point into."""

    def __init__(self, text: str, path: str) -> None:
        self.text = text
        """Decoded, without a byte order mark."""
        self.path = path
        """What the file is called in errors."""
        self.commands: list[Command] = []
        self.notices: list[Notice] = []
        self._lines = [0, *(end.end() for end in re.finditer(r"\r\n|\r|\n", text))]

    def all(self, name: str) -> list[Command]:
        """The commands of one name, in order."""
        return [command for command in self.commands if command.name == name]

    def last(self, name: str) -> Command | None:
        """The last command of one name: the one that counts, where a command replaces earlier ones."""
        return next((command for command in reversed(self.commands) if command.name == name), None)

    def parameters(self) -> dict[str, ParameterValue]:
        """PARAMETERs by name: the last of each, and all of `stop`; deprecated ones are left out."""
        values: dict[str, ParameterValue] = {}
        stops: list[str] = []
        for command in self.all("parameter"):
            if command.key == "stop":
                stops.append(command.value)
                values["stop"] = stops
            elif command.key in parameters.TYPES:
                values[command.key] = parameters.convert(command.key, command.value)
        return values

    def place(self, offset: int) -> Place:
        line = bisect_right(self._lines, offset)
        return Place(line, offset - self._lines[line - 1] + 1)

    def error(self, place: Place, cause: str, hint: str = "") -> ModelfileError:
        """An error that shows the line and points at the place."""
        start = self._lines[place.line - 1]
        line = _TO_NEWLINE.match(self.text, start)
        shown = excerpt(line.group() if line else "", place.column - 1)
        message = f"failed to read Modelfile: {self.path}:{place.line}:{place.column}: {cause}\n{shown}"
        return ModelfileError(message, hint, self.path, place)

    def with_values(self, values: Iterable[tuple[Command, str]]) -> str:
        """The text with the values of some commands replaced, everything else as it was."""
        pieces = []
        at = 0
        for command, value in sorted(values, key=lambda pair: pair[0].span):
            pieces += [self.text[at : command.span[0]], value]
            at = command.span[1]
        return "".join([*pieces, self.text[at:]])


def parse(data: bytes, path: str = "Modelfile") -> Modelfile:
    """Read a Modelfile; `path` names it in errors.

    Raises:
        ModelfileError: it does not follow the grammar, names an unknown command or parameter, or has no FROM.
    """
    modelfile = Modelfile(_decode(data, path), path)
    parser = _Parser(modelfile)
    while parser.skip_to_command():
        command = parser.command()
        _check(modelfile, command)
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
        self.at = 0

    def skip_to_command(self) -> bool:
        """`(blank | newline | comment)*`; false at the end of the file."""
        text = self.text
        while self.at < len(text):
            char = text[self.at]
            if char == "#":
                self.at = _end(_TO_NEWLINE, text, self.at)
            elif char in _BLANKS or char in _NEWLINES or not _is_kept(char):
                self.at += 1
            else:
                return True
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
        value, span = self._value(name, start)
        place = self.modelfile.place
        value_place = place(span[0])
        return Command(name, key, value, place(start), place(key_at) if key else value_place, value_place, span)

    def _word(self, pattern: re.Pattern[str]) -> str:
        start, self.at = self.at, _end(pattern, self.text, self.at)
        return self.text[start : self.at]

    def _at_blank(self) -> bool:
        return self.at < len(self.text) and self.text[self.at] in _BLANKS

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
            self._fail(self.at, f"{name.upper()} {clipped(key)}".rstrip() + " has no value", _example(name))
        raise _unknown(self.modelfile, self.modelfile.place(start), what, word, known)

    def _value(self, name: str, start: int) -> tuple[str, tuple[int, int]]:
        """Lines up to the first whose end closes the quote that the value began with: `"`, `\"\"\"` or none."""
        text = self.text
        while self._at_blank():
            self.at += 1
        begin = self.at
        lines: list[str] = []
        quote = ""
        while True:
            line_start, self.at = self.at, _end(_TO_NEWLINE, text, self.at)
            line = text[line_start : self.at]
            kept = "".join(filter(_is_kept, line)) if not line.isprintable() else line
            lines.append(kept)
            if line_start == begin:
                bare = kept.strip(_BLANKS)
                quote = '"""' if bare.startswith('"""') else '"' if bare.startswith('"') else ""
                closed = len(bare) >= 2 * len(quote) and bare.endswith(quote)
            else:
                closed = kept.rstrip(_BLANKS).endswith(quote)
            if closed:
                break
            if self.at == len(text):
                self._fail_unclosed(begin, quote, lines)
            lines.append(text[self.at])
            self.at += 1
        end = begin + len(text[begin : self.at].rstrip(_BLANKS + _NEWLINES))
        self._warn_of_dropped(begin, end, name)
        value = "".join(lines).strip(_BLANKS + _NEWLINES)
        return value[len(quote) : len(value) - len(quote)], (begin, end)

    def _warn_of_dropped(self, begin: int, end: int, name: str) -> None:
        raw = self.text[begin:end]
        if raw.isprintable():
            return
        dropped = [index for index, char in enumerate(raw) if not (_is_kept(char) or char in _NEWLINES)]
        if dropped:
            named = ", ".join(sorted({f"U+{ord(raw[index]):04X}" for index in dropped})[:4])
            place = self.modelfile.place(begin + dropped[0])
            words = "characters {} do not print are" if len(dropped) > 1 else "character {} does not print is"
            text = f"{len(dropped)} {words.format(f'of {name.upper()} that')} left out ({named})"
            self.modelfile.notices.append(Notice(place, text))

    def _fail(self, offset: int, cause: str, hint: str) -> NoReturn:
        raise self.modelfile.error(self.modelfile.place(offset), cause, hint)

    def _fail_command(self, start: int, name: str) -> NoReturn:
        word = self.text[start : _end(_TO_BLANK, self.text, start)]
        if name in COMMANDS and word.lower() == name:
            self._fail(start, f"{name.upper()} has no value", _example(name))
        known = [command.upper() for command in COMMANDS]
        raise _unknown(self.modelfile, self.modelfile.place(start), "command", word, known)

    def _fail_unclosed(self, begin: int, quote: str, lines: list[str]) -> NoReturn:
        first = lines[0].strip(_BLANKS)
        if quote in first[len(quote) :]:
            hint = f"nothing may follow the closing {quote} on its line"
        else:
            hint = f"end the value with {quote}, the last characters of a line"
        self._fail(begin, f"the quote {quote} is never closed", hint)


def _check(modelfile: Modelfile, command: Command) -> None:
    if command.name == "from" and not command.value:
        raise modelfile.error(command.value_place, "FROM has no value", _example("from"))
    if command.name == "message" and command.key not in ROLES:
        raise _unknown(modelfile, command.key_place, "role", command.key, ROLES)
    if command.name != "parameter":
        return
    if command.key in parameters.DEPRECATED:
        modelfile.notices.append(Notice(command.key_place, f"parameter {command.key} is deprecated and ignored"))
    elif command.key not in parameters.TYPES:
        raise _unknown(modelfile, command.key_place, "parameter", command.key, parameters.TYPES)
    else:
        try:
            parameters.convert(command.key, command.value)
        except ValueError as cause:
            raise modelfile.error(command.value_place, str(cause), _example_value(command.key)) from cause


def _unknown(modelfile: Modelfile, place: Place, what: str, word: str, known: Iterable[str]) -> ModelfileError:
    words = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), words, 1)
    hint = f"did you mean {words[near[0]]}?" if near else f"known are {', '.join(words.values())}"
    return modelfile.error(place, f'unknown {what} "{clipped(word)}"', hint)


def _example(name: str) -> str:
    values = {"from": "./model.gguf", "parameter": "temperature 0.7", "message": "user Hello"}
    return f"write it on one line, such as: {name.upper()} {values.get(name, 'text')}"


def _example_value(name: str) -> str:
    values = {int: "42", float: "0.7", bool: "true", str: '"<|end|>"'}
    return f"such as: PARAMETER {name} {values[parameters.TYPES[name]]}"


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Where a pattern that matches everywhere ends."""
    found = pattern.match(text, at)
    return found.end() if found else at


def _is_kept(char: str) -> bool:
    """As Go's strconv.IsPrint, with tabs, and with characters that are newer than this Python's Unicode tables."""
    return char.isprintable() or char == "\t" or unicodedata.category(char) == "Cn"


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


def clipped(text: str, limit: int = 60) -> str:
    """A user's text as it may stand in a message: on one line, without control characters, not too long."""
    shown = "".join(char if char.isprintable() else "�" for char in text[:limit])
    return shown + "…" if len(text) > limit else shown


def excerpt(line: str, column: int) -> str:
    """The part of a line around a column (from 0), and a caret under it."""
    first = max(0, min(column - _SHOWN_WIDTH // 2, len(line) - _SHOWN_WIDTH))
    shown = "".join(char if char.isprintable() else " " for char in line[first : first + _SHOWN_WIDTH])
    before = shown[: column - first]
    width = sum(2 if unicodedata.east_asian_width(char) in "WF" else not unicodedata.combining(char) for char in before)
    return f"  {shown}".rstrip() + f"\n  {' ' * width}^"
