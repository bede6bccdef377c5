"""Another bundle as FROM: its weights, its settings by Ollama's rules, its runtime where it is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bundler.build import bundles
from bundler.build.progress import Silent
from bundler.build.upgrade import upgrade
from bundler.errors import BundleError
from bundler.formats.manifest import FORMAT, Message
from tests.build.conftest import Site, check
from tests.build.sources.making import fails
from tests.build.test_packs import FOREIGN

TEMPLATE = "{{ .System }}<|im_start|>{{ .Prompt }}<|im_end|>{{ .Response }}<|im_end|>"
BASE = f"""FROM ./tiny.gguf
TEMPLATE {TEMPLATE}
SYSTEM Old system.
PARAMETER temperature 0.2
PARAMETER top_k 7
PARAMETER stop a
PARAMETER stop b
MESSAGE user hi
MESSAGE assistant yo
LICENSE First licence.
REQUIRES 0.14.0
"""


def test_all_that_is_not_said_again_is_inherited(site: Site) -> None:
    site.build(BASE, "base.exe")
    built = site.build("FROM ./base.exe\n", "new.exe")
    assert (site.folder / "new.exe").read_bytes() == (site.folder / "base.exe").read_bytes()
    assert built.written.manifest.system == "Old system."


def test_what_is_said_again_replaces_by_ollamas_rules(site: Site) -> None:
    site.build(BASE, "base.exe")
    built = site.build(
        "FROM ./base.exe\nSYSTEM New.\nPARAMETER temperature 0.9\nPARAMETER stop c\nMESSAGE user ho\nLICENSE Second.\n",
        "new.exe",
    )
    made = built.written.manifest
    assert made.template
    assert made.template.text == TEMPLATE
    assert made.system == "New."
    assert made.parameters == {"temperature": 0.9, "top_k": 7, "stop": ["c"]}
    assert made.messages == [Message("user", "ho")]
    assert made.requires == "0.14.0"
    assert [site.member("new.exe", name) for name in made.licenses] == [b"First licence.", b"Second."]
    assert site.modelfile("new.exe") == (
        f"FROM ./models/tiny.gguf\nTEMPLATE {TEMPLATE}\nPARAMETER top_k 7\nLICENSE First licence.\nREQUIRES 0.14.0\n"
        "SYSTEM New.\nPARAMETER temperature 0.9\nPARAMETER stop c\nMESSAGE user ho\nLICENSE Second.\n"
    )


def test_what_comes_out_of_a_variant_builds_the_variant_again(site: Site, tmp_path: Path) -> None:
    site.build(BASE, "base.exe")
    site.build('FROM "./base.exe"\nSYSTEM New.\n', "new.exe")
    bundles.extract(tmp_path / "new.exe", tmp_path / "out", (), Silent())
    site.build((tmp_path / "out" / "Modelfile").read_text().replace("./", "./out/"), "again.exe")
    assert (tmp_path / "again.exe").read_bytes() == (tmp_path / "new.exe").read_bytes()


def test_weights_beside_the_base_go_into_the_new_bundle(site: Site) -> None:
    site.build(BASE, "base.exe", external_weights=True)
    site.build(BASE, "whole.exe")
    site.build("FROM ./base.exe\n", "new.exe")
    assert site.manifest("new.exe").models[0].sha256 == site.manifest("whole.exe").models[0].sha256
    (sidecar,) = site.folder.glob("base-*.gguf")
    sidecar.unlink()
    with pytest.raises(BundleError) as caught:
        site.build("FROM ./base.exe\n", "new.exe")
    assert caught.value.message == f"failed to read {sidecar}: there is no such file"
    assert caught.value.hint == f"the bundle comes as two files; put {sidecar.name} beside base.exe"


def test_damaged_weights_are_found_while_they_are_copied(site: Site) -> None:
    site.build(BASE, "base.exe")
    with bundles.open_bundle(site.folder / "base.exe") as bundle:
        entry = bundle.archive.entries["models/tiny.gguf"]
    data = bytearray((site.folder / "base.exe").read_bytes())
    data[entry.offset + entry.size - 1] ^= 1
    (site.folder / "base.exe").write_bytes(data)
    with pytest.raises(BundleError, match="its SHA-256 is") as caught:
        site.build("FROM ./base.exe\n", "new.exe")
    assert caught.value.message.startswith(f"failed to read {site.folder / 'base.exe'}, member models/tiny.gguf: ")
    assert caught.value.hint == "the file is damaged or was changed; get it again from its source"
    assert not (site.folder / "new.exe").exists()


def test_the_page_and_unknown_keys_are_kept(site: Site) -> None:
    (site.folder / "page.toml").write_text('greeting = "Hello"\n')
    site.build(BASE, "base.exe")
    (site.folder / "page.toml").unlink()

    def change(facts: dict[str, Any]) -> None:
        facts["of_later"] = {"a": [1]}
        facts["models"][0]["of_later"] = True

    site.rewrite("base.exe", change)
    site.build("FROM ./base.exe\nSYSTEM New.\n", "new.exe")
    facts = json.loads(site.member("new.exe", "bundle.json"))
    assert facts["of_later"] == {"a": [1]}
    assert facts["models"][0]["of_later"] is True
    assert facts["page"]["greeting"] == "Hello"
    check(site.folder / "new.exe")


def test_the_runtime_is_of_now_or_kept(site: Site) -> None:
    old = site.pack.id
    site.build(BASE, "base.exe")
    new = site.bring("b").id
    site.build("FROM ./base.exe\n", "new.exe", pack=new)
    site.build("FROM ./base.exe\n", "kept.exe", keep_runtime=True, target=None)
    assert site.manifest("new.exe").runtime[FOREIGN].pack == new
    assert site.manifest("kept.exe").runtime[FOREIGN].pack == old
    assert (site.folder / "kept.exe").read_bytes() == (site.folder / "base.exe").read_bytes()
    assert (site.folder / "new.exe").read_bytes().startswith(b"\x7fELF launcher of b")


def test_a_runtime_that_cannot_be_kept(site: Site) -> None:
    with pytest.raises(BundleError) as caught:
        site.build(BASE, "new.exe", keep_runtime=True)
    assert (caught.value.message, caught.value.hint) == (
        "failed to keep the runtime: FROM names no bundle",
        "leave out --keep-runtime",
    )
    site.build(BASE, "base.exe")
    with pytest.raises(BundleError) as caught:
        site.build("FROM ./base.exe\n", "new.exe", keep_runtime=True, target="windows-x86_64", pack="abc")
    assert (caught.value.message, caught.value.hint) == (
        f"failed to keep the runtime of {site.folder / 'base.exe'}: it is one for {FOREIGN}",
        "leave out --keep-runtime, or --target and --runtime",
    )


def test_upgrade_changes_launcher_and_runtime_only(site: Site) -> None:
    site.build(BASE, "base.exe")

    def change(facts: dict[str, Any]) -> None:
        facts["of_later"] = 1

    site.rewrite("base.exe", change, **{"later/file": b"kept"})
    new = site.bring("b")
    warnings: list[str] = []
    upgrade(site.folder / "base.exe", site.folder / "up.exe", pack=new.id, progress=Silent(), warn=warnings.append)
    check(site.folder / "up.exe")
    assert warnings == []
    assert site.member("up.exe", "later/file") == b"kept"
    assert json.loads(site.member("up.exe", "bundle.json"))["of_later"] == 1
    before, after = site.manifest("base.exe"), site.manifest("up.exe")
    assert after.runtime[FOREIGN].pack == new.id
    assert (after.template, after.system, after.parameters) == (before.template, before.system, before.parameters)
    assert [model.sha256 for model in after.models] == [model.sha256 for model in before.models]
    assert (site.folder / "up.exe").read_bytes().startswith(b"\x7fELF launcher of b")


def test_an_upgrade_is_what_a_build_with_that_runtime_would_be(site: Site) -> None:
    site.build(BASE, "base.exe")
    new = site.bring("b")
    site.build(BASE, "fresh.exe", pack=new.id)
    upgrade(site.folder / "base.exe", site.folder / "up.exe", pack=new.id, progress=Silent(), warn=print)
    assert (site.folder / "up.exe").read_bytes() == (site.folder / "fresh.exe").read_bytes()


def test_the_evaluated_prompt_of_the_base_is_left_out_and_that_is_told(site: Site) -> None:
    site.build(BASE, "base.exe")

    def change(facts: dict[str, Any]) -> None:
        facts["warm"] = {"member": "state/x", "size": 5, "sha256": "", "tokens": [1], "exact": 1, "guard": "g"}

    site.rewrite("base.exe", change, **{"state/x": b"state"})
    built, warnings = site.told("FROM ./base.exe\n", "new.exe")
    assert built.written.manifest.warm is None
    told = f"the evaluated prompt of {site.folder / 'base.exe'} is left out; build with --warm to have one"
    assert told in warnings
    upgrade(site.folder / "base.exe", site.folder / "up.exe", pack=None, progress=Silent(), warn=print)
    assert site.manifest("up.exe").warm
    assert site.member("up.exe", "state/x") == b"state"


def test_a_base_of_an_older_format(site: Site) -> None:
    site.build(BASE, "base.exe")
    new = (site.folder / "base.exe").read_bytes()

    def change(facts: dict[str, Any]) -> None:
        facts["format"] = 0
        for key in ("page", "warm", "specials", "requires"):
            del facts[key]

    site.rewrite("base.exe", change)
    assert site.manifest("base.exe").format == 0
    site.build("FROM ./base.exe\n", "new.exe")
    assert (site.folder / "new.exe").read_bytes() == new
    upgrade(site.folder / "base.exe", site.folder / "up.exe", pack=None, progress=Silent(), warn=print)
    assert site.manifest("up.exe").format == 1


def test_a_base_of_a_newer_format(site: Site) -> None:
    site.build(BASE, "base.exe")

    def change(facts: dict[str, Any]) -> None:
        facts["format"] = FORMAT + 1

    site.rewrite("base.exe", change)
    with pytest.raises(BundleError, match=f"its format is {FORMAT + 1}, and this program knows formats up to {FORMAT}"):
        site.build("FROM ./base.exe\n", "new.exe")


def test_an_upgrade_keeps_weights_beside_it(site: Site) -> None:
    site.build(BASE, "base.exe", external_weights=True)
    written = upgrade(site.folder / "base.exe", site.folder / "up.exe", pack=None, progress=Silent(), warn=print)
    (sidecar,) = written.sidecars
    assert sidecar.name == f"up-{written.manifest.models[0].sha256[:8]}.gguf"


def test_an_upgrade_of_no_bundle(site: Site) -> None:
    with pytest.raises(BundleError, match=r"tiny\.gguf: failed to find a bundle in the file"):
        upgrade(site.folder / "tiny.gguf", site.folder / "up", pack=None, progress=Silent(), warn=print)
    site.build(BASE, "base.exe")
    with pytest.raises(BundleError, match=r"base\.exe: it is one of the inputs"):
        upgrade(site.folder / "base.exe", site.folder / "base.exe", pack=None, progress=Silent(), warn=print)


def test_a_bundle_without_a_model(site: Site) -> None:
    site.build(BASE, "base.exe")

    def change(facts: dict[str, Any]) -> None:
        facts["models"] = []

    site.rewrite("base.exe", change)
    assert fails("base.exe", site.folder) == ("base.exe is a bundle without a model", "name one that holds a model")
