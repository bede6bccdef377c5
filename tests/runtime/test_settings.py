"""What can be asked for at a start: how it is written, and what becomes of it."""

from __future__ import annotations

import math

import pytest

from bundler.errors import BundleError
from bundler.runtime import arguments, durations
from bundler.runtime.defaults import Defaults
from bundler.runtime.engine.interface import LoadOptions
from bundler.runtime.settings import SERVING, ServeSettings, UsageError, from_environment, serve_settings
from bundler.runtime.tuning import tune


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("0", 0), ("300", 300), ("1.5", 1.5), ("5m", 300), ("1h30m", 5400), ("90s", 90), ("1.5h", 5400),
        ("250ms", 0.25), ("+10s", 10), (".5s", 0.5), ("1h0.5s", 3600.5), ("3us", 3e-6),
        ("3µs", 3e-6), ("7ns", 7e-9), (" 5m ", 300), ("-1", math.inf), ("-5m", math.inf), ("-0", 0), ("0s", 0),
    ],
)  # fmt: skip
def test_lengths_of_time_are_read_as_go_reads_them(text: str, length: float) -> None:
    assert durations.seconds(text) == pytest.approx(length)


@pytest.mark.parametrize("text", ["", "m", "5 m", "5x", "5m3", "1e3", "٣", "--1", "inf", "5m-3s", ".", "1" * 100])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(ValueError, match="is no length of time"):
        durations.seconds(text)


@pytest.mark.parametrize(
    ("length", "words"), [(0, "0s"), (300, "5m"), (5400, "1h30m"), (0.25, "0.25s"), (math.inf, "for ever")]
)
def test_lengths_of_time_for_people(length: float, words: str) -> None:
    assert durations.words(length) == words


def settings(*given: str, **variables: str) -> ServeSettings:
    values = arguments.parse("model", "serve", given, SERVING)
    return serve_settings({**from_environment(SERVING, variables), **values})


def test_every_setting_can_be_given_by_option_and_by_variable() -> None:
    words = {
        "ctx-size": "512", "parallel": "2", "threads": "1", "threads-batch": "2", "batch-size": "256",
        "ubatch-size": "128", "cache-type-k": "q8_0", "cache-type-v": "bf16", "flash-attn": "on", "load-mode": "read",
        "cache-ram": "256", "max-queue": "7", "keep-alive": "5m", "request-timeout": "1h",
    }  # fmt: skip
    options = [part for name, word in words.items() for part in (f"--{name}", word)]
    variables = {f"BUNDLE_{name.upper().replace('-', '_')}": word for name, word in words.items()}
    found = settings(*options, "--context-shift")
    assert found == settings(**variables, BUNDLE_CONTEXT_SHIFT="1")
    assert (found.life.keep_alive, found.life.request_timeout, found.life.context_shift) == (300, 3600, True)
    assert found.load.options(Defaults()) == LoadOptions(
        context_length=512, parallel=2, threads=1, threads_batch=2, batch=256, ubatch=128, key_type="q8_0",
        value_type="bf16", flash_attention="on", saved=256 << 20, load_mode="read", queue=7,
    )  # fmt: skip


def test_the_modelfile_holds_where_nothing_is_asked_for() -> None:
    defaults = Defaults(batch=100, load_mode="read")
    assert settings().load.options(defaults) == LoadOptions(batch=128, load_mode="read")
    asked = settings("--batch-size", "64", "--load-mode", "auto").load.options(defaults)
    assert asked == LoadOptions(batch=64)


@pytest.mark.parametrize(
    ("option", "value", "cause"),
    [
        ("--batch-size", "100", "100 is no multiple of 64"),
        ("--ubatch-size", "32", "32 is not between 64 and 16384"),
        ("--cache-type-k", "q2_k", "'q2_k' is none of f16, f32, bf16, q8_0, q4_0, q4_1, iq4_nl, q5_0, q5_1"),
        ("--flash-attn", "1", "'1' is none of on, off, auto"),
        ("--load-mode", "mlock", "'mlock' is none of auto, mmap, read"),
        ("--keep-alive", "soon", "'soon' is no length of time; give seconds, or one like 5m or 1h30m"),
        ("--request-timeout", "0", "no request can be answered in no time at all; leave it out for no limit"),
    ],
)
def test_wrong_values_are_refused_with_the_right_ones(option: str, value: str, cause: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings(option, value)
    assert caught.value.message == f"argument {option}: {cause}"


def test_what_is_computed_with_comes_with_a_reason() -> None:
    usual = tune(LoadOptions())
    assert (usual.batch, usual.batch_reason, usual.ubatch, usual.ubatch_reason) == (
        512,
        "the default; up to 128 more where they end a prompt",
        512,
        "a whole batch",
    )
    small = tune(LoadOptions(), weights=80 << 20)
    assert (small.batch, small.batch_reason, small.ubatch, small.ubatch_reason) == (
        1024,
        "the model is small; up to 128 more where they end a prompt",
        512,
        "the default",
    )
    assert (usual.key_type, usual.value_type, usual.flash_attention) == ("f16", "f16", "auto")
    asked = tune(LoadOptions(batch=128, ubatch=256, key_type="q8_0", flash_attention="on"))
    assert (asked.batch, asked.batch_reason, asked.ubatch, asked.ubatch_reason) == (
        128,
        "as asked",
        128,
        "a whole batch",
    )
    assert (asked.cache_reason, asked.flash_reason) == ("as asked", "as asked")


def test_small_values_without_flash_attention_are_refused() -> None:
    with pytest.raises(BundleError) as caught:
        tune(LoadOptions(value_type="q8_0", flash_attention="off"))
    assert caught.value.message == (
        "failed to make a KV cache of q8_0 values: llama.cpp computes with them by flash attention only"
    )
