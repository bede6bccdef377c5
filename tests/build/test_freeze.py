"""Which files of this program go into a bundle."""

from __future__ import annotations

from bundler.build import freeze


def test_the_runtime_side_and_the_page_are_frozen_and_the_build_side_is_not() -> None:
    names = [name for name, _ in freeze.sources()]
    assert names == sorted(names)
    for name in ("bundler/errors.py", "bundler/runtime/__main__.py", "bundler/formats/manifest.py"):
        assert name in names
    assert "bundler/_data/templates/chat/index.html" in names
    assert [name for name in names if name.startswith(("bundler/build/", "bundler/cli", "bundler/terminal"))] == []


def test_every_frozen_file_counts_for_the_key() -> None:
    assert freeze.key() == freeze.key()
    assert len({path for _, path in freeze.sources()}) == len(freeze.sources())
