"""GGUF headers: what is read, and one clear error for whatever is wrong with them."""

from __future__ import annotations

import struct
import tracemalloc
from contextlib import suppress
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler.errors import BundleError
from bundler.formats import gguf, weights
from bundler.formats.gguf import GgufError, Header, Tensor, check_complete, read_header
from bundler.formats.source import BytesSource
from tests import models, sources
from tests.formats.ggufs import ARRAY, FIELDS, STRING, TOKENS, build, header, string, tensor, value

MODEL = build(
    FIELDS,
    [tensor("a.weight", (256, 2), 12, 0), tensor("b.weight", (3,), 0, 288)],
    bytes(288 + 12),
)


@pytest.mark.parametrize("offset", [0, 1, 65536])
def test_a_model_is_described(offset: int) -> None:
    found = header(bytes(offset) + MODEL + b"what follows", offset, len(MODEL))
    assert found.version == 3
    assert found.size == len(MODEL)
    assert found.tensors == (Tensor("a.weight", (256, 2), 12, 0, 288), Tensor("b.weight", (3,), 0, 288, 12))
    assert found.data_offset % 32 == 0
    assert found.expected_size == len(MODEL)
    check_complete(found)
    assert weights.architecture(found) == "llama"
    assert weights.kind(found) == "model"
    assert weights.name(found) == "Tiny ä"
    assert weights.quantization(found) == "Q4_K_M"
    assert weights.parameters(found) == 515
    assert weights.context_length(found) == 4096
    assert weights.vocabulary(found) == len(TOKENS)
    assert weights.chat_template(found) == "{{ messages }}"
    assert weights.chat_template_names(found) == ["tool_use"]
    assert weights.named_chat_template(found, "tool_use") == "{{ tools }}"
    assert (weights.bos_token(found), weights.eos_token(found)) == ("<s>", "</s>")
    assert weights.eot_token(found) == "a" * 100
    assert weights.add_bos(found) is False
    assert found.scalar("llama.rope.freq_base") == 0.5


def test_single_tokens_are_found_without_reading_them_all() -> None:
    found = header(MODEL)
    assert [found.element("tokenizer.ggml.tokens", index) for index in range(len(TOKENS))] == TOKENS
    assert found.element("tokenizer.ggml.tokens", len(TOKENS)) is None
    assert found.element("tokenizer.ggml.tokens", -1) is None
    assert found.element("tokenizer.ggml.token_type", 0) is None
    assert found.element("general.name", 0) is None


def test_whole_arrays() -> None:
    found = header(MODEL)
    assert list(found.strings("tokenizer.ggml.tokens")) == TOKENS
    assert found.integers("tokenizer.ggml.token_type") == tuple(range(1000))
    for missing in ("general.name", "tokenizer.ggml.eot_token_id", "missing"):
        assert list(found.strings(missing)) == []
        assert found.integers(missing) == ()
    assert list(found.strings("tokenizer.ggml.token_type")) == []
    assert found.integers("tokenizer.ggml.tokens") == ()


def test_an_array_of_more_numbers_than_any_vocabulary_has(monkeypatch: pytest.MonkeyPatch) -> None:
    found = header(MODEL)
    monkeypatch.setattr(gguf, "MAX_ARRAY_STRINGS", 999)
    with pytest.raises(GgufError, match=r"token_type has 1000 numbers, more than 999"):
        found.integers("tokenizer.ggml.token_type")


@pytest.mark.parametrize("offset", [0, 7])
def test_the_same_metadata_without_tensors(offset: int) -> None:
    found = header(bytes(offset) + MODEL, offset)
    bare = header(b"".join(found.without_tensors()))
    assert (bare.tensors, bare.fields, bare.size) == ((), found.fields, found.fields_end)


def test_what_is_not_there_is_none() -> None:
    found = header(build({"general.name": "x", "n": 3, "yes": True}))
    assert found.string("n") is None
    assert found.string("missing") is None
    assert found.integer("yes") is None
    assert found.boolean("n") is None
    assert found.count("general.name") is None
    assert weights.chat_template(found) is None
    assert weights.bos_token(found) == ""
    assert weights.context_length(found) == 0
    assert weights.kind(found) == "vocab"


@pytest.mark.parametrize(
    ("fields", "adds"),
    [
        ({"tokenizer.ggml.model": "llama"}, True),
        ({"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "llama-bpe"}, True),
        ({"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen2"}, False),
        (
            {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "llama-bpe", "tokenizer.ggml.add_bos_token": False},
            False,
        ),
        ({"tokenizer.ggml.model": "gemma4", "tokenizer.ggml.add_bos_token": False}, True),
        ({"tokenizer.ggml.model": "t5"}, False),
    ],
)
def test_whether_the_tokenizer_adds_bos(fields: dict[str, object], adds: bool) -> None:
    assert weights.add_bos(header(build(fields))) is adds


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"general.architecture": "clip"}, "projector"),
        ({"general.type": "mmproj"}, "projector"),
        ({"general.type": "adapter"}, "adapter"),
        ({"general.type": "model"}, "model"),
    ],
)
def test_what_kind_of_file_it_is(fields: dict[str, object], kind: str) -> None:
    assert weights.kind(header(build(fields))) == kind


def test_quantization_falls_back_to_the_type_of_most_weights() -> None:
    tensors = [tensor("a", (32, 2), 8, 0), tensor("b", (3,), 0, 96)]
    assert weights.quantization(header(build({}, tensors))) == "Q8_0"
    assert weights.quantization(header(build({"general.file_type": 7777}, tensors))) == "Q8_0"


PREFIX = b"GGUF" + struct.pack("<I", 3)


@pytest.mark.parametrize(
    ("data", "message", "hint"),
    [
        (b"", "at byte 0: it does not begin with the letters GGUF", "give a model file in GGUF format"),
        (b"GGML" + bytes(50), "at byte 0: it does not begin with the letters GGUF", "give a model file in GGUF format"),
        (
            b"GGUF\1\0\0\0",
            "at byte 4: it is of GGUF version 1, which llama.cpp no longer reads",
            "convert the model again",
        ),
        (
            b"GGUF\0\0\0\3",
            "at byte 4: it is a big-endian GGUF",
            "convert it with gguf-convert-endian (Python package gguf)",
        ),
        (
            b"GGUF\4\0\0\0",
            "at byte 4: it is of GGUF version 4; known are 2 and 3",
            "use a newer version of bundle",
        ),
        (
            PREFIX + bytes(7),
            "at byte 8: the file ends in the middle of its header (number of tensors)",
            "the download was cut short; get the file again from its source",
        ),
        (
            PREFIX + struct.pack("<QQ", 1 << 60, 0),
            "at byte 8: it claims 1152921504606846976 tensors, more than 262144",
            "the file is damaged; get it again from its source",
        ),
        (
            PREFIX + struct.pack("<QQ", 0, 1 << 60),
            "at byte 16: it claims 1152921504606846976 metadata keys, more than 65536",
            "the file is damaged; get it again from its source",
        ),
        (
            PREFIX + struct.pack("<QQQ", 0, 1, 1 << 63),
            "at byte 24: name of metadata key 0 is 9223372036854775808 bytes long, more than 65535",
            "the file is damaged; get it again from its source",
        ),
        (
            PREFIX + struct.pack("<QQ", 0, 2) + 2 * (string("key") + value(1)),
            "at byte 43: metadata key 1 is 'key' a second time",
            "the file is damaged; get it again from its source",
        ),
        (
            PREFIX + struct.pack("<QQ", 0, 1) + string("key") + struct.pack("<I", 99),
            "at byte 35: key is of unknown type 99",
            "the file is damaged; get it again from its source",
        ),
        (
            PREFIX + struct.pack("<QQ", 0, 1) + string("key") + struct.pack("<IIQ", ARRAY, ARRAY, 1),
            "at byte 39: key is an array of unknown type 9",
            "the file is damaged; get it again from its source",
        ),
        (
            PREFIX + struct.pack("<QQ", 0, 1) + string("key") + struct.pack("<IIQ", ARRAY, STRING, 1 << 40),
            "at byte 39: key claims 1099511627776 strings, more than 16777216",
            "the file is damaged; get it again from its source",
        ),
        (
            PREFIX + struct.pack("<QQ", 0, 1) + string("key") + struct.pack("<IIQ", ARRAY, 12, 1 << 62),
            "at byte 51: the file ends in the middle of its header (key)",
            "the download was cut short; get the file again from its source",
        ),
        (
            PREFIX + struct.pack("<QQ", 0, 1) + string(b"\xff") + value(1),
            "at byte 24: name of metadata key 0 is no UTF-8 text",
            "the file is damaged; get it again from its source",
        ),
        (
            build({"general.alignment": 33}),
            "at byte 0: general.alignment is no power of two",
            "the file is damaged; get it again from its source",
        ),
        (
            build({}, [tensor("t", (1,), 77, 0)]),
            "at byte 24: tensor 't' is of unknown type 77",
            "the file is damaged or newer than this program",
        ),
        (
            build({}, [tensor("t", (31,), 8, 0)]),
            "at byte 24: rows of tensor 't' are no multiple of 32, the block of type Q8_0",
            "the file is damaged; get it again from its source",
        ),
        (
            build({}, [tensor("t", (1 << 62, 1 << 62), 0, 0)]),
            "at byte 24: tensor 't' has an impossible shape",
            "the file is damaged; get it again from its source",
        ),
        (
            build({}, [tensor("t", (1, 1, 1, 1, 1), 0, 0)]),
            "at byte 24: tensor 't' has 5 dimensions, more than 4",
            "the file is damaged; get it again from its source",
        ),
        (
            build({}, [tensor("t", (1,), 0, 64)]),
            "at byte 24: tensor 't' claims to start at 64, not at 0",
            "the file is damaged; get it again from its source",
        ),
        (
            build({}, [tensor("t", (1,), 0, 0), tensor("t", (1,), 0, 32)]),
            "at byte 57: tensor 't' is there a second time",
            "the file is damaged; get it again from its source",
        ),
    ],
)
def test_a_header_at_fault(data: bytes, message: str, hint: str) -> None:
    with pytest.raises(GgufError) as caught:
        header(data)
    assert caught.value.message == f"failed to read GGUF m.gguf: {message}"
    assert caught.value.hint == hint


def test_missing_tensor_data_is_told_with_sizes() -> None:
    data = build({}, [tensor("t", (1000, 1000), 0, 0)], bytes(1_200_000))
    with pytest.raises(GgufError) as caught:
        check_complete(header(data))
    assert caught.value.message == (
        "failed to read GGUF m.gguf: it is 1.20 MB, and its tensors need 4.00 MB: the download was cut short"
    )


def test_the_file_chooses_the_alignment_of_its_data() -> None:
    head = PREFIX + struct.pack("<QQ", 1, 1) + string("general.alignment") + value(2) + tensor("t", (1,), 0, 0)
    assert len(head) == 90
    assert header(head + bytes(100)).data_offset == 90


def test_names_from_the_file_cannot_write_to_the_terminal() -> None:
    data = PREFIX + struct.pack("<QQ", 0, 1) + string("\x1b[31m" + "k" * 5000) + struct.pack("<I", 99)
    with pytest.raises(GgufError) as caught:
        header(data)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400


def test_a_header_cut_anywhere_is_one_error() -> None:
    small = build(
        FIELDS | {"tokenizer.ggml.tokens": TOKENS[:8], "tokenizer.ggml.token_type": [1, 2]}, [tensor("t", (1,), 0, 0)]
    )
    for size in range(header(small).data_offset - 32):
        with pytest.raises(GgufError):
            header(small[:size])


def test_a_flipped_bit_anywhere_is_an_error_or_another_value() -> None:
    small = build(
        FIELDS | {"tokenizer.ggml.tokens": TOKENS[:8], "tokenizer.ggml.token_type": [1, 2]}, [tensor("t", (1,), 0, 0)]
    )
    for index in range(len(small)):
        for mask in (0x01, 0x80, 0xFF):
            with suppress(GgufError):
                everything(header(small[:index] + bytes([small[index] ^ mask]) + small[index + 1 :]))


def everything(found: Header) -> None:
    for fact in (
        weights.architecture, weights.kind, weights.name, weights.split_count, weights.quantization, weights.parameters,
        weights.context_length, weights.vocabulary, weights.chat_template, weights.chat_template_names,
        weights.bos_token, weights.eos_token, weights.eot_token, weights.add_bos, check_complete,
    ):  # fmt: skip
        fact(found)


@given(st.binary(max_size=300))
def test_any_bytes_are_one_error_or_a_header(data: bytes) -> None:
    for start in (b"", PREFIX, PREFIX + struct.pack("<QQ", 1, 2)):
        with suppress(BundleError):
            everything(header(start + data))


@given(st.lists(st.tuples(st.integers(0, len(MODEL) - 1), st.binary(min_size=1, max_size=8)), max_size=6))
def test_an_overwritten_model_is_one_error_or_a_header(damage: list[tuple[int, bytes]]) -> None:
    data = bytearray(MODEL)
    for index, piece in damage:
        data[index : index + len(piece)] = piece
    with suppress(BundleError):
        everything(header(bytes(data)))


@given(st.lists(st.binary(max_size=80) | st.binary(min_size=60, max_size=70) | st.just(b"\0" * 16), max_size=300))
def test_strings_are_stepped_over_exactly(strings: list[bytes]) -> None:
    array = struct.pack("<IIQ", ARRAY, STRING, len(strings)) + b"".join(map(string, strings))
    data = PREFIX + struct.pack("<QQ", 0, 2) + string("list") + array + string("after") + value("here")
    found = header(data)
    assert found.string("after") == "here"
    assert [found.element("list", index) for index in range(len(strings))] == [
        text.decode("utf-8", "replace") for text in strings
    ]


VALUES = st.one_of(
    st.booleans(),
    st.integers(0, (1 << 32) - 1),
    st.floats(width=32),
    st.text(max_size=100),
    st.lists(st.text(max_size=100), min_size=1, max_size=70),
    st.lists(st.integers(-(1 << 31), (1 << 31) - 1), max_size=20),
)


@given(
    st.dictionaries(st.text(min_size=1, max_size=30).filter(lambda key: key != "general.alignment"), VALUES),
    st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=5),
    st.sampled_from([0, 1, 4096]),
)
def test_what_was_written_is_read(fields: dict[str, object], shapes: list[list[int]], offset: int) -> None:
    infos, wanted, position = [], [], 0
    for number, shape in enumerate(shapes):
        size = 4 * prod(shape)
        infos.append(tensor(f"t{number}", tuple(shape), 0, position))
        wanted.append(Tensor(f"t{number}", tuple(shape), 0, position, size))
        position += -(-size // 32) * 32
    data = build(fields, infos, bytes(position))
    found = header(bytes(offset) + data + b"more", offset, len(data))
    assert found.tensors == tuple(wanted)
    check_complete(found)
    for key, content in fields.items():
        if isinstance(content, str):
            assert found.string(key) == content
        elif isinstance(content, list):
            assert found.count(key) == len(content)
            words = content if content and isinstance(content[0], str) else [None] * len(content)
            assert [found.element(key, index) for index in range(len(content))] == words
        else:
            assert found.scalar(key) == content or content != content
            assert (found.boolean(key) is not None) == isinstance(content, bool)


def test_claims_cost_no_memory() -> None:
    claims = [
        PREFIX + struct.pack("<QQ", gguf.MAX_TENSORS, gguf.MAX_KEYS) + bytes(1000),
        PREFIX + struct.pack("<QQ", 0, 1) + string("k") + struct.pack("<IIQ", ARRAY, STRING, gguf.MAX_ARRAY_STRINGS),
        PREFIX + struct.pack("<QQ", 0, 1) + string("k") + struct.pack("<IQ", STRING, 1 << 62),
    ]
    tracemalloc.start()
    for data in claims:
        with pytest.raises(GgufError):
            header(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_real_vocabularies() -> None:
    for path in sorted(sources.models().glob("*.gguf")):
        data = path.read_bytes()
        found = read_header(BytesSource(data), path.name)
        pieces = models.real_vocabulary(path).pieces
        assert weights.vocabulary(found) == len(pieces)
        for index in (0, 1, 2, len(pieces) // 2, len(pieces) - 1):
            wanted = pieces[index].encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            assert found.element("tokenizer.ggml.tokens", index) == wanted
        assert found.data_offset == found.expected_size == len(data)
