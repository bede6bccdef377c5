"""What a Modelfile says, and where it says it."""

from __future__ import annotations

import re
import unicodedata
from array import array
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from bundler.errors import BundleError
from bundler.formats import parameters
from bundler.formats.excerpt import excerpt
from bundler.formats.manifest import ParameterValue

COMMANDS: Final = (
    "from", "parameter", "template", "system", "message", "adapter", "draft", "renderer", "parser", "license",
    "requires",
)  # fmt: skip
ROLES: Final = ("system", "user", "assistant")
MAX_SIZE: Final = 4 << 20
"""Bytes of a Modelfile, its licences included."""
MAX_COMMANDS: Final = 5000
BLANKS: Final = " \t"
NEWLINES: Final = "\r\n"

_TO_NEWLINE = re.compile(r"[^\r\n]*")


class Place(NamedTuple):
    """Where something stands, both counted from 1; the column in characters."""

    line: int
    column: int


class Instruction(NamedTuple):
    """What one command says, wherever it stands."""

    name: str
    """One of COMMANDS."""
    key: str
    """The parameter of PARAMETER, the role of MESSAGE, else empty."""
    value: str


class ModelfileError(BundleError):
    """A Modelfile that cannot be used, at `place` of the file called `path`; `cause` is what is wrong there."""

    def __init__(self, message: str, hint: str, path: str, place: Place, cause: str) -> None:
        super().__init__(message, hint)
        self.cause = cause
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
    inherited: bool = False
    """Whether a FROM brings it; its places and its span are then those of that FROM's value."""

    @property
    def instruction(self) -> Instruction:
        return Instruction(self.name, self.key, self.value)


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
        self._lines = array("I", [0])
        self._lines.extend(end.end() for end in re.finditer(r"\r\n|\r|\n", text))

    def all(self, name: str) -> list[Command]:
        """The commands of one name, in order."""
        return [command for command in self.commands if command.name == name]

    def last(self, name: str) -> Command | None:
        """The last command of one name: the one that counts, where a command replaces earlier ones."""
        return next((command for command in reversed(self.commands) if command.name == name), None)

    def parameters(self) -> dict[str, ParameterValue]:
        """PARAMETERs by name: the last of each, and all of `stop`; deprecated and unknown ones are left out."""
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

    def place_within(self, command: Command, offset: int) -> Place:
        """Where the character at `offset` of a command's value stands; its end for offsets beyond the value."""
        if command.inherited:
            return command.value_place
        start, end = command.span
        kept = [at for at in range(start, end) if is_kept(self.text[at]) or self.text[at] in NEWLINES]
        raw = "".join(self.text[at] for at in kept)
        blank = len(raw) - len(raw.lstrip(BLANKS + NEWLINES))
        quote = (len(raw.strip(BLANKS + NEWLINES)) - len(command.value)) // 2
        first = blank + quote
        return self.place(kept[first + offset] if first + offset < len(kept) else end)

    def warning(self, notice: Notice) -> str:
        """A notice as one line that begins with file, line and column."""
        return f"{self.path}:{notice.place.line}:{notice.place.column}: {notice.text}"

    def error(self, place: Place, cause: str, hint: str = "") -> ModelfileError:
        """An error that shows the line and points at the place."""
        start = self._lines[place.line - 1]
        line = _TO_NEWLINE.match(self.text, start)
        shown = excerpt(line.group() if line else "", place.column - 1)
        message = f"failed to read Modelfile: {self.path}:{place.line}:{place.column}: {cause}\n{shown}"
        return ModelfileError(message, hint, self.path, place, cause)

    def with_values(self, values: Iterable[tuple[Command, str]]) -> str:
        """The text with the values of some commands replaced, everything else as it was."""
        pieces = []
        at = 0
        for command, value in sorted(values, key=lambda pair: pair[0].span):
            pieces += [self.text[at : command.span[0]], value]
            at = command.span[1]
        return "".join([*pieces, self.text[at:]])


def is_kept(char: str) -> bool:
    """Whether a character may stand in a value: as Go's strconv.IsPrint says, with tabs.

    Characters that are newer than this Python's Unicode tables are kept too.
    """
    return char.isprintable() or char == "\t" or unicodedata.category(char) == "Cn"


def kept(text: str) -> str:
    """The text without what a Modelfile leaves out of its values."""
    return "".join(char for char in text if is_kept(char) or char in NEWLINES)
