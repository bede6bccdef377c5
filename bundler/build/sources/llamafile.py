"""A llamafile as a source: a program that is a ZIP archive too, with a GGUF stored in it and arguments in `.args`."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Final

from bundler.build import blob as blobs
from bundler.build.blob import Blob
from bundler.build.sources import ggufs
from bundler.build.sources.found import Found, SourceError, Weights
from bundler.errors import BundleError
from bundler.formats import llamafileargs
from bundler.formats.container import is_safe_name
from bundler.formats.excerpt import clipped

_ARGUMENTS: Final = ".args"
_LOCAL: Final = struct.Struct("<4s22xHH")
_MAX_ARGUMENTS: Final = 1 << 20
_TAKE_OUT = "take the GGUF out of it (unzip FILE NAME.gguf), and name that"
_AGAIN = "the file is damaged or was made to mislead; get it again from its source"


def find(path: Path, shown: str) -> Found | None:
    """What the llamafile at `path` brings; None where the file is no ZIP archive, or one without GGUF files.

    Raises:
        SourceError: its members cannot be used.
        BundleError: the GGUF inside is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(path, shown, archive)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, struct.error, OverflowError):
        return None


def _read(path: Path, shown: str, archive: zipfile.ZipFile) -> Found | None:
    members = archive.infolist()
    models = [member for member in members if member.filename.lower().endswith(".gguf")]
    if not models:
        return None
    for member in members:
        if not is_safe_name(member.orig_filename.removesuffix("/")):
            name = clipped(member.orig_filename)
            raise SourceError(f"a member of {shown} has a name that leads elsewhere: {name}", _AGAIN)
    taken = llamafileargs.read(_arguments(archive, shown))
    found = [_weights(path, shown, member) for member in models]
    model = _only(shown, [weights for weights in found if weights.kind == "model"], taken.model)
    projectors = [weights for weights in found if weights.kind == "projector"]
    if taken.projector and len(projectors) > 1:
        projectors = [weights for weights in projectors if weights.name == PurePosixPath(taken.projector).stem]
    return Found(
        weights=(model, *projectors[:1]),
        inherited=taken.instructions,
        remarks=tuple(f".args of {shown}: {line}" for line in taken.remarks),
        doubts=tuple(f".args of {shown}: {line}" for line in taken.ignored),
    )


def _only(shown: str, models: list[Weights], wanted: str) -> Weights:
    stem = PurePosixPath(wanted).stem
    fitting = [weights for weights in models if weights.name == stem] if len(models) > 1 else models
    if len(fitting) != 1:
        names = ", ".join(clipped(weights.name) for weights in models[:5]) or "none"
        cause = f"{shown} holds {len(models)} models, and its .args name no one of them ({names})"
        raise SourceError(cause, _TAKE_OUT)
    return fitting[0]


def _weights(path: Path, shown: str, member: zipfile.ZipInfo) -> Weights:
    name = member.filename
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
        how = "encrypted" if member.flag_bits & 1 else "compressed"
        raise SourceError(f"{clipped(name)} in {shown} is {how}", _TAKE_OUT)
    return ggufs.of(_blob(path, f"{shown}, member {clipped(name)}", member), PurePosixPath(name).stem)


def _blob(path: Path, label: str, member: zipfile.ZipInfo) -> Blob:
    with path.open("rb") as file:
        file.seek(member.header_offset)
        header = file.read(_LOCAL.size)
        size = file.seek(0, 2)
    magic, name, extra = _LOCAL.unpack(header) if len(header) == _LOCAL.size else (b"", 0, 0)
    offset = member.header_offset + _LOCAL.size + name + extra
    if magic != b"PK\x03\x04" or offset + member.file_size > size:
        raise BundleError(f"failed to read {label}: it does not lie where the archive says", _AGAIN)
    return blobs.part(path, offset, member.file_size, label, crc32=member.CRC)


def _arguments(archive: zipfile.ZipFile, shown: str) -> str:
    try:
        member = archive.getinfo(_ARGUMENTS)
    except KeyError:
        return ""
    if member.file_size > _MAX_ARGUMENTS:
        raise SourceError(f"the .args of {shown} have {member.file_size} bytes", _AGAIN)
    try:
        return archive.read(member).decode()
    except (UnicodeDecodeError, RuntimeError, zipfile.BadZipFile, zlib.error) as cause:
        raise SourceError(f"the .args of {shown} cannot be read: {cause}", _AGAIN) from cause
