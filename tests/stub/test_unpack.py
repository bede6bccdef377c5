"""What is unpacked, and what becomes of parts that are damaged or lead astray."""

from __future__ import annotations

import random
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from bundler.formats import targets

from .composing import Composed, Item, base_name, compress, tar, tree
from .conftest import Start


def _bundle(launcher_bytes: bytes, part: bytes, path: Path) -> Path:
    return Composed(launcher_bytes, {base_name(part, targets.host()): part}).write(path)


def _left(home: Path) -> list[str]:
    """What lies in the cache's runtime folder, beside the lock."""
    folder = home / ".cache" / "bundle" / "runtime"
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock") if folder.exists() else []


def test_files_links_modes_and_contents_arrive(
    launcher_bytes: bytes, told: bytes, tmp_path: Path, start: Start
) -> None:
    blob = random.Random(0).randbytes(1_000_000)
    long = "lib/" + "d" * 90 + "/" + "f" * 90
    extra = [
        Item("lib", kind=tarfile.DIRTYPE, mode=0o755),
        Item("lib/blob", blob),
        Item("lib/empty"),
        Item("lib/block", b"x" * 512),
        Item("lib/link", kind=tarfile.SYMTYPE, link="../app/told"),
        Item("lib/setuid", b"x", mode=0o4755),
        Item("lib/" + "d" * 90, kind=tarfile.DIRTYPE, mode=0o700),
        Item(long, b"deep"),
    ]
    root = Path(
        start(_bundle(launcher_bytes, compress(tar(tree(told, extra=extra))), tmp_path / "b")).variables["BUNDLE_ROOT"]
    )
    assert (root / "lib/blob").read_bytes() == blob
    assert (root / "lib/empty").read_bytes() == b""
    assert (root / "lib/block").read_bytes() == b"x" * 512
    assert (root / "lib/link").resolve() == root / "app/told"
    assert (root / long).read_bytes() == b"deep"
    assert stat.S_IMODE((root / "app/told").stat().st_mode) == 0o755
    assert stat.S_IMODE((root / "lib/setuid").stat().st_mode) == 0o755
    assert stat.S_IMODE((root / "lib/blob").stat().st_mode) == 0o644
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert stat.S_IMODE(root.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("shape", ["stream", "single"])
def test_a_flipped_bit_is_found_and_nothing_is_left(
    launcher_bytes: bytes, told: bytes, tmp_path: Path, home: Path, start: Start, shape: str
) -> None:
    data = tar(tree(told, extra=[Item("blob", random.Random(1).randbytes(30_000))]))
    if shape == "stream":
        packer = zstandard.ZstdCompressor(level=3, write_checksum=True).compressobj(size=len(data))
        part = packer.compress(data) + packer.flush()
    else:
        part = compress(data)
    chance = random.Random(2)
    composed = Composed(launcher_bytes, {base_name(part, targets.host()): part})
    begin = composed.entries[base_name(part, targets.host())].offset
    for at in [*range(4), *range(len(part) - 6, len(part)), *chance.sample(range(20, len(part)), 60)]:
        damaged = bytearray(composed.data)
        damaged[begin + at] ^= 1 << chance.randrange(8)
        path = composed.write(tmp_path / "damaged", bytes(damaged))
        told_ = start(path)
        assert told_.code == 1, at
        assert told_.errors.startswith(f"error: failed to read {path}: "), at
        assert told_.errors.endswith("\nhint: the file is damaged or was cut short; get it again from its source\n")
        assert _left(home) == [], at
        path.unlink()


def test_damage_to_the_frame_header_never_passes_for_another_runtime(
    composed: Composed, tmp_path: Path, home: Path, start: Start
) -> None:
    begin = composed.entries[next(name for name in composed.entries if name.startswith("runtime/"))].offset
    for at in range(4, 12):
        for bit in range(8):
            damaged = bytearray(composed.data)
            damaged[begin + at] ^= 1 << bit
            path = composed.write(tmp_path / "damaged", bytes(damaged))
            result = start(path, "x", environment={"BUNDLE_CACHE": str(tmp_path / f"cache-{at}-{bit}")})
            assert result.code in (0, 1)
            assert result.arguments == ["x"] if result.code == 0 else result.errors.startswith("error: ")
            path.unlink()


@pytest.mark.parametrize(
    ("items", "cause"),
    [
        ([Item("/etc/x", b"")], "an entry of its runtime would be written to /etc/x"),
        ([Item("../x", b"")], "an entry of its runtime would be written to ../x"),
        ([Item("a/../../x", b"")], "an entry of its runtime would be written to a/../../x"),
        ([Item("a//x", b"")], "an entry of its runtime would be written to a//x"),
        ([Item("C:x", b"")], "an entry of its runtime would be written to C:x"),
        ([Item("l", kind=tarfile.SYMTYPE, link="/etc")], "the link l of its runtime leads to /etc"),
        ([Item("l", kind=tarfile.SYMTYPE, link="..")], "the link l of its runtime leads to .."),
        ([Item("a/l", kind=tarfile.SYMTYPE, link="../../x")], "the link a/l of its runtime leads to ../../x"),
        ([Item("p", kind=tarfile.FIFOTYPE)], "p in its runtime is of the unknown kind '6'"),
        ([Item("h", kind=tarfile.LNKTYPE, link="app/told")], "h in its runtime is of the unknown kind '1'"),
    ],
    ids=lambda value: value[0].name if isinstance(value, list) else "",
)
def test_entries_that_lead_out_of_the_folder_are_refused(
    launcher_bytes: bytes, told: bytes, tmp_path: Path, home: Path, start: Start, items: list[Item], cause: str
) -> None:
    path = _bundle(launcher_bytes, compress(tar(tree(told, extra=items))), tmp_path / "bundle")
    result = start(path)
    assert result.code == 1
    assert result.errors.splitlines()[0] == f"error: failed to read {path}: {cause}"
    assert _left(home) == []


@pytest.mark.parametrize(
    ("alter", "cause"),
    [
        (lambda data: compress(data, checksum=False), "its runtime does not begin as it should"),
        (lambda data: compress(data[:1000]), "its runtime ends too early"),
        (lambda data: compress(data[:512] + b"x" * 512 + data[1024:]), "an entry of its runtime is broken"),
        (lambda data: compress(data)[:-100], "its runtime ends too early"),
        (lambda data: compress(data) + b"more", "its runtime is followed by something else"),
        (lambda data: compress(data) + compress(data), "its runtime is followed by something else"),
        (lambda data: b"", "its runtime does not begin as it should"),
        (lambda data: b"PK", "its runtime does not begin as it should"),
    ],
    ids=["no checksum", "short tar", "no tar header", "short frame", "trailing", "two frames", "empty", "tiny"],
)
def test_parts_of_another_make_are_refused(
    launcher_bytes: bytes,
    told: bytes,
    tmp_path: Path,
    home: Path,
    start: Start,
    alter: Callable[[bytes], bytes],
    cause: str,
) -> None:
    path = _bundle(launcher_bytes, alter(tar(tree(told))), tmp_path / "bundle")
    result = start(path)
    assert (result.code, result.errors.splitlines()[0]) == (1, f"error: failed to read {path}: {cause}")
    assert _left(home) == []


def test_no_damage_within_the_tar_ends_in_a_signal(
    launcher_bytes: bytes, told: bytes, tmp_path: Path, start: Start
) -> None:
    """Damage that zstd's checksum covers, as a faulty packer would make it."""
    whole = tar(tree(told))
    headers = [at for at in range(0, len(whole), 512) if whole[at + 257 : at + 262] == b"ustar"]
    chance = random.Random(5)
    for round_ in range(80):
        data = bytearray(whole)
        header = chance.choice(headers)
        data[header + chance.randrange(512)] = chance.choice([0, 0xFF, 0x37, chance.randrange(256)])
        if round_ % 2:
            data[header + 148 : header + 156] = b" " * 8
            data[header + 148 : header + 156] = b"%06o\0 " % sum(data[header : header + 512])
        path = _bundle(launcher_bytes, compress(bytes(data)), tmp_path / "bundle")
        place = str(tmp_path / "places" / str(round_))
        assert start(path, environment=dict.fromkeys(("BUNDLE_CACHE", "HOME", "TMPDIR"), place)).code in (0, 1)
        path.unlink()


def test_a_runtime_that_names_no_program_says_so(
    launcher_bytes: bytes, told: bytes, tmp_path: Path, start: Start
) -> None:
    path = _bundle(launcher_bytes, compress(tar(tree(told, launch="format 1\nexe ../x\n"))), tmp_path / "bundle")
    result = start(path)
    assert (result.code, result.errors) == (
        1,
        f"error: failed to start {path}: its launch.txt names no program\nhint: get the file again from its source\n",
    )
