"""A new prompt for a bundle on filesystems that can share blocks: the weights take no second space."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bundler.build import bundles, patch
from bundler.build.apply import apply
from bundler.build.assemble import build_bundle
from bundler.build.progress import Silent
from tests.build.conftest import Site, check
from tests.build.test_packs import FOREIGN

SIZE = 400 << 20
"""Bytes of a filesystem, most of them a hole; XFS takes no fewer than 300 MiB."""


@pytest.fixture(params=["btrfs", "xfs"])
def mounted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A filesystem that can share blocks, on a loop device."""
    make = shutil.which(f"mkfs.{request.param}", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if make is None or os.geteuid() != 0:
        pytest.skip(f"needs mkfs.{request.param} and a user who may mount")
    image, place = tmp_path / "image", tmp_path / "mounted"
    with image.open("wb") as file:
        file.truncate(SIZE)
    place.mkdir()
    subprocess.run([make, "-q", image], check=True, capture_output=True)
    if subprocess.run(["mount", "-o", "loop", image, place], capture_output=True, check=False).returncode != 0:
        pytest.skip(f"this machine mounts no {request.param}")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_new_prompt_takes_no_space_for_the_weights(site: Site, mounted: Path) -> None:
    def build(modelfile: str, output: str) -> int:
        (mounted / "Modelfile").write_text(modelfile)
        built = build_bundle(
            mounted / "Modelfile",
            mounted / output,
            name="m",
            target=FOREIGN,
            pack=None,
            external_weights=False,
            progress=Silent(),
            warn=lambda line: None,
        )
        check(mounted / output)
        return built.written.shared

    shutil.copy(site.folder / "tiny.gguf", mounted)
    weights = (mounted / "tiny.gguf").stat().st_size
    assert build("FROM ./tiny.gguf\nSYSTEM one\n", "base.exe") == weights
    shared = build("FROM ./base.exe\nSYSTEM two\n", "new.exe")
    assert weights - 4096 < shared <= weights
    with bundles.open_bundle(mounted / "new.exe") as bundle:
        entry = bundle.archive.entries["models/tiny.gguf"]
        assert bundle.source.read_at(entry.offset, entry.size) == (site.folder / "tiny.gguf").read_bytes()


def test_a_patched_bundle_shares_the_weights_of_the_old_one(site: Site, mounted: Path) -> None:
    site.told("FROM ./tiny.gguf\nSYSTEM one\n", "old.exe")
    site.told("FROM ./tiny.gguf\nSYSTEM two\n", "new.exe")
    patch.make(site.folder / "old.exe", site.folder / "new.exe", mounted / "p", Silent())
    shutil.copy(site.folder / "old.exe", mounted)
    applied = apply(mounted / "p", mounted / "old.exe", mounted / "made.exe", Silent())
    assert applied.shared > (site.folder / "tiny.gguf").stat().st_size - 4096
    assert (mounted / "made.exe").read_bytes() == (site.folder / "new.exe").read_bytes()
