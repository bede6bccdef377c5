"""docs/modelfile.md names what there is, and its example is one."""

from __future__ import annotations

import re

import pytest

from bundler.formats import parameters
from bundler.formats.modelfile import COMMANDS, parse
from bundler.formats.modelfile.values import MAX_COMMANDS, MAX_SIZE
from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "modelfile.md").read_text(encoding="utf-8")


def named(row: str) -> list[str]:
    """What stands in backquotes in the row of a table that begins so."""
    line = next(line for line in TEXT.splitlines() if line.startswith(f"| {row}"))
    return sorted(re.findall(r"`([a-z0-9_]+)`", line))


def test_every_command_is_in_the_table() -> None:
    rows = [line.split("|")[1] for line in TEXT.splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`([A-Z]+)`", "".join(rows))) == sorted(name.upper() for name in COMMANDS)


@pytest.mark.parametrize(("row", "kind"), [("whole number", int), ("number", float), ("true", bool), ("text", str)])
def test_every_parameter_is_named_with_its_type(row: str, kind: type) -> None:
    assert named(row) == sorted(name for name, of in parameters.TYPES.items() if of is kind)


def test_every_old_parameter_is_named() -> None:
    assert named("told and ignored") == sorted(parameters.DEPRECATED)


def test_the_limits_are_as_said() -> None:
    assert f"at most {MAX_SIZE >> 20} MiB and {MAX_COMMANDS} commands" in TEXT


def test_the_example_is_a_modelfile() -> None:
    example = parse(TEXT.split("```")[1].encode())
    assert [command.name for command in example.commands] == [
        "from", "system", "parameter", "parameter", "message", "message"
    ]  # fmt: skip
    assert example.commands[1].value == 'You are a "patient" teacher.\nAnswer in one sentence.'
    assert example.notices == []
