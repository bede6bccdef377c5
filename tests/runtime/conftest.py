"""What the tests of the runtime share beside `tests/conftest.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime import reference


@pytest.fixture(scope="session")
def program(libs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """llama-server, with llama-simple beside it."""
    return reference.install(libs, tmp_path_factory.mktemp("llama.cpp"))
