"""A start that memory does not suffice for is refused with numbers, or made smaller."""

from __future__ import annotations

from pathlib import Path

import gguf
import msgspec
import pytest

from bundler.errors import BundleError
from bundler.runtime import machine
from bundler.runtime.engine.interface import LoadOptions
from bundler.runtime.machine import Memory
from tests import models
from tests.runtime.test_engine_llama import generate, loaded

MIB = 1 << 20


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("loading") / "model.gguf"
    return models.write_random(path, quantization=gguf.GGMLQuantizationType.Q8_0)


def limited(monkeypatch: pytest.MonkeyPatch, available: int) -> None:
    monkeypatch.setattr(machine, "memory", lambda: Memory(available, 1 << 30, "limited by the control group"))


def test_a_context_that_does_not_fit_is_refused_before_it_is_made(
    model: Path, libs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(monkeypatch, 128 * MIB)
    with pytest.raises(BundleError) as caught, loaded(model, libs, options=LoadOptions(context_length=131072)):
        pass
    assert caught.value.message == (
        "failed to make room for a context of 131,072 tokens: it takes 128 MiB, and 128 MiB are free beside the "
        "weights (limited by the control group)"
    )
    assert caught.value.hint == "--ctx-size 65536 fits"


def test_smaller_types_fit_where_floats_do_not(model: Path, libs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, 128 * MIB)
    small = LoadOptions(context_length=98304, key_type="q8_0", value_type="q8_0", threads=1)
    with pytest.raises(BundleError), loaded(model, libs, options=LoadOptions(context_length=98304)):
        pass
    with loaded(model, libs, options=small) as it:
        assert it.facts.context_size == 98304 * 544
        assert generate(it, list(range(3, 100)))[1].reason == "length"


def test_weights_that_do_not_fit_stay_in_the_file_and_answer_alike(
    model: Path, libs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = [(index * 131 + 7) % 304 for index in range(100)]
    with loaded(model, libs, options=LoadOptions(threads=1, context_length=256)) as it:
        usual, _ = generate(it, prompt)
    figures = iter([Memory(65 * MIB, 1 << 30, "tight"), *[Memory(1 << 30, 1 << 30, "enough")] * 9])
    monkeypatch.setattr(machine, "memory", lambda: next(figures))
    with loaded(model, libs, options=LoadOptions(threads=1, context_length=256)) as it:
        assert it.facts.load_reason.endswith("free memory, so they stay in the file")
        assert it.facts.repacked_size == 0
        assert generate(it, prompt)[0] == usual


def test_weights_that_are_to_be_read_and_do_not_fit_are_refused(
    model: Path, libs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(monkeypatch, 64 * MIB)
    with pytest.raises(BundleError) as caught, loaded(model, libs, options=LoadOptions(load_mode="read")):
        pass
    assert caught.value.message == (
        "failed to read the weights: they take 1.36 MiB, and 64 MiB are free (limited by the control group)"
    )


def test_embeddings_that_do_not_fit_are_refused(model: Path, libs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with loaded(model, libs, options=LoadOptions(threads=1, context_length=256)) as it:
        limited(monkeypatch, 65 * MIB)
        assert it.embedder
        with pytest.raises(BundleError, match="failed to make room for a context of 2,048 tokens: it takes 2 MiB"):
            it.embedder()


@pytest.mark.parametrize(
    "options",
    [
        LoadOptions(threads=1, batch=64, ubatch=64),
        LoadOptions(threads=1, threads_batch=2),
        LoadOptions(threads=1, flash_attention="off"),
        LoadOptions(threads=1, flash_attention="on", key_type="bf16", value_type="f32"),
    ],
    ids=["small batches", "more threads for prompts", "no flash attention", "types"],
)
def test_an_answer_is_complete_whatever_it_is_computed_with(model: Path, libs: Path, options: LoadOptions) -> None:
    with loaded(model, libs, options=options) as it:
        tokens, finish = generate(it, [(index * 131 + 7) % 304 for index in range(300)])
    assert (finish.reason, len(tokens)) == ("length", 24)


def test_what_other_models_take_counts(model: Path, libs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with loaded(model, libs, options=LoadOptions(threads=1, context_length=256)) as it:
        other = msgspec.structs.replace(it.facts, weights_size=40 * MIB, repacked_size=0, load_mode="mapped")
        limited(monkeypatch, 105 * MIB)
        options = LoadOptions(threads=1, context_length=256, beside=[other])
        with pytest.raises(BundleError) as caught, loaded(model, libs, options=options):
            pass
        assert caught.value.message == (
            "failed to load the model: its weights take 1.36 MiB, and 65 MiB are free "
            "(limited by the control group, with 1 other model loaded)"
        )
        limited(monkeypatch, 150 * MIB)
        with loaded(model, libs, options=options) as both:
            assert generate(both, list(range(3, 100)))[1].reason == "length"
