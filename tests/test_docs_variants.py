"""docs/variants.md names every type."""

from __future__ import annotations

import re

from bundler.formats.quantization import TYPES
from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "variants.md").read_text(encoding="utf-8")


def test_every_type_is_named() -> None:
    said = re.search(r"with the same type, one of (.*?)\.\s", TEXT, re.DOTALL)
    assert said is not None
    assert re.split(r",\s+| and\s+", " ".join(said[1].split())) == list(TYPES)
