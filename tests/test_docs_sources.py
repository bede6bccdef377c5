"""docs/sources.md names what there is."""

from __future__ import annotations

import re

from bundler.build.sources import remote, safetensors
from bundler.formats.modelfile import parse
from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "sources.md").read_text(encoding="utf-8")


def test_its_examples_are_modelfiles() -> None:
    blocks = [block.strip("\n") for block in TEXT.split("```")[1::2] if block.startswith("\nFROM")]
    assert len(blocks) == 2
    for block in blocks:
        lines = [re.sub(r" {2,}.*", "", line) for line in block.splitlines()]
        assert parse("\n".join(lines).encode()).notices == []


def test_its_addresses_are_spelled_as_such() -> None:
    written = re.findall(r"FROM (\S+)", TEXT.split("## Downloads")[1].split("```")[1])
    assert written
    assert all(remote.is_spelled(text, ROOT / "no such path") for text in written)


def test_what_a_conversion_needs() -> None:
    assert f"It needs `{' '.join(safetensors.NEEDED.values())}`" in TEXT
    assert safetensors.PYTHON in TEXT
