"""What ELF files say they need, read from files that a real linker made."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bundler.build import closure, elf
from bundler.errors import BundleError

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler (cc)"
)


def link(target: Path, *options: str) -> Path:
    source = target.with_suffix(".c")
    source.write_text("int main(void) { return 0; }\n", encoding="utf-8")
    subprocess.run(["cc", str(source), "-o", str(target), *options], check=True)
    return target


def test_needed_runpath_and_interpreter_of_a_program(tmp_path: Path) -> None:
    path = link(tmp_path / "program", "-Wl,--no-as-needed,-lm,-rpath,/opt/elsewhere:$ORIGIN")
    found = elf.read(path)
    assert found.needed == ("libm.so.6", "libc.so.6")
    assert found.runpath == "/opt/elsewhere:$ORIGIN"
    assert Path(found.interpreter).exists()


def test_library_without_any_of_it(tmp_path: Path) -> None:
    found = elf.read(link(tmp_path / "library.so", "-shared", "-nostdlib"))
    assert (found.needed, found.runpath, found.interpreter) == ((), "", "")


def test_clearing_the_search_path_keeps_the_program_working(tmp_path: Path) -> None:
    path = link(tmp_path / "program", "-Wl,-rpath,/opt/elsewhere")
    elf.clear_runpath(path)
    assert elf.read(path).runpath == ""
    assert b"/opt/elsewhere" not in path.read_bytes()
    assert subprocess.run([path], check=False).returncode == 0


@pytest.mark.parametrize(
    "content", [b"", b"#!/bin/sh\n", b"\x7fELF\x01\x01" + bytes(100), b"\x7fELF\x02\x01" + b"\xff" * 80]
)
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=str(path)):
        elf.read(path)


def test_program_cut_short_is_refused_or_empty_but_never_a_crash(tmp_path: Path) -> None:
    whole = link(tmp_path / "program").read_bytes()
    for length in range(64, len(whole), 97):
        (tmp_path / "cut").write_bytes(whole[:length])
        try:
            elf.read(tmp_path / "cut")
        except ValueError as refusal:
            assert str(tmp_path / "cut") in str(refusal)  # noqa: PT017 - both outcomes are fine


def test_tree_with_a_library_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "libc").mkdir()
    link(tmp_path / "lib" / "library.so", "-shared", "-Wl,--no-as-needed,-lm")
    (tmp_path / "libc" / "libc.so.6").touch()
    with pytest.raises(BundleError) as caught:
        closure.check(tmp_path)
    assert caught.value.message == (
        "failed to complete the runtime: lib/library.so needs libm.so.6, which is not part of it"
    )
