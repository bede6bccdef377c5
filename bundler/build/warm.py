"""`bundle build --warm`: let the runtime evaluate what every chat begins with, and put the state into the bundle."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from bundler.build import tool
from bundler.build.archive import Content
from bundler.build.blob import Blob, Range, stamp
from bundler.build.packs import Pack
from bundler.build.progress import Progress
from bundler.formats import manifest as manifests
from bundler.formats.manifest import Manifest, Warm
from bundler.formats.source import CHUNK, chunks


class _Warmed(msgspec.Struct, frozen=True, kw_only=True):
    """What the runtime tells."""

    tokens: list[int]
    exact: int
    guard: str


def warm_up(
    pack: Pack, blobs: Mapping[str, Blob], manifest: Manifest, state: Path, progress: Progress
) -> tuple[Content, Warm]:
    """The member with the state, and what the manifest says of it; `state` is a file to write to.

    `blobs` are the bytes of the manifest's models by member. `pack` must be one for this machine; `manifest` has
    template, SYSTEM and MESSAGEs.

    Raises:
        BundleError: chats have nothing in common at their beginning, or the model cannot be evaluated.
    """
    model = blobs[manifest.models[0].member]
    with progress.stage(f"Evaluating the prompt with {model.label}"), ExitStack() as stack:
        place = stack.enter_context(_placed(model, state.with_name("model.gguf")))
        arguments = [os.path.abspath(place.path), str(state), pack.llama_cpp]
        arguments += ["--offset", str(place.offset), "--size", str(place.size)]
        for number, adapter in enumerate(manifest.adapters):
            copy = state.with_name(f"adapter-{number}.gguf")
            place = stack.enter_context(_placed(blobs[adapter.member], copy))
            arguments += ["--adapter", os.path.abspath(place.path), str(place.offset), str(place.size)]
        task = f"compute the prompt with {model.label}"
        warmed = tool.ask(pack, task, "_warm", arguments, _Warmed, manifests.encode(manifest))
    digest = hashlib.sha256()
    with state.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    name = f"state/{digest.hexdigest()}"
    warm = Warm(
        member=name,
        size=state.stat().st_size,
        sha256=digest.hexdigest(),
        tokens=warmed.tokens,
        exact=warmed.exact,
        guard=warmed.guard,
    )
    return Content(name, state, aligned=True), warm


@contextmanager
def _placed(model: Blob, path: Path) -> Iterator[Range]:
    """Where the model lies as one; a model that is put together from several files is copied to `path` for it."""
    if place := model.range:
        yield place
        return
    with model.opened() as source, path.open("wb") as file:
        for chunk in chunks(source, 0, source.size):
            file.write(chunk)
    try:
        yield Range(path, 0, model.size, stamp(path))
    finally:
        path.unlink()
