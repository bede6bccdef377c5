"""Variants of a bundle at work: fewer bits, an adapter, and a patch that carries it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from bundler.build import patch
from bundler.build.adding import Addition
from bundler.build.apply import apply
from bundler.build.assemble import Built, build_bundle
from bundler.build.bundles import open_bundle
from bundler.build.gather import Adapter
from bundler.build.packs import Pack
from bundler.build.progress import Silent
from bundler.build.quantize import Quantization
from bundler.errors import BundleError
from tests import models
from tests.adapters import OUTPUT, write_adapter
from tests.e2e.running import serving
from tests.imatrices import write_imatrix

ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def build(folder: Path, output: str, **options: Any) -> Built:
    given: dict[str, Any] = {"name": "chain", "target": None, "pack": None, "external_weights": False, **options}
    said = f"SYSTEM {'Be kind. ' * 20}\n" if given.get("warm") else ""
    (folder / "Modelfile").write_text(f"FROM ./chain-f16.gguf\nPARAMETER temperature 0\n{said}")
    return build_bundle(folder, folder / output, **given, progress=Silent(), warn=lambda line: None)


def answer(path: Path) -> str:
    command: list[str | Path] = [path, "run", "Hello"]
    result = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120, check=True)
    return result.stdout.strip()


@pytest.fixture
def folder(pack: Pack, tmp_path: Path) -> Path:
    """A model that says the alphabet, and an adapter with which it leaves out the b."""
    model = models.write_chain(tmp_path / "chain-f16.gguf", ALPHABET)
    tokens = [models.byte_vocabulary().pieces.index(letter) for letter in "ac"]
    rows, columns = len(models.byte_vocabulary()), models.CHAIN.embedding
    a, b = np.zeros((1, columns), np.float32), np.zeros((rows, 1), np.float32)
    a[0, tokens[0]], b[tokens[1], 0] = 1, 4
    write_adapter(tmp_path / "leap.gguf", model, targets=[OUTPUT], alpha=1, matrices={OUTPUT: (a, b)})
    return tmp_path


def test_a_model_with_fewer_bits_answers(folder: Path) -> None:
    imatrix = write_imatrix(folder / "imatrix.gguf", folder / "chain-f16.gguf")
    first = build(folder, "one", quantization=Quantization("Q8_0", imatrix))
    model = first.written.manifest.models[0]
    assert (model.member, model.quantization) == ("models/chain-Q8_0.gguf", "Q8_0")
    assert model.size < (folder / "chain-f16.gguf").stat().st_size * 0.6
    assert answer(folder / "one") == ALPHABET
    build(folder, "two", quantization=Quantization("Q8_0", imatrix))
    assert (folder / "two").read_bytes() == (folder / "one").read_bytes()


def test_what_llama_cpp_cannot_quantize_is_one_error(folder: Path) -> None:
    models.write_random(folder / "chain-f16.gguf")
    with pytest.raises(BundleError) as caught:
        build(folder, "one", quantization=Quantization("IQ1_S"))
    assert caught.value.message.startswith("failed to quantize ./chain-f16.gguf to IQ1_S: ")
    assert not (folder / "one").exists()


def test_an_adapter_changes_what_is_said(folder: Path) -> None:
    build(folder, "plain")
    assert answer(folder / "plain") == ALPHABET
    build(folder, "leap", adapters=[Adapter(str(folder / "leap.gguf"))])
    assert answer(folder / "leap") == ALPHABET.replace("b", "")
    build(folder, "weak", adapters=[Adapter(str(folder / "leap.gguf"), 0.01)])
    assert answer(folder / "weak") == ALPHABET
    told = subprocess.run([folder / "leap", "info", "--json"], capture_output=True, check=True).stdout
    (adapter,) = json.loads(told)["adapters"]
    assert (adapter["member"], adapter["scale"]) == ("adapters/leap.gguf", 1.0)
    page = subprocess.run([folder / "weak", "info"], capture_output=True, text=True, check=True).stdout
    assert "adapter    adapters/leap.gguf, scale 0.01, " in page


def test_a_prompt_is_evaluated_with_the_adapters(folder: Path) -> None:
    build(folder, "leap", warm=True, adapters=[Adapter(str(folder / "leap.gguf"))])
    build(folder, "plain", warm=True)
    told = subprocess.run([folder / "leap", "info", "--json"], capture_output=True, check=True).stdout
    assert json.loads(told)["warm"]["used"]
    assert answer(folder / "leap") == ALPHABET.replace("b", "")
    with open_bundle(folder / "leap") as leap, open_bundle(folder / "plain") as plain:
        states = [each.manifest.warm for each in (leap, plain)]
    assert len({state.guard for state in states if state}) == 2


def test_a_patch_brings_an_adapter_to_a_site_that_has_the_weights(folder: Path) -> None:
    build(folder, "old")
    build(folder, "new", adapters=[Adapter(str(folder / "leap.gguf"))])
    patch.make(folder / "old", folder / "new", folder / "patch", Silent())
    apply(folder / "patch", folder / "old", folder / "made", Silent())
    assert (folder / "made").read_bytes() == (folder / "new").read_bytes()
    with serving([folder / "made"]) as running:
        asked = {"messages": [{"role": "user", "content": "Hello"}]}
        said = httpx.post(f"{running.url}/v1/chat/completions", json=asked, timeout=120).json()
    assert said["choices"][0]["message"]["content"] == ALPHABET.replace("b", "")


def test_several_models_in_one_file(folder: Path) -> None:
    models.write_chain(folder / "digits.gguf", "0123456789")
    (folder / "Digits").write_text("FROM ./digits.gguf\nPARAMETER temperature 0\n")
    build(folder, "both", additions=[Addition("digits", folder / "Digits")])
    command: list[str | Path] = [folder / "both", "run", "--model", "digits", "Hello"]
    result = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120, check=True)
    assert (result.stdout, answer(folder / "both")) == ("0123456789\n", ALPHABET)
    with serving([folder / "both"]) as running:
        running.wait_until_ready()
        asked = {"messages": [{"role": "user", "content": "Hello"}], "model": "digits"}
        said = httpx.post(f"{running.url}/v1/chat/completions", json=asked, timeout=120).json()
        listed = httpx.get(f"{running.url}/v1/models").json()["data"]
    assert said["choices"][0]["message"]["content"] == "0123456789"
    assert {card["id"]: card["status"]["value"] for card in listed} == {"chain": "loaded", "digits": "loaded"}
    assert "  also here, loaded when a request names it: digits" in [line.rstrip("\n") for line in running.lines]
