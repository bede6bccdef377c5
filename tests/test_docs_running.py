"""docs/running.md names every option that says how a bundle runs."""

from __future__ import annotations

from bundler.runtime.settings import LIFE, LOADING
from tests.conftest import ROOT

ELSEWHERE = {"verbose"}


def test_every_option_is_explained() -> None:
    text = (ROOT / "docs" / "running.md").read_text()
    rows = "".join(
        line.partition("| default |")[0].split(" | ")[0] for line in text.splitlines() if line.startswith("|")
    )
    for option in (*LOADING, *LIFE):
        assert option.name in ELSEWHERE or f"--{option.name}" in rows, option.name
