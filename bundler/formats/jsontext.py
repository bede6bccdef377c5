"""JSON that a person wrote in a file: its value, and errors that point at the line.

Text in, values out. Python's decoder reads it; where a part of the value stands is looked for only when it is at fault.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from bundler.errors import BundleError
from bundler.formats.excerpt import excerpt

MAX_SIZE: Final = 64 << 20
"""Bytes of a file."""

Path = Sequence[str | int]
"""Keys of objects and indices of lists, from the outside in."""

_BLANK = re.compile(r"[ \t\r\n]*")
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


class JsonText:
    """The text of one file; `name` is what errors call it."""

    def __init__(self, data: bytes, name: str) -> None:
        """Decode the bytes; a byte order mark of UTF-8 is left out.

        Raises:
            BundleError: they are no UTF-8, or too many.
        """
        self.name = name
        if len(data) > MAX_SIZE:
            raise BundleError(f"failed to read {name}: it is larger than {MAX_SIZE >> 20} MiB")
        try:
            self.text = data.decode("utf-8-sig")
        except UnicodeDecodeError as cause:
            line = data.count(b"\n", 0, cause.start) + 1
            raise BundleError(f"failed to read {name}:{line}: it is no UTF-8 text", "save the file as UTF-8") from cause

    def value(self) -> Any:
        """The value of the whole text.

        Raises:
            BundleError: it is no JSON, or nested too deeply.
        """
        try:
            return json.loads(self.text, parse_constant=_refuse_constant)
        except json.JSONDecodeError as cause:
            self._fail(cause.pos, f"it is no JSON: {cause.msg[:1].lower()}{cause.msg[1:]}", "")
        except _ConstantError as cause:
            self._fail(self.text.find(str(cause)), f"it is no JSON: {cause} is no number there", "")
        except RecursionError as cause:
            raise BundleError(f"failed to read {self.name}: it is nested too deeply") from cause

    def fail(self, path: Path, fault: str, hint: str = "") -> NoReturn:
        """Raise the error about the part at `path`, or about the innermost part of it that is there.

        Raises:
            BundleError: always.
        """
        self._fail(self._offset(path), fault, hint)

    def _fail(self, offset: int, fault: str, hint: str) -> NoReturn:
        start = self.text.rfind("\n", 0, offset) + 1
        line, column = self.text.count("\n", 0, offset) + 1, offset - start
        shown = excerpt(self.text[start:].partition("\n")[0], column)
        raise BundleError(f"failed to read {self.name}:{line}:{column + 1}: {fault}\n{shown}", hint)

    def _offset(self, path: Path) -> int:
        at = self._skip(0)
        for step in path:
            found = self._member(at, step)
            if found is None:
                break
            at = found
        return at

    def _member(self, at: int, step: str | int) -> int | None:
        """Where the value under one key or index begins, in the object or list that begins at `at`."""
        opening, index, found = self.text[at : at + 1], 0, None
        if opening != ("{" if isinstance(step, str) else "["):
            return None
        at = self._skip(at + 1)
        while self.text[at] not in "}]":
            key: str | int = index
            if opening == "{":
                key, at = _DECODER.raw_decode(self.text, at)
                at = self._skip(self._skip(at) + 1)
            if key == step:
                found = at  # of a key that comes twice the last counts
            at = self._skip(_DECODER.raw_decode(self.text, at)[1])
            at = self._skip(at + 1) if self.text[at] == "," else at
            index += 1
        return found

    def _skip(self, at: int) -> int:
        blank = _BLANK.match(self.text, at)
        return blank.end() if blank else at


def path_of(place: str) -> Path:
    """The path that `messages[0].content` and the like write."""
    return [key or int(index) for key, index in _STEP.findall(place)]


class _ConstantError(Exception):
    """`NaN` or `Infinity`, which Python would take."""


def _refuse_constant(word: str) -> NoReturn:
    raise _ConstantError(word)


_DECODER = json.JSONDecoder()
