"""Bundles of what is not one plain GGUF, at work: a variant of a bundle, a split model, an upgrade."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from bundler.build.assemble import Built, build_bundle
from bundler.build.bundles import open_bundle, verify_bundle
from bundler.build.packs import Pack
from bundler.build.progress import Silent
from bundler.build.upgrade import upgrade
from bundler.formats import gguf
from bundler.formats.source import BytesSource
from tests.conftest import GUIDE
from tests.formats import ggufs

WEIGHTS = GUIDE / "guide.gguf"


def build(folder: Path, modelfile: str, output: str, *, warm: bool = False) -> Built:
    (folder / "Modelfile").write_text(modelfile)
    told: list[str] = []
    built = build_bundle(
        folder / "Modelfile",
        folder / output,
        name="guide",
        target=None,
        pack=None,
        external_weights=False,
        warm=warm,
        progress=Silent(),
        warn=told.append,
    )
    assert told == []
    verify_bundle(folder / output, Silent())
    return built


def answer(path: Path) -> str:
    result = subprocess.run(
        [path, "run", "What is a bundle?"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=True,
    )
    return result.stdout


def system(path: Path) -> str | None:
    with open_bundle(path) as bundle:
        return bundle.manifest.system


def split(folder: Path) -> Path:
    """The guide's weights in two parts: all metadata in the first one, half of the tensors in each."""
    data = WEIGHTS.read_bytes()
    header = gguf.read_header(BytesSource(data), "guide.gguf")
    half = len(header.tensors) // 2
    keys = [header.raw(key) for key in header.fields]
    for number, tensors in enumerate((header.tensors[:half], header.tensors[half:])):
        own = {"split.no": number, "split.count": 2, "split.tensors.count": len(header.tensors)}
        kept = [*(keys if number == 0 else []), *(ggufs.string(key) + ggufs.value(value) for key, value in own.items())]
        first = tensors[0].offset
        infos = [ggufs.tensor(each.name, each.shape, each.type, each.offset - first) for each in tensors]
        head = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(kept)) + b"".join(kept) + b"".join(infos)
        end = tensors[-1].offset + tensors[-1].size
        body = data[header.data_offset + first : header.data_offset + end]
        path = folder / f"guide-{number + 1:05d}-of-00002.gguf"
        path.write_bytes(head + bytes(-len(head) % header.alignment) + body)
    return path


def test_a_variant_of_a_bundle_answers(guide: Path, tmp_path: Path) -> None:
    shutil.copy(guide, tmp_path / "base.exe")
    build(tmp_path, "FROM ./base.exe\nSYSTEM You are the guide's cousin.\n", "new.exe")
    assert system(tmp_path / "new.exe") == "You are the guide's cousin."
    assert answer(tmp_path / "new.exe").strip()


@pytest.mark.usefixtures("pack")
def test_a_split_model_answers_as_the_whole_one(tmp_path: Path) -> None:
    shutil.copy(WEIGHTS, tmp_path)
    split(tmp_path)
    said = "SYSTEM You are the guide, and you know all about bundles and about nothing else.\nPARAMETER temperature 0\n"
    build(tmp_path, f"FROM ./guide.gguf\n{said}", "whole.exe")
    build(tmp_path, f"FROM ./guide-00002-of-00002.gguf\n{said}", "split.exe", warm=True)
    assert answer(tmp_path / "split.exe") == answer(tmp_path / "whole.exe")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_an_upgraded_bundle_is_the_one_built_now(guide: Path, pack: Pack, tmp_path: Path) -> None:
    upgrade(guide, tmp_path / "up.exe", pack=pack.id, progress=Silent(), warn=lambda line: None)
    assert (tmp_path / "up.exe").read_bytes() == guide.read_bytes()
