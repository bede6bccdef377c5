"""`bundle runtime` as typed by a person or called by a script."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.build.test_packs import FOREIGN, archived, make_pack

_COMMAND = "import sys; from bundler.cli import main; sys.exit(main())"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUNDLE_CACHE", str(tmp_path / "cache"))


def bundle(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _COMMAND, "runtime", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_carrying_a_pack_from_machine_to_machine(tmp_path: Path) -> None:
    archive = archived(tmp_path / "came.pack", make_pack())
    assert bundle("import", archive, "--quiet").returncode == 0
    (listed,) = json.loads(bundle("list", "--json").stdout)
    assert listed["target"] == FOREIGN
    assert listed["llama_cpp"] == "0.3.36"
    identity = listed["id"]
    assert f"{identity[:12]}  {FOREIGN}" in bundle("list").stdout
    exported = bundle("export", identity[:8], "-o", tmp_path / "goes.pack")
    assert (exported.returncode, exported.stdout) == (0, f"{tmp_path / 'goes.pack'}\n")
    with tarfile.open(tmp_path / "goes.pack") as tar:
        assert "pack.json" in tar.getnames()
    removed = bundle("remove", identity[:8])
    assert (removed.returncode, removed.stdout) == (0, f"Removed {identity[:12]} ({FOREIGN}).\n")
    assert json.loads(bundle("list", "--json").stdout) == []
    assert bundle("list").stderr == "No runtime pack yet; `bundle runtime build` makes one.\n"


@pytest.mark.parametrize("command", ["export", "remove"])
def test_unknown_pack(command: str) -> None:
    result = bundle(command, "abc")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "error: failed to find the runtime pack abc: there is none\n"
        "hint: bundle runtime list shows the packs that are there\n"
    )


def test_import_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(io.BytesIO(b"GGUF" * 1000).getvalue())
    result = bundle("import", path)
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: failed to import {path}: ")
    assert len(result.stderr.splitlines()) == 2
