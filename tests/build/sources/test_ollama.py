"""A model of the local Ollama store as FROM, laid out as Ollama does."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from bundler.build.plan import plan
from bundler.build.sources import ollama
from bundler.errors import BundleError
from bundler.formats.manifest import Message
from bundler.formats.modelfile import Instruction
from tests.adapters import write_adapter
from tests.build.conftest import Site
from tests.build.sources.making import content, fails, find, gguf, part

TYPE = "application/vnd.ollama.image."
CONFIG = {"model_format": "gguf", "model_family": "llama"}
ADVICE = (
    "Ollama loads some models of its library with an engine of its own; take a GGUF of this model from elsewhere, "
    "such as FROM hf.co/ORGANISATION/REPOSITORY"
)


class Store:
    """An Ollama store under construction."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "blobs").mkdir(parents=True)

    def blob(self, data: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (self.root / "blobs" / f"sha256-{digest}").write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    def add(
        self,
        layers: list[tuple[str, bytes]],
        config: dict[str, Any] = CONFIG,
        name: str = "registry.ollama.ai/library/small/latest",
    ) -> None:
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                **self.blob(json.dumps(config).encode()),
            },
            "layers": [{"mediaType": TYPE + kind, **self.blob(data)} for kind, data in layers],
        }
        path = self.root / "manifests" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(manifest))

    def damage(self, data: bytes, into: bytes) -> Path:
        """Replace the content of a blob."""
        path = self.root / "blobs" / f"sha256-{hashlib.sha256(data).hexdigest()}"
        path.write_bytes(into)
        return path


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "store"))
    return Store(tmp_path / "store")


LAYERS = [
    ("model", gguf()),
    ("projector", gguf({"general.architecture": "clip"}, tensors=1)),
    ("draft", gguf(tensors=2)),
    ("template", b"{{ .Prompt }}"),
    ("system", "Be\u200b brief.".encode()),
    ("params", json.dumps({"temperature": 0.5, "stop": ["a", "b"], "use_mmap": True, "odd": 1}).encode()),
    ("messages", json.dumps([{"role": "user", "content": "hi"}, {"role": "tool", "content": "x"}]).encode()),
    ("license", b"MIT"),
    ("license", b"More."),
    ("embed", b"old"),
]


def test_all_layers(store: Store, tmp_path: Path) -> None:
    store.add(LAYERS, CONFIG | {"renderer": "chatml", "parser": "qwen3", "requires": "0.14.0"})
    found = find("small", tmp_path)
    assert [(weights.kind, weights.name) for weights in found.weights] == [
        ("model", "small"),
        ("projector", "small-projector"),
        ("draft", "small-draft"),
    ]
    assert content(found.weights[0].blob) == gguf()
    assert found.inherited == (
        Instruction("template", "", "{{ .Prompt }}"),
        Instruction("system", "", "Be brief."),
        Instruction("parameter", "temperature", "0.5"),
        Instruction("parameter", "stop", "a"),
        Instruction("parameter", "stop", "b"),
        Instruction("parameter", "use_mmap", "true"),
        Instruction("message", "user", "hi"),
        Instruction("license", "", "MIT"),
        Instruction("license", "", "More."),
        Instruction("renderer", "", "chatml"),
        Instruction("parser", "", "qwen3"),
        Instruction("requires", "", "0.14.0"),
    )
    assert found.doubts == (
        "small in the Ollama store: parameter odd 1 is left out: it is none that is known",
        "small in the Ollama store: a message of the role tool is left out",
        "small in the Ollama store: a layer of the type application/vnd.ollama.image.embed is left out",
    )
    assert found.advice == ADVICE


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("small", "registry.ollama.ai/library/small/latest"),
        ("SMALL:LATEST", "registry.ollama.ai/library/Small/latest"),
        ("small:1b-q4", "registry.ollama.ai/library/small/1b-q4"),
        ("me/small", "registry.ollama.ai/me/small/latest"),
        ("example.com/me/small:x", "example.com/me/small/x"),
        ("library/small", "registry.ollama.ai/library/small/latest"),
    ],
)
def test_names_and_their_defaults(store: Store, tmp_path: Path, name: str, path: str) -> None:
    store.add(LAYERS[:1], name=path)
    assert content(find(name, tmp_path).weights[0].blob) == gguf()


def test_a_file_of_that_name_comes_first(store: Store, tmp_path: Path) -> None:
    store.add(LAYERS[:1])
    (tmp_path / "small").write_bytes(gguf(tensors=1))
    assert content(find("small", tmp_path).weights[0].blob) == gguf(tensors=1)


def test_a_bundle_of_the_store(store: Store, site: Site) -> None:
    store.add(
        [
            ("model", (site.folder / "tiny.gguf").read_bytes()),
            ("system", b"Old."),
            ("messages", b'[{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]'),
            ("license", b"MIT"),
        ]
    )
    made = site.build("FROM small\nSYSTEM New.\n", "m.exe").written.manifest
    assert made.system == "New."
    assert made.messages == [Message("user", "hi"), Message("assistant", "yo")]
    assert made.models[0].member == "models/small.gguf"
    assert site.member("m.exe", made.licenses[0]) == b"MIT"


def test_advice_for_a_model_that_only_ollamas_engine_loads(store: Store, site: Site) -> None:
    store.add([("model", (site.folder / "tiny.gguf").read_bytes())])
    (site.folder / "Modelfile").write_text("FROM small\n")
    assert plan(site.folder, "demo").advice == ADVICE


def test_an_adapter_in_the_store(store: Store, site: Site) -> None:
    adapter = write_adapter(site.folder / "lora.gguf", site.folder / "tiny.gguf").read_bytes()
    store.add([("model", (site.folder / "tiny.gguf").read_bytes()), ("adapter", adapter)])
    site.told("FROM small\n", "m.exe")
    (found,) = site.manifest("m.exe").adapters
    assert site.member("m.exe", found.member) == adapter
    assert site.modelfile("m.exe").splitlines()[1] == f"ADAPTER ./{found.member}"


def test_a_name_that_is_not_there(store: Store, tmp_path: Path) -> None:
    store.add(LAYERS[:1])
    assert fails("smal", tmp_path) == (
        f"there is no file smal, and no model of this name in the Ollama store {store.root}",
        "did you mean small?",
    )


def test_a_model_that_runs_elsewhere(store: Store, tmp_path: Path) -> None:
    store.add([], {"remote_host": "https://ollama.com:443", "remote_model": "big"})
    assert fails("small", tmp_path) == (
        "small in the Ollama store runs at https://ollama.com:443, and its weights are not on this machine",
        "name a model whose weights are here (ollama list shows its size)",
    )


@pytest.mark.parametrize(
    ("layers", "config", "named"),
    [
        ([("tensor", b"x"), ("json", b"{}")], {"model_format": "safetensors"}, "safetensors"),
        ([("tensor", b"x")], {}, "safetensors"),
        ([("model", b"x")], {"model_format": "onnx"}, "onnx"),
    ],
)
def test_weights_of_another_format(
    store: Store, tmp_path: Path, layers: list[tuple[str, bytes]], config: dict[str, Any], named: str
) -> None:
    store.add(layers, config)
    said = f"the weights of small in the Ollama store are of the format {named}, not GGUF"
    assert fails("small", tmp_path) == (said, ADVICE)


def test_no_weights(store: Store, tmp_path: Path) -> None:
    store.add(LAYERS[3:5])
    assert fails("small", tmp_path) == (
        "small in the Ollama store has no weights",
        "pull the model again: ollama pull small",
    )


def reading_fails(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        find("small", folder)
    assert caught.value.hint == "pull the model again: ollama pull small"
    return caught.value.message


def test_a_blob_that_is_missing_or_of_another_size(store: Store, tmp_path: Path) -> None:
    store.add(LAYERS)
    path = store.damage(gguf(), b"GGUF")
    label = f"failed to read small in the Ollama store ({path.name}): "
    assert reading_fails(tmp_path) == f"{label}it has 4 bytes, and {len(gguf())} are recorded"
    path.unlink()
    assert reading_fails(tmp_path) == f"{label}the file {path} is not there"


def test_a_text_with_a_wrong_digest(store: Store, tmp_path: Path) -> None:
    store.add(LAYERS)
    path = store.damage(b"{{ .Prompt }}", b"{{ .Trumpt }}")
    found = hashlib.sha256(b"{{ .Trumpt }}").hexdigest()
    assert reading_fails(tmp_path) == (
        f"failed to read small in the Ollama store ({path.name}): its SHA-256 is {found}, "
        f"and {path.name.removeprefix('sha256-')} is recorded"
    )


def test_weights_with_a_wrong_digest_make_no_bundle(store: Store, site: Site) -> None:
    data = (site.folder / "tiny.gguf").read_bytes()
    store.add([("model", data)])
    path = store.damage(data, data[:-1] + b"\1")
    with pytest.raises(BundleError) as caught:
        site.build("FROM small\n", "m.exe")
    assert caught.value.message.startswith(f"failed to read small in the Ollama store ({path.name}): its SHA-256 is ")
    assert not (site.folder / "m.exe").exists()


def test_a_digest_that_leads_out_of_the_store(store: Store, tmp_path: Path) -> None:
    store.add(LAYERS[:1])
    path = store.root / "manifests" / "registry.ollama.ai" / "library" / "small" / "latest"
    path.write_text(path.read_text().replace("sha256:", "sha256:../", 2))
    assert reading_fails(tmp_path).startswith("failed to read small in the Ollama store: 'sha256:../")


def test_a_manifest_that_is_none(store: Store, tmp_path: Path) -> None:
    store.add(LAYERS[:1])
    path = store.root / "manifests" / "registry.ollama.ai" / "library" / "small" / "latest"
    path.write_text("{")
    assert reading_fails(tmp_path).startswith("failed to read the manifest of small in the Ollama store: ")


def test_a_split_model_in_the_store(store: Store, tmp_path: Path) -> None:
    store.add([("model", part(1, 2, [2, 3, 4], 5)), ("model", part(0, 2, [0, 1], 5))])
    (weights,) = find("small", tmp_path).weights
    assert len(content(weights.blob)) > len(gguf())


def test_an_error_in_what_is_inherited_points_at_from(store: Store, site: Site) -> None:
    store.add([("model", (site.folder / "tiny.gguf").read_bytes()), ("template", b"{{ if }}\n")])
    with pytest.raises(BundleError, match=r"Modelfile:2:6: TEMPLATE is no Go template: ") as caught:
        site.build("# mine\nFROM small\n", "m.exe")
    assert "  FROM small\n       ^" in caught.value.message


def test_where_the_store_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLLAMA_MODELS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ollama" / "models").mkdir(parents=True)
    assert ollama.root() == tmp_path / ".ollama" / "models"
