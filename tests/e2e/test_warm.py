"""A prompt that is evaluated when the bundle is built: the first answer begins after it, and is the same."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from bundler.build.assemble import Built, build_bundle
from bundler.build.bundles import open_bundle
from bundler.build.packs import Pack
from bundler.build.progress import Silent
from bundler.errors import BundleError
from bundler.runtime.engine.interface import LoadOptions
from bundler.runtime.warm import usable
from tests.conftest import GUIDE
from tests.e2e.running import serving

RULES = " ".join(f"Rule {number}: be kind to visitor {number}." for number in range(40))


def build(folder: Path, *, warm: bool, system: str = RULES) -> Built:
    folder.mkdir()
    shutil.copy(GUIDE / "guide.gguf", folder)
    (folder / "Modelfile").write_text(f"FROM ./guide.gguf\nSYSTEM {system}\nPARAMETER temperature 0\n")
    return build_bundle(
        folder,
        folder / "warm",
        name=None,
        target=None,
        pack=None,
        external_weights=False,
        warm=warm,
        progress=Silent(),
        warn=lambda line: None,
    )


@pytest.fixture(scope="module")
def built(pack: Pack, tmp_path_factory: pytest.TempPathFactory) -> tuple[Built, Built]:
    folder = tmp_path_factory.mktemp("warm")
    return build(folder / "one", warm=True), build(folder / "other", warm=False)


def first_answer(program: Path) -> tuple[dict[str, Any], list[str]]:
    with serving([program]) as running:
        asked = {"messages": [{"role": "user", "content": "What is a bundle?"}], "max_tokens": 30}
        answer = httpx.post(f"{running.url}/v1/chat/completions", json=asked, timeout=120).json()
    return answer, running.lines


def test_the_first_answer_begins_after_the_evaluated_prompt_and_is_the_same(built: tuple[Built, Built]) -> None:
    state = built[0].written.manifest.warm
    assert state is not None
    assert len(state.tokens) > 400
    (warm, _), (cold, _) = (first_answer(each.written.path) for each in built)
    assert warm["usage"]["prompt_tokens_details"]["cached_tokens"] == len(state.tokens) > 400
    assert cold["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert warm["choices"] == cold["choices"]


def test_info_tells_of_it(built: tuple[Built, Built]) -> None:
    told = subprocess.run([built[0].written.path, "info", "--json"], capture_output=True, check=True).stdout
    state = built[0].written.manifest.warm
    assert state is not None
    assert json.loads(told)["warm"] == {"tokens": len(state.tokens), "bytes": state.size, "used": True, "reason": ""}


def test_a_damaged_state_is_computed_again(built: tuple[Built, Built], tmp_path: Path) -> None:
    program = tmp_path / "damaged"
    shutil.copy(built[0].written.path, program)
    state = built[0].written.manifest.warm
    assert state is not None
    with open_bundle(program) as bundle:
        offset = bundle.archive.entries[state.member].offset
    with program.open("r+b") as file:
        file.seek(offset + state.size // 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))
    answer, lines = first_answer(program)
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert answer["choices"] == first_answer(built[1].written.path)[0]["choices"]
    assert any("the precomputed prompt: it is damaged" in line for line in lines)


def test_a_state_of_other_weights_is_not_used(built: tuple[Built, Built]) -> None:
    manifest = built[0].written.manifest
    target = built[0].target
    assert usable(manifest, target) == ""
    small = LoadOptions(key_type="q8_0", value_type="q8_0")
    assert usable(manifest, target, small) == "it was computed with another KV cache"
    other = [msgspec.structs.replace(model, sha256="0" * 64) for model in manifest.models]
    assert "other weights" in usable(msgspec.structs.replace(manifest, models=other), target)


def test_a_prompt_with_nothing_at_its_beginning_is_an_error_that_says_so(pack: Pack, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"all chats have only \d tokens at their beginning in common"):
        build(tmp_path / "short", warm=True, system='""')
    assert [path.name for path in (tmp_path / "short").iterdir() if path.name not in ("Modelfile", "guide.gguf")] == []
