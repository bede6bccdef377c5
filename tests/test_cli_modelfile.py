"""`bundle modelfile`: the plain form, the places, and what is said about mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bundler import cli
from bundler.build.archive import Content
from bundler.build.progress import Silent
from bundler.build.write import write_bundle
from bundler.errors import BundleError
from bundler.formats.manifest import Manifest

UNTIDY = (
    '# mine\r\nfrom  "./m.gguf"\r\n\r\nParameter stop "<end>"\nPARAMETER num_gqa 8\n'
    'message user """Hi "you\n"""\nSYSTEM " a"'
)
PLAIN = 'FROM ./m.gguf\nPARAMETER stop <end>\nPARAMETER num_gqa 8\nMESSAGE user """Hi "you\n"""\nSYSTEM " a"\n'


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.command, ["modelfile", *map(str, arguments)])


def bundle_with(folder: Path, text: str) -> Path:
    (folder / "launcher").write_bytes(b"MZ launcher")
    manifest = Manifest(name="m", bundler="0", runtime={}, models=[])
    members = [Content("Modelfile", text.encode())]
    return write_bundle(folder / "m.exe", folder / "launcher", members, {}, manifest, Silent()).path


def test_the_plain_form_is_printed_and_doubts_beside_it(tmp_path: Path) -> None:
    (tmp_path / "Modelfile").write_bytes(UNTIDY.encode())
    for argument in (tmp_path, tmp_path / "Modelfile"):
        result = run(argument)
        assert (result.exit_code, result.stdout) == (0, PLAIN)
        told = 'unknown parameter "num_gqa" is ignored; did you mean num_gpu?'
        assert result.stderr == f"warning: {tmp_path / 'Modelfile'}:5:11: {told}\n"


def test_the_plain_form_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "Modelfile").write_bytes(PLAIN.encode())
    assert run(tmp_path).stdout == PLAIN


def test_without_an_argument_it_is_the_modelfile_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Modelfile").write_text("FROM x")
    assert run().stdout == "FROM x\n"


def test_characters_of_any_language_go_out_as_utf_8(tmp_path: Path) -> None:
    (tmp_path / "Modelfile").write_bytes("FROM ä🦙".encode("utf-16"))
    assert run(tmp_path).stdout_bytes == "FROM ä🦙\n".encode()


def test_places_for_scripts(tmp_path: Path) -> None:
    path = tmp_path / "Modelfile"
    path.write_bytes(b'FROM x\n  parameter top_k "3"\nPARAMETER mirostat 1\n')
    assert json.loads(run(path, "--json").stdout) == {
        "path": str(path),
        "commands": [
            {
                "command": "FROM",
                "key": "",
                "value": "x",
                "place": {"line": 1, "column": 1},
                "key_place": {"line": 1, "column": 6},
                "value_place": {"line": 1, "column": 6},
                "value_span": {"start": 5, "end": 6},
            },
            {
                "command": "PARAMETER",
                "key": "top_k",
                "value": "3",
                "place": {"line": 2, "column": 3},
                "key_place": {"line": 2, "column": 13},
                "value_place": {"line": 2, "column": 19},
                "value_span": {"start": 25, "end": 28},
            },
            {
                "command": "PARAMETER",
                "key": "mirostat",
                "value": "1",
                "place": {"line": 3, "column": 1},
                "key_place": {"line": 3, "column": 11},
                "value_place": {"line": 3, "column": 20},
                "value_span": {"start": 48, "end": 49},
            },
        ],
        "parameters": {"top_k": 3},
        "warnings": [{"line": 3, "column": 11, "text": "parameter mirostat is deprecated and ignored"}],
    }


def test_of_a_bundle_it_is_the_one_inside(tmp_path: Path) -> None:
    assert run(bundle_with(tmp_path, "# c\nFROM ./models/m.gguf\n")).stdout == "FROM ./models/m.gguf\n"


def test_a_damaged_modelfile_in_a_bundle_is_told(tmp_path: Path) -> None:
    path = bundle_with(tmp_path, "FROM ./models/m.gguf\n")
    path.write_bytes(path.read_bytes().replace(b"models/m.gguf", b"models/x.gguf"))
    error = run(path).exception
    assert isinstance(error, BundleError)
    assert error.message == (f"{path}, member Modelfile: failed to verify: its SHA-256 differs from the recorded one")


def test_a_program_that_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "tool").write_bytes(b"\x7fELF" + bytes(100))
    error = run(tmp_path / "tool").exception
    assert isinstance(error, BundleError)
    assert error.message == f"{tmp_path / 'tool'}: failed to find a bundle in the file: its end is not there"


def test_a_mistake_is_shown_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "Modelfile").write_text("FROM x\nSISTEM y\n")
    error = run(tmp_path).exception
    assert isinstance(error, BundleError)
    assert error.render() == (
        f'error: failed to read Modelfile: {tmp_path / "Modelfile"}:2:1: unknown command "SISTEM"\n'
        "  SISTEM y\n  ^\nhint: did you mean SYSTEM?"
    )
