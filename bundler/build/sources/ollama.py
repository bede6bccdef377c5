"""A model of the local Ollama store as a source: nothing is asked of any server.

Layout and layer types as in Ollama's manifest/ and types/model/name.go: `manifests/<host>/<namespace>/<model>/<tag>`, a
Docker manifest whose layers lie in `blobs/sha256-<digest>`.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from bundler.build import blob as blobs
from bundler.build.blob import Blob
from bundler.build.sources import ggufs
from bundler.build.sources.found import Found, Kind, SourceError, Weights
from bundler.errors import BundleError
from bundler.formats import gguf, parameters
from bundler.formats.excerpt import clipped
from bundler.formats.modelfile import Instruction, kept

_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*){0,3}(:[\w.-]+)?")
_DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")
_TYPE: Final = "application/vnd.ollama.image."
_WEIGHTS: Final[dict[str, Kind]] = {"model": "model", "projector": "projector", "adapter": "adapter", "draft": "draft"}
_TEXTS: Final = {"template": "template", "prompt": "template", "system": "system", "license": "license"}
_MAX_SMALL: Final = 16 << 20
"""Bytes of a layer that is a text."""
_PULL: Final = "pull the model again: ollama pull "
_ADVICE: Final = (
    "Ollama loads some models of its library with an engine of its own; take a GGUF of this model from elsewhere, "
    "such as FROM hf.co/ORGANISATION/REPOSITORY"
)


class Layer(msgspec.Struct, frozen=True, rename="camel"):
    media_type: str
    digest: str
    size: int


class Manifest(msgspec.Struct, frozen=True):
    layers: list[Layer]
    config: Layer


class Config(msgspec.Struct, frozen=True):
    """Of a model's configuration, what decides."""

    model_format: str = ""
    renderer: str = ""
    parser: str = ""
    requires: str = ""
    remote_host: str = ""


class Name(NamedTuple):
    host: str
    namespace: str
    model: str
    tag: str

    @property
    def short(self) -> str:
        """As people write it, without what is the default."""
        parts = [self.host, self.namespace, self.model]
        while len(parts) > 1 and parts[0] in ("registry.ollama.ai", "library"):
            parts.pop(0)
        return "/".join(parts) + ("" if self.tag == "latest" else f":{self.tag}")


def is_name(text: str) -> bool:
    """Whether it may be the name of a model."""
    return _NAME.fullmatch(text) is not None and not text.lower().endswith(".gguf")


def parse(text: str) -> Name:
    """A name with its defaults; `text` is one that `is_name` takes."""
    path, _, tag = text.partition(":")
    parts = ["registry.ollama.ai", "library"][: max(0, 3 - path.count("/") - 1)] + path.split("/")
    return Name(parts[0], parts[1], "/".join(parts[2:]), tag or "latest")


def root() -> Path:
    """Where the store lies: `$OLLAMA_MODELS`, else in the home folder, else where the system's service keeps it."""
    if chosen := os.environ.get("OLLAMA_MODELS"):
        return Path(chosen)
    own, service = Path.home() / ".ollama" / "models", Path("/usr/share/ollama/.ollama/models")
    return service if service.is_dir() and not own.is_dir() else own


def find(text: str) -> Found | None:
    """The model called `text`; None where the store, or no model of this name in it, is not there.

    Raises:
        SourceError: the model has no weights here, or none that llama.cpp reads.
        BundleError: a part of it is missing or damaged.
    """
    name, store = parse(text), root()
    path = _manifest_path(store, name)
    return None if path is None else _Store(store, name).read(path)


def known() -> list[str]:
    """The names of all models in the store."""
    manifests = root() / "manifests"
    found = [path.relative_to(manifests).parts for path in manifests.glob("*/*/*/*") if path.is_file()]
    return sorted(Name(*parts).short for parts in found)


def _manifest_path(store: Path, name: Name) -> Path | None:
    """Each part of the name is matched without case, the exact one first."""
    path = store / "manifests"
    for part in (name.host, name.namespace, name.model, name.tag):
        try:
            present = sorted(entry.name for entry in os.scandir(path))
        except OSError:
            return None
        fitting = [entry for entry in present if entry.lower() == part.lower()]
        if not fitting:
            return None
        path /= part if part in fitting else fitting[0]
    return path if path.is_file() else None


class _Store:
    """The reading of one model; errors name it."""

    def __init__(self, store: Path, name: Name) -> None:
        self._store = store
        self._name = name
        self._called = f"{name.short} in the Ollama store"
        self._again = _PULL + name.short

    def read(self, path: Path) -> Found:
        manifest = self._decoded(self._content(path), "manifest", Manifest)
        config = self._decoded(self._small(manifest.config), "configuration", Config)
        if config.remote_host:
            cause = f"{self._called} runs at {clipped(config.remote_host)}, and its weights are not on this machine"
            raise SourceError(cause, "name a model whose weights are here (ollama list shows its size)")
        kinds = [layer.media_type.removeprefix(_TYPE) for layer in manifest.layers]
        if "tensor" in kinds or config.model_format not in ("", "gguf"):
            cause = f"the weights of {self._called} are of the format {config.model_format or 'safetensors'}, not GGUF"
            raise SourceError(cause, _ADVICE)
        instructions: list[Instruction] = []
        doubts: list[str] = []
        weights: dict[Kind, list[Blob]] = {}
        for kind, layer in zip(kinds, manifest.layers, strict=True):
            if kind in _WEIGHTS:
                weights.setdefault(_WEIGHTS[kind], []).append(self._blob(layer))
            else:
                self._take(kind, layer, instructions, doubts)
        if "model" not in weights:
            raise SourceError(f"{self._called} has no weights", self._again)
        for command in ("renderer", "parser", "requires"):
            if value := getattr(config, command):
                instructions.append(Instruction(command, "", value))
        return Found(
            weights=tuple(self._weights(weights)),
            inherited=tuple(instructions),
            doubts=tuple(f"{self._called}: {doubt}" for doubt in doubts),
            advice=_ADVICE,
        )

    def _weights(self, found: dict[Kind, list[Blob]]) -> list[Weights]:
        name = self._name.model
        ordered = sorted(found["model"], key=_split_number)
        split = len(ordered) > 1 and ggufs.split_count(ordered[0]) > 1
        models = [ggufs.merged(ordered, ordered[0].label)] if split else ordered
        weights = [ggufs.of(model, name) for model in models]
        for kind in ("projector", "adapter", "draft"):
            suffix = f"{name}-{kind}"
            weights += [Weights(kind, blob, suffix) for blob in found.get(kind, [])]
        return weights

    def _take(self, kind: str, layer: Layer, instructions: list[Instruction], doubts: list[str]) -> None:
        """What a layer that is no weights says, as commands."""
        if kind in _TEXTS:
            text = self._text(layer)
            instructions.append(Instruction(_TEXTS[kind], "", kept(text)))
        elif kind == "params":
            self._parameters(self._decoded(self._small(layer), "parameters", dict[str, Any]), instructions, doubts)
        elif kind == "messages":
            for message in self._decoded(self._small(layer), "messages", list[dict[str, Any]]):
                role, content = str(message.get("role")), message.get("content")
                if role in ("system", "user", "assistant") and isinstance(content, str):
                    instructions.append(Instruction("message", role, kept(content)))
                else:
                    doubts.append(f"a message of the role {clipped(role)} is left out")
        else:
            doubts.append(f"a layer of the type {clipped(layer.media_type)} is left out")

    def _parameters(self, given: dict[str, Any], instructions: list[Instruction], doubts: list[str]) -> None:
        for name, value in given.items():
            for one in value if isinstance(value, list) else [value]:
                text = kept(str(one).lower() if isinstance(one, bool) else str(one))
                try:
                    parameters.convert(name, text)
                except (KeyError, ValueError):
                    doubts.append(f"parameter {clipped(name)} {clipped(text)} is left out: it is none that is known")
                else:
                    instructions.append(Instruction("parameter", name, text))

    def _blob(self, layer: Layer) -> Blob:
        path, digest = self._place(layer), self._digest(layer)
        label = f"{self._called} ({path.name})"
        if not path.is_file():
            raise BundleError(f"failed to read {label}: the file {path} is not there", self._again)
        if path.stat().st_size != layer.size:
            cause = f"it has {path.stat().st_size} bytes, and {layer.size} are recorded"
            raise BundleError(f"failed to read {label}: {cause}", self._again)
        return blobs.part(path, 0, layer.size, label, sha256=digest)

    def _small(self, layer: Layer) -> bytes:
        blob, path = self._blob(layer), self._place(layer)
        data = self._content(path)
        if (found := hashlib.sha256(data).hexdigest()) != blob.sha256:
            cause = f"its SHA-256 is {found}, and {blob.sha256} is recorded"
            raise BundleError(f"failed to read {blob.label}: {cause}", self._again)
        return data

    def _text(self, layer: Layer) -> str:
        return self._small(layer).decode("utf-8", "replace")

    def _place(self, layer: Layer) -> Path:
        return self._store / "blobs" / f"sha256-{self._digest(layer)}"

    def _digest(self, layer: Layer) -> str:
        found = _DIGEST.fullmatch(layer.digest)
        if found is None:
            raise BundleError(f"failed to read {self._called}: {clipped(layer.digest)!r} is no digest", self._again)
        return found[1]

    def _content(self, path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                data = file.read(_MAX_SMALL + 1)
        except OSError as cause:
            raise BundleError(f"failed to read {path}: {cause.strerror}", "check its permissions") from cause
        if len(data) > _MAX_SMALL:
            raise BundleError(f"failed to read {path}: it is larger than {_MAX_SMALL >> 20} MiB", self._again)
        return data

    def _decoded(self, data: bytes, what: str, kind: Any) -> Any:
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as cause:
            raise BundleError(f"failed to read the {what} of {self._called}: {cause}", self._again) from cause


def _split_number(blob: Blob) -> int:
    with blob.opened() as source:
        return gguf.read_header(source, blob.label).integer("split.no") or 0
