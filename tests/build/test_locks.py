"""The lock files: read as written, and in agreement with each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundler.build import locks
from bundler.build.locks import Pin

ONE, TWO = "1" * 64, "2" * 64


def test_pins_are_read_with_their_hashes_markers_and_comments(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(
        f"# made by hand\nalpha==1.0 \\\n    --hash=sha256:{ONE} \\\n    --hash=sha256:{TWO}\n    # via beta\n"
        f"be-ta==2.0.1 ; sys_platform == 'win32' \\\n    --hash=sha256:{TWO}\n",
        encoding="utf-8",
    )
    assert locks.read(lock) == [Pin("alpha", "1.0", (ONE, TWO)), Pin("be-ta", "2.0.1", (TWO,))]


@pytest.mark.parametrize("name", ["cmake", "freeze", "launcher", "llamacpp", "zstandard", "dev"])
def test_everything_that_is_downloaded_has_a_hash(name: str) -> None:
    pins = locks.read(locks.path(name))
    assert pins
    assert [pin.name for pin in pins if not pin.sha256] == []


@pytest.mark.parametrize("name", ["freeze", "llamacpp"])
def test_what_is_frozen_is_what_is_developed_with(name: str) -> None:
    developed = {pin.name: pin.version for pin in locks.read(locks.path("dev"))}
    frozen = {pin.name: pin.version for pin in locks.read(locks.path(name))}
    assert {name: version for name, version in frozen.items() if developed.get(name, version) != version} == {}
