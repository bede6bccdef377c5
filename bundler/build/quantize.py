"""`bundle build --quantize`: let the runtime write the model with fewer bits, once for the same inputs.

What was made stays in the cache under a digest of the source, the type, the imatrix and the version of llama.cpp; the
next build takes it from there.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from bundler.build import blob as blobs
from bundler.build import cache, tool
from bundler.build.blob import Blob
from bundler.build.copying import append
from bundler.build.output import OutputFile
from bundler.build.packs import Pack
from bundler.build.plan import Plan
from bundler.build.progress import Progress
from bundler.errors import BundleError
from bundler.formats import gguf, weights
from bundler.formats import imatrix as imatrices
from bundler.formats.gguf import TENSOR_TYPES, Header
from bundler.formats.quantization import TYPES
from bundler.formats.source import FileSource, Source, chunks

_VERSION: Final = 1
"""To be raised when the same inputs give other bytes."""
_MODEL, _DIGEST = "model.gguf", "sha256"


@dataclass(frozen=True, slots=True)
class Quantization:
    """What was asked for."""

    type: str
    """A key of `TYPES`."""
    imatrix: Path | None = None
    requantize: bool = False
    """Go on also where the model was quantized before, and lose more."""


class _Quantized(msgspec.Struct, frozen=True):
    """What the runtime tells."""

    size: int


def with_fewer_bits(planned: Plan, pack: Pack, wanted: Quantization, progress: Progress) -> Plan:
    """The plan with its model as `wanted`; `pack` must be one for this machine.

    Raises:
        BundleError: the type does not suit the model, the imatrix is of another model, or llama.cpp refuses.
    """
    model = planned.manifest.models[0]
    made = quantized(pack, planned.models[model.member], wanted, progress)
    with made.opened() as source:
        described = weights.describe(gguf.read_header(source, made.label), model.member)
    manifest = msgspec.structs.replace(planned.manifest, models=[described, *planned.manifest.models[1:]])
    return replace(planned, models={**planned.models, model.member: made}, manifest=manifest)


def quantized(pack: Pack, model: Blob, wanted: Quantization, progress: Progress) -> Blob:
    """The model as `wanted`, from the cache where it was made before.

    Raises:
        BundleError: see `with_fewer_bits`.
    """
    with model.opened() as source:
        header = gguf.read_header(source, model.label)
        _check_source(header, wanted)
        matters = _imatrix_digest(wanted.imatrix, header) if wanted.imatrix else ""
        sizes = {tensor.name: tensor.size for tensor in header.tensors}
        digest = model.sha256 or _digest(source, model.label, progress)
    folder = cache.folder("quantized") / _key(digest, matters, wanted, pack)
    with cache.locked(folder):
        if not folder.is_dir():
            with cache.replacing(folder) as work, _placed(model, progress) as path:
                _run(pack, path, model.label, work / _MODEL, wanted, matters, sizes, progress)
    path = folder / _MODEL
    sha256 = (folder / _DIGEST).read_text(encoding="ascii")
    return blobs.part(path, 0, path.stat().st_size, f"{path} ({model.label} as {wanted.type})", sha256=sha256)


def _check_source(header: Header, wanted: Quantization) -> None:
    own = weights.quantization(header)
    blocks = {tensor.type: 0 for tensor in header.tensors}
    for tensor in header.tensors:
        blocks[tensor.type] += tensor.elements
    most = max(blocks, key=lambda kind: blocks[kind])
    if TENSOR_TYPES[most][1] == 1 or wanted.requantize:
        return
    if TYPES.get(own) == TYPES[wanted.type]:
        raise BundleError(f"failed to quantize {header.label}: it is {own} already", "leave out --quantize")
    raise BundleError(
        f"failed to quantize {header.label}: it is quantized already ({own}), and would lose twice",
        "start from the model in 16 or 32 bits, or lose more with --requantize",
    )


def _imatrix_digest(path: Path, header: Header) -> str:
    """The SHA-256 of the imatrix, after a check that it is one of this model."""
    with blobs.file(path).opened() as source:
        imatrices.check(imatrices.read(source, str(path)), header.tensors, str(path))
        return hashlib.sha256(source.read_at(0, source.size)).hexdigest()


def _digest(source: Source, label: str, progress: Progress) -> str:
    digest = hashlib.sha256()
    with progress.stage(f"Reading {label}", source.size) as stage:
        for chunk in chunks(source, 0, source.size):
            digest.update(chunk)
            stage.advance(len(chunk))
    return digest.hexdigest()


def _key(digest: str, imatrix: str, wanted: Quantization, pack: Pack) -> str:
    facts = [_VERSION, digest, imatrix, TYPES[wanted.type], pack.llama_cpp]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _run(
    pack: Pack,
    source: Path,
    label: str,
    target: Path,
    wanted: Quantization,
    imatrix: str,
    sizes: dict[str, int],
    progress: Progress,
) -> None:
    arguments: list[str | Path] = [source, target, str(TYPES[wanted.type])]
    if wanted.imatrix:
        arguments += ["--imatrix", os.path.abspath(wanted.imatrix), "--imatrix-name", f"sha256:{imatrix}"]
    if wanted.requantize:
        arguments.append("--requantize")
    task = f"quantize {label} to {wanted.type}"
    with progress.stage(f"Quantizing {label} to {wanted.type}", sum(sizes.values())) as stage:
        tool.follow(pack, task, "_quantize", arguments, _Quantized, lambda tensor: stage.advance(sizes.get(tensor, 0)))
    with target.open("r+b") as file:
        digest = _digest(FileSource(file.fileno()), target.name, progress)
        os.fsync(file.fileno())
    target.with_name(_DIGEST).write_text(digest, encoding="ascii")


@contextmanager
def _placed(model: Blob, progress: Progress) -> Iterator[Path]:
    """A file that is the model and nothing else: llama.cpp quantizes no part of one. A copy where there is none."""
    place = model.range
    if place and not place.offset and place.size == place.stamp.size:
        yield Path(os.path.abspath(place.path))
        return
    with tempfile.TemporaryDirectory(dir=cache.folder("work"), prefix="quantize-") as folder:
        path = Path(folder, _MODEL)
        copying = progress.stage(f"Copying {model.label}", model.size)
        with OutputFile(path) as output, ThreadPoolExecutor(2) as pool, copying as stage:
            append(model, output, stage, pool)
            output.commit(executable=False)
        yield path
