"""Another bundle as a source: its weights where they lie, and what its Modelfile says."""

from __future__ import annotations

from pathlib import Path

from bundler.build import blob as blobs
from bundler.build import bundles
from bundler.build.blob import Blob
from bundler.build.bundles import Bundle
from bundler.build.sources.found import Found, Kind, SourceError, Weights
from bundler.errors import BundleError
from bundler.formats.manifest import Model, Role

KINDS: dict[Role, Kind] = {
    "chat": "model", "embedding": "model", "projector": "projector", "adapter": "adapter", "draft": "draft",
}  # fmt: skip
_FILES = ("from", "adapter", "draft")


def find(path: Path, shown: str) -> Found:
    """The weights and the settings of the bundle at `path`, of any target and of any format up to this one.

    Raises:
        SourceError: it holds no model.
        BundleError: it is damaged or of a newer format, or its weights do not lie beside it.
    """
    modelfile = bundles.read_modelfile(path)
    with bundles.open_bundle(path) as bundle:
        if not bundle.manifest.models:
            raise SourceError(f"{shown} is a bundle without a model", "name one that holds a model")
        weights = tuple(
            Weights(KINDS[model.role], blob_of(bundle, model), _name(model), model.scale)
            for model in bundle.manifest.models
        )
        return Found(
            weights=weights,
            inherited=tuple(command.instruction for command in modelfile.commands if command.name not in _FILES),
            bundle=path,
            page=bundle.manifest.page,
            warm=bundle.manifest.warm is not None,
            manifest=bundles.manifest_bytes(bundle),
        )


def blob_of(bundle: Bundle, model: Model) -> Blob:
    """The bytes of a model of a bundle, inside it or beside it, with the digest that the manifest gives.

    Raises:
        BundleError: they are not there.
    """
    if not model.sidecar:
        return bundles.member_blob(bundle, model.member)
    beside = bundle.path.with_name(model.sidecar)
    if not beside.is_file():
        raise BundleError(
            f"failed to read {beside}: there is no such file",
            f"the bundle comes as two files; put {model.sidecar} beside {bundle.path.name}",
        )
    return blobs.part(beside, 0, model.size, str(beside), sha256=model.sha256)


def _name(model: Model) -> str:
    if model.member:
        return Path(model.member).stem
    return model.name or "model"
