"""What the runtime is given when it is started: arguments, environment, descriptor, signals, exit code."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bundler.formats import targets

from .composing import Composed
from .conftest import Start


@pytest.mark.parametrize(
    "arguments",
    [[], ["one"], ["", "a b", "'\"$`\\", "日本語 ünï", "\n", "--argv0", "-"], ["x" * 100_000]],
    ids=["none", "one", "awkward", "long"],
)
def test_arguments_arrive_unchanged(bundle: Path, start: Start, arguments: list[str]) -> None:
    told = start(bundle, *arguments)
    assert (told.code, told.errors) == (0, "")
    assert told.arguments == arguments


@pytest.mark.parametrize("code", [0, 1, 2, 77, 255])
def test_the_exit_code_passes_through(bundle: Path, start: Start, code: int) -> None:
    assert start(bundle, "exit", str(code)).code == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_reaches_the_runtime(bundle: Path, home: Path, number: signal.Signals) -> None:
    with heard(number), subprocess.Popen([bundle, "wait"], env={"HOME": str(home)}, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            while not process.stdout.readline().startswith(b"fact"):
                assert process.poll() is None
            process.send_signal(number)
            assert process.wait(60) == -number
        finally:
            process.kill()


@contextmanager
def heard(number: signal.Signals) -> Iterator[None]:
    """Start processes that do not ignore the signal, also where the tests run in a shell's background (`&`, nohup)."""
    if number == signal.SIGKILL:
        yield
        return
    before = signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(number, before)


def test_what_the_launcher_says_of_itself(bundle: Path, home: Path, start: Start) -> None:
    variables = start(bundle).variables
    root = Path(variables["BUNDLE_ROOT"])
    assert variables["BUNDLE_EXE"] == str(bundle)
    assert variables["BUNDLE_TARGET"] == targets.host()
    assert root.parent == home / ".cache" / "bundle" / "runtime"
    assert (root / "app" / "told").exists()
    assert variables["LD_LIBRARY_PATH"] == f"{root}/app:{root}/lib"
    assert variables["_PYI_ARCHIVE_FILE"] == f"{root}/app/told"


def test_variables_that_steer_the_runtime_are_dropped(bundle: Path, home: Path, start: Start) -> None:
    dropped = ["GGML_BACKEND_PATH", "LLAMA_ARG_MODEL", "PYTHONPATH", "PYTHONHOME", "_PYI_SPLASH_IPC", "BUNDLE_HANDLE"]
    kept = {"BUNDLE_PORT": "1", "GGMLX": "2", "XPYTHON": "3", "LANG": "C.UTF-8", "EMPTY": "", "BUNDLE_FDS": "4"}
    told = start(bundle, environment={"HOME": str(home), **dict.fromkeys(dropped, "x"), **kept, "BUNDLE_FD": "999"})
    assert not set(dropped) & set(told.variables)
    assert kept.items() <= told.variables.items()
    assert told.variables["BUNDLE_FD"] != "999"


def test_the_users_library_path_is_kept_aside(bundle: Path, home: Path, start: Start) -> None:
    variables = start(bundle, environment={"HOME": str(home), "LD_LIBRARY_PATH": "/opt/mine"}).variables
    assert variables["BUNDLE_USER_LD_LIBRARY_PATH"] == "/opt/mine"
    assert "/opt/mine" not in variables["LD_LIBRARY_PATH"]


def test_an_inherited_library_path_of_another_start_is_forgotten(bundle: Path, home: Path, start: Start) -> None:
    told = start(bundle, environment={"HOME": str(home), "BUNDLE_USER_LD_LIBRARY_PATH": "/stale"})
    assert "BUNDLE_USER_LD_LIBRARY_PATH" not in told.variables


def test_the_descriptor_reads_the_file_from_its_beginning(bundle: Path, start: Start) -> None:
    assert start(bundle).facts == ["descriptor reads the file", "position 0"]


def test_closed_standard_streams_are_not_taken_for_the_file(bundle: Path, home: Path) -> None:
    result = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" 0<&- 2>&-', bundle], env={"HOME": str(home)}, stdout=subprocess.PIPE, check=True
    )
    variables = [bytes.fromhex(line.split()[1].decode()) for line in result.stdout.splitlines() if b"variable" in line]
    (descriptor,) = [int(variable[10:]) for variable in variables if variable.startswith(b"BUNDLE_FD=")]
    assert descriptor > 2


@pytest.mark.parametrize("name", ["my model.exe", "模型 ö", "-dash", "a'b\"c", "x" * 200])
def test_any_file_name_will_do(composed: Composed, tmp_path: Path, start: Start, name: str) -> None:
    path = composed.write(tmp_path / name)
    told = start(path)
    assert told.code == 0
    assert told.variables["BUNDLE_EXE"] == str(path)


def test_it_starts_through_a_link_by_a_relative_name_and_from_path(
    bundle: Path, tmp_path: Path, home: Path, start: Start
) -> None:
    link = tmp_path / "link"
    link.symlink_to(bundle)
    assert start(link).variables["BUNDLE_EXE"] == str(bundle)
    assert start("./bundle", cwd=tmp_path).variables["BUNDLE_EXE"] == str(bundle)
    result = subprocess.run(
        ["/bin/sh", "-c", "bundle"], env={"HOME": str(home), "PATH": str(tmp_path)}, capture_output=True, cwd="/"
    )
    assert result.returncode == 0


def test_the_runtime_can_start_itself_through_the_descriptor_after_the_file_is_gone(
    bundle: Path, tmp_path: Path, home: Path
) -> None:
    script = f'rm "$0"; exec /proc/self/fd/{(fd := os.open(bundle, os.O_RDONLY))} again'
    try:
        result = subprocess.run(
            ["/bin/sh", "-c", script, bundle], env={"HOME": str(home)}, pass_fds=[fd], capture_output=True
        )
    finally:
        os.close(fd)
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.count(b"fact " + b"descriptor reads the file".hex().encode()) == 2
    assert b"argument " + b"second".hex().encode() in result.stdout


def test_a_file_that_may_be_run_but_not_read_says_so(
    composed: Composed, nobody: tuple[Path, int], start: Start
) -> None:
    folder, user = nobody
    path = composed.write(folder / "bundle")
    path.chmod(0o111)
    told = start(path, user=user)
    assert told.code == 1
    assert told.errors == (
        f"error: failed to open the program's own file {path}: Permission denied\n"
        "hint: make the file readable for the user who starts it\n"
    )
