"""The scheduler and what the KV cache holds, step by step over a runner that only counts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.runtime.engine.interface import Job
from bundler.runtime.engine.sequence import CHUNK, common_prefix
from tests.runtime.counting import END, RANDOM, SEEDED, Answer
from tests.runtime.stepping import Steps


def test_a_long_prompt_is_computed_in_pieces_between_the_tokens_of_others() -> None:
    steps = Steps()
    steps.submit([1], max_tokens=100)
    assert steps.step() == [(0, 1)]
    steps.submit([7] * 300)
    assert steps.step() == [(0, 1), (1, 128)]
    assert steps.step() == [(0, 1), (1, 64)]
    assert steps.step() == [(0, 1), (1, 108)]
    assert steps.step() == [(0, 1), (1, 1)]


def test_a_prompt_that_nearly_fits_into_a_step_ends_in_it() -> None:
    steps = Steps(slots=6, context=1024, cells=6144, spare=128)
    for number in range(5):
        steps.submit([number] * 150)
    long = steps.submit([7] * 700)
    assert [count for _, count in steps.step()] == [150, 150, 150, 150]
    assert sorted(steps.step()) == [(4, 150), (5, 320)]
    assert (5, 128) in steps.step()
    assert long.missing == 252


@pytest.mark.parametrize(
    ("length", "counts"),
    [(512, [512]), (513, [448, 65]), (575, [448, 127]), (576, [576]), (640, [640]), (1030, [512, 448, 70])],
)
def test_a_prompt_alone_does_not_end_in_a_few_tokens_computed_by_themselves(length: int, counts: list[int]) -> None:
    steps = Steps(spare=128, ubatch=512)
    steps.submit([7] * length)
    assert [steps.step() for _ in counts] == [[(0, count)] for count in counts]


def test_prompts_that_are_computed_together_are_not_cut_for_that() -> None:
    steps = Steps(slots=4, spare=128, ubatch=512)
    for number in range(4):
        steps.submit([number] * 137)
    assert steps.step() == [(0, 137), (1, 137), (2, 137), (3, 137)]


def test_a_prompt_goes_on_in_the_end_beside_however_many_answers() -> None:
    steps = Steps(slots=66, spare=128, ubatch=128, cells=1 << 15)
    for number in range(65):
        steps.submit([number] * 3)
    while any(task.missing > 1 for task in steps.scheduler.running):
        steps.step(ignore_end=True)
    last = steps.submit([7] * 70)
    for _ in range(6):
        steps.step(ignore_end=True)
    assert last.completion_tokens > 0


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


def test_a_conversation_that_made_room_for_another_is_not_computed_again() -> None:
    steps = Steps(slots=1, saved=1 << 20)
    one, other = list(range(100, 400)), list(range(500, 900))
    steps.finish(steps.submit(one, max_tokens=1))
    steps.finish(steps.submit(other, max_tokens=1))
    again = steps.submit([*one, 7], max_tokens=1)
    assert steps.step() == [(0, 1)]
    assert again.cached == 300
    back = steps.submit([*other, 7], max_tokens=1)
    assert steps.step() == [(0, 1)]
    assert back.cached == 400


def test_what_is_saved_stays_within_its_limit_and_the_oldest_goes_first() -> None:
    steps = Steps(slots=1, saved=1600)
    prompts = [[start] * 300 for start in (100, 200, 300, 400)]
    for prompt in prompts:
        steps.finish(steps.submit(prompt, max_tokens=1))
    assert [saved.tokens[0] for saved in steps.cache.store.entries()] == [200, 300]
    assert steps.cache.store.size == 1200


def test_a_state_that_is_taken_does_not_make_room_for_what_is_saved_then() -> None:
    steps = Steps(slots=1, saved=1600)
    for first in (100, 200, 300, 100):
        steps.finish(steps.submit([first] * 300, max_tokens=1))
    store = steps.cache.store
    assert [saved.tokens[0] for saved in store.entries()] == [100, 300]
    assert store.size == sum(len(saved.state) for saved in store.entries()) == 1200


def test_a_beginning_in_use_is_shared_and_takes_no_further_cells() -> None:
    steps = Steps(slots=3, cells=1000, context=900)
    common = list(range(100, 600))
    busy = steps.submit([*common, 7], max_tokens=100)
    steps.step()
    sharing = steps.submit([*common, 8], max_tokens=100)
    assert steps.step() == [(0, 1), (1, 1)]
    assert sharing.cached == 500
    assert steps.cache.used == 503
    steps.finish(busy)
    steps.finish(sharing)


def test_prompts_that_begin_alike_and_come_together_compute_it_once() -> None:
    steps = Steps(slots=4, cells=4096)
    common = list(range(100, 900))
    tasks = [steps.submit([*common, 5, last], max_tokens=3) for last in (10, 20, 30, 40)]
    assert steps.step() == [(0, 512)]
    assert steps.step() == [(0, 290)]
    assert steps.step() == [(0, 1), (1, 1), (2, 1), (3, 1)]
    for task in tasks:
        steps.finish(task)
    assert [task.tokens[-3:] for task in tasks] == [[11, 12, 13], [21, 22, 23], [31, 32, 33], [41, 42, 43]]
    assert [task.cached for task in tasks] == [0, 801, 801, 801]


def test_whoever_waits_for_a_beginning_computes_it_where_that_job_is_cancelled() -> None:
    steps = Steps(slots=2)
    common = list(range(100, 900))
    first = steps.submit([*common, 7], max_tokens=3)
    second = steps.submit([*common, 8], max_tokens=3)
    assert steps.step() == [(0, 512)]
    first.cancelled = True
    assert steps.step() == [(1, 289)]
    steps.finish(second)
    assert second.tokens[-3:] == [9, 10, 11]


def test_another_conversation_with_the_same_system_prompt_leaves_the_first_one_in_the_cache() -> None:
    steps = Steps(slots=3)
    system, one, other = [7] * 200, list(range(100, 500)), list(range(500, 900))
    steps.finish(steps.submit([*system, *one], max_tokens=1))
    second = steps.submit([*system, *other], max_tokens=1)
    steps.finish(second)
    assert second.cached == 200
    again = steps.submit([*system, *one, 9], max_tokens=1)
    steps.finish(again)
    assert again.cached == 600


def test_old_state_makes_room_for_new_prompts() -> None:
    steps = Steps(slots=3, cells=300, context=200)
    steps.finish(steps.submit([7] * 150, max_tokens=1))
    steps.finish(steps.submit([8] * 100, max_tokens=1))
    steps.finish(steps.submit([9] * 120, max_tokens=1))
    assert sorted(len(steps.runner.state[slot]) for slot in range(3)) == [0, 100, 120]


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
    saved=st.sampled_from([0, 1000, 1 << 20]),
    trims=st.booleans(),
)
def test_every_job_ends_with_its_own_tokens(
    prompts: list[tuple[int, int, bool, int]], slots: int, cells: int, saved: int, trims: bool
) -> None:
    """Whatever comes: no cell is used twice, no token is lost, every task ends."""
    steps = Steps(slots=slots, cells=cells, context=1000, saved=saved, trims=trims)
    waiting = list(prompts)
    tasks = []
    while waiting or steps.scheduler.busy:
        if waiting:
            length, most, seeded, last = waiting.pop()
            prompt = [*[7] * (length - 1), last]
            tasks.append((last, steps.submit(prompt, most, SEEDED if seeded else RANDOM)))
        steps.step()
        assert steps.cache.used == len({cell for slot in steps.cache.slots for cell in slot.cells}) <= cells
        assert {slot.index: slot.tokens for slot in steps.cache.slots if slot.tokens} == {
            index: tokens for index, tokens in steps.runner.state.items() if tokens
        }
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


@given(st.lists(st.integers(0, 2)), st.lists(st.integers(0, 2)))
def test_a_common_beginning_is_found_to_the_token(one: list[int], other: list[int]) -> None:
    length = common_prefix(one, other)
    assert one[:length] == other[:length]
    assert length in (len(one), len(other)) or one[length] != other[length]


def test_short_prompts_that_keep_coming_do_not_starve_a_long_one() -> None:
    steps = Steps(slots=4, cells=8192)
    steps.submit([1], max_tokens=1000)
    long = steps.submit([7] * 900, max_tokens=1)
    for first in range(200, 300):
        while len(steps.scheduler.waiting) < 3:
            steps.submit([first, len(steps.scheduler.waiting), *[8] * 126], max_tokens=1)
        steps.step(ignore_end=True)
        if long.reason:
            break
    assert long.reason == "length"


def test_a_job_that_needs_much_room_gets_it_before_those_that_came_later() -> None:
    steps = Steps(slots=4, cells=1000, context=1000)
    steps.submit([1] * 300, max_tokens=40)
    large = steps.submit([2] * 900, max_tokens=1)
    later = [steps.submit([3 + index] * 200, max_tokens=1) for index in range(5)]
    while large.reason is None:
        steps.step()
        assert not any(task.reason for task in later)
    for task in later:
        steps.finish(task)


def test_a_full_context_shifts_and_goes_on() -> None:
    steps = Steps(slots=1, cells=64, context=64)
    task = steps.submit_shifting(list(range(30)), keep=4, max_tokens=60)
    steps.finish(task)
    assert steps.runner.shifted == [(0, 4, 30)]
    assert (task.reason, task.completion_tokens, task.dropped) == ("length", 60, 30)
    assert task.tokens == [0, 1, 2, 3, *range(34, 90)]


@pytest.mark.parametrize(
    ("keep", "kept"), [(0, 0), (10, 10), (-1, 30), (64, 60), (1000, 60)], ids=["none", "some", "prompt", "all", "more"]
)
def test_a_shift_keeps_what_it_is_told_to(keep: int, kept: int) -> None:
    steps = Steps(slots=1, cells=64, context=64)
    task = steps.submit_shifting(list(range(100, 130)), keep=keep, max_tokens=35)
    while not task.dropped:
        steps.step(ignore_end=True)
    assert steps.runner.shifted == [(0, kept, (64 - kept) // 2)]
    assert task.tokens[: min(kept, 30)] == list(range(100, 130))[:kept]


def test_a_shifting_answer_without_a_limit_ends_after_ten_contexts() -> None:
    steps = Steps(slots=1, cells=64, context=64)
    task = steps.submit_shifting([1, 2, 3])
    while task.reason is None:
        steps.step(ignore_end=True)
    assert (task.reason, task.prompt_tokens + task.completion_tokens) == ("length", 640)


@pytest.mark.parametrize("trims", [True, False], ids=["attention", "recurrent"])
def test_where_the_device_cannot_shift_the_rest_is_computed_again(trims: bool) -> None:
    steps = Steps(slots=1, cells=64, context=64, trims=trims, shifts=False)
    task = steps.submit_shifting(list(range(30)), keep=4, max_tokens=60)
    steps.finish(task)
    assert task.tokens == [0, 1, 2, 3, *range(34, 90)]
    assert [count for batch in steps.runner.batches for count in batch if count > 1] == [30, 30 if trims else 34]


def test_state_that_was_shifted_is_taken_by_nobody_and_what_was_kept_is() -> None:
    steps = Steps(slots=2, cells=256, context=128, saved=1 << 20)
    task = steps.submit_shifting([*range(100, 190), 10], keep=70, max_tokens=60)
    steps.finish(task)
    assert task.dropped == 29
    again = steps.submit(task.tokens[:-1], max_tokens=1)
    steps.finish(again)
    assert again.cached == 70
    steps.cache.forget()
    assert not any(saved.tokens[70:] == task.tokens[70 : len(saved.tokens)] for saved in steps.cache.store.entries())


def test_what_another_answer_is_made_with_does_not_move() -> None:
    steps = Steps(slots=2, cells=256, context=96)
    prompt = list(range(100, 180))
    beside = steps.submit([*prompt, 0], max_tokens=12)
    steps.step()
    task = steps.submit_shifting([*prompt, *range(500, 507), 10], max_tokens=30)
    steps.step()
    assert (task.cached, steps.cache.used) == (80, 90)
    while not task.dropped:
        steps.step()
    assert steps.runner.shifted == []
    steps.finish(beside)
    steps.finish(task)
    assert beside.tokens[81:] == list(range(1, 13))
    assert task.tokens[-30:] == list(range(11, 41))


def test_a_conversation_at_rest_gives_way_to_a_shift() -> None:
    steps = Steps(slots=2, cells=256, context=96)
    prompt = list(range(100, 180))
    steps.finish(steps.submit([*prompt, 0, 1], max_tokens=12))
    task = steps.submit_shifting([*prompt, 10], max_tokens=30)
    steps.finish(task)
    assert len(steps.runner.shifted) == 1
    assert task.tokens[-30:] == list(range(11, 41))


@given(
    jobs=st.lists(
        st.tuples(st.integers(1, 90), st.integers(0, 150), st.integers(-1, 100), st.booleans(), st.integers(0, 30)),
        min_size=1,
        max_size=4,
    ),
    slots=st.integers(1, 3),
    cells=st.integers(100, 300),
    saved=st.sampled_from([0, 1 << 20]),
    trims=st.booleans(),
    shifts=st.booleans(),
    beginning=st.integers(0, 99),
)
@settings(max_examples=50)
def test_every_shifting_job_ends_with_its_own_tokens(
    jobs: list[tuple[int, int, int, bool, int]],
    slots: int,
    cells: int,
    saved: int,
    trims: bool,
    shifts: bool,
    beginning: int,
) -> None:
    """Whatever comes, and whatever the device can do: every answer goes on from its last token."""
    steps = Steps(
        slots=slots,
        cells=cells,
        context=100,
        saved=saved,
        trims=trims,
        shifts=shifts,
        beginning=[107] * beginning,
    )
    waiting, tasks = list(jobs), []
    while waiting or steps.scheduler.busy:
        if waiting:
            length, most, keep, shift, last = waiting.pop()
            prompt = [*[107] * (length - 1), last]
            work = Job(prompt=prompt, keep=keep, max_tokens=most, shift=shift, on_tokens=Answer().take)
            tasks.append((last, most, steps.scheduler.submit(work)))
        steps.step(ignore_end=True)
        assert steps.cache.used == len({cell for slot in steps.cache.slots for cell in slot.cells}) <= cells
        for slot in steps.cache.slots:
            assert slot.tokens == steps.runner.state.get(slot.index, [])
            assert len(slot.tokens) == len(slot.cells) <= 100
    for last, most, task in tasks:
        expected = (list(range(last + 1, 100)) + list(range(100)) * 3)[: task.completion_tokens]
        wanted = most if task.job.shift else min(most, 100 - task.prompt_tokens)
        assert (task.reason, task.completion_tokens) == ("length", wanted)
        tail = min(task.completion_tokens, len(task.tokens) - (task.keep if task.dropped else task.prompt_tokens))
        assert task.tokens[len(task.tokens) - tail :] == expected[len(expected) - tail :]


def test_a_beginning_that_never_comes_is_computed_only_as_far_as_there_is_room() -> None:
    """Of three prompts the first is cancelled; the third takes its slot, and with it what the second waited for."""
    steps = Steps(batch=768, cells=815, context=812)
    first, second = steps.submit([7] * 800, max_tokens=1), steps.submit([*[7] * 800, *[8] * 10], max_tokens=1)
    assert steps.step() == [(0, 704)]
    first.cancelled = True
    third = steps.submit([*[7] * 100, *[9] * 400], max_tokens=1)
    while steps.scheduler.busy:
        steps.step()
        assert steps.cache.used <= steps.cache.cells
    assert (second.tokens[-1], third.tokens[-1]) == (9, 10)
