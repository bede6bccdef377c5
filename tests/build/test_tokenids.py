"""Asking the runtime for token ids: what it is given, and what becomes of its answers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from bundler.build.progress import Silent
from bundler.build.prompts import open_subject
from bundler.build.tokenids import Token, token_ids
from bundler.errors import BundleError
from bundler.formats import gguf
from bundler.formats.source import FileSource
from bundler.prompt.conversation import Rendered
from tests.build.test_packs import bring, edited, make_pack
from tests.models import SPECIAL, write_chain


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUNDLE_CACHE", str(tmp_path / "cache"))


def ask(tmp_path: Path, launcher: str) -> list[Token]:
    """Ask a pack whose launcher is a script."""
    content = launcher.encode()
    files = edited(
        {**make_pack(), "launcher": content},
        lambda description: description["launcher"].update(
            sha256=hashlib.sha256(content).hexdigest(), size=len(content)
        ),
    )
    with open_subject(write_chain(tmp_path / "tiny.gguf")) as subject:
        return token_ids(bring(tmp_path, files), subject, Rendered("Hi<|im_end|>", ((0, 2),)), Silent())


def test_the_runtime_gets_the_prompt_and_a_vocabulary_without_tensors(tmp_path: Path) -> None:
    keep = f'cp "$2" {tmp_path}/given.gguf; cat > {tmp_path}/given.json'
    answer = """echo '[{"id": 5, "piece": [195]}]'"""
    assert ask(tmp_path, f"#!/bin/sh\n{keep}\n{answer}\nexit 0\n") == [Token(5, [195])]
    assert json.loads((tmp_path / "given.json").read_text()) == {
        "text": "Hi<|im_end|>",
        "foreign": [[0, 2]],
        "specials": list(SPECIAL),
    }
    with (tmp_path / "given.gguf").open("rb") as file, (tmp_path / "tiny.gguf").open("rb") as whole:
        given = gguf.read_header(FileSource(file.fileno()), "given.gguf")
        header = gguf.read_header(FileSource(whole.fileno()), "tiny.gguf")
        assert (given.tensors, header.tensors != ()) == ((), True)
        assert given.fields == header.fields


@pytest.mark.parametrize(
    ("launcher", "message"),
    [
        ("#!/bin/sh\necho 'error: no tokenizer' >&2\nexit 1\n", "failed to tokenize with .*tiny.gguf: no tokenizer"),
        ("#!/bin/sh\nkill -SEGV $$\n", "failed to tokenize with .*tiny.gguf: llama.cpp crashed on it .signal 11."),
        ("#!/bin/sh\necho '{}'\nexit 0\n", "failed to tokenize with .*: the runtime pack answered with nothing known"),
    ],
)
def test_a_runtime_that_cannot(tmp_path: Path, launcher: str, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        ask(tmp_path, launcher)
