"""`bundle diff`: every kind of difference by its name, and diff's exit codes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bundler.build.bundles import open_bundle
from bundler.build.gather import Adapter
from bundler.cli import command
from tests import models
from tests.adapters import write_adapter
from tests.build.conftest import SHAPE, Site

BASE = "FROM ./tiny.gguf\nTEMPLATE {{ .Prompt }}\nPARAMETER top_k 5\n"


def compare(site: Site, *options: str) -> Result:
    return CliRunner().invoke(command, ["diff", str(site.folder / "a"), str(site.folder / "b"), *options])


def differ(site: Site, modelfile: str, **options: Any) -> list[tuple[str, str]]:
    """Part and item of what differs from BASE."""
    site.told(BASE, "a")
    site.told(modelfile, "b", **options)
    result = compare(site, "--json")
    assert result.exit_code == 1
    return [(each["part"], each["item"]) for each in json.loads(result.stdout)["differences"]]


def test_bundles_that_are_equal(site: Site) -> None:
    site.told(BASE, "a")
    site.told(BASE, "b")
    assert (compare(site).exit_code, compare(site).stdout) == (0, "")
    result = compare(site, "--json")
    with open_bundle(site.folder / "a") as bundle:
        told = {"path": str(site.folder / "a"), "manifest_sha256": bundle.archive.manifest_sha256}
    assert json.loads(result.stdout) == {
        "old": told,
        "new": {**told, "path": str(site.folder / "b")},
        "equal": True,
        "differences": [],
    }


@pytest.mark.parametrize(
    ("modelfile", "found"),
    [
        (f"{BASE}SYSTEM x\n", ["system"]),
        (f"{BASE}MESSAGE user x\n", ["message 1"]),
        (f"{BASE}PARAMETER top_k 6\nPARAMETER top_p 0.5\n", ["parameter top_k", "parameter top_p"]),
        (f"{BASE}REQUIRES 0.14.0\n", ["requires"]),
        (f"{BASE}LICENSE MIT\n", ["license LICENSES/model.txt"]),
        (BASE.replace("{{ .Prompt }}", '"""{{ .Prompt }}\n"""'), ["template"]),
        (f"# told\n{BASE}", []),
    ],
)
def test_what_a_modelfile_changes_is_named(site: Site, modelfile: str, found: list[str]) -> None:
    assert [" ".join(each).strip() for each in differ(site, modelfile)] == [*found, "Modelfile"]


def test_weights_and_adapters_are_named(site: Site) -> None:
    models.write_random(site.folder / "other.gguf", shape=SHAPE, seed=1)
    write_adapter(site.folder / "lora.gguf", site.folder / "tiny.gguf")
    adapter = Adapter(str(site.folder / "lora.gguf"), 0.5)
    found = differ(site, BASE.replace("tiny", "other"), adapters=[adapter])
    assert found == [("weights", "chat"), ("adapter", "adapters/lora.gguf"), ("Modelfile", "")]
    lines = compare(site).stdout.splitlines()
    assert lines[0] == f"--- {site.folder / 'a'}"
    assert [line[: line.index(", sha256")] for line in lines[2:5]] == [
        "-weights chat: models/tiny.gguf, F16, 56.9 KiB",
        "+weights chat: models/other.gguf, F16, 56.9 KiB",
        "+adapter adapters/lora.gguf: F32, 6.69 KiB",
    ]
    assert lines[4].endswith("scale 0.5")


def test_runtime_launcher_name_and_page_are_named(site: Site) -> None:
    site.bring("b")
    (site.folder / "own.toml").write_text('greeting = "Hello"\n')
    found = differ(site, BASE, pack=site.pack.id, name="other", page=site.folder / "own.toml")
    assert [part for part, _ in found] == ["name", "page", "runtime", "launcher"]


def test_texts_are_told_line_by_line(site: Site) -> None:
    site.told(BASE + 'SYSTEM """one\ntwo\nthree"""\n', "a")
    site.told(BASE + 'SYSTEM """one\n2\nthree"""\n', "b")
    result = compare(site)
    assert result.stdout.splitlines()[2:5] == ["@@ -2 +2 @@", "-system: two", "+system: 2"]


def test_what_only_the_container_has_is_told_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert differ_after(site, monkeypatch, "1700000000") == [("container", "")]
    with (site.folder / "a").open("ab") as file:
        file.write(b"signature")
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    site.told(BASE, "b")
    assert json.loads(compare(site, "--json").stdout)["differences"] == [
        {"part": "appended", "item": "", "old": 9, "new": 0}
    ]


def differ_after(site: Site, monkeypatch: pytest.MonkeyPatch, epoch: str) -> list[tuple[str, str]]:
    site.told(BASE, "a")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    site.told(BASE, "b")
    return [(each["part"], each["item"]) for each in json.loads(compare(site, "--json").stdout)["differences"]]


def test_quiet_says_it_by_the_exit_code(site: Site) -> None:
    differ(site, f"{BASE}SYSTEM x\n")
    assert (compare(site, "-q").exit_code, compare(site, "-q").stdout) == (1, "")


def test_what_cannot_be_read_is_trouble(site: Site) -> None:
    site.told(BASE, "a")
    result = compare(site)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: failed to open {site.folder / 'b'}: No such file")
