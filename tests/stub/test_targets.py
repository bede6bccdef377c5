"""The launcher compiles for every target, to the same bytes wherever that happens."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from bundler.build import cache, launcher
from bundler.formats.targets import TARGETS

LARGEST = 300_000

ELF_MACHINES = {"linux-x86_64": 62, "linux-aarch64": 183}
MACHO_MACHINES = {"macos-x86_64": 0x01000007, "macos-arm64": 0x0100000C}


@pytest.mark.parametrize("target", TARGETS)
def test_it_compiles_small_for(target: str) -> None:
    data = launcher.build_launcher(target, cache.root()).read_bytes()
    assert len(data) < LARGEST
    if target in ELF_MACHINES:
        assert data[:4] == b"\x7fELF"
        assert struct.unpack_from("<H", data, 18) == (ELF_MACHINES[target],)
        assert _segment_kinds(data).isdisjoint({2, 3}), "it asks for a dynamic loader"
    elif target in MACHO_MACHINES:
        assert struct.unpack_from("<II", data) == (0xFEEDFACF, MACHO_MACHINES[target])
    else:
        header = struct.unpack_from("<I", data, 0x3C)[0]
        assert data[:2] == b"MZ"
        assert data[header : header + 6] == b"PE\0\0\x64\x86"
        assert struct.unpack_from("<H", data, header + 24 + 68) == (3,), "it is no console program"


def _segment_kinds(elf: bytes) -> set[int]:
    start, size, count = (
        struct.unpack_from("<Q", elf, 32)[0],
        struct.unpack_from("<H", elf, 54)[0],
        struct.unpack_from("<H", elf, 56)[0],
    )
    return {struct.unpack_from("<I", elf, start + size * i)[0] for i in range(count)}


@pytest.mark.parametrize("target", ["linux-x86_64", "windows-x86_64", "macos-arm64"])
def test_the_same_sources_give_the_same_bytes_elsewhere(target: str, tmp_path: Path) -> None:
    first = launcher.build_launcher(target, cache.root())
    second = launcher.build_launcher(target, tmp_path)
    assert first != second
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("target", TARGETS)
def test_no_path_of_the_build_is_inside(target: str) -> None:
    data = launcher.build_launcher(target, cache.root()).read_bytes()
    for path in (cache.root(), Path.home(), Path.cwd()):
        assert len(path.parts) < 2 or str(path).encode() not in data
