"""`bundle apply`: turn the bundle that is there into another one with a patch.

The patch and the old bundle are checked before anything is written, the new bundle before it gets its name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bundler.build import blob as blobs
from bundler.build import bundles
from bundler.build.blob import Blob
from bundler.build.bundles import Bundle
from bundler.build.copying import append
from bundler.build.output import OutputFile, refuse_overwriting
from bundler.build.patch import assemble
from bundler.build.progress import Progress
from bundler.build.write import check_space
from bundler.errors import BundleError
from bundler.formats import patch as patches
from bundler.formats.container import MANIFEST as MANIFEST_OF_BUNDLE
from bundler.formats.container import Archive, read_archive
from bundler.formats.patch import MANIFEST, MAX_SIZE, File, Patch, Version, damaged
from bundler.formats.source import Source, chunks
from bundler.formats.verification import compare


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """A finished bundle."""

    size: int
    sha256: str
    """Of the whole executable."""
    sidecars: list[Path]
    new: Version
    shared: int
    """Bytes that share their blocks with the old bundle or the patch."""


def apply(patch: Path, old: Path, output: Path, progress: Progress) -> Applied:
    """Write `output`, and weights beside it where the new bundle has some.

    Raises:
        BundleError: the patch is none or damaged, `old` is another bundle than it was made from or damaged, or the
            output cannot be written; nothing is left behind.
    """
    with OutputFile(output):  # a place that cannot be written to is told first
        pass
    with _opened(patch, progress) as (wanted, own), bundles.open_bundle(old) as bundle:
        _check_base(patch, wanted, bundle)
        sources = _sources(wanted, bundle)
        made = {file.name: assemble(file.pieces, sources, own) for file in wanted.files}
        beside = {file.name: output.with_name(file.name) for file in wanted.files if file.name}
        missing = [file for file in wanted.files if not (file.name and _is_there(beside[file.name], file, progress))]
        for file in missing:
            refuse_overwriting(beside.get(file.name, output), [patch, *sources.values()])
        check_space(output, sum(file.size for file in missing))
        shared = _write(output, missing, made, old, progress)
    executable = wanted.files[0]
    return Applied(
        size=executable.size, sha256=executable.sha256, sidecars=list(beside.values()), new=wanted.new, shared=shared
    )


@contextmanager
def _opened(path: Path, progress: Progress) -> Iterator[tuple[Patch, dict[str, Blob]]]:
    """The patch, every byte of it checked, and its members."""
    with blobs.file(path).opened() as source:
        try:
            archive = _archive(source)
            patch = _manifest(source, archive)
            with progress.stage(f"Verifying {path.name}", source.size) as stage:
                problems = compare(source, archive, patch.members, MANIFEST, stage.advance)
            if problems:
                raise damaged("; ".join(problems))
        except BundleError as error:
            raise BundleError(f"{path}: {error.message}", error.hint) from error
        yield (
            patch,
            {name: blobs.part(path, entry.offset, entry.size, name) for name, entry in archive.entries.items()},
        )


def _archive(source: Source) -> Archive:
    try:
        return read_archive(source)
    except BundleError as error:  # cut short, a patch may end with the end of the bundle that it makes
        raise damaged("it is none, or was cut short") from error


def _manifest(source: Source, archive: Archive) -> Patch:
    entry = archive.entries.get(MANIFEST)
    if entry is None and MANIFEST_OF_BUNDLE in archive.entries:
        raise BundleError("failed to read the patch: it is a bundle", "give the patch first, and then the old bundle")
    if entry is None:
        raise damaged(f"it holds no {MANIFEST}")
    data = source.read_at(entry.offset, min(entry.size, MAX_SIZE))
    if hashlib.sha256(data).hexdigest() != archive.manifest_sha256:
        raise damaged(f"the SHA-256 of {MANIFEST} is not the one in the trailer")
    return patches.decode(data)


def _check_base(path: Path, patch: Patch, bundle: Bundle) -> None:
    """Check that the bundle is the one that the patch was made from."""
    archive = bundle.archive
    own = archive.manifest_sha256, archive.outside_sha256
    if own == (patch.old.manifest_sha256, patch.old.outside_sha256):
        return
    if own == (patch.new.manifest_sha256, patch.new.outside_sha256):
        raise BundleError(f"failed to apply {path}: {bundle.path} is the new bundle already", "there is nothing to do")
    raise BundleError(
        f"failed to apply {path}: it was made from {patch.old.name} with the manifest sha256:"
        f"{patch.old.manifest_sha256[:16]}, and {bundle.path} is another bundle (sha256:{own[0][:16]})",
        "bundle inspect shows a bundle's manifest digest; give the old bundle, or make a patch from this one",
    )


def _sources(patch: Patch, bundle: Bundle) -> dict[str, Path]:
    """Where the old bundle's files are, by the names that pieces use."""
    names = {piece.name for file in patch.files for piece in file.pieces if piece.origin == "old"}
    sources = {name: bundle.path.with_name(name) if name else bundle.path for name in sorted(names)}
    sizes = {name: blobs.stamp(path).size for name, path in sources.items()}
    for file in patch.files:
        for piece in file.pieces:
            if piece.origin == "old" and piece.offset + piece.size > sizes[piece.name]:
                raise BundleError(
                    f"failed to read {sources[piece.name]}: it was cut short", "get it again from its source"
                )
    return sources


def _is_there(path: Path, file: File, progress: Progress) -> bool:
    """Whether weights of the new bundle lie beside it already."""
    if not path.is_file() or blobs.stamp(path).size != file.size:
        return False
    digest = hashlib.sha256()
    with blobs.file(path).opened() as source, progress.stage(f"Verifying {path.name}", file.size) as stage:
        for chunk in chunks(source, 0, file.size):
            digest.update(chunk)
            stage.advance(len(chunk))
    return digest.hexdigest() == file.sha256


def _write(output: Path, files: list[File], made: dict[str, Blob], old: Path, progress: Progress) -> int:
    """Write the files, and give them their names when all of them are right; how many bytes are shared."""
    shared = 0
    with (
        progress.stage(f"Writing {output.name}", sum(file.size for file in files)) as stage,
        ThreadPoolExecutor(2) as pool,
        ExitStack() as stack,
    ):
        outputs = []
        for file in files:
            opened = stack.enter_context(OutputFile(output.with_name(file.name) if file.name else output))
            copied = append(made[file.name], opened, stage, pool)
            if copied.sha256 != file.sha256:
                raise BundleError(
                    f"failed to write {opened.destination}: it would not be the bundle that the patch makes",
                    f"{old} is damaged; check it with `bundle verify`",
                )
            shared += copied.shared
            outputs.append(opened)
        for opened in reversed(outputs):  # the executable last: it is there only with all that it needs
            opened.commit(executable=opened.destination == output)
    return shared
