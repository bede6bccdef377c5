"""Drawing from the likeliest tokens alone gives what llama.cpp's sampler draws from all of them."""

from __future__ import annotations

import ctypes
import math
import random
from pathlib import Path

import pytest

from bundler.build import libraries
from bundler.build.progress import Silent
from bundler.formats.targets import TARGETS
from bundler.runtime.llama import chain
from bundler.runtime.llama.candidates import Candidates
from bundler.runtime.llama.likeliest import Likeliest
from bundler.runtime.llama.model import Model
from bundler.runtime.request import Sampling
from tests.runtime.vocabularies import tokenizer

CONTEXT = 512
DECIDED = {
    "greedy": Sampling(temperature=0),
    "ollama": Sampling(seed=1),
    "penalties": Sampling(seed=1, repeat_penalty=1.3, presence_penalty=0.5, frequency_penalty=0.1),
    "greedy, penalties": Sampling(temperature=0, repeat_penalty=2, repeat_last_n=-1),
    "all after top_k": Sampling(
        seed=1, typical_p=0.9, min_p=0.02, xtc_probability=0.5, xtc_threshold=0.05, dynatemp_range=0.3
    ),
    "adaptive": Sampling(seed=1, adaptive_target=0.1),
    "few kept": Sampling(seed=1, top_k=3, min_keep=7),
    "top_k first": Sampling(seed=1, samplers=("top_k", "penalties", "dry"), repeat_penalty=1.2, dry_multiplier=0.8),
}
UNDECIDED = {
    "no top_k": Sampling(top_k=0),
    "dry": Sampling(dry_multiplier=0.8),
    "top_n_sigma": Sampling(top_n_sigma=1),
    "lifting penalty": Sampling(presence_penalty=-0.5),
    "bias": Sampling(temperature=0, logit_bias={5: 1.0}),
    "mirostat": Sampling(mirostat=2),
    "top_p first": Sampling(samplers=("top_p", "top_k", "temperature")),
}


@pytest.fixture(scope="module")
def model(libs: Path) -> Model:
    return tokenizer("gpt-2", libs).model


@pytest.fixture
def row(model: Model) -> ctypes.Array[ctypes.c_float]:
    return (ctypes.c_float * model.vocabulary.size)()


def fill(row: ctypes.Array[ctypes.c_float], rng: random.Random) -> None:
    """A few tokens stand out, as in a model's answer."""
    for token in range(len(row)):
        row[token] = rng.gauss(0, 2)
    for token in rng.sample(range(200), 20):
        row[token] = rng.uniform(5, 9)


@pytest.mark.parametrize("sampling", DECIDED.values(), ids=DECIDED)
def test_the_same_tokens_are_drawn(model: Model, row: ctypes.Array[ctypes.c_float], sampling: Sampling) -> None:
    rng, binding = random.Random(7), model.library.binding
    prompt = [rng.randrange(200) for _ in range(100)]
    few, all_of_them = (chain.build(model, sampling, prompt, CONTEXT) for _ in range(2))
    likeliest, candidates = Likeliest(model), Candidates(model)
    assert few.wanted is not None
    for _ in range(60):
        fill(row, rng)
        token = likeliest.draw(few.pointer, ctypes.addressof(row), few.wanted)
        candidates.fill(ctypes.addressof(row))
        assert token == candidates.draw(all_of_them.pointer)
        for each in (few, all_of_them):
            binding.llama_sampler_accept(each.pointer, token)
    for each in (few, all_of_them):
        binding.llama_sampler_free(each.pointer)
    candidates.close()


@pytest.mark.parametrize("sampling", UNDECIDED.values(), ids=UNDECIDED)
def test_where_other_tokens_matter_they_are_looked_at(model: Model, sampling: Sampling) -> None:
    built = chain.build(model, sampling, [1, 2, 3], CONTEXT)
    assert built.wanted is None
    model.library.binding.llama_sampler_free(built.pointer)


def test_the_first_of_equal_tokens_is_the_likeliest(model: Model, row: ctypes.Array[ctypes.c_float]) -> None:
    greedy = chain.build(model, Sampling(temperature=0), [], CONTEXT)
    for token in (40_000, 31, 32, 16, len(row) - 1):
        row[token] = 3.0
    assert Likeliest(model).draw(greedy.pointer, ctypes.addressof(row), 1) == 16
    model.library.binding.llama_sampler_free(greedy.pointer)


@pytest.mark.parametrize("value", [0.0, -math.inf, math.nan], ids=["equal", "forbidden", "not numbers"])
def test_a_row_without_likeliest_tokens_is_told(model: Model, row: ctypes.Array[ctypes.c_float], value: float) -> None:
    row[:] = [value] * len(row)
    greedy = chain.build(model, Sampling(temperature=0), [], CONTEXT)
    assert Likeliest(model).draw(greedy.pointer, ctypes.addressof(row), 1) is None
    model.library.binding.llama_sampler_free(greedy.pointer)


@pytest.mark.parametrize("size", [1, 15, 16, 17, 300, 65_535, 65_536, 65_537, 262_144])
@pytest.mark.parametrize("wanted", [1, 40, 1000])
def test_all_of_the_likeliest_are_found(model: Model, size: int, wanted: int) -> None:
    rng, binding = random.Random(size), model.library.binding
    logits = [rng.gauss(0, 3) for _ in range(size)]
    row = (ctypes.c_float * size)(*logits)
    room = 4096
    found = (binding.llama_token_data * (room + 1))()
    found[room].id = -7
    count = model.library.likeliest(ctypes.addressof(row), size, wanted, ctypes.addressof(found), room)
    least = sorted(row)[-min(size, wanted)]
    if count:
        assert {token for token in range(size) if row[token] >= least} <= {entry.id for entry in found[:count]}
        assert all(entry.logit == row[entry.id] for entry in found[:count])
        assert [entry.id for entry in found[:count]] == sorted(entry.id for entry in found[:count])
    else:
        assert size < 16 * wanted
    assert found[room].id == -7


@pytest.mark.parametrize("target", TARGETS)
def test_the_library_is_made_for_every_target(target: str, tmp_path: Path) -> None:
    path = libraries.compile_own(target, tmp_path, Silent())
    assert b"bundle_likeliest" in path.read_bytes()
    assert [path] == list(tmp_path.iterdir())
