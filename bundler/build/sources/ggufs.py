"""GGUF files as sources: one file, or the parts of a split model, which are merged while the bundle is written."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bundler.build import blob as blobs
from bundler.build.blob import Blob
from bundler.build.sources import heads, paths
from bundler.build.sources.found import Kind, SourceError, Weights
from bundler.formats import gguf, ggufsplit, weights
from bundler.formats.excerpt import clipped
from bundler.formats.ggufsplit import PartName, part_name

_ALL_PARTS = "bring all parts into one folder, under the names they were made with"


def find(path: Path, shown: str) -> Weights:
    """The GGUF at `path`, which errors call `shown`; where it is a part of a split model, the whole model.

    Raises:
        SourceError: it is no GGUF, parts of the model are not there, or it is not named as one.
        OSError: it cannot be read.
        BundleError: the file is damaged, or the parts do not belong together.
    """
    with path.open("rb") as file:
        head = file.read(heads.SIZE)
    if not head.startswith(heads.GGUF):
        raise SourceError(f"{shown} is no GGUF: it {heads.looks_like(head)}", "give a model file in GGUF format")
    blob = blobs.file(path, shown)
    count = split_count(blob)
    if count <= 1:
        return of(blob, path.stem)
    name = part_name(path.name)
    if name is None:
        cause = f"{shown} is one of {count} parts of a model, and its name does not say which"
        raise SourceError(cause, "give all parts the names they were made with: NAME-00001-of-00003.gguf")
    if name.parts != count:
        raise SourceError(f"{shown} is one of {count} parts of a model, and its name says of {name.parts}", _ALL_PARTS)
    return _whole(path.parent, name, str(Path(shown).parent))


def of(blob: Blob, name: str) -> Weights:
    """A GGUF, classed by its metadata; what holds neither projector nor adapter passes as a model.

    Raises:
        GgufError: the header is damaged.
    """
    with blob.opened() as source:
        kind = weights.kind(gguf.read_header(source, blob.label))
    kinds: dict[str, Kind] = {"projector": "projector", "adapter": "adapter"}
    return Weights(kinds.get(kind, "model"), blob, name)


def split_count(blob: Blob) -> int:
    """Over how many files the model is split, as the file says; 1 where it is whole.

    Raises:
        GgufError: the header is damaged.
    """
    with blob.opened() as source:
        return weights.split_count(gguf.read_header(source, blob.label))


def merged(parts: Sequence[Blob], label: str) -> Blob:
    """The one GGUF that the parts, in their order, are together. Nothing but their headers is read.

    Raises:
        BundleError: a part is damaged, or they are not the parts of one model.
    """
    with ExitStack() as stack:
        headers = [gguf.read_header(stack.enter_context(part.opened()), part.label) for part in parts]
        for header in headers:
            gguf.check_complete(header)
        whole = ggufsplit.merge(headers)
    pieces: list[blobs.Range | bytes] = [whole.head]
    for stretch in whole.data:
        pieces += parts[stretch.part].slice(stretch.offset, stretch.size)
        pieces += [bytes(stretch.padding)] if stretch.padding else []
    return Blob(tuple(pieces), label)


def _whole(folder: Path, name: PartName, shown: str) -> Weights:
    names = [name.sibling(number) for number in range(1, name.parts + 1)]
    missing = [part for part in names if not (folder / part).is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        cause = f"a part of the model is missing: {clipped(missing[0], 255)}{more} of {name.parts}"
        raise SourceError(cause, paths.near(folder / missing[0], _ALL_PARTS) if len(missing) == 1 else _ALL_PARTS)
    parts = [blobs.file(folder / part, str(Path(shown, part))) for part in names]
    blob = merged(parts, str(Path(shown, names[0])))
    return of(blob, name.prefix)
