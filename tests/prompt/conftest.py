from __future__ import annotations

from pathlib import Path

import pytest

from tests import sources


@pytest.fixture
def llama_cpp_templates() -> list[Path]:
    """The chat templates of real models that llama.cpp's sources carry."""
    return sorted((sources.models() / "templates").glob("*.jinja"))
