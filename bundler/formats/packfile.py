"""The description of a runtime pack, `pack.json`: what it holds, with digests, and what it was made from.

Plain data; knows nothing of files. A pack is the folder that this describes.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import msgspec

from bundler.errors import BundleError
from bundler.formats.targets import TARGETS

FORMAT = 1
NAME = "pack.json"
SBOM = "sbom.cdx.json"
LICENSES = "LICENSES"


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One `.tar.zst` of the pack: the base, or the overlay of one backend."""

    file: str
    """`<part>-<sha256>.tar.zst`."""
    sha256: str
    size: int
    unpacked_size: int
    """Size of the tar inside, in bytes."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """Any other file of the pack."""

    file: str
    """Path below the pack's folder, with `/`."""
    sha256: str
    size: int


class PackFile(msgspec.Struct, frozen=True, kw_only=True):
    format: int = FORMAT
    id: str
    """Content address: `identify(inputs)`."""
    target: str
    llama_cpp: str
    """Version of llama-cpp-python whose llama.cpp this is."""
    bundler: str
    """Version of the tool that made the pack."""
    parts: dict[str, Part]
    """`base` always; overlays by the name of their backend."""
    launcher: Entry
    notices: list[Entry]
    """The bill of materials and the licence texts."""
    inputs: dict[str, str]
    """Digests and versions of everything that the pack was made from."""


def identify(inputs: dict[str, str]) -> str:
    """The id of a pack made from `inputs`: 64 hex digits."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def encode(pack: PackFile) -> bytes:
    """The description as indented JSON, the same bytes for the same value."""
    return msgspec.json.format(msgspec.json.encode(pack, order="deterministic"), indent=1) + b"\n"


def decode(data: bytes) -> PackFile:
    """Read `pack.json` and check that it is consistent and names no file outside of the pack.

    Raises:
        BundleError: the bytes are no pack description, or one of a newer format.
    """
    try:
        version: Any = msgspec.json.decode(data).get("format")
    except (msgspec.DecodeError, AttributeError, UnicodeDecodeError, RecursionError) as cause:
        raise _damaged(str(cause)) from cause
    if isinstance(version, int) and version > FORMAT:
        raise BundleError(
            f"failed to read {NAME}: its format is {version}, and this program knows formats up to {FORMAT}",
            "use the version of bundle that made the pack, or a newer one",
        )
    try:
        pack = msgspec.json.decode(data, type=PackFile)
    except (msgspec.ValidationError, msgspec.DecodeError) as cause:
        raise _damaged(str(cause)) from cause
    if flaw := _flaw(pack):
        raise _damaged(flaw)
    return pack


def _flaw(pack: PackFile) -> str:
    if pack.target not in TARGETS:
        return f"its target {pack.target} is not one of {', '.join(TARGETS)}"
    if pack.id != identify(pack.inputs):
        return "its id does not belong to its inputs"
    if "base" not in pack.parts:
        return "it has no base part"
    for name, part in pack.parts.items():
        if not re.fullmatch(r"[a-z0-9]+", name) or part.file != f"{name}-{part.sha256}.tar.zst":
            return f"its part {name} is called {part.file}"
    if pack.launcher.file not in ("launcher", "launcher.exe"):
        return f"its launcher is called {pack.launcher.file}"
    for entry in pack.notices:
        if entry.file != SBOM and not re.fullmatch(rf"{LICENSES}/[A-Za-z0-9][A-Za-z0-9._+-]*", entry.file):
            return f"it names the file {entry.file}"
    entries: list[Part | Entry] = [*pack.parts.values(), pack.launcher, *pack.notices]
    if any(not re.fullmatch(r"[0-9a-f]{64}", entry.sha256) or entry.size < 0 for entry in entries):
        return "it has a digest or size that is none"
    if len({entry.file for entry in entries}) != len(entries):
        return "it names a file twice"
    return ""


def _damaged(cause: str) -> BundleError:
    return BundleError(f"failed to read {NAME}: {cause}", "the pack is damaged or none; get it again from its source")
