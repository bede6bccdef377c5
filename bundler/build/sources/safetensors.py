"""x"""

from __future__ import annotations

from pathlib import Path

from bundler.build.progress import Progress
from bundler.build.sources import paths
from bundler.build.sources.found import Found, SourceError


def find(folder: Path, shown: str, pattern: str, progress: Progress) -> Found:
    converted = "convert it with llama.cpp's convert_hf_to_gguf.py, and name the GGUF"
    raise SourceError(
        f"{shown} is a folder with weights in another format ({pattern})", paths.present(folder, converted)
    )
