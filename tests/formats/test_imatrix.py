"""Importance matrices: what is read of them, and what is wrong with bad ones."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from bundler.errors import BundleError
from bundler.formats import gguf, imatrix
from bundler.formats.imatrix import Imatrix
from bundler.formats.source import BytesSource
from tests import models
from tests.formats import ggufs
from tests.imatrices import write_imatrix

SHAPE = models.Shape(embedding=32, layers=1, heads=2, kv_heads=1, feed_forward=32)


def legacy(*entries: tuple[str, int, list[float]], tail: bytes = b"") -> bytes:
    data = struct.pack("<i", len(entries))
    for name, calls, values in entries:
        data += struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", calls, len(values))
        data += struct.pack(f"<{len(values)}f", *values)
    return data + tail


def matrix(tensors: dict[str, list[float]], **fields: object) -> bytes:
    keys = {
        "general.type": "imatrix",
        "imatrix.datasets": ["wiki"],
        "imatrix.chunk_count": 7,
        "imatrix.chunk_size": 512,
    }
    infos, data = [], b""
    for name, values in tensors.items():
        infos.append(ggufs.tensor(name, (len(values),), 0, len(data)))
        own = struct.pack(f"<{len(values)}f", *values)
        data += own + bytes(-len(own) % 32)
    return ggufs.build({**keys, **fields}, infos, data)


def read(data: bytes) -> Imatrix:
    return imatrix.read(BytesSource(data), "m.imatrix")


def fails(data: bytes) -> str:
    with pytest.raises(BundleError) as caught:
        read(data)
    return caught.value.message


def test_sums_become_means() -> None:
    found = read(matrix({"a.in_sum2": [2, 4, 6, 8, 5, 5], "a.counts": [2, 4, 0]}))
    assert found.entries["a"].tolist() == [1, 2, 1.5, 2, 1, 1]
    assert (found.dataset, found.chunks) == ("wiki", 7)


def test_the_older_format() -> None:
    found = read(legacy(("a", 2, [2, 4]), ("b", 0, [3]), tail=struct.pack("<ii", 9, 4) + b"wiki"))
    assert {name: values.tolist() for name, values in found.entries.items()} == {"a": [1, 2], "b": [3]}
    assert (found.dataset, found.chunks) == ("wiki", 9)
    assert read(legacy(("a", 2, [2]))).chunks == 0


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "it is none, or was cut short"),
        (b"hello, I am some text", "it is none, or damaged: it would have 1819043176 entries"),
        (legacy(("a", 1, [1, 2]))[:-1], "it is none, or was cut short"),
        (legacy(("a", 1, [1, float("nan")])), "a value for a is no number"),
        (ggufs.build({"general.architecture": "llama"}), "it is a GGUF of something else"),
        (matrix({"a.in_sum2": [1]}), "the counts of a are missing"),
        (matrix({"a.in_sum2": [1, 2, 3], "a.counts": [1, 1]}), "the counts of a do not fit its sums"),
        (
            ggufs.build({}, [ggufs.tensor("a.in_sum2", (1,), 0, 0), ggufs.tensor("a.counts", (1,), 0, 32)], bytes(36)),
            "it does not say how it was computed",
        ),
    ],
)
def test_what_is_no_imatrix_is_one_error(data: bytes, cause: str) -> None:
    assert fails(data) == f"failed to read the imatrix m.imatrix: {cause}"


def test_one_cut_anywhere_is_an_error() -> None:
    for whole in (legacy(("a", 1, [1, 2])), matrix({"a.in_sum2": [1, 2], "a.counts": [1]})[:-28]):
        for end in range(len(whole)):
            with pytest.raises(BundleError):
                read(whole[:end])


def test_one_of_another_model_is_told(tmp_path: Path) -> None:
    model = models.write_random(tmp_path / "m.gguf", shape=SHAPE)
    header = gguf.read_header(BytesSource(model.read_bytes()), "m.gguf")
    right = write_imatrix(tmp_path / "right", model).read_bytes()
    imatrix.check(read(right), header.tensors, "right")
    for data, cause in [
        (
            write_imatrix(tmp_path / "other", model, width=64).read_bytes(),
            "it is of another model: 64 values for blk.0.attn_q.weight, which has 32 columns",
        ),
        (legacy(("encoder.0", 1, [1])), "it is of another model, which has encoder.0"),
    ]:
        with pytest.raises(BundleError) as caught:
            imatrix.check(read(data), header.tensors, "other")
        assert caught.value.message == f"failed to read the imatrix other: {cause}"
