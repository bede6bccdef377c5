"""`_token-ids`, as the build side runs it."""

from __future__ import annotations

import json
from pathlib import Path

from tests import sources
from tests.runtime.bundles import run

ASKED = {
    "text": "<|im_start|>user\nHi 🦙 <|im_end|>x",
    "foreign": [[17, 32]],
    "specials": ["<|im_start|>", "<|im_end|>"],
}


def test_ids_and_pieces(libs: Path) -> None:
    path = sources.models() / "ggml-vocab-qwen2.gguf"
    result = run(None, "_token-ids", str(path), stdin=json.dumps(ASKED), BUNDLE_LIBS=str(libs))
    assert (result.returncode, result.stderr) == (0, "")
    tokens = [(token["id"], token["piece"]) for token in json.loads(result.stdout)]
    assert tokens[:4] == [(151644, "<|im_start|>"), (872, "user"), (198, "\n"), (13048, "Hi")]
    assert tokens[4:7] == [(11162, [32, 240, 159]), (99, [166]), (247, [153])]
    assert "".join(piece for _, piece in tokens[7:]) == " <|im_end|>x"
    assert (151645, "<|im_end|>") not in tokens


def test_a_prompt_that_is_none(libs: Path) -> None:
    result = run(None, "_token-ids", "any.gguf", stdin="{", BUNDLE_LIBS=str(libs))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "error: failed to read the prompt: Input data was truncated\n"


def test_a_file_that_is_not_there(libs: Path) -> None:
    result = run(None, "_token-ids", "/no.gguf", stdin=json.dumps(ASKED), BUNDLE_LIBS=str(libs))
    assert result.stderr == "error: failed to open /no.gguf: No such file or directory\n"


def test_a_file_that_is_no_vocabulary(libs: Path, tmp_path: Path) -> None:
    (tmp_path / "no.gguf").write_bytes(b"GGUF nothing")
    result = run(None, "_token-ids", str(tmp_path / "no.gguf"), stdin=json.dumps(ASKED), BUNDLE_LIBS=str(libs))
    assert result.returncode == 1
    assert result.stderr.startswith("error: failed to load the model: ")
