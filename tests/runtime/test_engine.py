"""The engine's loop over a runner that only counts: no model, no llama.cpp."""

from __future__ import annotations

import threading

import pytest

from bundler.runtime.engine.cache import Cache
from bundler.runtime.engine.engine import RunningEngine
from bundler.runtime.engine.interface import EngineClosed, EngineFinish, Job, Overloaded, PromptTooLong
from bundler.runtime.engine.scheduler import Scheduler
from tests.runtime.counting import Answer, CountingRunner, job


def engine(runner: CountingRunner, *, slots: int = 2, context: int = 1024, waiting: int = 64) -> RunningEngine:
    return RunningEngine(
        runner, Scheduler(Cache(runner, slots=slots, cells=slots * context), context_length=context, queue=waiting)
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


@pytest.mark.parametrize("trims", [True, False])
def test_what_was_computed_of_an_interrupted_step_is_computed_again(trims: bool) -> None:
    runner = CountingRunner()
    runner.trims = trims
    runner.gate = threading.Semaphore(0)
    running = engine(runner)
    cancelled, again = Answer(), Answer()
    handle = running.submit(job([1] * 900, cancelled))
    runner.entered.acquire()
    runner.gate.release()
    runner.entered.acquire()
    handle.cancel()
    assert cancelled.finish().reason == "cancelled"
    runner.gate.release(1000)
    running.submit(job([1] * 900, again))
    assert again.finish().reason == "stop"
    assert again.tokens == list(range(2, 100))
    running.close()


@pytest.mark.parametrize("trims", [True, False])
def test_a_prompt_is_interrupted_where_nobody_else_loses_anything(trims: bool) -> None:
    runner = CountingRunner()
    runner.trims = trims
    runner.gate = threading.Semaphore(0)
    running = engine(runner)
    beside, cancelled = Answer(), Answer()
    running.submit(job([90] * 100, beside))
    runner.entered.acquire()
    handle = running.submit(job([1] * 200, cancelled))
    runner.gate.release()
    runner.entered.acquire()
    handle.cancel()
    if trims:
        assert cancelled.finish().reason == "cancelled"
    else:
        assert not runner.interrupted.is_set()
    runner.gate.release(1000)
    assert beside.finish().reason == "stop"
    assert beside.tokens == list(range(91, 100))
    running.close()


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
    running = RunningEngine(
        runner, Scheduler(Cache(runner, slots=1, cells=64), context_length=64), clock=lambda: runner.seconds
    )
    running.submit(job([1], answer, max_tokens=3))
    finish = answer.finish()
    running.close()
    assert (finish.prompt_seconds, finish.completion_seconds) == (1, 2)


def test_a_time_limit_ends_a_job_that_runs_or_waits() -> None:
    runner = CountingRunner()
    running = RunningEngine(
        runner, Scheduler(Cache(runner, slots=1, cells=64), context_length=64), clock=lambda: runner.seconds
    )
    runs, waits, after = Answer(), Answer(), Answer()
    runner.gate = threading.Semaphore(0)
    running.submit(Job(prompt=[1], time_limit=3.0, on_tokens=runs.take))
    runner.entered.acquire()
    running.submit(Job(prompt=[1], time_limit=2.0, on_tokens=waits.take))
    running.submit(Job(prompt=[95], time_limit=100.0, on_tokens=after.take))
    runner.gate.release(1000)
    assert (waits.finish().reason, waits.tokens) == ("timeout", [])
    assert (runs.finish().reason, runs.tokens) == ("timeout", [2, 3, 4])
    assert (after.finish().reason, after.tokens) == ("stop", [96, 97, 98, 99])
    running.close()
