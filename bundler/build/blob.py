"""Bytes that a build puts into a file: ranges of files and pieces of memory, in order.

A model inside another file (a bundle, a llamafile) or in several (a split GGUF) is one value, so that nothing is copied
before the bundle itself is written.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from bundler.errors import BundleError
from bundler.formats.source import BytesSource, FileSource, Source


class Stamp(NamedTuple):
    """What tells that a file is not what it was."""

    size: int
    modified: int
    """In nanoseconds."""


@dataclass(frozen=True, slots=True)
class Range:
    """`size` bytes of the file at `path` from `offset`; `stamp` is the file's when it was looked at."""

    path: Path
    offset: int
    size: int
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes put together from pieces. `label` names them in errors; `sha256` and `crc32` are known ones to compare."""

    pieces: tuple[Range | bytes, ...]
    label: str = field(compare=False)
    sha256: str = ""
    crc32: int | None = None

    @property
    def size(self) -> int:
        return sum(map(_size, self.pieces))

    @property
    def files(self) -> list[Path]:
        """The files that bytes come from, each once."""
        return list(dict.fromkeys(piece.path for piece in self.pieces if isinstance(piece, Range)))

    @property
    def range(self) -> Range | None:
        """The one range that it is; None where it is put together."""
        (first, *others) = self.pieces or (b"",)
        return first if isinstance(first, Range) and not others else None

    def slice(self, offset: int, size: int) -> list[Range | bytes]:
        """The pieces of a range of the bytes."""
        found: list[Range | bytes] = []
        for piece in self.pieces:
            begin, end = min(offset, _size(piece)), min(offset + size, _size(piece))
            if begin < end and isinstance(piece, Range):
                found.append(Range(piece.path, piece.offset + begin, end - begin, piece.stamp))
            elif begin < end and isinstance(piece, bytes):
                found.append(piece[begin:end])
            offset = max(0, offset - _size(piece))
            size -= end - begin
        return found

    @contextmanager
    def opened(self) -> Iterator[Source]:
        """The bytes for reading; each file is open within the context.

        Raises:
            BundleError: a file cannot be opened, or changed since it was looked at.
        """
        with ExitStack() as stack:
            sources: dict[Path, Source] = {}
            for piece in self.pieces:
                if isinstance(piece, Range) and piece.path not in sources:
                    sources[piece.path] = FileSource(stack.enter_context(open_range(piece)))
            yield _Joined(self.pieces, sources)


def of(data: bytes | Path | Blob, label: str = "") -> Blob:
    """Bytes of memory, a whole file, or what is a blob already.

    Raises:
        BundleError: the file cannot be read.
    """
    if isinstance(data, Blob):
        return data
    return Blob((data,), label) if isinstance(data, bytes) else file(data)


def file(path: Path, label: str = "") -> Blob:
    """A whole file.

    Raises:
        BundleError: it cannot be read.
    """
    size = stamp(path).size
    return part(path, 0, size, label or str(path))


def part(path: Path, offset: int, size: int, label: str, *, sha256: str = "", crc32: int | None = None) -> Blob:
    """A range of a file.

    Raises:
        BundleError: the file cannot be read.
    """
    return Blob((Range(path, offset, size, stamp(path)),), label, sha256, crc32)


def stamp(path: Path) -> Stamp:
    """How the file is now.

    Raises:
        BundleError: it cannot be read.
    """
    try:
        return _stamp(path.stat())
    except OSError as cause:
        raise _unreadable(path, cause) from cause


@contextmanager
def open_range(piece: Range) -> Iterator[int]:
    """A descriptor of the file, checked when it is opened and when the context ends well.

    Raises:
        BundleError: it cannot be opened, or changed since it was looked at.
    """
    try:
        descriptor = os.open(piece.path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
    except OSError as cause:
        raise _unreadable(piece.path, cause) from cause
    try:
        _check(descriptor, piece)
        yield descriptor
        _check(descriptor, piece)
    finally:
        os.close(descriptor)


def changed(path: Path) -> BundleError:
    """The error about a file that is not what it was."""
    return BundleError(f"failed to read {path}: it changed while it was read", "build again when nothing writes to it")


def _check(descriptor: int, piece: Range) -> None:
    if _stamp(os.fstat(descriptor)) != piece.stamp:
        raise changed(piece.path)


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_size, status.st_mtime_ns)


def _unreadable(path: Path, cause: OSError) -> BundleError:
    return BundleError(f"failed to read {path}: {cause.strerror}", "check the path and its permissions")


def _size(piece: Range | bytes) -> int:
    return piece.size if isinstance(piece, Range) else len(piece)


class _Joined:
    """The `Source` over pieces."""

    def __init__(self, pieces: tuple[Range | bytes, ...], sources: dict[Path, Source]) -> None:
        self._pieces = [
            (sources[piece.path], piece.offset, piece.size)
            if isinstance(piece, Range)
            else (BytesSource(piece), 0, len(piece))
            for piece in pieces
        ]
        self._starts = [0, *accumulate(size for _, _, size in self._pieces)]

    @property
    def size(self) -> int:
        return self._starts[-1]

    def read_at(self, offset: int, length: int) -> bytes:
        found = []
        end = min(offset + length, self.size)
        index = bisect_right(self._starts, offset) - 1
        while offset < end:
            source, begin, size = self._pieces[index]
            within = offset - self._starts[index]
            data = source.read_at(begin + within, min(size - within, end - offset))
            found.append(data)
            offset += len(data)
            index += 1
            if len(data) < size - within and offset < end:  # the file became shorter
                break
        return found[0] if len(found) == 1 else b"".join(found)
