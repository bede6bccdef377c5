"""Write a bundle: launcher, members and manifest in one pass, hashing as it goes.

Takes values and files, makes the one output file. Memory stays flat at a few chunks whatever the size of the model;
where the filesystem can share blocks, the model is not copied at all. Knows nothing of Modelfiles or runtimes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bundler.build.output import OutputFile, file_size_limit
from bundler.build.progress import Progress, Stage
from bundler.errors import BundleError
from bundler.formats import manifest as manifests
from bundler.formats.container import (
    ALIGNMENT,
    MANIFEST,
    DosTime,
    Entry,
    directory,
    local_header,
    place,
    trailer_head,
)
from bundler.formats.manifest import Manifest, Member, Model
from bundler.formats.source import CHUNK

PE_LIMIT = (1 << 32) - 1
"""Windows starts no executable of 4 GiB or more."""


@dataclass(frozen=True)
class Content:
    """A member's name and where its bytes come from: `data`, or the whole file at `path`."""

    name: str
    data: bytes = b""
    path: Path | None = None
    aligned: bool = False

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path else len(self.data)


@dataclass(frozen=True)
class Written:
    """What was made."""

    path: Path
    size: int
    sidecars: list[Path]
    manifest: Manifest
    manifest_sha256: str
    shared: int
    """Bytes that share their blocks with the source file and take no space of their own."""


def write_bundle(
    destination: Path,
    launcher: Path,
    members: Sequence[Content],
    models: dict[str, Path],
    manifest: Manifest,
    progress: Progress,
    *,
    external_weights: bool = False,
) -> Written:
    """Write `destination` and, where one file cannot hold everything, the weights beside it.

    `models` gives the file of every `manifest.models` member. The manifest's digests, sizes and places are filled in
    here.

    Raises:
        BundleError: the output cannot be written, or a source changed while it was read; nothing is left behind.
    """
    stamp = _stamp(os.environ.get("SOURCE_DATE_EPOCH", ""))
    sizes = {name: path.stat().st_size for name, path in models.items()}
    fixed = launcher.stat().st_size + sum(member.size for member in members)
    external = external_weights or _must_split(destination, manifest, fixed, sum(sizes.values()))
    _check_space(destination, fixed + sum(sizes.values()))
    inside = {} if external else models
    beside = models if external else {}
    total = fixed + sum(sizes.values())
    with (
        progress.stage(f"Writing {destination.name}", total) as stage,
        ThreadPoolExecutor(2) as pool,
        ExitStack() as outputs,
    ):
        sidecars, renamed = _write_sidecars(destination, beside, manifest, stage, pool, outputs)
        output = outputs.enter_context(OutputFile(destination))
        writing = _Writing(output, stamp, stage, pool)
        writing.launcher(launcher)
        for member in members:
            writing.member(member)
        for name, path in inside.items():
            writing.member(Content(name, path=path, aligned=True))
        final = _complete(renamed, writing)
        digest = writing.finish(manifests.encode(final))
        for sidecar in sidecars:
            sidecar.commit(executable=False)
        output.commit(executable=True)
    beside_it = [sidecar.destination for sidecar in sidecars]
    return Written(destination, output.position, beside_it, final, digest, writing.shared)


class _Writing:
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

    def launcher(self, path: Path) -> None:
        data = path.read_bytes()
        self._output.write(data)
        self._outside.update(data)
        self._stage.advance(len(data))

    def member(self, content: Content) -> Member:
        entry = place(self._output.position, content.name, content.size, aligned=content.aligned)
        padding = bytes(entry.header_offset - self._output.position)
        self._output.write(padding)
        self._output.write(local_header(entry, self._stamp))
        if content.path:
            sha256, crc = self._copy(content.path, entry)
        else:
            self._output.write(content.data)
            self._stage.advance(len(content.data))
            sha256, crc = hashlib.sha256(content.data).hexdigest(), zlib.crc32(content.data)
        entry = Entry(entry.name, entry.header_offset, entry.offset, entry.size, crc)
        header = local_header(entry, self._stamp)
        self._output.patch(entry.header_offset, header)
        self._outside.update(padding + header)
        self.entries.append(entry)
        member = Member(name=entry.name, offset=entry.offset, size=entry.size, sha256=sha256)
        self.members[entry.name] = member
        return member

    def finish(self, manifest: bytes) -> str:
        """Append the manifest, the directory and the trailer; the manifest's digest."""
        digest = self.member(Content(MANIFEST, manifest)).sha256
        tail = directory(self.entries, self._output.position, self._stamp) + trailer_head(digest)
        self._outside.update(tail)
        self._output.write(tail + self._outside.hexdigest().encode())
        return digest

    def header_sha256(self, member: str, length: int) -> str:
        """Digest of the first `length` bytes of a member already written."""
        return _head_digest(self._output.descriptor, self.members[member].offset, length)

    def _copy(self, path: Path, entry: Entry) -> tuple[str, int]:
        with path.open("rb", buffering=0) as source:
            shared = entry.offset % ALIGNMENT == 0 and self._output.share(source.fileno(), entry.size)
            self.shared += entry.size if shared else 0
            return copy_hashed(
                source.fileno(), None if shared else self._output, entry.size, path, self._stage, self._pool
            )


def copy_hashed(
    source: int, output: OutputFile | None, size: int, path: Path, stage: Stage, pool: ThreadPoolExecutor
) -> tuple[str, int]:
    """SHA-256 and CRC-32 of `size` bytes from `source`, computed while they are appended to `output`, if any."""
    digest = hashlib.sha256()
    crc = 0
    left = size
    while left:
        chunk = _read(source, min(CHUNK, left), path)
        if not chunk:
            break
        hashing = pool.submit(digest.update, chunk)
        summing = pool.submit(zlib.crc32, chunk, crc)
        try:
            if output:
                output.write(chunk)
        finally:
            hashing.result()
            crc = summing.result()
        left -= len(chunk)
        stage.advance(len(chunk))
    if left or _read(source, 1, path):
        raise BundleError(
            f"failed to read {path}: it changed while it was read", "build again when nothing writes to it"
        )
    return digest.hexdigest(), crc


def _read(source: int, length: int, path: Path) -> bytes:
    try:
        return os.read(source, length)
    except OSError as cause:
        raise BundleError(f"failed to read {path}: {cause.strerror}", "check the disk that it lies on") from cause


def _write_sidecars(
    destination: Path,
    models: dict[str, Path],
    manifest: Manifest,
    stage: Stage,
    pool: ThreadPoolExecutor,
    outputs: ExitStack,
) -> tuple[list[OutputFile], Manifest]:
    """Write the weights beside the executable under names of their content; the manifest that points there.

    They are left to be committed together with the executable, so that none is left behind without it.
    """
    made: list[OutputFile] = []
    entries: list[Model] = []
    for model in manifest.models:
        if model.member not in models:
            entries.append(model)
            continue
        path = models[model.member]
        size = path.stat().st_size
        limit = file_size_limit(destination.parent)
        if limit is not None and size > limit:
            raise BundleError(
                f"failed to write {destination}: the weights take {size} bytes, and the filesystem (FAT32) holds files "
                f"of at most {limit}",
                "format the stick as exFAT, or build to another disk",
            )
        output = outputs.enter_context(
            OutputFile(destination.with_name(f"{destination.stem}.weights-{len(made)}.gguf"))
        )
        with path.open("rb", buffering=0) as source:
            shared = output.share(source.fileno(), size)
            sha256, _ = copy_hashed(source.fileno(), None if shared else output, size, path, stage, pool)
        header = _head_digest(output.descriptor, 0, model.header_size)
        output.destination = destination.with_name(_sidecar_name(destination.stem, sha256))
        made.append(output)
        entries.append(
            msgspec.structs.replace(
                model, member="", sidecar=output.destination.name, size=size, sha256=sha256, header_sha256=header
            )
        )
    return made, msgspec.structs.replace(manifest, models=entries)


def _sidecar_name(stem: str, sha256: str) -> str:
    """A name that every system allows, though the executable's own may be one for this system alone."""
    portable = "".join(char if char.isprintable() and char not in '\\:*?"<>|' else "-" for char in stem)
    return f"{portable}-{sha256[:8]}.gguf"


def _complete(manifest: Manifest, writing: _Writing) -> Manifest:
    """The manifest with the places and digests of what was written."""
    models = [
        msgspec.structs.replace(
            model,
            size=writing.members[model.member].size,
            sha256=writing.members[model.member].sha256,
            header_sha256=writing.header_sha256(model.member, model.header_size),
        )
        if model.member
        else model
        for model in manifest.models
    ]
    return msgspec.structs.replace(manifest, models=models, members=list(writing.members.values()))


def _head_digest(descriptor: int, offset: int, length: int) -> str:
    position = os.lseek(descriptor, 0, os.SEEK_CUR)
    os.lseek(descriptor, offset, os.SEEK_SET)
    digest = hashlib.sha256()
    while length:
        chunk = os.read(descriptor, min(CHUNK, length))
        if not chunk:
            break
        digest.update(chunk)
        length -= len(chunk)
    os.lseek(descriptor, position, os.SEEK_SET)
    return digest.hexdigest()


def _stamp(source_date_epoch: str) -> DosTime:
    """The members' time: the variable SOURCE_DATE_EPOCH, in Unix seconds, or the earliest that ZIP knows."""
    try:
        return DosTime.from_epoch(int(source_date_epoch or 0))
    except ValueError as cause:
        raise BundleError(
            f"failed to read the variable SOURCE_DATE_EPOCH: {source_date_epoch[:40]!r} is no number of seconds",
            "set it to Unix seconds, or unset it",
        ) from cause


def _must_split(destination: Path, manifest: Manifest, fixed: int, weights: int) -> bool:
    """Whether one file cannot hold it all: Windows' limit for executables, or FAT32's for files."""
    size = fixed + weights + (1 << 20)
    if any(target.startswith("windows-") for target in manifest.runtime) and size > PE_LIMIT:
        return True
    limit = file_size_limit(destination.parent)
    return limit is not None and size > limit


def _check_space(destination: Path, needed: int) -> None:
    try:
        free = shutil.disk_usage(destination.parent).free
    except OSError:
        return
    if free < needed and not _shares_blocks(destination):
        raise BundleError(
            f"failed to write {destination}: it needs {needed} bytes, and the disk has {free} free",
            "free some space, or give another place with -o",
        )


def _shares_blocks(destination: Path) -> bool:
    """Whether the destination's filesystem can make two files share blocks; tried, because nothing tells."""
    with OutputFile(destination) as first, OutputFile(destination.with_name(destination.name + ".2")) as second:
        first.write(bytes(4096))
        return second.share(first.descriptor, 4096)
