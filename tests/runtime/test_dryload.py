"""`_dry-load` as the build side runs it: a process that prints facts or one clear error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import models


def dry_load(libs: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bundler.runtime", "_dry-load", *map(str, arguments)],
        env={**os.environ, "BUNDLE_LIBS": str(libs)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.write_random(tmp_path_factory.mktemp("dry") / "model.gguf")


def test_a_known_model_is_described(libs: Path, model: Path) -> None:
    result = dry_load(libs, model)
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout) == {
        "description": "llama ?B (guessed) F16",
        "architecture": "llama",
        "parameters": 1336576,
        "tensors_size": 2675712,
        "trained_context": 2048,
        "vocabulary": 304,
        "add_bos": False,
        "generates": True,
        "cell_size": 1024,
    }


def test_a_model_inside_a_file_is_described_too(libs: Path, model: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.write_bytes(bytes(65536) + model.read_bytes() + b"more")
    result = dry_load(libs, whole, "--offset", "65536", "--size", str(model.stat().st_size))
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("flaw", "cause"),
    [
        ("no GGUF", "invalid magic characters: 'noGG', expected 'GGUF'"),
        ("empty", "failed to read magic"),
        ("tensors cut", "tensor 'output.weight' data is not within the file bounds, model is corrupted or incomplete"),
        ("unknown kind", "unknown model architecture: 'lxama'"),
    ],
)
def test_a_flawed_model_is_one_error(libs: Path, model: Path, tmp_path: Path, flaw: str, cause: str) -> None:
    data = model.read_bytes()
    path = tmp_path / "flawed.gguf"
    path.write_bytes(
        {
            "no GGUF": b"no" + data,
            "empty": b"",
            "tensors cut": data[:-1000],
            "unknown kind": data.replace(b"llama", b"lxama"),
        }[flaw]
    )
    result = dry_load(libs, path)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        f"error: failed to load the model: {cause}\n"
        "hint: the file is damaged, cut short, or of a kind that this version of llama.cpp does not know\n"
    )


def test_a_missing_file_is_one_error(libs: Path, tmp_path: Path) -> None:
    result = dry_load(libs, tmp_path / "nothing.gguf")
    assert result.returncode == 1
    assert result.stderr == f"error: failed to open {tmp_path}/nothing.gguf: No such file or directory\n"


def test_a_range_beyond_the_end_is_one_error(libs: Path, model: Path) -> None:
    result = dry_load(libs, model, "--size", str(1 << 40))
    assert result.returncode == 1
    assert "the file ends before the model does" in result.stderr
