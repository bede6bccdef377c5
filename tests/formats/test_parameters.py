"""PARAMETER values: what Go takes as a number or a truth value is taken, and nothing else."""

from __future__ import annotations

import pytest

from bundler.formats.parameters import convert


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1e3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("+1.e-1", 0.1),
        ("-0", 0.0),
        ("1_0", 10.0),
        ("1e+1_0", 1e10),
        ("1e-60", 1e-60),
        ("3.4028235e38", 3.4028235e38),
        ("0x1p-2", 0.25),
        ("0X_1_0.8P+1", 33.0),
        ("0x.8p1", 1.0),
        ("0x0p999999999999", 0.0),
    ],
)
def test_numbers(text: str, number: float) -> None:
    assert convert("temperature", text) == number


@pytest.mark.parametrize(
    "text",
    [
        *("inf", "-Infinity", "nan", "1__0", "_1", "1_", "1_.0", "1e", ".", "0x1", "0x_p1", "0x1_p1", "0x1p128"),
        *("3.5e38", "1e39", "1e999", "", "１", "1" * 401, "1 ", "1f", "0b1p1", "--1"),
    ],
)
def test_numbers_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="temperature needs a number"):
        convert("temperature", text)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("+4096", 4096),
        ("-1", -1),
        ("007", 7),
        ("0" * 50 + "5", 5),
        ("9223372036854775807", (1 << 63) - 1),
        ("-9223372036854775808", -(1 << 63)),
    ],
)
def test_whole_numbers(text: str, number: int) -> None:
    assert convert("num_ctx", text) == number


@pytest.mark.parametrize(
    "text", ["1.0", "1_0", "0x10", "1e3", "9223372036854775808", "9" * 5000, "", "１", "--1", " 1", "true"]
)
def test_whole_numbers_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="num_ctx needs a whole number"):
        convert("num_ctx", text)


@pytest.mark.parametrize("text", ["1", "t", "T", "true", "TRUE", "True"])
def test_true(text: str) -> None:
    assert convert("use_mmap", text) is True


@pytest.mark.parametrize("text", ["0", "f", "F", "false", "FALSE", "False"])
def test_false(text: str) -> None:
    assert convert("use_mmap", text) is False


@pytest.mark.parametrize("text", ["tRUE", "yes", "on", "", "2", "null"])
def test_neither_true_nor_false(text: str) -> None:
    with pytest.raises(ValueError, match=f'use_mmap needs true or false, and "{text}" is neither'):
        convert("use_mmap", text)


def test_a_long_text_is_shown_in_part() -> None:
    with pytest.raises(ValueError, match=r'and "x{60}…" is none'):
        convert("seed", "x" * 100000)
