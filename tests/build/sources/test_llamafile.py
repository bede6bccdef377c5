"""A llamafile as FROM: the GGUF inside it, and its arguments as parameters."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from bundler.errors import BundleError
from bundler.formats import llamafileargs
from bundler.formats.modelfile import Instruction
from tests.build.conftest import Site
from tests.build.sources import making
from tests.build.sources.making import content, fails, find, gguf

AGAIN = "the file is damaged or was made to mislead; get it again from its source"
PROGRAM = b"MZqFpD='\n" + bytes(5000)


def make(
    path: Path, members: Mapping[str, bytes], arguments: str | None = None, *, method: int = zipfile.ZIP_STORED
) -> Path:
    """A program with an archive behind it."""
    path.write_bytes(PROGRAM)
    with zipfile.ZipFile(path, "a") as archive:
        for name, data in members.items():
            archive.writestr(name, data, compress_type=method)
        if arguments is not None:
            archive.writestr(".args", arguments, compress_type=zipfile.ZIP_DEFLATED)
    return path


ARGS = """-m
small.gguf
--temp
0.7
-c
4096
-r
</s>
--top-k 20
--host
0.0.0.0
--nobrowser
-sys
Be brief.
--top-p
many
--no-mmap
--seed
-1
--mmproj=small-mmproj.gguf
...
"""


def test_the_model_and_its_arguments(tmp_path: Path) -> None:
    projector = gguf({"general.architecture": "clip"})
    make(tmp_path / "small.llamafile", {"small.gguf": gguf(), "small-mmproj.gguf": projector, "usr/x": b"1"}, ARGS)
    found = find("./small.llamafile", tmp_path)
    assert [(weights.kind, weights.name) for weights in found.weights] == [
        ("model", "small"),
        ("projector", "small-mmproj"),
    ]
    assert content(found.weights[0].blob) == gguf()
    assert found.inherited == (
        Instruction("parameter", "temperature", "0.7"),
        Instruction("parameter", "num_ctx", "4096"),
        Instruction("parameter", "stop", "</s>"),
        Instruction("parameter", "top_k", "20"),
        Instruction("system", "", "Be brief."),
        Instruction("parameter", "use_mmap", "false"),
        Instruction("parameter", "seed", "-1"),
    )
    told = ".args of ./small.llamafile: "
    assert [line.removeprefix(told) for line in found.remarks] == [
        "-m small.gguf names the weights",
        "--temp 0.7 becomes PARAMETER temperature 0.7",
        "-c 4096 becomes PARAMETER num_ctx 4096",
        "-r </s> becomes PARAMETER stop </s>",
        "--top-k 20 becomes PARAMETER top_k 20",
        "-sys Be brief. becomes SYSTEM Be brief.",
        "--no-mmap becomes PARAMETER use_mmap false",
        "--seed -1 becomes PARAMETER seed -1",
        "--mmproj small-mmproj.gguf names the weights",
    ]
    assert [line.removeprefix(told) for line in found.doubts] == [
        "--host 0.0.0.0 is ignored: a Modelfile has nothing like it",
        "--nobrowser is ignored: a Modelfile has nothing like it",
        '--top-p many is ignored: top_p needs a number, and "many" is none',
    ]


def test_a_bundle_of_a_llamafile(site: Site) -> None:
    make(site.folder / "m.llamafile", {"deep/tiny.gguf": (site.folder / "tiny.gguf").read_bytes()}, "--temp\n0.5\n")
    built = site.build("FROM ./m.llamafile\nPARAMETER top_k 3\n", "m.exe")
    assert built.written.manifest.parameters == {"temperature": 0.5, "top_k": 3}
    assert built.remarks == [".args of ./m.llamafile: --temp 0.5 becomes PARAMETER temperature 0.5"]
    assert site.modelfile("m.exe") == "FROM ./models/tiny.gguf\nPARAMETER temperature 0.5\nPARAMETER top_k 3\n"
    assert site.member("m.exe", "models/tiny.gguf") == (site.folder / "tiny.gguf").read_bytes()


def test_of_several_models_the_arguments_name_one(tmp_path: Path) -> None:
    models = {"a.gguf": gguf(tensors=1), "b.gguf": gguf(tensors=2)}
    make(tmp_path / "m.llamafile", models, "-m\n/zip/b.gguf\n")
    (weights,) = find("m.llamafile", tmp_path).weights
    assert content(weights.blob) == models["b.gguf"]
    make(tmp_path / "m.llamafile", models)
    assert fails("m.llamafile", tmp_path) == (
        "m.llamafile holds 2 models, and its .args name no one of them (a, b)",
        "take the GGUF out of it (unzip FILE NAME.gguf), and name that",
    )


@pytest.mark.parametrize("name", ["../x.gguf", "/etc/x.gguf", "a/../../x", "C:\\x", "a\\..\\b", "x\n"])
def test_evil_member_names(tmp_path: Path, name: str) -> None:
    make(tmp_path / "m.llamafile", {"m.gguf": gguf(), name: b"1"})
    shown = name.replace("\n", "�")
    assert fails("m.llamafile", tmp_path) == (
        f"a member of m.llamafile has a name that leads elsewhere: {shown}",
        AGAIN,
    )


def test_a_compressed_model(tmp_path: Path) -> None:
    make(tmp_path / "m.llamafile", {"m.gguf": gguf()}, method=zipfile.ZIP_DEFLATED)
    assert fails("m.llamafile", tmp_path) == (
        "m.gguf in m.llamafile is compressed",
        "take the GGUF out of it (unzip FILE NAME.gguf), and name that",
    )


def test_a_member_that_is_not_where_the_archive_says(tmp_path: Path) -> None:
    path = make(tmp_path / "m.llamafile", {"m.gguf": gguf()})
    data = path.read_bytes()
    path.write_bytes(data[:5009] + b"XXXX" + data[5013:])
    with pytest.raises(BundleError) as caught:
        find("m.llamafile", tmp_path)
    assert caught.value.message == "failed to read m.llamafile, member m.gguf: it does not lie where the archive says"
    assert caught.value.hint == AGAIN


def test_damage_is_found_by_the_archives_sum(site: Site) -> None:
    path = make(site.folder / "m.llamafile", {"tiny.gguf": (site.folder / "tiny.gguf").read_bytes()})
    data = bytearray(path.read_bytes())
    data[len(PROGRAM) + (site.folder / "tiny.gguf").stat().st_size - 10] ^= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"^failed to read \./m\.llamafile, member tiny\.gguf: its CRC-32 is "):
        site.build("FROM ./m.llamafile\n", "m.exe")
    assert not (site.folder / "m.exe").exists()


def test_programs_and_archives_that_hold_no_model(tmp_path: Path) -> None:
    make(tmp_path / "tool.exe", {"readme.txt": b"1"})
    assert fails("tool.exe", tmp_path)[0] == "tool.exe is no GGUF: it looks like a Windows program"
    (tmp_path / "m.llamafile").write_bytes(make(tmp_path / "x", {"m.gguf": gguf()}).read_bytes()[:-30])
    assert fails("m.llamafile", tmp_path)[0] == "m.llamafile is no GGUF: it looks like a Windows program"


def test_arguments_that_are_no_text(tmp_path: Path) -> None:
    with zipfile.ZipFile(make(tmp_path / "m.llamafile", {"m.gguf": making.gguf()}), "a") as archive:
        archive.writestr(".args", b"\xff\xfe")
    said, hint = fails("m.llamafile", tmp_path)
    assert said.startswith("the .args of m.llamafile cannot be read: ")
    assert hint == AGAIN


def test_an_option_without_its_value() -> None:
    taken = llamafileargs.read("--temp\n--top-k\n3\n-c")
    assert taken.instructions == (Instruction("parameter", "top_k", "3"),)
    assert taken.ignored == ("--temp is ignored: its value is missing", "-c is ignored: its value is missing")
