"""A model over several files: found from any part, merged in order, refused where it is not whole."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from bundler.errors import BundleError
from bundler.formats import gguf
from bundler.formats.source import BytesSource
from tests.build.sources import making
from tests.build.sources.making import FIELDS, content, fails, find, part, split

MERGED = "9e6802bcc761321b4b6c45d6dbf8fa71198c22e02d824a33bfe94d64e84de95a"
"""What llama-gguf-split --merge makes of `split`, by its SHA-256."""
SAME_SOURCE = "get all parts again from the same source"


@pytest.mark.parametrize("text", [".", "m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "./m-00003-of-00003.gguf"])
def test_any_part_or_the_folder_gives_what_llama_cpp_merges(tmp_path: Path, text: str) -> None:
    split(tmp_path)
    (weights,) = find(text, tmp_path).weights
    assert (weights.kind, weights.name) == ("model", "m")
    assert hashlib.sha256(content(weights.blob)).hexdigest() == MERGED


def test_the_merged_file_has_the_tensors_of_all_parts(tmp_path: Path) -> None:
    split(tmp_path)
    merged = content(find("m-00001-of-00003.gguf", tmp_path).weights[0].blob)
    header = gguf.read_header(BytesSource(merged), "merged")
    whole = gguf.read_header(BytesSource(making.gguf()), "whole")
    assert header.tensors == whole.tensors
    assert merged[header.data_offset :] == making.gguf()[whole.data_offset :]
    assert header.integer("split.count") == 0
    assert header.string("general.name") == "Small"


def test_parts_with_other_padding_than_the_first_one(tmp_path: Path) -> None:
    """The alignment stands in the first part alone; the others are padded as if there were none."""
    first = FIELDS | {"general.alignment": 64}
    (tmp_path / "a-00001-of-00002.gguf").write_bytes(part(0, 2, [], 3, first))
    (tmp_path / "a-00002-of-00002.gguf").write_bytes(part(1, 2, [0, 1, 2], 3))
    merged = content(find("a-00001-of-00002.gguf", tmp_path).weights[0].blob)
    header = gguf.read_header(BytesSource(merged), "merged")
    assert [tensor.offset for tensor in header.tensors] == [0, 64, 128]
    numbers = [merged[header.data_offset + tensor.offset :][:4] for tensor in header.tensors]
    plain = gguf.read_header(BytesSource(making.gguf(tensors=3)), "plain")
    assert numbers == [making.gguf(tensors=3)[plain.data_offset + tensor.offset :][:4] for tensor in plain.tensors]


def test_missing_parts_are_named(tmp_path: Path) -> None:
    _, second, third = split(tmp_path)
    third.unlink()
    hint = "did you mean m-00002-of-00003.gguf or m-00001-of-00003.gguf?"
    assert fails("m-00001-of-00003.gguf", tmp_path) == (
        "a part of the model is missing: m-00003-of-00003.gguf of 3",
        hint,
    )
    second.unlink()
    assert fails(".", tmp_path) == (
        "a part of the model is missing: m-00002-of-00003.gguf and 1 more of 3",
        "bring all parts into one folder, under the names they were made with",
    )


def test_a_name_that_contradicts_the_file(tmp_path: Path) -> None:
    first, *_ = split(tmp_path)
    first.rename(tmp_path / "m-00001-of-00004.gguf")
    assert fails("m-00001-of-00004.gguf", tmp_path) == (
        "m-00001-of-00004.gguf is one of 3 parts of a model, and its name says of 4",
        "bring all parts into one folder, under the names they were made with",
    )
    (tmp_path / "m-00001-of-00004.gguf").rename(tmp_path / "model.gguf")
    assert fails("model.gguf", tmp_path) == (
        "model.gguf is one of 3 parts of a model, and its name does not say which",
        "give all parts the names they were made with: NAME-00001-of-00003.gguf",
    )


def merging_fails(folder: Path, message: str, hint: str = SAME_SOURCE) -> None:
    with pytest.raises(BundleError) as caught:
        find("m-00001-of-00003.gguf", folder)
    assert caught.value.message == message
    assert caught.value.hint == hint


THIRD = "failed to merge the parts of a model: m-00003-of-00003.gguf: "


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (part(2, 4, [3, 4], 5), "it says that it is one of 4 parts, and there are 3"),
        (part(1, 3, [3, 4], 5), "it says that it is part 2, not 3"),
        (
            part(2, 3, [3, 4], 6),
            "its split.tensors.count is not that of m-00001-of-00003.gguf: they are parts of different models",
        ),
        (
            part(2, 3, [3, 4], 5, {"general.architecture": "bert"}),
            "its general.architecture is not that of m-00001-of-00003.gguf: they are parts of different models",
        ),
        (
            part(2, 3, [2, 3], 5),
            "tensor 'blk.2.weight' is in m-00002-of-00003.gguf too: they are parts of different models",
        ),
    ],
)
def test_parts_of_different_models(tmp_path: Path, data: bytes, cause: str) -> None:
    split(tmp_path)[2].write_bytes(data)
    merging_fails(tmp_path, THIRD + cause)


def test_a_part_with_too_few_tensors(tmp_path: Path) -> None:
    split(tmp_path)[2].write_bytes(part(2, 3, [3], 5))
    merging_fails(
        tmp_path,
        "failed to merge the parts of a model: m-00001-of-00003.gguf: its parts hold 4 tensors together, "
        "and it says 5: they are parts of different models",
    )


def test_a_part_cut_short(tmp_path: Path) -> None:
    third = split(tmp_path)[2]
    data = third.read_bytes()
    third.write_bytes(data[:-30])
    merging_fails(
        tmp_path,
        f"failed to read GGUF m-00003-of-00003.gguf: it is {len(data) - 30} bytes, and its tensors need "
        f"{len(data) - 20} bytes: the download was cut short",
        "get the file again from its source",
    )


def test_two_split_models_in_one_folder(tmp_path: Path) -> None:
    split(tmp_path, "a")
    split(tmp_path, "b")
    assert fails(".", tmp_path)[0] == ". is a folder with 2 models (*.gguf)"
    shutil.rmtree(tmp_path, ignore_errors=True)
