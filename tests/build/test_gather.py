"""Several sources in one Modelfile: a projector and a draft model beside the model."""

from __future__ import annotations

import pytest

from bundler.build.plan import plan
from bundler.errors import BundleError
from tests.build.conftest import Site
from tests.build.sources.making import gguf

CLIP = {"general.architecture": "clip", "general.name": "Eyes"}
UNUSED = "goes into the bundle, and this version's runtime does not use it yet"


@pytest.fixture
def project(site: Site) -> Site:
    """A site with a projector and a smaller model too."""
    (site.folder / "mmproj.gguf").write_bytes(gguf(CLIP))
    (site.folder / "small.gguf").write_bytes(gguf({"general.architecture": "llama", "general.name": "Small"}))
    (site.folder / "lora.gguf").write_bytes(gguf({"general.architecture": "llama", "general.type": "adapter"}))
    return site


def fails(site: Site, modelfile: str) -> tuple[str, str]:
    (site.folder / "Modelfile").write_text(modelfile)
    with pytest.raises(BundleError) as caught:
        plan(site.folder, "demo")
    first = caught.value.message.splitlines()[0]
    return first.removeprefix(f"failed to read Modelfile: {site.folder / 'Modelfile'}:"), caught.value.hint


@pytest.mark.parametrize("order", ["FROM ./tiny.gguf\nFROM ./mmproj.gguf\n", "FROM ./mmproj.gguf\nFROM ./tiny.gguf\n"])
def test_a_projector_is_classed_by_its_metadata(project: Site, order: str) -> None:
    built, warnings = project.told(order, "m.exe")
    model, projector = built.written.manifest.models
    assert (model.role, model.member) == ("chat", "models/tiny.gguf")
    assert (projector.role, projector.member) == ("projector", "projectors/mmproj.gguf")
    assert (projector.architecture, projector.name, projector.size) == ("clip", "Eyes", len(gguf(CLIP)))
    assert project.member("m.exe", "projectors/mmproj.gguf") == gguf(CLIP)
    assert sum(f"the projector {UNUSED}" in line for line in warnings) == 1
    assert project.modelfile("m.exe") == order.replace("./mmproj", "./projectors/mmproj").replace(
        "./tiny", "./models/tiny"
    )


def test_a_draft_model(project: Site) -> None:
    built, warnings = project.told("FROM ./tiny.gguf\nDRAFT ./small.gguf\n", "m.exe")
    assert [(model.role, model.member) for model in built.written.manifest.models] == [
        ("chat", "models/tiny.gguf"),
        ("draft", "drafts/small.gguf"),
    ]
    assert sum(f"the draft model {UNUSED}" in line for line in warnings) == 1
    assert project.modelfile("m.exe") == "FROM ./models/tiny.gguf\nDRAFT ./drafts/small.gguf\n"


def test_of_several_drafts_the_last_counts_and_no_other_path_goes_in(project: Site) -> None:
    project.told("FROM ./tiny.gguf\nDRAFT ./none.gguf\nDRAFT ./small.gguf\n", "m.exe")
    assert project.modelfile("m.exe") == (
        "FROM ./models/tiny.gguf\nDRAFT ./drafts/small.gguf\nDRAFT ./drafts/small.gguf\n"
    )


def test_a_folder_with_a_model_and_a_projector(project: Site) -> None:
    (project.folder / "both").mkdir()
    for name in ("tiny.gguf", "mmproj.gguf", "lora.gguf"):
        (project.folder / name).rename(project.folder / "both" / name)
    built, warnings = project.told("FROM ./both\nSYSTEM x\n", "m.exe")
    assert [model.role for model in built.written.manifest.models] == ["chat", "projector"]
    assert project.modelfile("m.exe") == "FROM ./models/tiny.gguf\nFROM ./projectors/mmproj.gguf\nSYSTEM x\n"
    assert any("the adapter lora in ./both is left out: name it with ADAPTER" in line for line in warnings)


def test_a_bundle_brings_its_projector_along(project: Site) -> None:
    project.told("FROM ./tiny.gguf\nFROM ./mmproj.gguf\nDRAFT ./small.gguf\n", "base.exe")
    project.told("FROM ./base.exe\n", "new.exe")
    assert (project.folder / "new.exe").read_bytes() == (project.folder / "base.exe").read_bytes()
    (project.folder / "other.gguf").write_bytes(gguf(tensors=2))
    built, _ = project.told("FROM ./base.exe\nDRAFT ./other.gguf\n", "new.exe")
    assert [model.member for model in built.written.manifest.models] == [
        "models/tiny.gguf",
        "projectors/mmproj.gguf",
        "drafts/other.gguf",
    ]


def test_the_same_source_twice_is_one(project: Site) -> None:
    assert len(project.build("FROM ./tiny.gguf\nFROM tiny.gguf\n", "m.exe").written.manifest.models) == 1


@pytest.mark.parametrize(
    ("modelfile", "cause", "hint"),
    [
        (
            "FROM ./tiny.gguf\nFROM ./small.gguf\n",
            "2:6: ./small.gguf is a second model, beside ./tiny.gguf",
            "name one model alone",
        ),
        ("FROM ./mmproj.gguf\n", "1:6: ./mmproj.gguf holds no model: it is a projector", "name the model's own GGUF"),
        (
            "FROM ./lora.gguf\n",
            "1:6: ./lora.gguf holds no model: it is an adapter",
            "name the model's own GGUF, and this with ADAPTER",
        ),
        (
            "FROM ./tiny.gguf\nDRAFT ./mmproj.gguf\n",
            "2:7: ./mmproj.gguf holds no model: it is a projector",
            "name a smaller model with the same vocabulary",
        ),
    ],
)
def test_sources_that_do_not_fit(project: Site, modelfile: str, cause: str, hint: str) -> None:
    assert fails(project, modelfile) == (cause, hint)


def test_a_projector_cut_short(project: Site) -> None:
    path = project.folder / "mmproj.gguf"
    path.write_bytes(path.read_bytes()[:-60])
    assert fails(project, "FROM ./tiny.gguf\nFROM ./mmproj.gguf\n")[0].startswith("failed to read GGUF ./mmproj.gguf: ")
