"""Finding the runtime in files that are whole, signed, huge, cut short, damaged, or for another machine."""

from __future__ import annotations

import random
import struct
import zipfile
from pathlib import Path

import pytest

from bundler.formats import targets
from bundler.formats.container import ALIGNMENT

from .composing import Composed, base_name, ending, write_sparse
from .conftest import Start

CUT_SHORT = (
    "error: failed to start {}: no bundle ends in it\n"
    "hint: the file was cut short while it was copied, or is a bare launcher; get it again from its source\n"
)
DAMAGED = "error: failed to read {}: {}\nhint: the file is damaged or was cut short; get it again from its source\n"


def test_the_composed_file_is_a_zip(composed: Composed, tmp_path: Path) -> None:
    with zipfile.ZipFile(composed.write(tmp_path / "bundle")) as archive:
        assert set(archive.namelist()) == set(composed.members)


@pytest.mark.parametrize("size", [1, 8_000, 65_536, 3_000_000])
def test_bytes_after_the_archive_are_tolerated(composed: Composed, tmp_path: Path, start: Start, size: int) -> None:
    signature = random.Random(size).randbytes(size)
    assert start(composed.write(tmp_path / "signed", composed.data + signature)).code == 0


def test_end_records_of_other_archives_are_passed_over(composed: Composed, tmp_path: Path, start: Start) -> None:
    foreign = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 0, 0, 0, 0, 0)
    data = composed.data + b"bundle-trailer 1 manifest=" + foreign
    assert start(composed.write(tmp_path / "bundle", data)).code == 0


def test_a_runtime_beyond_four_gigabytes_is_found(
    launcher_bytes: bytes, part: bytes, tmp_path: Path, start: Start
) -> None:
    path = write_sparse(tmp_path / "large", launcher_bytes, part, 6 << 30)
    if path.stat().st_blocks * 512 > 1 << 30:
        pytest.skip("this filesystem has no sparse files")
    told = start(path, "far")
    assert (told.code, told.arguments, told.errors) == (0, ["far"], "")


def test_a_bare_launcher_says_that_there_is_no_bundle(launcher_bytes: bytes, tmp_path: Path, start: Start) -> None:
    path = tmp_path / "bare"
    path.write_bytes(launcher_bytes)
    path.chmod(0o755)
    told = start(path)
    assert (told.code, told.errors) == (1, CUT_SHORT.format(path))


def test_a_file_cut_short_anywhere_behind_the_launcher_says_so(
    composed: Composed, tmp_path: Path, start: Start
) -> None:
    first, last = len(composed.launcher), len(composed.data)
    lengths = {first, first + 1, last - 1, last - 64, len(composed.body), len(composed.body) + 46, last - 200}
    lengths |= {random.Random(1).randrange(first, last) for _ in range(40)}
    for length in sorted(lengths):
        path = composed.write(tmp_path / "cut", composed.data[:length])
        told = start(path)
        assert (told.code, told.errors) == (1, CUT_SHORT.format(path)), length
        path.unlink()


@pytest.mark.parametrize("others", [["linux-other"], ["linux-other", "windows-x86_64"]])
def test_a_bundle_for_other_machines_names_them(
    launcher_bytes: bytes, part: bytes, tmp_path: Path, start: Start, others: list[str]
) -> None:
    path = Composed(launcher_bytes, {base_name(part, other): part for other in others}).write(tmp_path / "bundle")
    names = ", ".join(others)
    told = start(path)
    assert (told.code, told.errors) == (
        1,
        f"error: failed to start {path}: this bundle is for {names}, this machine is {targets.host()}\n"
        f"hint: start it on {names}, or build it with --target {targets.host()}\n",
    )


def test_the_part_for_this_machine_is_taken_among_several(
    launcher_bytes: bytes, part: bytes, tmp_path: Path, start: Start
) -> None:
    members = {base_name(b"?", "linux-other"): b"?", f"{base_name(part, targets.host())}.bak": b"??"}
    path = Composed(launcher_bytes, {**members, base_name(part, targets.host()): part}).write(tmp_path / "bundle")
    assert start(path).code == 0


def test_an_archive_without_any_runtime_says_so(launcher_bytes: bytes, tmp_path: Path, start: Start) -> None:
    path = Composed(launcher_bytes, {"bundle.json": b"{}"}).write(tmp_path / "bundle")
    told = start(path)
    assert (told.code, told.errors) == (1, DAMAGED.format(path, "it holds no runtime"))


def _patched(composed: Composed, at: int, new: bytes) -> bytes:
    """The file with bytes of its end replaced; `at` counts from the directory's first byte."""
    data = bytearray(composed.data)
    begin = len(composed.body) + at
    data[begin : begin + len(new)] = new
    return bytes(data)


def _entry_offset(composed: Composed, field: int) -> int:
    """Where a field of the base part's directory entry lies, from the directory's first byte."""
    name = base_name(composed.members[_part_name(composed)], targets.host()).encode()
    return composed.end.index(name) - 46 + field


def _part_name(composed: Composed) -> str:
    return next(name for name in composed.members if name.startswith("runtime/"))


@pytest.mark.parametrize(
    ("field", "value", "cause"),
    [
        (0, b"PKxx", "its directory is broken at byte {}"),
        (10, b"\x08\x00", "its runtime is compressed twice"),
        (20, b"\x01\x00\x00\x00", "its runtime is compressed twice"),
        (28, b"\xff\xff", "its directory is broken at byte {}"),
        (42, b"\xfe\xff\xff\xff", "its runtime lies outside the file"),
        (42, b"\xff\xff\xff\xff", "its directory is broken at byte {}"),
        (42, b"\x01\x00\x00\x00", "the header of its runtime is broken"),
    ],
    ids=["magic", "method", "packed size", "name length", "far offset", "missing wide offset", "wrong offset"],
)
def test_a_damaged_entry_names_the_damage(
    composed: Composed, tmp_path: Path, start: Start, field: int, value: bytes, cause: str
) -> None:
    at = _entry_offset(composed, field)
    path = composed.write(tmp_path / "bundle", _patched(composed, at, value))
    told = start(path)
    expected = cause.format(len(composed.body) + at - field)
    assert (told.code, told.errors) == (1, DAMAGED.format(path, expected))


@pytest.mark.parametrize("field", [12, 16], ids=["size", "offset"])
@pytest.mark.parametrize("value", [0x7FFFFFFF, 0xFFFFFFFE])
def test_a_directory_outside_the_file_is_refused_before_it_is_read(
    composed: Composed, tmp_path: Path, start: Start, field: int, value: int
) -> None:
    at = composed.end.rindex(b"PK\x05\x06") + field
    path = composed.write(tmp_path / "bundle", _patched(composed, at, struct.pack("<I", value)))
    told = start(path)
    assert (told.code, told.errors) == (1, DAMAGED.format(path, "its directory lies outside the file"))


def test_sizes_of_members_are_checked_against_the_file(composed: Composed, tmp_path: Path, start: Start) -> None:
    at = _entry_offset(composed, 20)
    path = composed.write(tmp_path / "bundle", _patched(composed, at, struct.pack("<II", 1 << 30, 1 << 30)))
    told = start(path)
    assert (told.code, told.errors) == (1, DAMAGED.format(path, "its runtime lies outside the file"))


@pytest.mark.parametrize("seed", range(6))
def test_no_damage_to_the_end_of_the_file_ends_in_a_signal(
    composed: Composed, tmp_path: Path, start: Start, seed: int
) -> None:
    chance = random.Random(seed)
    for _ in range(60):
        end = bytearray(composed.end)
        for _ in range(chance.choice([1, 1, 2, 8, 40])):
            end[chance.randrange(len(end))] = chance.choice([0, 0xFF, 0x7F, chance.randrange(256)])
        path = composed.write(tmp_path / "fuzzed", composed.body + bytes(end))
        told = start(path, "x")
        assert told.code in (0, 1), bytes(end)
        assert told.errors.startswith("error: ") if told.code else told.arguments == ["x"]
        path.unlink()


def test_no_damage_to_a_zip64_end_ends_in_a_signal(composed: Composed, tmp_path: Path, start: Start) -> None:
    chance = random.Random(64)
    entries = list(composed.entries.values())
    large = bytearray(ending(entries, len(composed.body)))
    plain = large.rindex(b"PK\x05\x06")
    size, offset = struct.unpack_from("<II", large, plain + 12)
    struct.pack_into("<II", large, plain + 12, 0xFFFFFFFF, 0xFFFFFFFF)
    count = len(entries)
    wide = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, count, count, size, offset)
    wide += struct.pack("<IIQI", 0x07064B50, 0, offset + size, 1)
    end = bytes(large[:plain]) + wide + bytes(large[plain:])
    assert start(composed.write(tmp_path / "whole", composed.body + end)).code == 0
    for _ in range(100):
        damaged = bytearray(end)
        damaged[plain + chance.randrange(len(wide))] = chance.choice([0, 0xFF, 0x80, chance.randrange(256)])
        path = composed.write(tmp_path / "fuzzed", composed.body + bytes(damaged))
        assert start(path).code in (0, 1)
        path.unlink()


def test_models_lie_where_they_can_be_mapped(composed: Composed) -> None:
    assert composed.entries["models/m.gguf"].offset % ALIGNMENT == 0
