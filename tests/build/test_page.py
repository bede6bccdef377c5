"""Which page file goes with a Modelfile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bundler.build.page import read_page
from bundler.errors import BundleError
from bundler.formats.manifest import Page


@pytest.fixture
def modelfile(tmp_path: Path) -> Path:
    return tmp_path / "Modelfile"


def test_the_one_beside_the_modelfile_is_taken(modelfile: Path) -> None:
    assert read_page(None, modelfile) is None
    modelfile.with_name("page.toml").write_text('greeting = "Hi"')
    assert read_page(None, modelfile) == Page(greeting="Hi")


def test_another_one_is_named(modelfile: Path) -> None:
    modelfile.with_name("page.toml").write_text('greeting = "Hi"')
    other = modelfile.with_name("other.toml")
    other.write_text('greeting = "Hello"')
    assert read_page(other, modelfile) == Page(greeting="Hello")


def test_a_named_one_must_be_there(modelfile: Path) -> None:
    path = modelfile.with_name("other.toml")
    with pytest.raises(BundleError) as caught:
        read_page(path, modelfile)
    assert caught.value.message == f"failed to read {path}: there is no such file"
    assert caught.value.hint == "check the path behind --page"


def test_a_folder_a_pipe_and_a_huge_file_are_refused(modelfile: Path) -> None:
    pipe = modelfile.with_name("pipe")
    os.mkfifo(pipe)
    huge = modelfile.with_name("huge.toml")
    huge.write_bytes(b"#" * 70000)
    for path, cause in (
        (modelfile.parent, "it is no file"),
        (pipe, "it is no file"),
        (huge, "it is larger than 64 KiB"),
    ):
        with pytest.raises(BundleError) as caught:
            read_page(path, modelfile)
        assert caught.value.message == f"failed to read {path}: {cause}"
        assert caught.value.hint


def test_errors_name_the_file(modelfile: Path) -> None:
    path = modelfile.with_name("page.toml")
    path.write_text("greeting = 1")
    with pytest.raises(BundleError) as caught:
        read_page(None, modelfile)
    assert caught.value.message == (
        f"failed to read {path}:1:1: greeting needs a text, and this is none\n  greeting = 1\n  ^"
    )
