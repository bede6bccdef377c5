"""Reads forward through the bytes of one GGUF, each length checked against the file before anything is read.

Knows how numbers and strings lie in the file; what they are is for `gguf`.
"""

from __future__ import annotations

import re
import struct
from functools import cache
from typing import Final, NoReturn

from bundler.errors import BundleError
from bundler.formats.source import Source

MAX_STRING: Final = 16 << 20
"""Bytes of one string that is read as a value; longer ones can only be stepped over."""
U32: Final = struct.Struct("<I")
U64: Final = struct.Struct("<Q")

_WINDOW = 256 << 10
_DAMAGED = "the file is damaged; get it again from its source"


class GgufError(BundleError):
    """The bytes are no usable GGUF; `offset` counts from the GGUF's first byte."""

    def __init__(self, message: str, hint: str, offset: int) -> None:
        super().__init__(message, hint)
        self.offset = offset


class GgufBytes:
    """The bytes of one GGUF inside a source, and the errors about them."""

    def __init__(self, source: Source, offset: int, size: int, label: str) -> None:
        self._source, self._offset, self.size, self.label = source, offset, size, label

    def read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes, which the caller has checked to lie within the GGUF."""
        data = self._source.read_at(self._offset + offset, size)
        if len(data) != size:
            self.fail("the file became shorter while it was read", offset)
        return data

    def decode(self, data: bytes, what: str, offset: int) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError:
            self.fail(f"{what} is no UTF-8 text", offset)

    def fail(self, cause: str, offset: int, hint: str = _DAMAGED) -> NoReturn:
        shown = "".join(char if char.isprintable() else "�" for char in cause[:300])
        raise GgufError(f"failed to read GGUF {self.label}: at byte {offset}: {shown}", hint, offset)


class Cursor:
    """Reads forward through a source, a window at a time."""

    def __init__(self, source: GgufBytes, at: int = 0) -> None:
        self.source, self.at = source, at
        self._window, self._start = b"", at

    def take(self, size: int, what: str) -> bytes:
        self._require(size, what)
        low = self.at - self._start
        if low < 0 or low + size > len(self._window):
            self._start = self.at
            self._window = self.source.read(self.at, min(max(size, _WINDOW), self.source.size - self.at))
            low = 0
        self.at += size
        return self._window[low : low + size]

    def number(self, kind: struct.Struct, what: str) -> int:
        value: int = kind.unpack(self.take(kind.size, what))[0]
        return value

    def content(self, what: str) -> bytes:
        size = self.number(U64, what)
        if size > MAX_STRING:
            self.source.fail(f"{what} is {size} bytes long, more than {MAX_STRING}", self.at)
        return self.take(size, what)

    def text(self, limit: int, what: str) -> str:
        start = self.at
        size = self.number(U64, what)
        if size > limit:
            self.source.fail(f"{what} is {size} bytes long, more than {limit}", start)
        return self.source.decode(self.take(size, what), what, start)

    def skip(self, size: int, what: str) -> None:
        self._require(size, what)
        self.at += size

    def skip_strings(self, count: int, what: str) -> tuple[tuple[int, int], ...]:
        """Step over `count` strings; returns (index, offset) of some of them, the first always among them."""
        anchors = []
        left = count
        while left:
            anchors.append((count - left, self.at))
            self._require(8, what)
            window = self.source.read(self.at, min(_WINDOW, self.source.size - self.at))
            size, done = _strings_within(window, left)
            self.skip(size, what)
            left -= done
        return tuple(anchors)

    def _require(self, size: int, what: str) -> None:
        if size > self.source.size - self.at:
            self.source.fail(
                f"the file ends in the middle of its header ({what})",
                self.at,
                "the download was cut short; get the file again from its source",
            )


def _run_of_strings(count: int) -> re.Pattern[bytes]:
    """Matches `count` strings of up to 64 bytes, each behind its 64-bit length."""
    lengths = sorted(range(65), key=lambda length: (abs(length - 7), length))
    one = b"|".join(re.escape(bytes([n])) + rb"\0\0\0\0\0\0\0.{%d}" % n for n in lengths)
    return re.compile(b"(?s)(?:%b){%d}+" % (one, count))


@cache
def _runs() -> tuple[tuple[int, re.Pattern[bytes]], ...]:
    # The regular expression engine walks a vocabulary four times as fast as a loop over struct.unpack_from.
    return tuple((count, _run_of_strings(count)) for count in (64, 8))


def _strings_within(window: bytes, limit: int) -> tuple[int, int]:
    """How far the strings at the start of `window` reach, up to `limit` of them: (bytes, strings).

    The last one may reach beyond the window; at least one is taken where the window holds its length.
    """
    at = done = 0
    while done < limit and at + 8 <= len(window):
        for count, run in _runs():
            while done + count <= limit and (found := run.match(window, at)):
                at, done = found.end(), done + count
        for _ in range(min(8, limit - done)):
            if at + 8 > len(window):
                break
            at, done = at + 8 + U64.unpack_from(window, at)[0], done + 1
    return at, done
