"""Write an archive as `formats.container` lays it out: members in one pass, hashed on the way, then its directory.

Knows nothing of what the members are.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bundler.build import blob as blobs
from bundler.build.blob import Blob
from bundler.build.copying import append, hash_range
from bundler.build.output import OutputFile
from bundler.build.progress import Stage
from bundler.errors import BundleError
from bundler.formats.container import DosTime, Entry, directory, local_header, place, trailer_head
from bundler.formats.manifest import Member


@dataclass(frozen=True)
class Content:
    """A member's name and its bytes; `aligned` puts them where they can be mapped."""

    name: str
    data: bytes | Path | Blob
    aligned: bool = False

    @cached_property
    def blob(self) -> Blob:
        """The bytes.

        Raises:
            BundleError: their file cannot be read.
        """
        return blobs.of(self.data, self.name)


class ArchiveWriter:
    """The state of one pass over the output file."""

    def __init__(self, output: OutputFile, stamp: DosTime, stage: Stage, pool: ThreadPoolExecutor) -> None:
        self._output = output
        self._stamp = stamp
        self._stage = stage
        self._pool = pool
        self._outside = hashlib.sha256()
        self.entries: list[Entry] = []
        self.members: dict[str, Member] = {}
        self.shared = 0

    def launcher(self, blob: Blob) -> None:
        append(blob, self._output, self._stage, self._pool)
        hash_range(self._outside, self._output.descriptor, 0, blob.size)

    def member(self, content: Content) -> Member:
        entry = place(self._output.position, content.name, content.blob.size, aligned=content.aligned)
        padding = bytes(entry.header_offset - self._output.position)
        self._output.write(padding)
        self._output.write(local_header(entry, self._stamp))
        sha256, crc, shared = append(content.blob, self._output, self._stage, self._pool)
        self.shared += shared
        entry = Entry(entry.name, entry.header_offset, entry.offset, entry.size, crc)
        header = local_header(entry, self._stamp)
        self._output.patch(entry.header_offset, header)
        self._outside.update(padding + header)
        self.entries.append(entry)
        member = Member(name=entry.name, offset=entry.offset, size=entry.size, sha256=sha256)
        self.members[entry.name] = member
        return member

    def finish(self, name: str, manifest: bytes) -> str:
        """Append the manifest under its name, the directory and the trailer; the manifest's digest."""
        digest = self.member(Content(name, manifest)).sha256
        tail = directory(self.entries, self._output.position, self._stamp) + trailer_head(digest)
        self._outside.update(tail)
        self._output.write(tail + self._outside.hexdigest().encode())
        return digest

    def header_sha256(self, member: str, length: int) -> str:
        """Digest of the first `length` bytes of a member already written."""
        return head_digest(self._output.descriptor, self.members[member].offset, length)


def head_digest(descriptor: int, offset: int, length: int) -> str:
    """The SHA-256 of a range of an open file."""
    digest = hashlib.sha256()
    hash_range(digest, descriptor, offset, length)
    return digest.hexdigest()


def time_stamp() -> DosTime:
    """The members' time: the variable SOURCE_DATE_EPOCH, in Unix seconds, or the earliest that ZIP knows.

    Raises:
        BundleError: it is no number.
    """
    source_date_epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    try:
        return DosTime.from_epoch(int(source_date_epoch or 0))
    except ValueError as cause:
        raise BundleError(
            f"failed to read the variable SOURCE_DATE_EPOCH: {source_date_epoch[:40]!r} is no number of seconds",
            "set it to Unix seconds, or unset it",
        ) from cause
