"""Random access to the bytes of an open file, from any thread.

The one place where the formats meet a descriptor. Reads do not move the file's position, so the launcher's descriptor
can be shared with whoever else reads from it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from typing import Protocol

CHUNK = 4 << 20


class Source(Protocol):
    """What the readers of formats need of a file."""

    @property
    def size(self) -> int: ...

    def read_at(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`, fewer only at the end of the file."""
        ...


class FileSource:
    """A `Source` over an open descriptor, which it does not own."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        length = max(0, min(length, self._size - offset))
        pieces: list[bytes] = []
        while length > 0:
            piece = self._read(offset, length)
            if not piece:
                break
            pieces.append(piece)
            offset += len(piece)
            length -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read(self, offset: int, length: int) -> bytes:
        if sys.platform != "win32":
            return os.pread(self._descriptor, length, offset)
        with self._lock:
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            return os.read(self._descriptor, length)


class BytesSource:
    """A `Source` over bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        return len(self._data)

    def read_at(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + max(0, length)]


def chunks(source: Source, offset: int, length: int) -> Iterator[bytes]:
    """The bytes of a range in pieces of at most 4 MiB; stops early where the file ends early."""
    while length > 0:
        piece = source.read_at(offset, min(CHUNK, length))
        if not piece:
            return
        yield piece
        offset += len(piece)
        length -= len(piece)
