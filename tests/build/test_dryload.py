"""Asking llama.cpp about a model: what the answers of the program that asks become."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from bundler.build import blob, dryload
from bundler.build.blob import Blob
from bundler.build.progress import Silent
from bundler.errors import BundleError
from tests.build.test_packs import bring, edited, make_pack
from tests.formats import ggufs

MODEL = ggufs.build({"general.architecture": "llama"})
WHOLE = Blob((MODEL,), "m.gguf")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUNDLE_CACHE", str(tmp_path / "cache"))


def check(tmp_path: Path, launcher: str, model: Blob = WHOLE, advice: str = "") -> None:
    """Check a model with a pack whose launcher is a script."""
    content = launcher.encode()
    files = edited(
        {**make_pack(), "launcher": content},
        lambda description: description["launcher"].update(
            sha256=hashlib.sha256(content).hexdigest(), size=len(content)
        ),
    )
    dryload.check_model(bring(tmp_path, files), model, Silent(), chats=True, advice=advice)


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


def test_advice_is_for_a_model_that_llama_cpp_refuses(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="unknown model") as caught:
        check(tmp_path, "#!/bin/sh\necho 'error: unknown model' >&2\nexit 1\n", advice="take another")
    assert caught.value.hint == "take another"


def test_advice_is_not_for_a_runtime_that_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be started") as caught:
        check(tmp_path, "no program", advice="take another")
    assert "BUNDLE_CACHE" in caught.value.hint


def test_a_model_inside_a_file_is_read_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"before" + MODEL + b"after")
    script = f"""#!/bin/sh
test "$2 $3 $4 $5 $6" = "{tmp_path}/file --offset 6 --size {len(MODEL)}" && echo '{{"generates": true}}'
exit 0
"""
    check(tmp_path, script, blob.part(tmp_path / "file", 6, len(MODEL), "m.gguf"))


def test_a_model_in_pieces_is_tried_by_its_header(tmp_path: Path) -> None:
    tensor = ggufs.tensor("t", (1 << 28,), 0, 0)
    head = ggufs.build({"general.architecture": "llama"}, [tensor])
    (tmp_path / "data").touch()
    os.truncate(tmp_path / "data", 1 << 30)
    pieces = (head, *blob.file(tmp_path / "data").pieces)
    script = f"""#!/bin/sh
test "$(stat -c %s "$2")" = {len(head) + (1 << 30)} && test "$(stat -c %b "$2")" -lt 64 && echo '{{"generates": true}}'
exit 0
"""
    check(tmp_path, script, Blob(pieces, "m.gguf"))
