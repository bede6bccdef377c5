"""What the frozen program does before anything else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bundler.runtime import __main__ as entry


@pytest.mark.parametrize("before", [["a.zip", "lib", "app"], ["app", "lib"], ["lib"]])
def test_modules_are_looked_for_in_the_archive_first(before: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", before)
    entry._look_in_archive_first("app")
    assert before == ["app", *(place for place in ("a.zip", "lib") if place in before)]


def test_msgspec_is_imported_without_the_slow_half_of_what_it_would_import() -> None:
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from bundler.runtime import __main__ as entry; entry._import_msgspec();"
            "print(sorted({'msgspec', 'typing_extensions', 'inspect'} & sys.modules.keys()));"
            "import typing_extensions; print(typing_extensions is not None)",
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    assert said.stdout.split("\n")[:2] == ["['msgspec']", "True"]
