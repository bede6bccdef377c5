"""Append a blob to an output file: blocks are shared where the filesystem can, everything is hashed on the way.

Memory stays flat at a few chunks; hashing runs beside the copying. What is known of the bytes' digests is compared.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from bundler.build import blob as blobs
from bundler.build.blob import Blob, Range
from bundler.build.output import OutputFile
from bundler.build.progress import Stage
from bundler.errors import BundleError
from bundler.formats.source import CHUNK, FileSource, chunks


class Copied(NamedTuple):
    sha256: str
    crc32: int
    shared: int
    """Bytes that share their blocks with the source and take no space of their own."""


def append(blob: Blob, output: OutputFile, stage: Stage, pool: ThreadPoolExecutor) -> Copied:
    """Append all of `blob`; `stage` hears how many bytes are done.

    Raises:
        BundleError: a file cannot be read or changed meanwhile, the output cannot be written, or a digest differs from
            the known one.
    """
    sums = _Sums(pool)
    shared = 0
    for piece in blob.pieces:
        if isinstance(piece, Range):
            shared += _append_range(piece, output, sums, stage)
        else:
            output.write(piece)
            sums.update(piece)
            stage.advance(len(piece))
    sha256, crc32 = sums.finish()
    if blob.sha256 not in ("", sha256):
        raise _damaged(blob, f"its SHA-256 is {sha256}, and {blob.sha256} is recorded")
    if blob.crc32 not in (None, crc32):
        raise _damaged(blob, f"its CRC-32 is {crc32:08x}, and {blob.crc32:08x} is recorded")
    return Copied(sha256, crc32, shared)


class _Sums:
    """SHA-256 and CRC-32 of what is appended, computed by the pool while the next bytes are fetched."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._digest = hashlib.sha256()
        self._crc = 0
        self._done = [pool.submit(lambda: None)]

    def update(self, data: bytes) -> None:
        self.wait()
        self._done = [self._pool.submit(self._digest.update, data), self._pool.submit(self._sum, data)]

    def wait(self) -> None:
        for future in self._done:
            future.result()

    def finish(self) -> tuple[str, int]:
        self.wait()
        return self._digest.hexdigest(), self._crc

    def _sum(self, data: bytes) -> None:
        self._crc = zlib.crc32(data, self._crc)


def _append_range(piece: Range, output: OutputFile, sums: _Sums, stage: Stage) -> int:
    with blobs.open_range(piece) as source:
        shared = output.share(source, piece.size, piece.offset)
        os.lseek(source, piece.offset, os.SEEK_SET)
        done = 0
        while done < piece.size:
            data = read(source, min(CHUNK, piece.size - done), piece.path)
            if not data:
                raise blobs.changed(piece.path)
            sums.update(data)
            if done + len(data) > shared:
                output.write(memoryview(data)[max(0, shared - done) :])
            done += len(data)
            stage.advance(len(data))
    return shared


def hash_range(digest: hashlib._Hash, descriptor: int, offset: int, length: int) -> None:
    """Feed `digest` with bytes of an open file; its position stays."""
    for data in chunks(FileSource(descriptor), offset, length):
        digest.update(data)


def read(source: int, length: int, path: Path) -> bytes:
    """At most `length` bytes of an open file.

    Raises:
        BundleError: the disk fails.
    """
    try:
        return os.read(source, length)
    except OSError as cause:
        raise BundleError(f"failed to read {path}: {cause.strerror}", "check the disk that it lies on") from cause


def _damaged(blob: Blob, cause: str) -> BundleError:
    return BundleError(
        f"failed to read {blob.label}: {cause}", "the file is damaged or was changed; get it again from its source"
    )
