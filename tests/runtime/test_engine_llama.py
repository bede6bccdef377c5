"""The engine over llama.cpp itself, with small models from a range of a file."""

from __future__ import annotations

import itertools
import os
import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import gguf
import pytest

from bundler.errors import BundleError
from bundler.runtime import libraries, loading
from bundler.runtime.engine.interface import (
    Drawn,
    EngineFinish,
    Job,
    Loaded,
    LoadOptions,
    Overloaded,
    PromptTooLong,
    Verdict,
    WeightsRange,
)
from bundler.runtime.llama.context import Context
from bundler.runtime.request import Sampling
from tests import models

GREEDY = Sampling(temperature=0)
ONE_THREAD = LoadOptions(threads=1)


@contextmanager
def loaded(
    path: Path,
    libs: Path,
    *,
    offset: int = 0,
    size: int | None = None,
    options: LoadOptions = ONE_THREAD,
) -> Iterator[Loaded]:
    with path.open("rb") as file:
        source = WeightsRange(descriptor=file.fileno(), offset=offset, size=size or path.stat().st_size - offset)
        variant = Verdict(chosen=libraries.plainest(libraries.cpu_variants(libs)), reason="for tests")
        result = loading.load(source, libs, variant, options, lambda fraction, stage: None)
    try:
        yield result
    finally:
        result.engine.close()


def generate(
    model: Loaded, prompt: list[int], *, sampling: Sampling = GREEDY, most: int | None = 24
) -> tuple[list[int], EngineFinish]:
    return answer(start(model, prompt, sampling=sampling, most=most))


Pending = queue.Queue[tuple[list[int], EngineFinish | None]]


def start(model: Loaded, prompt: list[int], *, sampling: Sampling = GREEDY, most: int | None = 24) -> Pending:
    pending: Pending = queue.Queue()
    model.engine.submit(
        Job(prompt=prompt, sampling=sampling, max_tokens=most, on_tokens=lambda new, end: pending.put((new, end)))
    )
    return pending


def answer(pending: Pending) -> tuple[list[int], EngineFinish]:
    tokens = []
    while True:
        new, finish = pending.get(timeout=120)
        tokens.extend(new)
        if finish is not None:
            return tokens, finish


def text(model: Loaded, tokens: list[int]) -> str:
    return b"".join(model.vocabulary.piece(token) for token in tokens).decode()


@pytest.fixture(scope="module")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.write_random(tmp_path_factory.mktemp("random") / "random.gguf")


@pytest.fixture(scope="module")
def quantized_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("quantized") / "quantized.gguf"
    return models.write_random(path, quantization=gguf.GGMLQuantizationType.Q8_0)


@pytest.fixture(scope="module")
def chain_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.write_chain(tmp_path_factory.mktemp("chain") / "chain.gguf")


def test_a_chat_is_answered(chain_model: Path, libs: Path) -> None:
    with loaded(chain_model, libs) as model:
        prompt = model.vocabulary.tokenize(
            "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n", add_special=True, parse_special=True
        )
        tokens, finish = generate(model, prompt, sampling=Sampling(seed=1), most=None)
        assert text(model, tokens) == "abcdefghijklmnopqrstuvwxyz"
        assert (finish.reason, finish.completion_tokens) == ("stop", 27)


@pytest.mark.parametrize("beside", [0, 300 << 20], ids=["mapped", "read"])
def test_weights_are_used_where_they_lie_in_a_file(chain_model: Path, libs: Path, tmp_path: Path, beside: int) -> None:
    weights = chain_model.read_bytes()
    whole = tmp_path / "whole"
    with whole.open("wb") as file:
        file.seek(65536)
        file.write(weights)
        file.truncate(65536 + len(weights) + beside)
    with loaded(whole, libs, offset=65536, size=len(weights)) as model:
        assert model.facts.load_mode == ("read" if beside else "mapped")
        tokens, _ = generate(model, model.vocabulary.tokenize("a", add_special=False, parse_special=False))
        assert text(model, tokens) == "bcdefghijklmnopqrstuvwxy"


def test_requests_beyond_the_queue_are_refused_at_once(random_model: Path, libs: Path) -> None:
    with loaded(random_model, libs, options=LoadOptions(threads=1, parallel=1, queue=1)) as model:
        pending = [start(model, [5, 6, 7], most=200) for _ in range(2)]
        with pytest.raises(Overloaded):
            start(model, [5, 6, 7])
        assert [answer(each)[1].completion_tokens for each in pending] == [200, 200]


def test_text_becomes_tokens_and_back(random_model: Path, libs: Path) -> None:
    with loaded(random_model, libs) as model:
        vocabulary = model.vocabulary
        said = "Hello world, äöü 🦙\n\n\udcff"
        tokens = vocabulary.tokenize(said, add_special=False, parse_special=False)
        assert b"".join(map(vocabulary.piece, tokens)).decode() == said.replace("\udcff", "?")
        marker = vocabulary.tokenize("<|im_end|>", add_special=False, parse_special=True)
        assert marker == [models.SPECIAL.index("<|im_end|>")]
        assert vocabulary.is_end(marker[0])
        pieces = (vocabulary.piece(token, special=True) for token in range(vocabulary.size))
        assert vocabulary.longest_piece == max(map(len, pieces))
        assert (vocabulary.piece(marker[0]), vocabulary.piece(marker[0], special=True)) == (b"", b"<|im_end|>")
        assert len(vocabulary.tokenize("<|im_end|>", add_special=False, parse_special=False)) > 1
        with pytest.raises(ValueError, match="no token has the id 304; ids go from 0 to 303"):
            vocabulary.piece(304)


def test_reusing_a_prefix_changes_nothing(quantized_model: Path, libs: Path) -> None:
    with loaded(quantized_model, libs) as model:
        prompt = [(index * 131 + 7) % 304 for index in range(330)]
        first, finish = generate(model, prompt)
        assert finish.cached_tokens == 0
        again, finish = generate(model, prompt)
        assert finish.cached_tokens == 256
        assert again == first


def test_a_beginning_shared_with_another_conversation_changes_nothing(quantized_model: Path, libs: Path) -> None:
    system = [(index * 131 + 7) % 304 for index in range(256)]
    prompts = [[*system, *[(index * 17 + turn) % 304 for index in range(90)]] for turn in range(3)]
    with loaded(quantized_model, libs) as model:
        together = [generate(model, prompt) for prompt in prompts]
    assert [finish.cached_tokens for _, finish in together] == [0, 256, 256]
    for prompt, (tokens, _) in zip(prompts, together, strict=True):
        with loaded(quantized_model, libs) as model:
            assert generate(model, prompt)[0] == tokens


def test_a_conversation_comes_back_after_others_filled_the_cache(quantized_model: Path, libs: Path) -> None:
    prompts = [[(index * step + 7) % 304 for index in range(450)] for step in (131, 17, 59)]
    with loaded(quantized_model, libs, options=LoadOptions(context_length=512, parallel=1, threads=1)) as model:
        first = [generate(model, prompt)[0] for prompt in prompts]
        for prompt, tokens in zip(prompts, first, strict=True):
            again, finish = generate(model, prompt)
            assert finish.cached_tokens == 384
            assert again == tokens


def test_a_recurrent_model_goes_on_from_a_saved_state(libs: Path, tmp_path: Path) -> None:
    path = models.write_recurrent(tmp_path / "recurrent.gguf")
    prompt = [(index * 131 + 7) % 304 for index in range(200)]
    changed = [*prompt[:195], 9, 10]
    with loaded(path, libs) as model:
        generate(model, prompt)
        again, finish = generate(model, changed)
    with loaded(path, libs) as model:
        fresh, _ = generate(model, changed)
    assert finish.cached_tokens == 128
    assert again == fresh


@pytest.mark.parametrize("write", [models.write_random, models.write_recurrent], ids=["attention", "recurrent"])
def test_an_interrupted_step_leaves_nothing_behind(
    write: Callable[[Path], Path], libs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, prompt = write(tmp_path / "model.gguf"), [(index * 131 + 7) % 304 for index in range(620)]
    with loaded(path, libs) as model:
        expected, _ = generate(model, prompt)
    callbacks, calls = [], itertools.count()

    def interrupt_once(context: Context) -> None:
        """In the second part of what is computed at once; llama.cpp asks after each operation."""
        binding = context.model.library.binding
        callbacks.append(binding.ggml_abort_callback(lambda _: next(calls) == 60))
        binding.llama_set_abort_callback(context.pointer, callbacks[-1], None)

    monkeypatch.setattr(Context, "_watch_stop", interrupt_once)
    with loaded(path, libs) as model:
        tokens, finish = generate(model, prompt)
    assert next(calls) > 60
    assert (tokens, finish.error) == (expected, "")


def test_a_seed_repeats_an_answer_whatever_came_between(quantized_model: Path, libs: Path) -> None:
    seeded = Sampling(seed=7, temperature=1.5)
    prompt = [(index * 131 + 7) % 304 for index in range(230)]
    with loaded(quantized_model, libs) as model:
        first, _ = generate(model, prompt, sampling=seeded)
        for other in range(3):
            generate(model, [other + 5] * 150)
            assert generate(model, prompt, sampling=seeded)[0] == first


@pytest.mark.parametrize("sampling", [Sampling(seed=7), GREEDY], ids=["seeded", "greedy"])
@pytest.mark.parametrize("length", [520, 1030])
def test_what_is_computed_again_comes_out_the_same_to_the_last_bit(
    quantized_model: Path, libs: Path, sampling: Sampling, length: int
) -> None:
    prompt = [(index * 131 + 7) % 304 for index in range(length)]
    drawn: list[list[Drawn]] = [[], []]
    cached = []
    with loaded(quantized_model, libs, options=LoadOptions(threads=1, context_length=2048)) as model:
        for each in drawn:
            pending: Pending = queue.Queue()
            model.engine.submit(
                Job(
                    prompt=prompt,
                    sampling=sampling,
                    max_tokens=3,
                    likeliest=5,
                    on_tokens=lambda new, end, to=pending: to.put((new, end)),  # type: ignore[misc]
                    on_drawn=each.append,
                )
            )
            cached.append(answer(pending)[1].cached_tokens)
    assert cached[0] == 0 < cached[1]
    assert drawn[0] == drawn[1]


def test_a_seed_repeats_an_answer_and_none_does_not(random_model: Path, libs: Path) -> None:
    with loaded(random_model, libs) as model:
        prompt = list(range(3, 103))
        seeded = [generate(model, prompt, sampling=Sampling(seed=7, temperature=1.5))[0] for _ in range(3)]
        assert seeded[0] == seeded[1] == seeded[2]
        free = [tuple(generate(model, prompt, sampling=Sampling(temperature=1.5))[0]) for _ in range(3)]
        assert len(set(free)) == 3


def test_sequences_side_by_side_get_the_answers_they_get_alone(random_model: Path, libs: Path) -> None:
    prompts = [[index + 3, *range(5, 40 + 30 * index)] for index in range(6)]
    with loaded(random_model, libs, options=LoadOptions(parallel=1, threads=1)) as model:
        alone = [generate(model, prompt)[0] for prompt in prompts]
    with loaded(random_model, libs, options=LoadOptions(parallel=4, threads=1)) as model:
        pending = [start(model, prompt) for prompt in prompts]
        assert [answer(each)[0] for each in pending] == alone


def test_settings_of_sampling_reach_llama_cpp(random_model: Path, libs: Path) -> None:
    prompt = list(range(3, 60))
    with loaded(random_model, libs) as model:
        greedy, _ = generate(model, prompt)
        for only_best in (Sampling(top_k=1), Sampling(top_p=1e-6), Sampling(min_p=1.0, top_p=1.0, top_k=0)):
            assert generate(model, prompt, sampling=only_best)[0] == greedy
        penalised, _ = generate(
            model, prompt, sampling=Sampling(temperature=0, repeat_penalty=100.0, repeat_last_n=-1), most=100
        )
        assert len(set(penalised)) > len(set(generate(model, prompt, most=100)[0]))


def test_the_context_bounds_a_conversation(random_model: Path, libs: Path) -> None:
    with loaded(random_model, libs, options=LoadOptions(context_length=256, threads=1)) as model:
        assert model.engine.context_length == 256
        with pytest.raises(PromptTooLong):
            model.engine.submit(Job(prompt=[5] * 256, on_tokens=lambda new, end: None))
        pending: Pending = queue.Queue()
        model.engine.submit(Job(prompt=[5] * 250, ignore_end=True, on_tokens=lambda new, end: pending.put((new, end))))
        tokens, finish = answer(pending)
        assert (finish.reason, len(tokens)) == ("length", 6)


def test_what_info_shows_of_a_model(random_model: Path, libs: Path) -> None:
    with loaded(random_model, libs) as model:
        facts = model.facts
        assert facts.parameters == 1336576
        assert (facts.context_length, facts.context_reason) == (2048, "all that the model was trained with")
        assert (facts.parallel, facts.threads_reason) == (4, "as asked")
        assert facts.context_size == 2048 * 4 * 2 * 2 * 128 * 2
        assert set(facts.seconds) == {"libraries", "prefetch", "model", "context"}


@pytest.mark.parametrize(
    ("flaw", "cause"),
    [
        ("no GGUF", "invalid magic characters: 'noGG', expected 'GGUF'"),
        ("header cut", "failed to read key-value pairs"),
        ("tensors cut", "tensor 'output.weight' data is not within the file bounds, model is corrupted or incomplete"),
        ("unknown kind", "unknown model architecture: 'lxama'"),
    ],
)
def test_damaged_weights_are_one_clear_error(
    random_model: Path, libs: Path, tmp_path: Path, flaw: str, cause: str
) -> None:
    data = random_model.read_bytes()
    damaged = {
        "no GGUF": b"no" + data,
        "header cut": data[:1000],
        "tensors cut": data[:-1000],
        "unknown kind": data.replace(b"llama", b"lxama"),
    }
    path = tmp_path / "damaged.gguf"
    path.write_bytes(damaged[flaw])
    with pytest.raises(BundleError) as caught, loaded(path, libs):
        pass
    assert caught.value.message == f"failed to load the model: {cause}"
    assert caught.value.hint == (
        "the file is damaged, cut short, or of a kind that this version of llama.cpp does not know"
    )


def test_a_loaded_library_ignores_the_environment(libs: Path) -> None:
    from bundler.runtime.llama import library

    library.load(libs)
    assert not [name for name in os.environ if name.startswith(("GGML_", "LLAMA_"))]


def test_conversations_side_by_side_take_a_beginning_in_common_from_each_other(random_model: Path, libs: Path) -> None:
    beginning = [7 + index * 13 % 200 for index in range(256)]
    prompts = [[*beginning, *(20 + number + index for index in range(40))] for number in range(3)]
    with loaded(random_model, libs, options=LoadOptions(context_length=1024, parallel=1, threads=1)) as model:
        alone = [generate(model, prompt, sampling=Sampling(temperature=0, seed=1))[0] for prompt in prompts]
    with loaded(random_model, libs, options=LoadOptions(context_length=1024, parallel=3, threads=1)) as model:
        together = [answer(each) for each in [start(model, prompt) for prompt in prompts]]
    assert [tokens for tokens, _ in together] == alone
    assert [finish.cached_tokens for _, finish in together] == [0, 192, 192]


def test_a_short_beginning_in_common_is_computed_again_where_copying_takes_longer(
    random_model: Path, libs: Path
) -> None:
    with loaded(random_model, libs, options=LoadOptions(context_length=1024, parallel=2, threads=1)) as model:
        first, second = (start(model, [*range(30, 70), *own]) for own in ([101, 102], [103, 104]))
        assert [answer(each)[1].cached_tokens for each in (first, second)] == [0, 0]
