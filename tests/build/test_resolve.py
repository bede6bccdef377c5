"""Which files a Modelfile means, and what is said where there are none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bundler.build.resolve import read_modelfile, weights_file
from bundler.errors import BundleError
from bundler.formats.modelfile import ModelfileError


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
    return weights_file(modelfile, modelfile.commands[0], path.parent)


def fails(folder: Path, value: str) -> ModelfileError:
    with pytest.raises(ModelfileError) as caught:
        resolve(folder, value)
    assert caught.value.message.startswith(f"failed to read Modelfile: {folder / 'Modelfile'}:1:6: ")
    assert caught.value.hint
    return caught.value


def cause(error: ModelfileError) -> str:
    return error.message.splitlines()[0].split(":1:6: ")[1]


def test_paths_are_relative_to_the_modelfile(folder: Path) -> None:
    (folder / "m.gguf").write_bytes(b"GGUF")
    (folder / "sub").mkdir()
    (folder / "sub" / "m.gguf").write_bytes(b"GGUF")
    assert resolve(folder, "m.gguf").samefile(folder / "m.gguf")
    assert resolve(folder, "./m.gguf").samefile(folder / "m.gguf")
    assert resolve(folder, '"sub/m.gguf"').samefile(folder / "sub" / "m.gguf")


def test_absolute_paths_and_home(folder: Path) -> None:
    model = folder.parent / "home" / "m.gguf"
    model.write_bytes(b"GGUF")
    assert resolve(folder, str(model)) == model
    assert resolve(folder, "~/m.gguf") == model


def test_a_file_may_look_like_a_model_name(folder: Path) -> None:
    (folder / "llama3.2").write_bytes(b"GGUF")
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
    (folder / "m.gguf").write_bytes(b"GGUF")
    with pytest.raises(BundleError) as caught:
        read_modelfile(folder / "m.gguf")
    assert caught.value.message == f"failed to read Modelfile {folder / 'm.gguf'}: it is a GGUF model"
    assert caught.value.hint == "write a Modelfile with the line: FROM m.gguf"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_a_modelfile_that_may_not_be_read(folder: Path) -> None:
    (folder / "Modelfile").write_text("FROM x\n")
    (folder / "Modelfile").chmod(0)
    with pytest.raises(BundleError, match="Permission denied"):
        read_modelfile(folder)


def test_a_missing_file_names_the_nearest(folder: Path) -> None:
    (folder / "tiny-model.gguf").write_bytes(b"GGUF")
    error = fails(folder, "./tiny-modle.gguf")
    assert cause(error) == f"there is no file {folder / 'tiny-modle.gguf'}"
    assert error.hint == "did you mean tiny-model.gguf?"
    assert fails(folder, "./quite-different.gguf").hint == "the folder has tiny-model.gguf"
    assert fails(folder, "./nowhere/m.gguf").hint == f"there is no folder {folder / 'nowhere'} either"


@pytest.mark.parametrize("name", ["llama3.2", "llama3.2:1b", "hf.co/user/model:Q4_K_M", "library/llama3"])
def test_model_names_are_not_supported(folder: Path, name: str) -> None:
    error = fails(folder, name)
    assert cause(error) == f"there is no file {name}, and model names are not supported yet"


def test_a_folder_is_no_model(folder: Path) -> None:
    (folder / "sub").mkdir()
    assert fails(folder, "sub").hint == "give a path to a .gguf"
    (folder / "sub" / "m.GGUF").write_bytes(b"GGUF")
    error = fails(folder, "sub")
    assert cause(error) == "sub is a folder"
    assert error.hint == "the folder has m.GGUF"


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
