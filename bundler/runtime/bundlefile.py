"""The runtime's own file: opened once, read from for as long as the process lives.

In a bundle the launcher hands over the open descriptor, so the file may be renamed or replaced meanwhile. In a
checkout the variable BUNDLE_FILE names a bundle or a bare GGUF instead.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from bundler.errors import BundleError
from bundler.formats.container import Archive, read_archive
from bundler.formats.manifest import Manifest, Model
from bundler.formats.source import FileSource, Source, chunks
from bundler.formats.verification import read_manifest
from bundler.runtime.engine.interface import AdapterRange, WeightsRange

_AGAIN = "the file is damaged; get it again from its source"


class BundleFile:
    """An open bundle and what it says of itself.

    `path` is where the file lay when it was started, for people; nothing is opened by it but weights that lie beside
    it. `digest` is the SHA-256 of the manifest: two files with the same digest are the same bundle. `archive` is None
    for a bare GGUF in a checkout.
    """

    def __init__(
        self, path: Path, descriptor: int, source: Source, archive: Archive | None, manifest: Manifest, digest: str
    ) -> None:
        self.path = path
        self.descriptor = descriptor
        self.source = source
        self.archive = archive
        self.manifest = manifest
        self.digest = digest
        self._beside: dict[str, WeightsRange] = {}

    @property
    def modified(self) -> int:
        """When the file was last written, in Unix seconds."""
        return int(os.fstat(self.descriptor).st_mtime)

    @property
    def model(self) -> Model:
        """The model that chats; where there is none, the one that makes embeddings.

        Raises:
            BundleError: the bundle holds neither.
        """
        model = self.manifest.model("chat") or self.manifest.model("embedding")
        if model is None:
            raise BundleError(f"failed to start {self.manifest.name}: the bundle holds no model", _AGAIN)
        return model

    def of(self, name: str) -> BundleFile:
        """The same file with one of its models alone, the main one or an added one.

        Raises:
            BundleError: it holds none of this name.
        """
        own = BundleFile(self.path, self.descriptor, self.source, self.archive, self.manifest.of(name), self.digest)
        own._beside = self._beside
        return own

    def weights(self) -> WeightsRange:
        """Where the model's GGUF lies, after a check of its header: damage there would crash llama.cpp.

        Raises:
            BundleError: it is not there, cut short or damaged.
        """
        return self.place(self.model)

    def adapters(self) -> list[AdapterRange]:
        """The model's LoRA adapters, checked as `weights`.

        Raises:
            BundleError: one is not there, cut short or damaged.
        """
        return [AdapterRange(weights=self.place(model), scale=model.scale) for model in self.manifest.adapters]

    def place(self, model: Model) -> WeightsRange:
        """Where a GGUF of the bundle lies, after a check of its header.

        Raises:
            BundleError: it is not there, cut short or damaged.
        """
        if model.sidecar:
            weights = self._sidecar(model)
        elif self.archive is None:
            weights = WeightsRange(descriptor=self.descriptor, offset=0, size=model.size)
        else:
            entry = self.archive.entries.get(model.member)
            if entry is None or entry.size != model.size:
                raise BundleError(
                    f"failed to find the weights: {model.member} is not in the bundle as recorded", _AGAIN
                )
            weights = WeightsRange(descriptor=self.descriptor, offset=entry.offset, size=entry.size)
        _check_header(FileSource(weights.descriptor), weights.offset, model)
        return weights

    def _sidecar(self, model: Model) -> WeightsRange:
        """Opened once, as the file itself is."""
        if model.sidecar in self._beside:
            return self._beside[model.sidecar]
        place = self.path.with_name(model.sidecar)
        try:
            descriptor = os.open(place, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError as cause:
            raise BundleError(
                f"failed to open the weights {place}: {cause.strerror}",
                f"this bundle comes as two files; put {model.sidecar} beside {self.path.name}",
            ) from cause
        size = os.fstat(descriptor).st_size
        if size != model.size:
            os.close(descriptor)
            raise BundleError(
                f"failed to open the weights {place}: it has {size} bytes, and {model.size} are recorded",
                "the file belongs to another bundle or was cut short; get it again from its source",
            )
        self._beside[model.sidecar] = WeightsRange(descriptor=descriptor, offset=0, size=size)
        return self._beside[model.sidecar]


def open_own(environment: Mapping[str, str]) -> BundleFile:
    """Open the file that this process was started from.

    Raises:
        BundleError: it cannot be read, is damaged, of a newer format, or holds no model (a runtime alone).
    """
    path = own_path(environment)
    descriptor = _descriptor(path, environment)
    source = FileSource(descriptor)
    if not getattr(sys, "frozen", False) and source.read_at(0, 4) == b"GGUF":
        from bundler.runtime.checkout import manifest_of  # a bare GGUF is served in a checkout only

        manifest, digest = manifest_of(source, path)
        return BundleFile(path, descriptor, source, None, manifest, digest)
    archive = read_archive(source)
    manifest = read_manifest(source, archive)
    return BundleFile(path, descriptor, source, archive, manifest, archive.manifest_sha256)


def own_path(environment: Mapping[str, str]) -> Path:
    """Where the own file lay when it was started.

    Raises:
        BundleError: the environment does not say.
    """
    frozen = getattr(sys, "frozen", False)
    given = environment.get("BUNDLE_EXE" if frozen else "BUNDLE_FILE")
    if given:
        return Path(given).absolute()
    if frozen:
        raise BundleError(
            "failed to find this program's own file: it was not started by its launcher", "run the bundle itself"
        )
    raise BundleError(
        "failed to find a model: BUNDLE_FILE is not set", "in a checkout set BUNDLE_FILE to a bundle or a GGUF file"
    )


def _descriptor(path: Path, environment: Mapping[str, str]) -> int:
    if getattr(sys, "frozen", False):
        if sys.platform == "win32" and environment.get("BUNDLE_HANDLE", "").isdecimal():
            import msvcrt

            return msvcrt.open_osfhandle(int(environment["BUNDLE_HANDLE"]), os.O_RDONLY | os.O_BINARY)
        if environment.get("BUNDLE_FD", "").isdecimal():
            descriptor = int(environment["BUNDLE_FD"])
            try:
                os.fstat(descriptor)
            except OSError as cause:
                raise BundleError(
                    f"failed to read this program's own file: the launcher's descriptor {descriptor} is not open",
                    "run the bundle itself",
                ) from cause
            return descriptor
    try:
        return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
    except OSError as cause:
        raise BundleError(f"failed to open {path}: {cause.strerror}", "check the path and its permissions") from cause


def _check_header(source: Source, offset: int, model: Model) -> None:
    if not model.header_size:
        return
    digest = hashlib.sha256()
    for chunk in chunks(source, offset, model.header_size):
        digest.update(chunk)
    if digest.hexdigest() != model.header_sha256:
        raise BundleError("failed to load the model: the header of its weights is damaged", _AGAIN)
