"""Just enough of ELF to know what a program or library needs: DT_NEEDED, DT_RUNPATH and the program interpreter.

Reads 64-bit little-endian files (x86-64, AArch64). The layout follows the System V ABI, "Program Loading and Dynamic
Linking".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

_LOAD, _DYNAMIC, _INTERPRETER = 1, 2, 3
_NEEDED, _STRTAB, _RPATH, _RUNPATH = 1, 5, 15, 29


@dataclass(frozen=True)
class Dynamic:
    """What one ELF file asks of the dynamic loader."""

    needed: tuple[str, ...]
    """Library names as written in the file, without folders as a rule."""
    runpath: str
    """DT_RUNPATH, or DT_RPATH; empty where there is none."""
    runpath_offset: int
    """Where that text lies in the file, in bytes from its beginning."""
    interpreter: str
    """Path of the dynamic loader; empty for libraries and static programs."""


def is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def read(path: Path) -> Dynamic:
    """The dynamic section of `path`.

    Raises:
        ValueError: it is no 64-bit little-endian ELF file, or its tables lead outside of it.
    """
    image = path.read_bytes()
    if image[:6] != b"\x7fELF\x02\x01" or len(image) < 64:
        raise ValueError(f"{path} is no 64-bit little-endian ELF file")
    try:
        return _read(image)
    except (struct.error, IndexError, OverflowError, ValueError) as cause:
        raise ValueError(f"{path} has a damaged ELF header") from cause


def clear_runpath(path: Path) -> None:
    """Empty the library search path inside `path`, which names folders of the machine that built it.

    Raises:
        ValueError: as for `read`.
    """
    dynamic = read(path)
    with path.open("r+b") as file:
        file.seek(dynamic.runpath_offset)
        file.write(bytes(len(dynamic.runpath.encode())))


def _read(image: bytes) -> Dynamic:
    (table,) = struct.unpack_from("<Q", image, 32)
    size, count = struct.unpack_from("<HH", image, 54)
    # type, offset in file, address in memory, bytes in file
    segments = [
        (kind, offset, address, length)
        for kind, _, offset, address, _, length, _, _ in (
            struct.unpack_from("<IIQQQQQQ", image, table + index * size) for index in range(count)
        )
    ]
    entries: list[tuple[int, int]] = []
    interpreter = ""
    for kind, offset, _, length in segments:
        if kind == _INTERPRETER:
            interpreter = _text(image, offset)
        elif kind == _DYNAMIC:
            entries = [struct.unpack_from("<qQ", image, offset + step) for step in range(0, length, 16)]
    names = next((value for tag, value in entries if tag == _STRTAB), 0)
    strings = next(
        (offset + names - address for kind, offset, address, length in segments
         if kind == _LOAD and address <= names < address + length),
        0,
    )  # fmt: skip
    runpath_offset = next((strings + value for tag, value in entries if tag in (_RPATH, _RUNPATH)), 0)
    return Dynamic(
        needed=tuple(_text(image, strings + value) for tag, value in entries if tag == _NEEDED),
        runpath=_text(image, runpath_offset) if runpath_offset else "",
        runpath_offset=runpath_offset,
        interpreter=interpreter,
    )


def _text(image: bytes, offset: int) -> str:
    return image[offset : image.index(b"\0", offset)].decode()
