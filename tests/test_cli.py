"""`bundle` where something happens that nobody expected, or that somebody means ill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bundler import cli
from bundler.build import assemble, bundles
from bundler.build.gather import Adapter
from bundler.build.progress import Silent
from bundler.build.write import write_bundle
from bundler.errors import BundleError
from bundler.formats.manifest import Manifest, Template


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


def test_a_downloaded_bundle_does_not_steer_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "launcher").write_bytes(b"launcher")
    weird = Manifest(name="m\x1b]0;owned\x07", bundler="0\x9b2J", runtime={}, models=[], system="\x1b[2J")
    path = write_bundle(tmp_path / "m.exe", tmp_path / "launcher", [], {}, weird, Silent()).path
    result = CliRunner().invoke(cli.command, ["inspect", str(path)])
    assert result.exit_code == 0
    assert result.stdout.startswith("m�]0;owned�  ")
    assert not set(result.stdout) & {"\x1b", "\x07", "\x9b"}


def test_inspect_tells_the_template_and_what_stops(tmp_path: Path) -> None:
    (tmp_path / "launcher").write_bytes(b"launcher")
    template = Template(kind="go", text="x", source="modelfile", reason="the Modelfile's TEMPLATE", stops=["<｜end｜>"])
    made = Manifest(
        name="m", bundler="0", runtime={}, models=[], template=template, parameters={"stop": ["a\n"]}, requires="0.14"
    )
    path = write_bundle(tmp_path / "m.exe", tmp_path / "launcher", [], {}, made, Silent()).path
    lines = CliRunner().invoke(cli.command, ["inspect", str(path)]).stdout.splitlines()
    assert "template  go: the Modelfile's TEMPLATE" in lines
    assert 'stops     "<｜end｜>", "a\\n"' in lines
    assert "requires  0.14" in lines


def test_a_terminal_that_cannot_show_a_character(tmp_path: Path) -> None:
    (tmp_path / "launcher").write_bytes(b"launcher")
    friendly = Manifest(name="m", bundler="0", runtime={}, models=[], system="Grüße 🦙")
    path = write_bundle(tmp_path / "m.exe", tmp_path / "launcher", [], {}, friendly, Silent()).path
    result = subprocess.run(
        [sys.executable, "-c", "from bundler.cli import main; main()", "inspect", path],
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        encoding="latin-1",
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert 'system    "Grüße ?"' in result.stdout


@pytest.mark.parametrize(
    ("given", "file", "scale"),
    [("a.gguf", "a.gguf", 1.0), ("a.gguf=0.5", "a.gguf", 0.5), ("a=b.gguf", "a=b.gguf", 1.0), ("a=b=-2", "a=b", -2.0)],
)
def test_an_adapter_may_have_a_scale(
    given: str, file: str, scale: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Adapter] = []

    def build(*arguments: object, adapters: list[Adapter], **options: object) -> None:
        asked.extend(adapters)
        raise BundleError("enough")

    monkeypatch.setattr(assemble, "build_bundle", build)
    result = CliRunner().invoke(cli.command, ["build", "-o", str(tmp_path / "m"), "--adapter", given])
    assert isinstance(result.exception, BundleError)
    assert asked == [Adapter(file, scale)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--quantize", "Q9"], "'Q9' is not one of 'Q1_0', 'Q2_0', "),
        (["--imatrix", "i"], "--imatrix needs --quantize TYPE"),
        (["--requantize"], "--requantize needs --quantize TYPE"),
    ],
)
def test_quantizing_asked_for_in_a_wrong_way(options: list[str], said: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(cli.command, ["build", "-o", str(tmp_path / "m"), *options])
    assert result.exit_code == 2
    assert said.lower() in result.stderr.lower()
