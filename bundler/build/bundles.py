"""Open, check and unpack finished bundles of any target.

The file side of `inspect`, `verify` and `extract`. Reads only; `extract` writes below the folder it is given and
nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from bundler.build import blob as blobs
from bundler.build.blob import Blob
from bundler.build.output import OutputFile
from bundler.build.progress import Progress
from bundler.errors import BundleError
from bundler.formats.container import MANIFEST, Archive, Entry, NoBundleError, read_archive
from bundler.formats.gguf import Header, read_header
from bundler.formats.manifest import Manifest
from bundler.formats.modelfile import MAX_SIZE, Modelfile, parse
from bundler.formats.source import BytesSource, FileSource, Source, chunks
from bundler.formats.verification import Report, check_file, read_manifest, verify

MODELFILE: Final = "Modelfile"
"""The member with the Modelfile that a bundle was built from."""

_PROGRAMS: Final = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"PK\x03\x04")


@dataclass(frozen=True)
class Bundle:
    """An open bundle: its bytes, its archive and its manifest."""

    path: Path
    source: Source
    archive: Archive
    manifest: Manifest


@contextmanager
def open_bundle(path: Path) -> Iterator[Bundle]:
    """Open `path` and read its manifest.

    Raises:
        BundleError: the file cannot be read, is no bundle, is damaged or of a newer format; the message names the file.
    """
    with _opened(path) as source:
        with _named(path):
            archive = read_archive(source)
            manifest = read_manifest(source, archive)
        yield Bundle(path, source, archive, manifest)


@contextmanager
def open_weights(bundle: Bundle) -> Iterator[Header]:
    """The header of the weights that chat, inside the bundle or beside it; readable within the context.

    Raises:
        BundleError: they are not there or damaged.
    """
    model = bundle.manifest.model("chat")
    if model is None:
        raise BundleError(f"failed to read the weights of {bundle.path}: it holds no chat model")
    if model.sidecar:
        beside = bundle.path.with_name(model.sidecar)
        with _opened(beside) as source:
            yield read_header(source, str(beside))
    else:
        entry = _entry(bundle, model.member)
        yield read_header(bundle.source, f"{bundle.path}, member {model.member}", entry.offset, entry.size)


def member_blob(bundle: Bundle, name: str) -> Blob:
    """The bytes of a member where they lie, with the digest that the manifest gives.

    Raises:
        BundleError: there is no such member.
    """
    entry = _entry(bundle, name)
    digests = {member.name: member.sha256 for member in bundle.manifest.members}
    label = f"{bundle.path}, member {name}"
    return blobs.part(bundle.path, entry.offset, entry.size, label, sha256=digests.get(name, ""))


def manifest_bytes(bundle: Bundle) -> bytes:
    """The manifest as it lies in the bundle, in JSON."""
    entry = bundle.archive.entries[MANIFEST]
    return bundle.source.read_at(entry.offset, entry.size)


def is_bundle(path: Path) -> bool:
    """Whether the file ends as a bundle does, whole or damaged.

    Raises:
        BundleError: it cannot be read.
    """
    if not may_be_bundle(path):
        return False
    with _opened(path) as source:
        try:
            read_archive(source)
        except NoBundleError:
            return False
        except BundleError:
            return True
    return True


def may_be_bundle(path: Path) -> bool:
    """Whether the file begins as a program of some system or a ZIP archive; false where there is no such file."""
    try:
        with path.open("rb") as file:
            return file.read(4).startswith(_PROGRAMS)
    except (OSError, ValueError):
        return False


def read_modelfile(path: Path) -> Modelfile:
    """The Modelfile inside a bundle, its FROM naming the member that holds the weights.

    Raises:
        BundleError: the file is no bundle, or its Modelfile is missing, damaged or not understood.
    """
    with open_bundle(path) as bundle:
        entry = _entry(bundle, MODELFILE)
        digests = {member.name: member.sha256 for member in bundle.manifest.members}
        data = bundle.source.read_at(entry.offset, min(entry.size, MAX_SIZE))
        with _named(path, MODELFILE):
            check_file(BytesSource(data), entry.size, digests.get(MODELFILE, ""))
        return parse(data, f"{path}, member {MODELFILE}")


def verify_bundle(path: Path, progress: Progress) -> Report:
    """Read every byte of the bundle, and of the weights beside it where it has some, and compare.

    Raises:
        BundleError: something differs.
    """
    with _opened(path) as source, _named(path), progress.stage(f"Verifying {path.name}", source.size) as stage:
        report = verify(source, stage.advance)
    for model in {model.sidecar: model for model in report.manifest.weights}.values():
        if not model.sidecar:
            continue
        sidecar = path.with_name(model.sidecar)
        with (
            _opened(sidecar) as source,
            _named(sidecar),
            progress.stage(f"Verifying {sidecar.name}", source.size) as stage,
        ):
            check_file(source, model.size, model.sha256, stage.advance)
    return report


def extract(path: Path, folder: Path, names: Sequence[str], progress: Progress) -> list[Path]:
    """Write members (all of them, or those named) below `folder`, each checked against its digest.

    Raises:
        BundleError: a name is not in the bundle, a member is damaged, or a file cannot be written.
    """
    with open_bundle(path) as bundle:
        entries = [_entry(bundle, name) for name in names] or list(bundle.archive.entries.values())
        digests = {member.name: member.sha256 for member in bundle.manifest.members}
        digests[MANIFEST] = bundle.archive.manifest_sha256
        made = []
        with progress.stage(f"Extracting {path.name}", sum(entry.size for entry in entries)) as stage:
            for entry in entries:
                target = folder.joinpath(*entry.name.split("/"))
                _make_folder(target.parent)
                with OutputFile(target) as output:
                    for chunk in chunks(bundle.source, entry.offset, entry.size):
                        output.write(chunk)
                    written = FileSource(output.descriptor)
                    with _named(path, entry.name):
                        check_file(written, entry.size, digests.get(entry.name, ""), stage.advance)
                    output.commit(executable=False)
                made.append(target)
    return made


def _entry(bundle: Bundle, name: str) -> Entry:
    if name in bundle.archive.entries:
        return bundle.archive.entries[name]
    near = get_close_matches(name, bundle.archive.entries, 1, 0.3)
    raise BundleError(
        f"failed to extract {name} from {bundle.path}: it has no such member",
        f"did you mean {near[0]}?" if near else f"bundle inspect {bundle.path} lists the members",
    )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise BundleError(
            f"failed to make the folder {folder}: {cause.strerror}", "give another place with -o"
        ) from cause


@contextmanager
def _opened(path: Path) -> Iterator[FileSource]:
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
    except OSError as cause:
        raise BundleError(f"failed to open {path}: {cause.strerror}", "check the path and its permissions") from cause
    try:
        if path.is_dir():
            raise BundleError(f"failed to open {path}: it is a folder", "give the bundle file itself")
        yield FileSource(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _named(path: Path, member: str = "") -> Iterator[None]:
    """Put the file's name into the errors of readers that know only bytes."""
    try:
        yield
    except BundleError as error:
        place = f"{path}, member {member}" if member else str(path)
        raise BundleError(f"{place}: {error.message}", error.hint) from error
