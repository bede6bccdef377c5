"""Models of many architectures in the engine, beside llama-server from the same source over the same file.

Whatever is computed alone and whole must come out the same. What is computed in other batches (beside other sequences,
after a beginning that was there already) adds in another order: there the logarithms of probabilities may differ by
ERROR, and a token only where the best two are closer than that error can turn around.
"""

from __future__ import annotations

import math
import queue
import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pytest

from bundler.errors import BundleError
from bundler.runtime import libraries
from bundler.runtime.engine.interface import EngineFinish, Job, Loaded, LoadOptions, Warmth
from bundler.runtime.engine.sequence import CHUNK
from bundler.runtime.llama import library
from bundler.runtime.llama.model import Model
from bundler.runtime.request import Sampling
from bundler.runtime.warmup import evaluate
from tests import kinds
from tests.runtime import reference
from tests.runtime.reference import LlamaServer, Step
from tests.runtime.test_engine_llama import GREEDY, Pending, answer, loaded, start

ERROR = 0.05
SAME_ERROR = 0.01
"""Between equal batches, in caches that hold other things beside them."""
MOST = 6
SEEDED = Sampling(temperature=1.0, top_k=1, seed=1)
LIKELIEST = Sampling(temperature=1.0, top_k=1)
"""Draws what greedy does, but takes any state that is there, as chats do."""


@dataclass
class Case:
    """A model, and what llama-server says to prompts."""

    kind: kinds.Kind
    path: Path
    server: LlamaServer
    known: dict[tuple[int, ...], list[Step]] = field(default_factory=dict)

    def prompt(self, length: int, seed: int = 0) -> list[int]:
        chosen = random.Random(f"{length} {seed}")
        return [chosen.randrange(300, self.kind.tokens - 300) for _ in range(length)]

    def expected(self, prompt: Sequence[int]) -> list[Step]:
        if tuple(prompt) not in self.known:
            self.known[tuple(prompt)] = self.server.generate(prompt, MOST)
        return self.known[tuple(prompt)]

    @cached_property
    def follow_up(self) -> list[int]:
        """A conversation's second turn: a prompt, llama-server's answer to it, and more."""
        first = self.prompt(200)
        return [*first, *(step.token for step in self.expected(first)), *self.prompt(30, 1)]


@dataclass
class Running:
    """A prompt on its way."""

    pending: Pending
    steps: list[Step]

    def finish(self) -> EngineFinish:
        return answer(self.pending)[1]


@pytest.fixture(scope="module", params=list(kinds.KINDS))
def case(request: pytest.FixtureRequest, program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    kind = kinds.KINDS[request.param]
    path = kind.write(tmp_path_factory.mktemp("kind") / f"{kind.architecture}.gguf")
    with reference.serving(program, path) as server:
        yield Case(kind, path, server)
    path.unlink()


def _damaged() -> bytes:
    raise BundleError("failed to read the precomputed prompt: it is damaged")


def begin(model: Loaded, prompt: Sequence[int], sampling: Sampling = GREEDY) -> Running:
    running = Running(queue.Queue(), [])
    model.engine.submit(
        Job(
            prompt=prompt,
            sampling=sampling,
            max_tokens=MOST,
            likeliest=20,
            on_tokens=lambda new, end: running.pending.put((new, end)),
            on_drawn=lambda drawn: running.steps.append(
                Step(drawn.token, {each.token: math.log(each.probability) for each in drawn.likeliest})
            ),
        )
    )
    return running


@contextmanager
def at_once(model: Loaded) -> Iterator[None]:
    """The engine stands still, and then begins all that was submitted meanwhile."""
    stands, goes_on = threading.Event(), threading.Event()

    def hold(new: list[int], end: EngineFinish | None) -> None:
        if end:
            stands.set()
            goes_on.wait(120)

    model.engine.submit(Job(prompt=[5], max_tokens=1, on_tokens=hold))
    assert stands.wait(120)
    try:
        yield
    finally:
        goes_on.set()


def difference(steps: Sequence[Step], expected: Sequence[Step], error: float) -> float:
    """The largest between the logarithms of probabilities; up to where another token may be drawn, within the error."""
    largest = 0.0
    assert len(steps) == len(expected) == MOST
    for step, wanted in zip(steps, expected, strict=True):
        both = step.likeliest.keys() & wanted.likeliest.keys()
        assert len(both) >= 10 or not wanted.likeliest
        largest = max([largest, *(abs(step.likeliest[token] - wanted.likeliest[token]) for token in both)])
        if step.token != wanted.token:
            first, second, *_ = sorted(step.likeliest.values(), reverse=True)
            assert first - second <= 2 * error, "another token where the best one is clear"
            break
    return largest


def unlike(step: Step, other: Step) -> bool:
    """Whether one comes from another past: no error explains the difference."""
    both = step.likeliest.keys() & other.likeliest.keys()
    return len(both) < 10 or max(abs(step.likeliest[token] - other.likeliest[token]) for token in both) > 3 * ERROR


def test_a_prompt_alone_is_answered_as_by_llama_server(case: Case, libs: Path) -> None:
    with loaded(case.path, libs, options=LoadOptions(parallel=1, threads=1)) as model:
        for length in (9, 41, 700, 200, 130):
            prompt = case.prompt(length)
            running = begin(model, prompt)
            running.finish()
            in_one_batch = length < CHUNK or (case.kind.whole and length <= 512)
            error = SAME_ERROR if in_one_batch else ERROR
            assert difference(running.steps, case.expected(prompt), error) <= error
            if in_one_batch:
                assert [step.token for step in running.steps] == [step.token for step in case.expected(prompt)]
        changed = [prompt[0] + 1, *prompt[1:]]
        other = begin(model, changed)
        other.finish()
    assert unlike(other.steps[0], case.expected(prompt)[0]), "what hangs on the last tokens alone proves nothing here"


def test_sequences_side_by_side_are_answered_as_alone(case: Case, libs: Path) -> None:
    prompts = [case.prompt(length) for length in (9, 130, 700, 41, 200)]
    with loaded(case.path, libs, options=LoadOptions(parallel=4, threads=1)) as model:
        for least in (0, 500):
            together = [begin(model, prompt) for prompt in prompts]
            cached = [running.finish().cached_tokens for running in together]
            for running, prompt in zip(together, prompts, strict=True):
                assert difference(running.steps, case.expected(prompt), ERROR) <= ERROR
            assert sum(cached) >= least
        prompt = case.prompt(150, 1)
        with at_once(model):
            together = [begin(model, prompt, LIKELIEST) for _ in range(3)]
        cached = [running.finish().cached_tokens for running in together]
        assert cached == [0, 149, 149]
        for running in together:
            assert difference(running.steps, case.expected(prompt), ERROR) <= ERROR


def test_prompts_that_begin_alike_and_come_together_are_answered_as_alone(case: Case, libs: Path) -> None:
    common = case.prompt(300, 3)
    branches = [[*common, *case.prompt(length, 3)] for length in (9, 41, 130)]
    same, greedy = [case.prompt(700)] * 4, [case.prompt(200)] * 4
    with loaded(case.path, libs, options=LoadOptions(parallel=4, threads=1)) as model:
        for prompts, sampling, shared in ((same, LIKELIEST, 699), (branches, LIKELIEST, 300), (greedy, GREEDY, 128)):
            with at_once(model):
                together = [begin(model, prompt, sampling) for prompt in prompts]
            assert [running.finish().cached_tokens for running in together] == [0, *[shared] * (len(prompts) - 1)]
            for running, prompt in zip(together, prompts, strict=True):
                assert difference(running.steps, case.expected(prompt), ERROR) <= ERROR


def test_a_conversation_goes_on_where_it_was(case: Case, libs: Path) -> None:
    first, second = case.prompt(200), case.follow_up
    branch = [*second[: 200 + MOST], *case.prompt(40, 2)]
    with loaded(case.path, libs, options=LoadOptions(parallel=1, threads=1)) as model:
        for prompt, cached in ((first, 0), (second, 200 + MOST - 1), (branch, 200 + MOST if case.kind.whole else 128)):
            running = begin(model, prompt, LIKELIEST)
            assert running.finish().cached_tokens == cached
            assert difference(running.steps, case.expected(prompt), ERROR) <= ERROR


def test_a_conversation_comes_back_from_memory(case: Case, libs: Path) -> None:
    prompts = [case.prompt(300, seed) for seed in range(3)]
    with loaded(case.path, libs, options=LoadOptions(context_length=512, parallel=1, threads=1)) as model:
        for cached in (0, 192):
            for prompt in prompts:
                running = begin(model, prompt)
                assert running.finish().cached_tokens == cached
                assert difference(running.steps, case.expected(prompt), ERROR) <= ERROR


def test_an_evaluated_beginning_changes_nothing(case: Case, libs: Path) -> None:
    beginning = case.prompt(150, 1)
    prompt = [*beginning, *case.prompt(60)]
    with case.path.open("rb") as file:
        llama_cpp = library.load(libs)
        llama_cpp.load_backend(libraries.cpu_variants(libs)[libraries.plainest(libraries.cpu_variants(libs))])
        model = Model(llama_cpp, file.fileno(), 0)
        tokens, state = evaluate(model, beginning, threads=1)
        model.close()
    known = Warmth(tokens=tokens, exact=len(tokens), read=lambda: bytes(state))
    unknown = Warmth(tokens=tokens, exact=len(tokens), read=_damaged)
    steps = []
    for warmth, parallel in ((known, 1), (known, 2), (unknown, 1)):
        options = LoadOptions(context_length=512, parallel=parallel, threads=1, warmth=warmth)
        with loaded(case.path, libs, options=options) as model_of_it:
            for sampling in (GREEDY, SEEDED):
                running = begin(model_of_it, prompt, sampling)
                cached = running.finish().cached_tokens
                steps.append([step.likeliest for step in running.steps])
                assert difference(running.steps, case.expected(prompt), ERROR) <= ERROR
                assert cached == (150 if case.kind.whole else 128) or warmth is unknown or sampling is SEEDED
    if case.kind.whole:
        assert all(each == steps[0] for each in steps), "it matters whether the state was there"


def test_an_encoder_reads_the_prompt_and_a_decoder_answers(
    program: Path, libs: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = kinds.ENCODER_DECODER.write(tmp_path_factory.mktemp("kind") / "t5.gguf")
    asked = ["The quick brown fox", "jumps over", "The quick brown fox"]
    with loaded(path, libs, options=LoadOptions(parallel=4, threads=1)) as model:
        assert (model.engine.parallel, model.embedder) == (1, None)
        assert (model.facts.parallel, model.facts.parallel_reason) == (1, "an encoder reads one prompt at a time")
        vocabulary = model.vocabulary
        prompts = [vocabulary.tokenize(said, add_special=True, parse_special=False) for said in asked]
        together = [start(model, prompt[:-1], most=12) for prompt in prompts]
        answers = [answer(pending) for pending in together]
        said = [b"".join(vocabulary.piece(token, special=True) for token in tokens) for tokens, _ in answers]
        assert [finish.prompt_tokens for _, finish in answers] == [len(prompt) for prompt in prompts]
    for prompt, answered in zip(asked[:2], said, strict=False):
        whole = reference.simply(program, path, prompt, 12)
        assert whole.startswith(f"<s> {prompt}</s>".encode() + answered)
    assert said[2] == said[0]
