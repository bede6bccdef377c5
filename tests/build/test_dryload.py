"""Asking llama.cpp about a model, where the program that asks cannot be started."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundler.build import dryload
from bundler.build.packs import Pack
from bundler.build.progress import Silent
from bundler.errors import BundleError
from tests.build.test_packs import bring, make_pack


@pytest.fixture
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pack:
    monkeypatch.setenv("BUNDLE_CACHE", str(tmp_path / "cache"))
    return bring(tmp_path, make_pack())


def test_a_cache_that_starts_no_programs(pack: Pack, tmp_path: Path) -> None:
    """The launcher of the pack is no program, as it is none on a filesystem mounted noexec."""
    with pytest.raises(BundleError, match="cannot be started") as caught:
        dryload.check_model(pack, tmp_path / "m.gguf", Silent())
    assert "BUNDLE_CACHE" in caught.value.hint
