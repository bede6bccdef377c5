"""What a stock machine lacks is named at once, all of it, with the packages to install."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bundler.build import preflight
from bundler.build.preflight import Lack

SCRIPT = Path(preflight.__file__)
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


def test_complete_machine_lacks_nothing() -> None:
    assert preflight.check() == []


def test_script_runs_alone_and_names_the_missing_compilers(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-I", SCRIPT], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == (
        "error: failed to start: this machine lacks a C compiler (cc) and a C++ compiler (c++)\n"
        "hint: on Debian and Ubuntu: apt install gcc g++\n"
    )


def test_script_is_silent_where_all_is_well() -> None:
    result = subprocess.run([sys.executable, "-I", SCRIPT], env=dict(os.environ), capture_output=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


def test_missing_venv_and_libpython_of_a_debian(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    monkeypatch.setattr("sysconfig.get_config_vars", lambda: {"LIBDIR": str(tmp_path), "MULTIARCH": "none"})
    monkeypatch.setattr(Path, "exists", lambda self: False)
    assert preflight.message(preflight.check()) == (
        f"failed to start: this machine lacks Python's venv module (for Python {VERSION}) and "
        f"the shared library of Python {VERSION}",
        f"on Debian and Ubuntu: apt install python{VERSION}-venv libpython{VERSION}",
    )


def test_python_built_without_shared_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    monkeypatch.setattr("sysconfig.get_config_vars", lambda: {"Py_ENABLE_SHARED": 0, "LIBDIR": str(tmp_path)})
    (lack,) = preflight.check()
    assert lack.packages == ()
    assert lack.otherwise == (
        f"{tmp_path} holds a Python without it: use the distribution's (make PYTHON=/usr/bin/python3) "
        "or rebuild this one with --enable-shared"
    )


def test_old_python_is_all_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "OLDEST", (99, 1))
    (lack,) = preflight.check()
    assert lack.what == f"Python 99.1 or newer (this is {VERSION})"


def test_message_lists_each_package_once() -> None:
    lacks = [Lack("a", ("p",), ""), Lack("b", ("p", "q"), "do this"), Lack("c", (), "")]
    assert preflight.message(lacks) == (
        "failed to start: this machine lacks a, b and c",
        "on Debian and Ubuntu: apt install p q; do this",
    )
