"""The state of a sequence where memory is short: computed again, rather than the end of all."""

from __future__ import annotations

import errno
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bundler.runtime import libraries
from bundler.runtime.engine.interface import LoadOptions
from bundler.runtime.llama import library
from bundler.runtime.llama.context import Batch, Context
from bundler.runtime.llama.model import Model
from tests import models
from tests.runtime.test_engine_llama import generate, loaded

TOKENS = [(index * 131 + 7) % 304 for index in range(100)]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.write_random(tmp_path_factory.mktemp("context") / "random.gguf")


@pytest.fixture
def model(path: Path, libs: Path) -> Iterator[Model]:
    llama = library.load(libs)
    variants = libraries.cpu_variants(libs)
    llama.load_backend(variants[libraries.plainest(variants)])
    with path.open("rb") as file:
        model = Model(llama, file.fileno(), 0)
    yield model
    model.close()


def no_memory(*_: Any, **__: Any) -> mmap.mmap:
    raise OSError(errno.ENOMEM, "Cannot allocate memory")


def computed(model: Model, **settings: Any) -> Context:
    """A context with TOKENS in its first sequence."""
    context = Context(model, cells=1024, batch=128, threads=1, **settings)
    batch = Batch(model, 128)
    batch.add(0, TOKENS, 0, want_logits=True)
    context.decode(batch)
    return context


def test_a_state_for_which_there_is_no_memory_is_neither_saved_nor_restored(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = computed(model, sequences=1)
    state = alone.save(0)
    assert state is not None
    apart = computed(model, sequences=2, apart=True)
    assert apart.restore(1, state)
    apart.keep(1, 0)
    monkeypatch.setattr(mmap, "mmap", no_memory)
    assert alone.save(0) is None
    assert not apart.restore(1, state)
    monkeypatch.undo()
    assert apart.restore(1, state), "the sequence is still empty"
    alone.close()
    apart.close()


def test_answers_go_on_where_no_conversation_can_be_saved(
    path: Path, libs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [[(index * step + 7) % 304 for index in range(450)] for step in (131, 17)]
    with loaded(path, libs, options=LoadOptions(context_length=512, parallel=1, threads=1)) as running:
        monkeypatch.setattr(mmap, "mmap", no_memory)
        first, again = ([generate(running, prompt)[0] for prompt in prompts] for _ in range(2))
    assert first == again
