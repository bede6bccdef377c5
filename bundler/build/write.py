"""Write a bundle: launcher, members and manifest in one pass, hashing as it goes.

Takes values and files, makes the one output file. Memory stays flat at a few chunks whatever the size of the model;
where the filesystem can share blocks, the model is not copied at all. Knows nothing of Modelfiles or runtimes.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bundler.build import blob as blobs
from bundler.build.archive import ArchiveWriter, Content, head_digest, time_stamp
from bundler.build.blob import Blob
from bundler.build.copying import append
from bundler.build.output import OutputFile, file_size_limit
from bundler.build.progress import Progress, Stage
from bundler.errors import BundleError
from bundler.formats import manifest as manifests
from bundler.formats.container import MANIFEST
from bundler.formats.manifest import Manifest, Model

PE_LIMIT = (1 << 32) - 1
"""Windows starts no executable of 4 GiB or more."""


@dataclass(frozen=True)
class Written:
    """What was made."""

    path: Path
    size: int
    sidecars: list[Path]
    manifest: Manifest
    manifest_sha256: str
    shared: int
    """Bytes that share their blocks with the source file and take no space of their own."""


def write_bundle(
    destination: Path,
    launcher: Path | Blob,
    members: Sequence[Content],
    models: Mapping[str, Path | Blob],
    manifest: Manifest,
    progress: Progress,
    *,
    external_weights: bool = False,
    base: bytes = b"",
) -> Written:
    """Write `destination` and, where one file cannot hold everything, the weights beside it.

    `models` gives the bytes of every `manifest.weights` member. The manifest's digests, sizes and places are filled in
    here; keys of the manifest `base` that are not known here are kept.

    Raises:
        BundleError: the output cannot be written, or a source changed while it was read; nothing is left behind.
    """
    stamp = time_stamp()
    program = blobs.of(launcher)
    weighty = {name: blobs.of(model) for name, model in models.items()}
    fixed = program.size + sum(member.blob.size for member in members)
    weights = sum(blob.size for blob in weighty.values())
    external = external_weights or _must_split(destination, manifest, fixed, weights)
    total = fixed + weights
    check_space(destination, total)
    inside = {} if external else weighty
    beside = weighty if external else {}
    with (
        progress.stage(f"Writing {destination.name}", total) as stage,
        ThreadPoolExecutor(2) as pool,
        ExitStack() as outputs,
    ):
        sidecars, renamed = _write_sidecars(destination, beside, manifest, stage, pool, outputs)
        output = outputs.enter_context(OutputFile(destination))
        writing = ArchiveWriter(output, stamp, stage, pool)
        writing.launcher(program)
        for member in members:
            writing.member(member)
        for name, blob in inside.items():
            writing.member(Content(name, blob, aligned=True))
        final = _complete(renamed, writing)
        digest = writing.finish(MANIFEST, manifests.encode(final, base))
        for sidecar in sidecars:
            sidecar.commit(executable=False)
        output.commit(executable=True)
    beside_it = [sidecar.destination for sidecar in sidecars]
    return Written(destination, output.position, beside_it, final, digest, writing.shared)


def _write_sidecars(
    destination: Path,
    models: Mapping[str, Blob],
    manifest: Manifest,
    stage: Stage,
    pool: ThreadPoolExecutor,
    outputs: ExitStack,
) -> tuple[list[OutputFile], Manifest]:
    """Write the weights beside the executable under names of their content; the manifest that points there.

    They are left to be committed together with the executable, so that none is left behind without it.
    """
    made: list[OutputFile] = []
    places: dict[str, Model] = {}
    for model in {model.member: model for model in manifest.weights if model.member in models}.values():
        blob = models[model.member]
        size = blob.size
        limit = file_size_limit(destination.parent)
        if limit is not None and size > limit:
            raise BundleError(
                f"failed to write {destination}: the weights take {size} bytes, and the filesystem (FAT32) holds files "
                f"of at most {limit}",
                "format the stick as exFAT, or build to another disk",
            )
        output = outputs.enter_context(
            OutputFile(destination.with_name(f"{destination.stem}.weights-{len(made)}.gguf"))
        )
        sha256, _, _ = append(blob, output, stage, pool)
        header = head_digest(output.descriptor, 0, model.header_size)
        output.destination = destination.with_name(_sidecar_name(destination.stem, sha256))
        made.append(output)
        places[model.member] = msgspec.structs.replace(
            model, sidecar=output.destination.name, size=size, sha256=sha256, header_sha256=header
        )

    def beside(model: Model) -> Model:
        if model.member not in places:
            return model
        found = places[model.member]
        return msgspec.structs.replace(
            model,
            member="",
            sidecar=found.sidecar,
            size=found.size,
            sha256=found.sha256,
            header_sha256=found.header_sha256,
        )

    return made, manifest.with_weights(beside)


def _sidecar_name(stem: str, sha256: str) -> str:
    """A name that every system allows, though the executable's own may be one for this system alone."""
    portable = "".join(char if char.isprintable() and char not in '\\:*?"<>|' else "-" for char in stem)
    return f"{portable}-{sha256[:8]}.gguf"


def _complete(manifest: Manifest, writing: ArchiveWriter) -> Manifest:
    """The manifest with the places and digests of what was written."""

    def placed(model: Model) -> Model:
        if not model.member:
            return model
        return msgspec.structs.replace(
            model,
            size=writing.members[model.member].size,
            sha256=writing.members[model.member].sha256,
            header_sha256=writing.header_sha256(model.member, model.header_size),
        )

    return msgspec.structs.replace(manifest.with_weights(placed), members=list(writing.members.values()))


def _must_split(destination: Path, manifest: Manifest, fixed: int, weights: int) -> bool:
    """Whether one file cannot hold it all: Windows' limit for executables, or FAT32's for files."""
    size = fixed + weights + (1 << 20)
    if any(target.startswith("windows-") for target in manifest.runtime) and size > PE_LIMIT:
        return True
    limit = file_size_limit(destination.parent)
    return limit is not None and size > limit


def check_space(destination: Path, needed: int) -> None:
    """Check that `needed` bytes fit beside `destination`, where nothing can be shared.

    Raises:
        BundleError: they do not.
    """
    try:
        free = shutil.disk_usage(destination.parent).free
    except OSError:
        return
    if free < needed and not _shares_blocks(destination):
        raise BundleError(
            f"failed to write {destination}: it needs {needed} bytes, and the disk has {free} free",
            "free some space, or give another place with -o",
        )


def _shares_blocks(destination: Path) -> bool:
    """Whether the destination's filesystem can make two files share blocks; tried, because nothing tells."""
    with OutputFile(destination) as first, OutputFile(destination.with_name(destination.name + ".2")) as second:
        first.write(bytes(4096))
        return second.share(first.descriptor, 4096) > 0
