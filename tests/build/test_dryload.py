"""Asking llama.cpp about a model: what the answers of the program that asks become."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from bundler.build import dryload
from bundler.build.blob import Blob
from bundler.build.progress import Silent
from bundler.errors import BundleError
from tests.build.test_packs import bring, edited, make_pack
from tests.formats import ggufs

MODEL = ggufs.build({"general.architecture": "llama"})


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUNDLE_CACHE", str(tmp_path / "cache"))


def check(tmp_path: Path, launcher: str) -> None:
    """Check a model with a pack whose launcher is a script."""
    content = launcher.encode()
    files = edited(
        {**make_pack(), "launcher": content},
        lambda description: description["launcher"].update(
            sha256=hashlib.sha256(content).hexdigest(), size=len(content)
        ),
    )
    dryload.check_model(bring(tmp_path, files), Blob((MODEL,), "m.gguf"), Silent(), chats=True)


def test_a_model_that_llama_cpp_knows(tmp_path: Path) -> None:
    check(tmp_path, """#!/bin/sh\necho '{"generates": true}'\nexit 0\n""")


@pytest.mark.parametrize(
    ("launcher", "message", "hint"),
    [
        ("#!/bin/sh\necho 'error: unknown model' >&2\necho 'hint: newer' >&2\nexit 1\n", "unknown model", "newer"),
        ("#!/bin/sh\nkill -SEGV $$\n", "crashed on it .signal 11.", "damaged"),
        ("""#!/bin/sh\necho '{"generates": false}'\nexit 0\n""", "cannot generate text", "chat model"),
        ("#!/bin/sh\nexit 0\n", "nothing known", "build the pack again"),
        ("no program, as on a filesystem mounted noexec", "cannot be started", "BUNDLE_CACHE"),
    ],
)
def test_a_model_that_cannot_be_used(tmp_path: Path, launcher: str, message: str, hint: str) -> None:
    with pytest.raises(BundleError, match=message) as caught:
        check(tmp_path, launcher)
    assert hint in caught.value.hint
