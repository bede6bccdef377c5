"""Prompts that begin as the one whose state came with the bundle: cut at its end, whoever computes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler.runtime.engine.interface import Job
from bundler.runtime.engine.sequence import CHUNK, boundary
from bundler.runtime.engine.store import Saved
from bundler.runtime.request import Sampling
from tests.runtime.counting import RANDOM, SEEDED, Answer
from tests.runtime.stepping import Steps


@pytest.mark.parametrize("sampling", [RANDOM, SEEDED, Sampling(temperature=0)], ids=["free", "seeded", "greedy"])
@pytest.mark.parametrize("length", [100, 530, 700])
def test_a_known_beginning_is_never_computed_again_and_its_end_is_a_cut_for_all(
    length: int, sampling: Sampling
) -> None:
    beginning = [index % 1000 for index in range(length)]
    prompt = [*beginning, 5, 6, 7]
    asked: list[list[int]] = []
    for known in (False, True):
        steps = Steps(beginning=beginning)
        if known:
            steps.runner.state[0] = []
            state = b"".join(token.to_bytes(2) for token in beginning)
            assert steps.cache.preload(Saved(beginning, length, state))
        counts: list[int] = []
        for cached in (length if known else 0, length + 2 if sampling is RANDOM else length):
            task = steps.submit(prompt, max_tokens=1, sampling=sampling)
            asked.append([])
            while task.reason is None:
                counts = [count for _, count in steps.step()]
                asked[-1] += counts
            assert task.cached == cached
    cold, again, warm, warm_again = asked
    assert cold[-1] == warm[-1] == 3
    assert all(count >= CHUNK for count in cold[:-1])
    assert warm == [3]
    assert again == warm_again == ([1] if sampling is RANDOM else [3])


@pytest.mark.parametrize("seeded", [False, True])
def test_after_a_known_beginning_whole_pieces_are_counted_from_its_end(seeded: bool) -> None:
    beginning = list(range(100, 250))
    steps = Steps(beginning=beginning)
    sampling = SEEDED if seeded else Sampling(temperature=0)
    prompt = [*beginning, *([7] * 200)]
    steps.finish(steps.submit(prompt, max_tokens=1, sampling=sampling))
    again = steps.submit([*prompt, 8], max_tokens=1, sampling=sampling)
    steps.finish(again)
    assert again.cached == 150 + 128
    other = steps.submit([*beginning[:140], *([9] * 200)], max_tokens=1, sampling=sampling)
    steps.finish(other)
    assert other.cached == 128


@pytest.mark.parametrize("shifts", [True, False], ids=["shifting", "computing again"])
@pytest.mark.parametrize("jobs", [1, 2])
def test_an_answer_goes_on_after_its_context_shifted_into_a_known_beginning(jobs: int, shifts: bool) -> None:
    """As many jobs as `n` makes of one prompt: the later ones take the beginning from the first."""
    steps = Steps(slots=2, cells=256, context=100, shifts=shifts, beginning=[107] * 80)
    prompt = [*[107] * 89, 1]
    tasks = [steps.submit_shifting(prompt, keep=10, max_tokens=60) for _ in range(jobs)]
    for task in tasks:
        steps.finish(task)
        assert (task.reason, task.completion_tokens) == ("length", 60)
        assert task.tokens[-40:] == list(range(22, 62))


def test_a_shifted_answer_that_made_room_for_another_goes_on() -> None:
    steps = Steps(slots=2, cells=670, context=400, beginning=[107] * 250)
    steps.submit([3] * 10, max_tokens=380)
    task = steps.submit_shifting([*[107] * 299, 1], keep=10, max_tokens=350)
    while task.slot is not None or not task.admission:
        steps.step(ignore_end=True)
    assert (task.reason, task.dropped) == (None, 195)
    while task.reason is None:
        assert steps.step(ignore_end=True)
    assert task.tokens[-40:] == list(range(12, 52))


def test_an_answer_that_waits_again_is_cut_where_a_known_beginning_ends_in_it() -> None:
    beginning = [*[107] * 9, *range(1, 31)]
    steps = Steps(cells=600, context=600, beginning=beginning)
    steps.submit([3] * 10, max_tokens=400)
    task = steps.submit(beginning[:20], max_tokens=400)
    while task.slot is not None or not task.admission:
        steps.step(ignore_end=True)
    counts: list[int] = []
    while not counts:
        counts = [count for _, count in steps.step(ignore_end=True) if count > 1]
    assert counts == [len(beginning)]


@given(st.integers(0, 400), st.integers(1, 400), st.integers(0, 400))
def test_of_a_prompt_something_is_always_left_to_compute(length: int, end: int, cut: int) -> None:
    taken = boundary(length, end, cut)
    assert 0 <= taken <= length
    assert taken < end


@pytest.mark.parametrize("seeded", [True, False], ids=["seeded", "free"])
def test_an_answer_that_completes_a_known_beginning_is_no_beginning_computed_alone(seeded: bool) -> None:
    beginning = [*[107] * 63, 1, 2]
    steps = Steps(beginning=beginning)
    sampling = SEEDED if seeded else RANDOM
    steps.finish(steps.submit(beginning[:-1], max_tokens=3, sampling=sampling))
    assert steps.cache.slots[0].tokens[:65] == beginning
    task = steps.submit([*beginning, *[7] * 100], max_tokens=1, sampling=SEEDED)
    steps.finish(task)
    assert task.cached == 0


@given(
    jobs=st.lists(
        st.tuples(
            st.sampled_from([20, 63, 64, 65, 128, 200]),
            st.integers(0, 70),
            st.integers(0, 120),
            st.integers(0, 300),
            st.sampled_from([RANDOM, SEEDED, Sampling(temperature=0)]),
            st.integers(-1, 210),
        ),
        min_size=1,
        max_size=6,
    ),
    same=st.sampled_from([0, 20, 63, 64, 65, 128, 200]),
    counted=st.integers(0, 70),
    slots=st.integers(1, 3),
    cells=st.integers(400, 700),
    shifts=st.booleans(),
)
def test_what_a_seed_may_take_was_computed_alone_in_whole_pieces(
    jobs: list[tuple[int, int, int, int, Sampling, int]],
    same: int,
    counted: int,
    slots: int,
    cells: int,
    shifts: bool,
) -> None:
    """Whatever came before: prompts and answers that complete a known beginning, shifts, and jobs that wait again."""
    beginning = [*[107] * same, *range(1, 1 + counted)]
    cut = len(beginning)
    steps = Steps(slots=slots, cells=cells, context=400, shifts=shifts, beginning=beginning)
    waiting = list(jobs)
    while waiting or steps.scheduler.busy:
        if waiting:
            before, count, behind, most, sampling, keep = waiting.pop()
            prompt = [*[107] * before, *range(1, 1 + count), *[108] * behind]
            work = Job(
                prompt=prompt, keep=keep, max_tokens=most, shift=True, sampling=sampling, on_tokens=Answer().take
            )
            steps.scheduler.submit(work)
        steps.step(ignore_end=True)
        for slot in steps.cache.slots:
            is_cut = cut <= slot.exact and slot.tokens[:cut] == beginning
            expected = [min(cut, CHUNK)] * cut if is_cut else []
            expected += [CHUNK] * (slot.exact - len(expected))
            assert steps.runner.rows.get(slot.index, [])[: slot.exact] == expected
