"""The quantizer over llama.cpp: the same bytes as llama-quantize writes, and one error where it refuses."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import gguf
import pytest

from bundler.build import llamacpp
from bundler.build.progress import Silent
from bundler.formats.quantization import TYPES
from tests import models
from tests.imatrices import write_imatrix

SHAPE = models.Shape(embedding=256, layers=1, heads=4, kv_heads=1, feed_forward=256)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.write_random(tmp_path_factory.mktemp("model") / "model-F16.gguf", shape=SHAPE)


@pytest.fixture(scope="module")
def tools() -> Path:
    return llamacpp.build_tools(Silent(), ["llama-quantize"])


def quantize(libs: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bundler.runtime", "_quantize", *map(str, arguments)]
    environment = {**os.environ, "BUNDLE_LIBS": str(libs)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_types_are_those_of_llama_quantize() -> None:
    text = (llamacpp.source(Silent()) / "vendor/llama.cpp/tools/quantize/quantize.cpp").read_text()
    header = (llamacpp.source(Silent()) / "vendor/llama.cpp/include/llama.h").read_text()
    numbers = {name: int(number) for name, number in re.findall(r"(LLAMA_FTYPE_\w+)\s*=\s*(\d+)", header)}
    options = re.findall(r'^    \{ "(\w+)",\s*(LLAMA_FTYPE_\w+)', text, re.MULTILINE)
    assert list(TYPES.items()) == [(name, numbers[kind]) for name, kind in options if name != "COPY"]


@pytest.mark.parametrize("name", ["Q4_K_M", "Q8_0", "IQ4_XS", "TQ2_0", "BF16"])
def test_a_model_is_what_llama_quantize_makes_of_it(
    libs: Path, tools: Path, model: Path, tmp_path: Path, name: str
) -> None:
    ours, theirs = tmp_path / "ours.gguf", tmp_path / "theirs.gguf"
    result = quantize(libs, model, ours, str(TYPES[name]))
    assert (result.returncode, result.stderr) == (0, "")
    subprocess.run([tools / "llama-quantize", model, theirs, name], capture_output=True, check=True)
    assert ours.read_bytes() == theirs.read_bytes()
    *done, last = result.stdout.splitlines()
    assert sorted(done) == sorted(tensor.name for tensor in gguf.GGUFReader(model).tensors)
    assert json.loads(last) == {"size": ours.stat().st_size}


@pytest.mark.parametrize("legacy", [False, True], ids=["gguf", "dat"])
def test_an_imatrix_weighs_as_in_llama_quantize(
    libs: Path, tools: Path, model: Path, tmp_path: Path, legacy: bool
) -> None:
    imatrix = write_imatrix(tmp_path / "imatrix", model, legacy=legacy)
    ours, theirs, plain = tmp_path / "ours.gguf", tmp_path / "theirs.gguf", tmp_path / "plain.gguf"
    given: list[str | Path] = ["--imatrix", imatrix, "--imatrix-name", str(imatrix)]
    assert quantize(libs, model, ours, str(TYPES["Q3_K_S"]), *given).returncode == 0
    command: list[str | Path] = [tools / "llama-quantize", "--imatrix", imatrix, model, theirs, "Q3_K_S"]
    subprocess.run(command, capture_output=True, check=True)
    assert ours.read_bytes() == theirs.read_bytes()
    assert quantize(libs, model, plain, str(TYPES["Q3_K_S"])).returncode == 0
    assert ours.read_bytes()[-4096:] != plain.read_bytes()[-4096:]


@pytest.mark.parametrize(
    ("flaw", "message"),
    [
        (
            "no imatrix",
            "error: this quantization requires an imatrix\n"
            "hint: give one with --imatrix (llama-imatrix makes it), or choose a larger type\n",
        ),
        (
            "quantized",
            "error: requantizing from type q8_0 is disabled\n"
            "hint: start from a model in 16 or 32 bits, or lose more with --requantize\n",
        ),
        ("unknown", "error: unknown model architecture: 'lxama'\nhint: give a whole GGUF in 16 or 32 bits\n"),
    ],
)
def test_what_llama_cpp_refuses_is_one_error(libs: Path, model: Path, tmp_path: Path, flaw: str, message: str) -> None:
    source, name = model, "IQ1_S" if flaw == "no imatrix" else "Q4_0"
    if flaw == "quantized":
        source = models.write_random(
            tmp_path / "quantized.gguf", shape=SHAPE, quantization=gguf.GGMLQuantizationType.Q8_0
        )
    if flaw == "unknown":
        source = tmp_path / "unknown.gguf"
        source.write_bytes(model.read_bytes().replace(b"llama", b"lxama"))
    result = quantize(libs, source, tmp_path / "out.gguf", str(TYPES[name]))
    assert (result.returncode, result.stderr) == (1, message)


def test_a_quantized_model_can_lose_twice(libs: Path, tmp_path: Path) -> None:
    source = models.write_random(tmp_path / "q8.gguf", shape=SHAPE, quantization=gguf.GGMLQuantizationType.Q8_0)
    result = quantize(libs, source, tmp_path / "out.gguf", str(TYPES["Q4_0"]), "--requantize")
    assert (result.returncode, result.stderr) == (0, "")
