"""A patch: what turns one bundle into another, without what both have in common.

    0            new/<member>: members of the new bundle that the old one lacks, STORED as in a bundle
    64 KiB-      beside/<file>: weights beside the new bundle that the old one lacks
    aligned      rest: what lies outside members (headers, directory, a launcher of its own)
                 patch.json: what the old one must be, and each file of the new one as a list of pieces
    end          central directory and trailer, as of a bundle

Every byte is covered by the trailer's two digests, as in a bundle. Pure: bytes in, values out.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from bundler.errors import BundleError
from bundler.formats.manifest import Member, is_file_name

MANIFEST: Final = "patch.json"
REST: Final = "rest"
FORMAT: Final = 1
MAX_SIZE: Final = 64 << 20
"""Bytes of `patch.json`."""
MAX_ZEROS: Final = 1 << 20
"""Bytes of one piece of zeros: padding is shorter than its alignment."""
_MAX_PIECES: Final = 1 << 16
_HINT: Final = "the patch is damaged; get it again from its source"

Origin = Literal["old", "patch", "zeros"]


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """Bytes of the new bundle."""

    origin: Origin
    name: str
    """A file beside the old bundle, empty for itself; or a member of the patch."""
    offset: int
    """Counted from the start of that file or member."""
    size: int


class File(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the new bundle."""

    name: str
    """Of weights beside the executable; empty for the executable itself."""
    size: int
    sha256: str
    pieces: list[Piece]


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """Which bundle."""

    name: str
    """The model's name in the APIs."""
    manifest_sha256: str
    outside_sha256: str


class Patch(msgspec.Struct, frozen=True, kw_only=True):
    format: int = FORMAT
    bundler: str
    """Version of the tool that wrote the patch."""
    old: Version
    new: Version
    files: list[File]
    """The executable first."""
    members: list[Member] = []
    """Of the patch itself."""


def encode(patch: Patch) -> bytes:
    """`patch.json`, the same bytes for the same value."""
    return msgspec.json.format(msgspec.json.encode(patch, order="deterministic"), indent=1) + b"\n"


def decode(data: bytes) -> Patch:
    """Read `patch.json`.

    Raises:
        BundleError: it is none, or of a newer format, or its pieces do not make up its files.
    """
    try:
        version: Any = msgspec.json.decode(data).get("format")
        if isinstance(version, int) and version > FORMAT:
            raise BundleError(
                f"failed to read the patch: its format is {version}, and this program knows formats up to {FORMAT}",
                "use the version of bundle that made it, or a newer one",
            )
        patch = msgspec.json.decode(data, type=Patch)
    except (msgspec.DecodeError, AttributeError, UnicodeDecodeError, RecursionError) as cause:
        raise damaged(cause) from cause
    if contradiction := _contradiction(patch):
        raise damaged(contradiction)
    return patch


def damaged(cause: Exception | str) -> BundleError:
    """The error about a patch that is not as it was made."""
    return BundleError(f"failed to read the patch: {cause}", _HINT)


def _contradiction(patch: Patch) -> str:
    """What cannot be in a patch that this program made."""
    sizes = {member.name: member.size for member in patch.members}
    names = [file.name for file in patch.files]
    if names[:1] != [""] or len(set(names)) != len(names) or not all(map(is_file_name, names[1:])):
        return "it makes files that no bundle has"
    if sum(len(file.pieces) for file in patch.files) > _MAX_PIECES:
        return f"it has more than {_MAX_PIECES} pieces"
    for file in patch.files:
        for piece in file.pieces:
            if piece.offset < 0 or piece.size <= 0:
                return "a piece lies before its file, or is empty"
            if piece.origin == "old" and piece.name and not is_file_name(piece.name):
                return f"a piece comes from {piece.name!r}"
            if piece.origin == "patch" and piece.offset + piece.size > sizes.get(piece.name, 0):
                return f"a piece lies outside of {piece.name!r}"
            if piece.origin == "zeros" and piece.size > MAX_ZEROS:
                return f"a piece is {piece.size} zeros"
        if sum(piece.size for piece in file.pieces) != file.size:
            return "the pieces of a file are not as long as the file"
    return ""
