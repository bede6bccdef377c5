"""Full contexts over llama.cpp itself: what a shifted sequence says is what its tokens alone would."""

from __future__ import annotations

import queue
from pathlib import Path

import pytest

from bundler.runtime import libraries
from bundler.runtime.engine.interface import Job, Loaded, LoadOptions
from bundler.runtime.llama import library
from bundler.runtime.llama.context import Batch, Context
from bundler.runtime.llama.model import Model
from tests import models
from tests.runtime.test_engine_llama import GREEDY, Pending, answer, generate, loaded

CONTEXT = 256
PROMPT = [(index * 131 + 7) % 304 for index in range(200)]
SMALL = LoadOptions(context_length=CONTEXT, parallel=1, threads=1)
ERROR = 0.02
"""Of logits that lie some units apart: keys are rotated a second time, and rounded to 16 bits again."""


def shifted(model: Loaded, *, keep: int, most: int) -> tuple[list[int], list[int]]:
    """What is left of prompt and answer after one shift, and what was said then."""
    pending: Pending = queue.Queue()
    model.engine.submit(
        Job(
            prompt=PROMPT,
            sampling=GREEDY,
            max_tokens=CONTEXT - len(PROMPT) + most,
            ignore_end=True,
            shift=True,
            keep=keep,
            on_tokens=lambda new, end: pending.put((new, end)),
        )
    )
    tokens, finish = answer(pending)
    assert (finish.reason, len(tokens)) == ("length", CONTEXT - len(PROMPT) + most)
    full = [*PROMPT, *tokens[: CONTEXT - len(PROMPT)]]
    discard = (CONTEXT - keep) // 2
    return [*full[:keep], *full[keep + discard :]], tokens[CONTEXT - len(PROMPT) :]


@pytest.fixture(scope="module")
def one_layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its keys and values depend on a token and its place alone, so that a shift loses nothing."""
    path = tmp_path_factory.mktemp("one") / "one.gguf"
    return models.write_random(path, shape=models.Shape(layers=1))


def test_moved_state_gives_the_logits_of_computed_state(one_layer: Path, libs: Path) -> None:
    llama = library.load(libs)
    variants = libraries.cpu_variants(libs)
    llama.load_backend(variants[libraries.plainest(variants)])
    with one_layer.open("rb") as file:
        model = Model(llama, file.fileno(), 0)
    rows = []
    for tokens, cut in ((PROMPT, (8, 96)), ([*PROMPT[:8], *PROMPT[104:]], None)):
        context = Context(model, cells=CONTEXT, sequences=1, batch=CONTEXT, threads=1)
        batch = Batch(model, CONTEXT)
        batch.add(0, tokens, 0, want_logits=False)
        context.decode(batch)
        if cut:
            assert context.shift(0, *cut)
        batch.clear()
        batch.add(0, [9], len(PROMPT) - 96, want_logits=True)
        context.decode(batch)
        rows.append(context.logits(0))
        context.close()
    model.close()
    assert max(rows[0]) - min(rows[0]) > 100 * ERROR
    assert max(abs(one - other) for one, other in zip(*rows, strict=True)) < ERROR


@pytest.mark.parametrize("keep", [0, 4, 64])
def test_an_answer_goes_on_as_its_remaining_tokens_say(one_layer: Path, libs: Path, keep: int) -> None:
    with loaded(one_layer, libs, options=SMALL) as model:
        left, said = shifted(model, keep=keep, most=20)
    with loaded(one_layer, libs, options=SMALL) as model:
        assert generate(model, left, most=20)[0] == said


def test_a_recurrent_model_computes_what_is_left(libs: Path, tmp_path: Path) -> None:
    path = models.write_recurrent(tmp_path / "recurrent.gguf")
    with loaded(path, libs, options=SMALL) as model:
        left, said = shifted(model, keep=4, most=20)
    with loaded(path, libs, options=SMALL) as model:
        assert generate(model, left, most=20)[0] == said


def test_other_prompts_take_nothing_that_was_moved(libs: Path, tmp_path: Path) -> None:
    path = models.write_random(tmp_path / "random.gguf")
    with loaded(path, libs, options=SMALL) as model:
        left, _ = shifted(model, keep=64, most=1)
        after, finish = generate(model, [*left, 5], most=20)
        assert finish.cached_tokens == 64
    with loaded(path, libs, options=SMALL) as model:
        assert generate(model, [*left, 5], most=20)[0] == after


def test_a_shift_leaves_conversations_with_the_same_beginning_as_they_are(libs: Path, tmp_path: Path) -> None:
    path = models.write_random(tmp_path / "random.gguf")
    beside = [*PROMPT[:190], *range(3, 40)]
    with loaded(path, libs, options=SMALL) as model:
        generate(model, beside, most=2)
        shifted(model, keep=64, most=40)
        again, finish = generate(model, beside, most=20)
        assert finish.cached_tokens in (64, 128)
    with loaded(path, libs, options=SMALL) as model:
        assert generate(model, beside, most=20)[0] == again
