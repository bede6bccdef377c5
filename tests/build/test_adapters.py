"""LoRA adapters in a build: where they come from, what goes into the bundle, and those that do not fit the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bundler.build.gather import Adapter
from bundler.build.plan import plan
from bundler.errors import BundleError
from tests.adapters import write_adapter
from tests.build.conftest import Site


@pytest.fixture
def project(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site with two adapters of its model; it is the working folder too."""
    write_adapter(site.folder / "one.gguf", site.folder / "tiny.gguf")
    (site.folder / "more").mkdir()
    write_adapter(site.folder / "more" / "one.gguf", site.folder / "tiny.gguf", seed=1)
    monkeypatch.chdir(site.folder)
    return site


def test_adapters_are_members_of_their_own(project: Site) -> None:
    built = project.build("FROM ./tiny.gguf\nADAPTER ./one.gguf\nSYSTEM x\nADAPTER ./more/one.gguf\n", "m.exe")
    manifest = built.written.manifest
    assert [(adapter.member, adapter.scale) for adapter in manifest.adapters] == [
        ("adapters/one.gguf", 1.0),
        ("adapters/one-2.gguf", 1.0),
    ]
    assert project.member("m.exe", "adapters/one-2.gguf") == (project.folder / "more/one.gguf").read_bytes()
    assert all(member.offset % 65536 == 0 for member in manifest.members if member.name.startswith("adapters/"))
    assert project.modelfile("m.exe") == (
        "FROM ./models/tiny.gguf\nADAPTER ./adapters/one.gguf\nSYSTEM x\nADAPTER ./adapters/one-2.gguf\n"
    )


def test_an_adapter_beside_the_modelfile_comes_last_and_may_have_a_scale(project: Site) -> None:
    built = project.build("FROM ./tiny.gguf\nSYSTEM x", "m.exe", adapters=[Adapter("one.gguf", 0.5)])
    assert [adapter.scale for adapter in built.written.manifest.adapters] == [0.5]
    assert project.modelfile("m.exe") == "FROM ./models/tiny.gguf\nSYSTEM x\nADAPTER ./adapters/one.gguf\n"


def test_the_same_adapter_twice_is_one_with_the_later_scale(project: Site) -> None:
    modelfile = "FROM ./tiny.gguf\nADAPTER ./one.gguf\nADAPTER more/../one.gguf\n"
    (project.folder / "Modelfile").write_text(modelfile)
    for argument in (Path(), project.folder):
        planned = plan(argument, "demo", adapters=[Adapter("./one.gguf", 2.0)])
        (adapter,) = planned.manifest.adapters
        assert (adapter.member, adapter.scale) == ("adapters/one.gguf", 2.0)
        assert planned.text == "FROM ./models/tiny.gguf\nADAPTER ./adapters/one.gguf\nADAPTER ./adapters/one.gguf\n"


def test_a_bundle_brings_its_adapters_and_their_scales_along(project: Site) -> None:
    project.build("FROM ./tiny.gguf\n", "base.exe", adapters=[Adapter("one.gguf", 0.5)])
    project.build("FROM ./base.exe\n", "same.exe")
    assert (project.folder / "same.exe").read_bytes() == (project.folder / "base.exe").read_bytes()
    built = project.build("FROM ./base.exe\nADAPTER ./more/one.gguf\n", "more.exe")
    assert [(adapter.member, adapter.scale) for adapter in built.written.manifest.adapters] == [
        ("adapters/one.gguf", 0.5),
        ("adapters/one-2.gguf", 1.0),
    ]


def test_adapters_lie_beside_the_executable_too(project: Site) -> None:
    built = project.build(
        "FROM ./tiny.gguf\nADAPTER ./one.gguf\nADAPTER ./more/one.gguf\n", "m.exe", external_weights=True
    )
    assert len({path.name for path in built.written.sidecars}) == 3
    again = project.build("FROM ./m.exe\n", "n.exe", external_weights=True)
    before, after = built.written.manifest.models, again.written.manifest.models
    assert [model.sha256 for model in before] == [model.sha256 for model in after]


def fails(project: Site, text: str, **options: Any) -> tuple[str, str]:
    (project.folder / "Modelfile").write_text(text)
    with pytest.raises(BundleError) as caught:
        plan(Path(), "demo", **options)
    return caught.value.message.splitlines()[0], caught.value.hint


@pytest.mark.parametrize(
    ("flaw", "cause"),
    [
        ({"architecture": "gemma"}, "it was made for the architecture gemma, and the model is llama"),
        ({"kind": "ia3"}, "it is an adapter of the type 'ia3', and only LoRA is known"),
        ({"width": 64}, "its tensors for blk.0.attn_q.weight have other sizes than the model's"),
        ({"targets": ["blk.7.attn_q.weight"]}, "it changes blk.7.attn_q.weight, which the model does not have"),
        ({"suffixes": (".lora_a", "")}, "of its tensors for blk.0.attn_q.weight one is missing"),
        ({"suffixes": (".dora", ".lora_b")}, "its tensor blk.0.attn_q.weight.dora is none of a LoRA"),
        ({"targets": []}, "it holds no tensor"),
        (
            {"metadata": {"adapter.alora.invocation_tokens": [1, 2]}},
            "it is an activated LoRA, which works on parts of a prompt alone",
        ),
    ],
)
def test_an_adapter_of_another_model_is_found_when_it_is_built(project: Site, flaw: dict[str, Any], cause: str) -> None:
    write_adapter(project.folder / "bad.gguf", project.folder / "tiny.gguf", **flaw)
    hint = "name an adapter of this very model"
    told = f"failed to read Modelfile: Modelfile:2:9: ./bad.gguf does not fit the model: {cause}"
    assert fails(project, "FROM ./tiny.gguf\nADAPTER ./bad.gguf\n") == (told, hint)
    told = f"failed to add an adapter: bad.gguf does not fit the model: {cause}"
    assert fails(project, "FROM ./tiny.gguf\n", adapters=[Adapter("bad.gguf")]) == (told, hint)


def test_what_is_no_adapter(project: Site) -> None:
    assert fails(project, "FROM ./tiny.gguf\nADAPTER ./tiny.gguf\n") == (
        "failed to read Modelfile: Modelfile:2:9: ./tiny.gguf holds no adapter: it is a model",
        "name a LoRA adapter in GGUF format",
    )
    assert fails(project, "FROM ./tiny.gguf\n", adapters=[Adapter("tiny.gguf")]) == (
        "failed to add the adapter tiny.gguf: tiny.gguf holds no adapter: it is a model",
        "name a LoRA adapter in GGUF format",
    )
    message, hint = fails(project, "FROM ./tiny.gguf\n", adapters=[Adapter("two.gguf")])
    assert message.startswith("failed to add the adapter two.gguf: there is no file ")
    assert "one.gguf" in hint


def test_an_adapter_cut_short(project: Site) -> None:
    path = project.folder / "one.gguf"
    path.write_bytes(path.read_bytes()[:-60])
    message, _ = fails(project, "FROM ./tiny.gguf\nADAPTER ./one.gguf\n")
    assert message.startswith("failed to read GGUF ./one.gguf: ")
