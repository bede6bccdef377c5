"""A folder of safetensors as a source, through llama.cpp's own converter, convert_hf_to_gguf.py.

The converter comes with the sources of llama.cpp; the Python packages that it needs are the user's. What it makes is
kept in the cache by the content of the folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bundler.build import blob as blobs
from bundler.build import cache, llamacpp
from bundler.build.progress import Progress, Stage
from bundler.build.sources import ggufs, paths
from bundler.build.sources.found import Found, SourceError
from bundler.errors import BundleError
from bundler.formats.excerpt import clipped
from bundler.formats.source import CHUNK

CLASS: Final = "model*.safetensors"
"""Of the classes of a folder's files, the one that is converted."""
PYTHON: Final = "BUNDLE_CONVERT_PYTHON"
"""The variable that names the Python to convert with; without it, the one that runs this."""
NEEDED: Final = {
    "torch": "torch", "transformers": "transformers", "numpy": "numpy", "sentencepiece": "sentencepiece",
    "google.protobuf": "protobuf",
}  # fmt: skip
"""Modules, and the packages that bring them (requirements/requirements-convert_hf_to_gguf.txt of llama.cpp)."""
_ASK: Final = """
import importlib.util, json, sys
def there(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
print(json.dumps([name for name in sys.argv[1:] if not there(name)]))
"""


def find(folder: Path, shown: str, pattern: str, progress: Progress) -> Found:
    """Convert the folder, or take what an earlier conversion made.

    Raises:
        SourceError: its weights are of a format that is not converted, it brings code, or packages are missing.
        BundleError: the converter failed.
    """
    if pattern != CLASS:
        hint = paths.present(folder, "convert it with llama.cpp's convert_hf_to_gguf.py, and name the GGUF")
        raise SourceError(f"{shown} is a folder with weights in another format ({pattern})", hint)
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    for path in files:
        if path.suffix == ".py":
            cause = f"{shown} brings Python code, {clipped(path.name)}, which the converter might run"
            raise SourceError(cause, "look at it, and take it out of the folder; most models convert without")
    python = os.environ.get(PYTHON) or sys.executable
    target = cache.folder("converted", _key(files, progress)) / "model.gguf"
    if not target.is_file():
        _check_packages(python, shown)
        with cache.locked(target.parent):
            if not target.is_file():
                _convert(folder, target, python, shown, progress)
    return Found(
        weights=(ggufs.of(blobs.file(target, shown), folder.resolve().name),),
        remarks=(f"{shown}: converted by llama.cpp's convert_hf_to_gguf.py, and kept as {target}",),
    )


def _key(files: Sequence[Path], progress: Progress) -> str:
    """A digest of all files with their names, and of the converter's version."""
    digest = hashlib.sha256(llamacpp.version().encode())
    with progress.stage("Reading safetensors", sum(path.stat().st_size for path in files)) as stage:
        for path in files:
            digest.update(f"\0{path.name}\0{_sha256(path, stage)}".encode())
    return digest.hexdigest()[:32]


def _sha256(path: Path, stage: Stage) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            stage.advance(len(chunk))
    return digest.hexdigest()


def _check_packages(python: str, shown: str) -> None:
    install = f"{python} -m pip install {' '.join(NEEDED.values())}"
    otherwise = f"or set {PYTHON} to a Python that has them, or name a GGUF of the model"
    try:
        asked = subprocess.run([python, "-c", _ASK, *NEEDED], capture_output=True, text=True, check=True)
        missing = [NEEDED[name] for name in json.loads(asked.stdout)]
    except (OSError, subprocess.CalledProcessError, ValueError) as cause:
        raise SourceError(f"{python} is no Python that can convert {shown}", f"set {PYTHON} to one") from cause
    if missing:
        cause_text = f"{shown} holds safetensors, and the Python that would convert them lacks {', '.join(missing)}"
        raise SourceError(cause_text, f"{install}; {otherwise}")


def _convert(folder: Path, target: Path, python: str, shown: str, progress: Progress) -> None:
    script = llamacpp.source(progress) / "vendor" / "llama.cpp" / "convert_hf_to_gguf.py"
    with progress.stage(f"Converting {shown}"), cache.replacing(target.parent) as work:
        result = subprocess.run(
            [python, str(script), str(folder.resolve()), "--outfile", str(work / target.name)],
            env={**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if result.returncode != 0 or not (work / target.name).is_file():
            lines = [line.strip() for line in (result.stderr or result.stdout).splitlines() if line.strip()]
            said = clipped(lines[-1] if lines else f"exit code {result.returncode}", 300)
            raise BundleError(
                f"failed to convert {shown}: {said}",
                f"try it by hand: {python} {script} {folder}; or name a GGUF of the model",
            )
