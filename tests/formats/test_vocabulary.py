"""Which tokens of a vocabulary count as control tokens, and which sampling settings a GGUF recommends."""

from __future__ import annotations

import pytest

from bundler.formats import gguf, vocabulary, weights
from bundler.formats.gguf import GgufError
from bundler.formats.source import FileSource
from tests import sources
from tests.formats.ggufs import build, header

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6


@pytest.mark.parametrize(
    ("name", "tokens", "types", "expected"),
    [
        ("by type", ["<unk>", "<s>", "a", "<0x0A>"], [UNKNOWN, CONTROL, NORMAL, BYTE], ["<unk>", "<s>"]),
        ("by name", ["</s>", "<|im_end|>", "<fim_prefix>"], [NORMAL] * 3, ["</s>", "<|im_end|>", "<fim_prefix>"]),
        ("by name without types", ["a", "<|eot_id|>"], None, ["<|eot_id|>"]),
        (
            "user-defined ones by their looks",
            ["<think>", "<|turn|>", "<tool|>", "<|tool>", "<｜User｜>", "\n\n", "<|"],
            [USER_DEFINED] * 7,
            ["<|turn|>", "<tool|>", "<|tool>", "<｜User｜>"],
        ),
        ("unused ones are text", ["<|x|>"], [UNUSED], []),
        ("an empty one as llama.cpp names it", ["a", ""], [NORMAL, CONTROL], ["[EMPTY_1]"]),
        ("each once", ["<s>", "<s>"], [CONTROL, CONTROL], ["<s>"]),
        ("fewer types than tokens", ["a", "<x>", "</s>"], [NORMAL], ["</s>"]),
        ("HTML beside another end", ["</s>", "<|tool_response>"], [NORMAL, CONTROL], ["<|tool_response>"]),
        ("none at all", [], None, []),
    ],
)
def test_control_tokens(name: str, tokens: list[str], types: list[int] | None, expected: list[str]) -> None:
    fields: dict[str, object] = {"tokenizer.ggml.tokens": tokens}
    if types is not None:
        fields["tokenizer.ggml.token_type"] = types
    assert vocabulary.control_tokens(header(build(fields))) == expected, name


@pytest.mark.parametrize(
    ("name", "tokens", "named", "expected"),
    [
        ("by name", ["a", "<|im_end|>", "<|im_start|>"], {}, {"<|im_end|>"}),
        ("as the file says", ["a", "<x>", "<y>"], {"eos": 1, "eot": 2}, {"<x>", "<y>"}),
        ("no such token", ["a"], {"eos": 9, "eom": 0}, {"a"}),
        ("messages of harmony", ["<|end|>", "<|return|>", "<|call|>"], {"eos": 1}, {"<|return|>", "<|call|>"}),
        ("messages of Phi", ["<|end|>", "<|endoftext|>"], {"eos": 1}, {"<|end|>", "<|endoftext|>"}),
        ("none", ["a"], {}, set()),
    ],
)
def test_tokens_that_end_an_answer(name: str, tokens: list[str], named: dict[str, int], expected: set[str]) -> None:
    read = header(
        build(
            {"tokenizer.ggml.tokens": tokens, **{f"tokenizer.ggml.{kind}_token_id": at for kind, at in named.items()}}
        )
    )
    assert vocabulary.end_tokens(read, vocabulary.control_tokens(read)) == expected, name


@pytest.mark.parametrize(("limit", "value"), [("MAX_TOKENS", 1), ("MAX_LENGTH", 5)])
def test_more_control_tokens_than_any_vocabulary_has(limit: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, limit, value)
    assert vocabulary.control_tokens(header(build({"tokenizer.ggml.tokens": ["</s>"]}))) == ["</s>"]
    with pytest.raises(GgufError) as caught:
        vocabulary.control_tokens(header(build({"tokenizer.ggml.tokens": ["</s>", "<eos>"]})))
    assert str(caught.value) == (
        "failed to read GGUF m.gguf: it has more than 131072 control tokens, or 4194304 characters in them"
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("llama-spm", ["<unk>", "<s>", "</s>"]),
        ("qwen2", ["</s>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"]),
        ("deepseek-coder", ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜fim▁hole｜>"]),
    ],
)
def test_real_vocabularies(name: str, expected: list[str]) -> None:
    path = sources.models() / f"ggml-vocab-{name}.gguf"
    with path.open("rb") as file:
        found = vocabulary.control_tokens(gguf.read_header(FileSource(file.fileno()), name))
    assert found[: len(expected)] == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        (
            {"temp": 0.6, "top_k": 20, "top_p": 0.95, "min_p": 0.0, "penalty_last_n": 64, "penalty_repeat": 1.05},
            {
                "temperature": 0.6,
                "top_k": 20,
                "top_p": 0.95,
                "min_p": 0.0,
                "repeat_last_n": 64,
                "repeat_penalty": 1.05,
            },
        ),
        ({"temp": 1, "top_k": 40.0}, {"temperature": 1.0, "top_k": 40}),
        ({"sequence": "top_k;temperature"}, {"samplers": ["top_k", "temperature"]}),
        ({"mirostat": 2, "mirostat_tau": 4.5}, {"mirostat": 2, "mirostat_tau": 4.5}),
        ({"temp": float("nan"), "top_k": "many", "top_p": True, "min_p": 3e38, "mirostat": 7}, {}),
    ],
)
def test_recommended_sampling(fields: dict[str, object], expected: dict[str, float]) -> None:
    found = weights.sampling(header(build({f"general.sampling.{key}": said for key, said in fields.items()})))
    assert found == expected
    assert {key: type(value) for key, value in found.items()} == {key: type(value) for key, value in expected.items()}
