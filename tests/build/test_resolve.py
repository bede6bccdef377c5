"""Which files a Modelfile means, and what is said where there are none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bundler.build.progress import Silent
from bundler.build.resolve import check_drafts, read_modelfile
from bundler.build.sources import registry
from bundler.errors import BundleError
from bundler.formats.modelfile import ModelfileError
from tests.formats import ggufs

MODEL = ggufs.build({"general.architecture": "llama"})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project and, in its `home`, what `~` stands for."""
    for name in ("project", "home", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "project"


def resolve(folder: Path, value: str) -> Path:
    (folder / "Modelfile").write_text(f"FROM {value}\n", encoding="utf-8")
    path, modelfile = read_modelfile(folder)
    found = registry.resolve(modelfile, modelfile.commands[0], path.parent, Silent())
    (file,) = found.weights[0].blob.files
    return file


def fails(folder: Path, value: str) -> ModelfileError:
    with pytest.raises(ModelfileError) as caught:
        resolve(folder, value)
    assert caught.value.message.startswith(f"failed to read Modelfile: {folder / 'Modelfile'}:1:6: ")
    assert caught.value.hint
    return caught.value


def cause(error: ModelfileError) -> str:
    return error.message.splitlines()[0].split(":1:6: ")[1]


def test_paths_are_relative_to_the_modelfile(folder: Path) -> None:
    (folder / "m.gguf").write_bytes(MODEL)
    (folder / "sub").mkdir()
    (folder / "sub" / "m.gguf").write_bytes(MODEL)
    assert resolve(folder, "m.gguf").samefile(folder / "m.gguf")
    assert resolve(folder, "./m.gguf").samefile(folder / "m.gguf")
    assert resolve(folder, '"sub/m.gguf"').samefile(folder / "sub" / "m.gguf")


def test_absolute_paths_and_home(folder: Path) -> None:
    model = folder.parent / "home" / "m.gguf"
    model.write_bytes(MODEL)
    assert resolve(folder, str(model)) == model
    assert resolve(folder, "~/m.gguf") == model


def test_a_file_may_look_like_a_model_name(folder: Path) -> None:
    (folder / "llama3.2").write_bytes(MODEL)
    assert resolve(folder, "llama3.2").samefile(folder / "llama3.2")


def test_the_modelfile_is_a_file_or_in_a_folder(folder: Path) -> None:
    (folder / "Modelfile").write_text("FROM x\n")
    (folder / "other").write_text("FROM y\n")
    assert read_modelfile(folder)[1].commands[0].value == "x"
    assert read_modelfile(folder / "Modelfile")[1].commands[0].value == "x"
    assert read_modelfile(folder / "other")[1].commands[0].value == "y"


def test_no_modelfile(folder: Path) -> None:
    with pytest.raises(BundleError) as caught:
        read_modelfile(folder)
    assert caught.value.message == f"failed to read Modelfile: there is no {folder / 'Modelfile'}"
    (folder / "modelfile.txt").write_text("")
    with pytest.raises(BundleError) as caught:
        read_modelfile(folder)
    assert caught.value.hint == "did you mean modelfile.txt?"


def test_a_model_instead_of_a_modelfile(folder: Path) -> None:
    (folder / "m.gguf").write_bytes(MODEL)
    with pytest.raises(BundleError) as caught:
        read_modelfile(folder / "m.gguf")
    assert caught.value.message == f"failed to read Modelfile {folder / 'm.gguf'}: it is a GGUF model"
    assert caught.value.hint == "write a Modelfile with the line: FROM m.gguf"


def test_a_program_instead_of_a_modelfile(folder: Path) -> None:
    (folder / "tool").write_bytes(b"\x7fELF" + bytes(100))
    with pytest.raises(BundleError) as caught:
        read_modelfile(folder / "tool")
    assert caught.value.message == f"failed to read Modelfile {folder / 'tool'}: it looks like a Linux program"
    assert caught.value.hint == "give a Modelfile"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_a_modelfile_that_may_not_be_read(folder: Path) -> None:
    (folder / "Modelfile").write_text("FROM x\n")
    (folder / "Modelfile").chmod(0)
    with pytest.raises(BundleError, match="Permission denied"):
        read_modelfile(folder)


def test_a_missing_file_names_the_nearest(folder: Path) -> None:
    (folder / "tiny-model.gguf").write_bytes(MODEL)
    error = fails(folder, "./tiny-modle.gguf")
    assert cause(error) == f"there is no file {folder / 'tiny-modle.gguf'}"
    assert error.hint == "did you mean tiny-model.gguf?"
    assert fails(folder, "./quite-different.gguf").hint == "the folder has tiny-model.gguf"
    assert fails(folder, "./nowhere/m.gguf").hint == f"there is no folder {folder / 'nowhere'} either"


@pytest.mark.parametrize("name", ["llama3.2", "llama3.2:1b", "library/llama3"])
def test_a_name_that_is_neither_file_nor_model(folder: Path, name: str) -> None:
    store = folder.parent / "home" / ".ollama" / "models"
    assert (
        cause(fails(folder, name)) == f"there is no file {name}, and no model of this name in the Ollama store {store}"
    )


def test_dots_take_away_the_name_before_them_link_or_not(folder: Path) -> None:
    (folder / "link").symlink_to(folder.parent / "elsewhere")
    (folder / "m.gguf").write_bytes(MODEL)
    assert resolve(folder, "link/../m.gguf") == folder / "m.gguf"


def test_a_folder_stands_for_its_only_gguf(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "config.json").write_text("{}")
    (folder / "sub" / "m.GGUF").write_bytes(MODEL)
    (folder / "sub" / "z.bin").write_bytes(b"other")
    assert resolve(folder, "sub") == folder / "sub" / "m.GGUF"
    assert resolve(folder, "./sub/") == folder / "sub" / "m.GGUF"
    (folder / "sub" / "m.GGUF").rename(folder / "sub" / "m.bin")
    (folder / "sub" / "z.bin").unlink()
    assert resolve(folder, "sub") == folder / "sub" / "m.bin"
    (folder / "sub" / "m.bin").write_bytes(b"")
    assert cause(fails(folder, "sub")) == "sub/m.bin is no GGUF: it is empty"


@pytest.mark.parametrize(
    ("names", "said", "hint"),
    [
        ([], "sub is a folder without weights", "give a path to a .gguf"),
        (["tokenizer.model", "x.safetensors"], "sub is a folder without weights", "give a path to a .gguf"),
        (["b.gguf", "a.gguf"], "sub is a folder with 2 models (*.gguf)", "name one of them: a.gguf, b.gguf"),
        (
            ["consolidated.safetensors", "pytorch_model.bin"],
            "sub is a folder with weights in another format (consolidated*.safetensors)",
            "convert it with llama.cpp's convert_hf_to_gguf.py, and name the GGUF",
        ),
        (
            ["consolidated.00.pth", "a.gguf"],
            "sub is a folder with weights in another format (consolidated*.pth)",
            "the folder has a.gguf",
        ),
    ],
)
def test_a_folder_that_is_no_gguf(folder: Path, names: list[str], said: str, hint: str) -> None:
    (folder / "sub").mkdir()
    for name in names:
        (folder / "sub" / name).write_bytes(MODEL)
    error = fails(folder, "sub")
    assert (cause(error), error.hint) == (said, hint)


def test_a_link_out_of_a_folder_is_refused(folder: Path) -> None:
    (folder / "sub").mkdir()
    target = folder.parent / "elsewhere" / "m.gguf"
    target.write_bytes(MODEL)
    (folder / "sub" / "m.gguf").symlink_to(target)
    error = fails(folder, "sub")
    assert cause(error) == "m.gguf in sub is a link that leads out of the folder"
    assert error.hint == f"name the file itself: FROM {os.path.realpath(target)}"
    assert resolve(folder, "sub/m.gguf") == folder / "sub" / "m.gguf"
    (folder / "sub" / "m.gguf").unlink()
    (folder / "sub" / "real").write_bytes(MODEL)
    (folder / "sub" / "m.gguf").symlink_to("real")
    (folder / "also").symlink_to("sub")
    assert resolve(folder, "also") == folder / "also" / "m.gguf"


@pytest.mark.parametrize("draft", ["./m.gguf", "link.gguf", "sub/../m.gguf"])
def test_a_draft_of_the_model_itself(folder: Path, draft: str) -> None:
    (folder / "m.gguf").write_bytes(MODEL)
    (folder / "link.gguf").symlink_to("m.gguf")
    (folder / "Modelfile").write_text(f"FROM m.gguf\nDRAFT other.gguf\nDRAFT {draft}\n")
    path, modelfile = read_modelfile(folder)
    with pytest.raises(ModelfileError) as caught:
        check_drafts(modelfile, path.parent)
    assert caught.value.message.startswith(
        f"failed to read Modelfile: {folder / 'Modelfile'}:3:7: DRAFT names the same file as FROM: {draft}\n"
    )


def test_another_draft(folder: Path) -> None:
    (folder / "Modelfile").write_text("FROM m.gguf\nDRAFT d.gguf\n")
    check_drafts(read_modelfile(folder)[1], folder)


def test_a_pipe_is_no_model_and_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "m.gguf")
    assert cause(fails(folder, "m.gguf")) == "m.gguf is a device, a pipe or a socket"


def test_unknown_users_and_impossible_names(folder: Path) -> None:
    assert cause(fails(folder, "~no-such-user/m.gguf")) == "the home folder of ~no-such-user is not known"
    assert cause(fails(folder, "a" * 5000)) == "a" * 60 + "… cannot be read: File name too long"


@pytest.mark.parametrize(
    ("content", "looks"),
    [
        (b"", "is empty"),
        (b"PK\3\4" + bytes(50), "looks like a ZIP archive, as PyTorch checkpoints are"),
        ((60).to_bytes(8, "little") + b'{"__metadata__":{}}', "looks like safetensors"),
        (b"<!DOCTYPE html><html>", "looks like a web page: the download went wrong"),
        (b"version https://git-lfs.github.com/spec/v1", "looks like a Git LFS pointer, and not the file it points to"),
        (bytes(2000), "begins with zeros: the download did not finish"),
        ("Käse".encode(), "looks like a text file"),
        (b"\x80\x02\x8a\x0a" + bytes(range(200)), "begins with the bytes 80 02 8a 0a"),
        (b"lmgg" + bytes(50), "looks like an old llama.cpp model (GGML)"),
    ],
)
def test_another_format_is_named(folder: Path, content: bytes, looks: str) -> None:
    (folder / "m.gguf").write_bytes(content)
    assert cause(fails(folder, "m.gguf")) == f"m.gguf is no GGUF: it {looks}"
