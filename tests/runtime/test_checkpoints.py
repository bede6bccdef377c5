"""Memory that cannot be cut back, as recurrent and windowed layers have it: what is saved in the midst of prompts, and
who goes on from there, step by step over a runner that only counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler.runtime.engine.sequence import CHUNK
from bundler.runtime.request import Sampling
from tests.runtime.counting import RANDOM, SEEDED
from tests.runtime.stepping import Steps

GREEDY = Sampling(temperature=0)


def uncut(slots: int = 4, cells: int = 8192, saved: int = 1 << 20) -> Steps:
    return Steps(slots=slots, cells=cells, trims=False, saved=saved)


def computed(steps: Steps) -> int:
    return sum(sum(batch) for batch in steps.runner.batches)


def saved_lengths(steps: Steps) -> list[int]:
    return sorted(len(saved.tokens) for saved in steps.cache.store.entries())


def test_memory_that_cannot_be_cut_back_is_computed_again() -> None:
    steps = uncut(slots=1, saved=0)
    steps.finish(steps.submit([7] * 50, max_tokens=1))
    again = steps.submit([7] * 40, max_tokens=1)
    assert steps.step() == [(0, 40)]
    assert again.cached == 0


def test_memory_that_cannot_be_cut_back_goes_on_from_where_it_was_saved() -> None:
    steps = uncut(slots=1)
    prompt = list(range(100, 300))
    steps.submit(prompt, max_tokens=1)
    assert [steps.step(), steps.step()] == [[(0, 128)], [(0, 72)]]
    again = steps.submit([*prompt[:195], 8, 9], max_tokens=1)
    steps.finish(again)
    assert again.cached == 128
    longer = steps.submit([*prompt[:195], 8, 9, 10], max_tokens=1)
    assert steps.step() == [(0, 1)]
    assert longer.cached == 197


def test_several_answers_to_one_prompt_compute_it_once() -> None:
    steps = uncut()
    prompt = [*range(100, 800), 5]
    tasks = [steps.submit(prompt, max_tokens=3) for _ in range(4)]
    assert [steps.step() for _ in range(4)] == [
        [(0, 512)],
        [(0, 64)],
        [(0, 124)],
        [(0, 1), (1, 1), (2, 1), (3, 1)],
    ]
    for task in tasks:
        steps.finish(task)
        assert task.tokens[701:] == [6, 7, 8]
    assert [task.cached for task in tasks] == [0, 700, 700, 700]


def test_more_answers_than_slots_go_on_from_what_was_saved() -> None:
    steps = uncut(slots=2)
    tasks = [steps.submit([*range(100, 800), 5], max_tokens=3) for _ in range(6)]
    for task in tasks:
        steps.finish(task)
        assert task.tokens[701:] == [6, 7, 8]
    assert [task.cached for task in tasks] == [0, *[700] * 5]


@pytest.mark.parametrize("after", [10, 200])
def test_prompts_that_begin_alike_and_come_together_compute_it_once(after: int) -> None:
    steps = uncut()
    common = list(range(100, 800))
    tasks = [steps.submit([*common, *[own] * after, 5], max_tokens=3) for own in (1, 2, 3, 4, 11, 12)]
    for task in tasks:
        steps.finish(task)
        assert task.tokens[-3:] == [6, 7, 8]
    assert [task.cached for task in tasks] == [0, *[700] * 5]
    assert computed(steps) == 700 + 6 * (after + 1) + 6 * 2


def test_greedy_answers_share_what_whole_pieces_come_to() -> None:
    steps = uncut()
    tasks = [steps.submit([*range(100, 800), 5], max_tokens=1, sampling=GREEDY) for _ in range(3)]
    counts = [pair for _ in range(3) for pair in steps.step()]
    assert counts == [(0, 512), (0, 64), (0, 125), (1, 125), (2, 125)]
    assert [task.cached for task in tasks] == [0, 576, 576]


def test_a_greedy_prompt_is_cut_at_whole_pieces_by_those_that_wait_for_it() -> None:
    steps = uncut()
    common = list(range(100, 800))
    steps.submit([*common, *[1] * 300], max_tokens=1, sampling=GREEDY)
    free = steps.submit([*common, *[2] * 300], max_tokens=1)
    counts = [steps.step() for _ in range(2)]
    assert counts == [[(0, 512)], [(0, 128)]]
    steps.finish(free)
    assert free.cached == 640


def test_seeded_answers_are_computed_whole_as_alone() -> None:
    alone = uncut()
    alone.finish(alone.submit(list(range(100, 800)), max_tokens=1, sampling=SEEDED))
    steps = uncut()
    tasks = [steps.submit(list(range(100, 800)), max_tokens=1, sampling=SEEDED) for _ in range(3)]
    for task in tasks:
        steps.finish(task)
    assert [task.cached for task in tasks] == [0, 0, 0]
    assert computed(steps) == 3 * computed(alone)


def test_whoever_waits_for_a_beginning_computes_it_where_that_job_is_cancelled() -> None:
    steps = uncut(slots=2)
    first, second = (steps.submit([*range(100, 900), own], max_tokens=3) for own in (7, 8))
    assert steps.step() == [(0, 512)]
    first.cancelled = True
    assert steps.step() == [(1, 512)]
    steps.finish(second)
    assert second.tokens[-3:] == [9, 10, 11]


@pytest.mark.parametrize("saved", [0, 1000], ids=["nothing", "too little"])
def test_where_states_cannot_be_kept_each_prompt_is_computed(saved: int) -> None:
    """A token's state takes two bytes here."""
    steps = uncut(saved=saved)
    tasks = [steps.submit([*range(100, 800), 5], max_tokens=3) for _ in range(3)]
    for task in tasks:
        steps.finish(task)
        assert (task.tokens[701:], task.cached) == ([6, 7, 8], 0)


def test_a_beginning_that_comes_a_second_time_is_saved_for_the_third() -> None:
    steps = uncut()
    system = list(range(100, 500))
    cached = []
    for own in (1, 2, 3):
        task = steps.submit([*system, *[own] * 300], max_tokens=1)
        steps.finish(task)
        cached.append(task.cached)
    assert cached == [0, 0, 400]
    assert saved_lengths(steps) == [400, 576, 576, 576]


def test_a_state_beside_another_one_stays() -> None:
    steps = uncut()
    common = list(range(100, 430))
    for own in (1, 2):
        steps.submit([*common, *[own] * 130], max_tokens=1)
    while steps.scheduler.busy:
        steps.step()
    assert saved_lengths(steps) == [330, 384, 384]
    late = steps.submit([*common, *[3] * 130], max_tokens=1)
    steps.finish(late)
    assert late.cached == 330


@given(
    prompts=st.lists(
        st.tuples(
            st.integers(0, 400),
            st.integers(0, 300),
            st.integers(0, 200),
            st.sampled_from([RANDOM, GREEDY, SEEDED]),
            st.integers(0, 60),
        ),
        min_size=2,
        max_size=10,
    ),
    together=st.booleans(),
    slots=st.integers(1, 4),
    cells=st.integers(1000, 2000),
    saved=st.sampled_from([0, 1000, 1 << 20]),
)
def test_every_answer_is_the_one_it_is_without_sharing(
    prompts: list[tuple[int, int, int, Sampling, int]], together: bool, slots: int, cells: int, saved: int
) -> None:
    """Of prompts that branch off from each other in two places: whatever is taken from others was made of their own
    tokens, and only whole CHUNKs of it go into what is greedy."""
    steps = Steps(slots=slots, cells=cells, context=1000, trims=False, saved=saved)
    tasks, waiting = [], list(prompts)
    while waiting or steps.scheduler.busy:
        while waiting:
            first, second, own, sampling, most = waiting.pop()
            prompt = [*[107] * first, *[108] * second, *[109] * own, 90]
            tasks.append(steps.submit(prompt, most, sampling))
            if not together:
                break
        steps.step()
        assert sum(len(each.state) for each in steps.cache.store.entries()) == steps.cache.store.size <= saved
        assert steps.cache.used == len({cell for slot in steps.cache.slots for cell in slot.cells}) <= cells
        for slot in steps.cache.slots:
            assert slot.tokens == steps.runner.state.get(slot.index, [])
            assert slot.task is None or slot.tokens == slot.task.tokens[: len(slot.tokens)]
    for task in tasks:
        assert task.tokens[task.prompt_tokens :] == [*range(91, 100), 0][: task.limit - task.prompt_tokens]
        assert task.job.sampling is RANDOM or task.cached % CHUNK == 0
