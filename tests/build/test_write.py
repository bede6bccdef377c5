"""Writing where the filesystem sets limits: too large for one file, too large for any, and no space."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bundler.build import blob, output, write
from bundler.build.archive import Content
from bundler.build.copying import append
from bundler.build.output import OutputFile
from bundler.build.progress import Silent
from bundler.build.write import Written, write_bundle
from bundler.errors import BundleError
from bundler.formats.manifest import Manifest, Model, RuntimeParts, decode, encode


def manifest(target: str = "linux-x86_64") -> Manifest:
    return Manifest(
        name="m",
        bundler="0",
        runtime={target: RuntimeParts(pack="p", llama_cpp="0", parts={})},
        models=[Model(role="chat", member="models/m.gguf", size=0, sha256="", architecture="llama")],
    )


def build(
    folder: Path, weights: int, target: str = "linux-x86_64", *, external_weights: bool = False, name: str = "m.exe"
) -> Written:
    (folder / "launcher").write_bytes(b"launcher")
    (folder / "weights").write_bytes(bytes(weights))
    (folder / "out").mkdir(exist_ok=True)
    return write_bundle(
        folder / "out" / name,
        folder / "launcher",
        [Content("Modelfile", b"FROM ./models/m.gguf\n")],
        {"models/m.gguf": folder / "weights"},
        manifest(target),
        Silent(),
        external_weights=external_weights,
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


def test_no_weights_are_left_beside_an_executable_that_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out" / "m.exe").mkdir(parents=True)
    with pytest.raises(BundleError, match=r"m\.exe: Is a directory"):
        build(tmp_path, 100_000, external_weights=True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["m.exe"]


def test_no_space_for_the_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100))
    monkeypatch.setattr(write, "_shares_blocks", lambda destination: False)
    with pytest.raises(BundleError) as caught:
        build(tmp_path, 1000)
    assert caught.value.message == (
        f"failed to write {tmp_path / 'out' / 'm.exe'}: it needs 1029 bytes, and the disk has 100 free"
    )
    assert caught.value.hint == "free some space, or give another place with -o"
    assert list((tmp_path / "out").iterdir()) == []


def test_weights_have_a_name_that_every_system_allows(tmp_path: Path) -> None:
    written = build(tmp_path, 1000, external_weights=True, name="a:b.exe")
    (sidecar,) = written.sidecars
    assert sidecar.name.startswith("a-b-")
    assert decode(encode(written.manifest)).models[0].sidecar == sidecar.name


def test_a_pipe_or_device_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out" / "m.exe")
    with pytest.raises(BundleError, match=r"m\.exe: it is a device, a pipe or a socket"):
        build(tmp_path, 1000)
    assert (tmp_path / "out" / "m.exe").is_fifo()


def test_a_filesystem_without_modes_holds_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", refuse)
    assert build(tmp_path, 1000).path.exists()


def test_a_time_stamp_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(BundleError, match="SOURCE_DATE_EPOCH: 'yesterday' is no number"):
        build(tmp_path, 1000)


def test_a_source_that_cannot_be_read(tmp_path: Path) -> None:
    """A folder opens like a file, and says at the first read that it is none: so does a disk that fails."""
    (tmp_path / "weights").mkdir()
    weights = blob.part(tmp_path / "weights", 0, 10, "weights")
    with (
        ThreadPoolExecutor(2) as pool,
        Silent().stage("") as stage,
        OutputFile(tmp_path / "out") as output,
        pytest.raises(BundleError, match=r"^failed to read .*weights: Is a directory"),
    ):
        append(weights, output, stage, pool)


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
