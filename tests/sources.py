"""Files of llama.cpp's sources, where a build on this machine has unpacked them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundler.build import cache


def models() -> Path:
    """The folder `models` with vocabularies and chat templates; skips the test where there is none."""
    for folder in sorted(cache.root().glob("build/sources/llama-cpp-python-*/")):
        found = folder / "vendor" / "llama.cpp" / "models"
        if found.is_dir():
            return found
    pytest.skip("llama.cpp's sources are not in the cache: `bundle runtime build` puts them there")
