"""Writing where the filesystem sets limits: too large for one file, too large for any, and no space."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bundler.build import output, write
from bundler.build.progress import Silent
from bundler.build.write import Content, Written, write_bundle
from bundler.errors import BundleError
from bundler.formats.manifest import Manifest, Model, RuntimeParts


def manifest(target: str = "linux-x86_64") -> Manifest:
    return Manifest(
        name="m",
        bundler="0",
        runtime={target: RuntimeParts(pack="p", llama_cpp="0", parts={})},
        models=[Model(role="chat", member="models/m.gguf", size=0, sha256="", architecture="llama")],
    )


def build(folder: Path, weights: int, target: str = "linux-x86_64") -> Written:
    (folder / "launcher").write_bytes(b"launcher")
    (folder / "weights").write_bytes(bytes(weights))
    (folder / "out").mkdir(exist_ok=True)
    return write_bundle(
        folder / "out" / "m.exe",
        folder / "launcher",
        [Content("Modelfile", b"FROM ./models/m.gguf\n")],
        {"models/m.gguf": folder / "weights"},
        manifest(target),
        Silent(),
    )


def test_fat32_gets_the_weights_beside_the_executable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "file_size_limit", lambda folder: 1 << 20)
    written = build(tmp_path, 900_000)
    (sidecar,) = written.sidecars
    assert sidecar.stat().st_size == 900_000
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(["m.exe", sidecar.name])


def test_weights_that_fat32_cannot_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "file_size_limit", lambda folder: 1 << 20)
    with pytest.raises(BundleError) as caught:
        build(tmp_path, 2 << 20)
    assert "FAT32" in caught.value.message
    assert "2097152 bytes" in caught.value.message
    assert "exFAT" in caught.value.hint
    assert list((tmp_path / "out").iterdir()) == []


def test_windows_starts_no_file_over_four_gibibytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "PE_LIMIT", 1 << 20)
    assert build(tmp_path, 900_000, "windows-x86_64").sidecars
    assert not build(tmp_path, 900_000, "linux-x86_64").sidecars


def test_the_filesystem_is_read_from_the_mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = tmp_path.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    table = tmp_path / "mountinfo"
    table.write_text(f"36 35 {number} / /mnt rw - vfat /dev/sdb1 rw\n")
    monkeypatch.setattr(output, "MOUNTS", table)
    assert output.file_size_limit(tmp_path) == output.FAT32_LIMIT
    table.write_text(f"36 35 {number} / /mnt rw - ext4 /dev/sda1 rw\n")
    assert output.file_size_limit(tmp_path) is None


def test_a_file_that_may_not_grow_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    """RLIMIT_FSIZE makes the kernel answer as a filesystem does that holds no larger file."""
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from bundler.errors import BundleError\n"
        "from tests.build.test_write import build\n"
        "folder = Path(sys.argv[1])\n"
        "(folder / 'out').mkdir()\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
        "try:\n"
        "    build(folder, 1 << 20)\n"
        "except BundleError as error:\n"
        "    print(error.render())\n"
    )
    result = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False)
    assert "m.exe: File too large\nhint: the filesystem holds no file of this size" in result.stdout, result.stderr
    assert list((tmp_path / "out").iterdir()) == []
