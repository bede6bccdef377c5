"""A folder as a tar whose bytes depend on nothing but names, contents and execute bits.

ustar, sorted by name, owner 0, one fixed time; relative links stay links. Packed parts are zstd level 19 with checksum
and content size, so that a reader needs 8 MiB of window and finds damage while unpacking. The number of threads changes
nothing: zstd cuts the work into jobs by size (one thread that is no worker, `threads=0`, would give other bytes).
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Protocol, cast

import zstandard

TIME = 1_704_067_200
"""Modification time of every member: 2024-01-01, in seconds since 1970. Never 0, which some tools take for unset."""

_LEVEL = 19
_WINDOW_LOG = 23


class Output(Protocol):
    """Where a tar goes: anything that takes bytes in order."""

    def write(self, data: bytes, /) -> object: ...


_Advance = Callable[[int], None]


def pack(folder: Path, target: Path, advance: _Advance = lambda amount: None) -> int:
    """Write the contents of `folder` to the file `target` as `.tar.zst`.

    `advance` is told the bytes of each file as it is read. Returns the size of the tar inside, in bytes.

    Raises:
        ValueError: as for `write`.
    """
    members = _members(folder)
    size = _size(members)
    parameters = zstandard.ZstdCompressionParameters.from_level(
        _LEVEL, window_log=_WINDOW_LOG, write_checksum=True, write_content_size=True, threads=-1
    )
    packer = zstandard.ZstdCompressor(compression_params=parameters)
    with target.open("wb") as output, packer.stream_writer(output, size=size, closefd=False) as stream:
        _write(members, stream, advance)
    return size


def write(folder: Path, output: Output, advance: _Advance = lambda amount: None) -> None:
    """Write the contents of `folder` to `output` as a tar, front to back.

    Raises:
        ValueError: something in the folder is no file, folder or link that stays inside, or its name is too long.
    """
    _write(_members(folder), output, advance)


def _write(members: list[tuple[tarfile.TarInfo, Path]], output: Output, advance: _Advance) -> None:
    stream = cast(IO[bytes], output)  # in this mode tarfile asks for `write` alone
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.USTAR_FORMAT) as tar:
        for info, path in members:
            if info.isreg():
                with path.open("rb") as content:
                    tar.addfile(info, content)
                advance(info.size)
            else:
                tar.addfile(info)


def _size(members: list[tuple[tarfile.TarInfo, Path]]) -> int:
    """Size in bytes of the tar: headers, contents in whole blocks, two empty blocks, padded to a record."""
    block, record = tarfile.BLOCKSIZE, tarfile.RECORDSIZE
    content = sum(block + -(-info.size // block) * block for info, _ in members)
    return -(-(content + 2 * block) // record) * record


def _members(folder: Path) -> list[tuple[tarfile.TarInfo, Path]]:
    paths = sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix())
    return [(_member(folder, path), path) for path in paths]


def _member(folder: Path, path: Path) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path.relative_to(folder).as_posix())
    info.mtime = TIME
    if path.is_symlink():
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, os.readlink(path), 0o777
        if os.path.isabs(info.linkname) or not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{path} is a link that leads out of {folder}")
    elif path.is_dir():
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    elif path.is_file():
        info.size, info.mode = path.stat().st_size, 0o755 if os.access(path, os.X_OK) else 0o644
    else:
        raise ValueError(f"{path} is neither file, folder nor link")
    return info
