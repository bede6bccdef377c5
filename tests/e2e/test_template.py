"""`bundle template` with the runtime of a real pack, and the same prompt from a running bundle."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx

from bundler.build.packs import Pack
from tests import sources
from tests.conftest import GUIDE
from tests.e2e.running import serving

SAID = [{"role": "user", "content": "What is <|end|> a bundle?"}]


def template(*arguments: str | Path) -> str:
    result = subprocess.run(
        [Path(sys.executable).with_name("bundle"), "template", *arguments, "--messages", "-"],
        input=json.dumps(SAID),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_ids_with_pieces(pack: Pack) -> None:
    """Phi 3's tokens swallow the white space behind them, here the newline before the question."""
    lines = template(sources.models() / "ggml-vocab-phi-3.gguf", "--ids").splitlines()
    tokens = [(int(number), json.loads(piece)) for number, piece in (line.split("\t") for line in lines)]
    assert tokens[:2] == [(1, "<s>"), (32010, "<|user|>")]
    assert [piece for _, piece in tokens].count("<|end|>") == 1
    assert "".join(piece for _, piece in tokens[2:]).startswith(" What is <|end|> a bundle?<|end|>")


def test_a_bundle_its_modelfile_and_its_server_agree(guide: Path) -> None:
    prompt = template(guide)
    assert prompt == template(GUIDE)
    with serving([guide]) as running:
        answer = httpx.post(f"{running.url}/apply-template", json={"messages": SAID}, timeout=60)
    assert answer.json() == {"prompt": prompt}
    facts = json.loads(template(guide, "--ids", "--json"))
    assert facts["prompt"] == prompt
    assert "".join(token["piece"] for token in facts["tokens"]) == prompt
