"""The runtime that goes into a bundle: that of a pack, or the one that another bundle holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bundler.build import blob as blobs
from bundler.build import bundles
from bundler.build.archive import Content
from bundler.build.blob import Blob
from bundler.build.bundles import Bundle
from bundler.build.packs import Pack
from bundler.build.tool import part_contents, runtime_parts
from bundler.errors import BundleError
from bundler.formats.container import MANIFEST, launcher_size
from bundler.formats.manifest import RuntimeParts

PARTS: Final = "runtime/"
SBOM: Final = "sbom.cdx.json"
LICENSES: Final = "LICENSES/"


@dataclass(frozen=True, slots=True)
class Runtime:
    """A launcher, and the members that belong to it."""

    launcher: Blob
    members: list[Content]
    """Parts, bill of materials and licences, in order."""
    parts: Mapping[str, RuntimeParts]
    """What the manifest says, by target."""


def of_pack(pack: Pack) -> Runtime:
    """The runtime of a pack.

    Raises:
        BundleError: it cannot be read.
    """
    members = [
        *part_contents(pack),
        Content(SBOM, pack.sbom),
        *(Content(f"{LICENSES}{path.name}", path) for path in pack.licenses),
    ]
    return Runtime(blobs.file(pack.launcher), members, {pack.target: runtime_parts(pack)})


def of_bundle(bundle: Bundle) -> Runtime:
    """The runtime inside a bundle, where it lies.

    Raises:
        BundleError: there is none.
    """
    if not bundle.manifest.runtime:
        raise BundleError(f"failed to take the runtime of {bundle.path}: it holds none", "leave out --keep-runtime")
    launcher = blobs.part(bundle.path, 0, launcher_size(bundle.archive), f"{bundle.path}, launcher")
    members = [Content(name, bundles.member_blob(bundle, name)) for name in members_of(bundle)]
    return Runtime(launcher, members, bundle.manifest.runtime)


def members_of(bundle: Bundle) -> list[str]:
    """The names of the members that belong to the runtime, in order; the model's own licences are none of them."""
    own = {MANIFEST, *bundle.manifest.licenses}
    return [
        name
        for name in bundle.archive.entries
        if name not in own and (name == SBOM or name.startswith((PARTS, LICENSES)))
    ]
