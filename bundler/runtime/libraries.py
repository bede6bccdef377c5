"""Where llama.cpp's libraries lie, and which CPU variants there are. Loads none of them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from bundler.errors import BundleError

PLAINEST_VARIANT = "x64"
_VARIANT = re.compile(r"(?:lib)?ggml-cpu-([a-z0-9_.]+?)\.(?:so|dll|dylib)")


def folder(environment: Mapping[str, str]) -> Path:
    """The libraries' folder: `$BUNDLE_ROOT/lib` in a bundle, `$BUNDLE_LIBS` in a checkout. Always absolute.

    Raises:
        BundleError: neither is given, or libllama is not there.
    """
    if getattr(sys, "frozen", False):
        root = environment.get("BUNDLE_ROOT")
        place = Path(root, "lib") if root else None
    else:
        given = environment.get("BUNDLE_LIBS")
        place = Path(given) if given else None
    if place is None:
        raise BundleError(
            "failed to find llama.cpp's libraries: the environment does not say where they are",
            "set BUNDLE_LIBS to the folder that holds libllama (`bundle runtime build` makes one)",
        )
    place = place.absolute()
    if not any((place / name).exists() for name in ("libllama.so", "libllama.dylib", "llama.dll")):
        raise BundleError(
            f"failed to find llama.cpp's libraries: no libllama in {place}",
            "get the file again, or remove its cache folder",
        )
    return place


def cpu_variants(place: Path) -> dict[str, Path]:
    """CPU backends by variant name (`haswell`, `zen4`, …), absolute paths, sorted by name.

    Raises:
        BundleError: there is not one.
    """
    found = {match[1]: file for file in sorted(place.iterdir()) if (match := _VARIANT.fullmatch(file.name))}
    if not found:
        raise BundleError(
            f"failed to find a CPU backend of llama.cpp in {place}", "get the file again, or remove its cache folder"
        )
    return found


def plainest(variants: Iterable[str]) -> str:
    """The variant that runs on every CPU of the architecture: the yardstick of the others' numbers."""
    names = sorted(variants)
    return PLAINEST_VARIANT if PLAINEST_VARIANT in names else names[0]
