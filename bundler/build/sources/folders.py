"""A folder as a source: its one model, whole or in parts, and a projector beside it; else safetensors to convert."""

from __future__ import annotations

import os
from pathlib import Path

from bundler.build import modelfolder
from bundler.build.progress import Progress
from bundler.build.sources import ggufs, paths, safetensors
from bundler.build.sources.found import Found, SourceError
from bundler.formats.excerpt import clipped
from bundler.formats.ggufsplit import part_name


def find(folder: Path, shown: str, progress: Progress) -> Found:
    """The weights of the first class of files that the folder has, in the order of Ollama's parser.go.

    Raises:
        SourceError: there are none, of another format, several models, or a link leads out of the folder.
        OSError: the folder cannot be read.
    """
    pattern, files = modelfolder.find(folder)
    if not files:
        raise SourceError(f"{shown} is a folder without weights", paths.NAME_A_GGUF)
    if pattern not in modelfolder.GGUF_CLASSES:
        _check_links([entry for entry in sorted(folder.iterdir()) if entry.is_file()], shown)
        return safetensors.find(folder, shown, pattern, progress)
    _check_links(files, shown)
    found = [ggufs.find(path, str(Path(shown, path.name))) for path in _heads(files)]
    models = [weights for weights in found if weights.kind == "model"]
    if len(models) != 1 and len(found) > 1:
        raise SourceError(f"{shown} is a folder with {len(models)} models ({pattern})", paths.present(folder))
    if sum(weights.kind == "projector" for weights in found) > 1:
        hint = "name the model and one projector, a FROM each"
        raise SourceError(f"{shown} is a folder with several projectors", hint)
    used = [weights for weights in found if weights.kind != "adapter"]
    if not used:
        return Found(weights=tuple(found))
    left_out = [weights.name for weights in found if weights.kind == "adapter"]
    return Found(
        weights=tuple(sorted(used, key=lambda weights: weights.kind != "model")),
        doubts=tuple(f"the adapter {clipped(name)} in {shown} is left out: name it with ADAPTER" for name in left_out),
    )


def _heads(files: tuple[Path, ...]) -> list[Path]:
    """Each file, of a split model only one part: the first that is there."""
    found: dict[tuple[str, int], Path] = {}
    for path in files:
        name = part_name(path.name)
        found.setdefault((name.prefix, name.parts) if name else (path.name, 1), path)
    return list(found.values())


def _check_links(files: tuple[Path, ...] | list[Path], shown: str) -> None:
    for path in files:
        if modelfolder.leads_out(path):
            raise SourceError(
                f"{clipped(path.name)} in {shown} is a link that leads out of the folder",
                f"name the file itself: FROM {clipped(os.path.realpath(path), 1000)}",
            )
