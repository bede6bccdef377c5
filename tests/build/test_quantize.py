"""Quantizing while a bundle is built: what is asked of the runtime, what stays in the cache, what is refused before."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import gguf
import pytest

from bundler.build import blob as blobs
from bundler.build.blob import Blob
from bundler.build.packs import Pack
from bundler.build.progress import Silent, Stage, Unit
from bundler.build.quantize import Quantization, quantized
from bundler.errors import BundleError
from tests import models
from tests.build.conftest import SHAPE
from tests.build.sources.making import content
from tests.build.test_packs import bring, edited, make_pack
from tests.imatrices import write_imatrix

COPIES = """#!/bin/sh
echo "$@" >> {log}
echo blk.0.attn_q.weight
echo output.weight
cp "$2" "$3"
echo '{{"size": 1}}'
exit 0
"""
WANTED = Quantization("Q4_0")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return models.write_random(tmp_path / "tiny.gguf", shape=SHAPE)


def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str = COPIES) -> Pack:
    """A pack whose launcher is a script; it notes what it was asked."""
    monkeypatch.setenv("BUNDLE_CACHE", str(tmp_path / "cache"))
    data = script.format(log=tmp_path / "log").encode()
    changed = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    files = edited({**make_pack(), "launcher": data}, lambda described: described["launcher"].update(changed))
    return bring(tmp_path, files)


def asked(tmp_path: Path) -> list[str]:
    return (tmp_path / "log").read_text().splitlines() if (tmp_path / "log").exists() else []


def cached(tmp_path: Path) -> list[str]:
    folder = tmp_path / "cache" / "build" / "quantized"
    return sorted(path.name for path in folder.rglob("*") if not path.name.endswith(".lock"))


class Counting:
    """Sums up what each stage is told."""

    def __init__(self) -> None:
        self.stages: dict[str, tuple[int | None, int]] = {}

    def stage(self, title: str, total: int | None = None, unit: Unit = "bytes") -> AbstractContextManager[Stage]:
        self.stages[title] = total, 0
        counting = self

        class Own:
            def advance(self, amount: int) -> None:
                counting.stages[title] = total, counting.stages[title][1] + amount

        return nullcontext(Own())


def test_a_second_build_takes_it_from_the_cache(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = runtime(tmp_path, monkeypatch)
    first = quantized(pack, blobs.file(model), WANTED, Silent())
    assert content(first) == model.read_bytes()
    assert first.sha256 == hashlib.sha256(model.read_bytes()).hexdigest()
    model.rename(tmp_path / "renamed.gguf")
    again = quantized(pack, blobs.file(tmp_path / "renamed.gguf"), WANTED, Silent())
    assert again.files == first.files
    assert len(asked(tmp_path)) == 1
    quantized(pack, blobs.file(tmp_path / "renamed.gguf"), Quantization("Q8_0"), Silent())
    imatrix = write_imatrix(tmp_path / "i.gguf", tmp_path / "renamed.gguf")
    weighed = Quantization("Q4_0", imatrix)
    quantized(pack, blobs.file(tmp_path / "renamed.gguf"), weighed, Silent())
    write_imatrix(imatrix, tmp_path / "renamed.gguf", legacy=True)
    quantized(pack, blobs.file(tmp_path / "renamed.gguf"), weighed, Silent())
    assert [line.split()[3:] for line in asked(tmp_path)][1] == ["7"]
    assert len(asked(tmp_path)) == 4


def test_tensors_done_move_the_progress(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    progress = Counting()
    quantized(runtime(tmp_path, monkeypatch), blobs.file(model, "tiny.gguf"), WANTED, progress)
    sizes = {tensor.name: int(tensor.n_bytes) for tensor in gguf.GGUFReader(model).tensors}
    total, done = progress.stages["Quantizing tiny.gguf to Q4_0"]
    assert total == sum(sizes.values())
    assert done == sizes["blk.0.attn_q.weight"] + sizes["output.weight"]


@pytest.mark.parametrize("pieces", [1, 2])
def test_a_model_that_is_no_file_of_its_own_is_copied_for_it(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, pieces: int
) -> None:
    pack = runtime(tmp_path, monkeypatch)
    whole = tmp_path / "whole"
    whole.write_bytes(bytes(4096) + model.read_bytes() + b"more")
    size = model.stat().st_size
    blob = blobs.part(whole, 4096, size, "inside")
    if pieces == 2:
        blob = Blob((*blob.slice(0, 100), model.read_bytes()[100:]), "inside")
    assert content(quantized(pack, blob, WANTED, Silent())) == model.read_bytes()
    assert list((tmp_path / "cache" / "build" / "work").iterdir()) == []


def test_what_is_interrupted_leaves_nothing(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = '#!/bin/sh\necho half > "$3"\necho blk.0.attn_q.weight\necho output.weight\nexec tail -f /dev/null\n'
    pack = runtime(tmp_path, monkeypatch, script)

    class Interrupting(Silent):
        def stage(self, title: str, total: int | None = None, unit: Unit = "bytes") -> AbstractContextManager[Stage]:
            class Own:
                def advance(self, amount: int) -> None:
                    if title.startswith("Quantizing"):
                        raise KeyboardInterrupt

            return nullcontext(Own())

    with pytest.raises(KeyboardInterrupt):
        quantized(pack, blobs.file(model), WANTED, Interrupting())
    assert cached(tmp_path) == []


def test_what_fails_leaves_nothing(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "#!/bin/sh\necho half > \"$3\"\necho 'error: too small' >&2\necho 'hint: grow' >&2\nexit 1\n"
    pack = runtime(tmp_path, monkeypatch, script)
    with pytest.raises(BundleError) as caught:
        quantized(pack, blobs.file(model, "tiny.gguf"), WANTED, Silent())
    assert caught.value.render() == "error: failed to quantize tiny.gguf to Q4_0: too small\nhint: grow"
    assert cached(tmp_path) == []


def test_damage_in_the_cache_is_found(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = runtime(tmp_path, monkeypatch)
    (path,) = quantized(pack, blobs.file(model), WANTED, Silent()).files
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    again = quantized(pack, blobs.file(model), WANTED, Silent())
    assert hashlib.sha256(content(again)).hexdigest() != again.sha256


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            Quantization("Q4_0"),
            "error: failed to quantize q8.gguf: it is quantized already (Q8_0), and would lose twice\n"
            "hint: start from the model in 16 or 32 bits, or lose more with --requantize",
        ),
        (Quantization("Q8_0"), "error: failed to quantize q8.gguf: it is Q8_0 already\nhint: leave out --quantize"),
    ],
)
def test_what_is_quantized_already_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: Quantization, message: str
) -> None:
    path = models.write_random(tmp_path / "q8.gguf", shape=SHAPE, quantization=gguf.GGMLQuantizationType.Q8_0)
    pack = runtime(tmp_path, monkeypatch)
    with pytest.raises(BundleError) as caught:
        quantized(pack, blobs.file(path, "q8.gguf"), wanted, Silent())
    assert caught.value.render() == message
    assert asked(tmp_path) == []
    quantized(pack, blobs.file(path, "q8.gguf"), Quantization("Q4_0", requantize=True), Silent())
    assert asked(tmp_path)[0].endswith(" 2 --requantize")


def test_an_imatrix_that_does_not_fit_is_refused_before(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = runtime(tmp_path, monkeypatch)
    other = write_imatrix(tmp_path / "i.gguf", model, width=64)
    with pytest.raises(BundleError, match=r"i\.gguf: it is of another model: 64 values for"):
        quantized(pack, blobs.file(model), Quantization("Q4_0", other), Silent())
    with pytest.raises(BundleError, match=r"failed to read .*nothing: No such file or directory"):
        quantized(pack, blobs.file(model), Quantization("Q4_0", tmp_path / "nothing"), Silent())
    assert asked(tmp_path) == []
