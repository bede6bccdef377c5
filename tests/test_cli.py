"""`bundle` where something happens that nobody expected."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from bundler import cli
from bundler.build import bundles


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        raise RuntimeError("odd")

    monkeypatch.setattr(bundles, "open_bundle", fail)
    monkeypatch.setattr(sys, "argv", ["bundle", "inspect", "m"])
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)


@pytest.mark.usefixtures("broken")
def test_a_fault_of_ours_is_an_error_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 1
    assert capsys.readouterr().err == (
        "error: failed unexpectedly: RuntimeError: odd\n"
        "hint: please report it; with the variable BUNDLE_VERBOSE=1 it says where\n"
    )


@pytest.mark.usefixtures("broken")
def test_a_fault_of_ours_says_where_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUNDLE_VERBOSE", "1")
    with pytest.raises(RuntimeError, match="odd"):
        cli.main()
