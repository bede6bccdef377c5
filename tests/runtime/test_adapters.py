"""LoRA adapters over llama.cpp: an answer is that of a model whose weights were changed as the adapter says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gguf
import numpy as np
import pytest

from bundler.errors import BundleError
from bundler.runtime import libraries
from bundler.runtime.engine.interface import AdapterRange, LoadOptions, WeightsRange
from bundler.runtime.llama import library as llama_library
from bundler.runtime.llama.context import Batch, Context
from bundler.runtime.llama.embedding import LlamaEmbedder
from bundler.runtime.llama.model import Model
from bundler.runtime.warm import guard
from tests import models
from tests.adapters import OUTPUT, Q, write_adapter
from tests.runtime.test_engine_llama import generate, loaded

SHAPE = models.Shape(embedding=64, layers=2, heads=4, kv_heads=2, feed_forward=64)
PROMPT = [5, 9, 17, 33, 65]
F32 = gguf.GGMLQuantizationType.F32


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.write_random(tmp_path_factory.mktemp("model") / "m.gguf", shape=SHAPE, quantization=F32)


@pytest.fixture(scope="module")
def adapters(model: Path) -> list[Path]:
    return [
        write_adapter(model.with_name("one.gguf"), model, seed=1),
        write_adapter(model.with_name("two.gguf"), model, seed=2, targets=["blk.1.ffn_down.weight", Q]),
    ]


def merged(model: Path, path: Path, *adapters: tuple[Path, float]) -> Path:
    """The model with its weights changed: W + scale * alpha / rank * B A."""
    data = {tensor.name: tensor for tensor in gguf.GGUFReader(model, "r").tensors}
    path.write_bytes(model.read_bytes())
    with path.open("r+b") as file:
        changed = {name: np.array(tensor.data) for name, tensor in data.items()}
        for adapter, scale in adapters:
            found = {tensor.name: np.array(tensor.data) for tensor in gguf.GGUFReader(adapter, "r").tensors}
            for name in {key.rsplit(".", 1)[0] for key in found}:
                a, b = found[f"{name}.lora_a"], found[f"{name}.lora_b"]
                changed[name] = changed[name] + np.float32(scale * 8 / a.shape[0]) * (b @ a)
        for name, values in changed.items():
            file.seek(int(data[name].data_offset))
            file.write(values.astype(np.float32).tobytes())
    return path


@contextmanager
def opened(libs: Path, path: Path, *adapters: tuple[Path, float], offset: int = 0) -> Iterator[Model]:
    library = llama_library.load(libs)
    variants = libraries.cpu_variants(libs)
    library.load_backend(variants[libraries.plainest(variants)])
    with path.open("rb") as file:
        model = Model(library, file.fileno(), 0)
    try:
        for adapter, scale in adapters:
            with adapter.open("rb") as file:
                model.load_adapter(file.fileno(), offset, scale)
        yield model
    finally:
        model.close()


def logits(libs: Path, path: Path, *adapters: tuple[Path, float], offset: int = 0) -> list[float]:
    with opened(libs, path, *adapters, offset=offset) as model:
        context = Context(model, cells=256, sequences=1, batch=64, threads=1)
        batch = Batch(model, 64)
        last = batch.add(0, PROMPT, 0, want_logits=True)
        context.decode(batch)
        found = context.logits(last)
        context.close()
    return found


@pytest.mark.parametrize("scales", [[1.0], [0.25], [1.0, -0.5]])
def test_logits_are_those_of_the_changed_weights(
    libs: Path, model: Path, adapters: list[Path], tmp_path: Path, scales: list[float]
) -> None:
    pairs = list(zip(adapters, scales, strict=False))
    ours = np.array(logits(libs, model, *pairs))
    theirs = np.array(logits(libs, merged(model, tmp_path / "merged.gguf", *pairs)))
    plain = np.array(logits(libs, model))
    assert np.abs(ours - theirs).max() < 1e-3 * np.abs(theirs).max()
    assert np.abs(ours - plain).max() > 0.1 * np.abs(plain).max()


def test_an_adapter_inside_a_file_is_read_where_it_lies(
    libs: Path, model: Path, adapters: list[Path], tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    whole.write_bytes(bytes(65536) + adapters[0].read_bytes() + b"more")
    assert logits(libs, model, (whole, 1.0), offset=65536) == logits(libs, model, (adapters[0], 1.0))


def test_a_scale_of_nothing_changes_nothing(libs: Path, model: Path, adapters: list[Path]) -> None:
    assert logits(libs, model, (adapters[0], 0.0)) == logits(libs, model)


def test_answers_and_embeddings_use_the_adapters(libs: Path, model: Path, adapters: list[Path]) -> None:
    with adapters[0].open("rb") as file:
        place = WeightsRange(descriptor=file.fileno(), offset=0, size=adapters[0].stat().st_size)
        options = LoadOptions(threads=1, adapters=[AdapterRange(weights=place, scale=1.0)])
        with loaded(model, libs, options=options) as changed:
            ours = generate(changed, PROMPT, most=8)[0]
    with loaded(model, libs) as plain:
        assert generate(plain, PROMPT, most=8)[0] != ours
    vectors = []
    for pairs in ([], [(adapters[0], 1.0)]):
        with opened(libs, model, *pairs) as each:
            embedder = LlamaEmbedder(each, threads=1)
            vectors.append(embedder.embed([PROMPT])[0][0])
            embedder.close()
    assert vectors[0] != vectors[1]


def test_an_adapter_of_another_model_is_one_error(libs: Path, model: Path, tmp_path: Path) -> None:
    wrong = write_adapter(tmp_path / "wrong.gguf", model, width=32)
    with pytest.raises(BundleError) as caught:
        logits(libs, model, (wrong, 1.0))
    assert caught.value.message == (
        "failed to load an adapter: failed to apply lora adapter: tensor 'blk.0.attn_q.weight' has incorrect shape "
        "(hint: maybe wrong base model?)"
    )


def test_a_dry_load_takes_adapters_too(libs: Path, model: Path, adapters: list[Path], tmp_path: Path) -> None:
    def dry_load(adapter: Path) -> subprocess.CompletedProcess[str]:
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "bundler.runtime",
            "_dry-load",
            model,
            "--adapter",
            adapter,
            "0",
        ]
        environment = {**os.environ, "BUNDLE_LIBS": str(libs)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert (dry_load(adapters[0]).returncode, dry_load(adapters[0]).stderr) == (0, "")
    wrong = write_adapter(tmp_path / "wrong.gguf", model, targets=[OUTPUT], width=32)
    assert "tensor 'output.weight' has incorrect shape" in dry_load(wrong).stderr


def test_a_saved_prompt_is_one_of_its_adapters_and_scales() -> None:
    guards = [guard("w", "v", adapters=pairs) for pairs in ([], [("a", 1.0)], [("a", 0.5)], [("a", 1.0), ("b", 1.0)])]
    assert len(set(guards)) == len(guards)
    assert guard("w", "v") == guards[0]
