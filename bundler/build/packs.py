"""The store of runtime packs in the cache: find, build, list, export, import, remove.

A pack is a folder `packs/<id>` described by its `pack.json`. Folders with other names are work in progress.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bundler.build import cache, freeze, llamacpp, pack, tarball
from bundler.build.output import OutputFile
from bundler.build.progress import Progress
from bundler.errors import BundleError
from bundler.formats import packfile, targets
from bundler.formats.packfile import Entry, PackFile, Part

_LARGEST_DESCRIPTION = 1 << 20


@dataclass(frozen=True)
class Pack:
    """One runtime pack on disk."""

    root: Path
    file: PackFile

    @property
    def id(self) -> str:
        return self.file.id

    @property
    def target(self) -> str:
        return self.file.target

    @property
    def llama_cpp(self) -> str:
        """Version of llama-cpp-python whose llama.cpp this is."""
        return self.file.llama_cpp

    @property
    def parts(self) -> dict[str, Part]:
        """`base`, and overlays by backend; each lies at `root / part.file`."""
        return self.file.parts

    @property
    def launcher(self) -> Path:
        return self.root / self.file.launcher.file

    @property
    def sbom(self) -> Path:
        return self.root / packfile.SBOM

    @property
    def licenses(self) -> list[Path]:
        """The licence texts, sorted by name."""
        return sorted(self.root / entry.file for entry in self.file.notices if entry.file != packfile.SBOM)

    @property
    def size(self) -> int:
        """Bytes on disk, without `pack.json`."""
        return sum(entry.size for entry in _entries(self.file))


def every() -> list[Pack]:
    """All packs in the store, the newest first; folders that cannot be read as one are passed over."""
    home = cache.root() / "packs"
    folders = [path for path in home.glob("*") if re.fullmatch(r"[0-9a-f]{64}", path.name)] if home.is_dir() else []
    found = []
    for folder in sorted(folders, key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True):
        try:
            found.append(_read(folder))
        except BundleError:
            continue
    return found


def find(target: str, selector: str | None) -> Pack | None:
    """The pack for `target` whose id begins with `selector`; without one, the pack that this program would make.

    For this machine that is the pack of the current inputs, or the newest imported one with the same application and
    llama.cpp; for another system the newest, those with the same application first.

    Raises:
        BundleError: `selector` fits several packs.
    """
    candidates = [found for found in every() if found.target == target]
    if selector is not None:
        return _only([found for found in candidates if found.id.startswith(selector)], selector)
    if candidates and target == targets.host():
        exact = _current_id()
        same = [found for found in candidates if found.id == exact]
        return next(iter(same or [found for found in candidates if _is_current(found)]), None)
    return next(iter([found for found in candidates if _is_current(found)] or candidates), None)


def choose(target: str, selector: str | None, progress: Progress) -> Pack:
    """The pack for `target` that `find` finds; that of this machine is built where it is missing.

    Raises:
        BundleError: there is none, or it cannot be built.
    """
    found = find(target, selector)
    if found:
        return found
    if selector:
        raise BundleError(
            f"failed to find a runtime pack {selector} for {target}",
            "bundle runtime list shows the packs that are there",
        )
    if target != targets.host():
        raise BundleError(
            f"failed to build for {target}: there is no runtime pack for it here",
            f"run `bundle runtime build` and `bundle runtime export` on a {target} machine, then here "
            "`bundle runtime import`",
        )
    return ensure_host(progress)


def ensure_host(progress: Progress) -> Pack:
    """The pack of this machine for the current inputs; built when it is missing.

    Raises:
        BundleError: it cannot be built.
    """
    facts = pack.inputs()
    folder = _folder(packfile.identify(facts))
    if not folder.is_dir():
        with cache.locked(folder):
            if not folder.is_dir():
                pack.build(folder, facts, progress)
    return _read(folder)


def select(selector: str) -> Pack:
    """The one pack of any target whose id begins with `selector`.

    Raises:
        BundleError: there is none, or there are several.
    """
    found = _only([found for found in every() if found.id.startswith(selector)], selector)
    if found is None:
        raise BundleError(
            f"failed to find the runtime pack {selector}: there is none",
            "bundle runtime list shows the packs that are there",
        )
    return found


def remove(found: Pack) -> None:
    """Delete a pack from the store."""
    with cache.locked(found.root):
        # Renamed first, so that nobody finds half of it.
        grave = found.root.with_name(f".{found.root.name}.removed")
        shutil.rmtree(grave, ignore_errors=True)
        found.root.rename(grave)
        shutil.rmtree(grave)
    found.root.with_name(found.root.name + ".lock").unlink(missing_ok=True)


def export(found: Pack, output: Path, progress: Progress) -> None:
    """Write the pack as an uncompressed tar; `output` appears when it is whole.

    Raises:
        BundleError: `output` cannot be written.
    """
    with progress.stage(f"Writing {output.name}", found.size) as stage, OutputFile(output) as file:
        tarball.write(found.root, file, stage.advance)
        file.commit(executable=False)


def bring(archive: Path, progress: Progress) -> Pack:
    """Import a pack that `export` wrote, checking every digest; the store changes only when all is well.

    Raises:
        BundleError: `archive` is no pack, damaged, or holds something that does not belong into one.
    """
    try:
        with tarfile.open(archive, "r:") as tar:
            return _unpack(archive, tar, progress)
    except FileNotFoundError as cause:
        raise BundleError(f"failed to import {archive}: there is no such file") from cause
    except (tarfile.TarError, EOFError) as cause:
        raise _no_pack(archive, str(cause)) from cause
    except OSError as cause:
        raise BundleError(f"failed to import {archive}: {cause.strerror or cause}") from cause


def _unpack(archive: Path, tar: tarfile.TarFile, progress: Progress) -> Pack:
    members = {member.name: member for member in tar.getmembers() if not member.isdir()}
    description = members.pop(packfile.NAME, None)
    if description is None or not description.isreg() or description.size > _LARGEST_DESCRIPTION:
        raise _no_pack(archive, f"it has no {packfile.NAME}")
    data = _open(tar, description).read()
    described = packfile.decode(data)
    entries = _entries(described)
    if strange := sorted(members.keys() - {entry.file for entry in entries}):
        raise _no_pack(archive, f"{strange[0]} does not belong into it")
    folder = _folder(described.id)
    total = sum(entry.size for entry in entries)
    with (
        progress.stage(f"Importing {archive.name}", total) as stage,
        cache.locked(folder),
        cache.replacing(folder) as work,
    ):
        for entry in entries:
            member = members.get(entry.file)
            if member is None or not member.isreg():
                raise _no_pack(archive, f"{entry.file} is missing from it")
            (work / entry.file).parent.mkdir(exist_ok=True)
            if member.size != entry.size or _copy(tar, member, work / entry.file) != entry.sha256:
                raise _no_pack(archive, f"{entry.file} is not what {packfile.NAME} says")
            stage.advance(entry.size)
        (work / described.launcher.file).chmod(0o755)
        (work / packfile.NAME).write_bytes(data)
    return _read(folder)


def _copy(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> str:
    """Write a member to `target`; returns the sha256 of what was written."""
    digest = hashlib.sha256()
    with _open(tar, member) as source, target.open("wb") as output:
        while block := source.read(1 << 20):
            digest.update(block)
            output.write(block)
    return digest.hexdigest()


def _open(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(member)
    assert file is not None, "asked for regular files only"
    return file


def _read(folder: Path) -> Pack:
    try:
        described = packfile.decode((folder / packfile.NAME).read_bytes())
    except OSError as cause:
        raise BundleError(
            f"failed to read the runtime pack in {folder}: {cause.strerror}", f"delete {folder} and build it again"
        ) from cause
    return Pack(folder, described)


def _entries(described: PackFile) -> list[Part | Entry]:
    return [*described.parts.values(), described.launcher, *described.notices]


def _folder(identity: str) -> Path:
    return cache.root() / "packs" / identity


def _current_id() -> str | None:
    """The id of the pack that this machine would make; None where it cannot make any."""
    try:
        return packfile.identify(pack.inputs())
    except BundleError:
        return None


def _is_current(found: Pack) -> bool:
    """Whether a pack of any machine holds the same application and llama.cpp as one made now."""
    return found.file.inputs.get("application") == freeze.key() and found.llama_cpp == llamacpp.version()


def _only(found: list[Pack], selector: str) -> Pack | None:
    if len(found) > 1:
        raise BundleError(
            f"failed to find the runtime pack {selector}: {len(found)} packs begin with it", "give more of the id"
        )
    return found[0] if found else None


def _no_pack(archive: Path, cause: str) -> BundleError:
    return BundleError(
        f"failed to import {archive}: {cause}", "export the pack again (`bundle runtime export`) and copy it whole"
    )
