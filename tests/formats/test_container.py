"""The container: what is written is read back, standard tools accept it, and damage is one clear error."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from bundler.build.archive import Content
from bundler.build.progress import Progress, Silent, Stage, Unit
from bundler.build.write import Written, write_bundle
from bundler.errors import BundleError
from bundler.formats.container import ALIGNMENT, directory, local_header, place, read_archive
from bundler.formats.container import DosTime as Stamp
from bundler.formats.manifest import Manifest, Model, RuntimeParts
from bundler.formats.source import BytesSource, FileSource
from bundler.formats.verification import verify

LAUNCHER = b"\x7fELF a launcher" * 40
WEIGHTS = bytes(range(256)) * 700
BASE = "runtime/linux-x86_64/base-" + "0" * 64 + ".tar.zst"


def manifest(member: str = "models/tiny.gguf") -> Manifest:
    return Manifest(
        name="tiny",
        bundler="0",
        runtime={"linux-x86_64": RuntimeParts(pack="p", llama_cpp="0", parts={"base": BASE})},
        models=[
            Model(
                role="chat", member=member, size=0, sha256="", architecture="llama", header_size=100, quantization="F16"
            )
        ],
    )


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Written]:
    launcher, weights = tmp_path / "launcher", tmp_path / "weights"
    launcher.write_bytes(LAUNCHER)
    weights.write_bytes(WEIGHTS)

    def build(
        name: str = "tiny.exe", *, external: bool = False, model: Path = weights, progress: Progress | None = None
    ) -> Written:
        (tmp_path / "out").mkdir(exist_ok=True)
        return write_bundle(
            tmp_path / "out" / name,
            launcher,
            [Content("Modelfile", b"FROM ./models/tiny.gguf\n"), Content(BASE, b"runtime" * 999)],
            {"models/tiny.gguf": model},
            manifest(),
            progress or Silent(),
            external_weights=external,
        )

    return build


def check(path: Path) -> None:
    with path.open("rb") as file:
        verify(FileSource(file.fileno()))


def test_a_written_bundle_is_whole_and_executable(write: Callable[..., Written]) -> None:
    written = write()
    check(written.path)
    assert os.access(written.path, os.X_OK)
    assert written.path.read_bytes().startswith(LAUNCHER)


def test_python_zipfile_reads_it(write: Callable[..., Written]) -> None:
    with zipfile.ZipFile(write().path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["Modelfile", BASE, "models/tiny.gguf", "bundle.json"]
        assert archive.read("models/tiny.gguf") == WEIGHTS
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())


@pytest.mark.skipif(shutil.which("unzip") is None, reason="unzip is not installed")
def test_unzip_reads_it(write: Callable[..., Written]) -> None:
    result = subprocess.run(["unzip", "-t", write().path], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_weights_are_aligned(write: Callable[..., Written]) -> None:
    model = next(member for member in write().manifest.members if member.name.startswith("models/"))
    assert model.offset % ALIGNMENT == 0


def test_same_inputs_same_bytes(write: Callable[..., Written]) -> None:
    assert write("one").path.read_bytes() == write("two").path.read_bytes()


def test_nothing_else_is_left_in_the_folder(write: Callable[..., Written]) -> None:
    assert [path.name for path in write().path.parent.iterdir()] == ["tiny.exe"]


def test_external_weights_lie_beside_the_executable(write: Callable[..., Written]) -> None:
    written = write(external=True)
    (sidecar,) = written.sidecars
    assert sidecar.read_bytes() == WEIGHTS
    assert written.manifest.models[0].sidecar == sidecar.name
    assert written.manifest.models[0].header_sha256
    check(written.path)


def test_every_flipped_bit_is_found(write: Callable[..., Written]) -> None:
    data = write().path.read_bytes()
    chosen = random.Random(1)
    edges = [*range(64), *range(len(data) - 1200, len(data))]
    for position in edges + chosen.sample(range(len(data)), 400):
        damaged = bytearray(data)
        damaged[position] ^= 1 << chosen.randrange(8)
        with pytest.raises(BundleError) as caught:
            verify(BytesSource(bytes(damaged)))
        assert caught.value.hint


def test_every_cut_is_found(write: Callable[..., Written]) -> None:
    data = write().path.read_bytes()
    for length in [0, 1, 21, 22, 100, 5000, len(data) // 2, *range(len(data) - 400, len(data))]:
        with pytest.raises(BundleError):
            verify(BytesSource(data[:length]))


def test_an_appended_signature_is_tolerated_and_counted(write: Callable[..., Written]) -> None:
    data = write().path.read_bytes()
    assert verify(BytesSource(data + b"S" * 100_000)).appended == 100_000


def test_a_newer_container_is_refused_with_words(write: Callable[..., Written]) -> None:
    data = write().path.read_bytes().replace(b"bundle-trailer 1 ", b"bundle-trailer 2 ")
    with pytest.raises(BundleError, match="container format is 2, and this program knows 1"):
        read_archive(BytesSource(data))


@pytest.mark.parametrize("name", ["../x", "/x", "a/../b", "a//b", "c:x", "a\\b", "."])
def test_names_that_lead_out_of_the_folder_are_refused(name: str) -> None:
    entry = place(0, name, 1, aligned=False)
    body = local_header(entry, Stamp()) + b"x"
    data = body + directory([entry], len(body), Stamp())
    data += b"bundle-trailer 1 manifest=" + b"0" * 64 + b" outside=" + b"0" * 64
    with pytest.raises(BundleError, match="is not allowed"):
        read_archive(BytesSource(data))


def test_a_source_that_grows_while_it_is_read_leaves_nothing(write: Callable[..., Written], tmp_path: Path) -> None:
    model = tmp_path / "growing.gguf"
    model.write_bytes(WEIGHTS)

    class Growing(Silent):
        def stage(self, title: str, total: int | None = None, unit: Unit = "bytes") -> AbstractContextManager[Stage]:
            return nullcontext(self)

        def advance(self, amount: int) -> None:
            with model.open("ab") as file:
                file.write(b"more")

    with pytest.raises(BundleError, match="changed while it was read"):
        write(model=model, progress=Growing())
    assert list((tmp_path / "out").iterdir()) == []


def test_more_than_four_gibibytes(write: Callable[..., Written], tmp_path: Path) -> None:
    model = tmp_path / "large.gguf"
    with model.open("wb") as file:
        file.write(WEIGHTS)
        file.truncate((4 << 30) + 12345)
        file.seek(0, os.SEEK_END)
        file.write(b"the end")
    written = write(model=model)
    assert written.path.stat().st_blocks * 512 < 1 << 30, "holes stay holes, so that this test costs no disk"
    with written.path.open("rb") as file:
        entries = read_archive(FileSource(file.fileno())).entries
    assert entries["models/tiny.gguf"].size == model.stat().st_size
    assert entries["bundle.json"].header_offset > 4 << 30
    with zipfile.ZipFile(written.path) as archive, archive.open("models/tiny.gguf") as member:
        assert archive.read("bundle.json").startswith(b"{")
        assert member.read(len(WEIGHTS)) == WEIGHTS
    if shutil.which("unzip"):
        result = subprocess.run(["unzip", "-t", written.path], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
