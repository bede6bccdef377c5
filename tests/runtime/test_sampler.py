"""A token that a constraint forbids is drawn again: among the allowed ones, with chances that it has not touched."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bundler.errors import BundleError
from bundler.runtime import libraries
from bundler.runtime.engine.interface import Job, Matcher
from bundler.runtime.llama import library
from bundler.runtime.llama.candidates import Candidates
from bundler.runtime.llama.context import Batch, Context
from bundler.runtime.llama.likeliest import Likeliest
from bundler.runtime.llama.model import Model
from bundler.runtime.llama.sampler import Sampler
from bundler.runtime.request import Sampling
from tests import models

CHANCES = {7: 0.5, 8: 0.25, 9: 0.25}
FORBIDDEN = 7
DRAWS = 1000
REMEMBERING = {
    "penalties": Sampling(repeat_penalty=1.0001),
    "dry": Sampling(dry_multiplier=0.0001, dry_allowed_length=1000),
    "mirostat": Sampling(mirostat=2),
    "adaptive_p": Sampling(adaptive_target=0.3),
}


class AllBut:
    """Forbids one token; with `fails` it goes wrong where it is asked, or where it is told."""

    def __init__(self, size: int, fails: str = "") -> None:
        self._allowed = bytes(token != FORBIDDEN for token in range(size))
        self._fails = fails

    def allows(self, token: int) -> bool:
        self._fail("allows")
        return token != FORBIDDEN

    def allowed(self) -> bytes:
        self._fail("allowed")
        return self._allowed

    def accept(self, token: int) -> None:
        self._fail("accept")

    def close(self) -> None:
        pass

    def _fail(self, asked: str) -> None:
        if asked == self._fails:
            raise BundleError("too complex")


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory, libs: Path) -> Iterator[Context]:
    """With one token computed, so that position 0 has logits."""
    llama = library.load(libs)
    variants = libraries.cpu_variants(libs)
    llama.load_backend(variants[libraries.plainest(variants)])
    with models.write_random(tmp_path_factory.mktemp("sampler") / "random.gguf").open("rb") as file:
        model = Model(llama, file.fileno(), 0)
    context = Context(model, cells=64, sequences=1, batch=64, threads=1)
    batch = Batch(model, 64)
    batch.add(0, [5], 0, want_logits=True)
    context.decode(batch)
    yield context
    context.close()
    model.close()


def sampler(context: Context, candidates: Candidates, sampling: Sampling, constraint: Callable[[], Matcher]) -> Sampler:
    """It draws with CHANCES, before what is remembered."""
    wanted = [math.log(CHANCES[token]) if token in CHANCES else -math.inf for token in range(len(context.logits(0)))]
    bias = {token: wish - logit for token, (wish, logit) in enumerate(zip(wanted, context.logits(0), strict=True))}
    settings = {"seed": 1, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "logit_bias": bias}
    job = Job(
        prompt=[5],
        sampling=msgspec.structs.replace(sampling, **settings),
        constraint=constraint,
        on_tokens=lambda new, end: None,
    )
    return Sampler(context.model, job, Likeliest(context.model), lambda: candidates, 64)


@pytest.mark.parametrize("sampling", [Sampling(), *REMEMBERING.values()], ids=["none", *REMEMBERING])
def test_equally_likely_tokens_are_drawn_as_often_where_a_likelier_one_is_forbidden(
    context: Context, sampling: Sampling
) -> None:
    candidates = Candidates(context.model)
    drawing = sampler(context, candidates, sampling, lambda: AllBut(context.model.vocabulary.size))
    drawn = [drawing.sample(context, 0) for _ in range(DRAWS)]
    drawing.close()
    candidates.close()
    assert set(drawn) == set(CHANCES) - {FORBIDDEN}
    assert 0.42 < drawn.count(8) / DRAWS < 0.58


@pytest.mark.parametrize("fails", ["allows", "allowed", "accept"])
def test_a_constraint_that_fails_leaves_nothing_behind(
    context: Context, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    candidates = Candidates(context.model)
    binding = context.model.library.binding
    drawing = sampler(context, candidates, REMEMBERING["penalties"], lambda: AllBut(len(context.logits(0)), fails))
    alive = 1
    clone, free = binding.llama_sampler_clone, binding.llama_sampler_free

    def counted_clone(chain: Any) -> Any:
        nonlocal alive
        alive += 1
        return clone(chain)

    def counted_free(chain: Any) -> None:
        nonlocal alive
        alive -= 1
        free(chain)

    monkeypatch.setattr(binding, "llama_sampler_clone", counted_clone)
    monkeypatch.setattr(binding, "llama_sampler_free", counted_free)
    failed = 0
    for _ in range(20):
        try:
            drawing.sample(context, 0)
        except BundleError:
            failed += 1
    drawing.close()
    assert failed
    assert alive == 0
    monkeypatch.undo()
    candidates.close()
