"""Several models in one bundle: `bundle build --add`, and what reads such a bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bundler.build import bundles
from bundler.build.adding import Addition
from bundler.build.apply import apply
from bundler.build.assemble import Built
from bundler.build.patch import make
from bundler.build.progress import Silent
from bundler.build.upgrade import upgrade
from bundler.cli import command
from bundler.errors import BundleError
from bundler.formats import manifest as manifests
from tests import models
from tests.adapters import write_adapter
from tests.build.conftest import NOT_TRIED, SHAPE, Site

BASE = "FROM ./tiny.gguf\nPARAMETER top_k 5\nLICENSE MIT\n"
OTHER = "FROM ../other.gguf\nSYSTEM Be kind.\nPARAMETER top_k 7\nLICENSE first\nLICENSE second\nMESSAGE user Hi\n"


@pytest.fixture
def several(site: Site) -> Site:
    """With a second model, and a Modelfile for it in a folder."""
    models.write_random(site.folder / "other.gguf", shape=SHAPE, seed=1)
    write(site, OTHER)
    return site


def write(site: Site, text: str, name: str = "other") -> Path:
    folder = site.folder / name
    folder.mkdir(exist_ok=True)
    (folder / "Modelfile").write_text(text, encoding="utf-8")
    return folder


def added(site: Site, *names: str) -> list[Addition]:
    return [Addition(name, site.folder / "other") for name in names]


def build(site: Site, output: str, modelfile: str = BASE, **options: Any) -> Built:
    return site.build(modelfile, output, **options)


def test_a_second_model_brings_all_that_is_its_own(several: Site) -> None:
    build(several, "a", additions=added(several, "kind one"))
    manifest = several.manifest("a")
    (entry,) = manifest.added
    assert (manifest.format, manifest.names) == (2, ["demo", "kind one"])
    assert (entry.system, entry.parameters, entry.messages[0].content) == ("Be kind.", {"top_k": 7}, "Hi")
    assert [model.member for model in entry.models] == ["models/other.gguf"]
    assert entry.template is not None
    assert entry.template.source == "gguf"
    assert several.member("a", "models/other.gguf") == (several.folder / "other.gguf").read_bytes()
    assert several.member("a", "Modelfile-kind-one").decode() == OTHER.replace("../other", "./models/other")
    assert entry.licenses == ["LICENSES/added-kind-one/model.txt", "LICENSES/added-kind-one/model-2.txt"]
    assert several.member("a", entry.licenses[1]) == b"second"
    assert (manifest.system, manifest.parameters, manifest.licenses) == (None, {"top_k": 5}, ["LICENSES/model.txt"])


def test_one_model_alone_is_of_the_first_format(several: Site) -> None:
    build(several, "a")
    assert several.manifest("a").format == 1


def test_a_program_that_knows_one_model_alone_refuses_several(several: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    build(several, "a", additions=added(several, "other"))
    monkeypatch.setattr(manifests, "FORMAT", 1)
    with pytest.raises(BundleError, match="its format is 2, and this program knows formats up to 1"):
        several.manifest("a")


def test_the_same_weights_lie_in_the_bundle_once(several: Site) -> None:
    write(several, "FROM ../tiny.gguf\nSYSTEM Talk like a pirate.\n")
    build(several, "a", additions=added(several, "pirate"))
    manifest = several.manifest("a")
    assert manifest.added[0].models[0].member == manifest.models[0].member
    assert [member.name for member in manifest.members if member.name.startswith("models/")] == ["models/tiny.gguf"]
    assert several.member("a", "models/tiny.gguf") == (several.folder / "tiny.gguf").read_bytes()
    written = build(several, "b", additions=added(several, "pirate"), external_weights=True).written
    assert len(written.sidecars) == 1
    bundles.verify_bundle(several.folder / "b", Silent())


def test_files_of_one_name_are_two_members(several: Site) -> None:
    models.write_random(several.folder / "other" / "tiny.gguf", shape=SHAPE, seed=2)
    write_adapter(several.folder / "other" / "lora.gguf", several.folder / "other" / "tiny.gguf")
    write(several, "FROM ./tiny.gguf\nADAPTER ./lora.gguf\n")
    build(several, "a", additions=added(several, "one", "o ne", "o-ne"))
    first, *others = several.manifest("a").added
    assert [model.member for model in first.models] == ["models/tiny-2.gguf", "adapters/lora.gguf"]
    assert [entry.modelfile for entry in others] == ["Modelfile-o-ne", "Modelfile-o-ne-2"]
    assert [entry.models for entry in others] == [first.models, first.models]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["demo"], "failed to add the model 'demo': it is the main model's"),
        (["x", "x"], "failed to add the model 'x': two of --add have this name"),
        ([""], "failed to add the model '': a name has 1 to 128 characters that print, and no space at its ends"),
        (["x\n"], "failed to add the model 'x\\n': a name has 1 to 128 characters that print"),
        (["default"], "failed to add the model 'default': requests call the main model so"),
    ],
)
def test_names_that_cannot_be(several: Site, names: list[str], message: str) -> None:
    with pytest.raises(BundleError) as caught:
        build(several, "a", additions=added(several, *names))
    assert caught.value.message.startswith(message)
    assert not (several.folder / "a").exists()


def test_an_error_in_its_modelfile_has_its_place(several: Site) -> None:
    folder = write(several, "FROM ../other.gguf\nPARAMETR top_k 1\n")
    with pytest.raises(BundleError) as caught:
        build(several, "a", additions=added(several, "other"))
    assert f"{folder / 'Modelfile'}:2" in caught.value.message


def test_the_command_line(several: Site) -> None:
    (several.folder / "Modelfile").write_text(BASE)
    arguments = ["build", str(several.folder), "-o", str(several.folder / "a"), "--name", "demo", "--target"]
    arguments += [several.pack.target, "--add"]
    result = CliRunner().invoke(command, [*arguments, "other"])
    assert result.exit_code == 2
    assert "'other' is no NAME=MODELFILE" in result.output
    result = CliRunner().invoke(command, [*arguments, f"other={several.folder / 'other'}"])
    assert result.exit_code == 0
    assert "  added:    other (models/other.gguf; template: " in result.output
    result = CliRunner().invoke(command, ["inspect", str(several.folder / "a")])
    lines = result.output.splitlines()
    assert lines[lines.index("added     other") + 1].startswith("  chat      models/other.gguf  llama, F16")
    assert '  system    "Be kind."' in lines
    assert "  parameter top_k 7" in lines
    result = CliRunner().invoke(command, ["inspect", "--json", str(several.folder / "a")])
    assert json.loads(result.output)["added"][0]["name"] == "other"


def test_a_base_brings_its_models_along_unless_told_otherwise(several: Site) -> None:
    build(several, "base", additions=added(several, "one", "two"))
    build(several, "new", "FROM ./base\nSYSTEM New.\n")
    old, new = several.manifest("base"), several.manifest("new")
    assert (new.system, new.added) == ("New.", old.added)
    assert several.member("new", "LICENSES/added-one/model.txt") == b"first"
    write(several, OTHER.replace("kind", "rude"))
    build(several, "new", "FROM ./base\n", additions=[Addition("one", None), *added(several, "two")])
    assert [(entry.name, entry.system) for entry in several.manifest("new").added] == [("two", "Be rude.")]
    with pytest.raises(BundleError) as caught:
        build(several, "new", "FROM ./base\n", additions=[Addition("three", None)])
    assert caught.value.message == "failed to leave out the model 'three': FROM brings none of this name"
    assert caught.value.hint == "it brings one, two"
    with pytest.raises(BundleError, match=r"failed to name the model 'two': .*base brings another one of this name"):
        build(several, "new", "FROM ./base\n", name="two")


def test_of_a_base_the_main_model_alone_is_added(several: Site) -> None:
    build(several, "base", additions=added(several, "one"))
    write(several, "FROM ../base\n")
    _, told = several.told(BASE, "new", additions=added(several, "x"))
    others = f"of {several.folder / 'base'} the main model alone is added, without one"
    assert [line for line in told if NOT_TRIED not in line] == [others]
    assert several.manifest("new").added[0].parameters == {"top_k": 5}


def test_weights_beside_a_base_are_not_taken_over(several: Site) -> None:
    build(several, "base", additions=added(several, "one"), external_weights=True)
    with pytest.raises(BundleError, match=r"failed to take over the model 'one' .*its weights lie beside the bundle"):
        build(several, "new", "FROM ./base\n")


def test_what_is_extracted_builds_the_same(several: Site) -> None:
    build(several, "a", additions=added(several, "other"))
    bundles.extract(several.folder / "a", several.folder / "out", [], Silent())
    text = (several.folder / "out" / "Modelfile").read_text()
    (several.folder / "models").symlink_to(several.folder / "out" / "models")
    again = [Addition("other", several.folder / "out" / "Modelfile-other")]
    build(several, "b", text, additions=again)
    assert (several.folder / "b").read_bytes() == (several.folder / "a").read_bytes()


def test_what_differs_is_named_with_the_model(several: Site) -> None:
    build(several, "a", additions=added(several, "other"))
    models.write_random(several.folder / "other.gguf", shape=SHAPE, seed=3)
    write(several, OTHER.replace("top_k 7", "top_k 8").replace("kind", "rude"))
    build(several, "b", additions=added(several, "other"))
    result = CliRunner().invoke(command, ["diff", "--json", str(several.folder / "a"), str(several.folder / "b")])
    found = [f"{each['part']} {each['item']}" for each in json.loads(result.output)["differences"]]
    assert found == ["weights other chat", "system other", "parameter other top_k", "Modelfile other"]
    build(several, "c")
    result = CliRunner().invoke(command, ["diff", "--json", str(several.folder / "a"), str(several.folder / "c")])
    found = [f"{each['part']} {each['item']}" for each in json.loads(result.output)["differences"]]
    assert {"weights other chat", "template other", "format ", "license LICENSES/added-other/model.txt"} <= set(found)


@pytest.mark.parametrize("external", [False, True])
def test_it_is_upgraded_and_patched(several: Site, external: bool) -> None:
    build(several, "old", additions=added(several, "other"), external_weights=external)
    write(several, OTHER.replace("kind", "rude"))
    build(several, "new", additions=added(several, "other"), external_weights=external)
    patch = several.folder / "patch"
    make(several.folder / "old", several.folder / "new", patch, Silent())
    (several.folder / "there").mkdir()
    apply(patch, several.folder / "old", several.folder / "there" / "new", Silent())
    assert (several.folder / "there" / "new").read_bytes() == (several.folder / "new").read_bytes()
    bundles.verify_bundle(several.folder / "there" / "new", Silent())
    upgrade(several.folder / "new", several.folder / "up", pack=None, progress=Silent(), warn=print)
    bundles.verify_bundle(several.folder / "up", Silent())
    assert (several.manifest("up").names, several.manifest("up").format) == (["demo", "other"], 2)
