"""The scheduler and the engine's loop over a runner that only counts: no model, no llama.cpp."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler.errors import BundleError
from bundler.runtime.engine.engine import RunningEngine
from bundler.runtime.engine.interface import EngineClosed, EngineFinish, Job, Overloaded, PromptTooLong
from bundler.runtime.engine.scheduler import CHUNK, Piece, Scheduler, Task
from bundler.runtime.request import Sampling

END = 0
RANDOM = Sampling(temperature=0.8)
SEEDED = Sampling(seed=1)


class CountingRunner:
    """After token n comes n + 1; after 99 the end. Checks that it is given every token of a sequence exactly once."""

    def __init__(self) -> None:
        self.state: dict[int, list[int]] = {}
        self.batches: list[list[int]] = []
        self.failure = ""
        self.gate: threading.Semaphore | None = None
        self.entered = threading.Semaphore(0)
        self.interrupted = threading.Event()
        self.began: set[Task] = set()
        self.closed = False

    def valid(self, tokens: Sequence[int]) -> bool:
        return all(0 <= token < 1000 for token in tokens)

    def keep(self, slot: int, length: int) -> int:
        kept = self.state.setdefault(slot, [])
        assert length <= len(kept)
        del kept[length:]
        return length

    def begin(self, task: Task) -> None:
        assert task not in self.began
        self.began.add(task)

    def run(self, pieces: Sequence[Piece]) -> list[int | None] | None:
        self.entered.release()
        if self.gate is not None:
            while not self.gate.acquire(timeout=0.01):
                if self.interrupted.is_set():
                    self.interrupted.clear()
                    return None
        if self.failure:
            raise BundleError(self.failure)
        self.batches.append([len(piece.tokens) for piece in pieces])
        for piece in pieces:
            state = self.state.setdefault(piece.slot.index, [])
            assert len(state) == piece.position
            state.extend(piece.tokens)
        return [self._next(piece.tokens[-1]) if piece.samples else None for piece in pieces]

    def interrupt(self) -> None:
        self.interrupted.set()

    def is_end(self, token: int) -> bool:
        return token == END

    def end(self, task: Task) -> None:
        self.began.remove(task)

    def close(self) -> None:
        self.closed = True

    @staticmethod
    def _next(token: int) -> int:
        return END if token >= 99 else token + 1


class Answer:
    """Collects what a job hands out."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.ended: queue.Queue[EngineFinish] = queue.Queue()

    def take(self, tokens: list[int], finish: EngineFinish | None) -> None:
        self.tokens.extend(tokens)
        if finish is not None:
            self.ended.put(finish)

    def finish(self) -> EngineFinish:
        return self.ended.get(timeout=20)


def job(prompt: Sequence[int], answer: Answer, max_tokens: int | None = None, sampling: Sampling = RANDOM) -> Job:
    return Job(prompt=prompt, max_tokens=max_tokens, sampling=sampling, on_tokens=answer.take)


def engine(runner: CountingRunner, *, slots: int = 2, context: int = 1024, waiting: int = 64) -> RunningEngine:
    return RunningEngine(
        runner, Scheduler(runner.keep, slots=slots, cells=slots * context, context_length=context, queue=waiting)
    )


def test_a_job_goes_on_until_the_model_ends_its_turn() -> None:
    running, answer = engine(CountingRunner()), Answer()
    running.submit(job([1, 2, 95], answer))
    finish = answer.finish()
    running.close()
    assert answer.tokens == [96, 97, 98, 99]
    assert (finish.reason, finish.prompt_tokens, finish.completion_tokens) == ("stop", 3, 5)


def test_max_tokens_end_a_job() -> None:
    running, answer = engine(CountingRunner()), Answer()
    running.submit(job([10], answer, max_tokens=3))
    assert answer.finish().reason == "length"
    running.close()
    assert answer.tokens == [11, 12, 13]


def test_no_token_at_all_is_an_answer_too() -> None:
    running, answer = engine(CountingRunner()), Answer()
    running.submit(job([10], answer, max_tokens=0))
    finish = answer.finish()
    running.close()
    assert (finish.reason, finish.completion_tokens, answer.tokens) == ("length", 0, [])


def test_a_full_context_ends_a_job() -> None:
    running, answer = engine(CountingRunner(), context=8), Answer()
    running.submit(job([10, 20, 30], answer))
    assert answer.finish().reason == "length"
    running.close()
    assert answer.tokens == [31, 32, 33, 34, 35]


def test_ignore_end_goes_on_after_the_end_token() -> None:
    running, answer = engine(CountingRunner()), Answer()
    running.submit(Job(prompt=[99], max_tokens=3, ignore_end=True, on_tokens=answer.take))
    assert answer.finish().reason == "length"
    running.close()
    assert answer.tokens == [0, 1, 2]


@pytest.mark.parametrize(
    ("prompt", "error", "message"),
    [
        ([], ValueError, "the prompt has no tokens"),
        ([1000], ValueError, "the prompt holds a token id that the model does not have"),
        ([1] * 8, PromptTooLong, "the prompt has 8 tokens, and the context holds 8, the answer included"),
    ],
)
def test_jobs_that_cannot_be_done_are_refused_at_once(prompt: list[int], error: type[Exception], message: str) -> None:
    running = engine(CountingRunner(), context=8)
    with pytest.raises(error) as caught:
        running.submit(job(prompt, Answer()))
    running.close()
    assert str(caught.value) == message


def test_a_full_queue_is_refused_and_the_rest_is_answered() -> None:
    runner = CountingRunner()
    runner.gate = threading.Semaphore(0)
    running = engine(runner, slots=1, waiting=2)
    answers = [Answer() for _ in range(3)]
    running.submit(job([90], answers[0]))
    runner.entered.acquire()
    running.submit(job([91], answers[1]))
    running.submit(job([92], answers[2]))
    with pytest.raises(Overloaded) as caught:
        running.submit(job([93], Answer()))
    runner.gate.release(1000)
    assert str(caught.value) == "2 requests are waiting already; try again later"
    assert [answer.finish().reason for answer in answers] == ["stop"] * 3
    running.close()


def test_many_jobs_from_many_threads_are_each_answered_correctly() -> None:
    running = engine(CountingRunner(), slots=4)
    answers = [Answer() for _ in range(40)]
    threads = [
        threading.Thread(target=running.submit, args=(job([1, 50 + index], answer),))
        for index, answer in enumerate(answers)
    ]
    for thread in threads:
        thread.start()
    assert all(answer.finish().reason == "stop" for answer in answers)
    running.close()
    assert [answer.tokens for answer in answers] == [list(range(51 + index, 100)) for index in range(40)]


def test_cancelling_interrupts_a_prompt_and_leaves_others_alone() -> None:
    runner = CountingRunner()
    runner.gate = threading.Semaphore(0)
    running = engine(runner)
    cancelled, other = Answer(), Answer()
    handle = running.submit(job([1] * 500, cancelled))
    runner.entered.acquire()
    running.submit(job([95], other))
    handle.cancel()
    handle.cancel()
    assert cancelled.finish().reason == "cancelled"
    runner.gate.release(1000)
    assert other.finish().reason == "stop"
    assert other.tokens == [96, 97, 98, 99]
    running.close()
    assert cancelled.ended.empty()


def test_a_waiting_job_can_be_cancelled() -> None:
    runner = CountingRunner()
    runner.gate = threading.Semaphore(0)
    running = engine(runner, slots=1)
    first, second = Answer(), Answer()
    running.submit(job([95], first))
    runner.entered.acquire()
    running.submit(job([95], second)).cancel()
    runner.gate.release(1000)
    assert (first.finish().reason, second.finish().reason) == ("stop", "cancelled")
    running.close()


def test_closing_ends_every_job_and_refuses_new_ones() -> None:
    runner = CountingRunner()
    runner.gate = threading.Semaphore(0)
    running = engine(runner, slots=1)
    answers = [Answer(), Answer()]
    for answer in answers:
        running.submit(job([1] * 100, answer))
    runner.entered.acquire()
    running.close()
    running.close()
    assert [answer.finish().reason for answer in answers] == ["cancelled", "cancelled"]
    assert runner.closed
    with pytest.raises(EngineClosed, match="the model is being unloaded"):
        running.submit(job([1], Answer()))


def test_a_failed_computation_fails_its_jobs_and_the_next_one_works() -> None:
    runner = CountingRunner()
    running = engine(runner)
    runner.failure = "failed to compute 3 tokens: no memory"
    failed, fine = Answer(), Answer()
    running.submit(job([1, 2, 3], failed))
    finish = failed.finish()
    assert (finish.reason, finish.error) == ("failed", "failed to compute 3 tokens: no memory")
    runner.failure = ""
    running.submit(job([95], fine))
    assert fine.finish().reason == "stop"
    running.close()


def test_an_unexpected_error_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = CountingRunner()
    monkeypatch.setattr(runner, "begin", lambda task: 1 / 0)
    running, answer = engine(runner), Answer()
    running.submit(job([1], answer))
    finish = answer.finish()
    assert (finish.reason, finish.error) == ("failed", "the engine stopped: ZeroDivisionError: division by zero")
    running.close()
    with pytest.raises(EngineClosed, match="division by zero"):
        running.submit(job([1], Answer()))


def test_a_receiver_that_raises_does_not_stop_the_others() -> None:
    running, fine = engine(CountingRunner()), Answer()

    def broken(tokens: list[int], finish: EngineFinish | None) -> None:
        raise RuntimeError("event loop is closed")

    running.submit(Job(prompt=[1], on_tokens=broken))
    running.submit(job([95], fine))
    assert fine.finish().reason == "stop"
    running.close()


def test_timings_are_those_of_the_clock() -> None:
    runner, answer = CountingRunner(), Answer()
    ticks = iter(range(1000))
    running = RunningEngine(
        runner, Scheduler(runner.keep, slots=1, cells=64, context_length=64), clock=lambda: next(ticks)
    )
    running.submit(job([1], answer, max_tokens=3))
    finish = answer.finish()
    running.close()
    assert (finish.prompt_seconds, finish.completion_seconds) == (1, 1)


class Steps:
    """Drives a scheduler step by step, with the runner's rules."""

    def __init__(self, *, slots: int = 2, cells: int = 4096, context: int = 2048) -> None:
        self.runner = CountingRunner()
        self.scheduler = Scheduler(self.runner.keep, slots=slots, cells=cells, context_length=context)

    def submit(self, prompt: Sequence[int], max_tokens: int | None = None, sampling: Sampling = RANDOM) -> Task:
        return self.scheduler.submit(job(prompt, Answer(), max_tokens, sampling))

    def step(self, *, ignore_end: bool = False) -> list[tuple[int, int]]:
        """One step; (slot, number of tokens) of each piece."""
        self.scheduler.collect()
        self.scheduler.admit()
        pieces = self.scheduler.schedule()
        drawn = self.runner.run(pieces) or []
        for piece, token in zip(pieces, drawn, strict=True):
            self.scheduler.advance(piece, token, token == END and not ignore_end)
        return [(piece.slot.index, len(piece.tokens)) for piece in pieces]

    def finish(self, task: Task) -> None:
        while task.reason is None:
            assert self.step()


def test_a_long_prompt_is_computed_in_pieces_between_the_tokens_of_others() -> None:
    steps = Steps()
    steps.submit([1], max_tokens=100)
    assert steps.step() == [(0, 1)]
    steps.submit([7] * 300)
    assert steps.step() == [(0, 1), (1, 128)]
    assert steps.step() == [(0, 1), (1, 64)]
    assert steps.step() == [(0, 1), (1, 108)]
    assert steps.step() == [(0, 1), (1, 1)]


def test_a_short_prompt_does_not_wait_for_a_long_one() -> None:
    steps = Steps()
    steps.submit([7] * 2000)
    steps.submit([8] * 30)
    assert steps.step() == [(1, 30), (0, 448)]


def test_a_beginning_that_is_still_there_is_not_computed_again() -> None:
    steps = Steps()
    steps.finish(steps.submit(list(range(100, 400)), max_tokens=1))
    again = steps.submit(list(range(100, 350)), max_tokens=1)
    assert steps.step() == [(0, 1)]
    assert again.cached == 249


def test_the_slot_that_knows_most_of_the_prompt_is_taken() -> None:
    steps = Steps()
    one, other = list(range(100, 300)), list(range(500, 700))
    steps.finish(steps.submit(one, max_tokens=1))
    steps.finish(steps.submit(other, max_tokens=1))
    again = steps.submit([*one, 7], max_tokens=1)
    steps.finish(again)
    assert again.cached == 200
    again = steps.submit([*other, 7], max_tokens=1)
    steps.finish(again)
    assert again.cached == 200


@pytest.mark.parametrize("length", [1, 63, 70, 128, 333, 530, 1100])
def test_a_seeded_prompt_ends_in_a_whole_piece_whether_cached_or_not(length: int) -> None:
    steps = Steps()
    for expected_cache in (0, max(0, length - CHUNK) // CHUNK * CHUNK):
        task = steps.submit([7] * length, max_tokens=1, sampling=SEEDED)
        counts: list[int] = []
        while task.reason is None:
            counts.extend(count for _, count in steps.step())
        assert task.cached == expected_cache
        assert counts[-1] >= min(length, CHUNK)
        assert (length - counts[-1]) % CHUNK == 0


def test_a_seeded_prompt_finds_the_cache_as_it_was_at_first() -> None:
    steps = Steps()
    prompt = [7] * 200
    steps.finish(steps.submit(prompt, max_tokens=1, sampling=SEEDED))
    steps.finish(steps.submit([8] * 100, max_tokens=1))
    again = steps.submit(prompt, max_tokens=1, sampling=SEEDED)
    steps.finish(again)
    assert again.cached == 128
    assert sorted(map(len, steps.runner.state.values())) == [0, 200]
    behind = steps.submit([9] * 200, max_tokens=1)
    steps.finish(behind)
    again = steps.submit([9] * 200, max_tokens=1, sampling=SEEDED)
    steps.finish(again)
    assert again.cached == 0


def test_a_seeded_prompt_takes_no_state_that_was_computed_together_with_others() -> None:
    steps = Steps()
    busy = steps.submit([1], max_tokens=50)
    steps.step()
    steps.finish(steps.submit([7] * 400, max_tokens=1))
    steps.finish(busy)
    seeded = steps.submit([7] * 400, max_tokens=1, sampling=SEEDED)
    steps.finish(seeded)
    assert seeded.cached == 0


def test_memory_that_cannot_be_trimmed_is_computed_again() -> None:
    steps = Steps(slots=1)
    steps.finish(steps.submit([7] * 100, max_tokens=1))

    def empty(slot: int, length: int) -> int:
        steps.runner.keep(slot, 0)
        return 0

    steps.scheduler._keep = empty
    again = steps.submit([7] * 90, max_tokens=1)
    assert steps.step() == [(0, 90)]
    assert again.cached == 0


def test_old_state_makes_room_for_new_prompts() -> None:
    steps = Steps(slots=3, cells=300, context=200)
    steps.finish(steps.submit([7] * 150, max_tokens=1))
    steps.finish(steps.submit([8] * 100, max_tokens=1))
    steps.finish(steps.submit([9] * 120, max_tokens=1))
    assert [len(steps.runner.state[slot]) for slot in range(3)] == [0, 100, 120]


def test_a_prompt_that_does_not_fit_beside_the_others_waits() -> None:
    steps = Steps(cells=1000, context=1000)
    first = steps.submit([1] * 400, max_tokens=50)
    second = steps.submit([2] * 520, max_tokens=50)
    steps.step()
    assert second.slot is None
    steps.finish(first)
    steps.finish(second)
    assert second.reason == "length"


def test_when_cells_run_out_the_latest_waits_and_goes_on_later() -> None:
    steps = Steps(cells=600, context=600)
    first = steps.submit([3] * 10, max_tokens=400)
    second = steps.submit([4] * 10, max_tokens=400)
    while second.admission == 0 or second.slot is not None:
        steps.step(ignore_end=True)
    assert first.slot is not None
    so_far = second.tokens[:]
    while second.reason is None:
        steps.step(ignore_end=True)
    assert first.reason == "length"
    assert second.tokens[: len(so_far)] == so_far
    assert second.completion_tokens == 400


@given(
    prompts=st.lists(
        st.tuples(st.integers(1, 700), st.integers(0, 90), st.booleans(), st.integers(0, 99)), min_size=1, max_size=12
    ),
    slots=st.integers(1, 4),
    cells=st.integers(1000, 2000),
)
def test_every_job_ends_with_its_own_tokens(prompts: list[tuple[int, int, bool, int]], slots: int, cells: int) -> None:
    """Whatever comes: no cell is used twice, no token is lost, every task ends."""
    steps = Steps(slots=slots, cells=cells, context=1000)
    waiting = list(prompts)
    tasks = []
    while waiting or steps.scheduler.busy:
        if waiting:
            length, most, seeded, last = waiting.pop()
            prompt = [*[7] * (length - 1), last]
            tasks.append((last, steps.submit(prompt, most, SEEDED if seeded else RANDOM)))
        steps.step()
        assert sum(map(len, steps.runner.state.values())) <= cells
    for last, task in tasks:
        expected = [*range(last + 1, 100), END][: task.limit - task.prompt_tokens]
        assert task.tokens[task.prompt_tokens :] == expected
        assert task.reason == ("stop" if expected and expected[-1] == END else "length")


def test_pieces_of_a_prompt_are_whole_chunks() -> None:
    steps = Steps()
    steps.submit([7] * 1000)
    counts = [count for _ in range(2) for _, count in steps.step()]
    assert counts[0] % CHUNK == 0
    assert sum(counts) == 1000
