"""How weights are fetched from the file, and how long a context memory allows."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from bundler.errors import BundleError
from bundler.formats.weights import attends_to_all
from bundler.runtime import memory, tuning, weights
from bundler.runtime.engine.interface import CacheType, WeightsRange
from bundler.runtime.machine import Memory
from tests import kinds
from tests.formats import ggufs

MIB = 1 << 20
GIB = 1 << 30


def in_file(size: int, offset: int = 0, descriptor: int = -1) -> WeightsRange:
    return WeightsRange(descriptor=descriptor, offset=offset, size=size)


@pytest.mark.parametrize(
    ("size", "file", "mode"),
    [
        (800 * MIB, 830 * MIB, "mapped"),
        (5 * MIB, 35 * MIB, "mapped"),
        (80 * MIB, 3 * GIB, "read"),
        (8 * GIB, 8 * GIB + 700 * MIB, "mapped"),
        (4 * GIB, 8 * GIB, "read"),
    ],
)
def test_the_whole_file_is_mapped_only_where_it_is_the_model(size: int, file: int, mode: str) -> None:
    assert weights.load_mode(in_file(size), file).mode == mode


def test_reading_says_why() -> None:
    assert weights.load_mode(in_file(80 * MIB), 3 * GIB).reason == (
        "the model is only 2 % of the file, and mapping would fetch the rest too"
    )


@pytest.mark.parametrize(
    ("asked", "free", "mode", "copied", "reason"),
    [
        ("mmap", 2 * GIB, "mapped", True, "as asked"),
        ("read", 2 * GIB, "read", True, "as asked"),
        (None, 2 * GIB, "mapped", True, "the model is most of the file, so its pages are shared with the page cache"),
        ("read", 700 * MIB, "read", True, "as asked"),
        (
            None,
            700 * MIB,
            "mapped",
            False,
            "800 MiB of weights do not fit into 700 MiB of free memory, so they stay in the file",
        ),
    ],
)
def test_weights_stay_in_the_file_where_memory_does_not_hold_them(
    asked: Literal["mmap", "read"] | None, free: int, mode: str, copied: bool, reason: str
) -> None:
    found = weights.load_mode(in_file(800 * MIB), 830 * MIB, free=free, asked=asked)
    assert (found.mode, found.copied, found.reason) == (mode, copied, reason)


@pytest.mark.parametrize(
    ("available", "hint"),
    [(GIB, "--ctx-size 30720 fits"), (64 * MIB, "close other programs, or use a smaller model")],
)
def test_a_context_that_does_not_fit_is_refused_with_numbers(available: int, hint: str) -> None:
    free = Memory(available, 2 * GIB, "limited by the control group")
    memory.require(16384 if available == GIB else 0, 32768, Memory(GIB, GIB, ""))
    with pytest.raises(BundleError) as caught:
        memory.require(131072, 32768, free)
    left = "1.0 GiB" if available == GIB else "64 MiB"
    assert caught.value.message == (
        f"failed to make room for a context of 131,072 tokens: it takes 4.0 GiB, and {left} are free beside the "
        "weights (limited by the control group)"
    )
    assert caught.value.hint == hint


def test_smaller_types_make_smaller_cells() -> None:
    facts = {"general.architecture": "llama", "llama.attention.head_count_kv": "8"}
    kinds: list[tuple[CacheType, CacheType]] = [("f16", "f16"), ("q8_0", "f16"), ("q8_0", "q4_0"), ("f32", "bf16")]
    sizes = [
        memory.cell_size(facts.get, 16, 32, 2048, tuning.value_bytes(key), tuning.value_bytes(value))
        for key, value in kinds
    ]
    assert sizes == [32768, 25088, 13312, 49152]


def test_prefetching_reads_the_range_and_tells_how_far_it_is(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(bytes(10 * MIB))
    told: list[float] = []
    with path.open("rb") as file:
        source = in_file(9 * MIB, MIB, file.fileno())
        weights.prefetch(source, told.append)
        assert weights.is_cached(source)
        assert file.tell() == 0
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_a_file_that_ends_early_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(bytes(MIB))
    with path.open("rb") as file, pytest.raises(OSError, match="the file ends before the model does"):
        weights.prefetch(in_file(2 * MIB, 0, file.fileno()), lambda done: None)


def plan(
    *,
    asked_context: int | None = None,
    asked_parallel: int | None = None,
    trained: int = 131072,
    cell: int = 32768,
    free: int = 16 * GIB,
    weights: int = GIB,
) -> memory.ContextPlan:
    return memory.plan(
        asked_context=asked_context,
        asked_parallel=asked_parallel,
        trained=trained,
        cell=cell,
        free=free,
        weights=weights,
    )


def test_with_plenty_of_memory_the_defaults_hold() -> None:
    found = plan()
    assert (found.context_length, found.context_reason) == (4096, "the default")
    assert (found.parallel, found.parallel_reason) == (4, "the default")
    assert (found.cells, found.size) == (4096, 4096 * 32768)


def test_a_small_model_gets_room_for_several_whole_contexts() -> None:
    assert plan(cell=1024).cells == 16384


@pytest.mark.parametrize(
    ("free", "context", "asked", "expected"),
    [
        (16 * GIB, 128 * MIB, None, (512 * MIB, "the default")),
        (16 * GIB, 6 * MIB, None, (64 * MIB, "the default")),
        (32 * GIB, GIB, None, (2 * GIB, "as far as memory goes")),
        (GIB, 128 * MIB, None, (128 * MIB, "as far as memory goes")),
        (GIB, 128 * MIB, 0, (0, "as asked")),
        (32 * GIB, None, None, (2 * GIB, "the default")),
        (4 * GIB, None, None, (512 * MIB, "as far as memory goes")),
        (GIB, None, 16 * MIB, (16 * MIB, "as asked")),
    ],
)
def test_conversations_outside_of_the_cache_take_no_more_than_some_full_contexts(
    free: int, context: int | None, asked: int | None, expected: tuple[int, str]
) -> None:
    assert memory.saved_limit(free, context, asked) == expected


@pytest.mark.parametrize("kind", kinds.KINDS.values(), ids=kinds.KINDS)
def test_a_file_says_whether_its_model_attends_to_all_tokens(kind: kinds.Kind) -> None:
    keys = {f"{kind.architecture}.{key}": value for key, value in kind.keys.items()}
    header = ggufs.header(ggufs.build({"general.architecture": kind.architecture, **keys}))
    assert attends_to_all(header) == kind.whole


@pytest.mark.parametrize(
    ("architecture", "window", "whole"),
    [("phi3", 2047, True), ("gpt-oss", 0, True), ("gpt-oss", 128, False), ("llama4", 0, False)],
)
def test_a_window_counts_where_llama_cpp_uses_it(architecture: str, window: int, whole: bool) -> None:
    fields = {"general.architecture": architecture, f"{architecture}.attention.sliding_window": window}
    assert attends_to_all(ggufs.header(ggufs.build(fields))) == whole


def test_a_short_trained_context_is_used_whole() -> None:
    found = plan(trained=2048)
    assert (found.context_length, found.context_reason) == (2048, "all that the model was trained with")


def test_what_is_asked_for_is_given() -> None:
    found = plan(asked_context=32768, asked_parallel=2)
    assert (found.context_length, found.context_reason, found.parallel) == (32768, "as asked", 2)
    assert found.cells == 65536


def test_more_than_trained_is_given_with_a_word() -> None:
    assert plan(asked_context=8192, trained=4096).context_reason == "as asked, though the model was trained with 4096"


def test_tight_memory_takes_sequences_first_then_length() -> None:
    fewer = plan(free=GIB + 900 * MIB)
    assert (fewer.context_length, fewer.parallel, fewer.parallel_reason) == (4096, 2, "as far as memory goes")
    shorter = plan(free=GIB + 320 * MIB)
    assert (shorter.context_length, shorter.parallel) == (1024, 1)
    assert shorter.context_reason == "fitted to memory (1.3 GiB free, 1.0 GiB for the weights)"


def test_no_memory_left_still_tries_a_small_context() -> None:
    found = plan(free=100 * MIB)
    assert (found.context_length, found.parallel, found.cells) == (512, 1, 512)


@pytest.mark.parametrize(
    ("metadata", "size"),
    [
        ({"llama.attention.head_count_kv": "8"}, 16 * 8 * (64 + 64) * 2),
        ({}, 16 * 32 * (64 + 64) * 2),
        ({"llama.attention.head_count_kv": "[8, 0, 4]"}, 12 * (64 + 64) * 2),
        (
            {
                "llama.attention.head_count_kv": "8",
                "llama.attention.key_length": "128",
                "llama.attention.value_length": "96",
            },
            16 * 8 * (128 + 96) * 2,
        ),
        ({"llama.attention.kv_lora_rank": "512", "llama.rope.dimension_count": "64"}, 16 * (512 + 64) * 2),
    ],
    ids=["grouped", "every head", "by layer", "own widths", "latent"],
)
def test_the_size_of_a_cell_follows_from_the_metadata(metadata: dict[str, str], size: int) -> None:
    facts = {"general.architecture": "llama", **metadata}
    assert memory.cell_size(facts.get, layers=16, heads=32, embedding=2048) == size
