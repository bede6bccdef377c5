"""`bundle patch`: write down what turns one bundle into another. What the old one has is not in the patch."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec

from bundler import __version__
from bundler.build import blob as blobs
from bundler.build import bundles
from bundler.build.archive import ArchiveWriter, Content, head_digest, time_stamp
from bundler.build.blob import Blob, Range
from bundler.build.bundles import Bundle
from bundler.build.output import OutputFile, refuse_overwriting
from bundler.build.progress import Progress
from bundler.build.sources.bundlefile import blob_of
from bundler.errors import BundleError
from bundler.formats.container import MANIFEST as BUNDLE_MANIFEST
from bundler.formats.container import launcher_size
from bundler.formats.manifest import Member
from bundler.formats.patch import MANIFEST, MAX_ZEROS, REST, File, Patch, Piece, Version, encode
from bundler.formats.source import chunks

_ZEROS = re.compile(rb"\0{64,}")
"""Padding: shorter runs are not worth a piece of their own."""

_SHARED = 1 << 20
"""Bytes; where larger members lie, their blocks can be shared with the bundle that they come into."""


class Patched(NamedTuple):
    """A finished patch."""

    path: Path
    size: int
    patch: Patch
    sha256: str
    """Of the whole file."""


@dataclass(slots=True)
class _Carried:
    """What goes into the patch."""

    rest: bytearray = field(default_factory=bytearray)
    members: dict[str, Blob] = field(default_factory=dict)

    def between(self, data: bytes) -> Iterator[Piece]:
        """The pieces of some bytes between members."""
        at = 0
        for run in _ZEROS.finditer(data):
            yield from self._rest(data[at : run.start()])
            for start in range(run.start(), run.end(), MAX_ZEROS):
                yield Piece("zeros", "", 0, min(MAX_ZEROS, run.end() - start))
            at = run.end()
        yield from self._rest(data[at:])

    def _rest(self, data: bytes) -> Iterator[Piece]:
        if data:
            yield Piece("patch", REST, len(self.rest), len(data))
            self.rest += data

    def member(self, name: str, blob: Blob) -> Piece:
        self.members[name] = blob
        return Piece("patch", name, 0, blob.size)


def make(old: Path, new: Path, output: Path, progress: Progress) -> Patched:
    """Write `output`: the patch that `apply` turns `old` into `new` with.

    Raises:
        BundleError: one of the two is no bundle or damaged, or the output cannot be written; it is then as before.
    """
    with OutputFile(output):  # a place that cannot be written to is told first
        pass
    refuse_overwriting(output, [old, new])
    with bundles.open_bundle(old) as before, bundles.open_bundle(new) as after:
        carried, held = _Carried(), _held(before)
        files = [_executable(after, held, carried), *_beside(after, held, carried)]
        contents = [Content(name, blob, blob.size >= _SHARED) for name, blob in carried.members.items()]
        contents.append(Content(REST, bytes(carried.rest)))
        sources = {"": before.path, **{name: before.path.with_name(name) for name in _sidecars(before)}}
        own = {content.name: content.blob for content in contents}
        files = [_checked(each, after, assemble(each.pieces, sources, own), progress) for each in files]
        patch = Patch(bundler=__version__, old=_version(before), new=_version(after), files=files)
    return _write(output, contents, patch, progress)


def assemble(pieces: list[Piece], sources: Mapping[str, Path], own: Mapping[str, Blob]) -> Blob:
    """The bytes that pieces make up, of the old bundle's files and of the patch's members.

    Raises:
        BundleError: a file of the old bundle is not there.
    """
    stamps = {name: blobs.stamp(path) for name, path in sources.items()}
    found: list[Range | bytes] = []
    for piece in pieces:
        if piece.origin == "old":
            found.append(Range(sources[piece.name], piece.offset, piece.size, stamps[piece.name]))
        elif piece.origin == "patch":
            found += own[piece.name].slice(piece.offset, piece.size)
        else:
            found.append(bytes(piece.size))
    return Blob(tuple(found), "the new bundle")


def _held(bundle: Bundle) -> dict[str, Piece]:
    """Where the old bundle has what, by SHA-256."""
    held = {
        member.sha256: Piece("old", "", member.offset, member.size) for member in bundle.manifest.members if member.size
    }
    entry = bundle.archive.entries[BUNDLE_MANIFEST]
    held[bundle.archive.manifest_sha256] = Piece("old", "", entry.offset, entry.size)
    there = _sidecars(bundle)
    for model in bundle.manifest.weights:
        if model.sidecar in there:
            held.setdefault(model.sha256, Piece("old", model.sidecar, 0, model.size))
    size = launcher_size(bundle.archive)
    if size:
        held[_digest(bundle, size)] = Piece("old", "", 0, size)
    return held


def _executable(bundle: Bundle, held: Mapping[str, Piece], carried: _Carried) -> File:
    """The pieces of the new bundle's own file, in order."""
    source, archive = bundle.source, bundle.archive
    digests = {member.name: member.sha256 for member in bundle.manifest.members}
    digests[BUNDLE_MANIFEST] = archive.manifest_sha256
    at = launcher_size(archive)
    same = held.get(_digest(bundle, at)) if at else None
    pieces = [same] if same else list(carried.between(source.read_at(0, at)))
    for entry in archive.entries.values():
        pieces += carried.between(source.read_at(at, entry.offset - at))
        at = entry.offset + entry.size
        if entry.size:
            same = held.get(digests.get(entry.name, ""))
            fits = same is not None and same.size == entry.size
            pieces.append(
                same if same and fits else carried.member(f"new/{entry.name}", bundles.member_blob(bundle, entry.name))
            )
    pieces += carried.between(source.read_at(at, source.size - at))
    return File(name="", size=source.size, sha256="", pieces=pieces)


def _beside(bundle: Bundle, held: Mapping[str, Piece], carried: _Carried) -> Iterator[File]:
    for model in {model.sidecar: model for model in bundle.manifest.weights if model.sidecar}.values():
        piece = held.get(model.sha256) or carried.member(f"beside/{model.sidecar}", blob_of(bundle, model))
        yield File(name=model.sidecar, size=model.size, sha256="", pieces=[piece])


def _sidecars(bundle: Bundle) -> set[str]:
    """Files beside the bundle that are there."""
    names = {model.sidecar for model in bundle.manifest.weights if model.sidecar}
    return {name for name in names if bundle.path.with_name(name).is_file()}


def _checked(file: File, bundle: Bundle, made: Blob, progress: Progress) -> File:
    """The file with its digest, after a look that the pieces make it up."""
    path = bundle.path.with_name(file.name) if file.name else bundle.path
    with blobs.file(path).opened() as wanted, made.opened() as found:
        if wanted.size != file.size:
            raise BundleError(
                f"failed to make a patch to {path}: it has {wanted.size} bytes, and {file.size} are recorded",
                "get the file again from its source",
            )
        digest = hashlib.sha256()
        with progress.stage(f"Comparing {path.name}", file.size) as stage:
            at = 0
            for chunk in chunks(wanted, 0, file.size):
                if found.read_at(at, len(chunk)) != chunk:
                    raise BundleError(
                        f"failed to make a patch to {path}: it, or the old bundle, is damaged near byte {at}",
                        "check both with `bundle verify`",
                    )
                digest.update(chunk)
                at += len(chunk)
                stage.advance(len(chunk))
    return msgspec.structs.replace(file, sha256=digest.hexdigest())


def _write(output: Path, contents: list[Content], patch: Patch, progress: Progress) -> Patched:
    total = sum(content.blob.size for content in contents)
    with (
        progress.stage(f"Writing {output.name}", total) as stage,
        ThreadPoolExecutor(2) as pool,
        OutputFile(output) as file,
    ):
        writing = ArchiveWriter(file, time_stamp(), stage, pool)
        members: list[Member] = [writing.member(content) for content in contents]
        patch = msgspec.structs.replace(patch, members=members)
        writing.finish(MANIFEST, encode(patch))
        digest = head_digest(file.descriptor, 0, file.position)
        file.commit(executable=False)
        return Patched(output, file.position, patch, digest)


def _version(bundle: Bundle) -> Version:
    return Version(
        name=bundle.manifest.name,
        manifest_sha256=bundle.archive.manifest_sha256,
        outside_sha256=bundle.archive.outside_sha256,
    )


def _digest(bundle: Bundle, size: int) -> str:
    """The SHA-256 of the first `size` bytes of a bundle."""
    digest = hashlib.sha256()
    for chunk in chunks(bundle.source, 0, size):
        digest.update(chunk)
    return digest.hexdigest()
