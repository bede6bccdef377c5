"""Check every byte of a bundle against its manifest and trailer.

Reads a `Source` from one end to the other and names what differs. Knows nothing of how bundles are started, and
promises nothing about who made the file: a digest says that it is whole, not where it comes from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

import msgspec

from bundler.errors import BundleError
from bundler.formats import manifest as manifests
from bundler.formats.container import MANIFEST, Archive, Entry, outside_ranges, read_archive
from bundler.formats.manifest import Manifest, Member
from bundler.formats.patch import MANIFEST as PATCH
from bundler.formats.source import Source, chunks

_AGAIN = "the file is damaged; get it again from its source"


class Report(msgspec.Struct, frozen=True):
    """What a complete check saw."""

    manifest: Manifest
    manifest_sha256: str
    members: int
    size: int
    appended: int
    """Bytes after the archive (a code signature, or foreign), which no digest covers."""


def read_manifest(source: Source, archive: Archive) -> Manifest:
    """The manifest, checked against the trailer's digest.

    Raises:
        BundleError: it is missing, damaged, or of a newer format.
    """
    entry = archive.entries.get(MANIFEST)
    if entry is None and PATCH in archive.entries:
        raise BundleError("failed to read the bundle: it is a patch", "put it onto its bundle: bundle apply PATCH OLD")
    if entry is None:
        raise BundleError(f"failed to read the bundle: it holds no {MANIFEST}", _AGAIN)
    if entry.size > manifests.MAX_SIZE:
        raise BundleError(f"failed to read {MANIFEST}: it would have {entry.size} bytes", _AGAIN)
    data = source.read_at(entry.offset, entry.size)
    if hashlib.sha256(data).hexdigest() != archive.manifest_sha256:
        raise BundleError(f"failed to read {MANIFEST}: its SHA-256 is not the one in the trailer", _AGAIN)
    return manifests.decode(data)


def verify(source: Source, advance: Callable[[int], None] = lambda count: None) -> Report:
    """Read everything and compare; `advance` hears how many bytes were read.

    Raises:
        BundleError: something differs; the message lists every member that does, with its place.
    """
    archive = read_archive(source)
    manifest = read_manifest(source, archive)
    advance(archive.entries[MANIFEST].size)
    if problems := compare(source, archive, manifest.members, MANIFEST, advance):
        raise BundleError("failed to verify the bundle: " + "; ".join(problems), _AGAIN)
    return Report(manifest, archive.manifest_sha256, len(archive.entries), archive.end, source.size - archive.end)


def compare(
    source: Source,
    archive: Archive,
    members: Sequence[Member],
    manifest: str,
    advance: Callable[[int], None] = lambda count: None,
) -> list[str]:
    """What differs between an archive and its digests; `members` is what its manifest, called so, lists."""
    problems = _compare_listing(members, archive, manifest)
    expected = {member.name: member.sha256 for member in members}
    for entry in archive.entries.values():
        if entry.name in expected and _digest(source, [(entry.offset, entry.size)], advance) != expected[entry.name]:
            problems.append(f"{entry.name} (bytes {entry.offset} to {entry.offset + entry.size}): its SHA-256 differs")
    if _digest(source, outside_ranges(archive), advance) != archive.outside_sha256:
        problems.append("the bytes outside the members (launcher, headers, padding, directory): their SHA-256 differs")
    return problems


def check_file(source: Source, size: int, sha256: str, advance: Callable[[int], None] = lambda count: None) -> None:
    """Compare a whole file (weights beside the executable, an extracted member) with its size and digest.

    Raises:
        BundleError: it differs.
    """
    if source.size != size:
        raise BundleError(f"failed to verify: it has {source.size} bytes, and {size} are recorded", _AGAIN)
    if _digest(source, [(0, size)], advance) != sha256:
        raise BundleError("failed to verify: its SHA-256 differs from the recorded one", _AGAIN)


def _compare_listing(members: Sequence[Member], archive: Archive, manifest: str) -> list[str]:
    listed = {member.name: (member.offset, member.size) for member in members}
    held = {name: _place(entry) for name, entry in archive.entries.items() if name != manifest}
    problems = [f"{name}: listed in {manifest} and not there" for name in listed.keys() - held.keys()]
    problems += [f"{name}: not listed in {manifest}" for name in held.keys() - listed.keys()]
    problems += [
        f"{name}: not at the place that {manifest} gives"
        for name in listed.keys() & held.keys()
        if listed[name] != held[name]
    ]
    return sorted(problems)


def _place(entry: Entry) -> tuple[int, int]:
    return entry.offset, entry.size


def _digest(source: Source, ranges: Iterable[tuple[int, int]], advance: Callable[[int], None]) -> str:
    digest = hashlib.sha256()
    for offset, length in ranges:
        for chunk in chunks(source, offset, length):
            digest.update(chunk)
            advance(len(chunk))
    return digest.hexdigest()
