"""The page is opened where somebody sees it, in a browser that gets the user's own environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bundler.runtime import desktop
from tests.runtime.fake_engine import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the rules of a Linux desktop")


@pytest.fixture
def opener(tmp_path: Path) -> Path:
    """A folder with an `xdg-open` that writes down what it gets."""
    program = tmp_path / "bin/xdg-open"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\n{{ echo "$1"; env; }} > {tmp_path}/seen.part\nmv {tmp_path}/seen.part {tmp_path}/seen\n'
    )
    program.chmod(0o755)
    return program.parent


CASES: list[tuple[dict[str, str], bool]] = [
    ({"DISPLAY": ":0"}, True),
    ({"WAYLAND_DISPLAY": "wayland-0"}, True),
    ({}, False),
    ({"DISPLAY": ":0", "SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}, False),
    ({"DISPLAY": ":0", "CI": "true"}, False),
    ({"DISPLAY": ":0", "PATH": "/nonexistent"}, False),
]


@pytest.mark.parametrize(("given", "expected"), CASES)
def test_where_a_browser_would_be_seen(
    opener: Path, given: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert desktop.present({"PATH": str(opener), **given}) is expected


def test_the_browser_gets_the_users_environment(opener: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    environment = {
        "PATH": f"{opener}:{os.environ['PATH']}",
        "HOME": "/home/me",
        "LD_LIBRARY_PATH": "/bundle/lib",
        "BUNDLE_USER_LD_LIBRARY_PATH": "/my/lib",
        "BUNDLE_FD": "3",
        "BUNDLE_ROOT": "/bundle",
        "_PYI_ARCHIVE_FILE": "/bundle/app",
    }
    desktop.open_page("http://127.0.0.1:11434", environment)
    until((tmp_path / "seen").exists)
    url, *lines = (tmp_path / "seen").read_text().splitlines()
    seen = dict(line.split("=", 1) for line in lines)
    assert url == "http://127.0.0.1:11434"
    assert seen["HOME"] == "/home/me"
    assert seen["LD_LIBRARY_PATH"] == "/my/lib"
    assert not [name for name in seen if name.startswith(("BUNDLE_", "_PYI_"))]


def test_no_browser_is_no_error(tmp_path: Path) -> None:
    desktop.open_page("http://127.0.0.1:11434", {"PATH": str(tmp_path)})
