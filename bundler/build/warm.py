"""`bundle build --warm`: let the runtime evaluate what every chat begins with, and put the state into the bundle."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bundler.build import blob as blobs
from bundler.build import tool
from bundler.build.blob import Blob, Range
from bundler.build.packs import Pack
from bundler.build.progress import Progress
from bundler.build.write import Content
from bundler.formats import manifest as manifests
from bundler.formats.manifest import Manifest, Warm
from bundler.formats.source import CHUNK, chunks


class _Warmed(msgspec.Struct, frozen=True, kw_only=True):
    """What the runtime tells."""

    tokens: list[int]
    exact: int
    guard: str


def warm_up(pack: Pack, model: Blob, manifest: Manifest, state: Path, progress: Progress) -> tuple[Content, Warm]:
    """The member with the state, and what the manifest says of it; `state` is a file to write to.

    `pack` must be one for this machine; `manifest` has template, SYSTEM and MESSAGEs.

    Raises:
        BundleError: chats have nothing in common at their beginning, or the model cannot be evaluated.
    """
    with progress.stage(f"Evaluating the prompt with {model.label}"), _placed(model, state) as place:
        arguments = [os.path.abspath(place.path), str(state), pack.llama_cpp]
        arguments += ["--offset", str(place.offset), "--size", str(place.size)]
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
def _placed(model: Blob, state: Path) -> Iterator[Range]:
    """Where the model lies as one; a model that is put together from several files is copied beside `state` for it."""
    if place := model.range:
        yield place
        return
    path = state.with_name("model.gguf")
    with model.opened() as source, path.open("wb") as file:
        for chunk in chunks(source, 0, source.size):
            file.write(chunk)
    try:
        yield Range(path, 0, model.size, blobs.stamp(path))
    finally:
        path.unlink()
