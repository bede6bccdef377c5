"""The same tree gives the same bytes, and what comes out again is the tree."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
import zstandard

from bundler.build import tarball


def make_tree(root: Path, names: list[str]) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode() * 100)
    root.mkdir(exist_ok=True)
    (root / "run").write_bytes(b"#!/bin/sh\n")
    (root / "run").chmod(0o700)
    (root / "lib").mkdir(exist_ok=True)
    (root / "lib" / "short").symlink_to("long")
    (root / "lib" / "long").write_bytes(b"")
    return root


def unpacked(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor(max_window_size=1 << 23).decompress(data)


def test_order_of_creation_time_and_umask_leave_no_trace(tmp_path: Path) -> None:
    names = ["b/x", "a/y", "a.txt", "a/deep/er"]
    first = make_tree(tmp_path / "one", names)
    second = make_tree(tmp_path / "two", names[::-1])
    for path in second.rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
    (second / "a.txt").chmod(0o600)
    tarball.pack(first, tmp_path / "1")
    tarball.pack(second, tmp_path / "2")
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_members_are_plain_sorted_and_anonymous(tmp_path: Path) -> None:
    output = io.BytesIO()
    tarball.write(make_tree(tmp_path / "tree", ["z/file"]), output)
    with tarfile.open(fileobj=io.BytesIO(output.getvalue())) as tar:
        members = {member.name: member for member in tar}
    assert list(members) == ["lib", "lib/long", "lib/short", "run", "z", "z/file"]
    assert {(member.uid, member.gid, member.uname, member.gname) for member in members.values()} == {(0, 0, "", "")}
    assert [oct(members[name].mode) for name in ("lib", "run", "z/file")] == ["0o755", "0o755", "0o644"]
    assert members["lib/short"].linkname == "long"


def test_frame_carries_checksum_and_size_and_fits_eight_mebibytes(tmp_path: Path) -> None:
    size = tarball.pack(make_tree(tmp_path / "tree", ["z/file"]), tmp_path / "packed")
    data = (tmp_path / "packed").read_bytes()
    frame = zstandard.get_frame_parameters(data)
    assert frame.has_checksum
    assert frame.content_size == size == len(unpacked(data))
    assert frame.window_size <= 8 << 20


def test_every_byte_of_files_is_announced(tmp_path: Path) -> None:
    seen: list[int] = []
    root = make_tree(tmp_path / "tree", ["z/file"])
    tarball.pack(root, tmp_path / "packed", seen.append)
    assert sum(seen) == sum(path.stat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink())


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside"])
def test_links_that_lead_out_are_refused(tmp_path: Path, target: str) -> None:
    root = make_tree(tmp_path / "tree", [])
    (root / "leak").symlink_to(target)
    with pytest.raises(ValueError, match="leads out"):
        tarball.write(root, io.BytesIO())


def test_pipes_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="neither file, folder nor link"):
        tarball.write(tmp_path, io.BytesIO())
