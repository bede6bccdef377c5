"""The runtime's own file, as the launcher hands it over."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bundler.errors import BundleError
from bundler.runtime.bundlefile import open_own
from bundler.runtime.cachefolder import cache_folder
from tests.runtime.bundles import write_alphabet


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_alphabet(tmp_path)


@pytest.fixture
def handed_over(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The launcher's variables for a frozen runtime."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    descriptor = os.open(bundle, os.O_RDONLY)
    yield {"BUNDLE_FD": str(descriptor), "BUNDLE_EXE": str(bundle), "BUNDLE_FILE": "/ignored"}
    os.close(descriptor)


def test_the_file_may_be_replaced_while_it_runs(handed_over: dict[str, str], bundle: Path) -> None:
    bundle.rename(bundle.with_name("elsewhere"))
    bundle.write_bytes(b"something else")
    own = open_own(handed_over)
    assert own.manifest.name == "alphabet"
    place = own.weights()
    assert os.pread(place.descriptor, 4, place.offset) == b"GGUF"


def test_the_name_comes_from_the_manifest(handed_over: dict[str, str], bundle: Path) -> None:
    renamed = bundle.rename(bundle.with_name("other"))
    assert open_own(handed_over | {"BUNDLE_EXE": str(renamed)}).manifest.name == "alphabet"


def test_a_frozen_runtime_without_its_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(BundleError) as raised:
        open_own({})
    assert raised.value.render() == (
        "error: failed to find this program's own file: it was not started by its launcher\nhint: run the bundle itself"
    )


def test_a_checkout_without_a_model() -> None:
    with pytest.raises(BundleError) as raised:
        open_own({})
    assert raised.value.render() == (
        "error: failed to find a model: BUNDLE_FILE is not set\n"
        "hint: in a checkout set BUNDLE_FILE to a bundle or a GGUF file"
    )


def test_a_bare_gguf_in_a_checkout(bundle: Path) -> None:
    own = open_own({"BUNDLE_FILE": str(bundle.with_name("chain.gguf"))})
    assert own.manifest.name == "chain"
    assert own.manifest.template
    assert own.weights().offset == 0


def test_the_cache_is_where_the_launcher_has_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert cache_folder({"BUNDLE_ROOT": "/stick/bundle/runtime/abc", "HOME": "/home/me"}) == Path("/stick/bundle")


@pytest.mark.skipif(sys.platform != "linux", reason="where Linux keeps caches")
def test_the_cache_in_a_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_folder({}) == Path("/home/me/.cache/bundle")
    assert cache_folder({"XDG_CACHE_HOME": "/c"}) == Path("/c/bundle")
    assert cache_folder({"XDG_CACHE_HOME": "/c", "BUNDLE_CACHE": "/b"}) == Path("/b")
