"""Manifests that no build wrote: what comes with a downloaded bundle is not trusted."""

from __future__ import annotations

import pytest

from bundler.errors import BundleError
from bundler.formats import container, manifest, verification
from bundler.formats.container import Archive, Entry
from bundler.formats.manifest import Manifest, Model
from bundler.formats.source import BytesSource


def encoded(sidecar: str) -> bytes:
    model = Model(role="chat", sidecar=sidecar, size=1, sha256="", architecture="llama")
    return manifest.encode(Manifest(name="m", bundler="0", runtime={}, models=[model]))


def test_weights_lie_beside_the_executable() -> None:
    assert manifest.decode(encoded("m-01234567.gguf")).models[0].sidecar == "m-01234567.gguf"


@pytest.mark.parametrize("name", ["../m.gguf", "/etc/passwd", "..", ".", "a\\b", "C:m", "a\0b"])
def test_weights_that_would_lie_elsewhere(name: str) -> None:
    with pytest.raises(BundleError, match=r"^failed to read bundle\.json: weights beside the executable cannot be"):
        manifest.decode(encoded(name))


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"format": 1}'])
def test_no_manifest(data: bytes) -> None:
    with pytest.raises(BundleError, match=r"^failed to read bundle\.json: "):
        manifest.decode(data)


def test_a_length_that_no_manifest_has_is_not_read() -> None:
    entry = Entry(container.MANIFEST, 0, 0, 1 << 40, 0)
    with pytest.raises(BundleError, match="it would have 1099511627776 bytes"):
        verification.read_manifest(BytesSource(b""), Archive({entry.name: entry}, "", "", 0, 0))
